/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>

#include "engine/placement.h"
#include "tests/unit/engine/table.h"
#include "tests/unit/fault.h"

/* What stays, what moves, and what is repaired as records come and go. */

static const JobState L = JOB_STATE_LAUNCHED;

/* Units stay where they fit, and keep their row on a lost machine where nothing else fits. */
START_TEST(test_staying_and_moving) {
        static const TableRow rows[] = {
                { "stays, whatever the load",
                  { { "m1" }, { "m2" } },
                  { { "a", NULL, "m1" }, { "b", NULL, "m1" }, { "c", NULL, "m1" } },
                  "a=m1 b=m1 c=m1" },
                { "moves when its machine went",
                  { { "m1" }, { "m2" } },
                  { { "a", NULL, "m9" }, { "b", NULL, "m1" } },
                  "a=m2 b=m1" },
                { "moves when it does not fit any more",
                  { { "m1" }, { "m2", "d=ssd" } },
                  { { "a", "MachineMetadata=d=ssd", "m1" } },
                  "a=m2" },
                { "leaves also when it fits nowhere",
                  { { "m1" } },
                  { { "a", "MachineMetadata=d=ssd", "m1" } },
                  "a=-",
                  "a",
                  "m1: metadata d=ssd wanted, has no d" },
                { "keeps its row on a lost machine, and says why",
                  { { "m1" } },
                  { { "a", "MachineMetadata=d=ssd", "m9" } },
                  "a=m9",
                  "a",
                  "its machine m9 is not there, and no other fits: m1: metadata d=ssd wanted, has "
                  "no d" },
                { "no machine at all",
                  { { NULL } },
                  { { "a" }, { "b", NULL, "m9" } },
                  "a=- b=m9",
                  "a",
                  "no machine is registered" },
                { "a template is never placed",
                  { { "m1" } },
                  { { "t@" }, { "t@1" } },
                  "t@=- t@1=m1" },
        };

        table_check(rows, ELEMENTSOF(rows));
}
END_TEST

/* What changes afterwards: each step says what must have changed by the next plan, and nothing
 * else. */
START_TEST(test_life_of_a_unit) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_machine(&cluster, "m1", "");
        view_machine(&cluster, "m2", "");
        view_unit(&cluster, "a", "", L, 1);
        view_plan_all(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1");
        ck_assert_str_eq(view_placement_machine(&cluster, "a"), "m1");
        ck_assert_uint_eq(view_commit(&cluster), 2);

        /* Asked for again: the row and the placement follow the generation. */
        view_unit(&cluster, "a", "", L, 2);
        view_plan(&cluster);
        ck_assert_uint_eq(view_commit(&cluster), 2);

        /* Its machine goes, and comes back: it stays where it went. */
        view_machine_gone(&cluster, "m1");
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m2");
        ck_assert_uint_eq(view_commit(&cluster), 3);
        view_machine(&cluster, "m1", "");
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m2");
        ck_assert_uint_eq(view_commit(&cluster), 0);

        view_unit(&cluster, "a", "", JOB_STATE_INACTIVE, 3);
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=-");
        ck_assert_str_eq(view_left(&cluster, "a"), "m2");
        ck_assert_uint_eq(view_commit(&cluster), 2);

        view_unit(&cluster, "a", "MachineID=m2", JOB_STATE_LOADED, 4);
        view_plan(&cluster);
        (void)view_commit(&cluster);
        view_unit_gone(&cluster, "a");
        view_plan(&cluster);
        ck_assert_str_eq(view_left(&cluster, "a"), "m2");
        ck_assert_uint_eq(view_commit(&cluster), 2);
        view_ended(&cluster, "a", "m2");
        view_plan(&cluster);
        ck_assert_uint_eq(view_commit(&cluster), 1);
        ck_assert_uint_eq(cluster.units.n_nodes, 0);
        cluster_done(&cluster);
}
END_TEST

/* A machine that was lost with the only place for a unit, and returns: the unit is there, and the
 * reason goes. */
