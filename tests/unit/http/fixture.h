/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The HTTP server over real sockets, client and server in one loop. */

#include <check.h>
#include <sys/socket.h>

#include "lib/http/http-server.h"

/* The server, with a handler that answers with what it saw. */
typedef struct Rig {
        Loop *loop;
        HttpServer *server;
        int family;
        int address_fd; /* a duplicate of the listening socket */
        HttpExchange *pending;
        unsigned n_handled, n_closed;
        bool holds; /* the handler keeps the exchange */
} Rig;

/* A client. */
typedef struct Peer {
        int fd;
        Buf in;
        bool is_closed;
} Peer;

/* What tests that are for every family loop over. */
static const int families[] = { AF_UNIX, AF_INET };

/* A socket that listens on an address of its own. */
int listen_on(int family);

/* Open a rig in place: its address is the handler's userdata. NULL for limits that do not matter. */
void rig_init(Rig *rig, int family, const HttpLimits *limits);

/* Close and free everything. */
void rig_close(Rig *rig);

/* Connect; hang up. */
Peer peer_open(const Rig *rig);
void peer_close(Peer *peer);

/* Take what is there. */
void peer_receive(Peer *peer);

/* Send all of it, turning as long as that takes. */
void peer_send(Rig *rig, Peer *peer, const char *text, size_t n_bytes);

/* Turn the loop so many times; for so long; until the client has this text (NULL: until its
 * connection has ended). */
void turn(Rig *rig, int n);
void turn_for(Rig *rig, uint64_t us);
void turn_until(Rig *rig, Peer *peer, const char *text);

/* Run the tests, the second ones once for each family. */
int http_tests_run(const char *name, const TTest *const *once, size_t n_once,
                   const TTest *const *by_family, size_t n_by_family);
