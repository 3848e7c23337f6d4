/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The state directory: what outlives the machine's boot (StateDirectory=, systemd.exec(5)): the
 * built-in store, and which store the machine uses. */

#include "lib/base/diag.h"

/* Where it is. Strings owned. */
typedef struct State {
        char *directory;
        char *store_path; /* of the built-in store */
} State;

/* Find the directory: `path`, which may be a list separated by colons, of which the first counts
 * ($STATE_DIRECTORY), or NULL for /var/lib/fleet. Nothing is made. Returns 0 or -ENOMEM. */
int state_init(State *ret_state, const char *path);

/* Free the members. */
void state_done(State *state);

/* What was written last, without the blanks around it; the caller frees. Returns 0, -ENOENT when
 * nothing was, -ENOMEM, or a negative errno with a message. */
int state_recall(const State *state, char **ret_text, Diag *diag);

/* Write it, unless it is what was written last; the directory is made if need be. Returns 0,
 * -ENOMEM, or a negative errno with a message, and then what was written last is still there. */
int state_remember(const State *state, const char *text, Diag *diag);
