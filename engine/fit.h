/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* May a unit be on a machine? The rules of contract section 6, one unit and one machine at a time.
 * Which of the machines it gets is engine/placement.h's business. */

#include <stdbool.h>

#include "engine/cluster.h"

/* What keeps a unit off a machine, in the order in which the rules are looked at. */
typedef enum MisfitKind {
        MISFIT_NONE, /* it fits */
        MISFIT_ABSENT,
        MISFIT_MACHINE_ID,
        MISFIT_METADATA,
        MISFIT_PEER,     /* `other` is not there */
        MISFIT_CONFLICT, /* with `other`, from either side */
        MISFIT_REPLACED, /* by `other` */
} MisfitKind;

/* Why a unit cannot be on a machine; everything borrowed. */
typedef struct Misfit {
        MisfitKind kind;
        const ClusterUnit *other; /* the unit concerned, or NULL */
        const char *key; /* the first key of MachineMetadata that is not satisfied, or NULL */
} Misfit;

/* Does the unit fit on the machine, next to what is wanted there already, itself left out? */
bool fit_holds(Cluster *cluster, const ClusterUnit *unit, const ClusterMachine *machine);

/* The same, with the reason. Of several units that keep it off, the first by name. */
Misfit fit_explain(Cluster *cluster, const ClusterUnit *unit, const ClusterMachine *machine);

/* Do MachineID and MachineMetadata allow the machine? Nothing that runs has a say in this. */
bool fit_allows(const ClusterUnit *unit, const ClusterMachine *machine);

/* Does the unit's own Conflicts keep it off the machine, whatever its name? */
bool fit_excludes_itself(const ClusterUnit *unit, const ClusterMachine *machine);

/* Is the unit wanted on the machine? */
bool fit_is_on(const ClusterUnit *unit, const ClusterMachine *machine);

/* Would `other`, being on a machine, keep the unit off it? Both have requirements. */
MisfitKind fit_keeps_off(Cluster *cluster, const ClusterUnit *other, const ClusterUnit *unit);

/* The first key of MachineMetadata that the machine does not satisfy, or NULL. Borrowed from the
 * unit. */
const char *fit_missing_key(const Requirements *requirements, const Metadata *metadata);

/* Shall the unit be on one machine, or on all, and is known what it asks of them? */
bool fit_is_placeable(const ClusterUnit *unit);
