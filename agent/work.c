/* SPDX-License-Identifier: Apache-2.0 */

/* The agent: steps.
 *
 *   marked --agent_plan()--> WAIT:  until other machines have ended it (after.c), or it has the
 *                                   hold of an Exclusive unit (exclusive.c)
 *                            KEEP:  until another machine runs it (handover.c)
 *                            LOAD, MEND: fetch the content, give it to the host
 *                            START, RESTART, STOP, UNLOAD: ask the host
 *                            DONE:  the request is fulfilled
 *                            FORGET: nothing of the unit is left to be done
 *
 * A unit has one step under way at most; its end marks the unit, and the next step is decided upon
 * in the new situation. A failed load or start ends the request, with the reason: to try again is
 * the user's or systemd's (Restart=) business. What fails for want of an answer (store or systemd
 * out of reach) is tried again, with back-off, and so is a step that leaves everything as it was. A
 * load for which the machine lacks room is both: whoever waits is told, and it is tried again.
 * Units that wait for the same content share its read.
 *
 * A restart that is asked for while one is under way follows it; where the end of one was not
 * learned (systemd or the daemon went away) it is done again. Rather twice than never.
 */

#include <assert.h>
#include <errno.h>
#include <syslog.h>

#include "agent/agent-private.h"
#include "agent/exclusive.h"
#include "agent/leave.h"
#include "lib/base/log.h"

enum {
        WORK_BACKOFF_MIN_MS = 100,
        WORK_BACKOFF_MAX_MS = 30000,
};

/* Ends of steps */

static void unit_set_done(AgentUnit *unit, uint64_t generation, const char *why) {
        free(TAKE(unit->why));
        if (why) {
                unit->why = strdup(why);
                log_unit(LOG_WARNING, unit->name, "%s: %s", unit->name, why);
        }
        unit->done_generation = generation;
        unit->lacks = false;
        agent_mark_report(unit);
}

static void unit_retry_later(AgentUnit *unit) {
        Agent *agent = unit->agent;
        uint64_t jitter_ms;

        unit->backoff_ms = unit->backoff_ms ? unit->backoff_ms * 2 : WORK_BACKOFF_MIN_MS;
        if (unit->backoff_ms > WORK_BACKOFF_MAX_MS)
                unit->backoff_ms = WORK_BACKOFF_MAX_MS;
        jitter_ms = env_random_below(loop_env(agent->loop), unit->backoff_ms / 4 + 1);
        timer_set_in(agent->loop, &unit->retry, (unit->backoff_ms + jitter_ms) * US_PER_MS);
}

void agent_on_retry(LoopTimer *timer) {
        agent_mark_work(container_of(timer, AgentUnit, retry));
}

/* Frees the unit's step, and marks the unit for the next one. */
static void op_end(AgentOp *op) {
        AgentUnit *unit = op->unit;

        assert(!op->file);

        unit->op = NULL;
        unit->agent->n_ops--;
        free(op);
        agent_mark_work(unit);
        agent_mark_report(unit);
        if (unit->agent->is_closing)
                agent_maybe_closed(unit->agent);
}

static bool op_starts(const AgentOp *op) {
        return op->step == AGENT_STEP_START || op->step == AGENT_STEP_RESTART;
}

/* The unit was started anew, well or not: so every restart that was asked for before is done. */
static void op_set_restarted(const AgentOp *op) {
        if (op_starts(op) && op->unit->restarted < op->restart)
                op->unit->restarted = op->restart;
}

/* A start whose end was not learned may yet happen: its job is in systemd's queue, and the unit is
 * seen inactive until it is carried out. The end of the next start, or stop, settles it. */
static void op_note_start(AgentOp *op, bool may_happen) {
        if (op_starts(op) || (op->step == AGENT_STEP_STOP && !may_happen))
                op->unit->may_start = may_happen;
}

static void op_fail(AgentOp *op, const char *why) {
        AgentUnit *unit = op->unit;

        unit->agent->stats.n_failures++;
        if (op->step == AGENT_STEP_LOAD)
                unit->reached = JOB_STATE_INACTIVE;
        op_set_restarted(op);
        op_note_start(op, false);
        if (op->step == AGENT_STEP_LOAD || op_starts(op))
                unit_set_done(unit, op->generation, why);
        else {
                log_unit(LOG_WARNING, unit->name, "Cannot %s %s: %s",
                         agent_step_to_string(op->step), unit->name, why);
                unit_retry_later(unit);
        }
        op_end(op);
}

