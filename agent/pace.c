/* SPDX-License-Identifier: Apache-2.0 */

/* Paces: what is due moves on by an interval each time, and lags behind the clock by a burst at
 * most. */

#include "agent/pace.h"

void pace_take(Pace *pace, uint64_t now_us, uint64_t interval_us, unsigned burst) {
        uint64_t rest_us = burst * interval_us;
        uint64_t earliest_us = now_us > rest_us ? now_us - rest_us : 0;

        if (pace->due_us < earliest_us)
                pace->due_us = earliest_us;
        pace->due_us += interval_us;
}
