/* SPDX-License-Identifier: Apache-2.0 */

/* One call of a client: what came of its request, and what goes out as its answer.
 *
 *      request's headers --> refused by the server ------------------------+
 *            |                                                              v
 *            +--> messages --> held by the service --ends it--> answered: taken by the client --> freed
 *                                     |                                     ^
 *                                     +--reset, deadline, close--> gone ----+
 *
 * The end of a call is decided once: `code` is set then, by the service or by the server. What the
 * peer sends afterwards is dropped. The object lives until HTTP/2 has closed the stream and the
 * service has let go of it, whichever is later. nghttp2 may be on the stack below when it is freed,
 * where it closes the stream: it does not look at the call after that.
 *
 * Credit: a connection's is given back as bytes arrive, so that one call cannot stop the others; a
 * call's only while it is not paused. What bounds memory is the limit on what is here and not told.
 */

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/store/grpc-server-private.h"

enum { HEADER_OVERHEAD_BYTES = 32 /* what a header counts beyond its bytes (RFC 9113, 6.5.2) */ };

static void call_on_timer(LoopTimer *timer);

GrpcServerCall *grpc_server_call_new(GrpcConnection *connection, int32_t stream_id) {
        GrpcServerCall *call = calloc(1, sizeof *call);

        if (!call)
                return NULL;

        *call = (GrpcServerCall){
                .connection = connection,
                .stream_id = stream_id,
                .timer.fn = call_on_timer,
                .deadline_us = UINT64_MAX,
                .reader.n_max_bytes = GRPC_SERVER_REQUEST_MAX_BYTES,
                .http_status = 200,
                .code = -1,
                .is_open = true,
        };
        list_append(&connection->calls, &call->node);
        connection->server->n_calls++;
        return call;
}

/* What is held in memory, or not any more, counts for the connection. */
static void call_count_input(GrpcServerCall *call) {
        size_t n_new = call->reader.n_held_bytes - call->n_input_bytes;

        call->connection->n_input_bytes += n_new;
        call->connection->server->n_input_bytes += n_new;
        call->n_input_bytes = call->reader.n_held_bytes;
}

static void call_drop_input(GrpcServerCall *call) {
        grpc_frame_reader_done(&call->reader);
        call_count_input(call);
}

/* What is queued, which was `n_before`, counts for the connection and the server. */
static void call_count_output(GrpcServerCall *call, size_t n_before) {
        call->connection->n_output_bytes += call->output.n_bytes - n_before;
        call->connection->server->n_output_bytes += call->output.n_bytes - n_before;
}

static void call_drop_output(GrpcServerCall *call) {
        size_t n_before = call->output.n_bytes;

        grpc_output_done(&call->output);
        call_count_output(call, n_before);
}

void grpc_server_call_free(GrpcServerCall *call) {
        GrpcConnection *connection = call->connection;

        if (connection->telling == call)
                connection->telling = NULL;
        if (call->is_open)
                nghttp2_session_set_stream_user_data(connection->session, call->stream_id, NULL);
        call_drop_input(call);
        call_drop_output(call);
        timer_clear(&call->timer);
        list_remove(&call->node);
        list_remove(&call->event_node);
        list_remove(&call->ready_node);
        list_remove(&call->full_node);
        connection->server->n_calls--;
        free(call->status_message);
        free(call);
}

static void call_note_event(GrpcServerCall *call) {
        if (!list_node_is_linked(&call->event_node))
                list_append(&call->connection->events, &call->event_node);
        if (!call->connection->is_reading)
                loop_defer(call->connection->server->loop, &call->connection->pending);
}

/* Have HTTP/2 look at the call before the next wait. */
static void call_mark(GrpcServerCall *call) {
        if (call->is_open && !list_node_is_linked(&call->ready_node))
                list_append(&call->connection->ready, &call->ready_node);
        grpc_connection_mark(call->connection);
}

/* Give the client the credit for what was held back. */
static void call_give_credit(GrpcServerCall *call, size_t n_bytes) {
        /* Fails for want of memory only: then the stream gets no further credit, and its client
         * waits until its own deadline. */
        if (call->is_open && n_bytes > 0)
                (void)nghttp2_session_consume_stream(call->connection->session, call->stream_id,
                                                     n_bytes);
}

