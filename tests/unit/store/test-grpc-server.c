/* SPDX-License-Identifier: Apache-2.0 */

/* What a service gets of well-behaved clients: our own channel talks to the server in one loop. */

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/store/grpc-channel.h"
#include "tests/unit/fault.h"
#include "tests/unit/store/grpc-server-fixture.h"

/* A client's call and what became of it. */
typedef struct Call {
        GrpcCall grpc;
        bool has_ended, has_message;
        unsigned n_messages;
        size_t n_bytes;  /* of all messages */
        char answer[64]; /* the last message, as far as it fits */
        GrpcCode code;
        char text[128];
        bool is_local;
} Call;

/* A client of the server under test. */
typedef struct Client {
        GrpcChannel *channel;
        bool is_lost;
} Client;

static void on_message(GrpcCall *grpc, GrpcMessage *message) {
        Call *call = container_of(grpc, Call, grpc);
        size_t n = message->n_bytes < sizeof call->answer - 1 ? message->n_bytes
                                                              : sizeof call->answer - 1;

        memcpy(call->answer, message->bytes, n);
        call->answer[n] = '\0';
        call->has_message = true;
        call->n_messages++;
        call->n_bytes += message->n_bytes;
        free(message);
}

static void on_ended(GrpcCall *grpc, const GrpcStatus *status) {
        Call *call = container_of(grpc, Call, grpc);

        call->has_ended = true;
        call->code = status->code;
        call->is_local = status->is_local;
        (void)snprintf(call->text, sizeof call->text, "%s", status->message);
}

static const GrpcCallVtable call_vtable = { .message = on_message, .ended = on_ended };

static void on_lost(GrpcChannel *channel, const char *reason, void *userdata) {
        (void)channel;
        (void)reason;
        ((Client *)userdata)->is_lost = true;
}

static void connect_client(ServerFixture *f, Client *client) {
        int fds[2];

        *client = (Client){ 0 };
        server_fixture_pair(fds);
        ck_assert_int_eq(grpc_server_add_fd(f->server, fds[0]), 0);
        ck_assert_int_eq(
                grpc_channel_from_fd(&client->channel, f->loop, fds[1], "test", on_lost, client),
                0);
}

static void add(Call *call, size_t n_bytes, const char *text) {
        uint8_t *bytes;

        ck_assert_int_eq(grpc_call_add_message(&call->grpc, n_bytes, &bytes), 0);
        memset(bytes, 'x', n_bytes);
        memcpy(bytes, text, strlen(text) < n_bytes ? strlen(text) : n_bytes);
        if (grpc_call_is_running(&call->grpc))
                grpc_call_send(&call->grpc);
}

static void start(Client *client, Call *call, const char *path, const char *text,
                  uint64_t timeout_us) {
        bool is_stream = streq(path, PATH_STREAM);

        *call = (Call){ 0 };
        grpc_call_init(&call->grpc, &call_vtable, path, !is_stream);
        add(call, strlen(text), text);
        ck_assert_int_eq(grpc_call_start(client->channel, &call->grpc, timeout_us), 0);
}

static void finish(ServerFixture *f, Client *client) {
        client->channel = grpc_channel_free(client->channel);
        server_fixture_done(f);
}

/* A unary call is told once, with its one message, and answered with a message and a status. */
START_TEST(test_unary) {
        ServerFixture f;
        Client client;
        Call call;

        server_fixture_init(&f);
        connect_client(&f, &client);
        start(&client, &call, PATH_UNARY, "question", 0);
        turn_until(f.loop, &f.has_message);
        ck_assert_str_eq(f.text, "question");
        ck_assert_str_eq(grpc_server_call_method(f.call)->path, PATH_UNARY);
        ck_assert_uint_eq(grpc_server_calls(f.server), 1);

        server_fixture_answer(&f, "answer");
        grpc_server_call_end(f.call, GRPC_OK, "");
        turn_until(f.loop, &call.has_ended);
        ck_assert_int_eq(call.code, GRPC_OK);
        ck_assert_str_eq(call.answer, "answer");
        ck_assert_uint_eq(call.n_messages, 1);
        turn_until_idle(f.loop);
        ck_assert_uint_eq(f.n_gone, 0);
        ck_assert_uint_eq(f.n_messages, 1);
        ck_assert_uint_eq(grpc_server_calls(f.server), 0);
        grpc_call_done(&call.grpc);
        finish(&f, &client);
}
END_TEST

