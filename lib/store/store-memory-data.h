/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The data of the store in memory: keys with all their versions, the history that watches read, and
 * leases. It knows nothing of requests, clients, time or faults; only the store-memory*.c files
 * include this.
 *
 * Whoever keeps a version beyond the current call holds a reference on it, since a compaction may
 * drop it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/list.h"
#include "lib/store/store-lease.h"
#include "lib/store/store-rules.h"
#include "lib/store/store.h"

enum {
        MEMORY_KEY_HEIGHT_MAX = 12, /* levels of the index: 4^12 keys */
};

typedef struct MemoryKey MemoryKey;
typedef struct MemoryVersion MemoryVersion;
typedef struct MemoryLease MemoryLease;

/* A key that has a version: alive, or deleted and not yet compacted away. */
struct MemoryKey {
        size_t n_refs;         /* one per version that names it, and one of the index */
        MemoryVersion *newest; /* owned chain towards older ones; NULL only while its first version
                                  is staged */
        MemoryVersion *staged; /* borrowed: what the commit being prepared does to it, or NULL */
        MemoryLease *lease;    /* borrowed: the lease that it hangs on, or NULL */
        ListNode lease_node;   /* in the lease's list of keys */
        StoreBytes bytes;      /* in this allocation, behind the links */
        unsigned height;       /* how many links it has */
        MemoryKey *next[];     /* by level */
};

/* What one commit made of one key. */
struct MemoryVersion {
        size_t n_refs;           /* of the chain, and of those who keep it */
        MemoryKey *key;          /* a reference */
        MemoryVersion *older;    /* owned, or NULL */
        MemoryVersion *newer;    /* borrowed, or NULL */
        int64_t create_revision; /* 0 in a deletion */
        int64_t mod_revision;    /* 0 while it is staged */
        int64_t version;         /* 0 in a deletion */
        int64_t lease;           /* 0 = none */
        bool is_deletion;
        size_t n_bytes;
        uint8_t value[];
};

/* The keys in byte order: a skip list. */
typedef struct MemoryIndex {
        MemoryKey *first[MEMORY_KEY_HEIGHT_MAX];
        uint64_t state; /* of the generator of heights */
} MemoryIndex;

/* One entry of the history. */
typedef struct MemoryChange {
        MemoryVersion *version; /* borrowed: a compaction drops both together */
        uint64_t committed_us;
} MemoryChange;

/* A lease. */
struct MemoryLease {
        StoreLease lease; /* first: the head */
        List keys;        /* MemoryKey.lease_node */
};

/* Versions that will be committed together. */
typedef struct MemoryCommit {
        MemoryVersion **versions; /* owned */
        size_t n_versions;
        size_t n_allocated;
} MemoryCommit;

/* Everything. */
typedef struct MemoryData {
        MemoryIndex index;
        int64_t revision;      /* of the last commit */
        int64_t compacted;     /* history below this is gone; 0 = none is */
        MemoryChange *changes; /* owned: the history, in order */
        size_t n_changes;
        size_t n_allocated;
        uint64_t first_sequence; /* the number of changes[0]; every change ever made has one */
        StoreLeases leases;      /* owned, each a MemoryLease */
        int64_t last_lease;      /* id of the lease granted last */
} MemoryData;

/* store-memory-index.c: the first key >= `bytes`, or NULL; the key, or NULL; the key, made if need
 * be, or NULL on out of memory; unlink a key and drop the index's reference; drop a reference. */
MemoryKey *memory_index_lower_bound(const MemoryIndex *index, StoreBytes bytes);
MemoryKey *memory_index_find(const MemoryIndex *index, StoreBytes bytes);
MemoryKey *memory_index_add(MemoryIndex *index, StoreBytes bytes);
void memory_index_remove(MemoryIndex *index, MemoryKey *key);
void memory_key_unref(MemoryKey *key);

/* store-memory-data.c */
void memory_data_init(MemoryData *data, Loop *loop, StoreLeasesDueFn on_due);
void memory_data_done(MemoryData *data);

/* The version of a key at a revision (0 = now), or NULL when it did not exist then. */
MemoryVersion *memory_key_version_at(const MemoryKey *key, int64_t revision);

/* Keep a version, and let it go. */
MemoryVersion *memory_version_ref(MemoryVersion *version);
void memory_version_unref(MemoryVersion *version);

/* A version as others see it; borrowed. */
StoreKv memory_version_kv(const MemoryVersion *version, bool keys_only);

/* Prepare a put, or the deletion of every live key of a range that the commit does not touch yet.
 * Return 0 or -ENOMEM. */
int memory_commit_put(MemoryData *data, MemoryCommit *commit, StoreBytes bytes, StoreBytes value,
                      int64_t lease);
int memory_commit_delete(MemoryData *data, MemoryCommit *commit, StoreBytes start, StoreBytes end);

/* Make what was prepared, as one revision; nothing prepared = no new revision. Returns 0, or
 * -ENOMEM: nothing was made. The commit is empty afterwards, either way. */
int memory_data_commit(MemoryData *data, MemoryCommit *commit, uint64_t now_us);

/* Give up what was prepared. */
void memory_commit_abort(MemoryData *data, MemoryCommit *commit);

/* Forget history below `revision`, which is at most the current one. */
void memory_data_compact(MemoryData *data, int64_t revision);

/* The number of the first change of `revision` or a later one; the number after the last change
 * when there is none. */
uint64_t memory_data_sequence_of(const MemoryData *data, int64_t revision);

/* The number that the next change will get. */
uint64_t memory_data_next_sequence(const MemoryData *data);

/* The change of a number that is still there. */
const MemoryChange *memory_data_change(const MemoryData *data, uint64_t sequence);

/* store-memory-lease.c: the lease, or NULL; make one, of this number or (0) of whichever (0, STORE_E_INVALID
 * for a TTL that is too long or a number that is taken, or -ENOMEM); end one with its keys, in one
 * commit (0 or -ENOMEM: it is still there); hang a key on a lease or, with NULL, on none. */
MemoryLease *memory_lease_find(const MemoryData *data, int64_t id);
int memory_lease_add(MemoryData *data, int64_t id, int64_t ttl_s, MemoryLease **ret_lease);
int memory_lease_end(MemoryData *data, MemoryLease *lease, uint64_t now_us);
void memory_key_set_lease(MemoryKey *key, MemoryLease *lease);
void memory_leases_done(MemoryData *data);

/* What a request brought, with the versions that it borrows from. */
typedef struct MemoryAnswer {
        StoreReply reply;
        StoreKv *kvs;             /* owned; reply.kvs */
        MemoryVersion **versions; /* owned references; reply.n_kvs */
        size_t n_allocated;
} MemoryAnswer;

/* Let go of what an answer holds. */
void memory_answer_done(MemoryAnswer *answer);

/* store-memory-txn.c: carry out a request. They return a STORE_E_* or a negative errno; the answer
 * is filled on 0 only. */
int memory_data_range(MemoryData *data, const StoreRange *range, MemoryAnswer *ret_answer);
int memory_data_txn(MemoryData *data, const StoreTxn *txn, uint64_t now_us,
                    MemoryAnswer *ret_answer);