/* Decides the end. */
static void call_decide(GrpcServerCall *call, GrpcCode code, const char *message) {
        char text[GRPC_STATUS_MESSAGE_TEXT_BYTES];

        assert(call->code < 0);

        grpc_message_encode(message, text);
        call->code = code;
        call->status_message = strdup(text); /* without it, the code has to do */
        call_drop_input(call);
        call_give_credit(call, call->n_withheld_bytes);
        call->n_withheld_bytes = 0;
        timer_set_in(call->connection->server->loop, &call->timer, GRPC_SERVER_TAKE_US);
        call_mark(call);
}

static void call_note_gone(GrpcServerCall *call, GrpcGone why) {
        if (!call->is_held || call->is_gone)
                return;

        call->is_gone = true;
        call->why_gone = why;
        call_note_event(call);
}

void grpc_server_call_lose(GrpcServerCall *call, GrpcGone why, GrpcCode code, const char *message) {
        if (call->code < 0)
                call_decide(call, code, message);
        call_note_gone(call, why);
}

/* The time that the call had for something is over: to be asked for, to be answered, or for its
 * answer to be taken. */
static void call_on_timer(LoopTimer *timer) {
        GrpcServerCall *call = container_of(timer, GrpcServerCall, timer);
        GrpcConnection *connection = call->connection;

        if (call->code >= 0) {
                /* Fails for want of memory only; so is everything else about to. */
                (void)nghttp2_submit_rst_stream(connection->session, NGHTTP2_FLAG_NONE,
                                                call->stream_id, NGHTTP2_CANCEL);
                grpc_connection_mark(connection);
        } else if (loop_now_us(connection->server->loop) >= call->deadline_us) {
                grpc_server_call_lose(call, GRPC_GONE_DEADLINE, GRPC_DEADLINE_EXCEEDED,
                                      "the deadline of the call has passed");
        } else {
                grpc_server_call_lose(call, GRPC_GONE_DEADLINE, GRPC_DEADLINE_EXCEEDED,
                                      "the request took too long to arrive");
        }
}

static void call_set_timer(GrpcServerCall *call) {
        Loop *loop = call->connection->server->loop;
        uint64_t end_us = call->deadline_us;

        if (call->method->takes_one && !call->is_finished &&
            end_us > loop_now_us(loop) + GRPC_SERVER_REQUEST_US)
                end_us = loop_now_us(loop) + GRPC_SERVER_REQUEST_US;
        if (end_us < UINT64_MAX)
                timer_set_at(loop, &call->timer, end_us);
        else
                timer_clear(&call->timer);
}

/* The request. */

static const GrpcMethod *find_method(const GrpcService *service, nghttp2_vec path) {
        for (size_t i = 0; i < service->n_methods; i++) {
                const GrpcMethod *method = &service->methods[i];

                if (strlen(method->path) == path.len &&
                    memcmp(method->path, path.base, path.len) == 0)
                        return method;
        }
        return NULL;
}

static bool vec_is(nghttp2_vec vec, const char *wanted) {
        return vec.len == strlen(wanted) && memcmp(vec.base, wanted, vec.len) == 0;
}

/* "application/grpc", "application/grpc+proto", "application/grpc;..." (doc/PROTOCOL-HTTP2.md of
 * grpc/grpc). */
static bool is_grpc_type(nghttp2_vec value) {
        static const char wanted[] = "application/grpc";
        size_t n = sizeof wanted - 1;

        return value.len >= n && memcmp(value.base, wanted, n) == 0 &&
               (value.len == n || value.base[n] == '+' || value.base[n] == ';');
}

static void call_note_timeout(GrpcServerCall *call, nghttp2_vec value) {
        uint64_t timeout_us;

        if (grpc_timeout_parse(value.base, value.len, &timeout_us) < 0)
                call->has_bad_timeout = true;
        else
                call->deadline_us = loop_now_us(call->connection->server->loop) + timeout_us;
}

void grpc_server_call_on_header(GrpcServerCall *call, nghttp2_vec name, nghttp2_vec value) {
        call->n_header_bytes += name.len + value.len + HEADER_OVERHEAD_BYTES;

        if (vec_is(name, ":path"))
                call->method = find_method(&call->connection->server->service, value);
        else if (vec_is(name, ":method"))
                call->is_post = vec_is(value, "POST");
        else if (vec_is(name, "content-type"))
                call->is_grpc = is_grpc_type(value);
        else if (vec_is(name, "grpc-encoding"))
                call->is_encoded = !vec_is(value, "identity");
        else if (vec_is(name, "grpc-timeout"))
                call_note_timeout(call, value);
}

