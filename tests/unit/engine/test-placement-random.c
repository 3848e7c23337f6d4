/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>

#include "engine/placement.h"
#include "tests/sim/virtual-env.h"
#include "tests/unit/engine/table.h"
#include "tests/unit/fault.h"

/* Random clusters, and what holds of every plan. */

enum { N_UNITS = 40, N_MACHINES = 5 };

static const char *const all_options[] = {
        "",
        "MachineMetadata=d=ssd",
        "Conflicts=u1*.service",
        "Global=true",
        "Global=true\nMachineMetadata=d=ssd",
        "MachineOf=u05.service",
        "MachineOf=u06.service\nMachineMetadata=d=ssd",
        "MachineID=m3",
        "Conflicts=*",
        "Replaces=u2*.service",
        "Replaces=u0*.service u2*.service\nMachineMetadata=d=ssd",
        "Replaces=u[0-3]3.service",
        "MachineOf=u20.service\nReplaces=u0*.service",
        "MachineOf=u07.service\nReplaces=u1[0-4].service",
        "MachineOf=u03.service\nConflicts=u3*.service",
        "Global=true\nConflicts=u1*.service u2*.service",
        "MachineOf=u13.service\nMachineOf=u23.service",
};

static void check_pair(const ClusterUnit *unit, const ClusterUnit *other) {
        ck_assert(!requirements_conflict(unit->name, unit->requirements, other->name,
                                         other->requirements));
        /* The simple case, in which no circle can make it void. */
        if (!unit->requirements->global && !other->requirements->global &&
            unit->requirements->replaces.n_items == 0 && list_is_empty(&unit->followers))
                ck_assert(!requirements_replace(other->name, other->requirements, unit->name));
}

static const ClusterRow *row_on(const ClusterUnit *unit, const ClusterMachine *machine) {
        for (ListNode *node = list_first(&unit->rows); node; node = list_next(&unit->rows, node)) {
                const ClusterRow *row = container_of(node, ClusterRow, unit_node);

                if (row->is_wanted && row->machine == machine)
                        return row;
        }
        return NULL;
}

/* By the letter of the rules. */
static void check_row(const ClusterRow *row) {
        const ClusterUnit *unit = row->unit;

        ck_assert(unit->is_known && unit->record.desired != JOB_STATE_INACTIVE);
        if (!row->machine->is_present)
                return;

        ck_assert(requirements_allow_machine(unit->requirements, row->machine->id));
        ck_assert(metadata_satisfies(&row->machine->merged, unit->requirements));
        for (ListNode *node = list_first(&unit->follows); node;
             node = list_next(&unit->follows, node))
                ck_assert_ptr_nonnull(row_on(container_of(node, ClusterFollow, follower_node)->peer,
                                             row->machine));
        for (ListNode *node = list_first(&row->machine->rows); node;
             node = list_next(&row->machine->rows, node)) {
                const ClusterRow *other = container_of(node, ClusterRow, machine_node);

                if (other->is_wanted && other != row)
                        check_pair(unit, other->unit);
        }
}

static void check_unit(const ClusterUnit *unit) {
        size_t n_wanted = 0;

        for (ListNode *node = list_first(&unit->rows); node; node = list_next(&unit->rows, node)) {
                const ClusterRow *row = container_of(node, ClusterRow, unit_node);

                if (!row->is_wanted)
                        continue;
                n_wanted++;
                check_row(row);
        }
        if (!unit->is_known || unit->record.desired == JOB_STATE_INACTIVE) {
                ck_assert_uint_eq(n_wanted, 0);
                return;
        }

        ck_assert(unit->requirements->global || n_wanted <= 1);
        if (n_wanted == 0)
                ck_assert(unit->has_wanted && unit->wanted.why && *unit->wanted.why);
        ck_assert_ptr_null(unit->block);
        ck_assert(!unit->is_pending && !list_node_is_linked(&unit->unplaced_node));
}

static void check_loads(const Cluster *cluster) {
        for (HashNode *node = hash_map_first(&cluster->machines); node;
             node = hash_map_next(&cluster->machines, node)) {
                const ClusterMachine *machine = container_of(node, ClusterMachine, node);
                size_t n_wanted = 0, n_conflicts = 0, n_replaces = 0;

                for (ListNode *r = list_first(&machine->rows); r;
                     r = list_next(&machine->rows, r)) {
                        const ClusterRow *row = container_of(r, ClusterRow, machine_node);

                        if (!row->is_wanted)
                                continue;
                        n_wanted++;
                        n_conflicts += row->unit->requirements->conflicts.n_items > 0;
                        n_replaces += row->unit->requirements->replaces.n_items > 0;
                }
                ck_assert_uint_eq(machine->n_wanted, n_wanted);
                ck_assert_uint_eq(machine->n_conflicts, n_conflicts);
                ck_assert_uint_eq(machine->n_replaces, n_replaces);
        }
}

