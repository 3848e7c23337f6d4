/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>

#include "tests/unit/agent/fixture.h"
#include "tests/unit/fault.h"

/* One machine's agent while something is lacking or lost: memory, room for files, the store, its
 * lease, systemd. */

static const JobState LAUNCHED = JOB_STATE_LAUNCHED, LOADED = JOB_STATE_LOADED;

static const char plain[] = "[Service]\nExecStart=/bin/true\n";
static const char changed[] = "[Service]\nExecStart=/bin/false\n[X-Fake]\nStopDelayMs=300\n";

/* Whatever allocation fails while a unit comes and goes: in the end it is as asked, and the store
 * has its state. */
START_TEST(test_survives_oom) {
        for (int goes = 0; goes < 2; goes++) {
                bool has_failed = true;
                size_t n = 0;

                for (; has_failed; n++) {
                        Sim sim;

                        set_up(&sim);
                        set_row(&sim, "a.service", plain, LOADED, 1);
                        if (goes)
                                sim_remove_row(&sim, 0, "a.service");
                        else
                                sim_set_row(&sim, 0, "a.service", plain, LAUNCHED, 2);
                        fault_arm(n);
                        rig_run_ms(&sim.rig, STEP_MS);
                        has_failed = fault_disarm();
                        rig_run_ms(&sim.rig, 120000);
                        ck_assert_int_eq(is_active(&sim, "a.service"), !goes);
                        if (goes)
                                ck_assert_str_eq(sim_state(&sim, 0, "a.service"), "");
                        else
                                expect_state(&sim, "a.service",
                                             "\"active\":\"active\",\"generation\":2");
                        sim_done(&sim);
                }
                ck_assert_uint_gt(n, 10);
        }
}
END_TEST

/* A start that is given up while its job waits in the service manager's queue does not happen after
 * all, whatever is wanted in its place. */
START_TEST(test_a_queued_start_is_given_up) {
        static const char queued[] = "[Service]\nExecStart=/bin/true\n[X-Fake]\nQueueMs=400\n";

        for (int way = 0; way < 4; way++) {
                Sim sim;

                set_up(&sim);
                set_row(&sim, "a.service", queued, LOADED, 1);
                sim_set_row(&sim, 0, "a.service", queued, LAUNCHED, 2);
                rig_run_ms(&sim.rig, 100);
                ck_assert_uint_eq(fake_machine_unit_starts(sim.machines[0].fake, "a.service"), 0);
                if (way == 0)
                        sim_remove_row(&sim, 0, "a.service");
                else
                        sim_set_row(&sim, 0, "a.service", way == 2 ? plain : queued,
                                    way == 3 ? LAUNCHED : LOADED, 3);
                rig_run_ms(&sim.rig, 5000);
                ck_assert_int_eq(is_active(&sim, "a.service"), way == 3);
                if (way == 0)
                        ck_assert_str_eq(sim_state(&sim, 0, "a.service"), "");
                sim_done(&sim);
        }
}
END_TEST

static int make_agent(void *context) {
        Sim *sim = context;
        Agent *agent = NULL;
        int r;

        r = agent_new(&agent, sim->rig.registries[0], sim->machines[0].host,
                      &(AgentOptions){ .machine = "m" });
        fault_assert(!agent == (r < 0));
        (void)agent_free(agent);
        return r;
}

static int dump_agent(void *context) {
        DumpUnit *units = NULL;
        size_t n_units = 0;
        int r;

        r = agent_dump(((Sim *)context)->machines[0].agent, &units, &n_units);
        fault_assert(r < 0 ? !units : n_units == 2 && streq(units[0].name, "a.service"));
        free(units);
        return r;
}

/* What is made in one go is made wholly or not at all. */
START_TEST(test_made_wholly_or_not_at_all) {
        Sim sim;

        set_up(&sim);
        set_row(&sim, "b.service", plain, LOADED, 1);
        set_row(&sim, "a.service", plain, LAUNCHED, 1);
        ck_assert_uint_ge(fault_sweep(make_agent, &sim), 2);
        ck_assert_uint_ge(fault_sweep(dump_agent, &sim), 1);
        sim_done(&sim);
}
END_TEST

