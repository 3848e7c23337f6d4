/* SPDX-License-Identifier: Apache-2.0 */

/* Writes whose answers are lost, and whose copies arrive when nobody thinks of them any more: each
 * was found by a story (docs/simulator.md). */

#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/cluster.h"
#include "tests/unit/fault.h"

static const char path[] = "/fleet/v1/units/a.service";
static const char start[] =
        "{\"desiredState\":\"launched\",\"options\":"
        "[{\"section\":\"Service\",\"name\":\"ExecStart\",\"value\":\"/bin/true\"}]}";

static const char batch[] =
        "{\"units\":[{\"name\":\"a.service\",\"desiredState\":\"launched\",\"options\":"
        "[{\"section\":\"Service\",\"name\":\"ExecStart\",\"value\":\"/bin/true\"}]},"
        "{\"name\":\"b.service\",\"desiredState\":\"launched\",\"options\":"
        "[{\"section\":\"Service\",\"name\":\"ExecStart\",\"value\":\"/bin/true\"}]}]}";

static void on_answer(int status, const Buf *body, void *userdata) {
        (void)body;
        *(int *)userdata = status;
}

static bool is_answered(void *userdata) {
        return *(int *)userdata != 0;
}

/* Asks the API of a machine and waits. Returns the status. */
static int ask(Sim *sim, size_t machine, const char *method, const char *body) {
        int status = 0;

        exchange_send(&sim->machines[machine].server, method, path, body, on_answer, &status);
        rig_wait(&sim->rig, 60000, is_answered, &status);
        return status;
}

static void set_faults(Sim *sim, size_t machine, const StoreFaults *faults) {
        store_memory_set_faults(sim->rig.stores[sim->machines[machine].client], faults);
}

/* The unit is started at machine 0, whose request to the store reads, and then writes: the read
 * comes through, and these faults befall the write. `ret_status` is that of the answer, later. */
static void start_with_faults_at_writing(Sim *sim, const char *body, const StoreFaults *faults,
                                         int *ret_status) {
        const bool is_batch = body == batch;
        const StoreFaults slow = { .latency_us = 100 * US_PER_MS };

        *ret_status = 0;
        rig_run_ms(&sim->rig, 1000);
        set_faults(sim, 0, &slow);
        exchange_send(&sim->machines[0].server, is_batch ? "POST" : "PUT",
                      is_batch ? "/fleet/v1/units" : path, body, on_answer, ret_status);
        rig_run_ms(&sim->rig, is_batch ? 350 : 150);
        set_faults(sim, 0, faults);
        rig_run_ms(&sim->rig, 200);
        set_faults(sim, 0, &(StoreFaults){ 0 });
}

/* A copy of a unit's creation that arrives when the unit was made by a second attempt and destroyed
 * does not bring it back. */
START_TEST(test_late_creation) {
        const StoreFaults late = { .lose_request_ppm = 1000000,
                                   .late_apply_ppm = 1000000,
                                   .late_apply_us = 10 * US_PER_S };
        int status;
        Sim sim;

        sim_init(&sim, 1, 2, false);
        start_with_faults_at_writing(&sim, start, &late, &status);
        rig_wait(&sim.rig, 60000, is_answered, &status);
        ck_assert_int_eq(status, 201);
        sim_wait_copies(&sim, "a.service", 1, 1000);
        ck_assert_int_eq(ask(&sim, 1, "DELETE", NULL), 204);
        rig_run_ms(&sim.rig, 20000);
        ck_assert(!rig_has(&sim.rig, "unit/a.service"));
        ck_assert_uint_eq(sim_copies(&sim, "a.service"), 0);

        /* And the name can be used again. */
        ck_assert_int_eq(ask(&sim, 0, "PUT", start), 201);
        sim_wait_copies(&sim, "a.service", 1, 3000);
        sim_done(&sim);
}
END_TEST

/* A creation whose answer was lost is not made a second time when the unit was destroyed meanwhile:
 * what became of it is not known, and that is the answer, soon, also for a batch. */
START_TEST(test_creation_is_not_repeated) {
        static const char *const bodies[] = { start, batch };
        const StoreFaults deaf = { .lose_reply_ppm = 1000000 };

        for (size_t i = 0; i < ELEMENTSOF(bodies); i++) {
                int status;
                Sim sim;

                sim_init(&sim, 1, 2, false);
                start_with_faults_at_writing(&sim, bodies[i], &deaf, &status);
                ck_assert(rig_has(&sim.rig, "unit/a.service"));
                ck_assert_int_eq(ask(&sim, 1, "DELETE", NULL), 204);
                rig_wait(&sim.rig, 5000, is_answered, &status);
                ck_assert_int_eq(status, 503);
                ck_assert(!rig_has(&sim.rig, "unit/a.service"));
                sim_done(&sim);
        }
}
END_TEST

/* The first report of a unit without a row whose copy arrives when the unit has ended leaves a state
 * that nobody reports again: it is noticed, and removed. */
START_TEST(test_late_report_without_a_row) {
        static const char slow[] = "[X-Fake]\nStopDelayMs=2000\n";
        const StoreFaults late = { .lose_request_ppm = 1000000,
                                   .late_apply_ppm = 1000000,
                                   .late_apply_us = 20 * US_PER_S };
        char key[128];
        Sim sim;

        sim_init(&sim, 1, 1, true);
        sim_set_row(&sim, 0, "a.service", slow, JOB_STATE_LAUNCHED, 5);
        sim_wait_state(&sim, 0, "a.service", "\"generation\":5", 10000);

        /* Its state is not in the store, and it has no row when the daemon looks again. */
        set_faults(&sim, 0, &(StoreFaults){ .is_cut = true });
        (void)snprintf(key, sizeof(key), "state/%s/a.service", sim.machines[0].id);
        rig_remove(&sim.rig, key);
        sim_remove_row(&sim, 0, "a.service");
        memory_store_compact(sim.rig.memory, rig_revision(&sim.rig));
        set_faults(&sim, 0, &(StoreFaults){ 0 });
        rig_run_ms(&sim.rig, 300);
        ck_assert_uint_eq(sim_copies(&sim, "a.service"), 0);
        set_faults(&sim, 0, &late);
        rig_run_ms(&sim.rig, 500);
        set_faults(&sim, 0, &(StoreFaults){ 0 });

        rig_run_ms(&sim.rig, 18000);
        ck_assert_uint_eq(sim_running(&sim, "a.service"), 0);
        sim_wait_state(&sim, 0, "a.service", "deactivating", 5000);
        sim_wait_state(&sim, 0, "a.service", NULL, 5000);
        ck_assert_uint_eq(agent_stats(sim.machines[0].agent).n_units, 0);
        sim_done(&sim);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_late_creation,
                test_creation_is_not_repeated,
                test_late_report_without_a_row,
        };

        return tests_run("late", tests, ELEMENTSOF(tests));
}
