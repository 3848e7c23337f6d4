/* SPDX-License-Identifier: Apache-2.0 */

/* The HTTP server over real sockets, client and server in one loop. */

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <malloc.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/http/http-server.h"
#include "tests/unit/fault.h"

typedef struct Rig {
        Loop *loop;
        HttpServer *server;
        int family;
        int address_fd; /* a duplicate of the listening socket */
        HttpExchange *pending;
        unsigned n_handled, n_closed;
        bool holds; /* the handler keeps the exchange */
} Rig;

typedef struct Peer {
        int fd;
        Buf in;
        bool is_closed;
} Peer;

static void on_closed(HttpExchange *exchange, void *userdata) {
        Rig *rig = userdata;

        ck_assert_ptr_eq(exchange, rig->pending);
        rig->pending = NULL;
        rig->n_closed++;
}

/* Answers with what it saw: method, path, query, how many X headers, body. */
static void on_request(HttpExchange *exchange, void *userdata) {
        Rig *rig = userdata;
        Buf body = buf_make(64 * 1024 * 1024);
        const char *query = http_exchange_query(exchange), *bytes;
        char *parameter = http_exchange_parameter(exchange, "p", 1);
        size_t n_bytes;

        rig->n_handled++;
        if (rig->holds) {
                rig->pending = exchange;
                http_exchange_set_closed(exchange, on_closed, rig);
                free(parameter);
                return;
        }
        bytes = http_exchange_body(exchange, &n_bytes);
        ck_assert_int_eq(buf_printf(&body, "%d %s ?%s %u p=%s [", http_exchange_method(exchange),
                                    http_exchange_path(exchange), query ? query : "",
                                    http_exchange_count_header(exchange, "x"),
                                    parameter ? parameter : ""),
                         0);
        ck_assert_int_eq(buf_append(&body, bytes, n_bytes), 0);
        ck_assert_int_eq(buf_append_string(&body, "]"), 0);
        http_reply(exchange, 200, "text/plain", &body);
        buf_done(&body);
        free(parameter);
}

