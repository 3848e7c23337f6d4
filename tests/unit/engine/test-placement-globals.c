/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/placement.h"
#include "tests/unit/engine/table.h"
#include "tests/unit/fault.h"

/* Global units. */

/* Global: a row on every machine that fits; no placement while there is one. */
START_TEST(test_global) {
        static const TableRow rows[] = {
                { "everywhere",
                  { { "m1" }, { "m2" }, { "m3" } },
                  { { "g", "Global=true" } },
                  "g=m1,m2,m3",
                  "g",
                  "" },
                { "where it fits",
                  { { "m1", "d=ssd" }, { "m2" }, { "m3", "d=ssd" } },
                  { { "g", "Global=true\nMachineMetadata=d=ssd" } },
                  "g=m1,m3" },
                { "nowhere",
                  { { "m1" } },
                  { { "g", "Global=true\nMachineMetadata=d=ssd" } },
                  "g=-",
                  "g",
                  "m1: metadata d=ssd wanted, has no d" },
                { "keeps its row on a machine that is not there",
                  { { "m1" } },
                  { { "g", "Global=true", "m9" } },
                  "g=m1,m9" },
                { "and only there",
                  { { "m1" } },
                  { { "g", "Global=true\nMachineMetadata=d=ssd", "m1" } },
                  "g=-" },
                { "of two that conflict the first by name, although the other was there",
                  { { "m1" }, { "m2" } },
                  { { "h", "Global=true", "m1" }, { "g", "Global=true\nConflicts=h.service" } },
                  "g=m1,m2 h=-",
                  "h",
                  "m1: g.service conflicts with it; m2: g.service conflicts with it" },
                { "a unit that was there keeps a global one off",
                  { { "m1" }, { "m2" } },
                  { { "z", NULL, "m1" }, { "g", "Global=true\nConflicts=z.service" } },
                  "g=m2 z=m1" },
                { "inactive",
                  { { "m1" } },
                  { { "g", "Global=true", "m1", .is_inactive = true } },
                  "g=-" },
        };

        table_check(rows, ELEMENTSOF(rows));
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_global,
        };

        return tests_run("engine placement globals", tests, ELEMENTSOF(tests));
}
