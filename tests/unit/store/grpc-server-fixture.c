/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/unit/store/grpc-server-fixture.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static bool can_answer(GrpcServerCall *call) {
        uint8_t *bytes;

        if (grpc_server_call_add_message(call, 1, &bytes) < 0)
                return false;
        *bytes = '!';
        return true;
}

static void on_message(GrpcServerCall *call, GrpcMessage *message, void *service) {
        ServerFixture *f = service;
        size_t n = message->n_bytes < sizeof f->text - 1 ? message->n_bytes : sizeof f->text - 1;

        memcpy(f->text, message->bytes, n);
        f->text[n] = '\0';
        free(message);
        f->call = call;
        f->has_message = true;
        f->n_messages++;
        if (f->ends_other && f->other) {
                grpc_server_call_end(f->other, GRPC_OK, "");
                f->other = NULL;
        }
        if (f->pauses)
                grpc_server_call_pause(call, true);
        if (!f->echoes)
                return;
        if (f->is_short && !can_answer(call)) {
                grpc_server_call_end(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
                return;
        }
        if (!f->is_short)
                server_fixture_answer(f, f->text);
        if (grpc_server_call_method(call)->takes_one)
                grpc_server_call_end(call, GRPC_OK, "");
}

static void on_finished(GrpcServerCall *call, void *service) {
        ServerFixture *f = service;

        f->call = call;
        f->is_finished = true;
        f->n_finished++;
}

static void on_drained(GrpcServerCall *call, void *service) {
        ServerFixture *f = service;

        (void)call;
        f->is_drained = true;
        f->n_drained++;
}

static void on_gone(GrpcServerCall *call, GrpcGone why, void *service) {
        ServerFixture *f = service;

        if (f->other == call)
                f->other = NULL;
        f->is_gone = true;
        f->n_gone++;
        f->why = why;
}

static void on_trouble(const char *peer, const char *words, void *service) {
        ServerFixture *f = service;

        f->n_troubles++;
        f->has_trouble = true;
        (void)snprintf(f->trouble, sizeof f->trouble, "%s: %s", peer ? peer : "-", words);
}

static const GrpcMethod methods[] = {
        { .path = PATH_UNARY,
          .takes_one = true,
          .message = on_message,
          .drained = on_drained,
          .gone = on_gone },
        { .path = PATH_STREAM,
          .message = on_message,
          .finished = on_finished,
          .drained = on_drained,
          .gone = on_gone },
};

void server_fixture_on_closed(GrpcServer *server, void *service) {
        ServerFixture *f = service;

        ck_assert_ptr_eq(server, f->server);
        ck_assert(!f->is_closed);
        f->is_closed = true;
}

void server_fixture_init(ServerFixture *f) {
        GrpcService service = {
                .methods = methods,
                .n_methods = ELEMENTSOF(methods),
                .trouble = on_trouble,
                .service = f,
        };

        *f = (ServerFixture){ 0 };
        test_env_init(&f->env);
        ck_assert_int_eq(loop_new(&f->loop, &f->env.env), 0);
        ck_assert_int_eq(grpc_server_new(&f->server, f->loop, &service), 0);
}

void server_fixture_done(ServerFixture *f) {
        f->server = grpc_server_free(f->server);
        f->loop = loop_free(f->loop);
}

void server_fixture_pair(int fds[static 2]) {
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
                         0);
}

void server_fixture_connect(ServerFixture *f, RawClient *client) {
        ck_assert_int_eq(grpc_server_add_fd(f->server, raw_client_open(client)), 0);
        raw_hello(client);
}

void server_fixture_answer(ServerFixture *f, const char *text) {
        uint8_t *bytes;

        ck_assert_int_eq(grpc_server_call_add_message(f->call, strlen(text), &bytes), 0);
        memcpy(bytes, text, strlen(text));
}

bool server_fixture_await(ServerFixture *f, RawClient *client, uint8_t type, uint32_t stream,
                          RawFrame *ret_frame) {
        for (int n = 0; n < 3; n++) {
                while (raw_receive(client, ret_frame)) {
                        if (ret_frame->type == type && ret_frame->stream == stream)
                                return true;
                        n = 0;
                }
                turn_until_idle(f->loop);
        }
        return false;
}

bool server_fixture_await_close(ServerFixture *f, RawClient *client) {
        for (int n = 0; n < 3 && !raw_is_closed(client); n++)
                turn_until_idle(f->loop);
        return raw_is_closed(client);
}
