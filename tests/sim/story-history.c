/* SPDX-License-Identifier: Apache-2.0 */

/* What users asked for, and what came of it: every change of a unit's record is a step that a
 * request asked for, made from the record as it was; what was acknowledged was such a step. So no
 * acknowledged request is lost, whoever asked at the same time. And waits, whose outcome must be
 * true. */

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "lib/model/entity.h"
#include "tests/sim/story.h"

enum {
        LINGER_US = 45 *
                    US_PER_S, /* a request without a certain end may have an effect for so long:
                                      all its attempts, and the latest copy of the last */
        BELIEF_US = 45 * US_PER_S, /* so old may be what the cluster knows of a unit: until a lost
                                      machine's lease ends, and whoever reads is slow */
        WAIT_MS = 30000,
};

static uint64_t now_us(const Story *story) {
        return story->sim.rig.env.now_us;
}

/* Requests */

StoryRequest *story_request_new(Story *story, size_t server) {
        for (size_t i = 0; i < STORY_REQUESTS_MAX; i++) {
                StoryRequest *request = &story->requests[i];

                if (request->is_open || request->until_us > now_us(story))
                        continue;
                *request = (StoryRequest){
                        .story = story, .server = server, .is_open = true, .sent_us = now_us(story)
                };
                return request;
        }
        return NULL;
}

/* Would carrying out the request have made this of that? */
static bool is_step_of(const StoryAsk *ask, const MirrorUnit *before, const UnitRecord *after) {
        if (ask->is_destroy || !after)
                return ask->is_destroy && !after;
        if (after->desired != ask->desired || (!before->exists && !ask->has_content))
                return false;
        if (!streq(after->file, ask->has_content ? ask->file : before->file))
                return false;
        return after->restart == (ask->is_restart  ? after->generation
                                  : before->exists ? before->restart
                                                   : 0);
}

/* May a copy of it still change a unit that is now as the mirror has it? Of one that was answered
 * for certain none may: the copy finds the unit changed, or finds that it was destroyed meanwhile.
 * Nor may one that was decided on before the unit was destroyed. */
static bool may_have_effect(const Story *story, const StoryRequest *request,
                            const MirrorUnit *before) {
        if (request->is_open)
                return true;
        return !request->is_certain && request->until_us >= now_us(story) &&
               (before->exists || before->removed_us <= request->ended_us);
}

/* Marks the requests that this is a step of; those of one daemon, or (-1) of all. Returns whether
 * there are any. */
static bool mark_made(Story *story, int from, const StoryUnit *unit, const MirrorUnit *before,
                      const UnitRecord *after) {
        bool is_any = false;

        for (size_t i = 0; i < STORY_REQUESTS_MAX; i++) {
                StoryRequest *request = &story->requests[i];

                if (!may_have_effect(story, request, before) ||
                    (from >= 0 && request->server != (size_t)from))
                        continue;
                for (size_t k = 0; k < request->n_asks; k++) {
                        StoryAsk *ask = &request->asks[k];

                        if (ask->unit != unit || !is_step_of(ask, before, after))
                                continue;
                        ask->was_made = is_any = true;
                }
        }
        return is_any;
}

void story_check_step(Story *story, int from, StoryUnit *unit, StoreBytes value, bool is_deletion) {
        _cleanup_(unit_record_done) UnitRecord after = { 0 };
        const MirrorUnit *before = &story->mirror.units[unit - story->units];

        if (!is_deletion &&
            unit_record_decode((const char *)value.data, value.n_bytes, &after, NULL) < 0) {
                story_violate(story, "the record of %s is damaged", unit->name);
                return;
        }
        if (!mark_made(story, from, unit, before, is_deletion ? NULL : &after))
                story_violate(story, "nobody asked machine %d for this change of %s", from,
                              unit->name);
        (void)mark_made(story, -1, unit, before, is_deletion ? NULL : &after);
        if (is_deletion)
                return;

        if (!before->exists)
                unit->restart_us = 0;
        if (after.generation <= before->generation)
                story_violate(story, "%s has generation %llu again: two requests are one step",
                              unit->name, (unsigned long long)after.generation);
        if (after.restart == after.generation)
                unit->restart_us = now_us(story);
}

static void check_acknowledged(Story *story, const StoryRequest *request) {
        for (size_t k = 0; k < request->n_asks; k++)
                if (!request->asks[k].was_made)
                        story_violate(story, "a request about %s was acknowledged and not made",
                                      request->asks[k].unit->name);
}

/* A unit that is said not to exist: was there a moment without it? */
static void check_absent(Story *story, const StoryRequest *request) {
        const StoryUnit *unit = request->asks[0].unit;
        const MirrorUnit *record = &story->mirror.units[unit - story->units];

        if (record->exists && record->created_us < request->sent_us)
                story_violate(story, "%s is said not to exist, and it did all the time",
                              unit->name);
}

