/* SPDX-License-Identifier: Apache-2.0 */

/* The server over evhttp: listening sockets, connections and their number.
 *
 * evhttp (2.1) accepts by itself and tells nobody of a connection before its first request. It asks
 * for a bufferevent for each, though: that is where connections are counted. In the next turn,
 * before anything was read, the bufferevent's callback argument is evhttp's connection, whose end
 * can be watched from then on ("adopted").
 *
 * A connection is either being served, or it is the client's turn: to send a request, or to take a
 * reply. The latter stand in a list, oldest first, and have a deadline that no byte moves, so that
 * a client which sends one now and then holds nothing for ever.
 *
 * At the limit of connections all listeners are switched off until one ends. Each listening
 * descriptor is also watched by a guard of ours. When someone knocks at the limit, it ends the
 * connection whose client has been awaited longest; were it not so, that many idle clients would
 * lock everyone out. When no further descriptor can be had, accept(2) fails and the socket stays
 * readable; so below the limit the guard looks for a free descriptor whenever someone knocks, and
 * stops accepting for a while when there is none.
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
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/http/http-private.h"

enum {
        /* How long to wait for descriptors before accepting again. */
        HTTP_RETRY_US = 500 * US_PER_MS,
        /* What every client has for its turn, however many others want to connect. */
        HTTP_TURN_US = 500 * US_PER_MS,
        /* Descriptors to be made known beforehand: those of a busy daemon. */
        HTTP_KNOWN_DESCRIPTORS = 64,
};

/* A socket that we listen on. */
typedef struct HttpListener {
        HttpServer *server;              /* borrowed */
        struct evconnlistener *listener; /* evhttp's, which closes the descriptor */
        LoopIo guard;
        ListNode node;
} HttpListener;

static int socket_option(int fd, int option) {
        int value = -1;
        socklen_t n_bytes = sizeof(value);

        return getsockopt(fd, SOL_SOCKET, option, &value, &n_bytes) == 0 ? value : -1;
}

/* Accepting */

static void listener_set(HttpListener *listener, bool accept, bool guard) {
        evutil_socket_t fd = evconnlistener_get_fd(listener->listener);

        if (accept)
                (void)evconnlistener_enable(listener->listener);
        else
                (void)evconnlistener_disable(listener->listener);
        if (guard)
                (void)loop_io_watch(listener->server->loop, &listener->guard, fd, LOOP_READ);
        else
                loop_io_stop(&listener->guard);
}

static bool descriptor_is_free(int fd) {
        int spare = fcntl(fd, F_DUPFD_CLOEXEC, 0);

        if (spare < 0)
                return false;
        (void)close(spare);
        return true;
}

static bool server_is_full(const HttpServer *server) {
        return server->n_connections >= server->limits.max_connections;
}

static void server_check_accepting(HttpServer *server) {
        bool is_resting = timer_is_set(&server->retry) || server->limits.max_connections == 0;
        bool accept = !is_resting && !server_is_full(server);
        bool can_make_room = !list_is_empty(&server->waiting) && !timer_is_set(&server->room);
        bool guard = accept || (!is_resting && can_make_room);

        if (accept == server->is_accepting && guard == server->is_guarding)
                return;

        server->is_accepting = accept;
        server->is_guarding = guard;
        for (ListNode *n = list_first(&server->listeners); n; n = list_next(&server->listeners, n))
                listener_set(container_of(n, HttpListener, node), accept, guard);
}

static void on_retry(LoopTimer *timer) {
        server_check_accepting(container_of(timer, HttpServer, retry));
}

static void on_room(LoopTimer *timer) {
        server_check_accepting(container_of(timer, HttpServer, room));
}

/* End a connection that is being awaited. A client that has sent something is told why, unless it
 * does not even read. */
