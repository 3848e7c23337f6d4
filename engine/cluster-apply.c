/* SPDX-License-Identifier: Apache-2.0 */

/* Applying records: the view follows what the store says. What a record changes marks the units
 * that it concerns.
 */

#include <errno.h>

#include "engine/cluster-private.h"
#include "lib/unit/exclusive.h"

static int fleet_options(const UnitFile *file, UnitFile **ret_fleet) {
        _cleanup_(unit_file_freep) UnitFile *fleet = NULL;
        int r = unit_file_new(&fleet);

        for (size_t i = 0; r == 0 && i < file->n_options; i++) {
                const UnitOption *option = &file->options[i];

                if (streq(option->section, "X-Fleet"))
                        r = unit_file_add(fleet, option->section, option->name, option->value);
        }
        if (r < 0)
                return r;

        *ret_fleet = TAKE(fleet);
        return 0;
}

/* Counts the rules of a unit's wanted rows in or out: around a change of its requirements. */
static void cluster_count_unit(ClusterUnit *unit, bool is_in) {
        for (ListNode *node = list_first(&unit->rows); node; node = list_next(&unit->rows, node)) {
                ClusterRow *row = container_of(node, ClusterRow, unit_node);

                if (row->is_wanted)
                        cluster_count_rules(row->machine, unit->requirements, is_in);
        }
}

static int cluster_link_peers(Cluster *cluster, ClusterUnit *unit) {
        for (size_t i = 0; i < unit->requirements->machine_of.n_items; i++) {
                ClusterUnit *peer = cluster_unit(cluster, unit->requirements->machine_of.items[i]);
                ClusterFollow *follow = peer ? calloc(1, sizeof(*follow)) : NULL;

                if (!follow)
                        return -ENOMEM;
                follow->follower = unit;
                follow->peer = peer;
                list_append(&unit->follows, &follow->follower_node);
                list_append(&peer->followers, &follow->peer_node);
                cluster->has_new_chains = true;
        }
        return 0;
}

/* Lets go of the unit's requirements. Whom they kept off a machine is planned again. */
static void cluster_forget_requirements(Cluster *cluster, ClusterUnit *unit) {
        cluster_count_unit(unit, false);
        cluster->has_new_chains |= !list_is_empty(&unit->follows);
        cluster_unlink_peers(cluster, unit);
        if (unit->requirements &&
            (unit->requirements->conflicts.n_items > 0 || unit->requirements->replaces.n_items > 0))
                cluster_mark_waiting_dirty(cluster);
        cluster->has_new_chains |= list_node_is_linked(&unit->replacer_node);

        unit->requirements = requirements_free(unit->requirements);
        list_remove(&unit->global_node);
        list_remove(&unit->replacer_node);
}

/* Works out the unit's requirements anew, from its file. */
static int cluster_require(Cluster *cluster, ClusterUnit *unit) {
        int r;

        cluster_forget_requirements(cluster, unit);

        if (unit->file && unit->file->fleet) {
                r = requirements_new(&unit->requirements, unit->file->fleet, unit->name);
                if (r == 0)
                        r = cluster_link_peers(cluster, unit);
                if (r < 0)
                        return r;
                if (unit->requirements->global)
                        list_append(&cluster->globals, &unit->global_node);
                else if (unit->requirements->replaces.n_items > 0) {
                        list_append(&cluster->replacers, &unit->replacer_node);
                        cluster->has_new_chains = true;
                }
        }

        cluster_count_unit(unit, true);
        cluster_mark_dirty(cluster, unit);
        return 0;
}

static int cluster_apply_file(Cluster *cluster, const Record *record) {
        _cleanup_(unit_file_freep) UnitFile *parsed = NULL, *fleet = NULL;
        ClusterFile *file = cluster_file(cluster, record->key.unit);
        int r;

        if (!file)
                return -ENOMEM;

        if (!record->is_deleted && !record->is_bad) {
                r = unit_file_parse(record->text, record->n_text_bytes, &parsed, NULL);
                if (r == 0)
                        r = fleet_options(parsed, &fleet);
                if (r == -ENOMEM)
                        return r;
        }

        /* What has no such time was put there past the API: as long as any may take. */
        if (fleet && exclusive_stop_time(parsed, &file->stop_s, NULL) < 0)
                file->stop_s = EXCLUSIVE_STOP_MAX_S;
        file->mod_revision = record->is_deleted ? 0 : record->mod_revision;
        file->unused_since_us = 0;
        if (!!file->fleet != !!fleet) {
                unit_file_free(file->fleet);
                file->fleet = TAKE(fleet);
                for (ListNode *node = list_first(&file->units); node;
                     node = list_next(&file->units, node)) {
                        r = cluster_require(cluster, container_of(node, ClusterUnit, file_node));
                        if (r < 0)
                                return r;
                }
        }

        cluster_collect_file(cluster, file);
        return 0;
}

static int cluster_set_file(Cluster *cluster, ClusterUnit *unit, const char *hash) {
        ClusterFile *old = unit->file;

        if (old && hash && streq(old->hash, hash))
                return 0;

        list_remove(&unit->file_node);
        unit->file = NULL;
        if (hash) {
                unit->file = cluster_file(cluster, hash);
                if (!unit->file)
                        return -ENOMEM;
                list_append(&unit->file->units, &unit->file_node);
                unit->file->unused_since_us = 0;
        }
        if (old)
                cluster_collect_file(cluster, old);
        return cluster_require(cluster, unit);
}

