/* SPDX-License-Identifier: Apache-2.0 */

/* Placement.
 *
 * A round plans the dirty units in passes. Each pass takes those that are dirty when it begins, in
 * byte order of their names, and does with them what contract section 6 calls the two steps: first
 * units leave machines that they do not fit on any more; then those that are nowhere are placed.
 * What a decision changes for others marks these dirty for the next pass: followers of a unit that
 * moved, units that are replaced where it went, units that wait for room. A unit that fits where it
 * is stays there, so passes come to an end.
 *
 * Units are placed after the units that they follow. Of units that follow each other the first
 * finds a place for all, as a unit does that finds no room: see engine/layout.h.
 *
 * Nothing healthy stops for lack of a better place: a unit whose machine is lost keeps its row
 * there unless another machine fits, and rows of global units on lost machines stay, so that a
 * machine that was merely cut off finds its schedule as it was. A machine that leaves the cluster is
 * lost in this sense: what runs there goes on until its successor runs, or in the end. A unit whose record or content does
 * not parse stays as it is.
 *
 * Reasons are written when the round is over, from what it came to.
 */

#include "engine/placement.h"

#include <errno.h>
#include <stdio.h>

#include "engine/candidates.h"
#include "engine/fit.h"
#include "engine/layout.h"
#include "engine/why.h"

/* One round. */
typedef struct Round {
        Cluster *cluster; /* borrowed */
        Candidates candidates;
        size_t n_layout_steps; /* left */
        uint64_t n_looked_max; /* Cluster.n_looked at which this step of the pass ends */
        bool is_over;          /* it has come to that: the rest is for another round */
} Round;

/* Begins a step of a pass. A leader that takes over plans every unit there is, and should answer
 * its other duties meanwhile. */
static void round_step(Round *round) {
        round->n_looked_max = round->cluster->n_looked + PLACEMENT_LOOKS_MAX;
}

/* Is the step over? Then the unit waits for another round. */
static bool round_leaves(Round *round, ClusterUnit *unit) {
        if (round->cluster->n_looked < round->n_looked_max)
                return false;

        round->is_over = true;
        cluster_mark_dirty(round->cluster, unit);
        return true;
}

/* Rows */

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

/* Is the row in the store as somebody's who writes rows? */
static bool is_sound(const ClusterRow *row) {
        return !row->is_stored || row->stored.file[0] != '\0';
}

static bool is_placed_on(const ClusterUnit *unit, const ClusterMachine *machine) {
        return unit->stored.machine && streq(unit->stored.machine, machine->id);
}

/* Of two wanted rows of a unit for one machine, is it the first that it goes by? There are several
 * when somebody has written one past the leader. */
static bool is_rather(const ClusterRow *a, const ClusterRow *b) {
        if (is_sound(a) != is_sound(b))
                return is_sound(a);
        if (a->machine->is_present != b->machine->is_present)
                return a->machine->is_present;
        if (is_placed_on(a->unit, a->machine) != is_placed_on(b->unit, b->machine))
                return is_placed_on(a->unit, a->machine);
        return strcmp(a->machine->id, b->machine->id) < 0;
}

/* The wanted row that a unit for one machine has. */
static ClusterRow *current_row(const ClusterUnit *unit) {
        ClusterRow *current = NULL;

        for (ListNode *node = list_first(&unit->rows); node; node = list_next(&unit->rows, node)) {
                ClusterRow *row = container_of(node, ClusterRow, unit_node);

                if (row->is_wanted && (!current || is_rather(row, current)))
                        current = row;
        }
        return current;
}

/* Lets those be planned again that may not be where the unit now is. */
static void mark_pushed(Cluster *cluster, const ClusterUnit *unit, const ClusterMachine *machine) {
        const Requirements *requirements = unit->requirements;

        if (requirements->replaces.n_items == 0 &&
            !(requirements->global &&
              (requirements->conflicts.n_items > 0 || machine->n_conflicts > 0)))
                return;

        for (ListNode *node = list_first(&machine->rows); node;
             node = list_next(&machine->rows, node)) {
                ClusterRow *row = container_of(node, ClusterRow, machine_node);

                if (row->is_wanted && row->unit != unit && row->unit->requirements &&
                    fit_keeps_off(cluster, unit, row->unit) != MISFIT_NONE)
                        cluster_mark_dirty(cluster, row->unit);
        }
}

static int place_on(Cluster *cluster, ClusterUnit *unit, ClusterMachine *machine) {
        int r = cluster_want_row(cluster, unit, machine, cluster_find_row(unit, machine));

        if (r < 0)
                return r;

        drop_rows(cluster, unit, machine);
        mark_pushed(cluster, unit, machine);
        cluster_set_waiting(cluster, unit, false);
        list_remove(&unit->unplaced_node);
        return cluster_want_placement(cluster, unit, machine->id, NULL);
}

