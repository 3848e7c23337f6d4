/* SPDX-License-Identifier: Apache-2.0 */

/* list-unit-files: the units that the cluster knows, what is wanted of each, and where it is. */

#include <errno.h>

#include "fleetctl/found.h"
#include "fleetctl/listing.h"
#include "fleetctl/output.h"
#include "lib/model/job-state.h"

static int append_desc(Buf *cell, const void *row, const void *context) {
        const Unit *unit = row;

        (void)context;
        return unit->options ? listing_append_text(
                                       cell, unit_file_get(unit->options, "Unit", "Description"))
                             : 0;
}

static int append_dstate(Buf *cell, const void *row, const void *context) {
        (void)context;
        return listing_append_text(cell, ((const Unit *)row)->desired_state);
}

static int append_global(Buf *cell, const void *row, const void *context) {
        bool is_global;
        int r = found_is_global(row, &is_global);

        (void)context;
        return r < 0 ? r : buf_append_string(cell, is_global ? "true" : "false");
}

static int append_hash(Buf *cell, const void *row, const void *context) {
        const Unit *unit = row;
        char hash[UNIT_HASH_BYTES];
        int r;

        if (!unit->options)
                return 0;
        r = unit_file_hash(unit->options, hash);
        return r < 0 ? r : listing_append_hash(cell, hash, context);
}

static int append_state(Buf *cell, const void *row, const void *context) {
        bool is_global;
        int r = found_is_global(row, &is_global);

        (void)context;
        if (r < 0 || is_global)
                return r;
        return listing_append_text(cell, ((const Unit *)row)->current_state);
}

static int append_target(Buf *cell, const void *row, const void *context) {
        bool is_global;
        int r = found_is_global(row, &is_global);

        if (r < 0)
                return r;
        if (is_global)
                return buf_append_string(cell, "global");
        return listing_append_machine(cell, ((const Unit *)row)->machine_id, context);
}

static int append_unit(Buf *cell, const void *row, const void *context) {
        (void)context;
        return listing_append_text(cell, ((const Unit *)row)->name);
}

static int append_why(Buf *cell, const void *row, const void *context) {
        (void)context;
        return listing_append_text(cell, ((const Unit *)row)->why);
}

static const Column columns[] = {
        { "desc", append_desc },       { "dstate", append_dstate }, { "global", append_global },
        { "hash", append_hash },       { "state", append_state },   { "target", append_target },
        { "tmachine", append_target }, { "unit", append_unit },     { "why", append_why },
};

/* Fields name whole words: "tmachine" is part of no other. */
static void warn_deprecated(const char *fields) {
        if (strstr(fields, "tmachine"))
                (void)cli_fail(
                        "WARNING: The \"tmachine\" field is deprecated. Use \"target\" instead");
}

/* Units have fleet's states; a mistyped one would only make an empty list. */
static int check_states(const StrList *states, Diag *diag) {
        for (size_t i = 0; i < states->n_items; i++)
                if (job_state_from_string(states->items[i]) < 0)
                        return diag_set(diag, -EINVAL,
                                        "%.100s is no state of a unit: expected inactive, loaded "
                                        "or launched",
                                        states->items[i]);
        return 0;
}

static int init_filter(Filter *filter, const Options *options, const StrList *words, Diag *diag) {
        int r;

        r = filter_init_units(filter, options, words, diag);
        if (r == 0)
                r = check_states(&filter->states, diag);
        return r < 0 ? r : check_states(&filter->desired, diag);
}

static bool keeps(const Filter *filter, const void *row) {
        return filter_keeps_unit(filter, row);
}

static const char *tell(const void *row, const char **ret_name) {
        *ret_name = ((const Unit *)row)->name;
        return ((const Unit *)row)->why;
}

static int run(Cli *cli) {
        static const Listing listing = {
                .kind = LIST_UNITS,
                .columns = columns,
                .n_columns = ELEMENTSOF(columns),
                .row_bytes = sizeof(Unit),
                .compare = listing_compare_units,
                .machine_columns = { "target", "tmachine" },
                .init_filter = init_filter,
                .keeps = keeps,
                .tell = tell,
                .complain = listing_complain_units,
        };

        warn_deprecated(cli->options.fields);
        return listing_run(cli, &listing);
}

static const Flag rows[] = {
        { "fields", "LIST", "unit,hash,dstate,state,target",
          "Columns, of: desc, dstate, global, hash, state, target, unit, why",
          offsetof(Options, fields), FLAG_STRING, 0, false },
        { "full", NULL, NULL, "Do not shorten machine IDs and hashes", offsetof(Options, full),
          FLAG_BOOL, 'l', false },
        { "no-legend", NULL, NULL, "Leave out the header", offsetof(Options, no_legend), FLAG_BOOL,
          0, false },
        { "state", "LIST", NULL,
          "Only those that have come so far: inactive, loaded, launched; global units have not",
          offsetof(Options, state), FLAG_STRING, 0, false },
        { "dstate", "LIST", NULL, "Only those of which this is wanted: inactive, loaded, launched",
          offsetof(Options, dstate), FLAG_STRING, 0, false },
        { "machine", "LIST", NULL, "Only those on these machines: the beginnings of their IDs",
          offsetof(Options, machine), FLAG_STRING, 0, false },
        OUTPUT_FLAG,
};
static const FlagTable flags = { rows, ELEMENTSOF(rows) };

const Command cmd_list_unit_files = {
        .name = "list-unit-files",
        .usage = "[--fields=LIST] [-l] [--no-legend] [-o json] [--state=LIST] [--dstate=LIST] "
                 "[--machine=LIST] [UNIT...]",
        .summary = "List the units that the cluster knows",
        .description = "A row for each unit: what is wanted of it (DSTATE), how far it has come "
                       "(STATE), and on which\n"
                       "machine it is (TARGET). --fields=unit,dstate,state,why tells why one is "
                       "not where it should\n"
                       "be. UNIT restricts the list to units of that name, or that match a "
                       "pattern like 'web@*'.\n",
        .flags = &flags,
        .args = COMMAND_ARGS_UNITS,
        .max_args = COMMAND_ARGS_ANY,
        .run = run,
};
