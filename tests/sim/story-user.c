/* SPDX-License-Identifier: Apache-2.0 */

/* Users: requests to the API of any machine that is up, about one unit or several, at the same time
 * as others ask, and waits for what was asked for. And units that end by themselves. */

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "lib/model/entity.h"
#include "tests/sim/story.h"

char *story_unit_text(const StoryUnit *unit) {
        static const char *const extra[] = {
                [STORY_PLAIN] = "",
                [STORY_SLOW_STOP] = "[X-Fake]\nStopDelayMs=4000\n",
                [STORY_SLOW_START] = "[X-Fake]\nStartDelayMs=3000\n",
                [STORY_FAILS] = "[X-Fake]\nFail=yes\n",
                [STORY_HANGS] = "[X-Fake]\nHang=yes\n",
                [STORY_ONESHOT] = "[X-Fake]\nOneshot=yes\n",
                [STORY_ZONED] = "[X-Fleet]\nMachineMetadata=zone=a\n[X-Fake]\nStopDelayMs=2500\n",
                [STORY_LONER] = "[X-Fleet]\nConflicts=loner*.service\n",
                [STORY_FOLLOWER] = "[X-Fleet]\nMachineOf=u00.service\n",
                [STORY_GLOBAL] = "[X-Fleet]\nGlobal=true\n",
                [STORY_EXCLUSIVE] = "TimeoutStopSec=1\n[X-Fleet]\nExclusive=true\n",
                [STORY_EXCLUSIVE_SLOW] = ("TimeoutStopSec=1\n[X-Fleet]\nExclusive=true\n"
                                          "[X-Fake]\nStopDelayMs=3900\n"),
        };
        char *text = NULL;

        ck_assert_int_gt(asprintf(&text, "[Service]\nExecStart=/bin/version%u\n%s", unit->version,
                                  extra[unit->kind]),
                         0);
        return text;
}

static void act_on(Story *story, SimMachine *server, StoryUnit *unit, unsigned what);

/* What whoever asked does next: waits for it, or makes anew at once what was destroyed. */
static void follow_up(const StoryRequest *request, SimMachine *server) {
        Story *story = request->story;
        const StoryAsk *ask = &request->asks[0];

        if (ask->is_destroy && story_draw(story, 3) == 0)
                act_on(story, server, ask->unit, 0);
        else if (ask->is_destroy || ask->desired == JOB_STATE_LOADED)
                return;
        else if (story->is_calm || story_draw(story, 4) == 0)
                story_wait(story, server, ask->unit, ask->desired);
}

static void on_answer(int status, const Buf *body, void *userdata) {
        StoryRequest *request = userdata;
        Story *story = request->story;
        SimMachine *server = &story->sim.machines[request->server];

        if (story->is_over)
                return;
        story_tell(story, "%s, %zu unit(s): %d %.*s", request->asks[0].unit->name, request->n_asks,
                   status, (int)body->n_bytes, body->data ? body->data : "");
        story_request_answered(request, status);
        if (status == 201 || status == 204)
                follow_up(request, server);
}

/* The machines whose API a user finds. */
static SimMachine *draw_server(Story *story) {
        size_t first = story_draw(story, story->options.n_machines);

        for (size_t i = 0; i < story->options.n_machines; i++) {
                size_t m = (first + i) % story->options.n_machines;

                if (story->sim.machines[m].agent && story->machines[m].fault != STORY_PAUSED)
                        return &story->sim.machines[m];
        }
        return NULL;
}

/* Fills in what is asked of a unit, as told and as sent. */
static void ask_for(StoryRequest *request, Unit *entity, StoryUnit *unit, JobState desired,
                    bool with_content) {
        StoryAsk *ask = &request->asks[request->n_asks++];

        *ask = (StoryAsk){ .unit = unit, .desired = desired, .has_content = with_content };
        entity->name = strdup(unit->name);
        entity->desired_state = strdup(job_state_to_string(desired));
        if (with_content) {
                char *text = story_unit_text(unit);

                ck_assert_int_eq(unit_file_parse(text, strlen(text), &entity->options, NULL), 0);
                ck_assert_int_eq(unit_file_hash(entity->options, ask->file), 0);
                free(text);
        }
}

static void send_unit(SimMachine *server, StoryUnit *unit, JobState desired, bool with_content,
                      bool is_restart) {
        _cleanup_(unit_done) Unit entity = { 0 };
        _cleanup_(buf_done) Buf body = buf_make(64 * 1024);
        Story *story = unit->story;
        StoryRequest *request = story_request_new(story, (size_t)(server - story->sim.machines));
        char path[128];

        if (!request)
                return;
        ask_for(request, &entity, unit, desired, with_content);
        entity.restart = request->asks[0].is_restart = is_restart;
        ck_assert_int_eq(unit_encode(&entity, &body), 0);
        (void)snprintf(path, sizeof(path), "/fleet/v1/units/%s", unit->name);
        exchange_send(&server->server, "PUT", path, body.data, on_answer, request);
}

/* Several units, from this one on, in one request. */
static void send_batch(SimMachine *server, StoryUnit *unit) {
        _cleanup_(buf_done) Buf body = buf_make(64 * 1024);
        Story *story = unit->story;
        StoryRequest *request = story_request_new(story, (size_t)(server - story->sim.machines));
        JobState desired = story_draw(story, 4) ? JOB_STATE_LAUNCHED : JOB_STATE_INACTIVE;
        Page page = { 0 };

        if (!request)
                return;
        page.units = calloc(STORY_BATCH_MAX, sizeof(Unit));
        ck_assert_ptr_nonnull(page.units);
        while (page.n_units < STORY_BATCH_MAX && unit < story->units + story->options.n_units)
                ask_for(request, &page.units[page.n_units++], unit++, desired, true);
        ck_assert_int_eq(page_encode(&page, &body), 0);
        page_done(&page);
        exchange_send(&server->server, "POST", "/fleet/v1/units", body.data, on_answer, request);
}

