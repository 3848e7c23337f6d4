/* SPDX-License-Identifier: Apache-2.0 */

/* What rows say besides the content: restarts, and the machines that a moved unit waits for. */

#include <stdio.h>

#include "tests/unit/engine/view.h"
#include "tests/unit/fault.h"

#define L JOB_STATE_LAUNCHED

/* A unit that is taken from a machine which is there starts on the next after that one has ended
 * it; the row keeps saying so, whatever else changes. */
START_TEST(test_a_move_waits_for_the_old_machine) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_machine(&cluster, "m1", "on=yes");
        view_machine(&cluster, "m2", "");
        view_unit(&cluster, "a", "MachineMetadata=on=yes", L, 1);
        view_plan_all(&cluster);
        view_commit(&cluster);
        ck_assert_str_eq(view_row_text(&cluster, "m1", "a"), "g1");

        view_metadata(&cluster, "m1", "on=no");
        view_metadata(&cluster, "m2", "on=yes");
        view_plan(&cluster);
        ck_assert_str_eq(view_row_text(&cluster, "m2", "a"), "g1 after m1");
        view_commit(&cluster);

        view_unit(&cluster, "a", "MachineMetadata=on=yes", L, 2);
        view_plan(&cluster);
        ck_assert_str_eq(view_row_text(&cluster, "m2", "a"), "g2 after m1");
        cluster_done(&cluster);
}
END_TEST

/* A machine that is lost is not waited for: its copy may run for ever. */
START_TEST(test_nobody_waits_for_a_lost_machine) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_machine(&cluster, "m1", "");
        view_machine(&cluster, "m2", "");
        view_unit(&cluster, "a", "", L, 1);
        view_plan_all(&cluster);
        view_commit(&cluster);

        view_machine_gone(&cluster, "m1");
        view_plan(&cluster);
        ck_assert_str_eq(view_row_text(&cluster, "m2", "a"), "g1");
        cluster_done(&cluster);
}
END_TEST

static void move_to(Cluster *cluster, const char *machine) {
        static const char *const ids[] = { "m1", "m2", "m3", "m4" };

        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                view_metadata(cluster, ids[i], streq(ids[i], machine) ? "on=yes" : "");
        view_plan(cluster);
        view_commit(cluster);
}

/* Moved on before it arrived, it waits for all who may still have it; not for the machine it comes
 * back to, nor for one that has gone since. */
START_TEST(test_a_chain_of_moves) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        for (unsigned i = 1; i <= 4; i++)
                view_machine(&cluster, (char[]){ 'm', (char)('0' + i), '\0' }, "");
        view_metadata(&cluster, "m1", "on=yes");
        view_unit(&cluster, "a", "MachineMetadata=on=yes", L, 1);
        view_plan_all(&cluster);
        view_commit(&cluster);

        move_to(&cluster, "m2");
        move_to(&cluster, "m3");
        ck_assert_str_eq(view_row_text(&cluster, "m3", "a"), "g1 after m2,m1");
        move_to(&cluster, "m1");
        ck_assert_str_eq(view_row_text(&cluster, "m1", "a"), "g1 after m3,m2");
        view_machine_gone(&cluster, "m2");
        move_to(&cluster, "m4");
        ck_assert_str_eq(view_row_text(&cluster, "m4", "a"), "g1 after m1,m3");
        cluster_done(&cluster);
}
END_TEST

/* The list of machines to wait for has an end. */
START_TEST(test_a_long_chain_of_moves) {
        Cluster cluster;
        char id[8];

        cluster_init(&cluster, 1);
        for (int i = 10; i < 40; i++) {
                (void)snprintf(id, sizeof(id), "m%d", i);
                view_machine(&cluster, id, "");
        }
        view_unit(&cluster, "a", "MachineMetadata=on=yes", L, 1);
        view_plan_all(&cluster);
        for (int i = 10; i < 40; i++) {
                (void)snprintf(id, sizeof(id), "m%d", i);
                view_metadata(&cluster, id, "on=yes");
                if (i > 10) {
                        (void)snprintf(id, sizeof(id), "m%d", i - 1);
                        view_metadata(&cluster, id, "");
                }
                view_plan(&cluster);
                view_commit(&cluster);
        }
        ck_assert_str_eq(view_row_text(&cluster, "m39", "a"),
                         "g1 after m38,m37,m36,m35,m34,m33,m32,m31");
        cluster_done(&cluster);
}
END_TEST

/* While no machine fits, or the user does not want it, the unit has no row; where it goes then, it
 * still waits for where it was. */
