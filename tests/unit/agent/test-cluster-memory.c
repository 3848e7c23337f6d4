/* SPDX-License-Identifier: Apache-2.0 */

/* Memory that runs out anywhere in a cluster: whatever allocation of a daemon fails while something
 * happens, or all of them from some point on until the deed is over, what is well runs on
 * untouched, and in the end everything is as asked. No loop spins meanwhile (virtual-env.c looks).
 */

#include <stdio.h>

#include "lib/base/log.h"
#include "tests/sim/cluster.h"
#include "tests/unit/fault.h"

static const JobState LAUNCHED = JOB_STATE_LAUNCHED, LOADED = JOB_STATE_LOADED;

enum {
        N_MACHINES = 2,
        SETTLE_MS = 3000,   /* until the machines are in the cluster, and one leads */
        DEED_MS = 4000,     /* while allocations fail */
        RECOVER_MS = 300000 /* enough for every retry there is, and a lease or two */
};

/* On machine 1, which no deed takes away. */
#define WELL \
        "[Service]\nExecStart=/bin/true\n[X-Fleet]\nMachineID=11111111111111111111111111111111\n"
#define HERE \
        "[Service]\nExecStart=/bin/true\n[X-Fleet]\nMachineID=00000000000000000000000000000000\n"

static const char plain[] = "[Service]\nExecStart=/bin/true\n";
static const char here[] = HERE, well[] = WELL;
static const char changed[] = HERE "Conflicts=z*\n[X-Fake]\nStopDelayMs=300\n";
static const char global[] = "[Service]\nExecStart=/bin/true\n[X-Fleet]\nGlobal=true\n";
static const char rich[] = "[Service]\nExecStart=/bin/true\n[X-Fleet]\nMachineOf=well.service\n"
                           "Conflicts=z*\nReplaces=y.service\nMachineMetadata=a=b\n";

static void submit(Sim *sim) {
        sim_submit(sim, "new.service", plain, LAUNCHED);
}

static void submit_rich(Sim *sim) {
        sim_submit(sim, "new.service", rich, LAUNCHED);
}

static void submit_global(Sim *sim) {
        sim_submit(sim, "new.service", global, LAUNCHED);
}

static void submit_misfit(Sim *sim) {
        sim_submit(sim, "new.service", "[X-Fleet]\nMachineMetadata=x=y\n", LAUNCHED);
}

static void submit_bad(Sim *sim) {
        sim_submit(sim, "new.service", "[X-Fake]\nBad=yes\n", LAUNCHED);
}

static void change(Sim *sim) {
        sim_submit(sim, "a.service", changed, LAUNCHED);
}

static void restart(Sim *sim) {
        sim_restart(sim, "a.service", NULL);
}

static void stop(Sim *sim) {
        sim_submit(sim, "a.service", here, LOADED);
}

static void destroy(Sim *sim) {
        sim_destroy(sim, "a.service");
}

static void move(Sim *sim) {
        sim_submit(sim, "a.service", well, LAUNCHED);
}

static void unit_dies(Sim *sim) {
        fake_machine_unit_exit(sim->machines[0].fake, "a.service", false);
}

static void lose_lease(Sim *sim) {
        memory_store_expire_lease(sim->rig.memory, presence_lease(sim->machines[0].presence));
}

static void lose_leader(Sim *sim) {
        sim_stop(sim, engine_is_leading(sim->machines[0].engine) ? 0 : 1);
}

static void lose_store(Sim *sim) {
        for (size_t i = 0; i < N_MACHINES; i++)
                sim_cut(sim, i, true);
        rig_run_ms(&sim->rig, 1000);
        sim_submit(sim, "new.service", plain, LAUNCHED);
        memory_store_compact(sim->rig.memory, rig_revision(&sim->rig));
        for (size_t i = 0; i < N_MACHINES; i++)
                sim_cut(sim, i, false);
}

static void lose_systemd(Sim *sim) {
        fake_machine_set_connected(sim->machines[0].fake, false);
        sim_submit(sim, "new.service", here, LAUNCHED);
        rig_run_ms(&sim->rig, 1000);
        fake_machine_set_connected(sim->machines[0].fake, true);
}

