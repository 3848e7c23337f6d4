/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The brake on evictions: the leader moves units away from a machine that is missing, unless it has
 * reason to believe that the machine is well and what it shares with others is not.
 *
 *   a machine vanishes      its lease is looked at, and those of others: when more than the limit
 *                           seem about to vanish, it is waited for them (engine/pulse.h)
 *   too many are missing    all keep their units until they return, or are given up (engine/roll.h)
 *   the store was away      machines have some seconds to find their way back, besides
 *   a leader takes over     likewise for those that are missing then, unless that is just the
 *                           machine that led before
 *
 * Machines that are missing and keep their units are held. The engine plans accordingly
 * (ClusterMachine.is_held) and tells in engine/brake when all evictions are held.
 */

#include "engine/cluster.h"
#include "engine/pulse.h"
#include "engine/roll.h"
#include "lib/base/strlist.h"
#include "lib/registry/write.h"

enum {
        /* A new leader gives so long to machines that it finds missing: in that time those find
           back whose leases ended only because nobody kept them. */
        BRAKE_ELECTION_US = 2 * US_PER_S,
        /* Leases may outlive what they are said to have left by so much, rounding included. */
        BRAKE_SLACK_US = 2 * US_PER_S,
};

typedef struct Brake Brake;

/* Embed it; brake_init() first. */
struct Brake {
        Registry *registry;  /* borrowed */
        const char *machine; /* borrowed: this machine's ID */
        Roll roll;
        Pulse pulse;
        uint64_t pulse_us; /* when the look that goes on began */
        StrList given_up;  /* machines that have an evict/ record */
        LoopTimer timer;   /* to judge anew */
        StoreListener connection;
        uint64_t back_us;  /* when the store came back last, or a lease after one was lost */
        char *predecessor; /* owned: the machine that led before, or NULL */
        uint64_t told;     /* Roll.version that engine/brake was written for */
        int64_t lease;     /* of this machine */
        bool had_lease;    /* ever */
        bool was_away;     /* the store was, and is */
        bool is_leading;
        bool is_synced;   /* the list of machines was complete once since leading began */
        bool is_recorded; /* engine/brake is there */
        bool is_dirty;    /* something happened since it was judged */
        void (*pulse_ended)(Brake *brake); /* a dropped or finished look is over */
};

/* Make it. `registry` and `machine` are borrowed; `seed` is for its hash maps; `pulse_ended` tells
 * that brake_is_pending() may have become false. */
void brake_init(Brake *brake, Registry *registry, const char *machine, uint64_t seed,
                void (*pulse_ended)(Brake *brake));

/* Free everything; nothing may be pending. */
void brake_done(Brake *brake);

/* How many machines may vanish at once, and what "at once" means: twice the time after which a
 * machine is lost by this machine's own configuration. */
void brake_set(Brake *brake, EvictRule rule, uint64_t ttl_us);

/* This machine's lease, 0 for none: one that is lost and found again tells of trouble with the
 * store. */
void brake_set_lease(Brake *brake, int64_t lease);

/* Leading begins, after this machine (or NULL); or ends. */
void brake_begin(Brake *brake, const char *predecessor);
void brake_end(Brake *brake);

/* While leading: a list begins; a record of a kind that concerns the brake (others are ignored);
 * the list is complete. Records return 0 or -ENOMEM. */
void brake_on_reset(Brake *brake);
int brake_on_record(Brake *brake, const Record *record);
int brake_on_synced(Brake *brake, const Cluster *cluster);

/* Before planning, with a complete view: decide who is held, and let the view know. */
void brake_turn(Brake *brake, Cluster *cluster);

/* Is something to be written? Then add it to a transaction that compares the leader's record.
 * brake_unwritten() tells that it was not written, or may not have been. */
bool brake_has_news(const Brake *brake, const Cluster *cluster);
void brake_fill(Brake *brake, const Cluster *cluster, RegistryWrite *write);
void brake_unwritten(Brake *brake);

/* How many machines are missing and keep their units. */
size_t brake_n_held(const Brake *brake);

/* Is a look under way, so that brake_done() has to wait? */
bool brake_is_pending(const Brake *brake);
