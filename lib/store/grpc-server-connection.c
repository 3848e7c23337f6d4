/* SPDX-License-Identifier: Apache-2.0 */

/* One client: a Stream below, an nghttp2 session in the middle, its calls above.
 *
 * As in grpc-channel.c, nghttp2's callbacks only take notes, the service is told when nghttp2 has
 * returned, and what it does only changes lists; the server's hook before the loop's next wait hands
 * to nghttp2 and to the stream what there is. So nobody's code runs below nghttp2, and what is
 * answered in one turn leaves in one write.
 *
 * What a hostile peer may try, and what stops it: bodies without end (the limits of
 * grpc-server-call.c); not taking answers (the limits on queues, and a call that has ended is reset
 * after a while); control frames whose answers it does not take (nghttp2's limit, and ours on what
 * waits to be sent); opening and resetting calls without end (counted here); headers (the table of
 * HPACK is small, nghttp2 limits a block, grpc-server-call.c their sum); silence (asked for a PING,
 * then dropped) and never getting to the point (dropped after ten seconds).
 *
 * Memory: a client that does nothing costs its socket, its session and this object. Hence the small
 * tables of HPACK; buffers of the stream are given back when they are empty.
 */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/store/grpc-server-private.h"

enum {
        STREAM_WINDOW_BYTES = 256 << 10,   /* credit of one call's request */
        CONNECTION_WINDOW_BYTES = 1 << 20, /* of all of them */
        HEADER_TABLE_BYTES = 1 << 10,      /* of HPACK (RFC 7541), each way */
        OUTPUT_QUEUE_BYTES = 64 << 10,  /* frames wait in nghttp2 while more than this is unsent */
        OUTPUT_FRAMES_MAX = 2000,       /* that wait there; nobody's answers are so many */
        RESETS_MAX = 500,               /* by the client... */
        RESETS_US = 10 * US_PER_S,      /* ...in so long */
        SILENCE_US = 30 * US_PER_S,     /* then a PING is sent */
        PING_ANSWER_US = 20 * US_PER_S, /* and anything must have come; clients may take 15 s */
        TLS_HELLO = 0x16,               /* how a client that speaks TLS begins */
};

/* A failure that nobody has to be told of. */
#define NOTHING ""

/* What the client sent: nghttp2's callbacks. They only take notes. */

static GrpcServerCall *call_of_stream(nghttp2_session *session, int32_t stream_id) {
        return nghttp2_session_get_stream_user_data(session, stream_id);
}

static int connection_on_begin(nghttp2_session *session, const nghttp2_frame *frame,
                               void *userdata) {
        GrpcConnection *connection = userdata;
        GrpcServerCall *call;

        if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
                return 0;

        /* Without memory, this call is reset, and the others live. */
        call = grpc_server_call_new(connection, frame->hd.stream_id);
        if (!call)
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        (void)nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, call);
        return 0;
}

static int connection_on_header(nghttp2_session *session, const nghttp2_frame *frame,
                                const uint8_t *name, size_t n_name, const uint8_t *value,
                                size_t n_value, uint8_t flags, void *userdata) {
        GrpcServerCall *call = call_of_stream(session, frame->hd.stream_id);

        (void)flags;
        (void)userdata;

        if (call && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
                grpc_server_call_on_header(call, (nghttp2_vec){ (uint8_t *)name, n_name },
                                           (nghttp2_vec){ (uint8_t *)value, n_value });
        return 0;
}

static int connection_on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id,
                              const uint8_t *bytes, size_t n_bytes, void *userdata) {
        GrpcServerCall *call = call_of_stream(session, stream_id);

        (void)flags;
        (void)userdata;

        if (call)
                grpc_server_call_on_data(call, bytes, n_bytes);
        return nghttp2_session_consume_connection(session, n_bytes) == NGHTTP2_ERR_NOMEM
                       ? NGHTTP2_ERR_CALLBACK_FAILURE
                       : 0;
}