/* Somebody else writes or removes a state: the next report finds out and puts it right. */
START_TEST(test_state_conflicts) {
        for (int removed = 0; removed < 2; removed++) {
                static const char key[] = "state/00000000000000000000000000000000/a.service";
                Sim sim;

                set_up(&sim);
                set_row(&sim, "a.service", plain, LAUNCHED, 1);
                if (removed)
                        rig_remove(&sim.rig, key);
                else
                        rig_set(&sim.rig, key, "{\"nonsense\":1}");
                fake_machine_unit_exit(sim.machines[0].fake, "a.service", false);
                rig_run_ms(&sim.rig, 2000);
                expect_state(&sim, "a.service", "\"active\":\"failed\",\"generation\":1");
                sim_remove_row(&sim, 0, "a.service");
                if (removed)
                        rig_remove(&sim.rig, key);
                else
                        rig_set(&sim.rig, key, "{\"nonsense\":1}");
                rig_run_ms(&sim.rig, 3000);
                ck_assert(!rig_has(&sim.rig, key));
                ck_assert_uint_eq(agent_stats(sim.machines[0].agent).n_units, 0);
                sim_done(&sim);
        }
}
END_TEST

/* The lease is lost: the machine registers again, with all its states, and no unit notices. */
START_TEST(test_lost_lease) {
        int64_t lease;
        Sim sim;

        set_up(&sim);
        for (int i = 0; i < 200; i++) {
                char name[32];

                (void)snprintf(name, sizeof(name), "u%03d.service", i);
                sim_set_row(&sim, 0, name, plain, LAUNCHED, 1);
        }
        rig_run_ms(&sim.rig, 3000);
        lease = presence_lease(sim.machines[0].presence);
        memory_store_expire_lease(sim.rig.memory, lease);
        ck_assert_str_eq(sim_state(&sim, 0, "u000.service"), "");
        rig_run_ms(&sim.rig, 10000);
        ck_assert_int_ne(presence_lease(sim.machines[0].presence), lease);
        ck_assert_int_ne(presence_lease(sim.machines[0].presence), 0);
        ck_assert(rig_has(&sim.rig, "machine/00000000000000000000000000000000"));
        for (int i = 0; i < 200; i++) {
                char name[32];

                (void)snprintf(name, sizeof(name), "u%03d.service", i);
                expect_state(&sim, name, "\"active\":\"active\",\"generation\":1");
        }
        ck_assert_uint_eq(sim.machines[0].n_changes, 200);

        /* They are on the new lease, and go with it. */
        memory_store_expire_lease(sim.rig.memory, presence_lease(sim.machines[0].presence));
        ck_assert_str_eq(sim_state(&sim, 0, "u000.service"), "");
        sim_done(&sim);
}
END_TEST

/* The machine's record vanishes although its lease is kept (a store may do that): it is written
 * again. */
START_TEST(test_lost_record) {
        Sim sim;

        set_up(&sim);
        rig_remove(&sim.rig, "machine/00000000000000000000000000000000");
        rig_run_ms(&sim.rig, 2000);
        ck_assert(rig_has(&sim.rig, "machine/00000000000000000000000000000000"));
        ck_assert_int_ne(presence_lease(sim.machines[0].presence), 0);
        sim_done(&sim);
}
END_TEST

/* An hour without the store changes nothing here; what changed meanwhile is reported afterwards. */
START_TEST(test_an_hour_without_the_store) {
        Sim sim;

        set_up(&sim);
        set_row(&sim, "a.service", plain, LAUNCHED, 1);
        set_row(&sim, "b.service", plain, LAUNCHED, 1);
        sim_cut(&sim, 0, true);
        rig_run_ms(&sim.rig, 1800 * 1000);
        fake_machine_unit_exit(sim.machines[0].fake, "b.service", false);
        rig_run_ms(&sim.rig, 1800 * 1000);
        ck_assert(is_active(&sim, "a.service"));
        ck_assert_uint_eq(sim.machines[0].n_changes, 3);
        sim_cut(&sim, 0, false);
        /* A list that was asked for in the dark has the longest deadline of all. */
        rig_run_ms(&sim.rig, STORE_LIST_TIMEOUT_US / US_PER_MS + 10000);
        expect_state(&sim, "a.service", "\"active\":\"active\",\"generation\":1");
        expect_state(&sim, "b.service", "\"active\":\"failed\",\"generation\":1");
        ck_assert_uint_eq(sim.machines[0].n_changes, 3);
        sim_done(&sim);
}
END_TEST

