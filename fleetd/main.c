/* SPDX-License-Identifier: Apache-2.0 */

/* fleetd: the daemon of every machine. main() reads arguments, configuration and identity, and
 * leaves the rest to daemon.h. */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fleetd/config.h"
#include "fleetd/daemon.h"
#include "fleetd/identity.h"
#include "fleetd/journal.h"
#include "fleetd/memory.h"
#include "fleetd/runtime.h"
#include "fleetd/store-command.h"
#include "lib/base/log.h"
#include "lib/base/macro.h"

typedef struct Arguments {
        const char *config_path; /* or NULL */
        bool help;
        bool print_config;
        bool version;
} Arguments;

static void print_usage(FILE *file, const char *program) {
        (void)fprintf(file,
                      "Usage: %s [--config FILE]\n"
                      "       %s store SUBCOMMAND\n"
                      "\n"
                      "  --config FILE    read FILE in place of " CONFIG_DEFAULT_PATH "\n"
                      "  --print-config   print a configuration file with every key, its meaning,\n"
                      "                   and its default\n"
                      "  --version        print the version\n"
                      "  --help           print this\n"
                      "  store --help     what can be done to a store by hand\n",
                      program, program);
}

static void print_help(const char *program) {
        print_usage(stdout, program);
        (void)fputs("\nKeys of the configuration; what they mean is in fleet.conf(5) and in what "
                    "--print-config prints.\n"
                    "FLEET_ and a key in capitals is the environment variable that overrides it.\n",
                    stdout);
        config_print_help(stdout);
}

/* Returns 0, or -EINVAL with a message. */
static int parse_arguments(Arguments *ret_arguments, int argc, char **argv, Diag *diag) {
        Arguments arguments = { 0 };

        for (int i = 1; i < argc; i++) {
                if (streq(argv[i], "--config")) {
                        if (i + 1 == argc)
                                return diag_set(diag, -EINVAL, "%s: --config needs a file",
                                                argv[0]);
                        arguments.config_path = argv[++i];
                } else if (strncmp(argv[i], "--config=", 9) == 0)
                        arguments.config_path = argv[i] + 9;
                else if (streq(argv[i], "--version") || (streq(argv[i], "version") && argc == 2))
                        arguments.version = true;
                else if (streq(argv[i], "--help") || streq(argv[i], "-h"))
                        arguments.help = true;
                else if (streq(argv[i], "--print-config"))
                        arguments.print_config = true;
                else if (argv[i][0] == '-')
                        return diag_set(diag, -EINVAL, "%s: there is no option %s", argv[0],
                                        argv[i]);
                else
                        return diag_set(
                                diag, -EINVAL,
                                "%s takes no arguments. Did you mean to invoke fleetctl instead?",
                                argv[0]);
        }

        *ret_arguments = arguments;
        return 0;
}

static int load_config(Config *ret_config, const char *path, Diag *diag) {
        _cleanup_(strlist_done) StrList notices = { 0 };
        int r;

        r = config_load(ret_config, path, environ, &notices, diag);
        if (r < 0)
                return r;

        log_set_max_priority(ret_config->verbosity > 0 ? LOG_DEBUG : LOG_INFO);
        for (size_t i = 0; i < notices.n_items; i++)
                log_line(LOG_NOTICE, "%s", notices.items[i]);
        return 0;
}

/* Is it for want of something that the machine may have again? */
static bool may_pass(int error) {
        static const int wants[] = { -ENOMEM, -EMFILE, -ENFILE, -ENOSPC, -EIO };

        for (size_t i = 0; i < ELEMENTSOF(wants); i++)
                if (error == wants[i])
                        return true;
        return false;
}

static int run(const Arguments *arguments) {
        _cleanup_(config_done) Config config = { 0 };
        _cleanup_(identity_done) Identity identity = { 0 };
        _cleanup_(runtime_done) Runtime runtime = { .lock_fd = -1 };
        Diag diag = { 0 };
        int r;

        journal_log_start();
        r = load_config(&config, arguments->config_path, &diag);
        if (r == 0)
                r = identity_read(&identity, "", &diag);
        if (r == 0)
                r = runtime_open(&runtime, getenv("RUNTIME_DIRECTORY"), &diag);
        if (r < 0) {
                log_line(LOG_ERR, "Cannot start: %s",
                         diag.message[0] ? diag.message : strerror(-r));
                return may_pass(r) ? DAEMON_EXIT_AGAIN : EXIT_FAILURE;
        }
        return daemon_run(&config, arguments->config_path, &identity, &runtime);
}

int main(int argc, char **argv) {
        Arguments arguments = { 0 };
        Diag diag = { 0 };

        if (argc > 1 && streq(argv[1], "store"))
                return store_command_main(argc - 1, argv + 1);

        memory_save();
        if (parse_arguments(&arguments, argc, argv, &diag) < 0) {
                (void)fprintf(stderr, "%s\n", diag.message);
                print_usage(stderr, argv[0]);
                return EXIT_FAILURE;
        }

        if (arguments.help)
                print_help(argv[0]);
        else if (arguments.version)
                (void)puts("fleetd version " FLEET_VERSION);
        else if (arguments.print_config)
                config_print_sample(stdout);
        else
                return run(&arguments);
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