START_TEST(test_a_unit_without_a_machine_remembers) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_machine(&cluster, "m1", "on=yes");
        view_machine(&cluster, "m2", "");
        view_unit(&cluster, "a", "MachineMetadata=on=yes", L, 1);
        view_plan_all(&cluster);
        view_commit(&cluster);

        view_metadata(&cluster, "m1", "on=no");
        view_plan(&cluster);
        view_commit(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=-");
        view_metadata(&cluster, "m2", "on=yes");
        view_plan(&cluster);
        ck_assert_str_eq(view_row_text(&cluster, "m2", "a"), "g1 after m1");
        view_commit(&cluster);

        view_unit(&cluster, "a", "MachineMetadata=on=yes", JOB_STATE_INACTIVE, 2);
        view_plan(&cluster);
        view_commit(&cluster);
        view_metadata(&cluster, "m2", "");
        view_metadata(&cluster, "m1", "on=yes");
        view_unit(&cluster, "a", "MachineMetadata=on=yes", L, 3);
        view_plan(&cluster);
        ck_assert_str_eq(view_row_text(&cluster, "m1", "a"), "g3 after m2");
        cluster_done(&cluster);
}
END_TEST

/* A global unit has a copy per machine, none of which waits for another. */
START_TEST(test_global_units_wait_for_nobody) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_machine(&cluster, "m1", "on=yes");
        view_machine(&cluster, "m2", "");
        view_unit(&cluster, "g", "Global=true\nMachineMetadata=on=yes", L, 1);
        view_plan_all(&cluster);
        view_commit(&cluster);
        view_metadata(&cluster, "m1", "");
        view_metadata(&cluster, "m2", "on=yes");
        view_plan(&cluster);
        ck_assert_str_eq(view_row_text(&cluster, "m2", "g"), "g1");
        cluster_done(&cluster);
}
END_TEST

/* A restart of the whole unit is in its row. One on a single machine changes the row of that
 * machine only. */
START_TEST(test_restarts_in_rows) {
        Cluster cluster;
        UnitRecord record = { .desired = L, .generation = 2, .restart = 2 };

        cluster_init(&cluster, 1);
        view_machine(&cluster, "m1", "");
        view_machine(&cluster, "m2", "");
        view_unit_says(&cluster, "g", "Global=true", &record);
        view_plan_all(&cluster);
        ck_assert_str_eq(view_row_text(&cluster, "m1", "g"), "g2 r2");
        view_commit(&cluster);

        ck_assert_int_eq(restarts_set(&record.restarts, "m2", 3), 0);
        view_unit_says(&cluster, "g", "Global=true", &record);
        view_plan(&cluster);
        ck_assert_str_eq(view_row_text(&cluster, "m1", "g"), "g2 r2");
        ck_assert_str_eq(view_row_text(&cluster, "m2", "g"), "g3 r3");
        ck_assert_uint_eq(view_commit(&cluster), 1);

        record.generation = 4;
        view_unit_says(&cluster, "g", "Global=true", &record);
        view_plan(&cluster);
        ck_assert_str_eq(view_row_text(&cluster, "m1", "g"), "g4 r2");
        ck_assert_str_eq(view_row_text(&cluster, "m2", "g"), "g4 r3");
        restarts_done(&record.restarts);
        cluster_done(&cluster);
}
END_TEST

/* When the record has no room for a machine's restart any more, the row does not go back to an
 * older request: that would look like a new one. */
START_TEST(test_a_dropped_restart_changes_no_row) {
        Cluster cluster;
        UnitRecord record = { .desired = L, .generation = 1 };
        char id[16];

        cluster_init(&cluster, 1);
        for (unsigned i = 0; i <= RESTARTS_MAX; i++) {
                (void)snprintf(id, sizeof(id), "m%03u", i);
                view_machine(&cluster, id, "");
        }
        for (unsigned i = 0; i <= RESTARTS_MAX; i++) {
                (void)snprintf(id, sizeof(id), "m%03u", i);
                ck_assert_int_eq(restarts_set(&record.restarts, id, 2 + i), 0);
                view_unit_says(&cluster, "g", "Global=true", &record);
                if (i == 0)
                        view_plan_all(&cluster);
                else
                        view_plan(&cluster);
                ck_assert_uint_eq(view_commit(&cluster), i == 0 ? RESTARTS_MAX + 1 : 1);
        }
        ck_assert_uint_eq(restarts_get(&record.restarts, "m000"), 0);
        ck_assert_str_eq(view_row_text(&cluster, "m000", "g"), "g2 r2");
        restarts_done(&record.restarts);
        cluster_done(&cluster);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_a_move_waits_for_the_old_machine,
                test_nobody_waits_for_a_lost_machine,
                test_a_chain_of_moves,
                test_a_long_chain_of_moves,
                test_a_unit_without_a_machine_remembers,
                test_global_units_wait_for_nobody,
                test_restarts_in_rows,
                test_a_dropped_restart_changes_no_row,
        };

        return tests_run("engine moves", tests, ELEMENTSOF(tests));
}
