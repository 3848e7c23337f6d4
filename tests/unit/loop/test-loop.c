/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/loop/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/sim/virtual-env.h"
#include "tests/unit/fault.h"

/* What happened, as letters in order; and what happens next. Each object of a test notes its own
 * letter. */
typedef struct Notes {
        char text[64];
        size_t n;
} Notes;

static void note(Notes *notes, char letter) {
        ck_assert_uint_lt(notes->n, sizeof(notes->text) - 1);
        notes->text[notes->n++] = letter;
        notes->text[notes->n] = '\0';
}

typedef struct Thing Thing;

/* Something on the loop: notes its letter, then does what the test says. */
struct Thing {
        LoopDeferred deferred;
        LoopTimer timer;
        LoopHook hook;
        LoopIo io;
        Notes *notes;
        char letter;
        void (*then)(Thing *thing);
        Thing *other;
        Loop *loop;
        unsigned events;
};

static void thing_happens(Thing *thing) {
        note(thing->notes, thing->letter);
        if (thing->then)
                thing->then(thing);
}

static void on_deferred(LoopDeferred *deferred) {
        thing_happens(container_of(deferred, Thing, deferred));
}

static void on_timer(LoopTimer *timer) {
        thing_happens(container_of(timer, Thing, timer));
}

static void on_hook(LoopHook *hook) {
        thing_happens(container_of(hook, Thing, hook));
}

static void on_io(LoopIo *io, unsigned events) {
        Thing *thing = container_of(io, Thing, io);

        thing->events = events;
        thing_happens(thing);
}

static Thing thing_make(Loop *loop, Notes *notes, char letter) {
        return (Thing){
                .deferred.fn = on_deferred,
                .timer.fn = on_timer,
                .hook.prepare = on_hook,
                .io.fn = on_io,
                .notes = notes,
                .letter = letter,
                .loop = loop,
        };
}

static Loop *make_loop(VirtualEnv *env) {
        Loop *loop = NULL;

        if (env)
                virtual_env_init(env, 1);
        ck_assert_int_eq(loop_new(&loop, env ? &env->env : env_system()), 0);
        return loop;
}

static void turn(Loop *loop) {
        ck_assert_int_eq(loop_turn(loop, 0), 0);
}

/* ---- deferred calls */

/* Deferred calls run in the next turn, in the order in which they were queued, once each, however
 * often they were queued. */
START_TEST(test_deferred_order) {
        VirtualEnv env;
        _cleanup_(loop_freep) Loop *loop = make_loop(&env);
        Notes notes = { 0 };
        Thing a = thing_make(loop, &notes, 'a'), b = thing_make(loop, &notes, 'b'),
              c = thing_make(loop, &notes, 'c');

        loop_defer(loop, &b.deferred);
        loop_defer(loop, &a.deferred);
        loop_defer(loop, &c.deferred);
        loop_defer(loop, &b.deferred);
        ck_assert_str_eq(notes.text, "");
        turn(loop);
        ck_assert_str_eq(notes.text, "bac");
        turn(loop);
        ck_assert_str_eq(notes.text, "bac");
}
END_TEST

static void defer_itself_and_the_other(Thing *thing) {
        loop_defer(thing->loop, &thing->deferred);
        loop_defer(thing->loop, &thing->other->deferred);
        thing->then = NULL;
}

/* What is deferred during a turn waits for the next one. */
START_TEST(test_deferred_waits_for_the_next_turn) {
        VirtualEnv env;
        _cleanup_(loop_freep) Loop *loop = make_loop(&env);
        Notes notes = { 0 };
        Thing a = thing_make(loop, &notes, 'a'), b = thing_make(loop, &notes, 'b');

        a.then = defer_itself_and_the_other;
        a.other = &b;
        loop_defer(loop, &a.deferred);
        turn(loop);
        ck_assert_str_eq(notes.text, "a");
        ck_assert_uint_eq(loop_next_due_us(loop), 0);
        turn(loop);
        ck_assert_str_eq(notes.text, "aab");
}
END_TEST

static void cancel_the_other(Thing *thing) {
        loop_defer_cancel(&thing->other->deferred);
}

