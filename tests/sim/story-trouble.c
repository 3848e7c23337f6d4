/* SPDX-License-Identifier: Apache-2.0 */

/* What can go wrong: with a machine's daemon, its way to the store, its service manager or its power;
 * with the store; with several machines at once. Trouble begins and ends by the dice. */

#include <check.h>
#include <string.h>

#include "tests/sim/story.h"

enum {
        DISTURB_EVERY = 6,     /* so seldom a slow leader is disturbed, in pauses */
        FAULT_MAX_MS = 40000,  /* longest trouble */
        LEAVE_NOW_EVERY = 10,  /* so seldom who leaves has no more time, in pauses */
        LEAVE_KILL_EVERY = 20, /* and so seldom its daemon is killed meanwhile */
        MASS_EVERY = 30,       /* so seldom many machines are gone at the same time, in troubles */
        QUIET_MS = 40 * 1000,  /* before that: so each knows what is there */
        MASS_MS = (SIM_TTL_S + 10) * 1000, /* at least so long, and at most twice */
        LATE_MAX_MS = 16000, /* a lost write turns up so much later, at most, and half a second */
};

/* What the daemon's client of the store writes is the machine's. */
void story_own_client(Story *story, size_t i) {
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

void story_start_daemon(Story *story, size_t i) {
        sim_start(&story->sim, i);
        story_own_client(story, i);
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
        [STORY_LEAVES] = "leaves the cluster",
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
                machine->off_us = story->sim.rig.env.now_us;
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
        case STORY_LEAVES:
                machine->is_out = true;
                sim_leave(&story->sim, i);
                break;
        default:
                break;
        }
}

/* A machine that leaves has left, or is made to: it gets no more time, or its daemon is
 * killed. */
static void go_on_leaving(Story *story, size_t i) {
        SimMachine *machine = &story->sim.machines[i];

        if (machine->agent && machine->has_left) {
                story_tell(story, "machine %zu has left", i);
                sim_stop(&story->sim, i);
        } else if (machine->agent && story_draw(story, LEAVE_NOW_EVERY) == 0)
                agent_leave_now(machine->agent);
        else if (machine->agent && story_draw(story, LEAVE_KILL_EVERY) == 0)
                sim_crash(&story->sim, i);
}

static void end_leaving(Story *story, size_t i) {
        if (story->sim.machines[i].has_left && story->sim.machines[i].agent)
                sim_stop(&story->sim, i);
        else if (story->sim.machines[i].agent)
                sim_crash(&story->sim, i);
        story_start_daemon(story, i);
}

void story_end_fault(Story *story, size_t i) {
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
                story_start_daemon(story, i);
                break;
        case STORY_PAUSED:
                sim_pause(&story->sim, i, false);
                break;
        case STORY_NO_SYSTEMD:
                fake_machine_set_connected(story->sim.machines[i].fake, true);
                break;
        case STORY_LEAVES:
                end_leaving(story, i);
                break;
        default:
                break;
        }
        machine->has_begun_anew = machine->fault == STORY_CRASHED ||
                                  machine->fault == STORY_STOPPED || machine->fault == STORY_OFF ||
                                  machine->fault == STORY_LEAVES;
        machine->fault = STORY_FINE;
        machine->fine_us = story->sim.rig.env.now_us;
}

static void set_full(Story *story, uint64_t for_us) {
        story_tell(story, "the store %s", for_us ? "is full" : "has room again");
        memory_store_set_full(story->sim.rig.memory, for_us > 0);
        story->is_full_until_us = for_us ? story->sim.rig.env.now_us + for_us : 0;
        story->full_us = for_us ? UINT64_MAX : story->sim.rig.env.now_us;
        story->quorum_us = story->sim.rig.env.now_us;
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
void story_disturb_leader(Story *story) {
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

/* A network falls apart: some machines lose the store at the same time, and find it at the same
 * time. */
static void split(Story *story, uint64_t for_us) {
        const uint64_t who = story_draw(story, 1U << story->options.n_machines);

        for (size_t i = 0; i < story->options.n_machines; i++)
                if ((who >> i & 1) && story->machines[i].fault == STORY_FINE)
                        begin_fault(story, i, STORY_CUT, for_us);
}

/* All but one or two machines are gone, for so long that all the others know it; nothing else is
 * wrong meanwhile. */
static void begin_mass_failure(Story *story) {
        const uint64_t for_us = (MASS_MS + story_draw(story, MASS_MS)) * US_PER_MS;
        const StoryFault fault = story_draw(story, 3) ? STORY_CUT : STORY_OFF;
        const size_t first = story_draw(story, story->options.n_machines);
        const size_t n_left = 1 + story_draw(story, 2);

        story_end_trouble(story, true);
        rig_run_ms(&story->sim.rig, QUIET_MS);
        story_note_rows(story);
        for (size_t i = n_left; i < story->options.n_machines; i++)
                begin_fault(story, (first + i) % story->options.n_machines, fault, for_us);
        story->mass_until_us = story->sim.rig.env.now_us + for_us;
}

void story_trouble_comes(Story *story) {
        uint64_t for_us = (100 + story_draw(story, FAULT_MAX_MS)) * US_PER_MS;
        size_t i = draw_victim(story);
        unsigned what = (unsigned)story_draw(story, 26);
        unsigned n_faults = (story->is_harsh ? _STORY_FAULT_MAX : STORY_LEAVES) - STORY_CUT;

        if (story->is_harsh && story_draw(story, MASS_EVERY) == 0) {
                begin_mass_failure(story);
                return;
        }
        if (story_draw(story, 2) == 0)
                for_us /= 20;
        if (what == 0 && !story->no_quorum_until_us)
                set_quorum(story, for_us);
        else if (what == 7 && !story->is_full_until_us)
                set_full(story, for_us);
        else if (what == 8)
                split(story, for_us);
        else if (what > 0 && mishap_comes(story, what, i))
                return;
        else if (story->machines[i].fault == STORY_FINE)
                begin_fault(story, i, (StoryFault)(STORY_CUT + story_draw(story, n_faults)),
                            for_us);
}

void story_end_trouble(Story *story, bool is_all) {
        uint64_t now_us = story->sim.rig.env.now_us;

        if (story->mass_until_us && (is_all || story->mass_until_us <= now_us)) {
                story_check_rows_kept(story);
                story->mass_until_us = 0;
        }
        if (story->no_quorum_until_us && (is_all || story->no_quorum_until_us <= now_us))
                set_quorum(story, 0);
        if (story->is_full_until_us && (is_all || story->is_full_until_us <= now_us))
                set_full(story, 0);
        for (size_t i = 0; i < story->options.n_machines; i++) {
                const StoryMachine *machine = &story->machines[i];

                if (machine->fault != STORY_FINE && (is_all || machine->until_us <= now_us))
                        story_end_fault(story, i);
                else if (machine->fault == STORY_LEAVES)
                        go_on_leaving(story, i);
        }
}