void story_request_answered(StoryRequest *request, int status) {
        Story *story = request->story;
        bool is_certain = status > 0 && status < 500;

        request->is_open = false;
        request->is_certain = is_certain;
        request->ended_us = now_us(story);
        request->until_us = now_us(story) + LINGER_US;
        story->n_requests++;
        if (status == 201 || status == 204)
                check_acknowledged(story, request);
        else if (status == 404)
                check_absent(story, request);
        else if (status != 0 && status != 409 && status != 503 &&
                 !(status == 500 && story->full_us >= request->sent_us))
                story_violate(story, "%s: answered %d", request->asks[0].unit->name, status);
}

size_t story_count_open(const Story *story) {
        size_t n = 0;

        for (size_t i = 0; i < STORY_REQUESTS_MAX; i++)
                n += story->requests[i].is_open;
        for (size_t i = 0; i < STORY_WAITS_MAX; i++)
                n += story->waits[i].unit != NULL;
        return n;
}

/* Waits */

static bool is_in_state(const StoryWait *wait, uint64_t since_us) {
        const Story *story = wait->story;
        const StoryUnit *unit = wait->unit;
        const MirrorUnit *record = &story->mirror.units[unit - story->units];

        if (wait->desired == JOB_STATE_INACTIVE)
                return record->absent_us >= since_us || mirror_unit_is_absent(record);
        /* A global unit without a machine named is reached at once. */
        if (unit->kind == STORY_ONESHOT || unit->kind == STORY_GLOBAL)
                return true;
        for (size_t i = 0; i < story->options.n_machines; i++)
                if (unit->started_us[i] >= since_us ||
                    fake_machine_unit_is_active(story->sim.machines[i].fake, unit->name))
                        return true;
        return unit->active_us >= since_us;
}

/* In calm weather only a restart is waited for, and what was before it does not count. */
static bool is_restarted(const StoryWait *wait) {
        for (size_t i = 0; i < wait->story->options.n_machines; i++)
                if (wait->unit->started_us[i] > wait->unit->restart_us)
                        return true;
        return false;
}

static void check_outcome(const StoryWait *wait, const WaitResult *result) {
        Story *story = wait->story;
        const StoryUnit *unit = wait->unit;

        if (streq(result->outcome, "timeout") && now_us(story) < wait->sent_us + WAIT_MS * 1000)
                story_violate(story, "a wait for %s ran out early", unit->name);
        if (!streq(result->outcome, "reached"))
                return;
        if (!is_in_state(wait, wait->sent_us - BELIEF_US))
                story_violate(story, "a wait for %s ended as reached: it was not %s", unit->name,
                              job_state_to_string(wait->desired));
        if (story->is_calm && wait->unit->restart_us > 0 && !is_restarted(wait))
                story_violate(story, "a wait for the restart of %s ended before it", unit->name);
}

static bool is_final(const char *outcome) {
        return !streq(outcome, "unplaced") && !streq(outcome, "waiting");
}

/* Returns how many lines are final. */
static unsigned check_lines(const StoryWait *wait, const Buf *body) {
        const char *line = body->data, *end = body->data + body->n_bytes;
        unsigned n_final = 0;

        while (body->data && line < end) {
                const char *stop = memchr(line, '\n', (size_t)(end - line));
                WaitResult result = { 0 };

                stop = stop ? stop : end;
                if (stop > line) {
                        ck_assert_int_eq(
                                wait_result_decode(line, (size_t)(stop - line), &result, NULL), 0);
                        n_final += is_final(result.outcome);
                        check_outcome(wait, &result);
                        wait_result_done(&result);
                }
                line = stop + 1;
        }
        return n_final;
}

static void on_waited(int status, const Buf *body, void *userdata) {
        StoryWait *wait = userdata;
        Story *story = wait->story;

        if (story->is_over)
                return;
        story_tell(story, "wait for %s: %d %.*s", wait->unit->name, status, (int)body->n_bytes,
                   body->data ? body->data : "");
        story->n_waits++;
        if (status == 200 && check_lines(wait, body) != 1)
                story_violate(story, "a wait for %s does not end once", wait->unit->name);
        else if (status != 200 && status != 503 && status != 0)
                story_violate(story, "a wait for %s: answered %d", wait->unit->name, status);
        wait->unit = NULL;
}

static StoryWait *free_wait(Story *story) {
        for (size_t i = 0; i < STORY_WAITS_MAX; i++)
                if (!story->waits[i].unit)
                        return &story->waits[i];
        return NULL;
}

void story_wait(Story *story, SimMachine *server, StoryUnit *unit, JobState desired) {
        _cleanup_(buf_done) Buf body = buf_make(4096);
        StoryWait *wait = free_wait(story);
        Unit name = { .name = unit->name };
        char state[16];
        const WaitRequest request = {
                .state = state, .timeout_ms = WAIT_MS, .units = &name, .n_units = 1
        };

        if (!wait)
                return;
        *wait = (StoryWait){
                .story = story, .unit = unit, .desired = desired, .sent_us = now_us(story)
        };
        (void)snprintf(state, sizeof(state), "%s", job_state_to_string(desired));
        ck_assert_int_eq(wait_request_encode(&request, &body), 0);
        exchange_send(&server->server, "POST", "/fleet/v1/wait", body.data, on_waited, wait);
}
