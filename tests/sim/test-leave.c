/* SPDX-License-Identifier: Apache-2.0 */

/* Machines that leave the cluster, in whole clusters: what has another place runs there before it
 * ends here, the rest is stopped in the end, and nothing of the machine is left in the store. */

#include <stdio.h>

#include "tests/sim/cluster.h"
#include "tests/unit/fault.h"

static const char plain[] = "[Service]\nExecStart=/bin/true\n";
static const char slow[] = "[X-Fake]\nStartDelayMs=3000\nStopDelayMs=2000\n";
static const char everywhere[] = "[X-Fleet]\nGlobal=true\n[X-Fake]\nStopDelayMs=2000\n";

static bool is_on(const Sim *sim, size_t machine, const char *unit) {
        return fake_machine_unit_is_active(sim->machines[machine].fake, unit);
}

static size_t machine_of(const Sim *sim, const char *unit) {
        for (size_t i = 0; i < sim->n_machines; i++)
                if (is_on(sim, i, unit))
                        return i;
        ck_abort_msg("%s is nowhere", unit);
        return 0;
}

static size_t leader_of(const Sim *sim) {
        for (size_t i = 0; i < sim->n_machines; i++)
                if (sim->machines[i].engine && engine_stats(sim->machines[i].engine).is_leader)
                        return i;
        ck_abort_msg("nobody leads");
        return 0;
}

static bool has_left(void *userdata) {
        return ((SimMachine *)userdata)->has_left;
}

/* Run until the machine has left, and end its daemon. Every look finds the unit, unless NULL,
 * active somewhere. Returns how long it took. */
static uint64_t wait_left(Sim *sim, size_t i, const char *unit, uint64_t limit_ms) {
        char key[64];
        uint64_t ms;

        for (ms = 0; !has_left(&sim->machines[i]) && ms < limit_ms; ms += 10) {
                rig_run_ms(&sim->rig, 10);
                if (unit)
                        ck_assert_uint_ge(sim_copies(sim, unit), 1);
        }
        ck_assert(has_left(&sim->machines[i]));
        sim_stop(sim, i);
        (void)snprintf(key, sizeof(key), "machine/%s", sim->machines[i].id);
        ck_assert(!rig_has(&sim->rig, key));
        return ms;
}

static void set_up(Sim *sim, uint64_t seed, size_t n_machines) {
        sim_init(sim, seed, n_machines, false);
        rig_run_ms(&sim->rig, 2000);
}

/* Submit a unit and wait until it runs. Returns where. */
static size_t run_unit(Sim *sim, const char *unit, const char *text) {
        sim_submit(sim, unit, text, JOB_STATE_LAUNCHED);
        sim_wait_copies(sim, unit, 1, 10000);
        rig_run_ms(&sim->rig, 1000);
        return machine_of(sim, unit);
}

/* Units that take their time to start and to stop: started elsewhere first, stopped here after.
 * Neither the leader nor any other machine is an exception. Back again, the machine gets units. */
START_TEST(test_handing_over) {
        for (uint64_t seed = 0; seed < 12; seed++) {
                Sim sim;
                size_t i;

                set_up(&sim, seed, 3);
                i = run_unit(&sim, "a.service", seed % 2 ? slow : plain);
                if (seed % 3 == 0)
                        i = leader_of(&sim);
                sim_leave(&sim, i);
                ck_assert_uint_le(wait_left(&sim, i, "a.service", 10000), seed % 2 ? 6500 : 1000);
                ck_assert(!fake_machine_unit_is_running(sim.machines[i].fake, "a.service"));
                ck_assert_uint_eq(sim_copies(&sim, "a.service"), 1);
                ck_assert_str_eq(sim_state(&sim, i, "a.service"), "");
                rig_run_ms(&sim.rig, 60000);
                ck_assert_uint_eq(sim_copies(&sim, "a.service"), 1);

                sim_start(&sim, i);
                rig_run_ms(&sim.rig, 5000);
                if (run_unit(&sim, "b.service", plain) != i)
                        ck_assert_uint_eq(run_unit(&sim, "c.service", plain), i);
                sim_done(&sim);
        }
}
END_TEST

