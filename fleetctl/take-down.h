/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What stop, unload and destroy have in common: units that the cluster knows end. */

#include "fleetctl/cli.h"
#include "fleetctl/wait.h"

/* Units of the cluster. */
typedef struct Found {
        Unit *units; /* owned array, each with a name */
        size_t n_units;
} Found;

/* Free everything; empty afterwards. */
void found_done(Found *found);

/* The units that `words` mean; what the cluster does not know is left out. Returns 0, or a negative
 * errno with a message. */
int found_look_up(Client *client, const StrList *words, Found *ret_found, Diag *diag);

/* Does [X-Fleet] of this unit make it a global one? Returns 0 or -ENOMEM. */
int found_is_global(const Unit *unit, bool *ret_is_global);

/* How stop and unload differ. */
typedef struct TakeDown {
        const char *verb;      /* "stop" */
        const char *done;      /* "stopped" */
        const char *target;    /* desired state to set, and to wait for */
        bool refuse_inactive;  /* is it an error to name a unit that nobody wants to run? */
        bool unplaced_is_done; /* see WaitSpec */
        bool wait_for_globals; /* until no machine runs them */
} TakeDown;

/* Do it; returns the exit code. */
int take_down(Cli *cli, const TakeDown *how);
