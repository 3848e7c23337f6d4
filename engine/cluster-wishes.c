/* SPDX-License-Identifier: Apache-2.0 */

/* What is wanted of rows and placements, beside what the store has of them.
 *
 * A wish changes the view alone: what it means for others is marked to be planned again, and the
 * unit is marked where the store has to follow (engine/commit.h).
 */

#include <errno.h>

#include "engine/cluster-private.h"

/* Rows */

/* Counts in or out what a unit that is wanted on the machine means for others there. */
void cluster_count_rules(ClusterMachine *machine, const Requirements *requirements, bool is_in) {
        if (!requirements)
                return;
        if (requirements->conflicts.n_items > 0)
                machine->n_conflicts += is_in ? 1 : (size_t)-1;
        if (requirements->replaces.n_items > 0)
                machine->n_replaces += is_in ? 1 : (size_t)-1;
}

/* Counts a row in or out of its machine's load. */
void cluster_count_row(Cluster *cluster, ClusterRow *row, bool is_wanted) {
        ClusterMachine *machine = row->machine;

        row->is_wanted = is_wanted;
        machine->n_wanted += is_wanted ? 1 : (size_t)-1;
        cluster_count_rules(machine, row->unit->requirements, is_wanted);
        if (machine->is_present) {
                cluster_present_sift(cluster, machine);
                cluster->n_released += !is_wanted;
        }
}

static bool schedule_equals(const ScheduleRecord *a, const ScheduleRecord *b) {
        return a->desired == b->desired && a->generation == b->generation &&
               a->restart == b->restart && a->exclusive_s == b->exclusive_s &&
               a->is_leaving == b->is_leaving && streq(a->file, b->file) &&
               strlist_equals(&a->after, &b->after);
}

bool cluster_has_machine(const Cluster *cluster, const char *id) {
        const ClusterMachine *machine = cluster_find_machine(cluster, id);

        return machine && (machine->is_present || machine->is_leaving);
}

/* Adds a machine to those that a unit comes from, once, and not beyond what a row may hold. One that
 * is gone has no copy that could be waited for: its states went with its lease. */
static int add_origin(const Cluster *cluster, StrList *origins, const char *id) {
        if (origins->n_items >= SCHEDULE_AFTER_MAX || strlist_has(origins, id) ||
            !cluster_has_machine(cluster, id))
                return 0;
        return strlist_add(origins, id);
}

static int add_origins(const Cluster *cluster, StrList *origins, const StrList *more,
                       const ClusterMachine *except) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < more->n_items; i++)
                if (!except || !streq(more->items[i], except->id))
                        r = add_origin(cluster, origins, more->items[i]);
        return r;
}

/* The machines that the agent of a row's machine knows the unit to be on, or to be coming from.
 * `except` is the machine that it goes to, or NULL when it goes nowhere. One that leaves waits itself
 * for what goes elsewhere (agent/handover.c). */
static int add_row_origins(const Cluster *cluster, StrList *origins, const ClusterRow *row,
                           const ClusterMachine *except) {
        int r = 0;

        if (row->is_stored && !(except && row->machine->is_leaving))
                r = add_origin(cluster, origins, row->machine->id);
        return r == 0 ? add_origins(cluster, origins, &row->wanted.after, except) : r;
}

/* The machines that leave: each may have a copy that ends when the unit runs elsewhere, and would end
 * now. The rows of successors do not name them. */
static int add_leaving(const Cluster *cluster, StrList *origins) {
        int r = 0;

        for (ListNode *node = list_first(&cluster->leaving); r == 0 && node;
             node = list_next(&cluster->leaving, node))
                r = add_origin(cluster, origins,
                               container_of(node, ClusterMachine, leaving_node)->id);
        return r;
}

static bool is_global(const ClusterUnit *unit) {
        return unit->requirements && unit->requirements->global;
}

/* Where the unit comes from when it is put on the machine: what it has rows on, and what it left
 * while it was nowhere. */
static int cluster_origins(const Cluster *cluster, const ClusterUnit *unit,
                           const ClusterMachine *machine, StrList *ret_origins) {
        _cleanup_(strlist_done) StrList origins = { 0 };
        int r = 0;

        for (ListNode *node = is_global(unit) ? NULL : list_first(&unit->rows); node && r == 0;
             node = list_next(&unit->rows, node)) {
                const ClusterRow *row = container_of(node, ClusterRow, unit_node);

                if (row->machine != machine)
                        r = add_row_origins(cluster, &origins, row, machine);
        }
        if (r == 0 && !is_global(unit))
                r = add_origins(cluster, &origins, &unit->left, machine);
        if (r < 0)
                return r;

        *ret_origins = origins;
        origins = (StrList){ 0 };
        return 0;
}

/* What the unit's record says for this machine. Of restarts on single machines the oldest are
 * dropped: then a row keeps what it had, so that it does not look like a new request. */
