/* SPDX-License-Identifier: Apache-2.0 */

/* The agent: what comes in.
 *
 * Two sources mark units: the schedule (a follower of schedule/<machine>/, and, listed with it at
 * the same revision, the states in state/<machine>/, which an earlier run left) and the host. Once a
 * turn the marked units are decided upon (work.c) and the states that differ are sent (report.c).
 *
 * Nothing is decided before the schedule was known once, this machine was a member of the cluster
 * once, and the host's view is complete: a machine that is kept out because another has its ID must
 * not run what is scheduled to that one. While a list is under way again, or the store is out of
 * reach, the rows known last stand: a unit loses its row only when a complete list does not have
 * it, or when the watch saw it go.
 */

#include "agent/agent.h"

#include <assert.h>
#include <errno.h>
#include <syslog.h>

#include "agent/agent-private.h"
#include "agent/exclusive.h"
#include "agent/leave.h"
#include "lib/base/log.h"

enum {
        AGENT_CLOSE_GRACE_US = US_PER_S,
        AGENT_MEND_US = US_PER_S, /* what others did to states is gathered for so long */
};

/* The unit of this name, made if there is none; NULL on out of memory. */
static AgentUnit *agent_unit(Agent *agent, const char *name) {
        HashNode *node = hash_map_get(&agent->units, name);
        AgentUnit *unit;

        if (node)
                return container_of(node, AgentUnit, node);

        unit = calloc(1, sizeof(*unit));
        if (!unit)
                return NULL;

        unit->agent = agent;
        unit->retry.fn = agent_on_retry;
        unit->name = strdup(name);
        if (!unit->name || hash_map_put(&agent->units, &unit->node, unit->name) < 0) {
                free(unit->name);
                free(unit);
                return NULL;
        }
        return unit;
}

void agent_unit_free(AgentUnit *unit) {
        assert(!unit->op);
        assert(!unit->is_sent);

        agent_wait_end(unit);
        agent_hold_free(unit);
        timer_clear(&unit->retry);
        list_remove(&unit->work_node);
        list_remove(&unit->report_node);
        hash_map_remove(&unit->agent->units, &unit->node);
        schedule_record_done(&unit->row);
        free(unit->why);
        free(unit->name);
        free(unit);
}

void agent_mark_work(AgentUnit *unit) {
        if (!list_node_is_linked(&unit->work_node))
                list_append(&unit->agent->to_work, &unit->work_node);
}

void agent_mark_all(Agent *agent) {
        for (HashNode *node = hash_map_first(&agent->units); node;
             node = hash_map_next(&agent->units, node)) {
                AgentUnit *unit = container_of(node, AgentUnit, node);

                agent_mark_work(unit);
                agent_mark_report(unit);
        }
}

/* The schedule */

static void agent_out_of_memory(Agent *agent) {
        log_line(LOG_ERR, "Cannot keep the schedule: %s", strerror(ENOMEM));
        registry_follow_restart(&agent->follow);
}

static void on_reset(RegistryFollow *follow) {
        Agent *agent = container_of(follow, Agent, follow);

        for (HashNode *node = hash_map_first(&agent->units); node;
             node = hash_map_next(&agent->units, node)) {
                AgentUnit *unit = container_of(node, AgentUnit, node);

                unit->is_listed = false;
                unit->state_revision = 0;
                unit->digest = 0;
        }
}

/* What is new in this row besides the request? */
static void unit_take_row(AgentUnit *unit, ScheduleRecord row) {
        unit->is_let_go = unit->is_stuck = false;
        if (!strlist_equals(&unit->row.after, &row.after)) {
                unit->is_free = false;
                agent_wait_end(unit);
        }

        /* Found at the start: what an earlier run has reported is believed. Where there is no such
         * report the unit counts as restarted, or one that is well would be stopped because a lease
         * has ended. */
        if (!unit->agent->was_synced)
                unit->restarted = unit->is_adopted && unit->done_generation > 0
                                          ? unit->done_generation
                                          : row.restart;
        schedule_record_done(&unit->row);
        unit->row = row;
}

static void agent_set_row(AgentUnit *unit, const Record *record) {
        Agent *agent = unit->agent;
        ScheduleRecord row;

        if (!record->is_deleted && !record->is_bad &&
            schedule_record_copy(&record->schedule, &row) < 0) {
                agent_out_of_memory(agent);
                return;
        }
        unit->is_row_bad = record->is_bad;
        if (record->is_bad)
                return;

        unit->has_row = !record->is_deleted;
        unit->row_revision = record->mod_revision;
        unit_take_row(unit, record->is_deleted ? (ScheduleRecord){ 0 } : row);
        unit->backoff_ms = 0;
        unit->last_step = AGENT_STEP_NONE;
        timer_clear(&unit->retry);

        /* It may come back with the same request, which then has to be carried out again. Has it
         * done so while no daemon ran here, the state is older than the row. */
        if (record->is_deleted ||
            (!agent->was_synced && record->create_revision > unit->state_revision))
                unit->done_generation = 0;
        /* The state is written anew, though it may say the same: the next run is not to find it older
         * than the row. */
        if (!record->is_deleted && unit->state_revision > 0 &&
            record->create_revision > unit->state_revision) {
                unit->digest = 0;
                agent_mark_report(unit);
        }
        agent_reconsider_op(unit);
        agent_mark_work(unit);
}

