/* SPDX-License-Identifier: Apache-2.0 */

/* The stream over TLS: a stream like any other above, a socket's stream below, and between them a
 * session of the TLS engine, which is in a module of its own (tls-engine.h).
 *
 *   CONNECTING --connected--> SHAKING_HANDS --peer proven--> OPEN --> ENDED
 *
 * Input is decrypted as it arrives, and told when all of it is. Output is gathered and encrypted at
 * the end of the turn, so that many small writes make one TLS record. As with sockets, every event
 * is told from the loop, and the owner may free the stream from any of its callbacks.
 */

#include "lib/loop/stream-tls.h"

#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/loop/stream-backend.h"
#include "lib/loop/tls-engine.h"

enum {
        RECORD_BYTES = 16 * 1024,      /* what one TLS record holds (RFC 8446, section 5.1) */
        ANSWERS_MAX_BYTES = 64 * 1024, /* of TLS itself, that the peer does not take */
};

typedef struct TlsStream {
        Stream head; /* first: the front-end's part */
        Loop *loop;  /* borrowed */
        StreamFn fn;
        void *userdata;
        Stream *socket;          /* owned; NULL when there was no session to connect for */
        TlsSession *session;     /* owned; NULL as above */
        struct evbuffer *input;  /* owned; decrypted */
        struct evbuffer *output; /* owned; to be encrypted */
        size_t n_answer_bytes;   /* that TLS had to say to what came since all was taken */
        LoopTimer timer;         /* bounds connecting and the handshake */
        LoopHook flush;          /* encrypts at the end of the turn */
        LoopDeferred deferred;   /* tells an end that was found outside of a callback */
        bool *is_alive; /* set to false when the stream is freed while one of its callbacks runs */
        bool is_server; /* we are */
        bool has_heard; /* the peer has sent something */
        bool has_read;  /* and something that was meant for us */
        bool is_write_broken; /* nothing can be sent any more; what the server had sent is still
                                 read */
        int error;            /* negative errno, or 0 */
        Diag explanation;
        enum {
                TLS_CONNECTING,
                TLS_SHAKING_HANDS,
                TLS_OPEN,
                TLS_ENDED,
        } state;
} TlsStream;

/* The module stays once it is loaded. */
static const TlsEngine *engine;

static TlsStream *tls_of(const Stream *stream) {
        return container_of(stream, TlsStream, head);
}

static int engine_load(const char *path, Diag *diag) {
        const ModuleHead *head;
        int r;

        if (engine)
                return 0;

        r = module_load(&head, path ? path : FLEET_TLS_MODULE, TLS_ENGINE_SYMBOL, "TLS", diag);
        if (r == 0)
                engine = container_of(head, TlsEngine, head);
        return r;
}

static TlsStream *tls_free(TlsStream *tls) {
        if (!tls)
                return NULL;

        if (tls->is_alive)
                *tls->is_alive = false;
        timer_clear(&tls->timer);
        loop_defer_cancel(&tls->deferred);
        loop_hook_remove(&tls->flush);
        if (tls->session) {
                engine->close(tls->session);
                if (tls->socket)
                        stream_push(tls->socket);
        }
        (void)stream_free(tls->socket);
        if (tls->input)
                evbuffer_free(tls->input);
        if (tls->output)
                evbuffer_free(tls->output);
        free(tls);
        return NULL;
}
DEFINE_CLEANUP(TlsStream, tls_free)

/* Telling the owner */

/* Tells an event. Returns whether the stream still exists and is open. */
static bool tls_tell(TlsStream *tls, StreamEvent event) {
        bool is_alive = true;

        tls->is_alive = &is_alive;
        tls->fn(&tls->head, event, tls->userdata);
        if (is_alive)
                tls->is_alive = NULL;
        return is_alive && tls->state == TLS_OPEN;
}

static void tls_end(TlsStream *tls, int error) {
        tls->error = error;
        tls->state = TLS_ENDED;
        timer_clear(&tls->timer);
        loop_defer_cancel(&tls->deferred);
        loop_hook_remove(&tls->flush);
        (void)tls_tell(tls, STREAM_CLOSED);
}

