/* SPDX-License-Identifier: Apache-2.0 */

/* The agent's decisions. No state, no I/O: every step that is taken ends in a new situation, which
 * is decided upon anew. */

#include "agent/plan.h"

#include "lib/base/macro.h"

const char *agent_step_to_string(AgentStep step) {
        static const char *const names[_AGENT_STEP_MAX] = {
                [AGENT_STEP_NONE] = "none",       [AGENT_STEP_DONE] = "done",
                [AGENT_STEP_MEND] = "mend",       [AGENT_STEP_LOAD] = "load",
                [AGENT_STEP_WAIT] = "wait",       [AGENT_STEP_START] = "start",
                [AGENT_STEP_RESTART] = "restart", [AGENT_STEP_KEEP] = "keep",
                [AGENT_STEP_STOP] = "stop",       [AGENT_STEP_UNLOAD] = "unload",
                [AGENT_STEP_FORGET] = "forget",
        };

        return names[step];
}

bool agent_step_brings(AgentStep step) {
        return step == AGENT_STEP_MEND || step == AGENT_STEP_LOAD || step == AGENT_STEP_WAIT ||
               step == AGENT_STEP_START || step == AGENT_STEP_RESTART;
}

bool agent_is_running(const char *active) {
        return *active != '\0' && !streq(active, "inactive") && !streq(active, "failed");
}

static bool is_up(const char *active) {
        return streq(active, "active") || streq(active, "reloading") || streq(active, "refreshing");
}

unsigned agent_progress(const char *active) {
        if (!agent_is_running(active) || streq(active, "deactivating"))
                return 0;
        return is_up(active) ? 2 : 1;
}

/* Must it be stopped before it counts as down, or its file goes? */
static bool must_stop(const AgentSituation *situation) {
        return situation->must_stop || agent_is_running(situation->active);
}

static AgentStep plan_unwanted(const AgentSituation *situation, bool is_there) {
        /* Its file may have been removed by hand, and it runs, or systemd knows it, all the same. */
        if (!is_there && *situation->active == '\0')
                return AGENT_STEP_FORGET;
        if (!situation->is_let_go && agent_progress(situation->active) > 0)
                return AGENT_STEP_KEEP;
        return must_stop(situation) ? AGENT_STEP_STOP : AGENT_STEP_UNLOAD;
}

/* What brings the unit to this machine has its time. */
static AgentStep when_free(const AgentSituation *situation, AgentStep step) {
        return situation->must_wait ? AGENT_STEP_WAIT : step;
}

static AgentStep plan_launched(const AgentSituation *situation) {
        if (situation->is_restart_due && agent_is_running(situation->active))
                return AGENT_STEP_RESTART;
        if (is_up(situation->active))
                return AGENT_STEP_DONE;
        return when_free(situation, AGENT_STEP_START);
}

AgentStep agent_plan(const AgentSituation *situation) {
        const ScheduleRecord *row = situation->row;
        bool is_there = situation->hash && *situation->hash != '\0', is_same, is_done;

        if (situation->is_barred && (is_there || *situation->active != '\0'))
                return must_stop(situation) ? AGENT_STEP_STOP : AGENT_STEP_UNLOAD;
        if (situation->is_row_bad)
                return AGENT_STEP_NONE;
        if (!row)
                return plan_unwanted(situation, is_there);

        is_same = is_there && streq(situation->hash, row->file);
        is_done = situation->done_generation == row->generation;
        if (is_done && (is_same || situation->is_failed))
                return AGENT_STEP_NONE;

        /* It was in place: somebody took it away or changed it here. Another content that is
         * desired comes with another request. A unit of which nothing is left is begun anew. */
        if (is_done && !situation->is_lacking && *situation->active != '\0')
                return AGENT_STEP_MEND;
        if (!is_same)
                return is_there && must_stop(situation) ? AGENT_STEP_STOP
                                                        : when_free(situation, AGENT_STEP_LOAD);
        if (row->desired == JOB_STATE_LAUNCHED)
                return plan_launched(situation);
        return must_stop(situation) ? AGENT_STEP_STOP : AGENT_STEP_DONE;
}
