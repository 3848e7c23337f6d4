/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/registry/own-writes.h"

#include "lib/base/macro.h"
#include "tests/unit/fault.h"

/* The echo of a commit is its writer's own, whenever it comes. */
START_TEST(test_own) {
        OwnWrites own = { 0 };

        /* After the answer, also when the next commit is in flight. */
        ck_assert(!own_writes_ended(&own, 5));
        ck_assert(!own_writes_told(&own, 5, false));
        ck_assert(!own_writes_ended(&own, 7));
        ck_assert(!own_writes_told(&own, 7, true));

        /* Before the answer, in several parts. */
        ck_assert(!own_writes_told(&own, 9, true));
        ck_assert(!own_writes_told(&own, 9, true));
        ck_assert(!own_writes_ended(&own, 9));
        ck_assert(!own_writes_told(&own, 9, false));
}
END_TEST

/* Somebody else's change is told at once where nothing is in flight, else when that is clear. */
START_TEST(test_foreign) {
        OwnWrites own = { 0 };

        ck_assert(own_writes_told(&own, 3, false));
        ck_assert(!own_writes_told(&own, 4, true));
        ck_assert(own_writes_told(&own, 5, true));
        ck_assert(own_writes_ended(&own, 5));

        /* The commit failed, or nobody knows. */
        ck_assert(!own_writes_told(&own, 6, true));
        ck_assert(own_writes_ended(&own, 0));
        ck_assert(!own_writes_ended(&own, 0));
}
END_TEST

/* What is long past is forgotten: then it looks like somebody else's. */
START_TEST(test_ring) {
        OwnWrites own = { 0 };

        for (int64_t revision = 1; revision <= OWN_WRITES_MAX + 1; revision++)
                ck_assert(!own_writes_ended(&own, revision));
        ck_assert(own_writes_told(&own, 1, false));
        for (int64_t revision = 2; revision <= OWN_WRITES_MAX + 1; revision++)
                ck_assert(!own_writes_told(&own, revision, false));
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_own, test_foreign, test_ring };

        return tests_run("own writes", tests, ELEMENTSOF(tests));
}
