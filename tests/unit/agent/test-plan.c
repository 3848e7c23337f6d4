/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>

#include "agent/plan.h"
#include "tests/unit/fault.h"

/* The agent's decisions, as a table. */

static const char wanted[] = "1111111111111111111111111111111111111111";
static const char other[] = "2222222222222222222222222222222222222222";

enum { GENERATION = 7 };

typedef struct PlanRow {
        const char *claim;
        JobState desired; /* INACTIVE: no row */
        const char *hash; /* on the host, or NULL */
        const char *active;
        uint64_t done;
        bool is_failed;
        AgentStep step;
        bool is_let_go;
} PlanRow;

static const JobState NO_ROW = JOB_STATE_INACTIVE, LOADED = JOB_STATE_LOADED,
                      LAUNCHED = JOB_STATE_LAUNCHED;

static void check(const PlanRow *rows, size_t n_rows) {
        for (size_t i = 0; i < n_rows; i++) {
                ScheduleRecord row = { .desired = rows[i].desired, .generation = GENERATION };
                AgentSituation situation = {
                        .row = rows[i].desired == NO_ROW ? NULL : &row,
                        .hash = rows[i].hash,
                        .active = rows[i].active,
                        .done_generation = rows[i].done,
                        .is_failed = rows[i].is_failed,
                        .is_let_go = rows[i].is_let_go,
                };

                memcpy(row.file, wanted, sizeof(row.file));
                ck_assert_msg(agent_plan(&situation) == rows[i].step, "%s: %s", rows[i].claim,
                              agent_step_to_string(agent_plan(&situation)));

                situation.is_row_bad = true;
                ck_assert_int_eq(agent_plan(&situation), AGENT_STEP_NONE);
        }
}

/* What is not scheduled runs on until it is let go, is stopped, then taken away, then forgotten;
 * whatever was done before. */
START_TEST(test_unwanted) {
        const PlanRow rows[] = {
                { "nothing there", NO_ROW, NULL, "", 0, false, AGENT_STEP_FORGET, false },
                { "no file there", NO_ROW, "", "", 7, false, AGENT_STEP_FORGET, false },
                { "only the file gone", NO_ROW, "", "inactive", 7, false, AGENT_STEP_UNLOAD,
                  false },
                { "only the file gone, active", NO_ROW, "", "active", 7, false, AGENT_STEP_KEEP,
                  false },
                { "only the file gone, let go", NO_ROW, "", "active", 7, false, AGENT_STEP_STOP,
                  true },
                { "active", NO_ROW, wanted, "active", 7, false, AGENT_STEP_KEEP, false },
                { "coming up", NO_ROW, wanted, "activating", 0, false, AGENT_STEP_KEEP, false },
                { "reloading", NO_ROW, wanted, "reloading", 7, false, AGENT_STEP_KEEP, false },
                { "going down", NO_ROW, wanted, "deactivating", 7, false, AGENT_STEP_STOP, false },
                { "active, let go", NO_ROW, wanted, "active", 7, false, AGENT_STEP_STOP, true },
                { "coming up, let go", NO_ROW, wanted, "activating", 0, false, AGENT_STEP_STOP,
                  true },
                { "going down, let go", NO_ROW, wanted, "deactivating", 7, false, AGENT_STEP_STOP,
                  true },
                { "inactive", NO_ROW, wanted, "inactive", 7, false, AGENT_STEP_UNLOAD, false },
                { "failed", NO_ROW, wanted, "failed", 7, true, AGENT_STEP_UNLOAD, false },
                { "unknown", NO_ROW, wanted, "", 7, false, AGENT_STEP_UNLOAD, false },
        };

        check(rows, ELEMENTSOF(rows));
}
END_TEST