/* Units that have no other place, or are everywhere, are stopped in the end, to their end; the
 * placement says why. When the machine is back, they are. */
START_TEST(test_no_other_place) {
        static const char pinned[] = "[X-Fleet]\nMachineID=11111111111111111111111111111111\n"
                                     "[X-Fake]\nStopDelayMs=3000\n";
        const char *placement;
        Sim sim;

        set_up(&sim, 1, 2);
        sim_submit(&sim, "g.service", everywhere, JOB_STATE_LAUNCHED);
        ck_assert_uint_eq(run_unit(&sim, "p.service", pinned), 1);
        ck_assert_uint_eq(run_unit(&sim, "a.service", slow), 0);
        sim_leave(&sim, 1);
        rig_run_ms(&sim.rig, 1000);
        ck_assert_uint_eq(sim_running(&sim, "p.service"), 1);
        wait_left(&sim, 1, "a.service", 10000);
        ck_assert_uint_eq(sim_running(&sim, "p.service"), 0);
        ck_assert_uint_eq(sim_running(&sim, "g.service"), 1);
        placement = rig_get(&sim.rig, "placement/p.service");
        ck_assert_ptr_nonnull(strstr(placement, "its machine 11111111 is"));
        ck_assert_ptr_nonnull(strstr(placement, "and no other fits"));

        rig_run_ms(&sim.rig, 30000);
        sim_start(&sim, 1);
        sim_wait_copies(&sim, "p.service", 1, 5000);
        sim_wait_copies(&sim, "g.service", 2, 5000);
        ck_assert_ptr_null(strstr(rig_get(&sim.rig, "placement/p.service"), "why"));
        ck_assert_ptr_null(strstr(rig_get(&sim.rig, "schedule/11111111111111111111111111111111"
                                                    "/p.service"),
                                  "leaving"));
        sim_done(&sim);
}
END_TEST

/* The only machine leaves, and comes back. */
START_TEST(test_the_only_machine) {
        Sim sim;

        set_up(&sim, 1, 1);
        run_unit(&sim, "a.service", slow);
        sim_leave(&sim, 0);
        ck_assert_uint_le(wait_left(&sim, 0, NULL, 10000), 2500);
        ck_assert_uint_eq(sim_running(&sim, "a.service"), 0);
        rig_run_ms(&sim.rig, 60000);
        sim_start(&sim, 0);
        sim_wait_copies(&sim, "a.service", 1, 6000);
        sim_done(&sim);
}
END_TEST

/* Several leave at once, and then all: what can go on does, on the machines that stay. */
START_TEST(test_several_at_once) {
        for (uint64_t seed = 0; seed < 5; seed++) {
                Sim sim;

                set_up(&sim, seed, 4);
                for (char name[] = "a.service"; name[0] < 'i'; name[0]++)
                        run_unit(&sim, name, slow);
                sim_leave(&sim, 0);
                sim_leave(&sim, 1);
                rig_run_ms(&sim.rig, seed * 20);
                sim_leave(&sim, 2);
                for (size_t i = 0; i < 3; i++)
                        wait_left(&sim, i, "a.service", 20000);
                for (char name[] = "a.service"; name[0] < 'i'; name[0]++)
                        ck_assert(is_on(&sim, 3, name));
                sim_leave(&sim, 3);
                wait_left(&sim, 3, NULL, 10000);
                rig_run_ms(&sim.rig, 1000);
                ck_assert(!rig_has(&sim.rig, "engine/leader"));

                for (size_t i = 0; i < 4; i++)
                        sim_start(&sim, i);
                for (char name[] = "a.service"; name[0] < 'i'; name[0]++)
                        sim_wait_copies(&sim, name, 1, 10000);
                sim_done(&sim);
        }
}
END_TEST

