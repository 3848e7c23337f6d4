/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetctl/unit-check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/macro.h"
#include "tests/unit/fault.h"

static UnitFile *parse(const char *text) {
        UnitFile *file = NULL;

        ck_assert_int_eq(unit_file_parse(text, strlen(text), &file, NULL), 0);
        return file;
}

/* What is found in a file, and nothing besides. */
START_TEST(test_findings) {
        static const struct {
                const char *text;
                const char *findings[3];
        } cases[] = {
                { "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=x\n", { 0 } },
                { "[X-Fleet]\nMachineMetadata=a=b\nGlobal=true\n[X-Other]\nx=y\n[Foo]\nx=y\n",
                  { 0 } },
                { "[X-Fleet]\nX-ConditionMachineID=0c1f1a2b\nX-Conflicts=a*\n",
                  { "MachineID cannot be used with Conflicts" } },
                { "[X-Fleet]\nMachineMeta=a=b\n",
                  { "unrecognized requirement in [X-Fleet] section: \"MachineMeta\"; did you "
                    "mean MachineMetadata?" } },
                { "[X-Fleet]\nglobal=true\nglobal=false\n",
                  { "unrecognized requirement in [X-Fleet] section: \"global\"; did you mean "
                    "Global?" } },
                { "[X-Fleet]\nBogus=1\n",
                  { "unrecognized requirement in [X-Fleet] section: \"Bogus\"" } },
                { "[X-Flet]\nGlobal=true\nMachineID=x\n[Servce]\na=b\n",
                  { "unknown section [X-Flet]; did you mean [X-Fleet]?",
                    "unknown section [Servce]; did you mean [Service]?" } },
                { "[X-Fleet]\nGlobal=maybe\n",
                  { "Global=maybe: it is neither true nor false, and counts as false" } },
                { "[X-Fleet]\nMachineMetadata=ssd\n",
                  { "MachineMetadata=ssd: it is not KEY=VALUE, and ignored" } },
                { "[X-Fleet]\nMachineID=m1\n",
                  { "MachineID=m1: it is not a machine ID: 32 digits of 0-9a-f, or the first 8 of "
                    "them" } },
                { "[X-Fleet]\nMachineID=0c1f1a2b\n", { 0 } },
                { "[X-Fleet]\nMachineID=0c1f1a2b3c4d5e6f708192a3b4c5d6e7\n", { 0 } },
                { "[X-Fleet]\nMachineOf=web\n", { "MachineOf=web: unit name must contain \".\"" } },
                { "[X-Fleet]\nMachineOf=web@%i.service\n", { 0 } },
                { "[X-Fleet]\nConflicts=web@[1\n", { "Conflicts=web@[1: it is not a pattern" } },
                { "[X-Fleet]\nMachineOf=a.service\nConflicts=a.*\n",
                  { "unresolvable requirements: peer \"a.service\" matches conflict \"a.*\"" } },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(unit_file_freep) UnitFile *file = parse(cases[i].text);
                _cleanup_(strlist_done) StrList findings = { 0 };
                size_t n = 0;

                while (cases[i].findings[n])
                        n++;
                ck_assert_int_eq(unit_check("a.service", file, &findings), 0);
                for (size_t j = 0; j < n && j < findings.n_items; j++)
                        ck_assert_str_eq(findings.items[j], cases[i].findings[j]);
                ck_assert_msg(findings.n_items == n, "case %zu: %zu findings", i, findings.n_items);
        }
}
END_TEST

/* A name that the server would refuse is a finding, too. */
START_TEST(test_name) {
        _cleanup_(unit_file_freep) UnitFile *file = parse("[Unit]\nA=b\n");
        _cleanup_(strlist_done) StrList findings = { 0 };

        ck_assert_int_eq(unit_check("@x.service", file, &findings), 0);
        ck_assert_uint_eq(findings.n_items, 1);
        ck_assert_str_eq(findings.items[0], "unit name cannot start in \"@\"");
}
END_TEST

/* However bad the file, what is said of it is bounded. */
START_TEST(test_findings_are_limited) {
        _cleanup_(unit_file_freep) UnitFile *file = NULL;
        _cleanup_(strlist_done) StrList findings = { 0 };

        ck_assert_int_eq(unit_file_new(&file), 0);
        for (size_t i = 0; i < 3 * UNIT_CHECK_MAX_FINDINGS; i++) {
                char key[16];

                (void)snprintf(key, sizeof(key), "Key%zu", i);
                ck_assert_int_eq(unit_file_add(file, "X-Fleet", key, "1"), 0);
        }
        ck_assert_int_eq(unit_check("a.service", file, &findings), 0);
        ck_assert_uint_eq(findings.n_items, UNIT_CHECK_MAX_FINDINGS);
}
END_TEST

static int run_check(void *context) {
        _cleanup_(strlist_done) StrList findings = { 0 };

        return unit_check("a.service", context, &findings);
}

/* Without memory it fails and leaks nothing. */
START_TEST(test_survives_oom) {
        _cleanup_(unit_file_freep) UnitFile *file = parse(
                "[X-Flet]\na=b\n[X-Fleet]\nBogus=1\nGlobal=maybe\nMachineOf=a\n");

        ck_assert_uint_ge(fault_sweep(run_check, file), 8);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_findings, test_name, test_findings_are_limited,
                                       test_survives_oom };

        return tests_run("unit-check", tests, ELEMENTSOF(tests));
}
