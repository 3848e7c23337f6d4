/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A gRPC server inside the test's own loop, and a clock that the test moves: what a peer does, and
 * when, is written in the test. It serves one connection at a time, over a socketpair or a port of
 * the loopback. Everything that fails in it fails the test.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/loop/loop.h"
#include "lib/store/grpc-frame.h"

typedef struct FakeServer FakeServer;

/* A whole message of a call arrived; the call's stream takes answers from now on. */
typedef void (*FakeMessageFn)(FakeServer *server, int32_t stream, const char *path,
                              const GrpcMessage *message, void *userdata);

/* Environment of a test: time moves only by test_env_advance(). */
typedef struct TestEnv {
        Env env;
        uint64_t now_us;
} TestEnv;

void test_env_init(TestEnv *env);

/* A server on one end of a socketpair. The other end is the client's. */
FakeServer *fake_server_on_socketpair(Loop *loop, FakeMessageFn fn, void *userdata,
                                      int *ret_client_fd);

/* A server on a free port of 127.0.0.1. */
FakeServer *fake_server_listen(Loop *loop, FakeMessageFn fn, void *userdata, uint16_t *ret_port);

FakeServer *fake_server_free(FakeServer *server);
DEFINE_CLEANUP(FakeServer, fake_server_free)

/* Allow the client so many streams at once; before anything else. */
void fake_server_set_max_streams(FakeServer *server, uint32_t n);

/* Answer with one message. */
void fake_server_send(FakeServer *server, int32_t id, const void *bytes, size_t n_bytes);

/* Answer with bytes that need not be a message. */
void fake_server_send_raw(FakeServer *server, int32_t id, const void *bytes, size_t n_bytes);

/* End the call: with trailers, or with headers alone when nothing was sent. `text` is
 * percent-encoded, or NULL. */
void fake_server_end(FakeServer *server, int32_t id, const char *code, const char *text);

/* Answer as an HTTP server that knows no gRPC. */
void fake_server_end_http(FakeServer *server, int32_t id, const char *http_status);

/* RST_STREAM. */
void fake_server_reset(FakeServer *server, int32_t id, uint32_t error_code);

/* GOAWAY: streams up to `last_stream` will be served. */
void fake_server_go_away(FakeServer *server, int32_t last_stream);

/* Do not read any more: a process that hangs. */
void fake_server_hang(FakeServer *server);

/* Close the connection; a listening server takes the next one. */
void fake_server_drop(FakeServer *server);

/* What the client sent. */
unsigned fake_server_n_pings(const FakeServer *server);
unsigned fake_server_n_resets(const FakeServer *server);
unsigned fake_server_n_connections(const FakeServer *server);

/* The value of a header of the latest call, or NULL. */
const char *fake_server_header(const FakeServer *server, const char *name);

/* Turn the loop until `*flag` is set; fails the test when it takes longer than 10 s of real
 * time. */
void turn_until(Loop *loop, const bool *flag);

/* Turn the loop until nothing more comes for a moment: for claims that something does not
 * happen. */
void turn_until_idle(Loop *loop);
