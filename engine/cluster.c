/* SPDX-License-Identifier: Apache-2.0 */

/* The view's objects (files, machines, units, and the rows between units and machines) and the
 * marks that make work incremental.
 *
 * Objects are made when anything first speaks of them (a row may be listed before its machine).
 * Units, files and rows go when nothing does any more; machines stay until the view is built anew,
 * which happens now and then.
 */

#include <errno.h>

#include "engine/cluster-private.h"

/* Files and machines */

ClusterFile *cluster_file(Cluster *cluster, const char *hash) {
        HashNode *node = hash_map_get(&cluster->files, hash);
        ClusterFile *file;

        if (node)
                return container_of(node, ClusterFile, node);

        file = calloc(1, sizeof(*file));
        if (!file)
                return NULL;

        memcpy(file->hash, hash, strnlen(hash, UNIT_HASH_BYTES - 1));
        if (hash_map_put(&cluster->files, &file->node, file->hash) < 0) {
                free(file);
                return NULL;
        }
        return file;
}

static void cluster_file_free(Cluster *cluster, ClusterFile *file) {
        hash_map_remove(&cluster->files, &file->node);
        unit_file_free(file->fleet);
        free(file);
}

void cluster_collect_file(Cluster *cluster, ClusterFile *file) {
        if (file->mod_revision == 0 && list_is_empty(&file->units))
                cluster_file_free(cluster, file);
}

ClusterMachine *cluster_find_machine(const Cluster *cluster, const char *id) {
        HashNode *node = hash_map_get(&cluster->machines, id);

        return node ? container_of(node, ClusterMachine, node) : NULL;
}

ClusterMachine *cluster_machine(Cluster *cluster, const char *id) {
        ClusterMachine *machine = cluster_find_machine(cluster, id);

        if (machine)
                return machine;

        machine = calloc(1, sizeof(*machine));
        if (!machine)
                return NULL;

        machine->id = strdup(id);
        if (!machine->id || hash_map_put(&cluster->machines, &machine->node, machine->id) < 0) {
                free(machine->id);
                free(machine);
                return NULL;
        }
        return machine;
}

static void cluster_machine_free(Cluster *cluster, ClusterMachine *machine) {
        list_remove(&machine->leaving_node);
        hash_map_remove(&cluster->machines, &machine->node);
        metadata_done(&machine->configured);
        metadata_done(&machine->over);
        metadata_done(&machine->merged);
        free(machine->id);
        free(machine);
}

/* Units */

ClusterUnit *cluster_unit(Cluster *cluster, const char *name) {
        HashNode *node = hash_map_get(&cluster->units, name);
        ClusterUnit *unit;

        if (node)
                return container_of(node, ClusterUnit, node);

        unit = calloc(1, sizeof(*unit));
        if (!unit)
                return NULL;

        unit->name = strdup(name);
        if (!unit->name || hash_map_put(&cluster->units, &unit->node, unit->name) < 0) {
                free(unit->name);
                free(unit);
                return NULL;
        }
        return unit;
}

void cluster_unlink_peers(Cluster *cluster, ClusterUnit *unit) {
        ListNode *node;

        while ((node = list_pop(&unit->follows))) {
                ClusterFollow *follow = container_of(node, ClusterFollow, follower_node);
                ClusterUnit *peer = follow->peer;

                list_remove(&follow->peer_node);
                free(follow);
                if (peer != unit)
                        cluster_collect_unit(cluster, peer);
        }
}

static void cluster_unit_free(Cluster *cluster, ClusterUnit *unit) {
        cluster_unlink_peers(cluster, unit);
        list_remove(&unit->file_node);
        list_remove(&unit->dirty_node);
        list_remove(&unit->commit_node);
        list_remove(&unit->waiting_node);
        list_remove(&unit->global_node);
        list_remove(&unit->replacer_node);
        list_remove(&unit->unplaced_node);
        list_remove(&unit->leaver_node);
        list_remove(&unit->left_due_node);
        placement_record_done(&unit->wanted);
        placement_record_done(&unit->stored);
        unit_record_done(&unit->record);
        strlist_done(&unit->left);
        requirements_free(unit->requirements);
        hash_map_remove(&cluster->units, &unit->node);
        free(unit->name);
        free(unit);
}

