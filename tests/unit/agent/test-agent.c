/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "tests/unit/agent/fixture.h"
#include "tests/unit/fault.h"

/* One machine's agent and presence over a service manager in memory, with schedules that the test
 * writes. */

static const JobState LAUNCHED = JOB_STATE_LAUNCHED, LOADED = JOB_STATE_LOADED;

static const char plain[] = "[Service]\nExecStart=/bin/true\n";
static const char changed[] = "[Service]\nExecStart=/bin/false\n[X-Fake]\nStopDelayMs=300\n";

/* Loaded, launched, stopped, launched, and gone: each request ends with its generation in the
 * state. */
START_TEST(test_life) {
        Sim sim;

        set_up(&sim);
        set_row(&sim, "a.service", plain, LOADED, 1);
        ck_assert(!is_active(&sim, "a.service"));
        expect_state(&sim, "a.service", "\"active\":\"inactive\",\"generation\":1");
        expect_state(&sim, "a.service", "\"state\":\"loaded\"");
        set_row(&sim, "a.service", plain, LAUNCHED, 2);
        ck_assert(is_active(&sim, "a.service"));
        expect_state(&sim, "a.service", "\"active\":\"active\",\"generation\":2");
        expect_state(&sim, "a.service", "\"state\":\"launched\",\"sub\":\"running\"");
        set_row(&sim, "a.service", plain, LOADED, 3);
        ck_assert(!is_active(&sim, "a.service"));
        expect_state(&sim, "a.service", "\"active\":\"inactive\",\"generation\":3");
        set_row(&sim, "a.service", plain, LAUNCHED, 4);
        ck_assert(is_active(&sim, "a.service"));
        ck_assert_uint_eq(n_starts(&sim, "a.service"), 2);

        sim_remove_row(&sim, 0, "a.service");
        rig_run_ms(&sim.rig, STEP_MS);
        ck_assert_str_eq(sim_state(&sim, 0, "a.service"), "");
        ck_assert_ptr_null(host_find(sim.machines[0].host, "a.service"));
        ck_assert_uint_eq(agent_stats(sim.machines[0].agent).n_units, 0);
        ck_assert_uint_eq(agent_stats(sim.machines[0].agent).n_failures, 0);
        sim_done(&sim);
}
END_TEST

/* Changed content: the old copy runs to its end before the new one starts. */
START_TEST(test_replace) {
        Sim sim;

        set_up(&sim);
        set_row(&sim, "a.service", changed, LAUNCHED, 1);
        ck_assert(is_active(&sim, "a.service"));
        sim_set_row(&sim, 0, "a.service", plain, LAUNCHED, 2);
        rig_run_ms(&sim.rig, 200);
        ck_assert(!is_active(&sim, "a.service"));
        ck_assert_uint_eq(n_starts(&sim, "a.service"), 1);
        rig_run_ms(&sim.rig, STEP_MS);
        ck_assert(is_active(&sim, "a.service"));
        ck_assert_uint_eq(n_starts(&sim, "a.service"), 2);
        expect_state(&sim, "a.service", "\"generation\":2");
        ck_assert_uint_eq(agent_stats(sim.machines[0].agent).n_actions, 5);
        sim_done(&sim);
}
END_TEST

/* A request that fails ends, with the reason and its generation in the state; it is not tried
 * again, and a new request is. */
