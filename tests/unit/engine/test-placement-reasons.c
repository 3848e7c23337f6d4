/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>

#include "engine/why.h"
#include "tests/unit/engine/table.h"
#include "tests/unit/fault.h"

/* What is said of a unit that is nowhere. */

static const JobState L = JOB_STATE_LAUNCHED;

/* Machine by machine: what is wanted and what there is, who conflicts with whom, who is missing. */
START_TEST(test_reasons) {
        static const TableRow rows[] = {
                { "no machine at all",
                  { { NULL } },
                  { { "a", "MachineMetadata=d=ssd" } },
                  "a=-",
                  "a",
                  "no machine is registered" },
                { "one of several values, and the first key that is not satisfied",
                  { { "m1", "d=tape,r=eu" }, { "m2", "d=ssd,r=us" }, { "m3", "r=eu" } },
                  { { "a", "MachineMetadata=d=ssd\nMachineMetadata=d=hdd\nMachineMetadata=r=eu" } },
                  "a=-",
                  "a",
                  "m1: metadata d=ssd or d=hdd wanted, has d=tape; m2: metadata r=eu wanted, has "
                  "r=us; m3: metadata d=ssd or d=hdd wanted, has no d" },
                { "which of the two says that they conflict, and of several the first by name",
                  { { "m1" }, { "m2" }, { "m3" } },
                  { { "a", "Conflicts=x.service", "m1" },
                    { "b", "Conflicts=x.service", "m1" },
                    { "c", NULL, "m2" },
                    { "d", "Conflicts=x.service", "m3" },
                    { "x", "Conflicts=c.service d.service" } },
                  "a=m1 b=m1 c=m2 d=m3 x=-",
                  "x",
                  "m1: a.service conflicts with it; m2: conflicts with c.service; m3: conflicts "
                  "with d.service" },
                { "MachineID names one: the others are only counted",
                  { { "aaaaaaaaaa" }, { "bbbbbbbbbb" }, { "cccccccccc" } },
                  { { "a", "MachineID=bbbbbbbb\nMachineMetadata=d=ssd" } },
                  "a=-",
                  "a",
                  "bbbbbbbb: metadata d=ssd wanted, has no d; and 2 more: MachineID=bbbbbbbb" },
                { "a peer that is nowhere itself",
                  { { "m1" } },
                  { { "p", "MachineMetadata=d=ssd" }, { "f", "MachineOf=p.service" } },
                  "f=- p=-",
                  "f",
                  "MachineOf=p.service is on no machine" },
                { "what is in the way where its peer is",
                  { { "m1" }, { "m2" }, { "m3" } },
                  { { "p", NULL, "m2" },
                    { "x", NULL, "m2" },
                    { "f", "MachineOf=p.service\nConflicts=x.service" } },
                  "f=- p=m2 x=m2",
                  "f",
                  "m2: conflicts with x.service; and 2 more: MachineOf=p.service" },
                { "replaced",
                  { { "m1" }, { "m2", "d=ssd" } },
                  { { "r", "Replaces=a.service", "m2" }, { "a", "MachineMetadata=d=ssd" } },
                  "a=- r=m2",
                  "a",
                  "m1: metadata d=ssd wanted, has no d; replaced by r.service on m2" },
        };

        table_check(rows, ELEMENTSOF(rows));
}
END_TEST

/* `n` machines m000, m001 ... in an order that is not theirs; every third has d=ssd, the others
 * r=eu. */
static void add_machines(Cluster *cluster, int n) {
        for (int i = n - 1; i >= 0; i--) {
                char id[16];

                (void)snprintf(id, sizeof(id), "m%03d", i);
                view_machine(cluster, id, i % 3 == 0 ? "d=ssd" : "r=eu");
        }
}

/* Of many machines eight are named, those first that come closest; the rest is counted by what they
 * lack. */
