/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Numbers in the text format of Prometheus 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/), and histograms of durations. All
 * texts are the program's own, so nothing here escapes. */

#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"

enum {
        METRICS_BUCKETS =
                8, /* of a histogram: seven with a bound, from 1 ms to 10 s, and the rest */
};

/* How long things took; zeroed is empty. 72 bytes. */
typedef struct MetricsHistogram {
        uint64_t counts[METRICS_BUCKETS]; /* by the first bound that is not exceeded */
        uint64_t sum_us;
} MetricsHistogram;

/* Count one more. */
void metrics_observe(MetricsHistogram *histogram, uint64_t duration_us);

/* A sample. The first one of a family has its kind and help. */
typedef struct MetricsSample {
        const char *family;
        const char *labels; /* in braces, or empty */
        const char *kind;   /* "counter" or "gauge"; NULL for a further one */
        const char *help;
        double value;
} MetricsSample;

/* Append samples. Errors as buf_append(). */
int metrics_append(Buf *out, const MetricsSample *samples, size_t n_samples);

/* Append a histogram of seconds. `label` is NAME="VALUE", without braces, or empty; `help` is NULL
 * for a further one of the same family. Errors as buf_append(). */
int metrics_append_histogram(Buf *out, const char *family, const char *label, const char *help,
                             const MetricsHistogram *histogram);
