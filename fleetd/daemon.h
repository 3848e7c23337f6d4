/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The running daemon: agent, engine and API on one loop, over etcd and systemd. */

#include "fleetd/config.h"
#include "fleetd/identity.h"
#include "fleetd/runtime.h"

enum {
        DAEMON_EXIT_AGAIN = 75 /* EX_TEMPFAIL of sysexits.h: it failed in a way that another try may
                                  not; fleet.service makes one */
};

/* Run until SIGTERM or SIGINT. Everything is borrowed; `config`, which was read from `config_path`
 * (NULL = the default one), is replaced by what it is told to read again. Logs what goes wrong.
 * Returns the exit code of the process: 0 or DAEMON_EXIT_AGAIN. */
int daemon_run(Config *config, const char *config_path, const Identity *identity,
               const Runtime *runtime);