static void tls_on_deferred(LoopDeferred *deferred) {
        TlsStream *tls = container_of(deferred, TlsStream, deferred);

        tls_end(tls, tls->error);
}

static void tls_fail_later(TlsStream *tls, int error) {
        tls->error = error;
        loop_defer(tls->loop, &tls->deferred);
}

static void tls_on_timer(LoopTimer *timer) {
        TlsStream *tls = container_of(timer, TlsStream, timer);

        if (tls->state == TLS_SHAKING_HANDS)
                (void)diag_set(&tls->explanation, 0,
                               tls->is_server
                                       ? "it connected, and did not do its part of TLS in time"
                                       : "it takes the connection, but does not answer to TLS in "
                                         "time");
        tls_end(tls, -ETIMEDOUT);
}

/* What arrives */

static int tls_send(const void *bytes, size_t n_bytes, void *userdata) {
        TlsStream *tls = userdata;
        int r = stream_write(tls->socket, bytes, n_bytes);

        /* Behind the broken end there may be the server's last words: the session goes on for
         * them, and the socket tells the end. */
        if (r == -ENOTCONN)
                tls->is_write_broken = true;
        return tls->is_write_broken ? 0 : r;
}

/* Decrypts what there is. Returns 0 or a negative errno as TlsEngine.read. */
static int tls_decrypt(TlsStream *tls, TlsInput *received) {
        for (;;) {
                struct evbuffer_iovec room;
                ssize_t n;

                if (evbuffer_reserve_space(tls->input, RECORD_BYTES, &room, 1) < 1)
                        return -ENOMEM;
                n = engine->read(tls->session, received, room.iov_base, room.iov_len,
                                 &tls->explanation);
                room.iov_len = n > 0 ? (size_t)n : 0;
                if (evbuffer_commit_space(tls->input, &room, 1) < 0)
                        return -ENOMEM;
                if (n <= 0)
                        return (int)n;
                tls->has_read = true;
        }
}

static void tls_open(TlsStream *tls) {
        tls->state = TLS_OPEN;
        timer_clear(&tls->timer);
        if (evbuffer_get_length(tls->output) > 0 && !list_node_is_linked(&tls->flush.node))
                loop_hook_add_last(tls->loop, &tls->flush);
}

/* Tells what decrypting has brought, and the end if it was one. */
static void tls_tell_read(TlsStream *tls, int r) {
        if (evbuffer_get_length(tls->input) > 0 && !tls_tell(tls, STREAM_READABLE))
                return;
        if (r < 0)
                tls_end(tls, r == -ENODATA ? 0 : r);
}

/* A peer may have TLS answer what it sends without end, and take nothing of it. */
static int tls_count_answers(TlsStream *tls, size_t n_bytes) {
        tls->n_answer_bytes += n_bytes;
        return tls->n_answer_bytes > ANSWERS_MAX_BYTES
                       ? diag_set(&tls->explanation, -EPROTO,
                                  "it does not take what TLS answers to it")
                       : 0;
}

static void tls_on_received(TlsStream *tls) {
        size_t n_bytes, n_queued = stream_queued_bytes(tls->socket);
        TlsInput received;
        bool is_new = false;
        int r = 0;

        received.n_bytes = n_bytes = stream_input(tls->socket, &received.bytes);
        tls->has_heard = tls->has_heard || n_bytes > 0;
        if (tls->state == TLS_SHAKING_HANDS) {
                r = engine->handshake(tls->session, &received, &tls->explanation);
                is_new = r == 1;
        }
        if (is_new || tls->state == TLS_OPEN)
                r = tls_decrypt(tls, &received);
        if (r == 0 && tls->state == TLS_OPEN)
                r = tls_count_answers(tls, stream_queued_bytes(tls->socket) - n_queued);
        stream_consume(tls->socket, n_bytes - received.n_bytes);

        if (is_new) {
                tls_open(tls);
                if (!tls_tell(tls, STREAM_CONNECTED))
                        return;
        }
        if (tls->state == TLS_OPEN)
                tls_tell_read(tls, r);
        else if (r < 0)
                tls_end(tls, r);
}

/* What the socket's end during the handshake means. */
static const char *explain_early_end(const TlsStream *tls) {
        if (tls->has_heard)
                return "it ended the connection during the TLS handshake";
        return tls->is_server ? "it ended the connection before it said anything"
                              : "it ended the connection when TLS was to begin; is it http:// in "
                                "place of https://?";
}

