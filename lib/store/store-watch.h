/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Watches of the store seam (lib/store/store.h): every change of a range of keys, from a revision
 * on, each exactly once, across lost connections. */

#include <stdint.h>

#include "lib/store/store.h"

typedef struct StoreWatch StoreWatch;

/* One change seen by a watch; borrowed. */
typedef struct StoreEvent {
        enum {
                STORE_EVENT_PUT,
                STORE_EVENT_DELETE,
        } kind;
        StoreKv kv; /* of a deletion: only key and mod_revision */
} StoreEvent;

/* What a watch tells. */
typedef struct StoreWatchReport {
        enum {
                STORE_WATCH_EVENTS,    /* changes, in order of revision; each exactly once */
                STORE_WATCH_COMPACTED, /* the revision to resume from is gone: the watch has ended;
                                          list and watch again */
                STORE_WATCH_DENIED,    /* not permitted: the watch has ended */
        } kind;
        const StoreEvent *events; /* borrowed until the callback returns; all events of one revision
                                     come in one report */
        size_t n_events;
        int64_t revision; /* of the last event; or what the store was compacted to */
} StoreWatchReport;

/* Gets the reports; runs from the loop. The watch may be stopped, started again and freed from
 * here. */
typedef void (*StoreWatchFn)(StoreWatch *watch, const StoreWatchReport *report);

/* A watch; embed it and zero it before the first use. */
struct StoreWatch {
        StoreWatchFn fn;
        Store *store;          /* borrowed; NULL while it is off */
        void *backend;         /* the backend's state of this watch */
        ListNode node;         /* for the backend */
        int64_t next_revision; /* where it resumes after a lost connection */
};

/* Watch [key, end) (empty end = the key alone) from `start_revision` (>= 1) on. Lost connections
 * and silent members are survived: the watch resumes where it was. Returns 0, -ENOMEM, -ESHUTDOWN.
 */
int store_watch_start(Store *store, StoreWatch *watch, StoreBytes key, StoreBytes end,
                      int64_t start_revision, StoreWatchFn fn);

/* Stop it; nothing is called any more. Does nothing when it is off. */
void store_watch_stop(StoreWatch *watch);
