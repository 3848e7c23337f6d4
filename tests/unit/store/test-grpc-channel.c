/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/store/grpc-channel.h"
#include "tests/unit/fault.h"
#include "tests/unit/store/fake-server.h"

/* A client's call and what became of it. */
typedef struct Call {
        GrpcCall grpc;
        bool has_ended;
        bool has_message;
        bool resets_itself;
        unsigned n_messages;
        unsigned n_ends;
        char answer[64]; /* the last message */
        GrpcCode code;
        char text[64];
        bool is_local;
        bool may_have_run;
} Call;

/* What every test needs. */
typedef struct Fixture {
        TestEnv env;
        Loop *loop;
        FakeServer *server;
        GrpcChannel *channel;
        bool is_lost;
        unsigned n_lost;
        char reason[96];
        bool has_request; /* the server got a message */
        unsigned n_requests;
        int32_t streams[8]; /* of the requests */
} Fixture;

static void on_request(FakeServer *server, int32_t stream, const char *path,
                       const GrpcMessage *message, void *userdata) {
        Fixture *f = userdata;

        (void)server;
        (void)message;
        ck_assert_str_eq(path, "/test.Test/Call");
        f->streams[f->n_requests++] = stream;
        f->has_request = true;
}

static void on_lost(GrpcChannel *channel, const char *reason, void *userdata) {
        Fixture *f = userdata;

        ck_assert_ptr_eq(channel, f->channel);
        f->is_lost = true;
        f->n_lost++;
        (void)snprintf(f->reason, sizeof f->reason, "%s", reason);
}

static void set_up(Fixture *f) {
        int fd;

        *f = (Fixture){ 0 };
        test_env_init(&f->env);
        ck_assert_int_eq(loop_new(&f->loop, &f->env.env), 0);
        f->server = fake_server_on_socketpair(f->loop, on_request, f, &fd);
        ck_assert_int_eq(grpc_channel_from_fd(&f->channel, f->loop, fd, "test:1", on_lost, f), 0);
}

static void tear_down(Fixture *f) {
        f->channel = grpc_channel_free(f->channel);
        f->server = fake_server_free(f->server);
        f->loop = loop_free(f->loop);
}

static void on_message(GrpcCall *grpc, GrpcMessage *message) {
        Call *call = container_of(grpc, Call, grpc);

        ck_assert_uint_lt(message->n_bytes, sizeof call->answer);
        memcpy(call->answer, message->bytes, message->n_bytes);
        call->answer[message->n_bytes] = '\0';
        call->has_message = true;
        call->n_messages++;
        free(message);
        if (call->resets_itself)
                grpc_call_done(grpc);
}

static void on_ended(GrpcCall *grpc, const GrpcStatus *status) {
        Call *call = container_of(grpc, Call, grpc);

        ck_assert(!grpc_call_is_running(grpc));
        call->has_ended = true;
        call->n_ends++;
        call->code = status->code;
        call->is_local = status->is_local;
        call->may_have_run = status->may_have_run;
        (void)snprintf(call->text, sizeof call->text, "%s", status->message);
}

static const GrpcCallVtable call_vtable = { .message = on_message, .ended = on_ended };

static void call_add(Call *call, const char *text) {
        uint8_t *bytes;

        ck_assert_int_eq(grpc_call_add_message(&call->grpc, strlen(text), &bytes), 0);
        memcpy(bytes, text, strlen(text));
}

static void call_start(Fixture *f, Call *call, bool is_unary, uint64_t timeout_us) {
        *call = (Call){ 0 };
        grpc_call_init(&call->grpc, &call_vtable, "/test.Test/Call", is_unary);
        call_add(call, "question");
        ck_assert_int_eq(grpc_call_start(f->channel, &call->grpc, timeout_us), 0);
        ck_assert(!call->has_ended);
}

static void wait_for_request(Fixture *f) {
        f->has_request = false;
        turn_until(f->loop, &f->has_request);
}

/* A unary call sends what gRPC asks for, brings its one answer and the server's status, and is
 * idle afterwards. */