/* The successor fails: the copy here goes on until nothing else is left to wait for, and is stopped
 * then. One that does not come up is waited for until the machine has no more time. */
START_TEST(test_successor_that_does_not_run) {
        Sim sim;
        size_t i;

        set_up(&sim, 1, 2);
        sim_submit(&sim, "f.service", "[X-Fake]\nFail=yes\n", JOB_STATE_LAUNCHED);
        rig_run_ms(&sim.rig, 2000);
        i = strstr(rig_get(&sim.rig, "placement/f.service"), "1111") ? 1 : 0;
        fake_machine_unit_revive(sim.machines[i].fake, "f.service");
        sim_submit(&sim, "s.service", slow, JOB_STATE_LAUNCHED);
        sim_submit(&sim, "t.service", slow, JOB_STATE_LAUNCHED);
        rig_run_ms(&sim.rig, 5000);
        sim_leave(&sim, i);
        rig_run_ms(&sim.rig, 2500);
        ck_assert(is_on(&sim, i, "f.service"));
        ck_assert_uint_le(wait_left(&sim, i, "s.service", 10000), 5000);
        ck_assert_uint_eq(sim_running(&sim, "f.service"), 0);
        sim_done(&sim);

        set_up(&sim, 1, 2);
        i = run_unit(&sim, "a.service", plain);
        fake_machine_set_connected(sim.machines[1 - i].fake, false);
        sim_leave(&sim, i);
        rig_run_ms(&sim.rig, 60000);
        ck_assert(is_on(&sim, i, "a.service"));
        ck_assert_uint_eq(agent_stats(sim.machines[i].agent).n_leaving, 1);
        agent_leave_now(sim.machines[i].agent);
        wait_left(&sim, i, NULL, 1000);
        sim_done(&sim);
}
END_TEST

/* The user's word goes on to count, and nothing begins on a machine that leaves. */
START_TEST(test_requests_meanwhile) {
        Sim sim;
        size_t i;

        set_up(&sim, 1, 2);
        i = run_unit(&sim, "a.service", plain);
        sim_submit(&sim, "l.service", plain, JOB_STATE_LOADED);
        fake_machine_set_connected(sim.machines[1 - i].fake, false);
        sim_leave(&sim, i);
        rig_run_ms(&sim.rig, 5000);
        sim_submit(&sim, "b.service", plain, JOB_STATE_LAUNCHED);
        sim_submit(&sim, "g.service", everywhere, JOB_STATE_LAUNCHED);
        sim_restart(&sim, "a.service", NULL);
        rig_run_ms(&sim.rig, 5000);
        ck_assert(is_on(&sim, i, "a.service"));
        ck_assert_uint_eq(fake_machine_unit_starts(sim.machines[i].fake, "a.service"), 1);
        ck_assert_uint_eq(fake_machine_unit_starts(sim.machines[i].fake, "b.service"), 0);
        ck_assert_uint_eq(fake_machine_unit_starts(sim.machines[i].fake, "g.service"), 0);
        sim_destroy(&sim, "a.service");
        wait_left(&sim, i, NULL, 2000);
        sim_done(&sim);
}
END_TEST

/* Cut off on its way out it keeps what it has; nobody misses a unit. */
START_TEST(test_cut_off_meanwhile) {
        Sim sim;
        size_t i;

        set_up(&sim, 1, 3);
        i = run_unit(&sim, "a.service", slow);
        sim_cut(&sim, i, true);
        sim_leave(&sim, i);
        rig_run_ms(&sim.rig, 40000);
        ck_assert(is_on(&sim, i, "a.service"));
        ck_assert_uint_eq(sim_copies(&sim, "a.service"), 2);
        sim_cut(&sim, i, false);
        wait_left(&sim, i, "a.service", 20000);
        ck_assert_uint_eq(sim_copies(&sim, "a.service"), 1);
        sim_done(&sim);
}
END_TEST

