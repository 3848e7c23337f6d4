/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/base/diag.h"

#include <errno.h>
#include <string.h>

#include "lib/base/macro.h"
#include "tests/unit/fault.h"

/* Setting returns the code, and replaces the message. */
START_TEST(test_set) {
        Diag diag = { 0 };

        ck_assert_int_eq(diag_set(&diag, -EINVAL, "first"), -EINVAL);
        ck_assert_int_eq(diag_set(&diag, -EBADMSG, "unit %s is %d", "a", 7), -EBADMSG);
        ck_assert_str_eq(diag.message, "unit a is 7");
}
END_TEST

/* Wrapping puts context in front, outermost first. */
START_TEST(test_wrap) {
        Diag diag = { 0 };

        (void)diag_set(&diag, -EINVAL, "no such key");
        ck_assert_int_eq(diag_wrap(&diag, -EINVAL, "line %d", 3), -EINVAL);
        ck_assert_int_eq(diag_wrap(&diag, -EBADMSG, "file"), -EBADMSG);
        ck_assert_str_eq(diag.message, "file: line 3: no such key");
}
END_TEST

/* Who wants no message passes NULL and gets the code all the same. */
START_TEST(test_null) {
        ck_assert_int_eq(diag_set(NULL, -EINVAL, "x"), -EINVAL);
        ck_assert_int_eq(diag_wrap(NULL, -EIO, "x"), -EIO);
}
END_TEST

/* A message that is too long is cut and stays a string, also when only its context is. */
START_TEST(test_long_text_is_cut) {
        char text[2 * sizeof(((Diag *)0)->message)];
        Diag diag = { 0 };

        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';

        (void)diag_set(&diag, -EINVAL, "%s", text);
        ck_assert_uint_eq(strlen(diag.message), sizeof(diag.message) - 1);
        (void)diag_wrap(&diag, -EINVAL, "front");
        ck_assert_uint_eq(strlen(diag.message), sizeof(diag.message) - 1);
        ck_assert_int_eq(strncmp(diag.message, "front: xxx", 10), 0);
        (void)diag_wrap(&diag, -EINVAL, "%s", text);
        ck_assert_uint_eq(strlen(diag.message), sizeof(diag.message) - 1);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_set, test_wrap, test_null, test_long_text_is_cut };

        return tests_run("diag", tests, ELEMENTSOF(tests));
}
