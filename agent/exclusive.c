/* SPDX-License-Identifier: Apache-2.0 */

/* The agent: Exclusive units, which never run twice.
 *
 * Two things make that true, and neither relies on what another machine's clock says:
 *
 *   The hold (docs/records.md). A machine has such a unit only while hold/<unit> names it. The agent
 *   makes it before the unit is loaded, and removes it when the unit is gone from the machine. Of a
 *   machine that is lost the leader removes it (engine/holds.c), once the unit must have ended there.
 *
 *   The deadline. The lease cannot have ended for the others before the last answered renewal was
 *   sent + its TTL. A margin before that, the agent stops the Exclusive units here and takes them
 *   off the machine; a part of the margin later the host does, whatever has become of this daemon
 *   (host_guard_until()). So they have begun to stop before anybody can see this machine go, and the
 *   leader waits for as long as the stop may take.
 *
 *        row, free to come              written                      no row, gone from the machine
 *   NONE -----------------> TAKING ---------------> SURE ------------------> GIVING ------> NONE
 *                            ^  |                    |
 *                            |  | another's: WAITING | not a member any more: stop, unload
 *                            +--+                    v
 *                            +---------------- ours, not sure
 *
 * A hold that an earlier membership has left is written anew before anything relies on it: the leader
 * may be about to remove the revision that it knows. Each write compares the hold's revision, and
 * one that takes also that of the row that asks for it; so a copy that arrives late changes nothing.
 * After an outcome that is not known the hold is looked at.
 *
 * When this daemon was stopped for a while (SIGSTOP, a machine that was suspended), the first thing
 * that it does is what the deadline asks for. And a start that it had on its way when it was stopped
 * does not get past the guard, whose time is not extended before each of these units has ended.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <syslog.h>

#include "agent/agent-private.h"
#include "agent/exclusive.h"
#include "agent/leave.h"
#include "lib/base/log.h"

enum {
        /* Of the TTL: what the agent's deadline is early, and at most. It covers the longest pause
           between the moment when the agent must act and the moment when systemd begins to. */
        MARGIN_PART = 4,
        MARGIN_MAX_US = 3 * US_PER_S,
        GUARD_PART = 2, /* of that margin: what the guard is early */

        RETRY_US = 500 * US_PER_MS, /* after a write or look that failed */
        TEXT_BYTES = 192,
};

typedef enum HoldWrite {
        HOLD_IDLE,
        HOLD_TAKING, /* or writing it anew */
        HOLD_GIVING,
} HoldWrite;

struct AgentHold {
        AgentUnit *unit; /* back pointer */
        RegistryWrite write;
        RegistryFollow follow; /* the hold, while we do not know whose it is, or know another's */
        LoopTimer retry;
        HoldWrite writing;     /* what is in flight */
        int64_t revision;      /* of ours in the store, as far as known; 0 = none */
        uint64_t stop_s;       /* what it says */
        uint64_t sent_stop_s;  /* what the one in flight says */
        int64_t sent_member;   /* Agent.member_revision when it was sent */
        bool is_sure;          /* written since this machine became a member: it can be relied on */
        bool is_others;        /* another machine has it */
        bool was_seen;         /* by the look under way */
        char text[TEXT_BYTES]; /* what is waited for */
};

static uint64_t now_us(const Agent *agent) {
        return env_now_us(loop_env(agent->loop));
}

/* Is this machine a member for sure, so that they may run here? By the clock as it is now. */
static bool agent_may_run_exclusive(const Agent *agent) {
        return agent->lease != 0 && now_us(agent) < agent->deadline_us;
}

static bool row_is_exclusive(const AgentUnit *unit) {
        return agent_row(unit) && unit->row.exclusive_s > 0;
}

static bool is_there(const AgentUnit *unit) {
        const HostUnit *host_unit = host_find(unit->agent->host, unit->name);

        /* Somebody may have taken the file away, and it runs all the same. */
        return host_unit && (host_unit->hash[0] != '\0' || host_unit->active[0] != '\0');
}

static bool hold_is_good(const AgentUnit *unit) {
        return unit->hold && unit->hold->is_sure && unit->hold->stop_s == unit->row.exclusive_s;
}

