/* SPDX-License-Identifier: Apache-2.0 */

/* The course of a story: what happens next, and when. Time passes in between on the virtual clock;
 * the dice are the story's own. */

#include "tests/sim/story.h"

#include <check.h>
#include <malloc.h>
#include <stdarg.h>
#include <string.h>

enum {
        PAUSE_MEAN_MS = 150,        /* between two things that happen */
        REST_MEAN_MS = 1000,        /* the same while many machines are gone, and in calm weather */
        CALM_ACTS = 30,             /* of users when calm has come back, in a harsh story */
        CONTACT_US = 20 * US_PER_S, /* until every daemon has heard of everything, and the last late
                                       write has come */
        CALM_US = 60 * US_PER_S,    /* after so long a calm everything is as it should be */
        STEADY_US = 20 * US_PER_S,  /* and stays so */
        RESTART_US = 15 * US_PER_S, /* a restart in calm weather has ended */
        HAND_ACTS = 5,              /* of a hand that damages records */
        REPAIR_US = 10 * US_PER_S,  /* then what it damaged is whole again */
        LOOK_US = US_PER_S,         /* between looks while calm comes back */
        MEMORY_EVERY = 16,          /* so seldom the memory is looked at, in seeds */
        MEMORY_ROUNDS = 6,          /* of requests, between two looks */
        MEMORY_SERIES = 3,          /* of rounds; a buffer that doubles does so in one of them */
        MEMORY_SLACK_BYTES = 512,   /* numbers that get longer */
};

uint64_t story_draw(Story *story, uint64_t bound) {
        /* splitmix64 */
        uint64_t z = story->random_state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return (z ^ (z >> 31)) % bound;
}

/* Some stories tell of many machines that are gone at the same time, for long, and of users who go on
 * when calm has come back. The others have the dice that they had before there was that, so that
 * their seeds tell what they told. */
static bool is_harsh(uint64_t seed) {
        return seed % 8 < 3;
}

/* In others somebody damages records when calm has come back. */
static bool has_hand(uint64_t seed) {
        return seed % 8 == 3;
}

static void tell(const Story *story, FILE *out, const char *format, va_list args)
        __attribute__((format(printf, 3, 0)));

static void tell(const Story *story, FILE *out, const char *format, va_list args) {
        (void)fprintf(out, "%10.3f s  ", (double)story->sim.rig.env.now_us / US_PER_S);
        (void)vfprintf(out, format, args);
        (void)fputc('\n', out);
}

/* FNV-1a over what is told, and when. */
static void add_to_digest(Story *story, const char *format, va_list args)
        __attribute__((format(printf, 2, 0)));

