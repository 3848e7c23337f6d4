/* SPDX-License-Identifier: Apache-2.0 */

/* Users: requests to the API of a machine that is up, one at a time for each unit, and a check of
 * what was acknowledged against what the store has. And units that end by themselves. */

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
                [STORY_ONESHOT] = "[X-Fake]\nOneshot=yes\n",
                [STORY_ZONED] = "[X-Fleet]\nMachineMetadata=zone=a\n",
                [STORY_LONER] = "[X-Fleet]\nConflicts=loner*.service\n",
                [STORY_FOLLOWER] = "[X-Fleet]\nMachineOf=u00.service\n",
                [STORY_GLOBAL] = "[X-Fleet]\nGlobal=true\n",
        };
        char *text = NULL;

        ck_assert_int_gt(asprintf(&text, "[Service]\nExecStart=/bin/version%u\n%s", unit->version,
                                  extra[unit->kind]),
                         0);
        return text;
}

static void on_answer(int status, const Buf *body, void *userdata) {
        StoryUnit *unit = userdata;
        Story *story = unit->story;
        const MirrorUnit *record = &story->mirror.units[unit - story->units];
        bool is_done = status == 201 || status == 204;

        if (story->is_over)
                return;
        story->n_requests++;
        unit->is_busy = false;
        story_tell(story, "%s: %d %.*s", unit->name, status, (int)body->n_bytes,
                   body->data ? body->data : "");
        if (is_done && unit->is_destroy && record->exists)
                story_violate(story, "%s was destroyed, and is still there", unit->name);
        if (is_done && !unit->is_destroy && (!record->exists || record->desired != unit->asked))
                story_violate(story, "%s was acknowledged as %s, and is not", unit->name,
                              job_state_to_string(unit->asked));
        if (status == 500 || status == 400)
                story_violate(story, "%s: answered %d", unit->name, status);
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

static void send_unit(SimMachine *server, StoryUnit *unit, JobState desired, bool with_options,
                      bool is_restart) {
        _cleanup_(buf_done) Buf body = buf_make(64 * 1024);
        char path[128];
        Unit entity = { 0 };
        char *text = story_unit_text(unit);

        entity.name = strdup(unit->name);
        entity.desired_state = strdup(job_state_to_string(desired));
        entity.restart = is_restart;
        if (with_options)
                ck_assert_int_eq(unit_file_parse(text, strlen(text), &entity.options, NULL), 0);
        ck_assert_int_eq(unit_encode(&entity, &body), 0);
        unit_done(&entity);
        free(text);

        unit->is_busy = true;
        unit->is_destroy = false;
        unit->asked = desired;
        (void)snprintf(path, sizeof(path), "/fleet/v1/units/%s", unit->name);
        exchange_send(&server->server, "PUT", path, body.data, on_answer, unit);
}

static void destroy_unit(SimMachine *server, StoryUnit *unit) {
        char path[128];

        unit->is_busy = true;
        unit->is_destroy = true;
        (void)snprintf(path, sizeof(path), "/fleet/v1/units/%s", unit->name);
        exchange_send(&server->server, "DELETE", path, NULL, on_answer, unit);
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
                fake_machine_unit_exit(fake, unit->name, story_draw(story, 2));
                return;
        }
}

void story_user_acts(Story *story) {
        StoryUnit *unit = &story->units[story_draw(story, story->options.n_units)];
        const MirrorUnit *record = &story->mirror.units[unit - story->units];
        SimMachine *server = draw_server(story);
        unsigned what = (unsigned)story_draw(story, 100);
        size_t m;

        if (!server)
                return;
        m = (size_t)(server - story->sim.machines);
        if (what < 4) {
                change_metadata(story, server);
                return;
        }
        if (what < 14) {
                exit_unit(story, unit);
                return;
        }
        if (unit->is_busy)
                return;

        if (!record->exists || what < 60) {
                story_tell(story, "a user starts %s at machine %zu", unit->name, m);
                send_unit(server, unit, JOB_STATE_LAUNCHED, true, false);
        } else if (what < 68) {
                unit->version++;
                story_tell(story, "a user replaces %s at machine %zu", unit->name, m);
                send_unit(server, unit, JOB_STATE_LAUNCHED, true, false);
        } else if (what < 76) {
                story_tell(story, "a user loads %s at machine %zu", unit->name, m);
                send_unit(server, unit, JOB_STATE_LOADED, false, false);
        } else if (what < 84) {
                story_tell(story, "a user unloads %s at machine %zu", unit->name, m);
                send_unit(server, unit, JOB_STATE_INACTIVE, false, false);
        } else if (what < 92 && record->desired == JOB_STATE_LAUNCHED) {
                story_tell(story, "a user restarts %s at machine %zu", unit->name, m);
                send_unit(server, unit, JOB_STATE_LAUNCHED, false, true);
        } else {
                story_tell(story, "a user destroys %s at machine %zu", unit->name, m);
                destroy_unit(server, unit);
        }
}