static int listen_on(int family) {
        const struct sockaddr_un any_unix = { .sun_family = AF_UNIX };
        const struct sockaddr_in any_tcp = { .sin_family = AF_INET,
                                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (family == AF_UNIX)
                ck_assert_int_eq(
                        bind(fd, (const struct sockaddr *)&any_unix, sizeof(any_unix.sun_family)),
                        0);
        else
                ck_assert_int_eq(bind(fd, (const struct sockaddr *)&any_tcp, sizeof(any_tcp)), 0);
        ck_assert_int_eq(listen(fd, 64), 0);
        return fd;
}

static Peer peer_open(const Rig *rig) {
        struct sockaddr_storage address = { 0 };
        socklen_t n_bytes = sizeof(address);
        Peer peer = { .in = buf_make(64 * 1024 * 1024) };

        ck_assert_int_eq(getsockname(rig->address_fd, (struct sockaddr *)&address, &n_bytes), 0);
        peer.fd = socket(rig->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_ge(peer.fd, 0);
        ck_assert_int_eq(connect(peer.fd, (struct sockaddr *)&address, n_bytes), 0);
        ck_assert_int_eq(buf_append_string(&peer.in, ""), 0);
        return peer;
}

static void peer_close(Peer *peer) {
        close(peer->fd);
        buf_done(&peer->in);
}

static void peer_receive(Peer *peer) {
        char bytes[16384];
        ssize_t n = recv(peer->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

        if (n > 0)
                ck_assert_int_eq(buf_append(&peer->in, bytes, (size_t)n), 0);
        else if (n == 0 || errno != EAGAIN)
                peer->is_closed = true;
}

/* Turn until the client has this text (NULL: until its connection has ended). */
static void turn_until(Rig *rig, Peer *peer, const char *text) {
        uint64_t end_us = env_now_us(env_system()) + 10 * US_PER_S;

        while (text ? !strstr(peer->in.data, text) : !peer->is_closed) {
                ck_assert_int_eq(loop_turn(rig->loop, 10 * US_PER_MS), 0);
                peer_receive(peer);
                ck_assert_msg(env_now_us(env_system()) < end_us, "no \"%s\" in \"%s\"",
                              text ? text : "end", peer->in.data);
        }
}

static void turn(Rig *rig, int n) {
        while (n-- > 0)
                ck_assert_int_eq(loop_turn(rig->loop, 0), 0);
}

static void turn_for(Rig *rig, uint64_t us) {
        uint64_t end_us = env_now_us(env_system()) + us;

        for (uint64_t now_us; (now_us = env_now_us(env_system())) < end_us;)
                ck_assert_int_eq(loop_turn(rig->loop, end_us - now_us), 0);
}

static void peer_send(Rig *rig, Peer *peer, const char *text, size_t n_bytes) {
        while (n_bytes > 0) {
                ssize_t n = send(peer->fd, text, n_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n < 0 && errno != EAGAIN)
                        return;
                if (n > 0) {
                        text += n;
                        n_bytes -= (size_t)n;
                }
                turn(rig, 1);
        }
}

static void rig_close(Rig *rig) {
        http_server_free(rig->server);
        /* Of a connection that ended within the last turn libevent frees the rest in the next. */
        turn(rig, 2);
        loop_free(rig->loop);
        close(rig->address_fd);
}

/* Open a rig in place: its address is the handler's userdata. */
static void rig_init(Rig *rig, int family, const HttpLimits *limits) {
        static const HttpLimits normal = { .max_header_bytes = 4096,
                                           .max_body_bytes = 65536,
                                           .max_connections = 16,
                                           .idle_timeout_s = 30,
                                           .request_timeout_s = 30,
                                           .reply_timeout_s = 30 };
        int fd = listen_on(family);

        *rig = (Rig){ .family = family, .address_fd = dup(fd) };
        ck_assert_int_eq(loop_new(&rig->loop, env_system()), 0);
        ck_assert_int_eq(http_server_new(&rig->server, rig->loop, "test/1",
                                         limits ? limits : &normal, on_request, rig),
                         0);
        ck_assert_int_eq(http_server_listen(rig->server, fd), 0);
}

static const int families[] = { AF_UNIX, AF_INET };

/* Every method reaches the handler, with path, query, repeated headers and body, and gets headers
 * and body back. */
START_TEST(test_requests) {
        static const struct {
                const char *method, *line;
        } rows[] = {
                { "GET", "0 /a%20b ?p=x&p=y+%7a 2 p=y z [body]" },
                { "POST", "2 /a%20b ?p=x&p=y+%7a 2 p=y z [body]" },
                { "PUT", "3 /a%20b ?p=x&p=y+%7a 2 p=y z [body]" },
                { "DELETE", "4 /a%20b ?p=x&p=y+%7a 2 p=y z [body]" },
                { "PATCH", "5 /a%20b ?p=x&p=y+%7a 2 p=y z [body]" },
                { "OPTIONS", "6 /a%20b ?p=x&p=y+%7a 2 p=y z [body]" },
                { "TRACE", "7 /a%20b ?p=x&p=y+%7a 2 p=y z []" },
                { "CONNECT", "7 /a%20b ?p=x&p=y+%7a 2 p=y z []" },
                { "BREW", "7 /a%20b ?p=x&p=y+%7a 2 p=y z []" },
        };
        Rig rig;

        rig_init(&rig, families[_i], NULL);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                bool has_body = rows[i].line[strlen(rows[i].line) - 2] == 'y';
                Peer peer = peer_open(&rig);
                char text[512];

                (void)snprintf(text, sizeof(text),
                               "%s /a%%20b?p=x&p=y+%%7a HTTP/1.1\r\nConnection: close\r\nX: "
                               "1\r\nx: 2\r\n%s",
                               rows[i].method, has_body ? "Content-Length: 4\r\n\r\nbody" : "\r\n");
                peer_send(&rig, &peer, text, strlen(text));
                turn_until(&rig, &peer, NULL);
                ck_assert_msg(strstr(peer.in.data, rows[i].line) != NULL, "%s", peer.in.data);
                ck_assert_ptr_nonnull(strstr(peer.in.data, "\r\nServer: test/1\r\n"));
                ck_assert_ptr_nonnull(strstr(peer.in.data, "\r\nContent-Type: text/plain\r\n"));
                peer_close(&peer);
        }
        rig_close(&rig);
}
END_TEST

/* HEAD gets the headers and no body. */
START_TEST(test_head) {
        static const char text[] = "HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n";
        Rig rig;
        Peer peer;

        rig_init(&rig, AF_UNIX, NULL);
        peer = peer_open(&rig);
        peer_send(&rig, &peer, text, sizeof(text) - 1);
        turn_until(&rig, &peer, NULL);
        ck_assert_msg(strncmp(peer.in.data, "HTTP/1.1 200 OK\r\n", 17) == 0, "%s", peer.in.data);
        ck_assert_str_eq(strstr(peer.in.data, "\r\n\r\n"), "\r\n\r\n");
        peer_close(&peer);
        rig_close(&rig);
}
END_TEST

/* What evhttp refuses by itself is answered in JSON, and the connection ends; the handler never
 * sees it. */
START_TEST(test_refusals) {
        static const struct {
                const char *head;
                size_t n_more;
                const char *line, *message;
        } rows[] = {
                { "PUT / HTTP/1.1\r\nContent-Length: 200000\r\n\r\n", 200000,
                  "413 Request Entity Too Large",
                  "the body is too large, or its chunks are malformed" },
                { "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n30000\r\n", 10,
                  "413 Request Entity Too Large",
                  "the body is too large, or its chunks are malformed" },
                { "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 10,
                  "413 Request Entity Too Large",
                  "the body is too large, or its chunks are malformed" },
                { "PUT / HTTP/1.1\r\nExpect: 200-ok\r\nContent-Length: 4\r\n\r\n", 4,
                  "417 Expectation Failed", "unsupported Expect header" },
                { "GET / HTTP/1.1\r\nX: ", 10000, "400 Bad Request",
                  "malformed request, or a request line and headers that are too large" },
                { "GET /", 10000, "400 Bad Request",
                  "malformed request, or a request line and headers that are too large" },
                { "this is no request line of http\r\n\r\n", 0, "400 Bad Request",
                  "malformed request, or a request line and headers that are too large" },
                { "GET / HTTP/2.0\r\n\r\n", 0, "400 Bad Request",
                  "malformed request, or a request line and headers that are too large" },
                { "PUT / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 0, "400 Bad Request",
                  "malformed request, or a request line and headers that are too large" },
        };
        char *more = malloc(200000), line[128], body[256];
        Rig rig;

        memset(more, 'x', 200000);
        rig_init(&rig, AF_UNIX, NULL);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Peer peer = peer_open(&rig);

                peer_send(&rig, &peer, rows[i].head, strlen(rows[i].head));
                peer_send(&rig, &peer, more, rows[i].n_more);
                turn_until(&rig, &peer, NULL);
                (void)snprintf(line, sizeof(line), "HTTP/1.1 %s\r\n", rows[i].line);
                (void)snprintf(body, sizeof(body),
                               "\r\n\r\n{\"error\":{\"code\":%.3s,\"message\":\"%s\"}}",
                               rows[i].line, rows[i].message);
                ck_assert_msg(strncmp(peer.in.data, line, strlen(line)) == 0 &&
                                      strstr(peer.in.data, body) != NULL,
                              "%zu: %s", i, peer.in.data);
                ck_assert_ptr_null(strstr(peer.in.data, "HTML"));
                peer_close(&peer);
        }
        turn(&rig, 5);
        ck_assert_uint_eq(rig.n_handled, 0);
        ck_assert_uint_eq(http_server_connections(rig.server), 0);
        free(more);
        rig_close(&rig);
}
END_TEST

/* A client that asks first gets its "100 Continue", untouched, then its answer. */
START_TEST(test_continue) {
        static const char head[] = "PUT / HTTP/1.1\r\nContent-Length: 4\r\nExpect: "
                                   "100-continue\r\nConnection: close\r\n\r\n";
        Rig rig;
        Peer peer;

        rig_init(&rig, AF_UNIX, NULL);
        peer = peer_open(&rig);
        peer_send(&rig, &peer, head, sizeof(head) - 1);
        turn_until(&rig, &peer, "HTTP/1.1 100 Continue\r\n\r\n");
        peer_send(&rig, &peer, "body", 4);
        turn_until(&rig, &peer, NULL);
        ck_assert_ptr_nonnull(strstr(peer.in.data, "[body]"));
        peer_close(&peer);
        rig_close(&rig);
}
END_TEST

/* Requests sent at once on one connection are answered in their order, also when the first waits
 * for its answer. */
START_TEST(test_pipeline) {
        static const char text[] = "GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 "
                                   "HTTP/1.1\r\nConnection: close\r\n\r\n";
        const Buf one = { .data = (char *)"/one", .n_bytes = 4 };
        Rig rig;
        Peer peer;

        rig_init(&rig, families[_i], NULL);
        peer = peer_open(&rig);
        rig.holds = true;
        peer_send(&rig, &peer, text, sizeof(text) - 1);
        while (!rig.pending)
                turn(&rig, 1);
        turn(&rig, 20);
        ck_assert_uint_eq(rig.n_handled, 1);
        rig.holds = false;
        http_reply(TAKE(rig.pending), 200, NULL, &one);
        turn_until(&rig, &peer, NULL);
        ck_assert_uint_eq(rig.n_handled, 3);
        ck_assert_ptr_nonnull(strstr(peer.in.data, "/one"));
        ck_assert(strstr(peer.in.data, "/one") < strstr(peer.in.data, "0 /2 "));
        ck_assert(strstr(peer.in.data, "0 /2 ") < strstr(peer.in.data, "0 /3 "));
        peer_close(&peer);
        rig_close(&rig);
}
END_TEST

/* A target with scheme and authority is a path like any other: the connection serves on. */
START_TEST(test_absolute_target) {
        static const char text[] = "GET http://domain-sock/a?b HTTP/1.1\r\nHost: x\r\n\r\n";
        Rig rig;
        Peer peer;

        rig_init(&rig, AF_UNIX, NULL);
        peer = peer_open(&rig);
        for (int i = 0; i < 3; i++) {
                peer_send(&rig, &peer, text, sizeof(text) - 1);
                turn_until(&rig, &peer, "0 /a ?b 0 p= []");
                turn(&rig, 5);
                peer_receive(&peer);
                ck_assert(!peer.is_closed);
                buf_clear(&peer.in);
        }
        peer_close(&peer);
        rig_close(&rig);
}
END_TEST

/* A client that goes before its answer is reported once; one that only ends its sending side gets
 * its answer, however large. */
START_TEST(test_client_gone) {
        static const char text[] = "GET / HTTP/1.1\r\n\r\n";
        enum { N_LARGE = 3000000 };
        Buf large = buf_make(N_LARGE);
        Rig rig;
        Peer peer;

        rig_init(&rig, AF_UNIX, NULL);
        rig.holds = true;
        for (int i = 0; i < 3; i++) {
                peer = peer_open(&rig);
                peer_send(&rig, &peer, text, sizeof(text) - 1);
                while (!rig.pending)
                        turn(&rig, 1);
                peer_close(&peer);
                while (rig.pending)
                        turn(&rig, 1);
                turn(&rig, 5);
                ck_assert_uint_eq(rig.n_closed, i + 1);
                ck_assert_uint_eq(http_server_connections(rig.server), 0);
        }

        peer = peer_open(&rig);
        peer_send(&rig, &peer, text, sizeof(text) - 1);
        ck_assert_int_eq(shutdown(peer.fd, SHUT_WR), 0);
        while (!rig.pending)
                turn(&rig, 1);
        turn(&rig, 20);
        ck_assert_uint_eq(rig.n_closed, 3);
        large.data = calloc(1, N_LARGE);
        large.n_bytes = N_LARGE;
        http_reply(TAKE(rig.pending), 200, NULL, &large);
        turn_until(&rig, &peer, NULL);
        ck_assert_uint_gt(peer.in.n_bytes, N_LARGE);
        ck_assert_uint_eq(rig.n_closed, 3);
        free(large.data);
        peer_close(&peer);
        rig_close(&rig);
}
END_TEST

/* Over TCP the end of the client's sending counts as its going. */
START_TEST(test_client_gone_tcp) {
        static const char text[] = "GET / HTTP/1.1\r\n\r\n";
        Rig rig;
        Peer peer;

        rig_init(&rig, AF_INET, NULL);
        rig.holds = true;
        peer = peer_open(&rig);
        peer_send(&rig, &peer, text, sizeof(text) - 1);
        while (!rig.pending)
                turn(&rig, 1);
        peer_close(&peer);
        while (rig.pending)
                turn(&rig, 1);
        ck_assert_uint_eq(rig.n_closed, 1);
        rig_close(&rig);
}
END_TEST

/* A reply in pieces is chunked; for HTTP/1.0 the connection's end ends it. After it the connection
 * serves on. */
START_TEST(test_pieces) {
        static const char text[] = "GET / HTTP/1.1\r\n\r\n", old[] = "GET / HTTP/1.0\r\n\r\n";
        Rig rig;
        Peer peer;

        rig_init(&rig, families[_i], NULL);
        peer = peer_open(&rig);
        rig.holds = true;
        for (int i = 0; i < 2; i++) {
                peer_send(&rig, &peer, text, sizeof(text) - 1);
                while (!rig.pending)
                        turn(&rig, 1);
                http_reply_begin(rig.pending, 200, "a/b");
                ck_assert_int_eq(http_reply_piece(rig.pending, "one", 3), 0);
                turn_until(&rig, &peer, "3\r\none\r\n");
                ck_assert_int_eq(http_reply_piece(rig.pending, "three", 5), 0);
                http_reply_end(TAKE(rig.pending));
                turn_until(&rig, &peer, "5\r\nthree\r\n0\r\n\r\n");
                buf_clear(&peer.in);
        }
        peer_close(&peer);

        peer = peer_open(&rig);
        peer_send(&rig, &peer, old, sizeof(old) - 1);
        while (!rig.pending)
                turn(&rig, 1);
        http_reply_begin(rig.pending, 200, NULL);
        ck_assert_int_eq(http_reply_piece(rig.pending, "one", 3), 0);
        http_reply_end(TAKE(rig.pending));
        turn_until(&rig, &peer, NULL);
        ck_assert_str_eq(strstr(peer.in.data, "\r\n\r\n"), "\r\n\r\none");
        peer_close(&peer);
        rig_close(&rig);
}
END_TEST

/* A client that does not read is noticed by the bound on what waits; one that goes in the middle of
 * a reply is reported. */
START_TEST(test_pieces_bound) {
        static const char text[] = "GET / HTTP/1.1\r\n\r\n";
        char *piece = calloc(1, 100000);
        Rig rig;
        Peer peer;
        int r = 0, n = 0;

        rig_init(&rig, AF_UNIX, NULL);
        peer = peer_open(&rig);
        rig.holds = true;
        peer_send(&rig, &peer, text, sizeof(text) - 1);
        while (!rig.pending)
                turn(&rig, 1);
        http_reply_begin(rig.pending, 200, NULL);
        for (; r == 0 && n < 1000; n++) {
                r = http_reply_piece(rig.pending, piece, 100000);
                turn(&rig, 1);
        }
        ck_assert_int_eq(r, -ENOBUFS);
        ck_assert_int_lt(n, 100);
        peer_close(&peer);
        while (rig.pending)
                turn(&rig, 1);
        ck_assert_uint_eq(rig.n_closed, 1);
        free(piece);
        rig_close(&rig);
}
END_TEST

/* Beyond the limit connections wait until one of those being served ends. */
START_TEST(test_max_connections) {
        static const HttpLimits two = { .max_header_bytes = 4096,
                                        .max_body_bytes = 4096,
                                        .max_connections = 2,
                                        .idle_timeout_s = 30,
                                        .request_timeout_s = 30,
                                        .reply_timeout_s = 30 };
        static const char text[] = "GET / HTTP/1.1\r\n\r\n";
        HttpExchange *held[2];
        Peer peers[4];
        Rig rig;

        rig_init(&rig, families[_i], &two);
        rig.holds = true;
        for (size_t i = 0; i < ELEMENTSOF(peers); i++) {
                peers[i] = peer_open(&rig);
                peer_send(&rig, &peers[i], text, sizeof(text) - 1);
                for (int n = 0; i < ELEMENTSOF(held) && !rig.pending && n < 100; n++)
                        turn(&rig, 1);
                if (i < ELEMENTSOF(held))
                        held[i] = TAKE(rig.pending);
        }
        turn_for(&rig, 700 * US_PER_MS);
        ck_assert_uint_eq(http_server_connections(rig.server), 2);
        ck_assert_uint_eq(rig.n_handled, 2);

        rig.holds = false;
        for (size_t i = 0; i < ELEMENTSOF(held); i++) {
                http_reply(held[i], 204, NULL, NULL);
                turn_until(&rig, &peers[i], "204");
                peer_close(&peers[i]);
        }
        for (size_t i = ELEMENTSOF(held); i < ELEMENTSOF(peers); i++) {
                turn_until(&rig, &peers[i], "[]");
                peer_close(&peers[i]);
        }
        ck_assert_uint_eq(rig.n_handled, 4);
        rig_close(&rig);
}
END_TEST

/* Clients that keep all connections and send next to nothing lock nobody out: the one that is
 * awaited longest makes room, and is told so if it had begun a request. A request at the handler
 * stays. */
START_TEST(test_room) {
        static const HttpLimits four = { .max_header_bytes = 4096,
                                         .max_body_bytes = 4096,
                                         .max_connections = 4,
                                         .idle_timeout_s = 30,
                                         .request_timeout_s = 30,
                                         .reply_timeout_s = 30 };
        static const char text[] = "GET / HTTP/1.1\r\n\r\n", half[] = "GET / HTT";
        Peer held, slow, silent, done, fresh[3];
        Rig rig;

        rig_init(&rig, families[_i], &four);
        rig.holds = true;
        held = peer_open(&rig);
        peer_send(&rig, &held, text, sizeof(text) - 1);
        while (!rig.pending)
                turn(&rig, 1);
        rig.holds = false;
        slow = peer_open(&rig);
        peer_send(&rig, &slow, half, sizeof(half) - 1);
        turn(&rig, 5);
        silent = peer_open(&rig);
        turn_for(&rig, 20 * US_PER_MS);
        done = peer_open(&rig);
        peer_send(&rig, &done, text, sizeof(text) - 1);
        turn_until(&rig, &done, "[]");
        ck_assert_uint_eq(http_server_connections(rig.server), 4);

        for (size_t i = 0; i < ELEMENTSOF(fresh); i++) {
                fresh[i] = peer_open(&rig);
                peer_send(&rig, &fresh[i], text, sizeof(text) - 1);
        }
        for (size_t i = 0; i < ELEMENTSOF(fresh); i++)
                turn_until(&rig, &fresh[i], "[]");
        turn_until(&rig, &slow, NULL);
        ck_assert_msg(strncmp(slow.in.data, "HTTP/1.1 503 ", 13) == 0 &&
                              strstr(slow.in.data, "\r\nRetry-After: 1\r\n") &&
                              strstr(slow.in.data, "too many connections"),
                      "%s", slow.in.data);
        turn_until(&rig, &silent, NULL);
        ck_assert_str_eq(silent.in.data, "");
        ck_assert_uint_eq(http_server_connections(rig.server), 4);

        http_reply(TAKE(rig.pending), 204, NULL, NULL);
        turn_until(&rig, &held, "204");
        peer_close(&held);
        peer_close(&slow);
        peer_close(&silent);
        peer_close(&done);
        for (size_t i = 0; i < ELEMENTSOF(fresh); i++)
                peer_close(&fresh[i]);
        rig_close(&rig);
}
END_TEST

/* A request that arrives byte by byte has a deadline as a whole, head, body and the refused rest of
 * one that is too large alike; so has a reply that is not taken. */
START_TEST(test_deadlines) {
        static const HttpLimits brief = { .max_header_bytes = 4096,
                                          .max_body_bytes = 4096,
                                          .max_connections = 8,
                                          .idle_timeout_s = 30,
                                          .request_timeout_s = 1,
                                          .reply_timeout_s = 1 };
        static const char *const heads[] = {
                "GE",
                "PUT / HTTP/1.1\r\nContent-Length: 4000\r\n\r\n",
                "PUT / HTTP/1.1\r\nContent-Length: 4000000\r\n\r\n",
                "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n",
                /* The second of two requests that come at once. */
                "GET / HTTP/1.1\r\n\r\nGET",
        };
        uint64_t start_us = env_now_us(env_system());
        Peer peers[ELEMENTSOF(heads)];
        Rig rig;

        rig_init(&rig, AF_UNIX, &brief);
        for (size_t i = 0; i < ELEMENTSOF(heads); i++) {
                peers[i] = peer_open(&rig);
                peer_send(&rig, &peers[i], heads[i], strlen(heads[i]));
        }
        turn(&rig, 5);
        ck_assert_uint_eq(http_server_connections(rig.server), ELEMENTSOF(heads));
        while (http_server_connections(rig.server) > 0) {
                for (size_t i = 0; i < ELEMENTSOF(heads); i++)
                        peer_send(&rig, &peers[i], "x", 1);
                turn_for(&rig, 100 * US_PER_MS);
                ck_assert(env_now_us(env_system()) - start_us < 5 * US_PER_S);
        }
        ck_assert_uint_ge(env_now_us(env_system()) - start_us, US_PER_S);

        for (size_t i = 0; i < ELEMENTSOF(heads); i++) {
                turn_until(&rig, &peers[i], NULL);
                ck_assert_msg(strstr(peers[i].in.data, "HTTP/1.1 408 ") || i == 2, "row %zu: %s", i,
                              peers[i].in.data);
                peer_close(&peers[i]);
        }
        rig_close(&rig);
}
END_TEST

/* A client that takes a whole reply too slowly is cut, although it reads now and then. */
START_TEST(test_slow_reader) {
        static const HttpLimits brief = { .max_header_bytes = 4096,
                                          .max_body_bytes = 4096,
                                          .max_connections = 8,
                                          .idle_timeout_s = 30,
                                          .request_timeout_s = 30,
                                          .reply_timeout_s = 1 };
        static const char text[] = "GET / HTTP/1.1\r\n\r\n";
        enum { N_LARGE = 8000000 };
        Buf large = { .data = calloc(1, N_LARGE), .n_bytes = N_LARGE };
        uint64_t start_us;
        Rig rig;
        Peer peer;

        rig_init(&rig, AF_UNIX, &brief);
        rig.holds = true;
        peer = peer_open(&rig);
        peer_send(&rig, &peer, text, sizeof(text) - 1);
        while (!rig.pending)
                turn(&rig, 1);
        http_reply(TAKE(rig.pending), 200, NULL, &large);
        start_us = env_now_us(env_system());
        while (http_server_connections(rig.server) > 0) {
                turn_for(&rig, 100 * US_PER_MS);
                peer_receive(&peer);
                ck_assert(env_now_us(env_system()) - start_us < 5 * US_PER_S);
        }
        ck_assert_uint_lt(peer.in.n_bytes, N_LARGE);
        free(large.data);
        peer_close(&peer);
        rig_close(&rig);
}
END_TEST

/* Without descriptors the server does not spin, and it accepts again when there are some. */
START_TEST(test_no_descriptors) {
        static const char text[] = "GET / HTTP/1.1\r\n\r\n";
        struct rlimit old, low;
        unsigned n_turns = 0;
        uint64_t begin_us;
        int probe;
        Rig rig;
        Peer peer;

        rig_init(&rig, AF_UNIX, NULL);
        peer = peer_open(&rig);
        probe = fcntl(peer.fd, F_DUPFD_CLOEXEC, 0);
        close(probe);
        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
        low = (struct rlimit){ .rlim_cur = (rlim_t)probe, .rlim_max = old.rlim_max };
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);

        begin_us = env_now_us(env_system());
        while (env_now_us(env_system()) - begin_us < 300 * US_PER_MS) {
                ck_assert_int_eq(loop_turn(rig.loop, 50 * US_PER_MS), 0);
                n_turns++;
        }
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
        ck_assert_uint_lt(n_turns, 40);
        ck_assert_uint_eq(http_server_connections(rig.server), 0);
        peer_send(&rig, &peer, text, sizeof(text) - 1);
        turn_until(&rig, &peer, "[]");
        peer_close(&peer);
        rig_close(&rig);
}
END_TEST

