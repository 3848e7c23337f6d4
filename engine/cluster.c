/* SPDX-License-Identifier: Apache-2.0 */

/* The view's structure: objects by name, rows between units and machines, and the marks that make
 * work incremental.
 *
 * Objects are made when anything first speaks of them (a row may be listed before its machine).
 * Units, files and rows go when nothing does any more; machines stay until the view is built anew,
 * which happens now and then. Present machines stand in a heap ordered by (load, ID), so that
 * the least loaded one is at hand.
 */

#include "engine/cluster.h"

#include <assert.h>
#include <errno.h>

void cluster_init(Cluster *cluster, uint64_t seed) {
        *cluster = (Cluster){
                .files = hash_map_make(seed),
                .machines = hash_map_make(seed),
                .units = hash_map_make(seed),
        };
}

/* The heap of present machines */

static bool machine_is_before(const ClusterMachine *a, const ClusterMachine *b) {
        if (a->n_wanted != b->n_wanted)
                return a->n_wanted < b->n_wanted;
        return strcmp(a->id, b->id) < 0;
}

static void present_place(Cluster *cluster, size_t index, ClusterMachine *machine) {
        cluster->present[index] = machine;
        machine->heap_index = index;
}

static void present_sift(Cluster *cluster, ClusterMachine *machine) {
        size_t index = machine->heap_index;

        while (index > 0 && machine_is_before(machine, cluster->present[(index - 1) / 2])) {
                present_place(cluster, index, cluster->present[(index - 1) / 2]);
                index = (index - 1) / 2;
        }

        for (;;) {
                size_t child = 2 * index + 1;

                if (child >= cluster->n_present)
                        break;
                if (child + 1 < cluster->n_present &&
                    machine_is_before(cluster->present[child + 1], cluster->present[child]))
                        child++;
                if (!machine_is_before(cluster->present[child], machine))
                        break;
                present_place(cluster, index, cluster->present[child]);
                index = child;
        }

        present_place(cluster, index, machine);
}

static int present_grow(Cluster *cluster) {
        size_t n = cluster->n_present_allocated ? 2 * cluster->n_present_allocated : 16;
        ClusterMachine **machines;

        machines = reallocarray(cluster->present, n, sizeof(ClusterMachine *));
        if (!machines)
                return -ENOMEM;
        cluster->present = machines;

        machines = reallocarray(cluster->by_id, n, sizeof(ClusterMachine *));
        if (!machines)
                return -ENOMEM;
        cluster->by_id = machines;

        cluster->n_present_allocated = n;
        return 0;
}

static int present_add(Cluster *cluster, ClusterMachine *machine) {
        if (cluster->n_present == cluster->n_present_allocated) {
                int r = present_grow(cluster);

                if (r < 0)
                        return r;
        }

        cluster->is_sorted = false;
        machine->is_present = true;
        present_place(cluster, cluster->n_present++, machine);
        present_sift(cluster, machine);
        return 0;
}

static void present_remove(Cluster *cluster, ClusterMachine *machine) {
        ClusterMachine *last = cluster->present[--cluster->n_present];

        cluster->is_sorted = false;
        machine->is_present = false;
        if (last == machine)
                return;
        present_place(cluster, machine->heap_index, last);
        present_sift(cluster, last);
}

static int compare_machines(const void *a, const void *b) {
        const ClusterMachine *const *x = a, *const *y = b;

        return strcmp((*x)->id, (*y)->id);
}

void cluster_sort_machines(Cluster *cluster) {
        if (cluster->is_sorted)
                return;

        if (cluster->n_present > 0) {
                memcpy(cluster->by_id, cluster->present,
                       cluster->n_present * sizeof(ClusterMachine *));
                qsort(cluster->by_id, cluster->n_present, sizeof(ClusterMachine *),
                      compare_machines);
        }
        for (size_t i = 0; i < cluster->n_present; i++)
                cluster->by_id[i]->rank = (uint32_t)i;
        cluster->is_sorted = true;
}

/* Objects */

