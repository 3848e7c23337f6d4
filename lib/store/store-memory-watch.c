/* SPDX-License-Identifier: Apache-2.0 */

/* The watches of the store in memory.
 *
 * A watch is either up to date (it is told of by the next commit that concerns it) or it has one
 * delivery on its way. A delivery reads the history from the watch's cursor on, and takes what was
 * committed at least one latency ago; what is younger is another delivery. So reports cannot
 * overtake each other, however latencies are drawn.
 *
 * A client that is cut off gets nothing. When the cut heals, each watch starts over behind the last
 * event that its owner saw, like a client that reconnects; it may find that revision compacted
 * away.
 */

#include <errno.h>

#include "lib/store/store-memory-client.h"

enum {
        /* etcd, too, tells at most this many revisions at once to a watch that lags behind. */
        MEMORY_WATCH_REVISIONS_MAX = 1000,
        MEMORY_WATCH_RETRY_US = 50 * US_PER_MS, /* to tell again, when memory was out */
};

/* The store's side of a watch. */
typedef struct MemoryWatch {
        StoreWatch *watch;   /* borrowed: its owner's side */
        StoreMemory *client; /* borrowed */
        ListNode node;       /* in MemoryStore.watches */
        StoreBytes key;      /* in this allocation */
        StoreBytes end;      /* in this allocation */
        uint64_t cursor; /* number of the first change to look at, while a delivery is on its way */
        uint64_t latency_us; /* of the delivery that is on its way */
        bool is_pending;     /* a delivery is on its way */
        bool is_compacted;   /* it started at a revision that is gone */
        LoopTimer timer;
        LoopDeferred deferred;
} MemoryWatch;

/* Events to report, with what they borrow from. */
typedef struct MemoryEvents {
        StoreEvent *events;       /* owned */
        MemoryVersion **versions; /* owned references */
        size_t n_events;
        size_t n_allocated;
} MemoryEvents;

static void memory_events_done(MemoryEvents *events) {
        for (size_t i = 0; i < events->n_events; i++)
                memory_version_unref(events->versions[i]);
        free(events->events);
        free(events->versions);
}

