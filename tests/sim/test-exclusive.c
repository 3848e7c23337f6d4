/* SPDX-License-Identifier: Apache-2.0 */

/* Exclusive units, in whole clusters: whatever becomes of machine, daemon or leader, the unit is on
 * one machine at most, and comes back. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/cluster.h"
#include "tests/unit/fault.h"

/* It may take 4 s to stop, and does so nearly. */
static const char exclusive[] = "[Service]\nExecStart=/bin/a\nTimeoutStopSec=1\n"
                                "[X-Fleet]\nExclusive=true\n[X-Fake]\nStopDelayMs=3900\n";
static const char unit[] = "only.service";

enum { STOP_MS = 4000, TTL_MS = SIM_TTL_S * 1000 };

/* Let time pass and look, at every step, that the unit is not on two machines. */
static void run_alone(Sim *sim, uint64_t ms) {
        for (uint64_t i = 0; i < ms; i += 5) {
                rig_run_ms(&sim->rig, 5);
                ck_assert_uint_le(sim_running(sim, unit), 1);
        }
}

static void run_until_active(Sim *sim, uint64_t limit_ms) {
        for (uint64_t i = 0; i < limit_ms && sim_copies(sim, unit) == 0; i += 5)
                run_alone(sim, 5);
        ck_assert_uint_eq(sim_copies(sim, unit), 1);
}

static size_t where(const Sim *sim) {
        for (size_t i = 0; i < sim->n_machines; i++)
                if (fake_machine_unit_is_active(sim->machines[i].fake, unit))
                        return i;
        ck_abort_msg("it runs nowhere");
        return 0;
}

static const char *holder(Sim *sim) {
        const char *hold = rig_get(&sim->rig, "hold/only.service");

        return hold ? hold : "";
}

static void begin(Sim *sim, uint64_t seed) {
        sim_init(sim, seed, 3, false);
        rig_run_ms(&sim->rig, 1000);
        sim_submit(sim, unit, exclusive, JOB_STATE_LAUNCHED);
        run_until_active(sim, 1000);
}

/* The machine that has it holds it; who destroys it gets the hold removed, once it has ended. */
START_TEST(test_hold_comes_and_goes) {
        Sim sim;

        begin(&sim, 1);
        ck_assert_ptr_nonnull(strstr(holder(&sim), sim.machines[where(&sim)].id));
        sim_destroy(&sim, unit);
        run_alone(&sim, STOP_MS - 200);
        ck_assert_str_ne(holder(&sim), "");
        run_alone(&sim, 1000);
        ck_assert_str_eq(holder(&sim), "");
        ck_assert_ptr_null(rig_get(&sim.rig, "held/00000000000000000000000000000000/only.service"));
        sim_done(&sim);
}
END_TEST

/* What can happen to a machine so that it does not renew its lease any more. */
typedef void (*Blow)(Sim *sim, size_t machine);

static void cut(Sim *sim, size_t machine) {
        sim_cut(sim, machine, true);
}

static void stop_process(Sim *sim, size_t machine) {
        sim_pause(sim, machine, true);
}

static const Blow blows[] = { cut, sim_crash, stop_process, sim_power_off };

/* It starts elsewhere after the lease and the time to stop, not before. */
START_TEST(test_failover) {
        for (size_t i = 0; i < ELEMENTSOF(blows); i++) {
                size_t machine;
                Sim sim;

                begin(&sim, i);
                machine = where(&sim);
                blows[i](&sim, machine);
                run_alone(&sim, TTL_MS * 2 / 3 + STOP_MS - 500);
                ck_assert_str_ne(holder(&sim), "");
                ck_assert_ptr_nonnull(strstr(holder(&sim), sim.machines[machine].id));
                run_until_active(&sim, TTL_MS);
                ck_assert_uint_ne(where(&sim), machine);
                ck_assert_ptr_null(strstr(holder(&sim), sim.machines[machine].id));
                if (sim.machines[machine].agent == NULL)
                        sim_start(&sim, machine);
                sim_pause(&sim, machine, false);
                sim_cut(&sim, machine, false);
                run_alone(&sim, 3 * TTL_MS);
                ck_assert_uint_ne(where(&sim), machine);
                sim_done(&sim);
        }
}
END_TEST

