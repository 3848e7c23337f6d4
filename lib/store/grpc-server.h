/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* gRPC's server side over HTTP/2: connections, calls and their limits. It knows nothing of what
 * the messages mean: a service says by a table which methods there are, and gets their calls.
 *
 * A call is the server's object. From its first callback on it is the service's to answer, until
 * the service ends it (grpc_server_call_end()) or is told that it is gone, whichever comes first;
 * after that it must not be touched. All callbacks run from the loop, never inside a function that
 * the service called; in each of them the service may do anything with any call.
 *
 * What the server answers by itself never reaches the service: methods that are not in the table
 * (UNIMPLEMENTED), requests that are no gRPC (HTTP 415, 405), compressed or malformed ones, messages
 * over the limit (RESOURCE_EXHAUSTED).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/diag.h"
#include "lib/loop/loop.h"
#include "lib/loop/stream-tls.h"
#include "lib/store/grpc-frame.h"
#include "lib/store/grpc-status.h"

typedef struct GrpcServer GrpcServer;
typedef struct GrpcServerCall GrpcServerCall;

/* Limits: what peers can make grow, and where that ends (docs/limits.md). */
enum {
        GRPC_SERVER_CONNECTIONS_MAX = 256, /* a further one is closed at once */
        GRPC_SERVER_CALLS_MAX = 128, /* open calls of one connection; HTTP/2 tells the client */
        GRPC_SERVER_REQUEST_MAX_BYTES = 2 << 20,  /* one message of a client; as etcd: 1.5 MiB and
                                                    512 KiB for what is around them */
        GRPC_SERVER_HEADERS_MAX_BYTES = 16 << 10, /* all headers of a request (RFC 9113, 6.5.2) */
        GRPC_SERVER_INPUT_MAX_BYTES = 32 << 20, /* messages of one connection that have not arrived
                                                  as a whole, or are held back... */
        GRPC_SERVER_ALL_INPUT_MAX_BYTES = 128 << 20, /* ...and of all connections */
        GRPC_SERVER_OUTPUT_MAX_BYTES = 4 << 20,      /* a call whose queue has reached this takes no
                                                   further message... */
        GRPC_SERVER_OUTPUT_LOW_BYTES = 1 << 20,      /* ...and is told when it has fallen to this */
        GRPC_SERVER_NOTICE_MAX_BYTES = 64 << 10,     /* what notices may add to a full queue */
        GRPC_SERVER_CONNECTION_OUTPUT_MAX_BYTES = 16 << 20, /* the same for all calls of one... */
        GRPC_SERVER_ALL_OUTPUT_MAX_BYTES = 64 << 20,        /* ...and of all connections */
};

/* Why a call is gone. */
typedef enum GrpcGone {
        GRPC_GONE_CANCELLED, /* the client gave it up, broke a rule, or is not there any more */
        GRPC_GONE_DEADLINE,  /* the client's deadline has passed; it has been told */
        GRPC_GONE_SHUTDOWN,  /* the server is being closed; the client has been told */
} GrpcGone;

/* A method of a service. The strings and the row are static. */
typedef struct GrpcMethod {
        const char *path; /* "/package.Service/Method" */
        bool takes_one;   /* the client sends exactly one message (unary, server streaming); the
                             server refuses another number of them by itself */

        /* A message has come; the service frees it. The first callback of every call, but for a
         * stream whose client ends its side, or is gone, before it has sent anything. */
        void (*message)(GrpcServerCall *call, GrpcMessage *message, void *service);

        /* The client of a streaming method sends no more. NULL = the server ends the call with
         * GRPC_OK, and tells that it is gone (GRPC_GONE_CANCELLED). Not called if `takes_one`. */
        void (*finished)(GrpcServerCall *call, void *service);

        /* The output, which was full (-ENOBUFS), has room again. May be NULL. */
        void (*drained)(GrpcServerCall *call, void *service);

        /* The call has ended without the service. Not called when it has seen no callback of it.
         * May be NULL. */
        void (*gone)(GrpcServerCall *call, GrpcGone why, void *service);
} GrpcMethod;

