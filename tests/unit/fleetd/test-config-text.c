/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetd/config-text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/buf.h"
#include "tests/unit/fault.h"

/* Writes down what it is told as "LINE:KEY=<VALUE>;". A key "stop" ends the reading. */
static int on_assignment(const char *key, const char *value, unsigned line, void *userdata,
                         Diag *diag) {
        if (streq(key, "stop"))
                return diag_set(diag, -EINVAL, "told to stop");
        return buf_printf(userdata, "%u:%s=<%s>;", line, key, value);
}

static int parse(const char *text, size_t n_bytes, Buf *seen, Diag *diag) {
        char copy[512] = "";

        memcpy(copy, text, n_bytes);
        return config_text_parse("f.conf", copy, n_bytes, on_assignment, seen, diag);
}

/* Keys and values come out as they were written, with the numbers of their lines; comments and
 * empty lines do not. */
START_TEST(test_form) {
        static const struct {
                const char *text, *seen;
        } rows[] = {
                { "", "" },
                { "a=b", "1:a=<b>;" },
                { "a=b\n", "1:a=<b>;" },
                { "\n\n a = b c \n", "3:a=<b c>;" },
                { "# x=y\n; x=y\n  # x=y\na=1\r\n", "4:a=<1>;" },
                { "a='b c'\nd=\"e f\"\n", "1:a=<b c>;2:d=<e f>;" },
                { "a=' b '", "1:a=< b >;" },
                { "a=", "1:a=<>;" },
                { "a=''", "1:a=<>;" },
                { "a=\"it's\"", "1:a=<it's>;" },
                { "a=k=v,l=w", "1:a=<k=v,l=w>;" },
                { "a=b # no comment", "1:a=<b # no comment>;" },
                { "a=[\"http://x:1\", \"http://y:2\"]", "1:a=<[\"http://x:1\", \"http://y:2\"]>;" },
                { "a=b'c", "1:a=<b'c>;" },
                { "a=c:\\n", "1:a=<c:\\n>;" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(buf_done) Buf seen = buf_make(1000);

                ck_assert_int_eq(parse(rows[i].text, strlen(rows[i].text), &seen, NULL), 0);
                ck_assert_str_eq(seen.data ? seen.data : "", rows[i].seen);
        }
}
END_TEST

/* A line that makes no sense is named with its number, and what follows is not read. */
START_TEST(test_errors_name_the_line) {
        static const struct {
                const char *text, *message;
        } rows[] = {
                { "a=1\n\nnonsense\n", "f.conf:3: \"nonsense\" is no KEY=VALUE" },
                { "[fleet]\n", "f.conf:1: \"[fleet]\" begins a section; this file has none, every "
                               "key stands by itself" },
                { "\n=x\n", "f.conf:2: there is no key before \"=\"" },
                { "a='b\n", "f.conf:1: a: the quote that the value begins with must close at its "
                            "end, and only there" },
                { "a=\"b\" c\n", "f.conf:1: a: the quote that the value begins with must close at "
                                 "its end, and only there" },
                { "a='b'c'\n", "f.conf:1: a: the quote that the value begins with must close at "
                               "its end, and only there" },
                { "a='\n", "f.conf:1: a: the quote that the value begins with must close at its "
                           "end, and only there" },
                { "a=1\nstop=1\nb=2\n", "f.conf:2: told to stop" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(buf_done) Buf seen = buf_make(1000);
                Diag diag = { 0 };

                ck_assert_int_eq(parse(rows[i].text, strlen(rows[i].text), &seen, &diag), -EINVAL);
                ck_assert_str_eq(diag.message, rows[i].message);
                ck_assert(!seen.data || !strstr(seen.data, "b=<2>"));
        }
}
END_TEST

/* A file that is not text is refused, rather than read up to its first NUL. */
START_TEST(test_nul_is_refused) {
        _cleanup_(buf_done) Buf seen = buf_make(1000);
        Diag diag = { 0 };

        ck_assert_int_eq(parse("a=1\nb=\0\nc=3\n", 12, &seen, &diag), -EINVAL);
        ck_assert_str_eq(diag.message, "f.conf:2: the line holds a NUL byte; this is no text");
        ck_assert_str_eq(seen.data, "1:a=<1>;");
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_form, test_errors_name_the_line, test_nul_is_refused };

        return tests_run("config-text", tests, ELEMENTSOF(tests));
}
