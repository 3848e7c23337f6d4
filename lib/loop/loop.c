/* SPDX-License-Identifier: Apache-2.0 */

/* The event loop over libevent.
 *
 * libevent waits for descriptors and signals; deferred calls, timers and prepare hooks are ours.
 * Timers live in a heap of our own on the environment's clock, so that a virtual clock drives them,
 * and so that timers of the same instant fire in the order of their setting. The heap is made of
 * the timers themselves, so that setting one cannot fail. libevent 2.1 has no watcher that runs
 * before its wait, hence the turn of our own around EVLOOP_ONCE.
 *
 * Each phase works on what was there when it began: a deferred call that defers again, or a timer
 * that sets itself to "now", waits for the next turn, after the sockets had theirs.
 */

#include "lib/loop/loop.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>

#include "lib/base/log.h"

struct Loop {
        Env *env;                /* borrowed */
        struct event_base *base; /* owned */
        struct event *wake;      /* owned: ends the wait when our next timer is due */
        List deferred;           /* LoopDeferred.node, in order of queueing */
        List hooks;              /* LoopHook.node */
        List last_hooks;         /* LoopHook.node: those that run after them */
        LoopTimer *timers;       /* the heap of those that are set: the earliest */
        uint64_t n_timers_set;   /* so far: the next timer's sequence */
        uint64_t now_us;
        bool is_now_stale; /* a wait has passed since now_us was read */
        int exit_code;
        bool is_hook_new; /* a last hook was added and has not run */
        bool is_exiting;
};

enum { LOOP_LAST_PASSES_MAX = 8 };

static void on_wake(evutil_socket_t fd, short what, void *userdata) {
        /* It only ends the wait; the timers are run by the turn. */
        (void)fd;
        (void)what;
        (void)userdata;
}

/* libevent would write to stderr, a line for each try of something that goes on to fail. What fails
 * is told by whoever asked for it. */
static void on_libevent_log(int severity, const char *text) {
        log_line(severity == EVENT_LOG_ERR ? LOG_ERR : LOG_DEBUG, "libevent: %s", text);
}

int loop_new(Loop **ret_loop, Env *env) {
        _cleanup_(loop_freep) Loop *loop = NULL;
        struct event_config *config;

        assert(env);

        /* Writing to a peer that has gone is an error of that write (EPIPE), never the end of the
         * process (signal(7)). */
        (void)signal(SIGPIPE, SIG_IGN);
        event_set_log_callback(on_libevent_log);

        loop = calloc(1, sizeof(*loop));
        config = event_config_new();
        if (!loop || !config || event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) < 0) {
                if (config)
                        event_config_free(config);
                return -ENOMEM;
        }

        loop->env = env;
        loop->base = event_base_new_with_config(config);
        event_config_free(config);
        if (!loop->base)
                return -ENOMEM;

        loop->wake = evtimer_new(loop->base, on_wake, NULL);
        if (!loop->wake)
                return -ENOMEM;

        loop->now_us = env_now_us(env);
        *ret_loop = TAKE(loop);
        return 0;
}

Loop *loop_free(Loop *loop) {
        if (!loop)
                return NULL;

        assert(!loop->timers);
        assert(list_is_empty(&loop->hooks));
        assert(list_is_empty(&loop->last_hooks));

        if (loop->wake)
                event_free(loop->wake);
        if (loop->base)
                event_base_free(loop->base);
        free(loop);
        return NULL;
}

Env *loop_env(const Loop *loop) {
        return loop->env;
}

uint64_t loop_now_us(Loop *loop) {
        if (loop->is_now_stale) {
                loop->now_us = env_now_us(loop->env);
                loop->is_now_stale = false;
        }
        return loop->now_us;
}

struct event_base *loop_event_base(Loop *loop) {
        return loop->base;
}

void loop_exit(Loop *loop, int code) {
        loop->is_exiting = true;
        loop->exit_code = code;
}

/* Deferred calls and hooks */

void loop_defer(Loop *loop, LoopDeferred *deferred) {
        assert(deferred->fn);

        if (!list_node_is_linked(&deferred->node))
                list_append(&loop->deferred, &deferred->node);
}

void loop_defer_cancel(LoopDeferred *deferred) {
        list_remove(&deferred->node);
}