/* A new request is carried out step by step. */
START_TEST(test_new_requests) {
        const PlanRow rows[] = {
                { "launch: nothing there", LAUNCHED, NULL, "", 0, false, AGENT_STEP_LOAD },
                { "launch: loaded", LAUNCHED, wanted, "inactive", 6, false, AGENT_STEP_START },
                { "launch: failed before is revived", LAUNCHED, wanted, "failed", 6, true,
                  AGENT_STEP_START },
                { "launch: coming up by itself", LAUNCHED, wanted, "activating", 6, false,
                  AGENT_STEP_START },
                { "launch: going down", LAUNCHED, wanted, "deactivating", 6, false,
                  AGENT_STEP_START },
                { "launch: state unknown", LAUNCHED, wanted, "", 0, false, AGENT_STEP_START },
                { "launch: up already", LAUNCHED, wanted, "active", 6, false, AGENT_STEP_DONE },
                { "launch: up, reloading", LAUNCHED, wanted, "reloading", 6, false,
                  AGENT_STEP_DONE },
                { "launch: up, failed before", LAUNCHED, wanted, "active", 6, true,
                  AGENT_STEP_DONE },
                { "launch: other content runs: it ends first", LAUNCHED, other, "active", 6, false,
                  AGENT_STEP_STOP },
                { "launch: other content comes up", LAUNCHED, other, "activating", 6, false,
                  AGENT_STEP_STOP },
                { "launch: other content, ended", LAUNCHED, other, "inactive", 6, false,
                  AGENT_STEP_LOAD },
                { "launch: other content, failed", LAUNCHED, other, "failed", 6, true,
                  AGENT_STEP_LOAD },
                { "load: nothing there", LOADED, NULL, "", 0, false, AGENT_STEP_LOAD },
                { "load: there", LOADED, wanted, "inactive", 6, false, AGENT_STEP_DONE },
                { "load: there, failed", LOADED, wanted, "failed", 6, false, AGENT_STEP_DONE },
                { "load: runs: it is stopped", LOADED, wanted, "active", 6, false,
                  AGENT_STEP_STOP },
                { "load: going down: waits for the end", LOADED, wanted, "deactivating", 6, false,
                  AGENT_STEP_STOP },
                { "load: other content runs", LOADED, other, "active", 6, false, AGENT_STEP_STOP },
        };

        check(rows, ELEMENTSOF(rows));
}
END_TEST

/* A request that was brought to its end is not begun again, whatever has become of the unit since.
 */
START_TEST(test_done_requests) {
        const PlanRow rows[] = {
                { "launched, runs", LAUNCHED, wanted, "active", 7, false, AGENT_STEP_NONE },
                { "launched, ended or stopped by hand", LAUNCHED, wanted, "inactive", 7, false,
                  AGENT_STEP_NONE },
                { "launched, crashed", LAUNCHED, wanted, "failed", 7, false, AGENT_STEP_NONE },
                { "the start failed", LAUNCHED, wanted, "failed", 7, true, AGENT_STEP_NONE },
                { "the load failed", LAUNCHED, NULL, "", 7, true, AGENT_STEP_NONE },
                { "the load failed with other content there", LAUNCHED, other, "inactive", 7, true,
                  AGENT_STEP_NONE },
                { "loaded, started by hand", LOADED, wanted, "active", 7, false, AGENT_STEP_NONE },
                { "the content vanished", LAUNCHED, NULL, "", 7, false, AGENT_STEP_LOAD },
                { "the file was removed, it runs", LAUNCHED, "", "active", 7, false,
                  AGENT_STEP_MEND },
                { "the file was changed, it runs", LAUNCHED, other, "active", 7, false,
                  AGENT_STEP_MEND },
                { "the file was changed, it has ended", LAUNCHED, other, "inactive", 7, false,
                  AGENT_STEP_MEND },
                { "the file was changed, it is loaded", LOADED, other, "inactive", 7, false,
                  AGENT_STEP_MEND },
        };

        check(rows, ELEMENTSOF(rows));
}
END_TEST

typedef struct OrderRow {
        const char *claim;
        const char *hash; /* on the host, or NULL */
        const char *active;
        bool is_restart_due, must_wait;
        AgentStep step;
} OrderRow;

/* A restart stops and starts what runs, however far it has come; else it is a start. A unit that
 * must wait is neither loaded nor started; what runs already goes on, and what must end ends. */