static void destroy_unit(SimMachine *server, StoryUnit *unit) {
        Story *story = unit->story;
        StoryRequest *request = story_request_new(story, (size_t)(server - story->sim.machines));
        char path[128];

        if (!request)
                return;
        request->asks[request->n_asks++] = (StoryAsk){ .unit = unit, .is_destroy = true };
        (void)snprintf(path, sizeof(path), "/fleet/v1/units/%s", unit->name);
        exchange_send(&server->server, "DELETE", path, NULL, on_answer, request);
}

static void on_patched(int status, const Buf *body, void *userdata) {
        (void)body;
        story_tell(userdata, "metadata: %d", status);
}

static void change_metadata(Story *story, SimMachine *server) {
        size_t machine = story_draw(story, story->options.n_machines);
        bool is_a = story_draw(story, 2);
        char body[256];

        story_tell(story, "a user puts machine %zu into zone %s", machine, is_a ? "a" : "b");
        (void)snprintf(body, sizeof(body),
                       "[{\"op\":\"add\",\"path\":\"/%s/metadata/zone\",\"value\":\"%s\"}]",
                       story->sim.machines[machine].id, is_a ? "a" : "b");
        exchange_send(&server->server, "PATCH", "/fleet/v1/machines", body, on_patched, story);
}

static void exit_unit(Story *story, StoryUnit *unit) {
        for (size_t i = 0; i < story->options.n_machines; i++) {
                FakeMachine *fake = story->sim.machines[i].fake;

                if (!fake_machine_unit_is_active(fake, unit->name))
                        continue;
                story_tell(story, "%s ends by itself on machine %zu", unit->name, i);
                unit->has_exited[i] = true;
                unit->exited_us[i] = story->sim.rig.env.now_us;
                fake_machine_unit_exit(fake, unit->name, story_draw(story, 2));
                return;
        }
}

/* One of the things that can be asked of a unit; `what` is below 100. */
static void act_on(Story *story, SimMachine *server, StoryUnit *unit, unsigned what) {
        const MirrorUnit *record = &story->mirror.units[unit - story->units];
        size_t m = (size_t)(server - story->sim.machines);

        if (!record->exists || what < 40) {
                story_tell(story, "a user starts %s at machine %zu", unit->name, m);
                send_unit(server, unit, JOB_STATE_LAUNCHED, true, false);
        } else if (what < 50) {
                unit->version++;
                story_tell(story, "a user replaces %s at machine %zu", unit->name, m);
                send_unit(server, unit, JOB_STATE_LAUNCHED, true, false);
        } else if (what < 58) {
                story_tell(story, "a user submits several units from %s at machine %zu", unit->name,
                           m);
                send_batch(server, unit);
        } else if (what < 67) {
                story_tell(story, "a user loads %s at machine %zu", unit->name, m);
                send_unit(server, unit, JOB_STATE_LOADED, false, false);
        } else if (what < 78) {
                story_tell(story, "a user unloads %s at machine %zu", unit->name, m);
                send_unit(server, unit, JOB_STATE_INACTIVE, false, false);
        } else if (what < 88 && record->desired == JOB_STATE_LAUNCHED) {
                story_tell(story, "a user restarts %s at machine %zu", unit->name, m);
                send_unit(server, unit, JOB_STATE_LAUNCHED, false, true);
        } else {
                story_tell(story, "a user destroys %s at machine %zu", unit->name, m);
                destroy_unit(server, unit);
        }
}

void story_user_acts(Story *story) {
        StoryUnit *unit = &story->units[story_draw(story, story->options.n_units)];
        SimMachine *server = draw_server(story), *other;
        unsigned what = (unsigned)story_draw(story, 100);

        if (!server)
                return;
        if (what < 6) {
                change_metadata(story, server);
                return;
        }
        if (what < 14) {
                exit_unit(story, unit);
                return;
        }

        act_on(story, server, unit, (unsigned)story_draw(story, 100));

        /* Somebody else wants something of it at the same time. */
        other = story_draw(story, 4) == 0 ? draw_server(story) : NULL;
        if (other)
                act_on(story, other, unit, (unsigned)story_draw(story, 100));
}

/* On which machine does it run? -1 = none, or it would not stay. */
static int runs_on(const Story *story, const StoryUnit *unit) {
        if (unit->kind == STORY_GLOBAL || !story_stays_up(unit))
                return -1;
        for (size_t i = 0; i < story->options.n_machines; i++)
                if (story->mirror.units[unit - story->units].rows[i].desired ==
                            JOB_STATE_LAUNCHED &&
                    story->mirror.units[unit - story->units].rows[i].exists &&
                    fake_machine_unit_is_active(story->sim.machines[i].fake, unit->name))
                        return (int)i;
        return -1;
}

void story_ask_all(Story *story, bool is_restart) {
        for (size_t u = 0; u < story->options.n_units; u++) {
                StoryUnit *unit = &story->units[u];
                int machine = runs_on(story, unit);

                if (machine < 0)
                        continue;
                unit->n_starts[machine] = fake_machine_unit_starts(
                                                  story->sim.machines[machine].fake, unit->name) +
                                          is_restart;
                send_unit(&story->sim.machines[u % story->options.n_machines], unit,
                          JOB_STATE_LAUNCHED, false, is_restart);
        }
}
