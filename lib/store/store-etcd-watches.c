/* SPDX-License-Identifier: Apache-2.0 */

/* Watches: one Watch stream for all of them, opened with the first and kept.
 *
 *     UNSENT --sent--> CREATING --created--> ON --canceled--> gone, or UNSENT for a fresh token
 *        ^                |                  |
 *        +------- the stream was lost -------+
 *
 * Each watch has an identifier of our own that is never used again, because etcd may send events of
 * a cancelled watch after the cancellation. A stopped watch leaves at once, and messages for
 * identifiers that are not known are dropped; only one that etcd has not confirmed yet stays, as a
 * ghost without a StoreWatch: etcd confirms in order, and refuses with the identifier -1, so a
 * refusal belongs to the first that is CREATING.
 *
 * A lost stream is resumed from watch->next_revision, which only events advance: what a progress
 * notification says is never used, because etcd before 3.4.25 does not order them with the events.
 *
 * Fragments are kept undecoded until the last has come, so that a revision's events are told in one
 * report. Where they pass ETCD_FRAGMENTS_FLUSH_BYTES, all but the last revision is told already; a
 * single revision above GRPC_MESSAGE_MAX_BYTES cannot be told as one, and is reported as a
 * compaction: the answer to both is to list again.
 */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/store/store-etcd-outcome.h"
#include "lib/store/store-etcd-private.h"

/* A message of a reassembly, which has events. */
typedef struct EtcdFragment {
        ListNode node;        /* in the watch's fragments */
        GrpcMessage *message; /* owned */
        size_t n_events;      /* in it; known once it was decoded */
} EtcdFragment;

/* A watch. */
struct EtcdWatch {
        StoreWatch *watch; /* borrowed; NULL for a ghost */
        int64_t id;        /* >= 1 */
        enum {
                WATCH_UNSENT,
                WATCH_CREATING,
                WATCH_ON,
        } state;
        unsigned token_number;   /* of the token that its stream was started with */
        uint64_t refused_us;     /* when it was first refused since it was on; 0 = it was not */
        bool is_denied;          /* to be told */
        List fragments;          /* owned EtcdFragments */
        size_t n_fragment_bytes; /* memory of all of them */
        size_t n_key;            /* how many of `bytes` are the key */
        size_t n_end;            /* and the end, which follows */
        char bytes[];
};

static StoreBytes watch_key(const EtcdWatch *w) {
        return (StoreBytes){ .data = w->bytes, .n_bytes = w->n_key };
}

static StoreBytes watch_end(const EtcdWatch *w) {
        return (StoreBytes){ .data = w->bytes + w->n_key, .n_bytes = w->n_end };
}

static size_t fragment_size(const EtcdFragment *fragment) {
        return sizeof *fragment + sizeof *fragment->message + fragment->message->n_bytes;
}

static void watch_drop_first_fragment(EtcdWatch *w) {
        EtcdFragment *fragment = container_of(list_pop(&w->fragments), EtcdFragment, node);

        w->n_fragment_bytes -= fragment_size(fragment);
        free(fragment->message);
        free(fragment);
}

/* Takes the message, also on error. */
static int watch_add_fragment(EtcdWatch *w, GrpcMessage *message) {
        EtcdFragment *fragment = calloc(1, sizeof *fragment);

        if (!fragment) {
                free(message);
                return -ENOMEM;
        }

        fragment->message = message;
        list_append(&w->fragments, &fragment->node);
        w->n_fragment_bytes += fragment_size(fragment);
        return 0;
}

static void watch_drop_fragments(EtcdWatch *w) {
        while (!list_is_empty(&w->fragments))
                watch_drop_first_fragment(w);
}

/* The registry: an array in the order of identifiers. */

