/* SPDX-License-Identifier: Apache-2.0 */

/* Tables as fleet 1.0 printed them (contract section 2.4): a column is as wide as its longest cell
 * and a blank, rounded up to a tab stop, and cells are padded with tabs, so that scripts split
 * lines at tabs and people see columns. Width counts characters of UTF-8, not bytes.
 *
 * Text from unit files and machines ends up here, so control characters become blanks: a cell must
 * not break its line, or speak to the terminal.
 */

#include "fleetctl/table.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "lib/base/macro.h"

enum {
        TAB_WIDTH = 8,
        CELL_MAX_BYTES = 1024 * 1024,
        CELLS_FIRST = 64,
};

void table_done(Table *table) {
        for (size_t i = 0; i < table->n_cells; i++)
                free(table->cells[i]);
        free(table->cells);
        free(table->columns);
        *table = (Table){ 0 };
}

static const Column *column_find(const Column *all, size_t n_all, const char *name,
                                 size_t n_bytes) {
        for (size_t i = 0; i < n_all; i++)
                if (strlen(all[i].name) == n_bytes && memcmp(all[i].name, name, n_bytes) == 0)
                        return &all[i];
        return NULL;
}

static size_t count_fields(const char *fields) {
        size_t n = 1;

        for (; *fields; fields++)
                n += *fields == ',';
        return n;
}

int table_init(Table *table, const Column *all, size_t n_all, const char *fields, Diag *diag) {
        *table = (Table){ 0 };
        if (fields[0] == '\0')
                return diag_set(diag, -EINVAL, "Must define output format");

        table->columns = calloc(count_fields(fields), sizeof(Column *));
        if (!table->columns)
                return -ENOMEM;

        for (const char *field = fields;;) {
                size_t n = strcspn(field, ",");
                const Column *column = column_find(all, n_all, field, n);

                if (!column)
                        return diag_set(diag, -EINVAL, "Invalid key in output format: \"%.*s\"",
                                        (int)n, field);
                table->columns[table->n_columns++] = column;
                if (field[n] == '\0')
                        return 0;
                field += n + 1;
        }
}

bool table_has_column(const Table *table, const char *name) {
        for (size_t i = 0; i < table->n_columns; i++)
                if (streq(table->columns[i]->name, name))
                        return true;
        return false;
}

static int table_reserve(Table *table, size_t n_more) {
        size_t n = table->n_allocated ? table->n_allocated : CELLS_FIRST;
        char **cells;

        if (table->n_cells + n_more <= table->n_allocated)
                return 0;
        while (n < table->n_cells + n_more)
                n *= 2;

        cells = realloc(table->cells, n * sizeof(*cells));
        if (!cells)
                return -ENOMEM;
        table->cells = cells;
        table->n_allocated = n;
        return 0;
}

static int make_cell(const Column *column, const void *row, const void *context, char **ret_cell) {
        _cleanup_(buf_done) Buf cell = buf_make(CELL_MAX_BYTES);
        int r;

        r = column->append(&cell, row, context);
        if (r < 0)
                return r;
        if (cell.n_bytes == 0) {
                r = buf_append_string(&cell, "-");
                if (r < 0)
                        return r;
        }

        for (size_t i = 0; i < cell.n_bytes; i++)
                if (iscntrl((unsigned char)cell.data[i]))
                        cell.data[i] = ' ';
        *ret_cell = buf_take_string(&cell);
        return *ret_cell ? 0 : -ENOMEM;
}

int table_add_row(Table *table, const void *row, const void *context) {
        int r;

        assert(table->n_columns > 0);

        r = table_reserve(table, table->n_columns);
        for (size_t i = 0; r == 0 && i < table->n_columns; i++) {
                r = make_cell(table->columns[i], row, context, &table->cells[table->n_cells]);
                if (r == 0)
                        table->n_cells++;
        }
        return r;
}

/* Characters of UTF-8: bytes that do not continue one (RFC 3629). */
static size_t text_width(const char *text) {
        size_t width = 0;

        for (; *text; text++)
                width += ((unsigned char)*text & 0xC0) != 0x80;
        return width;
}

static size_t column_width(const Table *table, size_t column, bool with_header) {
        size_t longest = with_header ? strlen(table->columns[column]->name) : 0;

        for (size_t i = column; i < table->n_cells; i += table->n_columns) {
                size_t width = text_width(table->cells[i]);

                if (width > longest)
                        longest = width;
        }
        return (longest + TAB_WIDTH) / TAB_WIDTH * TAB_WIDTH;
}

static void print_padding(size_t n_missing, FILE *out) {
        for (size_t n = (n_missing + TAB_WIDTH - 1) / TAB_WIDTH; n > 0; n--)
                (void)fputc('\t', out);
}

static void print_header(const Table *table, const size_t *widths, FILE *out) {
        for (size_t i = 0; i < table->n_columns; i++) {
                const char *name = table->columns[i]->name;

                for (const char *c = name; *c; c++)
                        (void)fputc(toupper((unsigned char)*c), out);
                if (i + 1 < table->n_columns)
                        print_padding(widths[i] - strlen(name), out);
        }
        (void)fputc('\n', out);
}

void table_print(const Table *table, bool with_header, FILE *out) {
        _cleanup_(freep) size_t *widths = calloc(table->n_columns + 1, sizeof(*widths));

        if (!widths)
                return;
        for (size_t i = 0; i < table->n_columns; i++)
                widths[i] = column_width(table, i, with_header);

        if (with_header)
                print_header(table, widths, out);
        for (size_t i = 0; i < table->n_cells; i++) {
                size_t column = i % table->n_columns;

                (void)fputs(table->cells[i], out);
                if (column + 1 < table->n_columns)
                        print_padding(widths[column] - text_width(table->cells[i]), out);
                else
                        (void)fputc('\n', out);
        }
}
