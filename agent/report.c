/* SPDX-License-Identifier: Apache-2.0 */

/* The agent: what goes out.
 *
 * States that differ from what the store has are gathered and sent in one transaction, on
 * average at most every report_interval_us, the first few after a rest at once. A unit that is
 * being worked on is not reported for a while: the end of its step is what others wait for, and a
 * report of its middle would only put that off. A unit that changes by itself again and again, like
 * a service that systemd restarts as soon as it has died, is reported once a second: its state as
 * of then. What answers a request, or is the first or last of a unit, never waits for that.
 *
 * Every row compares the revision that this machine wrote or read last, so that a copy of a report
 * which arrives late changes nothing. When a report is refused or its outcome is unknown, the rows
 * are listed again (with the schedule) and what differs is sent again.
 */

#include <errno.h>
#include <syslog.h>

#include "agent/agent-private.h"
#include "agent/exclusive.h"
#include "agent/leave.h"
#include "lib/base/log.h"

enum {
        REPORT_ROWS_MAX = STORE_TXN_OPS_MAX - 8,
        REPORT_PATIENCE_US = 500 * US_PER_MS, /* then a unit is reported in the middle of a step */
        REPORT_BURST = 4,                     /* reports that go without a pause after a rest */
        REPORT_LATE_US = 5 * US_PER_S,        /* a report that has waited for so long is late */
        REPORT_RETRY_US = 500 * US_PER_MS,    /* after a report that failed */

        /* One unit's reports, and how many follow each other at once after a rest. */
        REPORT_UNIT_INTERVAL_US = US_PER_S,
        REPORT_UNIT_BURST = 4,
};

void agent_mark_report(AgentUnit *unit) {
        Agent *agent = unit->agent;

        if (unit->report_since_us == 0)
                unit->report_since_us = loop_now_us(agent->loop) + 1;
        if (unit->is_sent)
                unit->is_again = true;
        else if (!list_node_is_linked(&unit->report_node))
                list_append(&agent->to_report, &unit->report_node);
}

/* Is it on the machine: its file, or, where somebody took that away, what runs? */
static bool host_unit_is_there(const HostUnit *host_unit) {
        return host_unit && (host_unit->hash[0] != '\0' || agent_is_running(host_unit->active));
}

/* Is there anything to tell of the unit? Else its record goes. */
static bool unit_has_state(const AgentUnit *unit, const HostUnit *host_unit) {
        return agent_row(unit) || unit->is_row_bad || host_unit_is_there(host_unit);
}

/* The state as it is now; strings borrowed. */
static StateRecord unit_state(const AgentUnit *unit, const HostUnit *host_unit) {
        bool is_there = host_unit_is_there(host_unit);
        StateRecord state = {
                .load = (char *)(is_there && *host_unit->load ? host_unit->load
                                 : is_there                   ? "loaded"
                                                              : "not-found"),
                .active = (char *)(is_there && *host_unit->active ? host_unit->active : "inactive"),
                .sub = (char *)(is_there && *host_unit->sub ? host_unit->sub : "dead"),
                .state = unit->reached,
                .generation = unit->done_generation,
                .waits = (char *)(unit->wait ? agent_wait_text(unit) : agent_hold_text(unit)),
                .why = unit->why,
        };

        if (is_there)
                memcpy(state.hash, host_unit->hash, sizeof(state.hash));

        /* After a restart of the daemon: what is there has been loaded at least. */
        if (is_there && state.state == JOB_STATE_INACTIVE)
                state.state = agent_is_running(state.active) ? JOB_STATE_LAUNCHED
                                                             : JOB_STATE_LOADED;
        return state;
}

static uint64_t digest_bytes(uint64_t digest, const void *bytes, size_t n_bytes) {
        const unsigned char *byte = bytes;

        for (size_t i = 0; i < n_bytes; i++)
                digest = (digest ^ byte[i]) * UINT64_C(0x100000001b3);
        return digest;
}

static uint64_t digest_string(uint64_t digest, const char *string) {
        return digest_bytes(digest, string ? string : "", string ? strlen(string) + 1 : 1);
}

/* FNV-1a over the fields; never 0. */
static uint64_t state_digest(const StateRecord *state) {
        uint64_t digest = UINT64_C(0xcbf29ce484222325);

        digest = digest_string(digest, state->load);
        digest = digest_string(digest, state->active);
        digest = digest_string(digest, state->sub);
        digest = digest_string(digest, state->hash);
        digest = digest_string(digest, state->waits);
        digest = digest_string(digest, state->why);
        digest = digest_bytes(digest, &state->state, sizeof(state->state));
        digest = digest_bytes(digest, &state->generation, sizeof(state->generation));
        return digest ? digest : 1;
}

