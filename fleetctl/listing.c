/* SPDX-License-Identifier: Apache-2.0 */

/* Lists: read all pages, sort, render. The machines are read only for a column that shows an
 * address, and searched by bisection. Everything is fetched before anything is printed, so a list
 * is whole or absent.
 */

#include "fleetctl/listing.h"

#include <assert.h>
#include <string.h>

#include "fleetctl/label.h"
#include "lib/unit/unit-file.h"

static int compare_text(const char *a, const char *b) {
        return strcmp(a ? a : "", b ? b : "");
}

int listing_compare_machines(const void *a, const void *b) {
        const Machine *left = a, *right = b;

        return compare_text(left->id, right->id);
}

int listing_compare_units(const void *a, const void *b) {
        const Unit *left = a, *right = b;

        return compare_text(left->name, right->name);
}

int listing_compare_states(const void *a, const void *b) {
        const UnitState *left = a, *right = b;
        int order = compare_text(left->name, right->name);

        return order ? order : compare_text(left->machine_id, right->machine_id);
}

static const char *find_address(const Page *machines, const char *machine_id) {
        const Machine key = { .id = (char *)machine_id };
        const Machine *found;

        if (machines->n_machines == 0)
                return NULL;
        found = bsearch(&key, machines->machines, machines->n_machines, sizeof(key),
                        listing_compare_machines);
        return found ? found->primary_ip : NULL;
}

int listing_append_machine(Buf *cell, const char *machine_id, const ListContext *context) {
        if (!machine_id)
                return 0;
        return label_append(cell, machine_id, find_address(context->machines, machine_id),
                            context->full);
}

int listing_append_hash(Buf *cell, const char *hash, const ListContext *context) {
        if (!hash)
                return 0;
        return buf_printf(cell, "%.*s", context->full ? UNIT_HASH_BYTES - 1 : UNIT_HASH_SHORT,
                          hash);
}

int listing_append_text(Buf *cell, const char *text) {
        return text ? buf_append_string(cell, text) : 0;
}

int listing_complain_units(int error, const Diag *diag) {
        return cli_fail_because("Error retrieving list of units from repository", error, diag);
}

static bool needs_machines(const Listing *listing, const Table *table) {
        for (size_t i = 0; i < ELEMENTSOF(listing->machine_columns); i++)
                if (listing->machine_columns[i] &&
                    table_has_column(table, listing->machine_columns[i]))
                        return true;
        return false;
}

/* The rows of a page of this kind. */
static void page_rows(Page *page, ListKind kind, void **ret_rows, size_t *ret_n_rows) {
        *ret_rows = kind == LIST_UNITS    ? (void *)page->units
                    : kind == LIST_STATES ? (void *)page->states
                                          : (void *)page->machines;
        *ret_n_rows = kind == LIST_UNITS    ? page->n_units
                      : kind == LIST_STATES ? page->n_states
                                            : page->n_machines;
}

static int fill(const Listing *listing, const ListContext *context, Page *page, Table *table) {
        size_t n_rows;
        void *rows;
        int r = 0;

        page_rows(page, listing->kind, &rows, &n_rows);
        if (n_rows > 0)
                qsort(rows, n_rows, listing->row_bytes, listing->compare);
        for (size_t i = 0; r == 0 && i < n_rows; i++)
                r = table_add_row(table, (char *)rows + i * listing->row_bytes, context);
        return r;
}

static int fetch_and_fill(Client *client, const Listing *listing, bool full, Table *table,
                          Diag *diag) {
        _cleanup_(page_done) Page page = { 0 }, machines = { 0 };
        const ListContext context = { .machines = &machines, .full = full };
        int r;

        r = client_list(client, listing->kind, &page, diag);
        if (r == 0 && needs_machines(listing, table))
                r = client_list(client, LIST_MACHINES, &machines, diag);
        if (r < 0)
                return r;

        if (machines.n_machines > 0)
                qsort(machines.machines, machines.n_machines, sizeof(Machine),
                      listing_compare_machines);
        return fill(listing, &context, &page, table);
}

int listing_run(Cli *cli, const Listing *listing) {
        _cleanup_(table_done) Table table = { 0 };
        Diag diag = { 0 };
        Client *client;
        int r;

        r = table_init(&table, listing->columns, listing->n_columns, cli->options.fields, &diag);
        if (r < 0)
                return cli_fail("%s", diag.message[0] ? diag.message : strerror(-r));

        r = cli_client(cli, &client);
        if (r < 0)
                return EXIT_FAILED;

        r = fetch_and_fill(client, listing, cli->options.full, &table, &diag);
        if (r < 0)
                return listing->complain(r, &diag);

        table_print(&table, !cli->options.no_legend, stdout);
        return EXIT_OK;
}
