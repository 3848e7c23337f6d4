/* SPDX-License-Identifier: Apache-2.0 */

/* simulate: stories from seeds (story.h). Each prints nothing when every promise was kept; otherwise what was
 * broken, and the seed, with which it plays again, step by step. */

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "tests/sim/story.h"

static struct {
        StoryOptions story;
        uint64_t n_seeds;
        bool is_replayed;
} options = { .story = { .n_steps = 20000, .n_machines = 5, .n_units = 40 }, .n_seeds = 1 };

static Story story; /* large */

/* A story that ends in an abort (a loop that spins, an assertion) is to be found again, too. */
static void on_abort(int signal) {
        static const char text[] = "the story was that of seed ";
        char digits[24];
        size_t i = sizeof(digits);

        (void)signal;
        digits[--i] = '\n';
        for (uint64_t seed = options.story.seed; seed > 0 || i == sizeof(digits) - 1; seed /= 10)
                digits[--i] = (char)('0' + seed % 10);
        if (write(STDERR_FILENO, text, sizeof(text) - 1) >= 0)
                (void)!write(STDERR_FILENO, digits + i, sizeof(digits) - i);
}

/* Two plays of a seed are the same to the last event. */
static void check_replay(const StoryOptions *of) {
        StoryOptions digested = *of;
        uint64_t digest;

        digested.is_digested = true;
        (void)story_play(&story, &digested);
        digest = story.digest;
        (void)story_play(&story, &digested);
        ck_assert_uint_ne(digest, 0);
        ck_assert_msg(story.digest == digest, "seed %llu is not the same twice",
                      (unsigned long long)of->seed);
}

START_TEST(test_stories) {
        uint64_t n_steps = 0, n_requests = 0, n_waits = 0, n_faults = 0;

        for (uint64_t i = 0; i < options.n_seeds; i++) {
                bool is_kept = story_play(&story, &options.story);

                n_steps += story.sim.rig.env.n_turns;
                n_requests += story.n_requests;
                n_waits += story.n_waits;
                n_faults += story.n_faults;
                ck_assert_msg(is_kept,
                              "seed %llu breaks a promise; play it again: --seed %llu --trace",
                              (unsigned long long)options.story.seed,
                              (unsigned long long)options.story.seed);
                if (options.is_replayed)
                        check_replay(&options.story);
                options.story.seed++;
        }
        (void)printf("%llu stories, %llu steps, %llu requests, %llu waits, %llu troubles\n",
                     (unsigned long long)options.n_seeds, (unsigned long long)n_steps,
                     (unsigned long long)n_requests, (unsigned long long)n_waits,
                     (unsigned long long)n_faults);
}
END_TEST

static bool read_number(int argc, char **argv, int *i, const char *name, uint64_t *ret_number) {
        if (!streq(argv[*i], name) || *i + 1 == argc)
                return false;
        *ret_number = strtoull(argv[++*i], NULL, 0);
        return true;
}

static bool read_arguments(int argc, char **argv) {
        for (int i = 1; i < argc; i++) {
                uint64_t number;

                if (read_number(argc, argv, &i, "--seed", &options.story.seed) ||
                    read_number(argc, argv, &i, "--seeds", &options.n_seeds) ||
                    read_number(argc, argv, &i, "--steps", &options.story.n_steps))
                        continue;
                if (read_number(argc, argv, &i, "--machines", &number))
                        options.story.n_machines = number;
                else if (read_number(argc, argv, &i, "--units", &number))
                        options.story.n_units = number;
                else if (streq(argv[i], "--trace"))
                        options.story.is_traced = true;
                else if (streq(argv[i], "--replay"))
                        options.is_replayed = true;
                else if (streq(argv[i], "--fresh"))
                        (void)getrandom(&options.story.seed, 4, 0);
                else
                        return false;
        }
        return options.story.n_machines >= 2 && options.story.n_machines <= SIM_MACHINES_MAX &&
               options.story.n_units >= 1 && options.story.n_units <= STORY_UNITS_MAX;
}

/* Freed pieces that malloc keeps per thread would count as memory in use (story.c). It is told so by
 * its environment, and reads that once. */
static void begin_without_caches(char **argv) {
        if (!getenv("GLIBC_TUNABLES") &&
            setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", 1) == 0)
                (void)execv("/proc/self/exe", argv);
}

int main(int argc, char **argv) {
        Suite *suite = suite_create("simulate");
        TCase *tcase = tcase_create("stories");
        SRunner *runner;
        int n_failed;

        begin_without_caches(argv);
        if (!read_arguments(argc, argv)) {
                (void)fprintf(stderr,
                              "Usage: %s [--seed N | --fresh] [--seeds HOW-MANY] [--steps N] "
                              "[--machines 2..%d] "
                              "[--units 1..%d] [--trace | --replay]\n",
                              argv[0], SIM_MACHINES_MAX, STORY_UNITS_MAX);
                return EXIT_FAILURE;
        }

        (void)signal(SIGABRT, on_abort);
        tcase_set_timeout(tcase, 0);
        tcase_add_test(tcase, test_stories);
        suite_add_tcase(suite, tcase);
        runner = srunner_create(suite);
        srunner_set_fork_status(runner, CK_NOFORK);
        srunner_run_all(runner, CK_NORMAL);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
