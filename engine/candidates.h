/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which machines come into question, least loaded first, without looking at all of them for each
 * unit: during one round of planning, per distinct MachineMetadata, the machines that satisfy it.
 */

#include "engine/cluster.h"

enum {
        CANDIDATES_LISTED = 8, /* machines that a reason names one by one */
        CANDIDATES_KEYS = 8,   /* keys of MachineMetadata that a reason counts one by one */
        CANDIDATES_ENTRIES_MAX = 1
                                 << 19, /* of all pools, 8 bytes each: more, and they begin anew */
};

/* How many machines do not satisfy a key. */
typedef struct CandidatesMissing {
        const char *key; /* borrowed from the requirements of the unit that the pool was made for */
        size_t n_machines;
} CandidatesMissing;

/* Conflicts that keep whoever says them off every machine of a pool. */
typedef struct CandidatesExcluded {
        HashNode node;
        char *key; /* owned: the globs */
} CandidatesExcluded;

/* The present machines that satisfy one MachineMetadata. */
typedef struct CandidatesPool {
        HashNode node;     /* Candidates.pools, by what is asked */
        char *key;         /* owned */
        uint64_t *heap;    /* owned: load and rank of each; a load may be less than it is by now */
        size_t n_machines; /* in the heap */
        uint32_t lowest[CANDIDATES_LISTED]; /* ranks of those with the lowest IDs */
        size_t n_lowest;
        CandidatesMissing missing[CANDIDATES_KEYS]; /* the other machines, by the first key */
        size_t n_missing;
        HashMap excluded; /* CandidatesExcluded.node: Conflicts that leave none of them */
} CandidatesPool;

/* The pools of a round; embed it. */
typedef struct Candidates {
        Cluster *cluster; /* borrowed; no record is applied to it meanwhile */
        HashMap pools;
        size_t n_entries;    /* of all pools */
        uint64_t n_released; /* Cluster.n_released when the pools were begun */
} Candidates;

/* Begin a round; free what it has gathered. */
void candidates_init(Candidates *candidates, Cluster *cluster);
void candidates_done(Candidates *candidates);

/* The pool for a unit, made when it is first asked for. Valid until the next call. Returns 0 or
 * -ENOMEM. */
int candidates_pool(Candidates *candidates, const ClusterUnit *unit, CandidatesPool **ret_pool);

/* The machine that the unit fits on with the fewest units, the lowest ID among equals; or NULL.
 * Returns 0 or -ENOMEM. */
int candidates_choose(Candidates *candidates, const ClusterUnit *unit,
                      ClusterMachine **ret_machine);

/* The present machines that MachineID means, as a range of Cluster.by_id, which is sorted
 * afterwards. */
void candidates_named(Candidates *candidates, const char *machine_id, size_t *ret_first,
                      size_t *ret_n);
