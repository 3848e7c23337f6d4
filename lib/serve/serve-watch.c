/* SPDX-License-Identifier: Apache-2.0 */

/* etcd's Watch service: a stream of one client, with any number of watches on it.
 *
 *          create                       report
 *     ──────────────> ON ──────────────────────────> told
 *                     │ ^
 *      the stream is  │ │ it has room again
 *      full           v │
 *                     HELD ──half a minute──> cancelled
 *
 * Nothing is kept in memory for a client that is slower than its watches: the history is in the file.
 * A watch whose report the stream does not take any more is off until there is room, and goes on then
 * from where it was; one that waits for too long for that is cancelled, as is one whose place in the
 * history has been compacted away meanwhile.
 *
 * The events of one revision come in one message. With `fragment` a message above
 * FRAGMENT_BYTES is sent in several, of which all but the last say so.
 */

#include <errno.h>

#include "lib/serve/serve-private.h"
#include "lib/store/store-rules.h"
#include "lib/store/store-watch.h"

enum {
        HELD_US = 30 * US_PER_S,      /* how long a watch waits for room */
        PROGRESS_US = 600 * US_PER_S, /* between notifications of progress, as in etcd */
        FRAGMENT_BYTES = 2 << 20,     /* of events in one message, roughly */
        NO_WATCH = -1,                /* the ID of a watch that is none */
};

typedef struct WatchStream WatchStream;

/* A watch. */
typedef struct ServeWatch {
        StoreWatch watch;
        WatchStream *stream; /* borrowed */
        ListNode node;       /* in its stream's watches */
        int64_t id;
        int64_t held_at;      /* the revision from which it is to go on; 0 = it is on */
        bool wants_puts;      /* filters */
        bool wants_deletions; /* likewise */
        bool wants_previous;
        bool wants_progress;
        bool takes_fragments;
        bool was_told;  /* something, since progress was told last */
        StoreBytes key; /* in this allocation */
        StoreBytes end; /* likewise */
} ServeWatch;

/* A stream. */
struct WatchStream {
        Serve *serve;         /* borrowed */
        GrpcServerCall *call; /* borrowed */
        List watches;         /* ServeWatch.node */
        size_t n_watches;
        int64_t next_id;    /* the next to give to a watch that has none */
        LoopTimer held;     /* set while a watch is held */
        LoopTimer progress; /* set while a watch wants it */
};

/* ---- messages */

static int watch_stream_send(WatchStream *stream, int64_t revision,
                             Served__WatchResponse *response) {
        Served__Header header = serve_header(stream->serve, revision);

        response->header = &header;
        return serve_send(stream->call, &response->base);
}

static int64_t watch_stream_revision(const WatchStream *stream) {
        return sqlite_store_state(stream->serve->sqlite).revision;
}

/* Sends something small about a watch, for which there is room also where the queue is full. Returns
 * whether it went; else the stream is beyond help. */
static bool watch_stream_tell(WatchStream *stream, int64_t revision,
                              Served__WatchResponse *response) {
        Served__Header header = serve_header(stream->serve, revision);
        uint8_t *bytes;

        response->header = &header;
        if (grpc_server_call_add_notice(
                    stream->call, protobuf_c_message_get_packed_size(&response->base), &bytes) < 0)
                return false;
        (void)protobuf_c_message_pack(&response->base, bytes);
        return true;
}

/* ---- the end of a stream */

static void watch_free(ServeWatch *w) {
        store_watch_stop(&w->watch);
        list_remove(&w->node);
        w->stream->n_watches--;
        w->stream->serve->n_watches--;
        free(w);
}

static void watch_stream_free(WatchStream *stream) {
        ListNode *n;

        while ((n = list_first(&stream->watches)))
                watch_free(container_of(n, ServeWatch, node));
        timer_clear(&stream->held);
        timer_clear(&stream->progress);
        free(stream);
}

/* Ends the call; the stream is gone. */
static void watch_stream_end(WatchStream *stream, int status) {
        GrpcServerCall *call = stream->call;

        watch_stream_free(stream);
        serve_end(call, status);
}