static void connection_cut(HttpConnection *connection, const char *status_line, const char *body) {
        char text[512];
        int n;

        n = snprintf(text, sizeof(text),
                     "HTTP/1.1 %s\r\nServer: %s\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
                     status_line, connection->server->name, strlen(body), body);
        if (connection->is_receiving && n > 0 && (size_t)n < sizeof(text))
                (void)send(bufferevent_getfd(connection->bev), text, (size_t)n,
                           MSG_DONTWAIT | MSG_NOSIGNAL);
        evhttp_connection_free(connection->evcon);
}

static void on_deadline(LoopTimer *timer) {
        connection_cut(container_of(timer, HttpConnection, deadline), "408 Request Timeout",
                       "{\"error\":{\"code\":408,\"message\":\"the request took too long to "
                       "arrive\"}}");
}

/* Someone knocks, and there is no room: the client that is awaited longest has to go, once it had
 * its time. */
static void server_make_room(HttpServer *server) {
        ListNode *oldest = list_first(&server->waiting);
        HttpConnection *connection;
        uint64_t end_us;

        if (!oldest)
                return;

        connection = container_of(oldest, HttpConnection, waiting);
        end_us = connection->since_us + HTTP_TURN_US;
        if (loop_now_us(server->loop) < end_us) {
                timer_set_at(server->loop, &server->room, end_us);
                server_check_accepting(server);
                return;
        }
        connection_cut(connection, "503 Service Unavailable\r\nRetry-After: 1",
                       "{\"error\":{\"code\":503,\"message\":\"too many connections: try "
                       "again\"}}");
}

