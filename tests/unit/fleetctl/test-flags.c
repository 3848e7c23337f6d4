/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetctl/flags.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/macro.h"
#include "tests/unit/fault.h"

static const Flag rows[] = {
        { "full", NULL, NULL, "x", offsetof(Options, full), FLAG_BOOL, 'l', false },
        { "fields", "LIST", "a,b", "x", offsetof(Options, fields), FLAG_STRING, 0, false },
        { "block-attempts", "N", NULL, "x", offsetof(Options, block_attempts), FLAG_COUNT, 0,
          false },
        { "no-legend", NULL, NULL, "x", offsetof(Options, no_legend), FLAG_BOOL, 0, false },
        { "sign", NULL, NULL, NULL, offsetof(Options, sign), FLAG_BOOL, 0, false },
};
static const FlagTable table = { rows, ELEMENTSOF(rows) };

/* Parse up to seven words, NULL-terminated. */
static int parse(const char *const *words, Options *options, StrList *ret_words, Diag *diag) {
        const FlagTable *tables[] = { &table, &global_flags };
        FlagParse parse = { .tables = tables, .n_tables = 2, .words = (char *const *)words };
        size_t n_taken;

        while (words[parse.n_words])
                parse.n_words++;
        return flags_parse(&parse, options, ret_words, &n_taken, diag);
}

/* A value may follow as a word or after "=", a boolean takes only "=", and flags and words mix. */
START_TEST(test_spellings_of_values) {
        static const char *const words[] = {
                "a",     "--fields",           "unit", "--full", "--no-legend=false",
                "false", "--block-attempts=7", NULL
        };
        _cleanup_(strlist_done) StrList rest = { 0 };
        Options options = { .no_legend = true };

        ck_assert_int_eq(parse(words, &options, &rest, NULL), 0);
        ck_assert_str_eq(options.fields, "unit");
        ck_assert(options.full);
        ck_assert(!options.no_legend);
        ck_assert(options.block_attempts.is_given);
        ck_assert_uint_eq(options.block_attempts.value, 7);
        ck_assert_uint_eq(rest.n_items, 2);
        ck_assert_str_eq(rest.items[0], "a");
        ck_assert_str_eq(rest.items[1], "false");
}
END_TEST

/* A letter works with one dash and with two; a long name only with two. */
START_TEST(test_letters) {
        static const struct {
                const char *word;
                int result;
        } cases[] = { { "-l", 0 },          { "--l", 0 },      { "--full", 0 },
                      { "-full", -EINVAL }, { "-x", -EINVAL }, { "-ll", -EINVAL } };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *words[] = { cases[i].word, NULL };
                _cleanup_(strlist_done) StrList rest = { 0 };
                Options options = { 0 };

                ck_assert_int_eq(parse(words, &options, &rest, NULL), cases[i].result);
                ck_assert_int_eq(options.full, cases[i].result == 0);
        }
}
END_TEST

/* After "--" everything is a word; a lone dash always is one. */
START_TEST(test_end_of_flags) {
        static const char *const words[] = { "-", "--", "--full", "--", NULL };
        _cleanup_(strlist_done) StrList rest = { 0 };
        Options options = { 0 };

        ck_assert_int_eq(parse(words, &options, &rest, NULL), 0);
        ck_assert(!options.full);
        ck_assert_uint_eq(rest.n_items, 3);
        ck_assert_str_eq(rest.items[1], "--full");
        ck_assert_str_eq(rest.items[2], "--");
}
END_TEST

/* What is wrong is named, and what was probably meant is offered, except what help hides. */
START_TEST(test_messages) {
        static const struct {
                const char *words[3];
                const char *message;
        } cases[] = {
                { { "--ful" }, "unknown flag: --ful\nDid you mean this?\n\t--full" },
                { { "--feilds=x" }, "unknown flag: --feilds\nDid you mean this?\n\t--fields" },
                { { "--sing" }, "unknown flag: --sing" },
                { { "--tunnel", "host" }, "unknown flag: --tunnel" },
                { { "--fields" }, "flag --fields needs a value: --fields=LIST" },
                { { "--full=maybe" },
                  "invalid value \"maybe\" for flag --full: expected true or false" },
                { { "--block-attempts", "-1" },
                  "invalid value \"-1\" for flag --block-attempts: expected a whole number of 0 or "
                  "more" },
                { { "--block-attempts=1x" },
                  "invalid value \"1x\" for flag --block-attempts: expected a whole number of 0 or "
                  "more" },
                { { "--block-attempts=99999999999999999999" },
                  "invalid value \"99999999999999999999\" for flag --block-attempts: expected a "
                  "whole number of 0 "
                  "or more" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(strlist_done) StrList rest = { 0 };
                Options options = { 0 };
                Diag diag = { 0 };

                ck_assert_int_eq(parse(cases[i].words, &options, &rest, &diag), -EINVAL);
                ck_assert_str_eq(diag.message, cases[i].message);
        }
}
END_TEST

/* The environment gives a value unless it is empty or makes no sense; the default is then kept. */
START_TEST(test_environment) {
        Options options = { 0 };

        ck_assert_int_eq(setenv("FLEETCTL_ENDPOINT", "", 1), 0);
        ck_assert_int_eq(setenv("FLEETCTL_DEBUG", "perhaps", 1), 0);
        flags_set_defaults(&global_flags, &options);
        flags_read_environment(&global_flags, &options);
        ck_assert_str_eq(options.endpoint, "unix:///var/run/fleet.sock");
        ck_assert(!options.debug);

        ck_assert_int_eq(setenv("FLEETCTL_ENDPOINT", "http://h:1", 1), 0);
        ck_assert_int_eq(setenv("FLEETCTL_DEBUG", "1", 1), 0);
        flags_read_environment(&global_flags, &options);
        ck_assert_str_eq(options.endpoint, "http://h:1");
        ck_assert(options.debug);
        ck_assert_int_eq(unsetenv("FLEETCTL_ENDPOINT") | unsetenv("FLEETCTL_DEBUG"), 0);

        /* A variable of that name is somebody's note, not a wish to see the version for ever. */
        ck_assert_int_eq(setenv("FLEETCTL_VERSION", "1", 1), 0);
        flags_read_environment(&global_flags, &options);
        ck_assert(!options.version);
        ck_assert_int_eq(unsetenv("FLEETCTL_VERSION"), 0);
}
END_TEST

static int run_parse(void *context) {
        static const char *const words[] = { "a", "--full", "b", "--fields=x", "c", NULL };
        _cleanup_(strlist_done) StrList rest = { 0 };
        Options options = { 0 };

        (void)context;
        return parse(words, &options, &rest, NULL);
}

/* Without memory it fails and leaks nothing. */
START_TEST(test_survives_oom) {
        ck_assert_uint_ge(fault_sweep(run_parse, NULL), 3);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_spellings_of_values, test_letters,      test_end_of_flags, test_messages,
                test_environment,         test_survives_oom,
        };

        return tests_run("flags", tests, ELEMENTSOF(tests));
}
