/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the view (cluster*.c) share. Nobody else includes this. */

#include "engine/cluster.h"

/* Objects: engine/cluster.c */

/* The object of this hash, ID or name; made when there is none. NULL without memory. */
ClusterFile *cluster_file(Cluster *cluster, const char *hash);
ClusterMachine *cluster_machine(Cluster *cluster, const char *id);
ClusterUnit *cluster_unit(Cluster *cluster, const char *name);

/* Forget a file without record that no unit refers to; does nothing for others. */
void cluster_collect_file(Cluster *cluster, ClusterFile *file);

/* A row of the unit on the machine, where there is none yet: neither wanted nor stored. NULL
 * without memory. */
ClusterRow *cluster_row_new(ClusterUnit *unit, ClusterMachine *machine);

/* Free a row that is not wanted any more. */
void cluster_row_free(ClusterRow *row);

/* Forget whom the unit's MachineOf names. */
void cluster_unlink_peers(Cluster *cluster, ClusterUnit *unit);

/* Marks: engine/cluster.c */

/* Compare the unit's wanted rows and placement with the stored ones in the next commit. */
void cluster_mark_uncommitted(Cluster *cluster, ClusterUnit *unit);

/* Plan those whose MachineOf names the unit in the next round. */
void cluster_mark_followers_dirty(Cluster *cluster, ClusterUnit *unit);

/* Plan whom a change on the machine concerns in the next round. */
void cluster_mark_machine_dirty(Cluster *cluster, ClusterMachine *machine);

/* The heap of present machines: engine/cluster-present.c */

/* The machine is there from now on, or no more. Adding returns 0 or -ENOMEM. */
int cluster_present_add(Cluster *cluster, ClusterMachine *machine);
void cluster_present_remove(Cluster *cluster, ClusterMachine *machine);

/* Bring a present machine to its place after its load has changed. */
void cluster_present_sift(Cluster *cluster, ClusterMachine *machine);

/* What is wanted: engine/cluster-wishes.c */

/* Count a row in or out of its machine's load, as it becomes wanted or not. */
void cluster_count_row(Cluster *cluster, ClusterRow *row, bool is_wanted);

/* Count in or out what a unit that is wanted on the machine means for others there. */
void cluster_count_rules(ClusterMachine *machine, const Requirements *requirements, bool is_in);
