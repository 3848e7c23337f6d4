/* SPDX-License-Identifier: Apache-2.0 */

/* What the server does with peers that break rules or ask too much: every limit is reached. */

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/fault.h"
#include "tests/unit/store/grpc-server-fixture.h"

typedef struct Hostile {
        ServerFixture f;
        RawClient client;
        RawFrame frame;
} Hostile;

static void set_up(Hostile *h) {
        server_fixture_init(&h->f);
        h->f.echoes = true;
        server_fixture_connect(&h->f, &h->client);
}

static void tear_down(Hostile *h) {
        raw_client_done(&h->client);
        server_fixture_done(&h->f);
}

/* The stream ends with these, and no service was told of it. */
static void assert_refused(Hostile *h, uint32_t stream, const char *http_status,
                           const char *grpc_status) {
        ck_assert(server_fixture_await(&h->f, &h->client, RAW_HEADERS, stream, &h->frame));
        ck_assert(h->frame.flags & RAW_END_STREAM);
        ck_assert(raw_has_header(&h->client, ":status", http_status));
        ck_assert(raw_has_header(&h->client, "grpc-status", grpc_status));
        ck_assert_uint_eq(h->f.n_messages, 0);
}

/* The connection serves on. */
static void assert_served(Hostile *h, uint32_t stream) {
        raw_request(&h->client, stream, 0, PATH_UNARY, NULL);
        raw_message(&h->client, stream, RAW_END_STREAM, "still there?");
        ck_assert(server_fixture_await(&h->f, &h->client, RAW_DATA, stream, &h->frame));
        ck_assert(server_fixture_await(&h->f, &h->client, RAW_HEADERS, stream, &h->frame));
        ck_assert(raw_has_header(&h->client, "grpc-status", "0"));
}

/* Requests that are no gRPC, or ask for what there is not, get an answer each, and the client is
 * told not to go on sending. */
START_TEST(test_no_grpc) {
        static const struct {
                const char *extra[3];
                const char *path, *http_status, *grpc_status;
        } rows[] = {
                { { "content-type", "application/json", NULL }, PATH_UNARY, "415", "2" },
                { { "content-type", "application/grpcx", NULL }, PATH_UNARY, "415", "2" },
                { { ":method", "GET", NULL }, PATH_UNARY, "405", "12" },
                { { NULL }, "/test.Test/Nothing", "200", "12" },
                { { NULL }, "/", "200", "12" },
                { { "grpc-encoding", "gzip", NULL }, PATH_UNARY, "200", "12" },
                { { "grpc-timeout", "soon", NULL }, PATH_UNARY, "200", "13" },
        };
        uint32_t stream = 1;
        Hostile h;

        set_up(&h);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++, stream += 2) {
                raw_request(&h.client, stream, 0, rows[i].path, rows[i].extra);
                assert_refused(&h, stream, rows[i].http_status, rows[i].grpc_status);
                ck_assert_int_eq(streq_optional(rows[i].extra[0], "grpc-encoding"),
                                 raw_has_header(&h.client, "grpc-accept-encoding", "identity"));
                ck_assert(server_fixture_await(&h.f, &h.client, RAW_RST_STREAM, stream, &h.frame));
                ck_assert_int_eq(memcmp(h.frame.bytes, "\0\0\0\0", 4), 0);
        }
        ck_assert_uint_eq(grpc_server_calls(h.f.server), 0);
        raw_request(&h.client, stream, 0, PATH_UNARY,
                    (const char *[]){ "content-type", "application/grpc+proto", "grpc-encoding",
                                      "identity", NULL });
        raw_message(&h.client, stream, RAW_END_STREAM, "right");
        ck_assert(server_fixture_await(&h.f, &h.client, RAW_DATA, stream, &h.frame));
        ck_assert_uint_eq(h.f.n_gone, 0);
        tear_down(&h);
}
END_TEST

