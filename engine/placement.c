/* SPDX-License-Identifier: Apache-2.0 */

/* Placement.
 *
 * A round plans the dirty units in passes: each pass takes those that are dirty when it begins, in
 * byte order of their names. What a decision changes for others marks these dirty for the next
 * pass: followers of a unit that moved, units that wait for room. A unit that fits where it is
 * stays there, so passes come to an end.
 *
 * Nothing healthy stops for lack of a better place: a unit whose machine is lost keeps its row
 * there unless another machine fits, and rows of global units on lost machines stay, so that a
 * machine that was merely cut off finds its schedule as it was. A unit whose record or content does
 * not parse stays as it is.
 */

#include "engine/placement.h"

#include <errno.h>

#include "lib/unit/unit-name.h"

/* Characters of a machine ID that MachineID may give in place of all (contract section 6). */
enum { MACHINE_ID_SHORT = 8 };

/* The conflict between the unit and one that is wanted on the machine, if there is one. */
static const ClusterUnit *conflicting_unit(const ClusterUnit *unit, const ClusterMachine *machine) {
        if (unit->requirements->conflicts.n_items == 0 && machine->n_conflicts == 0)
                return NULL;

        for (ListNode *node = list_first(&machine->rows); node;
             node = list_next(&machine->rows, node)) {
                const ClusterRow *row = container_of(node, ClusterRow, machine_node);
                const ClusterUnit *other = row->unit;

                if (row->is_wanted && other != unit && other->requirements &&
                    requirements_conflict(unit->name, unit->requirements, other->name,
                                          other->requirements))
                        return other;
        }

        return NULL;
}

static bool has_wanted_row(const ClusterUnit *unit, const ClusterMachine *machine) {
        const ClusterRow *row = cluster_find_row(unit, machine);

        return row && row->is_wanted;
}

Misfit placement_misfit(const ClusterUnit *unit, const ClusterMachine *machine) {
        const Requirements *requirements = unit->requirements;
        const ClusterUnit *other;

        if (!machine->is_present)
                return (Misfit){ .reason = "the machine is not there" };

        if (!requirements_allow_machine(requirements, machine->id))
                return (Misfit){ .reason = "MachineID asks for another machine",
                                 .about = requirements->machine_id };

        for (ListNode *node = list_first(&unit->follows); node;
             node = list_next(&unit->follows, node)) {
                const ClusterUnit *peer = container_of(node, ClusterFollow, follower_node)->peer;

                if (!has_wanted_row(peer, machine))
                        return (Misfit){ .reason = "MachineOf asks for the machine of",
                                         .about = peer->name };
        }

        if (!metadata_satisfies(&machine->merged, requirements))
                return (Misfit){ .reason = "MachineMetadata does not match" };

        other = conflicting_unit(unit, machine);
        if (other)
                return (Misfit){ .reason = "conflicts with", .about = other->name };

        return (Misfit){ 0 };
}

static bool machine_is_better(const ClusterMachine *a, const ClusterMachine *b) {
        if (!b || a->n_wanted != b->n_wanted)
                return !b || a->n_wanted < b->n_wanted;
        return strcmp(a->id, b->id) < 0;
}

static ClusterMachine *choose_among_peers(const ClusterUnit *unit) {
        const ClusterUnit *peer =
                container_of(list_first(&unit->follows), ClusterFollow, follower_node)->peer;
        ClusterMachine *best = NULL;

        for (ListNode *node = list_first(&peer->rows); node; node = list_next(&peer->rows, node)) {
                ClusterMachine *machine = container_of(node, ClusterRow, unit_node)->machine;

                if (machine_is_better(machine, best) && !placement_misfit(unit, machine).reason)
                        best = machine;
        }
        return best;
}

/* MachineID with a full ID names the machine; one of eight characters has to be looked for. */
static ClusterMachine *choose_named_machine(const Cluster *cluster, const ClusterUnit *unit) {
        HashNode *node = hash_map_get(&cluster->machines, unit->requirements->machine_id);
        ClusterMachine *machine = node ? container_of(node, ClusterMachine, node) : NULL;

        return machine && !placement_misfit(unit, machine).reason ? machine : NULL;
}

static ClusterMachine *choose_machine(const Cluster *cluster, const ClusterUnit *unit) {
        ClusterMachine *best = NULL;

        if (cluster->n_present == 0)
                return NULL;
        if (!list_is_empty(&unit->follows))
                return choose_among_peers(unit);
        if (unit->requirements->machine_id &&
            strlen(unit->requirements->machine_id) != MACHINE_ID_SHORT)
                return choose_named_machine(cluster, unit);
        if (!placement_misfit(unit, cluster->present[0]).reason)
                return cluster->present[0];

        for (size_t i = 1; i < cluster->n_present; i++) {
                ClusterMachine *machine = cluster->present[i];

                if (machine_is_better(machine, best) && !placement_misfit(unit, machine).reason)
                        best = machine;
        }
        return best;
}

