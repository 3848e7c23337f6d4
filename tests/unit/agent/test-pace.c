/* SPDX-License-Identifier: Apache-2.0 */

#include "agent/pace.h"
#include "lib/base/macro.h"
#include "tests/unit/fault.h"

/* Paces: bursts after a rest, one per interval after that, never two in the place of one that was
 * late. */

enum { INTERVAL = 100, BURST = 4 };

/* How often it happens from `from_us` to `to_us` where it is tried every microsecond. */
static unsigned count(Pace *pace, uint64_t from_us, uint64_t to_us) {
        unsigned n = 0;

        for (uint64_t now_us = from_us; now_us <= to_us; now_us++)
                while (pace->due_us <= now_us) {
                        pace_take(pace, now_us, INTERVAL, BURST);
                        n++;
                }
        return n;
}

START_TEST(test_burst_then_one_per_interval) {
        Pace pace = { 0 };

        ck_assert_uint_eq(count(&pace, 10000, 10000), BURST + 1);
        ck_assert_uint_eq(pace.due_us, 10000 + INTERVAL);
        ck_assert_uint_eq(count(&pace, 10001, 10000 + INTERVAL - 1), 0);
        ck_assert_uint_eq(count(&pace, 10000 + INTERVAL, 10000 + 10 * INTERVAL), 10);
}
END_TEST

/* A rest gives back as much as it lasted, and no more than a burst. */
START_TEST(test_rest) {
        Pace pace = { 0 };

        (void)count(&pace, 10000, 10000);
        ck_assert_uint_eq(count(&pace, 10000 + 3 * INTERVAL, 10000 + 3 * INTERVAL), 3);
        ck_assert_uint_eq(count(&pace, 10000 + 100 * INTERVAL, 10000 + 100 * INTERVAL), BURST + 1);
}
END_TEST

/* A clock that begins at zero does not reach below it. */
START_TEST(test_early_clock) {
        Pace pace = { 0 };

        ck_assert_uint_eq(count(&pace, 1, 1), 1);
        ck_assert_uint_eq(pace.due_us, INTERVAL);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_burst_then_one_per_interval, test_rest,
                                       test_early_clock };

        return tests_run("pace", tests, ELEMENTSOF(tests));
}
