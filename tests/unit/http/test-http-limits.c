/* SPDX-License-Identifier: Apache-2.0 */

/* Limits: what clients can make grow, and for how long they can make the server wait. */

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/unit/http/fixture.h"

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
                                        .max_output_bytes = 1 << 26,
                                        .max_input_bytes = 1 << 26,
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
                                         .max_output_bytes = 1 << 26,
                                         .max_input_bytes = 1 << 26,
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
                                          .max_output_bytes = 1 << 26,
                                          .max_input_bytes = 1 << 26,
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
                                          .max_output_bytes = 1 << 26,
                                          .max_input_bytes = 1 << 26,
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
                                               .max_output_bytes = 1 << 26,
                                               .max_input_bytes = 1 << 26,
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

/* Clients that ask for more than they take: beyond a limit for all of them together others are told
 * to come again, until something was taken. */
START_TEST(test_output_bound) {
        static const HttpLimits limits = { .max_header_bytes = 4096,
                                           .max_body_bytes = 4096,
                                           .max_connections = 8,
                                           .max_output_bytes = 10000000,
                                           .max_input_bytes = 1 << 26,
                                           .idle_timeout_s = 30,
                                           .request_timeout_s = 30,
                                           .reply_timeout_s = 30 };
        static const char text[] = "GET / HTTP/1.1\r\n\r\n";
        enum { N_LARGE = 8000000 };
        Buf large = { .data = calloc(1, N_LARGE), .n_bytes = N_LARGE };
        Peer greedy[2], other;
        Rig rig;

        rig_init(&rig, families[_i], &limits);
        rig.holds = true;
        for (size_t i = 0; i < ELEMENTSOF(greedy); i++) {
                greedy[i] = peer_open(&rig);
                peer_send(&rig, &greedy[i], text, sizeof(text) - 1);
                while (!rig.pending)
                        turn(&rig, 1);
                http_reply(TAKE(rig.pending), 200, NULL, &large);
        }
        rig.holds = false;
        other = peer_open(&rig);
        peer_send(&rig, &other, text, sizeof(text) - 1);
        turn_until(&rig, &other, "try again\"}}");
        ck_assert_int_eq(strncmp(other.in.data, "HTTP/1.1 503 ", 13), 0);
        ck_assert_ptr_nonnull(strstr(other.in.data, "\r\nRetry-After: 1\r\n"));
        ck_assert_uint_eq(rig.n_handled, 2);

        /* One goes, the other takes all of its own. */
        peer_close(&greedy[0]);
        while (greedy[1].in.n_bytes < N_LARGE) {
                turn(&rig, 1);
                peer_receive(&greedy[1]);
        }
        buf_clear(&other.in);
        peer_send(&rig, &other, text, sizeof(text) - 1);
        turn_until(&rig, &other, "[]");
        ck_assert_int_eq(strncmp(other.in.data, "HTTP/1.1 200 ", 13), 0);
        peer_close(&other);
        peer_close(&greedy[1]);
        free(large.data);
        rig_close(&rig);
}
END_TEST

/* Requests that do not come to their end: beyond a limit for all of them together the oldest goes, and
 * is told why; who comes after it is served, and what was answered does not count any more. */
START_TEST(test_input_bound) {
        enum { BODY = 1000000, N = 4 };
        static const HttpLimits limits = { .max_header_bytes = 4096,
                                           .max_body_bytes = BODY,
                                           .max_connections = 16,
                                           .max_output_bytes = 1 << 26,
                                           .max_input_bytes = N * BODY + 1000,
                                           .idle_timeout_s = 30,
                                           .request_timeout_s = 30,
                                           .reply_timeout_s = 30 };
        static const char head[] = "PUT / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n";
        static const char chunks[] = "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                                     "f423e\r\n";
        _cleanup_(freep) char *body = malloc(BODY);
        Peer slow[N], other;
        Rig rig;

        memset(body, 'x', BODY);
        rig_init(&rig, families[_i], &limits);
        for (size_t i = 0; i < N; i++) {
                const char *text = i % 2 == 0 ? head : chunks;

                slow[i] = peer_open(&rig);
                peer_send(&rig, &slow[i], text, strlen(text));
                peer_send(&rig, &slow[i], body, BODY - 2);
        }
        turn(&rig, 3);
        for (size_t i = 0; i < N; i++) {
                peer_receive(&slow[i]);
                ck_assert_str_eq(slow[i].in.data, "");
        }

        for (size_t i = 0; i < 2; i++) {
                other = peer_open(&rig);
                peer_send(&rig, &other, head, sizeof(head) - 1);
                peer_send(&rig, &other, body, BODY);
                turn_until(&rig, &other, "x]");
                ck_assert_int_eq(strncmp(other.in.data, "HTTP/1.1 200 ", 13), 0);
                peer_close(&other);
                turn(&rig, 3);
        }
        turn_until(&rig, &slow[0], "try again\"}}");
        ck_assert_int_eq(strncmp(slow[0].in.data, "HTTP/1.1 503 ", 13), 0);
        for (size_t i = 1; i < N; i++) {
                peer_receive(&slow[i]);
                ck_assert(!slow[i].is_closed);
        }
        for (size_t i = 0; i < N; i++)
                peer_close(&slow[i]);
        rig_close(&rig);
}
END_TEST

int main(void) {
        const TTest *const once[] = {
                test_pieces_bound, test_no_descriptors, test_idle,
                test_deadlines,    test_slow_reader,    test_memory,
        };
        const TTest *const by_family[] = { test_max_connections, test_room, test_output_bound,
                                           test_input_bound };

        return http_tests_run("http-limits", once, ELEMENTSOF(once), by_family,
                              ELEMENTSOF(by_family));
}
