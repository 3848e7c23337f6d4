/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/placement.h"
#include "tests/unit/engine/table.h"
#include "tests/unit/fault.h"

/* Load, MachineID and MachineMetadata: where a unit goes that minds no other. */

static const JobState L = JOB_STATE_LAUNCHED;

/* Load: the fewest units win, the lowest ID among equals; units are taken by name, each counted
 * before the next; global units count. */
START_TEST(test_load) {
        static const TableRow rows[] = {
                { "ties go to the lowest ID",
                  { { "m2" }, { "m1" }, { "m3" } },
                  { { "a" } },
                  "a=m1" },
                { "each pick is counted",
                  { { "m2" }, { "m1" }, { "m3" } },
                  { { "d" }, { "b" }, { "c" }, { "a" } },
                  "a=m1 b=m2 c=m3 d=m1" },
                { "units that are there count",
                  { { "m1" }, { "m2" } },
                  { { "x", NULL, "m1" },
                    { "y", NULL, "m1" },
                    { "z", NULL, "m2" },
                    { "a" },
                    { "b" } },
                  "a=m2 b=m1 x=m1 y=m1 z=m2" },
                { "global units count where they fit",
                  { { "m1", "g=yes" }, { "m2" } },
                  { { "g", "Global=true\nMachineMetadata=g=yes" }, { "h" } },
                  "g=m1 h=m2" },
                { "inactive units do not count",
                  { { "m1" }, { "m2" } },
                  { { "a", NULL, "m1", .is_inactive = true }, { "b" } },
                  "a=- b=m1" },
                { "neither do inactive global units",
                  { { "m1" }, { "m2" } },
                  { { "g", "Global=true", .is_inactive = true }, { "x", NULL, "m2" }, { "h" } },
                  "g=- h=m1 x=m2" },
                { "loaded is placed as launched is",
                  { { "m1" } },
                  { { "a", .is_loaded = true } },
                  "a=m1" },
        };

        table_check(rows, ELEMENTSOF(rows));
}
END_TEST

/* MachineID: the full ID or its first eight characters. */
START_TEST(test_machine_id) {
        static const TableRow rows[] = {
                { "the full ID",
                  { { "aaaaaaaaaa" }, { "bbbbbbbbbb" } },
                  { { "a", "MachineID=bbbbbbbbbb" } },
                  "a=bbbbbbbbbb" },
                { "eight characters",
                  { { "aaaaaaaaaa" }, { "bbbbbbbbbb" } },
                  { { "a", "MachineID=bbbbbbbb" } },
                  "a=bbbbbbbbbb" },
                { "seven are not enough",
                  { { "bbbbbbbbbb" } },
                  { { "a", "MachineID=bbbbbbb" } },
                  "a=-",
                  "a",
                  "MachineID=bbbbbbb: no such machine is registered" },
                { "nine are neither",
                  { { "bbbbbbbbbb" } },
                  { { "a", "MachineID=bbbbbbbbb" } },
                  "a=-" },
                { "the machine is not there",
                  { { "aaaaaaaaaa" } },
                  { { "a", "MachineID=cccccccccc" } },
                  "a=-",
                  "a",
                  "MachineID=cccccccccc: no such machine is registered" },
        };

        table_check(rows, ELEMENTSOF(rows));
}
END_TEST

/* MachineMetadata: one key several times is or, several keys are and. */
START_TEST(test_machine_metadata) {
        static const TableRow rows[] = {
                { "equal",
                  { { "m1", "d=hdd" }, { "m2", "d=ssd" } },
                  { { "a", "MachineMetadata=d=ssd" } },
                  "a=m2" },
                { "or over values",
                  { { "m1", "d=tape" }, { "m2", "d=hdd" } },
                  { { "a", "MachineMetadata=d=ssd\nMachineMetadata=d=hdd" } },
                  "a=m2" },
                { "and over keys",
                  { { "m1", "d=ssd" }, { "m2", "r=eu" }, { "m3", "d=ssd,r=eu" } },
                  { { "a", "MachineMetadata=\"d=ssd\" \"r=eu\"" } },
                  "a=m3" },
                { "nowhere",
                  { { "m1", "d=hdd" }, { "m2" } },
                  { { "a", "MachineMetadata=d=ssd" } },
                  "a=-",
                  "a",
                  "m1: metadata d=ssd wanted, has d=hdd; m2: metadata d=ssd wanted, has no d" },
        };

        table_check(rows, ELEMENTSOF(rows));
}
END_TEST

/* Metadata set over the API decides like configured metadata; an empty value hides a configured
 * one. */
START_TEST(test_metadata_changes) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_metadata(&cluster, "m2", "d=ssd");
        view_machine(&cluster, "m1", "d=ssd");
        view_machine(&cluster, "m2", "");
        view_unit(&cluster, "a", "MachineMetadata=d=ssd", L, 1);
        view_unit(&cluster, "g", "Global=true\nMachineMetadata=d=ssd", L, 1);
        view_plan_all(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 g=m1,m2");

        view_metadata(&cluster, "m1", "d=");
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m2 g=m2");
        view_metadata(&cluster, "m2", "d=hdd");
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=- g=-");
        view_metadata(&cluster, "m1", "x=y");
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 g=m1");
        cluster_done(&cluster);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_load,
                test_machine_id,
                test_machine_metadata,
                test_metadata_changes,
        };

        return tests_run("engine placement requirements", tests, ELEMENTSOF(tests));
}