/* An error needs no message, and its words arrive as they are. */
START_TEST(test_error) {
        ServerFixture f;
        Client client;
        Call call;

        server_fixture_init(&f);
        connect_client(&f, &client);
        start(&client, &call, PATH_UNARY, "question", 0);
        turn_until(f.loop, &f.has_message);
        grpc_server_call_end(f.call, GRPC_NOT_FOUND, "etcdserver: 100% gone");
        turn_until(f.loop, &call.has_ended);
        ck_assert_int_eq(call.code, GRPC_NOT_FOUND);
        ck_assert_str_eq(call.text, "etcdserver: 100% gone");
        ck_assert(!call.is_local);
        grpc_call_done(&call.grpc);
        finish(&f, &client);
}
END_TEST

/* A stream carries messages both ways, in order, until the service ends it; what it had queued
 * comes before the end. */
START_TEST(test_stream) {
        ServerFixture f;
        Client client;
        Call call;

        server_fixture_init(&f);
        connect_client(&f, &client);
        start(&client, &call, PATH_STREAM, "one", 0);
        turn_until(f.loop, &f.has_message);
        server_fixture_answer(&f, "first");
        turn_until(f.loop, &call.has_message);
        ck_assert_str_eq(call.answer, "first");

        f.has_message = false;
        add(&call, 3, "two");
        turn_until(f.loop, &f.has_message);
        ck_assert_str_eq(f.text, "two");
        for (int i = 0; i < 100; i++)
                server_fixture_answer(&f, "more");
        server_fixture_answer(&f, "last");
        grpc_server_call_end(f.call, GRPC_OUT_OF_RANGE, "compacted");
        turn_until(f.loop, &call.has_ended);
        ck_assert_uint_eq(call.n_messages, 102);
        ck_assert_str_eq(call.answer, "last");
        ck_assert_int_eq(call.code, GRPC_OUT_OF_RANGE);
        turn_until_idle(f.loop);
        ck_assert_uint_eq(grpc_server_calls(f.server), 0);
        grpc_call_done(&call.grpc);
        finish(&f, &client);
}
END_TEST

/* Many calls on one connection do not mix. */
START_TEST(test_many_calls) {
        enum { N = 300 };
        static Call calls[N];
        ServerFixture f;
        Client client;

        server_fixture_init(&f);
        f.echoes = true;
        connect_client(&f, &client);
        for (size_t i = 0; i < N; i++) {
                char text[16];

                (void)snprintf(text, sizeof text, "call %zu", i);
                start(&client, &calls[i], PATH_UNARY, text, 0);
        }
        for (size_t i = 0; i < N; i++) {
                char text[16];

                (void)snprintf(text, sizeof text, "call %zu", i);
                turn_until(f.loop, &calls[i].has_ended);
                ck_assert_int_eq(calls[i].code, GRPC_OK);
                ck_assert_str_eq(calls[i].answer, text);
                grpc_call_done(&calls[i].grpc);
        }
        ck_assert_uint_eq(f.n_messages, N);
        finish(&f, &client);
}
END_TEST

/* A large answer passes through queues and windows as it is. */
START_TEST(test_large_answer) {
        enum { N_BYTES = 33 << 20 };
        ServerFixture f;
        Client client;
        uint8_t *bytes;
        Call call;

        server_fixture_init(&f);
        connect_client(&f, &client);
        start(&client, &call, PATH_UNARY, "question", 0);
        turn_until(f.loop, &f.has_message);
        ck_assert_int_eq(grpc_server_call_add_message(f.call, N_BYTES, &bytes), 0);
        memset(bytes, 'y', N_BYTES);
        grpc_server_call_end(f.call, GRPC_OK, "");
        turn_until(f.loop, &call.has_ended);
        ck_assert_int_eq(call.code, GRPC_OK);
        ck_assert_uint_eq(call.n_bytes, N_BYTES);
        grpc_call_done(&call.grpc);
        finish(&f, &client);
}
END_TEST