/* May the store still have it that what is asked for is done, though it is to be begun anew? The next
 * run of the daemon would believe that of a unit that it finds loaded and not running. */
static bool is_told_done(const AgentUnit *unit) {
        bool may_be_told = !unit->agent->follow.is_synced ||
                           (unit->state_revision > 0 && unit->generation == unit->row.generation);

        return may_be_told && unit->done_generation != unit->row.generation;
}

bool agent_hold_is_wanted(const AgentUnit *unit) {
        return row_is_exclusive(unit) &&
               (!agent_may_run_exclusive(unit->agent) || unit->agent->n_ending > 0 ||
                !hold_is_good(unit) || is_told_done(unit));
}

const char *agent_hold_text(const AgentUnit *unit) {
        if (!row_is_exclusive(unit) || is_there(unit))
                return NULL;
        if (!agent_may_run_exclusive(unit->agent))
                return "is Exclusive, and this machine cannot be sure to be a member of the "
                       "cluster";
        return unit->hold && unit->hold->is_others ? unit->hold->text : NULL;
}

/* The hold's object */

static AgentHold *hold_get(AgentUnit *unit);

static void hold_free(AgentHold *hold) {
        AgentUnit *unit = hold->unit;

        registry_follow_stop(&hold->follow);
        timer_clear(&hold->retry);
        registry_write_clear(&hold->write);
        unit->hold = NULL;
        unit->agent->n_holds--;
        free(hold);
        agent_mark_report(unit);
}

static void on_retry(LoopTimer *timer) {
        agent_mark_work(container_of(timer, AgentHold, retry)->unit);
}

static void hold_retry_later(AgentHold *hold) {
        timer_set_in(hold->unit->agent->loop, &hold->retry, RETRY_US);
}

/* Ending */

/* The unit must end here, and go: nothing speaks for it any more. */
static void unit_bar(AgentUnit *unit) {
        if (unit->hold)
                unit->hold->is_sure = false;
        unit->done_generation = 0;
        free(TAKE(unit->why));
        agent_give_up_start(unit);
        /* What the host has is not known before it is ready. */
        if (!unit->is_barred && (unit->op || is_there(unit) || !host_is_ready(unit->agent->host))) {
                unit->is_barred = unit->must_stop = true;
                unit->agent->n_ending++;
                timer_clear(&unit->retry);
                unit->backoff_ms = 0;
        }
        agent_mark_work(unit);
        agent_mark_report(unit);
}

/* It does not run any more, nor will it by what was asked for before: the guard may go on. */
void agent_exclusive_stopped(AgentUnit *unit) {
        Agent *agent = unit->agent;

        if (!unit->must_stop)
                return;

        unit->must_stop = false;
        if (--agent->n_ending > 0)
                return;
        for (HashNode *node = hash_map_first(&agent->units); node;
             node = hash_map_next(&agent->units, node))
                if (container_of(node, AgentUnit, node)->hold)
                        agent_mark_work(container_of(node, AgentUnit, node));
}

static void agent_expire(Agent *agent, const char *why) {
        size_t n = 0;

        if (agent->is_expired)
                return;

        agent->is_expired = true;
        agent->stats.n_expired += agent->n_holds > 0;
        timer_clear(&agent->expiry);
        for (HashNode *node = hash_map_first(&agent->units); node;
             node = hash_map_next(&agent->units, node)) {
                AgentUnit *unit = container_of(node, AgentUnit, node);

                if (!unit->hold)
                        continue;
                unit_bar(unit);
                n += unit->is_barred;
        }

        if (n > 0)
                log_line(LOG_WARNING,
                         "%s: the %zu Exclusive unit%s here %s stopped, since other machines may "
                         "start %s soon",
                         why, n, n == 1 ? "" : "s", n == 1 ? "is" : "are", n == 1 ? "it" : "them");
}

void agent_exclusive_check(Agent *agent) {
        if (agent->n_holds > 0 && agent->deadline_us > 0 && now_us(agent) >= agent->deadline_us)
                agent_expire(agent, "This machine could not renew its lease in time");
}

void agent_on_expiry(LoopTimer *timer) {
        agent_exclusive_check(container_of(timer, Agent, expiry));
}

