/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>

#include "engine/layout.h"
#include "engine/placement.h"
#include "tests/sim/virtual-env.h"
#include "tests/unit/engine/table.h"
#include "tests/unit/fault.h"

/* Batches that need the right layout: where there is one, it is found. */

static const JobState L = JOB_STATE_LAUNCHED;

/* By name alone each of these leaves out a unit for which there is room. */
START_TEST(test_layouts) {
        static const TableRow rows[] = {
                { "the one that fits anywhere leaves the machine that another needs",
                  { { "m1", "d=ssd" }, { "m2" } },
                  { { "a", "Conflicts=b.service" }, { "b", "MachineMetadata=d=ssd" } },
                  "a=m2 b=m1" },
                { "for MachineID",
                  { { "m1" }, { "m2" } },
                  { { "a", "Conflicts=b.service" }, { "b", "MachineID=m1" } },
                  "a=m2 b=m1" },
                { "over several hops",
                  { { "m1", "x=1" }, { "m2", "x=1,y=1" }, { "m3", "y=1,z=1" }, { "m4", "z=1" } },
                  { { "a", "Conflicts=*\nMachineMetadata=z=1" },
                    { "b", "Conflicts=*\nMachineMetadata=y=1" },
                    { "c", "Conflicts=*\nMachineMetadata=x=1" },
                    { "d", "Conflicts=*\nMachineMetadata=x=1" } },
                  "a=m4 b=m3 c=m2 d=m1" },
                { "a peer goes where its follower can be",
                  { { "m1" }, { "m2", "d=ssd" } },
                  { { "a" }, { "b", "MachineOf=a.service\nMachineMetadata=d=ssd" } },
                  "a=m2 b=m2" },
                { "a chain goes where its last can be",
                  { { "m1" }, { "m2" }, { "m3", "d=ssd" } },
                  { { "a" },
                    { "b", "MachineOf=a.service" },
                    { "c", "MachineOf=b.service" },
                    { "d", "MachineOf=c.service\nMachineMetadata=d=ssd" } },
                  "a=m3 b=m3 c=m3 d=m3" },
                { "two peers of one unit come together",
                  { { "m1" }, { "m2" } },
                  { { "a" }, { "b" }, { "c", "MachineOf=a.service\nMachineOf=b.service" } },
                  "a=m1 b=m1 c=m1" },
                { "a follower keeps its peer off a machine by its conflict",
                  { { "m1" }, { "m2" }, { "m3" } },
                  { { "x", NULL, "m1" },
                    { "y", NULL, "m2" },
                    { "z", NULL, "m3" },
                    { "zz", NULL, "m3" },
                    { "a" },
                    { "b", "MachineOf=a.service\nConflicts=x.service y.service" } },
                  "a=m3 b=m3 x=m1 y=m2 z=m3 zz=m3" },
                { "one follower that fits nowhere does not hold up the others",
                  { { "m1" }, { "m2", "d=ssd" } },
                  { { "a" },
                    { "b", "MachineOf=a.service\nMachineMetadata=d=tape" },
                    { "c", "MachineOf=a.service\nMachineMetadata=d=ssd" } },
                  "a=m2 b=- c=m2",
                  "b",
                  "m2: metadata d=tape wanted, has d=ssd; and 1 more: MachineOf=a.service" },
                { "units that name each other go together",
                  { { "m1" }, { "m2", "d=ssd" } },
                  { { "a", "MachineOf=b.service" },
                    { "b", "MachineOf=a.service\nMachineMetadata=d=ssd" } },
                  "a=m2 b=m2" },
                { "what runs is not moved",
                  { { "m1", "d=ssd" }, { "m2" } },
                  { { "a", "Conflicts=b.service", "m1" }, { "b", "MachineMetadata=d=ssd" } },
                  "a=m1 b=-",
                  "b",
                  "m1: a.service conflicts with it; m2: metadata d=ssd wanted, has no d" },
                { "nor is one that a unit follows that runs",
                  { { "m1", "d=ssd" }, { "m2" } },
                  { { "p", NULL, "m1" },
                    { "f", "MachineOf=p.service", "m1" },
                    { "b", "MachineMetadata=d=ssd\nConflicts=f.service" } },
                  "b=- f=m1 p=m1" },
        };

        table_check(rows, ELEMENTSOF(rows));
}
END_TEST

/* Seventeen that may not meet on sixteen machines: what cannot be ends in time, and one is left
 * out. */
START_TEST(test_no_layout) {
        size_t n_placed = 0;
        Cluster cluster;

        cluster_init(&cluster, 1);
        for (int i = 0; i < 17; i++) {
                char name[16];

                (void)snprintf(name, sizeof(name), "m%02d", i);
                if (i < 16)
                        view_machine(&cluster, name, "");
                (void)snprintf(name, sizeof(name), "u%02d", i);
                view_unit(&cluster, name, "Conflicts=*", L, 1);
        }
        view_plan_all(&cluster);
        for (HashNode *node = hash_map_first(&cluster.units); node;
             node = hash_map_next(&cluster.units, node))
                n_placed += container_of(node, ClusterUnit, node)->n_rows;
        ck_assert_uint_eq(n_placed, 16);
        cluster_done(&cluster);
}
END_TEST