/* The first step: leaving */

/* Drops the rows of a global unit where it does not fit. */
static void settle_global(Cluster *cluster, ClusterUnit *unit) {
        ListNode *node = list_first(&unit->rows);

        while (node) {
                ClusterRow *row = container_of(node, ClusterRow, unit_node);

                node = list_next(&unit->rows, node);
                if (row->is_wanted && row->machine->is_present &&
                    !fit_holds(cluster, unit, row->machine))
                        cluster_unwant_row(cluster, row);
        }
}

/* Leaves the unit on a machine that is missing and may come back. Who asks for something meanwhile
 * is told why it does not happen; nothing is written for the others. */
static int keep_held(Cluster *cluster, ClusterUnit *unit, ClusterRow *current) {
        const PlacementRecord *known = unit->has_wanted ? &unit->wanted : &unit->stored;
        const char *id = current->machine->id;
        char why[192];
        int r;

        r = cluster_want_row(cluster, unit, current->machine, current);
        if (r < 0)
                return r;

        cluster_set_waiting(cluster, unit, false);
        list_remove(&unit->unplaced_node);
        if (known->generation == unit->record.generation && known->machine &&
            streq(known->machine, id))
                return cluster_want_placement(cluster, unit, id, known->why);
        (void)snprintf(why, sizeof(why),
                       "machine %.8s is missing, and keeps its units until it is back or given up "
                       "(fleetctl list-machines, fleetctl evict)",
                       id);
        return cluster_want_placement(cluster, unit, id, why);
}

/* Leaves the unit where it is, if it can be there; drops its rows if it cannot. One on a machine
 * that is lost keeps the row until there is another. */
static int settle_single(Cluster *cluster, ClusterUnit *unit) {
        ClusterRow *current = current_row(unit);

        unit->is_pending = false;
        if (current && !current->machine->is_present && current->machine->is_held)
                return keep_held(cluster, unit, current);

        unit->is_pending = true;
        if (!current || !current->machine->is_present)
                return 0;
        if (!fit_holds(cluster, unit, current->machine)) {
                drop_rows(cluster, unit, NULL);
                return 0;
        }

        unit->is_pending = false;
        return place_on(cluster, unit, current->machine);
}

/* Sets is_pending where a place is to be found. */
static int settle(Cluster *cluster, ClusterUnit *unit) {
        if (unit->is_bad)
                return 0;

        /* The content is on its way, missing, or broken: whatever runs goes on. */
        if (unit->is_known && unit->record.desired != JOB_STATE_INACTIVE && !unit->requirements) {
                if (list_is_empty(&unit->rows) && cluster->is_settled)
                        return cluster_want_placement(
                                cluster, unit, NULL,
                                "its unit file is missing in the store, or broken");
                return 0;
        }

        if (!fit_is_placeable(unit)) {
                drop_rows(cluster, unit, NULL);
                cluster_set_waiting(cluster, unit, false);
                list_remove(&unit->unplaced_node);
                return cluster_want_placement(cluster, unit, NULL, NULL);
        }

        if (!unit->requirements->global)
                return settle_single(cluster, unit);
        settle_global(cluster, unit);
        unit->is_pending = true;
        return 0;
}

/* The second step: finding places */

static void place_nowhere(Cluster *cluster, ClusterUnit *unit) {
        cluster_set_waiting(cluster, unit, true);
        if (!list_node_is_linked(&unit->unplaced_node))
                list_append(&cluster->unplaced, &unit->unplaced_node);
}

/* Makes each machine point to the unit's row on it, so that a global unit on thousands of machines
 * is planned in one walk. */
static void mark_rows(ClusterUnit *unit, bool is_on) {
        for (ListNode *node = list_first(&unit->rows); node; node = list_next(&unit->rows, node)) {
                ClusterRow *row = container_of(node, ClusterRow, unit_node);

                row->machine->mark = is_on ? row : NULL;
        }
}

static int place_global_on_all(Cluster *cluster, ClusterUnit *unit, size_t *ret_n_rows,
                               bool *ret_is_short) {
        int r = 0;

        /* By ID: the heap moves as loads change. */
        cluster_sort_machines(cluster);
        mark_rows(unit, true);
        for (size_t i = 0; r == 0 && i < cluster->n_present; i++) {
                ClusterMachine *machine = cluster->by_id[i];
                ClusterRow *row = machine->mark;

                machine->mark = NULL;
                if (!(row && row->is_wanted) && !fit_holds(cluster, unit, machine)) {
                        *ret_is_short = true;
                        continue;
                }
                r = cluster_want_row(cluster, unit, machine, row);
                mark_pushed(cluster, unit, machine);
                (*ret_n_rows)++;
        }
        mark_rows(unit, false);

        for (ListNode *node = list_first(&unit->rows); r == 0 && node;
             node = list_next(&unit->rows, node)) {
                ClusterRow *row = container_of(node, ClusterRow, unit_node);

                if (row->is_wanted && !row->machine->is_present)
                        r = cluster_want_row(cluster, unit, row->machine, row);
        }
        return r;
}

