/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The three states of fleet (contract section 1): what a user desires of a unit, and how far its
 * machine has come. */

#include <errno.h>

/* In the order in which a unit goes through them. */
typedef enum JobState {
        JOB_STATE_INACTIVE, /* known, on no machine */
        JOB_STATE_LOADED,   /* on a machine, given to systemd, not started */
        JOB_STATE_LAUNCHED, /* started once */
        _JOB_STATE_MAX,
        _JOB_STATE_INVALID = -EINVAL,
} JobState;

/* "inactive", "loaded" or "launched". */
const char *job_state_to_string(JobState state);

/* The state of that name, or _JOB_STATE_INVALID. */
JobState job_state_from_string(const char *string);