static void on_record(RegistryFollow *follow, const Record *record) {
        Agent *agent = container_of(follow, Agent, follow);
        AgentUnit *unit;

        if (record->is_deleted && !hash_map_get(&agent->units, record->key.unit))
                return;

        unit = agent_unit(agent, record->key.unit);
        if (!unit) {
                agent_out_of_memory(agent);
                return;
        }

        if (record->key.kind == RECORD_STATE) {
                agent_adopt_state(unit, record);
                return;
        }
        if (record->key.kind == RECORD_HELD) {
                agent_adopt_hold(unit, record);
                return;
        }

        unit->is_listed = true;
        agent_set_row(unit, record);
}

bool agent_view_is_current(const Agent *agent) {
        return agent->view_revision >= agent->member_revision;
}

/* Looks at the schedule again, if what is known of it, or what the list under way will tell, is
 * older than the membership. Of which time a list is that has just begun is seen when it is
 * complete. */
static void agent_refresh(Agent *agent) {
        if (!agent_view_is_current(agent) && agent->follow.revision > 0 &&
            agent->follow.revision < agent->member_revision)
                registry_follow_restart(&agent->follow);
}

static void on_synced(RegistryFollow *follow, int64_t revision) {
        Agent *agent = container_of(follow, Agent, follow);
        static const Record gone = { .is_deleted = true };

        log_line(LOG_DEBUG, "Schedule of this machine complete at revision %lld",
                 (long long)revision);
        for (HashNode *node = hash_map_first(&agent->units); node;
             node = hash_map_next(&agent->units, node)) {
                AgentUnit *unit = container_of(node, AgentUnit, node);

                if (unit->is_listed)
                        continue;
                if (unit->has_row || unit->is_row_bad)
                        agent_set_row(unit, &gone);
                /* Of an earlier run that had its row: as above, it may come back. */
                unit->done_generation = 0;
        }

        agent->was_synced = true;
        agent->view_revision = revision;
        agent_refresh(agent);
        agent_mark_all(agent);
}

void agent_mend_states(Agent *agent) {
        if (timer_is_set(&agent->mend))
                return;

        log_line(LOG_DEBUG, "States of this machine were changed by others: looking at them again");
        timer_set_in(agent->loop, &agent->mend, AGENT_MEND_US);
}

static void on_noticed(RegistryFollow *follow, int64_t revision) {
        Agent *agent = container_of(follow, Agent, follow);

        if (own_writes_told(&agent->own, revision, registry_write_is_pending(&agent->write)))
                agent_mend_states(agent);
}

static void on_mend(LoopTimer *timer) {
        Agent *agent = container_of(timer, Agent, mend);

        if (!agent->is_closing)
                registry_follow_restart(&agent->follow);
}

static int agent_follow(Agent *agent) {
        static const RegistryFollowFns fns = { .on_reset = on_reset,
                                               .on_record = on_record,
                                               .on_noticed = on_noticed,
                                               .on_synced = on_synced };
        const RegistryFollowKey keys[] = {
                { .key = { .kind = RECORD_STATE, .machine = agent->machine }, .is_noticed = true },
                { .key = { .kind = RECORD_HELD, .machine = agent->machine }, .is_list_only = true },
                { .key = { .kind = RECORD_SCHEDULE, .machine = agent->machine } },
        };

        return registry_follow_start(agent->registry, &agent->follow, keys, ELEMENTSOF(keys), &fns);
}

/* The host */

static void on_host_unit(const HostUnit *host_unit, void *userdata) {
        Agent *agent = userdata;
        AgentUnit *unit = agent_unit(agent, host_unit->name);

        if (!unit) {
                log_unit(LOG_ERR, host_unit->name, "Cannot take note of %s: %s", host_unit->name,
                         strerror(ENOMEM));
                return;
        }

        agent_mark_work(unit);
        agent_mark_report(unit);
}

static void on_host_ready(bool is_ready, const char *why, void *userdata) {
        Agent *agent = userdata;

        if (is_ready) {
                log_line(LOG_INFO, "Connected to systemd");
                agent_mark_all(agent);
        } else
                log_line(LOG_WARNING, "Lost the connection to systemd: %s; trying again", why);
}

/* Every turn */

static void on_turn(LoopHook *hook) {
        Agent *agent = container_of(hook, Agent, hook);

        if (!agent->is_closing) {
                agent_work(agent);
                agent_leave_turn(agent);
        }
        agent_report(agent);
}

