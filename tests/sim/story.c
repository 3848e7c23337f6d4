/* SPDX-License-Identifier: Apache-2.0 */

/* The course of a story: what happens next, and when. Time passes in between on the virtual clock;
 * the dice are the story's own. */

#include "tests/sim/story.h"

#include <check.h>
#include <stdarg.h>
#include <string.h>

enum {
        DISTURB_EVERY = 6,    /* so seldom a slow leader is disturbed, in pauses */
        PAUSE_MEAN_MS = 150,  /* between two things that happen */
        FAULT_MAX_MS = 40000, /* longest trouble */
        LATE_MAX_MS = 16000,  /* a lost write turns up so much later, at most, and half a second */
        CONTACT_US =
                45 *
                US_PER_S, /* until every daemon has heard of everything: the longest deadline of a list that was lost, and a while */
        CALM_US = 150 * US_PER_S,   /* after so long a calm everything is as it should be */
        STEADY_US = 20 * US_PER_S,  /* and stays so */
        RESTART_US = 15 * US_PER_S, /* a restart in calm weather has ended */
        LOOK_US = US_PER_S,         /* between looks while calm comes back */
};

uint64_t story_draw(Story *story, uint64_t bound) {
        /* splitmix64 */
        uint64_t z = story->random_state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return (z ^ (z >> 31)) % bound;
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

/* Trouble */

/* What the daemon's client of the store writes is the machine's. */
static void own_client(Story *story, size_t i) {
        unsigned client = store_memory_number(story->sim.rig.stores[story->sim.machines[i].client]);

        ck_assert_uint_lt(client, MIRROR_CLIENTS_MAX);
        story->owner[client] = (unsigned char)(i + 1);
}

/* The faults of the machine's way to the store, as they are now. */
static void apply_faults(Story *story, size_t i) {
        StoreFaults faults = story->machines[i].faults;

        faults.is_cut |= story->no_quorum_until_us > 0;
        store_memory_set_faults(story->sim.rig.stores[story->sim.machines[i].client], &faults);
}

static void set_faults(Story *story, size_t i, const StoreFaults *faults) {
        story->machines[i].faults = faults ? *faults : (StoreFaults){ 0 };
        apply_faults(story, i);
}

static void start_daemon(Story *story, size_t i) {
        sim_start(&story->sim, i);
        own_client(story, i);
        apply_faults(story, i);
}

/* What is late comes before or long after its sender has given it up. */
static uint64_t draw_lateness_us(Story *story) {
        return (500 + story_draw(story, LATE_MAX_MS)) * US_PER_MS;
}

static void set_flaky(Story *story, size_t i) {
        uint32_t loss_ppm = story_draw(story, 2) ? 30000 : 200000;
        const StoreFaults flaky = {
                .latency_us = 20 * US_PER_MS,
                .latency_jitter_us = 900 * US_PER_MS,
                .lose_request_ppm = loss_ppm,
                .lose_reply_ppm = loss_ppm,
                .late_apply_ppm = 500000,
                .late_apply_us = draw_lateness_us(story),
                .unreachable_ppm = 20000,
        };

        set_faults(story, i, &flaky);
}

static void set_mute(Story *story, size_t i) {
        const StoreFaults mute = {
                .lose_request_ppm = 1000000,
                .late_apply_ppm = story_draw(story, 2) ? 1000000 : 0,
                .late_apply_us = draw_lateness_us(story),
        };

        set_faults(story, i, &mute);
}

static void set_slow(Story *story, size_t i) {
        const StoreFaults slow = {
                .latency_us = story_draw(story, 1000) * US_PER_MS,
                .latency_jitter_us = (100 + story_draw(story, 1400)) * US_PER_MS,
        };

        set_faults(story, i, &slow);
}

/* Its watches break, in the middle of whatever it does, and find their revisions compacted. */
static void break_watches(Story *story, size_t i) {
        story_tell(story, "machine %zu has to list again", i);
        store_memory_set_faults(story->sim.rig.stores[story->sim.machines[i].client],
                                &(StoreFaults){ .is_cut = true });
        memory_store_compact(story->sim.rig.memory, rig_revision(&story->sim.rig));
        apply_faults(story, i);
}

static void expire_lease(Story *story, size_t i) {
        int64_t lease = presence_lease(story->sim.machines[i].presence);

        if (lease == 0)
                return;
        story_tell(story, "the lease of machine %zu ends", i);
        story->machines[i].expired_us = story->sim.rig.env.now_us;
        story->machines[i].is_expiring = true;
        memory_store_expire_lease(story->sim.rig.memory, lease);
        story->machines[i].is_expiring = false;
}

static const char *const fault_names[_STORY_FAULT_MAX] = {
        [STORY_FINE] = "is well",
        [STORY_CUT] = "is cut off from the store",
        [STORY_CRASHED] = "has its daemon crash",
        [STORY_STOPPED] = "has its daemon stopped",
        [STORY_OFF] = "loses power",
        [STORY_PAUSED] = "has its daemon paused",
        [STORY_NO_SYSTEMD] = "has a service manager that is silent",
        [STORY_FLAKY] = "has a bad connection to the store",
        [STORY_MUTE] = "is not heard by the store",
        [STORY_DEAF] = "gets no answer from the store",
        [STORY_SLOW] = "has a slow connection to the store",
};

static void begin_fault(Story *story, size_t i, StoryFault fault, uint64_t for_us) {
        StoryMachine *machine = &story->machines[i];

        story_tell(story, "machine %zu %s for %llu ms", i, fault_names[fault],
                   (unsigned long long)(for_us / US_PER_MS));
        machine->fault = fault;
        machine->until_us = story->sim.rig.env.now_us + for_us;
        story->n_faults++;
        switch (fault) {
        case STORY_CUT:
                set_faults(story, i, &(StoreFaults){ .is_cut = true });
                break;
        case STORY_CRASHED:
                sim_crash(&story->sim, i);
                break;
        case STORY_STOPPED:
                sim_stop(&story->sim, i);
                break;
        case STORY_OFF:
                machine->is_dying = true;
                sim_power_off(&story->sim, i);
                machine->is_dying = false;
                for (size_t u = 0; u < story->options.n_units; u++)
                        story->units[u].has_exited[i] = false;
                break;
        case STORY_PAUSED:
                sim_pause(&story->sim, i, true);
                break;
        case STORY_NO_SYSTEMD:
                fake_machine_set_connected(story->sim.machines[i].fake, false);
                break;
        case STORY_FLAKY:
                set_flaky(story, i);
                break;
        case STORY_MUTE:
                set_mute(story, i);
                break;
        case STORY_DEAF:
                set_faults(story, i, &(StoreFaults){ .lose_reply_ppm = 1000000 });
                break;
        case STORY_SLOW:
                set_slow(story, i);
                break;
        default:
                break;
        }
}

static void end_fault(Story *story, size_t i) {
        StoryMachine *machine = &story->machines[i];

        story_tell(story, "machine %zu is well again", i);
        switch (machine->fault) {
        case STORY_CUT:
        case STORY_FLAKY:
        case STORY_MUTE:
        case STORY_DEAF:
        case STORY_SLOW:
                set_faults(story, i, NULL);
                break;
        case STORY_CRASHED:
        case STORY_STOPPED:
        case STORY_OFF:
                start_daemon(story, i);
                break;
        case STORY_PAUSED:
                sim_pause(&story->sim, i, false);
                break;
        case STORY_NO_SYSTEMD:
                fake_machine_set_connected(story->sim.machines[i].fake, true);
                break;
        default:
                break;
        }
        machine->has_begun_anew = machine->fault == STORY_CRASHED ||
                                  machine->fault == STORY_STOPPED || machine->fault == STORY_OFF;
        machine->fault = STORY_FINE;
        machine->fine_us = story->sim.rig.env.now_us;
}

static void set_quorum(Story *story, uint64_t for_us) {
        story_tell(story, "the store %s", for_us ? "has no leader" : "has a leader again");
        memory_store_set_quorum(story->sim.rig.memory, for_us == 0);
        story->quorum_us = story->sim.rig.env.now_us;
        story->no_quorum_until_us = for_us ? story->sim.rig.env.now_us + for_us : 0;
        for (size_t i = 0; i < story->options.n_machines; i++)
                if (story->sim.machines[i].agent)
                        apply_faults(story, i);
}

/* Trouble that is over at once. Returns false when it is not this that was drawn. */
static bool mishap_comes(Story *story, unsigned what, size_t i) {
        if (what == 1)
                memory_store_compact(story->sim.rig.memory, rig_revision(&story->sim.rig));
        else if (what == 2)
                story->sim.rig.env.wall_offset_us += (story_draw(story, 2) ? 1 : -1) * 3600LL *
                                                     US_PER_S;
        else if (what == 3 && story->sim.machines[i].agent)
                expire_lease(story, i);
        else if (what <= 6 && story->sim.machines[i].agent)
                break_watches(story, i);
        else
                return false;
        story->n_faults++;
        return true;
}

static int leader_of(const Story *story) {
        return mirror_machine(&story->mirror, story->mirror.leader, strlen(story->mirror.leader));
}

/* A leader whose commits are long under way has to list again, and again. */
static void disturb_leader(Story *story) {
        int leader = leader_of(story);

        if (leader >= 0 &&
            (story->machines[leader].fault == STORY_FLAKY ||
             story->machines[leader].fault == STORY_SLOW) &&
            story_draw(story, DISTURB_EVERY) == 0)
                break_watches(story, (size_t)leader);
}

/* Any machine, and more often than others the one that leads. */
static size_t draw_victim(Story *story) {
        int leader = leader_of(story);
        size_t i = story_draw(story, story->options.n_machines);

        return leader >= 0 && story_draw(story, 3) == 0 ? (size_t)leader : i;
}

static void trouble_comes(Story *story) {
        uint64_t for_us = (100 + story_draw(story, FAULT_MAX_MS)) * US_PER_MS;
        size_t i = draw_victim(story);
        unsigned what = (unsigned)story_draw(story, 24);

        if (story_draw(story, 2) == 0)
                for_us /= 20;
        if (what == 0 && !story->no_quorum_until_us)
                set_quorum(story, for_us);
        else if (what > 0 && mishap_comes(story, what, i))
                return;
        else if (story->machines[i].fault == STORY_FINE)
                begin_fault(
                        story, i,
                        (StoryFault)(STORY_CUT + story_draw(story, _STORY_FAULT_MAX - STORY_CUT)),
                        for_us);
}

static void end_what_is_over(Story *story, bool is_all) {
        uint64_t now_us = story->sim.rig.env.now_us;

        if (story->no_quorum_until_us && (is_all || story->no_quorum_until_us <= now_us))
                set_quorum(story, 0);
        for (size_t i = 0; i < story->options.n_machines; i++)
                if (story->machines[i].fault != STORY_FINE &&
                    (is_all || story->machines[i].until_us <= now_us))
                        end_fault(story, i);
}

/* The course */

static void set_up(Story *story) {
        static const StoryKind specials[] = {
                STORY_FOLLOWER,  STORY_GLOBAL,    STORY_LONER,         STORY_LONER,
                STORY_ZONED,     STORY_ZONED,     STORY_ZONED,         STORY_ONESHOT,
                STORY_FAILS,     STORY_HANGS,     STORY_SLOW_START,    STORY_SLOW_STOP,
                STORY_SLOW_STOP, STORY_EXCLUSIVE, STORY_EXCLUSIVE_SLOW
        };

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
                fake_machine_set_observer(story->sim.machines[i].fake, on_activity,
                                          &story->machines[i]);
                story->sim.machines[i].metadata = i % 2 == 0 ? "zone=a" : "zone=b";
                own_client(story, i);
        }
        for (size_t i = 0; i < story->options.n_machines; i++) { /* with their metadata */
                sim_stop(&story->sim, i);
                start_daemon(story, i);
        }
}

