/* SPDX-License-Identifier: Apache-2.0 */

/* The rules.
 *
 * Conflicts are symmetric, but for two global units: these are accepted in the order of their
 * names, so the earlier one does not mind the later one.
 *
 * Replaces is not: the unit goes where it goes, and one that it replaces may not be on that machine
 * as long as it is there. So whoever is replaced has to leave, as if it had lost its metadata, and
 * finds another place by its own constraints. Two units that replace each other would chase each
 * other for ever. So would longer circles, and circles in which one of the units drags along
 * another by MachineOf. Hence a Replaces counts only where no chain of Replaces and MachineOf leads
 * from the unit that is replaced back to the one that replaces it. Without circles, who moves for
 * whom is an order, and an order comes to an end. Global units have nowhere else to go: they are
 * not replaced.
 */

#include "engine/fit.h"

#include "lib/unit/unit-name.h"

enum {
        WALK_UNITS_MAX = 256,   /* units that a walk over Replaces and MachineOf keeps in mind */
        WALK_GLOBS_MAX = 65536, /* units that it compares with others; beyond either, the Replaces
                                   does not count */
};

/* A walk backwards, from a unit to those whose moves can move it. */
typedef struct Walk {
        Cluster *cluster;
        const ClusterUnit *stack[WALK_UNITS_MAX];
        size_t n_stacked;
        size_t n_compared;
        bool is_too_long;
} Walk;

static void walk_push(Walk *walk, ClusterUnit *unit) {
        if (unit->visit == walk->cluster->n_visits)
                return;
        if (walk->n_stacked == WALK_UNITS_MAX) {
                walk->is_too_long = true;
                return;
        }

        unit->visit = walk->cluster->n_visits;
        walk->stack[walk->n_stacked++] = unit;
}

static bool has_replaces(const ClusterUnit *unit) {
        return list_node_is_linked(&unit->replacer_node);
}

static void walk_step(Walk *walk, const ClusterUnit *unit) {
        const List *replacers = &walk->cluster->replacers;

        for (ListNode *node = list_first(&unit->follows); node;
             node = list_next(&unit->follows, node))
                walk_push(walk, container_of(node, ClusterFollow, follower_node)->peer);

        for (ListNode *node = list_first(replacers); node; node = list_next(replacers, node)) {
                ClusterUnit *other = container_of(node, ClusterUnit, replacer_node);

                if (requirements_replace(other->name, other->requirements, unit->name))
                        walk_push(walk, other);
                walk->is_too_long |= ++walk->n_compared > WALK_GLOBS_MAX;
        }
}

/* Can a move of `from` make `to` move, over whatever chain? True also when that takes too long to
 * find out. */
static bool moves_reach(Cluster *cluster, const ClusterUnit *from, const ClusterUnit *to) {
        Walk walk = { .cluster = cluster };

        cluster->n_visits++;
        walk_step(&walk, to);
        while (walk.n_stacked > 0 && !walk.is_too_long) {
                const ClusterUnit *unit = walk.stack[--walk.n_stacked];

                if (unit == from)
                        return true;
                walk_step(&walk, unit);
        }
        return walk.is_too_long;
}

/* Has `unit` to leave the machine of `other`? */
static bool is_replaced(Cluster *cluster, const ClusterUnit *other, const ClusterUnit *unit) {
        if (!has_replaces(other) || unit->requirements->global ||
            !requirements_replace(other->name, other->requirements, unit->name))
                return false;

        /* The usual case: nothing can follow from a move of the unit. */
        if (!has_replaces(unit) && list_is_empty(&unit->followers))
                return true;
        return !moves_reach(cluster, unit, other);
}

MisfitKind fit_keeps_off(Cluster *cluster, const ClusterUnit *other, const ClusterUnit *unit) {
        const Requirements *a = unit->requirements, *b = other->requirements;

        if ((a->conflicts.n_items > 0 || b->conflicts.n_items > 0) &&
            requirements_conflict(unit->name, a, other->name, b) &&
            !(a->global && b->global && strcmp(unit->name, other->name) < 0))
                return MISFIT_CONFLICT;
        if (is_replaced(cluster, other, unit))
                return MISFIT_REPLACED;
        return MISFIT_NONE;
}

