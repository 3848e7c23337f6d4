/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The runtime directory: what outlives the daemon and not the machine's boot (RuntimeDirectory=,
 * systemd.exec(5)). */

#include "lib/base/diag.h"

/* Where it is, and the lock in it. */
typedef struct Runtime {
        char *lease_path; /* owned; the file that keeps the number of our lease */
        char *guard_path; /* owned; the file that the guard of Exclusive units looks at */
        int lock_fd;      /* owned; -1 = none */
} Runtime;

/* Make the directory `path` if it is missing and lock it, so that two daemons can never share an
 * identity. `path` may be a list separated by colons, of which the first counts
 * ($RUNTIME_DIRECTORY), or NULL for /run/fleet. Returns 0, -ENOMEM, or a negative errno with a
 * message. */
int runtime_open(Runtime *ret_runtime, const char *path, Diag *diag);

/* Unlock and free. The files stay. */
void runtime_done(Runtime *runtime);
