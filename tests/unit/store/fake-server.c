/* SPDX-License-Identifier: Apache-2.0 */

/* The fake gRPC server: an nghttp2 server session over a Stream, driven by the test's own loop. */

#include "tests/unit/store/fake-server.h"

#include <arpa/inet.h>
#include <check.h>
#include <nghttp2/nghttp2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/loop/stream.h"

enum { FAKE_HEADERS_MAX = 16, FAKE_TURNS_IDLE = 20 };

/* A call as the server sees it. */
typedef struct FakeStream {
        ListNode node;
        int32_t id;
        char path[96];
        GrpcFrameReader reader;
        Buf output;
        bool has_headers; /* of the answer */
        bool has_end;
        char code[8];
        char message[128];
} FakeStream;

struct FakeServer {
        Loop *loop;
        FakeMessageFn fn;
        void *userdata;
        int listen_fd;
        LoopIo listen_io;
        LoopHook hook;
        Stream *stream;
        nghttp2_session *session;
        List streams;
        bool hangs;
        uint32_t max_streams;
        unsigned n_pings;
        unsigned n_resets;
        unsigned n_connections;
        size_t n_headers;
        char names[FAKE_HEADERS_MAX][32];
        char values[FAKE_HEADERS_MAX][96];
};

/* The clock. */

static uint64_t test_now_us(Env *env) {
        return container_of(env, TestEnv, env)->now_us;
}

static void test_random_bytes(Env *env, void *bytes, size_t n_bytes) {
        (void)env;
        memset(bytes, 0, n_bytes);
}

static const EnvVtable test_env_vtable = {
        .now_us = test_now_us,
        .wall_us = test_now_us,
        .random_bytes = test_random_bytes,
};

void test_env_init(TestEnv *env) {
        *env = (TestEnv){ .env.vtable = &test_env_vtable, .now_us = 1000 * US_PER_S };
}

/* nghttp2's callbacks. */

static FakeStream *fake_stream(FakeServer *server, int32_t id) {
        return nghttp2_session_get_stream_user_data(server->session, id);
}

static int fake_on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *userdata) {
        FakeServer *server = userdata;
        FakeStream *stream;

        if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
                return 0;

        stream = calloc(1, sizeof *stream);
        ck_assert_ptr_nonnull(stream);
        stream->id = frame->hd.stream_id;
        stream->output = buf_make(SIZE_MAX);
        list_append(&server->streams, &stream->node);
        ck_assert_int_eq(nghttp2_session_set_stream_user_data(session, stream->id, stream), 0);
        server->n_headers = 0;
        return 0;
}

static int fake_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                          size_t n_name, const uint8_t *value, size_t n_value, uint8_t flags,
                          void *userdata) {
        FakeServer *server = userdata;
        FakeStream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
        size_t i = server->n_headers++;

        (void)flags;
        ck_assert_uint_lt(i, FAKE_HEADERS_MAX);
        (void)snprintf(server->names[i], sizeof server->names[i], "%.*s", (int)n_name, name);
        (void)snprintf(server->values[i], sizeof server->values[i], "%.*s", (int)n_value, value);
        if (streq(server->names[i], ":path"))
                memcpy(stream->path, server->values[i], sizeof stream->path);
        return 0;
}

static int fake_on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                        size_t n_bytes, void *userdata) {
        FakeStream *stream = nghttp2_session_get_stream_user_data(session, id);

        (void)flags;
        (void)userdata;
        if (stream)
                ck_assert_int_eq(grpc_frame_reader_feed(&stream->reader, bytes, n_bytes), 0);
        return 0;
}

static int fake_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *userdata) {
        FakeServer *server = userdata;

        (void)session;
        server->n_pings += frame->hd.type == NGHTTP2_PING;
        server->n_resets += frame->hd.type == NGHTTP2_RST_STREAM;
        return 0;
}

static void fake_stream_free(FakeStream *stream) {
        list_remove(&stream->node);
        grpc_frame_reader_done(&stream->reader);
        buf_done(&stream->output);
        free(stream);
}

static int fake_on_close(nghttp2_session *session, int32_t id, uint32_t error_code,
                         void *userdata) {
        FakeStream *stream = nghttp2_session_get_stream_user_data(session, id);

        (void)error_code;
        (void)userdata;
        if (stream)
                fake_stream_free(stream);
        return 0;
}

static nghttp2_nv fake_header(const char *name, const char *value) {
        return (nghttp2_nv){
                .name = (uint8_t *)name,
                .namelen = strlen(name),
                .value = (uint8_t *)value,
                .valuelen = strlen(value),
        };
}