/* A deferred call can be taken back, also by one that runs right before it. */
START_TEST(test_deferred_cancel) {
        VirtualEnv env;
        _cleanup_(loop_freep) Loop *loop = make_loop(&env);
        Notes notes = { 0 };
        Thing a = thing_make(loop, &notes, 'a'), b = thing_make(loop, &notes, 'b'),
              c = thing_make(loop, &notes, 'c');

        a.then = cancel_the_other;
        a.other = &b;
        loop_defer(loop, &a.deferred);
        loop_defer(loop, &b.deferred);
        loop_defer(loop, &c.deferred);
        loop_defer_cancel(&c.deferred);
        loop_defer_cancel(&c.deferred);
        turn(loop);
        ck_assert_str_eq(notes.text, "a");

        loop_defer(loop, &b.deferred);
        turn(loop);
        ck_assert_str_eq(notes.text, "ab");
}
END_TEST

/* ---- timers */

/* Timers fire in the order of their deadlines, those of the same instant in the order of their
 * setting; none before its time. */
START_TEST(test_timer_order) {
        VirtualEnv env;
        _cleanup_(loop_freep) Loop *loop = make_loop(&env);
        Notes notes = { 0 };
        Thing things[6];
        static const uint64_t delays_us[] = { 20, 10, 20, 10, 30, 10 };

        for (size_t i = 0; i < ELEMENTSOF(things); i++) {
                things[i] = thing_make(loop, &notes, (char)('a' + i));
                timer_set_in(loop, &things[i].timer, delays_us[i]);
        }
        turn(loop);
        ck_assert_str_eq(notes.text, "");
        env.now_us += 9;
        turn(loop);
        ck_assert_str_eq(notes.text, "");
        env.now_us += 1;
        turn(loop);
        ck_assert_str_eq(notes.text, "bdf");
        env.now_us += 1000;
        turn(loop);
        ck_assert_str_eq(notes.text, "bdface");
        for (size_t i = 0; i < ELEMENTSOF(things); i++)
                ck_assert(!timer_is_set(&things[i].timer));
}
END_TEST

/* Setting again replaces, and moves the timer behind others of its instant. */
START_TEST(test_timer_is_replaced) {
        VirtualEnv env;
        _cleanup_(loop_freep) Loop *loop = make_loop(&env);
        Notes notes = { 0 };
        Thing a = thing_make(loop, &notes, 'a'), b = thing_make(loop, &notes, 'b');

        timer_set_in(loop, &a.timer, 10);
        timer_set_in(loop, &b.timer, 20);
        timer_set_in(loop, &a.timer, 20);
        env.now_us += 10;
        turn(loop);
        ck_assert_str_eq(notes.text, "");
        env.now_us += 10;
        turn(loop);
        ck_assert_str_eq(notes.text, "ba");
}
END_TEST

static void clear_the_other_timer(Thing *thing) {
        timer_clear(&thing->other->timer);
}

/* A timer can be cleared by another one of the same instant, and by itself. */
START_TEST(test_timer_cleared_in_callback) {
        VirtualEnv env;
        _cleanup_(loop_freep) Loop *loop = make_loop(&env);
        Notes notes = { 0 };
        Thing a = thing_make(loop, &notes, 'a'), b = thing_make(loop, &notes, 'b');

        a.then = clear_the_other_timer;
        a.other = &b;
        timer_set_in(loop, &a.timer, 0);
        timer_set_in(loop, &b.timer, 0);
        turn(loop);
        turn(loop);
        ck_assert_str_eq(notes.text, "a");

        a.other = &a;
        timer_set_in(loop, &a.timer, 0);
        turn(loop);
        turn(loop);
        ck_assert_str_eq(notes.text, "aa");
        ck_assert_uint_eq(loop_next_due_us(loop), UINT64_MAX);
}
END_TEST

static void set_itself_now(Thing *thing) {
        ck_assert(!timer_is_set(&thing->timer));
        timer_set_at(thing->loop, &thing->timer, 0);
}

/* A timer that sets itself to a time past fires once per turn, and the others of its turn fire as
 * well. */
START_TEST(test_timer_sets_itself) {
        VirtualEnv env;
        _cleanup_(loop_freep) Loop *loop = make_loop(&env);
        Notes notes = { 0 };
        Thing a = thing_make(loop, &notes, 'a'), b = thing_make(loop, &notes, 'b');

        a.then = set_itself_now;
        timer_set_in(loop, &a.timer, 0);
        timer_set_in(loop, &b.timer, 0);
        turn(loop);
        turn(loop);
        a.then = NULL;
        turn(loop);
        ck_assert_uint_eq(notes.n, 4);
        ck_assert_ptr_nonnull(strchr(notes.text, 'b'));
        ck_assert_uint_eq(loop_next_due_us(loop), UINT64_MAX);
}
END_TEST

