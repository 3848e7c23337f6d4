/* SPDX-License-Identifier: Apache-2.0 */

/* Restarts and moves, in whole clusters: what is asked for happens, through whatever happens
 * meanwhile, and no unit ever runs twice. */

#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/cluster.h"
#include "tests/unit/fault.h"

static const char plain[] = "[Service]\nExecStart=/bin/true\n";
static const char pinned[] = "[X-Fleet]\nMachineID=00000000000000000000000000000000\n"
                             "[X-Fake]\nStopDelayMs=2000\n";
static const char everywhere[] = "[X-Fleet]\nGlobal=true\n";
static const char marked[] = "[X-Fleet]\nMachineMetadata=on=yes\n[X-Fake]\nStopDelayMs=3000\n";

static unsigned n_starts(const Sim *sim, size_t machine, const char *unit) {
        return fake_machine_unit_starts(sim->machines[machine].fake, unit);
}

static bool runs_on(const Sim *sim, size_t machine, const char *unit) {
        return fake_machine_unit_is_running(sim->machines[machine].fake, unit);
}

static size_t leader_of(const Sim *sim) {
        for (size_t i = 0; i < sim->n_machines; i++)
                if (sim->machines[i].engine && engine_stats(sim->machines[i].engine).is_leader)
                        return i;
        ck_abort_msg("nobody leads");
        return 0;
}

/* Move what is marked to this machine. */
static void mark_machine(Sim *sim, size_t machine) {
        char key[64];

        for (size_t i = 0; i < sim->n_machines; i++) {
                (void)snprintf(key, sizeof(key), "metadata/%s", sim->machines[i].id);
                rig_set(&sim->rig, key, i == machine ? "{\"on\":\"yes\"}" : "{}");
        }
}

/* Let time pass and look, at every step, that the unit does not run twice. */
static void run_once_at_most(Sim *sim, const char *unit, uint64_t ms) {
        for (uint64_t i = 0; i < ms; i += 5) {
                rig_run_ms(&sim->rig, 5);
                ck_assert_uint_le(sim_running(sim, unit), 1);
        }
}

/* A restart stops the unit to its end and starts it again, once; then the state answers it. A later
 * request that is none restarts nothing. */
START_TEST(test_restart) {
        Sim sim;

        sim_init(&sim, 1, 3, false);
        rig_run_ms(&sim.rig, 1000);
        sim_submit(&sim, "a.service", pinned, JOB_STATE_LAUNCHED);
        sim_wait_copies(&sim, "a.service", 1, 1000);
        sim_restart(&sim, "a.service", NULL);
        rig_run_ms(&sim.rig, 1900);
        ck_assert_uint_eq(sim_copies(&sim, "a.service"), 0);
        ck_assert_uint_eq(sim_running(&sim, "a.service"), 1);
        sim_wait_copies(&sim, "a.service", 1, 500);
        ck_assert_uint_eq(n_starts(&sim, 0, "a.service"), 2);
        rig_run_ms(&sim.rig, 60000);
        ck_assert_uint_eq(n_starts(&sim, 0, "a.service"), 2);

        sim_submit(&sim, "a.service", pinned, JOB_STATE_LAUNCHED);
        rig_run_ms(&sim.rig, 60000);
        ck_assert_uint_eq(n_starts(&sim, 0, "a.service"), 2);
        sim_done(&sim);
}
END_TEST

/* One that does not run is started; one that hangs in its start is started anew; the failure of a
 * restart is in the state. */