/* ---- events */

/* What a report comes to. */
typedef struct WatchEvents {
        EtcdArena arena;
        SqliteRows *previous; /* of each event; owned in its rows */
        Served__Event **list;
        size_t n;
} WatchEvents;

static void watch_events_done(WatchEvents *events) {
        for (size_t i = 0; events->previous && i < events->n; i++)
                sqlite_rows_done(&events->previous[i]);
        etcd_arena_done(&events->arena);
}

static bool watch_wants(const ServeWatch *w, const StoreEvent *event) {
        return event->kind == STORE_EVENT_PUT ? w->wants_puts : w->wants_deletions;
}

/* What was there before is told where it is known; etcd leaves it out where it was compacted away. */
static int events_add(WatchEvents *events, const ServeWatch *w, const StoreEvent *event) {
        Served__Event *message = serve_allocate(&events->arena, 1, sizeof(*message));
        SqliteRows *previous = &events->previous[events->n];
        int r = 0;

        if (!message)
                return -ENOMEM;

        served__event__init(message);
        message->type = event->kind == STORE_EVENT_PUT ? SERVED__EVENT__TYPE__PUT
                                                       : SERVED__EVENT__TYPE__DELETE;
        message->kv = serve_kv(&events->arena, &event->kv);
        if (w->wants_previous)
                r = sqlite_store_previous(w->stream->serve->sqlite, &event->kv, previous);
        events->list[events->n++] = message;
        if (r != 0)
                return r;
        if (previous->n_kvs > 0)
                message->prev_kv = serve_kv(&events->arena, &previous->kvs[0]);
        return message->kv && (previous->n_kvs == 0 || message->prev_kv) ? 0 : -ENOMEM;
}

static int events_make(WatchEvents *events, const ServeWatch *w, const StoreWatchReport *report) {
        int r = 0;

        events->previous = serve_allocate(&events->arena, report->n_events, sizeof(SqliteRows));
        events->list = serve_allocate(&events->arena, report->n_events, sizeof(Served__Event *));
        if (!events->previous || !events->list)
                return -ENOMEM;

        for (size_t i = 0; r == 0 && i < report->n_events; i++)
                if (watch_wants(w, &report->events[i]))
                        r = events_add(events, w, &report->events[i]);
        return r;
}

/* How many of the events go into one message. */
static size_t events_fit(const WatchEvents *events, size_t first) {
        size_t n_bytes = 0, i = first;

        while (i < events->n && (i == first || n_bytes < FRAGMENT_BYTES))
                n_bytes += protobuf_c_message_get_packed_size(&events->list[i++]->base);
        return i - first;
}

/* Returns 0 or as grpc_server_call_add_message(); `*ret_n_sent` of the events are with the client. */
static int watch_send(ServeWatch *w, const WatchEvents *events, int64_t revision,
                      size_t *ret_n_sent) {
        size_t first = 0;
        int r = 0;

        while (r == 0 && first < events->n) {
                size_t n = w->takes_fragments ? events_fit(events, first) : events->n;
                Served__WatchResponse response = SERVED__WATCH_RESPONSE__INIT;

                response.watch_id = w->id;
                response.n_events = n;
                response.events = events->list + first;
                response.fragment = first + n < events->n;
                r = watch_stream_send(w->stream, revision, &response);
                if (r == 0)
                        first += n;
        }
        *ret_n_sent = first;
        return r;
}

/* ---- the ends of watches */

/* Tells that a watch has ended, and frees it. Returns whether the stream still is. */
static bool watch_cancel(ServeWatch *w, const char *why, int64_t compacted) {
        WatchStream *stream = w->stream;
        Served__WatchResponse response = SERVED__WATCH_RESPONSE__INIT;

        response.watch_id = w->id;
        response.canceled = true;
        response.cancel_reason = (char *)why;
        response.compact_revision = compacted;
        watch_free(w);
        if (watch_stream_tell(stream, compacted > 0 ? 0 : watch_stream_revision(stream), &response))
                return true;
        watch_stream_end(stream, -ENOBUFS);
        return false;
}