START_TEST(test_a_machine_returns) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_machine(&cluster, "m1", "d=ssd");
        view_machine(&cluster, "m2", "");
        view_unit(&cluster, "a", "MachineMetadata=d=ssd", L, 1);
        view_unit(&cluster, "g", "Global=true", L, 1);
        view_plan_all(&cluster);
        (void)view_commit(&cluster);

        view_machine_gone(&cluster, "m1");
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 g=m1,m2");
        ck_assert_str_eq(view_placement_machine(&cluster, "a"), "m1");
        ck_assert_str_ne(view_why(&cluster, "a"), "");
        ck_assert_uint_eq(view_commit(&cluster), 1);

        view_machine(&cluster, "m1", "d=ssd");
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 g=m1,m2");
        ck_assert_str_eq(view_why(&cluster, "a"), "");
        ck_assert_uint_eq(view_commit(&cluster), 1);
        cluster_done(&cluster);
}
END_TEST

/* A machine that leaves keeps what has no other place, whose row says so, and its copies of global
 * units. Everything else goes elsewhere without waiting for it, and nothing new comes. When it stays
 * after all the rows are as before. */
START_TEST(test_a_machine_leaves) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_machine(&cluster, "m1", "d=ssd");
        view_machine(&cluster, "m2", "");
        view_unit(&cluster, "a", "MachineMetadata=d=ssd", L, 1);
        view_unit(&cluster, "b", "MachineOf=c.service", L, 1);
        view_unit(&cluster, "c", "", L, 1);
        view_unit(&cluster, "g", "Global=true", L, 1);
        view_row(&cluster, "m1", "c", "", 1);
        view_plan_all(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 b=m1 c=m1 g=m1,m2");
        (void)view_commit(&cluster);

        view_machine_leaving(&cluster, "m1");
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 b=m2 c=m2 g=m1,m2");
        ck_assert_str_eq(view_row_text(&cluster, "m2", "b"), "g1");
        ck_assert_str_eq(view_row_text(&cluster, "m2", "c"), "g1");
        ck_assert_str_eq(view_row_text(&cluster, "m1", "a"), "g1 leaving");
        ck_assert_str_eq(view_row_text(&cluster, "m1", "g"), "g1 leaving");
        ck_assert_str_eq(view_placement_machine(&cluster, "a"), "m1");
        ck_assert_str_eq(view_why(&cluster, "a"),
                         "its machine m1 is leaving, and no other fits: m2: metadata d=ssd wanted, "
                         "has no d");
        (void)view_commit(&cluster);

        view_unit(&cluster, "d", "", L, 2);
        view_unit(&cluster, "e", "MachineID=m1", L, 2);
        view_unit(&cluster, "h", "Global=true", L, 2);
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 b=m2 c=m2 d=m2 e=- g=m1,m2 h=m2");
        (void)view_commit(&cluster);

        view_machine_leaving(&cluster, "m2");
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 b=m2 c=m2 d=m2 e=- g=m1,m2 h=m2");
        ck_assert_str_eq(view_why(&cluster, "d"),
                         "its machine m2 is leaving, and no other fits: no "
                         "machine is registered that stays");
        (void)view_commit(&cluster);
        view_machine_gone(&cluster, "m1");
        view_machine_gone(&cluster, "m2");
        view_plan(&cluster);
        ck_assert_str_eq(view_row_text(&cluster, "m1", "a"), "g1");
        ck_assert_str_eq(view_why(&cluster, "a"),
                         "its machine m1 is not there, and no other fits: no "
                         "machine is registered");
        (void)view_commit(&cluster);

        view_machine(&cluster, "m1", "d=ssd");
        view_machine(&cluster, "m2", "");
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 b=m2 c=m2 d=m2 e=m1 g=m1,m2 h=m1,m2");
        ck_assert_str_eq(view_why(&cluster, "a"), "");
        ck_assert(list_is_empty(&cluster.leaving));
        cluster_done(&cluster);
}
END_TEST

/* A new machine gets the global units, and nothing else moves to it. */
START_TEST(test_a_machine_joins) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_machine(&cluster, "m2", "");
        view_unit(&cluster, "a", "", L, 1);
        view_unit(&cluster, "b", "", L, 1);
        view_unit(&cluster, "g", "Global=true", L, 1);
        view_plan_all(&cluster);
        (void)view_commit(&cluster);
        view_machine(&cluster, "m1", "");
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m2 b=m2 g=m1,m2");
        ck_assert_uint_eq(view_commit(&cluster), 1);
        cluster_done(&cluster);
}
END_TEST

