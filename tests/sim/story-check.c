/* SPDX-License-Identifier: Apache-2.0 */

/* The promises (docs/design-notes.md), as what can be seen from outside: commits, units that start
 * and end. What a daemon knows it knows some time later, so a cause counts for a while after it has
 * gone. */

#include <string.h>

#include "engine/evict.h"
#include "tests/sim/story.h"

enum {
        REST_WATCHES = 5, /* of a daemon: leader, schedule, states, its own record, closed */
        REST_WATCHES_LEADER = 13, /* and all that it plans by: see engine/engine.c */
        KEPT_WATCHES = 3, /* for each copy that waits for its successor: placement, row, state */
        IN_TOUCH_US = 10 *
                      US_PER_S, /* a daemon that is well has heard of everything after so long */
        WELL_US = 8 * US_PER_S, /* a daemon that is well renews its lease within so long */
        CAUSE_US =
                50 *
                US_PER_S, /* a cause of a stop counts for so long: the longest back-off, and a while */
        EARLY_US = (SIM_TTL_S + 5) * US_PER_S, /* a lease that is ended on command would have ended
                                                  by itself, and what stood on it been stopped */
};

static uint64_t now_us(const Story *story) {
        return story->sim.rig.env.now_us;
}

/* Can the machine have learnt only a short while ago of what happened then? */
static bool is_news(const Story *story, uint64_t at_us, int machine) {
        if (machine >= 0 && story->machines[machine].fault != STORY_FINE)
                return true;
        if (machine >= 0 && story->machines[machine].fine_us > at_us)
                at_us = story->machines[machine].fine_us;
        if (story->quorum_us > at_us)
                at_us = story->quorum_us;
        return at_us + CAUSE_US >= now_us(story);
}

static bool is_plain(const StoryUnit *unit) {
        return unit->kind == STORY_PLAIN || unit->kind == STORY_SLOW_STOP ||
               unit->kind == STORY_SLOW_START;
}

/* Has the engine a reason to take the unit from the machine? */
static bool may_be_taken(const Story *story, const MirrorUnit *unit, const StoryUnit *role,
                         size_t machine) {
        const MirrorMachine *host = &story->mirror.machines[machine];
        const int leader = mirror_machine(&story->mirror, story->mirror.leader,
                                          strlen(story->mirror.leader));

        if (!unit->exists || unit->desired == JOB_STATE_INACTIVE ||
            is_news(story, unit->changed_us, leader))
                return true;
        if (!host->is_present || is_news(story, host->absent_us, leader))
                return true;
        if (story->machines[machine].is_out ||
            is_news(story, story->machines[machine].left_us, leader))
                return true;
        /* Where it does not fit any more it stays while its machine is missing, and moves after. */
        if (role->kind == STORY_ZONED &&
            (!story_fits(story, role, machine) || is_news(story, host->metadata_us, leader)))
                return true;
        for (size_t i = 0; i < story->mirror.n_machines; i++)
                if (i != machine && unit->rows[i].exists)
                        return true;
        return !is_plain(role) && role->kind != STORY_ZONED;
}

/* May the leader not have heard yet that the machine is back? It has been in trouble since. */
static bool is_behind(const Story *story, size_t machine) {
        const int leader = mirror_machine(&story->mirror, story->mirror.leader,
                                          strlen(story->mirror.leader));
        const StoryMachine *m = leader >= 0 ? &story->machines[leader] : NULL;

        return m && (m->fault != STORY_FINE ||
                     (m->fine_us >= story->mirror.machines[machine].present_us &&
                      m->fine_us + IN_TOUCH_US >= now_us(story)));
}

static void check_row(Story *story, const MirrorKey *key, bool is_deletion) {
        StoryUnit *role = &story->units[key->unit - story->mirror.units];

        role->was_behind[key->machine] = is_deletion && is_behind(story, (size_t)key->machine);
        if (is_deletion && key->unit->rows[key->machine].exists &&
            !may_be_taken(story, key->unit, role, (size_t)key->machine))
                story_violate(story, "%s is taken from machine %d without a cause", role->name,
                              key->machine);
}

