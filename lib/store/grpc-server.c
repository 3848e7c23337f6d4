/* SPDX-License-Identifier: Apache-2.0 */

/* The server: listening, how many connections there are, their common queue limit, and the end.
 *
 * At the limit a further client is accepted, told so in HTTP/2 (GOAWAY), and closed: in the kernel's
 * queue it would only wait. Without descriptors nobody can be accepted, and the socket stays
 * readable: then listening rests for half a second at a time.
 */

#include "lib/store/grpc-server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/store/grpc-server-private.h"

enum {
        REST_US = 500 * US_PER_MS,
        ACCEPT_MAX = 16, /* in one turn */
        TROUBLES_MAX = 5,
        TROUBLES_US = 60 * US_PER_S,
};

/* A socket that is listened on. */
struct GrpcListener {
        GrpcServer *server; /* borrowed */
        int fd;             /* owned */
        LoopIo io;
        bool is_tls;
        StreamTlsServer tls; /* its strings are owned, in one piece */
        char *tls_text;
        ListNode node;
};

void grpc_server_say(GrpcServer *server, const char *peer, const char *format, ...) {
        uint64_t now_us = loop_now_us(server->loop);
        unsigned n_untold = 0;
        char words[600];
        va_list arguments;
        int n;

        if (!server->service.trouble)
                return;
        if (server->n_troubles > 0 && now_us - server->troubles_since_us >= TROUBLES_US) {
                n_untold = server->n_troubles > TROUBLES_MAX ? server->n_troubles - TROUBLES_MAX
                                                             : 0;
                server->n_troubles = 0;
        }
        if (server->n_troubles == 0)
                server->troubles_since_us = now_us;
        if (++server->n_troubles > TROUBLES_MAX)
                return;

        va_start(arguments, format);
        n = vsnprintf(words, sizeof words, format, arguments);
        va_end(arguments);
        if (n_untold > 0 && n >= 0 && (size_t)n < sizeof words)
                (void)snprintf(words + n, sizeof words - (size_t)n,
                               " (and %u more troubles with clients since the last one told)",
                               n_untold);
        server->service.trouble(peer, words, server->service.service);
}

void grpc_server_note_end(GrpcServer *server) {
        server->n_connections--;
        if (server->is_closing && server->n_connections == 0 && server->closed)
                loop_defer(server->loop, &server->done);
}

/* Accepting. */

/* Bytes that tell an HTTP/2 client that there is no room (RFC 9113): our SETTINGS, empty, and a
 * GOAWAY of ENHANCE_YOUR_CALM with words for its log. */
static void refuse(int fd) {
        static const char bytes[] = "\0\0\0\4\0\0\0\0\0"
                                    "\0\0\34\7\0\0\0\0\0"
                                    "\0\0\0\0\0\0\0\13too many connections";

        _Static_assert(sizeof bytes - 1 == 9 + 9 + 8 + 20, "the GOAWAY's length is in its head");
        (void)send(fd, bytes, sizeof bytes - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)close(fd);
}

static void listener_watch(GrpcListener *listener);

static void server_rest(GrpcServer *server) {
        timer_set_in(server->loop, &server->rest, REST_US);
        for (ListNode *n = list_first(&server->listeners); n; n = list_next(&server->listeners, n))
                loop_io_stop(&container_of(n, GrpcListener, node)->io);
}

static void server_on_rested(LoopTimer *timer) {
        GrpcServer *server = container_of(timer, GrpcServer, rest);

        for (ListNode *n = list_first(&server->listeners); n; n = list_next(&server->listeners, n))
                listener_watch(container_of(n, GrpcListener, node));
}

static void listener_watch(GrpcListener *listener) {
        if (loop_io_watch(listener->server->loop, &listener->io, listener->fd, LOOP_READ) < 0)
                server_rest(listener->server);
}

static void listener_serve(GrpcListener *listener, int fd) {
        GrpcServer *server = listener->server;

        if (server->n_connections >= GRPC_SERVER_CONNECTIONS_MAX) {
                grpc_server_say(server, NULL,
                                "%u clients are connected, which is the limit: a "
                                "further one was refused",
                                server->n_connections);
                refuse(fd);
                return;
        }

        if (grpc_connection_new(server, fd, listener->is_tls ? &listener->tls : NULL) < 0)
                grpc_server_say(server, NULL, "out of memory: a client was refused");
}