/* That the hold was taken is told when the machine was lost meanwhile, long enough for the leader to
 * take the hold away, and is a member again: then it says nothing. */
START_TEST(test_late_word_of_a_hold) {
        static const char row[] = "{\"desired\":\"launched\",\"exclusive\":1,\"file\":\"%s\","
                                  "\"generation\":3}";
        const StoreFaults slow = { .latency_us = 1400 * US_PER_MS }, none = { 0 };
        char hash[UNIT_HASH_BYTES], text[256];
        Store *store;
        Sim sim;

        sim_init(&sim, 1, 1, true);
        rig_run_ms(&sim.rig, 1000);
        store = sim.rig.stores[sim.machines[0].client];
        rig_set_file(&sim.rig, exclusive, hash);
        (void)snprintf(text, sizeof(text), row, hash);
        store_memory_set_faults(store, &slow);
        rig_set(&sim.rig, "schedule/00000000000000000000000000000000/only.service", text);
        for (unsigned i = 0; i < 1000 && !rig_has(&sim.rig, "hold/only.service"); i++)
                rig_run_ms(&sim.rig, 5);
        ck_assert(rig_has(&sim.rig, "hold/only.service"));

        store_memory_set_faults(store, &none);
        memory_store_expire_lease(sim.rig.memory, presence_lease(sim.machines[0].presence));
        rig_remove(&sim.rig, "hold/only.service");
        rig_remove(&sim.rig, "held/00000000000000000000000000000000/only.service");
        for (unsigned i = 0; i < 2000; i++) {
                rig_run_ms(&sim.rig, 5);
                ck_assert(sim_running(&sim, unit) == 0 || rig_has(&sim.rig, "hold/only.service"));
        }
        ck_assert_uint_eq(sim_copies(&sim, unit), 1);
        sim_done(&sim);
}
END_TEST

/* Nobody is there to lead but the machine that lost it: it comes back there. */
START_TEST(test_alone) {
        Sim sim;

        sim_init(&sim, 1, 1, false);
        rig_run_ms(&sim.rig, 1000);
        sim_submit(&sim, unit, exclusive, JOB_STATE_LAUNCHED);
        run_until_active(&sim, 1000);
        sim_cut(&sim, 0, true);
        run_alone(&sim, 3 * TTL_MS);
        ck_assert_uint_eq(sim_running(&sim, unit), 0);
        sim_cut(&sim, 0, false);
        run_until_active(&sim, TTL_MS);
        sim_done(&sim);
}
END_TEST

/* A daemon that is back before the deadline has touched nothing. */
START_TEST(test_a_crash_in_time_touches_nothing) {
        size_t machine;
        Sim sim;

        begin(&sim, 1);
        machine = where(&sim);
        for (int i = 0; i < 3; i++) {
                sim_crash(&sim, machine);
                run_alone(&sim, 5000);
                sim_start(&sim, machine);
                run_alone(&sim, 5000);
        }
        run_alone(&sim, 3 * TTL_MS);
        ck_assert_uint_eq(where(&sim), machine);
        ck_assert_uint_eq(fake_machine_unit_starts(sim.machines[machine].fake, unit), 1);
        sim_done(&sim);
}
END_TEST

/* What the guard ended while the daemon was away comes back, even when the daemon ends again before
 * it can write anything: the store is full, and still says that the unit is active. */
