/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetctl/expand.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/macro.h"
#include "tests/unit/fault.h"

static char *joined(const StrList *words) {
        Buf text = buf_make(SIZE_MAX / 4);

        for (size_t i = 0; i < words->n_items; i++)
                ck_assert_int_eq(buf_printf(&text, "%s%s", i > 0 ? " " : "", words->items[i]), 0);
        return buf_take_string(&text);
}

/* What a shell makes of them, and what it leaves alone. */
START_TEST(test_braces) {
        static const struct {
                const char *word, *result;
        } cases[] = {
                { "web.service", "web.service" },
                { "", "" },
                { "web@{1..3}", "web@1 web@2 web@3" },
                { "web@{3..1}.service", "web@3.service web@2.service web@1.service" },
                { "{a,b}", "a b" },
                { "x{,y}", "x xy" },
                { "d/{a,b}@{1,2}", "d/a@1 d/a@2 d/b@1 d/b@2" },
                { "{a,b{1..2},c}", "a b1 b2 c" },
                { "{{a,b},c}", "a b c" },
                { "w{08..11}", "w08 w09 w10 w11" },
                { "w{1..03}", "w01 w02 w03" },
                { "{-1..1}", "-1 0 1" },
                { "{a..e..2}", "a c e" },
                { "{9..1..4}", "9 5 1" },
                { "{1..5..-2}", "1 3 5" },
                { "{1..2..0}", "1 2" },
                { "{7..7}", "7" },
                { "{1..2}{a..b}", "1a 1b 2a 2b" },
                { "{x}", "{x}" },
                { "{x{1,2}}", "{x1} {x2}" },
                { "{", "{" },
                { "}{", "}{" },
                { "{}", "{}" },
                { "{a,b", "{a,b" },
                { "{a,{b}", "{a,{b}" },
                { "{a,b}}", "a} b}" },
                { "{1..}", "{1..}" },
                { "{1.3}", "{1.3}" },
                { "{1..a}", "{1..a}" },
                { "{a..Z}", "{a..Z}" },
                { "{1..2..}", "{1..2..}" },
                { "{1..2..3..4}", "{1..2..3..4}" },
                { "{1..99999999999999999999}", "{1..99999999999999999999}" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(strlist_done) StrList words = { 0 };
                _cleanup_(freep) char *result = NULL;

                ck_assert_int_eq(expand_braces(cases[i].word, &words, NULL), 0);
                result = joined(&words);
                ck_assert_str_eq(result, cases[i].result);
        }
}
END_TEST

/* What stands for too much is an error, at once and before it takes memory. */
START_TEST(test_braces_are_limited) {
        static const char *const words[] = {
                "web@{1..1000000000}",
                "web@{0..10000}",
                "{1..999999999999999999}",
                "{-999999999999999999..999999999999999999}",
                "{1..101}{1..100}",
                "{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}",
        };

        for (size_t i = 0; i < ELEMENTSOF(words); i++) {
                _cleanup_(strlist_done) StrList result = { 0 };
                Diag diag = { 0 };

                ck_assert_int_eq(expand_braces(words[i], &result, &diag), -E2BIG);
                ck_assert_ptr_nonnull(strstr(diag.message, "more than 10000 units"));
                ck_assert_uint_le(result.n_items, EXPAND_MAX_WORDS);
        }
}
END_TEST

/* All words of a command count; what is within the limit works. */
START_TEST(test_limit_is_for_the_command) {
        _cleanup_(strlist_done) StrList result = { 0 };

        ck_assert_int_eq(expand_braces("{1..9999}", &result, NULL), 0);
        ck_assert_int_eq(expand_braces("{1..2}", &result, NULL), -E2BIG);
        ck_assert_uint_eq(result.n_items, EXPAND_MAX_WORDS);
}
END_TEST

/* Long words and deep ones are refused, too. */
START_TEST(test_long_words) {
        static char word[EXPAND_MAX_WORD_BYTES + 2], deep[3 * EXPAND_MAX_BRACES + 4];
        _cleanup_(strlist_done) StrList result = { 0 };
        Diag diag = { 0 };

        memset(word, '{', sizeof(word) - 1);
        ck_assert_int_eq(expand_braces(word, &result, &diag), -E2BIG);
        word[EXPAND_MAX_WORD_BYTES] = '\0';
        ck_assert_int_eq(expand_braces(word, &result, NULL), 0);

        for (size_t i = 0; i <= EXPAND_MAX_BRACES; i++)
                memcpy(deep + 3 * i, "{,}", 3);
        ck_assert_int_eq(expand_braces(deep, &result, &diag), -E2BIG);
}
END_TEST

/* As in a shell, but for the type of a unit, which may be left out. */
START_TEST(test_patterns) {
        static const struct {
                const char *pattern, *name;
                bool matches;
        } cases[] = {
                { "*", "a.service", true },
                { "*", "a.timer", true },
                { "web@*", "web@1.service", true },
                { "web@*", "web.service", false },
                { "web@?", "web@1.service", true },
                { "web@?", "web@12.service", false },
                { "web@[12].service", "web@2.service", true },
                { "web@[!12]", "web@2.service", false },
                { "web@[^12]", "web@3.service", true },
                { "*.timer", "a.timer", true },
                { "*.timer", "a.timer.service", false },
                { "dir/sub/we?", "web.service", true },
                { "web*\\x2d1", "web-a\\x2d1.service", true },
                { "[\\]x", "\\x.service", true },
                { "web", "web.service", true },
                { "web", "web.timer", false },
                { "a/web.timer", "web.timer", true },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(unit_pattern_done) UnitPattern pattern = { 0 };

                ck_assert_int_eq(unit_pattern_init(&pattern, cases[i].pattern, NULL), 0);
                ck_assert_msg(unit_pattern_matches(&pattern, cases[i].name) == cases[i].matches,
                              "%s against %s", cases[i].pattern, cases[i].name);
        }
}
END_TEST

/* A word is a pattern by its last part; a folder may be called anything. */
START_TEST(test_what_is_a_pattern) {
        Diag diag = { 0 };
        UnitPattern pattern = { 0 };

        ck_assert(unit_pattern_is_one("a*"));
        ck_assert(unit_pattern_is_one("d/a[1]"));
        ck_assert(!unit_pattern_is_one("d[1]/a"));
        ck_assert(!unit_pattern_is_one("a@1.service"));
        ck_assert_int_eq(unit_pattern_init(&pattern, "web@[1", &diag), -EINVAL);
        ck_assert_str_eq(diag.message, "web@[1: not a pattern: a [ has no ]");
        unit_pattern_done(&pattern);
}
END_TEST

static int run_braces(void *context) {
        _cleanup_(strlist_done) StrList words = { 0 };

        return expand_braces(context, &words, NULL);
}

static int run_pattern(void *context) {
        _cleanup_(unit_pattern_done) UnitPattern pattern = { 0 };

        return unit_pattern_init(&pattern, context, NULL);
}

/* Without memory they fail and leak nothing. */
START_TEST(test_survives_oom) {
        ck_assert_uint_ge(fault_sweep(run_braces, (char[]){ "{a,b}{1..2}" }), 8);
        ck_assert_uint_ge(fault_sweep(run_pattern, (char[]){ "d/web@*" }), 3);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_braces,      test_braces_are_limited, test_limit_is_for_the_command,
                test_long_words,  test_patterns,           test_what_is_a_pattern,
                test_survives_oom
        };

        return tests_run("expand", tests, ELEMENTSOF(tests));
}