static int memory_events_grow(MemoryEvents *events) {
        size_t n = events->n_allocated ? events->n_allocated * 2 : 16;
        MemoryVersion **versions;
        StoreEvent *grown;

        grown = reallocarray(events->events, n, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        events->events = grown;

        versions = reallocarray(events->versions, n, sizeof(*versions));
        if (!versions)
                return -ENOMEM;
        events->versions = versions;
        events->n_allocated = n;
        return 0;
}

static int memory_events_add(MemoryEvents *events, MemoryVersion *version) {
        if (events->n_events == events->n_allocated && memory_events_grow(events) < 0)
                return -ENOMEM;

        events->events[events->n_events] = (StoreEvent){
                .kind = version->is_deletion ? STORE_EVENT_DELETE : STORE_EVENT_PUT,
                .kv = memory_version_kv(version, false),
        };
        events->versions[events->n_events++] = memory_version_ref(version);
        return 0;
}

static bool memory_watch_wants(const MemoryWatch *w, const MemoryVersion *version) {
        return version->mod_revision >= w->watch->next_revision &&
               store_bytes_is_in_range(version->key->bytes, w->key, w->end);
}

/* Sends a delivery on its way, which leaves the store at `from_us`. */
static void memory_watch_schedule(MemoryWatch *w, uint64_t from_us) {
        Loop *loop = w->client->store.loop;
        uint64_t due_us;

        w->is_pending = true;
        w->latency_us = store_memory_draw_latency_us(w->client);
        due_us = from_us + w->latency_us;

        if (due_us <= loop_now_us(loop))
                loop_defer(loop, &w->deferred);
        else
                timer_set_at(loop, &w->timer, due_us);
}

/* Takes what is due; `*ret_cursor` is the first change that was not looked at. */
static int memory_watch_collect(const MemoryWatch *w, MemoryEvents *events, uint64_t *ret_cursor) {
        const MemoryData *data = &w->client->memory->data;
        uint64_t now_us = loop_now_us(w->client->store.loop);
        uint64_t sequence = w->cursor, end = memory_data_next_sequence(data);
        int64_t revision = 0;
        unsigned n_revisions = 0;

        for (; sequence < end; sequence++) {
                const MemoryChange *change = memory_data_change(data, sequence);
                int r;

                if (change->committed_us + w->latency_us > now_us)
                        break;
                if (!memory_watch_wants(w, change->version))
                        continue;

                if (change->version->mod_revision != revision &&
                    ++n_revisions > MEMORY_WATCH_REVISIONS_MAX)
                        break;
                revision = change->version->mod_revision;

                r = memory_events_add(events, change->version);
                if (r < 0)
                        return r;
        }

        *ret_cursor = sequence;
        return 0;
}

static void memory_watch_report_compacted(MemoryWatch *w) {
        const StoreWatchReport report = {
                .kind = STORE_WATCH_COMPACTED,
                .revision = w->client->memory->data.compacted,
        };

        store_watch_report(w->watch, &report);
}

static void memory_watch_deliver(MemoryWatch *w) {
        MemoryData *data = &w->client->memory->data;
        _cleanup_(memory_events_done) MemoryEvents events = { 0 };
        StoreWatchReport report = { .kind = STORE_WATCH_EVENTS };

        w->is_pending = false;
        if (w->client->faults.is_cut)
                return;

        if (w->is_compacted || w->cursor < data->first_sequence) {
                memory_watch_report_compacted(w);
                return;
        }

        if (memory_watch_collect(w, &events, &w->cursor) < 0) {
                w->is_pending = true;
                timer_set_in(w->client->store.loop, &w->timer, MEMORY_WATCH_RETRY_US);
                return;
        }

        if (w->cursor < memory_data_next_sequence(data))
                memory_watch_schedule(w, memory_data_change(data, w->cursor)->committed_us);

        if (events.n_events == 0)
                return;

        report.events = events.events;
        report.n_events = events.n_events;
        store_watch_report(w->watch, &report); /* w may be gone now */
}

static void memory_watch_on_timer(LoopTimer *timer) {
        memory_watch_deliver(container_of(timer, MemoryWatch, timer));
}

static void memory_watch_on_deferred(LoopDeferred *deferred) {
        memory_watch_deliver(container_of(deferred, MemoryWatch, deferred));
}

/* The keys of the changes from number `sequence` on, in byte order; to be freed, NULL on out of
 * memory. */
static StoreBytes *sort_changes(const MemoryData *data, uint64_t sequence, size_t n) {
        StoreBytes *keys = calloc(n, sizeof(*keys));

        if (!keys)
                return NULL;

        for (size_t i = 0; i < n; i++)
                keys[i] = memory_data_change(data, sequence + i)->version->key->bytes;
        store_keys_sort(keys, n);
        return keys;
}

static void memory_store_tell_observer(const MemoryStore *memory, uint64_t sequence,
                                       unsigned from) {
        uint64_t end = memory_data_next_sequence(&memory->data);

        for (; memory->observer && sequence < end; sequence++) {
                MemoryVersion *version = memory_data_change(&memory->data, sequence)->version;
                const StoreKv kv = memory_version_kv(version, false);

                memory->observer(from, &kv, version->is_deletion, memory->observer_userdata);
        }
}

void memory_store_notify(MemoryStore *memory, uint64_t sequence, unsigned from) {
        size_t n = (size_t)(memory_data_next_sequence(&memory->data) - sequence);
        _cleanup_(freep) StoreBytes *keys = NULL;

        memory_store_tell_observer(memory, sequence, from);
        if (n == 0 || list_is_empty(&memory->watches))
                return;

        /* Without memory for the order all are scheduled: those that are not concerned will find
         * nothing. */
        keys = sort_changes(&memory->data, sequence, n);
        for (ListNode *node = list_first(&memory->watches); node;
             node = list_next(&memory->watches, node)) {
                MemoryWatch *w = container_of(node, MemoryWatch, node);

                if (w->is_pending || w->client->faults.is_cut ||
                    w->watch->next_revision > memory->data.revision ||
                    (keys && !store_keys_touch(keys, n, w->key, w->end)))
                        continue;

                w->cursor = sequence;
                memory_watch_schedule(w, memory_data_change(&memory->data, sequence)->committed_us);
        }
}

/* Begins behind what the watch's owner has seen. */
static void memory_watch_begin(MemoryWatch *w) {
        const MemoryData *data = &w->client->memory->data;
        uint64_t now_us = loop_now_us(w->client->store.loop);

        w->cursor = memory_data_sequence_of(data, w->watch->next_revision);
        w->is_compacted = w->watch->next_revision < data->compacted;
        memory_watch_schedule(w, now_us + store_memory_draw_latency_us(w->client));
}

static void memory_watch_hold(MemoryWatch *w) {
        timer_clear(&w->timer);
        loop_defer_cancel(&w->deferred);
        w->is_pending = false;
}

static StoreBytes put_bytes(char *to, StoreBytes from) {
        if (from.n_bytes > 0)
                memcpy(to, from.data, from.n_bytes);
        return (StoreBytes){ .data = to, .n_bytes = from.n_bytes };
}

int store_memory_watch_start(StoreWatch *watch, StoreBytes key, StoreBytes end) {
        StoreMemory *client = store_memory(watch->store);
        MemoryWatch *w = calloc(1, sizeof(*w) + key.n_bytes + end.n_bytes);

        if (!w)
                return -ENOMEM;

        w->watch = watch;
        w->client = client;
        w->key = put_bytes((char *)(w + 1), key);
        w->end = put_bytes((char *)(w + 1) + key.n_bytes, end);
        w->timer.fn = memory_watch_on_timer;
        w->deferred.fn = memory_watch_on_deferred;
        watch->backend = w;
        list_append(&client->watches, &watch->node);
        list_append(&client->memory->watches, &w->node);
        memory_watch_begin(w);
        return 0;
}

void store_memory_watch_stop(StoreWatch *watch) {
        MemoryWatch *w = watch->backend;

        memory_watch_hold(w);
        list_remove(&w->node);
        list_remove(&watch->node);
        free(w);
        watch->backend = NULL;
}

void store_memory_watch_resume(StoreWatch *watch) {
        MemoryWatch *w = watch->backend;

        memory_watch_hold(w);
        memory_watch_begin(w);
}