/* Who keeps the unit off the machine: somebody, or the first by name. */
static Misfit find_rival(Cluster *cluster, const ClusterUnit *unit, const ClusterMachine *machine,
                         bool is_first_wanted) {
        Misfit found = { .kind = MISFIT_NONE };

        if (unit->requirements->conflicts.n_items == 0 && machine->n_conflicts == 0 &&
            machine->n_replaces == 0)
                return found;

        for (ListNode *node = list_first(&machine->rows); node;
             node = list_next(&machine->rows, node)) {
                const ClusterRow *row = container_of(node, ClusterRow, machine_node);
                const ClusterUnit *other = row->unit;
                MisfitKind kind;

                cluster->n_looked++;
                if (!row->is_wanted || other == unit || !other->requirements ||
                    (found.other && strcmp(other->name, found.other->name) > 0))
                        continue;
                kind = fit_keeps_off(cluster, other, unit);
                if (kind != MISFIT_NONE)
                        found = (Misfit){ .kind = kind, .other = other };
                if (found.other && !is_first_wanted)
                        break;
        }
        return found;
}

bool fit_excludes_itself(const ClusterUnit *unit, const ClusterMachine *machine) {
        static const Requirements none;

        for (ListNode *node = list_first(&machine->rows); node;
             node = list_next(&machine->rows, node)) {
                const ClusterRow *row = container_of(node, ClusterRow, machine_node);

                if (row->is_wanted && row->unit != unit &&
                    requirements_conflict(unit->name, unit->requirements, row->unit->name, &none))
                        return true;
        }
        return false;
}

bool fit_is_on(const ClusterUnit *unit, const ClusterMachine *machine) {
        const ClusterRow *row = cluster_find_row(unit, machine);

        return row && row->is_wanted;
}

/* The first of the unit's peers that is not on the machine, or NULL. A unit is with itself. */
static const ClusterUnit *missing_peer(const ClusterUnit *unit, const ClusterMachine *machine) {
        for (ListNode *node = list_first(&unit->follows); node;
             node = list_next(&unit->follows, node)) {
                const ClusterUnit *peer = container_of(node, ClusterFollow, follower_node)->peer;

                if (peer != unit && !fit_is_on(peer, machine))
                        return peer;
        }
        return NULL;
}

const char *fit_missing_key(const Requirements *requirements, const Metadata *metadata) {
        for (size_t i = 0; i < requirements->n_metadata; i++) {
                const char *key = requirements->metadata[i].key;
                const char *value = metadata_get(metadata, key);
                bool is_satisfied = false;

                for (size_t k = 0; value && !is_satisfied && k < requirements->n_metadata; k++)
                        is_satisfied = streq(requirements->metadata[k].key, key) &&
                                       streq(requirements->metadata[k].value, value);
                if (!is_satisfied)
                        return key;
        }
        return NULL;
}

bool fit_allows(const ClusterUnit *unit, const ClusterMachine *machine) {
        return machine->is_present && requirements_allow_machine(unit->requirements, machine->id) &&
               metadata_satisfies(&machine->merged, unit->requirements);
}

bool fit_holds(Cluster *cluster, const ClusterUnit *unit, const ClusterMachine *machine) {
        cluster->n_looked++;
        return fit_allows(unit, machine) && !missing_peer(unit, machine) &&
               find_rival(cluster, unit, machine, false).kind == MISFIT_NONE;
}

Misfit fit_explain(Cluster *cluster, const ClusterUnit *unit, const ClusterMachine *machine) {
        const Requirements *requirements = unit->requirements;
        const ClusterUnit *peer;
        const char *key;

        if (!machine->is_present)
                return (Misfit){ .kind = MISFIT_ABSENT };
        if (!requirements_allow_machine(requirements, machine->id))
                return (Misfit){ .kind = MISFIT_MACHINE_ID };

        key = fit_missing_key(requirements, &machine->merged);
        if (key)
                return (Misfit){ .kind = MISFIT_METADATA, .key = key };
        peer = missing_peer(unit, machine);
        if (peer)
                return (Misfit){ .kind = MISFIT_PEER, .other = peer };
        return find_rival(cluster, unit, machine, true);
}

bool fit_is_placeable(const ClusterUnit *unit) {
        return unit->is_known && !unit->is_bad && unit->record.desired != JOB_STATE_INACTIVE &&
               unit->requirements && !unit_name_is_template(unit->name);
}
