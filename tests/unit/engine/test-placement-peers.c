/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>

#include "engine/placement.h"
#include "tests/unit/engine/table.h"
#include "tests/unit/fault.h"

/* MachineOf. */

static const JobState L = JOB_STATE_LAUNCHED;

/* MachineOf: with all its peers, over any number of hops; a circle goes together. */
START_TEST(test_machine_of) {
        static const TableRow rows[] = {
                { "with its peer, against the load",
                  { { "m1" }, { "m2" } },
                  { { "p", NULL, "m2" }, { "q", NULL, "m2" }, { "a", "MachineOf=p.service" } },
                  "a=m2 p=m2 q=m2" },
                { "a chain, last by name first",
                  { { "m1" }, { "m2" } },
                  { { "a", "MachineOf=b.service" },
                    { "b", "MachineOf=c.service" },
                    { "c", "MachineOf=d.service" },
                    { "d", "MachineID=m2" } },
                  "a=m2 b=m2 c=m2 d=m2" },
                { "a chain, pinned by metadata",
                  { { "m1" }, { "m2", "d=ssd" } },
                  { { "a", "MachineOf=b.service" },
                    { "b", "MachineOf=c.service" },
                    { "c", "MachineOf=d.service" },
                    { "d", "MachineMetadata=d=ssd" } },
                  "a=m2 b=m2 c=m2 d=m2" },
                { "all peers",
                  { { "m1" }, { "m2" } },
                  { { "a", "MachineOf=p.service\nMachineOf=q.service" },
                    { "p", NULL, "m1" },
                    { "q", NULL, "m2" } },
                  "a=- p=m1 q=m2",
                  "a",
                  "m1: MachineOf=q.service is not there; m2: MachineOf=p.service is not there" },
        };

        table_check(rows, ELEMENTSOF(rows));
}
END_TEST

/* A circle goes together; a peer that is not there, or global; one that moves. */
START_TEST(test_circles_and_missing_peers) {
        static const TableRow rows[] = {
                { "a circle goes together",
                  { { "m1" }, { "m2" } },
                  { { "a", "MachineOf=b.service" }, { "b", "MachineOf=a.service" }, { "c" } },
                  "a=m2 b=m2 c=m1" },
                { "also one of three, and who follows it",
                  { { "m1" }, { "m2", "d=ssd" } },
                  { { "a", "MachineOf=b.service" },
                    { "b", "MachineOf=c.service" },
                    { "c", "MachineOf=a.service\nMachineMetadata=d=ssd" },
                    { "d", "MachineOf=a.service" } },
                  "a=m2 b=m2 c=m2 d=m2" },
                { "a circle that fits nowhere says why",
                  { { "m1" }, { "m2", "d=ssd" } },
                  { { "a", "MachineOf=b.service\nMachineID=m1" },
                    { "b", "MachineOf=a.service\nMachineMetadata=d=ssd" } },
                  "a=- b=-",
                  "b",
                  "m1: metadata d=ssd wanted, has no d; m2: MachineOf=a.service is not there" },
                { "itself",
                  { { "m1" }, { "m2", "d=ssd" } },
                  { { "a", "MachineOf=a.service\nMachineMetadata=d=ssd" } },
                  "a=m2" },
                { "a peer that is not there",
                  { { "m1" } },
                  { { "a", "MachineOf=x.service" } },
                  "a=-",
                  "a",
                  "MachineOf=x.service is on no machine" },
                { "a peer that is inactive",
                  { { "m1" } },
                  { { "a", "MachineOf=p.service", "m1" },
                    { "p", NULL, "m1", .is_inactive = true } },
                  "a=- p=-" },
                { "a global peer: the least loaded machine that it fits on",
                  { { "m1" }, { "m2", "g=1" }, { "m3", "g=1" } },
                  { { "g", "Global=true\nMachineMetadata=g=1" },
                    { "x", NULL, "m2" },
                    { "a", "MachineOf=g.service" } },
                  "a=m3 g=m2,m3 x=m2" },
                { "follows a peer that no longer fits where both are",
                  { { "m1" }, { "m2", "d=ssd" } },
                  { { "a", "MachineOf=p.service", "m1" }, { "p", "MachineMetadata=d=ssd", "m1" } },
                  "a=m2 p=m2" },
        };

        table_check(rows, ELEMENTSOF(rows));
}
END_TEST

/* A follower goes where its peer goes, in the same round; room that is made is taken by who waited
 * for it. */
START_TEST(test_others_follow) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_machine(&cluster, "m1", "");
        view_machine(&cluster, "m2", "");
        view_unit(&cluster, "a", "MachineOf=p.service", L, 1);
        view_unit(&cluster, "p", "", L, 1);
        view_unit(&cluster, "w", "Conflicts=*", L, 1);
        view_plan_all(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 p=m1 w=m2");

        view_unit(&cluster, "x", "", L, 1);
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 p=m1 w=m2 x=m1");

        view_machine_gone(&cluster, "m1");
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 p=m1 w=m2 x=m1");
        view_unit_gone(&cluster, "w");
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m2 p=m2 x=m2");
        cluster_done(&cluster);
}
END_TEST

/* A chain of followers longer than a round has passes is placed all the same, in the next rounds.
 */
START_TEST(test_long_chain) {
        enum { N = 2 * PLACEMENT_PASSES_MAX };
        unsigned n_rounds = 0;
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_machine(&cluster, "m1", "");
        for (int i = 0; i < N; i++) {
                char name[32], options[64] = "";

                (void)snprintf(name, sizeof(name), "u%03d", i);
                if (i < N - 1)
                        (void)snprintf(options, sizeof(options), "MachineOf=u%03d.service", i + 1);
                view_unit(&cluster, name, options, L, 1);
        }
        while (!list_is_empty(&cluster.dirty)) {
                ck_assert_int_eq(placement_plan(&cluster), 0);
                ck_assert_uint_lt(++n_rounds, 10);
        }
        for (HashNode *node = hash_map_first(&cluster.units); node;
             node = hash_map_next(&cluster.units, node))
                ck_assert_uint_eq(container_of(node, ClusterUnit, node)->n_rows, 1);
        cluster_done(&cluster);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_machine_of,
                test_circles_and_missing_peers,
                test_others_follow,
                test_long_chain,
        };

        return tests_run("engine placement peers", tests, ELEMENTSOF(tests));
}