void story_note_rows(Story *story) {
        story->mass_us = now_us(story);
        for (size_t u = 0; u < story->options.n_units; u++) {
                story->units[u].mass_machine = -1;
                for (size_t i = 0; i < story->options.n_machines; i++)
                        if (story->mirror.units[u].rows[i].exists)
                                story->units[u].mass_machine = (int)i;
        }
}

/* Was the unit on a machine that is missing since many failed, and has nobody asked for it meanwhile? */
static bool is_missed(const Story *story, size_t u) {
        const MirrorUnit *unit = &story->mirror.units[u];
        const int machine = story->units[u].mass_machine;

        return machine >= 0 && !story->mirror.machines[machine].is_present &&
               is_plain(&story->units[u]) && mirror_unit_is_wanted(unit) &&
               unit->changed_us < story->mass_us;
}

/* How many machines miss such units? Of others a leader that took over meanwhile does not know. */
static size_t count_missing(const Story *story) {
        bool is_counted[SIM_MACHINES_MAX] = { false };
        size_t n = 0;

        for (size_t u = 0; u < story->options.n_units; u++)
                if (is_missed(story, u) && !is_counted[story->units[u].mass_machine]) {
                        is_counted[story->units[u].mass_machine] = true;
                        n++;
                }
        return n;
}

void story_check_rows_kept(Story *story) {
        const size_t limit = evict_limit((EvictRule){ .percent = SIM_EVICTION_PERCENT },
                                         story->options.n_machines);
        const size_t n_missing = count_missing(story);

        for (size_t u = 0; n_missing > limit && u < story->options.n_units; u++) {
                const MirrorUnit *unit = &story->mirror.units[u];
                const int machine = story->units[u].mass_machine;

                if (is_missed(story, u) && !unit->rows[machine].exists)
                        story_violate(story, "%s was taken from machine %d, and %zu were missing",
                                      unit->name, machine, n_missing);
        }
}

/* A file goes: does nothing refer to it? */
static void check_file(Story *story, const char *file) {
        for (size_t u = 0; u < story->options.n_units; u++) {
                const MirrorUnit *unit = &story->mirror.units[u];
                bool is_used = unit->exists && streq(unit->file, file);

                for (size_t i = 0; i < story->options.n_machines; i++)
                        is_used |= unit->rows[i].exists && streq(unit->rows[i].file, file);
                if (is_used)
                        story_violate(story, "the file of %s is removed", unit->name);
        }
}

/* A machine's record goes. That of a daemon that has had no trouble since it started stays, once the
 * store has answered for a while. */
static void check_machine(Story *story, int machine) {
        const StoryMachine *m = &story->machines[machine];

        if (m->fault == STORY_FINE && m->has_begun_anew && !m->is_expiring &&
            !story->no_quorum_until_us && !story->is_full_until_us &&
            now_us(story) > story->quorum_us + WELL_US && now_us(story) > m->fine_us + WELL_US)
                story_violate(story, "machine %d is well, and leaves the cluster", machine);
}

/* A machine registers. */
static void note_member(const Story *story, StoryMachine *machine) {
        if (machine->fault == STORY_LEAVES || !machine->is_out)
                return;
        machine->is_out = false;
        machine->left_us = now_us(story);
}

void story_check_commit(Story *story, unsigned client, const MirrorKey *key, StoreBytes value,
                        bool is_deletion) {
        int from = client < MIRROR_CLIENTS_MAX ? story->owner[client] - 1 : -1;
        bool is_engine = key->kind == MIRROR_SCHEDULE || key->kind == MIRROR_PLACEMENT;

        if (key->kind == MIRROR_UNIT && key->unit)
                story_check_step(story, from, &story->units[key->unit - story->mirror.units], value,
                                 is_deletion);
        if (is_engine && (from < 0 || mirror_machine(&story->mirror, story->mirror.leader,
                                                     strlen(story->mirror.leader)) != from))
                story_violate(story, "machine %d writes schedule or placement, and %.1s leads",
                              from, story->mirror.leader[0] ? story->mirror.leader : "nobody");
        if ((key->kind == MIRROR_STATE || key->kind == MIRROR_MACHINE) && client != 0 &&
            from != key->machine)
                story_violate(story, "machine %d writes what machine %d reports", from,
                              key->machine);
        if (key->kind == MIRROR_FILE && is_deletion)
                check_file(story, key->file);
        if (key->kind == MIRROR_MACHINE && key->machine >= 0 && is_deletion)
                check_machine(story, key->machine);
        else if (key->kind == MIRROR_MACHINE && key->machine >= 0)
                note_member(story, &story->machines[key->machine]);
        if (key->kind == MIRROR_SCHEDULE && key->unit && key->machine >= 0)
                check_row(story, key, is_deletion);
}

