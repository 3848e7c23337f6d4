/* SPDX-License-Identifier: Apache-2.0 */

/* The fake service manager, on a virtual clock: its timing, its habits, and that it is the same
 * each time. */

#include <errno.h>
#include <stdio.h>

#include "lib/base/buf.h"
#include "lib/host/host-fake.h"
#include "tests/sim/virtual-env.h"
#include "tests/unit/fault.h"

enum { STORY_MAX_BYTES = 64 * 1024 };

/* A machine, a host on it, and the story of what happened, a line each. */
typedef struct World {
        VirtualEnv env;
        Loop *loop;
        FakeMachine *machine;
        Host *host;
        Buf story;
        bool is_closed;
} World;

/* A request. */
typedef struct Ask {
        HostRequest request;
        World *world;
        const char *what;
        bool is_done;
        int status;
} Ask;

static void tell(World *world, const char *what, const char *name, const char *detail) {
        fault_assert(buf_printf(&world->story, "%llu %s %s %s\n",
                                (unsigned long long)(world->env.now_us / US_PER_MS), what, name,
                                detail) == 0);
}

static void on_unit(const HostUnit *unit, void *userdata) {
        tell(userdata, "unit", unit->name, unit->active);
}

static void on_ready(bool is_ready, const char *why, void *userdata) {
        tell(userdata, "ready", is_ready ? "yes" : "no", why ? why : "");
}

static void on_activity(const char *name, bool is_active, void *userdata) {
        tell(userdata, "activity", name, is_active ? "on" : "off");
}

static void on_done(HostRequest *request, int status, const char *why) {
        Ask *ask = container_of(request, Ask, request);

        ask->is_done = true;
        ask->status = status;
        tell(ask->world, "done", ask->what, why ? why : "");
}

static void world_start(World *world) {
        HostListener listener = { on_unit, on_ready, world };

        world->is_closed = false;
        ck_assert_int_eq(host_fake_new(&world->host, world->machine, world->loop), 0);
        ck_assert_int_eq(host_start(world->host, &listener), 0);
        virtual_env_settle(&world->env, world->loop);
}

static void on_closed(Host *host, void *userdata) {
        (void)host;
        ((World *)userdata)->is_closed = true;
}

static void world_stop(World *world) {
        host_close(world->host, on_closed, world);
        virtual_env_settle(&world->env, world->loop);
        ck_assert(world->is_closed);
        world->host = host_free(world->host);
}

static void world_open(World *world) {
        *world = (World){ .story = buf_make(STORY_MAX_BYTES) };
        virtual_env_init(&world->env, 1);
        ck_assert_int_eq(loop_new(&world->loop, &world->env.env), 0);
        ck_assert_int_eq(fake_machine_new(&world->machine, world->loop), 0);
        fake_machine_set_observer(world->machine, on_activity, world);
        world_start(world);
}

static void world_close(World *world) {
        if (world->host)
                world_stop(world);
        (void)fake_machine_free(world->machine);
        (void)loop_free(world->loop);
        buf_done(&world->story);
}

static Ask ask_make(World *world, const char *what) {
        return (Ask){ .world = world, .what = what };
}

static int load(World *world, const char *name, const char *text) {
        Ask ask = ask_make(world, "load");

        ck_assert_int_eq(host_load(world->host, &ask.request, name, text, strlen(text), on_done),
                         0);
        virtual_env_run_for(&world->env, world->loop, 2 * US_PER_MS);
        ck_assert(ask.is_done);
        return ask.status;
}

