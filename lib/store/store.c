/* SPDX-License-Identifier: Apache-2.0 */

/* The store's front-end: checks arguments, counts, and keeps the promises that no backend should
 * have to think of: a request is idle before its callback runs, a watch never sees an event twice,
 * an ended watch is off before it is told.
 */

#include "lib/store/store.h"
#include "lib/store/store-watch.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "lib/store/store-backend.h"

const char *store_outcome_to_string(int status) {
        static const char *const outcomes[_STORE_E_MAX] = {
                [_STORE_E_OK] = "done",
                [STORE_E_UNREACHABLE] = "the store cannot be reached",
                [STORE_E_UNKNOWN] = "the store did not answer",
                [STORE_E_COMPACTED] = "the revision was compacted away",
                [STORE_E_NO_LEASE] = "the lease has ended",
                [STORE_E_DENIED] = "the store denies access",
                [STORE_E_NO_SPACE] = "the store is full",
                [STORE_E_TOO_LARGE] = "the request is too large for the store",
                [STORE_E_INVALID] = "the store refused the request as malformed",
        };

        if (status < 0)
                return strerror(-status);
        return status < _STORE_E_MAX ? outcomes[status] : "unknown outcome";
}

static int store_begin(Store *store, StoreRequest *request, StoreKind kind, StoreDone done) {
        assert(store);
        assert(done);
        assert(!request->store);

        if (store->is_closing)
                return -ESHUTDOWN;

        *request = (StoreRequest){ .done = done, .store = store, .kind = kind };
        return 0;
}

/* Counts a request that the backend took, or makes it idle again. */
static int store_began(Store *store, StoreRequest *request, int r) {
        if (r < 0) {
                request->store = NULL;
                return r;
        }

        request->started_us = loop_now_us(store->loop);
        store->stats.n_requests++;
        store->stats.n_started[request->kind]++;
        store->stats.n_pending++;
        return 0;
}

int store_range(Store *store, StoreRequest *request, const StoreRange *range, uint64_t timeout_us,
                StoreDone done) {
        int r = store_begin(store, request, STORE_KIND_RANGE, done);

        assert(range->limit >= 0 && range->revision >= 0);
        if (r < 0)
                return r;
        return store_began(store, request, store->vtable->range(store, request, range, timeout_us));
}

int store_txn(Store *store, StoreRequest *request, const StoreTxn *txn, uint64_t timeout_us,
              StoreDone done) {
        int r = store_begin(store, request, STORE_KIND_TXN, done);

        if (r < 0)
                return r;
        r = txn->n_ops > STORE_NESTED_OPS_MAX || txn->n_compares > STORE_TXN_OPS_MAX
                    ? -E2BIG
                    : store->vtable->txn(store, request, txn, timeout_us);
        return store_began(store, request, r);
}

static int grant(Store *store, StoreRequest *request, int64_t lease, int64_t ttl_s,
                 uint64_t timeout_us, StoreDone done) {
        int r = store_begin(store, request, STORE_KIND_LEASE_GRANT, done);

        assert(ttl_s > 0);
        if (r < 0)
                return r;
        return store_began(store, request,
                           store->vtable->lease_grant(store, request, lease, ttl_s, timeout_us));
}

int store_lease_grant(Store *store, StoreRequest *request, int64_t ttl_s, uint64_t timeout_us,
                      StoreDone done) {
        return grant(store, request, 0, ttl_s, timeout_us, done);
}

int store_lease_grant_as(Store *store, StoreRequest *request, int64_t lease, int64_t ttl_s,
                         uint64_t timeout_us, StoreDone done) {
        assert(lease > 0);
        return grant(store, request, lease, ttl_s, timeout_us, done);
}

int store_lease_keep_alive(Store *store, StoreRequest *request, int64_t lease, uint64_t timeout_us,
                           StoreDone done) {
        int r = store_begin(store, request, STORE_KIND_LEASE_KEEP_ALIVE, done);

        assert(lease != 0);
        if (r < 0)
                return r;
        return store_began(store, request,
                           store->vtable->lease_keep_alive(store, request, lease, timeout_us));
}

int store_lease_revoke(Store *store, StoreRequest *request, int64_t lease, uint64_t timeout_us,
                       StoreDone done) {
        int r = store_begin(store, request, STORE_KIND_LEASE_REVOKE, done);

        assert(lease != 0);
        if (r < 0)
                return r;
        return store_began(store, request,
                           store->vtable->lease_revoke(store, request, lease, timeout_us));
}

int store_lease_look(Store *store, StoreRequest *request, int64_t lease, uint64_t timeout_us,
                     StoreDone done) {
        int r = store_begin(store, request, STORE_KIND_LEASE_LOOK, done);

        assert(lease != 0);
        if (r < 0)
                return r;
        return store_began(store, request,
                           store->vtable->lease_look(store, request, lease, timeout_us));
}

