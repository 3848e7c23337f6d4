/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/base/log.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/macro.h"
#include "tests/unit/fault.h"

/* The last line that arrived. */
static struct {
        int priority;
        int n_lines;
        char unit[64];
        char machine[64];
        char text[4096];
} seen;

static void remember(char *slot, size_t n_bytes, const char *text) {
        ck_assert_int_lt(snprintf(slot, n_bytes, "%s", text ? text : "(none)"), (int)n_bytes);
}

static void sink(int priority, const LogSubject *subject, const char *text) {
        seen.priority = priority;
        seen.n_lines++;
        remember(seen.unit, sizeof(seen.unit), subject->unit);
        remember(seen.machine, sizeof(seen.machine), subject->machine);
        remember(seen.text, sizeof(seen.text), text);
}

static void start_log(int max_priority) {
        memset(&seen, 0, sizeof(seen));
        log_set_sink(sink);
        log_set_max_priority(max_priority);
}

/* A line reaches the sink with its priority and what it is about. */
START_TEST(test_subjects) {
        start_log(LOG_INFO);

        log_line(LOG_NOTICE, "%d lines", 3);
        ck_assert_int_eq(seen.priority, LOG_NOTICE);
        ck_assert_str_eq(seen.text, "3 lines");
        ck_assert_str_eq(seen.unit, "(none)");

        log_unit(LOG_ERR, "a.service", "gone");
        ck_assert_str_eq(seen.unit, "a.service");
        ck_assert_str_eq(seen.machine, "(none)");

        log_about(LOG_INFO, &(LogSubject){ .unit = "b.service", .machine = "m1" }, "moved");
        ck_assert_str_eq(seen.unit, "b.service");
        ck_assert_str_eq(seen.machine, "m1");

        log_about(LOG_INFO, NULL, "nothing");
        ck_assert_str_eq(seen.unit, "(none)");
        log_set_sink(NULL);
}
END_TEST

/* Lines less important than the level are dropped by every front-end. */
START_TEST(test_level) {
        start_log(LOG_WARNING);

        ck_assert(log_is_shown(LOG_WARNING));
        ck_assert(!log_is_shown(LOG_NOTICE));
        log_line(LOG_NOTICE, "no");
        log_unit(LOG_DEBUG, "a.service", "no");
        log_about(LOG_INFO, NULL, "no");
        ck_assert_int_eq(seen.n_lines, 0);
        log_line(LOG_ERR, "yes");
        ck_assert_int_eq(seen.n_lines, 1);
        log_set_sink(NULL);
}
END_TEST

/* A long line is cut, not lost. */
START_TEST(test_long_line) {
        static char text[3000];

        memset(text, 'x', sizeof(text) - 1);
        start_log(LOG_INFO);
        log_line(LOG_INFO, "%s", text);
        ck_assert_int_eq(seen.n_lines, 1);
        ck_assert_uint_eq(strlen(seen.text), 2047);
        log_set_sink(NULL);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_subjects, test_level, test_long_line };

        return tests_run("log", tests, ELEMENTSOF(tests));
}