/* A method that takes one message gets one, or is not told of the call. */
START_TEST(test_wrong_bodies) {
        static const struct {
                const char *bytes;
                size_t n_bytes;
                const char *grpc_status;
        } rows[] = {
                { "", 0, "12" },                        /* none */
                { "\0\0\0\0\1a\0\0\0\0\1b", 12, "12" }, /* two */
                { "\0\0\0\0\5abc", 8, "13" },           /* a part of one */
                { "\0\0\0", 3, "13" },                  /* a part of its head */
                { "\1\0\0\0\1a", 6, "12" },             /* a compressed one */
                { "\0\0\x20\0\1", 5, "8" },             /* one byte too large */
                { "\0\xff\xff\xff\xff", 5, "8" },       /* as large as it can be said */
        };
        Hostile h;

        set_up(&h);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                uint32_t stream = (uint32_t)(2 * i + 1);

                raw_request(&h.client, stream, 0, PATH_UNARY, NULL);
                raw_frame(&h.client, RAW_DATA, RAW_END_STREAM, stream, rows[i].bytes,
                          rows[i].n_bytes);
                assert_refused(&h, stream, "200", rows[i].grpc_status);
        }
        ck_assert_uint_eq(grpc_server_calls(h.f.server), 0);
        assert_served(&h, 101);
        tear_down(&h);
}
END_TEST

/* A stream may end with nothing said, and its service hears of that. */
START_TEST(test_finished_stream) {
        Hostile h;

        set_up(&h);
        raw_request(&h.client, 1, RAW_END_STREAM, PATH_STREAM, NULL);
        turn_until(h.f.loop, &h.f.is_finished);
        ck_assert_uint_eq(h.f.n_messages, 0);
        grpc_server_call_end(h.f.call, GRPC_OK, "");
        ck_assert(server_fixture_await(&h.f, &h.client, RAW_HEADERS, 1, &h.frame));
        ck_assert(raw_has_header(&h.client, "grpc-status", "0"));
        turn_until_idle(h.f.loop);
        ck_assert_uint_eq(h.f.n_finished, 1);
        ck_assert_uint_eq(h.f.n_gone, 0);
        tear_down(&h);
}
END_TEST

/* Headers beyond the limit are refused as a whole, however many frames they take. */
START_TEST(test_large_headers) {
        _cleanup_(buf_done) Buf block = buf_make(SIZE_MAX);
        char value[127];
        Hostile h;

        memset(value, 'v', sizeof value - 1);
        value[sizeof value - 1] = '\0';
        while (block.n_bytes < GRPC_SERVER_HEADERS_MAX_BYTES)
                raw_header(&block, "x-large", value);

        set_up(&h);
        raw_request(&h.client, 1, RAW_END_STREAM, PATH_UNARY, NULL);
        assert_refused(&h, 1, "200", "12");
        h.f.n_messages = 0;
        raw_request_continued(&h.client, 3, PATH_UNARY, block.data, block.n_bytes);
        assert_refused(&h, 3, "431", "8");
        assert_served(&h, 5);
        tear_down(&h);
}
END_TEST

/* Opens as many calls as a client may have. Returns the stream that is one too many. */
static uint32_t open_all(Hostile *h) {
        uint32_t stream = 1;

        set_up(h);
        h->f.echoes = false;
        for (unsigned i = 0; i < GRPC_SERVER_CALLS_MAX; i++, stream += 2) {
                raw_request(&h->client, stream, 0, PATH_STREAM, NULL);
                raw_message(&h->client, stream, 0, "open");
        }
        turn_until_idle(h->f.loop);
        ck_assert_uint_eq(h->f.n_messages, GRPC_SERVER_CALLS_MAX);
        return stream;
}

/* A further call than a client may have open is refused before it begins, and the others live. */
START_TEST(test_many_streams) {
        uint32_t stream;
        Hostile h;

        stream = open_all(&h);
        raw_request(&h.client, stream, 0, PATH_STREAM, NULL);
        ck_assert(server_fixture_await(&h.f, &h.client, RAW_RST_STREAM, stream, &h.frame));
        ck_assert_int_eq(memcmp(h.frame.bytes, "\0\0\0\7", 4), 0); /* REFUSED_STREAM */
        ck_assert_uint_eq(grpc_server_calls(h.f.server), GRPC_SERVER_CALLS_MAX);
        tear_down(&h);
}
END_TEST

