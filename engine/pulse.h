/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Looks at what leases have left, when a machine has vanished: those of machines that are cut off
 * with it are overdue, too, although they have not ended yet. So the leader need not wait to see
 * whether one machine is lost, or many.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/store/store.h"

enum { PULSE_LOOKS_MAX = 128 /* leases of one look; of more machines it is a sample */ };

typedef struct Pulse Pulse;

/* A lease that is looked at. */
typedef struct PulseLook {
        StoreRequest request;
        Pulse *pulse; /* back pointer */
        int64_t lease;
        bool is_missing; /* of a machine that has vanished */
        bool is_alive;   /* it has not ended */
        int64_t left_s;  /* what it has left */
} PulseLook;

/* Tells that the look is over, or what was left of one that was dropped. From the loop. */
typedef void (*PulseFn)(Pulse *pulse);

/* A look; embed it, zero it before the first use. */
struct Pulse {
        Store *store; /* borrowed */
        PulseFn fn;
        PulseLook *looks; /* owned while it goes on, and while `fn` runs */
        size_t n_looks;
        size_t n_pending;
        size_t n_others;       /* leases of machines that are there */
        size_t n_silent;       /* of them, those that are overdue, or of which nothing was learnt */
        int64_t silent_left_s; /* the most that one of these has left */
        bool is_dropped;       /* nobody wants to know any more */
};

/* Begin a look at nothing yet. Returns 0, -EBUSY while one goes on, or -ENOMEM. */
int pulse_begin(Pulse *pulse, Store *store, PulseFn fn);

/* Look at one more lease, if there is room and it is known (not 0). */
void pulse_add(Pulse *pulse, int64_t lease, bool is_missing);

/* Look. `fn` runs once, in a later turn. Returns 0, or a negative errno, and then it is dropped. */
int pulse_go(Pulse *pulse);

/* What the lease of a machine that has vanished has left; 0 when it has ended. For `fn`. */
int64_t pulse_left_s(const Pulse *pulse, int64_t lease);

/* Nobody wants to know any more. `fn` runs all the same, once, if one goes on. */
void pulse_drop(Pulse *pulse);

/* Does one go on, dropped or not? Its memory has to stay until then. */
bool pulse_is_pending(const Pulse *pulse);