START_TEST(test_unary) {
        Fixture f;
        Call call;

        set_up(&f);
        ck_assert_int_eq(grpc_channel_set_metadata(f.channel, "token", "old"), 0);
        ck_assert_int_eq(grpc_channel_set_metadata(f.channel, "token", "secret"), 0);
        call_start(&f, &call, true, 2 * US_PER_S);
        wait_for_request(&f);
        ck_assert_str_eq(fake_server_header(f.server, "content-type"), "application/grpc");
        ck_assert_str_eq(fake_server_header(f.server, "te"), "trailers");
        ck_assert_str_eq(fake_server_header(f.server, "token"), "secret");
        ck_assert_str_eq(fake_server_header(f.server, ":authority"), "test:1");
        ck_assert_str_eq(fake_server_header(f.server, "grpc-timeout"), "1900m");

        fake_server_send(f.server, f.streams[0], "answer", 6);
        fake_server_end(f.server, f.streams[0], "0", NULL);
        turn_until(f.loop, &call.has_ended);
        ck_assert_int_eq(call.code, GRPC_OK);
        ck_assert(!call.is_local);
        ck_assert_str_eq(call.answer, "answer");
        ck_assert_uint_eq(call.n_messages, 1);
        grpc_call_done(&call.grpc);
        tear_down(&f);
}
END_TEST

/* An answer of headers alone is a status; its text is percent-decoded. */
START_TEST(test_trailers_only) {
        Fixture f;
        Call call;

        set_up(&f);
        call_start(&f, &call, true, 0);
        wait_for_request(&f);
        ck_assert_ptr_null(fake_server_header(f.server, "grpc-timeout"));
        fake_server_end(f.server, f.streams[0], "5", "no such%20%25lease");
        turn_until(f.loop, &call.has_ended);
        ck_assert_int_eq(call.code, GRPC_NOT_FOUND);
        ck_assert_str_eq(call.text, "no such %lease");
        ck_assert(!call.is_local);
        ck_assert(call.may_have_run);
        grpc_call_done(&call.grpc);
        tear_down(&f);
}
END_TEST

/* A deadline ends a call on this side and resets it at the server. */
START_TEST(test_deadline) {
        Fixture f;
        Call call;

        set_up(&f);
        call_start(&f, &call, true, 1 * US_PER_S);
        wait_for_request(&f);
        f.env.now_us += 1 * US_PER_S - 1;
        turn_until_idle(f.loop);
        ck_assert(!call.has_ended);
        f.env.now_us += 1;
        turn_until(f.loop, &call.has_ended);
        ck_assert_int_eq(call.code, GRPC_DEADLINE_EXCEEDED);
        ck_assert(call.is_local);
        ck_assert(call.may_have_run);
        turn_until_idle(f.loop);
        ck_assert_uint_eq(fake_server_n_resets(f.server), 1);
        grpc_call_done(&call.grpc);
        tear_down(&f);
}
END_TEST

/* A stream that the server refuses was certainly not processed, and can be started again. */
START_TEST(test_refused) {
        Fixture f;
        Call call;

        set_up(&f);
        call_start(&f, &call, true, 0);
        wait_for_request(&f);
        fake_server_reset(f.server, f.streams[0], NGHTTP2_REFUSED_STREAM);
        turn_until(f.loop, &call.has_ended);
        ck_assert_int_eq(call.code, GRPC_UNAVAILABLE);
        ck_assert(call.is_local);
        ck_assert(!call.may_have_run);

        ck_assert_int_eq(grpc_call_start(f.channel, &call.grpc, 0), 0);
        wait_for_request(&f);
        fake_server_end(f.server, f.streams[1], "0", NULL);
        call.has_ended = false;
        turn_until(f.loop, &call.has_ended);
        ck_assert_int_eq(call.code, GRPC_OK);
        grpc_call_done(&call.grpc);
        tear_down(&f);
}
END_TEST

/* A lost connection ends every call once, and then says so, once; nothing can be started any
 * more. */
