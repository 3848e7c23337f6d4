/* SPDX-License-Identifier: Apache-2.0 */

/* The connection under gRPC calls: a Stream below, an nghttp2 session in the middle, calls above.
 *
 * Input: the stream says "readable", nghttp2 parses all of it, its callbacks only note what came
 * for which call (messages in the call's reader, the end in its fields) in the list `events`; when
 * nghttp2 has returned, channel_tell() calls the owners. Output: whoever starts calls or adds
 * messages only changes lists; the hook before the loop's next wait opens streams, as many as the
 * server allows, and moves nghttp2's frames to the stream. So no owner's code ever runs below
 * nghttp2, nghttp2 is never entered twice, and what is started in one turn leaves in one write.
 *
 * Invariants: a call is in exactly one of `waiting` and `open`; a call that is not `is_open` is
 * unknown to nghttp2.
 *
 * Flow control: windows for bulk replies (a list of 33 MB is one message), and nghttp2 gives credit
 * back as it hands the bytes out; the limit on a message is what bounds memory. Silence: a
 * connection with open calls that is silent for 10 s is asked for a PING, and is lost when nothing
 * comes in 3 s. (etcd closes connections that ping more often than every 5 s.)
 *
 * Deliberately missing: server push, compression, load balancing, reconnecting.
 */

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/store/grpc-private.h"

enum {
        STREAM_WINDOW_BYTES = 2 << 20,     /* credit of one call's reply */
        CONNECTION_WINDOW_BYTES = 8 << 20, /* of all replies */
        OUTPUT_QUEUE_BYTES = 256 << 10, /* frames wait in nghttp2 while more than this is unsent */
        SILENCE_US = 10 * US_PER_S,     /* then a PING is sent */
        PING_ANSWER_US = 3 * US_PER_S,  /* and anything must have come */
        PING_OWE_US = 9500 * US_PER_MS, /* an answer to the peer's PING waits for so long for
                                           something to go with... */
        PING_OWE_MAX_US =
                15 * US_PER_S, /* ...and goes by itself after so long; etcd gives up after 20 s */
        GOING_AWAY_US = 500 * US_PER_MS, /* what unary calls get to end in after a GOAWAY */
        TLS_ALERT = 0x15, /* how a TLS server's answer to something else begins; as HTTP/2 it would
                             begin a frame of more than 1 MiB */
};

/* What the peer sent: nghttp2's callbacks. They only take notes. */

static GrpcCall *call_of_stream(nghttp2_session *session, int32_t stream_id) {
        return nghttp2_session_get_stream_user_data(session, stream_id);
}

static bool header_is(const uint8_t *name, size_t n_name, const char *wanted) {
        return n_name == strlen(wanted) && memcmp(name, wanted, n_name) == 0;
}

static int channel_on_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t n_name, const uint8_t *value,
                             size_t n_value, uint8_t flags, void *userdata) {
        GrpcCall *call = call_of_stream(session, frame->hd.stream_id);

        (void)flags;
        (void)userdata;

        if (!call || call->has_ended)
                return 0;

        if (header_is(name, n_name, ":status") && n_value == 3)
                call->http_status = (value[0] - '0') * 100 + (value[1] - '0') * 10 +
                                    (value[2] - '0');
        else if (header_is(name, n_name, "grpc-status"))
                call->code = grpc_code_from_text(value, n_value);
        else if (header_is(name, n_name, "grpc-message") && !call->status_message)
                call->status_message = grpc_message_decode(value, n_value);
        return 0;
}

static int channel_on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id,
                           const uint8_t *bytes, size_t n_bytes, void *userdata) {
        GrpcCall *call = call_of_stream(session, stream_id);
        int r;

        (void)flags;
        (void)userdata;

        if (!call || call->has_ended || call->http_status != 200)
                return 0;

        r = grpc_frame_reader_feed(&call->reader, bytes, n_bytes);
        if (r == -EMSGSIZE)
                grpc_call_note_end(call, GRPC_RESOURCE_EXHAUSTED, true, "the reply is too large");
        else if (r == -ENOMEM)
                grpc_call_note_end(call, GRPC_RESOURCE_EXHAUSTED, true, "out of memory");
        else if (r < 0)
                grpc_call_note_end(call, GRPC_INTERNAL, true, "the reply is compressed");
        else if (!list_is_empty(&call->reader.messages))
                grpc_call_note_event(call);
        return 0;
}