static ssize_t fake_on_read(nghttp2_session *session, int32_t id, uint8_t *target, size_t n_room,
                            uint32_t *flags, nghttp2_data_source *source, void *userdata) {
        FakeStream *stream = nghttp2_session_get_stream_user_data(session, id);
        size_t n = stream->output.n_bytes < n_room ? stream->output.n_bytes : n_room;

        (void)source;
        (void)userdata;
        if (n > 0) {
                memcpy(target, stream->output.data, n);
                stream->output.n_bytes -= n;
                memmove(stream->output.data, stream->output.data + n, stream->output.n_bytes);
        }
        if (stream->output.n_bytes == 0 && stream->has_end) {
                nghttp2_nv trailers[] = {
                        fake_header("grpc-status", stream->code),
                        fake_header("grpc-message", stream->message),
                };

                *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
                ck_assert_int_eq(nghttp2_submit_trailer(session, id, trailers, 2), 0);
                return (ssize_t)n;
        }
        return n > 0 ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
}

/* The connection. */

static void fake_disconnect(FakeServer *server) {
        ListNode *node;

        while ((node = list_first(&server->streams)))
                fake_stream_free(container_of(node, FakeStream, node));
        server->stream = stream_free(server->stream);
        nghttp2_session_del(server->session);
        server->session = NULL;
}

static void fake_dispatch(FakeServer *server) {
        for (ListNode *next, *n = list_first(&server->streams); n; n = next) {
                FakeStream *stream = container_of(n, FakeStream, node);
                GrpcMessage *message;

                next = list_next(&server->streams, n);
                while (server->session && (message = grpc_frame_reader_pop(&stream->reader))) {
                        server->fn(server, stream->id, stream->path, message, server->userdata);
                        free(message);
                }
                if (!server->session)
                        return;
        }
}

static void fake_on_event(Stream *stream, StreamEvent event, void *userdata) {
        FakeServer *server = userdata;
        const uint8_t *bytes;
        size_t n_bytes;
        ssize_t n;

        if (event == STREAM_CLOSED)
                fake_disconnect(server);
        if (event != STREAM_READABLE || server->hangs)
                return;

        n_bytes = stream_input(stream, &bytes);
        n = nghttp2_session_mem_recv(server->session, bytes, n_bytes);
        ck_assert_int_eq(n, (ssize_t)n_bytes);
        stream_consume(stream, n_bytes);
        fake_dispatch(server);
}

static void fake_flush(LoopHook *hook) {
        FakeServer *server = container_of(hook, FakeServer, hook);
        const uint8_t *bytes;
        ssize_t n;

        while (server->session && !server->hangs &&
               (n = nghttp2_session_mem_send(server->session, &bytes)) > 0)
                ck_assert_int_eq(stream_write(server->stream, bytes, (size_t)n), 0);
}

static void fake_connect(FakeServer *server, int fd) {
        const nghttp2_settings_entry settings = {
                NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
                server->max_streams,
        };
        nghttp2_session_callbacks *callbacks;

        fake_disconnect(server);
        server->hangs = false;
        server->n_connections++;
        ck_assert_int_eq(stream_from_fd(&server->stream, server->loop, fd, fake_on_event, server),
                         0);
        ck_assert_int_eq(nghttp2_session_callbacks_new(&callbacks), 0);
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, fake_on_begin);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, fake_on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, fake_on_data);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, fake_on_frame);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, fake_on_close);
        ck_assert_int_eq(nghttp2_session_server_new(&server->session, callbacks, server), 0);
        nghttp2_session_callbacks_del(callbacks);
        ck_assert_int_eq(nghttp2_submit_settings(server->session, NGHTTP2_FLAG_NONE, &settings,
                                                 server->max_streams > 0),
                         0);
}

static FakeServer *fake_new(Loop *loop, FakeMessageFn fn, void *userdata) {
        FakeServer *server = calloc(1, sizeof *server);

        ck_assert_ptr_nonnull(server);
        (void)signal(SIGPIPE, SIG_IGN); /* as a daemon does: peers come and go here */
        server->loop = loop;
        server->fn = fn;
        server->userdata = userdata;
        server->listen_fd = -1;
        server->hook.prepare = fake_flush;
        loop_hook_add(loop, &server->hook);
        return server;
}

FakeServer *fake_server_on_socketpair(Loop *loop, FakeMessageFn fn, void *userdata,
                                      int *ret_client_fd) {
        FakeServer *server = fake_new(loop, fn, userdata);
        int fds[2];

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
                         0);
        fake_connect(server, fds[0]);
        *ret_client_fd = fds[1];
        return server;
}

static void fake_on_accept(LoopIo *io, unsigned events) {
        FakeServer *server = container_of(io, FakeServer, listen_io);
        int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        (void)events;
        if (fd >= 0)
                fake_connect(server, fd);
}

FakeServer *fake_server_listen(Loop *loop, FakeMessageFn fn, void *userdata, uint16_t *ret_port) {
        FakeServer *server = fake_new(loop, fn, userdata);
        struct sockaddr_in address = { .sin_family = AF_INET };
        socklen_t n_address = sizeof address;

        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        server->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        ck_assert_int_ge(server->listen_fd, 0);
        ck_assert_int_eq(bind(server->listen_fd, (struct sockaddr *)&address, n_address), 0);
        ck_assert_int_eq(listen(server->listen_fd, 8), 0);
        ck_assert_int_eq(getsockname(server->listen_fd, (struct sockaddr *)&address, &n_address),
                         0);
        server->listen_io.fn = fake_on_accept;
        ck_assert_int_eq(loop_io_watch(loop, &server->listen_io, server->listen_fd, LOOP_READ), 0);
        *ret_port = ntohs(address.sin_port);
        return server;
}

