/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/sim/virtual-env.h"

#include "tests/unit/fault.h"

typedef struct Ticker {
        LoopTimer timer;
        unsigned n_ticks;
} Ticker;

static void ticker_on_timer(LoopTimer *timer) {
        container_of(timer, Ticker, timer)->n_ticks++;
}

static bool has_ticked(void *userdata) {
        const Ticker *ticker = userdata;

        return ticker->n_ticks > 0;
}

/* The clock jumps to what is due, stops exactly where it was told to, and fires what is due there.
 */
START_TEST(test_clock_jumps) {
        VirtualEnv env;
        Ticker soon = { .timer.fn = ticker_on_timer }, at_end = soon, beyond = soon;
        uint64_t start_us;
        Loop *loop;

        virtual_env_init(&env, 1);
        start_us = env.now_us;
        ck_assert_int_eq(loop_new(&loop, &env.env), 0);
        timer_set_in(loop, &soon.timer, 5);
        timer_set_in(loop, &at_end.timer, 3600 * (uint64_t)US_PER_S);
        timer_set_in(loop, &beyond.timer, 3600 * (uint64_t)US_PER_S + 1);

        virtual_env_run_for(&env, loop, 3600 * (uint64_t)US_PER_S);
        ck_assert_uint_eq(env.now_us - start_us, 3600 * (uint64_t)US_PER_S);
        ck_assert_uint_eq(env_now_us(&env.env), env.now_us);
        ck_assert_uint_eq(soon.n_ticks, 1);
        ck_assert_uint_eq(at_end.n_ticks, 1);
        ck_assert_uint_eq(beyond.n_ticks, 0);
        timer_clear(&beyond.timer);
        (void)loop_free(loop);
}
END_TEST

/* Waiting for something ends at the instant when it happens, or says at the limit that it has not.
 */
START_TEST(test_run_until_true) {
        VirtualEnv env;
        Ticker ticker = { .timer.fn = ticker_on_timer };
        uint64_t start_us;
        Loop *loop;

        virtual_env_init(&env, 1);
        start_us = env.now_us;
        ck_assert_int_eq(loop_new(&loop, &env.env), 0);
        ck_assert(!virtual_env_run(&env, loop, start_us + 10, has_ticked, &ticker));
        ck_assert_uint_eq(env.now_us, start_us + 10);

        timer_set_in(loop, &ticker.timer, 7);
        ck_assert(virtual_env_run(&env, loop, start_us + 1000, has_ticked, &ticker));
        ck_assert_uint_eq(env.now_us, start_us + 17);
        ck_assert(virtual_env_run(&env, loop, start_us + 1000, has_ticked, &ticker));
        ck_assert_uint_eq(env.now_us, start_us + 17);
        (void)loop_free(loop);
}
END_TEST

/* Settling does what is due now, however many turns that takes, and leaves the clock alone. */
START_TEST(test_settle) {
        VirtualEnv env;
        Ticker now = { .timer.fn = ticker_on_timer }, later = now;
        uint64_t start_us;
        Loop *loop;

        virtual_env_init(&env, 1);
        start_us = env.now_us;
        ck_assert_int_eq(loop_new(&loop, &env.env), 0);
        timer_set_in(loop, &now.timer, 0);
        timer_set_in(loop, &later.timer, 1);
        virtual_env_settle(&env, loop);
        ck_assert_uint_eq(now.n_ticks, 1);
        ck_assert_uint_eq(later.n_ticks, 0);
        ck_assert_uint_eq(env.now_us, start_us);
        timer_clear(&later.timer);
        (void)loop_free(loop);
}
END_TEST

/* The seed decides the random numbers; the length of the pieces in which they are drawn is honoured
 * to the byte. */
START_TEST(test_randomness_comes_from_the_seed) {
        VirtualEnv a, b, c;
        unsigned char from_a[21], from_b[21], from_c[21];

        virtual_env_init(&a, 42);
        virtual_env_init(&b, 42);
        virtual_env_init(&c, 43);
        from_a[20] = from_b[20] = from_c[20] = 0xaa;
        env_random_bytes(&a.env, from_a, 20);
        env_random_bytes(&b.env, from_b, 20);
        env_random_bytes(&c.env, from_c, 20);
        ck_assert_mem_eq(from_a, from_b, 21);
        ck_assert_int_ne(memcmp(from_a, from_c, 20), 0);
        ck_assert_uint_eq(from_a[20], 0xaa);
        ck_assert_uint_eq(env_random_below(&a.env, UINT64_MAX),
                          env_random_below(&b.env, UINT64_MAX));
}
END_TEST

/* Small bounds are drawn about evenly. */
START_TEST(test_randomness_is_even) {
        unsigned n_of[8] = { 0 };
        VirtualEnv env;

        virtual_env_init(&env, 5);
        for (int i = 0; i < 80000; i++)
                n_of[env_random_below(&env.env, 8)]++;
        for (int i = 0; i < 8; i++) {
                ck_assert_uint_gt(n_of[i], 9500);
                ck_assert_uint_lt(n_of[i], 10500);
        }
}
END_TEST

/* The wall clock goes along with the clock, and can be set. */
START_TEST(test_wall_clock) {
        VirtualEnv env;
        uint64_t wall_us;

        virtual_env_init(&env, 1);
        wall_us = env_wall_us(&env.env);
        env.now_us += 5;
        ck_assert_uint_eq(env_wall_us(&env.env), wall_us + 5);
        env.wall_offset_us -= US_PER_S;
        ck_assert_uint_eq(env_wall_us(&env.env), wall_us + 5 - US_PER_S);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_clock_jumps,
                test_run_until_true,
                test_settle,
                test_randomness_comes_from_the_seed,
                test_randomness_is_even,
                test_wall_clock,
        };

        return tests_run("virtual-env", tests, ELEMENTSOF(tests));
}
