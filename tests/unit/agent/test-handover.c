/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>

#include "tests/sim/cluster.h"
#include "tests/unit/fault.h"

/* A unit that runs here and has lost its row: it ends when its successor runs, and not before. The
 * test writes what the engine and the other machine would. */

static const char successor[] = "11111111111111111111111111111111";
static const char third[] = "22222222222222222222222222222222";

static const char placed[] = "{\"generation\":3,\"machine\":\"11111111111111111111111111111111\"}";
static const char row[] = "{\"desired\":\"launched\","
                          "\"file\":\"1111111111111111111111111111111111111111\",\"generation\":3}";
static const char active[] =
        "{\"active\":\"active\",\"generation\":3,\"load\":\"loaded\",\"state\":\"launched\"}";

enum { STEP_MS = 1000 };

static void set(Sim *sim, const char *kind, const char *machine, const char *value) {
        char key[128];

        (void)snprintf(key, sizeof(key), "%s%s%s/a.service", kind, machine ? "/" : "",
                       machine ? machine : "");
        if (value)
                rig_set(&sim->rig, key, value);
        else
                rig_remove(&sim->rig, key);
        rig_run_ms(&sim->rig, STEP_MS);
}

static bool runs(const Sim *sim) {
        return fake_machine_unit_is_running(sim->machines[0].fake, "a.service");
}

/* The unit has come up here, and loses its row. */
static void set_up(Sim *sim, const char *text) {
        sim_init(sim, 1, 1, true);
        rig_run_ms(&sim->rig, STEP_MS);
        sim_set_row(sim, 0, "a.service", text, JOB_STATE_LAUNCHED, 3);
        rig_run_ms(&sim->rig, STEP_MS);
        ck_assert(runs(sim));
}

static void lose_row(Sim *sim) {
        sim_remove_row(sim, 0, "a.service");
        rig_run_ms(&sim->rig, STEP_MS);
}

static void expect_gone(Sim *sim) {
        ck_assert(!runs(sim));
        rig_run_ms(&sim->rig, STEP_MS);
        ck_assert_str_eq(sim_state(sim, 0, "a.service"), "");
        ck_assert_uint_eq(agent_stats(sim->machines[0].agent).n_units, 0);
        ck_assert_uint_eq(store_stats(sim->rig.stores[sim->machines[0].client]).n_watches, 5);
        sim_done(sim);
}

/* One way of the other machine: what stands in the records, and whether the copy here may end. */
typedef struct Situation {
        const char *claim;
        const char *placement;
        const char *row;
        const char *state;
        bool ends;
} Situation;

static const Situation situations[] = {
        { "nobody is to run it", NULL, NULL, NULL, true },
        { "it fits nowhere", "{\"generation\":3,\"why\":\"no machine fits\"}", NULL, NULL, true },
        { "the placement cannot be read", "{", row, active, false },
        { "the successor has not begun", placed, row, NULL, false },
        { "it comes up", placed, row,
          "{\"active\":\"activating\",\"generation\":0,\"state\":\"launched\"}", false },
        { "it runs", placed, row, active, true },
        { "it reloads", placed, row,
          "{\"active\":\"reloading\",\"generation\":3,\"state\":\"launched\"}", true },
        { "it runs, and has not answered yet", placed, row,
          "{\"active\":\"active\",\"generation\":0,\"state\":\"launched\"}", true },
        { "it has run and ended well", placed, row,
          "{\"active\":\"inactive\",\"generation\":3,\"state\":\"launched\"}", true },
        { "it ended before it was asked", placed, row,
          "{\"active\":\"inactive\",\"generation\":2,\"state\":\"launched\"}", false },
        { "it has run and failed", placed, row,
          "{\"active\":\"failed\",\"generation\":3,\"state\":\"launched\"}", false },
        { "it cannot be loaded", placed, row,
          "{\"active\":\"inactive\",\"generation\":3,\"why\":\"no file\",\"state\":\"launched\"}",
          false },
        { "its state cannot be read", placed, row, "{\"active\":\"active\",\"state\":1}", false },
        { "its row cannot be read", placed, "{", NULL, false },
        { "it is to be loaded only", placed,
          "{\"desired\":\"loaded\",\"file\":\"1111111111111111111111111111111111111111\","
          "\"generation\":3}",
          NULL, true },
        { "it waits for us", placed,
          "{\"after\":[\"00000000000000000000000000000000\"],\"desired\":\"launched\","
          "\"file\":\"1111111111111111111111111111111111111111\",\"generation\":3}",
          NULL, true },
        { "it waits for another", placed,
          "{\"after\":[\"22222222222222222222222222222222\"],\"desired\":\"launched\","
          "\"file\":\"1111111111111111111111111111111111111111\",\"generation\":3}",
          NULL, false },
};

