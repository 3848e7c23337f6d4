/* SPDX-License-Identifier: Apache-2.0 */

/* The versions of the store in memory.
 *
 * A key owns the chain of its versions, newest first; the history is an array of the same versions
 * in the order in which they were made. A commit is prepared first (every allocation happens there)
 * and then made, which cannot fail half-way: versions get the next revision, are linked and entered
 * into the history.
 *
 * Compaction at revision C follows etcd: of each key the last version at or before C stays, so that
 * ranges at C and later are complete, and every change of C and later stays, so that watches from C
 * on are. Hence what the history still names is never dropped from a chain: a version is superseded
 * only by one at or before C, and was itself made before that.
 */

#include "lib/store/store-memory-data.h"

#include <assert.h>
#include <errno.h>

void memory_data_init(MemoryData *data, Loop *loop, StoreLeasesDueFn on_due) {
        *data = (MemoryData){ .revision = 1, .first_sequence = 1, .last_lease = 1000 };
        store_leases_init(&data->leases, loop, on_due);
}

static void memory_key_drop_versions(MemoryKey *key) {
        MemoryVersion *version = TAKE(key->newest);

        while (version) {
                MemoryVersion *older = TAKE(version->older);

                version->newer = NULL;
                memory_version_unref(version);
                version = older;
        }
}

void memory_data_done(MemoryData *data) {
        MemoryKey *key;

        memory_leases_done(data);
        while ((key = data->index.first[0])) {
                memory_key_drop_versions(key);
                memory_index_remove(&data->index, key);
        }
        free(data->changes);
        *data = (MemoryData){ 0 };
}

/* ---- versions */

static MemoryVersion *memory_version_new(MemoryKey *key, StoreBytes value) {
        MemoryVersion *version = calloc(1, sizeof(MemoryVersion) + value.n_bytes);

        if (!version)
                return NULL;

        version->n_refs = 1;
        version->key = key;
        key->n_refs++;
        version->n_bytes = value.n_bytes;
        if (value.n_bytes > 0)
                memcpy(version->value, value.data, value.n_bytes);
        return version;
}

MemoryVersion *memory_version_ref(MemoryVersion *version) {
        version->n_refs++;
        return version;
}

void memory_version_unref(MemoryVersion *version) {
        assert(version->n_refs > 0);
        if (--version->n_refs > 0)
                return;

        memory_key_unref(version->key);
        free(version);
}

StoreKv memory_version_kv(const MemoryVersion *version, bool keys_only) {
        return (StoreKv){
                .key = version->key->bytes,
                .value = { .data = version->value, .n_bytes = keys_only ? 0 : version->n_bytes },
                .create_revision = version->create_revision,
                .mod_revision = version->mod_revision,
                .version = version->version,
                .lease = version->lease,
        };
}

MemoryVersion *memory_key_version_at(const MemoryKey *key, int64_t revision) {
        MemoryVersion *version = key->newest;

        while (version && revision > 0 && version->mod_revision > revision)
                version = version->older;
        return version && !version->is_deletion ? version : NULL;
}

/* ---- commits */

static int memory_commit_add(MemoryCommit *commit, MemoryVersion *version) {
        if (commit->n_versions == commit->n_allocated) {
                size_t n = commit->n_allocated ? commit->n_allocated * 2 : 16;
                MemoryVersion **versions = reallocarray(commit->versions, n, sizeof(*versions));

                if (!versions)
                        return -ENOMEM;
                commit->versions = versions;
                commit->n_allocated = n;
        }

        commit->versions[commit->n_versions++] = version;
        version->key->staged = version;
        return 0;
}

static void memory_data_drop_empty_key(MemoryData *data, MemoryKey *key) {
        if (!key->newest && !key->staged)
                memory_index_remove(&data->index, key);
}

/* Prepares one version; `*ret_version` is borrowed. */
static int memory_commit_stage(MemoryData *data, MemoryCommit *commit, MemoryKey *key,
                               StoreBytes value, MemoryVersion **ret_version) {
        MemoryVersion *version;

        assert(!key->staged);
        version = memory_version_new(key, value);
        if (!version || memory_commit_add(commit, version) < 0) {
                if (version)
                        memory_version_unref(version);
                memory_data_drop_empty_key(data, key);
                return -ENOMEM;
        }

        *ret_version = version;
        return 0;
}

int memory_commit_put(MemoryData *data, MemoryCommit *commit, StoreBytes bytes, StoreBytes value,
                      int64_t lease) {
        MemoryKey *key = memory_index_add(&data->index, bytes);
        MemoryVersion *version;
        int r;

        if (!key)
                return -ENOMEM;

        r = memory_commit_stage(data, commit, key, value, &version);
        if (r == 0)
                version->lease = lease;
        return r;
}

