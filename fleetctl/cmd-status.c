/* SPDX-License-Identifier: Apache-2.0 */

/* status: what systemd says of units, asked where they are (contract section 3). */

#include "fleetctl/output.h"
#include "fleetctl/remote.h"
#include "fleetctl/status-json.h"
#include "lib/base/macro.h"

/* "--" because the name of a unit may begin with a dash. */
static int words(const Options *options, const char *unit, StrList *words) {
        static const char *const command[] = { "systemctl", "status", "-l", "--" };
        int r = 0;

        (void)options;
        for (size_t i = 0; r == 0 && i < ELEMENTSOF(command); i++)
                r = strlist_add(words, command[i]);
        return r < 0 ? r : strlist_add(words, unit);
}

static int run(Cli *cli) {
        static const RemoteCommand command = {
                .words = words,
                .not_there = "loaded",
        };
        bool is_json;
        Diag diag = { 0 };
        int r;

        r = output_is_json(&cli->options, &is_json, &diag);
        if (r < 0)
                return cli_fail_usage(cli, r, &diag);
        return is_json ? status_print_json(cli) : remote_run_all(cli, &command);
}

static const Flag rows[] = {
        { "machine", "ID", NULL, "Only on the machine whose ID begins so, for global units",
          offsetof(Options, machine), FLAG_STRING, 0, false },
        SSH_PORT_FLAG,
        { "output", "FORMAT", "table",
          "How to print: table is systemctl's own, json is what the cluster knows, without asking "
          "systemctl",
          offsetof(Options, format), FLAG_STRING, 'o', false },
};
static const FlagTable flags = { rows, ELEMENTSOF(rows) };

const Command cmd_status = {
        .name = "status",
        .usage = "[--machine=ID] [--ssh-port=PORT] [-o json] UNIT...",
        .summary = "Show what systemd says of units, wherever they run",
        .description =
                "Runs 'systemctl status -l' on the machine of each unit: here, or over SSH. For a "
                "global unit it\n"
                "is run on every machine that has the unit, headed by the machine. Of a unit that "
                "is on no\n"
                "machine the reason is told.\n\n"
                "Ends with systemctl's exit code (3 for a unit that is not active), with 1 for a "
                "unit that does\n"
                "not exist or is on no machine, with 255 when there is no SSH connection.\n",
        .flags = &flags,
        .args = COMMAND_ARGS_UNITS,
        .max_args = COMMAND_ARGS_ANY,
        .run = run,
};
