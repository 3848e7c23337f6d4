/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/cluster.h"
#include "tests/unit/fault.h"

/* Small scenarios of whole clusters. */

static const char plain[] = "[Service]\nExecStart=/bin/true\n";

static size_t machine_of(const Sim *sim, const char *unit) {
        for (size_t i = 0; i < sim->n_machines; i++)
                if (fake_machine_unit_is_active(sim->machines[i].fake, unit))
                        return i;
        ck_abort_msg("%s is nowhere", unit);
        return 0;
}

static int leader_of(const Sim *sim) {
        for (size_t i = 0; i < sim->n_machines; i++)
                if (sim->machines[i].engine && engine_stats(sim->machines[i].engine).is_leader)
                        return (int)i;
        return -1;
}

/* Start, stop, start again, and destroy, through unit records: the unit follows, the states say so,
 * and nothing is left. */
START_TEST(test_life_of_a_unit) {
        Sim sim;
        size_t i;

        sim_init(&sim, 1, 3, false);
        rig_run_ms(&sim.rig, 1000);
        sim_submit(&sim, "a.service", plain, JOB_STATE_LAUNCHED);
        sim_wait_copies(&sim, "a.service", 1, 200);
        i = machine_of(&sim, "a.service");
        sim_wait_state(&sim, i, "a.service", "\"active\":\"active\"", 300);

        sim_submit(&sim, "a.service", plain, JOB_STATE_LOADED);
        sim_wait_copies(&sim, "a.service", 0, 200);
        sim_wait_state(&sim, i, "a.service", "\"state\":\"loaded\"", 300);
        sim_submit(&sim, "a.service", plain, JOB_STATE_LAUNCHED);
        sim_wait_copies(&sim, "a.service", 1, 200);
        sim_submit(&sim, "a.service", plain, JOB_STATE_INACTIVE);
        sim_wait_copies(&sim, "a.service", 0, 200);
        sim_wait_state(&sim, i, "a.service", NULL, 500);
        rig_run_ms(&sim.rig, 3000);
        ck_assert(!rig_has(&sim.rig, "placement/a.service"));
        sim_submit(&sim, "a.service", plain, JOB_STATE_LAUNCHED);
        sim_wait_copies(&sim, "a.service", 1, 200);
        sim_destroy(&sim, "a.service");
        sim_wait_copies(&sim, "a.service", 0, 200);
        rig_run_ms(&sim.rig, 3000);
        ck_assert(!rig_has(&sim.rig, "placement/a.service"));
        for (i = 0; i < 3; i++) {
                ck_assert_str_eq(sim_state(&sim, i, "a.service"), "");
                ck_assert_uint_eq(agent_stats(sim.machines[i].agent).n_units, 0);
        }
        sim_done(&sim);
}
END_TEST

/* A machine that dies: its units run elsewhere within its TTL and a second; when it boots again it
 * runs none of them. */
START_TEST(test_a_machine_dies) {
        for (uint64_t seed = 0; seed < 10; seed++) {
                uint64_t died_us;
                Sim sim;
                size_t i;

                sim_init(&sim, seed, 3, false);
                rig_run_ms(&sim.rig, 1000);
                for (int u = 0; u < 9; u++) {
                        char name[32];

                        (void)snprintf(name, sizeof(name), "u%d.service", u);
                        sim_submit(&sim, name, plain, JOB_STATE_LAUNCHED);
                }
                rig_run_ms(&sim.rig, 20000 + seed * 700);
                i = machine_of(&sim, "u4.service");
                sim_cut(&sim, i, true);
                died_us = sim.rig.env.now_us;
                sim_power_off(&sim, i);
                ck_assert_uint_eq(sim_copies(&sim, "u4.service"), 0);
                for (int u = 0; u < 9; u++) {
                        char name[32];

                        (void)snprintf(name, sizeof(name), "u%d.service", u);
                        sim_wait_copies(&sim, name, 1, SIM_TTL_S * 1000 + 1000);
                }
                ck_assert_uint_le(sim.rig.env.now_us - died_us, (SIM_TTL_S + 1) * US_PER_S);

                sim_start(&sim, i);
                rig_run_ms(&sim.rig, 5000);
                ck_assert(!fake_machine_unit_is_active(sim.machines[i].fake, "u4.service"));
                ck_assert_uint_eq(sim_copies(&sim, "u4.service"), 1);
                sim_done(&sim);
        }
}
END_TEST

