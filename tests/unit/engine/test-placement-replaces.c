/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/placement.h"
#include "tests/unit/engine/table.h"
#include "tests/unit/fault.h"

/* Replaces. */

static const JobState L = JOB_STATE_LAUNCHED;

/* Who is replaced leaves the machine of its replacer, and nothing else moves. */
START_TEST(test_replaces) {
        static const TableRow rows[] = {
                { "the unit goes to the least loaded machine, whom it replaces there goes "
                  "elsewhere",
                  { { "m1" }, { "m2" } },
                  { { "old", NULL, "m1" },
                    { "x", NULL, "m2" },
                    { "y", NULL, "m2" },
                    { "new", "Replaces=old.service" } },
                  "new=m1 old=m2 x=m2 y=m2" },
                { "by a glob, and whoever it does not match stays",
                  { { "m1" }, { "m2" } },
                  { { "old1", NULL, "m1" },
                    { "other", NULL, "m1" },
                    { "x", NULL, "m2" },
                    { "y", NULL, "m2" },
                    { "z", NULL, "m2" },
                    { "new", "Replaces=old*" } },
                  "new=m1 old1=m2 other=m1 x=m2 y=m2 z=m2" },
                { "where it does not land nothing is replaced",
                  { { "m1" }, { "m2" } },
                  { { "old", NULL, "m1" }, { "new", "Replaces=old.service" } },
                  "new=m2 old=m1" },
                { "who is replaced moves by its own constraints",
                  { { "m1", "d=ssd" }, { "m2" }, { "m3", "d=ssd" } },
                  { { "old", "MachineMetadata=d=ssd", "m1" },
                    { "x", NULL, "m3" },
                    { "y", NULL, "m3" },
                    { "z", NULL, "m2" },
                    { "new", "Replaces=old.service" } },
                  "new=m1 old=m3 x=m3 y=m3 z=m2" },
        };

        table_check(rows, ELEMENTSOF(rows));
}
END_TEST

/* Who has nowhere else to go is left out, and does not come back to its replacer. */
START_TEST(test_nowhere_to_go) {
        static const TableRow rows[] = {
                { "nothing else fits",
                  { { "m1", "d=ssd" }, { "m2" } },
                  { { "old", "MachineMetadata=d=ssd", "m1" },
                    { "new", "Replaces=old.service\nMachineMetadata=d=ssd" } },
                  "new=m1 old=-",
                  "old",
                  "replaced by new.service on m1; m2: metadata d=ssd wanted, has no d" },
                { "the replacer does not make room for one that runs",
                  { { "m1", "d=ssd" }, { "m2" } },
                  { { "old", "MachineMetadata=d=ssd", "m1" },
                    { "x", NULL, "m2" },
                    { "y", NULL, "m2" },
                    { "new", "Replaces=old.service" } },
                  "new=m1 old=- x=m2 y=m2",
                  "old",
                  "replaced by new.service on m1; m2: metadata d=ssd wanted, has no d" },
                { "both are pinned to the same machine",
                  { { "m1" }, { "m2" } },
                  { { "a", "MachineID=m1", "m1" },
                    { "new", "Replaces=a.service\nMachineMetadata=d=ssd", "m1" },
                    { "b", "Replaces=a.service", "m1" } },
                  "a=- b=m1 new=-",
                  "a",
                  "replaced by b.service on m1; and 1 more: MachineID=m1" },
                { "who is replaced does not come to its replacer, against the load",
                  { { "m1" }, { "m2" } },
                  { { "new", "Replaces=old.service", "m1" },
                    { "x", NULL, "m2" },
                    { "y", NULL, "m2" },
                    { "old" } },
                  "new=m1 old=m2 x=m2 y=m2" },
                { "submitted together",
                  { { "m1" }, { "m2" } },
                  { { "old" }, { "new", "Replaces=old.service" } },
                  "new=m1 old=m2" },
        };

        table_check(rows, ELEMENTSOF(rows));
}
END_TEST

