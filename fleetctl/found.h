/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The units of the cluster that a command's words mean. */

#include <stdbool.h>
#include <stddef.h>

#include "fleetctl/cli.h"

/* Units of the cluster. */
typedef struct Found {
        Unit *units;    /* owned array, each with a name */
        bool *is_match; /* owned, parallel: did only a pattern mean it? */
        size_t n_units;
} Found;

/* Free everything; empty afterwards. */
void found_done(Found *found);

/* Connect, and look up the units that the command's arguments mean, braces and patterns included;
 * what the cluster does not know is left out, a pattern that matches nothing is told of. Returns 0,
 * with cli->client set, or a negative errno that has been printed. */
int found_look_up(Cli *cli, Found *ret_found);

/* Say that the cluster knows none of the units. Returns the exit code, which is EXIT_OK (contract
 * section 3, stop). */
int found_fail_empty(void);

/* Does [X-Fleet] of this unit make it a global one? Returns 0 or -ENOMEM. */
int found_is_global(const Unit *unit, bool *ret_is_global);