START_TEST(test_restarts_and_moves) {
        const OrderRow rows[] = {
                { "restart: runs", wanted, "active", true, false, AGENT_STEP_RESTART },
                { "restart: coming up", wanted, "activating", true, false, AGENT_STEP_RESTART },
                { "restart: going down", wanted, "deactivating", true, false, AGENT_STEP_RESTART },
                { "restart: dead", wanted, "inactive", true, false, AGENT_STEP_START },
                { "restart: failed", wanted, "failed", true, false, AGENT_STEP_START },
                { "restart: not there", NULL, "", true, false, AGENT_STEP_LOAD },
                { "restart: other content runs", other, "active", true, false, AGENT_STEP_STOP },
                { "move: not there", NULL, "", false, true, AGENT_STEP_WAIT },
                { "move: loaded", wanted, "inactive", false, true, AGENT_STEP_WAIT },
                { "move: other content, ended", other, "inactive", false, true, AGENT_STEP_WAIT },
                { "move: other content runs", other, "active", false, true, AGENT_STEP_STOP },
                { "move: runs", wanted, "active", false, true, AGENT_STEP_DONE },
                { "move: runs, restart", wanted, "active", true, true, AGENT_STEP_RESTART },
                { "move: dead, restart", wanted, "inactive", true, true, AGENT_STEP_WAIT },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                ScheduleRecord row = { .desired = LAUNCHED, .generation = GENERATION };
                AgentSituation situation = {
                        .row = &row,
                        .hash = rows[i].hash,
                        .active = rows[i].active,
                        .done_generation = GENERATION - 1,
                        .is_restart_due = rows[i].is_restart_due,
                        .must_wait = rows[i].must_wait,
                };

                memcpy(row.file, wanted, sizeof(row.file));
                ck_assert_msg(agent_plan(&situation) == rows[i].step, "%s: %s", rows[i].claim,
                              agent_step_to_string(agent_plan(&situation)));

                /* What is done is not done again. */
                situation.done_generation = GENERATION;
                situation.hash = wanted;
                ck_assert_int_eq(agent_plan(&situation), AGENT_STEP_NONE);
        }
}
END_TEST

/* Every step has a word. */
START_TEST(test_words) {
        for (int step = 0; step < _AGENT_STEP_MAX; step++)
                ck_assert_ptr_nonnull(agent_step_to_string((AgentStep)step));
        ck_assert_str_eq(agent_step_to_string(AGENT_STEP_UNLOAD), "unload");
}
END_TEST

/* An Exclusive unit that nothing speaks for any more is stopped, whatever the host shows, and taken
 * away, whatever is desired; then it waits until it may come back. */
START_TEST(test_barred) {
        const struct {
                const char *hash, *active;
                bool must_stop;
                AgentStep step;
        } rows[] = {
                { wanted, "active", true, AGENT_STEP_STOP },
                { wanted, "inactive", true, AGENT_STEP_STOP },
                { "", "active", true, AGENT_STEP_STOP },
                { wanted, "activating", false, AGENT_STEP_STOP },
                { wanted, "failed", false, AGENT_STEP_UNLOAD },
                { "", "inactive", false, AGENT_STEP_UNLOAD },
                { NULL, "", false, AGENT_STEP_WAIT },
        };

        for (size_t i = 0; i < 2 * ELEMENTSOF(rows); i++) {
                size_t n = i / 2;
                ScheduleRecord row = { .desired = JOB_STATE_LAUNCHED,
                                       .generation = GENERATION,
                                       .exclusive_s = 20 };
                AgentSituation situation = {
                        .row = i % 2 == 0 ? &row : NULL,
                        .hash = rows[n].hash,
                        .active = rows[n].active,
                        .must_wait = true,
                        .is_barred = true,
                        .must_stop = rows[n].must_stop,
                };
                AgentStep step = rows[n].step;

                memcpy(row.file, wanted, sizeof(row.file));
                if (i % 2 == 1 && step == AGENT_STEP_WAIT)
                        step = AGENT_STEP_FORGET;
                ck_assert_msg(agent_plan(&situation) == step, "row %zu: %s", n,
                              agent_step_to_string(agent_plan(&situation)));
        }
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_unwanted,           test_barred,
                                       test_new_requests,       test_done_requests,
                                       test_restarts_and_moves, test_words };

        return tests_run("agent plan", tests, ELEMENTSOF(tests));
}
