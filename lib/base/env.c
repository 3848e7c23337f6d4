/* SPDX-License-Identifier: Apache-2.0 */

/* The environment's front-ends and the real environment. */

#include "lib/base/env.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

uint64_t env_now_us(Env *env) {
        return env->vtable->now_us(env);
}

uint64_t env_wall_us(Env *env) {
        return env->vtable->wall_us(env);
}

void env_random_bytes(Env *env, void *bytes, size_t n_bytes) {
        env->vtable->random_bytes(env, bytes, n_bytes);
}

uint64_t env_random_below(Env *env, uint64_t bound) {
        uint64_t number;

        env_random_bytes(env, &number, sizeof(number));
        return bound == 0 ? 0 : number % bound;
}

static uint64_t clock_us(clockid_t clock) {
        struct timespec now;
        int r = clock_gettime(clock, &now);

        assert(r == 0);
        return (uint64_t)now.tv_sec * US_PER_S + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t system_now_us(Env *env) {
        (void)env;
        return clock_us(CLOCK_BOOTTIME);
}

static uint64_t system_wall_us(Env *env) {
        (void)env;
        return clock_us(CLOCK_REALTIME);
}

static void system_random_bytes(Env *env, void *bytes, size_t n_bytes) {
        char *next = bytes;

        (void)env;
        while (n_bytes > 0) {
                ssize_t n = getrandom(next, n_bytes, 0);

                /* Only a signal can interrupt it once the kernel's pool is initialised. */
                assert(n >= 0 || errno == EINTR);
                if (n > 0) {
                        next += n;
                        n_bytes -= (size_t)n;
                }
        }
}

Env *env_system(void) {
        static const EnvVtable vtable = {
                .now_us = system_now_us,
                .wall_us = system_wall_us,
                .random_bytes = system_random_bytes,
        };
        static Env env = { .vtable = &vtable };

        return &env;
}