/* Notes the end of a call whose stream has ended; does nothing when the trailers said how. */
static void call_note_stream_end(GrpcCall *call, uint32_t error_code) {
        if (call->code == GRPC_OK && grpc_frame_reader_is_midway(&call->reader))
                call->code = -1;

        if (error_code == NGHTTP2_REFUSED_STREAM) {
                call->may_have_run = false; /* RFC 9113, section 8.7 */
                grpc_call_note_end(call, GRPC_UNAVAILABLE, true, "the server refused the call");
        } else if (call->http_status != 0 && call->http_status != 200) {
                grpc_call_note_end(call, grpc_code_from_http_status(call->http_status), true,
                                   "the server does not speak gRPC");
        } else {
                grpc_call_note_end(call, GRPC_UNAVAILABLE, true,
                                   "the server ended the call without saying how");
        }
}

static void channel_owe_ping(GrpcChannel *channel, const uint8_t *ping);

static int channel_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *userdata) {
        GrpcChannel *channel = userdata;
        GrpcCall *call;

        if (frame->hd.type == NGHTTP2_GOAWAY)
                channel->is_going_away = true;
        if (frame->hd.type == NGHTTP2_PING && !(frame->hd.flags & NGHTTP2_FLAG_ACK))
                channel_owe_ping(channel, frame->ping.opaque_data);

        /* The server may end a streaming call while our half is open. */
        if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
            frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
                call = call_of_stream(session, frame->hd.stream_id);
                if (call)
                        call_note_stream_end(call, NGHTTP2_NO_ERROR);
        }
        return 0;
}

static int channel_on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code,
                                   void *userdata) {
        GrpcChannel *channel = userdata;
        GrpcCall *call = call_of_stream(session, stream_id);

        if (!call)
                return 0;

        call->is_open = false;
        call_note_stream_end(call, error_code);
        grpc_channel_wake(channel); /* it may have come up while sending */
        return 0;
}

/* Telling the owners. */

static void call_tell(GrpcChannel *channel, GrpcCall *call) {
        GrpcMessage *message;

        channel->telling = call;
        while (channel->telling == call && (message = grpc_frame_reader_pop(&call->reader)))
                call->vtable->message(call, message);

        /* `call` may be gone unless it is still the one. */
        if (channel->telling == call && call->has_ended)
                grpc_call_end(call);
        channel->telling = NULL;
}

static void channel_end_all(GrpcChannel *channel, const char *reason) {
        ListNode *node;

        while ((node = list_first(&channel->open)) || (node = list_first(&channel->waiting))) {
                GrpcCall *call = container_of(node, GrpcCall, node);

                if (!call->has_ended)
                        grpc_call_note_end(call, GRPC_UNAVAILABLE, true, reason);
                call_tell(channel, call);
        }
}

static void channel_stop(GrpcChannel *channel) {
        channel->is_lost = true;
        timer_clear(&channel->silence);
        timer_clear(&channel->ping_answer);
        loop_defer_cancel(&channel->pending);
        loop_hook_remove(&channel->hook);
        channel->stream = stream_free(channel->stream);
}

/* Gives the connection up. Never from below nghttp2. */
static void channel_fail(GrpcChannel *channel, const char *reason) {
        if (channel->is_lost)
                return;

        channel_stop(channel);
        channel->is_calling_out = true;
        channel_end_all(channel, reason);
        channel->lost(channel, reason, channel->userdata);
        channel->is_calling_out = false;
}

/* Tells all that has been noted. */
static void channel_tell(GrpcChannel *channel) {
        ListNode *node;

        channel->is_calling_out = true;
        while ((node = list_pop(&channel->events)))
                call_tell(channel, container_of(node, GrpcCall, event_node));
        channel->is_calling_out = false;

        if (channel->failure)
                channel_fail(channel, channel->failure);
        else if (channel->is_going_away && channel->n_open_unary == 0)
                channel_fail(channel, "the server is going away");
}

static void channel_on_pending(LoopDeferred *deferred) {
        channel_tell(container_of(deferred, GrpcChannel, pending));
}