void cluster_collect_unit(Cluster *cluster, ClusterUnit *unit) {
        if (unit->is_known || unit->is_bad || unit->has_stored || unit->has_wanted ||
            !list_is_empty(&unit->rows) || !list_is_empty(&unit->followers) ||
            list_node_is_linked(&unit->dirty_node) || list_node_is_linked(&unit->commit_node))
                return;

        cluster_unit_free(cluster, unit);
}

/* Rows */

ClusterRow *cluster_find_row(const ClusterUnit *unit, const ClusterMachine *machine) {
        ListNode *node;

        /* A global unit has thousands of rows, a machine some tens; most units have one. */
        if (machine->n_rows < unit->n_rows) {
                for (node = list_first(&machine->rows); node;
                     node = list_next(&machine->rows, node))
                        if (container_of(node, ClusterRow, machine_node)->unit == unit)
                                return container_of(node, ClusterRow, machine_node);
                return NULL;
        }

        for (node = list_first(&unit->rows); node; node = list_next(&unit->rows, node))
                if (container_of(node, ClusterRow, unit_node)->machine == machine)
                        return container_of(node, ClusterRow, unit_node);
        return NULL;
}

ClusterRow *cluster_row_new(ClusterUnit *unit, ClusterMachine *machine) {
        ClusterRow *row = calloc(1, sizeof(*row));

        if (!row)
                return NULL;

        row->unit = unit;
        row->machine = machine;
        list_append(&unit->rows, &row->unit_node);
        list_append(&machine->rows, &row->machine_node);
        unit->n_rows++;
        machine->n_rows++;
        return row;
}

void cluster_row_free(ClusterRow *row) {
        list_remove(&row->unit_node);
        list_remove(&row->machine_node);
        row->unit->n_rows--;
        row->machine->n_rows--;
        schedule_record_done(&row->wanted);
        schedule_record_done(&row->stored);
        free(row);
}

/* The whole */

void cluster_init(Cluster *cluster, uint64_t seed) {
        *cluster = (Cluster){
                .files = hash_map_make(seed),
                .machines = hash_map_make(seed),
                .units = hash_map_make(seed),
        };
}

/* Rows and followings first, so that freeing a unit touches no other. */
static void cluster_unlink_all(Cluster *cluster) {
        for (HashNode *node = hash_map_first(&cluster->units); node;
             node = hash_map_next(&cluster->units, node)) {
                ClusterUnit *unit = container_of(node, ClusterUnit, node);
                ListNode *link;

                while ((link = list_first(&unit->rows)))
                        cluster_row_free(container_of(link, ClusterRow, unit_node));
                while ((link = list_pop(&unit->follows))) {
                        ClusterFollow *follow = container_of(link, ClusterFollow, follower_node);

                        list_remove(&follow->peer_node);
                        free(follow);
                }
        }
}

void cluster_done(Cluster *cluster) {
        uint64_t seed = cluster->units.seed;
        HashNode *node, *next;

        cluster_unlink_all(cluster);
        for (node = hash_map_first(&cluster->units); node; node = next) {
                next = hash_map_next(&cluster->units, node);
                cluster_unit_free(cluster, container_of(node, ClusterUnit, node));
        }
        for (node = hash_map_first(&cluster->files); node; node = next) {
                next = hash_map_next(&cluster->files, node);
                cluster_file_free(cluster, container_of(node, ClusterFile, node));
        }
        for (node = hash_map_first(&cluster->machines); node; node = next) {
                next = hash_map_next(&cluster->machines, node);
                cluster_machine_free(cluster, container_of(node, ClusterMachine, node));
        }

        hash_map_done(&cluster->units);
        hash_map_done(&cluster->files);
        hash_map_done(&cluster->machines);
        free(cluster->present);
        free(cluster->by_id);
        cluster_init(cluster, seed);
}

