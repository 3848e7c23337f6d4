/* SPDX-License-Identifier: Apache-2.0 */

/* Requests at the handler and their replies.
 *
 * An exchange lives from the moment evhttp has read the whole request until the handler has
 * replied, or the client has gone. evhttp stops reading meanwhile, so a client that goes would not
 * be noticed before the reply; http_connection_watch() therefore reads on, into a buffer of bounded
 * size, without evhttp seeing it. A whole reply, once made, is evhttp's: it is written without
 * reading, so that a client that has ended its sending side still gets all of it.
 *
 * Request and connection end in either order. evhttp takes the connection away from a request that
 * is at the handler when the client goes; then the request is ours to free.
 */

#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <strings.h>

#include "lib/http/http-private.h"

enum { HTTP_PIECES_MAX_BYTES = 1024 * 1024 /* what may wait for a client that does not read */ };

/* The target without scheme and authority (RFC 9112 section 3.2.2). */
static const char *target_path(const char *uri) {
        const char *authority = *uri == '/' ? NULL : strstr(uri, "://");

        return authority ? authority + 3 + strcspn(authority + 3, "/?") : uri;
}

static HttpExchange *exchange_free(HttpExchange *exchange) {
        if (!exchange)
                return NULL;

        if (exchange->connection)
                exchange->connection->exchange = NULL;
        free(exchange->path);
        free(exchange);
        return NULL;
}
DEFINE_CLEANUP(HttpExchange, exchange_free)

static int exchange_new(HttpExchange **ret_exchange, struct evhttp_request *request) {
        _cleanup_(exchange_freep) HttpExchange *exchange = calloc(1, sizeof(*exchange));
        struct evbuffer *body = evhttp_request_get_input_buffer(request);
        char *query;

        if (!exchange)
                return -ENOMEM;

        exchange->request = request;
        exchange->path = strdup(target_path(evhttp_request_get_uri(request)));
        if (!exchange->path)
                return -ENOMEM;

        query = strchr(exchange->path, '?');
        if (query) {
                *query = '\0';
                exchange->query = query + 1;
        }

        exchange->body = "";
        exchange->n_body_bytes = evbuffer_get_length(body);
        if (exchange->n_body_bytes > 0) {
                exchange->body = (const char *)evbuffer_pullup(body, -1);
                if (!exchange->body)
                        return -ENOMEM;
        }

        *ret_exchange = TAKE(exchange);
        return 0;
}

/* The reply has left: serve the next request of this connection. */
static void on_complete(struct evhttp_request *request, void *userdata) {
        HttpConnection *connection = userdata;
        struct timeval idle = { .tv_sec = connection->server->limits.idle_timeout_s };

        (void)request;
        connection->is_replying = false;
        bufferevent_setwatermark(connection->bev, EV_READ, 0, 0);
        bufferevent_set_timeouts(connection->bev, &idle, &idle);
        http_connection_await_request(connection);
}

/* Others have asked for more than they take. */
static void refuse_for_now(HttpConnection *connection, struct evhttp_request *request) {
        static const char body[] =
                "{\"error\":{\"code\":503,\"message\":\"other clients have asked "
                "for more than they take: try again\"}}";
        struct evkeyvalq *headers = evhttp_request_get_output_headers(request);

        (void)evhttp_add_header(headers, "Server", connection->server->name);
        (void)evhttp_add_header(headers, "Content-Type", "application/json");
        (void)evhttp_add_header(headers, "Retry-After", "1");
        (void)evbuffer_add(evhttp_request_get_output_buffer(request), body, sizeof(body) - 1);
        http_connection_await_taking(connection);
        evhttp_send_reply(request, 503, NULL, NULL);
}

void http_exchange_dispatch(HttpConnection *connection, struct evhttp_request *request) {
        HttpServer *server = connection->server;
        struct timeval idle = { .tv_sec = server->limits.idle_timeout_s };
        HttpExchange *exchange;

        http_connection_serve(connection);
        /* A target with scheme and authority makes evhttp think that it is a proxy: it would close
         * the connection after the reply, without saying so. */
        request->flags &= ~EVHTTP_PROXY_REQUEST;
        /* And CONNECT would make it a tunnel, whose reply has no end. */
        if (request->type == EVHTTP_REQ_CONNECT)
                request->type = EVHTTP_REQ_TRACE;
        evhttp_request_set_on_complete_cb(request, on_complete, connection);
        bufferevent_set_timeouts(connection->bev, NULL, &idle);

        if (server->n_output_bytes > server->limits.max_output_bytes) {
                refuse_for_now(connection, request);
                return;
        }
        if (exchange_new(&exchange, request) < 0) {
                http_connection_await_taking(connection);
                evhttp_send_reply(request, 500, NULL, NULL);
                return;
        }

        exchange->connection = connection;
        connection->exchange = exchange;
        server->handler(exchange, server->userdata);

        /* The handler may have replied; only one that has not is watched. */
        if (connection->exchange && !connection->exchange->has_begun)
                http_connection_watch(connection);
}

void http_exchange_abort(HttpExchange *exchange) {
        void (*closed)(HttpExchange * exchange, void *userdata) = exchange->closed;
        struct evhttp_request *request = exchange->request;

        if (closed)
                closed(exchange, exchange->closed_userdata);
        exchange_free(exchange);
        if (!evhttp_request_get_connection(request))
                evhttp_request_free(request);
}

