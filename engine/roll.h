/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The leader's roll of machines: who is there, who is missing and since when, and which of the
 * missing ones keep their units for the time being. A plain data structure; the clock comes in as
 * an argument (env_now_us()).
 *
 * A missing machine keeps its units while
 *
 *   it is to be looked whether others are about to vanish, too (engine/pulse.h),
 *   it has been given time to come back,
 *   or all evictions are held (engine/evict.h), and for ROLL_RETURN_US after that,
 *
 * unless an operator has given it up. It is forgotten when it keeps nothing and vanished too long
 * ago to count; so the machines that are gone for good are not in the roll.
 */

#include "engine/evict.h"
#include "lib/base/env.h"
#include "lib/base/hash-map.h"
#include "lib/base/list.h"
#include "lib/base/macro.h"
#include "lib/model/record.h"

enum {
        /* So long after a common trouble is over, machines may still be on their way back: a new
           connection to the store takes up to 2 s of back-off and 3 s for itself and a lease. */
        ROLL_RETURN_US = 6 * US_PER_S,
};

/* A machine that is there, or missing. */
typedef struct RollMachine {
        HashNode node;         /* Roll.machines, by ID */
        ListNode missing_node; /* Roll.missing, while it is missing */
        char *id;              /* owned */
        char *address;         /* owned: as last known, or NULL */
        Metadata metadata;     /* the configured one, as last known */
        int64_t lease;         /* that its record was on; 0 = unknown */
        uint64_t vanished_us;
        uint64_t missing_since_s; /* seconds since the epoch, for people */
        uint64_t hold_until_us;   /* it has time to come back until then; 0 = none */
        bool is_unlooked;         /* it is to be looked whether others vanish, too */
        bool is_given_up;         /* by an operator */
        bool is_held;             /* it keeps its units: what roll_judge() came to */
        bool is_listed;           /* scratch: the list that is under way has brought it */
} RollMachine;

/* The roll. */
typedef struct Roll {
        HashMap machines;
        List missing; /* RollMachine.missing_node */
        size_t n_missing;
        size_t n_present;
        EvictRule rule;
        uint64_t window_us;
        uint64_t version; /* grows whenever what engine/brake should say may have changed */
        uint64_t since_s; /* since when evictions are held, seconds since the epoch */
        bool is_holding;  /* all evictions are held */
} Roll;

/* An empty roll. `seed` is for its hash map. */
void roll_init(Roll *roll, uint64_t seed);

/* Free everything; the rule and the window stay. */
void roll_done(Roll *roll);

/* The machine, or NULL. */
RollMachine *roll_find(const Roll *roll, const char *id);

/* A machine is there, with this record (NULL: one that does not parse) on this lease. What an
 * operator said of it is over. Returns 0 or -ENOMEM. */
int roll_seen(Roll *roll, const char *id, const MachineRecord *record, int64_t lease);

/* A machine is gone, and has vanished if it was there. */
void roll_gone(Roll *roll, const char *id, uint64_t now_us, uint64_t wall_us);

/* A machine that went as it should: nobody is to come back. */
void roll_left(Roll *roll, const char *id);

/* A list of all machines begins; every roll_seen() until it ends is of it. Those that it does not
 * bring have vanished. */
void roll_begin_list(Roll *roll);
void roll_end_list(Roll *roll, uint64_t now_us, uint64_t wall_us);

/* A machine that nobody has seen here is missing, as its rows or an earlier leader tell. `known` is
 * what is known of it, or NULL. Does nothing for one that is in the roll. Returns 0 or -ENOMEM. */
int roll_add_missing(Roll *roll, const char *id, const Machine *known, uint64_t now_us,
                     uint64_t wall_us);

/* Every missing machine that is still to be looked at has time to come back until then, at least. */
void roll_give_time(Roll *roll, uint64_t until_us);

/* None of them can be looked at. */
void roll_give_up_looks(Roll *roll);

/* Decide anew: sets is_holding and every missing machine's is_held. Returns 0 or -ENOMEM, on which
 * everything missing is held. */
int roll_judge(Roll *roll, uint64_t now_us, uint64_t wall_us);

/* Forget the missing machines that do not count any more. */
void roll_forget(Roll *roll, uint64_t now_us);

/* When it is to be decided anew though nothing happens: 0 = never. */
uint64_t roll_next_us(const Roll *roll, uint64_t now_us);
