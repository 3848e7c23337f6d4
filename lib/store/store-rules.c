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

bool store_keys_repeat(const StoreBytes *keys, size_t n_keys) {
        for (size_t i = 1; i < n_keys; i++)
                if (store_bytes_compare(keys[i - 1], keys[i]) == 0)
                        return true;
        return false;
}

size_t store_keys_unite(StoreBytes *keys, size_t n_keys) {
        size_t n = 0;

        store_keys_sort(keys, n_keys);
        for (size_t i = 0; i < n_keys; i++)
                if (n == 0 || store_bytes_compare(keys[n - 1], keys[i]) != 0)
                        keys[n++] = keys[i];
        return n;
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

int store_txn_check_size(const StoreTxn *txn) {
        size_t n_bytes = 0;

        for (size_t i = 0; i < txn->n_compares; i++)
                n_bytes += txn->compares[i].key.n_bytes + txn->compares[i].end.n_bytes;
        for (size_t i = 0; i < txn->n_ops; i++) {
                const StoreOp *op = &txn->ops[i];

                n_bytes += op->key.n_bytes + op->end.n_bytes + op->value.n_bytes;
        }
        return n_bytes > STORE_REQUEST_MAX_BYTES ? STORE_E_TOO_LARGE : 0;
}

static int check_keys(const StoreTxn *txn) {
        for (size_t i = 0; i < txn->n_compares; i++)
                if (txn->compares[i].key.n_bytes == 0)
                        return STORE_E_INVALID;
        for (size_t i = 0; i < txn->n_ops; i++)
                if (txn->ops[i].key.n_bytes == 0)
                        return STORE_E_INVALID;
        return 0;
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

        if (store_keys_repeat(puts, n_puts))
                return STORE_E_INVALID;

        for (size_t i = 0; i < txn->n_ops; i++)
                if (txn->ops[i].kind == STORE_OP_DELETE &&
                    store_keys_touch(puts, n_puts, txn->ops[i].key, txn->ops[i].end))
                        return STORE_E_INVALID;
        return 0;
}

int store_txn_check(const StoreTxn *txn) {
        int r = store_txn_check_size(txn);

        if (r == 0)
                r = check_keys(txn);
        return r == 0 ? check_written_once(txn) : r;
}

/* ---- comparing */

StoreTest store_test_of(const StoreCompare *compare) {
        static const int results[] = {
                [STORE_COMPARE_EQUAL] = STORE_TEST_EQUAL,
                [STORE_COMPARE_LESS] = STORE_TEST_LESS,
                [STORE_COMPARE_GREATER] = STORE_TEST_GREATER,
        };

        return (StoreTest){
                .key = compare->key,
                .end = compare->end,
                .target = compare->target == STORE_COMPARE_CREATE ? STORE_TEST_CREATE
                                                                  : STORE_TEST_MOD,
                .result = results[compare->result],
                .number = compare->revision,
        };
}

static int compare_numbers(int64_t a, int64_t b) {
        return (a > b) - (a < b);
}

static int compare_with(const StoreTest *test, const StoreKv *kv) {
        switch (test->target) {
        case STORE_TEST_VERSION:
                return compare_numbers(kv->version, test->number);
        case STORE_TEST_CREATE:
                return compare_numbers(kv->create_revision, test->number);
        case STORE_TEST_MOD:
                return compare_numbers(kv->mod_revision, test->number);
        case STORE_TEST_LEASE:
                return compare_numbers(kv->lease, test->number);
        case STORE_TEST_VALUE:
                break;
        }
        return store_bytes_compare(kv->value, test->value);
}

bool store_test_holds(const StoreTest *test, const StoreKv *kv) {
        static const StoreKv none = { 0 };
        int order;

        if (!kv && test->target == STORE_TEST_VALUE)
                return false;

        order = compare_with(test, kv ? kv : &none);
        switch (test->result) {
        case STORE_TEST_EQUAL:
                return order == 0;
        case STORE_TEST_GREATER:
                return order > 0;
        case STORE_TEST_LESS:
                return order < 0;
        case STORE_TEST_NOT_EQUAL:
                return order != 0;
        }
        return false;
}
