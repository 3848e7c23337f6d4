/* SPDX-License-Identifier: Apache-2.0 */

/* The agent: the machine leaves the cluster.
 *
 *   HANDS_OVER   the machine's record says so, and the leader places its units elsewhere. A unit
 *                that finds a place loses its row here, and ends when its successor runs
 *                (handover.c). One that finds none keeps its row, which says so (`leaving`), and so
 *                does a global one. Nothing begins here.
 *       |        Nothing that runs can be handed over any more, or whoever leaves has no more time.
 *   EMPTIES      Every unit is stopped to its end and taken away, whatever its row says.
 *       |        Nothing is left on the host.
 *    `left`
 *
 * The rows of what has no other place stay in the store, as those of a lost machine do: it finds
 * them when it comes back.
 */

#include <assert.h>
#include <syslog.h>

#include "agent/agent-private.h"
#include "agent/leave.h"
#include "lib/base/log.h"

const ScheduleRecord *agent_row(const AgentUnit *unit) {
        return unit->has_row && unit->agent->stay != AGENT_EMPTIES ? &unit->row : NULL;
}

/* Is there nothing to wait for before the unit, which runs, is stopped? */
static bool unit_has_no_successor(const AgentUnit *unit) {
        return unit->has_row ? unit->row.is_leaving : unit->is_stuck;
}

void agent_leave_now(Agent *agent) {
        assert(agent->stay != AGENT_STAYS);

        if (agent->stay == AGENT_EMPTIES)
                return;

        if (agent->n_leaving > 0)
                log_line(LOG_NOTICE, "%zu units run nowhere else and are stopped here",
                         agent->n_leaving);
        agent->stay = AGENT_EMPTIES;
        for (HashNode *node = hash_map_first(&agent->units); node;
             node = hash_map_next(&agent->units, node)) {
                AgentUnit *unit = container_of(node, AgentUnit, node);

                timer_clear(&unit->retry);
                agent_reconsider_op(unit);
        }
        agent_mark_all(agent);
}

void agent_leave(Agent *agent, void (*left)(Agent *agent, void *userdata), void *userdata) {
        assert(agent->stay == AGENT_STAYS);

        agent->left = left;
        agent->left_userdata = userdata;
        agent->stay = AGENT_HANDS_OVER;
        agent_mark_all(agent);
}

void agent_on_left(LoopDeferred *deferred) {
        Agent *agent = container_of(deferred, Agent, leaving);

        TAKE(agent->left)(agent, agent->left_userdata);
}

/* Counts what is still here. Returns how much of that waits for a successor. */
static size_t agent_count_leaving(Agent *agent) {
        size_t n_open = 0;

        agent->n_leaving = 0;
        for (HashNode *node = hash_map_first(&agent->units); node;
             node = hash_map_next(&agent->units, node)) {
                const AgentUnit *unit = container_of(node, AgentUnit, node);
                const HostUnit *host_unit = host_find(agent->host, unit->name);
                bool runs = host_unit && agent_is_running(host_unit->active);

                agent->n_leaving += runs || unit->op || (host_unit && host_unit->hash[0] != '\0');
                n_open += runs && !unit_has_no_successor(unit);
        }
        return n_open;
}

void agent_leave_turn(Agent *agent) {
        if (agent->stay == AGENT_STAYS || !agent->was_synced || !host_is_ready(agent->host))
                return;

        if (agent_count_leaving(agent) == 0 && agent->stay == AGENT_HANDS_OVER) {
                agent_leave_now(agent);
                agent_work(agent);
        }
        if (agent->stay == AGENT_EMPTIES && agent->n_leaving == 0 && agent->n_holds == 0 &&
            agent->left)
                loop_defer(agent->loop, &agent->leaving);
}
