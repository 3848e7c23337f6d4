/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A service for tests: two methods, and notes of what came. */

#include <check.h>

#include "lib/store/grpc-server.h"
#include "tests/unit/store/fake-server.h"
#include "tests/unit/store/raw-client.h"

#define PATH_UNARY  "/test.Test/Unary"
#define PATH_STREAM "/test.Test/Stream"

/* The server under test, and what its service was told. */
typedef struct ServerFixture {
        TestEnv env;
        Loop *loop;
        GrpcServer *server;
        bool echoes;           /* every message is answered with itself; unary calls end */
        bool is_short;         /* of memory: a call that cannot be answered is ended */
        bool pauses;           /* the call is paused with every message */
        bool ends_other;       /* the next message ends `other` */
        GrpcServerCall *call;  /* of the last message; may be gone */
        GrpcServerCall *other; /* set by the test; NULL once it was ended, or is gone */
        bool has_message, is_gone, is_finished, is_drained, is_closed, has_trouble;
        unsigned n_messages, n_gone, n_finished, n_drained, n_troubles;
        char text[64];     /* the last message, as far as it fits */
        char trouble[512]; /* the last */
        GrpcGone why;
} ServerFixture;

void server_fixture_init(ServerFixture *f);
void server_fixture_done(ServerFixture *f);

/* Two connected sockets. */
void server_fixture_pair(int fds[static 2]);

/* Connect a raw client, up to its SETTINGS. */
void server_fixture_connect(ServerFixture *f, RawClient *client);

/* Queue a message on `f->call`. */
void server_fixture_answer(ServerFixture *f, const char *text);

/* For grpc_server_close(). */
void server_fixture_on_closed(GrpcServer *server, void *service);

/* Turn the loop until such a frame has come; false when nothing more comes. */
bool server_fixture_await(ServerFixture *f, RawClient *client, uint8_t type, uint32_t stream,
                          RawFrame *ret_frame);

/* Turn the loop until the server has closed the connection; false when nothing more comes. */
bool server_fixture_await_close(ServerFixture *f, RawClient *client);