void agent_set_lease(Agent *agent, int64_t lease, int64_t revision) {
        bool was_out = agent->lease == 0;

        if (agent->lease == lease)
                return;

        agent->lease = lease;
        if (lease == 0) {
                agent_exclusive_lost(agent);
                return;
        }
        if (was_out) {
                agent->member_revision = revision;
                agent_refresh(agent);
        }
        agent->was_member = true;
        agent->member_since_us = loop_now_us(agent->loop);
        agent_mark_all(agent);
}

AgentStats agent_stats(const Agent *agent) {
        AgentStats stats = agent->stats;

        stats.n_units = agent->units.n_nodes;
        stats.n_busy = agent->n_ops;
        stats.n_holds = agent->n_holds;
        stats.n_leaving = agent->n_leaving;
        return stats;
}

/* Beginning and end */

static void on_closing(LoopDeferred *deferred) {
        Agent *agent = container_of(deferred, Agent, closing);

        agent->closed(agent, agent->closed_userdata);
}

void agent_maybe_closed(Agent *agent) {
        if (agent->is_host_closed && agent->n_ops == 0 && agent->n_hold_writes == 0 &&
            agent->files.n_nodes == 0 && !registry_write_is_pending(&agent->write))
                loop_defer(agent->loop, &agent->closing);
}

static void on_host_closed(Host *host, void *userdata) {
        Agent *agent = userdata;

        (void)host;
        agent->is_host_closed = true;
        agent_maybe_closed(agent);
}

/* The last report has been sent, or has had its time. */
void agent_close_rest(Agent *agent) {
        timer_clear(&agent->grace);
        timer_clear(&agent->report);
        timer_clear(&agent->expiry);
        timer_clear(&agent->mend);
        loop_defer_cancel(&agent->leaving);
        loop_hook_remove(&agent->hook);
        registry_follow_stop(&agent->follow);
        registry_write_cancel(&agent->write);
        for (HashNode *node = hash_map_first(&agent->units); node;
             node = hash_map_next(&agent->units, node)) {
                agent_hold_close(container_of(node, AgentUnit, node));
                agent_wait_end(container_of(node, AgentUnit, node));
        }
        for (HashNode *node = hash_map_first(&agent->files); node;
             node = hash_map_next(&agent->files, node))
                registry_read_cancel(&container_of(node, AgentFile, node)->read);
        host_close(agent->host, on_host_closed, agent);
}

static void on_grace(LoopTimer *timer) {
        agent_close_rest(container_of(timer, Agent, grace));
}

void agent_close(Agent *agent, void (*closed)(Agent *agent, void *userdata), void *userdata) {
        assert(!agent->is_closing);

        agent->is_closing = true;
        agent->closed = closed;
        agent->closed_userdata = userdata;
        timer_clear(&agent->report);
        agent_report(agent);
        if (registry_write_is_pending(&agent->write))
                timer_set_in(agent->loop, &agent->grace, AGENT_CLOSE_GRACE_US);
        else
                agent_close_rest(agent);
}

int agent_new(Agent **ret_agent, Registry *registry, Host *host, const AgentOptions *options) {
        _cleanup_(agent_freep) Agent *agent = calloc(1, sizeof(*agent));
        uint64_t seed;

        if (!agent)
                return -ENOMEM;

        env_random_bytes(loop_env(registry_loop(registry)), &seed, sizeof(seed));
        *agent = (Agent){
                .registry = registry,
                .host = host,
                .loop = registry_loop(registry),
                .units = hash_map_make(seed),
                .files = hash_map_make(seed),
                .hook.prepare = on_turn,
                .report.fn = agent_on_report_timer,
                .grace.fn = on_grace,
                .expiry.fn = agent_on_expiry,
                .mend.fn = on_mend,
                .closing.fn = on_closing,
                .leaving.fn = agent_on_left,
                .earlier_lease = options->earlier_lease,
                .report_interval_us = options->report_interval_us ? options->report_interval_us
                                                                  : AGENT_REPORT_INTERVAL_US,
        };
        agent->machine = strdup(options->machine);
        if (!agent->machine)
                return -ENOMEM;

        *ret_agent = TAKE(agent);
        return 0;
}

int agent_start(Agent *agent) {
        const HostListener listener = { .on_unit = on_host_unit,
                                        .on_ready = on_host_ready,
                                        .userdata = agent };
        int r = agent_follow(agent);

        if (r < 0)
                return r;

        loop_hook_add(agent->loop, &agent->hook);
        return host_start(agent->host, &listener);
}

Agent *agent_free(Agent *agent) {
        HashNode *node;

        if (!agent)
                return NULL;

        while ((node = hash_map_first(&agent->units)))
                agent_unit_free(container_of(node, AgentUnit, node));
        hash_map_done(&agent->units);
        hash_map_done(&agent->files);
        registry_write_clear(&agent->write);
        free(agent->machine);
        free(agent);
        return NULL;
}