/* The request */

HttpMethod http_exchange_method(const HttpExchange *exchange) {
        switch (evhttp_request_get_command(exchange->request)) {
        case EVHTTP_REQ_GET:
                return HTTP_GET;
        case EVHTTP_REQ_HEAD:
                return HTTP_HEAD;
        case EVHTTP_REQ_POST:
                return HTTP_POST;
        case EVHTTP_REQ_PUT:
                return HTTP_PUT;
        case EVHTTP_REQ_DELETE:
                return HTTP_DELETE;
        case EVHTTP_REQ_PATCH:
                return HTTP_PATCH;
        case EVHTTP_REQ_OPTIONS:
                return HTTP_OPTIONS;
        default:
                return HTTP_OTHER;
        }
}

const char *http_exchange_path(const HttpExchange *exchange) {
        return exchange->path;
}

const char *http_exchange_query(const HttpExchange *exchange) {
        return exchange->query;
}

const char *http_exchange_header(const HttpExchange *exchange, const char *name) {
        return evhttp_find_header(evhttp_request_get_input_headers(exchange->request), name);
}

unsigned http_exchange_count_header(const HttpExchange *exchange, const char *name) {
        const struct evkeyvalq *headers = evhttp_request_get_input_headers(exchange->request);
        unsigned n = 0;

        for (const struct evkeyval *header = headers->tqh_first; header;
             header = header->next.tqe_next)
                n += strcasecmp(header->key, name) == 0;
        return n;
}

const char *http_exchange_body(const HttpExchange *exchange, size_t *ret_n_bytes) {
        *ret_n_bytes = exchange->n_body_bytes;
        return exchange->body;
}

void http_exchange_set_tag(HttpExchange *exchange, unsigned tag) {
        exchange->tag = tag;
}

unsigned http_exchange_tag(const HttpExchange *exchange) {
        return exchange->tag;
}

void http_exchange_set_closed(HttpExchange *exchange,
                              void (*closed)(HttpExchange *exchange, void *userdata),
                              void *userdata) {
        exchange->closed = closed;
        exchange->closed_userdata = userdata;
}

/* The reply */

int http_exchange_add_header(HttpExchange *exchange, const char *name, const char *value) {
        return evhttp_add_header(evhttp_request_get_output_headers(exchange->request), name,
                                 value) < 0
                       ? -ENOMEM
                       : 0;
}

void http_exchange_hide_server(HttpExchange *exchange) {
        exchange->hides_server = true;
}

static void add_reply_headers(HttpExchange *exchange, const char *content_type) {
        /* Out of memory leaves a header out; the reply itself still tells the client what happened.
         */
        if (!exchange->hides_server)
                (void)http_exchange_add_header(exchange, "Server",
                                               exchange->connection->server->name);
        if (content_type)
                (void)http_exchange_add_header(exchange, "Content-Type", content_type);
}

void http_reply(HttpExchange *exchange, int status, const char *content_type, const Buf *body) {
        HttpConnection *connection = exchange->connection;
        struct evhttp_request *request = exchange->request;
        struct evbuffer *out = evhttp_request_get_output_buffer(request);
        bool is_head = http_exchange_method(exchange) == HTTP_HEAD;

        assert(!exchange->has_begun);

        add_reply_headers(exchange, content_type);
        exchange_free(exchange);
        http_connection_await_taking(connection);
        if (body && body->n_bytes > 0 && !is_head &&
            evbuffer_add(out, body->data, body->n_bytes) < 0)
                status = 500;

        evhttp_send_reply(request, status, NULL, NULL);
        bufferevent_disable(connection->bev, EV_READ);
}

void http_reply_begin(HttpExchange *exchange, int status, const char *content_type) {
        struct evhttp_request *request = exchange->request;

        assert(!exchange->has_begun);

        add_reply_headers(exchange, content_type);
        /* HTTP/1.0 knows no chunks: the end of the connection is the end of the body. */
        if (request->major == 1 && request->minor == 0)
                (void)http_exchange_add_header(exchange, "Connection", "close");
        exchange->has_begun = true;
        evhttp_send_reply_start(request, status, NULL);
        http_connection_watch(exchange->connection);
}

int http_reply_piece(HttpExchange *exchange, const void *bytes, size_t n_bytes) {
        struct evbuffer *out = bufferevent_get_output(exchange->connection->bev);
        struct evbuffer *piece;
        int r = 0;

        assert(exchange->has_begun);

        if (evbuffer_get_length(out) + n_bytes > HTTP_PIECES_MAX_BYTES)
                return -ENOBUFS;

        piece = evbuffer_new();
        if (!piece || evbuffer_add(piece, bytes, n_bytes) < 0)
                r = -ENOBUFS;
        else
                evhttp_send_reply_chunk(exchange->request, piece);
        if (piece)
                evbuffer_free(piece);
        http_connection_watch(exchange->connection);
        return r;
}

void http_reply_end(HttpExchange *exchange) {
        HttpConnection *connection = exchange->connection;
        struct evhttp_request *request = exchange->request;

        assert(exchange->has_begun);

        exchange_free(exchange);
        http_connection_await_taking(connection);
        /* The connection may be gone when this returns. */
        bufferevent_disable(connection->bev, EV_READ);
        evhttp_send_reply_end(request);
}
