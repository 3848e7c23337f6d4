/* SPDX-License-Identifier: Apache-2.0 */

/* A hand that damages records past fleet, in calm weather: removes them, or writes what is not true.
 * Whoever is to write such a record puts it right, and no unit stops for it. What only users write
 * (units, their contents, metadata) is theirs, and left alone. So are the rows of global units,
 * since nobody but the leader knows whether one that has gone was to go, and of Exclusive ones, which
 * wait for no successor. */

#include <check.h>
#include <string.h>

#include "tests/sim/story.h"

enum { HAND_UNITS_MAX = 8 /* that are damaged at the same time */ };

/* What is written; NULL: what is there is removed. */
typedef struct Damage {
        const char *part; /* of the key */
        bool is_of_machine;
        bool is_of_unit;
        const char *value;
} Damage;

static const Damage unit_damages[] = {
        { "schedule", true, true, NULL },
        { "schedule", true, true, "{" },
        { "placement", false, true, NULL },
        { "placement", false, true, "{" },
        { "placement", false, true, "{\"generation\":1,\"machine\":\"7\"}" },
        { "state", true, true, NULL },
        { "state", true, true, "{" },
        { "state", true, true,
          "{\"active\":\"failed\",\"generation\":1,\"load\":\"loaded\",\"state\":\"launched\","
          "\"sub\":\"failed\"}" },
};

static const Damage cluster_damages[] = {
        { "machine", true, false, NULL },
        { "machine", true, false, "{" },
        { "engine/leader", false, false, NULL },
        { "engine/leader", false, false, "{" },
};

/* Does the unit run on without its row? */
static bool waits_for_successor(const StoryUnit *unit) {
        return unit->kind != STORY_GLOBAL && !story_is_exclusive(unit);
}

static void inflict(Story *story, const Damage *damage, const char *machine,
                    const StoryUnit *unit) {
        const StoreBytes value = { (const unsigned char *)damage->value,
                                   damage->value ? strlen(damage->value) : 0 };
        StoreBytes before;
        char key[192];

        (void)snprintf(key, sizeof(key), "/fleet/%s%s%s%s%s", damage->part,
                       damage->is_of_machine ? "/" : "", damage->is_of_machine ? machine : "",
                       damage->is_of_unit ? "/" : "", damage->is_of_unit ? unit->name : "");
        if (!damage->value && (!memory_store_read(story->sim.rig.memory, key, &before) ||
                               (streq(damage->part, "schedule") && !waits_for_successor(unit))))
                return;
        ck_assert_int_eq(memory_store_write(story->sim.rig.memory, key, value), 0);
}

void story_hand_acts(Story *story) {
        const size_t first = story_draw(story, story->options.n_units);
        const size_t n_units = 1 + story_draw(story, HAND_UNITS_MAX);

        story_tell(story, "a hand damages records");
        story->is_by_hand = true;
        for (size_t i = 0; i < n_units; i++) {
                const size_t machine = story_draw(story, story->options.n_machines);
                const Damage *damage = &unit_damages[story_draw(story, ELEMENTSOF(unit_damages))];

                inflict(story, damage, story->sim.machines[machine].id,
                        &story->units[(first + i) % story->options.n_units]);
        }
        if (story_draw(story, 2) == 0)
                inflict(story, &cluster_damages[story_draw(story, ELEMENTSOF(cluster_damages))],
                        story->sim.machines[story_draw(story, story->options.n_machines)].id, NULL);
        story->is_by_hand = false;
}