START_TEST(test_restart_of_what_does_not_run) {
        Sim sim;

        sim_init(&sim, 1, 1, false);
        sim_submit(&sim, "a.service", plain, JOB_STATE_LAUNCHED);
        sim_submit(&sim, "h.service", "[X-Fake]\nHang=yes\n", JOB_STATE_LAUNCHED);
        sim_submit(&sim, "f.service", "[X-Fake]\nFail=yes\n", JOB_STATE_LAUNCHED);
        rig_run_ms(&sim.rig, 10000);
        fake_machine_unit_exit(sim.machines[0].fake, "a.service", false);
        rig_run_ms(&sim.rig, 2000);
        sim_restart(&sim, "a.service", NULL);
        sim_restart(&sim, "h.service", NULL);
        sim_restart(&sim, "f.service", NULL);
        rig_run_ms(&sim.rig, 2000);
        ck_assert_uint_eq(sim_copies(&sim, "a.service"), 1);
        ck_assert_uint_eq(n_starts(&sim, 0, "a.service"), 2);
        ck_assert_uint_eq(n_starts(&sim, 0, "h.service"), 2);
        ck_assert_uint_eq(n_starts(&sim, 0, "f.service"), 2);
        sim_wait_state(&sim, 0, "f.service", "the start job failed", 1000);
        sim_done(&sim);
}
END_TEST

/* Asked for again while a restart is under way: one more follows it. Asked for several times
 * before it has begun: one. */
START_TEST(test_restart_twice) {
        Sim sim;

        sim_init(&sim, 1, 1, false);
        sim_submit(&sim, "a.service", pinned, JOB_STATE_LAUNCHED);
        sim_wait_copies(&sim, "a.service", 1, 10000);
        rig_run_ms(&sim.rig, 1000);
        sim_restart(&sim, "a.service", NULL);
        rig_run_ms(&sim.rig, 1000);
        for (int i = 0; i < 3; i++) {
                sim_restart(&sim, "a.service", NULL);
                rig_run_ms(&sim.rig, 100);
        }
        rig_run_ms(&sim.rig, 60000);
        ck_assert_uint_eq(n_starts(&sim, 0, "a.service"), 3);
        sim_done(&sim);
}
END_TEST

/* The daemon dies in the middle of a restart: the next one sees to it that the unit is restarted
 * and runs. Nothing that was restarted before it died is restarted again. */
START_TEST(test_restart_through_a_daemon_restart) {
        for (uint64_t at_ms = 0; at_ms < 3000; at_ms += 250) {
                Sim sim;

                sim_init(&sim, at_ms, 1, false);
                sim_submit(&sim, "a.service", pinned, JOB_STATE_LAUNCHED);
                sim_submit(&sim, "b.service", plain, JOB_STATE_LAUNCHED);
                rig_run_ms(&sim.rig, 5000);
                sim_restart(&sim, "b.service", NULL);
                rig_run_ms(&sim.rig, 1000);
                ck_assert_uint_eq(n_starts(&sim, 0, "b.service"), 2);
                sim_restart(&sim, "a.service", NULL);
                rig_run_ms(&sim.rig, at_ms);
                sim_crash(&sim, 0);
                rig_run_ms(&sim.rig, 500);
                sim_start(&sim, 0);
                rig_run_ms(&sim.rig, 30000);
                ck_assert_uint_eq(sim_copies(&sim, "a.service"), 1);
                ck_assert_uint_ge(n_starts(&sim, 0, "a.service"), 2);
                ck_assert_uint_le(n_starts(&sim, 0, "a.service"), 3);
                ck_assert_uint_eq(n_starts(&sim, 0, "b.service"), 2);
                sim_done(&sim);
        }
}
END_TEST

/* A daemon that was away for so long that its lease, and with it what it had reported, has ended
 * does not restart what runs well because of a restart that was asked for long ago. */
START_TEST(test_old_restarts_are_over) {
        unsigned n_changes;
        Sim sim;

        sim_init(&sim, 1, 2, false);
        sim_submit(&sim, "a.service", pinned, JOB_STATE_LAUNCHED);
        sim_submit(&sim, "g.service", everywhere, JOB_STATE_LAUNCHED);
        rig_run_ms(&sim.rig, 5000);
        sim_restart(&sim, "a.service", NULL);
        sim_restart(&sim, "g.service", sim.machines[0].id);
        rig_run_ms(&sim.rig, 10000);
        n_changes = sim.machines[0].n_changes;
        sim_crash(&sim, 0);
        rig_run_ms(&sim.rig, 3 * SIM_TTL_S * 1000);
        sim_start(&sim, 0);
        rig_run_ms(&sim.rig, 60000);
        ck_assert_uint_eq(sim.machines[0].n_changes, n_changes);
        sim_wait_state(&sim, 0, "a.service", "\"active\":\"active\"", 1);
        sim_done(&sim);
}
END_TEST