/* Systemd goes away for a while: nothing is decided meanwhile, and everything after. */
START_TEST(test_without_systemd) {
        Sim sim;

        set_up(&sim);
        set_row(&sim, "a.service", plain, LAUNCHED, 1);
        set_row(&sim, "h.service", "[X-Fake]\nHang=yes\n", LAUNCHED, 1);
        fake_machine_set_connected(sim.machines[0].fake, false);
        set_row(&sim, "b.service", plain, LAUNCHED, 1);
        sim_remove_row(&sim, 0, "a.service");
        rig_run_ms(&sim.rig, 60000);
        ck_assert(is_active(&sim, "a.service") && !is_active(&sim, "b.service"));
        fake_machine_set_connected(sim.machines[0].fake, true);
        rig_run_ms(&sim.rig, 2000);
        ck_assert(!is_active(&sim, "a.service") && is_active(&sim, "b.service"));
        ck_assert_uint_eq(n_starts(&sim, "h.service"), 1);
        expect_state(&sim, "b.service", "\"active\":\"active\"");
        sim_done(&sim);
}
END_TEST

/* A file for which there is no room: the request ends with the reason, the others go on, nothing is
 * written while nothing changes, and the unit comes up by itself when there is room. */
START_TEST(test_without_room) {
        int64_t revision;
        Sim sim;

        set_up(&sim);
        set_row(&sim, "a.service", plain, LAUNCHED, 1);
        fake_machine_set_full(sim.machines[0].fake, true);
        set_row(&sim, "b.service", plain, LAUNCHED, 1);
        set_row(&sim, "c.service", plain, LOADED, 1);
        expect_state(&sim, "b.service", "\"generation\":1");
        expect_state(&sim, "b.service", "it is full");
        set_row(&sim, "a.service", plain, LOADED, 2);
        set_row(&sim, "a.service", plain, LAUNCHED, 3);
        ck_assert_uint_eq(n_starts(&sim, "a.service"), 2);

        revision = rig_revision(&sim.rig);
        rig_run_ms(&sim.rig, 600 * 1000);
        ck_assert_int_eq(rig_revision(&sim.rig), revision);
        ck_assert_uint_eq(agent_stats(sim.machines[0].agent).n_failures, 2);

        fake_machine_set_full(sim.machines[0].fake, false);
        rig_run_ms(&sim.rig, 60 * 1000);
        ck_assert(is_active(&sim, "b.service"));
        expect_state(&sim, "b.service", "\"active\":\"active\",\"generation\":1");
        ck_assert_ptr_null(strstr(sim_state(&sim, 0, "b.service"), "why"));
        expect_state(&sim, "c.service", "\"active\":\"inactive\",\"generation\":1");
        expect_state(&sim, "c.service", "\"state\":\"loaded\"");
        ck_assert_uint_eq(n_starts(&sim, "a.service"), 2);
        sim_done(&sim);
}
END_TEST

/* The same of changed content; and what is not wanted any more is not tried on. */
START_TEST(test_without_room_for_a_change) {
        uint64_t n_actions;
        Sim sim;

        set_up(&sim);
        set_row(&sim, "a.service", plain, LAUNCHED, 1);
        fake_machine_set_full(sim.machines[0].fake, true);
        set_row(&sim, "a.service", changed, LAUNCHED, 2);
        set_row(&sim, "b.service", changed, LAUNCHED, 2);
        expect_state(&sim, "a.service", "it is full");
        sim_remove_row(&sim, 0, "b.service");
        rig_run_ms(&sim.rig, 60 * 1000);
        ck_assert_str_eq(sim_state(&sim, 0, "b.service"), "");
        fake_machine_set_full(sim.machines[0].fake, false);
        rig_run_ms(&sim.rig, 60 * 1000);
        ck_assert(is_active(&sim, "a.service"));
        expect_state(&sim, "a.service", "\"active\":\"active\",\"generation\":2");
        ck_assert(!is_active(&sim, "b.service"));
        n_actions = agent_stats(sim.machines[0].agent).n_actions;
        rig_run_ms(&sim.rig, 600 * 1000);
        ck_assert_uint_eq(agent_stats(sim.machines[0].agent).n_actions, n_actions);
        sim_done(&sim);
}
END_TEST

