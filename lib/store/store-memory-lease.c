/* SPDX-License-Identifier: Apache-2.0 */

/* The leases of the store in memory, each with the list of the keys that hang on it. */

#include <assert.h>
#include <errno.h>

#include "lib/store/store-memory-data.h"

MemoryLease *memory_lease_find(const MemoryData *data, int64_t id) {
        StoreLease *lease = store_leases_find(&data->leases, id);

        return lease ? container_of(lease, MemoryLease, lease) : NULL;
}

int memory_lease_add(MemoryData *data, int64_t id, int64_t ttl_s, MemoryLease **ret_lease) {
        MemoryLease *lease;

        ttl_s = store_lease_grantable_ttl_s(ttl_s);
        if (ttl_s == 0 || (id != 0 && memory_lease_find(data, id)))
                return STORE_E_INVALID;

        lease = calloc(1, sizeof(*lease));
        if (!lease)
                return -ENOMEM;

        while (id == 0 || (id == data->last_lease && memory_lease_find(data, id)))
                id = ++data->last_lease;
        lease->lease.id = id;
        lease->lease.ttl_s = ttl_s;
        if (store_leases_add(&data->leases, &lease->lease, store_lease_ttl_us(&lease->lease)) < 0) {
                free(lease);
                return -ENOMEM;
        }

        *ret_lease = lease;
        return 0;
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
        store_leases_remove(&data->leases, &lease->lease);
        free(lease);
        return 0;
}

void memory_leases_done(MemoryData *data) {
        for (size_t i = 0; i < data->leases.n_leases; i++) {
                MemoryLease *lease = container_of(data->leases.all[i], MemoryLease, lease);
                ListNode *n;

                while ((n = list_first(&lease->keys)))
                        memory_key_set_lease(container_of(n, MemoryKey, lease_node), NULL);
                free(lease);
        }
        store_leases_done(&data->leases);
}