/* Answers a request that is none. */
static void call_refuse(GrpcServerCall *call, int http_status, GrpcCode code, const char *message) {
        call->http_status = http_status;
        grpc_server_call_lose(call, GRPC_GONE_CANCELLED, code, message);
}

void grpc_server_call_on_headers_end(GrpcServerCall *call) {
        if (call->connection->is_closing)
                call_refuse(call, 200, GRPC_UNAVAILABLE, "the server is shutting down");
        else if (call->n_header_bytes > GRPC_SERVER_HEADERS_MAX_BYTES)
                call_refuse(call, 431, GRPC_RESOURCE_EXHAUSTED, "the headers are too large");
        else if (!call->is_post)
                call_refuse(call, 405, GRPC_UNIMPLEMENTED, "this is gRPC, which asks by POST");
        else if (!call->is_grpc)
                call_refuse(call, 415, GRPC_UNKNOWN, "the content type is not application/grpc");
        else if (!call->method)
                call_refuse(call, 200, GRPC_UNIMPLEMENTED, "unknown service or method");
        else if (call->is_encoded)
                call_refuse(call, 200, GRPC_UNIMPLEMENTED, "compression is not supported");
        else if (call->has_bad_timeout)
                call_refuse(call, 200, GRPC_INTERNAL, "malformed grpc-timeout");
        else
                call_set_timer(call);
}

/* Reads what has arrived of the body; what breaks a rule decides the end. */
static void call_read(GrpcServerCall *call, const uint8_t *bytes, size_t n_bytes) {
        int r = grpc_frame_reader_feed(&call->reader, bytes, n_bytes);

        call_count_input(call);
        if (r == -EMSGSIZE)
                call_refuse(call, 200, GRPC_RESOURCE_EXHAUSTED,
                            "grpc: the message is larger than 2097152 bytes");
        else if (r == -ENOMEM)
                call_refuse(call, 200, GRPC_RESOURCE_EXHAUSTED, "the server is out of memory");
        else if (r < 0)
                call_refuse(call, 200, GRPC_UNIMPLEMENTED, "compression is not supported");
        else if (call->connection->n_input_bytes > GRPC_SERVER_INPUT_MAX_BYTES ||
                 call->connection->server->n_input_bytes > GRPC_SERVER_ALL_INPUT_MAX_BYTES)
                call_refuse(call, 200, GRPC_RESOURCE_EXHAUSTED,
                            "too many large messages are on their way to the server");
        else if (!list_is_empty(&call->reader.messages))
                call_note_event(call);
}

void grpc_server_call_on_data(GrpcServerCall *call, const uint8_t *bytes, size_t n_bytes) {
        if (call->code < 0)
                call_read(call, bytes, n_bytes);
        if (call->is_paused && call->code < 0)
                call->n_withheld_bytes += n_bytes;
        else
                call_give_credit(call, n_bytes);
}

void grpc_server_call_on_finished(GrpcServerCall *call) {
        call->is_finished = true;
        if (call->code >= 0)
                return;

        if (grpc_frame_reader_is_midway(&call->reader))
                call_refuse(call, 200, GRPC_INTERNAL, "the request ends within a message");
        else {
                call_set_timer(call);
                call_note_event(call);
        }
}

void grpc_server_call_on_closed(GrpcServerCall *call) {
        call->is_open = false;
        if (!call->is_held) {
                grpc_server_call_free(call);
                return;
        }

        list_remove(&call->ready_node);
        timer_clear(&call->timer);
        call_drop_input(call);
        call_drop_output(call);
        if (call->code < 0)
                call->code = GRPC_CANCELLED;
        call_note_gone(call, GRPC_GONE_CANCELLED);
}

/* Telling the service. */

/* Whether there is a message to tell: one that comes alone only when nothing can follow it. */
static bool call_has_message(const GrpcServerCall *call) {
        return call->code < 0 && !call->is_paused && !list_is_empty(&call->reader.messages) &&
               (call->is_finished || !call->method->takes_one);
}