/* A tight layout of many: unit i can be on the machines i and i + 1, and the last one on the first
 * only, so that each has to move by one. */
START_TEST(test_long_way) {
        enum { N = 100 };
        Cluster cluster;

        cluster_init(&cluster, 1);
        for (int i = 0; i < N; i++) {
                char name[16], text[128] = "Conflicts=*\nMachineID=m000";

                /* One key with two values: this machine's and the next one's. */
                if (i < N - 1)
                        (void)snprintf(text, sizeof(text),
                                       "Conflicts=*\nMachineMetadata=n=%d\nMachineMetadata=n=%d", i,
                                       i + 1);
                (void)snprintf(name, sizeof(name), "u%03d", i);
                view_unit(&cluster, name, text, L, 1);
                (void)snprintf(name, sizeof(name), "m%03d", i);
                (void)snprintf(text, sizeof(text), "n=%d", i);
                view_machine(&cluster, name, text);
        }
        view_plan_all(&cluster);
        for (int i = 0; i < N; i++) {
                char expected[32];

                (void)snprintf(expected, sizeof(expected), "u%03d=m%03d", i, (i + 1) % N);
                ck_assert_ptr_nonnull(strstr(view_plan_text(&cluster), expected));
        }
        cluster_done(&cluster);
}
END_TEST

/* The pairs of a large block are work, which a round counts. */
START_TEST(test_block_is_counted) {
        enum { N = 100 };
        Cluster cluster;
        uint64_t n_before;

        cluster_init(&cluster, 1);
        view_machine(&cluster, "m1", "d=ssd");
        view_machine(&cluster, "m2", "");
        view_unit(&cluster, "a", "MachineID=m2", L, 1);
        view_unit(&cluster, "a000", "", L, 1);
        for (int i = 1; i < N; i++) {
                char name[16], text[64];

                (void)snprintf(name, sizeof(name), "a%03d", i);
                (void)snprintf(text, sizeof(text), "MachineOf=a%03d.service", i - 1);
                view_unit(&cluster, name, text, L, 1);
        }
        view_plan_all(&cluster);
        n_before = cluster.n_looked;
        view_unit(&cluster, "z", "MachineMetadata=d=ssd\nConflicts=a000.service", L, 1);
        view_plan(&cluster);
        ck_assert_int_eq(strncmp(view_plan_text(&cluster), "a=m2 a000=m2 a001=m2 ", 21), 0);
        ck_assert_uint_ge(cluster.n_looked - n_before, N * (N - 1) / 2);
        cluster_done(&cluster);
}
END_TEST

/* Against brute force */

enum { N_MACHINES = 4, N_UNITS = 8 };

/* A part of the view, and where brute force puts its units. */
typedef struct Brute {
        const Cluster *cluster;
        const ClusterUnit *units[N_UNITS];
        const ClusterMachine *on[N_UNITS];
        size_t n_units;
} Brute;

static const ClusterMachine *machine_of(const ClusterUnit *unit) {
        for (ListNode *node = list_first(&unit->rows); node; node = list_next(&unit->rows, node)) {
                const ClusterRow *row = container_of(node, ClusterRow, unit_node);

                if (row->is_wanted)
                        return row->machine;
        }
        return NULL;
}

static bool is_in_store(const ClusterUnit *unit) {
        for (ListNode *node = list_first(&unit->rows); node; node = list_next(&unit->rows, node))
                if (container_of(node, ClusterRow, unit_node)->is_stored)
                        return true;
        return false;
}

static void brute_add(Brute *brute, const ClusterUnit *unit) {
        for (size_t i = 0; i < brute->n_units; i++)
                if (brute->units[i] == unit)
                        return;
        if (is_in_store(unit))
                return;

        brute->units[brute->n_units++] = unit;
        for (ListNode *node = list_first(&unit->follows); node;
             node = list_next(&unit->follows, node))
                brute_add(brute, container_of(node, ClusterFollow, follower_node)->peer);
}

static const ClusterMachine *brute_machine(const Brute *brute, const ClusterUnit *unit) {
        for (size_t i = 0; i < brute->n_units; i++)
                if (brute->units[i] == unit)
                        return brute->on[i];
        return is_in_store(unit) ? machine_of(unit) : NULL;
}

/* By the letter of the rules, for all of them at once. */
static bool brute_is_right(const Brute *brute) {
        for (size_t i = 0; i < brute->n_units; i++) {
                const ClusterUnit *unit = brute->units[i];

                for (ListNode *node = list_first(&unit->follows); node;
                     node = list_next(&unit->follows, node))
                        if (brute_machine(brute,
                                          container_of(node, ClusterFollow, follower_node)->peer) !=
                            brute->on[i])
                                return false;
                for (HashNode *node = hash_map_first(&brute->cluster->units); node;
                     node = hash_map_next(&brute->cluster->units, node)) {
                        const ClusterUnit *other = container_of(node, ClusterUnit, node);

                        if (brute_machine(brute, other) == brute->on[i] &&
                            requirements_conflict(unit->name, unit->requirements, other->name,
                                                  other->requirements))
                                return false;
                }
        }
        return true;
}

