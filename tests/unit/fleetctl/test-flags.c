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
                { { "--tunel", "host" }, "unknown flag: --tunel\nDid you mean this?\n\t--tunnel" },
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
                { { "--request-timeout=never" },
                  "invalid value \"never\" for flag --request-timeout: expected seconds, from "
                  "0.001 "
                  "to a day" },
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

/* Seconds may have a fraction; nobody waits for nothing, for ever, or for what is no number. */
START_TEST(test_seconds) {
        static const struct {
                const char *text;
                int result;
                uint64_t ms;
        } cases[] = {
                { "3", 0, 3000 },        { "0.5", 0, 500 },        { "10.", 0, 10000 },
                { ".25", 0, 250 },       { "86400", 0, 86400000 }, { "", -EINVAL, 7 },
                { "0", -EINVAL, 7 },     { "0.0001", -EINVAL, 7 }, { "86401", -EINVAL, 7 },
                { "-1", -EINVAL, 7 },    { "1e3", -EINVAL, 7 },    { "inf", -EINVAL, 7 },
                { "nan", -EINVAL, 7 },   { "0x10", -EINVAL, 7 },   { "1s", -EINVAL, 7 },
                { "1.2.3", -EINVAL, 7 }, { ".", -EINVAL, 7 },      { " 1", -EINVAL, 7 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *words[] = { "--request-timeout", cases[i].text, NULL };
                _cleanup_(strlist_done) StrList rest = { 0 };
                Options options = { .request_timeout_ms = 7 };

                ck_assert_int_eq(parse(words, &options, &rest, NULL), cases[i].result);
                ck_assert_uint_eq(options.request_timeout_ms, cases[i].ms);
        }
}
END_TEST

/* Every global flag, by its name and by its variable, ends in its field; the old names of the TLS
 * files are the same field. */
START_TEST(test_global_flags) {
        static const struct {
                const char *flag, *variable;
                size_t offset;
        } cases[] = {
                { "--endpoint", "FLEETCTL_ENDPOINT", offsetof(Options, endpoint) },
                { "--driver", "FLEETCTL_DRIVER", offsetof(Options, driver) },
                { "--etcd-key-prefix", "FLEETCTL_ETCD_KEY_PREFIX",
                  offsetof(Options, etcd_key_prefix) },
                { "--ca-file", "FLEETCTL_CA_FILE", offsetof(Options, ca_file) },
                { "--cert-file", "FLEETCTL_CERT_FILE", offsetof(Options, cert_file) },
                { "--key-file", "FLEETCTL_KEY_FILE", offsetof(Options, key_file) },
                { "--etcd-cafile", "FLEETCTL_ETCD_CAFILE", offsetof(Options, ca_file) },
                { "--etcd-certfile", "FLEETCTL_ETCD_CERTFILE", offsetof(Options, cert_file) },
                { "--etcd-keyfile", "FLEETCTL_ETCD_KEYFILE", offsetof(Options, key_file) },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *words[] = { cases[i].flag, "typed", NULL };
                _cleanup_(strlist_done) StrList rest = { 0 };
                Options options = { 0 };
                const char **field = (const char **)((char *)&options + cases[i].offset);

                ck_assert_int_eq(setenv(cases[i].variable, "given", 1), 0);
                flags_read_environment(&global_flags, &options);
                ck_assert_int_eq(unsetenv(cases[i].variable), 0);
                ck_assert_str_eq(*field, "given");
                ck_assert_int_eq(parse(words, &options, &rest, NULL), 0);
                ck_assert_str_eq(*field, "typed");
        }
}
END_TEST

/* What has a default has it, the new name of a variable wins over the old one, and a boolean is set
 * false with "=". */
START_TEST(test_global_values) {
        static const char *const words[] = { "--experimental-api=false", "--debug", NULL };
        _cleanup_(strlist_done) StrList rest = { 0 };
        Options options = { 0 };

        flags_set_defaults(&global_flags, &options);
        ck_assert_str_eq(options.driver, "API");
        ck_assert_uint_eq(options.request_timeout_ms, 3000);
        ck_assert_ptr_null(options.ca_file);

        ck_assert_int_eq(setenv("FLEETCTL_CA_FILE", "new", 1), 0);
        ck_assert_int_eq(setenv("FLEETCTL_ETCD_CAFILE", "old", 1), 0);
        ck_assert_int_eq(setenv("FLEETCTL_REQUEST_TIMEOUT", "1.5", 1), 0);
        ck_assert_int_eq(setenv("FLEETCTL_EXPERIMENTAL_API", "1", 1), 0);
        flags_read_environment(&global_flags, &options);
        ck_assert_int_eq(unsetenv("FLEETCTL_CA_FILE") | unsetenv("FLEETCTL_ETCD_CAFILE") |
                                 unsetenv("FLEETCTL_REQUEST_TIMEOUT") |
                                 unsetenv("FLEETCTL_EXPERIMENTAL_API"),
                         0);
        ck_assert_str_eq(options.ca_file, "new");
        ck_assert_uint_eq(options.request_timeout_ms, 1500);
        ck_assert(options.experimental_api);

        ck_assert_int_eq(parse(words, &options, &rest, NULL), 0);
        ck_assert(!options.experimental_api);
        ck_assert(options.debug);
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
                test_spellings_of_values, test_letters, test_end_of_flags, test_messages,
                test_environment,         test_seconds, test_global_flags, test_global_values,
                test_survives_oom,
        };

        return tests_run("flags", tests, ELEMENTSOF(tests));
}
