/* SPDX-License-Identifier: Apache-2.0 */

/* Machines that are away for long: the rows of global units that they leave behind are removed in
 * the end, and whoever comes back after all loses nothing. */

#include <stdio.h>
#include <stdlib.h>

#include "engine/gone.h"
#include "tests/sim/cluster.h"
#include "tests/unit/fault.h"

static const char everywhere[] = "[Service]\nExecStart=/bin/true\n[X-Fleet]\nGlobal=true\n";
static const char here_only[] = "[Service]\nExecStart=/bin/true\n"
                                "[X-Fleet]\nMachineID=22222222222222222222222222222222\n";

enum {
        AWAY = 2, /* the machine that goes */
        MINUTE_MS = 60 * 1000,
        AFTER_MS = GONE_AFTER_US / 1000,
};

static bool has_row(Sim *sim, const char *unit) {
        char key[128];

        (void)snprintf(key, sizeof(key), "schedule/%s/%s", sim->machines[AWAY].id, unit);
        return rig_has(&sim->rig, key);
}

static void set_up(Sim *sim, uint64_t seed) {
        sim_init(sim, seed, 3, false);
        sim_submit(sim, "g.service", everywhere, JOB_STATE_LAUNCHED);
        sim_submit(sim, "a.service", here_only, JOB_STATE_LAUNCHED);
        sim_wait_copies(sim, "g.service", 3, 5000);
        sim_wait_copies(sim, "a.service", 1, 5000);
        rig_run_ms(&sim->rig, 5000);
}

/* The machine has been away for less than an hour; then for more. */
static void wait_until_given_up(Sim *sim) {
        rig_run_ms(&sim->rig, AFTER_MS - MINUTE_MS);
        ck_assert(has_row(sim, "g.service"));
        rig_run_ms(&sim->rig, 4 * MINUTE_MS);
        ck_assert(!has_row(sim, "g.service"));
        ck_assert_msg(has_row(sim, "a.service"), "what fits nowhere else keeps its place");
}

/* Runs on with both units, as the processes that they were. */
static void assert_never_stopped(const Sim *sim) {
        ck_assert_uint_eq(sim_copies(sim, "g.service"), 3);
        ck_assert_uint_eq(sim_copies(sim, "a.service"), 1);
        ck_assert_uint_eq(fake_machine_unit_starts(sim->machines[AWAY].fake, "g.service"), 1);
        ck_assert_uint_eq(fake_machine_unit_starts(sim->machines[AWAY].fake, "a.service"), 1);
}

/* A machine that was cut off for hours comes back: its units have run on and go on. */
START_TEST(test_cut_off_for_long) {
        for (uint64_t seed = 1; seed <= 8; seed++) {
                Sim sim;

                set_up(&sim, seed);
                sim_cut(&sim, AWAY, true);
                wait_until_given_up(&sim);
                assert_never_stopped(&sim);
                sim_cut(&sim, AWAY, false);
                for (size_t i = 0; i < 9000; i++) {
                        rig_run_ms(&sim.rig, 10);
                        assert_never_stopped(&sim);
                }
                ck_assert(has_row(&sim, "g.service"));
                sim_wait_state(&sim, AWAY, "g.service", "\"active\":\"active\"", 1);
                sim_done(&sim);
        }
}
END_TEST

/* The same, and its daemon was ended meanwhile, so that it remembers nothing. */
START_TEST(test_back_without_a_memory) {
        Sim sim;

        set_up(&sim, 21);
        sim_cut(&sim, AWAY, true);
        wait_until_given_up(&sim);
        sim_crash(&sim, AWAY);
        sim_start(&sim, AWAY);
        for (size_t i = 0; i < 9000; i++) {
                rig_run_ms(&sim.rig, 10);
                assert_never_stopped(&sim);
        }
        ck_assert(has_row(&sim, "g.service"));
        sim_done(&sim);
}
END_TEST

/* What does not belong there any more ends when the machine is back: it was destroyed, or is not to
 * run there. */
START_TEST(test_changed_meanwhile) {
        char key[64];
        Sim sim;

        set_up(&sim, 31);
        sim_submit(&sim, "h.service", "[X-Fleet]\nGlobal=true\nMachineMetadata=on=yes\n",
                   JOB_STATE_LAUNCHED);
        (void)snprintf(key, sizeof(key), "metadata/%s", sim.machines[AWAY].id);
        rig_set(&sim.rig, key, "{\"on\":\"yes\"}");
        sim_wait_copies(&sim, "h.service", 1, 5000);
        sim_cut(&sim, AWAY, true);
        wait_until_given_up(&sim);
        sim_destroy(&sim, "g.service");
        rig_set(&sim.rig, key, "{}");
        rig_run_ms(&sim.rig, MINUTE_MS);
        sim_cut(&sim, AWAY, false);
        sim_wait_copies(&sim, "g.service", 0, 10000);
        sim_wait_copies(&sim, "h.service", 0, 60000);
        ck_assert_uint_eq(sim_copies(&sim, "a.service"), 1);
        sim_done(&sim);
}
END_TEST

/* A unit for one machine that fits nowhere any more ends at once, also where the machine has just
 * joined: that it is nowhere is decided. */
START_TEST(test_fits_nowhere) {
        char key[64];
        Sim sim;

        sim_init(&sim, 61, 3, false);
        (void)snprintf(key, sizeof(key), "metadata/%s", sim.machines[AWAY].id);
        rig_set(&sim.rig, key, "{\"on\":\"yes\"}");
        sim_submit(&sim, "o.service", "[X-Fleet]\nMachineMetadata=on=yes\n", JOB_STATE_LAUNCHED);
        sim_wait_copies(&sim, "o.service", 1, 5000);
        rig_set(&sim.rig, key, "{}");
        sim_wait_copies(&sim, "o.service", 0, 2000);
        sim_done(&sim);
}
END_TEST

/* A machine whose power fails for as long starts everything again; one that never comes back leaves
 * nothing but what only it can run. */
START_TEST(test_powered_off_for_long) {
        Sim sim;

        set_up(&sim, 41);
        sim_power_off(&sim, AWAY);
        wait_until_given_up(&sim);
        sim_destroy(&sim, "a.service");
        rig_run_ms(&sim.rig, MINUTE_MS);
        ck_assert(!has_row(&sim, "a.service"));
        sim_start(&sim, AWAY);
        sim_wait_copies(&sim, "g.service", 3, 10000);
        ck_assert(has_row(&sim, "g.service"));
        sim_done(&sim);
}
END_TEST

/* Another leader counts anew: the rows go later, and go. */
START_TEST(test_leaders_change) {
        size_t leader = 0;
        Sim sim;

        set_up(&sim, 51);
        sim_power_off(&sim, AWAY);
        rig_run_ms(&sim.rig, AFTER_MS - MINUTE_MS);
        while (!sim.machines[leader].engine || !engine_is_leading(sim.machines[leader].engine))
                leader++;
        sim_stop(&sim, leader);
        rig_run_ms(&sim.rig, MINUTE_MS);
        sim_start(&sim, leader);
        rig_run_ms(&sim.rig, 10 * MINUTE_MS);
        ck_assert(has_row(&sim, "g.service"));
        rig_run_ms(&sim.rig, AFTER_MS);
        ck_assert(!has_row(&sim, "g.service"));
        sim_done(&sim);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_cut_off_for_long,     test_back_without_a_memory, test_changed_meanwhile,
                test_powered_off_for_long, test_leaders_change,        test_fits_nowhere,
        };

        return tests_run("gone", tests, ELEMENTSOF(tests));
}
