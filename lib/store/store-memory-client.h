/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the store in memory share: the store with its clients. Only the store-memory*.c
 * files include this. */

#include "lib/store/store-backend.h"
#include "lib/store/store-memory-data.h"
#include "lib/store/store-memory.h"

/* The store. */
struct MemoryStore {
        Loop *loop; /* borrowed */
        MemoryData data;
        List calls;         /* MemoryCall.node: every request that has not ended everywhere */
        List watches;       /* MemoryWatch.node: of all clients */
        size_t n_clients;   /* how many are alive */
        size_t n_cut;       /* of them */
        bool is_full;       /* nothing that takes space is taken */
        unsigned n_numbers; /* given to clients so far */
        MemoryStoreObserver observer;
        void *observer_userdata;
};

/* A client. */
typedef struct StoreMemory {
        Store store;
        MemoryStore *memory; /* borrowed */
        StoreFaults faults;
        unsigned number;         /* from 1; no other client has it */
        List requests;           /* StoreRequest.node: in flight */
        List watches;            /* StoreWatch.node: on */
        LoopDeferred connection; /* tells whether it is connected */
        LoopDeferred closing;    /* ends store_close() */
} StoreMemory;

/* The client that a store is. */
static inline StoreMemory *store_memory(Store *store) {
        return container_of(store, StoreMemory, store);
}

/* How long one way takes this time. */
uint64_t store_memory_draw_latency_us(const StoreMemory *client);

/* Tell observer and watches of a commit, the changes from number `sequence` on; there may be none.
 * `from` is the number of the client that made it, 0 = none did. */
void memory_store_notify(MemoryStore *memory, uint64_t sequence, unsigned from);

/* store-memory-watch.c: the vtable's watches; and resume one after a cut. */
int store_memory_watch_start(StoreWatch *watch, StoreBytes key, StoreBytes end);
void store_memory_watch_stop(StoreWatch *watch);
void store_memory_watch_resume(StoreWatch *watch);

/* store-memory-call.c: the vtable's requests. */
int store_memory_range(Store *store, StoreRequest *request, const StoreRange *range,
                       uint64_t timeout_us);
int store_memory_txn(Store *store, StoreRequest *request, const StoreTxn *txn, uint64_t timeout_us);
int store_memory_lease_grant(Store *store, StoreRequest *request, int64_t lease, int64_t ttl_s,
                             uint64_t timeout_us);
int store_memory_lease_keep_alive(Store *store, StoreRequest *request, int64_t lease,
                                  uint64_t timeout_us);
int store_memory_lease_revoke(Store *store, StoreRequest *request, int64_t lease,
                              uint64_t timeout_us);
int store_memory_lease_look(Store *store, StoreRequest *request, int64_t lease,
                            uint64_t timeout_us);
int store_memory_status(Store *store, StoreRequest *request, uint64_t timeout_us);
void store_memory_cancel(StoreRequest *request);

/* What a client that goes away leaves on its way goes on without it. */
void memory_store_orphan_calls(MemoryStore *memory, const StoreMemory *client);

/* Drop every call; all clients are gone. */
void memory_store_drop_calls(MemoryStore *memory);
