/* SPDX-License-Identifier: Apache-2.0 */

/* The agent: the way out. A unit that runs here and is not scheduled here any more ends when its
 * successor runs, so that there is no moment without it: the machine was cut off and others have
 * taken its place, or it leaves the cluster.
 *
 *   placement/<unit> --> nobody                         let go, but see below
 *                    --> it is unclear who              run on
 *                    --> machine N, whose records of the unit are followed:
 *        schedule/N/<unit>   it is not to run there, or never twice, or N waits for us   let go
 *        state/N/<unit>      it has come as far as here, or has run and ended      let go
 *                            anything else                                          run on
 *
 * A successor that fails does not end what is well here. It runs on for as long as that takes: the
 * user, systemd (Restart=) or the leader sees to the successor, and any of that is told by these
 * records. If the successor's machine goes, the leader finds another, or this one again: then there
 * is a row. While the store is out of reach nothing is known, and the unit runs on.
 *
 * A global unit has no placement. Its row here may have been removed while the machine was away for
 * long (engine/gone.h), and the leader that sees the machine come back writes it anew. So whoever
 * has just come back looks at the unit itself: one that is to run runs on for a while.
 *
 * Row and placement change in one transaction, so what is read after the row went is not older than
 * that.
 */

#include <errno.h>
#include <stdio.h>
#include <syslog.h>

#include "agent/agent-private.h"
#include "lib/base/log.h"

enum { COMEBACK_US = 30 * US_PER_S /* so long a leader, or the next one, may take to see us */ };

typedef struct Handover {
        AgentWait base;
        bool is_watching;              /* what becomes of the placement is told */
        bool is_unclear;               /* the placement cannot be read */
        bool is_decided;               /* there is one */
        bool is_placed;                /* it names a machine: base.machine */
        bool is_another;               /* ...whose records are not followed yet */
        bool must_end;                 /* that machine waits for us, or is not to run it */
        bool has_failed;               /* it could not carry out what it was asked */
        bool is_to_run;                /* the unit, by its record, if that is looked at */
        bool is_over;                  /* nobody has given it its row again */
        unsigned progress;             /* of the unit there: agent_progress() */
        uint64_t generation;           /* of the placement */
        uint64_t successor_generation; /* that the state there answers */
} Handover;

static int handover_follow(Handover *handover);

static Handover *handover_of(RegistryFollow *follow) {
        return container_of(container_of(follow, AgentWait, follow), Handover, base);
}

static bool is_here(const Handover *handover) {
        return streq(handover->base.machine, handover->base.unit->agent->machine);
}

static void handover_let_go(Handover *handover) {
        AgentUnit *unit = handover->base.unit;

        /* One that this run has had a row of was stopped by its user, as a rule. */
        if (handover->is_decided || unit->row_revision > 0)
                log_unit(LOG_DEBUG, unit->name, "%s is not needed here any more", unit->name);
        else
                log_unit(LOG_NOTICE, unit->name,
                         "%s runs here, and the cluster has it on no machine: stopping it",
                         unit->name);
        unit->is_let_go = true;
        agent_wait_end(unit);
        agent_mark_work(unit);
}

/* Has the successor done what was asked of it, or come as far as the copy here? */
static bool successor_is_there(const Handover *handover) {
        const AgentUnit *unit = handover->base.unit;
        const HostUnit *here = host_find(unit->agent->host, unit->name);
        bool is_answered = handover->successor_generation >= handover->generation;

        if (handover->progress > 0)
                return !here || handover->progress >= agent_progress(here->active);
        return is_answered && !handover->has_failed;
}

/* Follows another set of records from now on. */
static void handover_follow_again(Handover *handover) {
        AgentUnit *unit = handover->base.unit;

        registry_follow_stop(&handover->base.follow);
        if (handover_follow(handover) < 0) {
                agent_wait_end(unit);
                agent_mark_work(unit);
        }
}

/* Until when may the leader still be about to write rows for this machine? */
static uint64_t comeback_until_us(const Agent *agent) {
        uint64_t since_us = agent->lease ? agent->member_since_us : loop_now_us(agent->loop);

        return since_us + COMEBACK_US;
}

static bool may_get_its_row(const Handover *handover) {
        return !handover->is_decided && handover->is_to_run && !handover->is_over;
}

static void handover_await_row(Handover *handover) {
        const Agent *agent = handover->base.unit->agent;

        if (!handover->is_watching) {
                handover_follow_again(handover);
                return;
        }
        timer_set_at(agent->loop, &handover->base.timer, comeback_until_us(agent));
        agent_wait_say(&handover->base, "runs on: whether it stays here is not decided yet");
}

static void handover_explain(Handover *handover) {
        const char *what = is_here(handover)               ? "is to have it again"
                           : handover->base.unit->is_stuck ? "cannot run it"
                                                           : "does not run it yet";

        agent_wait_say(&handover->base, "runs on: machine %.8s %s", handover->base.machine, what);
}