/* Delays are what the unit asks for, to the millisecond, after one for the call. */
START_TEST(test_delays) {
        World world;
        Ask start, stop;
        uint64_t begin_us;

        world_open(&world);
        ck_assert_int_eq(load(&world, "a.service", "[X-Fake]\nStartDelayMs=300\nStopDelayMs=70\n"),
                         0);
        start = ask_make(&world, "start");
        begin_us = world.env.now_us;
        ck_assert_int_eq(host_unit_start(world.host, &start.request, "a.service", on_done), 0);
        virtual_env_run_until(&world.env, world.loop, begin_us + 300 * US_PER_MS);
        ck_assert(!start.is_done);
        ck_assert_str_eq(host_find(world.host, "a.service")->active, "activating");
        virtual_env_run_until(&world.env, world.loop, begin_us + 301 * US_PER_MS);
        ck_assert(start.is_done);
        ck_assert(fake_machine_unit_is_active(world.machine, "a.service"));

        stop = ask_make(&world, "stop");
        begin_us = world.env.now_us;
        ck_assert_int_eq(host_unit_stop(world.host, &stop.request, "a.service", on_done), 0);
        virtual_env_run_until(&world.env, world.loop, begin_us + 70 * US_PER_MS);
        ck_assert(!stop.is_done);
        virtual_env_run_until(&world.env, world.loop, begin_us + 71 * US_PER_MS);
        ck_assert(stop.is_done);
        ck_assert(!fake_machine_unit_is_active(world.machine, "a.service"));
        world_close(&world);
}
END_TEST

/* What runs survives the daemon; a job goes on without it; a power loss takes everything, and the
 * observer sees it. */
START_TEST(test_machine_outlives_host) {
        World world;
        Ask start;

        world_open(&world);
        ck_assert_int_eq(load(&world, "a.service", "[X-Fake]\nStartDelayMs=100\n"), 0);
        start = ask_make(&world, "start");
        ck_assert_int_eq(host_unit_start(world.host, &start.request, "a.service", on_done), 0);
        virtual_env_run_for(&world.env, world.loop, 50 * US_PER_MS);
        world_stop(&world);
        ck_assert_int_eq(start.status, -ECANCELED);
        virtual_env_run_for(&world.env, world.loop, 100 * US_PER_MS);
        ck_assert(fake_machine_unit_is_active(world.machine, "a.service"));

        world_start(&world);
        ck_assert_str_eq(host_find(world.host, "a.service")->active, "active");
        ck_assert_uint_eq(fake_machine_unit_starts(world.machine, "a.service"), 1);

        buf_clear(&world.story);
        fake_machine_reboot(world.machine);
        virtual_env_settle(&world.env, world.loop);
        ck_assert_ptr_nonnull(strstr(world.story.data, "activity a.service off"));
        ck_assert_ptr_null(host_find(world.host, "a.service"));
        ck_assert(host_is_ready(world.host));
        ck_assert_uint_eq(fake_machine_unit_starts(world.machine, "a.service"), 0);
        world_close(&world);
}
END_TEST

/* A loss in the middle of a job ends the request; the job goes on, and its result is there when the
 * connection is. */
START_TEST(test_loss_in_a_job) {
        World world;
        Ask start;

        world_open(&world);
        ck_assert_int_eq(load(&world, "a.service", "[Service]\nExecStart=/bin/true\n"), 0);
        start = ask_make(&world, "start");
        ck_assert_int_eq(host_unit_start(world.host, &start.request, "a.service", on_done), 0);
        virtual_env_run_for(&world.env, world.loop, 3 * US_PER_MS);
        fake_machine_set_connected(world.machine, false);
        virtual_env_run_for(&world.env, world.loop, 100 * US_PER_MS);
        ck_assert_int_eq(start.status, -ENOTCONN);
        ck_assert(!host_is_ready(world.host));
        ck_assert_str_eq(host_find(world.host, "a.service")->active, "activating");
        fake_machine_set_connected(world.machine, true);
        virtual_env_settle(&world.env, world.loop);
        ck_assert_str_eq(host_find(world.host, "a.service")->active, "active");
        world_close(&world);
}
END_TEST

