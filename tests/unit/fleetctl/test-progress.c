/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetctl/progress.h"

#include <string.h>
#include <unistd.h>

#include "lib/base/env.h"
#include "lib/base/macro.h"
#include "tests/unit/fault.h"

/* What a wait of this age shows in several calls, where stderr is or is not a terminal. */
static void show(uint64_t age_s, bool is_terminal, char *ret_text, size_t n_bytes) {
        Progress progress = progress_begin("launched", 2);
        int stderr_fd = dup(STDERR_FILENO), ends[2];
        ssize_t n;

        ck_assert_int_eq(pipe(ends), 0);
        ck_assert_int_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
        (void)close(ends[1]);

        progress.is_terminal = is_terminal;
        progress.begin_us -= age_s * US_PER_S;
        progress_show(&progress, 1);
        progress_show(&progress, 1);
        progress_clear(&progress);

        ck_assert_int_eq(dup2(stderr_fd, STDERR_FILENO), STDERR_FILENO);
        (void)close(stderr_fd);
        n = read(ends[0], ret_text, n_bytes - 1);
        (void)close(ends[0]);
        ck_assert_int_ge((int)n, 0);
        ret_text[n] = '\0';
}

/* A terminal has a line that is redrawn and cleared; a log has one line, and only when it lasts. */
START_TEST(test_progress) {
        static const struct {
                uint64_t age_s;
                bool is_terminal;
                const char *text;
        } cases[] = {
                { 0, true, "" },
                { 1, true, "\r\033[K1/2 units launched\r\033[K" },
                { 0, false, "" },
                { 9, false, "" },
                { 11, false, "Waiting: 1/2 units launched\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char text[256];

                show(cases[i].age_s, cases[i].is_terminal, text, sizeof(text));
                ck_assert_str_eq(text, cases[i].text);
        }
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_progress };

        return tests_run("progress", tests, ELEMENTSOF(tests));
}