/* A client that has taken note of the limit, and does not keep it, is closed. */
START_TEST(test_too_many_streams) {
        uint32_t stream;
        Hostile h;

        stream = open_all(&h);
        raw_frame(&h.client, RAW_SETTINGS, RAW_ACK, 0, "", 0);
        raw_request(&h.client, stream, 0, PATH_STREAM, NULL);
        ck_assert(server_fixture_await(&h.f, &h.client, RAW_GOAWAY, 0, &h.frame));
        ck_assert(server_fixture_await_close(&h.f, &h.client));
        ck_assert_uint_eq(h.f.n_gone, GRPC_SERVER_CALLS_MAX);
        ck_assert_uint_eq(grpc_server_connections(h.f.server), 0);
        tear_down(&h);
}
END_TEST

/* Opens calls and begins a message of `n_bytes` in each, until one is refused. Returns how many were
 * taken. */
static unsigned begin_messages(Hostile *h, uint32_t n_bytes, unsigned n_max) {
        const uint8_t head[] = { 0, (uint8_t)(n_bytes >> 24), (uint8_t)(n_bytes >> 16),
                                 (uint8_t)(n_bytes >> 8), (uint8_t)n_bytes };

        for (unsigned i = 0; i < n_max; i++) {
                uint32_t stream = 2 * i + 1;

                raw_request(&h->client, stream, 0, PATH_UNARY, NULL);
                raw_frame(&h->client, RAW_DATA, 0, stream, head, sizeof head);
                turn_until_idle(h->f.loop);
                while (raw_receive(&h->client, &h->frame)) {
                        if (h->frame.type == RAW_HEADERS)
                                return i;
                }
        }
        return n_max;
}

/* Messages that have only begun do not take more memory than the limit says, of one client... */
START_TEST(test_input_of_a_client) {
        Hostile h;

        set_up(&h);
        ck_assert_uint_eq(begin_messages(&h, GRPC_SERVER_REQUEST_MAX_BYTES - 64, 128),
                          GRPC_SERVER_INPUT_MAX_BYTES / GRPC_SERVER_REQUEST_MAX_BYTES);
        ck_assert(raw_has_header(&h.client, "grpc-status", "8"));
        ck_assert_uint_eq(h.f.n_messages, 0);
        tear_down(&h);
}
END_TEST

/* ...and of all of them. */
START_TEST(test_input_of_all_clients) {
        enum { N_EACH = 16, N = GRPC_SERVER_ALL_INPUT_MAX_BYTES / GRPC_SERVER_INPUT_MAX_BYTES };
        Hostile h;
        RawClient others[N];

        set_up(&h);
        for (size_t i = 0; i < N; i++) {
                RawClient first = h.client;

                server_fixture_connect(&h.f, &h.client);
                others[i] = first;
                ck_assert_uint_eq(begin_messages(&h, GRPC_SERVER_REQUEST_MAX_BYTES - 64, N_EACH),
                                  N_EACH);
        }
        for (size_t i = 0; i < N; i++)
                raw_client_done(&others[i]);
        server_fixture_connect(&h.f, &others[0]);
        raw_client_done(&h.client);
        h.client = others[0];
        ck_assert_uint_eq(begin_messages(&h, 1 << 20, 1), 1);
        tear_down(&h);
}
END_TEST

/* A request that does not come to its end is not waited for without end. */
START_TEST(test_slow_request) {
        Hostile h;

        set_up(&h);
        raw_request(&h.client, 1, 0, PATH_UNARY, NULL);
        raw_frame(&h.client, RAW_DATA, 0, 1, "\0", 1);
        turn_until_idle(h.f.loop);
        for (int i = 0; i < 59; i++) {
                h.f.env.now_us += US_PER_S;
                raw_frame(&h.client, RAW_PING, 0, 0, "12345678", 8);
                turn_until_idle(h.f.loop);
                ck_assert_uint_eq(grpc_server_calls(h.f.server), 1);
        }
        h.f.env.now_us += US_PER_S;
        assert_refused(&h, 1, "200", "4");
        assert_served(&h, 3);
        tear_down(&h);
}
END_TEST