static void free_itself(Thing *thing) {
        free(thing);
}

/* What a timer, and a deferred call, is embedded in may be freed from its callback. */
START_TEST(test_freed_in_callback) {
        VirtualEnv env;
        _cleanup_(loop_freep) Loop *loop = make_loop(&env);
        Notes notes = { 0 };
        Thing *a = malloc(sizeof(*a)), *b = malloc(sizeof(*b));

        *a = thing_make(loop, &notes, 'a');
        *b = thing_make(loop, &notes, 'b');
        a->then = b->then = free_itself;
        loop_defer(loop, &a->deferred);
        timer_set_in(loop, &b->timer, 0);
        turn(loop);
        turn(loop);
        ck_assert_str_eq(notes.text, "ab");
}
END_TEST

typedef struct Sample {
        LoopTimer timer;
        uint64_t *last_us;
        unsigned *n_fired;
} Sample;

static void on_sample(LoopTimer *timer) {
        Sample *sample = container_of(timer, Sample, timer);

        ck_assert_uint_ge(timer->deadline_us, *sample->last_us);
        *sample->last_us = timer->deadline_us;
        (*sample->n_fired)++;
}

/* Among thousands of timers, set, moved and cleared at random, every one left fires, in order. */
START_TEST(test_many_timers) {
        enum { N = 2000 };
        VirtualEnv env;
        _cleanup_(loop_freep) Loop *loop = make_loop(&env);
        Sample *samples = calloc(N, sizeof(*samples));
        unsigned n_fired = 0, n_set = 0;
        uint64_t last_us = 0;

        for (int i = 0; i < N; i++)
                samples[i] =
                        (Sample){ .timer.fn = on_sample, .last_us = &last_us, .n_fired = &n_fired };
        for (int i = 0; i < 5 * N; i++) {
                Sample *sample = &samples[env_random_below(&env.env, N)];

                if (env_random_below(&env.env, 4) == 0)
                        timer_clear(&sample->timer);
                else
                        timer_set_in(loop, &sample->timer, env_random_below(&env.env, 500));
        }
        for (int i = 0; i < N; i++)
                n_set += timer_is_set(&samples[i].timer);

        ck_assert_uint_gt(n_set, N / 2);
        virtual_env_run_for(&env, loop, 500);
        ck_assert_uint_eq(n_fired, n_set);
        free(samples);
}
END_TEST

/* A delay beyond the end of time is the end of time, not the beginning. */
START_TEST(test_timer_never) {
        VirtualEnv env;
        _cleanup_(loop_freep) Loop *loop = make_loop(&env);
        Notes notes = { 0 };
        Thing a = thing_make(loop, &notes, 'a');

        timer_set_in(loop, &a.timer, UINT64_MAX);
        ck_assert_uint_eq(loop_next_due_us(loop), UINT64_MAX);
        turn(loop);
        ck_assert_str_eq(notes.text, "");
        timer_clear(&a.timer);
        timer_clear(&a.timer);
}
END_TEST

/* What is due next: nothing, the earliest timer, or at once when something is deferred. */
START_TEST(test_next_due) {
        VirtualEnv env;
        _cleanup_(loop_freep) Loop *loop = make_loop(&env);
        Notes notes = { 0 };
        Thing a = thing_make(loop, &notes, 'a'), b = thing_make(loop, &notes, 'b');

        ck_assert_uint_eq(loop_next_due_us(loop), UINT64_MAX);
        timer_set_in(loop, &a.timer, 70);
        timer_set_in(loop, &b.timer, 50);
        ck_assert_uint_eq(loop_next_due_us(loop), env.now_us + 50);
        timer_clear(&b.timer);
        ck_assert_uint_eq(loop_next_due_us(loop), env.now_us + 70);
        loop_defer(loop, &a.deferred);
        ck_assert_uint_eq(loop_next_due_us(loop), 0);
        turn(loop);
        timer_clear(&a.timer);
}
END_TEST

/* ---- the turn */

