/* SPDX-License-Identifier: Apache-2.0 */

/* stop: have units stopped where they are, their files left in place. */

#include "fleetctl/take-down.h"
#include "fleetctl/wait.h"

static int run(Cli *cli) {
        static const TakeDown how = {
                .verb = "stop",
                .done = "stopped",
                .target = "loaded",
                .refuse_inactive = true,
                .unplaced_is_done = true,
        };

        return take_down(cli, &how);
}

const Command cmd_stop = {
        .name = "stop",
        .usage = "[--no-block] [--block-attempts=N] UNIT...",
        .summary = "Stop units, leaving them on their machines",
        .description = "The units are stopped, and stay loaded on the machines where they are, so "
                       "that a later\n"
                       "start is quick. Waits until they have ended.\n",
        .flags = &wait_flags,
        .args = COMMAND_ARGS_UNITS,
        .min_args = 1,
        .max_args = COMMAND_ARGS_ANY,
        .args_message = "No units given",
        .args_exit = EXIT_OK,
        .run = run,
};