/* A connection on which nothing happens is closed; a request at the handler is not nothing. */
START_TEST(test_idle) {
        static const HttpLimits short_idle = { .max_header_bytes = 4096,
                                               .max_body_bytes = 4096,
                                               .max_connections = 4,
                                               .idle_timeout_s = 1,
                                               .request_timeout_s = 30,
                                               .reply_timeout_s = 30 };
        static const char text[] = "GET / HTTP/1.1\r\n\r\n", half[] = "GET / HTT";
        Peer idle, slow, held;
        Rig rig;

        rig_init(&rig, AF_UNIX, &short_idle);
        rig.holds = true;
        held = peer_open(&rig);
        peer_send(&rig, &held, text, sizeof(text) - 1);
        while (!rig.pending)
                turn(&rig, 1);
        idle = peer_open(&rig);
        slow = peer_open(&rig);
        peer_send(&rig, &slow, half, sizeof(half) - 1);
        turn_until(&rig, &idle, NULL);
        turn_until(&rig, &slow, NULL);
        ck_assert_ptr_nonnull(rig.pending);
        http_reply(TAKE(rig.pending), 204, NULL, NULL);
        turn_until(&rig, &held, "HTTP/1.1 204 No Content");
        turn_until(&rig, &held, NULL);
        peer_close(&idle);
        peer_close(&slow);
        peer_close(&held);
        rig_close(&rig);
}
END_TEST

