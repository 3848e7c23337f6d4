/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where units run: decisions over the view, pure and deterministic (contract section 6). */

#include "engine/cluster.h"

/* Passes of one round: a chain of MachineOf longer than that takes another round to move. */
enum { PLACEMENT_PASSES_MAX = 64 };

/* Plan every dirty unit: units keep their machine while they fit there; the others go to the
 * machine with the fewest units that they fit on, the lowest ID among equals; units are taken by
 * name, peers before those that follow them. A unit that finds no room may have those make some that
 * are not in the store yet (engine/layout.h). Global units get a row on every machine that fits.
 * Rows and placements wanted are changed accordingly. Returns 0, or -ENOMEM: then some units are
 * still dirty. */
int placement_plan(Cluster *cluster);