static void loop_run_deferred(Loop *loop) {
        List batch = { 0 };
        ListNode *node;

        /* In a list of their own, so that each can still be cancelled by one that runs before it.
         */
        list_splice(&batch, &loop->deferred);
        while ((node = list_pop(&batch))) {
                LoopDeferred *deferred = container_of(node, LoopDeferred, node);

                deferred->fn(deferred);
        }
}

void loop_hook_add(Loop *loop, LoopHook *hook) {
        assert(hook->prepare);

        list_append(&loop->hooks, &hook->node);
}

void loop_hook_add_last(Loop *loop, LoopHook *hook) {
        assert(hook->prepare);

        list_append(&loop->last_hooks, &hook->node);
        loop->is_hook_new = true;
}

void loop_hook_remove(LoopHook *hook) {
        list_remove(&hook->node);
}

static void hooks_run(List *hooks) {
        List batch = { 0 };
        ListNode *node;

        list_splice(&batch, hooks);
        while ((node = list_pop(&batch))) {
                LoopHook *hook = container_of(node, LoopHook, node);

                list_append(hooks, node);
                hook->prepare(hook);
        }
}

/* What is handed out may make others queue more: the last hooks run until none was added, within
 * reason. */
static void loop_prepare(Loop *loop) {
        hooks_run(&loop->hooks);
        for (unsigned i = 0; i < LOOP_LAST_PASSES_MAX; i++) {
                loop->is_hook_new = false;
                hooks_run(&loop->last_hooks);
                if (!loop->is_hook_new)
                        break;
        }
}

/* Timers: a pairing heap of the timers themselves, ordered by (deadline, sequence) */

static bool timer_is_before(const LoopTimer *a, const LoopTimer *b) {
        if (a->deadline_us != b->deadline_us)
                return a->deadline_us < b->deadline_us;
        return a->sequence < b->sequence;
}

static void heap_link(LoopTimer **slot, LoopTimer *timer) {
        *slot = timer;
        if (timer)
                timer->link = slot;
}

/* Makes one heap of two, neither of which has siblings or stands anywhere. Either may be NULL. */
static LoopTimer *heap_meld(LoopTimer *a, LoopTimer *b) {
        if (!a || !b)
                return a ? a : b;
        if (timer_is_before(b, a)) {
                LoopTimer *earlier = b;

                b = a;
                a = earlier;
        }

        heap_link(&b->next, a->child);
        heap_link(&a->child, b);
        return a;
}

/* Makes one heap of siblings: of each two first, and of the results from the last to the first,
 * which is what keeps the heap shallow. */
static LoopTimer *heap_meld_siblings(LoopTimer *first) {
        LoopTimer *pairs = NULL, *whole = NULL;

        while (first) {
                LoopTimer *a = first, *b = a->next;

                first = b ? b->next : NULL;
                a->next = NULL;
                if (b)
                        b->next = NULL;
                a = heap_meld(a, b);
                a->next = pairs;
                pairs = a;
        }
        while (pairs) {
                LoopTimer *pair = pairs;

                pairs = TAKE(pair->next);
                whole = heap_meld(whole, pair);
        }
        return whole;
}

void timer_set_at(Loop *loop, LoopTimer *timer, uint64_t deadline_us) {
        assert(timer->fn);

        timer_clear(timer);
        timer->loop = loop;
        timer->deadline_us = deadline_us;
        timer->sequence = loop->n_timers_set++;
        timer->child = timer->next = NULL;
        heap_link(&loop->timers, heap_meld(loop->timers, timer));
}

void timer_set_in(Loop *loop, LoopTimer *timer, uint64_t delay_us) {
        uint64_t deadline_us = loop_now_us(loop) + delay_us;

        timer_set_at(loop, timer, deadline_us < delay_us ? UINT64_MAX : deadline_us);
}

void timer_clear(LoopTimer *timer) {
        Loop *loop = timer->loop;

        if (!loop)
                return;

        assert(*timer->link == timer);
        timer->loop = NULL;
        heap_link(timer->link, timer->next);
        heap_link(&loop->timers, heap_meld(loop->timers, heap_meld_siblings(timer->child)));
}

bool timer_is_set(const LoopTimer *timer) {
        return timer->loop;
}

static void loop_run_timers(Loop *loop) {
        uint64_t n_timers_set = loop->n_timers_set;

        while (loop->timers) {
                LoopTimer *timer = loop->timers;

                /* One that was set in this phase sorts behind all older ones of its instant:
                 * nothing older is missed. */
                if (timer->deadline_us > loop->now_us || timer->sequence >= n_timers_set)
                        break;
                timer_clear(timer);
                timer->fn(timer);
        }
}

