/* SPDX-License-Identifier: Apache-2.0 */

/* The store in memory: the store itself, the end of its leases, its clients, and the doors for
 * tests.
 *
 * The parts: store-memory-index.c (ordered keys), store-memory-data.c (versions, history,
 * compaction), store-memory-lease.c, store-memory-txn.c (what a request does), store-memory-call.c
 * (requests on their way, faults), store-memory-watch.c.
 *
 * Without quorum no lease runs out, and when it returns each gets its full time again. The quorum
 * concerns leases only: to silence the store, cut its clients.
 */

#include "lib/store/store-memory.h"

#include <assert.h>
#include <errno.h>

#include "lib/store/store-memory-client.h"

/* ---- leases run out */

static void memory_store_end_lease(MemoryStore *memory, MemoryLease *lease) {
        uint64_t sequence = memory_data_next_sequence(&memory->data);

        /* Out of memory: the lease is still there, and the next look tries again. */
        (void)memory_lease_end(&memory->data, lease, loop_now_us(memory->loop));
        memory_store_notify(memory, sequence, 0);
}

static void memory_store_on_due(StoreLeases *leases) {
        MemoryStore *memory = container_of(leases, MemoryStore, data.leases);

        for (size_t n = 0; n < STORE_LEASES_PER_LOOK; n++) {
                StoreLease *lease = store_leases_first(leases);

                if (!lease || !store_leases_is_over(leases, lease))
                        return;
                memory_store_end_lease(memory, container_of(lease, MemoryLease, lease));
        }
}

void memory_store_expire_lease(MemoryStore *memory, int64_t id) {
        MemoryLease *lease = memory_lease_find(&memory->data, id);

        if (lease)
                memory_store_end_lease(memory, lease);
}

void memory_store_set_quorum(MemoryStore *memory, bool has_quorum) {
        store_leases_pause(&memory->data.leases, !has_quorum);
}

void memory_store_set_full(MemoryStore *memory, bool is_full) {
        memory->is_full = is_full;
}

void memory_store_wipe(MemoryStore *memory) {
        uint64_t sequence = memory_data_next_sequence(&memory->data);
        int64_t last_lease = memory->data.last_lease;
        bool is_paused = memory->data.leases.is_paused;

        assert(memory->n_clients == memory->n_cut);

        /* Numbers of leases and changes are never used again: etcd draws the former at random. */
        memory_data_done(&memory->data);
        memory_data_init(&memory->data, memory->loop, memory_store_on_due);
        memory->data.first_sequence = sequence;
        memory->data.last_lease = last_lease;
        memory->data.leases.is_paused = is_paused;
}

/* ---- the store */

int memory_store_new(MemoryStore **ret_memory, Loop *loop) {
        MemoryStore *memory = calloc(1, sizeof(*memory));

        if (!memory)
                return -ENOMEM;

        memory->loop = loop;
        memory_data_init(&memory->data, loop, memory_store_on_due);
        *ret_memory = memory;
        return 0;
}

MemoryStore *memory_store_free(MemoryStore *memory) {
        if (!memory)
                return NULL;

        assert(memory->n_clients == 0);
        memory_store_drop_calls(memory);
        memory_data_done(&memory->data);
        free(memory);
        return NULL;
}

int64_t memory_store_revision(const MemoryStore *memory) {
        return memory->data.revision;
}

void memory_store_compact(MemoryStore *memory, int64_t revision) {
        memory_data_compact(&memory->data, revision);
}

int memory_store_write(MemoryStore *memory, const char *key, StoreBytes value) {
        bool is_deletion = !value.data && value.n_bytes == 0;
        uint64_t sequence = memory_data_next_sequence(&memory->data);
        MemoryCommit commit = { 0 };
        int r;

        if (is_deletion)
                r = memory_commit_delete(&memory->data, &commit, store_bytes(key),
                                         (StoreBytes){ 0 });
        else
                r = memory_commit_put(&memory->data, &commit, store_bytes(key), value, 0);
        if (r < 0) {
                memory_commit_abort(&memory->data, &commit);
                return r;
        }

        r = memory_data_commit(&memory->data, &commit, loop_now_us(memory->loop));
        memory_store_notify(memory, sequence, 0);
        return r;
}