/* A call that has ended is reset when its client does not take the answer. */
START_TEST(test_answer_not_taken) {
        uint8_t *bytes;
        Hostile h;

        set_up(&h);
        h.f.echoes = false;
        raw_request(&h.client, 1, 0, PATH_UNARY, NULL);
        raw_message(&h.client, 1, RAW_END_STREAM, "a lot, please");
        turn_until(h.f.loop, &h.f.has_message);
        ck_assert_int_eq(grpc_server_call_add_message(h.f.call, 1 << 20, &bytes), 0);
        memset(bytes, 'x', 1 << 20);
        grpc_server_call_end(h.f.call, GRPC_OK, "");
        for (int i = 0; i < 29; i++) {
                h.f.env.now_us += US_PER_S;
                raw_frame(&h.client, RAW_PING, 0, 0, "12345678", 8);
                turn_until_idle(h.f.loop);
        }
        ck_assert_uint_eq(grpc_server_calls(h.f.server), 1);
        h.f.env.now_us += US_PER_S;
        ck_assert(server_fixture_await(&h.f, &h.client, RAW_RST_STREAM, 1, &h.frame));
        ck_assert_uint_eq(grpc_server_calls(h.f.server), 0);
        ck_assert_uint_eq(h.f.n_gone, 0);
        tear_down(&h);
}
END_TEST

/* A slow reader's queue fills, the service is told so at once and may say so in a few words, and it
 * is told when there is room again. Nothing that was taken is lost. */
START_TEST(test_output_of_a_call) {
        enum { N_BYTES = 100 << 10 };
        unsigned n = 0, n_notices = 0;
        size_t n_received = 0;
        uint8_t *bytes;
        Hostile h;

        set_up(&h);
        h.f.echoes = false;
        raw_request(&h.client, 1, 0, PATH_STREAM, NULL);
        raw_message(&h.client, 1, 0, "watch");
        turn_until(h.f.loop, &h.f.has_message);
        while (grpc_server_call_add_message(h.f.call, N_BYTES, &bytes) == 0) {
                memset(bytes, 'e', N_BYTES);
                n++;
        }
        ck_assert_uint_eq(n, GRPC_SERVER_OUTPUT_MAX_BYTES / N_BYTES + 1);
        while (grpc_server_call_add_notice(h.f.call, 1 << 10, &bytes) == 0) {
                memset(bytes, 'c', 1 << 10);
                n_notices++;
        }
        ck_assert_uint_eq(n_notices, GRPC_SERVER_NOTICE_MAX_BYTES >> 10);
        turn_until_idle(h.f.loop);
        ck_assert_uint_eq(h.f.n_drained, 0);

        raw_frame(&h.client, RAW_WINDOW_UPDATE, 0, 0, "\0\x7f\0\0", 4);
        raw_frame(&h.client, RAW_WINDOW_UPDATE, 0, 1, "\0\x7f\0\0", 4);
        while (server_fixture_await(&h.f, &h.client, RAW_DATA, 1, &h.frame))
                n_received += h.frame.n_bytes;
        ck_assert_uint_eq(n_received, n * (N_BYTES + 5UL) + n_notices * ((1UL << 10) + 5));
        ck_assert_uint_eq(h.f.n_drained, 1);
        ck_assert_int_eq(grpc_server_call_add_message(h.f.call, N_BYTES, &bytes), 0);
        memset(bytes, 'e', N_BYTES);
        ck_assert(server_fixture_await(&h.f, &h.client, RAW_DATA, 1, &h.frame));
        tear_down(&h);
}
END_TEST

/* Opens a stream, and fills its queue as far as it goes. Returns how many bytes it took. */
static size_t fill_stream(Hostile *h, RawClient *client, uint32_t stream) {
        enum { N_BYTES = 1 << 20 };
        size_t n = 0;
        uint8_t *bytes;

        h->f.has_message = false;
        raw_request(client, stream, 0, PATH_STREAM, NULL);
        raw_message(client, stream, 0, "watch");
        turn_until(h->f.loop, &h->f.has_message);
        while (grpc_server_call_add_message(h->f.call, N_BYTES, &bytes) == 0) {
                memset(bytes, 'e', N_BYTES);
                n += N_BYTES;
        }
        return n;
}

/* The queues of one connection have a limit together, and so have those of all. When one goes,
 * those that waited for its room are told. */
