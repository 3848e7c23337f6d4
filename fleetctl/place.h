/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Machines as status, journal and ssh look for them: by the beginning of an ID, and as the places
 * of a unit. */

#include <stddef.h>

#include "fleetctl/cli.h"
#include "lib/model/entity.h"

/* A machine. Strings borrowed. */
typedef struct Place {
        const char *id;
        const char *address; /* NULL when it is not in the cluster now, or tells none */
} Place;

/* The machines of the cluster, and those of them that are meant. Zeroed is empty. */
typedef struct Places {
        Page machines; /* all */
        Page states;   /* of the unit that was last looked for */
        Place *items;  /* owned array, sorted by ID for a global unit */
        size_t n_items;
} Places;

/* Free everything; empty afterwards. */
void places_done(Places *places);

/* Read the machines of the cluster, once. Returns 0, or a negative errno that has been printed. */
int places_read(Cli *cli, Places *places);

/* The machine whose ID begins with `prefix`. Returns 0, -ENOENT for none, -ENOTUNIQ for several. */
int places_find(const Places *places, const char *prefix, Place *ret_place);

/* Fill in the places of a unit, after places_read(): none while it is on no machine, several for a
 * global one; only those that --machine means. Returns 0, or a negative errno that has been
 * printed. */
int places_of_unit(Cli *cli, const Unit *unit, Places *places);
