/* SPDX-License-Identifier: Apache-2.0 */

/* Lists: read all pages, drop what the filter does not let through, sort, print. The machines are
 * read only for a column that shows an address, and searched by bisection. Everything is fetched
 * before anything is printed, so a list is whole or absent.
 */

#include "fleetctl/listing.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fleetctl/label.h"
#include "fleetctl/output.h"
#include "lib/unit/unit-file.h"

enum {
        JSON_MAX_BYTES = 1024 * 1024 * 1024, /* units with their contents */
        REASONS_MAX = 10,                    /* told after a table */
};

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

/* --- what is shown --- */

static void row_done(ListKind kind, void *row) {
        switch (kind) {
        case LIST_UNITS:
                unit_done(row);
                break;
        case LIST_STATES:
                unit_state_done(row);
                break;
        case LIST_MACHINES:
                machine_done(row);
                break;
        }
}

static void page_set_n_rows(Page *page, ListKind kind, size_t n_rows) {
        size_t *n = kind == LIST_UNITS    ? &page->n_units
                    : kind == LIST_STATES ? &page->n_states
                                          : &page->n_machines;

        *n = n_rows;
}

/* Drop the rows that the filter does not let through, and sort the others. */
static void page_select(const Listing *listing, const Filter *filter, Page *page) {
        size_t n_rows, n_kept = 0;
        void *rows;

        page_rows(page, listing->kind, &rows, &n_rows);
        for (size_t i = 0; i < n_rows; i++) {
                char *row = (char *)rows + i * listing->row_bytes;

                if (listing->keeps(filter, row))
                        memmove((char *)rows + n_kept++ * listing->row_bytes, row,
                                listing->row_bytes);
                else
                        row_done(listing->kind, row);
        }
        page_set_n_rows(page, listing->kind, n_kept);
        if (n_kept > 0)
                qsort(rows, n_kept, listing->row_bytes, listing->compare);
}

/* One invocation of a list command. */
typedef struct Run {
        const Cli *cli;         /* borrowed */
        const Listing *listing; /* borrowed */
        Client *client;         /* borrowed; NULL until it is needed */
        Filter filter;
        bool is_json;
        bool is_complete; /* rows that the server's list lacks are shown, too */
} Run;

static void run_done(Run *run) {
        filter_done(&run->filter);
}

static int fetch(const Run *run, Page *page, Diag *diag) {
        int r;

        r = client_list(run->client, run->listing->kind, page, diag);
        if (r == 0 && run->is_complete && run->listing->complete)
                r = run->listing->complete(run->client, page, diag);
        if (r == 0)
                page_select(run->listing, &run->filter, page);
        return r;
}

/* --- as JSON --- */

static int print_json(const Run *run, Diag *diag) {
        _cleanup_(page_done) Page page = { 0 };
        _cleanup_(buf_done) Buf text = buf_make(JSON_MAX_BYTES);
        int r;

        r = fetch(run, &page, diag);
        if (r == 0)
                r = page_encode_array(&page, &text);
        if (r < 0)
                return r;

        (void)fwrite(text.data, 1, text.n_bytes, stdout);
        (void)putchar('\n');
        return 0;
}

/* --- as a table --- */

static int fill(const Run *run, const Page *machines, Page *page, Table *table) {
        const ListContext context = { .machines = machines, .full = run->cli->options.full };
        size_t n_rows;
        void *rows;
        int r = 0;

        page_rows(page, run->listing->kind, &rows, &n_rows);
        for (size_t i = 0; r == 0 && i < n_rows; i++)
                r = table_add_row(table, (char *)rows + i * run->listing->row_bytes, &context);
        return r;
}

/* What a person at a terminal wants to know next, once for each unit and reason; a program asks for
 * the column. */
static void tell_reasons(const Run *run, Page *page) {
        size_t n_rows, n_told = 0, n_more = 0;
        void *rows;

        page_rows(page, run->listing->kind, &rows, &n_rows);
        for (size_t i = 0; i < n_rows; i++) {
                const char *name;
                const char *why = run->listing->tell((char *)rows + i * run->listing->row_bytes,
                                                     &name);

                if (why && n_told == REASONS_MAX)
                        n_more++;
                else if (why)
                        (void)printf("%s%s: %s\n", n_told++ ? "" : "\n", name, why);
        }
        if (n_more > 0)
                (void)printf("... and %zu more: --fields=%s\n", n_more,
                             run->listing->kind == LIST_MACHINES ? "machine,state" : "unit,why");
}

static int print_table(const Run *run, Table *table, Diag *diag) {
        _cleanup_(page_done) Page page = { 0 }, machines = { 0 };
        const bool legend = !run->cli->options.no_legend;
        int r;

        r = fetch(run, &page, diag);
        if (r == 0 && needs_machines(run->listing, table))
                r = client_list(run->client, LIST_MACHINES, &machines, diag);
        if (r < 0)
                return r;

        if (machines.n_machines > 0)
                qsort(machines.machines, machines.n_machines, sizeof(Machine),
                      listing_compare_machines);
        r = fill(run, &machines, &page, table);
        if (r < 0)
                return r;

        table_print(table, legend, stdout);
        if (run->listing->tell && legend && isatty(STDOUT_FILENO) &&
            !table_has_column(table, "why"))
                tell_reasons(run, &page);
        return 0;
}

int listing_run(Cli *cli, const Listing *listing) {
        _cleanup_(table_done) Table table = { 0 };
        _cleanup_(run_done) Run run = { .cli = cli, .listing = listing };
        Diag diag = { 0 };
        int r;

        r = output_is_json(&cli->options, &run.is_json, &diag);
        if (r == 0)
                r = listing->init_filter(&run.filter, &cli->options, &cli->args, &diag);
        if (r < 0)
                return cli_fail_usage(cli, r, &diag);

        r = table_init(&table, listing->columns, listing->n_columns, cli->options.fields, &diag);
        if (r < 0)
                return cli_fail("%s", diag.message[0] ? diag.message : strerror(-r));

        r = cli_client(cli, &run.client);
        if (r < 0)
                return EXIT_FAILED;
        run.is_complete = run.is_json || table_has_column(&table, "state");

        r = run.is_json ? print_json(&run, &diag) : print_table(&run, &table, &diag);
        return r < 0 ? listing->complain(r, &diag) : EXIT_OK;
}