bool cluster_is_leaving(const Cluster *cluster, const char *id) {
        const ClusterMachine *machine = cluster_find_machine(cluster, id);

        return machine && machine->is_leaving;
}

/* Marks */

void cluster_mark_dirty(Cluster *cluster, ClusterUnit *unit) {
        if (!list_node_is_linked(&unit->dirty_node))
                list_append(&cluster->dirty, &unit->dirty_node);
}

void cluster_mark_all_dirty(Cluster *cluster) {
        for (HashNode *node = hash_map_first(&cluster->units); node;
             node = hash_map_next(&cluster->units, node))
                cluster_mark_dirty(cluster, container_of(node, ClusterUnit, node));
}

void cluster_mark_uncommitted(Cluster *cluster, ClusterUnit *unit) {
        if (!list_node_is_linked(&unit->commit_node))
                list_append(&cluster->uncommitted, &unit->commit_node);
}

void cluster_mark_waiting_dirty(Cluster *cluster) {
        for (ListNode *node = list_first(&cluster->waiting); node;
             node = list_next(&cluster->waiting, node))
                cluster_mark_dirty(cluster, container_of(node, ClusterUnit, waiting_node));
}

void cluster_mark_followers_dirty(Cluster *cluster, ClusterUnit *unit) {
        for (ListNode *node = list_first(&unit->followers); node;
             node = list_next(&unit->followers, node))
                cluster_mark_dirty(cluster, container_of(node, ClusterFollow, peer_node)->follower);
}

/* What changes on a machine concerns who is on it, who waits for one, and every global unit. */
void cluster_mark_machine_dirty(Cluster *cluster, ClusterMachine *machine) {
        for (ListNode *node = list_first(&machine->rows); node;
             node = list_next(&machine->rows, node))
                cluster_mark_dirty(cluster, container_of(node, ClusterRow, machine_node)->unit);
        for (ListNode *node = list_first(&cluster->globals); node;
             node = list_next(&cluster->globals, node))
                cluster_mark_dirty(cluster, container_of(node, ClusterUnit, global_node));
        cluster_mark_waiting_dirty(cluster);
}

void cluster_hold_machine(Cluster *cluster, const char *id, bool is_held) {
        ClusterMachine *machine = cluster_find_machine(cluster, id);

        if (!machine || machine->is_held == is_held)
                return;

        machine->is_held = is_held;
        for (ListNode *row = list_first(&machine->rows); row; row = list_next(&machine->rows, row))
                cluster_mark_dirty(cluster, container_of(row, ClusterRow, machine_node)->unit);
}

bool cluster_has_evictable(const ClusterMachine *machine) {
        for (ListNode *node = list_first(&machine->rows); node;
             node = list_next(&machine->rows, node)) {
                const ClusterUnit *unit = container_of(node, ClusterRow, machine_node)->unit;

                /* One that fits nowhere else has been looked at since the machine went. */
                if (unit->is_known && !unit->is_bad && unit->requirements &&
                    !unit->requirements->global && unit->record.desired != JOB_STATE_INACTIVE &&
                    unit->has_stored && unit->stored.machine && !unit->stored.why &&
                    streq(unit->stored.machine, machine->id))
                        return true;
        }
        return false;
}

void cluster_set_waiting(Cluster *cluster, ClusterUnit *unit, bool is_waiting) {
        if (is_waiting && !list_node_is_linked(&unit->waiting_node))
                list_append(&cluster->waiting, &unit->waiting_node);
        else if (!is_waiting)
                list_remove(&unit->waiting_node);
}
