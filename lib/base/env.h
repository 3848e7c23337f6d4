/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The environment seam: time, randomness and the identity of the machine are inputs, so that the
 * whole daemon can run on a virtual clock from a seed. env_system() is the real one; tests bring
 * their own.
 */

#include <stddef.h>
#include <stdint.h>

typedef struct Env Env;

/* What an environment provides. The front-ends below are what callers use. */
typedef struct EnvVtable {
        uint64_t (*now_us)(Env *env);                                /* see env_now_us() */
        uint64_t (*wall_us)(Env *env);                               /* see env_wall_us() */
        void (*random_bytes)(Env *env, void *bytes, size_t n_bytes); /* see env_random_bytes() */
} EnvVtable;

/* An environment: embed it, and set the vtable. */
struct Env {
        const EnvVtable *vtable; /* never NULL */
};

enum {
        US_PER_MS = 1000,   /* microseconds in a millisecond */
        US_PER_S = 1000000, /* microseconds in a second */
};

/* Microseconds of a clock that never goes back and counts suspended time (CLOCK_BOOTTIME,
 * clock_gettime(2)). */
uint64_t env_now_us(Env *env);

/* Microseconds since the epoch; may jump either way. For people, never for decisions. */
uint64_t env_wall_us(Env *env);

/* Fill the buffer with random bytes (getrandom(2) in the real one). */
void env_random_bytes(Env *env, void *bytes, size_t n_bytes);

/* A random number below `bound`; 0 when `bound` is 0. */
uint64_t env_random_below(Env *env, uint64_t bound);

/* The real environment: the kernel's clocks and random numbers. Never NULL, shared, not to be
 * freed. */
Env *env_system(void);
