/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* status for programs: what the cluster knows, without asking the machines' systemd. */

#include "fleetctl/cli.h"

/* Print, for each unit that the command's arguments mean, an object with the API's unit (without
 * its file) and its states, as one JSON array. Returns the exit code: 3 when one is active nowhere, as
 * systemctl does, 1 when one does not exist. */
int status_print_json(Cli *cli);
