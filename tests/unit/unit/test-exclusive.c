/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/unit/exclusive.h"

#include <errno.h>

#include "tests/unit/fault.h"

static UnitFile *parse(const char *text) {
        UnitFile *file = NULL;

        ck_assert_int_eq(unit_file_parse(text, strlen(text), &file, NULL), 0);
        return file;
}

/* A time span, and its microseconds; -1 = it is none, -2 = no end. */
typedef struct SpanRow {
        const char *text;
        int64_t us;
} SpanRow;

static const SpanRow span_rows[] = {
        { "5", 5000000 },
        { "0", 0 },
        { "1.5", 1500000 },
        { ".5s", 500000 },
        { "5s", 5000000 },
        { "5 s", 5000000 },
        { "100ms", 100000 },
        { "1min 30s", 90000000 },
        { "1min30s", 90000000 },
        { "2h", 7200000000 },
        { "1us", 1 },
        { "1µs", 1 },
        { "1d", 86400000000 },
        { "2 weeks", 1209600000000 },
        { "1M", 2629800000000 },
        { "1 year", 31557600000000 },
        { "5 10s", 15000000 },
        { "infinity", -2 },
        { "99999999999999999999y", -2 },
        { "", -1 },
        { "s", -1 },
        { "5 parsecs", -1 },
        { "-5", -1 },
        { "1..5", -1 },
        { "5s,", -1 },
        { "nan", -1 },
};

/* Time spans are read as systemd reads them. */
START_TEST(test_timespan) {
        for (size_t i = 0; i < ELEMENTSOF(span_rows); i++) {
                const SpanRow *row = &span_rows[i];
                uint64_t us = 7;
                int r = timespan_parse(row->text, &us);

                ck_assert_msg(r == (row->us == -1 ? -EINVAL : 0), "%s", row->text);
                if (row->us != -1)
                        ck_assert_msg(us == (row->us == -2 ? UINT64_MAX : (uint64_t)row->us),
                                      "%s: %llu", row->text, (unsigned long long)us);
        }
}
END_TEST

/* A file, and how long its unit may take to stop, or why that cannot be told. */
typedef struct StopRow {
        const char *text;
        uint32_t seconds;
        const char *message; /* its beginning; NULL: there is a time */
} StopRow;

static const StopRow stop_rows[] = {
        /* SIGTERM, SIGKILL, and both again for what is left. */
        { "[Service]\nExecStart=/bin/a\n", 4 * 90, NULL },
        { "[Service]\nTimeoutStopSec=5\n", 20, NULL },
        { "[Service]\nTimeoutSec=1min\n", 240, NULL },
        { "[Service]\nTimeoutStartSec=5\n", 360, NULL },

        /* The last one counts. */
        { "[Service]\nTimeoutStopSec=5\nTimeoutSec=2\n", 8, NULL },
        { "[Service]\nTimeoutSec=2\nTimeoutStopSec=5\n", 20, NULL },

        /* Every command has its time. */
        { "[Service]\nTimeoutStopSec=5\nExecStop=/bin/a\nExecStop=-/bin/b\n", 30, NULL },
        { "[Service]\nTimeoutStopSec=5\nExecStop=/bin/a ; /bin/b x;y\n", 30, NULL },
        { "[Service]\nTimeoutStopSec=5\nExecStop=/bin/a\nExecStop=\n", 20, NULL },
        { "[Service]\nTimeoutStopSec=5\nExecStopPost=/bin/a\n", 25, NULL },
        { "[Service]\nTimeoutStopSec=5\nExecStop=/bin/a\nExecStopPost=/bin/a\n", 30, NULL },

        /* An abort in between. */
        { "[Service]\nTimeoutStopSec=5\nWatchdogSec=1\n", 30, NULL },
        { "[Service]\nTimeoutStopSec=5\nTimeoutAbortSec=20\n", 60, NULL },
        { "[Service]\nTimeoutStopSec=5\nTimeoutStopFailureMode=abort\n", 30, NULL },
        { "[Service]\nTimeoutStopSec=5\nTimeoutStopFailureMode=kill\n", 20, NULL },

        /* Parts of a second. */
        { "[Service]\nTimeoutStopSec=100ms\n", 1, NULL },
        { "[Service]\nTimeoutStopSec=300ms\n", 2, NULL },

        /* Other types. */
        { "[Socket]\nListenStream=1\nTimeoutSec=5\nExecStopPre=/bin/a\n", 25, NULL },
        { "[Timer]\nOnBootSec=1\n", 1, NULL },
        { "[X-Fleet]\nExclusive=true\n", 1, NULL },
        { "[Mount]\nTimeoutSec=5\n", 0, "Exclusive cannot be used with [Mount]" },

        /* No time. */
        { "[Service]\nTimeoutStopSec=infinity\n", 0, "Exclusive needs a time" },
        { "[Service]\nTimeoutStopSec=0\n", 0, "Exclusive needs a time" },
        { "[Service]\nTimeoutSec=infinity\n", 0, "Exclusive needs a time" },
        { "[Service]\nTimeoutAbortSec=infinity\n", 0, "Exclusive needs a time" },
        { "[Service]\nTimeoutStopSec=soon\n", 0, "TimeoutStopSec=soon is not a time span" },
        { "[Service]\nTimeoutStopSec=7h\n", 0, "Exclusive needs a time" },
        { "[Service]\nKillMode=none\n", 0, "Exclusive cannot be used with KillMode=none" },
        { "[Service]\nKillMode=process\n", 0, "Exclusive cannot be used with KillMode=process" },
        { "[Service]\nKillMode=mixed\n", 360, NULL },
        { "[Service]\nSendSIGKILL=No\n", 0, "Exclusive cannot be used with SendSIGKILL=No" },
        { "[Service]\nSendSIGKILL=yes\n", 360, NULL },
};

/* The time is the sum over the stages of a stop. */
START_TEST(test_stop_time) {
        for (size_t i = 0; i < ELEMENTSOF(stop_rows); i++) {
                const StopRow *row = &stop_rows[i];
                _cleanup_(unit_file_freep) UnitFile *file = parse(row->text);
                uint32_t seconds = 0;
                Diag diag = { 0 };
                int r = exclusive_stop_time(file, &seconds, &diag);

                ck_assert_msg(r == (row->message ? -EINVAL : 0), "%s: %s", row->text, diag.message);
                ck_assert_msg(seconds == row->seconds, "%s: %u", row->text, seconds);
                if (row->message)
                        ck_assert_msg(strncmp(diag.message, row->message, strlen(row->message)) ==
                                              0,
                                      "%s: %s", row->text, diag.message);
        }
}
END_TEST

/* Where systemd's default would count is found. */
START_TEST(test_section_without_timeout) {
        static const struct {
                const char *text, *section;
        } rows[] = {
                { "[Service]\nExecStart=/bin/a\n", "Service" },
                { "[Service]\nTimeoutSec=3\n", NULL },
                { "[Service]\nTimeoutStopSec=3\n", NULL },
                { "[Socket]\nListenStream=1\n", "Socket" },
                { "[Timer]\nOnBootSec=1\n", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(unit_file_freep) UnitFile *file = parse(rows[i].text);
                const char *section = exclusive_section_without_timeout(file);

                ck_assert_msg(section == rows[i].section || (section && rows[i].section &&
                                                             streq(section, rows[i].section)),
                              "%s", rows[i].text);
        }
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_timespan, test_stop_time,
                                       test_section_without_timeout };

        return tests_run("exclusive", tests, ELEMENTSOF(tests));
}