void agent_adopt_state(AgentUnit *unit, const Record *record) {
        const StateRecord *state = &record->state;

        unit->state_revision = record->mod_revision;
        unit->state_lease = record->lease;
        unit->digest = record->is_bad ? 0 : state_digest(state);
        unit->generation = record->is_bad ? 0 : state->generation;
        agent_mark_report(unit);

        /* What an earlier run brought to its end is not begun again. One before the machine's boot
         * had another lease: what it started is gone, whatever its states still say. */
        if (!record->is_bad && !unit->agent->was_synced && record->lease != 0 &&
            record->lease == unit->agent->earlier_lease) {
                unit->is_adopted = true;
                unit->done_generation = state->generation;
                unit->reached = state->state;
                free(TAKE(unit->why));
                unit->why = state->why ? strdup(state->why) : NULL;
        }
}

/* Puts one unit into the report. Returns whether it went in. */
static bool report_add(Agent *agent, AgentUnit *unit) {
        const HostUnit *host_unit = host_find(agent->host, unit->name);
        RecordKey key = { .kind = RECORD_STATE, .machine = agent->machine, .unit = unit->name };
        StateRecord state;

        if (!unit_has_state(unit, host_unit)) {
                unit->sent_digest = 0;
                if (unit->state_revision == 0)
                        return false;
                registry_write_if_modified_at(&agent->write, key, unit->state_revision);
                registry_write_delete(&agent->write, key);
                return true;
        }

        state = unit_state(unit, host_unit);
        unit->sent_digest = state_digest(&state);
        unit->sent_generation = state.generation;
        if (unit->state_revision > 0 && unit->state_lease == agent->lease &&
            unit->digest == unit->sent_digest)
                return false;
        registry_write_if_modified_at(&agent->write, key, unit->state_revision);
        /* A late copy of a first report finds nothing that it could contradict. Once the unit is
         * not scheduled here any more, nobody would remove what it leaves. */
        if (unit->state_revision == 0 && unit->has_row)
                registry_write_if_present(&agent->write, (RecordKey){ .kind = RECORD_SCHEDULE,
                                                                      .machine = agent->machine,
                                                                      .unit = unit->name });
        registry_write_put_state(&agent->write, agent->machine, unit->name, &state, agent->lease);
        return true;
}

/* A unit that is neither scheduled nor there, and of which the store has no state, is forgotten. */
static void unit_collect(AgentUnit *unit) {
        const HostUnit *host_unit = host_find(unit->agent->host, unit->name);

        if (!unit->op && !unit->hold && !unit->is_sent && unit->state_revision == 0 &&
            !unit_has_state(unit, host_unit) && !list_node_is_linked(&unit->work_node))
                agent_unit_free(unit);
}

/* Would a report of the unit only say that it changed by itself? */
static bool unit_is_unasked(const AgentUnit *unit) {
        return unit->state_revision > 0 && unit->state_lease == unit->agent->lease &&
               unit->done_generation == unit->generation &&
               unit_has_state(unit, host_find(unit->agent->host, unit->name));
}

/* When the unit may be reported; not later than now = it may. */
static uint64_t unit_due_us(const AgentUnit *unit) {
        bool is_in_its_middle = unit->op || unit->wait;
        uint64_t middle_us = is_in_its_middle ? unit->report_since_us + REPORT_PATIENCE_US : 0;
        uint64_t pace_us = unit_is_unasked(unit) && !unit->agent->is_closing ? unit->pace.due_us
                                                                             : 0;

        return middle_us > pace_us ? middle_us : pace_us;
}

/* Takes what can go from the marked units into the transaction. Returns when the next of those that
 * stay may go. */
static uint64_t report_fill(Agent *agent) {
        uint64_t now_us = loop_now_us(agent->loop), next_us = UINT64_MAX;
        List later = { 0 };
        ListNode *node;

        while (registry_write_size(&agent->write) < REPORT_ROWS_MAX &&
               (node = list_pop(&agent->to_report))) {
                AgentUnit *unit = container_of(node, AgentUnit, report_node);

                uint64_t due_us = unit_due_us(unit);

                if (due_us > now_us) {
                        list_append(&later, node);
                        next_us = due_us < next_us ? due_us : next_us;
                        continue;
                }

                unit->report_since_us = 0;
                unit->is_sent = report_add(agent, unit);
                if (unit->is_sent) {
                        pace_take(&unit->pace, now_us, REPORT_UNIT_INTERVAL_US, REPORT_UNIT_BURST);
                        list_append(&agent->in_report, node);
                } else
                        unit_collect(unit);
        }

        list_splice(&agent->to_report, &later);
        return next_us;
}

static void report_ended(AgentUnit *unit, int status, int64_t revision) {
        Agent *agent = unit->agent;
        bool is_again = unit->is_again || status != 0;

        unit->is_sent = unit->is_again = false;
        if (status == 0) {
                unit->state_revision = unit->sent_digest ? revision : 0;
                unit->state_lease = agent->sent_lease;
                unit->digest = unit->sent_digest;
                unit->generation = unit->sent_generation;
                /* It may have waited for that (agent_hold_is_wanted()). */
                if (unit->row.exclusive_s > 0)
                        agent_mark_work(unit);
        }

        if (is_again)
                agent_mark_report(unit);
        else
                unit_collect(unit);
}

