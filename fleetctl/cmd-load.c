/* SPDX-License-Identifier: Apache-2.0 */

/* load: have units placed and given to systemd, not started. A unit that runs is stopped by it. */

#include "fleetctl/bring-up.h"

static int run(Cli *cli) {
        static const BringUp how = {
                .verb = "load",
                .doing = "loading",
                .target = "loaded",
        };

        return bring_up(cli, &how);
}

const Command cmd_load = {
        .name = "load",
        .usage = "[--no-block] [--block-attempts=N] [--replace] UNIT...",
        .summary = "Place units on machines, without starting them",
        .description = "Units that the cluster does not know yet are submitted first ('fleetctl "
                       "help submit').\n"
                       "Then a machine is found for each, and its systemd is given the unit file. "
                       "A unit that\n"
                       "runs is stopped, and stays where it is.\n"
                       "\n"
                       "Waits until that is done, or says why it cannot be.\n",
        .flags = &bring_up_flags,
        .args = COMMAND_ARGS_FILES,
        .min_args = 1,
        .max_args = COMMAND_ARGS_ANY,
        .args_message = "No units given",
        .args_exit = EXIT_OK,
        .run = run,
};