static void listener_on_knock(LoopIo *io, unsigned events) {
        GrpcListener *listener = container_of(io, GrpcListener, io);

        (void)events;

        for (int i = 0; i < ACCEPT_MAX; i++) {
                int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

                if (fd >= 0) {
                        listener_serve(listener, fd);
                        continue;
                }
                if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                        grpc_server_say(listener->server, NULL, "cannot accept a client: %s",
                                        strerror(errno));
                        server_rest(listener->server);
                }
                return; /* nobody is there, or not any more */
        }
}

/* Listening. */

static void listener_free(GrpcListener *listener) {
        list_remove(&listener->node);
        loop_io_stop(&listener->io);
        (void)close(listener->fd);
        free(listener->tls_text);
        free(listener);
}

/* Copies a string to `*at`, and moves that on. NULL stays NULL. */
static const char *keep(char **at, const char *text) {
        char *copy = *at;

        if (!text)
                return NULL;
        *at = stpcpy(copy, text) + 1;
        return copy;
}

static size_t size_of(const char *text) {
        return text ? strlen(text) + 1 : 0;
}

/* Tries how to do TLS, and takes a copy. */
static int listener_take_tls(GrpcListener *listener, const StreamTlsServer *tls, Diag *diag) {
        StreamTlsServer taken = *tls;
        char *at;
        int r;

        taken.protocol = "h2";
        r = stream_tls_server_check(&taken, diag);
        if (r < 0)
                return r;

        at = listener->tls_text = malloc(size_of(tls->module) + size_of(tls->cert_path) +
                                         size_of(tls->key_path) + size_of(tls->client_ca_path));
        if (!at)
                return diag_set(diag, -ENOMEM, "out of memory");

        listener->tls = (StreamTlsServer){
                .module = keep(&at, tls->module),
                .cert_path = keep(&at, tls->cert_path),
                .key_path = keep(&at, tls->key_path),
                .client_ca_path = keep(&at, tls->client_ca_path),
                .protocol = "h2",
        };
        listener->is_tls = true;
        return 0;
}

static int listener_set_up(GrpcListener *listener, const StreamTlsServer *tls, Diag *diag) {
        if (fcntl(listener->fd, F_SETFL, O_NONBLOCK) < 0)
                return diag_set(diag, -errno, "this is no socket to listen on: %s",
                                strerror(errno));

        return tls ? listener_take_tls(listener, tls, diag) : 0;
}

int grpc_server_listen_fd(GrpcServer *server, int fd, const StreamTlsServer *tls, Diag *diag) {
        GrpcListener *listener = calloc(1, sizeof *listener);
        int r;

        if (!listener) {
                (void)close(fd);
                return diag_set(diag, -ENOMEM, "out of memory");
        }

        *listener = (GrpcListener){ .server = server, .fd = fd, .io.fn = listener_on_knock };
        list_append(&server->listeners, &listener->node);
        r = listener_set_up(listener, tls, diag);
        if (r < 0) {
                listener_free(listener);
                return r;
        }
        listener_watch(listener);
        return 0;
}

/* An address to listen on; IPv6's "::" takes IPv4 along. */
typedef union Address {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
} Address;

static socklen_t parse_address(const char *host, uint16_t port, Address *ret_address) {
        *ret_address = (Address){ .v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) } };
        if (!*host || inet_pton(AF_INET6, host, &ret_address->v6.sin6_addr) == 1)
                return sizeof ret_address->v6;

        *ret_address = (Address){ .v4 = { .sin_family = AF_INET, .sin_port = htons(port) } };
        return inet_pton(AF_INET, host, &ret_address->v4.sin_addr) == 1 ? sizeof ret_address->v4
                                                                        : 0;
}