START_TEST(test_output_of_all_calls) {
        enum {
                N_OTHERS = GRPC_SERVER_ALL_OUTPUT_MAX_BYTES /
                           GRPC_SERVER_CONNECTION_OUTPUT_MAX_BYTES
        };
        RawClient others[N_OTHERS], last;
        size_t n_all = 0;
        Hostile h;

        set_up(&h);
        h.f.echoes = false;
        for (size_t i = 0; i < N_OTHERS; i++) {
                size_t n = 0;

                server_fixture_connect(&h.f, &others[i]);
                for (uint32_t stream = 1; stream < 20; stream += 2)
                        n += fill_stream(&h, &others[i], stream);
                ck_assert_uint_ge(n, GRPC_SERVER_CONNECTION_OUTPUT_MAX_BYTES - (1 << 20));
                ck_assert_uint_le(n, GRPC_SERVER_CONNECTION_OUTPUT_MAX_BYTES + (1 << 20));
                n_all += n;
        }
        ck_assert_uint_le(n_all, GRPC_SERVER_ALL_OUTPUT_MAX_BYTES + (1 << 20));
        server_fixture_connect(&h.f, &last);
        ck_assert_uint_le(fill_stream(&h, &last, 1), 1 << 20);
        ck_assert_uint_eq(h.f.n_drained, 0);

        raw_client_done(&others[0]);
        turn_until(h.f.loop, &h.f.is_drained);
        ck_assert_uint_ge(h.f.n_gone, 4);
        raw_client_done(&last);
        for (size_t i = 1; i < N_OTHERS; i++)
                raw_client_done(&others[i]);
        tear_down(&h);
}
END_TEST

/* Whoever asks and asks without reading the answers loses the connection. */
START_TEST(test_ping_flood) {
        Hostile h;

        set_up(&h);
        for (int i = 0; i < 100000 && !raw_is_cut(&h.client); i++) {
                static const char ping[17] = "\0\0\10\6\0\0\0\0\0pingping";

                if (raw_try(&h.client, ping, sizeof ping) < sizeof ping)
                        ck_assert_int_eq(loop_turn(h.f.loop, 0), 0);
        }
        turn_until_idle(h.f.loop);
        ck_assert_uint_eq(grpc_server_connections(h.f.server), 0);
        ck_assert_uint_eq(h.f.n_troubles, 1);
        tear_down(&h);
}
END_TEST

/* Calls that are opened and reset without end cost the connection; a few hundred are no matter. */
START_TEST(test_reset_flood) {
        uint32_t stream = 1;
        Hostile h;

        set_up(&h);
        for (int i = 0; i < 400; i++, stream += 2) {
                raw_request(&h.client, stream, 0, PATH_STREAM, NULL);
                raw_frame(&h.client, RAW_RST_STREAM, 0, stream, "\0\0\0\10", 4);
                if (i % 16 == 0)
                        turn_until_idle(h.f.loop);
        }
        assert_served(&h, stream);
        for (int i = 0; i < 200 && !raw_is_closed(&h.client); i++) {
                stream += 2;
                raw_request(&h.client, stream, 0, PATH_STREAM, NULL);
                raw_frame(&h.client, RAW_RST_STREAM, 0, stream, "\0\0\0\10", 4);
                turn_until_idle(h.f.loop);
        }
        ck_assert(raw_is_closed(&h.client));
        ck_assert_uint_eq(grpc_server_connections(h.f.server), 0);
        ck_assert_ptr_nonnull(strstr(h.f.trouble, "reset too many calls"));
        tear_down(&h);
}
END_TEST

/* The same of calls that the client makes us reset, by more credit than there can be. */
START_TEST(test_forced_reset_flood) {
        uint32_t stream = 1;
        Hostile h;

        set_up(&h);
        for (int i = 0; i < 600 && !raw_is_closed(&h.client); i++, stream += 2) {
                raw_request(&h.client, stream, 0, PATH_STREAM, NULL);
                raw_frame(&h.client, RAW_WINDOW_UPDATE, 0, stream, "\x7f\xff\xff\xff", 4);
                turn_until_idle(h.f.loop);
        }
        ck_assert(raw_is_closed(&h.client));
        ck_assert_uint_ge(stream, 1000);
        ck_assert_uint_eq(grpc_server_connections(h.f.server), 0);
        ck_assert_ptr_nonnull(strstr(h.f.trouble, "reset too many calls"));
        tear_down(&h);
}
END_TEST

