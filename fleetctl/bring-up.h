/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What submit, load and start have in common: units that the cluster need not know yet are created,
 * and brought to a state. */

#include "fleetctl/cli.h"
#include "fleetctl/plan.h"

/* How they differ. */
typedef struct BringUp {
        const char *verb;   /* in "Triggered unit X <verb>" */
        const char *doing;  /* in "Error <doing> units" */
        const char *target; /* desired state to set, or NULL to create only: then --replace leaves
                               units alone that are not inactive */
} BringUp;

/* --replace and --sign. */
extern const FlagTable submit_flags;

/* Those, --no-block and --block-attempts. */
extern const FlagTable bring_up_flags;

/* Do it; returns the exit code. */
int bring_up(Cli *cli, const BringUp *how);
