/* SPDX-License-Identifier: Apache-2.0 */

/* help, --help, and fleetctl without a command. */

#include "fleetctl/cli.h"
#include "fleetctl/help.h"

static int run(Cli *cli) {
        const Command *command;
        Diag diag = { 0 };

        if (cli->args.n_items == 0) {
                help_print_all();
                return EXIT_OK;
        }

        command = command_find(cli->args.items[0]);
        if (!command) {
                cli->command = NULL;
                return cli_fail_usage(cli, cli_unknown_command(cli->args.items[0], &diag), &diag);
        }
        help_print_command(command);
        return EXIT_OK;
}

const Command cmd_help = {
        .name = "help",
        .usage = "[COMMAND]",
        .summary = "Show all commands, or one in detail",
        .description = "Without COMMAND, lists all commands and global options.\n",
        .args = COMMAND_ARGS_COMMANDS,
        .max_args = 1,
        .args_message = "At most one command can be explained at a time",
        .args_exit = EXIT_USAGE,
        .run = run,
};
