/* SPDX-License-Identifier: Apache-2.0 */

/* list-machines: who is in the cluster now. */

#include "fleetctl/label.h"
#include "fleetctl/listing.h"
#include "fleetctl/output.h"

static int append_ip(Buf *cell, const void *row, const void *context) {
        (void)context;
        return listing_append_text(cell, ((const Machine *)row)->primary_ip);
}

static int append_machine(Buf *cell, const void *row, const void *context) {
        const Machine *machine = row;
        const ListContext *list = context;

        return machine->id ? label_append_id(cell, machine->id, list->full) : 0;
}

/* Metadata is sorted by key as it is. */
static int append_metadata(Buf *cell, const void *row, const void *context) {
        const Metadata *metadata = &((const Machine *)row)->metadata;
        int r = 0;

        (void)context;
        for (size_t i = 0; r == 0 && i < metadata->n_entries; i++)
                r = buf_printf(cell, "%s%s=%s", i > 0 ? "," : "", metadata->entries[i].key,
                               metadata->entries[i].value);
        return r;
}

static int append_state(Buf *cell, const void *row, const void *context) {
        (void)context;
        return listing_append_text(cell, ((const Machine *)row)->is_leaving ? "leaving" : NULL);
}

static const char *tell(const void *row, const char **ret_name) {
        const Machine *machine = row;

        *ret_name = machine->id;
        return machine->is_leaving ? "leaves the cluster; its units move to other machines" : NULL;
}

static const Column columns[] = {
        { "ip", append_ip },
        { "machine", append_machine },
        { "metadata", append_metadata },
        { "state", append_state },
};

static bool keeps(const Filter *filter, const void *row) {
        return filter_keeps_machine(filter, row);
}

static int complain(int error, const Diag *diag) {
        (void)cli_fail("Error retrieving list of active machines from fleet API (%s)",
                       diag->message[0] ? diag->message : strerror(-error));
        (void)cli_fail("Possible issues:");
        (void)cli_fail("  etcd is unhealthy and/or lost quorum");
        return cli_fail("  connection cannot be established to any etcd servers");
}

static int run(Cli *cli) {
        static const Listing listing = {
                .kind = LIST_MACHINES,
                .columns = columns,
                .n_columns = ELEMENTSOF(columns),
                .row_bytes = sizeof(Machine),
                .compare = listing_compare_machines,
                .init_filter = filter_init_machines,
                .keeps = keeps,
                .tell = tell,
                .complain = complain,
        };

        return listing_run(cli, &listing);
}

static const Flag rows[] = {
        { "fields", "LIST", "machine,ip,metadata", "Columns, of: ip, machine, metadata, state",
          offsetof(Options, fields), FLAG_STRING, 0, false },
        { "full", NULL, NULL, "Do not shorten machine IDs", offsetof(Options, full), FLAG_BOOL, 'l',
          false },
        { "no-legend", NULL, NULL, "Leave out the header", offsetof(Options, no_legend), FLAG_BOOL,
          0, false },
        { "metadata", "LIST", NULL, "Only machines that have all of these: KEY=VALUE,...",
          offsetof(Options, metadata), FLAG_STRING, 0, false },
        OUTPUT_FLAG,
};
static const FlagTable flags = { rows, ELEMENTSOF(rows) };

const Command cmd_list_machines = {
        .name = "list-machines",
        .usage = "[--fields=LIST] [-l] [--no-legend] [-o json] [--metadata=KEY=VALUE,...] "
                 "[MACHINE...]",
        .summary = "List the machines of the cluster",
        .description = "A row for each machine whose fleetd is alive, with its address and its "
                       "metadata. MACHINE\n"
                       "is the beginning of an ID, and restricts the list to those machines. The "
                       "state of one\n"
                       "that leaves the cluster is leaving.\n",
        .flags = &flags,
        .args = COMMAND_ARGS_MACHINES,
        .max_args = COMMAND_ARGS_ANY,
        .run = run,
};