static int place_global(Cluster *cluster, ClusterUnit *unit) {
        bool is_short = false;
        size_t n_rows = 0;
        int r;

        r = place_global_on_all(cluster, unit, &n_rows, &is_short);
        if (r < 0)
                return r;
        if (n_rows == 0) {
                place_nowhere(cluster, unit);
                return 0;
        }

        cluster_set_waiting(cluster, unit, is_short);
        list_remove(&unit->unplaced_node);
        return cluster_want_placement(cluster, unit, NULL, NULL);
}

static int place_by_layout(Round *round, ClusterUnit *unit) {
        _cleanup_(freep) LayoutMove *moves = NULL;
        size_t n_moves;
        int r;

        r = layout_find(&round->candidates, unit, &round->n_layout_steps, &moves, &n_moves);
        for (size_t i = 0; r == 0 && i < n_moves; i++)
                r = place_on(round->cluster, moves[i].unit, moves[i].machine);
        return r;
}

static bool is_placed(const ClusterUnit *unit) {
        const ClusterRow *current = current_row(unit);

        return current && current->machine->is_present;
}

/* Where the unit is by its placement though it has no row, if it fits there; or NULL. Somebody has
 * removed the row while nobody led. */
static ClusterMachine *place_without_row(Cluster *cluster, const ClusterUnit *unit) {
        ClusterMachine *machine = NULL;

        if (list_is_empty(&unit->rows) && unit->stored.machine)
                machine = cluster_find_machine(cluster, unit->stored.machine);
        return machine && fit_holds(cluster, unit, machine) ? machine : NULL;
}

/* The machine that the unit was about to leave, if it fits there after all, now that others have
 * left; or where it is without a row; or NULL. */
static ClusterMachine *place_to_stay(Cluster *cluster, const ClusterUnit *unit) {
        ClusterMachine *stay = place_without_row(cluster, unit);

        for (ListNode *node = list_first(&unit->rows); node; node = list_next(&unit->rows, node)) {
                const ClusterRow *row = container_of(node, ClusterRow, unit_node);

                if (row->is_stored && (!stay || strcmp(row->machine->id, stay->id) < 0) &&
                    fit_holds(cluster, unit, row->machine))
                        stay = row->machine;
        }
        return stay;
}

static int place_single(Round *round, ClusterUnit *unit) {
        Cluster *cluster = round->cluster;
        ClusterMachine *machine;
        ClusterRow *current;
        int r = 0;

        /* With another one of its group. */
        if (is_placed(unit))
                return 0;

        machine = place_to_stay(cluster, unit);
        if (!machine)
                r = candidates_choose(&round->candidates, unit, &machine);
        if (r < 0)
                return r;
        if (machine)
                return place_on(cluster, unit, machine);

        r = place_by_layout(round, unit);
        if (r < 0 || is_placed(unit))
                return r;

        current = current_row(unit);
        if (current) {
                r = cluster_want_row(cluster, unit, current->machine, current);
                drop_rows(cluster, unit, current->machine);
        }
        place_nowhere(cluster, unit);
        return r;
}

static int place(Round *round, ClusterUnit *unit) {
        unit->is_pending = false;
        if (round_leaves(round, unit))
                return 0;
        return unit->requirements->global ? place_global(round->cluster, unit)
                                          : place_single(round, unit);
}

static int compare_units(const void *a, const void *b) {
        const ClusterUnit *const *x = a, *const *y = b;

        return strcmp((*x)->name, (*y)->name);
}

static void count_awaited(ClusterUnit *unit) {
        unit->n_awaited = 0;
        for (ListNode *node = list_first(&unit->follows); node;
             node = list_next(&unit->follows, node))
                unit->n_awaited +=
                        container_of(node, ClusterFollow, follower_node)->peer->is_pending;
}

/* Appends those that have waited for this unit only. */
static void release_followers(const ClusterUnit *unit, ClusterUnit **ready, size_t *io_n) {
        for (ListNode *node = list_first(&unit->followers); node;
             node = list_next(&unit->followers, node)) {
                ClusterUnit *follower = container_of(node, ClusterFollow, peer_node)->follower;

                if (follower->is_pending && --follower->n_awaited == 0)
                        ready[(*io_n)++] = follower;
        }
}

/* Places what is pending in waves: first the units that wait for no other, then those that waited
 * for these only. What is left follows itself, or waits for such a unit. `waves` has room for all
 * of `units`, twice. */
