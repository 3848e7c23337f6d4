/* SPDX-License-Identifier: Apache-2.0 */

/* version, and --version. */

#include <stdio.h>

#include "fleetctl/cli.h"

static int run(Cli *cli) {
        (void)cli;
        (void)puts("fleetctl version " FLEET_VERSION);
        return EXIT_OK;
}

const Command cmd_version = {
        .name = "version",
        .usage = "",
        .summary = "Show the version of fleetctl",
        .description = "Shows the version of this program, without asking the cluster.\n",
        .max_args = COMMAND_ARGS_ANY,
        .run = run,
};
