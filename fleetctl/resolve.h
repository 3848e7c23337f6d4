/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a command's words mean in this cluster: a name itself, a pattern the units that match. */

#include <stdbool.h>

#include "fleetctl/client.h"
#include "lib/base/diag.h"
#include "lib/base/strlist.h"

/* The units that are meant. Zeroed is empty. */
typedef struct Resolved {
        StrList names;     /* each once, in the order of the words, matches in byte order */
        StrList paths;     /* parallel: where the file of each would be */
        bool *is_match;    /* owned, parallel: was it only a pattern that meant the unit? */
        StrList unmatched; /* patterns that no unit matches, as they were typed */
        Page listed;       /* the cluster's units, sorted, if they were listed */
        bool is_listed;
} Resolved;

/* Free everything; empty afterwards. */
void resolved_done(Resolved *resolved);

/* Resolve the words of a command line. The units of the cluster are listed only when a word is a
 * pattern. A name may be one that no unit can have. Returns 0, or a negative errno, with a message
 * unless it is -ENOMEM. The caller calls resolved_done(), also after an error. */
int resolve_words(Client *client, const StrList *words, Resolved *ret_resolved, Diag *diag);

/* Read the units into an array of names.n_items zeroed Units, once; one that the cluster does not
 * know, or that has a name no unit can have, stays zeroed. Where there are very many names all units
 * are listed, which takes less time. The caller calls unit_done() on each, also after an error.
 * Returns as client_get_units(). */
int resolved_get_units(Resolved *resolved, Client *client, Unit *ret_units, Diag *diag);

/* Drop the units that only a pattern meant and that `is_unwanted` says so of; a pattern is not
 * unmatched for that. */
void resolved_drop_matches(Resolved *resolved, bool (*is_unwanted)(const char *name));
