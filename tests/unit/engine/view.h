/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Builds the leader's view of a cluster by hand, record by record, and writes down what was
 * planned. Unit names are given without ".service". */

#include "engine/cluster.h"

/* A machine is there, with this configured metadata ("k=v,k=v", may be empty); leaves the cluster;
 * or is gone. */
void view_machine(Cluster *cluster, const char *id, const char *metadata);
void view_machine_leaving(Cluster *cluster, const char *id);
void view_machine_gone(Cluster *cluster, const char *id);

/* A machine's record does not parse; lease 0: nobody's. */
void view_machine_bad(Cluster *cluster, const char *id, int64_t lease);

/* Metadata set over the API. */
void view_metadata(Cluster *cluster, const char *id, const char *metadata);

/* A unit is there, with these lines in [X-Fleet], and its content; or is gone. */
void view_unit(Cluster *cluster, const char *unit, const char *options, JobState desired,
               uint64_t generation);
void view_unit_gone(Cluster *cluster, const char *unit);

/* The same without its content, and the content alone. */
void view_unit_record(Cluster *cluster, const char *unit, const char *options, JobState desired,
                      uint64_t generation);
void view_file(Cluster *cluster, const char *options);

/* The unit's record says this, but for its content: these lines in [X-Fleet]. */
void view_unit_says(Cluster *cluster, const char *unit, const char *options,
                    const UnitRecord *record);

/* The unit's record does not parse. */
void view_unit_bad(Cluster *cluster, const char *unit);

/* The store has a schedule row of the unit with this content; a bad one; a placement. */
void view_row(Cluster *cluster, const char *machine, const char *unit, const char *options,
              uint64_t generation);
void view_row_bad(Cluster *cluster, const char *machine, const char *unit);
void view_placement(Cluster *cluster, const char *unit, const char *machine, const char *why,
                    uint64_t generation);

/* The machine has ended the unit that was taken from it: it has no state of it any more. */
void view_ended(Cluster *cluster, const char *unit, const char *machine);

/* The list is complete: plan everything. */
void view_plan_all(Cluster *cluster);

/* Plan what is dirty. */
void view_plan(Cluster *cluster);

/* Take everything wanted as written. Returns how many rows and placements that were. */
size_t view_commit(Cluster *cluster);

/* Where units are wanted: "a=m1 b=m1,m2 c=-", by name; units that are only spoken of are left out.
 * Static. */
const char *view_plan_text(const Cluster *cluster);

/* The row wanted for the unit on the machine: "g3", with a restart "g3 r2", with machines that it
 * waits for "g3 after m1,m2", in the end on a machine that leaves "g3 leaving"; "" when none is wanted. Static. */
const char *view_row_text(const Cluster *cluster, const char *machine, const char *unit);

/* The machines that the unit's wanted placement says it left: "m1,m2", or "". Static. */
const char *view_left(const Cluster *cluster, const char *unit);

/* The reason in the unit's wanted placement, or "". */
const char *view_why(const Cluster *cluster, const char *unit);

/* The machine in the unit's wanted placement, or "". */
const char *view_placement_machine(const Cluster *cluster, const char *unit);
