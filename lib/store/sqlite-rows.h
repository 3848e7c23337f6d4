/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Rows that were read from SQLite, as copies: they outlive the statement that read them. */

#include "lib/store/store.h"

/* The rows; zeroed is none. */
typedef struct SqliteRows {
        StoreKv *kvs; /* owned, as is what they name; a deletion has no create revision */
        size_t n_kvs;
        size_t n_allocated;
        size_t n_bytes; /* of all keys and values */
} SqliteRows;

/* Append a copy of a row. Returns 0 or -ENOMEM. */
int sqlite_rows_add(SqliteRows *rows, const StoreKv *kv);

/* Drop the last row, of which there is one. */
void sqlite_rows_drop_last(SqliteRows *rows);

/* Free the rows. */
void sqlite_rows_done(SqliteRows *rows);
