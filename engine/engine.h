/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The engine: a candidate for leader on every machine; the one that leads decides where units run.
 *
 * The leader is whoever created engine/leader, on its machine's lease. It holds the whole view of
 * the cluster (engine/cluster.h), from one list and one watch, decides by pure functions over it
 * (engine/placement.h), and commits the differences in transactions that are refused unless its
 * engine/leader still stands: a deposed leader cannot write.
 */

#include <stdbool.h>
#include <stdint.h>

#include "engine/evict.h"
#include "lib/base/macro.h"
#include "lib/base/metrics.h"
#include "lib/registry/registry.h"

typedef struct Engine Engine;

/* How it shall work. Strings are copied. */
typedef struct EngineOptions {
        const char *machine;      /* machine ID */
        bool is_disabled;         /* never lead (disable_engine, contract section 8) */
        EvictRule eviction_limit; /* how many machines may vanish at once (engine/evict.h) */
        uint64_t ttl_us;          /* agent_ttl: "at once" is within twice this time. > 0 */
} EngineOptions;

/* Numbers for /metrics. */
typedef struct EngineStats {
        bool is_leader;
        uint64_t leader_since_us;      /* env_wall_us() of the election, 0 when not leading */
        uint64_t n_elections;          /* won so far */
        uint64_t n_plans;              /* rounds of planning */
        uint64_t n_plans_failed;       /* of them */
        MetricsHistogram plans;        /* how long planning took, and filling the transaction */
        uint64_t n_commits;            /* transactions */
        uint64_t n_commits_failed;     /* of them */
        uint64_t n_scheduled;          /* rows written */
        uint64_t n_unscheduled;        /* rows removed */
        uint64_t n_scheduled_failed;   /* of them, those whose transaction failed */
        uint64_t n_unscheduled_failed; /* likewise */
        uint64_t n_explained;          /* placements written that say why a unit fits nowhere */
        uint64_t n_machines_lost;      /* that went while this machine led */
        uint64_t n_holds;              /* of Exclusive units, in view */
        uint64_t n_holds_lost;         /* of them, those of machines that are not there */
        uint64_t n_holds_removed;      /* of such machines, so far */
        uint64_t n_machines;           /* in view */
        uint64_t n_units;              /* in view */
        uint64_t n_unplaced;           /* desired, but nowhere */
        uint64_t n_missing;            /* machines that vanished, as far as they count */
        uint64_t n_held;               /* of them, those that keep their units */
        bool is_holding;               /* all evictions are held */
} EngineStats;

/* Make an engine; `registry` is borrowed and must outlive it. It begins to follow engine/leader at
 * once. Returns 0 or -ENOMEM. */
int engine_new(Engine **ret_engine, Registry *registry, const EngineOptions *options);

/* Stand for leader, or never (disable_engine): who leads then resigns, and another is elected at
 * once. */
void engine_set_disabled(Engine *engine, bool is_disabled);

/* Take in another limit and time: see EngineOptions. */
void engine_set_evictions(Engine *engine, EvictRule limit, uint64_t ttl_us);

/* The lease to lead on (presence), 0 when there is none at the moment: then it neither leads nor
 * stands. */
void engine_set_lease(Engine *engine, int64_t lease);

/* Does this machine lead? */
bool engine_is_leading(const Engine *engine);

/* Read the numbers; counts the units in view one by one. */
EngineStats engine_stats(const Engine *engine);

/* Begin to close: stop leading and standing (the leader's record goes, so that another leads at
 * once). Then `closed` runs from the loop, once, and the engine may be freed. */
void engine_close(Engine *engine, void (*closed)(Engine *engine, void *userdata), void *userdata);

/* Free an engine that is closed. Takes NULL; returns NULL. */
Engine *engine_free(Engine *engine);
DEFINE_CLEANUP(Engine, engine_free)
