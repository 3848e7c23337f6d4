/* SPDX-License-Identifier: Apache-2.0 */

/* submit: make units known to the cluster, and nothing else. */

#include "fleetctl/bring-up.h"

static int run(Cli *cli) {
        static const BringUp how = {
                .verb = "submit",
                .doing = "creating",
                .target = NULL,
        };

        return bring_up(cli, &how);
}

const Command cmd_submit = {
        .name = "submit",
        .usage = "[--replace] UNIT...",
        .summary = "Make units known to the cluster, without running them",
        .description = "UNIT is the path of a unit file; without a suffix, .service is added. An "
                       "instance such as\n"
                       "web@1.service is made from its own file, or from the template web@.service "
                       "in the\n"
                       "cluster, or from the template's file in the same directory.\n"
                       "\n"
                       "All units are submitted, or none.\n",
        .flags = &submit_flags,
        .args = COMMAND_ARGS_FILES,
        .min_args = 1,
        .max_args = COMMAND_ARGS_ANY,
        .args_message = "No units given",
        .args_exit = EXIT_OK,
        .run = run,
};