START_TEST(test_reasons_are_counted) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        add_machines(&cluster, 300);
        view_unit(&cluster, "none", "MachineMetadata=d=tape", L, 1);
        view_unit(&cluster, "two", "MachineMetadata=\"d=ssd\" \"r=eu\"", L, 1);
        for (int i = 0; i < 101; i++) {
                char name[16];

                (void)snprintf(name, sizeof(name), "w%03d", i);
                view_unit(&cluster, name, "Conflicts=w*.service\nMachineMetadata=d=ssd", L, 1);
        }
        view_plan_all(&cluster);

        ck_assert_str_eq(
                view_why(&cluster, "none"),
                "m000: metadata d=tape wanted, has d=ssd; m001: metadata d=tape wanted, "
                "has no d; m002: metadata d=tape wanted, has no d; m003: metadata d=tape "
                "wanted, has d=ssd; m004: metadata d=tape wanted, has no d; m005: metadata "
                "d=tape wanted, has no d; m006: metadata d=tape wanted, has d=ssd; m007: "
                "metadata d=tape wanted, has no d; and 292 more: metadata d=tape");
        ck_assert_ptr_nonnull(strstr(view_why(&cluster, "two"),
                                     "m000: metadata r=eu wanted, has no r; m001: metadata d=ssd "
                                     "wanted, has no d; "));
        ck_assert_ptr_nonnull(strstr(view_why(&cluster, "two"),
                                     "; and 292 more: 97 metadata r=eu, 195 metadata d=ssd"));
        ck_assert_ptr_nonnull(strstr(view_why(&cluster, "w100"),
                                     "m021: conflicts with w007.service; and 292 "
                                     "more: 200 metadata d=ssd, 92 conflicts"));
        cluster_done(&cluster);
}
END_TEST

/* A reason never grows beyond its limit, whatever the names and values are; what is cut is cut
 * between characters. */
START_TEST(test_long_reasons) {
        char value[400], options[600], metadata[600];
        Cluster cluster;
        const char *why;

        for (size_t i = 0; i < sizeof(value) - 1; i += 3)
                memcpy(value + i, "\xe2\x82\xac", 3);
        value[sizeof(value) - 1] = '\0';
        (void)snprintf(options, sizeof(options), "MachineMetadata=d=%s", value);
        (void)snprintf(metadata, sizeof(metadata), "d=x%s", value);

        for (int n_machines = 1; n_machines <= 12; n_machines++) {
                cluster_init(&cluster, 1);
                for (int i = 0; i < n_machines; i++) {
                        char id[16];

                        (void)snprintf(id, sizeof(id), "machine-%03d", i);
                        view_machine(&cluster, id, metadata);
                }
                view_unit(&cluster, "a", options, L, 1);
                view_row(&cluster, "machine-lost", "a", options, 1);
                view_plan_all(&cluster);
                why = view_why(&cluster, "a");
                ck_assert_uint_le(strlen(why), WHY_BYTES_MAX);
                ck_assert_uint_gt(strlen(why), 300);
                ck_assert_int_eq(strncmp(why, "its machine machine- is not there", 33), 0);
                for (const char *dots = why; (dots = strstr(dots, "...")); dots += 3)
                        ck_assert(dots[-1] == '\xac' || (unsigned char)dots[-1] < 0x80);
                if (n_machines > 8)
                        ck_assert_ptr_nonnull(strstr(why, "; and "));
                cluster_done(&cluster);
        }
}
END_TEST

/* The same situation gives the same text, whatever came first, and is not written again. */
START_TEST(test_reasons_are_written_once) {
        char first[WHY_BYTES_MAX + 1] = "";

        for (int order = 0; order < 2; order++) {
                Cluster cluster;

                cluster_init(&cluster, (unsigned)order);
                for (int i = 0; i < 20; i++) {
                        char name[16];
                        int k = order == 0 ? i : 19 - i;

                        (void)snprintf(name, sizeof(name), "m%02d", k);
                        view_machine(&cluster, name, k % 2 ? "d=ssd" : "d=hdd");
                        (void)snprintf(name, sizeof(name), "u%02d", k);
                        view_unit(&cluster, name, "Conflicts=z.service", L, 1);
                }
                view_plan_all(&cluster);
                ck_assert_uint_eq(view_commit(&cluster), 40);
                view_unit(&cluster, "z", "MachineMetadata=d=ssd", L, 1);
                view_plan(&cluster);
                ck_assert_uint_eq(view_commit(&cluster), 1);
                if (order == 0)
                        (void)snprintf(first, sizeof(first), "%s", view_why(&cluster, "z"));
                ck_assert_str_eq(view_why(&cluster, "z"), first);
                ck_assert_str_ne(first, "");

                for (int i = 0; i < 3; i++) {
                        view_plan_all(&cluster);
                        ck_assert_uint_eq(view_commit(&cluster), 0);
                }
                cluster_done(&cluster);
        }
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_reasons,
                test_reasons_are_counted,
                test_long_reasons,
                test_reasons_are_written_once,
        };

        return tests_run("engine placement reasons", tests, ELEMENTSOF(tests));
}