/* A turn runs deferred calls, then timers, then the hooks, then descriptors. */
START_TEST(test_phases) {
        VirtualEnv env;
        _cleanup_(loop_freep) Loop *loop = make_loop(&env);
        Notes notes = { 0 };
        Thing d = thing_make(loop, &notes, 'd'), t = thing_make(loop, &notes, 't');
        Thing h = thing_make(loop, &notes, 'h'), i = thing_make(loop, &notes, 'i');
        int fds[2];

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        ck_assert_int_eq(write(fds[1], "x", 1), 1);
        ck_assert_int_eq(loop_io_watch(loop, &i.io, fds[0], LOOP_READ), 0);
        loop_hook_add(loop, &h.hook);
        timer_set_in(loop, &t.timer, 0);
        loop_defer(loop, &d.deferred);
        turn(loop);
        ck_assert_str_eq(notes.text, "dthi");

        loop_io_stop(&i.io);
        loop_hook_remove(&h.hook);
        (void)close(fds[0]);
        (void)close(fds[1]);
}
END_TEST

static void remove_both_hooks(Thing *thing) {
        loop_hook_remove(&thing->hook);
        loop_hook_remove(&thing->other->hook);
}

/* Hooks run once per turn in their order, and can be removed from a hook. */
START_TEST(test_hooks) {
        VirtualEnv env;
        _cleanup_(loop_freep) Loop *loop = make_loop(&env);
        Notes notes = { 0 };
        Thing a = thing_make(loop, &notes, 'a'), b = thing_make(loop, &notes, 'b'),
              c = thing_make(loop, &notes, 'c');

        loop_hook_add(loop, &a.hook);
        loop_hook_add(loop, &b.hook);
        loop_hook_add(loop, &c.hook);
        turn(loop);
        turn(loop);
        ck_assert_str_eq(notes.text, "abcabc");

        a.then = remove_both_hooks;
        a.other = &b;
        turn(loop);
        turn(loop);
        ck_assert_str_eq(notes.text, "abcabcacc");
        loop_hook_remove(&c.hook);
}
END_TEST

static void defer_the_other(Thing *thing) {
        loop_defer(thing->loop, &thing->other->deferred);
}

/* What a hook defers keeps the turn from sleeping: it would sleep for ever here. */
START_TEST(test_hook_that_defers) {
        _cleanup_(loop_freep) Loop *loop = make_loop(NULL);
        Notes notes = { 0 };
        Thing a = thing_make(loop, &notes, 'a'), b = thing_make(loop, &notes, 'b'),
              quiet = thing_make(loop, &notes, 'q');
        int fds[2];

        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        ck_assert_int_eq(loop_io_watch(loop, &quiet.io, fds[0], LOOP_READ), 0);
        a.then = defer_the_other;
        a.other = &b;
        loop_hook_add(loop, &a.hook);
        ck_assert_int_eq(loop_turn(loop, UINT64_MAX), 0);
        loop_hook_remove(&a.hook);
        turn(loop);
        ck_assert_str_eq(notes.text, "ab");
        loop_io_stop(&quiet.io);
        (void)close(fds[0]);
        (void)close(fds[1]);
}
END_TEST

static void exit_with_7(Thing *thing) {
        loop_exit(thing->loop, 7);
}

/* loop_run() sleeps until a timer is due, and ends with the code given; it can run again. */
START_TEST(test_run_in_real_time) {
        _cleanup_(loop_freep) Loop *loop = make_loop(NULL);
        Notes notes = { 0 };
        Thing a = thing_make(loop, &notes, 'a');
        uint64_t start_us = env_now_us(env_system()), took_us;

        a.then = exit_with_7;
        timer_set_in(loop, &a.timer, 30 * US_PER_MS);
        ck_assert_int_eq(loop_run(loop), 7);
        took_us = env_now_us(env_system()) - start_us;
        ck_assert_uint_ge(took_us, 30 * US_PER_MS);
        ck_assert_uint_lt(took_us, 2 * US_PER_S);

        loop_defer(loop, &a.deferred);
        ck_assert_int_eq(loop_run(loop), 7);
        ck_assert_str_eq(notes.text, "aa");
}
END_TEST

static void move_the_clock(Thing *thing) {
        container_of(loop_env(thing->loop), VirtualEnv, env)->now_us += 1000;
        ck_assert_uint_eq(loop_now_us(thing->loop), thing->timer.deadline_us);
}

/* All callbacks of a turn's calls and timers see one time. */
START_TEST(test_time_stands_still) {
        VirtualEnv env;
        _cleanup_(loop_freep) Loop *loop = make_loop(&env);
        Notes notes = { 0 };
        Thing a = thing_make(loop, &notes, 'a'), b = thing_make(loop, &notes, 'b');

        a.then = b.then = move_the_clock;
        timer_set_in(loop, &a.timer, 5);
        timer_set_in(loop, &b.timer, 5);
        env.now_us += 5;
        turn(loop);
        ck_assert_str_eq(notes.text, "ab");
        ck_assert_uint_eq(loop_now_us(loop), env.now_us);
}
END_TEST