/* The leader dies as the restart is asked for: it is carried out once, by that leader's word or the
 * next one's. */
START_TEST(test_restart_in_an_election) {
        for (uint64_t seed = 0; seed < 20; seed++) {
                size_t leader, machine;
                char text[128];
                Sim sim;

                sim_init(&sim, seed, 3, false);
                rig_run_ms(&sim.rig, 1000);
                leader = leader_of(&sim);
                machine = (leader + 1) % 3;
                (void)snprintf(text, sizeof(text), "[X-Fleet]\nMachineID=%s\n",
                               sim.machines[machine].id);
                sim_submit(&sim, "a.service", text, JOB_STATE_LAUNCHED);
                sim_wait_copies(&sim, "a.service", 1, 1000);
                rig_run_ms(&sim.rig, 1000);
                sim_restart(&sim, "a.service", NULL);
                rig_run_ms(&sim.rig, seed / 4);
                sim_crash(&sim, leader);
                rig_run_ms(&sim.rig, 3 * SIM_TTL_S * 1000);
                ck_assert_uint_eq(n_starts(&sim, machine, "a.service"), 2);
                sim_done(&sim);
        }
}
END_TEST

/* A restart on one machine of a global unit restarts that copy only. */
START_TEST(test_restart_on_one_machine) {
        Sim sim;

        sim_init(&sim, 1, 3, false);
        sim_submit(&sim, "g.service", everywhere, JOB_STATE_LAUNCHED);
        sim_wait_copies(&sim, "g.service", 3, 10000);
        rig_run_ms(&sim.rig, 1000);
        sim_restart(&sim, "g.service", sim.machines[1].id);
        rig_run_ms(&sim.rig, 2000);
        for (size_t i = 0; i < 3; i++)
                ck_assert_uint_eq(n_starts(&sim, i, "g.service"), i == 1 ? 2 : 1);
        sim_restart(&sim, "g.service", NULL);
        rig_run_ms(&sim.rig, 2000);
        for (size_t i = 0; i < 3; i++)
                ck_assert_uint_eq(n_starts(&sim, i, "g.service"), i == 1 ? 3 : 2);
        sim_done(&sim);
}
END_TEST

/* A unit that moves starts on its new machine when it has ended on the old one; meanwhile the
 * state says what it waits for. */
START_TEST(test_move) {
        for (uint64_t seed = 0; seed < 5; seed++) {
                Sim sim;

                sim_init(&sim, seed, 2, false);
                mark_machine(&sim, 0);
                sim_submit(&sim, "a.service", marked, JOB_STATE_LAUNCHED);
                sim_wait_copies(&sim, "a.service", 1, 10000);
                rig_run_ms(&sim.rig, 500 * seed);
                mark_machine(&sim, 1);
                run_once_at_most(&sim, "a.service", 1500);
                sim_wait_state(&sim, 1, "a.service",
                               "\"waits\":\"waits for machine 00000000 to end it\"", 1);
                run_once_at_most(&sim, "a.service", 3000);
                ck_assert(runs_on(&sim, 1, "a.service"));
                sim_wait_state(&sim, 1, "a.service", "\"active\":\"active\"", 1000);
                ck_assert_ptr_null(strstr(sim_state(&sim, 1, "a.service"), "waits"));
                ck_assert_str_eq(sim_state(&sim, 0, "a.service"), "");
                sim_done(&sim);
        }
}
END_TEST

/* It is moved as soon as it was placed: although the old machine has not reported it yet, its copy
 * is waited for. */
START_TEST(test_move_at_once) {
        for (uint64_t ms = 0; ms < 100; ms += 5) {
                Sim sim;

                sim_init(&sim, ms, 2, false);
                mark_machine(&sim, 0);
                rig_run_ms(&sim.rig, 2000);
                sim_submit(&sim, "a.service", marked, JOB_STATE_LAUNCHED);
                rig_run_ms(&sim.rig, ms);
                mark_machine(&sim, 1);
                run_once_at_most(&sim, "a.service", 8000);
                ck_assert(runs_on(&sim, 1, "a.service"));
                sim_done(&sim);
        }
}
END_TEST

