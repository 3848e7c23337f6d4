/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where units run: decisions over the view, pure and deterministic (contract section 6). */

#include <stdbool.h>

#include "engine/cluster.h"
#include "lib/base/buf.h"

enum {
        PLACEMENT_WHY_MACHINES = 8, /* machines of which a reason is listed one by one */
        PLACEMENT_WHY_BYTES = 1024, /* longest reason */
        PLACEMENT_PASSES_MAX = 64,  /* passes of one round: a chain of MachineOf longer than that
                                       takes another round */
};

/* Why a unit cannot run on a machine: a borrowed static text, and what it is about. */
typedef struct Misfit {
        const char *reason; /* NULL = it fits */
        const char *about;  /* unit, key or value concerned, borrowed; or NULL */
} Misfit;

/* Does the unit fit on the machine, next to what is wanted there already, itself left out? */
Misfit placement_misfit(const ClusterUnit *unit, const ClusterMachine *machine);

/* Plan every dirty unit: units keep their machine while they fit there; the others go to the
 * machine with the fewest units that they fit on, the lowest ID among equals; units are taken by
 * name. Global units get a row on every machine that fits. Rows and placements wanted are changed
 * accordingly. Returns 0, or -ENOMEM: then some units are still dirty. */
int placement_plan(Cluster *cluster);