/* ---- descriptors and signals */

/* A descriptor is told of in every turn for as long as it is ready, and no longer. */
START_TEST(test_io_is_level_triggered) {
        VirtualEnv env;
        _cleanup_(loop_freep) Loop *loop = make_loop(&env);
        Notes notes = { 0 };
        Thing a = thing_make(loop, &notes, 'a');
        char byte;
        int fds[2];

        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        ck_assert_int_eq(loop_io_watch(loop, &a.io, fds[0], LOOP_READ), 0);
        turn(loop);
        ck_assert_str_eq(notes.text, "");
        ck_assert_int_eq(write(fds[1], "x", 1), 1);
        turn(loop);
        turn(loop);
        ck_assert_str_eq(notes.text, "aa");
        ck_assert_uint_eq(a.events, LOOP_READ);
        ck_assert_int_eq(read(fds[0], &byte, 1), 1);
        turn(loop);
        ck_assert_str_eq(notes.text, "aa");

        (void)close(fds[1]);
        turn(loop);
        ck_assert_str_eq(notes.text, "aaa");
        ck_assert(a.events & LOOP_READ);
        loop_io_stop(&a.io);
        loop_io_stop(&a.io);
        turn(loop);
        ck_assert_str_eq(notes.text, "aaa");
        (void)close(fds[0]);
}
END_TEST

/* The events can be changed while watching; no events means to stop. */
START_TEST(test_io_events) {
        VirtualEnv env;
        _cleanup_(loop_freep) Loop *loop = make_loop(&env);
        Notes notes = { 0 };
        Thing a = thing_make(loop, &notes, 'a');
        int fds[2];

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        ck_assert_int_eq(write(fds[1], "x", 1), 1);
        ck_assert_int_eq(loop_io_watch(loop, &a.io, fds[0], LOOP_WRITE), 0);
        turn(loop);
        ck_assert_uint_eq(a.events, LOOP_WRITE);
        ck_assert_int_eq(loop_io_watch(loop, &a.io, fds[0], LOOP_READ | LOOP_WRITE), 0);
        turn(loop);
        ck_assert_uint_eq(a.events, LOOP_READ | LOOP_WRITE);
        ck_assert_int_eq(loop_io_watch(loop, &a.io, fds[0], LOOP_READ), 0);
        turn(loop);
        ck_assert_uint_eq(a.events, LOOP_READ);
        ck_assert_str_eq(notes.text, "aaa");
        ck_assert_int_eq(loop_io_watch(loop, &a.io, fds[0], 0), 0);
        turn(loop);
        ck_assert_str_eq(notes.text, "aaa");
        (void)close(fds[0]);
        (void)close(fds[1]);
}
END_TEST

/* A closed descriptor cannot be watched. */
START_TEST(test_io_bad_descriptor) {
        VirtualEnv env;
        _cleanup_(loop_freep) Loop *loop = make_loop(&env);
        Notes notes = { 0 };
        Thing a = thing_make(loop, &notes, 'a');
        int fds[2];

        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        (void)close(fds[0]);
        (void)close(fds[1]);
        ck_assert_int_lt(loop_io_watch(loop, &a.io, fds[0], LOOP_READ), 0);
        turn(loop);
        ck_assert_str_eq(notes.text, "");
        loop_io_stop(&a.io);
}
END_TEST

static void stop_and_close_both(Thing *thing) {
        loop_io_stop(&thing->io);
        loop_io_stop(&thing->other->io);
}

/* Of two ready descriptors, whichever is told first may stop both: the other is not told. */
START_TEST(test_io_stopped_in_callback) {
        VirtualEnv env;
        _cleanup_(loop_freep) Loop *loop = make_loop(&env);
        Notes notes = { 0 };
        Thing a = thing_make(loop, &notes, 'x'), b = thing_make(loop, &notes, 'x');
        int to_a[2], to_b[2];

        ck_assert_int_eq(pipe2(to_a, O_CLOEXEC), 0);
        ck_assert_int_eq(pipe2(to_b, O_CLOEXEC), 0);
        ck_assert_int_eq(write(to_a[1], "x", 1), 1);
        ck_assert_int_eq(write(to_b[1], "x", 1), 1);
        a.then = b.then = stop_and_close_both;
        a.other = &b;
        b.other = &a;
        ck_assert_int_eq(loop_io_watch(loop, &a.io, to_a[0], LOOP_READ), 0);
        ck_assert_int_eq(loop_io_watch(loop, &b.io, to_b[0], LOOP_READ), 0);
        turn(loop);
        turn(loop);
        ck_assert_str_eq(notes.text, "x");
        for (int i = 0; i < 2; i++) {
                (void)close(to_a[i]);
                (void)close(to_b[i]);
        }
}
END_TEST