/* Freeing the server ends what is at the handler, once, in every state of a connection. */
START_TEST(test_free) {
        static const char text[] = "GET / HTTP/1.1\r\n\r\nGET",
                          half[] = "PUT / HTTP/1.1\r\nContent-Length: 4\r\n\r\nb";
        Peer held, reading, fresh;
        Rig rig;

        rig_init(&rig, AF_UNIX, NULL);
        rig.holds = true;
        held = peer_open(&rig);
        peer_send(&rig, &held, text, sizeof(text) - 1);
        reading = peer_open(&rig);
        peer_send(&rig, &reading, half, sizeof(half) - 1);
        while (!rig.pending)
                turn(&rig, 1);
        fresh = peer_open(&rig);
        turn(&rig, 1);
        rig_close(&rig);
        ck_assert_uint_eq(rig.n_closed, 1);
        peer_close(&held);
        peer_close(&reading);
        peer_close(&fresh);
}
END_TEST

/* A listening stream socket of a family that evhttp cannot serve; -1 where the kernel has none. */
static int listen_vsock(void) {
        const struct sockaddr_vm any = { .svm_family = AF_VSOCK,
                                         .svm_port = VMADDR_PORT_ANY,
                                         .svm_cid = VMADDR_CID_ANY };
        int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd >= 0 &&
            (bind(fd, (const struct sockaddr *)&any, sizeof(any)) < 0 || listen(fd, 1) < 0)) {
                close(fd);
                return -1;
        }
        return fd;
}

