/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/base/strlist.h"

#include "lib/base/macro.h"
#include "tests/unit/fault.h"

/* Strings are copied, and stay in the order in which they came. */
START_TEST(test_add_copies_in_order) {
        _cleanup_(strlist_done) StrList list = { 0 };
        char text[] = "first";

        ck_assert_int_eq(strlist_add(&list, text), 0);
        text[0] = 'X';
        ck_assert_int_eq(strlist_add_bytes(&list, "second and more", 6), 0);
        ck_assert_int_eq(strlist_add(&list, ""), 0);

        ck_assert_uint_eq(list.n_items, 3);
        ck_assert_str_eq(list.items[0], "first");
        ck_assert_str_eq(list.items[1], "second");
        ck_assert_str_eq(list.items[2], "");
}
END_TEST

/* A list that was freed is empty and can be used again. */
START_TEST(test_done_empties) {
        _cleanup_(strlist_done) StrList list = { 0 };

        ck_assert_int_eq(strlist_add(&list, "a"), 0);
        strlist_done(&list);
        ck_assert_uint_eq(list.n_items, 0);
        ck_assert_int_eq(strlist_add(&list, "b"), 0);
        ck_assert_str_eq(list.items[0], "b");
}
END_TEST

/* What is removed is gone, and the others stay in their order. */
START_TEST(test_remove) {
        _cleanup_(strlist_done) StrList list = { 0 };

        strlist_remove(&list, "a");
        ck_assert_int_eq(strlist_add(&list, "a"), 0);
        ck_assert_int_eq(strlist_add(&list, "b"), 0);
        ck_assert_int_eq(strlist_add(&list, "c"), 0);
        strlist_remove(&list, "b");
        strlist_remove(&list, "b");
        ck_assert_uint_eq(list.n_items, 2);
        ck_assert_str_eq(list.items[0], "a");
        ck_assert_str_eq(list.items[1], "c");
        strlist_remove(&list, list.items[1]);
        strlist_remove(&list, list.items[0]);
        ck_assert_uint_eq(list.n_items, 0);
}
END_TEST

static int run_add(void *context) {
        _cleanup_(strlist_done) StrList list = { 0 };
        int r = 0;

        (void)context;
        for (size_t i = 0; r == 0 && i < 3; i++) {
                r = strlist_add(&list, "abc");
                fault_assert(list.n_items == (r == 0 ? i + 1 : i));
        }
        return r;
}

/* Without memory nothing is added, and what was there stays. */
START_TEST(test_survives_oom) {
        ck_assert_uint_eq(fault_sweep(run_add, NULL), 6);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_add_copies_in_order, test_done_empties, test_remove,
                                       test_survives_oom };

        return tests_run("strlist", tests, ELEMENTSOF(tests));
}
