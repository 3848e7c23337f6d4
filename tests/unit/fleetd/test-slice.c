/* SPDX-License-Identifier: Apache-2.0 */

/* A shorter slice of the processor changes nothing else of how the process is scheduled. */

#include "fleetd/slice.h"

#include <check.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/macro.h"
#include "tests/unit/fault.h"

enum { SLICE_NS = 100 * 1000 };

static struct sched_attr look(void) {
        struct sched_attr found = { 0 };

        ck_assert_int_eq(syscall(SYS_sched_getattr, 0, &found, sizeof(found), 0), 0);
        return found;
}

START_TEST(test_shorten) {
        struct sched_attr before, after;

        ck_assert_int_eq(setpriority(PRIO_PROCESS, 0, 5), 0);
        before = look();
        slice_shorten();
        after = look();
        ck_assert_uint_eq(after.sched_policy, SCHED_NORMAL);
        ck_assert_int_eq(after.sched_nice, 5);

        /* A kernel that knows slices tells them; an older one says 0. */
        ck_assert_uint_eq(after.sched_runtime, before.sched_runtime > 0 ? SLICE_NS : 0);
}
END_TEST

START_TEST(test_other_policy) {
        struct sched_attr batch = look(), before;

        batch.sched_policy = SCHED_BATCH;
        ck_assert_int_eq(syscall(SYS_sched_setattr, 0, &batch, 0), 0);
        before = look();
        slice_shorten();
        ck_assert_uint_eq(look().sched_policy, SCHED_BATCH);
        ck_assert_uint_eq(look().sched_runtime, before.sched_runtime);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_shorten, test_other_policy };

        return tests_run("slice", tests, ELEMENTSOF(tests));
}
