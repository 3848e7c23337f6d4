/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The event loop, and the contract of every asynchronous operation of this project.
 *
 * One turn: the deferred completions that were queued before it (one pass), then the timers that
 * are due, then every prepare hook, then one wait for descriptors. What is deferred during a turn
 * runs in the next, so that nothing starves the sockets. The loop is single-threaded.
 *
 * Asynchronous operations, everywhere:
 *   1. A request is owned by its caller and embedded in the object that waits. Starting it returns
 *      nonzero: it never started and its callback never runs; or 0: its callback runs exactly once,
 *      from the loop, never inside the call that started it.
 *   2. Cancelling a request runs its callback all the same, with -ECANCELED; the request may be
 *      reused or freed only inside or after the callback.
 *   3. Timers, hooks, deferred calls, descriptors, streams and watches are not requests: stopping
 *      one is immediate, nothing of it runs afterwards, and it may be stopped and freed from its
 *      own callback.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/env.h"
#include "lib/base/list.h"
#include "lib/base/macro.h"

struct event_base;

typedef struct Loop Loop;
typedef struct LoopDeferred LoopDeferred;
typedef struct LoopTimer LoopTimer;
typedef struct LoopHook LoopHook;
typedef struct LoopIo LoopIo;

/* Make a loop on a clock. With env_system() it waits in real time; an environment whose clock only
 * moves when told to is driven with loop_turn() by its owner. `env` must outlive the loop. The
 * process ignores SIGPIPE from here on. Returns 0 or -ENOMEM. */
int loop_new(Loop **ret_loop, Env *env);

/* Free a loop that is not running; timers, hooks and descriptors must have been stopped. Takes
 * NULL; returns NULL. */
Loop *loop_free(Loop *loop);
DEFINE_CLEANUP(Loop, loop_free)

/* Run turns until loop_exit(). Returns the code given there, or a negative errno when waiting
 * fails. */
int loop_run(Loop *loop);

/* One turn that waits at most `max_wait_us` (0 = only looks, UINT64_MAX = until something happens).
 * Returns 0 or a negative errno. */
int loop_turn(Loop *loop, uint64_t max_wait_us);

/* End loop_run() after this turn, with this code. */
void loop_exit(Loop *loop, int code);

/* The environment that the loop was made on. */
Env *loop_env(const Loop *loop);

/* The clock in microseconds (env_now_us()), read once at the start of a turn and once after its
 * wait, so that all decisions of one callback see one time. */
uint64_t loop_now_us(Loop *loop);

/* When the loop next has something to do by itself: the earliest timer, 0 when something is
 * deferred, UINT64_MAX for nothing. For drivers of a virtual clock. */
uint64_t loop_next_due_us(const Loop *loop);

/* For adapters of libraries that live on libevent (evhttp, evdns, bufferevents) only. */
struct event_base *loop_event_base(Loop *loop);

/* A call in the next turn; embed it, set `fn`, and zero the rest. */
struct LoopDeferred {
        void (*fn)(LoopDeferred *deferred);
        ListNode node; /* linked while it is queued */
};

/* Queue the call; does nothing when it is queued already. */
void loop_defer(Loop *loop, LoopDeferred *deferred);

/* Take it back; does nothing when it is not queued. */
void loop_defer_cancel(LoopDeferred *deferred);

/* A timer; embed it, set `fn`, and zero the rest. It fires once per setting. Timers due at the same
 * time fire in the order in which they were set. Setting one takes no memory but its own: what has
 * to happen later can always be arranged. */
struct LoopTimer {
        void (*fn)(LoopTimer *timer);
        Loop *loop;           /* borrowed; NULL while it is not set */
        uint64_t deadline_us; /* on env_now_us()'s clock */
        uint64_t sequence;    /* breaks ties */
        LoopTimer *child;     /* the heap: the first of those that fire after it... */
        LoopTimer *next;      /* ...the next with the same parent... */
        LoopTimer **link;     /* ...and the pointer that points here */
};

/* Fire at `deadline_us` of env_now_us()'s clock (at once when it is past); replaces an earlier
 * setting. */
void timer_set_at(Loop *loop, LoopTimer *timer, uint64_t deadline_us);

/* Fire `delay_us` from loop_now_us(); replaces an earlier setting. */
void timer_set_in(Loop *loop, LoopTimer *timer, uint64_t delay_us);

/* Unset it; does nothing when it is not set. */
void timer_clear(LoopTimer *timer);

/* Is it set? */
bool timer_is_set(const LoopTimer *timer);

/* A call right before every wait; embed it, set `prepare`, zero the rest. This is where adapters of
 * foreign libraries re-read what these wait for, and where batched work is flushed. It must not
 * start requests of its own accord every time: that would spin. */
struct LoopHook {
        void (*prepare)(LoopHook *hook);
        ListNode node; /* linked while it is registered */
};

/* Register a hook. */
void loop_hook_add(Loop *loop, LoopHook *hook);

/* Register a hook that runs after all those of loop_hook_add(): for adapters that hand out what the
 * others queued. */
void loop_hook_add_last(Loop *loop, LoopHook *hook);

/* Unregister a hook; does nothing when it is not registered. */
void loop_hook_remove(LoopHook *hook);

enum {
        LOOP_READ = 1 << 0,  /* the descriptor can be read, or has failed */
        LOOP_WRITE = 1 << 1, /* the descriptor can be written, or has failed */
};

/* A watched file descriptor; embed it, set `fn`, zero the rest. Level-triggered. */
struct LoopIo {
        void (*fn)(LoopIo *io, unsigned events);
        void *event; /* the library's handle; owned while watching */
        int fd; /* the descriptor that is watched; the caller closes it, after loop_io_stop() */
        unsigned events; /* LOOP_* being watched for */
};

/* Watch `fd` for LOOP_* events; changes the watch when it is on already. No events =
 * loop_io_stop(). Returns 0 or a negative errno, on which nothing is watched. */
int loop_io_watch(Loop *loop, LoopIo *io, int fd, unsigned events);

/* Stop watching; does nothing when it is not watching. */
void loop_io_stop(LoopIo *io);

/* Call `fn` from the loop when this process receives the signal (signal(7)); one handler per
 * signal. Returns an opaque handle for loop_signal_free(), or NULL on out of memory. */
void *loop_signal_new(Loop *loop, int signal_number, void (*fn)(void *userdata), void *userdata);

/* Stop handling a signal. Takes NULL. */
void loop_signal_free(void *handle);