/* A client that gives its call up, and one that is not there any more, are told. */
START_TEST(test_gone_clients) {
        ServerFixture f;
        Client client;
        Call call;

        server_fixture_init(&f);
        connect_client(&f, &client);
        start(&client, &call, PATH_STREAM, "watch", 0);
        turn_until(f.loop, &f.has_message);
        grpc_call_done(&call.grpc);
        turn_until(f.loop, &f.is_gone);
        ck_assert_int_eq(f.why, GRPC_GONE_CANCELLED);
        ck_assert_uint_eq(f.n_gone, 1);

        f.has_message = f.is_gone = false;
        start(&client, &call, PATH_UNARY, "question", 0);
        turn_until(f.loop, &f.has_message);
        server_fixture_answer(&f, "half of an answer");
        client.channel = grpc_channel_free(client.channel);
        turn_until(f.loop, &f.is_gone);
        ck_assert_int_eq(f.why, GRPC_GONE_CANCELLED);
        turn_until_idle(f.loop);
        ck_assert_uint_eq(f.n_gone, 2);
        ck_assert_uint_eq(grpc_server_connections(f.server), 0);
        ck_assert_uint_eq(f.n_troubles, 0);
        grpc_call_done(&call.grpc);
        finish(&f, &client);
}
END_TEST

/* A service may end, from the callback about one call, another, and one whose client has just
 * gone. */
START_TEST(test_ends_in_callbacks) {
        ServerFixture f;
        Client client;
        Call a, b;

        server_fixture_init(&f);
        connect_client(&f, &client);
        start(&client, &a, PATH_STREAM, "a", 0);
        turn_until(f.loop, &f.has_message);
        f.other = f.call;
        f.has_message = false;
        f.ends_other = true;
        start(&client, &b, PATH_STREAM, "b", 0);
        grpc_call_done(&a.grpc);
        turn_until(f.loop, &f.has_message);
        turn_until_idle(f.loop);
        ck_assert_ptr_null(f.other);
        ck_assert_uint_le(f.n_gone, 1);
        grpc_server_call_end(f.call, GRPC_OK, "");
        turn_until(f.loop, &b.has_ended);
        ck_assert_uint_eq(grpc_server_calls(f.server), 0);
        grpc_call_done(&b.grpc);
        grpc_call_done(&a.grpc);
        grpc_call_done(&b.grpc);
        finish(&f, &client);
}
END_TEST

/* The client's deadline ends the call on this side, too. */
START_TEST(test_deadline) {
        ServerFixture f;
        RawClient client;
        RawFrame frame;

        server_fixture_init(&f);
        server_fixture_connect(&f, &client);
        raw_request(&client, 1, 0, PATH_UNARY, (const char *[]){ "grpc-timeout", "2S", NULL });
        raw_message(&client, 1, RAW_END_STREAM, "question");
        turn_until(f.loop, &f.has_message);
        f.env.now_us += 1900 * US_PER_MS;
        turn_until_idle(f.loop);
        ck_assert_uint_eq(f.n_gone, 0);
        f.env.now_us += 200 * US_PER_MS;
        turn_until(f.loop, &f.is_gone);
        ck_assert_int_eq(f.why, GRPC_GONE_DEADLINE);
        ck_assert(server_fixture_await(&f, &client, RAW_HEADERS, 1, &frame));
        ck_assert(raw_has_header(&client, "grpc-status", "4"));
        raw_client_done(&client);
        server_fixture_done(&f);
}
END_TEST

