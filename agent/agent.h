/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The agent: makes this machine run what its schedule says, and reports what it does run.
 *
 * It follows schedule/<this machine>/ and nothing else. What is desired and what the host says is
 * compared per unit (agent/plan.h, pure); each unit has its own steps and its own back-off, so that
 * one that fails or hangs holds up no other. While the store cannot be reached nothing changes.
 */

#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/macro.h"
#include "lib/host/host.h"
#include "lib/model/dump.h"
#include "lib/registry/registry.h"

typedef struct Agent Agent;

/* How it shall work. Strings are copied. */
typedef struct AgentOptions {
        const char *machine;         /* machine ID */
        int64_t earlier_lease;       /* that an earlier run since the machine's boot reported on:
                                        what its states say was done; 0 = there was none */
        uint64_t report_interval_us; /* reports are gathered for at least so long; 0 =
                                        AGENT_REPORT_INTERVAL_US */
} AgentOptions;

enum {
        /* At most ten transactions of states a second and machine, over any longer while. */
        AGENT_REPORT_INTERVAL_US = 100000,
};

/* Numbers for /metrics. */
typedef struct AgentStats {
        uint64_t n_units;    /* known now: scheduled here or on the host */
        uint64_t n_busy;     /* being worked on now */
        uint64_t n_leaving;  /* still on the host, while this machine leaves the cluster */
        uint64_t n_actions;  /* loads, starts, stops and unloads so far */
        uint64_t n_failures; /* of them */
        uint64_t n_reports;  /* transactions of states so far */
        uint64_t n_holds;    /* Exclusive units that this machine holds or wants to hold now */
        uint64_t n_expired;  /* how often Exclusive units were stopped since the lease might end */
} AgentStats;

/* Make an agent over a host that has not been started; both are borrowed and must outlive it.
 * Returns 0 or -ENOMEM. */
int agent_new(Agent **ret_agent, Registry *registry, Host *host, const AgentOptions *options);

/* Start the host and the work. Returns 0, -ENOMEM, or what host_start() gave. */
int agent_start(Agent *agent);

/* The lease to report on (presence), 0 when there is none at the moment. `revision` is that of the
 * machine's record on the lease. A machine that was no member until then begins nothing before it
 * knows its schedule as it was at that revision or later: the others may have taken units from it.
 */
void agent_set_lease(Agent *agent, int64_t lease, int64_t revision);

/* The lease cannot have ended for the others before `until_us` (env_now_us(); it is for `ttl_us`).
 * Some time before that the agent stops the Exclusive units here, unless it is told of a later one.
 */
void agent_set_valid_until(Agent *agent, uint64_t until_us, uint64_t ttl_us);

/* Read the numbers. */
AgentStats agent_stats(const Agent *agent);

/* How many units have a state in the store that has not been what systemd says for some seconds.
 * Counts one by one. */
uint64_t agent_count_late(const Agent *agent);

/* What it knows of each unit, by name, for a dump of the state. The array is the caller's to free;
 * its strings are borrowed, and good until the loop goes on. Returns 0 or -ENOMEM. */
int agent_dump(const Agent *agent, DumpUnit **ret_units, size_t *ret_n_units);

/* Leave the cluster, which is known from the machine's record: nothing begins here any more; each
 * unit ends once its successor runs elsewhere. When all are gone whose row does not say that they
 * have no other place, and whose successor has not failed, the rest is stopped as by
 * agent_leave_now(). When nothing is left on the host `left` runs from the loop, once. */
void agent_leave(Agent *agent, void (*left)(Agent *agent, void *userdata), void *userdata);

/* Wait for no successor any more: stop what is here, and take it away. After agent_leave(). */
void agent_leave_now(Agent *agent);

/* Begin to close: what is still to report is sent first, for at most a second; no unit is touched.
 * Then `closed` runs from the loop, once, and the agent may be freed. The host is closed with it.
 */
void agent_close(Agent *agent, void (*closed)(Agent *agent, void *userdata), void *userdata);

/* Free an agent that is closed or was never started. Takes NULL; returns NULL. */
Agent *agent_free(Agent *agent);
DEFINE_CLEANUP(Agent, agent_free)
