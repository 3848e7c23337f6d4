/* SPDX-License-Identifier: Apache-2.0 */

/* The agent: what a unit waits for on other machines, as far as it is the same on the way here
 * (after.c) and on the way out (handover.c): a few records that are followed, and a text that says
 * so in the unit's state. */

#include <stdarg.h>
#include <stdio.h>

#include "agent/agent-private.h"

const char *agent_wait_text(const AgentUnit *unit) {
        return unit->wait ? unit->wait->text : NULL;
}

void agent_wait_say(AgentWait *wait, const char *format, ...) {
        char text[sizeof(wait->text)];
        va_list arguments;

        va_start(arguments, format);
        (void)vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        if (streq(text, wait->text))
                return;

        memcpy(wait->text, text, sizeof(text));
        agent_mark_report(wait->unit);
}

void agent_wait_end(AgentUnit *unit) {
        AgentWait *wait = TAKE(unit->wait);

        if (!wait)
                return;

        registry_follow_stop(&wait->follow);
        timer_clear(&wait->timer);
        free(wait->machine);
        free(wait);
        agent_mark_report(unit);
}
