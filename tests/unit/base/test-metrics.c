/* SPDX-License-Identifier: Apache-2.0 */

/* The text format, to the byte. */

#include "lib/base/metrics.h"

#include <errno.h>

#include "tests/unit/fault.h"

/* The head of a family comes once, before its first sample; numbers are written in full. */
START_TEST(test_samples) {
        static const MetricsSample samples[] = {
                { "a_total", "{type=\"x\"}", "counter", "Counts a.", 1e9 + 1 },
                { "a_total", "{type=\"y\"}", NULL, NULL, 0 },
                { "b", "", "gauge", "Is b.", 0.25 },
                { "c", "", "gauge", "Is c.", 1795262413.123456 },
        };
        _cleanup_(buf_done) Buf out = buf_make(4096);

        ck_assert_int_eq(metrics_append(&out, samples, ELEMENTSOF(samples)), 0);
        ck_assert_str_eq(out.data, "# HELP a_total Counts a.\n"
                                   "# TYPE a_total counter\n"
                                   "a_total{type=\"x\"} 1000000001\n"
                                   "a_total{type=\"y\"} 0\n"
                                   "# HELP b Is b.\n"
                                   "# TYPE b gauge\n"
                                   "b 0.25\n"
                                   "# HELP c Is c.\n"
                                   "# TYPE c gauge\n"
                                   "c 1795262413.12346\n");
}
END_TEST

/* A duration is counted in the first bucket whose bound it does not exceed, and written in that one
 * and all above. */
START_TEST(test_histogram) {
        static const uint64_t durations_us[] = {
                0, 1000, 1001, 20000, 9999999, 10000001, 60000000
        };
        _cleanup_(buf_done) Buf out = buf_make(4096);
        MetricsHistogram histogram = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(durations_us); i++)
                metrics_observe(&histogram, durations_us[i]);
        ck_assert_int_eq(metrics_append_histogram(&out, "h", "type=\"x\"", "Is h.", &histogram), 0);
        ck_assert_str_eq(out.data, "# HELP h Is h.\n"
                                   "# TYPE h histogram\n"
                                   "h_bucket{type=\"x\",le=\"0.001\"} 2\n"
                                   "h_bucket{type=\"x\",le=\"0.005\"} 3\n"
                                   "h_bucket{type=\"x\",le=\"0.02\"} 4\n"
                                   "h_bucket{type=\"x\",le=\"0.1\"} 4\n"
                                   "h_bucket{type=\"x\",le=\"0.5\"} 4\n"
                                   "h_bucket{type=\"x\",le=\"2.5\"} 4\n"
                                   "h_bucket{type=\"x\",le=\"10\"} 5\n"
                                   "h_bucket{type=\"x\",le=\"+Inf\"} 7\n"
                                   "h_sum{type=\"x\"} 80.022001\n"
                                   "h_count{type=\"x\"} 7\n");

        buf_clear(&out);
        ck_assert_int_eq(metrics_append_histogram(&out, "h", "", NULL, &(MetricsHistogram){ 0 }),
                         0);
        ck_assert_int_eq(strncmp(out.data, "h_bucket{le=\"0.001\"} 0\n", 23), 0);
        ck_assert_ptr_nonnull(strstr(out.data, "\nh_sum 0\nh_count 0\n"));
}
END_TEST

/* A full buffer is an error. */
START_TEST(test_full) {
        const MetricsSample sample = { "a_total", "", "counter", "Counts a.", 1 };
        _cleanup_(buf_done) Buf out = buf_make(40);

        ck_assert_int_eq(metrics_append(&out, &sample, 1), -ENOBUFS);
        ck_assert_int_eq(metrics_append_histogram(&out, "h", "", "Is h.", &(MetricsHistogram){ 0 }),
                         -ENOBUFS);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_samples, test_histogram, test_full };

        return tests_run("metrics", tests, ELEMENTSOF(tests));
}
