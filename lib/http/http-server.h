/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An HTTP/1.1 server on the loop, over libevent's evhttp, with limits: requests larger than
 * allowed, too many connections, and slow clients are refused or cut. Knows nothing of fleet: a
 * handler gets every request and answers it once, now or later.
 *
 * What the server refuses by itself (malformed requests, bodies over the limit) never reaches the
 * handler; it is answered with
 * {"error":{"code":413,"message":"..."}}, and the connection is closed. The process must ignore
 * SIGPIPE (signal(7)): a client may go at any time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/macro.h"
#include "lib/loop/loop.h"

typedef struct HttpServer HttpServer;
typedef struct HttpExchange HttpExchange;

/* Limits; every one must be set. */
typedef struct HttpLimits {
        size_t max_header_bytes; /* request line and headers; more is 400 and a closed connection */
        size_t max_body_bytes;   /* more is 413 */
        /* A further one takes the place of the connection that makes us wait longest for its
           request, or for taking its reply, if that is longer than half a second; until then it
           waits in the kernel's queue. */
        unsigned max_connections;
        /* Replies of all clients that wait to be taken; while there are more, further requests are
           answered 503. One reply may be larger. */
        size_t max_output_bytes;
        /* Requests of all clients that are arriving. While there are more, the connection goes that
           has been sending its own for longest. */
        size_t max_input_bytes;
        unsigned idle_timeout_s;    /* a connection on which nothing moves for so long is closed */
        unsigned request_timeout_s; /* from a request's first byte to its last; longer is 408 */
        unsigned reply_timeout_s;   /* for taking a whole reply; then the connection is closed */
} HttpLimits;

/* Methods of RFC 9110 and RFC 5789 that callers tell apart; any other is HTTP_OTHER. */
typedef enum HttpMethod {
        HTTP_GET,
        HTTP_HEAD,
        HTTP_POST,
        HTTP_PUT,
        HTTP_DELETE,
        HTTP_PATCH,
        HTTP_OPTIONS,
        HTTP_OTHER,
        _HTTP_METHOD_MAX,
} HttpMethod;

/* Gets every request. The exchange is the handler's until it has replied. Runs from the loop. */
typedef void (*HttpHandler)(HttpExchange *exchange, void *userdata);

/* Make a server. `server_name` is sent as Server: header unless a reply leaves it out. Returns 0 or
 * -ENOMEM. */
int http_server_new(HttpServer **ret_server, Loop *loop, const char *server_name,
                    const HttpLimits *limits, HttpHandler handler, void *userdata);

/* Serve a listening stream socket (unix or TCP); takes the descriptor, also on error. Returns 0,
 * -EAFNOSUPPORT for one of another family, or another negative errno. */
int http_server_listen(HttpServer *server, int fd);

/* Stop listening, end every exchange that has no reply (its owner is told by its closed callback),
 * free. Takes NULL; returns NULL. */
HttpServer *http_server_free(HttpServer *server);
DEFINE_CLEANUP(HttpServer, http_server_free)

/* How many connections are open. For /metrics. */
unsigned http_server_connections(const HttpServer *server);

/* The request. All borrowed from the exchange. */
HttpMethod http_exchange_method(const HttpExchange *exchange);
/* The path, before '?', still percent-encoded. */
const char *http_exchange_path(const HttpExchange *exchange);
/* What is after '?', or NULL. */
const char *http_exchange_query(const HttpExchange *exchange);
/* The first header of that name, or NULL. */
const char *http_exchange_header(const HttpExchange *exchange, const char *name);
/* How many headers of that name. */
unsigned http_exchange_count_header(const HttpExchange *exchange, const char *name);
/* The body: contiguous, may be empty, never NULL. */
const char *http_exchange_body(const HttpExchange *exchange, size_t *ret_n_bytes);

/* Values of a query parameter, percent-decoded: the `index`-th (from 0) of that name, or NULL when
 * there are fewer. The caller frees. */
char *http_exchange_parameter(const HttpExchange *exchange, const char *name, unsigned index);

/* A number of the handler's own that goes with the exchange, at first 0. */
void http_exchange_set_tag(HttpExchange *exchange, unsigned tag);
unsigned http_exchange_tag(const HttpExchange *exchange);

/* The same of a query: what is behind '?', or NULL. */
char *http_query_parameter(const char *query, const char *name, unsigned index);

/* Percent-decode a path segment; the caller frees. NULL on out of memory or a malformed escape or
 * an encoded NUL. */
char *http_path_decode(const char *segment, size_t n_bytes);

/* Reply once, with everything; the exchange is gone afterwards. `content_type` may be NULL for
 * none, `body` NULL for an empty one. HEAD gets no body. */
void http_reply(HttpExchange *exchange, int status, const char *content_type, const Buf *body);

/* Add a header to the reply that will be sent; copies. Returns 0 or -ENOMEM. */
int http_exchange_add_header(HttpExchange *exchange, const char *name, const char *value);

/* Leave out the Server: header (contract section 4.1: answers while there is no store). */
void http_exchange_hide_server(HttpExchange *exchange);

/* Begin a reply in pieces (chunked). Then http_reply_piece() any number of times, then
 * http_reply_end(), after which the exchange is gone. */
void http_reply_begin(HttpExchange *exchange, int status, const char *content_type);

/* Send a piece. Returns 0, or -ENOBUFS when the client does not read and more than 1 MiB is
 * waiting: end it then. */
int http_reply_piece(HttpExchange *exchange, const void *bytes, size_t n_bytes);
void http_reply_end(HttpExchange *exchange);

/* Be told once, from the loop, when the client has gone before the reply's end; the exchange is
 * gone then and must not be touched. Every handler that does not reply at once sets it. Over a unix
 * socket, a client that has only ended its sending side (shutdown(2)) before the reply begins still
 * gets it; over TCP the two cannot be told apart. */
void http_exchange_set_closed(HttpExchange *exchange,
                              void (*closed)(HttpExchange *exchange, void *userdata),
                              void *userdata);
