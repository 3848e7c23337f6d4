/* SPDX-License-Identifier: Apache-2.0 */

/* Percent-decoding of path segments. */

#include "lib/http/http-server.h"
#include "tests/unit/fault.h"

/* Well-formed segments decode; malformed escapes and an encoded NUL are refused. A plus sign in a
 * path is a plus sign. */
START_TEST(test_path_decode) {
        static const struct {
                const char *segment, *decoded;
        } rows[] = {
                { "", "" },         { "a.service", "a.service" },
                { "a%40b", "a@b" }, { "%41%5a%5A", "AZZ" },
                { "a+b", "a+b" },   { "a%2Fb", "a/b" },
                { "%", NULL },      { "%4", NULL },
                { "a%4", NULL },    { "%4g", NULL },
                { "%g4", NULL },    { "%00", NULL },
                { "%%41", NULL },   { "%c3%a4", "\xc3\xa4" },
                { "x%20", "x " },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                char *decoded = http_path_decode(rows[i].segment, strlen(rows[i].segment));

                ck_assert_msg(decoded && rows[i].decoded ? streq(decoded, rows[i].decoded)
                                                         : !decoded && !rows[i].decoded,
                              "%s: %s", rows[i].segment, decoded ? decoded : "(refused)");
                free(decoded);
        }
}
END_TEST

/* Only the given bytes count. */
START_TEST(test_path_decode_bounds) {
        char *decoded = http_path_decode("ab%41", 3);

        ck_assert_ptr_null(decoded);
        decoded = http_path_decode("ab%41", 2);
        ck_assert_str_eq(decoded, "ab");
        free(decoded);
}
END_TEST

/* The values of a name, in their order; a malformed pair counts as not sent, an empty one is none. */
START_TEST(test_query) {
        static const struct {
                const char *query, *name;
                unsigned index;
                const char *value;
        } rows[] = {
                { NULL, "a", 0, NULL },
                { "", "a", 0, NULL },
                { "a", "a", 0, "" },
                { "a=", "a", 0, "" },
                { "a=1&b=2&a=3", "a", 0, "1" },
                { "a=1&b=2&a=3", "a", 1, "3" },
                { "a=1&b=2&a=3", "a", 2, NULL },
                { "a=b=c", "a", 0, "b=c" },
                { "%61=x+%2b%26", "a", 0, "x +&" },
                { "a=%zz&a=%&a=%00&a=1", "a", 0, "1" },
                { "%00=1&%zz=2", "", 0, NULL },
                { "&&a=1&&", "a", 0, "1" },
                { "&&", "", 0, NULL },
                { "aa=1", "a", 0, NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                char *value = http_query_parameter(rows[i].query, rows[i].name, rows[i].index);

                ck_assert_msg(value && rows[i].value ? streq(value, rows[i].value)
                                                     : !value && !rows[i].value,
                              "row %zu: %s", i, value ? value : "(none)");
                free(value);
        }
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_path_decode, test_path_decode_bounds, test_query };

        return tests_run("http-uri", tests, ELEMENTSOF(tests));
}
