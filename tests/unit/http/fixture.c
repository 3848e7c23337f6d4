/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/unit/http/fixture.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/un.h>
#include <unistd.h>

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

int listen_on(int family) {
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

Peer peer_open(const Rig *rig) {
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

void peer_close(Peer *peer) {
        close(peer->fd);
        buf_done(&peer->in);
}

void peer_receive(Peer *peer) {
        char bytes[16384];
        ssize_t n = recv(peer->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

        if (n > 0)
                ck_assert_int_eq(buf_append(&peer->in, bytes, (size_t)n), 0);
        else if (n == 0 || errno != EAGAIN)
                peer->is_closed = true;
}

void turn_until(Rig *rig, Peer *peer, const char *text) {
        uint64_t end_us = env_now_us(env_system()) + 10 * US_PER_S;

        while (text ? !strstr(peer->in.data, text) : !peer->is_closed) {
                ck_assert_int_eq(loop_turn(rig->loop, 10 * US_PER_MS), 0);
                peer_receive(peer);
                ck_assert_msg(env_now_us(env_system()) < end_us, "no \"%s\" in \"%s\"",
                              text ? text : "end", peer->in.data);
        }
}

void turn(Rig *rig, int n) {
        while (n-- > 0)
                ck_assert_int_eq(loop_turn(rig->loop, 0), 0);
}

void turn_for(Rig *rig, uint64_t us) {
        uint64_t end_us = env_now_us(env_system()) + us;

        for (uint64_t now_us; (now_us = env_now_us(env_system())) < end_us;)
                ck_assert_int_eq(loop_turn(rig->loop, end_us - now_us), 0);
}

void peer_send(Rig *rig, Peer *peer, const char *text, size_t n_bytes) {
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

void rig_close(Rig *rig) {
        http_server_free(rig->server);
        /* Of a connection that ended within the last turn libevent frees the rest in the next. */
        turn(rig, 2);
        loop_free(rig->loop);
        close(rig->address_fd);
}

void rig_init(Rig *rig, int family, const HttpLimits *limits) {
        static const HttpLimits normal = { .max_header_bytes = 4096,
                                           .max_body_bytes = 65536,
                                           .max_connections = 16,
                                           .max_output_bytes = 1 << 26,
                                           .max_input_bytes = 1 << 26,
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

int http_tests_run(const char *name, const TTest *const *once, size_t n_once,
                   const TTest *const *by_family, size_t n_by_family) {
        Suite *suite = suite_create(name);
        TCase *cases = tcase_create("sockets");
        SRunner *runner;
        int n_failed;

        /* As lib/http/http-server.h asks. */
        (void)signal(SIGPIPE, SIG_IGN);
        tcase_set_timeout(cases, 60);
        for (size_t i = 0; i < n_once; i++)
                tcase_add_test(cases, once[i]);
        for (size_t i = 0; i < n_by_family; i++)
                tcase_add_loop_test(cases, by_family[i], 0, (int)ELEMENTSOF(families));
        suite_add_tcase(suite, cases);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed > 0;
}
