/* SPDX-License-Identifier: Apache-2.0 */

/* The virtual environment: a number for a clock, xoshiro256** (Blackman and Vigna, 2018) seeded by
 * splitmix64 for randomness, and the drivers, which are one loop: turn; if nothing is deferred and
 * no timer is due, jump to the next timer.
 */

#include "tests/sim/virtual-env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
        VIRTUAL_START_S = 1000,                      /* the clock at first */
        VIRTUAL_TURNS_PER_INSTANT_MAX = 1000 * 1000, /* more is a loop that spins */
};

/* 2026-01-01 00:00:00 UTC, in seconds. */
static const uint64_t wall_start_s = 1767225600;

static uint64_t splitmix64_next(uint64_t *state) {
        uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}

static uint64_t rotate_left(uint64_t x, unsigned n) {
        return (x << n) | (x >> (64 - n));
}

static uint64_t xoshiro256_next(uint64_t state[4]) {
        uint64_t result = rotate_left(state[1] * 5, 7) * 9;
        uint64_t t = state[1] << 17;

        state[2] ^= state[0];
        state[3] ^= state[1];
        state[1] ^= state[2];
        state[0] ^= state[3];
        state[2] ^= t;
        state[3] = rotate_left(state[3], 45);
        return result;
}

static uint64_t virtual_now_us(Env *env) {
        return container_of(env, VirtualEnv, env)->now_us;
}

static uint64_t virtual_wall_us(Env *env) {
        VirtualEnv *v = container_of(env, VirtualEnv, env);

        return v->now_us + v->wall_offset_us;
}

static void virtual_random_bytes(Env *env, void *bytes, size_t n_bytes) {
        VirtualEnv *v = container_of(env, VirtualEnv, env);
        char *next = bytes;

        while (n_bytes > 0) {
                uint64_t number = xoshiro256_next(v->random_state);
                size_t n = n_bytes < sizeof(number) ? n_bytes : sizeof(number);

                memcpy(next, &number, n);
                next += n;
                n_bytes -= n;
        }
}

void virtual_env_init(VirtualEnv *env, uint64_t seed) {
        static const EnvVtable vtable = {
                .now_us = virtual_now_us,
                .wall_us = virtual_wall_us,
                .random_bytes = virtual_random_bytes,
        };

        *env = (VirtualEnv){
                .env.vtable = &vtable,
                .now_us = (uint64_t)VIRTUAL_START_S * US_PER_S,
                .wall_offset_us = (wall_start_s - VIRTUAL_START_S) * US_PER_S,
        };
        for (size_t i = 0; i < ELEMENTSOF(env->random_state); i++)
                env->random_state[i] = splitmix64_next(&seed);
}

static size_t virtual_env_find_loop(const VirtualEnv *env, const Loop *loop) {
        size_t i = 0;

        while (i < env->n_loops && env->loops[i] != loop)
                i++;
        return i;
}

void virtual_env_add_loop(VirtualEnv *env, Loop *loop) {
        if (env->n_loops == VIRTUAL_LOOPS_MAX)
                abort();
        env->is_paused[env->n_loops] = false;
        env->loops[env->n_loops++] = loop;
}

void virtual_env_remove_loop(VirtualEnv *env, const Loop *loop) {
        size_t i = virtual_env_find_loop(env, loop);

        if (i == env->n_loops)
                abort();
        for (env->n_loops--; i < env->n_loops; i++) {
                env->loops[i] = env->loops[i + 1];
                env->is_paused[i] = env->is_paused[i + 1];
        }
}

void virtual_env_pause_loop(VirtualEnv *env, const Loop *loop, bool is_paused) {
        size_t i = virtual_env_find_loop(env, loop);

        if (i == env->n_loops)
                abort();
        env->is_paused[i] = is_paused;
}

static void virtual_env_turn_one(VirtualEnv *env, Loop *loop) {
        int r = loop_turn(loop, 0);

        if (r < 0) {
                (void)fprintf(stderr, "The loop failed: %s\n", strerror(-r));
                abort();
        }
        env->n_turns++;
}

static void virtual_env_turn(VirtualEnv *env, Loop *loop, unsigned *n_turns) {
        virtual_env_turn_one(env, loop);
        for (size_t i = 0; i < env->n_loops; i++)
                if (!env->is_paused[i])
                        virtual_env_turn_one(env, env->loops[i]);

        if (++*n_turns > VIRTUAL_TURNS_PER_INSTANT_MAX) {
                (void)fprintf(stderr,
                              "The loop spins at %llu us: something defers itself for ever\n",
                              (unsigned long long)env->now_us);
                abort();
        }
}

static uint64_t virtual_env_next_due_us(const VirtualEnv *env, const Loop *loop) {
        uint64_t due_us = loop_next_due_us(loop);

        for (size_t i = 0; i < env->n_loops; i++) {
                uint64_t other_us = env->is_paused[i] ? UINT64_MAX
                                                      : loop_next_due_us(env->loops[i]);

                due_us = other_us < due_us ? other_us : due_us;
        }
        return due_us;
}

bool virtual_env_run(VirtualEnv *env, Loop *loop, uint64_t limit_us, VirtualEnvPredicate is_done,
                     void *userdata) {
        unsigned n_turns = 0;

        for (;;) {
                uint64_t due_us;

                if (is_done && is_done(userdata))
                        return true;

                virtual_env_turn(env, loop, &n_turns);
                due_us = virtual_env_next_due_us(env, loop);
                if (due_us <= env->now_us || (is_done && is_done(userdata)))
                        continue;

                if (env->now_us >= limit_us)
                        return false;
                env->now_us = due_us < limit_us ? due_us : limit_us;
                n_turns = 0;
        }
}

void virtual_env_run_until(VirtualEnv *env, Loop *loop, uint64_t until_us) {
        (void)virtual_env_run(env, loop, until_us, NULL, NULL);
}

void virtual_env_run_for(VirtualEnv *env, Loop *loop, uint64_t for_us) {
        virtual_env_run_until(env, loop, env->now_us + for_us);
}

void virtual_env_settle(VirtualEnv *env, Loop *loop) {
        virtual_env_run_until(env, loop, env->now_us);
}