static void restart_daemon(Sim *sim) {
        sim_crash(sim, 1);
        sim_start(sim, 1);
}

/* What happens, and on how many machines a.service and new.service run afterwards. */
static const struct {
        const char *name;
        void (*deed)(Sim *sim);
        unsigned n_a, n_new;
        const char *why; /* in the record of new.service, where it is not placed */
} deeds[] = {
        { "submit", submit, 1, 1 },
        { "submit with every rule", submit_rich, 1, 1 },
        { "submit a global unit", submit_global, 1, N_MACHINES },
        { "submit what fits nowhere", submit_misfit, 1, 0, "x=y" },
        { "submit what cannot be loaded", submit_bad, 1, 0 },
        { "change", change, 1, 0 },
        { "restart", restart, 1, 0 },
        { "stop", stop, 0, 0 },
        { "destroy", destroy, 0, 0 },
        { "move", move, 1, 0 },
        { "a unit dies", unit_dies, 0, 0 },
        { "a lease is lost", lose_lease, 1, 0 },
        { "the leader leaves", lose_leader, 1, 0 },
        { "the store is away", lose_store, 1, 1 },
        { "systemd is away", lose_systemd, 1, 1 },
        { "the daemon starts again", restart_daemon, 1, 0 },
};

static void set_up(Sim *sim) {
        sim_init(sim, 7, N_MACHINES, false);
        sim->machines[1].metadata = "a=b";
        sim_stop(sim, 1);
        sim_start(sim, 1);
        rig_run_ms(&sim->rig, SETTLE_MS);
        sim_submit(sim, "a.service", here, LAUNCHED);
        sim_submit(sim, "well.service", well, LAUNCHED);
        sim_wait_copies(sim, "a.service", 1, 30000);
        sim_wait_copies(sim, "well.service", 1, 30000);
        rig_run_ms(&sim->rig, SETTLE_MS);
}

/* Returns whether an allocation failed. */
static bool check(size_t i, size_t n, bool is_lasting) {
        bool has_failed;
        const char *why;
        Sim sim;

        set_up(&sim);
        deeds[i].deed(&sim);
        if (is_lasting)
                fault_arm_lasting(n);
        else
                fault_arm(n);
        rig_run_ms(&sim.rig, DEED_MS);
        has_failed = fault_disarm();
        rig_run_ms(&sim.rig, RECOVER_MS);

        ck_assert_msg(sim_copies(&sim, "a.service") == deeds[i].n_a,
                      "%s, allocation %zu: %u copies of a.service", deeds[i].name, n,
                      sim_copies(&sim, "a.service"));
        ck_assert_msg(sim_copies(&sim, "new.service") == deeds[i].n_new,
                      "%s, allocation %zu: %u copies of new.service", deeds[i].name, n,
                      sim_copies(&sim, "new.service"));
        why = deeds[i].why ? rig_get(&sim.rig, "placement/new.service") : NULL;
        ck_assert_msg(!deeds[i].why || (why && strstr(why, deeds[i].why)),
                      "%s, allocation %zu: no reason: %s", deeds[i].name, n, why);
        ck_assert_msg(fake_machine_unit_starts(sim.machines[1].fake, "well.service") == 1 &&
                              fake_machine_unit_is_active(sim.machines[1].fake, "well.service"),
                      "%s, allocation %zu: well.service was touched", deeds[i].name, n);
        sim_done(&sim);
        return has_failed;
}

START_TEST(test_each_allocation) {
        bool is_lasting = (size_t)_i >= ELEMENTSOF(deeds);
        size_t i = (size_t)_i % ELEMENTSOF(deeds), n = 0;

        while (check(i, n, is_lasting))
                n += is_lasting ? 5 : 1;
        ck_assert_uint_gt(n, 10);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("agent cluster-memory");
        TCase *cases = tcase_create("allocations");
        SRunner *runner;
        int n_failed;

        tcase_set_timeout(cases, 600);
        tcase_add_loop_test(cases, test_each_allocation, 0, 2 * (int)ELEMENTSOF(deeds));
        suite_add_tcase(suite, cases);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed > 0;
}
