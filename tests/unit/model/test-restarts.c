/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/model/restarts.h"

#include <errno.h>
#include <stdio.h>

#include "lib/base/macro.h"
#include "tests/unit/fault.h"

/* Entries are found by machine, whatever the order in which they came, and the last word counts. */
START_TEST(test_set_and_get) {
        _cleanup_(restarts_done) Restarts restarts = { 0 };

        ck_assert_uint_eq(restarts_get(&restarts, "a"), 0);
        ck_assert_int_eq(restarts_set(&restarts, "c", 3), 0);
        ck_assert_int_eq(restarts_set(&restarts, "a", 1), 0);
        ck_assert_int_eq(restarts_set(&restarts, "b", 2), 0);
        ck_assert_int_eq(restarts_set(&restarts, "a", 4), 0);
        ck_assert_uint_eq(restarts.n_entries, 3);
        ck_assert_str_eq(restarts.entries[0].machine, "a");
        ck_assert_uint_eq(restarts_get(&restarts, "a"), 4);
        ck_assert_uint_eq(restarts_get(&restarts, "b"), 2);
        ck_assert_uint_eq(restarts_get(&restarts, "c"), 3);
        ck_assert_uint_eq(restarts_get(&restarts, "d"), 0);
}
END_TEST

/* The list does not grow beyond its limit: the oldest request goes. */
START_TEST(test_limit) {
        _cleanup_(restarts_done) Restarts restarts = { 0 };
        char machine[16];

        for (unsigned i = 0; i < RESTARTS_MAX + 2; i++) {
                (void)snprintf(machine, sizeof(machine), "m%03u", 999 - i);
                ck_assert_int_eq(restarts_set(&restarts, machine, 10 + i), 0);
        }
        ck_assert_uint_eq(restarts.n_entries, RESTARTS_MAX);
        ck_assert_uint_eq(restarts_get(&restarts, "m999"), 0);
        ck_assert_uint_eq(restarts_get(&restarts, "m998"), 0);
        ck_assert_uint_eq(restarts_get(&restarts, "m997"), 12);

        ck_assert_int_eq(restarts_set(&restarts, "old", 1), 0);
        ck_assert_uint_eq(restarts_get(&restarts, "old"), 0);
        ck_assert_uint_eq(restarts.n_entries, RESTARTS_MAX);
}
END_TEST

static int run_copy(void *context) {
        _cleanup_(restarts_done) Restarts restarts = { 0 }, copy = { 0 };
        int r;

        (void)context;
        r = restarts_set(&restarts, "a", 1);
        if (r == 0)
                r = restarts_set(&restarts, "b", 2);
        if (r == 0)
                r = restarts_copy(&restarts, &copy);
        fault_assert(r < 0 || restarts_get(&copy, "b") == 2);
        return r;
}

/* Without memory nothing is left behind. */
START_TEST(test_survives_oom) {
        ck_assert_uint_gt(fault_sweep(run_copy, NULL), 4);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_set_and_get, test_limit, test_survives_oom };

        return tests_run("restarts", tests, ELEMENTSOF(tests));
}