/* Sending. */

static bool channel_has_room(GrpcChannel *channel) {
        return channel->n_open < nghttp2_session_get_remote_settings(
                                         channel->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

static int channel_open_waiting(GrpcChannel *channel) {
        ListNode *node;

        while (!channel->is_going_away && (node = list_first(&channel->waiting)) &&
               channel_has_room(channel)) {
                int r = grpc_call_submit(container_of(node, GrpcCall, node));

                if (r < 0)
                        return r;
        }
        return 0;
}

static int channel_answer_ping(GrpcChannel *channel) {
        timer_clear(&channel->ping_answer);
        return nghttp2_submit_ping(channel->session, NGHTTP2_FLAG_ACK, channel->ping) < 0 ? -ENOMEM
                                                                                          : 0;
}

/* A server in Go measures the bandwidth by a PING with each message that it sends, as soon as the
 * last one was answered: an idle client that answers at once is woken for it once more per
 * heartbeat. So the answer waits for company, and comes after it. */
static void channel_owe_ping(GrpcChannel *channel, const uint8_t *ping) {
        if (timer_is_set(&channel->ping_answer) && channel_answer_ping(channel) < 0)
                channel->failure = "out of memory";

        memcpy(channel->ping, ping, sizeof channel->ping);
        channel->ping_due_us = loop_now_us(channel->loop) + PING_OWE_US;
        timer_set_in(channel->loop, &channel->ping_answer, PING_OWE_MAX_US);
}

static void channel_on_ping_answer(LoopTimer *timer) {
        /* The flush at the end of the turn sends it. */
        (void)channel_answer_ping(container_of(timer, GrpcChannel, ping_answer));
}

static int channel_send(GrpcChannel *channel, size_t *ret_n_bytes) {
        int r;

        *ret_n_bytes = 0;
        while (stream_queued_bytes(channel->stream) < OUTPUT_QUEUE_BYTES) {
                const uint8_t *bytes;
                ssize_t n = nghttp2_session_mem_send(channel->session, &bytes);

                if (n < 0)
                        return n == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPROTO;
                if (n == 0)
                        break;
                r = stream_write(channel->stream, bytes, (size_t)n);
                if (r < 0)
                        return r;
                *ret_n_bytes += (size_t)n;
        }
        return 0;
}

static int channel_flush(GrpcChannel *channel) {
        size_t n_bytes;
        int r;

        r = channel_open_waiting(channel);
        if (r == 0)
                r = channel_send(channel, &n_bytes);
        if (r == 0 && n_bytes > 0 && timer_is_set(&channel->ping_answer) &&
            loop_now_us(channel->loop) >= channel->ping_due_us) {
                r = channel_answer_ping(channel);
                if (r == 0)
                        r = channel_send(channel, &n_bytes);
        }
        if (r < 0)
                return r;

        /* nghttp2 has told the server that it broke the rules, and hears nothing of it any more. */
        if (!channel->is_going_away && !nghttp2_session_want_read(channel->session) &&
            !nghttp2_session_want_write(channel->session)) {
                channel->failure = "the server breaks the rules of HTTP/2";
                grpc_channel_wake(channel);
        }
        if (channel->n_open > 0 && !timer_is_set(&channel->silence))
                timer_set_in(channel->loop, &channel->silence, SILENCE_US);
        return 0;
}

static void channel_on_prepare(LoopHook *hook) {
        GrpcChannel *channel = container_of(hook, GrpcChannel, hook);

        if (!channel->session || channel_flush(channel) == 0)
                return;

        channel->failure = "sending failed";
        grpc_channel_wake(channel);
}

/* The connection has been silent: ask for a sign of life, then give up. */
static void channel_on_silence(LoopTimer *timer) {
        GrpcChannel *channel = container_of(timer, GrpcChannel, silence);

        if (channel->is_going_away)
                channel_fail(channel, "the server is going away");
        else if (channel->is_ping_pending)
                channel_fail(channel, "the server is silent");
        else if (channel->n_open == 0)
                return;
        else if (nghttp2_submit_ping(channel->session, NGHTTP2_FLAG_NONE, NULL) < 0)
                channel_fail(channel, "out of memory");
        else {
                timer_set_in(channel->loop, &channel->silence, PING_ANSWER_US);
                channel->is_ping_pending = true;
        }
}

static void channel_note_life(GrpcChannel *channel) {
        channel->is_ping_pending = false;
        if (channel->is_going_away) {
                if (!timer_is_set(&channel->silence))
                        timer_set_in(channel->loop, &channel->silence, GOING_AWAY_US);
        } else if (channel->n_open == 0)
                timer_clear(&channel->silence);
        else
                timer_set_in(channel->loop, &channel->silence, SILENCE_US);
}

/* The stream's events. */

static int session_set_up(nghttp2_session *session) {
        const nghttp2_settings_entry settings[] = {
                { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
                { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES },
        };

        if (nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, ELEMENTSOF(settings)) < 0)
                return -ENOMEM;
        if (nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
                                                  CONNECTION_WINDOW_BYTES) < 0)
                return -ENOMEM;
        return 0;
}

/* Makes the HTTP/2 session when the connection stands. */
static int channel_begin_session(GrpcChannel *channel) {
        nghttp2_session_callbacks *callbacks;
        nghttp2_option *option;
        int r = -ENOMEM;

        if (nghttp2_session_callbacks_new(&callbacks) < 0)
                return -ENOMEM;
        if (nghttp2_option_new(&option) < 0) {
                nghttp2_session_callbacks_del(callbacks);
                return -ENOMEM;
        }

        nghttp2_session_callbacks_set_on_header_callback(callbacks, channel_on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, channel_on_data);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, channel_on_frame);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, channel_on_stream_close);
        nghttp2_option_set_no_closed_streams(option, 1);
        nghttp2_option_set_no_auto_ping_ack(option, 1);
        if (nghttp2_session_client_new2(&channel->session, callbacks, channel, option) == 0)
                r = session_set_up(channel->session);
        nghttp2_option_del(option);
        nghttp2_session_callbacks_del(callbacks);
        return r;
}