/* Calls that are opened only to be reset cost us more than the client; it makes no difference whether
 * it resets them, or breaks rules so that we do. */
static void connection_count_reset(GrpcConnection *connection) {
        uint64_t now_us = loop_now_us(connection->server->loop);

        if (now_us - connection->resets_since_us > RESETS_US) {
                connection->resets_since_us = now_us;
                connection->n_resets = 0;
        }
        if (++connection->n_resets > RESETS_MAX)
                connection->failure = "it opened and reset too many calls";
}

static int connection_on_frame(nghttp2_session *session, const nghttp2_frame *frame,
                               void *userdata) {
        GrpcConnection *connection = userdata;
        GrpcServerCall *call = call_of_stream(session, frame->hd.stream_id);

        switch (frame->hd.type) {
        case NGHTTP2_SETTINGS:
                connection->is_greeted = true;
                return 0;
        case NGHTTP2_RST_STREAM:
                connection_count_reset(connection);
                return 0;
        case NGHTTP2_HEADERS:
                if (call && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
                        grpc_server_call_on_headers_end(call);
                break;
        case NGHTTP2_DATA:
                break;
        default:
                return 0;
        }

        if (call && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
                grpc_server_call_on_finished(call);
        return 0;
}

/* We have answered a call that the client still sends to: it is told to stop (RFC 9113, 8.1). */
static int connection_stop_sender(nghttp2_session *session, const nghttp2_frame *frame) {
        const GrpcServerCall *call = call_of_stream(session, frame->hd.stream_id);

        if (!call || call->is_finished || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
                return 0;
        return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                         NGHTTP2_NO_ERROR) == NGHTTP2_ERR_NOMEM
                       ? NGHTTP2_ERR_CALLBACK_FAILURE
                       : 0;
}

static int connection_on_sent(nghttp2_session *session, const nghttp2_frame *frame,
                              void *userdata) {
        GrpcConnection *connection = userdata;

        if (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA)
                return connection_stop_sender(session, frame);
        if (frame->hd.type == NGHTTP2_RST_STREAM &&
            frame->rst_stream.error_code != NGHTTP2_NO_ERROR) {
                connection_count_reset(connection);
                if (connection->failure)
                        loop_defer(connection->server->loop, &connection->pending);
        }
        return 0;
}

static int connection_on_stream_close(nghttp2_session *session, int32_t stream_id,
                                      uint32_t error_code, void *userdata) {
        GrpcServerCall *call = call_of_stream(session, stream_id);

        (void)error_code;
        (void)userdata;

        if (call)
                grpc_server_call_on_closed(call);
        return 0;
}

/* The session. */

static int session_set_up(nghttp2_session *session) {
        const nghttp2_settings_entry settings[] = {
                { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, GRPC_SERVER_CALLS_MAX },
                { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES },
                { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, GRPC_SERVER_HEADERS_MAX_BYTES },
                { NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, HEADER_TABLE_BYTES },
                { NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 },
        };

        if (nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, ELEMENTSOF(settings)) < 0)
                return -ENOMEM;
        if (nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
                                                  CONNECTION_WINDOW_BYTES) < 0)
                return -ENOMEM;
        return 0;
}

static int connection_make_session(GrpcConnection *connection,
                                   const nghttp2_session_callbacks *callbacks) {
        nghttp2_option *option;
        int r;

        if (nghttp2_option_new(&option) < 0)
                return -ENOMEM;

        /* What matters of the headers is looked at here; grpc-go puts whole URLs into :authority,
         * which nghttp2 would refuse. */
        nghttp2_option_set_no_http_messaging(option, 1);
        nghttp2_option_set_no_closed_streams(option, 1);
        nghttp2_option_set_no_auto_window_update(option, 1);
        nghttp2_option_set_max_deflate_dynamic_table_size(option, HEADER_TABLE_BYTES);
        r = nghttp2_session_server_new2(&connection->session, callbacks, connection, option);
        nghttp2_option_del(option);
        return r < 0 ? -ENOMEM : session_set_up(connection->session);
}

