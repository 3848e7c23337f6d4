/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The machines that units left while they went nowhere (PlacementRecord.left). Nobody follows the
 * states of all units; so the leader asks for these few, one after the other, and forgets a machine
 * once it has no state of the unit any more. A unit that goes somewhere before that waits there by
 * itself (ScheduleRecord.after).
 */

#include "engine/cluster.h"

typedef struct LeftCheck LeftCheck;

/* What it takes; embed it, and zero it but for what is borrowed. */
struct LeftCheck {
        Registry *registry; /* borrowed */
        Cluster *cluster;   /* borrowed; it may be built anew at any time */
        /* A read has ended, also one that left_stop() gave up. */
        void (*read_ended)(LeftCheck *check);
        RegistryRead read;
        LoopTimer timer; /* set: a second until the next look at who has left */
        List due;        /* ClusterUnit.left_due_node: units to ask about */
        char *unit;      /* owned: that is asked about, or NULL */
        char *machine;   /* owned: the same */
};

/* To be called in each turn in which the view is complete and agrees with the store: no commit is
 * in flight. */
void left_turn(LeftCheck *check);

/* The view is not to be believed any more, or this machine does not lead: ask nothing. */
void left_stop(LeftCheck *check);

/* Is a read in flight? */
bool left_is_busy(const LeftCheck *check);