static void channel_on_readable(GrpcChannel *channel) {
        const uint8_t *bytes;
        size_t n_bytes = stream_input(channel->stream, &bytes);
        ssize_t n;

        if (!channel->has_heard && !channel->is_tls && n_bytes > 0 && bytes[0] == TLS_ALERT) {
                channel_fail(channel, "it answers in TLS; is it https:// in place of http://?");
                return;
        }
        channel->has_heard = true;

        n = nghttp2_session_mem_recv(channel->session, bytes, n_bytes);
        if (n < 0) {
                channel_tell(channel);
                channel_fail(channel, "the server does not speak HTTP/2");
                return;
        }

        stream_consume(channel->stream, (size_t)n);
        channel_note_life(channel);
        channel_tell(channel);
}

static void channel_on_closed(GrpcChannel *channel) {
        const char *explanation = stream_explanation(channel->stream);
        int error = stream_error(channel->stream);
        char reason[512];

        if (explanation)
                (void)snprintf(reason, sizeof reason, "%s", explanation);
        else if (channel->session && !channel->has_heard)
                (void)snprintf(reason, sizeof reason,
                               "it ended the connection before it said anything%s",
                               channel->is_tls ? "" : "; is it https:// in place of http://?");
        else if (error == 0)
                (void)snprintf(reason, sizeof reason, "the server closed the connection");
        else
                (void)snprintf(reason, sizeof reason, "%s: %s",
                               channel->session ? "the connection broke" : "cannot connect",
                               strerror(-error));
        channel_fail(channel, reason);
}

static void channel_on_event(Stream *stream, StreamEvent event, void *userdata) {
        GrpcChannel *channel = userdata;

        (void)stream;

        switch (event) {
        case STREAM_CONNECTED:
                if (channel_begin_session(channel) < 0)
                        channel_fail(channel, "out of memory");
                return;
        case STREAM_READABLE:
                channel_on_readable(channel);
                return;
        case STREAM_WRITABLE:
                return; /* the hook goes on */
        case STREAM_CLOSED:
                channel_on_closed(channel);
                return;
        }
}

/* Making and freeing. */

