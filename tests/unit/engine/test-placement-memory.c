/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <syslog.h>

#include "engine/commit.h"
#include "engine/placement.h"
#include "lib/base/log.h"
#include "tests/sim/rig.h"
#include "tests/unit/engine/table.h"
#include "tests/unit/fault.h"

/* Out of memory, at every allocation in turn: an error, nothing lost, and the next round is
 * complete. */

static const JobState L = JOB_STATE_LAUNCHED;

/* One record of each kind, and units with every rule. */
static int apply_all(void *context) {
        static const char text[] = "[X-Fleet]\nMachineOf=b.service\nReplaces=c.service\n";
        static const char other[] = "[X-Fleet]\nConflicts=d*\nMachineMetadata=k=v\n";
        static const char global[] = "[X-Fleet]\nGlobal=true\n";
        MetadataEntry entries[] = { { (char *)"k", (char *)"v" }, { (char *)"l", (char *)"w" } };
        Record records[] = {
                { .key = { .kind = RECORD_MACHINE, .machine = "m1" }, .mod_revision = 1 },
                { .key = { .kind = RECORD_MACHINE, .machine = "m2" }, .mod_revision = 1 },
                { .key = { .kind = RECORD_METADATA, .machine = "m1" }, .mod_revision = 1 },
                { .key = { .kind = RECORD_FILE, .unit = "f1" },
                  .text = text,
                  .n_text_bytes = sizeof(text) - 1,
                  .mod_revision = 1 },
                { .key = { .kind = RECORD_FILE, .unit = "f2" },
                  .text = other,
                  .n_text_bytes = sizeof(other) - 1,
                  .mod_revision = 1 },
                { .key = { .kind = RECORD_FILE, .unit = "f3" },
                  .text = global,
                  .n_text_bytes = sizeof(global) - 1,
                  .mod_revision = 1 },
                { .key = { .kind = RECORD_UNIT, .unit = "a.service" },
                  .unit = { .file = "f1", .desired = L, .generation = 1 } },
                { .key = { .kind = RECORD_UNIT, .unit = "b.service" },
                  .unit = { .file = "f2", .desired = L, .generation = 1 } },
                { .key = { .kind = RECORD_UNIT, .unit = "g.service" },
                  .unit = { .file = "f3", .desired = L, .generation = 1 } },
                { .key = { .kind = RECORD_SCHEDULE, .machine = "m1", .unit = "b.service" },
                  .schedule = { .file = "f2", .desired = L, .generation = 1 } },
                { .key = { .kind = RECORD_PLACEMENT, .unit = "b.service" },
                  .placement = { .machine = (char *)"m1", .why = (char *)"why" } },
                { .key = { .kind = RECORD_UNIT, .unit = "a.service" }, .is_deleted = true },
        };
        Cluster cluster;
        int r = 0;

        (void)context;
        records[0].machine.metadata = (Metadata){ entries, 1 };
        records[2].metadata = (Metadata){ entries, ELEMENTSOF(entries) };
        cluster_init(&cluster, 1);
        for (size_t i = 0; r == 0 && i < ELEMENTSOF(records); i++)
                r = cluster_apply(&cluster, &records[i]);
        cluster_done(&cluster);
        return r;
}

START_TEST(test_apply_out_of_memory) {
        ck_assert_uint_gt(fault_sweep(apply_all, NULL), 20);
}
END_TEST

/* Every way to a place: the least loaded machine, a pool, a peer, a layout, a push, a reason. */
static void build(Cluster *cluster) {
        cluster_init(cluster, 1);
        view_machine(cluster, "m1", "d=ssd");
        view_machine(cluster, "m2", "");
        view_machine(cluster, "m3", "");
        view_unit(cluster, "a", "MachineOf=b.service", L, 1);
        view_unit(cluster, "b", "Conflicts=c.service", L, 1);
        view_unit(cluster, "c", "MachineMetadata=d=ssd", L, 1);
        view_unit(cluster, "g", "Global=true", L, 1);
        view_unit(cluster, "n", "MachineID=none", L, 1);
        view_unit(cluster, "o", "MachineMetadata=d=hdd", L, 1);
        view_unit(cluster, "q", "", L, 1);
        view_row(cluster, "m3", "q", "", 1);
        view_unit(cluster, "r", "Replaces=q.service\nMachineOf=s.service", L, 1);
        view_unit(cluster, "s", "MachineID=m3", L, 1);
        for (char name[] = "x1"; name[1] <= '4'; name[1]++)
                view_unit(cluster, name, "Conflicts=x?.service", L, 1);
}

static const char plan[] = "a=m2 b=m2 c=m1 g=m1,m2,m3 n=- o=- q=m1 r=m3 s=m3 "
                           "x1=m1 x2=m2 x3=m3 x4=-";

/* Whatever allocation of a plan fails, units stay dirty and the next plan is complete. */
START_TEST(test_plan_out_of_memory) {
        bool has_failed = true;

        for (size_t n = 0; has_failed; n++) {
                Cluster cluster;
                int r;

                build(&cluster);
                cluster.is_settled = true;
                fault_arm(n);
                r = placement_plan(&cluster);
                has_failed = fault_disarm();
                ck_assert(r == 0 || (r == -ENOMEM && has_failed));
                if (r < 0)
                        ck_assert(!list_is_empty(&cluster.dirty));
                view_plan(&cluster);
                ck_assert_str_eq(view_plan_text(&cluster), plan);
                ck_assert_str_ne(view_why(&cluster, "n"), "");
                ck_assert_str_ne(view_why(&cluster, "o"), "");
                cluster_done(&cluster);
        }
}
END_TEST

/* Whatever allocation of filling a transaction fails, it says so, or the transaction does when it is
 * to be committed: the view is built anew then. */
START_TEST(test_commit_out_of_memory) {
        bool has_failed = true;
        size_t client;
        Rig rig;

        log_set_max_priority(LOG_CRIT);
        rig_init(&rig, 1);
        client = rig_connect(&rig);
        for (size_t n = 0; has_failed; n++) {
                RegistryWrite write = { 0 };
                CommitCounts counts;
                Cluster cluster;
                int r;

                build(&cluster);
                view_plan_all(&cluster);
                registry_write_begin(&write, rig.registries[client]);
                fault_arm(n);
                r = commit_fill(&cluster, &write, &counts);
                has_failed = fault_disarm();
                ck_assert_int_eq(r < 0 ? r : write.error, has_failed ? -ENOMEM : 0);
                registry_write_clear(&write);
                cluster_done(&cluster);
        }
        rig_close(&rig, client);
        rig_done(&rig);
        log_set_max_priority(LOG_INFO);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_apply_out_of_memory,
                test_plan_out_of_memory,
                test_commit_out_of_memory,
        };

        return tests_run("engine placement memory", tests, ELEMENTSOF(tests));
}