/* A machine that boots again before anybody has missed it runs its units again. */
START_TEST(test_quick_reboot) {
        Sim sim;
        size_t i;

        sim_init(&sim, 1, 3, false);
        sim_submit(&sim, "a.service", plain, JOB_STATE_LAUNCHED);
        sim_wait_copies(&sim, "a.service", 1, 5000);
        rig_run_ms(&sim.rig, 1000);
        i = machine_of(&sim, "a.service");
        sim_power_off(&sim, i);
        sim_start(&sim, i);
        sim_wait_copies(&sim, "a.service", 1, 5000);
        ck_assert_uint_eq(machine_of(&sim, "a.service"), i);
        sim_wait_state(&sim, i, "a.service", "\"active\":\"active\"", 5000);
        sim_done(&sim);
}
END_TEST

/* The unit is on a machine that is cut off for so long. Every look finds it active somewhere, on
 * that machine until it is back; 5 s after that, or after the other copy came up, there is one. */
static void cut_and_heal(uint64_t seed, const char *text, uint64_t start_ms, uint64_t cut_ms) {
        unsigned n_double = 0;
        Sim sim;
        size_t i;

        sim_init(&sim, seed, 3, false);
        sim_submit(&sim, "a.service", text, JOB_STATE_LAUNCHED);
        sim_submit(&sim, "g.service", "[X-Fleet]\nGlobal=true\n", JOB_STATE_LAUNCHED);
        sim_wait_copies(&sim, "a.service", 1, 5000 + start_ms);
        sim_wait_copies(&sim, "g.service", 3, 5000);
        rig_run_ms(&sim.rig, 7000 + seed * 1100);
        i = machine_of(&sim, "a.service");
        sim_cut(&sim, i, true);
        for (uint64_t ms = 0; ms < cut_ms + 30000; ms += 10) {
                if (ms == cut_ms)
                        sim_cut(&sim, i, false);
                rig_run_ms(&sim.rig, 10);
                ck_assert_uint_ge(sim_copies(&sim, "a.service"), 1);
                ck_assert_uint_eq(sim_copies(&sim, "g.service"), 3);
                if (ms < cut_ms)
                        ck_assert(fake_machine_unit_is_active(sim.machines[i].fake, "a.service"));
                n_double = ms >= cut_ms && sim_copies(&sim, "a.service") > 1 ? n_double + 1 : 0;
                ck_assert_uint_lt(n_double, 500);
        }
        ck_assert_uint_eq(sim_copies(&sim, "a.service"), 1);
        if (cut_ms <= 5000)
                ck_assert_uint_eq(machine_of(&sim, "a.service"), i);
        sim_wait_state(&sim, machine_of(&sim, "a.service"), "a.service", "\"active\":\"active\"",
                       1);
        for (size_t k = 0; k < 3; k++)
                sim_wait_state(&sim, k, "g.service", "\"active\":\"active\"", 1);
        sim_done(&sim);
}

/* A machine is cut off: its units run on and start elsewhere; after it heals there is one copy. In
 * between there is always one, also where the lease ends just as the machine comes back, and where
 * the other copy takes its time to come up. */
START_TEST(test_partition_and_heal) {
        static const uint64_t cut_ms[] = { 2000,  5000,  10000, 14500, 15000,
                                           15500, 16000, 20000, 120000 };

        for (size_t c = 0; c < ELEMENTSOF(cut_ms); c++)
                for (uint64_t seed = 0; seed < 5; seed++) {
                        cut_and_heal(seed, plain, 0, cut_ms[c]);
                        cut_and_heal(seed, "[X-Fake]\nStartDelayMs=4000\n", 4000, cut_ms[c]);
                }
}
END_TEST

