/* SPDX-License-Identifier: Apache-2.0 */

/* The leases of the store in memory: an array in order of their ids, which only grow, so that
 * adding one appends; each with the list of the keys that hang on it. Whether a lease has run out,
 * and who looks, is store-memory.c's affair.
 */

#include <assert.h>
#include <errno.h>

#include "lib/base/env.h"
#include "lib/store/store-memory-data.h"

/* Where the lease of `id` is, or would be. */
static size_t memory_lease_position(const MemoryData *data, int64_t id) {
        size_t low = 0, high = data->n_leases;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (data->leases[middle]->id < id)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

MemoryLease *memory_lease_find(const MemoryData *data, int64_t id) {
        size_t i = memory_lease_position(data, id);

        return i < data->n_leases && data->leases[i]->id == id ? data->leases[i] : NULL;
}

static int memory_leases_reserve(MemoryData *data) {
        size_t n = data->n_leases_allocated ? data->n_leases_allocated * 2 : 16;
        MemoryLease **leases;

        if (data->n_leases < data->n_leases_allocated)
                return 0;

        leases = reallocarray(data->leases, n, sizeof(*leases));
        if (!leases)
                return -ENOMEM;
        data->leases = leases;
        data->n_leases_allocated = n;
        return 0;
}

int memory_lease_add(MemoryData *data, int64_t ttl_s, uint64_t now_us, MemoryLease **ret_lease) {
        MemoryLease *lease;

        if (memory_leases_reserve(data) < 0)
                return -ENOMEM;

        lease = calloc(1, sizeof(*lease));
        if (!lease)
                return -ENOMEM;

        lease->id = ++data->last_lease;
        lease->ttl_s = ttl_s > STORE_LEASE_TTL_MIN_S ? ttl_s : STORE_LEASE_TTL_MIN_S;
        memory_lease_renew(lease, now_us);
        data->leases[data->n_leases++] = lease;
        *ret_lease = lease;
        return 0;
}

void memory_lease_renew(MemoryLease *lease, uint64_t now_us) {
        lease->deadline_us = now_us + (uint64_t)lease->ttl_s * US_PER_S;
}

void memory_key_set_lease(MemoryKey *key, MemoryLease *lease) {
        if (key->lease == lease)
                return;

        list_remove(&key->lease_node);
        key->lease = lease;
        if (lease)
                list_append(&lease->keys, &key->lease_node);
}

static int compare_versions(const void *a, const void *b) {
        const MemoryVersion *const *x = a, *const *y = b;

        return store_bytes_compare((*x)->key->bytes, (*y)->key->bytes);
}

/* The deletions of all keys of the lease, in byte order of the keys, as etcd makes them. */
static int memory_lease_stage(MemoryData *data, MemoryLease *lease, MemoryCommit *commit) {
        for (ListNode *n = list_first(&lease->keys); n; n = list_next(&lease->keys, n)) {
                MemoryKey *key = container_of(n, MemoryKey, lease_node);
                int r = memory_commit_delete(data, commit, key->bytes, (StoreBytes){ 0 });

                if (r < 0)
                        return r;
        }

        if (commit->n_versions > 0)
                qsort(commit->versions, commit->n_versions, sizeof(*commit->versions),
                      compare_versions);
        return 0;
}

int memory_lease_end(MemoryData *data, MemoryLease *lease, uint64_t now_us) {
        size_t i = memory_lease_position(data, lease->id);
        MemoryCommit commit = { 0 };
        int r;

        r = memory_lease_stage(data, lease, &commit);
        if (r < 0) {
                memory_commit_abort(data, &commit);
                return r;
        }

        r = memory_data_commit(data, &commit, now_us);
        if (r < 0)
                return r;

        assert(list_is_empty(&lease->keys));
        data->n_leases--;
        memmove(&data->leases[i], &data->leases[i + 1],
                (data->n_leases - i) * sizeof(*data->leases));
        free(lease);
        return 0;
}

void memory_leases_done(MemoryData *data) {
        for (size_t i = 0; i < data->n_leases; i++) {
                ListNode *n;

                while ((n = list_first(&data->leases[i]->keys)))
                        memory_key_set_lease(container_of(n, MemoryKey, lease_node), NULL);
                free(data->leases[i]);
        }
        free(data->leases);
        data->leases = NULL;
        data->n_leases = 0;
}
