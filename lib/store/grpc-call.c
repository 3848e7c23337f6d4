/* SPDX-License-Identifier: Apache-2.0 */

/* One gRPC call: its way from "waiting" to "open" to its end.
 *
 *     idle --start--> waiting --submit--> open --+--> ended --tell--> idle
 *                        |                        |
 *                        +-- deadline, channel lost, reset --> idle
 *
 * The end is whatever comes first: the server's trailers, a broken rule (a message too large or
 * compressed), the stream or the connection breaking, or the deadline. It is noted where it is
 * noticed, which may be deep inside nghttp2, and told from the loop (grpc-channel.c).
 */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/store/grpc-private.h"

void grpc_call_init(GrpcCall *call, const GrpcCallVtable *vtable, const char *path, bool is_unary) {
        assert(!call->channel);
        assert(call->output.n_bytes == 0);

        *call = (GrpcCall){ .vtable = vtable, .path = path, .is_unary = is_unary, .code = -1 };
}

int grpc_call_add_message(GrpcCall *call, size_t n_bytes, uint8_t **ret_bytes) {
        if (call->output.n_bytes + n_bytes > GRPC_OUTPUT_MAX_BYTES)
                return -ENOBUFS;

        return grpc_output_add(&call->output, n_bytes, ret_bytes);
}

/* nghttp2 asks for the body of a call. */
static ssize_t call_on_read(nghttp2_session *session, int32_t stream_id, uint8_t *target,
                            size_t n_room, uint32_t *flags, nghttp2_data_source *source,
                            void *userdata) {
        GrpcCall *call = nghttp2_session_get_stream_user_data(session, stream_id);
        size_t n;

        (void)source;
        (void)userdata;

        if (!call)
                return NGHTTP2_ERR_DEFERRED; /* it was reset; the RST_STREAM is on its way */

        n = call->is_unary ? grpc_output_copy(&call->output, target, n_room)
                           : grpc_output_take(&call->output, target, n_room);
        if (call->is_unary && call->output.n_taken == call->output.n_bytes) {
                *flags |= NGHTTP2_DATA_FLAG_EOF;
                call->may_have_run = true;
        }
        if (!call->is_unary && n > 0)
                call->may_have_run = true;
        return n == 0 && !call->is_unary ? NGHTTP2_ERR_DEFERRED : (ssize_t)n;
}

static nghttp2_nv header(const char *name, const char *value) {
        return (nghttp2_nv){
                .name = (uint8_t *)name,
                .namelen = strlen(name),
                .value = (uint8_t *)value,
                .valuelen = strlen(value),
        };
}

int grpc_call_submit(GrpcCall *call) {
        GrpcChannel *channel = call->channel;
        nghttp2_data_provider body = { .read_callback = call_on_read };
        char timeout[GRPC_TIMEOUT_TEXT_BYTES];
        nghttp2_nv headers[7 + GRPC_METADATA_MAX] = {
                header(":method", "POST"),
                header(":scheme", channel->is_tls ? "https" : "http"),
                header(":path", call->path),
                header(":authority", channel->authority),
                header("content-type", "application/grpc"),
                header("te", "trailers"),
        };
        size_t n_headers = 6;
        int32_t id;

        for (size_t i = 0; i < channel->n_metadata; i++)
                headers[n_headers++] = header(channel->metadata[i].name,
                                              channel->metadata[i].value);

        if (timer_is_set(&call->deadline)) {
                uint64_t now_us = loop_now_us(channel->loop);
                uint64_t left_us = call->deadline.deadline_us > now_us
                                           ? call->deadline.deadline_us - now_us
                                           : 0;

                /* A little less than we wait, so that the server's word on it still arrives. */
                grpc_timeout_format(left_us - left_us / 20, timeout);
                headers[n_headers] = header("grpc-timeout", timeout);
                /* It differs every time: kept in the tables of HPACK (RFC 7541), it would drive out
                 * what repeats, and scatter small pieces over the heap for as long as it is there.
                 */
                headers[n_headers++].flags = NGHTTP2_NV_FLAG_NO_INDEX;
        }

        id = nghttp2_submit_request(channel->session, NULL, headers, n_headers, &body, call);
        if (id < 0)
                return id == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPROTO;

        list_remove(&call->node);
        list_append(&channel->open, &call->node);
        call->stream_id = id;
        call->is_open = true;
        channel->n_open++;
        channel->n_open_unary += call->is_unary;
        return 0;
}