static void add_to_digest(Story *story, const char *format, va_list args) {
        char text[2048];
        int n = snprintf(text, sizeof(text), "%llu ",
                         (unsigned long long)story->sim.rig.env.now_us);

        (void)vsnprintf(text + n, sizeof(text) - (size_t)n, format, args);
        for (const char *c = text; *c; c++)
                story->digest = (story->digest ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
}

void story_tell(Story *story, const char *format, ...) {
        va_list args;

        va_start(args, format);
        if (story->options.is_traced)
                tell(story, stdout, format, args);
        else if (story->options.is_digested)
                add_to_digest(story, format, args);
        va_end(args);
}

void story_violate(Story *story, const char *format, ...) {
        va_list args;

        va_start(args, format);
        if (!story->is_violated)
                (void)printf("seed %llu, step %llu:\n", (unsigned long long)story->options.seed,
                             (unsigned long long)story->sim.rig.env.n_turns);
        tell(story, stdout, format, args);
        va_end(args);
        story->is_violated = true;
}

bool story_fits(const Story *story, const StoryUnit *unit, size_t machine) {
        _cleanup_(metadata_done) Metadata over = { 0 };
        StoreBytes value;
        const char *zone;
        char key[128];

        if (unit->kind == STORY_FOLLOWER)
                return story->mirror.units[0].rows[machine].exists;
        if (unit->kind != STORY_ZONED)
                return true;

        (void)snprintf(key, sizeof(key), "/fleet/metadata/%s", story->sim.machines[machine].id);
        if (memory_store_read(story->sim.rig.memory, key, &value))
                ck_assert_int_eq(metadata_record_decode((const char *)value.data, value.n_bytes,
                                                        &over, NULL),
                                 0);
        zone = metadata_get(&over, "zone");
        return streq(zone ? zone : story->sim.machines[machine].metadata + strlen("zone="), "a");
}

/* What the simulated world tells */

static void on_commit(unsigned from, const StoreKv *kv, bool is_deletion, void *userdata) {
        Story *story = userdata;
        MirrorKey key = mirror_key(&story->mirror, kv->key);

        story_tell(story, "  store, by %d: %.*s %s%.*s",
                   from < MIRROR_CLIENTS_MAX ? story->owner[from] - 1 : -1, (int)kv->key.n_bytes,
                   (const char *)kv->key.data, is_deletion ? "deleted" : "= ",
                   is_deletion ? 0 : (int)kv->value.n_bytes, (const char *)kv->value.data);
        if (!story->is_by_hand)
                story_check_commit(story, from, &key, kv->value, is_deletion);
        mirror_apply(&story->mirror, &key, kv->value, is_deletion, story->sim.rig.env.now_us);
}

static void on_activity(const char *name, bool is_active, void *userdata) {
        StoryMachine *machine = userdata;
        Story *story = machine->story;
        MirrorUnit *unit = mirror_find(&story->mirror, name, strlen(name));
        size_t i = (size_t)(machine - story->machines);

        if (story->is_over)
                return;
        story_tell(story, "  machine %zu: %s %s", i, name, is_active ? "is active" : "ends");
        story_check_activity(story, i, &story->units[unit - story->mirror.units], is_active);
}

/* The course */

void story_begin(Story *story, const StoryOptions *options) {
        static const StoryKind specials[] = {
                STORY_FOLLOWER,  STORY_GLOBAL,    STORY_LONER,         STORY_LONER,
                STORY_ZONED,     STORY_ZONED,     STORY_ZONED,         STORY_ONESHOT,
                STORY_FAILS,     STORY_HANGS,     STORY_SLOW_START,    STORY_SLOW_STOP,
                STORY_SLOW_STOP, STORY_EXCLUSIVE, STORY_EXCLUSIVE_SLOW
        };

        *story = (Story){ .options = *options,
                          .random_state = options->seed,
                          .is_harsh = is_harsh(options->seed) };
        sim_init(&story->sim, story->options.seed, story->options.n_machines, false);
        memory_store_set_observer(story->sim.rig.memory, on_commit, story);
        story->mirror.n_machines = story->options.n_machines;
        story->mirror.n_units = story->options.n_units;
        for (size_t i = 0; i < story->options.n_units; i++) {
                StoryUnit *unit = &story->units[i];
                size_t from_end = story->options.n_units - 1 - i;

                unit->story = story;
                unit->kind = i > 0 && from_end < ELEMENTSOF(specials) ? specials[from_end]
                                                                      : STORY_PLAIN;
                (void)snprintf(unit->name, sizeof(unit->name), "%s%02zu.service",
                               unit->kind == STORY_LONER ? "loner" : "u", i);
                story->mirror.units[i].name = unit->name;
        }
        for (size_t i = 0; i < story->options.n_machines; i++) {
                story->machines[i].story = story;
                story->machines[i].fine_us = story->sim.rig.env.now_us;
                fake_machine_set_observer(story->sim.machines[i].fake, on_activity,
                                          &story->machines[i]);
                story->sim.machines[i].metadata = i % 2 == 0 ? "zone=a" : "zone=b";
                story_own_client(story, i);
        }
        for (size_t i = 0; i < story->options.n_machines; i++) { /* with their metadata */
                sim_stop(&story->sim, i);
                story_start_daemon(story, i);
        }
}

static void run_for_us(Story *story, uint64_t us) {
        virtual_env_run_for(&story->sim.rig.env, story->sim.rig.loop, us);
}

static void pause_for(Story *story, uint64_t mean_ms) {
        run_for_us(story, story_draw(story, 2 * mean_ms) * US_PER_MS + 1);
}

static void play_trouble(Story *story) {
        while (!story->is_violated && story->sim.rig.env.n_turns < story->options.n_steps) {
                pause_for(story, story->mass_until_us ? REST_MEAN_MS : PAUSE_MEAN_MS);
                story_end_trouble(story, false);
                if (!story->mass_until_us && story_draw(story, 5) == 0)
                        story_trouble_comes(story);
                else
                        story_user_acts(story);
                story_disturb_leader(story);
                story_look(story);
        }
}

/* All is well with the machines, and users go on. */
static void act_in_calm(Story *story) {
        for (unsigned i = 0; !story->is_violated && i < CALM_ACTS; i++) {
                pause_for(story, REST_MEAN_MS);
                story_user_acts(story);
                story_look(story);
        }
}

static void stay_calm(Story *story) {
        for (uint64_t us = 0; !story->is_violated && us < STEADY_US; us += LOOK_US) {
                const char *what;

                run_for_us(story, LOOK_US);
                story_look(story);
                what = story_check_end(story);
                if (what)
                        story_violate(story, "in calm weather: %s", what);
        }
}

/* What is asked for is done, once, and leaves nothing behind. */
static void ask_in_calm(Story *story, bool is_restart) {
        const char *what;

        if (story->is_violated)
                return;
        story_ask_all(story, is_restart);
        run_for_us(story, RESTART_US);
        stay_calm(story);
        what = story_check_rest(story);
        if (!story->is_violated && what)
                story_violate(story, "in calm weather %s", what);
}

/* What somebody damages is put right, and nothing is stopped or started for it. */
static void damage_in_calm(Story *story) {
        for (unsigned i = 0; !story->is_violated && i < HAND_ACTS; i++) {
                const char *what;

                story_hand_acts(story);
                run_for_us(story, REPAIR_US);
                stay_calm(story);
                what = story_check_rest(story);
                if (!story->is_violated && what)
                        story_violate(story, "after damage by hand %s", what);
        }
}

/* In use, without the store's history. */
static size_t used_bytes(Story *story) {
        memory_store_compact(story->sim.rig.memory, rig_revision(&story->sim.rig));
        return mallinfo2().uordblks;
}

/* How many more bytes are in use after some rounds of requests? */
static size_t play_rounds(Story *story) {
        size_t before = used_bytes(story), after;

        for (unsigned i = 0; i < MEMORY_ROUNDS; i++)
                ask_in_calm(story, true);
        after = used_bytes(story);
        return after > before + MEMORY_SLACK_BYTES ? after - before : 0;
}

/* The same requests again and again leave nothing behind. A buffer that is kept for the next use may
 * still grow, seldom, to what many requests at the same time need; a leak grows every time. */
static void check_memory(Story *story) {
        size_t n_bytes = 1;

        if (story->options.seed % MEMORY_EVERY != 0)
                return;
        ask_in_calm(story, true);
        for (unsigned i = 0; n_bytes > 0 && !story->is_violated && i < MEMORY_SERIES; i++)
                n_bytes = play_rounds(story);
        if (!story->is_violated && n_bytes > 0)
                story_violate(story,
                              "%zu bytes more are in use after %u rounds of requests, the "
                              "%u. time",
                              n_bytes, MEMORY_ROUNDS, MEMORY_SERIES);
}

static void play_calm(Story *story) {
        const char *what = "";
        uint64_t waited_us = 0;

        story_tell(story, "calm comes back");
        story_end_trouble(story, true);
        run_for_us(story, CONTACT_US);
        if (story->is_harsh)
                act_in_calm(story);
        for (; !story->is_violated && what && waited_us < CALM_US; waited_us += LOOK_US) {
                run_for_us(story, LOOK_US);
                story_look(story);
                what = story_check_end(story);
        }
        if (what && !story->is_violated)
                story_violate(story, "%llu s after all trouble ended: %s",
                              (unsigned long long)(waited_us / US_PER_S), what);
        stay_calm(story);
        if (story->is_violated)
                return;
        story->is_calm = true;
        ask_in_calm(story, true);
        ask_in_calm(story, false);
        if (has_hand(story->options.seed))
                damage_in_calm(story);
        check_memory(story);
}

void story_end(Story *story) {
        story->is_over = true;
        memory_store_set_observer(story->sim.rig.memory, NULL, NULL);
        for (size_t i = 0; i < story->options.n_machines; i++) {
                story->machines[i].is_dying = true;
                story_end_fault(story, i);
        }
        sim_done(&story->sim);
}

bool story_play(Story *story, const StoryOptions *options) {
        story_begin(story, options);
        run_for_us(story, 5 * US_PER_S);
        play_trouble(story);
        if (!story->is_violated)
                play_calm(story);
        story_end(story);
        return !story->is_violated;
}
