/* SPDX-License-Identifier: Apache-2.0 */

/* list-unit-files: the units that the cluster knows, what is wanted of each, and where it is. */

#include <stdio.h>

#include "fleetctl/found.h"
#include "fleetctl/listing.h"

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

static int run(Cli *cli) {
        static const Listing listing = {
                .kind = LIST_UNITS,
                .columns = columns,
                .n_columns = ELEMENTSOF(columns),
                .row_bytes = sizeof(Unit),
                .compare = listing_compare_units,
                .machine_columns = { "target", "tmachine" },
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
};
static const FlagTable flags = { rows, ELEMENTSOF(rows) };

const Command cmd_list_unit_files = {
        .name = "list-unit-files",
        .usage = "[--fields=LIST] [-l] [--no-legend]",
        .summary = "List the units that the cluster knows",
        .description = "A row for each unit: what is wanted of it (DSTATE), how far it has come "
                       "(STATE), and on which\n"
                       "machine it is (TARGET). --fields=unit,dstate,state,why tells why one is "
                       "not where it should\n"
                       "be.\n",
        .flags = &flags,
        .max_args = COMMAND_ARGS_ANY,
        .run = run,
};