/* The present machines with the lowest IDs, in order; returns how many. Of thousands only a few are
 * listed, so nothing is sorted as a whole. */
static size_t lowest_machines(const Cluster *cluster,
                              const ClusterMachine *ret_lowest[PLACEMENT_WHY_MACHINES]) {
        size_t n = 0;

        for (size_t i = 0; i < cluster->n_present; i++) {
                const ClusterMachine *machine = cluster->present[i];
                size_t at = n;

                while (at > 0 && strcmp(machine->id, ret_lowest[at - 1]->id) < 0)
                        at--;
                if (at == PLACEMENT_WHY_MACHINES)
                        continue;
                if (n < PLACEMENT_WHY_MACHINES)
                        n++;
                memmove(&ret_lowest[at + 1], &ret_lowest[at],
                        (n - at - 1) * sizeof(ClusterMachine *));
                ret_lowest[at] = machine;
        }
        return n;
}

static int append_misfit(Buf *out, const char *separator, const ClusterUnit *unit,
                         const ClusterMachine *machine) {
        Misfit misfit = placement_misfit(unit, machine);

        return buf_printf(out, "%s%.8s: %s%s%s", separator, machine->id,
                          misfit.reason ? misfit.reason : "fits", misfit.about ? " " : "",
                          misfit.about ? misfit.about : "");
}

/* Why no machine fits, machine by machine, in order of their IDs. Text that does not fit into the
 * buffer is left out. */
static int explain(const Cluster *cluster, const ClusterUnit *unit, Buf *out) {
        const ClusterMachine *lowest[PLACEMENT_WHY_MACHINES];
        size_t n = lowest_machines(cluster, lowest);
        int r = 0;

        if (n == 0)
                return buf_append_string(out, "no machine is registered");

        for (size_t i = 0; r == 0 && i < n; i++)
                r = append_misfit(out, i > 0 ? "; " : "", unit, lowest[i]);
        if (r == 0 && cluster->n_present > n)
                r = buf_printf(out, "; and %zu more machines", cluster->n_present - n);
        return r == -ENOMEM ? r : 0;
}

static int place_nowhere(Cluster *cluster, ClusterUnit *unit, const char *machine) {
        _cleanup_(buf_done) Buf why = buf_make(PLACEMENT_WHY_BYTES);
        int r = 0;

        if (machine)
                r = buf_printf(&why, "its machine %.8s is not there, and no other fits: ", machine);
        if (r == 0)
                r = explain(cluster, unit, &why);
        if (r == 0)
                r = cluster_want_placement(cluster, unit, machine, why.data);
        if (r == 0)
                cluster_set_waiting(cluster, unit, true);
        return r;
}

/* Unwants all rows but the one on `keep` (NULL = all). */
static void drop_rows(Cluster *cluster, ClusterUnit *unit, const ClusterMachine *keep) {
        ListNode *node = list_first(&unit->rows);

        while (node) {
                ClusterRow *row = container_of(node, ClusterRow, unit_node);

                node = list_next(&unit->rows, node);
                if (row->machine != keep)
                        cluster_unwant_row(cluster, row);
        }
}

/* The wanted row that a unit for one machine has; the one with the lowest machine ID, should there
 * be several. */
static ClusterRow *current_row(const ClusterUnit *unit) {
        ClusterRow *current = NULL;

        for (ListNode *node = list_first(&unit->rows); node; node = list_next(&unit->rows, node)) {
                ClusterRow *row = container_of(node, ClusterRow, unit_node);

                if (!row->is_wanted)
                        continue;
                if (!current || (row->machine->is_present && !current->machine->is_present) ||
                    (row->machine->is_present == current->machine->is_present &&
                     strcmp(row->machine->id, current->machine->id) < 0))
                        current = row;
        }
        return current;
}

static int place_on(Cluster *cluster, ClusterUnit *unit, ClusterMachine *machine) {
        int r = cluster_want_row(cluster, unit, machine, cluster_find_row(unit, machine));

        if (r < 0)
                return r;

        drop_rows(cluster, unit, machine);
        cluster_set_waiting(cluster, unit, false);
        return cluster_want_placement(cluster, unit, machine->id, NULL);
}

static int plan_single(Cluster *cluster, ClusterUnit *unit) {
        ClusterRow *current = current_row(unit);
        ClusterMachine *machine = current ? current->machine : NULL, *chosen;
        int r;

        if (machine && !placement_misfit(unit, machine).reason)
                return place_on(cluster, unit, machine);

        chosen = choose_machine(cluster, unit);
        if (chosen)
                return place_on(cluster, unit, chosen);

        if (machine && !machine->is_present) {
                r = cluster_want_row(cluster, unit, machine, current);
                drop_rows(cluster, unit, machine);
                return r < 0 ? r : place_nowhere(cluster, unit, machine->id);
        }

        drop_rows(cluster, unit, NULL);
        return place_nowhere(cluster, unit, NULL);
}