/* The daemon dies in the middle and starts again: the machine stays, and each unit runs once. */
START_TEST(test_crash_meanwhile) {
        for (uint64_t at_ms = 0; at_ms < 6000; at_ms += 200) {
                Sim sim;
                size_t i;

                set_up(&sim, at_ms, 3);
                i = run_unit(&sim, "a.service", slow);
                sim_leave(&sim, i);
                rig_run_ms(&sim.rig, at_ms);
                if (!has_left(&sim.machines[i]))
                        sim_crash(&sim, i);
                else
                        sim_stop(&sim, i);
                rig_run_ms(&sim.rig, 200);
                sim_start(&sim, i);
                for (uint64_t ms = 0; ms < 30000; ms += 100) {
                        rig_run_ms(&sim.rig, 100);
                        ck_assert_uint_ge(sim_copies(&sim, "a.service"), 1);
                }
                ck_assert_uint_eq(sim_copies(&sim, "a.service"), 1);
                ck_assert(rig_has(&sim.rig, "machine/00000000000000000000000000000000"));
                sim_done(&sim);
        }
}
END_TEST

/* A unit that is unloaded while its successor comes up is known to be where it comes from as well:
 * it starts anew when that machine has ended it. */
START_TEST(test_unloaded_meanwhile) {
        static const char text[] = "[X-Fake]\nStartDelayMs=1500\nStopDelayMs=5000\n";
        Sim sim;
        size_t i;

        set_up(&sim, 1, 3);
        i = run_unit(&sim, "a.service", text);
        sim_leave(&sim, i);
        rig_run_ms(&sim.rig, 1000);
        sim_submit(&sim, "a.service", text, JOB_STATE_INACTIVE);
        rig_run_ms(&sim.rig, 100);
        ck_assert_ptr_nonnull(strstr(rig_get(&sim.rig, "placement/a.service"), sim.machines[i].id));
        sim_submit(&sim, "a.service", text, JOB_STATE_LAUNCHED);
        for (uint64_t ms = 0; ms < 15000; ms += 10) {
                rig_run_ms(&sim.rig, 10);
                for (size_t k = 0; k < sim.n_machines; k++)
                        ck_assert(k == i || !is_on(&sim, k, "a.service") ||
                                  !fake_machine_unit_is_running(sim.machines[i].fake, "a.service"));
        }
        ck_assert_uint_eq(sim_copies(&sim, "a.service"), 1);
        sim_done(&sim);
}
END_TEST

/* A daemon that is killed while it stops what has no other place: the next one, in time to be the
 * same member, starts it again, at whatever moment that was. */
START_TEST(test_killed_while_it_stops_units) {
        for (uint64_t ms = 1; ms < 3000; ms += 190) {
                Sim sim;

                set_up(&sim, 1, 1);
                (void)run_unit(&sim, "a.service", slow);
                sim_leave(&sim, 0);
                rig_run_ms(&sim.rig, 5);
                agent_leave_now(sim.machines[0].agent);
                rig_run_ms(&sim.rig, ms);
                if (has_left(&sim.machines[0]))
                        ck_assert_uint_ge(ms, 2000);
                sim_crash(&sim, 0);
                rig_run_ms(&sim.rig, 3000);
                sim_start(&sim, 0);
                sim_wait_copies(&sim, "a.service", 1, 10000);
                sim_done(&sim);
        }
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_handing_over,
                test_no_other_place,
                test_the_only_machine,
                test_several_at_once,
                test_successor_that_does_not_run,
                test_requests_meanwhile,
                test_cut_off_meanwhile,
                test_crash_meanwhile,
                test_killed_while_it_stops_units,
                test_unloaded_meanwhile,
        };

        return tests_run("leave", tests, ELEMENTSOF(tests));
}
