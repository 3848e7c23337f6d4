/* SPDX-License-Identifier: Apache-2.0 */

/* What holds at every look, that is, between any two things that happen: of the records at once, of
 * what runs after a while. */

#include <string.h>

#include "tests/sim/story.h"

enum {
        /* What a machine runs that has been well for so long is what it shall run. */
        WELL_US = 40 * US_PER_S,
};

static uint64_t now_us(const Story *story) {
        return story->sim.rig.env.now_us;
}

/* Rows and placement are written together, so they agree at any time. */
static void check_records(Story *story, const StoryUnit *unit, const MirrorUnit *record) {
        const int placed = record->is_placed ? mirror_machine(&story->mirror, record->machine,
                                                              strlen(record->machine))
                                             : -1;
        unsigned n_rows = 0;

        for (size_t i = 0; i < story->options.n_machines; i++) {
                n_rows += record->rows[i].exists;
                if (record->rows[i].exists && placed != (int)i)
                        story_violate(story, "%s has a row on machine %zu, and is placed on %d",
                                      unit->name, i, placed);
        }
        if (n_rows > 1)
                story_violate(story, "%s has %u rows", unit->name, n_rows);
        if (placed >= 0 && n_rows == 0)
                story_violate(story, "%s is placed on machine %d, and has no row there", unit->name,
                              placed);
}

/* Has the machine been well and there for long, and the store well? */
static bool is_settled(const Story *story, size_t machine) {
        const StoryMachine *m = &story->machines[machine];
        const MirrorMachine *record = &story->mirror.machines[machine];
        const uint64_t long_ago_us = now_us(story) - WELL_US;

        return m->fault == STORY_FINE && m->fine_us < long_ago_us && record->is_present &&
               record->absent_us < long_ago_us && story->quorum_us < long_ago_us &&
               !story->no_quorum_until_us && !story->is_full_until_us;
}

/* Has the unit a machine that is to run it, and does not, having failed, say? Then copies that were
 * left behind run on (docs/records.md, "Copies too many"). */
static bool is_awaited(const Story *story, const StoryUnit *unit) {
        const MirrorUnit *record = &story->mirror.units[unit - story->units];

        for (size_t i = 0; unit->kind != STORY_GLOBAL && i < story->options.n_machines; i++)
                if (record->rows[i].exists &&
                    !fake_machine_unit_is_active(story->sim.machines[i].fake, unit->name))
                        return true;
        return false;
}

static void check_copies(Story *story, const StoryUnit *unit) {
        unsigned n = 0;

        for (size_t i = 0; i < story->options.n_machines; i++)
                n += is_settled(story, i) &&
                     fake_machine_unit_is_active(story->sim.machines[i].fake, unit->name);
        if (n > 1 && !is_awaited(story, unit))
                story_violate(story, "%u copies of %s on machines that have long been well", n,
                              unit->name);
}

/* A unit whose requirements do not hold where it runs is moved, or stopped, while a leader is well
 * that could do that, and the machine that has to. */
static void check_fit(Story *story, StoryUnit *unit, size_t machine) {
        const int leader = mirror_machine(&story->mirror, story->mirror.leader,
                                          strlen(story->mirror.leader));
        const bool fits = story_fits(story, unit, machine) ||
                          !fake_machine_unit_is_active(story->sim.machines[machine].fake,
                                                       unit->name);

        if (fits || leader < 0 || !is_settled(story, (size_t)leader) ||
            !is_settled(story, machine) || is_awaited(story, unit) || unit->misfit_us[machine] == 0)
                unit->misfit_us[machine] = fits ? 0 : now_us(story);
        else if (unit->misfit_us[machine] + WELL_US < now_us(story))
                story_violate(story, "%s runs on machine %zu, where it has long not fitted",
                              unit->name, machine);
}

void story_look(Story *story) {
        for (size_t u = 0; u < story->options.n_units; u++) {
                StoryUnit *unit = &story->units[u];

                for (size_t i = 0; i < story->options.n_machines; i++)
                        check_fit(story, unit, i);
                if (unit->kind == STORY_GLOBAL)
                        continue;
                if (story_is_exclusive(unit))
                        story_check_exclusive(story, unit);
                check_records(story, unit, &story->mirror.units[u]);
                check_copies(story, unit);
        }
}