/* Returns a listening socket, or a negative errno. */
static int open_socket(const Address *address, socklen_t n_address) {
        int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        int one = 1, zero = 0, r;

        if (fd < 0)
                return -errno;

        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (address->any.sa_family == AF_INET6)
                (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
        if (bind(fd, &address->any, n_address) == 0 && listen(fd, SOMAXCONN) == 0)
                return fd;

        r = -errno;
        (void)close(fd);
        return r;
}

int grpc_server_listen(GrpcServer *server, const char *host, uint16_t port,
                       const StreamTlsServer *tls, Diag *diag) {
        Address address;
        socklen_t n_address = parse_address(host, port, &address);
        int fd;

        if (n_address == 0)
                return diag_set(diag, -EINVAL, "%s is no address: names are not looked up", host);

        fd = open_socket(&address, n_address);
        if (fd == -EAFNOSUPPORT && !*host) {
                n_address = parse_address("0.0.0.0", port, &address);
                fd = open_socket(&address, n_address);
        }
        if (fd < 0)
                return diag_set(diag, fd, "cannot listen on %s port %u: %s",
                                *host ? host : "any address", (unsigned)port, strerror(-fd));

        return grpc_server_listen_fd(server, fd, tls, diag);
}

uint16_t grpc_server_port(const GrpcServer *server) {
        const ListNode *node = list_first(&server->listeners);
        Address address = { 0 };
        socklen_t n_address = sizeof address;

        if (!node ||
            getsockname(container_of(node, GrpcListener, node)->fd, &address.any, &n_address) < 0)
                return 0;
        return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port
                                                       : address.v4.sin_port);
}

int grpc_server_add_fd(GrpcServer *server, int fd) {
        return grpc_connection_new(server, fd, NULL);
}

unsigned grpc_server_connections(const GrpcServer *server) {
        return server->n_connections;
}

unsigned grpc_server_calls(const GrpcServer *server) {
        return server->n_calls;
}

/* Sending, and the end. */

static void server_on_prepare(LoopHook *hook) {
        GrpcServer *server = container_of(hook, GrpcServer, hook);
        ListNode *node;

        while ((node = list_pop(&server->dirty)))
                grpc_connection_flush(container_of(node, GrpcConnection, dirty_node));
        grpc_server_check_room(server);
}

static void server_drop_all(GrpcServer *server) {
        ListNode *node;

        while ((node = list_first(&server->connections)))
                grpc_connection_drop(container_of(node, GrpcConnection, node), GRPC_GONE_SHUTDOWN);
}

static void server_on_bound(LoopTimer *timer) {
        server_drop_all(container_of(timer, GrpcServer, bound));
}

static void server_on_done(LoopDeferred *deferred) {
        GrpcServer *server = container_of(deferred, GrpcServer, done);

        timer_clear(&server->bound);
        server->closed(server, server->service.service);
}

static void server_stop_listening(GrpcServer *server) {
        ListNode *node;

        timer_clear(&server->rest);
        while ((node = list_first(&server->listeners)))
                listener_free(container_of(node, GrpcListener, node));
}

void grpc_server_close(GrpcServer *server, void (*closed)(GrpcServer *server, void *service)) {
        assert(!server->is_closing);

        server->is_closing = true;
        server->closed = closed;
        server_stop_listening(server);
        for (ListNode *n = list_first(&server->connections); n;
             n = list_next(&server->connections, n))
                grpc_connection_close(container_of(n, GrpcConnection, node));
        if (server->n_connections == 0)
                loop_defer(server->loop, &server->done);
        else
                timer_set_in(server->loop, &server->bound, GRPC_SERVER_CLOSE_US);
}

int grpc_server_new(GrpcServer **ret_server, Loop *loop, const GrpcService *service) {
        GrpcServer *server = calloc(1, sizeof *server);

        if (!server)
                return -ENOMEM;

        *server = (GrpcServer){
                .loop = loop,
                .service = *service,
                .hook.prepare = server_on_prepare,
                .rest.fn = server_on_rested,
                .bound.fn = server_on_bound,
                .done.fn = server_on_done,
        };
        loop_hook_add_last(loop, &server->hook);
        *ret_server = server;
        return 0;
}

GrpcServer *grpc_server_free(GrpcServer *server) {
        if (!server)
                return NULL;

        assert(!server->is_calling_out);

        server->closed = NULL;
        server_stop_listening(server);
        server_drop_all(server);
        timer_clear(&server->bound);
        loop_defer_cancel(&server->done);
        loop_hook_remove(&server->hook);
        free(server);
        return NULL;
}