/* The index of the first watch whose identifier is not below `id`. */
static size_t watches_index(const EtcdWatches *watches, int64_t id) {
        size_t low = 0, high = watches->n_items;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (watches->items[middle]->id < id)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static EtcdWatch *watches_find(const EtcdWatches *watches, int64_t id) {
        size_t i = watches_index(watches, id);

        return i < watches->n_items && watches->items[i]->id == id ? watches->items[i] : NULL;
}

static EtcdWatch *watches_first_creating(const EtcdWatches *watches) {
        for (size_t i = 0; i < watches->n_items; i++)
                if (watches->items[i]->state == WATCH_CREATING)
                        return watches->items[i];
        return NULL;
}

static int watches_reserve(EtcdWatches *watches) {
        size_t n = watches->n_allocated > 0 ? 2 * watches->n_allocated : 4;
        EtcdWatch **items;

        if (watches->n_items < watches->n_allocated)
                return 0;

        items = reallocarray(watches->items, n, sizeof *items);
        if (!items)
                return -ENOMEM;

        watches->items = items;
        watches->n_allocated = n;
        return 0;
}

static void watches_remove(EtcdWatches *watches, EtcdWatch *w) {
        size_t i = watches_index(watches, w->id);

        assert(watches->items[i] == w);

        watches->n_items--;
        memmove(&watches->items[i], &watches->items[i + 1],
                (watches->n_items - i) * sizeof watches->items[0]);
        watch_drop_fragments(w);
        free(w);

        if (watches->n_items == 0) {
                free(TAKE(watches->items));
                watches->n_allocated = 0;
        }
}

/* Makes everything unsent; ghosts have nothing to wait for any more. */
static void watches_take_back(EtcdWatches *watches) {
        timer_clear(&watches->created);
        for (size_t i = watches->n_items; i-- > 0;) {
                EtcdWatch *w = watches->items[i];

                w->state = WATCH_UNSENT;
                watch_drop_fragments(w);
                if (!w->watch)
                        watches_remove(watches, w);
        }
}

/* Telling. */

/* Ends a watch with a report; `w` is gone afterwards. */
static void watch_end_with(EtcdWatch *w, int kind, int64_t revision) {
        StoreWatchReport report = { .revision = revision };

        report.kind = kind;
        w->state = WATCH_UNSENT; /* etcd has ended it: nothing to cancel */
        store_watch_report(w->watch, &report);
}

static void watch_report(EtcdWatch *w, const StoreEvent *events, size_t n_events) {
        StoreWatchReport report = {
                .kind = STORE_WATCH_EVENTS,
                .events = events,
                .n_events = n_events,
        };

        if (n_events > 0)
                store_watch_report(w->watch, &report);
}

/* Everything that the fragments brought, decoded. */
typedef struct Reassembly {
        EtcdArena arena;
        StoreEvent *events; /* owned */
        size_t n_events;
} Reassembly;

static void reassembly_done(Reassembly *whole) {
        free(whole->events);
        etcd_arena_done(&whole->arena);
}

static int reassembly_add(Reassembly *whole, EtcdFragment *fragment) {
        EtcdWatchReply reply;
        StoreEvent *events;
        int r;

        r = etcd_decode_watch(fragment->message, &whole->arena, &reply);
        if (r < 0)
                return r;

        fragment->n_events = reply.n_events;
        events = reallocarray(whole->events, whole->n_events + reply.n_events + 1, sizeof *events);
        if (!events)
                return -ENOMEM;

        if (reply.n_events > 0)
                memcpy(events + whole->n_events, reply.events, reply.n_events * sizeof *events);
        whole->events = events;
        whole->n_events += reply.n_events;
        return 0;
}

static int watch_reassemble(EtcdWatch *w, Reassembly *whole) {
        for (ListNode *n = list_first(&w->fragments); n; n = list_next(&w->fragments, n)) {
                int r = reassembly_add(whole, container_of(n, EtcdFragment, node));

                if (r < 0)
                        return r;
        }
        return 0;
}

/* Tells all that has come, but for the last revision, of which more may come. */
static int watch_flush_whole_revisions(EtcdWatch *w) {
        _cleanup_(reassembly_done) Reassembly whole = { 0 };
        size_t n_whole, n_passed = 0;
        int64_t last;
        int r;

        r = watch_reassemble(w, &whole);
        if (r < 0)
                return r;

        n_whole = whole.n_events;
        last = whole.events[n_whole - 1].kv.mod_revision;
        while (n_whole > 0 && whole.events[n_whole - 1].kv.mod_revision == last)
                n_whole--;
        if (n_whole == 0 && w->n_fragment_bytes > GRPC_MESSAGE_MAX_BYTES) {
                watch_end_with(w, STORE_WATCH_COMPACTED, last);
                return 0;
        }

        /* A message with events of both stays; the front-end drops what it has told. */
        while (!list_is_empty(&w->fragments)) {
                ListNode *node = list_first(&w->fragments);

                n_passed += container_of(node, EtcdFragment, node)->n_events;
                if (n_passed > n_whole)
                        break;
                watch_drop_first_fragment(w);
        }
        watch_report(w, whole.events, n_whole);
        return 0;
}

static int watch_on_fragment(EtcdWatch *w, GrpcMessage *message) {
        size_t before = w->n_fragment_bytes / ETCD_FRAGMENTS_FLUSH_BYTES;
        int r;

        r = watch_add_fragment(w, message);
        if (r < 0)
                return r;
        if (w->n_fragment_bytes / ETCD_FRAGMENTS_FLUSH_BYTES > before)
                return watch_flush_whole_revisions(w);
        return 0;
}

static int watch_on_last_fragment(EtcdWatch *w, GrpcMessage *message) {
        _cleanup_(reassembly_done) Reassembly whole = { 0 };
        int r;

        r = watch_add_fragment(w, message);
        if (r == 0)
                r = watch_reassemble(w, &whole);
        watch_drop_fragments(w);
        if (r < 0)
                return r;

        watch_report(w, whole.events, whole.n_events);
        return 0;
}

/* What the stream brings. */

static void watches_rearm(EtcdStore *etcd) {
        if (watches_first_creating(&etcd->watches))
                timer_set_in(etcd->store.loop, &etcd->watches.created, ETCD_CREATED_TIMEOUT_US);
        else
                timer_clear(&etcd->watches.created);
}

/* A watch that etcd has confirmed, or refused. */
static void watches_on_created(EtcdStore *etcd, EtcdWatch *w, bool is_refused) {
        w->state = WATCH_ON;
        watches_rearm(etcd);
        if (!w->watch)
                watches_remove(&etcd->watches, w);
        else if (!is_refused)
                w->refused_us = 0;
}

/* A watch was refused: may it be for its token, so that a fresh one is worth a try? The second time
 * only if that one has aged, too, and not for longer than a watch has to be confirmed. */
static bool watch_wants_token(const EtcdStore *etcd, EtcdWatch *w) {
        uint64_t now_us = loop_now_us(etcd->store.loop);

        if (!etcd->access.username)
                return false;
        if (w->refused_us == 0) {
                w->refused_us = now_us > 0 ? now_us : 1;
                return true;
        }
        return etcd_link_has_other_token(etcd, w->token_number) &&
               now_us - w->refused_us < ETCD_CREATED_TIMEOUT_US;
}

static void watches_on_canceled(EtcdStore *etcd, EtcdWatch *w, const EtcdWatchReply *reply) {
        if (reply->compact_revision > 0) {
                watch_end_with(w, STORE_WATCH_COMPACTED, reply->compact_revision);
        } else if (!reply->created) {
                /* Nobody asked for it. */
                etcd_link_suspect(etcd, "it ended a watch");
        } else if (watch_wants_token(etcd, w)) {
                /* etcd 3.4 says the same of a token that has expired and of a key that is
                 * forbidden. */
                w->state = WATCH_UNSENT;
                etcd_link_reauthenticate(etcd, w->token_number);
                if (etcd_link_is_ready(etcd))
                        etcd_watches_on_ready(etcd); /* somebody has already fetched a newer one */
        } else {
                watch_end_with(w, STORE_WATCH_DENIED, 0);
        }
}

/* Takes the message over when it is kept. */
static int watches_take(EtcdStore *etcd, GrpcMessage **message) {
        _cleanup_(etcd_arena_done) EtcdArena arena = { 0 };
        EtcdWatchReply reply;
        EtcdWatch *w;
        int r;

        r = etcd_decode_watch(*message, &arena, &reply);
        if (r < 0)
                return r;

        w = watches_find(&etcd->watches, reply.watch_id);
        if (!w && reply.created)
                w = watches_first_creating(&etcd->watches);
        if (!w)
                return 0;

        if (reply.created) {
                bool is_ghost = !w->watch;

                watches_on_created(etcd, w, reply.canceled);
                if (is_ghost)
                        return 0;
        }
        if (!w->watch)
                return 0; /* an event before the confirmation that it is waiting for */
        if (reply.canceled) {
                watches_on_canceled(etcd, w, &reply);
                return 0;
        }

        if (reply.n_events == 0)
                return 0;
        if (reply.is_fragment)
                return watch_on_fragment(w, TAKE(*message));
        if (!list_is_empty(&w->fragments))
                return watch_on_last_fragment(w, TAKE(*message));
        watch_report(w, reply.events, reply.n_events);
        return 0;
}

static void watches_on_message(GrpcCall *call, GrpcMessage *message) {
        EtcdStore *etcd = container_of(call, EtcdStore, watches.stream);

        if (watches_take(etcd, &message) < 0)
                etcd_link_suspect(etcd, "it sent a watch message that cannot be read");
        free(message);
}

static void watches_tell_denied(EtcdStore *etcd) {
        EtcdWatches *watches = &etcd->watches;
        size_t i = 0;

        /* Telling one may change the registry in any way. */
        while (i < watches->n_items) {
                EtcdWatch *w = watches->items[i];

                if (w->is_denied) {
                        watch_end_with(w, STORE_WATCH_DENIED, 0);
                        i = 0;
                } else {
                        i++;
                }
        }
}

void etcd_watches_on_denied(EtcdStore *etcd) {
        for (size_t i = 0; i < etcd->watches.n_items; i++)
                etcd->watches.items[i]->is_denied = etcd->watches.items[i]->watch;
        watches_tell_denied(etcd);
}

static void watches_on_ended(GrpcCall *call, const GrpcStatus *status) {
        EtcdStore *etcd = container_of(call, EtcdStore, watches.stream);
        EtcdWatches *watches = &etcd->watches;
        bool wants_token = false;
        unsigned token_number = 0;

        grpc_call_done(call);
        watches_take_back(watches);

        if (status->code == GRPC_OK || etcd_status_blames_member(status, UINT64_MAX)) {
                etcd_link_suspect(etcd, status->code == GRPC_OK ? "it ended the watches"
                                                                : status->message);
                return;
        }

        for (size_t i = 0; i < watches->n_items && etcd_status_wants_token(status); i++) {
                wants_token |= watch_wants_token(etcd, watches->items[i]);
                token_number = watches->items[i]->token_number;
        }
        if (wants_token)
                etcd_link_reauthenticate(etcd, token_number);
        else if (etcd_outcome(status, false, 0) == STORE_E_DENIED)
                etcd_watches_on_denied(etcd);
        else
                etcd_link_suspect(etcd, status->message);
}

static void watches_on_created_timeout(LoopTimer *timer) {
        EtcdStore *etcd = container_of(timer, EtcdStore, watches.created);

        etcd_link_suspect(etcd, "it did not confirm a watch in time");
}

static const GrpcCallVtable watches_vtable = {
        .message = watches_on_message,
        .ended = watches_on_ended,
};

void etcd_watches_init(EtcdWatches *watches) {
        watches->created.fn = watches_on_created_timeout;
}

/* Sending. */

static int watches_open_stream(EtcdStore *etcd) {
        GrpcCall *stream = &etcd->watches.stream;

        if (grpc_call_is_running(stream))
                return 0;

        grpc_call_init(stream, &watches_vtable, "/etcdserverpb.Watch/Watch", false);
        return grpc_call_start(etcd->link.channel, stream, 0);
}

static int watch_send(EtcdStore *etcd, EtcdWatch *w) {
        int r;

        r = watches_open_stream(etcd);
        if (r == 0)
                r = etcd_encode_watch_create(&etcd->watches.stream, w->id, watch_key(w),
                                             watch_end(w), w->watch->next_revision);
        if (r < 0)
                return r;

        w->state = WATCH_CREATING;
        w->token_number = etcd->link.token_number;
        grpc_call_send(&etcd->watches.stream);
        if (!timer_is_set(&etcd->watches.created))
                timer_set_in(etcd->store.loop, &etcd->watches.created, ETCD_CREATED_TIMEOUT_US);
        return 0;
}

void etcd_watches_on_ready(EtcdStore *etcd) {
        EtcdWatches *watches = &etcd->watches;

        for (size_t i = 0; i < watches->n_items; i++)
                if (watches->items[i]->state == WATCH_UNSENT &&
                    watch_send(etcd, watches->items[i]) < 0) {
                        etcd_link_suspect(etcd, "the watches could not be sent");
                        return;
                }
}

int etcd_watches_start(StoreWatch *watch, StoreBytes key, StoreBytes end) {
        EtcdStore *etcd = etcd_of(watch->store);
        EtcdWatches *watches = &etcd->watches;
        EtcdWatch *w;

        if (watches_reserve(watches) < 0)
                return -ENOMEM;

        w = calloc(1, sizeof *w + key.n_bytes + end.n_bytes);
        if (!w)
                return -ENOMEM;

        w->watch = watch;
        w->id = ++watches->last_id;
        w->n_key = key.n_bytes;
        w->n_end = end.n_bytes;
        if (key.n_bytes > 0)
                memcpy(w->bytes, key.data, key.n_bytes);
        if (end.n_bytes > 0)
                memcpy(w->bytes + key.n_bytes, end.data, end.n_bytes);
        watches->items[watches->n_items++] = w;
        watch->backend = w;

        etcd_link_use(etcd);
        if (etcd_link_is_ready(etcd) && watch_send(etcd, w) < 0)
                etcd_link_suspect(etcd, "a watch could not be sent");
        return 0;
}

void etcd_watches_stop(StoreWatch *watch) {
        EtcdStore *etcd = etcd_of(watch->store);
        EtcdWatch *w = watch->backend;

        watch->backend = NULL;
        w->watch = NULL;
        if (w->state != WATCH_UNSENT && grpc_call_is_running(&etcd->watches.stream)) {
                /* Without memory for it, events come for nobody until the stream ends. */
                if (etcd_encode_watch_cancel(&etcd->watches.stream, w->id) == 0)
                        grpc_call_send(&etcd->watches.stream);
        }

        if (w->state == WATCH_CREATING)
                watch_drop_fragments(w); /* a ghost until it is confirmed */
        else
                watches_remove(&etcd->watches, w);
}

void etcd_watches_restart(EtcdStore *etcd) {
        grpc_call_done(&etcd->watches.stream);
        watches_take_back(&etcd->watches);
}

void etcd_watches_close(EtcdStore *etcd) {
        EtcdWatches *watches = &etcd->watches;

        etcd_watches_restart(etcd);
        while (watches->n_items > 0)
                store_watch_stop(watches->items[watches->n_items - 1]->watch);
}
