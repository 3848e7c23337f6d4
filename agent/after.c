/* SPDX-License-Identifier: Apache-2.0 */

/* The agent: moves. A unit that comes from other machines is loaded and started here once none of
 * them has a state of it (docs/records.md, ScheduleRecord.after): an agent removes it when the unit
 * has ended and its file is gone, and it goes with the lease of a machine that dies.
 *
 * Each unit that waits follows those few keys and nothing else. A state that was seen and goes is
 * enough. One that is not there at first sight may still be on its way, from an agent that is busy
 * with the unit: so it counts only when it stays away for a while. While the store is out of reach
 * nothing is known, and the unit waits.
 */

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <syslog.h>

#include "agent/agent-private.h"
#include "lib/base/log.h"

enum {
        AFTER_ABSENT_US = US_PER_S, /* longer than an agent takes to report what it works on */
        AFTER_TEXT_BYTES = 192,
};

static_assert((int)SCHEDULE_AFTER_MAX <= (int)REGISTRY_FOLLOW_MAX, "one follower for all of them");

struct AgentWait {
        AgentUnit *unit; /* back pointer; `after` of its row stays as it is meanwhile */
        RegistryFollow follow;
        LoopTimer absent;                   /* set: none is there, but some never were */
        uint64_t first_us;                  /* when it was known first who is there; 0 = not yet */
        bool is_there[SCHEDULE_AFTER_MAX];  /* the machine has a state of the unit */
        bool was_there[SCHEDULE_AFTER_MAX]; /* it had one when we looked */
        char text[AFTER_TEXT_BYTES];
};

bool agent_must_wait(const AgentUnit *unit) {
        return unit->has_row && unit->row.after.n_items > 0 && !unit->is_free;
}

const char *agent_wait_text(const AgentUnit *unit) {
        return unit->wait ? unit->wait->text : NULL;
}

void agent_wait_end(AgentUnit *unit) {
        AgentWait *wait = TAKE(unit->wait);

        if (!wait)
                return;

        registry_follow_stop(&wait->follow);
        timer_clear(&wait->absent);
        free(wait);
        agent_mark_report(unit);
}

/* Names the machines that have it, or all while that is not known. */
static void wait_describe(AgentWait *wait, size_t n_there) {
        const StrList *after = &wait->unit->row.after;
        size_t n = n_there > 0 ? n_there : after->n_items, end;

        end = (size_t)snprintf(wait->text, sizeof(wait->text), "waits for machine%s",
                               n == 1 ? "" : "s");
        for (size_t i = 0; i < after->n_items; i++)
                if (n_there == 0 || wait->is_there[i])
                        end += (size_t)snprintf(wait->text + end, sizeof(wait->text) - end, " %.8s",
                                                after->items[i]);
        (void)snprintf(wait->text + end, sizeof(wait->text) - end, " to end it");
        agent_mark_report(wait->unit);
}

static void wait_is_over(AgentWait *wait) {
        AgentUnit *unit = wait->unit;

        unit->is_free = true;
        agent_wait_end(unit);
        agent_mark_work(unit);
}

static void wait_check(AgentWait *wait) {
        Loop *loop = wait->unit->agent->loop;
        uint64_t counts_us = wait->first_us + AFTER_ABSENT_US;
        size_t n = wait->unit->row.after.n_items, n_there = 0, n_seen = 0;

        for (size_t i = 0; i < n; i++) {
                n_there += wait->is_there[i];
                n_seen += wait->was_there[i];
        }

        timer_clear(&wait->absent);
        wait_describe(wait, n_there);
        if (n_there > 0)
                return;
        if (n_seen == n || loop_now_us(loop) >= counts_us)
                wait_is_over(wait);
        else
                timer_set_at(loop, &wait->absent, counts_us);
}

static void on_absent(LoopTimer *timer) {
        AgentWait *wait = container_of(timer, AgentWait, absent);

        /* Else the list under way says who is there. */
        if (wait->follow.is_synced)
                wait_check(wait);
}

static void on_reset(RegistryFollow *follow) {
        AgentWait *wait = container_of(follow, AgentWait, follow);

        memset(wait->is_there, 0, sizeof(wait->is_there));
}

static void on_record(RegistryFollow *follow, const Record *record) {
        AgentWait *wait = container_of(follow, AgentWait, follow);
        const StrList *after = &wait->unit->row.after;

        for (size_t i = 0; i < after->n_items; i++) {
                if (!streq(after->items[i], record->key.machine))
                        continue;
                wait->is_there[i] = !record->is_deleted;
                wait->was_there[i] = true;
        }
        if (follow->is_synced)
                wait_check(wait);
}

static void on_synced(RegistryFollow *follow, int64_t revision) {
        AgentWait *wait = container_of(follow, AgentWait, follow);

        (void)revision;
        if (wait->first_us == 0)
                wait->first_us = loop_now_us(wait->unit->agent->loop);
        wait_check(wait);
}

int agent_wait_begin(AgentUnit *unit) {
        static const RegistryFollowFns fns = { on_reset, on_record, on_synced };
        const StrList *after = &unit->row.after;
        RegistryFollowKey keys[SCHEDULE_AFTER_MAX] = { 0 };
        int r;

        if (unit->wait)
                return 0;

        unit->wait = calloc(1, sizeof(*unit->wait));
        if (!unit->wait)
                return -ENOMEM;

        unit->wait->unit = unit;
        unit->wait->absent.fn = on_absent;
        for (size_t i = 0; i < after->n_items; i++)
                keys[i].key = (RecordKey){ .kind = RECORD_STATE,
                                           .machine = after->items[i],
                                           .unit = unit->name };
        r = registry_follow_start(unit->agent->registry, &unit->wait->follow, keys, after->n_items,
                                  &fns);
        if (r < 0) {
                free(TAKE(unit->wait));
                return r;
        }

        wait_describe(unit->wait, 0);
        log_unit(LOG_DEBUG, unit->name, "%s %s", unit->name, unit->wait->text);
        return 0;
}