/* The socket's end. */
static void tls_on_closed(TlsStream *tls) {
        int error = stream_error(tls->socket);

        if (tls->state == TLS_SHAKING_HANDS) {
                (void)diag_set(&tls->explanation, 0, "%s", explain_early_end(tls));
                error = error < 0 ? error : -EPROTO;
        } else if (tls->state == TLS_OPEN && !tls->has_read && !tls->is_server) {
                (void)diag_set(&tls->explanation, 0,
                               "it ended the connection right after the TLS handshake; it may "
                               "want another client certificate");
        }
        tls_end(tls, error);
}

static void tls_on_socket(Stream *socket, StreamEvent event, void *userdata) {
        TlsStream *tls = userdata;

        (void)socket;

        if (tls->state == TLS_ENDED || tls->error < 0)
                return;

        switch (event) {
        case STREAM_CONNECTED:
                tls->state = TLS_SHAKING_HANDS;
                tls_on_received(tls);
                return;
        case STREAM_READABLE:
                tls_on_received(tls);
                return;
        case STREAM_WRITABLE:
                tls->n_answer_bytes = 0;
                if (tls->state == TLS_OPEN && evbuffer_get_length(tls->output) == 0)
                        (void)tls_tell(tls, STREAM_WRITABLE);
                return;
        case STREAM_CLOSED:
                tls_on_closed(tls);
                return;
        }
}

/* What is sent */

static void tls_on_flush(LoopHook *hook) {
        TlsStream *tls = container_of(hook, TlsStream, flush);
        size_t n;

        loop_hook_remove(hook);
        while (tls->state == TLS_OPEN && tls->error == 0 &&
               (n = evbuffer_get_length(tls->output)) > 0) {
                const uint8_t *bytes;
                int r = -ENOMEM;

                n = n < RECORD_BYTES ? n : RECORD_BYTES;
                bytes = evbuffer_pullup(tls->output, (ev_ssize_t)n);
                if (bytes)
                        r = engine->write(tls->session, bytes, n, &tls->explanation);
                if (r < 0) {
                        tls_fail_later(tls, r);
                        return;
                }
                (void)evbuffer_drain(tls->output, n);
        }
}

/* The operations of the seam */

static void tls_free_head(Stream *head) {
        (void)tls_free(tls_of(head));
}

static size_t tls_input(Stream *head, const uint8_t **ret_bytes) {
        TlsStream *tls = tls_of(head);

        *ret_bytes = evbuffer_pullup(tls->input, -1);
        return *ret_bytes ? evbuffer_get_length(tls->input) : 0;
}

static void tls_consume(Stream *head, size_t n_bytes) {
        (void)evbuffer_drain(tls_of(head)->input, n_bytes);
}

static int tls_write(Stream *head, const void *bytes, size_t n_bytes) {
        TlsStream *tls = tls_of(head);

        if (tls->state == TLS_ENDED || tls->error < 0 || tls->is_write_broken)
                return -ENOTCONN;
        if (evbuffer_add(tls->output, bytes, n_bytes) < 0)
                return -ENOMEM;

        if (tls->state == TLS_OPEN && !list_node_is_linked(&tls->flush.node))
                loop_hook_add_last(tls->loop, &tls->flush);
        return 0;
}

static size_t tls_queued_bytes(const Stream *head) {
        const TlsStream *tls = tls_of(head);

        return evbuffer_get_length(tls->output) +
               (tls->socket ? stream_queued_bytes(tls->socket) : 0);
}

static int tls_error(const Stream *head) {
        return tls_of(head)->error;
}

static const char *tls_explanation(const Stream *head) {
        const TlsStream *tls = tls_of(head);

        return tls->explanation.message[0] ? tls->explanation.message : NULL;
}

static const StreamVtable tls_vtable = {
        .free = tls_free_head,
        .input = tls_input,
        .consume = tls_consume,
        .write = tls_write,
        .queued_bytes = tls_queued_bytes,
        .error = tls_error,
        .explanation = tls_explanation,
};

/* Making one */

