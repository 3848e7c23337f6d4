/* SPDX-License-Identifier: Apache-2.0 */

/* start: have units run. Also how a unit that died is started again. */

#include "fleetctl/bring-up.h"

static int run(Cli *cli) {
        static const BringUp how = {
                .verb = "start",
                .doing = "starting",
                .target = "launched",
        };

        return bring_up(cli, &how);
}

const Command cmd_start = {
        .name = "start",
        .usage = "[--no-block] [--block-attempts=N] [--replace] UNIT...",
        .summary = "Start units, and wait until they run",
        .description =
                "Units that the cluster does not know yet are submitted first ('fleetctl help "
                "submit').\n"
                "Then a machine is found for each, and its systemd starts it. A unit that died or\n"
                "failed is started again.\n"
                "\n"
                "Waits until each is active, or has finished well; says why if it fails. A unit "
                "that fits\n"
                "no machine is reported with the reason, and given up 2 seconds later, unless\n"
                "--block-attempts says how long to wait. The cluster goes on looking for a "
                "machine.\n",
        .flags = &bring_up_flags,
        .args = COMMAND_ARGS_FILES,
        .min_args = 1,
        .max_args = COMMAND_ARGS_ANY,
        .args_message = "No units given",
        .args_exit = EXIT_OK,
        .run = run,
};
