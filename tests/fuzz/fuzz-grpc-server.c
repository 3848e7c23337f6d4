/* SPDX-License-Identifier: Apache-2.0 */

/* A client of the gRPC server: any bytes, sent after a greeting or in its place. The service behind
 * it answers, pauses, ends and forgets calls by what the messages say. Property: nothing crashes or
 * leaks, and when the client has gone, so has everything of it. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/macro.h"
#include "lib/store/grpc-server.h"
#include "tests/fuzz/fuzz.h"

enum { TURNS = 12, ANSWER_BYTES = 100 << 10 };

/* What the service knows: how many calls are its own. */
typedef struct Service {
        int n_held;
} Service;

static void answer(GrpcServerCall *call, size_t n_bytes) {
        uint8_t *bytes;

        if (grpc_server_call_add_message(call, n_bytes, &bytes) == 0)
                memset(bytes, 'a', n_bytes);
}

static void hold(GrpcServerCall *call, Service *service) {
        if (grpc_server_call_data(call))
                return;
        grpc_server_call_set_data(call, service);
        service->n_held++;
}

static void let_go(GrpcServerCall *call, Service *service) {
        service->n_held--;
        grpc_server_call_end(call, GRPC_NOT_FOUND, "what \xff % it is");
}

static void on_message(GrpcServerCall *call, GrpcMessage *message, void *userdata) {
        uint8_t command = message->n_bytes > 0 ? message->bytes[0] : 0;

        hold(call, userdata);
        free(message);
        switch (command % 5) {
        case 0:
                answer(call, ANSWER_BYTES);
                return;
        case 1:
                grpc_server_call_pause(call, true);
                return;
        case 2:
                answer(call, 1);
                let_go(call, userdata);
                return;
        case 3:
                let_go(call, userdata);
                return;
        default:
                return; /* it is answered never */
        }
}

static void on_finished(GrpcServerCall *call, void *userdata) {
        hold(call, userdata);
        let_go(call, userdata);
}

static void on_gone(GrpcServerCall *call, GrpcGone why, void *userdata) {
        (void)call;
        (void)why;
        ((Service *)userdata)->n_held--;
}

static void on_drained(GrpcServerCall *call, void *userdata) {
        (void)userdata;
        answer(call, ANSWER_BYTES);
}

static const GrpcMethod methods[] = {
        { .path = "/u",
          .takes_one = true,
          .message = on_message,
          .drained = on_drained,
          .gone = on_gone },
        { .path = "/s",
          .message = on_message,
          .finished = on_finished,
          .drained = on_drained,
          .gone = on_gone },
        { .path = "/e", .message = on_message, .gone = on_gone },
};

static uint64_t fixed_now_us(Env *env) {
        (void)env;
        return US_PER_S;
}

static void fixed_bytes(Env *env, void *bytes, size_t n_bytes) {
        (void)env;
        memset(bytes, 0, n_bytes);
}

static const EnvVtable env_vtable = {
        .now_us = fixed_now_us,
        .wall_us = fixed_now_us,
        .random_bytes = fixed_bytes,
};

static void turn(Loop *loop) {
        for (int i = 0; i < TURNS; i++)
                fuzz_require(loop_turn(loop, 0) == 0, "the loop turns");
}

/* Sends bytes, in two pieces if there are many. */
static void send_to(Loop *loop, int fd, const uint8_t *bytes, size_t n_bytes) {
        size_t n_first = n_bytes > 40 ? n_bytes / 2 : n_bytes;

        (void)send(fd, bytes, n_first, MSG_DONTWAIT | MSG_NOSIGNAL);
        turn(loop);
        (void)send(fd, bytes + n_first, n_bytes - n_first, MSG_DONTWAIT | MSG_NOSIGNAL);
        turn(loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        static const char greeting[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
        Env env = { .vtable = &env_vtable };
        Service service = { 0 };
        GrpcService row = { methods, ELEMENTSOF(methods), .service = &service };
        GrpcServer *server;
        Loop *loop;
        int fds[2];

        fuzz_require(loop_new(&loop, &env) == 0, "there is a loop");
        fuzz_require(grpc_server_new(&server, loop, &row) == 0, "there is a server");
        fuzz_require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0,
                     "there are sockets");
        fuzz_require(grpc_server_add_fd(server, fds[0]) == 0, "it is served");

        if (n_bytes > 0 && data[0] != 'P')
                send_to(loop, fds[1], (const uint8_t *)greeting, sizeof greeting);
        send_to(loop, fds[1], data, n_bytes);
        (void)close(fds[1]);
        turn(loop);
        fuzz_require(grpc_server_connections(server) == 0, "the client is gone");
        fuzz_require(grpc_server_calls(server) == 0, "so are its calls");
        fuzz_require(service.n_held == 0, "and the service knows");

        (void)grpc_server_free(server);
        (void)loop_free(loop);
        return 0;
}