/* Storms over one machine: rows come and go, the store fails in every way, units die. At the end
 * the machine runs exactly what is scheduled, and the states say so. */
START_TEST(test_storms) {
        for (uint64_t seed = 0; seed < 40; seed++) {
                uint64_t generation = 0;
                bool is_scheduled[6] = { false };
                Sim sim;

                sim_init(&sim, seed, 1, true);
                for (int step = 0; step < 100; step++) {
                        size_t u = env_random_below(&sim.rig.env.env, 6);
                        char name[16];

                        (void)snprintf(name, sizeof(name), "u%zu.service", u);
                        switch (env_random_below(&sim.rig.env.env, 7)) {
                        case 0:
                        case 1:
                                sim_set_row(&sim, 0, name,
                                            env_random_below(&sim.rig.env.env, 2) ? plain : changed,
                                            LAUNCHED, ++generation);
                                is_scheduled[u] = true;
                                break;
                        case 2:
                                if (is_scheduled[u])
                                        sim_remove_row(&sim, 0, name);
                                is_scheduled[u] = false;
                                break;
                        case 3:
                                store_memory_set_faults(
                                        sim.rig.stores[sim.machines[0].client],
                                        &(StoreFaults){ .latency_jitter_us = 800 * US_PER_MS,
                                                        .lose_request_ppm = 150000,
                                                        .lose_reply_ppm = 150000,
                                                        .late_apply_ppm = 500000,
                                                        .late_apply_us = 4 * US_PER_S,
                                                        .is_cut = env_random_below(&sim.rig.env.env,
                                                                                   4) == 0 });
                                break;
                        case 4:
                                store_memory_set_faults(sim.rig.stores[sim.machines[0].client],
                                                        &(StoreFaults){ 0 });
                                break;
                        case 5:
                                memory_store_compact(sim.rig.memory, rig_revision(&sim.rig));
                                break;
                        default:
                                fake_machine_set_connected(sim.machines[0].fake,
                                                           env_random_below(&sim.rig.env.env, 3) >
                                                                   0);
                        }
                        rig_run_ms(&sim.rig, env_random_below(&sim.rig.env.env, 1500));
                }

                store_memory_set_faults(sim.rig.stores[sim.machines[0].client],
                                        &(StoreFaults){ 0 });
                fake_machine_set_connected(sim.machines[0].fake, true);
                rig_run_ms(&sim.rig, 60000);
                for (size_t u = 0; u < 6; u++) {
                        char name[16];

                        (void)snprintf(name, sizeof(name), "u%zu.service", u);
                        ck_assert_msg(is_active(&sim, name) == is_scheduled[u], "seed %llu: %s",
                                      (unsigned long long)seed, name);
                        ck_assert_msg(!*sim_state(&sim, 0, name) == !is_scheduled[u],
                                      "seed %llu: %s: %s", (unsigned long long)seed, name,
                                      sim_state(&sim, 0, name));
                        if (is_scheduled[u])
                                expect_state(&sim, name, "\"active\":\"active\"");
                }
                sim_done(&sim);
        }
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_survives_oom,
                test_made_wholly_or_not_at_all,
                test_state_conflicts,
                test_lost_lease,
                test_lost_record,
                test_an_hour_without_the_store,
                test_without_systemd,
                test_without_room,
                test_without_room_for_a_change,
                test_storms,
                test_a_queued_start_is_given_up,
        };

        return tests_run("agent troubles", tests, ELEMENTSOF(tests));
}
