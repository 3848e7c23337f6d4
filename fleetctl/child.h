/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Programs that fleetctl runs: ssh, systemctl, journalctl, systemd-analyze. */

#include <stdbool.h>
#include <sys/types.h>

#include "fleetctl/ask.h"
#include "lib/base/diag.h"

/* How to start one. */
typedef struct ChildSpec {
        char *const *argv;        /* program, found on PATH, and arguments; NULL at the end */
        char *const *environment; /* NAME=VALUE to set besides, NULL at the end; or NULL */
        int stdin_fd;             /* becomes its standard input; -1 = ours */
        int stdout_fd;            /* becomes its standard output; -1 = ours */
        int stderr_fd;            /* becomes its standard error; -1 = ours */
        bool ends_with_us;        /* gets SIGTERM when fleetctl ends, however it does */
} ChildSpec;

/* Start it. Returns 0 once the program runs; -ENOENT with a message and a remedy when there is none
 * of this name; or another negative errno with a message. */
int child_start(const ChildSpec *spec, pid_t *ret_pid, Diag *diag);

/* What became of it while it was waited for. */
typedef enum ChildEvent {
        CHILD_ENDED,
        CHILD_READY, /* the file that was waited for is there */
} ChildEvent;

/* Who waits for a child. */
typedef struct ChildWait {
        pid_t pid;
        Ask *ask;               /* questions to serve meanwhile, or NULL */
        const char *ready_file; /* stop waiting when this exists, or NULL */
        int code;               /* set with CHILD_ENDED: its exit code, or 128 + the signal's number
                                   that ended it, or that was meant to end fleetctl meanwhile */
} ChildWait;

/* Wait. Signals that would end fleetctl are the child's matter meanwhile. Returns a ChildEvent or a negative errno. */
int child_wait(ChildWait *wait);

/* Start it and wait until it ended. Returns its code as in ChildWait, or a negative errno with a
 * message. */
int child_run(const ChildSpec *spec, Ask *ask, Diag *diag);