/* What cannot be read stays as it is: a unit with a bad record keeps its row, one whose content is
 * missing or on its way keeps what runs. */
START_TEST(test_bad_records_freeze) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_machine(&cluster, "m1", "");
        view_unit_bad(&cluster, "bad");
        view_row(&cluster, "m1", "bad", "", 1);
        view_unit_bad(&cluster, "nowhere");
        view_unit_record(&cluster, "lost", "x=1", L, 2);
        view_row(&cluster, "m1", "lost", "x=1", 1);
        view_unit_record(&cluster, "new", "x=2", L, 1);
        view_plan_all(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "bad=m1 lost=m1 new=- nowhere=-");
        ck_assert_str_eq(view_why(&cluster, "new"),
                         "its unit file is missing in the store, or broken");
        ck_assert_uint_eq(view_commit(&cluster), 1);

        /* The content arrives, and the record is repaired. */
        view_file(&cluster, "x=1");
        view_file(&cluster, "x=2");
        view_unit(&cluster, "bad", "MachineID=elsewhere", L, 2);
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "bad=- lost=m1 new=m1 nowhere=-");
        ck_assert_str_eq(view_why(&cluster, "new"), "");
        cluster_done(&cluster);
}
END_TEST

/* A machine's record that does not parse and is on no lease was written by no machine: none appears
 * for it, and none that is there goes. On a lease there is a machine. */
START_TEST(test_bad_machine_records) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_machine_bad(&cluster, "m0", 0);
        view_unit(&cluster, "a", "", L, 1);
        view_plan_all(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=-");

        view_machine_bad(&cluster, "m1", 7);
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1");

        view_machine(&cluster, "m2", "");
        view_unit(&cluster, "b", "", L, 1);
        view_plan(&cluster);
        view_machine_bad(&cluster, "m2", 0);
        view_plan_all(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 b=m2");
        cluster_done(&cluster);
}
END_TEST

/* A bad row is written anew; rows and placements of units that do not exist go; a unit on two
 * machines is left on one. */
START_TEST(test_repairs) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_machine(&cluster, "m1", "");
        view_machine(&cluster, "m2", "");
        view_row_bad(&cluster, "m2", "a");
        view_unit(&cluster, "a", "", L, 1);
        view_placement(&cluster, "a", "m2", NULL, 1);
        view_row(&cluster, "m1", "ghost", "", 1);
        view_placement(&cluster, "ghost", "m1", NULL, 1);
        view_unit(&cluster, "two", "", L, 1);
        view_row(&cluster, "m2", "two", "", 1);
        view_row(&cluster, "m1", "two", "", 1);
        view_row(&cluster, "m9", "two", "", 1);
        view_plan_all(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m2 two=m1");
        /* a's row; ghost's row and placement; two's rows on m2 and m9, and its placement. */
        ck_assert_uint_eq(view_commit(&cluster), 6);
        cluster_done(&cluster);
}
END_TEST

/* More work than a round does: it ends early and leaves the rest to the next, which goes on there. */
START_TEST(test_long_rounds) {
        enum { N = 1500 };
        unsigned n_rounds = 0;
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_machine(&cluster, "m1", "");
        for (int i = 0; i < N; i++) {
                char name[32];

                (void)snprintf(name, sizeof(name), "u%04d", i);
                view_unit(&cluster, name, "Conflicts=x.service", L, 1);
        }
        while (!list_is_empty(&cluster.dirty)) {
                uint64_t n_looked = cluster.n_looked;

                ck_assert_int_eq(placement_plan(&cluster), 0);
                ck_assert_uint_lt(cluster.n_looked - n_looked, 3 * PLACEMENT_LOOKS_MAX);
                ck_assert_uint_lt(++n_rounds, 20);
        }
        ck_assert_uint_gt(n_rounds, 1);
        ck_assert_uint_eq(cluster.present[0]->n_wanted, N);
        cluster_done(&cluster);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_staying_and_moving,  test_life_of_a_unit,  test_a_machine_returns,
                test_a_machine_leaves,    test_a_machine_joins, test_bad_records_freeze,
                test_bad_machine_records, test_repairs,         test_long_rounds,
        };

        return tests_run("engine placement life", tests, ELEMENTSOF(tests));
}
