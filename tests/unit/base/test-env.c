/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/base/env.h"

#include <string.h>

#include "lib/base/macro.h"
#include "tests/unit/fault.h"

/* An environment that hands out what the test wrote into it. */
typedef struct FixedEnv {
        Env env;
        uint64_t now_us;
        uint64_t wall_us;
        uint64_t random;
} FixedEnv;

static uint64_t fixed_now_us(Env *env) {
        return container_of(env, FixedEnv, env)->now_us;
}

static uint64_t fixed_wall_us(Env *env) {
        return container_of(env, FixedEnv, env)->wall_us;
}

static void fixed_random_bytes(Env *env, void *bytes, size_t n_bytes) {
        FixedEnv *fixed = container_of(env, FixedEnv, env);

        ck_assert_uint_le(n_bytes, sizeof(fixed->random));
        memcpy(bytes, &fixed->random, n_bytes);
}

static const EnvVtable fixed_vtable = {
        .now_us = fixed_now_us,
        .wall_us = fixed_wall_us,
        .random_bytes = fixed_random_bytes,
};

/* The front-ends ask the environment that they were given. */
START_TEST(test_front_ends) {
        FixedEnv fixed = { .env.vtable = &fixed_vtable, .now_us = 7, .wall_us = 9, .random = 25 };
        uint64_t random = 0;

        ck_assert_uint_eq(env_now_us(&fixed.env), 7);
        ck_assert_uint_eq(env_wall_us(&fixed.env), 9);
        env_random_bytes(&fixed.env, &random, sizeof(random));
        ck_assert_uint_eq(random, 25);
}
END_TEST

/* A bounded number is below its bound, whatever the bound. */
START_TEST(test_random_below) {
        FixedEnv fixed = { .env.vtable = &fixed_vtable, .random = UINT64_MAX };

        ck_assert_uint_eq(env_random_below(&fixed.env, 0), 0);
        ck_assert_uint_eq(env_random_below(&fixed.env, 1), 0);
        for (uint64_t bound = 2; bound < 1000; bound++) {
                ck_assert_uint_lt(env_random_below(&fixed.env, bound), bound);
                ck_assert_uint_lt(env_random_below(env_system(), bound), bound);
        }
}
END_TEST

/* The real clock does not go back, and the real wall clock is in this century. */
START_TEST(test_system_clocks) {
        Env *env = env_system();
        uint64_t before = env_now_us(env);

        for (int i = 0; i < 1000; i++) {
                uint64_t now = env_now_us(env);

                ck_assert_uint_ge(now, before);
                before = now;
        }
        ck_assert_uint_gt(env_wall_us(env), UINT64_C(1700000000) * US_PER_S);
}
END_TEST

/* Real random bytes fill the whole buffer, and differ from call to call. */
START_TEST(test_system_random) {
        unsigned char a[256] = { 0 }, b[256] = { 0 }, zero[16] = { 0 };

        env_random_bytes(env_system(), a, sizeof(a));
        env_random_bytes(env_system(), b, sizeof(b));
        ck_assert_mem_ne(a, b, sizeof(a));
        ck_assert_mem_ne(a + sizeof(a) - sizeof(zero), zero, sizeof(zero));
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_front_ends, test_random_below, test_system_clocks,
                                       test_system_random };

        return tests_run("env", tests, ELEMENTSOF(tests));
}