void grpc_call_note_event(GrpcCall *call) {
        if (!list_node_is_linked(&call->event_node))
                list_append(&call->channel->events, &call->event_node);
}

void grpc_call_note_end(GrpcCall *call, GrpcCode code, bool is_local, const char *message) {
        call->has_ended = true;
        if (call->code < 0) {
                call->code = code;
                call->is_local = is_local;
                free(call->status_message);
                call->status_message = strdup(message); /* without it, the code has to do */
        }
        grpc_call_note_event(call);
}

static void call_on_deadline(LoopTimer *timer) {
        GrpcCall *call = container_of(timer, GrpcCall, deadline);

        grpc_call_note_end(call, GRPC_DEADLINE_EXCEEDED, true, "no answer in time");
        grpc_channel_wake(call->channel);
}

/* Takes the call off its channel; it can be started again afterwards. */
static void call_detach(GrpcCall *call) {
        GrpcChannel *channel = call->channel;

        if (channel->telling == call)
                channel->telling = NULL;
        if (call->is_open) {
                nghttp2_session_set_stream_user_data(channel->session, call->stream_id, NULL);
                /* Fails for want of memory only: then the stream stays open and unheard until
                 * the connection ends. */
                (void)nghttp2_submit_rst_stream(channel->session, NGHTTP2_FLAG_NONE,
                                                call->stream_id, NGHTTP2_CANCEL);
        }
        if (call->stream_id > 0) {
                channel->n_open--;
                channel->n_open_unary -= call->is_unary;
        }
        channel->n_calls--;
        timer_clear(&call->deadline);
        list_remove(&call->node);
        list_remove(&call->event_node);
        grpc_frame_reader_done(&call->reader);
        call->channel = NULL;
        call->is_open = call->has_ended = false;
}

void grpc_call_end(GrpcCall *call) {
        _cleanup_(freep) char *message = TAKE(call->status_message);
        GrpcStatus status = {
                .code = call->code < 0 ? GRPC_UNKNOWN : (GrpcCode)call->code,
                .message = message ? message : "",
                .is_local = call->is_local,
                .may_have_run = call->may_have_run,
        };

        call_detach(call);
        call->vtable->ended(call, &status);
}

int grpc_call_start(GrpcChannel *channel, GrpcCall *call, uint64_t timeout_us) {
        assert(!call->channel);
        assert(!call->is_unary || call->output.n_bytes > 0);

        if (channel->is_lost || channel->is_going_away)
                return -ENOTCONN;
        if (channel->n_calls >= GRPC_CALLS_MAX)
                return -EBUSY;

        call->deadline.fn = call_on_deadline;
        if (timeout_us > 0)
                timer_set_in(channel->loop, &call->deadline, timeout_us);

        call->channel = channel;
        call->stream_id = 0;
        call->output.n_taken = 0;
        call->may_have_run = call->is_local = false;
        call->http_status = 0;
        call->code = -1;
        list_append(&channel->waiting, &call->node);
        channel->n_calls++;
        return 0;
}

void grpc_call_send(GrpcCall *call) {
        assert(call->channel);
        assert(!call->is_unary);

        /* Fails when nghttp2 is not waiting for more: then it asks again by itself. */
        if (call->is_open)
                (void)nghttp2_session_resume_data(call->channel->session, call->stream_id);
}

void grpc_call_reset(GrpcCall *call) {
        if (!call->channel)
                return;

        call_detach(call);
        free(TAKE(call->status_message));
}

void grpc_call_done(GrpcCall *call) {
        grpc_call_reset(call);
        grpc_output_done(&call->output);
}

bool grpc_call_is_running(const GrpcCall *call) {
        return call->channel;
}
