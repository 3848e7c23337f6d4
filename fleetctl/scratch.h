/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A folder that only this user can enter, for what a run of fleetctl shares with its ssh children.
 * It goes with the program, also when a signal ends it. There is at most one. */

#include "lib/base/diag.h"

/* What may be in it. */
typedef enum ScratchFile {
        SCRATCH_ASK,       /* socket: where questions are asked (ask.h) */
        SCRATCH_ASKPASS,   /* link to fleetctl, by whose name it knows what it is for */
        SCRATCH_CONFIG,    /* ssh's configuration */
        SCRATCH_MASTER,    /* socket of the tunnel's master connection */
        SCRATCH_API,       /* socket whose connections end at the API, through the tunnel */
        SCRATCH_CONNECTED, /* there once a session stands */
        _SCRATCH_MAX,
} ScratchFile;

/* Make the folder, if it is not there yet. Returns 0, or a negative errno with a message. */
int scratch_open(Diag *diag);

/* The absolute path of a file in it. Only after scratch_open(). */
const char *scratch_path(ScratchFile file);

/* Remove it with everything in it, if it is there. */
void scratch_close(void);