void agent_exclusive_lost(Agent *agent) {
        agent->deadline_us = agent->valid_until_us = 0;
        agent_expire(agent, "This machine is not a member of the cluster any more");
}

/* The deadline */

static void agent_watch_deadline(Agent *agent) {
        if (agent->n_holds == 0 || agent->is_expired)
                timer_clear(&agent->expiry);
        else
                timer_set_at(agent->loop, &agent->expiry, agent->deadline_us);
}

/* What an earlier run has told the guard counts until this one tells it more. */
static void agent_note_lapse(Agent *agent) {
        if (agent->guarded_until_us == 0 && host_guarded_until_us(agent->host) <= now_us(agent))
                agent->has_lapsed = true;
}

/* Lets the guard know the time. Returns 0 or a negative errno. */
static int agent_extend_guard(Agent *agent) {
        uint64_t until_us = agent->deadline_us +
                            (agent->valid_until_us - agent->deadline_us) / GUARD_PART;
        int r;

        if (agent->is_expired || agent->n_ending > 0 || until_us <= agent->guarded_until_us)
                return 0;

        agent_note_lapse(agent);
        r = host_guard_until(agent->host, until_us);
        if (r == 0)
                agent->guarded_until_us = until_us;
        if (r < 0 && !agent->is_guard_broken)
                log_line(LOG_ERR,
                         "Cannot tell the guard of Exclusive units how long they may run, so it "
                         "will stop them: %s",
                         strerror(-r));
        agent->is_guard_broken = r < 0;
        return r;
}

/* The same for what runs. What a lapse has ended leaves the machine before the guard hears of another
 * time (agent_end_interrupted()): a run of the daemon that ends before that must be found out by the
 * next. So the first to tell it is then a start. */
static void agent_keep_guard(Agent *agent) {
        agent_note_lapse(agent);
        if (!agent->has_lapsed || agent->guarded_until_us > 0)
                (void)agent_extend_guard(agent);
}

void agent_set_valid_until(Agent *agent, uint64_t until_us, uint64_t ttl_us) {
        uint64_t margin_us = ttl_us / MARGIN_PART < MARGIN_MAX_US ? ttl_us / MARGIN_PART
                                                                  : MARGIN_MAX_US;

        /* What came too late is no help for what should have stopped. */
        agent_exclusive_check(agent);
        agent->valid_until_us = until_us;
        agent->deadline_us = until_us > margin_us ? until_us - margin_us : 0;
        if (!agent_may_run_exclusive(agent)) {
                agent_exclusive_check(agent);
                return;
        }

        if (agent->is_expired)
                for (HashNode *node = hash_map_first(&agent->units); node;
                     node = hash_map_next(&agent->units, node))
                        if (row_is_exclusive(container_of(node, AgentUnit, node)))
                                agent_mark_work(container_of(node, AgentUnit, node));
        agent->is_expired = false;
        agent_watch_deadline(agent);
        if (agent->n_holds > 0)
                agent_keep_guard(agent);
}

int agent_exclusive_starts(AgentUnit *unit) {
        return unit->hold ? agent_extend_guard(unit->agent) : 0;
}

/* Whose is it? */

static void hold_describe(AgentHold *hold, const Record *record) {
        if (record->is_bad)
                (void)snprintf(hold->text, sizeof(hold->text),
                               "is Exclusive, and the record of which machine may run it cannot be "
                               "read: %.80s",
                               record->why_bad);
        else
                (void)snprintf(hold->text, sizeof(hold->text),
                               "waits for machine %.8s, which may still run it: until it has "
                               "ended there, or %" PRIu64 " s after that machine is lost",
                               record->hold.machine, record->hold.stop_s);
        agent_mark_report(hold->unit);
}

/* Another machine has it, so the unit cannot be here. */
static void hold_is_others(AgentHold *hold, const Record *record) {
        bool was_others = hold->is_others;

        hold->is_others = true;
        hold->revision = 0;
        hold_describe(hold, record);
        if (!was_others)
                log_unit(LOG_DEBUG, hold->unit->name, "%s %s", hold->unit->name, hold->text);
        if (is_there(hold->unit) || hold->unit->op) {
                log_unit(LOG_WARNING, hold->unit->name,
                         "%s is stopped here, since another machine may run it", hold->unit->name);
                unit_bar(hold->unit);
        }
}

