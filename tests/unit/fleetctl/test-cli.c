/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetctl/cli.h"

#include <errno.h>
#include <string.h>

#include "lib/base/macro.h"
#include "tests/unit/fault.h"

static int parse(const char *const *words, Cli *cli, Diag *diag) {
        size_t n = 0;

        while (words[n])
                n++;
        return cli_parse(cli, (char *const *)words, n, diag);
}

/* Global flags stand before or after the command, a command's own only after. */
START_TEST(test_place_of_flags) {
        static const struct {
                const char *words[6];
                int result;
        } cases[] = {
                { { "--endpoint", "http://h:1", "list-units", "-l" }, 0 },
                { { "list-units", "--endpoint=http://h:1", "-l" }, 0 },
                { { "list-units", "-l", "--endpoint", "http://h:1" }, 0 },
                { { "-l", "list-units" }, -EINVAL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(cli_done) Cli cli = { 0 };

                ck_assert_int_eq(parse(cases[i].words, &cli, NULL), cases[i].result);
                if (cases[i].result < 0)
                        continue;
                ck_assert_ptr_eq(cli.command, &cmd_list_units);
                ck_assert(cli.options.full);
                ck_assert_str_eq(cli.options.endpoint, "http://h:1");
                ck_assert_uint_eq(cli.args.n_items, 0);
        }
}
END_TEST

/* Words after the command are its arguments, also when they are names of commands. */
START_TEST(test_arguments) {
        static const char *const words[] = { "start", "--no-block", "stop", "x", NULL };
        _cleanup_(cli_done) Cli cli = { 0 };

        ck_assert_int_eq(parse(words, &cli, NULL), 0);
        ck_assert_ptr_eq(cli.command, &cmd_start);
        ck_assert(cli.options.no_block);
        ck_assert_uint_eq(cli.args.n_items, 2);
        ck_assert_str_eq(cli.args.items[0], "stop");
}
END_TEST

/* Nothing, or only flags, is no error: help or the version follows. */
START_TEST(test_no_command) {
        static const char *const none[] = { NULL }, *const help[] = { "-h", NULL },
                                 *const version[] = { "--version", NULL };
        Cli cli = { 0 };

        ck_assert_int_eq(parse(none, &cli, NULL), 0);
        ck_assert_ptr_null(cli.command);
        ck_assert_int_eq(parse(help, &cli, NULL), 0);
        ck_assert(cli.options.help);
        ck_assert_int_eq(parse(version, &cli, NULL), 0);
        ck_assert(cli.options.version);
}
END_TEST

/* An unknown command is named, with those that are near: by their beginning or by a typing error.
 */
START_TEST(test_unknown_command) {
        static const struct {
                const char *word;
                const char *message;
        } cases[] = {
                { "strat",
                  "unknown command \"strat\" for \"fleetctl\"\nDid you mean this?\n\tstart" },
                { "list-un", "unknown command \"list-un\" for \"fleetctl\"\nDid you mean "
                             "this?\n\tlist-units\n\tlist-unit-files" },
                { "xyzzy", "unknown command \"xyzzy\" for \"fleetctl\"" },
                { "", "unknown command \"\" for \"fleetctl\"" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *words[] = { cases[i].word, NULL };
                _cleanup_(cli_done) Cli cli = { 0 };
                Diag diag = { 0 };

                ck_assert_int_eq(parse(words, &cli, &diag), -EINVAL);
                ck_assert_str_eq(diag.message, cases[i].message);
        }
}
END_TEST

/* Every row is complete: it can be found, helps, and complains when it is called with too few
 * arguments. */
START_TEST(test_rows_are_complete) {
        ck_assert_uint_eq(n_commands, 20);
        for (size_t i = 0; i < n_commands; i++) {
                const Command *command = commands[i];

                ck_assert_ptr_eq(command_find(command->name), command);
                ck_assert_ptr_nonnull(command->usage);
                ck_assert_uint_gt(strlen(command->summary), 10);
                ck_assert_int_eq(command->description[strlen(command->description) - 1], '\n');
                ck_assert_ptr_nonnull(command->run);
                ck_assert_uint_le(command->min_args, command->max_args);
                ck_assert(command->args_message ||
                          (command->min_args == 0 && command->max_args == COMMAND_ARGS_ANY));
                for (size_t f = 0; command->flags && f < command->flags->n_flags; f++)
                        ck_assert_int_eq(command->flags->flags[f].kind == FLAG_BOOL,
                                         !command->flags->flags[f].metavar);
        }
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_place_of_flags,  test_arguments,         test_no_command,
                test_unknown_command, test_rows_are_complete,
        };

        return tests_run("cli", tests, ELEMENTSOF(tests));
}