/* The old machine dies while it stops the unit: the new one starts it once the lease has ended. One
 * that was gone before is not waited for at all. */
START_TEST(test_old_machine_dies) {
        static const char slow[] =
                "[X-Fleet]\nMachineMetadata=on=yes\n[X-Fake]\nStopDelayMs=600000\n";
        Sim sim;

        sim_init(&sim, 1, 3, false);
        mark_machine(&sim, 0);
        sim_submit(&sim, "a.service", slow, JOB_STATE_LAUNCHED);
        sim_wait_copies(&sim, "a.service", 1, 10000);
        mark_machine(&sim, 1);
        run_once_at_most(&sim, "a.service", 60000);
        ck_assert(runs_on(&sim, 0, "a.service"));
        sim_power_off(&sim, 0);
        run_once_at_most(&sim, "a.service", (SIM_TTL_S + 1) * 1000);
        ck_assert(runs_on(&sim, 1, "a.service"));

        sim_power_off(&sim, 1);
        mark_machine(&sim, 2);
        rig_run_ms(&sim.rig, (SIM_TTL_S + 1) * 1000);
        ck_assert(runs_on(&sim, 2, "a.service"));
        sim_done(&sim);
}
END_TEST

/* Moved on and on, and back, while the first machine still stops it. */
START_TEST(test_chain_of_moves) {
        for (uint64_t pause_ms = 0; pause_ms < 4000; pause_ms += 300) {
                Sim sim;

                sim_init(&sim, pause_ms, 3, false);
                mark_machine(&sim, 0);
                sim_submit(&sim, "a.service", marked, JOB_STATE_LAUNCHED);
                sim_wait_copies(&sim, "a.service", 1, 10000);
                for (size_t i = 1; i <= 4; i++) {
                        mark_machine(&sim, i % 3);
                        run_once_at_most(&sim, "a.service", pause_ms);
                }
                run_once_at_most(&sim, "a.service", 20000);
                ck_assert(runs_on(&sim, 1, "a.service"));
                for (size_t i = 0; i < 3; i++)
                        ck_assert_int_eq(*sim_state(&sim, i, "a.service") != '\0', i == 1);
                sim_done(&sim);
        }
}
END_TEST

/* The leader, and the daemon of either machine, dies in the middle of a move. */
START_TEST(test_daemons_die_during_a_move) {
        for (size_t victim = 0; victim < 3; victim++)
                for (uint64_t at_ms = 0; at_ms < 4000; at_ms += 450) {
                        Sim sim;

                        sim_init(&sim, at_ms, 3, false);
                        mark_machine(&sim, 0);
                        sim_submit(&sim, "a.service", marked, JOB_STATE_LAUNCHED);
                        sim_wait_copies(&sim, "a.service", 1, 10000);
                        rig_run_ms(&sim.rig, 2000);
                        mark_machine(&sim, 1);
                        run_once_at_most(&sim, "a.service", at_ms);
                        sim_crash(&sim, victim);
                        run_once_at_most(&sim, "a.service", 300);
                        sim_start(&sim, victim);
                        run_once_at_most(&sim, "a.service", 30000);
                        ck_assert(runs_on(&sim, 1, "a.service"));
                        ck_assert_uint_eq(n_starts(&sim, 1, "a.service"), 1);
                        sim_done(&sim);
                }
}
END_TEST

/* Taken back and asked for again while it still ends: it does not start elsewhere before that. */
START_TEST(test_unload_and_start_elsewhere) {
        Sim sim;

        sim_init(&sim, 1, 2, false);
        mark_machine(&sim, 0);
        sim_submit(&sim, "a.service", marked, JOB_STATE_LAUNCHED);
        sim_wait_copies(&sim, "a.service", 1, 10000);
        rig_run_ms(&sim.rig, 2000);
        sim_submit(&sim, "a.service", marked, JOB_STATE_INACTIVE);
        run_once_at_most(&sim, "a.service", 500);
        mark_machine(&sim, 1);
        sim_submit(&sim, "a.service", marked, JOB_STATE_LAUNCHED);
        run_once_at_most(&sim, "a.service", 6000);
        ck_assert(runs_on(&sim, 1, "a.service"));
        sim_done(&sim);
}
END_TEST

