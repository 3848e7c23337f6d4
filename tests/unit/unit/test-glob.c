/* SPDX-License-Identifier: Apache-2.0 */

#include <string.h>

#include "lib/base/macro.h"
#include "lib/unit/unit-name.h"
#include "tests/unit/fault.h"

/* A pattern, a string, and whether they match. */
typedef struct Row {
        const char *pattern;
        const char *string;
        bool matches;
} Row;

static const Row rows[] = {
        { "", "", true },
        { "", "a", false },
        { "a", "", false },
        { "abc", "abc", true },
        { "abc", "abcd", false },
        { "abcd", "abc", false },
        { "*", "", true },
        { "*", "anything@1.service", true },
        { "*", "a/b", false },
        { "**", "ab", true },
        { "web@*.service", "web@1.service", true },
        { "web@*.service", "web@.service", true },
        { "web@*.service", "xweb@1.service", false },
        { "web@*.service", "web@1.servicex", false },
        { "*.service", "a.service.service", true },
        { "*a*b*c", "xxaxxbxxc", true },
        { "*a*b*c", "xxaxxcxxb", false },
        { "a*/b", "aaa/b", true },
        { "a*/b", "aa/a/b", false },
        { "*/b*", "a/bc", true },
        { "*\\/", "ab/", true },
        { "?", "a", true },
        { "?", "", false },
        { "?", "/", false },
        { "a?c", "abc", true },
        { "[abc]", "b", true },
        { "[abc]", "d", false },
        { "[a-c]x", "bx", true },
        { "[a-c]x", "dx", false },
        { "[^a-c]", "d", true },
        { "[^a-c]", "b", false },
        { "[^a]", "", false },
        { "[a\\-c]", "-", true },
        { "[a\\-c]", "b", false },
        { "[\\]]", "]", true },
        { "[\\^a]", "^", true },
        { "[a^]", "^", true },
        { "x[0-9]*.service", "x1y.service", true },
        { "\\*", "*", true },
        { "\\*", "a", false },
        { "\\a", "a", true },
        { "a\\\\b", "a\\b", true },
        { "[a-\xc3\xa9]", "b", true }, /* a range up to a character that is no ASCII */
        { "[\xc3\xa9]", "e", false },
};

/* The pattern language is the contract's. */
START_TEST(test_matches) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                ck_assert_msg(unit_glob_matches(rows[i].pattern, rows[i].string) == rows[i].matches,
                              "\"%s\" on \"%s\"", rows[i].pattern, rows[i].string);
}
END_TEST

/* A malformed pattern matches nothing, also where what is malformed would not be reached, or the
 * string is the pattern. */
START_TEST(test_malformed) {
        static const char *const patterns[] = { "[",    "[a",   "[]",    "[^]",  "[]a]", "[a-]",
                                                "[-a]", "a\\",  "[a\\",  "*[",   "b[",   "[a-]]",
                                                "[^",   "a*\\", "[--0]", "[^-a]" };

        for (size_t i = 0; i < ELEMENTSOF(patterns); i++) {
                ck_assert(!unit_glob_matches(patterns[i], patterns[i]));
                ck_assert(!unit_glob_matches(patterns[i], "a"));
                ck_assert(!unit_glob_matches(patterns[i], "-"));
                ck_assert(!unit_glob_matches(patterns[i], ""));
        }
}
END_TEST

/* Many stars do not make it slow: a backtracking matcher would need longer than the universe has.
 */
START_TEST(test_stars_stay_cheap) {
        char pattern[401], string[1001];

        for (size_t i = 0; i < 400; i += 2)
                memcpy(pattern + i, "*a", 2);
        pattern[399] = 'b';
        pattern[400] = '\0';
        memset(string, 'a', 1000);
        string[1000] = '\0';

        ck_assert(!unit_glob_matches(pattern, string));
        string[999] = 'b';
        ck_assert(unit_glob_matches(pattern, string));
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_matches, test_malformed, test_stars_stay_cheap };

        return tests_run("glob", tests, ELEMENTSOF(tests));
}