START_TEST(test_situations) {
        for (size_t i = 0; i < ELEMENTSOF(situations); i++) {
                const Situation *situation = &situations[i];
                Sim sim;

                set_up(&sim, "");
                if (situation->placement)
                        set(&sim, "placement", NULL, situation->placement);
                if (situation->row)
                        set(&sim, "schedule", successor, situation->row);
                if (situation->state)
                        set(&sim, "state", successor, situation->state);
                lose_row(&sim);
                rig_run_ms(&sim.rig, 60000);
                ck_assert_msg(runs(&sim) != situation->ends, "%s", situation->claim);

                /* Whatever it was, the user's word ends it. */
                set(&sim, "placement", NULL, NULL);
                expect_gone(&sim);
        }
}
END_TEST

/* A placement with what cannot be the ID of a machine cannot be read: the copy runs on, and the store
 * is not asked again and again. */
START_TEST(test_no_machine_of_that_name) {
        char name[1001], placement[1100];
        uint64_t n_answers;
        Store *store;
        Sim sim;

        memset(name, '1', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        (void)snprintf(placement, sizeof(placement), "{\"generation\":3,\"machine\":\"%s\"}", name);
        set_up(&sim, "");
        set(&sim, "placement", NULL, placement);
        lose_row(&sim);
        store = sim.rig.stores[sim.machines[0].client];
        n_answers = store_answers(store);
        rig_run_ms(&sim.rig, 10000);
        ck_assert_uint_le(store_answers(store) - n_answers, 10);
        ck_assert(runs(&sim));
        set(&sim, "placement", NULL, NULL);
        expect_gone(&sim);
}
END_TEST

/* The successor goes its way, step by step, and fails at first; the state here says what it is
 * waited for. */
START_TEST(test_step_by_step) {
        Sim sim;

        set_up(&sim, "");
        set(&sim, "placement", NULL, placed);
        set(&sim, "schedule", successor, row);
        lose_row(&sim);
        sim_wait_state(&sim, 0, "a.service", "runs on: machine 11111111 does not run it yet",
                       STEP_MS);
        set(&sim, "state", successor,
            "{\"active\":\"activating\",\"generation\":0,\"state\":\"launched\"}");
        set(&sim, "state", successor,
            "{\"active\":\"failed\",\"generation\":3,\"why\":\"it "
            "failed\",\"state\":\"launched\"}");
        sim_wait_state(&sim, 0, "a.service", "runs on: machine 11111111 cannot run it", STEP_MS);
        rig_run_ms(&sim.rig, 60000);
        ck_assert(runs(&sim));
        set(&sim, "state", successor, active);
        expect_gone(&sim);
}
END_TEST

/* The successor's machine goes, and another gets the unit; then this one again. */
START_TEST(test_another_successor) {
        Sim sim;

        set_up(&sim, "");
        set(&sim, "placement", NULL, placed);
        set(&sim, "schedule", successor, row);
        lose_row(&sim);
        set(&sim, "placement", NULL,
            "{\"generation\":3,\"machine\":\"22222222222222222222222222222222\"}");
        sim_wait_state(&sim, 0, "a.service", "machine 22222222 does not run it yet", STEP_MS);
        set(&sim, "state", successor, active);
        ck_assert(runs(&sim));
        set(&sim, "placement", NULL,
            "{\"generation\":3,\"machine\":\"00000000000000000000000000000000\"}");
        set(&sim, "state", third, active);
        ck_assert(runs(&sim));
        sim_set_row(&sim, 0, "a.service", "", JOB_STATE_LAUNCHED, 3);
        rig_run_ms(&sim.rig, STEP_MS);
        ck_assert(runs(&sim));
        ck_assert_uint_eq(fake_machine_unit_starts(sim.machines[0].fake, "a.service"), 1);
        ck_assert_ptr_null(strstr(sim_state(&sim, 0, "a.service"), "waits"));

        /* What was said of the first time does not count for the second. */
        set(&sim, "placement", NULL, placed);
        set(&sim, "state", successor, NULL);
        lose_row(&sim);
        ck_assert(runs(&sim));
        set(&sim, "state", successor, active);
        expect_gone(&sim);
}
END_TEST

/* A copy that hangs in its start does not outlive one that has come as far; one that ends meanwhile
 * is taken away. */
START_TEST(test_copies_that_are_not_up) {
        Sim sim;

        set_up(&sim, "[X-Fake]\nHang=yes\n");
        set(&sim, "placement", NULL, placed);
        set(&sim, "schedule", successor, row);
        lose_row(&sim);
        ck_assert(runs(&sim));
        set(&sim, "state", successor,
            "{\"active\":\"activating\",\"generation\":0,\"state\":\"launched\"}");
        expect_gone(&sim);

        set_up(&sim, "");
        set(&sim, "placement", NULL, placed);
        set(&sim, "schedule", successor, row);
        lose_row(&sim);
        fake_machine_unit_exit(sim.machines[0].fake, "a.service", true);
        rig_run_ms(&sim.rig, STEP_MS);
        expect_gone(&sim);
}
END_TEST

/* Without the store nothing is known, and the unit runs on; a daemon that starts anew finds the same
 * as the one before. */
START_TEST(test_cut_off_and_restarted) {
        Sim sim;

        set_up(&sim, "");
        set(&sim, "placement", NULL, placed);
        set(&sim, "schedule", successor, row);
        sim_cut(&sim, 0, true);
        lose_row(&sim);
        set(&sim, "state", successor, active);
        rig_run_ms(&sim.rig, 600000);
        ck_assert(runs(&sim));
        set(&sim, "state", successor, NULL);
        sim_cut(&sim, 0, false);
        rig_run_ms(&sim.rig, 10000);
        ck_assert(runs(&sim));
        sim_stop(&sim, 0);
        rig_run_ms(&sim.rig, STEP_MS);
        sim_start(&sim, 0);
        rig_run_ms(&sim.rig, 10000);
        ck_assert(runs(&sim));
        set(&sim, "state", successor, active);
        expect_gone(&sim);
}
END_TEST

/* Every allocation fails once: the unit runs on until its successor does, and then ends. */
START_TEST(test_survives_oom) {
        bool has_failed = true;
        size_t n = 0;

        for (; has_failed; n++) {
                Sim sim;

                set_up(&sim, "");
                set(&sim, "placement", NULL, placed);
                set(&sim, "schedule", successor, row);
                sim_remove_row(&sim, 0, "a.service");
                fault_arm(n);
                rig_run_ms(&sim.rig, STEP_MS);
                has_failed = fault_disarm();
                rig_run_ms(&sim.rig, 60000);
                ck_assert(runs(&sim));
                set(&sim, "state", successor, active);
                rig_run_ms(&sim.rig, 60000);
                expect_gone(&sim);
        }
        ck_assert_uint_gt(n, 10);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_situations,        test_no_machine_of_that_name, test_step_by_step,
                test_another_successor, test_copies_that_are_not_up,  test_cut_off_and_restarted,
                test_survives_oom,
        };

        return tests_run("agent handover", tests, ELEMENTSOF(tests));
}