static void row_set_wanted(ClusterRow *row) {
        const UnitRecord *record = &row->unit->record;
        ScheduleRecord *wanted = &row->wanted;
        uint64_t generation = unit_record_generation_on(record, row->machine->id);
        uint64_t restart = unit_record_restart_on(record, row->machine->id);
        bool may_have_dropped = record->restarts.n_entries == RESTARTS_MAX;

        if (!may_have_dropped || generation > wanted->generation)
                wanted->generation = generation;
        if (!may_have_dropped || restart > wanted->restart)
                wanted->restart = restart;
        wanted->desired = record->desired;
        wanted->is_leaving = row->machine->is_leaving;
        memcpy(wanted->file, record->file, sizeof(wanted->file));
        if (row->unit->requirements)
                wanted->exclusive_s = row->unit->requirements->exclusive ? row->unit->file->stop_s
                                                                         : 0;
}

int cluster_want_row(Cluster *cluster, ClusterUnit *unit, ClusterMachine *machine,
                     ClusterRow *row) {
        _cleanup_(strlist_done) StrList origins = { 0 };
        bool is_new = !row || !row->is_wanted;
        int r;

        r = is_new ? cluster_origins(cluster, unit, machine, &origins) : 0;
        if (r < 0)
                return r;
        if (!row)
                row = cluster_row_new(unit, machine);
        if (!row)
                return -ENOMEM;

        if (is_new) {
                schedule_record_done(&row->wanted);
                row->wanted.after = origins;
                origins = (StrList){ 0 };
                strlist_done(&unit->left);
                cluster_count_row(cluster, row, true);
                cluster_mark_followers_dirty(cluster, unit);
        }
        row_set_wanted(row);
        if (cluster_row_differs(row))
                cluster_mark_uncommitted(cluster, unit);
        return 0;
}

bool cluster_row_differs(const ClusterRow *row) {
        return row->is_wanted != row->is_stored ||
               (row->is_wanted && !schedule_equals(&row->wanted, &row->stored));
}

void cluster_unwant_row(Cluster *cluster, ClusterRow *row) {
        ClusterUnit *unit = row->unit;

        if (row->is_wanted) {
                /* Without memory the unit may start elsewhere a moment too early: better than
                 * nowhere. */
                if (!is_global(unit) && add_row_origins(cluster, &unit->left, row, NULL) == 0)
                        (void)add_leaving(cluster, &unit->left);
                cluster_count_row(cluster, row, false);
                cluster_mark_followers_dirty(cluster, unit);
                cluster_mark_waiting_dirty(cluster);
        }

        if (row->is_stored)
                cluster_mark_uncommitted(cluster, unit);
        else
                cluster_row_free(row);
}

int cluster_row_stored(ClusterRow *row) {
        ScheduleRecord stored;
        int r;

        row->is_stored = row->is_wanted;
        if (!row->is_stored) {
                cluster_row_free(row);
                return 0;
        }

        r = schedule_record_copy(&row->wanted, &stored);
        if (r < 0)
                return r;
        schedule_record_done(&row->stored);
        row->stored = stored;
        return 0;
}

/* Placements */

bool cluster_placement_differs(const ClusterUnit *unit) {
        return unit->has_wanted != unit->has_stored ||
               (unit->has_wanted && !placement_record_equals(&unit->wanted, &unit->stored));
}

int cluster_placement_stored(ClusterUnit *unit) {
        int r = 0;

        if (unit->has_wanted)
                r = placement_record_copy(&unit->wanted, &unit->stored);
        else
                placement_record_done(&unit->stored);
        unit->has_stored = unit->has_wanted;
        return r;
}

/* A unit that goes somewhere takes what it left along, in its row. */
static void forget_left(Cluster *cluster, ClusterUnit *unit, bool is_somewhere) {
        if (is_somewhere || is_global(unit))
                strlist_done(&unit->left);
        if (unit->left.n_items == 0) {
                list_remove(&unit->leaver_node);
                list_remove(&unit->left_due_node);
        } else if (!list_node_is_linked(&unit->leaver_node)) {
                unit->n_left_looks = 0;
                list_append(&cluster->leavers, &unit->leaver_node);
        }
}

int cluster_want_placement(Cluster *cluster, ClusterUnit *unit, const char *machine,
                           const char *why) {
        PlacementRecord record = {
                .machine = (char *)machine,
                .why = (char *)why,
                .generation = unit->record.generation,
        };
        int r;

        forget_left(cluster, unit, machine);
        record.left = unit->left;
        unit->has_wanted = machine || why || record.left.n_items > 0;
        if (!unit->has_wanted)
                placement_record_done(&unit->wanted);
        else {
                r = placement_record_copy(&record, &unit->wanted);
                if (r < 0)
                        return r;
        }

        if (cluster_placement_differs(unit))
                cluster_mark_uncommitted(cluster, unit);
        return 0;
}