/* Refused streams, each of which has to be answered, end the connection of who does not read. */
START_TEST(test_refusal_flood) {
        uint32_t stream = 1;
        Hostile h;

        set_up(&h);
        while (stream < 400000 && !raw_is_cut(&h.client)) {
                /* A call that has to be refused, in ten bytes. */
                static const char block[] = { '\x83' };
                uint8_t frame[10] = { 0,
                                      0,
                                      1,
                                      RAW_HEADERS,
                                      RAW_END_STREAM | RAW_END_HEADERS,
                                      (uint8_t)(stream >> 24),
                                      (uint8_t)(stream >> 16),
                                      (uint8_t)(stream >> 8),
                                      (uint8_t)stream,
                                      (uint8_t)block[0] };

                if (raw_try(&h.client, frame, sizeof frame) == sizeof frame)
                        stream += 2;
                else
                        ck_assert_int_eq(loop_turn(h.f.loop, 0), 0);
        }
        turn_until_idle(h.f.loop);
        ck_assert_uint_eq(grpc_server_connections(h.f.server), 0);
        tear_down(&h);
}
END_TEST

/* What is no HTTP/2 is closed, and a person is told what it seems to be. */
START_TEST(test_no_http2) {
        static const struct {
                const char *bytes, *trouble;
        } rows[] = {
                { "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "a local socket: it does not speak HTTP/2" },
                { "\x16\3\1\2\0\1\0\1\xfc\3\3",
                  "a local socket: it does not speak HTTP/2; is it https:// in place of http://?" },
        };
        RawClient client;
        ServerFixture f;

        server_fixture_init(&f);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                ck_assert_int_eq(grpc_server_add_fd(f.server, raw_client_open(&client)), 0);
                raw_send(&client, rows[i].bytes, i == 0 ? strlen(rows[i].bytes) : 11);
                ck_assert(server_fixture_await_close(&f, &client));
                ck_assert_str_eq(f.trouble, rows[i].trouble);
                ck_assert_uint_eq(grpc_server_connections(f.server), 0);
                raw_client_done(&client);
        }
        server_fixture_done(&f);
}
END_TEST

/* Who breaks the rules in the midst of it is told so by GOAWAY, and is closed. */
START_TEST(test_broken_rules) {
        static const struct {
                uint8_t type, flags;
                uint32_t stream;
                const char *bytes;
                size_t n_bytes;
        } rows[] = {
                { RAW_DATA, 0, 0, "x", 1 },                     /* data of no stream */
                { RAW_HEADERS, RAW_END_HEADERS, 2, "\x83", 1 }, /* a stream of ours */
                { RAW_SETTINGS, 0, 0, "x", 1 },                 /* half a setting */
                { RAW_PING, 0, 0, "x", 1 },                     /* a short ping */
                { RAW_CONTINUATION, 0, 1, "x", 1 },             /* of nothing */
                { RAW_WINDOW_UPDATE, 0, 0, "\0\0\0\0", 4 },     /* no credit */
                { RAW_HEADERS, RAW_END_HEADERS, 1, "\xff\xff\xff\xff\xff\xff\xff", 7 },
        };
        Hostile h;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                set_up(&h);
                raw_frame(&h.client, rows[i].type, rows[i].flags, rows[i].stream, rows[i].bytes,
                          rows[i].n_bytes);
                ck_assert(server_fixture_await(&h.f, &h.client, RAW_GOAWAY, 0, &h.frame));
                ck_assert(server_fixture_await_close(&h.f, &h.client));
                ck_assert_uint_eq(grpc_server_connections(h.f.server), 0);
                tear_down(&h);
        }
}
END_TEST

/* A client that never gets to the point is closed after ten seconds. */
START_TEST(test_no_hello) {
        RawClient client;
        ServerFixture f;

        server_fixture_init(&f);
        ck_assert_int_eq(grpc_server_add_fd(f.server, raw_client_open(&client)), 0);
        turn_until_idle(f.loop);
        raw_send(&client, "PRI * HTTP/2.0\r\n", 16);
        f.env.now_us += 9900 * US_PER_MS;
        turn_until_idle(f.loop);
        ck_assert_uint_eq(grpc_server_connections(f.server), 1);
        f.env.now_us += 100 * US_PER_MS;
        ck_assert(server_fixture_await_close(&f, &client));
        ck_assert_uint_eq(grpc_server_connections(f.server), 0);
        ck_assert_ptr_nonnull(strstr(f.trouble, "did not begin to speak HTTP/2 in time"));
        raw_client_done(&client);
        server_fixture_done(&f);
}
END_TEST

