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
};

static_assert((int)SCHEDULE_AFTER_MAX <= (int)REGISTRY_FOLLOW_MAX, "one follower for all of them");

typedef struct After {
        AgentWait base;                     /* `after` of its unit's row stays as it is meanwhile */
        uint64_t first_us;                  /* when it was known first who is there; 0 = not yet */
        bool is_there[SCHEDULE_AFTER_MAX];  /* the machine has a state of the unit */
        bool was_there[SCHEDULE_AFTER_MAX]; /* it had one when we looked */
} After;

bool agent_must_wait(const AgentUnit *unit) {
        return unit->has_row && unit->row.after.n_items > 0 && !unit->is_free;
}

/* Names the machines that have it, or all while that is not known. */
static void after_describe(After *after, size_t n_there) {
        const StrList *machines = &after->base.unit->row.after;
        size_t n = n_there > 0 ? n_there : machines->n_items, end = 0;
        char names[AGENT_WAIT_TEXT_BYTES] = "";

        for (size_t i = 0; i < machines->n_items; i++)
                if (n_there == 0 || after->is_there[i])
                        end += (size_t)snprintf(names + end, sizeof(names) - end, " %.8s",
                                                machines->items[i]);
        agent_wait_say(&after->base, "waits for machine%s%s to end it", n == 1 ? "" : "s", names);
}

static void after_is_over(After *after) {
        AgentUnit *unit = after->base.unit;

        unit->is_free = true;
        agent_wait_end(unit);
        agent_mark_work(unit);
}

static void after_check(After *after) {
        Loop *loop = after->base.unit->agent->loop;
        uint64_t counts_us = after->first_us + AFTER_ABSENT_US;
        size_t n = after->base.unit->row.after.n_items, n_there = 0, n_seen = 0;

        for (size_t i = 0; i < n; i++) {
                n_there += after->is_there[i];
                n_seen += after->was_there[i];
        }

        timer_clear(&after->base.timer);
        after_describe(after, n_there);
        if (n_there > 0)
                return;
        if (n_seen == n || loop_now_us(loop) >= counts_us)
                after_is_over(after);
        else
                timer_set_at(loop, &after->base.timer, counts_us);
}

static After *after_of(RegistryFollow *follow) {
        return container_of(container_of(follow, AgentWait, follow), After, base);
}

static void on_absent(LoopTimer *timer) {
        After *after = container_of(container_of(timer, AgentWait, timer), After, base);

        /* Else the list under way says who is there. */
        if (after->base.follow.is_synced)
                after_check(after);
}

static void on_reset(RegistryFollow *follow) {
        After *after = after_of(follow);

        memset(after->is_there, 0, sizeof(after->is_there));
}

static void on_record(RegistryFollow *follow, const Record *record) {
        After *after = after_of(follow);
        const StrList *machines = &after->base.unit->row.after;

        for (size_t i = 0; i < machines->n_items; i++) {
                if (!streq(machines->items[i], record->key.machine))
                        continue;
                after->is_there[i] = !record->is_deleted;
                after->was_there[i] = true;
        }
        if (follow->is_synced)
                after_check(after);
}

static void on_synced(RegistryFollow *follow, int64_t revision) {
        After *after = after_of(follow);

        (void)revision;
        if (after->first_us == 0)
                after->first_us = loop_now_us(after->base.unit->agent->loop);
        after_check(after);
}

int agent_after_begin(AgentUnit *unit) {
        static const RegistryFollowFns fns = { .on_reset = on_reset,
                                               .on_record = on_record,
                                               .on_synced = on_synced };
        const StrList *machines = &unit->row.after;
        RegistryFollowKey keys[SCHEDULE_AFTER_MAX] = { 0 };
        After *after;
        int r;

        if (unit->wait)
                return 0;

        after = calloc(1, sizeof(*after));
        if (!after)
                return -ENOMEM;

        after->base.unit = unit;
        after->base.timer.fn = on_absent;
        for (size_t i = 0; i < machines->n_items; i++)
                keys[i].key = (RecordKey){ .kind = RECORD_STATE,
                                           .machine = machines->items[i],
                                           .unit = unit->name };
        r = registry_follow_start(unit->agent->registry, &after->base.follow, keys,
                                  machines->n_items, &fns);
        if (r < 0) {
                free(after);
                return r;
        }

        unit->wait = &after->base;
        after_describe(after, 0);
        log_unit(LOG_DEBUG, unit->name, "%s %s", unit->name, unit->wait->text);
        return 0;
}