static void call_tell_messages(GrpcServerCall *call, void *service) {
        GrpcConnection *connection = call->connection;

        while (connection->telling == call && call_has_message(call)) {
                GrpcMessage *message = grpc_frame_reader_pop(&call->reader);

                call_count_input(call);
                call->is_held = true;
                call->method->message(call, message, service);
        }
}

/* The client has sent all it will. */
static void call_tell_finished(GrpcServerCall *call, void *service) {
        if (call->code >= 0 || !call->is_finished || call->is_finish_told || call->is_paused)
                return;

        call->is_finish_told = true;
        if (call->method->takes_one)
                return;
        if (!call->method->finished) {
                grpc_server_call_lose(call, GRPC_GONE_CANCELLED, GRPC_OK, "");
                return;
        }
        call->is_held = true;
        call->method->finished(call, service);
}

static void call_tell_drained(GrpcServerCall *call, void *service) {
        bool is_drained = call->is_drained && call->is_held && call->code < 0;

        call->is_drained = false;
        if (is_drained)
                call->method->drained(call, service);
}

static void call_tell_gone(GrpcServerCall *call, void *service) {
        call->is_held = call->is_gone = false;
        if (call->method->gone)
                call->method->gone(call, call->why_gone, service);
}

/* Exactly one message: anything else is a mistake of the client's (doc/statuscodes.md of
 * grpc/grpc). */
static bool call_has_its_one(const GrpcServerCall *call) {
        const List *messages = &call->reader.messages;

        return !call->method->takes_one || !call->is_finished || call->is_held ||
               (!list_is_empty(messages) && !list_next(messages, list_first(messages)));
}

void grpc_server_call_tell(GrpcServerCall *call) {
        GrpcConnection *connection = call->connection;
        void *service = connection->server->service.service;

        if (call->code < 0 && !call_has_its_one(call))
                call_refuse(call, 200, GRPC_UNIMPLEMENTED, "the method takes exactly one message");

        connection->telling = call;
        call_tell_messages(call, service);
        if (connection->telling == call)
                call_tell_finished(call, service);
        if (connection->telling == call)
                call_tell_drained(call, service);
        if (connection->telling == call && call->is_gone)
                call_tell_gone(call, service);
        if (connection->telling == call && !call->is_held && !call->is_open)
                grpc_server_call_free(call);
        connection->telling = NULL;
}

/* Answering. */

static nghttp2_nv header(const char *name, const char *value) {
        return (nghttp2_nv){
                .name = (uint8_t *)name,
                .namelen = strlen(name),
                .value = (uint8_t *)value,
                .valuelen = strlen(value),
        };
}

/* Adds the two headers that say how the call ended. Returns how many there are now. */
static size_t add_status(const GrpcServerCall *call, nghttp2_nv *headers, size_t n_headers,
                         char code[static 4]) {
        (void)snprintf(code, 4, "%d", call->code);
        headers[n_headers++] = header("grpc-status", code);
        if (call->status_message && *call->status_message) {
                headers[n_headers] = header("grpc-message", call->status_message);
                /* It may differ every time, and would drive out what repeats (RFC 7541). */
                headers[n_headers++].flags = NGHTTP2_NV_FLAG_NO_INDEX;
        }
        return n_headers;
}

/* nghttp2 asks for the body of the answer. */
static ssize_t call_on_read(nghttp2_session *session, int32_t stream_id, uint8_t *target,
                            size_t n_room, uint32_t *flags, nghttp2_data_source *source,
                            void *userdata) {
        GrpcServerCall *call = nghttp2_session_get_stream_user_data(session, stream_id);
        size_t n, n_before, n_trailers;
        nghttp2_nv trailers[2];
        char code[4];

        (void)source;
        (void)userdata;
        assert(call);

        n_before = call->output.n_bytes;
        n = grpc_output_take(&call->output, target, n_room);
        call_count_output(call, n_before);
        if (call->output.n_bytes > 0)
                return (ssize_t)n;
        if (call->code < 0)
                return n > 0 ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;

        *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
        n_trailers = add_status(call, trailers, 0, code);
        if (nghttp2_submit_trailer(session, stream_id, trailers, n_trailers) < 0)
                return NGHTTP2_ERR_CALLBACK_FAILURE;
        return (ssize_t)n;
}

