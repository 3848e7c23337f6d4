/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Tables of text with columns that the user picks (contract section 2.4). */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "lib/base/buf.h"
#include "lib/base/diag.h"
#include "lib/base/strlist.h"

/* One column that a table can have. */
typedef struct Column {
        const char *name; /* as in --fields; the header has it in capitals */
        int (*append)(Buf *cell, const void *row,
                      const void *context); /* one cell's text; nothing becomes "-". buf_append()'s
                                               errors */
} Column;

/* A table being filled. Made by table_init(). */
typedef struct Table {
        const Column **columns; /* owned array of borrowed rows, as picked */
        size_t n_columns;
        char **cells; /* owned, row by row */
        size_t n_cells;
        size_t n_allocated;
} Table;

/* Pick columns of `all` by the comma-separated `fields`. Returns 0, -ENOMEM, or -EINVAL with the
 * contract's message for an empty or unknown field. The caller calls table_done(). */
int table_init(Table *table, const Column *all, size_t n_all, const char *fields, Diag *diag);

/* Free everything; empty afterwards. */
void table_done(Table *table);

/* Is this column picked? */
bool table_has_column(const Table *table, const char *name);

/* Append a row. `row` and `context` are passed to the columns. Returns 0 or -ENOMEM. */
int table_add_row(Table *table, const void *row, const void *context);

/* Print it: cells padded with tabs to the next multiple of 8 columns, the last one bare. */
void table_print(const Table *table, bool with_header, FILE *out);
