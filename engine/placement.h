/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where units run: decisions over the view, pure and deterministic (contract section 6). */

#include "engine/cluster.h"

/* Bounds of one round; what is left takes another one. */
enum {
        PLACEMENT_PASSES_MAX = 64,     /* passes: links of a chain of MachineOf that move */
        PLACEMENT_LOOKS_MAX = 1 << 19, /* rows looked at in each step of a pass: some 50 ms */
};

/* Plan every dirty unit: units keep their machine while they fit there; the others go to the
 * machine with the fewest units that they fit on, the lowest ID among equals; units are taken by
 * name, peers before those that follow them. A unit that finds no room may have those make some
 * that are not in the store yet (engine/layout.h). Global units get a row on every machine that
 * fits. Rows and placements wanted are changed accordingly. Returns 0, or -ENOMEM. Either way some
 * units may still be dirty: call again, after 0 at once. */
int placement_plan(Cluster *cluster);