/* What the server does not know is refused, and the connection serves on. */
START_TEST(test_unknown_method) {
        ServerFixture f;
        Client client;
        Call call;

        server_fixture_init(&f);
        f.echoes = true;
        connect_client(&f, &client);
        start(&client, &call, "/test.Test/Nothing", "question", 0);
        turn_until(f.loop, &call.has_ended);
        ck_assert_int_eq(call.code, GRPC_UNIMPLEMENTED);
        ck_assert_str_eq(call.text, "unknown service or method");
        grpc_call_done(&call.grpc);
        start(&client, &call, PATH_UNARY, "question", 0);
        turn_until(f.loop, &call.has_ended);
        ck_assert_int_eq(call.code, GRPC_OK);
        ck_assert_uint_eq(f.n_messages, 1);
        grpc_call_done(&call.grpc);
        finish(&f, &client);
}
END_TEST

/* A paused call gets no message until it goes on, and its client cannot send without end. */
START_TEST(test_pause) {
        enum { N_BYTES = 1 << 20, N = 12 };
        ServerFixture f;
        Client client;
        Call call;

        server_fixture_init(&f);
        connect_client(&f, &client);
        f.pauses = true;
        start(&client, &call, PATH_STREAM, "first", 0);
        turn_until(f.loop, &f.has_message);
        for (int i = 0; i < N; i++)
                add(&call, N_BYTES, "more");
        turn_until_idle(f.loop);
        ck_assert_uint_eq(f.n_messages, 1);
        ck_assert_uint_gt(call.grpc.output.n_bytes, (N - 1) * N_BYTES);

        while (f.n_messages < 1 + N) {
                f.has_message = false;
                grpc_server_call_pause(f.call, false);
                turn_until(f.loop, &f.has_message);
        }
        ck_assert_uint_eq(call.grpc.output.n_bytes, 0);
        grpc_call_done(&call.grpc);
        finish(&f, &client);
}
END_TEST

/* A request up to the limit is taken, a larger one is refused as etcd does; the others go on. */
START_TEST(test_large_requests) {
        ServerFixture f;
        Client client;
        Call call = { 0 }, other;

        server_fixture_init(&f);
        f.echoes = true;
        connect_client(&f, &client);
        grpc_call_init(&call.grpc, &call_vtable, PATH_UNARY, true);
        add(&call, GRPC_SERVER_REQUEST_MAX_BYTES, "large");
        ck_assert_int_eq(grpc_call_start(client.channel, &call.grpc, 0), 0);
        turn_until(f.loop, &call.has_ended);
        ck_assert_int_eq(call.code, GRPC_OK);
        grpc_call_done(&call.grpc);

        call.has_ended = false;
        grpc_call_init(&call.grpc, &call_vtable, PATH_UNARY, true);
        add(&call, GRPC_SERVER_REQUEST_MAX_BYTES + 1, "larger");
        ck_assert_int_eq(grpc_call_start(client.channel, &call.grpc, 0), 0);
        start(&client, &other, PATH_UNARY, "other", 0);
        turn_until(f.loop, &call.has_ended);
        ck_assert_int_eq(call.code, GRPC_RESOURCE_EXHAUSTED);
        turn_until(f.loop, &other.has_ended);
        ck_assert_int_eq(other.code, GRPC_OK);
        grpc_call_done(&call.grpc);
        grpc_call_done(&other.grpc);
        finish(&f, &client);
}
END_TEST

/* Closing ends streams at once and waits for requests, whose answers still arrive; then the
 * connections are closed, and the owner is told once. */
START_TEST(test_close) {
        ServerFixture f;
        Client client;
        Call stream, unary;

        server_fixture_init(&f);
        connect_client(&f, &client);
        start(&client, &stream, PATH_STREAM, "watch", 0);
        turn_until(f.loop, &f.has_message);
        f.has_message = false;
        start(&client, &unary, PATH_UNARY, "question", 0);
        turn_until(f.loop, &f.has_message);

        grpc_server_close(f.server, server_fixture_on_closed);
        ck_assert_uint_eq(f.n_gone, 0);
        turn_until(f.loop, &f.is_gone);
        ck_assert_int_eq(f.why, GRPC_GONE_SHUTDOWN);
        turn_until(f.loop, &stream.has_ended);
        ck_assert_int_eq(stream.code, GRPC_UNAVAILABLE);
        server_fixture_answer(&f, "answer");
        grpc_server_call_end(f.call, GRPC_OK, "");
        turn_until(f.loop, &unary.has_ended);
        ck_assert_int_eq(unary.code, GRPC_OK);
        ck_assert_str_eq(unary.answer, "answer");
        turn_until(f.loop, &f.is_closed);
        ck_assert(client.is_lost);
        ck_assert_uint_eq(grpc_server_connections(f.server), 0);
        grpc_call_done(&stream.grpc);
        grpc_call_done(&unary.grpc);
        finish(&f, &client);
}
END_TEST