/* What a server serves. */
typedef struct GrpcService {
        const GrpcMethod *methods; /* static */
        size_t n_methods;

        /* Something is wrong with a peer's connection or with accepting that a person should know:
         * a certificate that was refused, connections over the limit. `peer` is an address, or NULL
         * when it is about no one in particular. Told at most five times a minute; what was left
         * out is counted in the next one's words. May be NULL. */
        void (*trouble)(const char *peer, const char *words, void *service);

        void *service; /* for the callbacks */
} GrpcService;

/* Make a server that serves nobody yet. Returns 0 or -ENOMEM. */
int grpc_server_new(GrpcServer **ret_server, Loop *loop, const GrpcService *service);

/* Listen on an IPv4 or IPv6 address, "" = all of both; `port` 0 = any free one. `tls` as for
 * grpc_server_listen_fd(). Returns 0, or a negative errno with a message that says what failed. */
int grpc_server_listen(GrpcServer *server, const char *host, uint16_t port,
                       const StreamTlsServer *tls, Diag *diag);

/* Serve a listening stream socket; takes the descriptor, also on error. `tls` NULL = plain; it is
 * copied, and its files are tried at once. Returns as grpc_server_listen(). */
int grpc_server_listen_fd(GrpcServer *server, int fd, const StreamTlsServer *tls, Diag *diag);

/* Serve a connected socket, plain; takes the descriptor, also on error. Returns 0 or a negative
 * errno. */
int grpc_server_add_fd(GrpcServer *server, int fd);

/* The port of the first socket that is listened on; 0 when there is none. */
uint16_t grpc_server_port(const GrpcServer *server);

/* How many connections, and calls on them, there are. For /metrics. */
unsigned grpc_server_connections(const GrpcServer *server);
unsigned grpc_server_calls(const GrpcServer *server);

/* Close: listen no more, tell the clients (GOAWAY), and end streaming calls with UNAVAILABLE. Calls
 * that take one message may still be answered for a second. Calls `closed`, from the loop, when the
 * last connection has ended. Once. */
void grpc_server_close(GrpcServer *server, void (*closed)(GrpcServer *server, void *service));

/* End everything at once and free. Nothing is called any more but `gone` of the calls that there
 * still are. Not from inside a callback of a call. Takes NULL; returns NULL. */
GrpcServer *grpc_server_free(GrpcServer *server);
DEFINE_CLEANUP(GrpcServer, grpc_server_free)

/* A pointer of the service's own that goes with the call; at first NULL. */
void grpc_server_call_set_data(GrpcServerCall *call, void *data);
void *grpc_server_call_data(const GrpcServerCall *call);

/* The row of the table that the call is for. */
const GrpcMethod *grpc_server_call_method(const GrpcServerCall *call);

/* Queue a message of `n_bytes` for the client; the caller fills it at once. One message is taken
 * however large it is while the queue is below the limits. Returns 0, -ENOMEM, -EMSGSIZE beyond
 * GRPC_MESSAGE_MAX_BYTES, or -ENOBUFS when the queue of the call, its connection, or the server is
 * full: a client that is slower than its stream is not waited for, so end the call, or whatever in
 * it is slow. */
int grpc_server_call_add_message(GrpcServerCall *call, size_t n_bytes, uint8_t **ret_bytes);

/* The same for a few words about a full queue, for which GRPC_SERVER_NOTICE_MAX_BYTES are kept
 * free. */
int grpc_server_call_add_notice(GrpcServerCall *call, size_t n_bytes, uint8_t **ret_bytes);

/* Hold back the client's further messages, and its sending, until told otherwise: for a service that
 * is busy with the last one. */
void grpc_server_call_pause(GrpcServerCall *call, bool is_paused);

/* End the call, once: what is queued is sent, then this status. `message` is for people, "" with
 * GRPC_OK. A client that does not take it within half a minute loses the call. */
void grpc_server_call_end(GrpcServerCall *call, GrpcCode code, const char *message);