static GrpcChannel *channel_new(Loop *loop, GrpcChannelLostFn lost, void *userdata) {
        GrpcChannel *channel = calloc(1, sizeof *channel);

        if (!channel)
                return NULL;

        channel->loop = loop;
        channel->lost = lost;
        channel->userdata = userdata;
        channel->hook.prepare = channel_on_prepare;
        channel->pending.fn = channel_on_pending;
        channel->silence.fn = channel_on_silence;
        channel->ping_answer.fn = channel_on_ping_answer;
        loop_hook_add_last(loop, &channel->hook);
        return channel;
}

static int channel_dial(GrpcChannel *channel, const GrpcTarget *target, uint64_t timeout_us) {
        StreamTls tls;

        if (!target->tls)
                return stream_connect_tcp(&channel->stream, channel->loop, target->host,
                                          target->port, timeout_us, channel_on_event, channel);

        channel->is_tls = true;
        tls = *target->tls;
        tls.protocol = "h2";
        return stream_connect_tls(&channel->stream, channel->loop, target->host, target->port, &tls,
                                  timeout_us, channel_on_event, channel);
}

int grpc_channel_connect(GrpcChannel **ret_channel, Loop *loop, const GrpcTarget *target,
                         uint64_t timeout_us, GrpcChannelLostFn lost, void *userdata) {
        _cleanup_(grpc_channel_freep) GrpcChannel *channel = channel_new(loop, lost, userdata);
        bool is_ipv6 = strchr(target->host, ':');
        size_t n_authority = strlen(target->host) + sizeof "[]:65535";
        int r;

        if (!channel)
                return -ENOMEM;

        channel->authority = malloc(n_authority);
        if (!channel->authority)
                return -ENOMEM;
        (void)snprintf(channel->authority, n_authority, "%s%s%s:%u", is_ipv6 ? "[" : "",
                       target->host, is_ipv6 ? "]" : "", (unsigned)target->port);

        r = channel_dial(channel, target, timeout_us);
        if (r < 0)
                return r;

        *ret_channel = TAKE(channel);
        return 0;
}

int grpc_channel_from_fd(GrpcChannel **ret_channel, Loop *loop, int fd, const char *authority,
                         GrpcChannelLostFn lost, void *userdata) {
        _cleanup_(grpc_channel_freep) GrpcChannel *channel = channel_new(loop, lost, userdata);
        int r;

        if (channel)
                channel->authority = strdup(authority);
        if (!channel || !channel->authority) {
                close(fd);
                return -ENOMEM;
        }

        r = stream_from_fd(&channel->stream, loop, fd, channel_on_event, channel);
        if (r < 0)
                return r;

        *ret_channel = TAKE(channel);
        return 0;
}

GrpcChannel *grpc_channel_free(GrpcChannel *channel) {
        ListNode *node;

        if (!channel)
                return NULL;

        assert(!channel->is_calling_out);

        while ((node = list_first(&channel->open)) || (node = list_first(&channel->waiting)))
                grpc_call_reset(container_of(node, GrpcCall, node));
        channel_stop(channel);
        nghttp2_session_del(channel->session);
        for (size_t i = 0; i < channel->n_metadata; i++)
                free(channel->metadata[i].value);
        free(channel->authority);
        free(channel);
        return NULL;
}

void grpc_channel_abort(GrpcChannel *channel, const char *reason) {
        assert(!channel->is_calling_out);

        if (channel->is_lost)
                return;

        channel_stop(channel);
        channel->is_calling_out = true;
        channel_end_all(channel, reason);
        channel->is_calling_out = false;
}

int grpc_channel_set_metadata(GrpcChannel *channel, const char *name, const char *value) {
        _cleanup_(freep) char *copy = NULL;
        size_t i = 0;

        if (value) {
                copy = strdup(value);
                if (!copy)
                        return -ENOMEM;
        }

        while (i < channel->n_metadata && !streq(channel->metadata[i].name, name))
                i++;
        if (i == channel->n_metadata) {
                if (!value)
                        return 0;
                if (i == GRPC_METADATA_MAX)
                        return -ENOSPC;
                channel->metadata[channel->n_metadata++] = (GrpcMetadata){ .name = name };
        }

        free(channel->metadata[i].value);
        channel->metadata[i].value = TAKE(copy);
        if (!value)
                channel->metadata[i] = channel->metadata[--channel->n_metadata];
        return 0;
}