static ClusterFile *cluster_file(Cluster *cluster, const char *hash) {
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

static void cluster_collect_file(Cluster *cluster, ClusterFile *file) {
        if (file->mod_revision == 0 && list_is_empty(&file->units))
                cluster_file_free(cluster, file);
}

static ClusterMachine *cluster_machine(Cluster *cluster, const char *id) {
        HashNode *node = hash_map_get(&cluster->machines, id);
        ClusterMachine *machine;

        if (node)
                return container_of(node, ClusterMachine, node);

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
        hash_map_remove(&cluster->machines, &machine->node);
        metadata_done(&machine->configured);
        metadata_done(&machine->over);
        metadata_done(&machine->merged);
        free(machine->id);
        free(machine);
}

static ClusterUnit *cluster_unit(Cluster *cluster, const char *name) {
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

static void cluster_unlink_peers(Cluster *cluster, ClusterUnit *unit) {
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

static void cluster_row_free(ClusterRow *row) {
        list_remove(&row->unit_node);
        list_remove(&row->machine_node);
        row->unit->n_rows--;
        row->machine->n_rows--;
        schedule_record_done(&row->wanted);
        schedule_record_done(&row->stored);
        free(row);
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

static void cluster_mark_uncommitted(Cluster *cluster, ClusterUnit *unit) {
        if (!list_node_is_linked(&unit->commit_node))
                list_append(&cluster->uncommitted, &unit->commit_node);
}

void cluster_mark_waiting_dirty(Cluster *cluster) {
        for (ListNode *node = list_first(&cluster->waiting); node;
             node = list_next(&cluster->waiting, node))
                cluster_mark_dirty(cluster, container_of(node, ClusterUnit, waiting_node));
}

static void cluster_mark_followers_dirty(Cluster *cluster, ClusterUnit *unit) {
        for (ListNode *node = list_first(&unit->followers); node;
             node = list_next(&unit->followers, node))
                cluster_mark_dirty(cluster, container_of(node, ClusterFollow, peer_node)->follower);
}

/* What changes on a machine concerns who is on it, who waits for one, and every global unit. */
static void cluster_mark_machine_dirty(Cluster *cluster, ClusterMachine *machine) {
        for (ListNode *node = list_first(&machine->rows); node;
             node = list_next(&machine->rows, node))
                cluster_mark_dirty(cluster, container_of(node, ClusterRow, machine_node)->unit);
        for (ListNode *node = list_first(&cluster->globals); node;
             node = list_next(&cluster->globals, node))
                cluster_mark_dirty(cluster, container_of(node, ClusterUnit, global_node));
        cluster_mark_waiting_dirty(cluster);
}

void cluster_set_waiting(Cluster *cluster, ClusterUnit *unit, bool is_waiting) {
        if (is_waiting && !list_node_is_linked(&unit->waiting_node))
                list_append(&cluster->waiting, &unit->waiting_node);
        else if (!is_waiting)
                list_remove(&unit->waiting_node);
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

static ClusterRow *cluster_row_new(ClusterUnit *unit, ClusterMachine *machine) {
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

/* Counts in or out what a unit that is wanted on the machine means for others there. */
static void cluster_count_rules(ClusterMachine *machine, const Requirements *requirements,
                                bool is_in) {
        if (!requirements)
                return;
        if (requirements->conflicts.n_items > 0)
                machine->n_conflicts += is_in ? 1 : (size_t)-1;
        if (requirements->replaces.n_items > 0)
                machine->n_replaces += is_in ? 1 : (size_t)-1;
}

/* Counts a row in or out of its machine's load. */
static void cluster_count_row(Cluster *cluster, ClusterRow *row, bool is_wanted) {
        ClusterMachine *machine = row->machine;

        row->is_wanted = is_wanted;
        machine->n_wanted += is_wanted ? 1 : (size_t)-1;
        cluster_count_rules(machine, row->unit->requirements, is_wanted);
        if (machine->is_present) {
                present_sift(cluster, machine);
                cluster->n_released += !is_wanted;
        }
}

static bool schedule_equals(const ScheduleRecord *a, const ScheduleRecord *b) {
        return a->desired == b->desired && a->generation == b->generation &&
               a->restart == b->restart && streq(a->file, b->file) &&
               strlist_equals(&a->after, &b->after);
}

/* A machine that is gone has no copy that could be waited for: its states went with its lease. */
static bool is_present(const Cluster *cluster, const char *id) {
        HashNode *node = hash_map_get(&cluster->machines, id);

        return node && container_of(node, ClusterMachine, node)->is_present;
}

/* Adds a machine to those that a unit comes from, once, and not beyond what a row may hold. */
static int add_origin(const Cluster *cluster, StrList *origins, const char *id) {
        if (origins->n_items >= SCHEDULE_AFTER_MAX || strlist_has(origins, id) ||
            !is_present(cluster, id))
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

/* The machines that the agent of a row's machine knows the unit to be on, or to be coming from. */
static int add_row_origins(const Cluster *cluster, StrList *origins, const ClusterRow *row,
                           const ClusterMachine *except) {
        int r = 0;

        if (row->is_stored)
                r = add_origin(cluster, origins, row->machine->id);
        return r == 0 ? add_origins(cluster, origins, &row->wanted.after, except) : r;
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
        memcpy(wanted->file, record->file, sizeof(wanted->file));
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
                if (!is_global(unit))
                        (void)add_row_origins(cluster, &unit->left, row, NULL);
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

static bool same_text(const char *a, const char *b) {
        return a == b || (a && b && streq(a, b));
}

static bool placement_equals(const PlacementRecord *a, const PlacementRecord *b) {
        return a->generation == b->generation && same_text(a->machine, b->machine) &&
               same_text(a->why, b->why);
}

static int placement_copy(const PlacementRecord *from, PlacementRecord *ret_to) {
        PlacementRecord copy = { .generation = from->generation };

        if (from->machine && !(copy.machine = strdup(from->machine)))
                return -ENOMEM;
        if (from->why && !(copy.why = strdup(from->why))) {
                placement_record_done(&copy);
                return -ENOMEM;
        }

        placement_record_done(ret_to);
        *ret_to = copy;
        return 0;
}

bool cluster_placement_differs(const ClusterUnit *unit) {
        return unit->has_wanted != unit->has_stored ||
               (unit->has_wanted && !placement_equals(&unit->wanted, &unit->stored));
}

int cluster_placement_stored(ClusterUnit *unit) {
        int r = 0;

        if (unit->has_wanted)
                r = placement_copy(&unit->wanted, &unit->stored);
        else
                placement_record_done(&unit->stored);
        unit->has_stored = unit->has_wanted;
        return r;
}

int cluster_want_placement(Cluster *cluster, ClusterUnit *unit, const char *machine,
                           const char *why) {
        PlacementRecord record = {
                .machine = (char *)machine,
                .why = (char *)why,
                .generation = unit->record.generation,
        };
        int r;

        if (!machine && !why) {
                placement_record_done(&unit->wanted);
                unit->has_wanted = false;
                if (cluster_placement_differs(unit))
                        cluster_mark_uncommitted(cluster, unit);
                return 0;
        }

        r = placement_copy(&record, &unit->wanted);
        if (r < 0)
                return r;

        unit->has_wanted = true;
        if (cluster_placement_differs(unit))
                cluster_mark_uncommitted(cluster, unit);
        return 0;
}

/* Applying records */

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
        bool is_present = !record->is_deleted;
        ClusterMachine *machine;
        int r = 0;

        /* No machine wrote this. Where there is one it writes its record again; where there is none
         * units would wait for ever. */
        if (record->is_bad && record->lease == 0)
                return 0;

        machine = cluster_machine(cluster, record->key.machine);
        if (!machine)
                return -ENOMEM;

        if (is_present && !record->is_bad)
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
        if (is_present && !machine->is_present)
                r = present_add(cluster, machine);
        else if (!is_present && machine->is_present)
                present_remove(cluster, machine);
        cluster_mark_machine_dirty(cluster, machine);
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

        if (!unit)
                return -ENOMEM;

        unit->has_stored = true;
        cluster_mark_dirty(cluster, unit);
        return record->is_bad ? 0 : placement_copy(&record->placement, &unit->stored);
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