/* Is the machine there, and well, as it was all the while since some time before then? So what it
 * was to do then it knew, and what it did others knew. */
static bool was_in_touch(const Story *story, size_t machine, uint64_t then_us) {
        const MirrorMachine *record = &story->mirror.machines[machine];
        const StoryMachine *m = &story->machines[machine];

        then_us -= IN_TOUCH_US;
        return m->fault == STORY_FINE && m->fine_us < then_us && record->is_present &&
               record->absent_us < then_us && story->quorum_us < then_us &&
               !story->no_quorum_until_us && !story->is_full_until_us;
}

static bool is_in_touch(const Story *story, size_t machine) {
        return was_in_touch(story, machine, now_us(story));
}

/* Has the leader looked for a copy there, and rightly found no word of it? An agent that is well
 * reports what it begins within half a second, and the leader believes after one that there is
 * nothing; an agent whose connection is bad can begin and be heard of later. */
static bool is_unheard_of(const Story *story, const MirrorRow *row, size_t machine) {
        return row->was_unseen && !was_in_touch(story, machine, row->same_since_us);
}

/* Was the machine lost when the copy there lost its row, as far as the leader knew, or has it been
 * since? So it may have been cut off from then on, and nobody waits for what it runs. */
static bool was_lost(const Story *story, const StoryUnit *unit, size_t machine) {
        const MirrorRow *row = &story->mirror.units[unit - story->units].rows[machine];

        return row->was_lost || unit->was_behind[machine] ||
               story->mirror.machines[machine].absent_us >= row->same_since_us;
}

/* A copy starts here: has every other one ended that ran on a machine that was well and there? One
 * that has lost its row, and whose machine was lost by then or later, or could not tell of it, ends
 * when this one runs. */
static void check_start(Story *story, size_t machine, const StoryUnit *unit) {
        const MirrorUnit *record = &story->mirror.units[unit - story->units];

        if (unit->kind == STORY_GLOBAL || !is_in_touch(story, machine))
                return;
        for (size_t i = 0; i < story->options.n_machines; i++) {
                const MirrorRow *row = &record->rows[i];

                if (i != machine && is_in_touch(story, i) && !was_lost(story, unit, i) &&
                    !is_unheard_of(story, row, i) &&
                    fake_machine_unit_is_running(story->sim.machines[i].fake, unit->name))
                        story_violate(story,
                                      "%s starts on machine %zu, and still runs on machine %zu",
                                      unit->name, machine, i);
        }
}

bool story_is_exclusive(const StoryUnit *unit) {
        return unit->kind == STORY_EXCLUSIVE || unit->kind == STORY_EXCLUSIVE_SLOW;
}

/* Has the store ended the machine's lease before its time, and the machine may not know? What leases
 * promise is all that it has to go by. One whose trouble was over by then, at the same moment or not
 * long before, hears of it with its next renewal: what was on its way still is, and its watch may
 * not be there again. */
static bool is_betrayed(const Story *story, size_t machine) {
        const StoryMachine *m = &story->machines[machine];

        return m->expired_us > 0 && m->expired_us + EARLY_US > now_us(story) &&
               (m->fault != STORY_FINE || m->fine_us + WELL_US > m->expired_us ||
                story->no_quorum_until_us || story->quorum_us + WELL_US > m->expired_us);
}

