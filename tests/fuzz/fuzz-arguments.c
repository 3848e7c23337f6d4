/* SPDX-License-Identifier: Apache-2.0 */

/* The command line and the environment of fleetctl. The input has a word per line; lines up to the
 * first empty one are variables, NAME=VALUE, of which those count that a flag has. Whatever they
 * are, the outcome is a command with options within their limits or a complaint that says
 * something, and arguments that are given after "--" arrive as they were typed.
 */

#include <errno.h>
#include <string.h>

#include "fleetctl/cli.h"
#include "tests/fuzz/fuzz.h"

enum { WORDS_MAX = 256, TIMEOUT_MAX_MS = 24 * 60 * 60 * 1000 };

/* The input, cut at its newlines. */
typedef struct Words {
        char *items[WORDS_MAX];
        size_t n_items;
        size_t n_variables; /* how many come first and are variables */
} Words;

static void words_cut(char *text, Words *words) {
        bool is_environment = true;

        while (text && words->n_items < WORDS_MAX) {
                char *end = strchr(text, '\n');

                if (end)
                        *end++ = '\0';
                if (is_environment && text[0] == '\0') {
                        is_environment = false;
                        words->n_variables = words->n_items;
                } else {
                        words->items[words->n_items++] = text;
                }
                text = end;
        }
        if (is_environment)
                words->n_variables = words->n_items;
}

/* Give each flag that has a variable the first value that the input has for it, or none. The words
 * become part of the environment themselves: what setenv(3) copies is never freed. */
static void environment_set(const Words *words) {
        for (size_t i = 0; i < global_flags.n_flags; i++) {
                char name[FLAG_ENVIRONMENT_BYTES];
                size_t n_bytes;

                if (!global_flags.flags[i].has_environment)
                        continue;
                flag_environment_name(&global_flags.flags[i], name);
                n_bytes = strlen(name);
                (void)unsetenv(name);
                for (size_t v = words->n_variables; v > 0; v--)
                        if (strncmp(words->items[v - 1], name, n_bytes) == 0 &&
                            words->items[v - 1][n_bytes] == '=')
                                (void)putenv(words->items[v - 1]);
        }
}

static void require_options(const Options *options) {
        fuzz_require(options->endpoint && options->driver, "what has a default is there");
        fuzz_require(options->request_timeout_ms > 0 &&
                             options->request_timeout_ms <= TIMEOUT_MAX_MS,
                     "the time-out is within its limits");
        fuzz_require(options->block_attempts.is_given || options->block_attempts.value == 0,
                     "a count that was not given is 0");
}

/* The same arguments, where nothing can be taken for a flag. */
static void require_round_trip(const Cli *cli) {
        _cleanup_(cli_done) Cli again = { 0 };
        char *words[WORDS_MAX + 2] = { (char *)cli->command->name, (char *)"--" };

        for (size_t i = 0; i < cli->args.n_items; i++)
                words[i + 2] = cli->args.items[i];
        fuzz_require(cli_parse(&again, words, cli->args.n_items + 2, NULL) == 0,
                     "arguments after -- are taken");
        fuzz_require(again.command == cli->command, "the command is the same");
        fuzz_require(again.args.n_items == cli->args.n_items, "there are as many arguments");
        for (size_t i = 0; i < cli->args.n_items; i++)
                fuzz_require(streq(again.args.items[i], cli->args.items[i]),
                             "each is as it was typed");
}

static void environment_clear(void) {
        environment_set(&(Words){ 0 });
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        _cleanup_(freep) char *text = fuzz_string(data, n_bytes);
        _cleanup_(cli_done) Cli cli = { 0 };
        Words words = { 0 };
        Diag diag = { 0 };
        int r;

        words_cut(text, &words);
        environment_set(&words);
        r = cli_parse(&cli, words.items + words.n_variables, words.n_items - words.n_variables,
                      &diag);
        environment_clear();
        if (r < 0) {
                fuzz_require(r == -EINVAL && *diag.message, "a refusal has a reason");
                return 0;
        }

        require_options(&cli.options);
        fuzz_require(cli.command || cli.args.n_items == 0,
                     "without a command nothing is an argument");
        if (cli.command)
                require_round_trip(&cli);
        return 0;
}
