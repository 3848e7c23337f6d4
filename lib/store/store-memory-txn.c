/* SPDX-License-Identifier: Apache-2.0 */

/* What the store in memory does with a range and with a transaction, by the rules of
 * store-rules.h. */

#include <assert.h>
#include <errno.h>

#include "lib/store/store-memory-data.h"

void memory_answer_done(MemoryAnswer *answer) {
        for (size_t i = 0; i < answer->reply.n_kvs; i++)
                memory_version_unref(answer->versions[i]);
        free(answer->kvs);
        free(answer->versions);
        *answer = (MemoryAnswer){ 0 };
}

static int memory_answer_grow(MemoryAnswer *answer) {
        size_t n = answer->n_allocated ? answer->n_allocated * 2 : 16;
        MemoryVersion **versions;
        StoreKv *kvs;

        kvs = reallocarray(answer->kvs, n, sizeof(*kvs));
        if (!kvs)
                return -ENOMEM;
        answer->kvs = kvs;

        versions = reallocarray(answer->versions, n, sizeof(*versions));
        if (!versions)
                return -ENOMEM;
        answer->versions = versions;
        answer->n_allocated = n;
        return 0;
}

static int memory_answer_add(MemoryAnswer *answer, MemoryVersion *version, bool keys_only) {
        StoreReply *reply = &answer->reply;

        if (reply->n_kvs == answer->n_allocated && memory_answer_grow(answer) < 0)
                return -ENOMEM;

        answer->kvs[reply->n_kvs] = memory_version_kv(version, keys_only);
        answer->versions[reply->n_kvs++] = memory_version_ref(version);
        return 0;
}

static int memory_data_collect(MemoryData *data, const StoreRange *range, MemoryAnswer *answer) {
        MemoryKey *key = memory_index_lower_bound(&data->index, range->key);

        for (; key && store_bytes_is_in_range(key->bytes, range->key, range->end);
             key = key->next[0]) {
                MemoryVersion *version = memory_key_version_at(key, range->revision);
                int r;

                if (!version)
                        continue;

                if (range->limit > 0 && answer->reply.n_kvs == (size_t)range->limit) {
                        answer->reply.more = true;
                        break;
                }

                r = memory_answer_add(answer, version, range->keys_only);
                if (r < 0)
                        return r;
        }
        return 0;
}

int memory_data_range(MemoryData *data, const StoreRange *range, MemoryAnswer *ret_answer) {
        MemoryAnswer answer = { .reply.revision = data->revision };
        int r;

        r = store_range_check(range, data->revision, data->compacted);
        if (r != 0)
                return r;

        r = memory_data_collect(data, range, &answer);
        if (r < 0) {
                memory_answer_done(&answer);
                return r;
        }

        answer.reply.kvs = answer.kvs;
        *ret_answer = answer;
        return 0;
}

/* ---- comparing and writing */

static bool compare_holds(const MemoryData *data, const StoreCompare *compare) {
        const StoreTest test = store_test_of(compare);
        MemoryKey *key = memory_index_lower_bound(&data->index, compare->key);
        bool is_empty = true;

        for (; key && store_bytes_is_in_range(key->bytes, compare->key, compare->end);
             key = key->next[0]) {
                const MemoryVersion *version = memory_key_version_at(key, 0);
                StoreKv kv;

                if (!version)
                        continue;

                kv = memory_version_kv(version, true);
                is_empty = false;
                if (!store_test_holds(&test, &kv))
                        return false;
        }

        return !is_empty || store_test_holds(&test, NULL);
}

static bool txn_holds(const MemoryData *data, const StoreTxn *txn) {
        for (size_t i = 0; i < txn->n_compares; i++)
                if (!compare_holds(data, &txn->compares[i]))
                        return false;
        return true;
}

static int stage_op(MemoryData *data, const StoreOp *op, MemoryCommit *commit) {
        if (op->kind == STORE_OP_DELETE)
                return memory_commit_delete(data, commit, op->key, op->end);
        if (op->lease != 0 && !memory_lease_find(data, op->lease))
                return STORE_E_NO_LEASE;
        return memory_commit_put(data, commit, op->key, op->value, op->lease);
}

static int apply_ops(MemoryData *data, const StoreTxn *txn, uint64_t now_us) {
        MemoryCommit commit = { 0 };

        for (size_t i = 0; i < txn->n_ops; i++) {
                int r = stage_op(data, &txn->ops[i], &commit);

                if (r != 0) {
                        memory_commit_abort(data, &commit);
                        return r;
                }
        }
        return memory_data_commit(data, &commit, now_us);
}

int memory_data_txn(MemoryData *data, const StoreTxn *txn, uint64_t now_us,
                    MemoryAnswer *ret_answer) {
        bool succeeded;
        int r;

        r = store_txn_check(txn);
        if (r != 0)
                return r;

        succeeded = txn_holds(data, txn);
        if (succeeded) {
                r = apply_ops(data, txn, now_us);
                if (r != 0)
                        return r;
        }

        *ret_answer = (MemoryAnswer){
                .reply = { .revision = data->revision, .succeeded = succeeded },
        };
        return 0;
}
