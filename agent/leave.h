/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The machine leaves the cluster, as the agent's other files see it. */

#include "agent/agent-private.h"

/* Decide upon every unit, and report what differs. */
void agent_mark_all(Agent *agent);

/* What is desired of the unit, or NULL for nothing: it has no row, or this machine empties itself. */
const ScheduleRecord *agent_row(const AgentUnit *unit);

/* Every turn, while this machine leaves: go on to the next stage when it is time. */
void agent_leave_turn(Agent *agent);

/* Agent.leaving's callback. */
void agent_on_left(LoopDeferred *deferred);
