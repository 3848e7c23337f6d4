/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/store/store-arguments.h"

#include <errno.h>

/* Copies bytes to `*next` and moves it behind them. */
static void copy_bytes(StoreBytes *bytes, char **next) {
        if (bytes->n_bytes > 0)
                memcpy(*next, bytes->data, bytes->n_bytes);
        bytes->data = *next;
        *next += bytes->n_bytes;
}

static void *store_arguments_allocate(StoreArguments *arguments, size_t n_bytes) {
        arguments->n_bytes = n_bytes;
        arguments->bytes = malloc(n_bytes + 1);
        return arguments->bytes;
}

int store_arguments_copy_range(StoreArguments *arguments, const StoreRange *range) {
        char *next = store_arguments_allocate(arguments, range->key.n_bytes + range->end.n_bytes);

        if (!next)
                return -ENOMEM;

        arguments->kind = STORE_KIND_RANGE;
        arguments->range = *range;
        copy_bytes(&arguments->range.key, &next);
        copy_bytes(&arguments->range.end, &next);
        return 0;
}

static size_t txn_size_bytes(const StoreTxn *txn) {
        size_t n = txn->n_compares * sizeof(StoreCompare) + txn->n_ops * sizeof(StoreOp);

        for (size_t i = 0; i < txn->n_compares; i++)
                n += txn->compares[i].key.n_bytes + txn->compares[i].end.n_bytes;
        for (size_t i = 0; i < txn->n_ops; i++)
                n += txn->ops[i].key.n_bytes + txn->ops[i].end.n_bytes + txn->ops[i].value.n_bytes;
        return n;
}

int store_arguments_copy_txn(StoreArguments *arguments, const StoreTxn *txn) {
        StoreCompare *compares = store_arguments_allocate(arguments, txn_size_bytes(txn));
        StoreOp *ops;
        char *next;

        if (!compares)
                return -ENOMEM;

        ops = (StoreOp *)(compares + txn->n_compares);
        next = (char *)(ops + txn->n_ops);
        for (size_t i = 0; i < txn->n_compares; i++) {
                compares[i] = txn->compares[i];
                copy_bytes(&compares[i].key, &next);
                copy_bytes(&compares[i].end, &next);
        }
        for (size_t i = 0; i < txn->n_ops; i++) {
                ops[i] = txn->ops[i];
                copy_bytes(&ops[i].key, &next);
                copy_bytes(&ops[i].end, &next);
                copy_bytes(&ops[i].value, &next);
        }

        arguments->kind = STORE_KIND_TXN;
        arguments->txn = (StoreTxn){
                .compares = compares,
                .n_compares = txn->n_compares,
                .ops = ops,
                .n_ops = txn->n_ops,
        };
        return 0;
}

void store_arguments_done(StoreArguments *arguments) {
        free(arguments->bytes);
        *arguments = (StoreArguments){ 0 };
}

bool store_arguments_only_read(const StoreArguments *arguments) {
        return arguments->kind == STORE_KIND_RANGE || arguments->kind == STORE_KIND_LEASE_LOOK ||
               arguments->kind == STORE_KIND_STATUS;
}

bool store_arguments_take_space(const StoreArguments *arguments) {
        if (arguments->kind != STORE_KIND_TXN)
                return arguments->kind == STORE_KIND_LEASE_GRANT;

        for (size_t i = 0; i < arguments->txn.n_ops; i++)
                if (arguments->txn.ops[i].kind == STORE_OP_PUT)
                        return true;
        return false;
}