void story_check_exclusive(Story *story, const StoryUnit *unit) {
        size_t n = 0, machines[2] = { 0 };

        for (size_t i = 0; i < story->options.n_machines; i++)
                if (fake_machine_unit_is_running(story->sim.machines[i].fake, unit->name) &&
                    !is_betrayed(story, i) && n < 2)
                        machines[n++] = i;
        if (n > 1)
                story_violate(story, "%s is Exclusive, and on machines %zu and %zu", unit->name,
                              machines[0], machines[1]);
}

/* Had the unit lost its row shortly before it ended by itself, and got it back, while the machine was
 * in trouble? Then it was being stopped, and is started as its new row says. */
static bool was_being_stopped(const Story *story, size_t machine, const StoryUnit *unit,
                              const MirrorRow *row) {
        const StoryMachine *m = &story->machines[machine];

        return row->same_since_us + IN_TOUCH_US > unit->exited_us[machine] &&
               (m->fault != STORY_FINE || m->fine_us > row->same_since_us);
}

/* A unit that has ended by itself comes up again. Has somebody asked for that, as far as the store
 * has it? */
static void check_return(Story *story, size_t machine, const StoryUnit *unit) {
        const MirrorUnit *record = &story->mirror.units[unit - story->units];
        const MirrorRow *row = &record->rows[machine];

        /* One that its machine could not keep, or took away since it was about to leave, is started
         * again, as on any machine that gets it. */
        if (story_is_exclusive(unit) || story->machines[machine].is_out ||
            (story->machines[machine].left_us > 0 &&
             story->machines[machine].left_us + CAUSE_US >= unit->exited_us[machine]))
                return;
        /* Nothing was told of it since its row was made, or since the machine's boot. */
        if (record->state_us[machine] < row->same_since_us ||
            record->state_us[machine] <= story->machines[machine].off_us)
                return;
        if (unit->has_exited[machine] && row->exists && record->has_state[machine] &&
            row->same_since_us < unit->exited_us[machine] && row->generation > 0 &&
            record->state_generation[machine] == row->generation &&
            !was_being_stopped(story, machine, unit, row))
                story_violate(story, "%s had ended on machine %zu, and nobody asked for it again",
                              unit->name, machine);
}

/* A copy ends whose machine was lost: does another one run, as far as the store has it, or wait for
 * this one to end, or has this a cause of its own? A unit that its user took back ends there, however
 * late that machine hears of it, and though the user wants it again by then. */
static void check_last_copy(Story *story, size_t machine, const StoryUnit *unit) {
        const MirrorUnit *record = &story->mirror.units[unit - story->units];

        /* Who leaves stops in the end what has no other place. */
        if (story->machines[machine].fault == STORY_LEAVES)
                return;
        if (!is_plain(unit) || !record->exists || record->desired != JOB_STATE_LAUNCHED ||
            !record->rows[machine].was_lost || record->rows[machine].was_unwanted ||
            record->changed_us + CAUSE_US >= now_us(story))
                return;
        for (size_t i = 0; i < story->options.n_machines; i++)
                if (fake_machine_unit_is_active(story->sim.machines[i].fake, unit->name) ||
                    (record->rows[i].exists && (record->rows[i].after & 1U << machine)) ||
                    unit->has_exited[i] || (i != machine && streq(record->active[i], "active")))
                        return;
        story_violate(story, "the last copy of %s is stopped, on machine %zu", unit->name, machine);
}

void story_check_activity(Story *story, size_t machine, StoryUnit *unit, bool is_active) {
        const MirrorUnit *record = &story->mirror.units[unit - story->units];
        const MirrorRow *row = &record->rows[machine];

        if (is_active) {
                check_return(story, machine, unit);
                unit->has_exited[machine] = false;
                unit->started_us[machine] = unit->active_us = now_us(story);
                check_start(story, machine, unit);
                if (story_is_exclusive(unit))
                        story_check_exclusive(story, unit);
                return;
        }
        unit->active_us = now_us(story);
        if (story->machines[machine].is_dying || unit->has_exited[machine])
                return;
        check_last_copy(story, machine, unit);
        if (story_is_exclusive(unit) &&
            is_news(story, story->machines[machine].expired_us, (int)machine))
                return;
        if (row->exists && row->desired == JOB_STATE_LAUNCHED &&
            !is_news(story, row->same_since_us, (int)machine))
                story_violate(story,
                              "%s is stopped on machine %zu, where it shall run as it has for long",
                              unit->name, machine);
}