static int tls_new(TlsStream **ret_tls, Loop *loop, StreamFn fn, void *userdata) {
        _cleanup_(tls_freep) TlsStream *tls = calloc(1, sizeof(*tls));

        assert(fn);

        if (!tls)
                return -ENOMEM;

        *tls = (TlsStream){
                .head.vtable = &tls_vtable,
                .loop = loop,
                .fn = fn,
                .userdata = userdata,
                .timer.fn = tls_on_timer,
                .flush.prepare = tls_on_flush,
                .deferred.fn = tls_on_deferred,
                .input = evbuffer_new(),
                .output = evbuffer_new(),
        };
        if (!tls->input || !tls->output)
                return -ENOMEM;

        *ret_tls = TAKE(tls);
        return 0;
}

/* Makes the session. What is wrong with the module or the files becomes the stream's end. */
static int tls_prepare(TlsStream *tls, const char *module, const TlsIdentity *identity) {
        const TlsSink sink = { .send = tls_send, .userdata = tls };
        int r;

        r = engine_load(module, &tls->explanation);
        if (r == 0)
                r = engine->open(&tls->session, identity, &sink, &tls->explanation);
        if (r < 0 && r != -ENOMEM)
                tls_fail_later(tls, r);
        return r;
}

int stream_connect_tls(Stream **ret_stream, Loop *loop, const char *host, uint16_t port,
                       const StreamTls *options, uint64_t timeout_us, StreamFn fn, void *userdata) {
        const TlsIdentity identity = {
                .ca_path = options->ca_path,
                .cert_path = options->cert_path,
                .key_path = options->key_path,
                .name = host,
                .protocol = options->protocol,
        };
        _cleanup_(tls_freep) TlsStream *tls = NULL;
        int r;

        assert(!options->cert_path == !options->key_path);

        if (port == 0)
                return -EINVAL;

        r = tls_new(&tls, loop, fn, userdata);
        if (r < 0)
                return r;
        r = tls_prepare(tls, options->module, &identity);
        if (r == -ENOMEM)
                return r;
        if (r == 0)
                r = stream_connect_tcp(&tls->socket, loop, host, port, timeout_us, tls_on_socket,
                                       tls);
        else
                r = 0; /* told from the loop */
        if (r < 0)
                return r;

        timer_set_in(loop, &tls->timer, timeout_us);
        *ret_stream = &TAKE(tls)->head;
        return 0;
}

static TlsIdentity server_identity(const StreamTlsServer *options) {
        return (TlsIdentity){
                .ca_path = options->client_ca_path,
                .cert_path = options->cert_path,
                .key_path = options->key_path,
                .protocol = options->protocol,
        };
}

int stream_accept_tls(Stream **ret_stream, Loop *loop, int fd, const StreamTlsServer *options,
                      uint64_t timeout_us, StreamFn fn, void *userdata) {
        const TlsIdentity identity = server_identity(options);
        _cleanup_(tls_freep) TlsStream *tls = NULL;
        int r;

        r = tls_new(&tls, loop, fn, userdata);
        if (r == 0) {
                tls->is_server = true;
                r = tls_prepare(tls, options->module, &identity);
        }
        if (r == -ENOMEM) {
                (void)close(fd);
                return r;
        }
        if (r == 0)
                r = stream_from_fd(&tls->socket, loop, fd, tls_on_socket, tls);
        else {
                (void)close(fd);
                r = 0; /* told from the loop */
        }
        if (r < 0)
                return r;

        timer_set_in(loop, &tls->timer, timeout_us);
        *ret_stream = &TAKE(tls)->head;
        return 0;
}

static int send_nowhere(const void *bytes, size_t n_bytes, void *userdata) {
        (void)bytes;
        (void)n_bytes;
        (void)userdata;
        return 0;
}

int stream_tls_server_check(const StreamTlsServer *options, Diag *diag) {
        const TlsIdentity identity = server_identity(options);
        const TlsSink sink = { .send = send_nowhere };
        TlsSession *session;
        int r;

        r = engine_load(options->module, diag);
        if (r == 0)
                r = engine->open(&session, &identity, &sink, diag);
        if (r == -ENOMEM)
                return diag_set(diag, r, "out of memory");
        if (r == 0)
                engine->close(session);
        return r;
}