/* Makes each machine point to the unit's row on it, so that a global unit on thousands of machines
 * is planned in one walk. */
static void mark_rows(ClusterUnit *unit, bool is_on) {
        for (ListNode *node = list_first(&unit->rows); node; node = list_next(&unit->rows, node)) {
                ClusterRow *row = container_of(node, ClusterRow, unit_node);

                row->machine->mark = is_on ? row : NULL;
        }
}

static int plan_global_rows(Cluster *cluster, ClusterUnit *unit, size_t *ret_n_rows,
                            bool *ret_is_short) {
        _cleanup_(freep) ClusterMachine **machines = NULL;
        size_t n_machines = cluster->n_present;
        ListNode *node;
        int r = 0;

        /* The heap moves as loads change. */
        machines = malloc((n_machines + 1) * sizeof(ClusterMachine *));
        if (!machines)
                return -ENOMEM;
        memcpy(machines, cluster->present, n_machines * sizeof(ClusterMachine *));

        mark_rows(unit, true);
        for (size_t i = 0; r == 0 && i < n_machines; i++) {
                ClusterRow *row = machines[i]->mark;
                Misfit misfit = placement_misfit(unit, machines[i]);

                machines[i]->mark = NULL;
                if (!misfit.reason) {
                        r = cluster_want_row(cluster, unit, machines[i], row);
                        (*ret_n_rows)++;
                } else if (row)
                        cluster_unwant_row(cluster, row);
                if (misfit.reason)
                        *ret_is_short = true;
        }
        mark_rows(unit, false);

        for (node = list_first(&unit->rows); r == 0 && node; node = list_next(&unit->rows, node)) {
                ClusterRow *row = container_of(node, ClusterRow, unit_node);

                if (row->is_wanted && !row->machine->is_present)
                        r = cluster_want_row(cluster, unit, row->machine, row);
        }
        return r;
}

static int plan_global(Cluster *cluster, ClusterUnit *unit) {
        bool is_short = false;
        size_t n_rows = 0;
        int r;

        r = plan_global_rows(cluster, unit, &n_rows, &is_short);
        if (r < 0)
                return r;
        if (n_rows == 0)
                return place_nowhere(cluster, unit, NULL);

        cluster_set_waiting(cluster, unit, is_short);
        return cluster_want_placement(cluster, unit, NULL, NULL);
}

static int plan_unit(Cluster *cluster, ClusterUnit *unit) {
        if (unit->is_bad)
                return 0;

        if (!unit->is_known || unit->record.desired == JOB_STATE_INACTIVE ||
            unit_name_is_template(unit->name)) {
                drop_rows(cluster, unit, NULL);
                cluster_set_waiting(cluster, unit, false);
                return cluster_want_placement(cluster, unit, NULL, NULL);
        }

        if (unit->requirements)
                return unit->requirements->global ? plan_global(cluster, unit)
                                                  : plan_single(cluster, unit);

        /* The content is on its way, missing, or broken: whatever runs goes on. */
        if (list_is_empty(&unit->rows) && cluster->is_settled)
                return cluster_want_placement(cluster, unit, NULL,
                                              "its unit file is missing in the store, or broken");
        return 0;
}

static int compare_units(const void *a, const void *b) {
        const ClusterUnit *const *x = a, *const *y = b;

        return strcmp((*x)->name, (*y)->name);
}

static int plan_pass(Cluster *cluster) {
        _cleanup_(freep) ClusterUnit **units = NULL;
        size_t n_units = 0, n = 0;
        ListNode *node;
        int r = 0;

        for (node = list_first(&cluster->dirty); node; node = list_next(&cluster->dirty, node))
                n_units++;

        units = malloc(n_units * sizeof(ClusterUnit *));
        if (!units)
                return -ENOMEM;
        while ((node = list_pop(&cluster->dirty)))
                units[n++] = container_of(node, ClusterUnit, dirty_node);
        qsort(units, n, sizeof(ClusterUnit *), compare_units);

        for (size_t i = 0; i < n; i++) {
                if (r == 0)
                        r = plan_unit(cluster, units[i]);
                if (r < 0)
                        cluster_mark_dirty(cluster, units[i]);
        }
        for (size_t i = 0; i < n; i++)
                cluster_collect_unit(cluster, units[i]);
        return r;
}

int placement_plan(Cluster *cluster) {
        int r = 0;

        for (unsigned i = 0; r == 0 && i < PLACEMENT_PASSES_MAX && !list_is_empty(&cluster->dirty);
             i++)
                r = plan_pass(cluster);
        return r;
}
