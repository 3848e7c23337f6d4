/* SPDX-License-Identifier: Apache-2.0 */

/* unload: have units stopped and taken off their machines. The cluster still knows them. */

#include "fleetctl/take-down.h"
#include "fleetctl/wait.h"

static int run(Cli *cli) {
        static const TakeDown how = {
                .verb = "unload",
                .done = "unloaded",
                .target = "inactive",
                .wait_for_globals = true,
        };

        return take_down(cli, &how);
}

const Command cmd_unload = {
        .name = "unload",
        .usage = "[--no-block] [--block-attempts=N] UNIT...",
        .summary = "Stop units, and take them off their machines",
        .description = "The units are stopped, and their files removed from the machines. The "
                       "cluster still\n"
                       "knows them. Waits until they have ended: their ExecStop= lines have run.\n",
        .flags = &wait_flags,
        .args = COMMAND_ARGS_UNITS,
        .min_args = 1,
        .max_args = COMMAND_ARGS_ANY,
        .args_message = "No units given",
        .args_exit = EXIT_OK,
        .run = run,
};