/* A silent client is asked for a sign of life. Any will do; without one, its calls are gone. */
START_TEST(test_silence) {
        Hostile h;

        set_up(&h);
        h.f.echoes = false;
        raw_request(&h.client, 1, 0, PATH_STREAM, NULL);
        raw_message(&h.client, 1, 0, "watch");
        turn_until(h.f.loop, &h.f.has_message);
        for (int i = 0; i < 3; i++) {
                h.f.env.now_us += 30 * US_PER_S;
                ck_assert(server_fixture_await(&h.f, &h.client, RAW_PING, 0, &h.frame));
                h.f.env.now_us += 19 * US_PER_S;
                raw_frame(&h.client, RAW_PING, RAW_ACK, 0, h.frame.bytes, 8);
                turn_until_idle(h.f.loop);
        }
        h.f.env.now_us += 30 * US_PER_S;
        ck_assert(server_fixture_await(&h.f, &h.client, RAW_PING, 0, &h.frame));
        ck_assert_uint_eq(h.f.n_gone, 0);
        h.f.env.now_us += 20 * US_PER_S;
        turn_until(h.f.loop, &h.f.is_gone);
        ck_assert_int_eq(h.f.why, GRPC_GONE_CANCELLED);
        ck_assert_uint_eq(grpc_server_connections(h.f.server), 0);
        ck_assert_str_eq(h.f.trouble, "a local socket: it does not answer any more");
        tear_down(&h);
}
END_TEST

/* A client may ask whether the server is there, at any pace that it reads the answers at. */
START_TEST(test_pings) {
        Hostile h;

        set_up(&h);
        for (int i = 0; i < 3000; i++) {
                raw_frame(&h.client, RAW_PING, 0, 0, "12345678", 8);
                ck_assert(server_fixture_await(&h.f, &h.client, RAW_PING, 0, &h.frame));
                ck_assert_int_eq(h.frame.flags, RAW_ACK);
        }
        assert_served(&h, 1);
        tear_down(&h);
}
END_TEST

static int connect_to(uint16_t port) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
        ck_assert_int_ge(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
        return fd;
}

/* A connection beyond the limit is told so and closed; when one of the others has gone, the next is
 * served. A person is told a few times, not each time. */
START_TEST(test_many_connections) {
        enum { N = GRPC_SERVER_CONNECTIONS_MAX };
        int fds[N];
        Hostile h;

        server_fixture_init(&h.f);
        ck_assert_int_eq(grpc_server_listen(h.f.server, "127.0.0.1", 0, NULL, NULL), 0);
        for (size_t i = 0; i < N; i++) {
                fds[i] = connect_to(grpc_server_port(h.f.server));
                ck_assert_int_eq(loop_turn(h.f.loop, 0), 0);
        }
        turn_until_idle(h.f.loop);
        ck_assert_uint_eq(grpc_server_connections(h.f.server), N);

        for (unsigned i = 0; i < 20; i++) {
                raw_client_take(&h.client, connect_to(grpc_server_port(h.f.server)));
                ck_assert(server_fixture_await(&h.f, &h.client, RAW_GOAWAY, 0, &h.frame));
                ck_assert_int_eq(memcmp(h.frame.bytes + 4, "\0\0\0\13too many connections", 24), 0);
                ck_assert(server_fixture_await_close(&h.f, &h.client));
                raw_client_done(&h.client);
        }
        ck_assert_uint_eq(h.f.n_troubles, 5);
        ck_assert_ptr_nonnull(strstr(h.f.trouble, "256 clients are connected"));
        h.f.env.now_us += 5 * US_PER_S; /* within the time for a hello */

        (void)close(fds[0]);
        turn_until_idle(h.f.loop);
        fds[0] = connect_to(grpc_server_port(h.f.server));
        turn_until_idle(h.f.loop);
        ck_assert_uint_eq(grpc_server_connections(h.f.server), N);
        ck_assert_uint_eq(h.f.n_troubles, 5);
        for (size_t i = 0; i < N; i++)
                (void)close(fds[i]);
        server_fixture_done(&h.f);
}
END_TEST

/* Without descriptors nobody is accepted, and nothing spins; half a second after there are some
 * again, whoever waited is. */
