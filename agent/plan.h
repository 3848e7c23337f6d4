/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What to do next with one unit: a pure function of what is desired, what is there, and what was
 * done. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/model/record.h"

/* The next step. */
typedef enum AgentStep {
        AGENT_STEP_NONE, /* all is as desired, or nothing may be done */
        AGENT_STEP_DONE, /* the request has been fulfilled: say so */
        AGENT_STEP_LOAD, /* put the desired content in place */
        AGENT_STEP_MEND, /* put it back under a unit that is as desired; that is not touched */
        AGENT_STEP_WAIT, /* nothing: it may not come here yet */
        AGENT_STEP_START,
        AGENT_STEP_RESTART, /* stop and start what runs */
        AGENT_STEP_KEEP,    /* nothing: another machine must run it first */
        AGENT_STEP_STOP,
        AGENT_STEP_UNLOAD, /* take the stopped unit away */
        AGENT_STEP_FORGET, /* neither desired nor there */
        _AGENT_STEP_MAX,
} AgentStep;

/* "load", "start"...: for the log. */
const char *agent_step_to_string(AgentStep step);

/* Does the step bring the unit here, or up? */
bool agent_step_brings(AgentStep step);

/* What a decision looks at. */
typedef struct AgentSituation {
        const ScheduleRecord *row; /* what is desired; NULL = nothing: not scheduled here */
        bool is_row_bad;           /* the row does not parse: leave the unit as it is */
        const char *hash;          /* content on the host, NULL or empty = the unit is not there */
        const char *active;        /* systemd's ActiveState, "" while unknown */
        uint64_t done_generation;  /* request that was last brought to its end, well or not */
        bool is_failed;            /* ...not well */
        bool is_lacking; /* ...not well, for want of room: its content is still to be put in place */
        bool is_restart_due; /* the row asks for a restart that was not carried out: what runs,
                                however far it has come, is restarted */
        bool must_wait;      /* it must not come here yet: neither load nor start it */
        bool is_let_go;      /* without a row: it need not run here until another machine has it */
        bool is_barred;      /* it must leave the host, whatever is desired */
        bool must_stop;      /* unless it is to run it is stopped first, whatever `active` says */
} AgentSituation;

/* Does this ActiveState mean that processes may be there, so that the unit must be stopped before
 * it goes? */
bool agent_is_running(const char *active);

/* How far a unit with this ActiveState has come, to compare two copies: 0 = it does not run, or
 * ends; 1 = it comes up; 2 = it is up. */
unsigned agent_progress(const char *active);

/* Decide. What is not scheduled here any more and runs goes on until it is let go. A request, told
 * by its generation, is carried out once: what becomes of the unit afterwards by itself, or by an
 * operator's hand, is not undone (contract section 7.2). Changed content waits until the old copy
 * has ended (design: stop runs to its end before a successor starts). */
AgentStep agent_plan(const AgentSituation *situation);
