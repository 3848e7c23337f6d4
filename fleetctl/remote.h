/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What status and journal share: a command per place of each unit, here or over SSH. */

#include "fleetctl/cli.h"
#include "fleetctl/place.h"
#include "lib/base/strlist.h"

enum { EXIT_NO_SSH = 255 }; /* no connection to the machine (contract section 2.3) */

/* The row of --ssh-port, for the flag tables of commands that go to machines. */
#define SSH_PORT_FLAG                                                             \
        {                                                                         \
                "ssh-port", "PORT", NULL,                                         \
                        "Port of the machines' SSH, if not ssh's own choice, 22", \
                        offsetof(Options, ssh_port), FLAG_PORT, 0, false          \
        }

/* Such a command. */
typedef struct RemoteCommand {
        /* Append the words to run for this unit. Returns 0 or -ENOMEM. */
        int (*words)(const Options *options, const char *unit, StrList *words);
        const char *not_there; /* what a unit that is on no machine does not appear to be */
} RemoteCommand;

/* Run it for all units that the command's arguments mean, in their order, and for each of a unit's
 * places, with an empty line between units. Stops after the first unit for which it does not
 * succeed. Returns that exit code. */
int remote_run_all(Cli *cli, const RemoteCommand *command);