static void on_knock(LoopIo *guard, unsigned events) {
        HttpListener *listener = container_of(guard, HttpListener, guard);
        HttpServer *server = listener->server;

        (void)events;
        if (server_is_full(server)) {
                server_make_room(server);
                return;
        }
        if (descriptor_is_free(guard->fd))
                return;
        timer_set_in(server->loop, &server->retry, HTTP_RETRY_US);
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
        timer_clear(&connection->deadline);
        list_remove(&connection->waiting);
        list_remove(&connection->node);
        server->n_output_bytes -= connection->n_output_bytes;
        server->n_input_bytes -= connection->n_input_bytes;
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

/* It is the client's turn from now on; for so many seconds, or 0 for no end of its own. */
static void connection_await(HttpConnection *connection, unsigned timeout_s) {
        HttpServer *server = connection->server;

        list_remove(&connection->waiting);
        list_append(&server->waiting, &connection->waiting);
        connection->since_us = loop_now_us(server->loop);
        timer_clear(&connection->deadline);
        if (timeout_s > 0)
                timer_set_in(server->loop, &connection->deadline, (uint64_t)timeout_s * US_PER_S);
        server_check_accepting(server);
}

static void connection_receive(HttpConnection *connection) {
        connection->is_receiving = true;
        connection_await(connection, connection->server->limits.request_timeout_s);
}

/* What the connection's request takes. More than its limits it never does: what is over them is
 * dropped as it comes. */
static void connection_count_input(HttpConnection *connection, size_t n_bytes) {
        HttpServer *server = connection->server;
        size_t max_bytes = server->limits.max_header_bytes + server->limits.max_body_bytes;

        n_bytes = n_bytes < max_bytes ? n_bytes : max_bytes;
        server->n_input_bytes += n_bytes - connection->n_input_bytes;
        connection->n_input_bytes = n_bytes;
        if (server->n_input_bytes > server->limits.max_input_bytes)
                loop_defer(server->loop, &server->relief);
}

static HttpConnection *server_longest_sender(const HttpServer *server) {
        for (ListNode *n = list_first(&server->waiting); n; n = list_next(&server->waiting, n)) {
                HttpConnection *connection = container_of(n, HttpConnection, waiting);

                if (connection->is_receiving && !connection->is_replying)
                        return connection;
        }
        return NULL;
}

/* More is arriving than there may be. */
static void on_relief(LoopDeferred *deferred) {
        HttpServer *server = container_of(deferred, HttpServer, relief);
        HttpConnection *connection;

        while (server->n_input_bytes > server->limits.max_input_bytes &&
               (connection = server_longest_sender(server)))
                connection_cut(connection, "503 Service Unavailable\r\nRetry-After: 1",
                               "{\"error\":{\"code\":503,\"message\":\"clients send more than "
                               "there is room for: try again\"}}");
}

void http_connection_await_request(HttpConnection *connection) {
        connection->is_receiving = false;
        connection_count_input(connection,
                               evbuffer_get_length(bufferevent_get_input(connection->bev)));
        /* The next request may have come along with the one before. */
        if (evbuffer_get_length(bufferevent_get_input(connection->bev)) > 0)
                connection_receive(connection);
        else
                connection_await(connection, 0);
}

void http_connection_await_taking(HttpConnection *connection) {
        connection->is_replying = true;
        connection_await(connection, connection->server->limits.reply_timeout_s);
}

void http_connection_serve(HttpConnection *connection) {
        connection->is_receiving = false;
        connection_count_input(connection, 0);
        timer_clear(&connection->deadline);
        list_remove(&connection->waiting);
        server_check_accepting(connection->server);
}

static void on_input(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *userdata) {
        HttpConnection *connection = userdata;

        (void)buffer;
        connection_count_input(connection, connection->n_input_bytes + info->n_added);
        if (info->n_added > 0 && !connection->is_receiving && !connection->is_replying &&
            list_node_is_linked(&connection->waiting))
                connection_receive(connection);
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
        HttpServer *server = connection->server;

        server->n_output_bytes += evbuffer_get_length(buffer) - connection->n_output_bytes;
        connection->n_output_bytes = evbuffer_get_length(buffer);
        if (info->n_added > 0 && !connection->exchange && !connection->is_replying)
                loop_defer(server->loop, &connection->refusal);
}

/* What evhttp refuses by itself, in our words; the last row is for the rest. */
static const struct {
        int status;
        const char *phrase, *message;
} refusals[] = {
        { 413, "Request Entity Too Large", "the body is too large, or its chunks are malformed" },
        { 417, "Expectation Failed", "unsupported Expect header" },
        { 400, "Bad Request",
          "malformed request, or a request line and headers that are too large" },
};

static void on_refusal(LoopDeferred *deferred) {
        HttpConnection *connection = container_of(deferred, HttpConnection, refusal);
        struct evbuffer *out = bufferevent_get_output(connection->bev);
        char body[128], head[32] = "";
        int status = 0, n;
        size_t i = 0;

        (void)evbuffer_copyout(out, head, sizeof(head) - 1);
        /* "100 Continue" passes; so does a page whose first bytes have left already. */
        if (sscanf(head, "HTTP/%*d.%*d %d", &status) != 1 || status < 400)
                return;

        while (i < ELEMENTSOF(refusals) - 1 && refusals[i].status != status)
                i++;
        n = snprintf(body, sizeof(body), "{\"error\":{\"code\":%d,\"message\":\"%s\"}}",
                     refusals[i].status, refusals[i].message);
        (void)evbuffer_unfreeze(out, 1);
        (void)evbuffer_drain(out, evbuffer_get_length(out));
        (void)evbuffer_freeze(out, 1);
        connection->is_replying = true;
        (void)evbuffer_add_printf(
                out,
                "HTTP/1.1 %d %s\r\nServer: %s\r\nContent-Type: application/json\r\n"
                "Content-Length: %d\r\nConnection: close\r\n\r\n%s",
                refusals[i].status, refusals[i].phrase, connection->server->name, n, body);
}

/* Did the client close both ways? Of TCP that is only known when writing fails: there the end of
 * its sending counts. */
static bool peer_is_gone(int fd) {
        struct pollfd p = { .fd = fd };

        return socket_option(fd, SO_DOMAIN) != AF_UNIX || poll(&p, 1, 0) != 0;
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
        if (!evcon || !evbuffer_add_cb(bufferevent_get_output(bev), on_output, connection) ||
            !evbuffer_add_cb(bufferevent_get_input(bev), on_input, connection)) {
                /* evhttp has given it up already, or memory is out: then its end cannot be seen, so
                 * it ends here. */
                if (evcon)
                        evhttp_connection_free(evcon);
                connection_free(connection);
        } else {
                connection->evcon = evcon;
                list_append(&connection->server->connections, &connection->node);
                evhttp_connection_set_closecb(evcon, on_connection_end, connection);
                http_connection_await_request(connection);
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

        *connection = (HttpConnection){
                .server = server, .bev = bev, .refusal.fn = on_refusal, .deadline.fn = on_deadline
        };
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

static void on_known(LoopIo *io, unsigned events) {
        (void)io;
        (void)events;
}

/* Have libevent meet the descriptors that connections will have. It keeps a few bytes for each
 * number that it ever saw; first met in a storm of requests, they lie between what the storm left
 * free, and each holds back a page of the heap for good. Failing is no error: nothing needs this.
 */
static void meet_descriptors(Loop *loop) {
        LoopIo io = { .fn = on_known };
        int fds[HTTP_KNOWN_DESCRIPTORS];
        size_t n = 0;

        fds[0] = eventfd(0, EFD_CLOEXEC);
        while (fds[n] >= 0 && ++n < ELEMENTSOF(fds))
                fds[n] = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
        while (n-- > 0) {
                (void)loop_io_watch(loop, &io, fds[n], LOOP_READ);
                loop_io_stop(&io);
                (void)close(fds[n]);
        }
}

/* Public */

int http_server_new(HttpServer **ret_server, Loop *loop, const char *server_name,
                    const HttpLimits *limits, HttpHandler handler, void *userdata) {
        _cleanup_(http_server_freep) HttpServer *server = calloc(1, sizeof(*server));

        assert(handler);
        assert(limits->max_header_bytes > 0 && limits->max_body_bytes > 0);
        assert(limits->max_connections > 0 && limits->max_output_bytes > 0);
        assert(limits->max_input_bytes > 0);
        assert(limits->idle_timeout_s > 0);
        assert(limits->request_timeout_s > 0 && limits->reply_timeout_s > 0);

        if (!server)
                return -ENOMEM;

        server->loop = loop;
        server->limits = *limits;
        server->handler = handler;
        server->userdata = userdata;
        server->adopt.fn = on_adopt;
        server->relief.fn = on_relief;
        server->retry.fn = on_retry;
        server->room.fn = on_room;
        server->is_accepting = server->is_guarding = true;
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
        meet_descriptors(loop);

        *ret_server = TAKE(server);
        return 0;
}

/* Of other families evhttp cannot print the peer's address (getnameinfo(3)), and ends the process
 * when somebody connects. */
static bool is_served_family(int family) {
        return family == AF_UNIX || family == AF_INET || family == AF_INET6;
}

/* Can this socket be served? Returns 0 or a negative errno. */
static int check_socket(int fd) {
        if (fcntl(fd, F_GETFD) < 0)
                return -errno;
        if (socket_option(fd, SO_ACCEPTCONN) != 1 || socket_option(fd, SO_TYPE) != SOCK_STREAM)
                return -EINVAL;
        return is_served_family(socket_option(fd, SO_DOMAIN)) ? 0 : -EAFNOSUPPORT;
}

int http_server_listen(HttpServer *server, int fd) {
        _cleanup_(freep) HttpListener *listener = calloc(1, sizeof(*listener));
        struct evconnlistener *accepting;
        int r = listener ? check_socket(fd) : -ENOMEM;

        if (r == 0 && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
                r = -errno;
        if (r < 0) {
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
        list_append(&server->listeners, &listener->node);
        listener_set(TAKE(listener), server->is_accepting, server->is_guarding);
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
        loop_defer_cancel(&server->relief);
        timer_clear(&server->retry);
        timer_clear(&server->room);
        free(server->name);
        free(server);
        return NULL;
}

unsigned http_server_connections(const HttpServer *server) {
        return server->n_connections;
}
