/* SPDX-License-Identifier: Apache-2.0 */

/* What the store in memory does with a range and with a transaction; where etcd has an opinion on a
 * corner, this is etcd's:
 *
 * - an empty key is refused; an end before the key is an empty range; on an empty range a
 * comparison sees 0;
 * - a key written twice is refused, whether or not the comparisons hold; deletions may overlap;
 * - an unknown lease refuses the transaction only when its operations are to be made;
 * - a transaction that changes nothing has no revision of its own;
 * - a revision of the future is answered like one that is gone: what is known of it is useless,
 * list again.
 */

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

        if (range->key.n_bytes == 0)
                return STORE_E_INVALID;
        if (range->revision > data->revision)
                return STORE_E_COMPACTED;
        if (range->revision > 0 && range->revision < data->compacted)
                return STORE_E_COMPACTED;

        r = memory_data_collect(data, range, &answer);
        if (r < 0) {
                memory_answer_done(&answer);
                return r;
        }

        answer.reply.kvs = answer.kvs;
        *ret_answer = answer;
        return 0;
}

/* ---- what a transaction must be */

static int compare_puts(const void *a, const void *b) {
        const StoreOp *const *x = a, *const *y = b;

        return store_bytes_compare((*x)->key, (*y)->key);
}

/* Is one of the puts, which are in order, in the range of a deletion? */
static bool puts_touch(const StoreOp *const *puts, size_t n_puts, const StoreOp *deletion) {
        size_t low = 0, high = n_puts;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (store_bytes_compare(puts[middle]->key, deletion->key) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low < n_puts &&
               store_bytes_is_in_range(puts[low]->key, deletion->key, deletion->end);
}

static int check_written_once(const StoreTxn *txn) {
        _cleanup_(freep) const StoreOp **puts = calloc(txn->n_ops + 1, sizeof(*puts));
        size_t n_puts = 0;

        if (!puts)
                return -ENOMEM;

        for (size_t i = 0; i < txn->n_ops; i++)
                if (txn->ops[i].kind == STORE_OP_PUT)
                        puts[n_puts++] = &txn->ops[i];
        qsort(puts, n_puts, sizeof(*puts), compare_puts);

        for (size_t i = 1; i < n_puts; i++)
                if (store_bytes_compare(puts[i - 1]->key, puts[i]->key) == 0)
                        return STORE_E_INVALID;

        for (size_t i = 0; i < txn->n_ops; i++)
                if (txn->ops[i].kind == STORE_OP_DELETE && puts_touch(puts, n_puts, &txn->ops[i]))
                        return STORE_E_INVALID;
        return 0;
}

static int check_size_and_keys(const StoreTxn *txn) {
        size_t n_bytes = 0;
        bool has_empty_key = false;

        for (size_t i = 0; i < txn->n_compares; i++) {
                const StoreCompare *compare = &txn->compares[i];

                n_bytes += compare->key.n_bytes + compare->end.n_bytes;
                has_empty_key |= compare->key.n_bytes == 0;
        }
        for (size_t i = 0; i < txn->n_ops; i++) {
                const StoreOp *op = &txn->ops[i];

                n_bytes += op->key.n_bytes + op->end.n_bytes + op->value.n_bytes;
                has_empty_key |= op->key.n_bytes == 0;
        }

        if (n_bytes > STORE_REQUEST_MAX_BYTES)
                return STORE_E_TOO_LARGE;
        return has_empty_key ? STORE_E_INVALID : 0;
}

/* ---- comparing and writing */

static bool compare_holds_for(const StoreCompare *compare, const MemoryVersion *version) {
        int64_t revision = 0;

        if (version)
                revision = compare->target == STORE_COMPARE_CREATE ? version->create_revision
                                                                   : version->mod_revision;
        switch (compare->result) {
        case STORE_COMPARE_EQUAL:
                return revision == compare->revision;
        case STORE_COMPARE_LESS:
                return revision < compare->revision;
        case STORE_COMPARE_GREATER:
                return revision > compare->revision;
        }
        return false;
}

static bool compare_holds(const MemoryData *data, const StoreCompare *compare) {
        MemoryKey *key = memory_index_lower_bound(&data->index, compare->key);
        bool is_empty = true;

        for (; key && store_bytes_is_in_range(key->bytes, compare->key, compare->end);
             key = key->next[0]) {
                const MemoryVersion *version = memory_key_version_at(key, 0);

                if (!version)
                        continue;

                is_empty = false;
                if (!compare_holds_for(compare, version))
                        return false;
        }

        return !is_empty || compare_holds_for(compare, NULL);
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

        r = check_size_and_keys(txn);
        if (r == 0)
                r = check_written_once(txn);
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