START_TEST(test_accepting_without_descriptors) {
        struct rlimit before, low;
        ServerFixture f;
        int fd;

        server_fixture_init(&f);
        ck_assert_int_eq(grpc_server_listen(f.server, "127.0.0.1", 0, NULL, NULL), 0);
        turn_until_idle(f.loop);
        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
        fd = connect_to(grpc_server_port(f.server));
        low = (struct rlimit){ .rlim_cur = (rlim_t)fd + 1, .rlim_max = before.rlim_max };
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
        turn_until_idle(f.loop);
        ck_assert_uint_eq(grpc_server_connections(f.server), 0);
        ck_assert_uint_eq(f.n_troubles, 1);
        ck_assert_ptr_nonnull(strstr(f.trouble, "cannot accept a client: Too many open files"));

        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
        turn_until_idle(f.loop);
        ck_assert_uint_eq(grpc_server_connections(f.server), 0);
        f.env.now_us += 500 * US_PER_MS;
        turn_until_idle(f.loop);
        ck_assert_uint_eq(grpc_server_connections(f.server), 1);
        (void)close(fd);
        server_fixture_done(&f);
}
END_TEST

/* Troubles beyond five in a minute are counted, and the count is told with the next one. */
START_TEST(test_troubles_are_counted) {
        RawClient client;
        ServerFixture f;

        server_fixture_init(&f);
        for (int i = 0; i < 12; i++) {
                if (i == 11)
                        f.env.now_us += 60 * US_PER_S;
                ck_assert_int_eq(grpc_server_add_fd(f.server, raw_client_open(&client)), 0);
                raw_send(&client, "nonsense", 8);
                ck_assert(server_fixture_await_close(&f, &client));
                raw_client_done(&client);
                ck_assert_uint_eq(f.n_troubles, i < 5 ? i + 1U : i < 11 ? 5 : 6);
        }
        ck_assert_ptr_nonnull(strstr(f.trouble, "(and 6 more troubles"));
        server_fixture_done(&f);
}
END_TEST

/* Turns without Check, whose assertions would take the fault. */
static void turn(ServerFixture *f) {
        for (int i = 0; i < 20; i++)
                (void)loop_turn(f->loop, 0);
}

/* Lets an allocation fail while a client has its calls answered. Returns whether one did. */
static bool converse(size_t n_good) {
        RawClient client;
        ServerFixture f;
        int fd;
        bool has_failed;

        server_fixture_init(&f);
        f.echoes = f.is_short = true;
        fd = raw_client_open(&client);
        raw_hello(&client);
        raw_request(&client, 1, 0, PATH_UNARY, NULL);
        raw_message(&client, 1, RAW_END_STREAM, "question");
        raw_request(&client, 3, 0, PATH_STREAM, NULL);
        raw_message(&client, 3, 0, "one");
        raw_request(&client, 5, RAW_END_STREAM, "/nothing", NULL);
        raw_request(&client, 7, RAW_END_STREAM, PATH_STREAM, NULL);

        fault_arm(n_good);
        (void)grpc_server_add_fd(f.server, fd);
        turn(&f);
        has_failed = fault_disarm();

        if (!has_failed) {
                ck_assert_uint_eq(f.n_messages, 2);
                ck_assert_uint_eq(f.n_finished, 1);
        }
        raw_client_done(&client);
        turn(&f);
        ck_assert_uint_eq(grpc_server_connections(f.server), 0);
        ck_assert_uint_eq(grpc_server_calls(f.server), 0);
        server_fixture_done(&f);
        return has_failed;
}

/* Whatever allocation fails, the server goes on, and nothing is left behind. */
START_TEST(test_out_of_memory) {
        size_t n = 0;

        while (converse(n))
                n++;
        ck_assert_uint_gt(n, 8);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_no_grpc,
                test_wrong_bodies,
                test_finished_stream,
                test_large_headers,
                test_many_streams,
                test_too_many_streams,
                test_input_of_a_client,
                test_input_of_all_clients,
                test_slow_request,
                test_answer_not_taken,
                test_output_of_a_call,
                test_output_of_all_calls,
                test_ping_flood,
                test_reset_flood,
                test_forced_reset_flood,
                test_refusal_flood,
                test_no_http2,
                test_broken_rules,
                test_no_hello,
                test_silence,
                test_pings,
                test_many_connections,
                test_accepting_without_descriptors,
                test_troubles_are_counted,
                test_out_of_memory,
        };

        return tests_run("grpc-server-limits", tests, ELEMENTSOF(tests));
}