bool story_stays_up(const StoryUnit *unit) {
        return unit->kind != STORY_FAILS && unit->kind != STORY_ONESHOT &&
               unit->kind != STORY_HANGS;
}

/* What is not yet, or not any more, as it should be with a unit: NULL when all is. */
static const char *unit_differs(const Story *story, const StoryUnit *unit, const MirrorUnit *record,
                                unsigned n_rows, unsigned n_copies, unsigned n_fit) {
        const bool is_wanted = record->exists && record->desired != JOB_STATE_INACTIVE;
        const unsigned n_expected = !is_wanted ? 0 : unit->kind == STORY_GLOBAL ? n_fit : n_fit > 0;

        (void)story;
        if (n_rows != n_expected)
                return "is not scheduled as it should be";
        if (unit->kind != STORY_GLOBAL && record->is_placed != (n_expected > 0))
                return "has a placement that is not true";
        if (!is_wanted && record->has_placement)
                return "has a placement, and should be nowhere";
        if (!is_wanted || record->desired == JOB_STATE_LOADED || !story_stays_up(unit))
                return n_copies > 0 ? "runs, and should not" : NULL;
        return NULL;
}

/* Does a copy go on rightly on a machine where the unit is not scheduled any more? Its successor has
 * failed. */
static bool is_kept(const Story *story, size_t unit, size_t machine) {
        const MirrorUnit *record = &story->mirror.units[unit];
        const int successor = record->is_placed ? mirror_machine(&story->mirror, record->machine,
                                                                 strlen(record->machine))
                                                : -1;

        return !record->rows[machine].exists && successor >= 0 && successor != (int)machine &&
               streq(record->active[successor], "failed") &&
               fake_machine_unit_is_active(story->sim.machines[machine].fake,
                                           story->units[unit].name);
}

/* The same for a unit on a machine. */
static const char *copy_differs(const Story *story, const StoryUnit *unit, const MirrorUnit *record,
                                size_t machine) {
        const MirrorRow *row = &record->rows[machine];
        const bool is_active = fake_machine_unit_is_active(story->sim.machines[machine].fake,
                                                           unit->name);

        if (!row->exists && is_active)
                return is_kept(story, (size_t)(unit - story->units), machine)
                               ? NULL
                               : "runs where it is not scheduled";
        if (row->exists && !record->has_state[machine])
                return "is not reported";
        if (!row->exists && record->has_state[machine])
                return "is reported where it is not scheduled";
        if (row->exists && !streq(row->file, record->file))
                return "is scheduled with other content";
        if (row->exists && !story_fits(story, unit, machine))
                return "is scheduled where it does not fit";
        if (record->has_state[machine] && streq(record->active[machine], "active") != is_active)
                return "is reported otherwise than it is";
        if (row->exists && row->desired == JOB_STATE_LAUNCHED && story_stays_up(unit) &&
            !is_active && !unit->has_exited[machine])
                return "does not run where it should";
        /* A daemon that hears of its rows for the first time takes a unit of which nothing was reported
         * for restarted: so only what was asked for later counts. */
        if (is_active && row->desired == JOB_STATE_LAUNCHED &&
            unit->started_us[machine] < unit->restart_us &&
            story->mirror.machines[machine].present_us < unit->restart_us &&
            was_in_touch(story, machine, unit->restart_us))
                return "was to be restarted, and was not";
        return NULL;
}

/* The same for a unit's hold: the machine that it is scheduled to has it, and nobody else. */
static const char *hold_differs(const Story *story, const StoryUnit *unit,
                                const MirrorUnit *record) {
        const char *owner = NULL;
        StoreBytes value;
        char key[128];

        for (size_t i = 0; i < story->options.n_machines; i++)
                if (record->rows[i].exists && story_is_exclusive(unit))
                        owner = story->sim.machines[i].id;
        (void)snprintf(key, sizeof(key), "/fleet/hold/%s", unit->name);
        if (!memory_store_read(story->sim.rig.memory, key, &value))
                return owner ? "is Exclusive, and no machine holds it" : NULL;
        if (!owner)
                return "is held, and scheduled nowhere";
        return memmem(value.data, value.n_bytes, owner, strlen(owner))
                       ? NULL
                       : "is held by a machine that it is not scheduled to";
}

