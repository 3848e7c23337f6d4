/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The store in memory: etcd's semantics on the loop's clock, for tests and simulation, with faults
 * on command. Several clients can share one MemoryStore, as several daemons share one etcd; each
 * has a Store of its own with its own faults.
 */

#include "lib/store/store.h"

typedef struct MemoryStore MemoryStore;

/* Make an empty store (revision 1, as a fresh etcd). Time and randomness come from the loop's Env.
 * Returns 0 or -ENOMEM. */
int memory_store_new(MemoryStore **ret_memory, Loop *loop);

/* Free it; all its clients must have been freed. Takes NULL; returns NULL. */
MemoryStore *memory_store_free(MemoryStore *memory);
DEFINE_CLEANUP(MemoryStore, memory_store_free)

/* A client of it, on the store's loop or one of its own on the same clock: what it is told comes on
 * that. Returns 0 or -ENOMEM. */
int store_memory_new(Store **ret_store, MemoryStore *memory, Loop *loop);

/* What a client suffers. Zeroed = nothing. Probabilities are per million, drawn from the loop's
 * Env. */
typedef struct StoreFaults {
        bool is_cut; /* nothing gets through: requests run into their deadlines, watches fall silent
                      */
        uint64_t latency_us;        /* added to each way of each request and to each watch report */
        uint64_t latency_jitter_us; /* at most this much more, drawn each time */
        uint32_t lose_request_ppm;  /* the request never arrives: STORE_E_UNKNOWN (writes) or
                                       STORE_E_UNREACHABLE at its deadline */
        uint32_t lose_reply_ppm;    /* it is carried out, but the reply never comes */
        uint32_t late_apply_ppm;    /* a write that was lost is carried out `late_apply_us` later */
        uint64_t late_apply_us;
        uint32_t unreachable_ppm; /* it is refused at once with STORE_E_UNREACHABLE */
} StoreFaults;

/* Set the faults of one client from now on; healing a cut resumes the watches. */
void store_memory_set_faults(Store *store, const StoreFaults *faults);

/* Forget history below `revision`: ranges at it and watches from it get STORE_E_COMPACTED. */
void memory_store_compact(MemoryStore *memory, int64_t revision);

/* End a lease now, as if it had run out. */
void memory_store_expire_lease(MemoryStore *memory, int64_t id);

/* Stop (or restart) the expiry of leases, as a store without quorum does; when it restarts, every
 * lease gets its full time again. */
void memory_store_set_quorum(MemoryStore *memory, bool has_quorum);

/* Refuse whatever takes space, with STORE_E_NO_SPACE: new leases and transactions that put. Reads,
 * deletions and keep-alives go on. */
void memory_store_set_full(MemoryStore *memory, bool is_full);

/* Empty it, as an operator does who gives etcd a new data directory: no key, no lease, no history,
 * revision 1. Restored from a backup it is when the test then writes what the backup had. Every
 * client must be cut off: it loses its etcd first. */
void memory_store_wipe(MemoryStore *memory);

/* The store's revision. */
int64_t memory_store_revision(const MemoryStore *memory);

/* Write past all clients, as another version or a person with etcdctl would; an empty value with
 * `n_bytes` 0 and data NULL deletes. Returns 0 or -ENOMEM. */
int memory_store_write(MemoryStore *memory, const char *key, StoreBytes value);

/* Read past all clients: the value of a key, borrowed until the next change; false when there is
 * none. */
bool memory_store_read(const MemoryStore *memory, const char *key, StoreBytes *ret_value);

/* Is told of every change of a key, in order, as soon as it is made and before any client: by which
 * client (store_memory_number(); 0 = the end of a lease, or memory_store_write()), and the key as
 * it is now. Must not call into the store. */
typedef void (*MemoryStoreObserver)(unsigned from, const StoreKv *kv, bool is_deletion,
                                    void *userdata);

/* Set the observer; NULL = none. For invariants. */
void memory_store_set_observer(MemoryStore *memory, MemoryStoreObserver observer, void *userdata);

/* The number of a client, which no other one has or had. What it sent before it was freed still
 * counts as its. */
unsigned store_memory_number(const Store *store);
