/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What stop and unload have in common: units that the cluster knows end. */

#include <stdbool.h>

#include "fleetctl/cli.h"

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
