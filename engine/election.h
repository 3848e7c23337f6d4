/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The election: whoever creates engine/leader leads, until the record goes. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/macro.h"
#include "lib/registry/follow.h"
#include "lib/registry/write.h"

typedef struct Election Election;

/* Tells that leading began (election->fence is set) or ended (it is 0). From the loop. */
typedef void (*ElectionFn)(Election *election, bool is_leading);

/* A candidate; embed it, zero it before the first use. */
struct Election {
        Registry *registry;  /* borrowed */
        const char *machine; /* borrowed */
        ElectionFn fn;
        RegistryFollow follow;  /* engine/leader */
        RegistryWrite write;    /* creating or removing it */
        LoopTimer timer;        /* spreads candidates, and waits after failures */
        char *leader;           /* owned: machine ID of the leader as far as known, or NULL */
        char *predecessor;      /* owned: that of the last leader but this machine, or NULL */
        int64_t leader_created; /* create revision of its record; 0 = there is none */
        int64_t seen;           /* revision of the newest news of it, its absence included */
        int64_t listed;         /* revision of the last complete list */
        int64_t lease;          /* to stand on; 0 = do not stand */
        int64_t fence;          /* create revision of our record while leading, else 0 */
        int64_t fence_lease;    /* that this record is on */
        bool is_bad;            /* its record does not parse */
        bool is_disabled;       /* never stand */
        bool is_synced;         /* leader_created is the truth */
        bool was_listed;        /* the list that is under way has brought the record */
        bool is_closing;
        void (*closed)(Election *election);
        LoopDeferred closing;
};

/* Follow the leader and stand when there is none and a lease is set. Returns 0 or -ENOMEM. */
int election_start(Election *election, Registry *registry, const char *machine, bool is_disabled,
                   ElectionFn fn);

/* Stand, or never stand (again); who leads stops. */
void election_set_disabled(Election *election, bool is_disabled);

/* The lease to stand on; 0 ends leading. Who leads on another resigns and stands again, since the
 * record would go with the other. */
void election_set_lease(Election *election, int64_t lease);

/* Stop leading now, remove our record, and stand again: after a write whose outcome is unknown, so
 * that a copy of it which arrives late is refused. */
void election_resign(Election *election);

/* Stop leading and look who leads: after a write that was refused, which means that our record is
 * not what we think, whatever the watch has told. */
void election_doubt(Election *election);

/* Stop leading and standing, remove our record if it stands; then `closed` runs from the loop,
 * once. */
void election_close(Election *election, void (*closed)(Election *election));