/* The client has to take what it has been sent before this goes on from `revision`. */
static void watch_hold(ServeWatch *w, int64_t revision) {
        WatchStream *stream = w->stream;

        store_watch_stop(&w->watch);
        w->held_at = revision;
        if (!timer_is_set(&stream->held))
                timer_set_in(stream->serve->loop, &stream->held, HELD_US);
}

static void watch_on_events(ServeWatch *w, const StoreWatchReport *report) {
        WatchStream *stream = w->stream;
        _cleanup_(watch_events_done) WatchEvents events = { 0 };
        size_t n_sent = 0;
        int r = events_make(&events, w, report);

        if (r == 0)
                r = watch_send(w, &events, sqlite_watch_told(&w->watch), &n_sent);
        if (r == 0)
                w->was_told |= n_sent > 0;
        else if (n_sent > 0)
                (void)watch_cancel(w, "the client does not take its events", 0);
        else if (r == -EMSGSIZE)
                (void)watch_cancel(w, "the events of one revision are too large for a message", 0);
        else if (r == -ENOBUFS)
                watch_hold(w, report->events[0].kv.mod_revision);
        else
                watch_stream_end(stream, r); /* the client begins anew where it is */
}

static void watch_on_report(StoreWatch *watch, const StoreWatchReport *report) {
        ServeWatch *w = container_of(watch, ServeWatch, watch);

        if (report->kind == STORE_WATCH_EVENTS)
                watch_on_events(w, report);
        else
                (void)watch_cancel(w, "", report->revision);
}

static int watch_start(ServeWatch *w, int64_t revision) {
        w->held_at = 0;
        return store_watch_start(w->stream->serve->watched, &w->watch, w->key, w->end, revision,
                                 watch_on_report);
}

void serve_on_watch_drained(GrpcServerCall *call, void *service) {
        WatchStream *stream = grpc_server_call_data(call);

        (void)service;
        if (!stream)
                return;

        timer_clear(&stream->held);
        for (ListNode *n = list_first(&stream->watches); n; n = list_next(&stream->watches, n)) {
                ServeWatch *w = container_of(n, ServeWatch, node);
                int r = w->held_at > 0 ? watch_start(w, w->held_at) : 0;

                if (r < 0) {
                        watch_stream_end(stream, r);
                        return;
                }
        }
}

static ServeWatch *watch_stream_first_held(const WatchStream *stream) {
        for (ListNode *n = list_first(&stream->watches); n; n = list_next(&stream->watches, n))
                if (container_of(n, ServeWatch, node)->held_at > 0)
                        return container_of(n, ServeWatch, node);
        return NULL;
}

static void watch_stream_on_held(LoopTimer *timer) {
        WatchStream *stream = container_of(timer, WatchStream, held);
        ServeWatch *w;

        while ((w = watch_stream_first_held(stream)))
                if (!watch_cancel(w, "the client does not take its events", 0))
                        return;
}

/* ---- progress */

/* The revision up to which all watches of the stream have been told everything. */
static int64_t watch_stream_progress(const WatchStream *stream) {
        int64_t revision = watch_stream_revision(stream);

        for (ListNode *n = list_first(&stream->watches); n; n = list_next(&stream->watches, n)) {
                const ServeWatch *w = container_of(n, ServeWatch, node);
                int64_t told = w->held_at > 0 ? w->held_at - 1 : sqlite_watch_told(&w->watch);

                if (told < revision)
                        revision = told;
        }
        return revision;
}