START_TEST(test_what_the_guard_ended_survives_a_second_crash) {
        size_t machine;
        Sim sim;

        begin(&sim, 1);
        machine = where(&sim);
        sim_crash(&sim, machine);
        for (int i = 0; i < TTL_MS && sim_copies(&sim, unit) > 0; i += 5)
                run_alone(&sim, 5);
        memory_store_set_quorum(sim.rig.memory, false);
        memory_store_set_quorum(sim.rig.memory, true);
        memory_store_set_full(sim.rig.memory, true);
        for (int i = 0; i < 2; i++) {
                sim_start(&sim, machine);
                run_alone(&sim, STOP_MS + 1000);
                sim_crash(&sim, machine);
        }
        ck_assert_uint_eq(sim_copies(&sim, unit), 0);
        ck_assert_ptr_nonnull(strstr(holder(&sim), sim.machines[machine].id));
        sim_start(&sim, machine);
        run_alone(&sim, 1000);
        memory_store_set_full(sim.rig.memory, false);
        run_until_active(&sim, TTL_MS);
        ck_assert_uint_eq(where(&sim), machine);
        sim_done(&sim);
}
END_TEST

/* A daemon that starts while systemd is silent, and loses the store: its time runs out before it has
 * seen the unit. Whenever it sees it, the unit comes up in the end. */
START_TEST(test_time_runs_out_before_it_is_seen) {
        for (unsigned ms = 8000; ms < 15000; ms += 250) {
                Sim sim;

                sim_init(&sim, 1, 1, false);
                rig_run_ms(&sim.rig, 1000);
                sim_submit(&sim, unit, exclusive, JOB_STATE_LAUNCHED);
                run_until_active(&sim, 5000);
                sim_crash(&sim, 0);
                fake_machine_set_connected(sim.machines[0].fake, false);
                sim_start(&sim, 0);
                rig_run_ms(&sim.rig, 1000);
                sim_cut(&sim, 0, true);
                rig_run_ms(&sim.rig, ms);
                fake_machine_set_connected(sim.machines[0].fake, true);
                rig_run_ms(&sim.rig, 5000);
                sim_cut(&sim, 0, false);
                rig_run_ms(&sim.rig, 30000);
                ck_assert_msg(sim_copies(&sim, unit) == 1, "systemd was back after %u ms", ms);
                sim_done(&sim);
        }
}
END_TEST

/* A leader that is elected meanwhile begins to count anew. */
START_TEST(test_a_new_leader_counts_anew) {
        size_t machine, leader = SIM_MACHINES_MAX;
        Sim sim;

        begin(&sim, 1);
        machine = where(&sim);
        sim_crash(&sim, machine);
        for (int i = 0;
             i < 2 * SIM_TTL_S * 10 &&
             rig_has(&sim.rig, "machine/00000000000000000000000000000000") +
                             rig_has(&sim.rig, "machine/11111111111111111111111111111111") +
                             rig_has(&sim.rig, "machine/22222222222222222222222222222222") ==
                     3;
             i++)
                run_alone(&sim, 100);
        for (size_t i = 0; i < 3; i++)
                if (i != machine && engine_is_leading(sim.machines[i].engine))
                        leader = i;
        run_alone(&sim, STOP_MS - 500);
        if (leader < 3) {
                engine_set_disabled(sim.machines[leader].engine, true);
                run_alone(&sim, STOP_MS - 500);
                ck_assert_uint_eq(sim_running(&sim, unit), 0);
        }
        run_until_active(&sim, STOP_MS + 1000);
        sim_done(&sim);
}
END_TEST

/* It moves when the machine must not have it any more: ended there first, without any wait for
 * leases. */
START_TEST(test_an_exclusive_unit_moves) {
        static const char marked[] = "[Service]\nExecStart=/bin/a\nTimeoutStopSec=1\n"
                                     "[X-Fleet]\nExclusive=true\nMachineMetadata=on=yes\n"
                                     "[X-Fake]\nStopDelayMs=3900\n";
        Sim sim;

        sim_init(&sim, 1, 3, false);
        rig_run_ms(&sim.rig, 1000);
        rig_set(&sim.rig, "metadata/00000000000000000000000000000000", "{\"on\":\"yes\"}");
        sim_submit(&sim, unit, marked, JOB_STATE_LAUNCHED);
        run_until_active(&sim, 1000);
        ck_assert_uint_eq(where(&sim), 0);
        rig_set(&sim.rig, "metadata/00000000000000000000000000000000", "{}");
        rig_set(&sim.rig, "metadata/11111111111111111111111111111111", "{\"on\":\"yes\"}");
        run_alone(&sim, STOP_MS - 500);
        run_until_active(&sim, 2000);
        ck_assert_uint_eq(where(&sim), 1);
        sim_done(&sim);
}
END_TEST

