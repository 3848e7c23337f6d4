/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetd/duration.h"

#include <errno.h>

#include "lib/base/macro.h"
#include "tests/unit/fault.h"

/* What Go's time.ParseDuration takes is taken, to the microsecond. */
START_TEST(test_durations) {
        static const struct {
                const char *text;
                uint64_t us;
        } rows[] = {
                { "0", 0 },
                { "+0", 0 },
                { "-0", 0 },
                { "30s", 30000000 },
                { "+5s", 5000000 },
                { "1m30s", 90000000 },
                { "500ms", 500000 },
                { "1.5h", 5400000000 },
                { "1h15m30.918273645s", 4530918273 },
                { "2h45m", 9900000000 },
                { "100us", 100 },
                { "100\xc2\xb5s", 100 },
                { "100\xce\xbcs", 100 },
                { "1999ns", 1 },
                { ".5s", 500000 },
                { "1.s", 1000000 },
                { "0.1s", 100000 },
                { "0.3333333333333333333h", 1199999998 },
                { "9007199254.740993ms", 9007199254740 },
                { "-0s", 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                uint64_t us = 1;

                ck_assert_msg(duration_parse(rows[i].text, &us) == 0, "\"%s\" is refused",
                              rows[i].text);
                ck_assert_msg(us == rows[i].us, "\"%s\" is %ju us", rows[i].text, (uintmax_t)us);
        }
}
END_TEST

/* What is no duration is refused, and nothing is written. */
START_TEST(test_refused) {
        static const struct {
                const char *text;
                int error;
        } rows[] = {
                { "", -EINVAL },
                { "3", -EINVAL },
                { "-", -EINVAL },
                { "s", -EINVAL },
                { ".", -EINVAL },
                { ".s", -EINVAL },
                { "1.5", -EINVAL },
                { "1d", -EINVAL },
                { "1 s", -EINVAL },
                { " 1s", -EINVAL },
                { "1s ", -EINVAL },
                { "1S", -EINVAL },
                { "--1s", -EINVAL },
                { "1s-1s", -EINVAL },
                { "1e3s", -EINVAL },
                { "-1s", -ERANGE },
                { "99999999999999999999s", -ERANGE },
                { "18446744074s", -ERANGE },
                { "5124095h40m", -ERANGE },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                uint64_t us = 4711;
                int r = duration_parse(rows[i].text, &us);

                ck_assert_msg(r == rows[i].error, "\"%s\" gives %d", rows[i].text, r);
                ck_assert_uint_eq(us, 4711);
        }
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_durations, test_refused };

        return tests_run("duration", tests, ELEMENTSOF(tests));
}
