/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The whole API in one process: memory store, registry, API, HTTP server on a socket of its own,
 * and a client in the same loop, on a virtual clock. */

#include <check.h>

#include "api/api.h"
#include "lib/store/store-memory.h"
#include "tests/sim/virtual-env.h"

/* Everything. */
typedef struct Fixture {
        VirtualEnv env;
        Loop *loop;
        MemoryStore *memory;
        Store *store;
        Registry *registry;
        Api *api;
        HttpServer *server;
        int client_address_fd; /* a duplicate of the listening socket, for its address */
        bool is_api_closed;
} Fixture;

/* A connection of a client, and what came on it. */
typedef struct Client {
        int fd;
        char *text; /* NUL-terminated */
        size_t n_bytes;
        bool is_closed;
} Client;

/* What was answered. */
typedef struct Reply {
        int status;
        char *head;
        char *body;
} Reply;

Fixture *fixture_new(uint16_t token_limit);
void fixture_free(Fixture *fixture);

/* Turn the loop until nothing more happens at this instant, taking in what comes for `client` (may
 * be NULL). */
void fixture_settle(Fixture *fixture, Client *client);
/* Move the clock, stopping at every timer. */
void fixture_advance(Fixture *fixture, Client *client, uint64_t us);

/* Connect, and send text. */
Client client_open(Fixture *fixture);
void client_send(Fixture *fixture, Client *client, const char *text, size_t n_bytes);
void client_close(Client *client);

/* Send a request on a connection of its own (`headers`: further lines, each ending in CRLF, or
 * NULL) and turn until its answer is complete, letting time pass when nothing else helps. */
Reply request(Fixture *fixture, const char *method, const char *path, const char *headers,
              const char *body);
void reply_free(Reply *reply);
/* The same for a JSON body, checking the status and, unless NULL, the exact body. */
void expect(Fixture *fixture, const char *method, const char *path, const char *body, int status,
            const char *expected);

/* Write a record past everyone; NULL deletes. */
void put(Fixture *fixture, const char *key, const char *value);
/* A record's value, owned by the caller; NULL when there is none. */
char *get(Fixture *fixture, const char *key);
