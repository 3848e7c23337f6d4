/* SPDX-License-Identifier: Apache-2.0 */

/* Key and value of a row are in one allocation, which begins with the key. */

#include "lib/store/sqlite-rows.h"

#include <errno.h>

static int sqlite_rows_grow(SqliteRows *rows) {
        size_t n = rows->n_allocated ? rows->n_allocated * 2 : 16;
        StoreKv *kvs;

        if (rows->n_kvs < rows->n_allocated)
                return 0;

        kvs = reallocarray(rows->kvs, n, sizeof(*kvs));
        if (!kvs)
                return -ENOMEM;
        rows->kvs = kvs;
        rows->n_allocated = n;
        return 0;
}

int sqlite_rows_add(SqliteRows *rows, const StoreKv *kv) {
        size_t n_bytes = kv->key.n_bytes + kv->value.n_bytes;
        StoreKv copy = *kv;
        char *bytes;

        if (sqlite_rows_grow(rows) < 0)
                return -ENOMEM;
        bytes = malloc(n_bytes + 1);
        if (!bytes)
                return -ENOMEM;

        if (kv->key.n_bytes > 0)
                memcpy(bytes, kv->key.data, kv->key.n_bytes);
        if (kv->value.n_bytes > 0)
                memcpy(bytes + kv->key.n_bytes, kv->value.data, kv->value.n_bytes);
        copy.key.data = bytes;
        copy.value.data = bytes + kv->key.n_bytes;
        rows->kvs[rows->n_kvs++] = copy;
        rows->n_bytes += n_bytes;
        return 0;
}

void sqlite_rows_drop_last(SqliteRows *rows) {
        StoreKv *last = &rows->kvs[--rows->n_kvs];

        rows->n_bytes -= last->key.n_bytes + last->value.n_bytes;
        free((void *)last->key.data);
}

void sqlite_rows_done(SqliteRows *rows) {
        while (rows->n_kvs > 0)
                sqlite_rows_drop_last(rows);
        free(rows->kvs);
        *rows = (SqliteRows){ 0 };
}