/* The same failure again is no news. */
static void op_lack(AgentOp *op, const char *why) {
        AgentUnit *unit = op->unit;

        if (!unit->lacks || unit->done_generation != op->generation ||
            !streq_optional(unit->why, why)) {
                unit->agent->stats.n_failures++;
                unit->reached = JOB_STATE_INACTIVE;
                unit_set_done(unit, op->generation, why);
                unit->lacks = true;
        }
        unit->last_step = AGENT_STEP_NONE;
        unit_retry_later(unit);
        op_end(op);
}

static void op_succeed(AgentOp *op) {
        static const JobState reached[_AGENT_STEP_MAX] = {
                [AGENT_STEP_LOAD] = JOB_STATE_LOADED,      [AGENT_STEP_START] = JOB_STATE_LAUNCHED,
                [AGENT_STEP_RESTART] = JOB_STATE_LAUNCHED, [AGENT_STEP_STOP] = JOB_STATE_LOADED,
                [AGENT_STEP_UNLOAD] = JOB_STATE_INACTIVE,
        };
        AgentUnit *unit = op->unit;

        if (op->step != AGENT_STEP_MEND)
                unit->reached = reached[op->step];
        if (op->step == AGENT_STEP_STOP)
                agent_exclusive_stopped(unit);
        op_set_restarted(op);
        op_note_start(op, false);
        if (op->step == AGENT_STEP_LOAD && unit->lacks) {
                unit->lacks = false;
                unit->done_generation = 0;
                free(TAKE(unit->why));
        }
        if (op_starts(op))
                unit_set_done(unit, op->generation, NULL);
        op_end(op);
}

static void on_host_done(HostRequest *request, int status, const char *why) {
        AgentOp *op = container_of(request, AgentOp, request);

        switch (status) {
        case 0:
                op_succeed(op);
                break;
        case -ECANCELED:
        case -ENOTCONN:
                /* The next decision sees what has become of it; without systemd it waits until that
                 * is back. */
                op_note_start(op, true);
                op_end(op);
                break;
        case HOST_E_LOAD:
        case HOST_E_JOB:
        case HOST_E_NO_UNIT:
                op_fail(op, why);
                break;
        case HOST_E_LACK:
                if (op->step == AGENT_STEP_LOAD)
                        op_lack(op, why);
                else
                        op_fail(op, why);
                break;
        default:
                log_unit(LOG_WARNING, op->unit->name, "Cannot %s %s, trying again: %s",
                         agent_step_to_string(op->step), op->unit->name,
                         why ? why : strerror(-status));
                unit_retry_later(op->unit);
                op_end(op);
        }
}

/* Content */

static void op_load(AgentOp *op, const char *text, size_t n_bytes) {
        Agent *agent = op->unit->agent;
        int r = host_load(agent->host, &op->request, op->unit->name, text, n_bytes, on_host_done);

        if (r < 0) {
                unit_retry_later(op->unit);
                op_end(op);
        }
}

/* One of those who waited for the content gets it, or hears why not. */
static void op_on_file(AgentOp *op, int status, const Record *record) {
        op->file = NULL;

        if (op->unit->agent->is_closing || status == -ECANCELED)
                op_end(op);
        else if (status != 0) {
                unit_retry_later(op->unit);
                op_end(op);
        } else if (!record)
                op_fail(op, "its unit file is missing in the store");
        else if (record->is_bad)
                op_fail(op, "its unit file in the store is broken: the content does not have the "
                            "hash that it is stored under");
        else
                op_load(op, record->text, record->n_text_bytes);
}

static void on_file(RegistryRead *read, int status, const RegistryPage *page) {
        AgentFile *file = container_of(read, AgentFile, read);
        Agent *agent = file->agent;
        const Record *record = status == 0 && page->n_records > 0 ? &page->records[0] : NULL;
        ListNode *node;

        if (status != 0 && status != -ECANCELED)
                log_line(LOG_NOTICE, "Cannot fetch a unit file, trying again: %s",
                         registry_outcome_to_string(status));

        if (file->node.key)
                hash_map_remove(&agent->files, &file->node);
        while ((node = list_pop(&file->waiters)))
                op_on_file(container_of(node, AgentOp, file_node), status, record);
        free(file);
        if (agent->is_closing)
                agent_maybe_closed(agent);
}

