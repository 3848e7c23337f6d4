/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/store/store-rules.h"

#include <errno.h>

/* ---- keys and ranges */

int store_bytes_compare(StoreBytes a, StoreBytes b) {
        size_t n = a.n_bytes < b.n_bytes ? a.n_bytes : b.n_bytes;
        int r = n > 0 ? memcmp(a.data, b.data, n) : 0;

        if (r != 0)
                return r;
        return (a.n_bytes > b.n_bytes) - (a.n_bytes < b.n_bytes);
}

bool store_end_is_open(StoreBytes end) {
        return end.n_bytes == 1 && *(const char *)end.data == 0;
}

bool store_bytes_is_in_range(StoreBytes key, StoreBytes start, StoreBytes end) {
        int r = store_bytes_compare(key, start);

        if (end.n_bytes == 0)
                return r == 0;
        return r >= 0 && (store_end_is_open(end) || store_bytes_compare(key, end) < 0);
}

static int compare_keys(const void *a, const void *b) {
        const StoreBytes *x = a, *y = b;

        return store_bytes_compare(*x, *y);
}

void store_keys_sort(StoreBytes *keys, size_t n_keys) {
        if (n_keys > 0)
                qsort(keys, n_keys, sizeof(*keys), compare_keys);
}

bool store_keys_touch(const StoreBytes *keys, size_t n_keys, StoreBytes start, StoreBytes end) {
        size_t low = 0, high = n_keys;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (store_bytes_compare(keys[middle], start) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low < n_keys && store_bytes_is_in_range(keys[low], start, end);
}

/* ---- requests */

int store_range_check(const StoreRange *range, int64_t revision, int64_t compacted) {
        if (range->key.n_bytes == 0)
                return STORE_E_INVALID;
        if (range->revision > revision)
                return STORE_E_COMPACTED;
        if (range->revision > 0 && range->revision < compacted)
                return STORE_E_COMPACTED;
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

static int check_written_once(const StoreTxn *txn) {
        _cleanup_(freep) StoreBytes *puts = calloc(txn->n_ops + 1, sizeof(*puts));
        size_t n_puts = 0;

        if (!puts)
                return -ENOMEM;

        for (size_t i = 0; i < txn->n_ops; i++)
                if (txn->ops[i].kind == STORE_OP_PUT)
                        puts[n_puts++] = txn->ops[i].key;
        store_keys_sort(puts, n_puts);

        for (size_t i = 1; i < n_puts; i++)
                if (store_bytes_compare(puts[i - 1], puts[i]) == 0)
                        return STORE_E_INVALID;

        for (size_t i = 0; i < txn->n_ops; i++)
                if (txn->ops[i].kind == STORE_OP_DELETE &&
                    store_keys_touch(puts, n_puts, txn->ops[i].key, txn->ops[i].end))
                        return STORE_E_INVALID;
        return 0;
}

int store_txn_check(const StoreTxn *txn) {
        int r = check_size_and_keys(txn);

        return r == 0 ? check_written_once(txn) : r;
}

bool store_compare_holds(const StoreCompare *compare, int64_t create_revision,
                         int64_t mod_revision) {
        int64_t revision = compare->target == STORE_COMPARE_CREATE ? create_revision : mod_revision;

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
