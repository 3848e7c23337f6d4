/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A lease that keeps itself alive: granted, renewed every third of its time, granted anew when it
 * was lost or its owner renounces it. A machine's presence and everything it reports hangs on one.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/loop/loop.h"
#include "lib/store/store.h"

typedef struct Lease Lease;

typedef enum LeaseEvent {
        LEASE_HELD, /* granted, or the one to adopt was found alive; lease->id is set */
        LEASE_KEPT, /* renewed */
        LEASE_LOST, /* the store does not know it any more: its records are gone. lease->id is 0; a
                       new one is asked for at once */
        LEASE_FAILED, /* a try to grant or renew failed; tries go on. lease->status says how */
} LeaseEvent;

/* Tells of an event, from the loop. The lease may be stopped from here. */
typedef void (*LeaseFn)(Lease *lease, LeaseEvent event);

/* The lease; embed it, zero it before the first use. */
struct Lease {
        Store *store; /* borrowed; NULL while off */
        Loop *loop;   /* borrowed */
        LeaseFn fn;
        StoreRequest request;
        LoopTimer timer;         /* next try */
        int64_t id;              /* 0 = none held */
        int64_t asked;           /* the lease that the request in flight is about; 0 = a grant */
        int64_t wanted_ttl_s;    /* asked for with the next grant */
        int64_t asked_ttl_s;     /* ...with the grant in flight */
        int64_t ttl_s;           /* what the store gave once it is held, before that as wanted */
        uint64_t sent_us;        /* when the request in flight was sent */
        uint64_t valid_until_us; /* by our clock it has not ended before: last answered request's
                                    sending + TTL */
        int64_t revision;        /* of the store, when it last answered */
        uint64_t backoff_us;
        int status;          /* of the last failed try: a STORE_E_* or negative errno */
        bool is_proven;      /* the held lease has been confirmed by the store */
        bool is_changing;    /* one of another time is asked for while this one is held */
        bool is_renewal_due; /* the last try for that failed: renew before the next */
};

/* Get a lease and keep it. `adopt` is the lease of an earlier run of this daemon, tried first, and
 * kept unless it ended or has another TTL; 0 = none. */
void lease_start(Lease *lease, Store *store, Loop *loop, int64_t ttl_s, int64_t adopt, LeaseFn fn);

/* Want another time. A lease of that time is asked for, and takes the place of the one that is held
 * once it is granted (LEASE_HELD with another lease->id): until then the old one is kept alive, and
 * after that it runs out by itself. Its owner moves its records in that time. */
void lease_set_ttl(Lease *lease, int64_t ttl_s);

/* Give up the lease that is held, without telling the store, and get a new one. */
void lease_renounce(Lease *lease);

/* Stop renewing: it will run out by itself. Nothing is told any more. A request may still be on its
 * way: the memory must stay until the store has closed. */
void lease_stop(Lease *lease);