static AgentFile *agent_file(Agent *agent, const char *hash) {
        const RegistryRange range = { .key = { .kind = RECORD_FILE, .unit = hash } };
        HashNode *node = hash_map_get(&agent->files, hash);
        AgentFile *file;

        if (node)
                return container_of(node, AgentFile, node);

        file = calloc(1, sizeof(*file));
        if (!file)
                return NULL;

        file->agent = agent;
        memcpy(file->hash, hash, strnlen(hash, UNIT_HASH_BYTES - 1));
        if (registry_read(agent->registry, &file->read, &range, on_file) < 0) {
                free(file);
                return NULL;
        }

        /* Out of memory. The read cannot be taken back without its callback, so it ends as
         * cancelled, and the unit's next decision reads again. */
        if (hash_map_put(&agent->files, &file->node, file->hash) < 0)
                registry_read_cancel(&file->read);
        return file;
}

/* Deciding */

static int op_begin(AgentUnit *unit, AgentOp *op) {
        Host *host = unit->agent->host;
        int r;

        switch (op->step) {
        case AGENT_STEP_LOAD:
                /* What was done with other content has to be done again. */
                if (!unit->lacks)
                        unit->done_generation = 0;
                __attribute__((fallthrough));
        case AGENT_STEP_MEND:
                op->file = agent_file(unit->agent, unit->row.file);
                if (!op->file)
                        return -ENOMEM;
                list_append(&op->file->waiters, &op->file_node);
                return 0;
        case AGENT_STEP_START:
                r = agent_exclusive_starts(unit);
                if (r < 0)
                        return r;
                unit->reached = JOB_STATE_LAUNCHED;
                return host_unit_start(host, &op->request, unit->name, on_host_done);
        case AGENT_STEP_RESTART:
                unit->reached = JOB_STATE_LAUNCHED;
                return host_unit_restart(host, &op->request, unit->name, on_host_done);
        case AGENT_STEP_STOP:
                return host_unit_stop(host, &op->request, unit->name, on_host_done);
        case AGENT_STEP_UNLOAD:
                return host_unload(host, &op->request, unit->name, on_host_done);
        default:
                assert(false);
                return -EINVAL;
        }
}

static void unit_begin(AgentUnit *unit, AgentStep step) {
        Agent *agent = unit->agent;
        AgentOp *op = calloc(1, sizeof(*op));
        int r = -ENOMEM;

        if (op) {
                *op = (AgentOp){ .unit = unit,
                                 .step = step,
                                 .generation = unit->row.generation,
                                 .restart = unit->row.restart,
                                 .desired = unit->row.desired };
                r = op_begin(unit, op);
        }
        if (r < 0) {
                free(op);
                unit_retry_later(unit);
                return;
        }

        if (step == AGENT_STEP_MEND)
                log_unit(LOG_NOTICE, unit->name,
                         "The file of %s was changed or removed by hand: putting it back; the unit "
                         "is not restarted",
                         unit->name);
        log_unit(LOG_DEBUG, unit->name, "%s: %s", unit->name, agent_step_to_string(step));
        unit->op = op;
        unit->last_step = step;
        agent->n_ops++;
        agent->stats.n_actions++;
}

/* A host that still shows the unit as it was before a step that ended well is given time to catch
 * up. */
static bool unit_repeats_itself(const AgentUnit *unit, AgentStep step) {
        return unit->last_step == step && (step == AGENT_STEP_LOAD || step == AGENT_STEP_MEND ||
                                           step == AGENT_STEP_STOP || step == AGENT_STEP_UNLOAD);
}

static void unit_forget(AgentUnit *unit) {
        unit->reached = JOB_STATE_INACTIVE;
        unit->done_generation = 0;
        free(TAKE(unit->why));
        agent_mark_report(unit);
}

/* A unit whose start failed may come up by itself (Restart=) or by an operator's hand: then the
 * reason is history. */
static void unit_recover(AgentUnit *unit, const HostUnit *host_unit) {
        if (unit->why && host_unit && unit->has_row && streq(host_unit->hash, unit->row.file) &&
            streq(host_unit->active, "active"))
                free(TAKE(unit->why));
}