static void hold_take_note(AgentHold *hold, const Record *record) {
        hold->was_seen = true;
        if (record->is_deleted) {
                hold->is_others = false;
                hold->revision = 0;
        } else if (!record->is_bad && streq(record->hold.machine, hold->unit->agent->machine)) {
                hold->is_others = false;
                hold->revision = record->mod_revision;
                hold->stop_s = record->hold.stop_s;
        } else
                hold_is_others(hold, record);
}

static void on_reset(RegistryFollow *follow) {
        container_of(follow, AgentHold, follow)->was_seen = false;
}

static void on_record(RegistryFollow *follow, const Record *record) {
        AgentHold *hold = container_of(follow, AgentHold, follow);

        hold_take_note(hold, record);
        if (follow->is_synced)
                agent_mark_work(hold->unit);
}

static void on_synced(RegistryFollow *follow, int64_t revision) {
        AgentHold *hold = container_of(follow, AgentHold, follow);

        (void)revision;
        if (!hold->was_seen) {
                hold->is_others = false;
                hold->revision = 0;
        }
        agent_mark_work(hold->unit);
}

static void hold_look(AgentHold *hold) {
        static const RegistryFollowFns fns = { .on_reset = on_reset,
                                               .on_record = on_record,
                                               .on_synced = on_synced };
        const RegistryFollowKey key = { .key = { .kind = RECORD_HOLD, .unit = hold->unit->name } };

        hold->is_sure = false;
        if (hold->follow.registry)
                registry_follow_restart(&hold->follow);
        else if (registry_follow_start(hold->unit->agent->registry, &hold->follow, &key, 1, &fns) <
                 0)
                hold_retry_later(hold);
}

/* Writing */

static void hold_written(AgentHold *hold, HoldWrite what, int64_t revision) {
        AgentUnit *unit = hold->unit;

        registry_follow_stop(&hold->follow);
        hold->is_others = false;
        if (what == HOLD_GIVING) {
                hold->revision = 0;
                log_unit(LOG_DEBUG, unit->name, "%s: others may run it now", unit->name);
                return;
        }

        hold->revision = revision;
        hold->stop_s = hold->sent_stop_s;
        /* Not when the machine was lost while this was on its way, though it may be back. */
        hold->is_sure = hold->sent_member == unit->agent->member_revision &&
                        !unit->agent->is_expired && !unit->is_barred &&
                        agent_may_run_exclusive(unit->agent);
}

static void on_written(RegistryWrite *write, int status, int64_t revision) {
        AgentHold *hold = container_of(write, AgentHold, write);
        HoldWrite what = hold->writing;
        Agent *agent = hold->unit->agent;

        hold->writing = HOLD_IDLE;
        agent->n_hold_writes--;
        if (agent->is_closing) {
                agent_maybe_closed(agent);
                return;
        }

        switch (status) {
        case 0:
                hold_written(hold, what, revision);
                break;
        case REGISTRY_E_CONFLICT:
        case REGISTRY_E_UNKNOWN:
                hold_look(hold);
                /* Where the row was another by then its change is on its way, and comes by itself;
                 * the pause keeps this from turning round and round until then. */
                hold_retry_later(hold);
                break;
        default:
                hold_retry_later(hold);
        }
        agent_mark_work(hold->unit);
        agent_mark_report(hold->unit);
}

