/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Room for a unit that found none, by moving others that do not run yet. */

#include "engine/candidates.h"

enum {
        LAYOUT_STEPS_MAX = 30000,        /* pairs of unit and machine that one search looks at */
        LAYOUT_ROUND_STEPS_MAX = 300000, /* that all searches of a round look at */
};

/* A unit and the machine it is to go to. */
typedef struct LayoutMove {
        ClusterUnit *unit;
        ClusterMachine *machine;
} LayoutMove;

/* Look for places for the unit and all that have to be with it or make room for it. Only units
 * whose row is not in the store yet are moved. `io_steps` is what the round has left. On success
 * `ret_moves` is an array of `ret_n_moves` that the caller frees; `ret_n_moves` is 0 when there is
 * no way, or none was found in the steps left. Deterministic. Returns 0 or -ENOMEM. */
int layout_find(Candidates *candidates, ClusterUnit *unit, size_t *io_steps, LayoutMove **ret_moves,
                size_t *ret_n_moves);