/* Only listening sockets can be served; the descriptor is taken either way. */
START_TEST(test_bad_socket) {
        Rig rig;
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        rig_init(&rig, AF_UNIX, NULL);
        ck_assert_int_eq(http_server_listen(rig.server, fd), -EINVAL);
        ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
        ck_assert_int_eq(http_server_listen(rig.server, fd), -EBADF);
        fd = listen_vsock();
        if (fd >= 0)
                ck_assert_int_eq(http_server_listen(rig.server, fd), -EAFNOSUPPORT);
        rig_close(&rig);
}
END_TEST

/* Memory in use after thousands of requests is what it was after a few. */
START_TEST(test_memory) {
        static const char text[] = "PUT /x?p=1 HTTP/1.1\r\nX: 1\r\nContent-Length: 4\r\n\r\nbody";
        size_t before = 0;
        Rig rig;

        rig_init(&rig, AF_UNIX, NULL);
        for (int i = 0; i < 2200; i++) {
                Peer peer = peer_open(&rig);

                if (i == 200)
                        before = mallinfo2().uordblks;
                for (int n = 0; n < 3; n++) {
                        peer_send(&rig, &peer, text, sizeof(text) - 1);
                        turn_until(&rig, &peer, "[body]");
                        buf_clear(&peer.in);
                }
                peer_close(&peer);
                turn(&rig, 3);
        }
        ck_assert_uint_le(mallinfo2().uordblks, before + 4096);
        rig_close(&rig);
}
END_TEST

static Suite *make_suite(void) {
        const TTest *const once[] = { test_head,         test_refusals,
                                      test_continue,     test_absolute_target,
                                      test_client_gone,  test_client_gone_tcp,
                                      test_pieces_bound, test_no_descriptors,
                                      test_idle,         test_free,
                                      test_bad_socket,   test_deadlines,
                                      test_slow_reader,  test_memory };
        const TTest *const by_family[] = { test_requests, test_pipeline, test_pieces,
                                           test_max_connections, test_room };
        Suite *suite = suite_create("http-server");
        TCase *cases = tcase_create("sockets");

        tcase_set_timeout(cases, 60);
        for (size_t i = 0; i < ELEMENTSOF(once); i++)
                tcase_add_test(cases, once[i]);
        for (size_t i = 0; i < ELEMENTSOF(by_family); i++)
                tcase_add_loop_test(cases, by_family[i], 0, (int)ELEMENTSOF(families));
        suite_add_tcase(suite, cases);
        return suite;
}

int main(void) {
        SRunner *runner = srunner_create(make_suite());
        int n_failed;

        /* As lib/http/http-server.h asks. */
        (void)signal(SIGPIPE, SIG_IGN);
        srunner_run_all(runner, CK_NORMAL);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed > 0;
}