static int connection_begin_session(GrpcConnection *connection) {
        nghttp2_session_callbacks *callbacks;
        int r;

        if (nghttp2_session_callbacks_new(&callbacks) < 0)
                return -ENOMEM;

        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, connection_on_begin);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, connection_on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, connection_on_data);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, connection_on_frame);
        nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, connection_on_sent);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks,
                                                               connection_on_stream_close);
        r = connection_make_session(connection, callbacks);
        nghttp2_session_callbacks_del(callbacks);
        return r;
}

/* The end. */

static void connection_free(GrpcConnection *connection) {
        GrpcServer *server = connection->server;

        timer_clear(&connection->silence);
        loop_defer_cancel(&connection->pending);
        list_remove(&connection->node);
        list_remove(&connection->dirty_node);
        (void)stream_free(connection->stream);
        nghttp2_session_del(connection->session);
        free(connection);
        grpc_server_note_end(server);
}

void grpc_connection_drop(GrpcConnection *connection, GrpcGone why) {
        ListNode *node;

        assert(!connection->server->is_calling_out);

        connection->server->is_calling_out = true;
        while ((node = list_first(&connection->calls))) {
                GrpcServerCall *call = container_of(node, GrpcServerCall, node);

                grpc_server_call_lose(call, why, GRPC_CANCELLED, "");
                call->is_open = false;
                grpc_server_call_tell(call);
        }
        connection->server->is_calling_out = false;
        connection_free(connection);
}

/* Has HTTP/2 come to its end, by a GOAWAY of ours or an error of the client's, and is all of it
 * sent? */
static bool connection_is_over(const GrpcConnection *connection) {
        return connection->session && !nghttp2_session_want_read(connection->session) &&
               !nghttp2_session_want_write(connection->session) &&
               stream_queued_bytes(connection->stream) == 0;
}

/* Tells all that has been noted. The connection may be gone afterwards. */
static void connection_tell(GrpcConnection *connection) {
        ListNode *node;

        connection->server->is_calling_out = true;
        while ((node = list_pop(&connection->events)))
                grpc_server_call_tell(container_of(node, GrpcServerCall, event_node));
        connection->server->is_calling_out = false;

        if (connection->failure) {
                if (*connection->failure)
                        grpc_server_say(connection->server, connection->peer, "%s",
                                        connection->failure);
                grpc_connection_drop(connection, GRPC_GONE_CANCELLED);
        } else if (connection_is_over(connection)) {
                grpc_connection_drop(connection, GRPC_GONE_CANCELLED);
        }
}

static void connection_on_pending(LoopDeferred *deferred) {
        connection_tell(container_of(deferred, GrpcConnection, pending));
}

/* Gives it up in the next turn. */
static void connection_fail(GrpcConnection *connection, const char *why) {
        connection->failure = why;
        loop_defer(connection->server->loop, &connection->pending);
}

/* Sending. */

void grpc_connection_mark(GrpcConnection *connection) {
        if (connection->session && !list_node_is_linked(&connection->dirty_node))
                list_append(&connection->server->dirty, &connection->dirty_node);
}

static int connection_submit_ready(GrpcConnection *connection) {
        ListNode *node;

        while ((node = list_pop(&connection->ready))) {
                int r = grpc_server_call_submit(container_of(node, GrpcServerCall, ready_node));

                if (r < 0)
                        return r;
        }
        return 0;
}

static int connection_send(GrpcConnection *connection) {
        while (stream_queued_bytes(connection->stream) < OUTPUT_QUEUE_BYTES) {
                const uint8_t *bytes;
                ssize_t n = nghttp2_session_mem_send(connection->session, &bytes);
                int r;

                if (n < 0)
                        return -ENOMEM;
                if (n == 0)
                        return 0;
                r = stream_write(connection->stream, bytes, (size_t)n);
                if (r == -ENOTCONN)
                        return 0; /* the stream tells its end */
                if (r < 0)
                        return r;
        }
        return 0;
}

