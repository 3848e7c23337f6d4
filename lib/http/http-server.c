/* SPDX-License-Identifier: Apache-2.0 */

/* The server over evhttp: listening sockets, connections and their number.
 *
 * evhttp (2.1) accepts by itself and tells nobody of a connection before its first request. It asks
 * for a bufferevent for each, though: that is where connections are counted. In the next turn,
 * before anything was read, the bufferevent's callback argument is evhttp's connection, whose end
 * can be watched from then on ("adopted").
 *
 * At the limit of connections all listeners are switched off until one ends. Each listening
 * descriptor is also watched by a guard of ours: when no further descriptor can be had, accept(2)
 * fails and the socket stays readable, so the guard looks for a free descriptor whenever someone
 * knocks, and stops accepting for a while when there is none.
 *
 * What evhttp refuses by itself (bodies over the limit, malformed requests) it answers with a page
 * of HTML. That page is replaced by an error body of ours while it waits to be sent. A body over
 * the limit is read to its announced end first, without being kept, since closing earlier could
 * destroy the answer on its way.
 */

#include "lib/http/http-server.h"

#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/http/http-private.h"

/* How long to wait for descriptors before accepting again. */
enum { HTTP_RETRY_US = 500 * US_PER_MS };

/* A socket that we listen on. */
typedef struct HttpListener {
        HttpServer *server;              /* borrowed */
        struct evconnlistener *listener; /* evhttp's, which closes the descriptor */
        LoopIo guard;
        ListNode node;
} HttpListener;

/* Accepting */

static void server_set_accepting(HttpServer *server, bool accept) {
        server->is_accepting = accept;
        for (ListNode *n = list_first(&server->listeners); n;
             n = list_next(&server->listeners, n)) {
                HttpListener *listener = container_of(n, HttpListener, node);

                if (accept) {
                        (void)evconnlistener_enable(listener->listener);
                        (void)loop_io_watch(server->loop, &listener->guard,
                                            evconnlistener_get_fd(listener->listener), LOOP_READ);
                } else {
                        (void)evconnlistener_disable(listener->listener);
                        loop_io_stop(&listener->guard);
                }
        }
}

static bool descriptor_is_free(int fd) {
        int spare = fcntl(fd, F_DUPFD_CLOEXEC, 0);

        if (spare < 0)
                return false;
        (void)close(spare);
        return true;
}

static void server_check_accepting(HttpServer *server) {
        bool accept = server->n_connections < server->limits.max_connections &&
                      !timer_is_set(&server->retry);

        if (accept != server->is_accepting)
                server_set_accepting(server, accept);
}

static void on_retry(LoopTimer *timer) {
        server_check_accepting(container_of(timer, HttpServer, retry));
}

static void on_knock(LoopIo *guard, unsigned events) {
        HttpListener *listener = container_of(guard, HttpListener, guard);
        HttpServer *server = listener->server;

        (void)events;
        if (descriptor_is_free(guard->fd))
                return;
        (void)timer_set_in(server->loop, &server->retry, HTTP_RETRY_US);
        server_check_accepting(server);
}

static void on_accept_error(struct evconnlistener *listener, void *userdata) {
        /* The guard deals with it; without a callback libevent would print a line each time. */
        (void)listener;
        (void)userdata;
}

/* Connections */

static void connection_free(HttpConnection *connection) {
        HttpServer *server = connection->server;

        loop_defer_cancel(&connection->refusal);
        list_remove(&connection->node);
        free(connection);
        server->n_connections--;
        server_check_accepting(server);
}

static void on_connection_end(struct evhttp_connection *evcon, void *userdata) {
        HttpConnection *connection = userdata;

        (void)evcon;
        if (connection->exchange)
                http_exchange_abort(connection->exchange);
        connection_free(connection);
}

static HttpConnection *connection_find(HttpServer *server, const struct evhttp_connection *evcon) {
        for (ListNode *n = list_first(&server->connections); n;
             n = list_next(&server->connections, n)) {
                HttpConnection *connection = container_of(n, HttpConnection, node);

                if (connection->evcon == evcon)
                        return connection;
        }
        return NULL;
}

static void on_output(struct evbuffer *buffer, const struct evbuffer_cb_info *info,
                      void *userdata) {
        HttpConnection *connection = userdata;

        (void)buffer;
        if (info->n_added > 0 && !connection->exchange && !connection->is_replying)
                loop_defer(connection->server->loop, &connection->refusal);
}

