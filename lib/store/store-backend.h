/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a backend of the store provides; only lib/store includes this. The front-end (store.c) has
 * checked the arguments, set the request's fields, and counts; a backend finishes each request
 * through store_request_finish(), from the loop.
 */

#include "lib/store/store-watch.h"
#include "lib/store/store.h"

/* The operations. Each start function returns 0 or a negative errno (then the request never
 * started). */
typedef struct StoreVtable {
        int (*range)(Store *store, StoreRequest *request, const StoreRange *range,
                     uint64_t timeout_us);
        int (*txn)(Store *store, StoreRequest *request, const StoreTxn *txn, uint64_t timeout_us);
        /* `lease` 0 = of whatever number. */
        int (*lease_grant)(Store *store, StoreRequest *request, int64_t lease, int64_t ttl_s,
                           uint64_t timeout_us);
        int (*lease_keep_alive)(Store *store, StoreRequest *request, int64_t lease,
                                uint64_t timeout_us);
        int (*lease_revoke)(Store *store, StoreRequest *request, int64_t lease,
                            uint64_t timeout_us);
        int (*lease_look)(Store *store, StoreRequest *request, int64_t lease, uint64_t timeout_us);
        int (*status)(Store *store, StoreRequest *request, uint64_t timeout_us);
        void (*cancel)(StoreRequest *request); /* finish it with -ECANCELED, from the loop */
        int (*watch_start)(StoreWatch *watch, StoreBytes key,
                           StoreBytes end);    /* from watch->next_revision */
        void (*watch_stop)(StoreWatch *watch); /* at once; nothing is called any more */
        void (*close)(Store *store); /* cancel all; store_closed() when done, from the loop */
        void (*free)(Store *store);
} StoreVtable;

/* The head of every backend's object. */
struct Store {
        const StoreVtable *vtable;
        Loop *loop; /* borrowed */
        StoreStats stats;
        bool is_connected;
        bool is_closing;
        List listeners; /* StoreListener.node */
        void (*closed)(Store *store, void *userdata);
        void *closed_userdata;
};

/* End a request; called by backends from the loop. The request is idle before its callback runs, so
 * that it can be started again there. */
void store_request_finish(StoreRequest *request, int status, const StoreReply *reply);

/* Hand a report to a watch that is on, dropping events below watch->next_revision and advancing it;
 * an ending report turns the watch off first. The watch may be gone when this returns. */
void store_watch_report(StoreWatch *watch, const StoreWatchReport *report);

/* Tell the listeners when `is_connected` changes. */
void store_set_connected(Store *store, bool is_connected, const char *detail);

/* Tell the listeners why the store cannot be reached. */
void store_tell_trouble(Store *store, const char *why);

/* The backend has closed. */
void store_closed(Store *store);