FakeServer *fake_server_free(FakeServer *server) {
        if (!server)
                return NULL;

        fake_disconnect(server);
        loop_io_stop(&server->listen_io);
        loop_hook_remove(&server->hook);
        if (server->listen_fd >= 0)
                (void)close(server->listen_fd);
        free(server);
        return NULL;
}

/* What tests have it do. */

void fake_server_set_max_streams(FakeServer *server, uint32_t n) {
        const nghttp2_settings_entry settings = { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, n };

        server->max_streams = n;
        if (server->session)
                ck_assert_int_eq(
                        nghttp2_submit_settings(server->session, NGHTTP2_FLAG_NONE, &settings, 1),
                        0);
}

void fake_server_send_raw(FakeServer *server, int32_t id, const void *bytes, size_t n_bytes) {
        FakeStream *stream = fake_stream(server, id);
        nghttp2_data_provider provider = { .read_callback = fake_on_read };
        nghttp2_nv headers[] = {
                fake_header(":status", "200"),
                fake_header("content-type", "application/grpc"),
        };

        if (!stream)
                return; /* the client has reset it */
        ck_assert_int_eq(buf_append(&stream->output, bytes, n_bytes), 0);
        if (!stream->has_headers)
                ck_assert_int_eq(
                        nghttp2_submit_response(server->session, id, headers, 2, &provider), 0);
        else
                (void)nghttp2_session_resume_data(server->session, id);
        stream->has_headers = true;
}

void fake_server_send(FakeServer *server, int32_t id, const void *bytes, size_t n_bytes) {
        GrpcMessage *message;

        ck_assert_int_eq(grpc_message_new_framed(&message, n_bytes), 0);
        if (n_bytes > 0)
                memcpy(message->bytes + GRPC_FRAME_HEADER_BYTES, bytes, n_bytes);
        fake_server_send_raw(server, id, message->bytes, message->n_bytes);
        free(message);
}

void fake_server_end(FakeServer *server, int32_t id, const char *code, const char *text) {
        FakeStream *stream = fake_stream(server, id);
        nghttp2_nv headers[] = {
                fake_header(":status", "200"),
                fake_header("content-type", "application/grpc"),
                fake_header("grpc-status", code),
                fake_header("grpc-message", text ? text : ""),
        };

        if (!stream)
                return;
        if (!stream->has_headers) {
                ck_assert_int_eq(nghttp2_submit_response(server->session, id, headers, 4, NULL), 0);
                return;
        }
        (void)snprintf(stream->code, sizeof stream->code, "%s", code);
        (void)snprintf(stream->message, sizeof stream->message, "%s", text ? text : "");
        stream->has_end = true;
        (void)nghttp2_session_resume_data(server->session, id);
}

void fake_server_end_http(FakeServer *server, int32_t id, const char *http_status) {
        nghttp2_nv header = fake_header(":status", http_status);

        ck_assert_int_eq(nghttp2_submit_response(server->session, id, &header, 1, NULL), 0);
}

void fake_server_reset(FakeServer *server, int32_t id, uint32_t error_code) {
        ck_assert_int_eq(
                nghttp2_submit_rst_stream(server->session, NGHTTP2_FLAG_NONE, id, error_code), 0);
}

void fake_server_go_away(FakeServer *server, int32_t last_stream) {
        ck_assert_int_eq(nghttp2_submit_goaway(server->session, NGHTTP2_FLAG_NONE, last_stream,
                                               NGHTTP2_NO_ERROR, NULL, 0),
                         0);
}

void fake_server_hang(FakeServer *server) {
        server->hangs = true;
}

void fake_server_drop(FakeServer *server) {
        fake_disconnect(server);
}

unsigned fake_server_n_pings(const FakeServer *server) {
        return server->n_pings;
}

unsigned fake_server_n_resets(const FakeServer *server) {
        return server->n_resets;
}

unsigned fake_server_n_connections(const FakeServer *server) {
        return server->n_connections;
}

const char *fake_server_header(const FakeServer *server, const char *name) {
        for (size_t i = 0; i < server->n_headers; i++)
                if (streq(server->names[i], name))
                        return server->values[i];
        return NULL;
}

static uint64_t real_now_us(void) {
        return env_now_us(env_system());
}

void turn_until(Loop *loop, const bool *flag) {
        uint64_t limit_us = real_now_us() + 10 * US_PER_S;

        while (!*flag) {
                ck_assert_msg(real_now_us() < limit_us, "what the test waits for did not come");
                ck_assert_int_eq(loop_turn(loop, 0), 0);
        }
}

void turn_until_idle(Loop *loop) {
        for (int i = 0; i < FAKE_TURNS_IDLE; i++)
                ck_assert_int_eq(loop_turn(loop, 0), 0);
}