static void defer_itself(Thing *thing) {
        loop_defer(thing->loop, &thing->deferred);
}

/* A call that defers itself for ever does not keep descriptors from being told, or timers from
 * firing. */
START_TEST(test_nothing_starves) {
        VirtualEnv env;
        _cleanup_(loop_freep) Loop *loop = make_loop(&env);
        Notes notes = { 0 };
        Thing busy = thing_make(loop, &notes, 'd'), io = thing_make(loop, &notes, 'i'),
              timer = thing_make(loop, &notes, 't');
        int fds[2];

        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        ck_assert_int_eq(write(fds[1], "x", 1), 1);
        ck_assert_int_eq(loop_io_watch(loop, &io.io, fds[0], LOOP_READ), 0);
        timer_set_in(loop, &timer.timer, 0);
        busy.then = defer_itself;
        loop_defer(loop, &busy.deferred);
        turn(loop);
        turn(loop);
        ck_assert_str_eq(notes.text, "dtidi");
        loop_defer_cancel(&busy.deferred);
        loop_io_stop(&io.io);
        (void)close(fds[0]);
        (void)close(fds[1]);
}
END_TEST

static void on_signal(void *userdata) {
        Thing *thing = userdata;

        thing_happens(thing);
}

/* A signal is told from the loop. */
START_TEST(test_signal) {
        _cleanup_(loop_freep) Loop *loop = make_loop(NULL);
        Notes notes = { 0 };
        Thing a = thing_make(loop, &notes, 's');
        void *handle = loop_signal_new(loop, SIGUSR1, on_signal, &a);

        ck_assert_ptr_nonnull(handle);
        a.then = exit_with_7;
        ck_assert_int_eq(kill(getpid(), SIGUSR1), 0);
        ck_assert_str_eq(notes.text, "");
        ck_assert_int_eq(loop_run(loop), 7);
        ck_assert_str_eq(notes.text, "s");
        loop_signal_free(handle);
        loop_signal_free(NULL);
}
END_TEST

static int make_and_free(void *context) {
        _cleanup_(loop_freep) Loop *loop = NULL;
        int r;

        (void)context;
        r = loop_new(&loop, env_system());
        if (r < 0)
                fault_assert(!loop);
        return r;
}

/* Without memory, making a loop fails, and leaves nothing behind. */
START_TEST(test_survives_oom) {
        ck_assert_uint_ge(fault_sweep(make_and_free, NULL), 1);
}
END_TEST

/* Any number of timers is set without memory. */
START_TEST(test_timers_need_no_memory) {
        enum { N = 1000 };
        static Thing things[N];
        VirtualEnv env;
        _cleanup_(loop_freep) Loop *loop = make_loop(&env);
        Notes notes = { 0 };

        fault_arm(0);
        for (size_t i = 0; i < N; i++) {
                things[i] = thing_make(loop, &notes, 'x');
                timer_set_in(loop, &things[i].timer, 1 + i % 7);
        }
        ck_assert(!fault_disarm());
        for (size_t i = 0; i < N; i++) {
                ck_assert(timer_is_set(&things[i].timer));
                timer_clear(&things[i].timer);
        }
        ck_assert_uint_eq(loop_next_due_us(loop), UINT64_MAX);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_deferred_order,
                test_deferred_waits_for_the_next_turn,
                test_deferred_cancel,
                test_timer_order,
                test_timer_is_replaced,
                test_timer_cleared_in_callback,
                test_timer_sets_itself,
                test_freed_in_callback,
                test_many_timers,
                test_timer_never,
                test_next_due,
                test_phases,
                test_hooks,
                test_hook_that_defers,
                test_run_in_real_time,
                test_time_stands_still,
                test_io_is_level_triggered,
                test_io_events,
                test_io_bad_descriptor,
                test_io_stopped_in_callback,
                test_nothing_starves,
                test_signal,
                test_survives_oom,
                test_timers_need_no_memory,
        };

        return tests_run("loop", tests, ELEMENTSOF(tests));
}