static void on_reported(RegistryWrite *write, int status, int64_t revision) {
        Agent *agent = container_of(write, Agent, write);
        ListNode *node;

        if (own_writes_ended(&agent->own, revision) && !agent->is_closing)
                agent_mend_states(agent);
        while ((node = list_pop(&agent->in_report)))
                report_ended(container_of(node, AgentUnit, report_node), status, revision);

        if (agent->is_closing) {
                /* What was marked meanwhile goes, too, while there is time. */
                if (status == 0 && timer_is_set(&agent->grace))
                        agent_report(agent);
                if (timer_is_set(&agent->grace) && !registry_write_is_pending(&agent->write))
                        agent_close_rest(agent);
                agent_maybe_closed(agent);
                return;
        }

        if (status == 0)
                return;
        log_line(LOG_DEBUG, "Cannot report states: %s", registry_outcome_to_string(status));
        agent->pace.due_us = loop_now_us(agent->loop) + REPORT_RETRY_US;
        if (status == REGISTRY_E_CONFLICT || status == REGISTRY_E_UNKNOWN)
                registry_follow_restart(&agent->follow);
}

void agent_on_report_timer(LoopTimer *timer) {
        /* It only ends the wait: the hook of the turn reports. */
        (void)timer;
}

/* Returns when what stays behind may go. */
static uint64_t report_send(Agent *agent) {
        uint64_t next_us;
        int r;

        registry_write_begin(&agent->write, agent->registry);
        next_us = report_fill(agent);
        if (list_is_empty(&agent->in_report))
                return next_us;

        /* After a rest some may follow each other at once, so that one change after the other by a
         * user is not made to wait, and a storm still is. */
        pace_take(&agent->pace, loop_now_us(agent->loop), agent->report_interval_us, REPORT_BURST);
        agent->sent_lease = agent->lease;
        agent->stats.n_reports++;
        r = registry_write_commit(&agent->write, on_reported);
        if (r < 0)
                on_reported(&agent->write, r, 0);
        return next_us;
}

void agent_report(Agent *agent) {
        uint64_t next_us = 0;

        if (agent->lease == 0 || !agent->was_synced || !agent->follow.is_synced ||
            list_is_empty(&agent->to_report) || registry_write_is_pending(&agent->write) ||
            !host_is_ready(agent->host))
                return;

        if (loop_now_us(agent->loop) >= agent->pace.due_us || agent->is_closing)
                next_us = report_send(agent);

        /* Full transactions leave units behind that may go with the next. */
        if (next_us < agent->pace.due_us || next_us == UINT64_MAX)
                next_us = agent->pace.due_us;
        if (list_is_empty(&agent->to_report) || agent->is_closing)
                timer_clear(&agent->report);
        else
                timer_set_at(agent->loop, &agent->report, next_us);
}

uint64_t agent_count_late(const Agent *agent) {
        uint64_t now_us = loop_now_us(agent->loop), n = 0;

        for (const ListNode *node = list_first(&agent->to_report); node;
             node = list_next(&agent->to_report, node)) {
                const AgentUnit *unit = container_of(node, AgentUnit, report_node);

                n += unit->report_since_us > 0 && now_us >= unit->report_since_us &&
                     now_us - unit->report_since_us >= REPORT_LATE_US;
        }
        return n;
}

static DumpUnit unit_dump(const AgentUnit *unit) {
        const HostUnit *host_unit = host_find(unit->agent->host, unit->name);
        DumpUnit dump = {
                .name = unit->name,
                .target = unit->has_row ? job_state_to_string(unit->row.desired) : NULL,
                .has_state = unit_has_state(unit, host_unit),
                .is_published = unit->state_revision > 0,
                .is_subscribed = host_unit,
        };

        if (dump.has_state)
                dump.state = unit_state(unit, host_unit);
        dump.is_to_publish = dump.has_state ? !dump.is_published ||
                                                      unit->state_lease != unit->agent->lease ||
                                                      unit->digest != state_digest(&dump.state)
                                            : dump.is_published;
        return dump;
}

static int compare_names(const void *a, const void *b) {
        return strcmp(((const DumpUnit *)a)->name, ((const DumpUnit *)b)->name);
}

int agent_dump(const Agent *agent, DumpUnit **ret_units, size_t *ret_n_units) {
        DumpUnit *units = calloc(agent->units.n_nodes + 1, sizeof(*units));
        size_t n = 0;

        if (!units)
                return -ENOMEM;

        for (HashNode *node = hash_map_first(&agent->units); node;
             node = hash_map_next(&agent->units, node))
                units[n++] = unit_dump(container_of(node, AgentUnit, node));
        qsort(units, n, sizeof(*units), compare_names);
        *ret_units = units;
        *ret_n_units = n;
        return 0;
}
