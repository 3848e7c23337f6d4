/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Waiting for units, and telling a person how it goes (contract section 2.7, docs/api.md). */

#include <stdbool.h>
#include <stddef.h>

#include "fleetctl/client.h"
#include "fleetctl/flags.h"
#include "fleetctl/options.h"
#include "lib/base/diag.h"

enum {
        WAIT_MAX_UNITS = 4096,  /* of one request (docs/api.md); more are waited for in turn */
        WAIT_ATTEMPT_MS = 2000, /* one of --block-attempts (contract section 2.7) */
        WAIT_UNPLACED_MS =
                2000, /* how long a unit that no machine takes is given to be taken after all */
};

enum {
        _WAIT_E_OK,
        WAIT_E_UNITS, /* some units did not get there; each has been told of */
};

/* What to wait for. */
typedef struct WaitSpec {
        const char *state; /* "inactive", "loaded", "launched" or "gone" */
        const char *done;  /* what units are then, for the progress line: "launched", "stopped" */
        bool unplaced_is_done; /* a unit on no machine is as asked */
        Count block_attempts;  /* how long; when not given, units that no machine takes are given up
                                  after WAIT_UNPLACED_MS */
} WaitSpec;

/* The rows of --no-block and --block-attempts with their help, for the flag tables of commands that
 * wait. */
#define NO_BLOCK_FLAG(help) \
        { "no-block", NULL, NULL, (help), offsetof(Options, no_block), FLAG_BOOL, 0, false }
#define BLOCK_ATTEMPTS_FLAG(help)                                                       \
        {                                                                               \
                "block-attempts", "N", NULL, (help), offsetof(Options, block_attempts), \
                        FLAG_COUNT, 0, false                                            \
        }
#define NO_BLOCK_HELP "Return at once, without waiting for the outcome"

/* The flags of every command that waits: --no-block, --block-attempts. */
extern const FlagTable wait_flags;

/* Wait for `units` (names, and for "gone" machine IDs), printing each outcome as it comes:
 * successes on stdout, the rest on stderr. While it lasts, a terminal on stderr shows how many are
 * done. Returns 0 when all got there, WAIT_E_UNITS with a summary in `diag`, or a negative errno
 * with a message. */
int wait_for_units(Client *client, const WaitSpec *spec, const Unit *units, size_t n_units,
                   Diag *diag);