void grpc_connection_flush(GrpcConnection *connection) {
        if (connection->failure)
                return;
        if (connection_submit_ready(connection) < 0 || connection_send(connection) < 0)
                connection_fail(connection, "out of memory");
        else if (nghttp2_session_get_outbound_queue_size(connection->session) > OUTPUT_FRAMES_MAX)
                connection_fail(connection, "it does not take the answers to what it sends");
        else if (connection_is_over(connection))
                connection_fail(connection, NOTHING);
}

void grpc_connection_close(GrpcConnection *connection) {
        connection->is_closing = true;
        for (ListNode *n = list_first(&connection->calls); n;
             n = list_next(&connection->calls, n)) {
                GrpcServerCall *call = container_of(n, GrpcServerCall, node);

                if (call->code < 0 && !(call->method && call->method->takes_one))
                        grpc_server_call_lose(call, GRPC_GONE_SHUTDOWN, GRPC_UNAVAILABLE,
                                              "the server is shutting down");
        }
        if (!connection->session ||
            nghttp2_submit_goaway(connection->session, NGHTTP2_FLAG_NONE,
                                  nghttp2_session_get_last_proc_stream_id(connection->session),
                                  NGHTTP2_NO_ERROR, NULL, 0) < 0)
                connection_fail(connection, NOTHING);
        grpc_connection_mark(connection);
}

/* The stream's events. */

/* The client has been silent: ask for a sign of life, then give it up. */
static void connection_on_silence(LoopTimer *timer) {
        GrpcConnection *connection = container_of(timer, GrpcConnection, silence);
        Loop *loop = connection->server->loop;

        if (!connection->is_greeted) {
                grpc_server_say(connection->server, connection->peer,
                                "it connected, and did not begin to speak HTTP/2 in time");
                grpc_connection_drop(connection, GRPC_GONE_CANCELLED);
        } else if (connection->is_ping_pending) {
                grpc_server_say(connection->server, connection->peer,
                                "it does not answer any more");
                grpc_connection_drop(connection, GRPC_GONE_CANCELLED);
        } else if (nghttp2_submit_ping(connection->session, NGHTTP2_FLAG_NONE, NULL) < 0) {
                grpc_connection_drop(connection, GRPC_GONE_CANCELLED);
        } else {
                connection->is_ping_pending = true;
                timer_set_in(loop, &connection->silence, PING_ANSWER_US);
                grpc_connection_mark(connection);
        }
}

static void connection_say_no_http2(GrpcConnection *connection, uint8_t first) {
        grpc_server_say(connection->server, connection->peer, "it does not speak HTTP/2%s",
                        first == TLS_HELLO && !connection->is_tls
                                ? "; is it https:// in place of http://?"
                                : "");
        grpc_connection_drop(connection, GRPC_GONE_CANCELLED);
}

static void connection_on_readable(GrpcConnection *connection) {
        const uint8_t *bytes;
        size_t n_bytes = stream_input(connection->stream, &bytes);
        uint8_t first = n_bytes > 0 ? bytes[0] : 0;
        ssize_t n;

        connection->is_reading = true;
        n = nghttp2_session_mem_recv(connection->session, bytes, n_bytes);
        connection->is_reading = false;
        if (n == NGHTTP2_ERR_BAD_CLIENT_MAGIC) {
                connection_say_no_http2(connection, connection->has_heard ? 0 : first);
                return;
        }

        connection->has_heard = true;
        if (n < 0) {
                connection->failure = n == NGHTTP2_ERR_NOMEM ? "out of memory"
                                                             : "it breaks the rules of HTTP/2";
                connection_tell(connection);
                return;
        }

        stream_consume(connection->stream, n_bytes);
        connection->is_ping_pending = false;
        if (connection->is_greeted)
                timer_set_in(connection->server->loop, &connection->silence, SILENCE_US);
        grpc_connection_mark(connection);
        connection_tell(connection);
}

