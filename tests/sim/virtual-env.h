/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An environment on a virtual clock, with randomness from a seed, and the driver of a loop on it.
 * The same seed gives the same run.
 *
 *         VirtualEnv env;
 *         virtual_env_init(&env, 7);
 *         loop_new(&loop, &env.env);
 *         ...
 *         virtual_env_run_until(&env, loop, env.now_us + 30 * US_PER_S);
 *
 * The clock stands still while the loop has something to do, and jumps to the next timer when it
 * has not. Descriptors on the loop are served once per turn; whether one is about to become ready
 * the driver cannot know, so what a test says about time holds only where everything that it waits
 * for is on the loop.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/env.h"
#include "lib/loop/loop.h"

enum { VIRTUAL_LOOPS_MAX = 16 };

/* The environment; give `&virtual_env.env` to loop_new(). */
typedef struct VirtualEnv {
        Env env;
        uint64_t now_us; /* the clock; starts at 1,000 s, so that "a while ago" is never below zero
                          */
        uint64_t wall_offset_us;  /* wall clock minus clock; tests may change it at any time */
        uint64_t random_state[4]; /* xoshiro256** */
        Loop *loops[VIRTUAL_LOOPS_MAX]; /* borrowed: those of virtual_env_add_loop() */
        bool is_paused[VIRTUAL_LOOPS_MAX];
        size_t n_loops;
        uint64_t n_turns; /* of all loops so far */
} VirtualEnv;

/* Is it what was waited for? */
typedef bool (*VirtualEnvPredicate)(void *userdata);

/* Start the clock, and seed the randomness. */
void virtual_env_init(VirtualEnv *env, uint64_t seed);

/* Turn this loop along with the one that a driver is given, as another process on the same clock;
 * and no more. */
void virtual_env_add_loop(VirtualEnv *env, Loop *loop);
void virtual_env_remove_loop(VirtualEnv *env, const Loop *loop);

/* Leave the added loop unturned while the clock runs, as a stopped process is (SIGSTOP); and go
 * on. */
void virtual_env_pause_loop(VirtualEnv *env, const Loop *loop, bool is_paused);

/* Turn `loop`, which is on this environment, until the clock has reached `until_us` and nothing is
 * left to do at that instant. Timers beyond stay set. Aborts when the loop fails, or spins (a
 * million turns in one instant). */
void virtual_env_run_until(VirtualEnv *env, Loop *loop, uint64_t until_us);

/* The same for `for_us` from now. */
void virtual_env_run_for(VirtualEnv *env, Loop *loop, uint64_t for_us);

/* Turn `loop` until `is_done` says true (asked before the first turn and after each), but not
 * beyond `limit_us` on the clock. Returns whether it became true. */
bool virtual_env_run(VirtualEnv *env, Loop *loop, uint64_t limit_us, VirtualEnvPredicate is_done,
                     void *userdata);

/* Turn `loop` until nothing is left to do at this instant; the clock does not move. */
void virtual_env_settle(VirtualEnv *env, Loop *loop);