static void hold_write(AgentHold *hold, HoldWrite what) {
        AgentUnit *unit = hold->unit;
        Agent *agent = unit->agent;
        const RecordKey key = { .kind = RECORD_HOLD, .unit = unit->name };
        HoldRecord record = { .machine = agent->machine, .stop_s = unit->row.exclusive_s };

        registry_write_begin(&hold->write, agent->registry);
        registry_write_if_open(&hold->write);
        registry_write_if_modified_at(&hold->write, key, hold->revision);
        if (what == HOLD_TAKING) {
                const RecordKey row = { .kind = RECORD_SCHEDULE,
                                        .machine = agent->machine,
                                        .unit = unit->name };

                registry_write_if_modified_at(&hold->write, row, unit->row_revision);
                registry_write_put_hold(&hold->write, unit->name, &record);
        } else
                registry_write_delete_hold(&hold->write, unit->name, agent->machine);
        if (registry_write_commit(&hold->write, on_written) < 0) {
                hold_retry_later(hold);
                return;
        }

        hold->sent_stop_s = record.stop_s;
        hold->sent_member = agent->member_revision;
        hold->writing = what;
        agent->n_hold_writes++;
}

/* Deciding */

static bool hold_can_write(const AgentHold *hold) {
        return hold->writing == HOLD_IDLE && !timer_is_set(&hold->retry) &&
               (!hold->follow.registry || hold->follow.is_synced);
}

static void unit_take(AgentUnit *unit) {
        AgentHold *hold = hold_get(unit);

        if (!hold || !agent_may_run_exclusive(unit->agent) || unit->is_barred || hold->is_others ||
            !hold_can_write(hold))
                return;
        hold_write(hold, HOLD_TAKING);
}

static void unit_give(AgentUnit *unit) {
        AgentHold *hold = unit->hold;

        hold->is_sure = false;
        if (!hold_can_write(hold))
                return;
        if (hold->revision > 0)
                hold_write(hold, HOLD_GIVING);
        else
                hold_free(hold);
}

void agent_hold_update(AgentUnit *unit, bool must_wait_first) {
        const HostUnit *host_unit = host_find(unit->agent->host, unit->name);
        bool is_host_there = is_there(unit);
        bool is_wanted = row_is_exclusive(unit) || unit->is_row_bad;

        if (unit->is_barred && !unit->op && !is_host_there) {
                agent_exclusive_stopped(unit);
                unit->is_barred = false;
        }
        if (unit->op)
                return;

        /* A hold that says another time is written anew only while nothing runs here that may take
         * longer. */
        if (!must_wait_first && row_is_exclusive(unit) && !hold_is_good(unit) &&
            (!unit->hold || !unit->hold->is_sure || !is_host_there ||
             !agent_is_running(host_unit->active)))
                unit_take(unit);
        else if (unit->hold && !is_wanted &&
                 (!is_host_there || (agent_row(unit) && streq(host_unit->hash, unit->row.file))))
                unit_give(unit);
}

static AgentHold *hold_get(AgentUnit *unit) {
        Agent *agent = unit->agent;

        if (unit->hold)
                return unit->hold;

        unit->hold = calloc(1, sizeof(*unit->hold));
        if (!unit->hold)
                return NULL;
        unit->hold->unit = unit;
        unit->hold->retry.fn = on_retry;
        agent->n_holds++;
        agent_watch_deadline(agent);
        if (agent_may_run_exclusive(agent))
                agent_keep_guard(agent);
        return unit->hold;
}

void agent_adopt_hold(AgentUnit *unit, const Record *record) {
        AgentHold *hold = record->is_bad ? NULL : hold_get(unit);

        if (!hold || hold->writing != HOLD_IDLE || hold->follow.registry ||
            hold->revision >= record->mod_revision)
                return;

        hold->revision = record->mod_revision;
        hold->stop_s = record->hold.stop_s;
        hold->is_sure = false;
        agent_mark_work(unit);
}

void agent_end_interrupted(AgentUnit *unit) {
        const HostUnit *host_unit = host_find(unit->agent->host, unit->name);
        bool is_ending = host_unit && streq(host_unit->active, "deactivating");

        agent_note_lapse(unit->agent);
        if ((unit->agent->has_lapsed || is_ending) && row_is_exclusive(unit) &&
            unit->row.desired == JOB_STATE_LAUNCHED)
                unit_bar(unit);
}

void agent_hold_close(AgentUnit *unit) {
        if (!unit->hold)
                return;
        registry_follow_stop(&unit->hold->follow);
        timer_clear(&unit->hold->retry);
        registry_write_cancel(&unit->hold->write);
}

void agent_hold_free(AgentUnit *unit) {
        if (unit->hold)
                hold_free(unit->hold);
}
