/* SPDX-License-Identifier: Apache-2.0 */

/* fleetctl: the admin's end of a fleet cluster. main() decides between a command, a help text and a
 * complaint; what each command does stands in cmd-*.c, how it reaches the cluster in client.h.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fleetctl/ask.h"
#include "fleetctl/cli.h"
#include "fleetctl/help.h"
#include "lib/base/env.h"
#include "lib/base/log.h"
#include "lib/base/macro.h"

static int run(Cli *cli) {
        const Command *command = cli->command;

        if (cli->options.version)
                command = command_find("version");
        else if (!command)
                command = command_find("help");

        if (cli->options.help && cli->command) {
                help_print_command(cli->command);
                return EXIT_OK;
        }

        if (cli->args.n_items < command->min_args || cli->args.n_items > command->max_args) {
                (void)cli_fail("%s", command->args_message);
                return command->args_exit;
        }
        return command->run(cli);
}

/* A full disk or a closed pipe must not look like success. */
static int flush_output(int code) {
        if (fflush(stdout) == 0 && !ferror(stdout))
                return code;
        return cli_fail("Error writing output: %s", strerror(errno));
}

/* Where a standard descriptor was closed the connection to fleet would get its number, and our
 * output with it. Reading is all that can be done with what stands in for it, so output fails. */
static int keep_standard_fds(void) {
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != fd)
                        return -1;
        return 0;
}

/* Log lines begin with the time, as fleet 1.0's did (contract section 2.4). */
static void log_with_time(int priority, const LogSubject *subject, const char *text) {
        time_t now = (time_t)(env_wall_us(env_system()) / US_PER_S);
        char stamp[32];
        struct tm local;

        if (localtime_r(&now, &local) &&
            strftime(stamp, sizeof(stamp), "%Y/%m/%d %H:%M:%S ", &local) > 0)
                (void)fputs(stamp, stderr);
        log_to_stderr(priority, subject, text);
}

int main(int argc, char **argv) {
        _cleanup_(cli_done) Cli cli = { 0 };
        Diag diag = { 0 };
        int r;

        if (argc > 0 && ask_is_helper(argv[0]))
                return ask_help(argv);
        if (keep_standard_fds() < 0)
                return cli_fail("Error opening /dev/null: %s", strerror(errno));

        log_set_sink(log_with_time);
        r = cli_parse(&cli, argv + 1, argc > 0 ? (size_t)argc - 1 : 0, &diag);
        if (r < 0)
                return cli_fail_usage(&cli, r, &diag);

        log_set_max_priority(cli.options.debug ? LOG_DEBUG : LOG_INFO);
        return flush_output(run(&cli));
}