/* A cluster in which nothing happens writes nothing for an hour. */
START_TEST(test_idle_cluster_writes_nothing) {
        int64_t revision;
        Sim sim;

        sim_init(&sim, 1, 3, false);
        sim_submit(&sim, "a.service", plain, JOB_STATE_LAUNCHED);
        sim_submit(&sim, "b.service", "[X-Fleet]\nGlobal=true\n", JOB_STATE_LAUNCHED);
        sim_submit(&sim, "c.service", "[X-Fleet]\nMachineID=none\n", JOB_STATE_LAUNCHED);
        sim_submit(&sim, "d.service", "[X-Fake]\nFail=yes\n", JOB_STATE_LAUNCHED);
        sim_submit(&sim, "e.service", "[X-Fake]\nOneshot=yes\n", JOB_STATE_LAUNCHED);
        sim_submit(&sim, "f.service", "[X-Fake]\nHang=yes\n", JOB_STATE_LAUNCHED);
        sim_submit(&sim, "g.service", "[X-Fake]\nBad=yes\n", JOB_STATE_LAUNCHED);
        sim_submit(&sim, "h.service", plain, JOB_STATE_LOADED);
        rig_run_ms(&sim.rig, 30000);
        revision = rig_revision(&sim.rig);
        rig_run_ms(&sim.rig, 3600 * 1000);
        ck_assert_int_eq(rig_revision(&sim.rig), revision);
        sim_done(&sim);
}
END_TEST

/* 200 units are asked for while the leader dies: all run once, and none is started twice. */
START_TEST(test_starts_during_loss_of_the_leader) {
        for (uint64_t seed = 0; seed < 5; seed++) {
                Sim sim;
                int leader;

                sim_init(&sim, seed, 3, false);
                rig_run_ms(&sim.rig, 1000);
                leader = leader_of(&sim);
                ck_assert_int_ge(leader, 0);
                for (int u = 0; u < 200; u++) {
                        char name[32];

                        (void)snprintf(name, sizeof(name), "u%03d.service", u);
                        sim_submit(&sim, name, plain, JOB_STATE_LAUNCHED);
                        if (u == 100) {
                                rig_run_ms(&sim.rig, seed);
                                sim_crash(&sim, (size_t)leader);
                        }
                }
                sim_start(&sim, (size_t)leader);
                rig_run_ms(&sim.rig, 30000);
                for (int u = 0; u < 200; u++) {
                        unsigned n_starts = 0;
                        char name[32];

                        (void)snprintf(name, sizeof(name), "u%03d.service", u);
                        ck_assert_uint_eq(sim_copies(&sim, name), 1);
                        for (size_t i = 0; i < 3; i++)
                                n_starts += fake_machine_unit_starts(sim.machines[i].fake, name);
                        ck_assert_uint_eq(n_starts, 1);
                }
                sim_done(&sim);
        }
}
END_TEST

/* Every daemon is restarted, one after the other and all at once: no unit changes. */
START_TEST(test_restarting_daemons_touches_no_unit) {
        Sim sim;

        sim_init(&sim, 1, 3, false);
        for (int u = 0; u < 30; u++) {
                char name[32];

                (void)snprintf(name, sizeof(name), "u%d.service", u);
                sim_submit(&sim, name, plain, JOB_STATE_LAUNCHED);
        }
        rig_run_ms(&sim.rig, 10000);
        for (size_t i = 0; i < 3; i++)
                ck_assert_uint_eq(sim.machines[i].n_changes, 10);
        for (int way = 0; way < 3; way++) {
                for (size_t i = 0; i < 3; i++) {
                        if (way == 1)
                                sim_crash(&sim, i);
                        else
                                sim_stop(&sim, i);
                        if (way < 2)
                                sim_start(&sim, i);
                        rig_run_ms(&sim.rig, way < 2 ? 5000 : 100);
                }
                for (size_t i = 0; way == 2 && i < 3; i++)
                        sim_start(&sim, i);
                rig_run_ms(&sim.rig, 40000);
                for (size_t i = 0; i < 3; i++)
                        ck_assert_uint_eq(sim.machines[i].n_changes, 10);
        }
        sim_done(&sim);
}
END_TEST

/* The leader is told never to lead: another leads at once, and whoever may again does when nobody
 * else does. No unit notices. */
START_TEST(test_engine_is_disabled_while_it_runs) {
        unsigned n_changes = 0;
        Sim sim;
        int first, second;

        sim_init(&sim, 1, 3, false);
        rig_run_ms(&sim.rig, 1000);
        sim_submit(&sim, "a.service", plain, JOB_STATE_LAUNCHED);
        sim_wait_copies(&sim, "a.service", 1, 1000);
        first = leader_of(&sim);
        ck_assert_int_ge(first, 0);
        engine_set_disabled(sim.machines[first].engine, true);
        ck_assert_int_eq(leader_of(&sim), -1);
        rig_run_ms(&sim.rig, 100);
        second = leader_of(&sim);
        ck_assert_int_ge(second, 0);
        ck_assert_int_ne(second, first);
        sim_submit(&sim, "b.service", plain, JOB_STATE_LAUNCHED);
        sim_wait_copies(&sim, "b.service", 1, 1000);

        for (size_t i = 0; i < 3; i++)
                engine_set_disabled(sim.machines[i].engine, true);
        rig_run_ms(&sim.rig, 60000);
        ck_assert_int_eq(leader_of(&sim), -1);
        ck_assert(!rig_has(&sim.rig, "engine/leader"));
        engine_set_disabled(sim.machines[first].engine, false);
        rig_run_ms(&sim.rig, 100);
        ck_assert_int_eq(leader_of(&sim), first);
        for (size_t i = 0; i < 3; i++)
                n_changes += sim.machines[i].n_changes;
        ck_assert_uint_eq(n_changes, 2);
        sim_done(&sim);
}
END_TEST