START_TEST(test_connection_lost) {
        Fixture f;
        Call sent, late;

        set_up(&f);
        call_start(&f, &sent, true, 0);
        wait_for_request(&f);
        fake_server_drop(f.server);
        call_start(&f, &late, true, 0);
        turn_until(f.loop, &f.is_lost);
        ck_assert_uint_eq(sent.n_ends, 1);
        ck_assert_int_eq(sent.code, GRPC_UNAVAILABLE);
        ck_assert(sent.may_have_run);
        ck_assert_uint_eq(late.n_ends, 1);
        turn_until_idle(f.loop);
        ck_assert_uint_eq(f.n_lost, 1);
        ck_assert_int_eq(grpc_call_start(f.channel, &sent.grpc, 0), -ENOTCONN);
        grpc_call_done(&sent.grpc);
        grpc_call_done(&late.grpc);
        tear_down(&f);
}
END_TEST

/* No more streams are opened than the server allows; what waits is sent in turn, and was
 * certainly not sent when its deadline passes. */
START_TEST(test_max_concurrent_streams) {
        Fixture f;
        Call first, second, third;

        set_up(&f);
        fake_server_set_max_streams(f.server, 1);
        call_start(&f, &first, true, 0);
        wait_for_request(&f);
        turn_until_idle(f.loop); /* the settings are there now */
        call_start(&f, &second, true, 1 * US_PER_S);
        call_start(&f, &third, true, 0);
        turn_until_idle(f.loop);
        ck_assert_uint_eq(f.n_requests, 1);

        f.env.now_us += 1 * US_PER_S;
        turn_until(f.loop, &second.has_ended);
        ck_assert_int_eq(second.code, GRPC_DEADLINE_EXCEEDED);
        ck_assert(!second.may_have_run);

        fake_server_end(f.server, f.streams[0], "0", NULL);
        wait_for_request(&f);
        ck_assert(first.has_ended);
        fake_server_end(f.server, f.streams[1], "0", NULL);
        turn_until(f.loop, &third.has_ended);
        ck_assert_int_eq(third.code, GRPC_OK);
        grpc_call_done(&first.grpc);
        grpc_call_done(&second.grpc);
        grpc_call_done(&third.grpc);
        tear_down(&f);
}
END_TEST

/* A server that goes away may still answer what it has taken on; then the channel is lost. */
START_TEST(test_going_away) {
        Fixture f;
        Call call;

        set_up(&f);
        call_start(&f, &call, true, 0);
        wait_for_request(&f);
        fake_server_go_away(f.server, f.streams[0]);
        turn_until_idle(f.loop);
        ck_assert(!f.is_lost);
        fake_server_send(f.server, f.streams[0], "bye", 3);
        fake_server_end(f.server, f.streams[0], "0", NULL);
        turn_until(f.loop, &f.is_lost);
        ck_assert_int_eq(call.code, GRPC_OK);
        ck_assert_str_eq(call.answer, "bye");
        grpc_call_done(&call.grpc);
        tear_down(&f);
}
END_TEST

/* A server that goes away and does not answer holds nobody up for long. */
START_TEST(test_going_away_in_silence) {
        Fixture f;
        Call call;

        set_up(&f);
        call_start(&f, &call, true, 0);
        wait_for_request(&f);
        fake_server_go_away(f.server, f.streams[0]);
        turn_until_idle(f.loop);
        ck_assert(!call.has_ended);
        f.env.now_us += 10 * US_PER_S;
        turn_until(f.loop, &f.is_lost);
        ck_assert_int_eq(call.code, GRPC_UNAVAILABLE);
        ck_assert(call.may_have_run);
        grpc_call_done(&call.grpc);
        tear_down(&f);
}
END_TEST

