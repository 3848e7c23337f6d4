/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Exclusive units: their holds and their end in time, as the agent's other files see it. */

#include "agent/agent-private.h"

/* Must the unit wait because it is Exclusive and its hold, or the machine's membership, is not
 * sure, or its state says that it need not be started? */
bool agent_hold_is_wanted(const AgentUnit *unit);

/* Take the unit's hold, write it anew or give it back, as its row and the host ask for.
 * `must_wait_first`: it must not come here yet for another reason. */
void agent_hold_update(AgentUnit *unit, bool must_wait_first);

/* What it waits for, for people, borrowed; NULL when it does not. */
const char *agent_hold_text(const AgentUnit *unit);

/* Take over what held/<machine>/<unit> says. */
void agent_adopt_hold(AgentUnit *unit, const Record *record);

/* The unit is about to be started: let the guard know that it may run. Returns 0 or a negative
 * errno. */
int agent_exclusive_starts(AgentUnit *unit);

/* The host has stopped the unit. */
void agent_exclusive_stopped(AgentUnit *unit);

/* If the guard, or a daemon that ended meanwhile, has stopped the unit: begin it anew. */
void agent_end_interrupted(AgentUnit *unit);

/* Have the Exclusive units stopped if the deadline has passed; or now, since the lease was lost. */
void agent_exclusive_check(Agent *agent);
void agent_exclusive_lost(Agent *agent);

/* The expiry timer's callback. */
void agent_on_expiry(LoopTimer *timer);

/* Let go of what is under way for the unit's hold; then free it, when nothing is in flight. */
void agent_hold_close(AgentUnit *unit);
void agent_hold_free(AgentUnit *unit);