static const char *refusal_text(int status) {
        switch (status) {
        case 413:
                return "request body too large";
        case 417:
                return "unsupported Expect header";
        default:
                return "malformed request";
        }
}

static void on_refusal(LoopDeferred *deferred) {
        HttpConnection *connection = container_of(deferred, HttpConnection, refusal);
        struct evbuffer *out = bufferevent_get_output(connection->bev);
        char body[128], head[32] = "";
        int status = 0, n;

        (void)evbuffer_copyout(out, head, sizeof(head) - 1);
        /* "100 Continue" passes; so does a page whose first bytes have left already. */
        if (sscanf(head, "HTTP/%*d.%*d %d", &status) != 1 || status < 400)
                return;

        n = snprintf(body, sizeof(body), "{\"error\":{\"code\":%d,\"message\":\"%s\"}}", status,
                     refusal_text(status));
        (void)evbuffer_unfreeze(out, 1);
        (void)evbuffer_drain(out, evbuffer_get_length(out));
        (void)evbuffer_freeze(out, 1);
        connection->is_replying = true;
        (void)evbuffer_add_printf(
                out,
                "HTTP/1.1 %d %s\r\nServer: %s\r\nContent-Type: application/json\r\n"
                "Content-Length: %d\r\nConnection: close\r\n\r\n%s",
                status, status == 413 ? "Request Entity Too Large" : "Refused",
                connection->server->name, n, body);
}

/* Did the client close both ways? Of TCP that is only known when writing fails: there the end of
 * its sending counts. */
static bool peer_is_gone(int fd) {
        struct pollfd p = { .fd = fd };
        int domain = 0;
        socklen_t n_bytes = sizeof(domain);

        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n_bytes) < 0 || domain != AF_UNIX)
                return true;
        return poll(&p, 1, 0) != 0;
}

static void on_watched_event(struct bufferevent *bev, short what, void *userdata) {
        HttpConnection *connection = userdata;
        bool is_end = (what & BEV_EVENT_EOF) && (what & BEV_EVENT_READING);

        if (is_end && connection->exchange && !connection->exchange->has_begun &&
            !peer_is_gone(bufferevent_getfd(bev))) {
                connection->is_half_closed = true;
                (void)bufferevent_disable(bev, EV_READ);
                return;
        }
        connection->evhttp_event(bev, what, connection->evcon);
}

static void on_watched_write(struct bufferevent *bev, void *userdata) {
        HttpConnection *connection = userdata;

        connection->evhttp_write(bev, connection->evcon);
}

void http_connection_watch(HttpConnection *connection) {
        bufferevent_data_cb write;
        bufferevent_event_cb event;
        void *userdata;

        bufferevent_getcb(connection->bev, NULL, &write, &event, &userdata);
        if (userdata != connection) {
                connection->evhttp_write = write;
                connection->evhttp_event = event;
                bufferevent_setcb(connection->bev, NULL, on_watched_write, on_watched_event,
                                  connection);
                bufferevent_setwatermark(connection->bev, EV_READ, 0,
                                         connection->server->limits.max_header_bytes);
        }
        if (connection->is_half_closed)
                (void)bufferevent_disable(connection->bev, EV_READ);
        else
                (void)bufferevent_enable(connection->bev, EV_READ);
}

static void connection_adopt(HttpConnection *connection) {
        struct bufferevent *bev = connection->bev;
        void *evcon;

        bufferevent_getcb(bev, NULL, NULL, NULL, &evcon);
        if (!evcon || !evbuffer_add_cb(bufferevent_get_output(bev), on_output, connection)) {
                /* evhttp has given it up already, or memory is out: then its end cannot be seen, so
                 * it ends here. */
                if (evcon)
                        evhttp_connection_free(evcon);
                connection_free(connection);
        } else {
                connection->evcon = evcon;
                list_append(&connection->server->connections, &connection->node);
                evhttp_connection_set_closecb(evcon, on_connection_end, connection);
        }
        bufferevent_decref(bev);
}

static void on_adopt(LoopDeferred *deferred) {
        HttpServer *server = container_of(deferred, HttpServer, adopt);
        ListNode *node;

        while ((node = list_pop(&server->arrivals)))
                connection_adopt(container_of(node, HttpConnection, node));
}

/* evhttp has accepted a connection. NULL lets it make a bufferevent by itself, and fail likewise.
 */
static struct bufferevent *on_accepted(struct event_base *base, void *userdata) {
        HttpServer *server = userdata;
        HttpConnection *connection = calloc(1, sizeof(*connection));
        struct bufferevent *bev = connection ? bufferevent_socket_new(base, -1, 0) : NULL;