/* Every machine gets another agent_ttl: each moves to another lease, the leader, too, and leads or
 * another does; no unit notices. */
START_TEST(test_another_ttl_while_it_runs) {
        unsigned n_changes = 0;
        Sim sim;

        sim_init(&sim, 1, 3, false);
        rig_run_ms(&sim.rig, 1000);
        for (unsigned i = 0; i < 30; i++) {
                char name[32];

                (void)snprintf(name, sizeof(name), "u%02u.service", i);
                sim_submit(&sim, name, plain, JOB_STATE_LAUNCHED);
        }
        rig_run_ms(&sim.rig, 5000);
        for (size_t i = 0; i < 3; i++) {
                char version[] = "2.0.0", address[] = "192.0.2.1";
                const MachineRecord record = { .address = address,
                                               .hostname = sim.machines[i].hostname,
                                               .version = version };
                int64_t lease = presence_lease(sim.machines[i].presence);

                ck_assert_int_eq(presence_update(sim.machines[i].presence, &record, 40 * US_PER_S),
                                 0);
                rig_run_ms(&sim.rig, 100);
                ck_assert_int_ne(presence_lease(sim.machines[i].presence), lease);
                ck_assert_int_ge(leader_of(&sim), 0);
        }
        rig_run_ms(&sim.rig, 100000);
        ck_assert_int_ge(leader_of(&sim), 0);
        for (size_t i = 0; i < 3; i++)
                n_changes += sim.machines[i].n_changes;
        ck_assert_uint_eq(n_changes, 30);
        sim_done(&sim);
}
END_TEST

/* A first report that gets lost and turns up when the unit is not scheduled here any more leaves nothing behind. */
START_TEST(test_a_late_report_leaves_nothing) {
        static const StoreFaults late = { .lose_request_ppm = 1000000,
                                          .late_apply_ppm = 1000000,
                                          .late_apply_us = 6 * US_PER_S };
        static const StoreFaults none = { 0 };
        Store *store;
        Sim sim;

        sim_init(&sim, 1, 1, true);
        rig_run_ms(&sim.rig, 1000);
        sim_set_row(&sim, 0, "a.service", "[X-Fake]\nStartDelayMs=300\n", JOB_STATE_LAUNCHED, 7);
        rig_run_ms(&sim.rig, 100); /* the file has been read, and nothing reported yet */
        store = sim.rig.stores[sim.machines[0].client];
        store_memory_set_faults(store, &late);
        sim_wait_copies(&sim, "a.service", 1, 1000);
        rig_run_ms(&sim.rig, 1000);
        ck_assert_str_eq(sim_state(&sim, 0, "a.service"), "");
        sim_remove_row(&sim, 0, "a.service");
        store_memory_set_faults(store, &none);
        sim_wait_copies(&sim, "a.service", 0, STORE_LIST_TIMEOUT_US / US_PER_MS);
        rig_run_ms(&sim.rig, 60000);
        ck_assert_str_eq(sim_state(&sim, 0, "a.service"), "");
        ck_assert_uint_eq(agent_stats(sim.machines[0].agent).n_units, 0);
        sim_done(&sim);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_life_of_a_unit,
                test_a_machine_dies,
                test_quick_reboot,
                test_a_late_report_leaves_nothing,
                test_partition_and_heal,
                test_idle_cluster_writes_nothing,
                test_starts_during_loss_of_the_leader,
                test_restarting_daemons_touches_no_unit,
                test_engine_is_disabled_while_it_runs,
                test_another_ttl_while_it_runs,
        };

        return tests_run("cluster", tests, ELEMENTSOF(tests));
}