/* Begins the answer: headers with a body to follow, or, when there is only an end, that alone. */
static int call_begin_answer(GrpcServerCall *call) {
        const nghttp2_data_provider body = { .read_callback = call_on_read };
        bool is_end = call->output.n_bytes == 0;
        char http_status[12], code[4];
        nghttp2_nv headers[5];
        size_t n = 0;

        (void)snprintf(http_status, sizeof http_status, "%d", call->http_status);
        headers[n++] = header(":status", http_status);
        headers[n++] = header("content-type", "application/grpc");
        if (call->is_encoded)
                headers[n++] = header("grpc-accept-encoding", "identity");
        if (is_end)
                n = add_status(call, headers, n, code);
        return nghttp2_submit_response(call->connection->session, call->stream_id, headers, n,
                                       is_end ? NULL : &body);
}

int grpc_server_call_submit(GrpcServerCall *call) {
        int r;

        if (call->is_submitted)
                r = nghttp2_session_resume_data(call->connection->session, call->stream_id);
        else if (call->code < 0 && call->output.n_bytes == 0)
                return 0;
        else
                r = call_begin_answer(call);

        /* What else may be wrong: it was not waiting, or the stream is being reset already. */
        call->is_submitted = true;
        return r == NGHTTP2_ERR_NOMEM ? -ENOMEM : 0;
}

static bool call_is_full(const GrpcServerCall *call) {
        const GrpcConnection *connection = call->connection;

        return call->output.n_bytes >= GRPC_SERVER_OUTPUT_MAX_BYTES ||
               connection->n_output_bytes >= GRPC_SERVER_CONNECTION_OUTPUT_MAX_BYTES ||
               connection->server->n_output_bytes >= GRPC_SERVER_ALL_OUTPUT_MAX_BYTES;
}

void grpc_server_check_room(GrpcServer *server) {
        for (ListNode *next, *n = list_first(&server->full); n; n = next) {
                GrpcServerCall *call = container_of(n, GrpcServerCall, full_node);

                next = list_next(&server->full, n);
                if (call_is_full(call) || call->output.n_bytes > GRPC_SERVER_OUTPUT_LOW_BYTES)
                        continue;
                list_remove(&call->full_node);
                call->is_drained = true;
                call_note_event(call);
        }
}

static int call_add(GrpcServerCall *call, size_t n_bytes, uint8_t **ret_bytes) {
        size_t n_before = call->output.n_bytes;
        int r;

        r = grpc_output_add(&call->output, n_bytes, ret_bytes);
        if (r < 0)
                return r;

        call_count_output(call, n_before);
        call_mark(call);
        return 0;
}

int grpc_server_call_add_message(GrpcServerCall *call, size_t n_bytes, uint8_t **ret_bytes) {
        assert(call->is_held);

        if (!call_is_full(call)) {
                call->n_notice_bytes = 0;
                return call_add(call, n_bytes, ret_bytes);
        }

        if (call->method->drained && !list_node_is_linked(&call->full_node))
                list_append(&call->connection->server->full, &call->full_node);
        return -ENOBUFS;
}

int grpc_server_call_add_notice(GrpcServerCall *call, size_t n_bytes, uint8_t **ret_bytes) {
        if (!call_is_full(call))
                return grpc_server_call_add_message(call, n_bytes, ret_bytes);
        if (n_bytes > GRPC_SERVER_NOTICE_MAX_BYTES - call->n_notice_bytes)
                return -ENOBUFS;

        call->n_notice_bytes += n_bytes;
        return call_add(call, n_bytes, ret_bytes);
}

void grpc_server_call_pause(GrpcServerCall *call, bool is_paused) {
        assert(call->is_held);

        call->is_paused = is_paused;
        if (is_paused)
                return;
        call_give_credit(call, call->n_withheld_bytes);
        call->n_withheld_bytes = 0;
        grpc_connection_mark(call->connection);
        call_note_event(call);
}

void grpc_server_call_end(GrpcServerCall *call, GrpcCode code, const char *message) {
        assert(call->is_held);

        call->is_held = call->is_gone = false;
        if (call->code < 0)
                call_decide(call, code, message);
        if (!call->is_open)
                grpc_server_call_free(call);
}

void grpc_server_call_set_data(GrpcServerCall *call, void *data) {
        call->data = data;
}

void *grpc_server_call_data(const GrpcServerCall *call) {
        return call->data;
}

const GrpcMethod *grpc_server_call_method(const GrpcServerCall *call) {
        return call->method;
}