/* What is wrong with a machine as a whole. */
static const char *machine_differs(const Story *story, size_t machine) {
        unsigned n_loners = 0;

        if (!story->mirror.machines[machine].is_present)
                return "is not in the cluster";
        for (size_t u = 0; u < story->options.n_units; u++)
                n_loners += story->units[u].kind == STORY_LONER &&
                            story->mirror.units[u].rows[machine].exists;
        return n_loners > 1 ? "has units that conflict" : NULL;
}

const char *story_check_end(Story *story) {
        static char text[128];

        for (size_t i = 0; i < story->options.n_machines; i++) {
                const char *what = machine_differs(story, i);

                if (what) {
                        (void)snprintf(text, sizeof(text), "machine %zu %s", i, what);
                        return text;
                }
        }
        for (size_t u = 0; u < story->options.n_units; u++) {
                const StoryUnit *unit = &story->units[u];
                const MirrorUnit *record = &story->mirror.units[u];
                unsigned n_rows = 0, n_copies = 0, n_fit = 0;
                const char *what = NULL;

                for (size_t i = 0; !what && i < story->options.n_machines; i++) {
                        n_rows += record->rows[i].exists;
                        n_copies += fake_machine_unit_is_active(story->sim.machines[i].fake,
                                                                unit->name);
                        n_fit += story_fits(story, unit, i);
                        what = copy_differs(story, unit, record, i);
                }
                if (!what)
                        what = hold_differs(story, unit, record);
                if (!what)
                        what = unit_differs(story, unit, record, n_rows, n_copies, n_fit);
                if (what) {
                        (void)snprintf(text, sizeof(text), "%s %s", unit->name, what);
                        return text;
                }
        }
        return NULL;
}

/* What a daemon has in hand though nothing is to be done. */
static const char *daemon_keeps(const Story *story, size_t machine) {
        const SimMachine *daemon = &story->sim.machines[machine];
        const bool leads = engine_is_leading(daemon->engine);
        const StoreStats store = store_stats(story->sim.rig.stores[daemon->client]);
        const AgentStats agent = agent_stats(daemon->agent);
        uint64_t n_rows = 0, n_kept = 0;

        for (size_t u = 0; u < story->options.n_units; u++) {
                n_rows += story->mirror.units[u].rows[machine].exists;
                n_kept += is_kept(story, u, machine);
        }
        if (agent.n_units != n_rows + n_kept)
                return "knows units that are not its own";
        if (store.n_pending > 0)
                return "has requests to the store under way";
        if (store.n_watches != (leads ? REST_WATCHES_LEADER : REST_WATCHES) + n_kept * KEPT_WATCHES)
                return "watches more, or less, than it needs";
        return NULL;
}

static const char *unit_is_restarted(const Story *story, const StoryUnit *unit) {
        for (size_t i = 0; i < story->options.n_machines; i++) {
                unsigned n = fake_machine_unit_starts(story->sim.machines[i].fake, unit->name);

                if (unit->n_starts[i] > 0 && n != unit->n_starts[i])
                        return n < unit->n_starts[i] ? "was not restarted as asked"
                                                     : "was restarted more often than asked";
        }
        return NULL;
}

const char *story_check_rest(const Story *story) {
        static char text[128];

        if (story_count_open(story) > 0)
                return "there is a request without an answer";
        for (size_t i = 0; i < story->options.n_machines; i++) {
                const char *what = daemon_keeps(story, i);

                if (what) {
                        (void)snprintf(text, sizeof(text), "machine %zu %s", i, what);
                        return text;
                }
        }
        for (size_t u = 0; u < story->options.n_units; u++) {
                const char *what = unit_is_restarted(story, &story->units[u]);

                if (what) {
                        (void)snprintf(text, sizeof(text), "%s %s", story->units[u].name, what);
                        return text;
                }
        }
        return NULL;
}