int memory_commit_delete(MemoryData *data, MemoryCommit *commit, StoreBytes start, StoreBytes end) {
        MemoryKey *key = memory_index_lower_bound(&data->index, start);

        for (; key && store_bytes_is_in_range(key->bytes, start, end); key = key->next[0]) {
                MemoryVersion *version;
                int r;

                if (key->staged || !memory_key_version_at(key, 0))
                        continue;

                r = memory_commit_stage(data, commit, key, (StoreBytes){ 0 }, &version);
                if (r < 0)
                        return r;
                version->is_deletion = true;
        }
        return 0;
}

static void memory_commit_done(MemoryCommit *commit) {
        free(commit->versions);
        *commit = (MemoryCommit){ 0 };
}

void memory_commit_abort(MemoryData *data, MemoryCommit *commit) {
        for (size_t i = 0; i < commit->n_versions; i++) {
                MemoryVersion *version = commit->versions[i];
                MemoryKey *key = version->key;

                key->staged = NULL;
                memory_version_unref(version);
                memory_data_drop_empty_key(data, key);
        }
        memory_commit_done(commit);
}

static int memory_data_reserve_changes(MemoryData *data, size_t n) {
        size_t n_allocated = data->n_allocated ? data->n_allocated : 64;
        MemoryChange *changes;

        while (n_allocated < data->n_changes + n)
                n_allocated *= 2;
        if (n_allocated == data->n_allocated)
                return 0;

        changes = reallocarray(data->changes, n_allocated, sizeof(*changes));
        if (!changes)
                return -ENOMEM;
        data->changes = changes;
        data->n_allocated = n_allocated;
        return 0;
}

/* Puts a prepared version on top of its key's chain. */
static void memory_version_link(MemoryData *data, MemoryVersion *version) {
        MemoryKey *key = version->key;
        MemoryVersion *live = memory_key_version_at(key, 0);

        version->mod_revision = data->revision;
        if (!version->is_deletion) {
                version->create_revision = live ? live->create_revision : data->revision;
                version->version = live ? live->version + 1 : 1;
        }

        version->older = key->newest;
        if (version->older)
                version->older->newer = version;
        key->newest = version;
        key->staged = NULL;
        memory_key_set_lease(key, version->lease ? memory_lease_find(data, version->lease) : NULL);
}

int memory_data_commit(MemoryData *data, MemoryCommit *commit, uint64_t now_us) {
        if (memory_data_reserve_changes(data, commit->n_versions) < 0) {
                memory_commit_abort(data, commit);
                return -ENOMEM;
        }

        if (commit->n_versions > 0)
                data->revision++;
        for (size_t i = 0; i < commit->n_versions; i++) {
                memory_version_link(data, commit->versions[i]);
                data->changes[data->n_changes++] = (MemoryChange){
                        .version = commit->versions[i],
                        .committed_us = now_us,
                };
        }
        memory_commit_done(commit);
        return 0;
}

/* ---- history */

uint64_t memory_data_next_sequence(const MemoryData *data) {
        return data->first_sequence + data->n_changes;
}

const MemoryChange *memory_data_change(const MemoryData *data, uint64_t sequence) {
        assert(sequence >= data->first_sequence);
        assert(sequence < memory_data_next_sequence(data));
        return &data->changes[sequence - data->first_sequence];
}

uint64_t memory_data_sequence_of(const MemoryData *data, int64_t revision) {
        size_t low = 0, high = data->n_changes;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (data->changes[middle].version->mod_revision < revision)
                        low = middle + 1;
                else
                        high = middle;
        }
        return data->first_sequence + low;
}

/* `version` is the last one of its key at or before `revision`: drops what is older, and itself
 * when it only says that the key was deleted earlier. */
static void memory_version_trim(MemoryData *data, MemoryVersion *version, int64_t revision) {
        MemoryVersion *older = TAKE(version->older);
        MemoryKey *key = version->key;

        while (older) {
                MemoryVersion *next = TAKE(older->older);

                older->newer = NULL;
                memory_version_unref(older);
                older = next;
        }

        if (!version->is_deletion || version->mod_revision == revision)
                return;

        if (version->newer)
                version->newer->older = NULL;
        else
                key->newest = NULL;
        version->newer = NULL;
        memory_version_unref(version);
        memory_data_drop_empty_key(data, key);
}

void memory_data_compact(MemoryData *data, int64_t revision) {
        uint64_t end_sequence = memory_data_sequence_of(data, revision + 1);
        size_t n_dropped = (size_t)(memory_data_sequence_of(data, revision) - data->first_sequence);

        assert(revision <= data->revision);
        if (revision <= data->compacted)
                return;

        /* The last change of a key comes after its others here, so none of them names a key that is
         * gone. */
        for (uint64_t sequence = data->first_sequence; sequence < end_sequence; sequence++) {
                MemoryVersion *version = memory_data_change(data, sequence)->version;

                if (!version->newer || version->newer->mod_revision > revision)
                        memory_version_trim(data, version, revision);
        }

        data->n_changes -= n_dropped;
        data->first_sequence += n_dropped;
        if (n_dropped > 0)
                memmove(data->changes, data->changes + n_dropped,
                        data->n_changes * sizeof(MemoryChange));
        data->compacted = revision;
}
