/* SPDX-License-Identifier: Apache-2.0 */

/* list-machines: who is in the cluster now. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fleetctl/label.h"
#include "fleetctl/listing.h"
#include "fleetctl/output.h"

enum { HELD_MAX_BYTES = 1024 * 1024 };

/* "missing since 2026-02-03 04:05:06", in local time. */
static int append_since(Buf *cell, uint64_t seconds) {
        time_t at = (time_t)seconds;
        struct tm tm;
        char text[32];

        if (!localtime_r(&at, &tm) || strftime(text, sizeof(text), "%F %T", &tm) == 0)
                return buf_append_string(cell, "missing");
        return buf_printf(cell, "missing since %s", text);
}

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

/* "leaving", or since when it is missing; nothing of one that is there. */
static int append_state(Buf *cell, const void *row, const void *context) {
        const Machine *machine = row;

        (void)context;
        if (machine->missing_since_s > 0)
                return append_since(cell, machine->missing_since_s);
        return listing_append_text(cell, machine->is_leaving ? "leaving" : NULL);
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

/* Machines that are missing and keep their units. */
static int add_missing(Client *client, Page *page, Diag *diag) {
        _cleanup_(brake_record_done) BrakeRecord held = { 0 };
        Machine *all;
        int r;

        r = client_held(client, &held, diag);
        if (r < 0 || held.n_machines == 0)
                return r;

        all = reallocarray(page->machines, page->n_machines + held.n_machines, sizeof(*all));
        if (!all)
                return -ENOMEM;
        page->machines = all;
        for (size_t i = 0; i < held.n_machines; i++) {
                all[page->n_machines++] = held.machines[i];
                held.machines[i] = (Machine){ 0 };
        }
        return 0;
}

/* Who reads the table for machines that are there, and all scripts of old do, finds no others in it.
 * A person is told of them beside it. */
static void tell_held(Cli *cli) {
        _cleanup_(brake_record_done) BrakeRecord held = { 0 };
        _cleanup_(buf_done) Buf text = buf_make(HELD_MAX_BYTES);
        Diag diag = { 0 };

        if (client_held(cli->client, &held, &diag) < 0 || held.n_machines == 0)
                return;

        (void)fprintf(stderr,
                      "\nMissing, %zu, and keep their units, since more than %" PRIu64
                      " vanished at once (eviction_limit):\n",
                      held.n_machines, held.limit);
        for (size_t i = 0; i < held.n_machines; i++) {
                const Machine *machine = &held.machines[i];

                if (label_append(&text, machine->id, machine->primary_ip, cli->options.full) < 0 ||
                    buf_append_string(&text, "\t") < 0 ||
                    append_since(&text, machine->missing_since_s) < 0 ||
                    buf_append_string(&text, "\n") < 0)
                        return;
        }
        (void)fwrite(text.data, 1, text.n_bytes, stderr);
        (void)fprintf(stderr, "They go on where they were when they are back. Units of one that "
                              "will not come back move after: fleetctl evict MACHINE\n");
}

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
                .complete = add_missing,
                .keeps = keeps,
                .tell = tell,
                .complain = complain,
        };

        const char *fields = cli->options.fields;
        int code = listing_run(cli, &listing);
        bool is_json = false;

        (void)output_is_json(&cli->options, &is_json, &(Diag){ 0 });
        if (code == EXIT_OK && !is_json && !cli->options.no_legend &&
            !(fields && strstr(fields, "state")))
                tell_held(cli);
        return code;
}

static const Flag rows[] = {
        { "fields", "LIST", "machine,ip,metadata", "Columns, of: ip, machine, metadata, state",
          offsetof(Options, fields), FLAG_STRING, 0, false },
        { "full", NULL, NULL, "Do not shorten machine IDs", offsetof(Options, full), FLAG_BOOL, 'l',
          false },
        { "no-legend", NULL, NULL, "Leave out the header", offsetof(Options, no_legend), FLAG_BOOL,
          0, false },
        { "metadata", "LIST", NULL,
          "Only machines that have all of these: KEY=VALUE, with commas between",
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
                       "is the beginning of an ID, and restricts the list to those machines. "
                       "Machines that\n"
                       "are missing and keep their units (see evict) are told beside the table, on "
                       "stderr;\n"
                       "they are in the list with -o json, marked by missingSince, and with the "
                       "column state, which also says \"leaving\" of one that leaves the "
                       "cluster.\n",
        .flags = &flags,
        .args = COMMAND_ARGS_MACHINES,
        .max_args = COMMAND_ARGS_ANY,
        .run = run,
};
