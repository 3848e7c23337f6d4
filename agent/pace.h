/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A pace: something that may happen once per interval on average, and a few times in a row after a
 * rest. Pure. */

#include <stdint.h>

/* The pace; zeroed is rested. */
typedef struct Pace {
        uint64_t due_us; /* the next time is not before */
} Pace;

/* It happens at `now_us`: the next time is due an interval after this one was, and never more than
 * `burst` intervals behind the clock. So after a rest `burst` times and one more may follow each
 * other at once. */
void pace_take(Pace *pace, uint64_t now_us, uint64_t interval_us, unsigned burst);