/* A client may go at any time; what matters is one that never was one. */
static void connection_on_closed(GrpcConnection *connection) {
        if (!connection->session && stream_explanation(connection->stream))
                grpc_server_say(connection->server, connection->peer, "%s",
                                stream_explanation(connection->stream));
        grpc_connection_drop(connection, GRPC_GONE_CANCELLED);
}

/* More can be sent. This may come after the server's hook of this turn, and then nothing else would
 * end the wait for the next one. */
static void connection_go_on(GrpcConnection *connection) {
        grpc_connection_mark(connection);
        if (connection->session && nghttp2_session_want_write(connection->session))
                loop_defer(connection->server->loop, &connection->pending);
}

static void connection_on_event(Stream *stream, StreamEvent event, void *userdata) {
        GrpcConnection *connection = userdata;

        (void)stream;

        switch (event) {
        case STREAM_CONNECTED:
                if (connection_begin_session(connection) < 0)
                        grpc_connection_drop(connection, GRPC_GONE_CANCELLED);
                else {
                        timer_set_in(connection->server->loop, &connection->silence,
                                     GRPC_SERVER_HELLO_US);
                        grpc_connection_mark(connection);
                }
                return;
        case STREAM_READABLE:
                connection_on_readable(connection);
                return;
        case STREAM_WRITABLE:
                if (connection_is_over(connection))
                        grpc_connection_drop(connection, GRPC_GONE_CANCELLED);
                else
                        connection_go_on(connection);
                return;
        case STREAM_CLOSED:
                connection_on_closed(connection);
                return;
        }
}

/* Making one. */

static void print_peer(int fd, char text[static GRPC_SERVER_PEER_BYTES]) {
        union {
                struct sockaddr any;
                struct sockaddr_in v4;
                struct sockaddr_in6 v6;
        } peer = { 0 };
        socklen_t n_peer = sizeof peer;
        char address[INET6_ADDRSTRLEN] = "";

        (void)getpeername(fd, &peer.any, &n_peer);
        if (peer.any.sa_family == AF_INET &&
            inet_ntop(AF_INET, &peer.v4.sin_addr, address, sizeof address))
                (void)snprintf(text, GRPC_SERVER_PEER_BYTES, "%s:%u", address,
                               (unsigned)ntohs(peer.v4.sin_port));
        else if (peer.any.sa_family == AF_INET6 &&
                 inet_ntop(AF_INET6, &peer.v6.sin6_addr, address, sizeof address))
                (void)snprintf(text, GRPC_SERVER_PEER_BYTES, "[%s]:%u", address,
                               (unsigned)ntohs(peer.v6.sin6_port));
        else
                (void)snprintf(text, GRPC_SERVER_PEER_BYTES, "a local socket");
}

int grpc_connection_new(GrpcServer *server, int fd, const StreamTlsServer *tls) {
        GrpcConnection *connection = calloc(1, sizeof *connection);
        int one = 1, r;

        if (!connection) {
                (void)close(fd);
                return -ENOMEM;
        }

        *connection = (GrpcConnection){
                .server = server,
                .pending.fn = connection_on_pending,
                .silence.fn = connection_on_silence,
                .is_tls = tls,
        };
        print_peer(fd, connection->peer);
        /* Answers must not wait for the acknowledgement of the ones before (tcp(7)). Unix sockets
         * have no such option. */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);

        r = tls ? stream_accept_tls(&connection->stream, server->loop, fd, tls,
                                    GRPC_SERVER_HELLO_US, connection_on_event, connection)
                : stream_from_fd(&connection->stream, server->loop, fd, connection_on_event,
                                 connection);
        if (r < 0) {
                free(connection);
                return r;
        }

        list_append(&server->connections, &connection->node);
        server->n_connections++;
        return 0;
}