/* Processes that die by themselves leave a failed unit, or an inactive one. */
START_TEST(test_exits) {
        static const char *const active[] = { "failed", "inactive" };

        for (size_t i = 0; i < ELEMENTSOF(active); i++) {
                World world;
                Ask start;

                world_open(&world);
                ck_assert_int_eq(load(&world, "a.service", "[Service]\nExecStart=/bin/true\n"), 0);
                start = ask_make(&world, "start");
                ck_assert_int_eq(host_unit_start(world.host, &start.request, "a.service", on_done),
                                 0);
                virtual_env_run_for(&world.env, world.loop, 10 * US_PER_MS);
                ck_assert_int_eq(start.status, 0);
                fake_machine_unit_exit(world.machine, "a.service", i == 1);
                fake_machine_unit_exit(world.machine, "b.service", true);
                virtual_env_settle(&world.env, world.loop);
                ck_assert_str_eq(host_find(world.host, "a.service")->active, active[i]);
                world_close(&world);
        }
}
END_TEST

static void tell_story(char *story, size_t n_bytes) {
        static const char *const texts[] = { "[Service]\nExecStart=/bin/true\n",
                                             "[X-Fake]\nFail=yes\n",
                                             "[X-Fake]\nOneshot=yes\nStartDelayMs=20\n",
                                             "[X-Fake]\nHang=yes\n",
                                             "[X-Fake]\nBad=yes\n",
                                             "no unit file" };
        Ask loads[ELEMENTSOF(texts)], starts[ELEMENTSOF(texts)], stops[ELEMENTSOF(texts)];
        World world;

        world_open(&world);
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                char name[32];

                (void)snprintf(name, sizeof(name), "u%zu.service", i);
                loads[i] = ask_make(&world, "load");
                starts[i] = ask_make(&world, "start");
                stops[i] = ask_make(&world, "stop");
                ck_assert_int_eq(host_load(world.host, &loads[i].request, name, texts[i],
                                           strlen(texts[i]), on_done),
                                 0);
                ck_assert_int_eq(host_unit_start(world.host, &starts[i].request, name, on_done), 0);
                ck_assert_int_eq(host_unit_stop(world.host, &stops[i].request, name, on_done), 0);
        }
        virtual_env_run_for(&world.env, world.loop, US_PER_S);
        (void)snprintf(story, n_bytes, "%s", world.story.data);
        ck_assert_uint_lt(strlen(story), n_bytes - 1);
        world_close(&world);
}

/* The same requests give the same story, line by line. */
START_TEST(test_story_repeats) {
        char first[8192], second[8192];

        tell_story(first, sizeof(first));
        tell_story(second, sizeof(second));
        ck_assert_str_eq(first, second);
        ck_assert_ptr_nonnull(strstr(first, "done start the start job failed"));
}
END_TEST

/* One run of loading and starting a unit, in which an allocation may fail; -ENOMEM when that ended
 * something. */
static int run_short_of_memory(void *context) {
        static const char text[] = "[Service]\nExecStart=/bin/true\n";
        World *world = context;
        Ask ask = ask_make(world, "load");
        int r;

        r = host_load(world->host, &ask.request, "a.service", text, sizeof(text) - 1, on_done);
        if (r < 0)
                return r;
        virtual_env_run_for(&world->env, world->loop, 10 * US_PER_MS);
        fault_assert(ask.is_done);
        return ask.status;
}

/* A load that runs out of memory says so, and leaves no half-known unit behind. */
START_TEST(test_load_survives_oom) {
        World world;
        bool was_hit = true;

        for (size_t i = 0; was_hit; i++) {
                int r;

                world_open(&world);
                /* Room for what the test itself writes down. */
                ck_assert_int_eq(buf_printf(&world.story, "%4000s", ""), 0);
                fault_arm(i);
                r = run_short_of_memory(&world);
                was_hit = fault_disarm();
                if (r == -ENOMEM)
                        ck_assert_ptr_null(host_find(world.host, "a.service"));
                else
                        ck_assert_int_eq(r, 0);
                world_close(&world);
        }
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_delays, test_machine_outlives_host, test_loss_in_a_job,
                test_exits,  test_story_repeats,         test_load_survives_oom,
        };

        return tests_run("host fake", tests, ELEMENTSOF(tests));
}