/* What an earlier run had done is not begun again, but for what the guard has ended since. */
static void unit_check_adopted(AgentUnit *unit) {
        if (unit->is_adopted)
                agent_end_interrupted(unit);
        /* It did not come here before it was free to. */
        if (unit->is_adopted && unit->done_generation > 0)
                unit->is_free = true;
        unit->is_adopted = false;
}

static AgentStep unit_plan(const AgentUnit *unit, const HostUnit *host_unit) {
        bool empties = unit->agent->stay == AGENT_EMPTIES;
        const AgentSituation situation = {
                .row = agent_row(unit),
                .is_row_bad = unit->is_row_bad && !empties,
                .hash = host_unit ? host_unit->hash : NULL,
                .active = host_unit ? host_unit->active : "",
                .done_generation = unit->done_generation,
                .is_failed = unit->why && !unit->lacks,
                .is_lacking = unit->lacks,
                .is_restart_due = unit->row.restart > unit->restarted,
                .must_wait = agent_must_wait(unit) || agent_hold_is_wanted(unit),
                /* Who gets it next waits for this machine's hold. */
                .is_let_go = unit->is_let_go || unit->hold || empties,
                .is_barred = unit->is_barred,
                .must_stop = unit->must_stop || unit->may_start,
        };
        bool may_bring = unit->agent->stay == AGENT_STAYS && agent_view_is_current(unit->agent);
        AgentStep step = agent_plan(&situation);

        /* What leaves begins nothing, nor does who may have lost the row meanwhile. */
        return may_bring || !agent_step_brings(step) ? step : AGENT_STEP_NONE;
}

static void unit_decide(AgentUnit *unit) {
        const HostUnit *host_unit = host_find(unit->agent->host, unit->name);
        AgentStep step;

        unit_check_adopted(unit);
        unit_recover(unit, host_unit);
        agent_hold_update(unit, agent_must_wait(unit));
        step = unit_plan(unit, host_unit);
        if (step == AGENT_STEP_WAIT && !agent_must_wait(unit)) {
                agent_wait_end(unit);
                return;
        }
        if (step == AGENT_STEP_WAIT || step == AGENT_STEP_KEEP) {
                int r = step == AGENT_STEP_WAIT ? agent_after_begin(unit)
                                                : agent_handover_begin(unit);

                if (r < 0)
                        unit_retry_later(unit);
                return;
        }
        agent_wait_end(unit);
        if (step == AGENT_STEP_NONE)
                return;
        if (step == AGENT_STEP_FORGET) {
                unit_forget(unit);
                return;
        }
        if (step == AGENT_STEP_DONE) {
                unit->reached = unit->row.desired;
                unit->last_step = AGENT_STEP_NONE;
                unit_set_done(unit, unit->row.generation, NULL);
                return;
        }

        if (unit_repeats_itself(unit, step)) {
                unit->last_step = AGENT_STEP_NONE;
                unit_retry_later(unit);
                return;
        }
        unit_begin(unit, step);
}

void agent_work(Agent *agent) {
        List marked = { 0 };
        ListNode *node;

        agent_exclusive_check(agent);
        if (!agent->was_synced || !agent->was_member || !host_is_ready(agent->host))
                return;

        list_splice(&marked, &agent->to_work);
        while ((node = list_pop(&marked))) {
                AgentUnit *unit = container_of(node, AgentUnit, work_node);

                if (!unit->op && !timer_is_set(&unit->retry))
                        unit_decide(unit);
        }
}

void agent_give_up_start(AgentUnit *unit) {
        if (unit->op && op_starts(unit->op))
                host_cancel(&unit->op->request);
}

void agent_reconsider_op(AgentUnit *unit) {
        AgentOp *op = unit->op;
        const HostUnit *host_unit;

        /* Only a start may take for ever, and only what undoes it may cut it short: the user does
         * not want it any more, wants other content, or a restart. A restart is not cut short by
         * the next: systemd would take both for one. */
        if (!op || !op_starts(op))
                return;
        host_unit = host_find(unit->agent->host, unit->name);
        if (!agent_row(unit) || unit->row.desired != op->desired || !host_unit ||
            !streq(host_unit->hash, unit->row.file) ||
            (op->step == AGENT_STEP_START && unit->row.restart > op->restart))
                host_cancel(&op->request);
}
