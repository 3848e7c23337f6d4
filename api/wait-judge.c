/* SPDX-License-Identifier: Apache-2.0 */

/* When a unit is as a waiting client asked (docs/api.md): a decision on what is known, without I/O.
 *
 * A state answers the request when its generation has reached the one that the unit had when the
 * wait began. A request by someone else in the meantime has a larger generation; when it wants
 * something else, what this client waits for will not come, and it is told so; when it wants the
 * same, its answer is waited for.
 */

#include "api/wait.h"

static bool is_global(const WaitUnit *unit) {
        return !unit->machine && unit->kind == WAIT_KIND_GLOBAL;
}

const char *wait_unit_machine(const WaitUnit *unit) {
        return is_global(unit) ? unit->hint : unit->machine;
}

const WaitState *wait_unit_state(const WaitUnit *unit) {
        const char *machine = wait_unit_machine(unit);

        for (size_t i = 0; machine && i < unit->n_states; i++) {
                if (streq(unit->states[i].machine, machine))
                        return &unit->states[i];
        }
        return NULL;
}

static bool is_overruled(const WaitUnit *unit, JobState wanted, const char **ret_why) {
        static const char *const reasons[_JOB_STATE_MAX] = {
                [JOB_STATE_INACTIVE] = "another request set its desired state to inactive",
                [JOB_STATE_LOADED] = "another request set its desired state to loaded",
                [JOB_STATE_LAUNCHED] = "another request set its desired state to launched",
        };

        if (unit->record.generation <= unit->generation || unit->record.desired == wanted)
                return false;
        *ret_why = reasons[unit->record.desired];
        return true;
}

/* The generation that a state must have reached. Who asked for the same in the meantime has to be
 * answered, too: an answer to what was asked between the two says nothing of either. */
static uint64_t awaited_generation(const WaitUnit *unit, WaitTarget target) {
        const JobState wanted = target == WAIT_LOADED ? JOB_STATE_LOADED : JOB_STATE_LAUNCHED;

        if (is_global(unit))
                return unit->hint_generation;
        return unit->record.desired == wanted && unit->record.generation > unit->generation
                       ? unit->record.generation
                       : unit->generation;
}

static WaitOutcome judge_state(const WaitUnit *unit, const WaitState *state, WaitTarget target,
                               const char **ret_why) {
        const char *active = state->active ? state->active : "";

        if (state->generation < awaited_generation(unit, target)) {
                *ret_why = state->waits;
                return state->waits ? WAIT_HELD_UP : WAIT_PENDING;
        }
        if (state->why) {
                *ret_why = state->why;
                return WAIT_FAILED;
        }

        if (target == WAIT_LOADED) {
                bool is_beyond = state->state == JOB_STATE_LAUNCHED &&
                                 unit->record.desired == JOB_STATE_LAUNCHED;

                return state->state == JOB_STATE_LOADED || is_beyond ? WAIT_REACHED : WAIT_PENDING;
        }
        if (state->state != JOB_STATE_LAUNCHED)
                return WAIT_PENDING;
        if (streq(active, "failed")) {
                *ret_why = "it was started and has failed; see: fleetctl journal";
                return WAIT_FAILED;
        }
        return streq(active, "active") || streq(active, "reloading") || streq(active, "inactive")
                       ? WAIT_REACHED
                       : WAIT_PENDING;
}

/* "loaded" and "launched" */
static WaitOutcome judge_arrival(const WaitUnit *unit, WaitTarget target, const char **ret_why) {
        const WaitState *state = wait_unit_state(unit);
        WaitOutcome outcome = WAIT_PENDING;

        if (!unit->exists)
                return WAIT_UNKNOWN_UNIT;
        if (unit->is_bad) {
                *ret_why = "its record is damaged: submit the unit again";
                return WAIT_FAILED;
        }
        if (is_global(unit) && !unit->hint)
                return WAIT_REACHED;
        if (state)
                outcome = judge_state(unit, state, target, ret_why);
        if (outcome != WAIT_PENDING && outcome != WAIT_HELD_UP)
                return outcome;
        if (is_overruled(unit, target == WAIT_LOADED ? JOB_STATE_LOADED : JOB_STATE_LAUNCHED,
                         ret_why))
                return WAIT_FAILED;
        if (outcome == WAIT_HELD_UP)
                return outcome;
        if (is_global(unit) && !state) {
                *ret_why = "the machine reports no state of it";
                return WAIT_UNPLACED;
        }
        if (!unit->machine && unit->kind != WAIT_KIND_PLAIN)
                return WAIT_PENDING;
        /* On no machine, or kept for one that is lost. */
        if (!state && unit->placement_why && unit->placement_generation >= unit->generation) {
                *ret_why = unit->placement_why;
                return WAIT_UNPLACED;
        }
        return WAIT_PENDING;
}

/* "inactive" and "gone" */
static WaitOutcome judge_departure(const WaitUnit *unit, WaitTarget target, const char **ret_why) {
        const WaitState *state = wait_unit_state(unit);

        if (!unit->machine && unit->n_states == 0 && (target == WAIT_INACTIVE || !unit->exists))
                return WAIT_REACHED;
        if (target != WAIT_INACTIVE || !unit->exists || unit->is_bad)
                return WAIT_PENDING;
        if (is_overruled(unit, JOB_STATE_INACTIVE, ret_why))
                return WAIT_FAILED;
        if (state && state->why && state->generation >= unit->generation &&
            unit->record.desired == JOB_STATE_INACTIVE) {
                *ret_why = state->why;
                return WAIT_FAILED;
        }
        return WAIT_PENDING;
}

WaitOutcome wait_judge(const WaitUnit *unit, WaitTarget target, const char **ret_why) {
        *ret_why = NULL;
        if (target == WAIT_LOADED || target == WAIT_LAUNCHED)
                return judge_arrival(unit, target, ret_why);
        return judge_departure(unit, target, ret_why);
}