/* Destroyed, and made again while its old machine still ends it, it waits for that there, through an
 * election, too: what it left is on record. When all has ended nothing is left on record. */
START_TEST(test_destroy_and_make_elsewhere) {
        for (int elects = 0; elects < 2; elects++) {
                Sim sim;

                sim_init(&sim, 1, 3, false);
                mark_machine(&sim, 0);
                sim_submit(&sim, "a.service", marked, JOB_STATE_LAUNCHED);
                sim_wait_copies(&sim, "a.service", 1, 10000);
                rig_run_ms(&sim.rig, 2000);
                sim_destroy(&sim, "a.service");
                run_once_at_most(&sim, "a.service", 200);
                ck_assert_str_eq(rig_get(&sim.rig, "placement/a.service"),
                                 "{\"generation\":0,\"left\":"
                                 "[\"00000000000000000000000000000000\"]}");
                if (elects)
                        rig_remove(&sim.rig, "engine/leader");
                mark_machine(&sim, 1);
                sim_submit(&sim, "a.service", marked, JOB_STATE_LAUNCHED);
                run_once_at_most(&sim, "a.service", 6000);
                ck_assert(runs_on(&sim, 1, "a.service"));

                sim_destroy(&sim, "a.service");
                run_once_at_most(&sim, "a.service", 2000);
                ck_assert(rig_has(&sim.rig, "placement/a.service"));
                run_once_at_most(&sim, "a.service", 8000);
                ck_assert(!rig_has(&sim.rig, "placement/a.service"));
                sim_done(&sim);
        }
}
END_TEST

/* A daemon that finds a unit without its row at its start, and gets the same row again while it ends
 * the unit, starts it again: what an earlier run had done is undone. */
START_TEST(test_row_comes_back_during_a_stop) {
        static const char slow[] = "[X-Fake]\nStopDelayMs=3000\n";
        Sim sim;

        sim_init(&sim, 1, 1, true);
        sim_set_row(&sim, 0, "a.service", slow, JOB_STATE_LAUNCHED, 5);
        sim_wait_state(&sim, 0, "a.service", "\"generation\":5", 10000);
        sim_crash(&sim, 0);
        sim_remove_row(&sim, 0, "a.service");
        sim_start(&sim, 0);
        sim_wait_copies(&sim, "a.service", 0, 2000);
        ck_assert_uint_eq(sim_running(&sim, "a.service"), 1);
        sim_set_row(&sim, 0, "a.service", slow, JOB_STATE_LAUNCHED, 5);
        rig_run_ms(&sim.rig, 2000);
        sim_wait_copies(&sim, "a.service", 1, 5000);
        sim_done(&sim);
}
END_TEST

/* The same where no daemon runs when the row comes back: the last that the store heard of the unit is
 * that the request is done. */
START_TEST(test_row_comes_back_while_the_daemon_is_away) {
        static const char slow[] = "[X-Fake]\nStopDelayMs=1000\n";
        Sim sim;

        sim_init(&sim, 1, 1, true);
        sim_set_row(&sim, 0, "a.service", slow, JOB_STATE_LAUNCHED, 5);
        sim_wait_state(&sim, 0, "a.service", "\"generation\":5", 10000);
        sim_remove_row(&sim, 0, "a.service");
        sim_wait_copies(&sim, "a.service", 0, 2000);
        sim_crash(&sim, 0);
        rig_run_ms(&sim.rig, 2000);
        ck_assert_ptr_nonnull(strstr(sim_state(&sim, 0, "a.service"), "\"generation\":5"));
        sim_set_row(&sim, 0, "a.service", slow, JOB_STATE_LAUNCHED, 5);
        sim_start(&sim, 0);
        sim_wait_copies(&sim, "a.service", 1, 5000);
        sim_done(&sim);
}
END_TEST