static int cluster_apply_unit(Cluster *cluster, const Record *record) {
        ClusterUnit *unit = cluster_unit(cluster, record->key.unit);

        if (!unit)
                return -ENOMEM;

        unit->is_bad = record->is_bad;
        cluster_mark_dirty(cluster, unit);
        if (record->is_bad)
                return 0;

        unit->is_known = !record->is_deleted;
        unit_record_done(&unit->record);
        if (!record->is_deleted && unit_record_copy(&record->unit, &unit->record) < 0)
                return -ENOMEM;
        return cluster_set_file(cluster, unit, record->is_deleted ? NULL : record->unit.file);
}

static int cluster_apply_machine(Cluster *cluster, const Record *record) {
        Metadata configured = { 0 }, merged = { 0 };
        bool is_there = !record->is_deleted;
        bool is_leaving = is_there && !record->is_bad && record->machine.is_leaving;
        bool is_present = is_there && !is_leaving;
        ClusterMachine *machine;
        int r = 0;

        /* No machine wrote this. Where there is one it writes its record again; where there is none
         * units would wait for ever. */
        if (record->is_bad && record->lease == 0)
                return 0;

        machine = cluster_machine(cluster, record->key.machine);
        if (!machine)
                return -ENOMEM;

        if (is_there && !record->is_bad)
                r = metadata_copy(&record->machine.metadata, &configured);
        if (r == 0)
                r = metadata_merge(&configured, &machine->over, &merged);
        if (r < 0) {
                metadata_done(&configured);
                return r;
        }

        metadata_done(&machine->configured);
        metadata_done(&machine->merged);
        machine->configured = configured;
        machine->merged = merged;
        machine->has_record = !record->is_deleted;
        if (is_leaving && !machine->is_leaving)
                list_append(&cluster->leaving, &machine->leaving_node);
        else if (!is_leaving)
                list_remove(&machine->leaving_node);
        machine->is_leaving = is_leaving;
        if (is_present && !machine->is_present)
                r = cluster_present_add(cluster, machine);
        else if (!is_present && machine->is_present)
                cluster_present_remove(cluster, machine);
        cluster_mark_machine_dirty(cluster, machine);
        /* Also where it comes back only to leave. */
        machine->is_held &= !machine->has_record;
        return r;
}

static int cluster_apply_metadata(Cluster *cluster, const Record *record) {
        ClusterMachine *machine = cluster_machine(cluster, record->key.machine);
        Metadata over = { 0 }, merged = { 0 };
        int r = 0;

        if (!machine)
                return -ENOMEM;
        if (record->is_bad)
                return 0;

        if (!record->is_deleted)
                r = metadata_copy(&record->metadata, &over);
        if (r == 0)
                r = metadata_merge(&machine->configured, &over, &merged);
        if (r < 0) {
                metadata_done(&over);
                return r;
        }

        metadata_done(&machine->over);
        metadata_done(&machine->merged);
        machine->over = over;
        machine->merged = merged;
        cluster_mark_machine_dirty(cluster, machine);
        return 0;
}

static int cluster_apply_schedule(Cluster *cluster, const Record *record) {
        ClusterMachine *machine = cluster_machine(cluster, record->key.machine);
        ClusterUnit *unit = cluster_unit(cluster, record->key.unit);
        ClusterRow *row;

        if (!machine || !unit)
                return -ENOMEM;

        row = cluster_find_row(unit, machine);
        if (!row)
                row = cluster_row_new(unit, machine);
        if (!row)
                return -ENOMEM;

        /* A bad row differs from whatever will be wanted, so the first plan repairs it. */
        schedule_record_done(&row->stored);
        schedule_record_done(&row->wanted);
        if (!record->is_bad && (schedule_record_copy(&record->schedule, &row->stored) < 0 ||
                                schedule_record_copy(&record->schedule, &row->wanted) < 0))
                return -ENOMEM;
        row->is_stored = true;
        if (!row->is_wanted)
                cluster_count_row(cluster, row, true);
        cluster_mark_dirty(cluster, unit);
        return 0;
}

static int cluster_apply_placement(Cluster *cluster, const Record *record) {
        ClusterUnit *unit = cluster_unit(cluster, record->key.unit);
        int r;

        if (!unit)
                return -ENOMEM;

        unit->has_stored = true;
        cluster_mark_dirty(cluster, unit);
        if (record->is_bad)
                return 0;
        strlist_done(&unit->left);
        r = strlist_copy(&record->placement.left, &unit->left);
        return r < 0 ? r : placement_record_copy(&record->placement, &unit->stored);
}

int cluster_apply(Cluster *cluster, const Record *record) {
        cluster->is_settled = false;

        switch (record->key.kind) {
        case RECORD_FILE:
                return cluster_apply_file(cluster, record);
        case RECORD_MACHINE:
                return cluster_apply_machine(cluster, record);
        case RECORD_METADATA:
                return cluster_apply_metadata(cluster, record);
        case RECORD_PLACEMENT:
                return cluster_apply_placement(cluster, record);
        case RECORD_SCHEDULE:
                return cluster_apply_schedule(cluster, record);
        case RECORD_UNIT:
                return cluster_apply_unit(cluster, record);
        default:
                return 0;
        }
}