static bool brute_solve(Brute *brute, size_t i) {
        if (i == brute->n_units)
                return brute_is_right(brute);

        for (size_t k = 0; k < brute->cluster->n_present; k++) {
                const ClusterMachine *machine = brute->cluster->present[k];
                const Requirements *requirements = brute->units[i]->requirements;

                if (!requirements_allow_machine(requirements, machine->id) ||
                    !metadata_satisfies(&machine->merged, requirements))
                        continue;
                brute->on[i] = machine;
                if (brute_solve(brute, i + 1))
                        return true;
        }
        return false;
}

/* Could the unit be placed, too, with everything that is placed and not in the store, somehow? */
static bool brute_has_room(const Cluster *cluster, const ClusterUnit *unit) {
        Brute brute = { .cluster = cluster };

        brute_add(&brute, unit);
        for (HashNode *node = hash_map_first(&cluster->units); node;
             node = hash_map_next(&cluster->units, node)) {
                const ClusterUnit *other = container_of(node, ClusterUnit, node);

                if (machine_of(other))
                        brute_add(&brute, other);
        }
        return brute_solve(&brute, 0);
}

static void add_random_unit(Cluster *cluster, Env *env, size_t i) {
        static const char *const metadata[] = { "", "", "\nMachineMetadata=d=ssd",
                                                "\nMachineMetadata=r=eu",
                                                "\nMachineMetadata=d=ssd\nMachineMetadata=r=eu" };
        char options[256], name[16];
        int n = 0;

        switch (env_random_below(env, 6)) {
        case 0:
                n = snprintf(options, sizeof(options), "MachineID=m%d",
                             (int)env_random_below(env, N_MACHINES));
                break;
        case 1:
                n = snprintf(options, sizeof(options), "MachineOf=u%d.service",
                             (int)env_random_below(env, N_UNITS));
                break;
        case 2:
                n = snprintf(
                        options, sizeof(options), "MachineOf=u%d.service\nConflicts=u%d.service",
                        (int)env_random_below(env, N_UNITS), (int)env_random_below(env, N_UNITS));
                break;
        case 3:
                n = snprintf(options, sizeof(options), "Conflicts=u[%d%d%d].service",
                             (int)env_random_below(env, N_UNITS),
                             (int)env_random_below(env, N_UNITS),
                             (int)env_random_below(env, N_UNITS));
                break;
        case 4:
                n = snprintf(options, sizeof(options), "Conflicts=*");
                break;
        default:
                n = snprintf(options, sizeof(options), "X=1");
        }
        (void)snprintf(options + n, sizeof(options) - (size_t)n, "%s",
                       metadata[env_random_below(env, ELEMENTSOF(metadata))]);
        (void)snprintf(name, sizeof(name), "u%zu", i);
        view_unit(cluster, name, options, L, 1);
}

/* Some units run, a batch comes: whoever is left out could not have been placed by any layout. */
START_TEST(test_against_brute_force) {
        unsigned n_left_out = 0, n_placed = 0;

        for (uint64_t seed = 0; seed < 1500; seed++) {
                static const char *const metadata[] = { "", "d=ssd", "r=eu", "d=ssd,r=eu" };
                VirtualEnv env;
                Cluster cluster;
                size_t n_running;

                virtual_env_init(&env, seed);
                cluster_init(&cluster, seed);
                for (int i = 0; i < N_MACHINES; i++) {
                        char id[8];

                        (void)snprintf(id, sizeof(id), "m%d", i);
                        view_machine(&cluster, id, metadata[env_random_below(&env.env, 4)]);
                }
                n_running = env_random_below(&env.env, 4);
                for (size_t i = 0; i < n_running; i++)
                        add_random_unit(&cluster, &env.env, i);
                view_plan_all(&cluster);
                (void)view_commit(&cluster);
                for (size_t i = n_running; i < N_UNITS; i++)
                        add_random_unit(&cluster, &env.env, i);
                view_plan(&cluster);

                for (HashNode *node = hash_map_first(&cluster.units); node;
                     node = hash_map_next(&cluster.units, node)) {
                        const ClusterUnit *unit = container_of(node, ClusterUnit, node);

                        n_placed += machine_of(unit) != NULL;
                        if (machine_of(unit))
                                continue;
                        n_left_out++;
                        ck_assert_msg(!brute_has_room(&cluster, unit), "seed %u: %s in %s",
                                      (unsigned)seed, unit->name, view_plan_text(&cluster));
                }
                cluster_done(&cluster);
        }
        /* Both happen often, or the test shows nothing. */
        ck_assert_uint_gt(n_left_out, 1000);
        ck_assert_uint_gt(n_placed, 5000);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_layouts,  test_no_layout,           test_block_is_counted,
                test_long_way, test_against_brute_force,
        };

        return tests_run("engine placement layout", tests, ELEMENTSOF(tests));
}
