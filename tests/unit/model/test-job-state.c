/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/model/job-state.h"

#include "lib/base/macro.h"
#include "tests/unit/fault.h"

/* Every state has its name, and the name leads back to it. */
START_TEST(test_round_trip) {
        ck_assert_str_eq(job_state_to_string(JOB_STATE_INACTIVE), "inactive");
        ck_assert_str_eq(job_state_to_string(JOB_STATE_LOADED), "loaded");
        ck_assert_str_eq(job_state_to_string(JOB_STATE_LAUNCHED), "launched");
        for (JobState state = 0; state < _JOB_STATE_MAX; state++)
                ck_assert_int_eq(job_state_from_string(job_state_to_string(state)), state);
}
END_TEST

/* Anything else is no state. */
START_TEST(test_others) {
        ck_assert_int_eq(job_state_from_string(""), _JOB_STATE_INVALID);
        ck_assert_int_eq(job_state_from_string("Launched"), _JOB_STATE_INVALID);
        ck_assert_int_eq(job_state_from_string("launched "), _JOB_STATE_INVALID);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_round_trip, test_others };

        return tests_run("job-state", tests, ELEMENTSOF(tests));
}
