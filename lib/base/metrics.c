/* SPDX-License-Identifier: Apache-2.0 */

/* The text format has a line per number, and before the first of a family what it is. A histogram
 * counts by bucket; the format wants each bucket to hold those before it, too, which is added up as
 * it is written.
 */

#include "lib/base/metrics.h"

#include "lib/base/env.h"

/* From what a store in the same rack takes to what its callers wait for at most. The last bucket is
 * without bound. */
static const uint64_t bounds_us[METRICS_BUCKETS - 1] = { 1000,   5000,    20000,   100000,
                                                         500000, 2500000, 10000000 };

void metrics_observe(MetricsHistogram *histogram, uint64_t duration_us) {
        size_t i = 0;

        while (i < ELEMENTSOF(bounds_us) && duration_us > bounds_us[i])
                i++;
        histogram->counts[i]++;
        histogram->sum_us += duration_us;
}

static int append_head(Buf *out, const char *family, const char *kind, const char *help) {
        return buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", family, help, family, kind);
}

int metrics_append(Buf *out, const MetricsSample *samples, size_t n_samples) {
        int r = 0;

        for (size_t i = 0; i < n_samples && r == 0; i++) {
                const MetricsSample *sample = &samples[i];

                if (sample->kind)
                        r = append_head(out, sample->family, sample->kind, sample->help);
                if (r == 0)
                        r = buf_printf(out, "%s%s %.15g\n", sample->family, sample->labels,
                                       sample->value);
        }
        return r;
}

int metrics_append_histogram(Buf *out, const char *family, const char *label, const char *help,
                             const MetricsHistogram *histogram) {
        const char *comma = *label ? "," : "", *open = *label ? "{" : "",
                   *close = *label ? "}" : "";
        uint64_t n = 0;
        int r;

        r = help ? append_head(out, family, "histogram", help) : 0;
        for (size_t i = 0; i < ELEMENTSOF(bounds_us) && r == 0; i++) {
                n += histogram->counts[i];
                r = buf_printf(out, "%s_bucket{%s%sle=\"%g\"} %llu\n", family, label, comma,
                               (double)bounds_us[i] / US_PER_S, (unsigned long long)n);
        }
        n += histogram->counts[METRICS_BUCKETS - 1];
        if (r == 0)
                r = buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", family, label, comma,
                               (unsigned long long)n);
        if (r == 0)
                r = buf_printf(out, "%s_sum%s%s%s %.15g\n%s_count%s%s%s %llu\n", family, open,
                               label, close, (double)histogram->sum_us / US_PER_S, family, open,
                               label, close, (unsigned long long)n);
        return r;
}
