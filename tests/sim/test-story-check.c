/* SPDX-License-Identifier: Apache-2.0 */

/* What the checks of stories take for a fault, and what not: stories without dice. */

#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/story.h"
#include "tests/unit/fault.h"

static const char unit[] = "u00.service";
static const char plain[] = "[X-Fleet]\nMachineMetadata=on=yes\n";
static const char slow_start[] = "[X-Fleet]\nMachineMetadata=on=yes\n"
                                 "[X-Fake]\nStartDelayMs=15000\n";

static Story story; /* large */

/* Requests are the test's own, so only the mirror is kept. */
static void on_commit(unsigned from, const StoreKv *kv, bool is_deletion, void *userdata) {
        MirrorKey key = mirror_key(&story.mirror, kv->key);

        (void)from;
        (void)userdata;
        mirror_apply(&story.mirror, &key, kv->value, is_deletion, story.sim.rig.env.now_us);
}

static void begin(void) {
        const StoryOptions options = { .seed = 1, .n_machines = 3, .n_units = 1 };

        story_begin(&story, &options);
        memory_store_set_observer(story.sim.rig.memory, on_commit, NULL);
        rig_run_ms(&story.sim.rig, 20000);
}

static size_t leader(void) {
        const int machine = mirror_machine(&story.mirror, story.mirror.leader, 32);

        ck_assert_int_ge(machine, 0);
        return (size_t)machine;
}

/* The unit is launched on this machine, from now on. */
static void launch_on(size_t machine, const char *text) {
        char key[64];

        for (size_t i = 0; i < story.options.n_machines; i++) {
                (void)snprintf(key, sizeof(key), "metadata/%s", story.sim.machines[i].id);
                rig_set(&story.sim.rig, key, i == machine ? "{\"on\":\"yes\"}" : "{}");
        }
        sim_submit(&story.sim, unit, text, JOB_STATE_LAUNCHED);
}

static bool runs_on(size_t machine) {
        return fake_machine_unit_is_running(story.sim.machines[machine].fake, unit);
}

/* A machine whose way to the store takes long is given a unit, which is taken away again. It begins
 * with it all the same, and is heard of when the leader has found no word of it: the copy ends when
 * the next one runs. It is a fault if the machine was well, or the store had word of the copy. */
START_TEST(test_copy_that_nobody_heard_of) {
        const StoreFaults slow = { .latency_us = 1500 * US_PER_MS };

        static const struct {
                bool was_well, was_seen;
        } cases[] = { { false, false }, { true, false }, { false, true } };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                size_t old, new;

                begin();
                old = (leader() + 1) % 3;
                new = (leader() + 2) % 3;
                store_memory_set_faults(story.sim.rig.stores[story.sim.machines[old].client],
                                        &slow);
                launch_on(old, plain);
                rig_run_ms(&story.sim.rig, 3600);
                sim_submit(&story.sim, unit, plain, JOB_STATE_INACTIVE);
                rig_run_ms(&story.sim.rig, 2300);
                ck_assert(runs_on(old));
                ck_assert_str_eq(sim_state(&story.sim, old, unit), "");
                ck_assert(!rig_has(&story.sim.rig, "placement/u00.service"));

                launch_on(new, slow_start);
                rig_run_ms(&story.sim.rig, 1100);
                store_memory_set_faults(story.sim.rig.stores[story.sim.machines[old].client],
                                        &(StoreFaults){ 0 });
                if (!cases[i].was_well)
                        story.machines[old].fine_us = story.sim.rig.env.now_us;
                if (cases[i].was_seen)
                        story.mirror.units[0].rows[old].was_unseen = false;
                rig_run_ms(&story.sim.rig, 12000);
                ck_assert(runs_on(old) && runs_on(new));
                ck_assert(!story.is_violated);
                rig_run_ms(&story.sim.rig, 5000);
                ck_assert(!runs_on(old) && runs_on(new));
                ck_assert_int_eq(story.is_violated, cases[i].was_well || cases[i].was_seen);
                story_end(&story);
        }
}
END_TEST

/* A machine that is cut off does not hear that its unit is taken back. When it returns after its lease
 * has ended, and the unit is wanted again, elsewhere, its copy ends when the other one runs. It is a
 * fault if the machine was never lost. */
START_TEST(test_copy_of_a_machine_that_was_cut_off) {
        for (int was_lost = 0; was_lost < 2; was_lost++) {
                size_t old, new;

                begin();
                old = (leader() + 1) % 3;
                new = (leader() + 2) % 3;
                launch_on(old, plain);
                rig_run_ms(&story.sim.rig, 20000);
                sim_cut(&story.sim, old, true);
                sim_submit(&story.sim, unit, plain, JOB_STATE_INACTIVE);
                rig_run_ms(&story.sim.rig, 25000);
                ck_assert(runs_on(old));
                ck_assert(!rig_has(&story.sim.rig, "placement/u00.service"));

                launch_on(new, slow_start);
                sim_cut(&story.sim, old, false);
                story.machines[old].fine_us = story.sim.rig.env.now_us;
                rig_run_ms(&story.sim.rig, 14000);
                ck_assert(!story.is_violated);
                if (!was_lost)
                        story.mirror.machines[old].absent_us = 0;
                rig_run_ms(&story.sim.rig, 5000);
                ck_assert(!runs_on(old) && runs_on(new));
                ck_assert_int_eq(story.is_violated, !was_lost);
                story_end(&story);
        }
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_copy_that_nobody_heard_of,
                                       test_copy_of_a_machine_that_was_cut_off };

        return tests_run("story-check", tests, ELEMENTSOF(tests));
}
