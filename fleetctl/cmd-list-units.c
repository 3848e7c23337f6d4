/* SPDX-License-Identifier: Apache-2.0 */

/* list-units: what each machine's systemd says of the units there, a row for each pair. */

#include "fleetctl/listing.h"
#include "fleetctl/output.h"

static int append_active(Buf *cell, const void *row, const void *context) {
        (void)context;
        return listing_append_text(cell, ((const UnitState *)row)->active);
}

static int append_hash(Buf *cell, const void *row, const void *context) {
        return listing_append_hash(cell, ((const UnitState *)row)->hash, context);
}

static int append_load(Buf *cell, const void *row, const void *context) {
        (void)context;
        return listing_append_text(cell, ((const UnitState *)row)->load);
}

static int append_machine(Buf *cell, const void *row, const void *context) {
        return listing_append_machine(cell, ((const UnitState *)row)->machine_id, context);
}

static int append_sub(Buf *cell, const void *row, const void *context) {
        (void)context;
        return listing_append_text(cell, ((const UnitState *)row)->sub);
}

static int append_unit(Buf *cell, const void *row, const void *context) {
        (void)context;
        return listing_append_text(cell, ((const UnitState *)row)->name);
}

static int append_why(Buf *cell, const void *row, const void *context) {
        (void)context;
        return listing_append_text(cell, ((const UnitState *)row)->why);
}

static const Column columns[] = {
        { "active", append_active },   { "hash", append_hash }, { "load", append_load },
        { "machine", append_machine }, { "sub", append_sub },   { "unit", append_unit },
        { "why", append_why },
};

static bool keeps(const Filter *filter, const void *row) {
        return filter_keeps_state(filter, row);
}

static const char *tell(const void *row, const char **ret_name) {
        *ret_name = ((const UnitState *)row)->name;
        return ((const UnitState *)row)->why;
}

static int run(Cli *cli) {
        static const Listing listing = {
                .kind = LIST_STATES,
                .columns = columns,
                .n_columns = ELEMENTSOF(columns),
                .row_bytes = sizeof(UnitState),
                .compare = listing_compare_states,
                .machine_columns = { "machine" },
                .init_filter = filter_init_units,
                .keeps = keeps,
                .tell = tell,
                .complain = listing_complain_units,
        };

        return listing_run(cli, &listing);
}

static const Flag rows[] = {
        { "fields", "LIST", "unit,machine,active,sub",
          "Columns, of: active, hash, load, machine, sub, unit, why", offsetof(Options, fields),
          FLAG_STRING, 0, false },
        { "full", NULL, NULL, "Do not shorten machine IDs and hashes", offsetof(Options, full),
          FLAG_BOOL, 'l', false },
        { "no-legend", NULL, NULL, "Leave out the header", offsetof(Options, no_legend), FLAG_BOOL,
          0, false },
        { "state", "LIST", NULL,
          "Only those with one of these as load, active or sub state: failed,activating",
          offsetof(Options, state), FLAG_STRING, 0, false },
        { "machine", "LIST", NULL, "Only those on these machines: the beginnings of their IDs",
          offsetof(Options, machine), FLAG_STRING, 0, false },
        OUTPUT_FLAG,
};
static const FlagTable flags = { rows, ELEMENTSOF(rows) };

const Command cmd_list_units = {
        .name = "list-units",
        .usage = "[--fields=LIST] [-l] [--no-legend] [-o json] [--state=LIST] [--machine=LIST] "
                 "[UNIT...]",
        .summary = "List the units that are on machines, and how they are",
        .description = "A row for each unit on each machine, with what systemd says of it there. "
                       "Units that are on no\n"
                       "machine are shown by list-unit-files. UNIT restricts the list to units of "
                       "that name, or that\n"
                       "match a pattern like 'web@*'.\n",
        .flags = &flags,
        .args = COMMAND_ARGS_UNITS,
        .max_args = COMMAND_ARGS_ANY,
        .run = run,
};
