/* SPDX-License-Identifier: Apache-2.0 */

/* The names of the three states, as the API, the records and fleetctl write them. One table serves
 * both directions; the names are fixed by contract section 1, and are compared with their case.
 */

#include "lib/model/job-state.h"

#include <assert.h>

#include "lib/base/macro.h"

static const char *const names[_JOB_STATE_MAX] = {
        [JOB_STATE_INACTIVE] = "inactive",
        [JOB_STATE_LOADED] = "loaded",
        [JOB_STATE_LAUNCHED] = "launched",
};

const char *job_state_to_string(JobState state) {
        assert(state >= 0 && state < _JOB_STATE_MAX);

        return names[state];
}

JobState job_state_from_string(const char *string) {
        for (JobState state = 0; state < _JOB_STATE_MAX; state++)
                if (streq(names[state], string))
                        return state;
        return _JOB_STATE_INVALID;
}