/* A message above the limit, and a compressed one, end their call alone. */
START_TEST(test_bad_messages) {
        static const uint8_t huge[] = { 0, 0x7f, 0xff, 0xff, 0xff, 1 };
        static const uint8_t compressed[] = { 1, 0, 0, 0, 1, 1 };
        Fixture f;
        Call large, odd, good;

        set_up(&f);
        call_start(&f, &large, true, 0);
        wait_for_request(&f);
        fake_server_send_raw(f.server, f.streams[0], huge, sizeof huge);
        turn_until(f.loop, &large.has_ended);
        ck_assert_int_eq(large.code, GRPC_RESOURCE_EXHAUSTED);
        ck_assert(large.is_local);

        call_start(&f, &odd, true, 0);
        wait_for_request(&f);
        fake_server_send_raw(f.server, f.streams[1], compressed, sizeof compressed);
        turn_until(f.loop, &odd.has_ended);
        ck_assert_int_eq(odd.code, GRPC_INTERNAL);

        call_start(&f, &good, true, 0);
        wait_for_request(&f);
        fake_server_end(f.server, f.streams[2], "0", NULL);
        turn_until(f.loop, &good.has_ended);
        ck_assert_int_eq(good.code, GRPC_OK);
        ck_assert(!f.is_lost);
        grpc_call_done(&large.grpc);
        grpc_call_done(&odd.grpc);
        grpc_call_done(&good.grpc);
        tear_down(&f);
}
END_TEST

/* An answer that was cut off is not a success, whatever its trailers say. */
START_TEST(test_cut_off) {
        static const uint8_t part[] = { 0, 0, 0, 0, 9, 'p', 'a' };
        Fixture f;
        Call call;

        set_up(&f);
        call_start(&f, &call, true, 0);
        wait_for_request(&f);
        fake_server_send_raw(f.server, f.streams[0], part, sizeof part);
        fake_server_end(f.server, f.streams[0], "0", NULL);
        turn_until(f.loop, &call.has_ended);
        ck_assert_int_ne(call.code, GRPC_OK);
        ck_assert(!call.has_message);
        grpc_call_done(&call.grpc);
        tear_down(&f);
}
END_TEST

/* A streaming call sends and receives any number of messages; the server may end it while our
 * half is open. */
START_TEST(test_streaming) {
        Fixture f;
        Call call;

        set_up(&f);
        call_start(&f, &call, false, 0);
        wait_for_request(&f);
        fake_server_send(f.server, f.streams[0], "one", 3);
        turn_until(f.loop, &call.has_message);
        call_add(&call, "more");
        call_add(&call, "");
        grpc_call_send(&call.grpc);
        f.n_requests = 0;
        wait_for_request(&f);
        turn_until_idle(f.loop);
        ck_assert_uint_eq(f.n_requests, 2);

        fake_server_send(f.server, f.streams[0], "two", 3);
        fake_server_send(f.server, f.streams[0], "three", 5);
        fake_server_end(f.server, f.streams[0], "14", "stopping");
        turn_until(f.loop, &call.has_ended);
        ck_assert_uint_eq(call.n_messages, 3);
        ck_assert_str_eq(call.answer, "three");
        ck_assert_int_eq(call.code, GRPC_UNAVAILABLE);
        ck_assert(!call.is_local);
        grpc_call_done(&call.grpc);
        tear_down(&f);
}
END_TEST

/* A call that is reset from its own callback gets neither the messages that have already come
 * nor its end. */
START_TEST(test_reset_in_callback) {
        Fixture f;
        Call call;

        set_up(&f);
        call_start(&f, &call, false, 0);
        call.resets_itself = true;
        wait_for_request(&f);
        fake_server_send(f.server, f.streams[0], "one", 3);
        fake_server_send(f.server, f.streams[0], "two", 3);
        fake_server_end(f.server, f.streams[0], "0", NULL);
        turn_until(f.loop, &call.has_message);
        turn_until_idle(f.loop);
        ck_assert_uint_eq(call.n_messages, 1);
        ck_assert_uint_eq(call.n_ends, 0);
        tear_down(&f);
}
END_TEST

/* A silent connection is asked for a sign of life; with one it stays, without one it is lost. */
START_TEST(test_silence) {
        Fixture f;
        Call call;

        set_up(&f);
        call_start(&f, &call, false, 0);
        wait_for_request(&f);
        turn_until_idle(f.loop);
        f.env.now_us += 10 * US_PER_S;
        turn_until_idle(f.loop);
        ck_assert_uint_eq(fake_server_n_pings(f.server), 1);
        f.env.now_us += 3 * US_PER_S;
        turn_until_idle(f.loop);
        ck_assert(!f.is_lost);

        fake_server_hang(f.server);
        f.env.now_us += 10 * US_PER_S;
        turn_until_idle(f.loop);
        ck_assert(!f.is_lost);
        f.env.now_us += 3 * US_PER_S;
        turn_until(f.loop, &f.is_lost);
        ck_assert_str_eq(f.reason, "the server is silent");
        ck_assert_int_eq(call.code, GRPC_UNAVAILABLE);
        grpc_call_done(&call.grpc);
        tear_down(&f);
}
END_TEST