/* A hold that cannot be read, or that nobody can have given, keeps it from starting; the state says
 * why. */
START_TEST(test_a_foreign_hold) {
        Sim sim;

        sim_init(&sim, 1, 1, false);
        rig_run_ms(&sim.rig, 1000);
        rig_set(&sim.rig, "hold/only.service", "{broken");
        sim_submit(&sim, unit, exclusive, JOB_STATE_LAUNCHED);
        sim_wait_state(&sim, 0, unit, "cannot be read", 5000);
        rig_set(&sim.rig, "hold/only.service", "{\"machine\":\"99999999\",\"stop\":4}");
        sim_wait_state(&sim, 0, unit, "waits for machine 99999999, which may still run it", 5000);
        ck_assert_uint_eq(sim_running(&sim, unit), 0);
        run_until_active(&sim, STOP_MS + 5000);
        sim_done(&sim);
}
END_TEST

/* A hold that somebody removes while its unit runs is made again when the daemon is restarted; the
 * unit goes on. */
START_TEST(test_a_hold_removed_by_hand) {
        unsigned n_starts;
        Sim sim;

        sim_init(&sim, 1, 1, false);
        rig_run_ms(&sim.rig, 1000);
        sim_submit(&sim, unit, exclusive, JOB_STATE_LAUNCHED);
        run_until_active(&sim, 5000);
        n_starts = fake_machine_unit_starts(sim.machines[0].fake, unit);
        rig_remove(&sim.rig, "hold/only.service");
        sim_stop(&sim, 0);
        sim_start(&sim, 0);
        rig_run_ms(&sim.rig, 5000);
        ck_assert_str_ne(holder(&sim), "");
        ck_assert_uint_eq(fake_machine_unit_starts(sim.machines[0].fake, unit), n_starts);
        ck_assert_uint_eq(sim_running(&sim, unit), 1);
        sim_done(&sim);
}
END_TEST

/* A machine that came and went while nobody looked has written its hold anew: the count, too, begins
 * anew. */
START_TEST(test_a_hold_that_changes_counts_anew) {
        Sim sim;

        sim_init(&sim, 1, 1, false);
        rig_run_ms(&sim.rig, 1000);
        for (int i = 0; i < 3; i++) {
                rig_set(&sim.rig, "hold/only.service", "{\"machine\":\"99999999\",\"stop\":4}");
                rig_run_ms(&sim.rig, STOP_MS - 500);
                ck_assert_str_ne(holder(&sim), "");
        }
        rig_run_ms(&sim.rig, 1000);
        ck_assert_str_eq(holder(&sim), "");

        rig_set(&sim.rig, "hold/only.service", "{\"machine\":\"99999999\",\"stop\":4}");
        rig_run_ms(&sim.rig, STOP_MS - 500);
        rig_set(&sim.rig, "machine/99999999", "{}");
        rig_run_ms(&sim.rig, 3 * STOP_MS);
        ck_assert_str_ne(holder(&sim), "");
        sim_done(&sim);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_hold_comes_and_goes,
                                       test_failover,
                                       test_alone,
                                       test_late_word_of_a_hold,
                                       test_a_crash_in_time_touches_nothing,
                                       test_what_the_guard_ended_survives_a_second_crash,
                                       test_time_runs_out_before_it_is_seen,
                                       test_a_new_leader_counts_anew,
                                       test_an_exclusive_unit_moves,
                                       test_a_foreign_hold,
                                       test_a_hold_removed_by_hand,
                                       test_a_hold_that_changes_counts_anew };

        return tests_run("exclusive units", tests, ELEMENTSOF(tests));
}