START_TEST(test_failures) {
        static const struct {
                const char *text; /* NULL: the file is missing; "": broken */
                const char *why;
                const char *state;
        } rows[] = {
                { "[X-Fake]\nFail=yes\n", "the start job failed", "\"state\":\"launched\"" },
                { "[X-Fake]\nBad=yes\n", "bad-setting", "\"state\":\"" },
                { NULL, "missing in the store", "\"load\":\"not-found\",\"state\":\"inactive\"" },
                { "", "broken", "\"load\":\"not-found\",\"state\":\"inactive\"" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                uint64_t n_actions;
                char key[64], hash[UNIT_HASH_BYTES];
                Sim sim;

                set_up(&sim);
                if (rows[i].text && *rows[i].text)
                        sim_set_row(&sim, 0, "a.service", rows[i].text, LAUNCHED, 1);
                else {
                        unit_text_hash("x", 1, hash);
                        (void)snprintf(key, sizeof(key), "file/%s", hash);
                        rig_set(&sim.rig, key, rows[i].text ? "y" : "x");
                        sim_set_row(&sim, 0, "a.service", "x", LAUNCHED, 1);
                        if (!rows[i].text)
                                rig_remove(&sim.rig, key);
                }
                rig_run_ms(&sim.rig, STEP_MS);
                expect_state(&sim, "a.service", rows[i].why);
                expect_state(&sim, "a.service", rows[i].state);
                expect_state(&sim, "a.service", "\"generation\":1");
                ck_assert_uint_eq(agent_stats(sim.machines[0].agent).n_failures, 1);

                n_actions = agent_stats(sim.machines[0].agent).n_actions;
                rig_run_ms(&sim.rig, 600 * 1000);
                ck_assert_uint_eq(agent_stats(sim.machines[0].agent).n_actions, n_actions);

                set_row(&sim, "a.service", plain, LAUNCHED, 2);
                ck_assert(is_active(&sim, "a.service"));
                expect_state(&sim, "a.service", "\"generation\":2");
                ck_assert_ptr_null(strstr(sim_state(&sim, 0, "a.service"), "why"));
                sim_done(&sim);
        }
}
END_TEST

/* What fails harms no other unit. */
START_TEST(test_others_are_not_held_up) {
        Sim sim;

        set_up(&sim);
        sim_set_row(&sim, 0, "bad.service", "[X-Fake]\nBad=yes\n", LAUNCHED, 1);
        sim_set_row(&sim, 0, "fails.service", "[X-Fake]\nFail=yes\n", LAUNCHED, 1);
        sim_set_row(&sim, 0, "hangs.service", "[X-Fake]\nHang=yes\n", LAUNCHED, 1);
        rig_set(&sim.rig, "schedule/00000000000000000000000000000000/broken.service", "{");
        set_row(&sim, "z.service", plain, LAUNCHED, 1);
        ck_assert(is_active(&sim, "z.service"));
        expect_state(&sim, "z.service", "\"active\":\"active\"");
        expect_state(&sim, "hangs.service", "\"active\":\"activating\",\"generation\":0");
        sim_done(&sim);
}
END_TEST

/* A unit that died is left as it is; a new request revives it, whatever its content is. */
START_TEST(test_revive) {
        for (int clean = 0; clean < 2; clean++) {
                Sim sim;

                set_up(&sim);
                set_row(&sim, "a.service", plain, LAUNCHED, 1);
                fake_machine_unit_exit(sim.machines[0].fake, "a.service", clean);
                rig_run_ms(&sim.rig, 60000);
                ck_assert(!is_active(&sim, "a.service"));
                expect_state(&sim, "a.service",
                             clean ? "\"active\":\"inactive\"" : "\"active\":\"failed\"");
                set_row(&sim, "a.service", plain, LAUNCHED, 2);
                ck_assert(is_active(&sim, "a.service"));
                ck_assert_uint_eq(n_starts(&sim, "a.service"), 2);
                sim_done(&sim);
        }
}
END_TEST

/* A oneshot that has ended well has fulfilled its request. */
START_TEST(test_oneshot) {
        Sim sim;

        set_up(&sim);
        set_row(&sim, "a.service", "[X-Fake]\nOneshot=yes\n", LAUNCHED, 1);
        rig_run_ms(&sim.rig, 60000);
        expect_state(&sim, "a.service", "\"active\":\"inactive\",\"generation\":1");
        ck_assert_uint_eq(n_starts(&sim, "a.service"), 1);
        sim_done(&sim);
}
END_TEST

/* A start that never ends is cut short by what undoes it: stop, destroy, other content. */
START_TEST(test_hanging_start) {
        for (int way = 0; way < 3; way++) {
                Sim sim;

                set_up(&sim);
                set_row(&sim, "a.service", "[X-Fake]\nHang=yes\n", LAUNCHED, 1);
                rig_run_ms(&sim.rig, 600 * 1000);
                ck_assert_uint_eq(agent_stats(sim.machines[0].agent).n_busy, 1);
                expect_state(&sim, "a.service", "\"active\":\"activating\",\"generation\":0");
                if (way == 0)
                        set_row(&sim, "a.service", "[X-Fake]\nHang=yes\n", LOADED, 2);
                else if (way == 1)
                        sim_remove_row(&sim, 0, "a.service");
                else
                        set_row(&sim, "a.service", plain, LAUNCHED, 2);
                rig_run_ms(&sim.rig, STEP_MS);
                ck_assert_uint_eq(agent_stats(sim.machines[0].agent).n_busy, 0);
                ck_assert_int_eq(is_active(&sim, "a.service"), way == 2);
                if (way == 1)
                        ck_assert_str_eq(sim_state(&sim, 0, "a.service"), "");
                else
                        expect_state(&sim, "a.service", "\"generation\":2");
                sim_done(&sim);
        }
}
END_TEST

/* The daemon ends or dies and starts again, with its lease: nothing is started, stopped or reported
 * anew; what ended stays ended. */
START_TEST(test_restart_with_the_same_lease) {
        for (int crash = 0; crash < 2; crash++) {
                int64_t revision;
                unsigned n_changes;
                Sim sim;

                set_up(&sim);
                set_row(&sim, "a.service", plain, LAUNCHED, 1);
                set_row(&sim, "b.service", plain, LOADED, 1);
                set_row(&sim, "c.service", "[X-Fake]\nOneshot=yes\n", LAUNCHED, 1);
                set_row(&sim, "d.service", "[X-Fake]\nFail=yes\n", LAUNCHED, 1);
                set_row(&sim, "e.service", plain, LAUNCHED, 1);
                fake_machine_unit_exit(sim.machines[0].fake, "e.service", false);
                rig_run_ms(&sim.rig, STEP_MS);
                n_changes = sim.machines[0].n_changes;
                revision = rig_revision(&sim.rig);
                if (crash)
                        sim_crash(&sim, 0);
                else
                        sim_stop(&sim, 0);
                rig_run_ms(&sim.rig, 3000);
                sim_start(&sim, 0);
                rig_run_ms(&sim.rig, 30000);
                ck_assert_uint_eq(sim.machines[0].n_changes, n_changes);
                ck_assert_uint_eq(agent_stats(sim.machines[0].agent).n_actions, 0);
                ck_assert_int_eq(rig_revision(&sim.rig), revision);
                expect_state(&sim, "d.service", "why");
                sim_done(&sim);
        }
}
END_TEST

/* It was away for so long that its lease ended: what runs goes on, and everything is reported
 * again. */
START_TEST(test_restart_with_a_lost_lease) {
        unsigned n_changes;
        Sim sim;

        set_up(&sim);
        set_row(&sim, "a.service", plain, LAUNCHED, 1);
        set_row(&sim, "b.service", plain, LOADED, 1);
        n_changes = sim.machines[0].n_changes;
        sim_crash(&sim, 0);
        rig_run_ms(&sim.rig, 60000);
        ck_assert_str_eq(sim_state(&sim, 0, "a.service"), "");
        sim_start(&sim, 0);
        rig_run_ms(&sim.rig, 3000);
        expect_state(&sim, "a.service", "\"active\":\"active\",\"generation\":1");
        expect_state(&sim, "b.service", "\"active\":\"inactive\",\"generation\":1");
        ck_assert_uint_eq(sim.machines[0].n_changes, n_changes);
        sim_done(&sim);
}
END_TEST

/* The machine boots again before its lease has ended: its states speak of what is gone, and all is
 * loaded and started again. */
START_TEST(test_quick_reboot) {
        Sim sim;

        set_up(&sim);
        set_row(&sim, "a.service", plain, LAUNCHED, 1);
        set_row(&sim, "b.service", plain, LOADED, 1);
        sim_power_off(&sim, 0);
        sim_start(&sim, 0);
        rig_run_ms(&sim.rig, 5000);
        ck_assert(is_active(&sim, "a.service"));
        expect_state(&sim, "a.service", "\"active\":\"active\",\"generation\":1");
        expect_state(&sim, "b.service", "\"active\":\"inactive\",\"generation\":1");
        ck_assert_ptr_nonnull(host_find(sim.machines[0].host, "b.service"));
        sim_done(&sim);
}
END_TEST

/* Rows that went while the store was out of reach, or the daemon did not run, are acted upon
 * afterwards; until then nothing is. */
START_TEST(test_row_removed_meanwhile) {
        for (int way = 0; way < 2; way++) {
                Sim sim;

                set_up(&sim);
                set_row(&sim, "a.service", plain, LAUNCHED, 1);
                set_row(&sim, "b.service", plain, LAUNCHED, 1);
                if (way == 0)
                        sim_cut(&sim, 0, true);
                else
                        sim_crash(&sim, 0);
                sim_remove_row(&sim, 0, "a.service");
                sim_set_row(&sim, 0, "c.service", plain, LAUNCHED, 1);
                if (way == 0)
                        memory_store_compact(sim.rig.memory, rig_revision(&sim.rig));
                rig_run_ms(&sim.rig, 3000);
                ck_assert(is_active(&sim, "a.service") && !is_active(&sim, "c.service"));
                if (way == 0)
                        sim_cut(&sim, 0, false);
                else
                        sim_start(&sim, 0);
                rig_run_ms(&sim.rig, 5000);
                ck_assert(!is_active(&sim, "a.service"));
                ck_assert_ptr_null(host_find(sim.machines[0].host, "a.service"));
                ck_assert(is_active(&sim, "b.service") && is_active(&sim, "c.service"));
                ck_assert_str_eq(sim_state(&sim, 0, "a.service"), "");
                ck_assert_uint_eq(n_starts(&sim, "b.service"), 1);
                sim_done(&sim);
        }
}
END_TEST

/* A row that goes and comes back with the same request while the unit is being stopped: the request
 * is carried out again. */
START_TEST(test_row_comes_back) {
        static const uint64_t after_ms[] = { 1, 5, 50, 200, 305, 310, 320, 1000 };

        for (size_t i = 0; i < ELEMENTSOF(after_ms); i++) {
                Sim sim;

                set_up(&sim);
                set_row(&sim, "a.service", changed, LAUNCHED, 1);
                sim_remove_row(&sim, 0, "a.service");
                rig_run_ms(&sim.rig, after_ms[i]);
                set_row(&sim, "a.service", changed, LAUNCHED, 1);
                ck_assert_msg(is_active(&sim, "a.service"), "back after %llu ms",
                              (unsigned long long)after_ms[i]);
                expect_state(&sim, "a.service", "\"active\":\"active\",\"generation\":1");
                sim_done(&sim);
        }
}
END_TEST

/* A row that does not parse leaves the unit as it is; so does its removal's repair. */
START_TEST(test_bad_row) {
        Sim sim;

        set_up(&sim);
        set_row(&sim, "a.service", plain, LAUNCHED, 1);
        rig_set(&sim.rig, "schedule/00000000000000000000000000000000/a.service", "{");
        rig_run_ms(&sim.rig, STEP_MS);
        ck_assert(is_active(&sim, "a.service"));
        set_row(&sim, "a.service", plain, LAUNCHED, 1);
        ck_assert_uint_eq(sim.machines[0].n_changes, 1);
        set_row(&sim, "a.service", plain, LOADED, 2);
        ck_assert(!is_active(&sim, "a.service"));
        sim_done(&sim);
}
END_TEST

static char log_text[8192];

static void keep_log(int priority, const LogSubject *subject, const char *text) {
        size_t n = strlen(log_text);

        (void)subject;
        if (priority <= LOG_ERR)
                (void)snprintf(log_text + n, sizeof(log_text) - n, "%s\n", text);
}

/* A second machine with our ID stays out, runs nothing, and says who is who, once; the first is not
 * harmed. When the first goes, the second takes its place. */
START_TEST(test_duplicate_machine_id) {
        const char *record;
        unsigned n_changes;
        Sim sim;

        sim_init(&sim, 1, 2, true);
        sim_stop(&sim, 1);
        rig_run_ms(&sim.rig, 20000);
        memcpy(sim.machines[1].id, sim.machines[0].id, sizeof(sim.machines[1].id));
        set_row(&sim, "a.service", plain, LAUNCHED, 1);
        record = rig_get(&sim.rig, "machine/00000000000000000000000000000000");
        n_changes = sim.machines[0].n_changes;

        log_text[0] = '\0';
        log_set_max_priority(LOG_ERR);
        log_set_sink(keep_log);
        (void)unlink(sim.machines[1].lease_path);
        sim_start(&sim, 1);
        rig_run_ms(&sim.rig, 120000);
        log_set_sink(NULL);
        log_set_max_priority(LOG_CRIT);
        ck_assert_ptr_nonnull(strstr(log_text, "host0"));
        ck_assert_ptr_nonnull(strstr(log_text, "host1"));
        ck_assert_ptr_eq(strchr(log_text, '\n'), log_text + strlen(log_text) - 1);
        ck_assert_int_eq(presence_lease(sim.machines[1].presence), 0);
        ck_assert(!fake_machine_unit_is_active(sim.machines[1].fake, "a.service"));
        ck_assert_uint_eq(sim.machines[1].n_changes, 0);
        ck_assert_int_ne(presence_lease(sim.machines[0].presence), 0);
        ck_assert_uint_eq(sim.machines[0].n_changes, n_changes);
        ck_assert_str_eq(rig_get(&sim.rig, "machine/00000000000000000000000000000000"), record);

        sim_power_off(&sim, 0);
        rig_run_ms(&sim.rig, 20000);
        ck_assert_int_ne(presence_lease(sim.machines[1].presence), 0);
        ck_assert(fake_machine_unit_is_active(sim.machines[1].fake, "a.service"));
        sim_done(&sim);
}
END_TEST

/* A state that somebody removed or changed is told again, soon; and the agent's own reports do not
 * make it look again. */
START_TEST(test_states_by_hand) {
        static const char key[] = "state/00000000000000000000000000000000/a.service";
        uint64_t n_ranges;
        Sim sim;

        set_up(&sim);
        set_row(&sim, "a.service", plain, LAUNCHED, 1);
        rig_run_ms(&sim.rig, 10000);
        n_ranges = store_stats(sim.rig.stores[sim.machines[0].client]).n_started[STORE_KIND_RANGE];
        set_row(&sim, "a.service", plain, LAUNCHED, 2);
        rig_run_ms(&sim.rig, 10000);
        ck_assert_uint_eq(
                store_stats(sim.rig.stores[sim.machines[0].client]).n_started[STORE_KIND_RANGE],
                n_ranges);

        rig_remove(&sim.rig, key);
        rig_run_ms(&sim.rig, 3000);
        expect_state(&sim, "a.service", "\"active\":\"active\",\"generation\":2");
        rig_set(&sim.rig, key, "{\"active\":\"failed\",\"generation\":1,\"state\":\"loaded\"}");
        rig_run_ms(&sim.rig, 3000);
        expect_state(&sim, "a.service", "\"active\":\"active\",\"generation\":2");
        rig_set(&sim.rig, key, "{");
        rig_set(&sim.rig, "state/00000000000000000000000000000000/x.service", "{");
        rig_run_ms(&sim.rig, 3000);
        expect_state(&sim, "a.service", "\"active\":\"active\",\"generation\":2");
        ck_assert_str_eq(sim_state(&sim, 0, "x.service"), "");
        ck_assert_uint_eq(n_starts(&sim, "a.service"), 1);
        sim_done(&sim);
}
END_TEST

/* Reports are gathered: 300 units that start at once cost few transactions, and all are told. */
START_TEST(test_reports_are_gathered) {
        uint64_t n_reports;
        Sim sim;

        set_up(&sim);
        for (int i = 0; i < 300; i++) {
                char name[32];

                (void)snprintf(name, sizeof(name), "u%03d.service", i);
                sim_set_row(&sim, 0, name, plain, LAUNCHED, 1);
        }
        rig_run_ms(&sim.rig, 2000);
        n_reports = agent_stats(sim.machines[0].agent).n_reports;
        ck_assert_uint_ge(n_reports, 3);
        ck_assert_uint_le(n_reports, 6);
        for (int i = 0; i < 300; i++) {
                char name[32];

                (void)snprintf(name, sizeof(name), "u%03d.service", i);
                expect_state(&sim, name, "\"active\":\"active\",\"generation\":1");
        }
        (void)printf("300 units started at once: %llu transactions of states\n",
                     (unsigned long long)n_reports);
        sim_done(&sim);
}
END_TEST

/* A unit that dies and comes up again by itself all the time costs a transaction a second, and what
 * is told last is true. The other units are told at once, and so is what answers a request. */
START_TEST(test_restart_loop_is_damped) {
        uint64_t n_reports;
        Sim sim;

        set_up(&sim);
        set_row(&sim, "loop.service", plain, LAUNCHED, 1);
        set_row(&sim, "calm.service", plain, LAUNCHED, 1);
        rig_run_ms(&sim.rig, 60000);
        n_reports = agent_stats(sim.machines[0].agent).n_reports;
        for (int i = 0; i < 100; i++) {
                fake_machine_unit_exit(sim.machines[0].fake, "loop.service", false);
                rig_run_ms(&sim.rig, 150);
                fake_machine_unit_revive(sim.machines[0].fake, "loop.service");
                rig_run_ms(&sim.rig, 150);
        }
        n_reports = agent_stats(sim.machines[0].agent).n_reports - n_reports;
        (void)printf("200 changes of a unit in 30 s: %llu transactions of states\n",
                     (unsigned long long)n_reports);
        ck_assert_uint_ge(n_reports, 30);
        ck_assert_uint_le(n_reports, 36);

        fake_machine_unit_exit(sim.machines[0].fake, "calm.service", false);
        rig_run_ms(&sim.rig, 150);
        expect_state(&sim, "calm.service", "\"active\":\"failed\"");
        fake_machine_unit_exit(sim.machines[0].fake, "loop.service", false);
        rig_run_ms(&sim.rig, 1000);
        expect_state(&sim, "loop.service", "\"active\":\"failed\"");
        fake_machine_unit_revive(sim.machines[0].fake, "loop.service");
        sim_set_row(&sim, 0, "loop.service", plain, LOADED, 2);
        rig_run_ms(&sim.rig, 150);
        expect_state(&sim, "loop.service", "\"active\":\"inactive\",\"generation\":2");
        sim_remove_row(&sim, 0, "loop.service");
        rig_run_ms(&sim.rig, 150);
        ck_assert_str_eq(sim_state(&sim, 0, "loop.service"), "");
        sim_done(&sim);
}
END_TEST

/* Two machines have the unit; it leaves one of them: what the other one says of it stays. */
START_TEST(test_states_of_other_machines_stay) {
        const char *state;
        Sim sim;

        sim_init(&sim, 1, 2, true);
        rig_run_ms(&sim.rig, STEP_MS);
        for (size_t i = 0; i < 2; i++)
                sim_set_row(&sim, i, "a.service", plain, LAUNCHED, 1);
        rig_run_ms(&sim.rig, STEP_MS);
        state = sim_state(&sim, 1, "a.service");
        ck_assert_str_ne(state, "");
        sim_remove_row(&sim, 0, "a.service");
        for (int i = 0; i < 60; i++) {
                rig_run_ms(&sim.rig, STEP_MS);
                ck_assert_str_eq(sim_state(&sim, 1, "a.service"), state);
        }
        ck_assert_str_eq(sim_state(&sim, 0, "a.service"), "");
        sim_done(&sim);
}
END_TEST

/* The last news goes out before the daemon ends; a store that does not answer holds the end up for
 * a second at most. */
START_TEST(test_close_reports_first) {
        uint64_t since_us;
        Sim sim;

        set_up(&sim);
        set_row(&sim, "a.service", plain, LAUNCHED, 1);
        set_row(&sim, "b.service", plain, LAUNCHED, 1);
        store_memory_set_faults(sim.rig.stores[sim.machines[0].client],
                                &(StoreFaults){ .latency_us = 100 * US_PER_MS });
        fake_machine_unit_exit(sim.machines[0].fake, "a.service", false);
        rig_run_ms(&sim.rig, 50);
        fake_machine_unit_exit(sim.machines[0].fake, "b.service", false);
        rig_run_ms(&sim.rig, 1);
        sim_stop(&sim, 0);
        expect_state(&sim, "a.service", "\"active\":\"failed\"");
        expect_state(&sim, "b.service", "\"active\":\"failed\"");

        sim_start(&sim, 0);
        rig_run_ms(&sim.rig, 1000);
        sim_cut(&sim, 0, true);
        set_row(&sim, "c.service", plain, LAUNCHED, 1);
        fake_machine_unit_exit(sim.machines[0].fake, "a.service", false);
        since_us = sim.rig.env.now_us;
        sim_stop(&sim, 0);
        ck_assert_uint_le(sim.rig.env.now_us - since_us, 1100 * US_PER_MS);
        sim_done(&sim);
}
END_TEST

/* A machine that becomes a member while nothing reaches it of its schedule begins nothing by the rows
 * that it knew before: they may have gone to others. It does by those that it has when it is told. */
START_TEST(test_joins_with_an_old_schedule) {
        Agent *agent;
        Sim sim;

        set_up(&sim);
        sim_power_off(&sim, 0);
        sim_set_row(&sim, 0, "kept.service", plain, LAUNCHED, 1);
        sim_set_row(&sim, 0, "lost.service", plain, LAUNCHED, 1);
        rig_run_ms(&sim.rig, 60 * 1000);

        /* It gets no lease, and knows its schedule. */
        memory_store_set_full(sim.rig.memory, true);
        sim_start(&sim, 0);
        rig_run_ms(&sim.rig, STEP_MS);
        agent = sim.machines[0].agent;
        ck_assert_uint_eq(agent_stats(agent).n_units, 2);

        sim_cut(&sim, 0, true);
        memory_store_set_full(sim.rig.memory, false);
        sim_remove_row(&sim, 0, "lost.service");
        agent_set_lease(agent, 1234, memory_store_revision(sim.rig.memory));
        rig_run_ms(&sim.rig, 60 * 1000);
        ck_assert(!is_active(&sim, "kept.service"));
        ck_assert_uint_eq(agent_stats(agent).n_actions, 0);

        sim_cut(&sim, 0, false);
        rig_run_ms(&sim.rig, 10 * STEP_MS);
        ck_assert(is_active(&sim, "kept.service"));
        ck_assert_uint_eq(n_starts(&sim, "lost.service"), 0);
        ck_assert_uint_eq(agent_stats(agent).n_units, 1);
        sim_done(&sim);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_life,
                test_replace,
                test_failures,
                test_others_are_not_held_up,
                test_revive,
                test_oneshot,
                test_hanging_start,
                test_restart_with_the_same_lease,
                test_restart_with_a_lost_lease,
                test_quick_reboot,
                test_row_removed_meanwhile,
                test_row_comes_back,
                test_bad_row,
                test_duplicate_machine_id,
                test_states_by_hand,
                test_reports_are_gathered,
                test_restart_loop_is_damped,
                test_states_of_other_machines_stay,
                test_close_reports_first,
                test_joins_with_an_old_schedule,
        };

        return tests_run("agent", tests, ELEMENTSOF(tests));
}