static void watch_stream_on_progress(LoopTimer *timer) {
        WatchStream *stream = container_of(timer, WatchStream, progress);

        for (ListNode *n = list_first(&stream->watches); n; n = list_next(&stream->watches, n)) {
                ServeWatch *w = container_of(n, ServeWatch, node);
                Served__WatchResponse response = SERVED__WATCH_RESPONSE__INIT;

                /* A stream that is full has no need of a sign of life. */
                response.watch_id = w->id;
                if (w->wants_progress && !w->was_told && w->held_at == 0)
                        (void)watch_stream_send(stream, sqlite_watch_told(&w->watch), &response);
                w->was_told = false;
        }
        timer_set_in(stream->serve->loop, timer, PROGRESS_US);
}

static bool watch_stream_answer_progress(WatchStream *stream) {
        Served__WatchResponse response = SERVED__WATCH_RESPONSE__INIT;

        response.watch_id = NO_WATCH;
        return watch_stream_tell(stream, watch_stream_progress(stream), &response);
}

/* ---- requests */

static ServeWatch *watch_stream_find(const WatchStream *stream, int64_t id) {
        for (ListNode *n = list_first(&stream->watches); n; n = list_next(&stream->watches, n))
                if (container_of(n, ServeWatch, node)->id == id)
                        return container_of(n, ServeWatch, node);
        return NULL;
}

/* Why a watch cannot be made; NULL = it can. The first two are etcd's words. */
static const char *watch_stream_refusal(const WatchStream *stream,
                                        const Served__WatchCreateRequest *request) {
        const StoreBytes key = { .data = request->key.data, .n_bytes = request->key.len };
        const StoreBytes end = { .data = request->range_end.data,
                                 .n_bytes = request->range_end.len };

        if (end.n_bytes > 0 && !store_end_is_open(end) && store_bytes_compare(key, end) >= 0)
                return "mvcc: watcher range is empty";
        if (request->watch_id != 0 && watch_stream_find(stream, request->watch_id))
                return "mvcc: duplicate watch ID provided on the WatchStream";
        if (stream->n_watches >= SERVE_STREAM_WATCHES_MAX)
                return "the stream has too many watches";
        if (stream->serve->n_watches >= SERVE_WATCHES_MAX)
                return "there are too many watches";
        return NULL;
}

static StoreBytes put_bytes(char *to, ProtobufCBinaryData from) {
        if (from.len > 0)
                memcpy(to, from.data, from.len);
        return (StoreBytes){ .data = to, .n_bytes = from.len };
}

static ServeWatch *watch_new(WatchStream *stream, const Served__WatchCreateRequest *request) {
        /* The empty key is the beginning of all keys, as in etcd. */
        const ProtobufCBinaryData first = { .len = 1, .data = (uint8_t *)"" };
        const ProtobufCBinaryData key = request->key.len > 0 ? request->key : first;
        ServeWatch *w = calloc(1, sizeof(*w) + key.len + request->range_end.len);

        if (!w)
                return NULL;

        w->stream = stream;
        w->id = request->watch_id;
        w->key = put_bytes((char *)(w + 1), key);
        w->end = put_bytes((char *)(w + 1) + key.len, request->range_end);
        w->wants_puts = w->wants_deletions = true;
        for (size_t i = 0; i < request->n_filters; i++) {
                w->wants_puts &= request->filters[i] != SERVED__WATCH_CREATE_REQUEST__FILTER__NOPUT;
                w->wants_deletions &= request->filters[i] !=
                                      SERVED__WATCH_CREATE_REQUEST__FILTER__NODELETE;
        }
        w->wants_previous = request->prev_kv;
        w->wants_progress = request->progress_notify;
        w->takes_fragments = request->fragment;
        return w;
}

static void watch_give_id(ServeWatch *w) {
        WatchStream *stream = w->stream;

        if (w->id != 0)
                return;
        while (watch_stream_find(stream, stream->next_id))
                stream->next_id++;
        w->id = stream->next_id++;
}