void memory_store_set_observer(MemoryStore *memory, MemoryStoreObserver observer, void *userdata) {
        memory->observer = observer;
        memory->observer_userdata = userdata;
}

unsigned store_memory_number(const Store *store) {
        return container_of(store, StoreMemory, store)->number;
}

bool memory_store_read(const MemoryStore *memory, const char *key, StoreBytes *ret_value) {
        const MemoryKey *found = memory_index_find(&memory->data.index, store_bytes(key));
        const MemoryVersion *version = found ? memory_key_version_at(found, 0) : NULL;

        if (!version)
                return false;

        *ret_value = memory_version_kv(version, false).value;
        return true;
}

/* ---- a client */

static void store_memory_on_connection(LoopDeferred *deferred) {
        StoreMemory *client = container_of(deferred, StoreMemory, connection);
        bool is_connected = !client->faults.is_cut;

        store_set_connected(&client->store, is_connected,
                            is_connected ? "memory" : "memory: cut off");
}

void store_memory_set_faults(Store *store, const StoreFaults *faults) {
        StoreMemory *client = store_memory(store);
        bool heals = client->faults.is_cut && !faults->is_cut;

        client->memory->n_cut += faults->is_cut;
        client->memory->n_cut -= client->faults.is_cut;
        client->faults = *faults;
        loop_defer(client->store.loop, &client->connection);
        if (!heals)
                return;

        for (ListNode *n = list_first(&client->watches); n; n = list_next(&client->watches, n))
                store_memory_watch_resume(container_of(n, StoreWatch, node));
}

static void store_memory_on_closing(LoopDeferred *deferred) {
        StoreMemory *client = container_of(deferred, StoreMemory, closing);

        /* The requests' ends were queued before this one, unless they were queued again since. */
        if (client->store.stats.n_pending > 0)
                loop_defer(client->store.loop, deferred);
        else
                store_closed(&client->store);
}

static void store_memory_close(Store *store) {
        StoreMemory *client = store_memory(store);
        ListNode *n;

        while ((n = list_first(&client->watches)))
                store_watch_stop(container_of(n, StoreWatch, node));
        for (n = list_first(&client->requests); n; n = list_next(&client->requests, n))
                store_memory_cancel(container_of(n, StoreRequest, node));
        loop_defer_cancel(&client->connection);
        loop_defer(client->store.loop, &client->closing);
}

static void store_memory_free(Store *store) {
        StoreMemory *client = store_memory(store);

        assert(store->stats.n_pending == 0);
        assert(store->stats.n_watches == 0);

        loop_defer_cancel(&client->connection);
        loop_defer_cancel(&client->closing);
        memory_store_orphan_calls(client->memory, client);
        client->memory->n_clients--;
        client->memory->n_cut -= client->faults.is_cut;
        free(client);
}

int store_memory_new(Store **ret_store, MemoryStore *memory, Loop *loop) {
        static const StoreVtable vtable = {
                .range = store_memory_range,
                .txn = store_memory_txn,
                .lease_grant = store_memory_lease_grant,
                .lease_keep_alive = store_memory_lease_keep_alive,
                .lease_revoke = store_memory_lease_revoke,
                .lease_look = store_memory_lease_look,
                .status = store_memory_status,
                .cancel = store_memory_cancel,
                .watch_start = store_memory_watch_start,
                .watch_stop = store_memory_watch_stop,
                .close = store_memory_close,
                .free = store_memory_free,
        };
        StoreMemory *client = calloc(1, sizeof(*client));

        if (!client)
                return -ENOMEM;

        client->store.vtable = &vtable;
        client->store.loop = loop;
        client->memory = memory;
        client->number = ++memory->n_numbers;
        client->connection.fn = store_memory_on_connection;
        client->closing.fn = store_memory_on_closing;
        memory->n_clients++;
        loop_defer(loop, &client->connection);
        *ret_store = &client->store;
        return 0;
}
