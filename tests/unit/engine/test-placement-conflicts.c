/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/placement.h"
#include "tests/unit/engine/table.h"
#include "tests/unit/fault.h"

/* Conflicts. */

static const JobState L = JOB_STATE_LAUNCHED;

/* Conflicts: from either side, by globs, never with itself; the first by name gets the machine. */
START_TEST(test_conflicts) {
        static const TableRow rows[] = {
                { "apart",
                  { { "m1" }, { "m2" } },
                  { { "a", "Conflicts=b.service" }, { "b" } },
                  "a=m1 b=m2" },
                { "from the other side",
                  { { "m1" } },
                  { { "a" }, { "b", "Conflicts=a.service" } },
                  "a=m1 b=-",
                  "b",
                  "m1: conflicts with a.service" },
                { "the first by name gets the only machine",
                  { { "m1" } },
                  { { "b", "Conflicts=a.service" }, { "a" }, { "c", "Conflicts=a.service" } },
                  "a=m1 b=- c=-" },
                { "globs, itself left out",
                  { { "m1" }, { "m2" } },
                  { { "w1", "Conflicts=w*.service" },
                    { "w2", "Conflicts=w*.service" },
                    { "w3", "Conflicts=w*.service" } },
                  "w1=m1 w2=m2 w3=-",
                  "w3",
                  "m1: conflicts with w1.service; m2: conflicts with w2.service" },
                { "who is there stays, also against the name",
                  { { "m1" } },
                  { { "a", "Conflicts=b.service" }, { "b", NULL, "m1" } },
                  "a=- b=m1" },
                { "of two that are there one goes",
                  { { "m1" }, { "m2" } },
                  { { "a", "Conflicts=b.service", "m1" }, { "b", NULL, "m1" } },
                  "a=m2 b=m1" },
                { "a pattern that is none matches nothing",
                  { { "m1" } },
                  { { "a", "Conflicts=[" }, { "b" } },
                  "a=m1 b=m1" },
                { "with a global one: the global one stays off",
                  { { "m1" }, { "m2" } },
                  { { "a", NULL, "m1" }, { "g", "Global=true\nConflicts=a.service" } },
                  "a=m1 g=m2" },
                { "with a global one that was first",
                  { { "m1" } },
                  { { "g", "Global=true\nConflicts=z.service" }, { "z" } },
                  "g=m1 z=-" },
                { "two global ones: the first by name",
                  { { "m1" }, { "m2" } },
                  { { "g", "Global=true\nConflicts=h.service" }, { "h", "Global=true" } },
                  "g=m1,m2 h=-" },
        };

        table_check(rows, ELEMENTSOF(rows));
}
END_TEST

/* A unit whose options change is planned by the new ones: conflicts are counted in and out, a
 * global one becomes a single one. */
START_TEST(test_options_change) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_machine(&cluster, "m1", "");
        view_machine(&cluster, "m2", "");
        view_unit(&cluster, "a", "", L, 1);
        view_unit(&cluster, "b", "Conflicts=a.service", L, 1);
        view_plan_all(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 b=m2");
        view_unit(&cluster, "b", "Global=true", L, 2);
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 b=m1,m2");
        ck_assert_str_eq(view_placement_machine(&cluster, "b"), "");
        view_unit(&cluster, "b", "", L, 3);
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 b=m1");
        view_unit(&cluster, "a", "Conflicts=b.service", L, 2);
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m2 b=m1");
        for (HashNode *node = hash_map_first(&cluster.machines); node;
             node = hash_map_next(&cluster.machines, node)) {
                const ClusterMachine *machine = container_of(node, ClusterMachine, node);

                ck_assert_uint_eq(machine->n_wanted, 1);
                ck_assert_uint_eq(machine->n_conflicts, streq(machine->id, "m2"));
        }
        cluster_done(&cluster);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_conflicts,
                test_options_change,
        };

        return tests_run("engine placement conflicts", tests, ELEMENTSOF(tests));
}