static void handover_check(Handover *handover) {
        if (handover->is_unclear ? !handover->is_watching : handover->is_another)
                handover_follow_again(handover);
        else if (handover->is_unclear)
                return;
        else if (may_get_its_row(handover))
                handover_await_row(handover);
        else if (!handover->is_placed || handover->must_end ||
                 (!is_here(handover) && successor_is_there(handover)))
                handover_let_go(handover);
        else {
                handover->base.unit->is_stuck = handover->has_failed && handover->progress == 0;
                handover_explain(handover);
        }
}

static void on_comeback_over(LoopTimer *timer) {
        Handover *handover = container_of(container_of(timer, AgentWait, timer), Handover, base);
        const Agent *agent = handover->base.unit->agent;

        /* Not a member again, or for a second time: it begins anew. */
        handover->is_over = loop_now_us(agent->loop) >= comeback_until_us(agent);
        if (handover->base.follow.is_synced)
                handover_check(handover);
}

static void on_placement(Handover *handover, const Record *record) {
        const char *machine = record->is_deleted ? NULL : record->placement.machine;
        char *copy;

        handover->is_unclear = record->is_bad;
        handover->is_decided = !record->is_deleted;
        handover->is_placed = machine;
        handover->generation = record->is_deleted ? 0 : record->placement.generation;
        if (!machine || (handover->base.machine && streq(handover->base.machine, machine)))
                return;

        copy = strdup(machine);
        if (!copy) {
                handover->is_unclear = true;
                registry_follow_restart(&handover->base.follow);
                return;
        }
        free(handover->base.machine);
        handover->base.machine = copy;
        handover->is_another = true;
}

static void on_row(Handover *handover, const Record *record) {
        const ScheduleRecord *row = &record->schedule;

        handover->must_end = !record->is_deleted && !record->is_bad &&
                             (row->desired != JOB_STATE_LAUNCHED || row->exclusive_s > 0 ||
                              strlist_has(&row->after, handover->base.unit->agent->machine));
}

static void on_state(Handover *handover, const Record *record) {
        const StateRecord *state = &record->state;
        bool is_there = !record->is_deleted && !record->is_bad;

        handover->progress = is_there ? agent_progress(state->active) : 0;
        handover->successor_generation = is_there ? state->generation : 0;
        handover->has_failed = is_there && (state->why || streq(state->active, "failed"));
}

static void on_reset(RegistryFollow *follow) {
        Handover *handover = handover_of(follow);

        handover->is_unclear = handover->must_end = false;
        handover->is_decided = handover->is_placed = false;
        handover->has_failed = handover->is_to_run = false;
        handover->progress = 0;
        handover->generation = handover->successor_generation = 0;
}

static void on_record(RegistryFollow *follow, const Record *record) {
        Handover *handover = handover_of(follow);

        if (record->key.kind == RECORD_PLACEMENT)
                on_placement(handover, record);
        else if (record->key.kind == RECORD_UNIT)
                handover->is_to_run = !record->is_deleted && !record->is_bad &&
                                      record->unit.desired == JOB_STATE_LAUNCHED;
        else if (record->key.kind == RECORD_SCHEDULE)
                on_row(handover, record);
        else
                on_state(handover, record);
        if (follow->is_synced)
                handover_check(handover);
}

static void on_synced(RegistryFollow *follow, int64_t revision) {
        (void)revision;
        handover_check(handover_of(follow));
}

/* Follows what is known to matter: the placement, which is only read at first, since most units
 * that lose their row were stopped by their user; where the machine has just come back, the unit;
 * and what the machine says that the placement names. */
static int handover_follow(Handover *handover) {
        static const RegistryFollowFns fns = { .on_reset = on_reset,
                                               .on_record = on_record,
                                               .on_synced = on_synced };
        const AgentUnit *unit = handover->base.unit;
        const char *machine = handover->base.machine;
        bool watches = machine || handover->is_unclear || handover->is_to_run;
        RegistryFollowKey keys[3] = {
                { .key = { .kind = RECORD_PLACEMENT, .unit = unit->name },
                  .is_list_only = !watches },
        };
        size_t n_keys = 1;

        if (machine) {
                keys[n_keys++].key = (RecordKey){ RECORD_SCHEDULE, machine, unit->name };
                keys[n_keys++].key = (RecordKey){ RECORD_STATE, machine, unit->name };
        } else if (loop_now_us(unit->agent->loop) < comeback_until_us(unit->agent)) {
                keys[n_keys].key = (RecordKey){ .kind = RECORD_UNIT, .unit = unit->name };
                keys[n_keys++].is_list_only = !watches;
        }

        handover->is_watching = watches;
        handover->is_another = false;
        return registry_follow_start(unit->agent->registry, &handover->base.follow, keys, n_keys,
                                     &fns);
}

int agent_handover_begin(AgentUnit *unit) {
        Handover *handover;
        int r;

        if (unit->wait) {
                /* The copy here has changed. */
                if (unit->wait->follow.is_synced)
                        handover_check(container_of(unit->wait, Handover, base));
                return 0;
        }

        handover = calloc(1, sizeof(*handover));
        if (!handover)
                return -ENOMEM;

        handover->base.unit = unit;
        handover->base.timer.fn = on_comeback_over;
        r = handover_follow(handover);
        if (r < 0) {
                free(handover);
                return r;
        }

        unit->wait = &handover->base;
        return 0;
}