/* Returns 0, or what the stream ends with. */
static int watch_stream_create(WatchStream *stream, const Served__WatchCreateRequest *request) {
        Served__WatchResponse response = SERVED__WATCH_RESPONSE__INIT;
        int64_t revision = watch_stream_revision(stream);
        const char *refusal = watch_stream_refusal(stream, request);
        ServeWatch *w;

        response.created = true;
        if (refusal) {
                response.watch_id = NO_WATCH;
                response.canceled = true;
                response.cancel_reason = (char *)refusal;
                return watch_stream_tell(stream, revision, &response) ? 0 : -ENOBUFS;
        }

        w = watch_new(stream, request);
        if (!w)
                return -ENOMEM;
        watch_give_id(w);
        list_append(&stream->watches, &w->node);
        stream->n_watches++;
        stream->serve->n_watches++;
        response.watch_id = w->id;
        if (!watch_stream_tell(stream, revision, &response))
                return -ENOBUFS;
        if (w->wants_progress && !timer_is_set(&stream->progress))
                timer_set_in(stream->serve->loop, &stream->progress, PROGRESS_US);
        if (request->start_revision < 0)
                return watch_start(w, 1);
        return watch_start(w, request->start_revision > 0 ? request->start_revision : revision + 1);
}

/* A watch that there is not is no reason for an answer, as in etcd. */
static int watch_stream_cancel(WatchStream *stream, int64_t id) {
        ServeWatch *w = watch_stream_find(stream, id);
        Served__WatchResponse response = SERVED__WATCH_RESPONSE__INIT;

        if (!w)
                return 0;

        watch_free(w);
        response.watch_id = id;
        response.canceled = true;
        return watch_stream_tell(stream, watch_stream_revision(stream), &response) ? 0 : -ENOBUFS;
}

static int watch_stream_dispatch(WatchStream *stream, const Served__WatchRequest *request) {
        switch (request->request_case) {
        case SERVED__WATCH_REQUEST__REQUEST_CREATE:
                return watch_stream_create(stream, request->create);
        case SERVED__WATCH_REQUEST__REQUEST_CANCEL:
                return watch_stream_cancel(stream, request->cancel->watch_id);
        case SERVED__WATCH_REQUEST__REQUEST_PROGRESS:
                return watch_stream_answer_progress(stream) ? 0 : -ENOBUFS;
        default:
                return 0;
        }
}

static WatchStream *watch_stream_of(Serve *serve, GrpcServerCall *call) {
        WatchStream *stream = grpc_server_call_data(call);

        if (stream)
                return stream;
        stream = calloc(1, sizeof(*stream));
        if (!stream)
                return NULL;

        stream->serve = serve;
        stream->call = call;
        stream->held.fn = watch_stream_on_held;
        stream->progress.fn = watch_stream_on_progress;
        grpc_server_call_set_data(call, stream);
        return stream;
}

void serve_on_watch(GrpcServerCall *call, GrpcMessage *message, void *service) {
        _cleanup_(freep) GrpcMessage *owned = message;
        _cleanup_(etcd_arena_done) EtcdArena arena = { .max_bytes = SERVE_DECODED_MAX_BYTES };
        WatchStream *stream = grpc_server_call_data(call);
        ProtobufCMessage *request;
        int r;

        /* A stream that there is goes on when the file is back. */
        if (!stream && !serve_is_usable(service, call))
                return;
        stream = watch_stream_of(service, call);
        if (!stream) {
                serve_end(call, -ENOMEM);
                return;
        }

        r = serve_decode(&served__watch_request__descriptor, owned, &arena, &request);
        if (r == 0)
                r = watch_stream_dispatch(stream, (const Served__WatchRequest *)request);
        if (r != 0)
                watch_stream_end(stream, r);
}

/* etcd ends the watches with the client's side of the stream. */
void serve_on_watch_finished(GrpcServerCall *call, void *service) {
        WatchStream *stream = grpc_server_call_data(call);

        (void)service;
        if (stream)
                watch_stream_free(stream);
        grpc_server_call_end(call, GRPC_OK, "");
}

void serve_on_watch_gone(GrpcServerCall *call, GrpcGone why, void *service) {
        WatchStream *stream = grpc_server_call_data(call);

        (void)why;
        (void)service;
        if (stream)
                watch_stream_free(stream);
}