static void check_plan(const Cluster *cluster) {
        check_loads(cluster);
        for (HashNode *node = hash_map_first(&cluster->units); node;
             node = hash_map_next(&cluster->units, node))
                check_unit(container_of(node, ClusterUnit, node));
}

/* A plan, the invariants, and that the plan is its own plan, before a commit and after it. */
static void plan_and_check(Cluster *cluster, bool is_committed) {
        char first[65536];

        view_plan(cluster);
        check_plan(cluster);
        (void)snprintf(first, sizeof(first), "%s", view_plan_text(cluster));
        view_plan_all(cluster);
        ck_assert_str_eq(view_plan_text(cluster), first);
        if (!is_committed)
                return;

        (void)view_commit(cluster);
        for (int i = 0; i < 2; i++) {
                view_plan_all(cluster);
                ck_assert_uint_eq(view_commit(cluster), 0);
        }
}

static size_t random_kind(VirtualEnv *env, size_t i) {
        return env_random_below(&env->env, i % 3 == 0 ? ELEMENTSOF(all_options) : 3);
}

static void apply_random(Cluster *cluster, VirtualEnv *env) {
        size_t i = env_random_below(&env->env, N_UNITS);
        char unit[16], machine[16];

        (void)snprintf(unit, sizeof(unit), "u%02zu", i);
        (void)snprintf(machine, sizeof(machine), "m%zu", i % N_MACHINES);
        switch (env_random_below(&env->env, 10)) {
        case 0:
                view_machine_gone(cluster, machine);
                break;
        case 1:
                view_machine(cluster, machine, env_random_below(&env->env, 2) ? "d=ssd" : "");
                break;
        case 2:
                view_unit_gone(cluster, unit);
                break;
        case 3:
                view_unit(cluster, unit, "", JOB_STATE_INACTIVE, 1);
                break;
        default:
                view_unit(cluster, unit, all_options[random_kind(env, i * 3)], JOB_STATE_LAUNCHED,
                          env->random_state[0] % 1000);
        }
}

/* Records in any order: the same plan, for the same reasons. */
START_TEST(test_any_order) {
        for (uint64_t seed = 0; seed < 80; seed++) {
                char first[65536] = "", whys[N_UNITS][1025];

                for (int order = 0; order < 3; order++) {
                        VirtualEnv env;
                        Cluster cluster;
                        size_t kind[N_UNITS];

                        virtual_env_init(&env, seed);
                        for (size_t i = 0; i < N_UNITS; i++)
                                kind[i] = random_kind(&env, i);
                        cluster_init(&cluster, seed + (unsigned)order);
                        for (size_t k = 0; k < N_UNITS; k++) {
                                size_t i = order == 0   ? k
                                           : order == 1 ? N_UNITS - 1 - k
                                                        : (k * 7 + 3) % N_UNITS;
                                char name[16], id[16];

                                (void)snprintf(name, sizeof(name), "u%02zu", i);
                                view_unit(&cluster, name, all_options[kind[i]], JOB_STATE_LAUNCHED,
                                          1);
                                (void)snprintf(id, sizeof(id), "m%zu", i % N_MACHINES);
                                view_machine(&cluster, id, i % N_MACHINES < 2 ? "d=ssd" : "");
                        }
                        view_plan_all(&cluster);
                        check_plan(&cluster);
                        if (order == 0)
                                (void)snprintf(first, sizeof(first), "%s",
                                               view_plan_text(&cluster));
                        ck_assert_str_eq(view_plan_text(&cluster), first);
                        for (size_t i = 0; i < N_UNITS; i++) {
                                char name[16];

                                (void)snprintf(name, sizeof(name), "u%02zu", i);
                                if (order == 0)
                                        (void)snprintf(whys[i], sizeof(whys[i]), "%s",
                                                       view_why(&cluster, name));
                                ck_assert_str_eq(view_why(&cluster, name), whys[i]);
                        }
                        cluster_done(&cluster);
                }
        }
}
END_TEST

/* Whatever happens, in whatever order, some of it written and some not yet: every plan keeps the
 * rules, and comes to rest. */
START_TEST(test_any_life) {
        for (uint64_t seed = 0; seed < 50; seed++) {
                VirtualEnv env;
                Cluster cluster;

                virtual_env_init(&env, seed);
                cluster_init(&cluster, seed);
                view_machine(&cluster, "m0", "d=ssd");
                view_machine(&cluster, "m1", "");
                for (int step = 0; step < 60; step++) {
                        size_t n = 1 + env_random_below(&env.env, step % 7 == 0 ? 20 : 2);

                        for (size_t i = 0; i < n; i++)
                                apply_random(&cluster, &env);
                        cluster.is_settled = true;
                        plan_and_check(&cluster, env_random_below(&env.env, 3) > 0);
                }
                cluster_done(&cluster);
        }
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_any_order,
                test_any_life,
        };

        return tests_run("engine placement random", tests, ELEMENTSOF(tests));
}