/* Turns */

uint64_t loop_next_due_us(const Loop *loop) {
        if (!list_is_empty(&loop->deferred) || loop->is_hook_new || loop->is_exiting)
                return 0;
        return loop->timers ? loop->timers->deadline_us : UINT64_MAX;
}

static uint64_t loop_wait_us(const Loop *loop, uint64_t max_wait_us) {
        uint64_t due_us = loop_next_due_us(loop), now_us;

        if (due_us == UINT64_MAX)
                return max_wait_us;

        now_us = env_now_us(loop->env);
        if (due_us <= now_us)
                return 0;
        return due_us - now_us < max_wait_us ? due_us - now_us : max_wait_us;
}

static int loop_wait(Loop *loop, uint64_t wait_us) {
        int r;

        if (wait_us > 0 && wait_us < UINT64_MAX) {
                struct timeval timeout = { .tv_sec = (time_t)(wait_us / US_PER_S),
                                           .tv_usec = (suseconds_t)(wait_us % US_PER_S) };

                if (event_add(loop->wake, &timeout) < 0)
                        return -ENOMEM;
        }

        loop->is_now_stale = true;
        /* EVLOOP_ONCE always: without it libevent goes on for as long as some descriptor is ready.
         */
        r = event_base_loop(loop->base, EVLOOP_ONCE | (wait_us > 0 ? 0 : EVLOOP_NONBLOCK));
        (void)event_del(loop->wake);
        return r < 0 ? -EIO : 0;
}

int loop_turn(Loop *loop, uint64_t max_wait_us) {
        loop->is_now_stale = true;
        (void)loop_now_us(loop);
        loop_run_deferred(loop);
        loop_run_timers(loop);
        loop_prepare(loop);
        return loop_wait(loop, loop_wait_us(loop, max_wait_us));
}

int loop_run(Loop *loop) {
        loop->is_exiting = false;

        while (!loop->is_exiting) {
                int r = loop_turn(loop, UINT64_MAX);

                if (r < 0)
                        return r;
        }

        return loop->exit_code;
}

/* Descriptors and signals */

static void on_io(evutil_socket_t fd, short what, void *userdata) {
        LoopIo *io = userdata;

        (void)fd;
        io->fn(io, (what & EV_READ ? LOOP_READ : 0U) | (what & EV_WRITE ? LOOP_WRITE : 0U));
}

int loop_io_watch(Loop *loop, LoopIo *io, int fd, unsigned events) {
        struct event *event;

        assert(io->fn);

        if (io->event && io->fd == fd && io->events == events)
                return 0;

        loop_io_stop(io);
        if (events == 0)
                return 0;

        event = event_new(loop->base, fd,
                          (short)((events & LOOP_READ ? EV_READ : 0) |
                                  (events & LOOP_WRITE ? EV_WRITE : 0) | EV_PERSIST),
                          on_io, io);
        if (!event)
                return -ENOMEM;
        if (event_add(event, NULL) < 0) {
                event_free(event);
                return -EBADF;
        }

        io->event = event;
        io->fd = fd;
        io->events = events;
        return 0;
}

void loop_io_stop(LoopIo *io) {
        if (io->event)
                event_free(io->event);
        io->event = NULL;
        io->events = 0;
}

typedef struct LoopSignal {
        struct event *event; /* owned */
        void (*fn)(void *userdata);
        void *userdata;
} LoopSignal;

static void on_signal(evutil_socket_t fd, short what, void *userdata) {
        LoopSignal *handle = userdata;

        (void)fd;
        (void)what;
        handle->fn(handle->userdata);
}

void *loop_signal_new(Loop *loop, int signal_number, void (*fn)(void *userdata), void *userdata) {
        LoopSignal *handle = calloc(1, sizeof(*handle));

        if (!handle)
                return NULL;

        *handle = (LoopSignal){ .fn = fn, .userdata = userdata };
        handle->event = evsignal_new(loop->base, signal_number, on_signal, handle);
        if (!handle->event || event_add(handle->event, NULL) < 0) {
                loop_signal_free(handle);
                return NULL;
        }

        return handle;
}

void loop_signal_free(void *handle) {
        LoopSignal *s = handle;

        if (!s)
                return;
        if (s->event)
                event_free(s->event);
        free(s);
}
