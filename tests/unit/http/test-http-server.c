/* SPDX-License-Identifier: Apache-2.0 */

/* Requests and replies, and how both ends leave. */

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/unit/http/fixture.h"

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

int main(void) {
        const TTest *const once[] = {
                test_head,        test_refusals,        test_continue, test_absolute_target,
                test_client_gone, test_client_gone_tcp, test_free,     test_bad_socket,
        };
        const TTest *const by_family[] = { test_requests, test_pipeline, test_pieces };

        return http_tests_run("http-server", once, ELEMENTSOF(once), by_family,
                              ELEMENTSOF(by_family));
}
