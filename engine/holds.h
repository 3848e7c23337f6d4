/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The holds of machines that are lost (docs/records.md): the leader removes them, so that Exclusive
 * units can start elsewhere, once no process of such a unit can be left there. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/cluster.h"
#include "lib/registry/write.h"

typedef struct Hold Hold;

/* All holds; embed it, zero it before the first use. */
typedef struct Holds {
        Registry *registry;     /* borrowed */
        const Cluster *cluster; /* borrowed: who is there */
        int64_t fence;          /* of the leader's record while leading, else 0 */
        HashMap by_unit;        /* Hold.node */
        List due;               /* Hold.due_node: to be removed */
        LoopTimer timer;        /* when the next is due */
        RegistryWrite write;    /* the removal in flight */
        Hold *removing;         /* that it is about; NULL when that is gone from the store */
        void (*idle)(struct Holds *holds); /* a removal has ended, however: for who closes */
        uint64_t n_removed;                /* so far */
        bool is_dirty;                     /* who holds what, or who is there, has changed */
} Holds;

/* Set up; `cluster` need not be complete yet, and `idle` runs from the loop. */
void holds_init(Holds *holds, Registry *registry, const Cluster *cluster, uint64_t seed,
                void (*idle)(Holds *holds));

/* Lead, by the leader's record that was created at `fence`. The view begins anew. */
void holds_begin(Holds *holds, int64_t fence);

/* Do not lead any more: forget everything. A removal in flight may still end. */
void holds_end(Holds *holds);

/* The view is read again: what is not told until holds_synced() is gone. For how long the machines
 * have been absent stays known. */
void holds_reset(Holds *holds);
void holds_synced(Holds *holds);

/* A record of a hold or of a machine. Returns 0, or -ENOMEM, on which the view must be read anew. */
int holds_apply(Holds *holds, const Record *record);

/* Once a turn, while the view is complete: begin what is due. */
void holds_turn(Holds *holds);

/* Is a removal in flight? */
bool holds_is_busy(const Holds *holds);

/* How many holds are there, and how many of them of machines that are not? */
void holds_count(const Holds *holds, uint64_t *ret_n_holds, uint64_t *ret_n_lost);

/* Free the memory; after holds_end(), not while busy. */
void holds_done(Holds *holds);