        if (!bev) {
                free(connection);
                return NULL;
        }

        *connection = (HttpConnection){ .server = server, .bev = bev, .refusal.fn = on_refusal };
        bufferevent_incref(bev);
        list_append(&server->arrivals, &connection->node);
        loop_defer(server->loop, &server->adopt);
        server->n_connections++;
        server_check_accepting(server);
        return bev;
}

static void on_request(struct evhttp_request *request, void *userdata) {
        HttpServer *server = userdata;
        HttpConnection *connection;

        on_adopt(&server->adopt);
        connection = connection_find(server, evhttp_request_get_connection(request));
        if (!connection) {
                evhttp_send_reply(request, 503, NULL, NULL);
                return;
        }
        http_exchange_dispatch(connection, request);
}

/* Public */

int http_server_new(HttpServer **ret_server, Loop *loop, const char *server_name,
                    const HttpLimits *limits, HttpHandler handler, void *userdata) {
        _cleanup_(http_server_freep) HttpServer *server = calloc(1, sizeof(*server));

        assert(handler);
        assert(limits->max_header_bytes > 0 && limits->max_body_bytes > 0);
        assert(limits->max_connections > 0 && limits->idle_timeout_s > 0);

        if (!server)
                return -ENOMEM;

        server->loop = loop;
        server->limits = *limits;
        server->handler = handler;
        server->userdata = userdata;
        server->adopt.fn = on_adopt;
        server->retry.fn = on_retry;
        server->is_accepting = true;
        server->name = strdup(server_name);
        server->http = evhttp_new(loop_event_base(loop));
        if (!server->name || !server->http)
                return -ENOMEM;

        evhttp_set_max_headers_size(server->http, (ev_ssize_t)limits->max_header_bytes);
        evhttp_set_max_body_size(server->http, (ev_ssize_t)limits->max_body_bytes);
        evhttp_set_timeout(server->http, (int)limits->idle_timeout_s);
        evhttp_set_flags(server->http, EVHTTP_SERVER_LINGERING_CLOSE);
        evhttp_set_default_content_type(server->http, NULL);
        /* All bits: the one that evhttp gives to methods that it does not know, too. */
        evhttp_set_allowed_methods(server->http, UINT16_MAX);
        evhttp_set_bevcb(server->http, on_accepted, server);
        evhttp_set_gencb(server->http, on_request, server);

        *ret_server = TAKE(server);
        return 0;
}

static bool is_listening(int fd) {
        int value = 0;
        socklen_t n_bytes = sizeof(value);

        return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &n_bytes) == 0 && value;
}

int http_server_listen(HttpServer *server, int fd) {
        _cleanup_(freep) HttpListener *listener = calloc(1, sizeof(*listener));
        struct evconnlistener *accepting;
        int flags = fcntl(fd, F_GETFL);

        if (!listener || flags < 0 || !is_listening(fd) ||
            fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
                int r = !listener ? -ENOMEM : flags < 0 ? -EBADF : -EINVAL;

                (void)close(fd);
                return r;
        }

        accepting = evconnlistener_new(loop_event_base(server->loop), NULL, NULL,
                                       LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_CLOSE_ON_FREE, 0, fd);
        if (!accepting) {
                (void)close(fd);
                return -ENOMEM;
        }
        if (!evhttp_bind_listener(server->http, accepting)) {
                evconnlistener_free(accepting);
                return -ENOMEM;
        }

        evconnlistener_set_error_cb(accepting, on_accept_error);
        listener->server = server;
        listener->listener = accepting;
        listener->guard.fn = on_knock;
        list_append(&server->listeners, &TAKE(listener)->node);
        server_set_accepting(server, server->is_accepting);
        return 0;
}

HttpServer *http_server_free(HttpServer *server) {
        ListNode *node;

        if (!server)
                return NULL;

        on_adopt(&server->adopt);
        /* Nothing is accepted again, whatever ends below. */
        server->limits.max_connections = 0;
        server_check_accepting(server);
        while ((node = list_pop(&server->listeners)))
                free(container_of(node, HttpListener, node));
        if (server->http)
                evhttp_free(server->http);
        assert(server->n_connections == 0);

        loop_defer_cancel(&server->adopt);
        timer_clear(&server->retry);
        free(server->name);
        free(server);
        return NULL;
}

unsigned http_server_connections(const HttpServer *server) {
        return server->n_connections;
}
