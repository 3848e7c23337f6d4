/* SPDX-License-Identifier: Apache-2.0 */

/* What stories are held against, where chance shows it seldom: a check that is wrong complains of
 * what is right, or sees nothing. */

#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/story.h"
#include "tests/unit/fault.h"

static const char both[] = "both.service";
static const char content[] = "[Service]\nExecStart=/bin/a\n[X-Fleet]\nGlobal=true\n";

/* Two machines run the same unit; would that be a violation if it were Exclusive? The lease of the
 * first was ended before its time just now, and its trouble was over `fine_s` earlier. */
static bool is_complained_of(uint64_t fine_s, StoryFault fault) {
        Story *story = calloc(1, sizeof(*story));
        StoryUnit unit = { 0 };
        uint64_t now_us;
        bool is_violated;

        ck_assert_ptr_nonnull(story);
        (void)snprintf(unit.name, sizeof(unit.name), "%s", both);
        story->options.n_machines = 2;
        sim_init(&story->sim, 1, 2, false);
        rig_run_ms(&story->sim.rig, 1000);
        sim_submit(&story->sim, both, content, JOB_STATE_LAUNCHED);
        rig_run_ms(&story->sim.rig, 120 * 1000);
        ck_assert_uint_eq(sim_copies(&story->sim, both), 2);

        now_us = story->sim.rig.env.now_us;
        story->machines[0].expired_us = now_us;
        story->machines[0].fine_us = now_us - fine_s * US_PER_S;
        story->machines[0].fault = fault;
        story_check_exclusive(story, &unit);
        is_violated = story->is_violated;
        sim_done(&story->sim);
        free(story);
        return is_violated;
}

START_TEST(test_two_copies) {
        ck_assert(is_complained_of(60, STORY_FINE));
}
END_TEST

/* Such a machine cannot know yet: one in trouble, and one whose trouble ended at the same moment or
 * shortly before. */
START_TEST(test_lease_ended_early_while_in_trouble) {
        ck_assert(!is_complained_of(60, STORY_FLAKY));
        ck_assert(!is_complained_of(0, STORY_FINE));
        ck_assert(!is_complained_of(1, STORY_FINE));
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_two_copies, test_lease_ended_early_while_in_trouble };

        return tests_run("checks of stories", tests, ELEMENTSOF(tests));
}
