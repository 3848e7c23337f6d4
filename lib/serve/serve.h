/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The built-in store as others see it: etcd's v3 API (KV, Watch, Lease, and of Maintenance and Cluster
 * what clients ask of themselves), by gRPC, over a SqliteStore of this process. What etcd 3.4 answers,
 * this answers, down to the words of an error; docs/configuration.md says where it ends.
 *
 * There is no check of who asks: whoever reaches the address may read and write everything.
 */

#include "lib/base/diag.h"
#include "lib/base/strlist.h"
#include "lib/loop/stream-tls.h"
#include "lib/store/grpc-server.h"
#include "lib/store/store-sqlite.h"

typedef struct Serve Serve;

/* Limits: what clients can make grow, and where that ends (docs/limits.md). */
enum {
        SERVE_CONNECTIONS_MAX = GRPC_SERVER_CONNECTIONS_MAX,
        SERVE_WATCHES_MAX = 10000,       /* of all clients; a further one is refused */
        SERVE_STREAM_WATCHES_MAX = 1000, /* of one Watch stream */
        SERVE_STREAM_RENEWALS_MAX = 128, /* of one stream of keep-alives, at the same time: what
                                                 comes beyond waits */
        SERVE_REQUEST_MAX_BYTES = 1536 << 10, /* a request that writes (etcd --max-request-bytes) */
        SERVE_DECODED_MAX_BYTES = 8 << 20,    /* memory of a request: of small fields, each takes
                                                  many times what it takes on its way */
        SERVE_REQUESTS_MAX_BYTES = 32 << 20,  /* the same of all that are being answered */
};

/* What is served where. Borrowed for the call. */
typedef struct ServeOptions {
        const StrList *addresses;   /* "HOST:PORT", "[IPV6]:PORT", ":PORT" or "PORT", see
                                       serve_address_parse() */
        const StreamTlsServer *tls; /* NULL = plain */
        const char *host; /* what to tell clients that ask for the members where it listens
                                       on every address; NULL = the loopback */
} ServeOptions;

/* Where to listen. */
typedef struct ServeAddress {
        char host[64]; /* an address in digits, without brackets; never empty */
        uint16_t port;
        bool is_loopback;
} ServeAddress;

/* Read an address: without a host it is the loopback; "0.0.0.0" and "[::]" are all there are. Returns
 * 0, or -EINVAL with a message. */
int serve_address_parse(const char *text, ServeAddress *ret_address, Diag *diag);

/* Serve a store. Returns 0, or a negative errno with a message that names the address. */
int serve_new(Serve **ret_serve, Loop *loop, SqliteStore *sqlite, const ServeOptions *options,
              Diag *diag);

/* Serve a connected socket, plain; takes the descriptor, also on error. Returns 0 or a negative
 * errno. */
int serve_add_fd(Serve *serve, int fd);

/* How much there is of what clients can make grow. */
typedef struct ServeStats {
        unsigned n_connections;
        unsigned n_calls; /* open now */
        size_t n_watches;
} ServeStats;

/* Read the numbers. */
ServeStats serve_stats(const Serve *serve);

/* Take no further connections, tell the clients, and let what is being answered end; then `closed`
 * runs from the loop, once, and it may be freed. */
void serve_close(Serve *serve, void (*closed)(Serve *serve, void *userdata), void *userdata);

/* Free what is closed. Takes NULL; returns NULL. */
Serve *serve_free(Serve *serve);
DEFINE_CLEANUP(Serve, serve_free)