static int place_pending(Round *round, ClusterUnit **units, size_t n_units, ClusterUnit **waves) {
        ClusterUnit **wave = waves, **next = waves + n_units, **swap;
        size_t n_wave = 0, n_next = 0;
        int r = 0;

        for (size_t i = 0; i < n_units; i++)
                if (units[i]->is_pending) {
                        count_awaited(units[i]);
                        if (units[i]->n_awaited == 0)
                                wave[n_wave++] = units[i];
                }

        while (n_wave > 0) {
                for (size_t i = 0; r == 0 && i < n_wave; i++) {
                        r = place(round, wave[i]);
                        release_followers(wave[i], next, &n_next);
                }
                qsort(next, n_next, sizeof(ClusterUnit *), compare_units);
                swap = wave;
                wave = next;
                next = swap;
                n_wave = r == 0 ? n_next : 0;
                n_next = 0;
        }

        for (size_t i = 0; r == 0 && i < n_units; i++)
                if (units[i]->is_pending)
                        r = place(round, units[i]);
        return r;
}

/* Rounds */

/* Takes the dirty units, by name, with room for them twice more behind; the caller frees it. */
static int take_dirty(Cluster *cluster, ClusterUnit ***ret_units, size_t *ret_n) {
        ClusterUnit **units;
        size_t n = 0;
        ListNode *node;

        for (node = list_first(&cluster->dirty); node; node = list_next(&cluster->dirty, node))
                n++;
        units = reallocarray(NULL, 3 * n + 1, sizeof(ClusterUnit *));
        if (!units)
                return -ENOMEM;

        n = 0;
        while ((node = list_pop(&cluster->dirty)))
                units[n++] = container_of(node, ClusterUnit, dirty_node);
        qsort(units, n, sizeof(ClusterUnit *), compare_units);
        *ret_units = units;
        *ret_n = n;
        return 0;
}

static int plan_pass(Round *round) {
        _cleanup_(freep) ClusterUnit **units = NULL;
        size_t n;
        int r;

        r = take_dirty(round->cluster, &units, &n);
        if (r < 0)
                return r;

        round_step(round);
        for (size_t i = 0; r == 0 && i < n; i++)
                if (!round_leaves(round, units[i]))
                        r = settle(round->cluster, units[i]);
        round_step(round);
        if (r == 0)
                r = place_pending(round, units, n, units + n);

        for (size_t i = 0; i < n; i++) {
                units[i]->is_pending = false;
                if (r < 0)
                        cluster_mark_dirty(round->cluster, units[i]);
        }
        for (size_t i = 0; i < n; i++)
                cluster_collect_unit(round->cluster, units[i]);
        return r;
}

static int explain(Round *round, ClusterUnit *unit) {
        _cleanup_(buf_done) Buf why = buf_make(WHY_BYTES_MAX);
        const ClusterRow *current = unit->requirements->global ? NULL : current_row(unit);
        const ClusterMachine *lost = current ? current->machine : NULL;
        int r;

        r = why_write(&round->candidates, unit, lost, &why);
        return r < 0 ? r
                     : cluster_want_placement(round->cluster, unit, lost ? lost->id : NULL,
                                              why.data);
}

/* Writes the reasons, unless the round has failed with `r`. */
static int explain_unplaced(Round *round, int r) {
        List *unplaced = &round->cluster->unplaced;
        ListNode *node;

        while ((node = list_pop(unplaced))) {
                ClusterUnit *unit = container_of(node, ClusterUnit, unplaced_node);

                if (r == 0)
                        r = explain(round, unit);
                if (r < 0)
                        cluster_mark_dirty(round->cluster, unit);
        }
        return r;
}

/* Whether a Replaces counts depends on chains that may lead over any unit: see engine/fit.c. */
static void look_at_chains_again(Cluster *cluster) {
        const List *replacers = &cluster->replacers;

        if (cluster->has_new_chains && !list_is_empty(replacers))
                cluster_mark_waiting_dirty(cluster);
        for (ListNode *node = list_first(replacers); cluster->has_new_chains && node;
             node = list_next(replacers, node))
                cluster_mark_dirty(cluster, container_of(node, ClusterUnit, replacer_node));
        cluster->has_new_chains = false;
}

int placement_plan(Cluster *cluster) {
        Round round = { .cluster = cluster, .n_layout_steps = LAYOUT_ROUND_STEPS_MAX };
        int r = 0;

        look_at_chains_again(cluster);
        candidates_init(&round.candidates, cluster);
        for (unsigned i = 0; r == 0 && !round.is_over && i < PLACEMENT_PASSES_MAX &&
                             !list_is_empty(&cluster->dirty);
             i++)
                r = plan_pass(&round);
        r = explain_unplaced(&round, r);
        candidates_done(&round.candidates);
        return r;
}
