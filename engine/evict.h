/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* When the loss of machines is a failure of something that they share, and not of the machines: the
 * decision, as pure functions (docs/design-notes.md). Times are env_now_us().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        EVICT_PERCENT_LEAST = 2, /* machines that a share of them comes to at least */
};

/* How many machines may vanish at once (eviction_limit). */
typedef struct EvictRule {
        unsigned percent; /* of the machines, 1 to 100; 0 = a count */
        unsigned count;   /* while `percent` is 0 */
} EvictRule;

/* What is known of a cluster when it is to be decided. */
typedef struct EvictCase {
        EvictRule rule;
        uint64_t window_us; /* vanishing within so long is vanishing at once; > 0 */
        uint64_t *vanished; /* when each missing machine vanished, one entry per machine; sorted by
                                evict_holds() */
        size_t n_vanished;  /* machines that are missing */
        size_t n_waiting;   /* of them, those that no operator has given up */
        size_t n_present;   /* machines that are there */
        bool is_holding;    /* what was decided last */
} EvictCase;

/* How many of `n_machines` may vanish at once. A share is rounded to whole machines, halves up, and
 * comes to EVICT_PERCENT_LEAST at least; a count is taken as it is. */
size_t evict_limit(EvictRule rule, size_t n_machines);

/* Shall all evictions be held? They are held as soon as more machines than the limit have vanished
 * within the window, i.e. there is a time t such that more than so many vanished in (t - window, t].
 * They go on when fewer than the limit (but at least one) are missing, or when every missing one was
 * given up. The limit is that of all machines, present and missing. */
bool evict_holds(EvictCase *c);

/* Has a machine that vanished then, and is not held, been missing for too long to count? */
bool evict_forgets(uint64_t vanished_us, uint64_t now_us, uint64_t window_us);