/* What is not answered within a second of closing is ended. */
START_TEST(test_close_is_bounded) {
        ServerFixture f;
        Client client;
        Call unary;

        server_fixture_init(&f);
        connect_client(&f, &client);
        start(&client, &unary, PATH_UNARY, "question", 0);
        turn_until(f.loop, &f.has_message);
        grpc_server_close(f.server, server_fixture_on_closed);
        turn_until_idle(f.loop);
        ck_assert(!f.is_closed);
        f.env.now_us += 1 * US_PER_S;
        turn_until(f.loop, &f.is_gone);
        ck_assert_int_eq(f.why, GRPC_GONE_SHUTDOWN);
        turn_until(f.loop, &f.is_closed);
        turn_until(f.loop, &unary.has_ended);
        ck_assert_int_eq(unary.code, GRPC_UNAVAILABLE);
        grpc_call_done(&unary.grpc);
        finish(&f, &client);
}
END_TEST

/* Freeing the server tells of every call that the service has. */
START_TEST(test_free) {
        ServerFixture f;
        Client client;
        Call call;

        server_fixture_init(&f);
        connect_client(&f, &client);
        start(&client, &call, PATH_STREAM, "watch", 0);
        turn_until(f.loop, &f.has_message);
        f.server = grpc_server_free(f.server);
        ck_assert_uint_eq(f.n_gone, 1);
        ck_assert_int_eq(f.why, GRPC_GONE_SHUTDOWN);
        turn_until(f.loop, &call.has_ended);
        grpc_call_done(&call.grpc);
        finish(&f, &client);
}
END_TEST

/* A server listens on addresses of both kinds, says its port, and says why it cannot. */
START_TEST(test_listening) {
        static const char *const hosts[] = { "127.0.0.1", "::1", "" };
        GrpcTarget target = { .host = "127.0.0.1" };
        ServerFixture f;
        Client client = { 0 };
        Diag diag = { 0 };
        Call call;

        server_fixture_init(&f);
        f.echoes = true;
        for (size_t i = 0; i < ELEMENTSOF(hosts); i++) {
                ck_assert_int_eq(grpc_server_listen(f.server, hosts[i], 0, NULL, &diag), 0);
                ck_assert_uint_gt(grpc_server_port(f.server), 0);
        }
        target.port = grpc_server_port(f.server);
        ck_assert_int_eq(grpc_server_listen(f.server, "127.0.0.1", target.port, NULL, &diag),
                         -EADDRINUSE);
        ck_assert_ptr_nonnull(strstr(diag.message, "cannot listen on 127.0.0.1 port"));
        ck_assert_int_eq(grpc_server_listen(f.server, "localhost", 0, NULL, &diag), -EINVAL);

        ck_assert_int_eq(
                grpc_channel_connect(&client.channel, f.loop, &target, US_PER_S, on_lost, &client),
                0);
        start(&client, &call, PATH_UNARY, "over TCP", 0);
        turn_until(f.loop, &call.has_ended);
        ck_assert_str_eq(call.answer, "over TCP");
        grpc_call_done(&call.grpc);
        finish(&f, &client);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_unary,
                test_error,
                test_stream,
                test_many_calls,
                test_large_answer,
                test_deadline,
                test_gone_clients,
                test_ends_in_callbacks,
                test_unknown_method,
                test_pause,
                test_large_requests,
                test_close,
                test_close_is_bounded,
                test_free,
                test_listening,
        };

        return tests_run("grpc-server", tests, ELEMENTSOF(tests));
}