static void run_for_us(Story *story, uint64_t us) {
        virtual_env_run_for(&story->sim.rig.env, story->sim.rig.loop, us);
}

static void play_trouble(Story *story) {
        while (!story->is_violated && story->sim.rig.env.n_turns < story->options.n_steps) {
                run_for_us(story, story_draw(story, (uint64_t)2 * PAUSE_MEAN_MS) * US_PER_MS + 1);
                end_what_is_over(story, false);
                if (story_draw(story, 5) == 0)
                        trouble_comes(story);
                else
                        story_user_acts(story);
                disturb_leader(story);
                story_check_copies(story);
        }
}

static void stay_calm(Story *story) {
        for (uint64_t us = 0; !story->is_violated && us < STEADY_US; us += LOOK_US) {
                const char *what;

                run_for_us(story, LOOK_US);
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

static void play_calm(Story *story) {
        const char *what = "";
        uint64_t waited_us = 0;

        story_tell(story, "calm comes back");
        end_what_is_over(story, true);
        run_for_us(story, CONTACT_US);
        for (; !story->is_violated && what && waited_us < CALM_US; waited_us += LOOK_US) {
                run_for_us(story, LOOK_US);
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
}

bool story_play(Story *story, const StoryOptions *options) {
        *story = (Story){ .options = *options, .random_state = options->seed };
        set_up(story);
        run_for_us(story, 5 * US_PER_S);
        play_trouble(story);
        if (!story->is_violated)
                play_calm(story);
        story->is_over = true;
        memory_store_set_observer(story->sim.rig.memory, NULL, NULL);
        for (size_t i = 0; i < options->n_machines; i++) {
                story->machines[i].is_dying = true;
                end_fault(story, i);
        }
        sim_done(&story->sim);
        return !story->is_violated;
}