int store_status(Store *store, StoreRequest *request, uint64_t timeout_us, StoreDone done) {
        int r = store_begin(store, request, STORE_KIND_STATUS, done);

        if (r < 0)
                return r;
        return store_began(store, request, store->vtable->status(store, request, timeout_us));
}

void store_cancel(StoreRequest *request) {
        if (request->store)
                request->store->vtable->cancel(request);
}

bool store_request_is_pending(const StoreRequest *request) {
        return request->store;
}

void store_request_finish(StoreRequest *request, int status, const StoreReply *reply) {
        Store *store = request->store;
        StoreDone done = request->done;

        assert(store);
        assert((status == 0) == !!reply);

        store->stats.n_pending--;
        store->stats.n_failed[request->kind] += status != 0;
        metrics_observe(&store->stats.durations[request->kind],
                        loop_now_us(store->loop) - request->started_us);
        request->store = NULL;
        done(request, status, reply);
}

int store_watch_start(Store *store, StoreWatch *watch, StoreBytes key, StoreBytes end,
                      int64_t start_revision, StoreWatchFn fn) {
        int r;

        assert(store);
        assert(!watch->store);
        assert(start_revision >= 1);
        assert(fn);

        if (store->is_closing)
                return -ESHUTDOWN;

        *watch = (StoreWatch){ .fn = fn, .store = store, .next_revision = start_revision };
        r = store->vtable->watch_start(watch, key, end);
        if (r < 0) {
                watch->store = NULL;
                return r;
        }

        store->stats.n_watches++;
        return 0;
}

void store_watch_stop(StoreWatch *watch) {
        Store *store = watch->store;

        if (!store)
                return;

        store->vtable->watch_stop(watch);
        store->stats.n_watches--;
        watch->store = NULL;
}

void store_watch_report(StoreWatch *watch, const StoreWatchReport *report) {
        StoreWatchReport fresh = *report;

        assert(watch->store);

        if (report->kind != STORE_WATCH_EVENTS) {
                store_watch_stop(watch);
                watch->fn(watch, report);
                return;
        }

        /* A member may repeat events after it caught up from a snapshot (etcd before 3.4.24). */
        while (fresh.n_events > 0 && fresh.events[0].kv.mod_revision < watch->next_revision) {
                fresh.events++;
                fresh.n_events--;
        }
        if (fresh.n_events == 0)
                return;

        fresh.revision = fresh.events[fresh.n_events - 1].kv.mod_revision;
        watch->next_revision = fresh.revision + 1;
        watch->fn(watch, &fresh);
}

void store_listen(Store *store, StoreListener *listener, StoreConnectionFn fn) {
        assert(fn);
        assert(!list_node_is_linked(&listener->node));

        listener->fn = fn;
        list_append(&store->listeners, &listener->node);
}

void store_unlisten(StoreListener *listener) {
        list_remove(&listener->node);
}

bool store_is_connected(const Store *store) {
        return store->is_connected;
}

void store_set_connected(Store *store, bool is_connected, const char *detail) {
        if (store->is_connected == is_connected)
                return;

        store->is_connected = is_connected;
        store->stats.n_connections += is_connected;
        for (ListNode *node = list_first(&store->listeners); node;
             node = list_next(&store->listeners, node)) {
                StoreListener *listener = container_of(node, StoreListener, node);

                listener->fn(listener, is_connected, detail);
        }
}

void store_tell_trouble(Store *store, const char *why) {
        for (ListNode *node = list_first(&store->listeners); node;
             node = list_next(&store->listeners, node)) {
                StoreListener *listener = container_of(node, StoreListener, node);

                if (listener->on_trouble)
                        listener->on_trouble(listener, why);
        }
}

StoreStats store_stats(const Store *store) {
        return store->stats;
}

uint64_t store_answers(const Store *store) {
        uint64_t n = store->stats.n_requests - store->stats.n_pending;

        for (size_t i = 0; i < ELEMENTSOF(store->stats.n_failed); i++)
                n -= store->stats.n_failed[i];
        return n;
}

void store_close(Store *store, void (*closed)(Store *store, void *userdata), void *userdata) {
        assert(!store->is_closing);

        store->is_closing = true;
        store->closed = closed;
        store->closed_userdata = userdata;
        store->vtable->close(store);
}

void store_closed(Store *store) {
        assert(store->stats.n_pending == 0);

        if (store->closed)
                store->closed(store, store->closed_userdata);
}

Store *store_free(Store *store) {
        if (store)
                store->vtable->free(store);
        return NULL;
}