/* Circles, and what no Replaces reaches. */
START_TEST(test_replaces_without_effect) {
        static const TableRow rows[] = {
                { "mutual Replaces are ignored",
                  { { "m1" }, { "m2" } },
                  { { "a", "Replaces=b.service", "m1" }, { "b", "Replaces=a.service", "m1" } },
                  "a=m1 b=m1" },
                { "also on the only machine",
                  { { "m1" } },
                  { { "a", "Replaces=b.service" }, { "b", "Replaces=a.service" } },
                  "a=m1 b=m1" },
                { "so is a circle of three",
                  { { "m1" }, { "m2" } },
                  { { "a", "Replaces=b.service" },
                    { "b", "Replaces=c.service" },
                    { "c", "Replaces=a.service" } },
                  "a=m1 b=m2 c=m1" },
                { "and one that MachineOf closes",
                  { { "m1" } },
                  { { "p" },
                    { "f", "MachineOf=p.service\nReplaces=r.service" },
                    { "r", "Replaces=p.service" } },
                  "f=m1 p=m1 r=m1" },
                { "a chain is none",
                  { { "m1" }, { "m2" }, { "m3" } },
                  { { "a", NULL, "m1" },
                    { "b", "Replaces=a.service", "m1" },
                    { "c", "Replaces=b.service", "m1" } },
                  "a=m1 b=m2 c=m1" },
                { "never itself", { { "m1" } }, { { "a", "Replaces=a*" } }, "a=m1" },
                { "a global unit has nowhere else to go",
                  { { "m1" }, { "m2" } },
                  { { "g", "Global=true" }, { "new", "Replaces=g.service" } },
                  "g=m1,m2 new=m1" },
                { "followers go along",
                  { { "m1" }, { "m2" } },
                  { { "p", NULL, "m1" },
                    { "f", "MachineOf=p.service", "m1" },
                    { "x", NULL, "m2" },
                    { "y", NULL, "m2" },
                    { "z", NULL, "m2" },
                    { "new", "Replaces=p.service" } },
                  "f=m2 new=m1 p=m2 x=m2 y=m2 z=m2" },
                { "a pattern that is none replaces nothing",
                  { { "m1" } },
                  { { "old", NULL, "m1" }, { "new", "Replaces=[" } },
                  "new=m1 old=m1" },
        };

        table_check(rows, ELEMENTSOF(rows));
}
END_TEST

/* The pushed unit moves in the same round, and who was pushed out altogether is back once its
 * replacer is gone, or does not replace it any more. */
START_TEST(test_replaced_and_back) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_machine(&cluster, "m1", "");
        view_unit(&cluster, "old", "", L, 1);
        view_plan_all(&cluster);
        (void)view_commit(&cluster);

        view_unit(&cluster, "new", "Replaces=old.service", L, 1);
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "new=m1 old=-");
        ck_assert_str_eq(view_why(&cluster, "old"), "replaced by new.service on m1");

        /* A machine joins: room for one. */
        view_machine(&cluster, "m2", "");
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "new=m1 old=m2");
        (void)view_commit(&cluster);

        view_machine_gone(&cluster, "m2");
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "new=m1 old=m2");
        view_unit(&cluster, "new", "", L, 2);
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "new=m1 old=m1");
        ck_assert_str_eq(view_why(&cluster, "old"), "");

        view_unit(&cluster, "new", "Replaces=old.service", L, 3);
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "new=m1 old=-");
        view_unit(&cluster, "new", "Replaces=old.service", JOB_STATE_INACTIVE, 4);
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "new=- old=m1");
        cluster_done(&cluster);
}
END_TEST

/* A circle that opens counts from then on, one that closes does not count any more. */
START_TEST(test_circle_opens_and_closes) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_machine(&cluster, "m1", "");
        view_unit(&cluster, "a", "Replaces=b.service", L, 1);
        view_unit(&cluster, "b", "Replaces=c.service", L, 1);
        view_unit(&cluster, "c", "Replaces=a.service", L, 1);
        view_plan_all(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 b=m1 c=m1");
        view_unit(&cluster, "c", "", L, 2);
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 b=- c=m1");
        view_unit(&cluster, "c", "Replaces=a.service", L, 3);
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 b=m1 c=m1");
        cluster_done(&cluster);
}
END_TEST

/* What made fleet 1.0 move a unit for ever: both on one machine, by MachineID and by MachineOf. Plans
 * and commits come to rest, and stay there. */
START_TEST(test_replaces_comes_to_rest) {
        size_t n_writes = 0;
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_machine(&cluster, "m1", "");
        view_machine(&cluster, "m2", "");
        view_unit(&cluster, "old", "MachineID=m1", L, 1);
        view_unit(&cluster, "pin", "MachineID=m1", L, 1);
        view_plan_all(&cluster);
        (void)view_commit(&cluster);
        view_unit(&cluster, "new", "MachineOf=pin.service\nReplaces=old.service", L, 1);
        for (int i = 0; i < 50; i++) {
                view_plan_all(&cluster);
                n_writes += view_commit(&cluster);
        }
        /* The row and the placement of either. */
        ck_assert_uint_eq(n_writes, 4);
        ck_assert_str_eq(view_plan_text(&cluster), "new=m1 old=- pin=m1");
        cluster_done(&cluster);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_replaces,          test_nowhere_to_go,           test_replaces_without_effect,
                test_replaced_and_back, test_circle_opens_and_closes, test_replaces_comes_to_rest,
        };

        return tests_run("engine placement replaces", tests, ELEMENTSOF(tests));
}
