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

int main(void) {
        const TTest *const tests[] = { test_path_decode, test_path_decode_bounds };

        return tests_run("http-uri", tests, ELEMENTSOF(tests));
}