/* A server that breaks the rules of HTTP/2 is given up at once, however long it stays, and talks. */
START_TEST(test_broken_rules) {
        static const char frames[] = "\0\0\0\4\0\0\0\0\0"  /* SETTINGS, which is fine */
                                     "\0\0\0\0\0\0\0\0\0"; /* DATA of the connection */
        Fixture f = { 0 };
        int fds[2];
        Call call;

        test_env_init(&f.env);
        ck_assert_int_eq(loop_new(&f.loop, &f.env.env), 0);
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        ck_assert_int_eq(grpc_channel_from_fd(&f.channel, f.loop, fds[0], "test", on_lost, &f), 0);
        call_start(&f, &call, false, 0);
        ck_assert_int_eq(write(fds[1], frames, sizeof frames - 1), sizeof frames - 1);
        turn_until(f.loop, &f.is_lost);
        ck_assert_str_eq(f.reason, "the server breaks the rules of HTTP/2");
        ck_assert_int_eq(call.code, GRPC_UNAVAILABLE);
        grpc_call_done(&call.grpc);
        (void)close(fds[1]);
        tear_down(&f);
}
END_TEST

/* An HTTP server that knows no gRPC is told from a gRPC status. */
START_TEST(test_plain_http) {
        Fixture f;
        Call call;

        set_up(&f);
        call_start(&f, &call, true, 0);
        wait_for_request(&f);
        fake_server_end_http(f.server, f.streams[0], "404");
        turn_until(f.loop, &call.has_ended);
        ck_assert_int_eq(call.code, GRPC_UNIMPLEMENTED);
        ck_assert(call.is_local);
        grpc_call_done(&call.grpc);
        tear_down(&f);
}
END_TEST

/* A connection that cannot be made is a lost channel; its calls were certainly not sent. */
START_TEST(test_connection_refused) {
        Fixture f = { 0 };
        Call call;
        uint16_t port;

        test_env_init(&f.env);
        ck_assert_int_eq(loop_new(&f.loop, &f.env.env), 0);
        f.server = fake_server_listen(f.loop, on_request, &f, &port);
        f.server = fake_server_free(f.server); /* nobody listens there now */
        ck_assert_int_eq(grpc_channel_connect(&f.channel, f.loop,
                                              &(GrpcTarget){ .host = "127.0.0.1", .port = port },
                                              1 * US_PER_S, on_lost, &f),
                         0);
        call_start(&f, &call, true, 0);
        turn_until(f.loop, &f.is_lost);
        ck_assert_int_eq(call.code, GRPC_UNAVAILABLE);
        ck_assert(!call.may_have_run);
        grpc_call_done(&call.grpc);
        tear_down(&f);
}
END_TEST

/* Aborting ends all calls with the reason given, and `lost` stays silent. */
START_TEST(test_abort) {
        Fixture f;
        Call call;

        set_up(&f);
        call_start(&f, &call, true, 0);
        wait_for_request(&f);
        grpc_channel_abort(f.channel, "enough");
        ck_assert_uint_eq(call.n_ends, 1);
        ck_assert_str_eq(call.text, "enough");
        turn_until_idle(f.loop);
        ck_assert_uint_eq(f.n_lost, 0);
        grpc_call_done(&call.grpc);
        tear_down(&f);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_unary,           test_trailers_only,
                test_deadline,        test_refused,
                test_connection_lost, test_max_concurrent_streams,
                test_going_away,      test_going_away_in_silence,
                test_bad_messages,    test_cut_off,
                test_streaming,       test_reset_in_callback,
                test_silence,         test_broken_rules,
                test_plain_http,      test_connection_refused,
                test_abort,
        };

        return tests_run("grpc-channel", tests, ELEMENTSOF(tests));
}