/* Where a daemon saw the row go and come back, and the unit runs on, what ends by itself while the next
 * one is not there stays ended. */
START_TEST(test_row_comes_back_and_the_unit_ends_later) {
        Sim sim;

        sim_init(&sim, 1, 1, true);
        sim_set_row(&sim, 0, "a.service", "", JOB_STATE_LAUNCHED, 5);
        sim_wait_state(&sim, 0, "a.service", "\"generation\":5", 10000);
        sim_remove_row(&sim, 0, "a.service");
        sim_set_row(&sim, 0, "a.service", "", JOB_STATE_LAUNCHED, 5);
        rig_run_ms(&sim.rig, 5000);
        ck_assert_ptr_nonnull(strstr(sim_state(&sim, 0, "a.service"), "\"generation\":5"));
        sim_wait_copies(&sim, "a.service", 1, 1000);
        sim_crash(&sim, 0);
        fake_machine_unit_exit(sim.machines[0].fake, "a.service", true);
        sim_start(&sim, 0);
        rig_run_ms(&sim.rig, 10000);
        ck_assert_uint_eq(sim_copies(&sim, "a.service"), 0);
        sim_done(&sim);
}
END_TEST

/* A machine that dies while it ends a unit that is to be nowhere has ended it. */
START_TEST(test_left_machine_dies) {
        size_t machine = 0;
        Sim sim;

        sim_init(&sim, 1, 3, false);
        sim_submit(&sim, "a.service", "[X-Fake]\nStopDelayMs=3600000\n", JOB_STATE_LAUNCHED);
        sim_wait_copies(&sim, "a.service", 1, 10000);
        while (!runs_on(&sim, machine, "a.service"))
                machine++;
        sim_destroy(&sim, "a.service");
        rig_run_ms(&sim.rig, 60000);
        ck_assert(rig_has(&sim.rig, "placement/a.service"));
        sim_power_off(&sim, machine);
        rig_run_ms(&sim.rig, (SIM_TTL_S + 10) * 1000);
        ck_assert(!rig_has(&sim.rig, "placement/a.service"));
        sim_done(&sim);
}
END_TEST

/* Other content, on the same machine: the old copy runs to its end first, and the machine stays. */
START_TEST(test_replace_keeps_the_machine) {
        static const char slow[] = "[X-Fake]\nStopDelayMs=3000\n";
        size_t machine = 0;
        Sim sim;

        sim_init(&sim, 1, 3, false);
        sim_submit(&sim, "a.service", slow, JOB_STATE_LAUNCHED);
        sim_wait_copies(&sim, "a.service", 1, 10000);
        while (!runs_on(&sim, machine, "a.service"))
                machine++;
        sim_submit(&sim, "a.service", plain, JOB_STATE_LAUNCHED);
        run_once_at_most(&sim, "a.service", 2900);
        ck_assert_uint_eq(n_starts(&sim, machine, "a.service"), 1);
        run_once_at_most(&sim, "a.service", 2000);
        ck_assert(runs_on(&sim, machine, "a.service"));
        ck_assert_uint_eq(n_starts(&sim, machine, "a.service"), 2);
        sim_done(&sim);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_restart,
                test_restart_of_what_does_not_run,
                test_restart_twice,
                test_restart_through_a_daemon_restart,
                test_old_restarts_are_over,
                test_restart_in_an_election,
                test_restart_on_one_machine,
                test_move,
                test_move_at_once,
                test_old_machine_dies,
                test_chain_of_moves,
                test_daemons_die_during_a_move,
                test_unload_and_start_elsewhere,
                test_destroy_and_make_elsewhere,
                test_row_comes_back_during_a_stop,
                test_row_comes_back_while_the_daemon_is_away,
                test_row_comes_back_and_the_unit_ends_later,
                test_left_machine_dies,
                test_replace_keeps_the_machine,
        };

        return tests_run("moves", tests, ELEMENTSOF(tests));
}
