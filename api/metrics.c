/* SPDX-License-Identifier: Apache-2.0 */

/* GET /metrics (contract section 9; docs/metrics.md): what the API answered, what the store did,
 * and whatever else the daemon adds.
 */

#include <stdio.h>

#include "api/api-private.h"
#include "lib/base/metrics.h"

enum { METRICS_MAX_BYTES = 1024 * 1024 };

static int append_requests(Buf *out, const Api *api) {
        static const char *const classes[_API_CLASS_MAX] = {
                [API_CLASS_OTHER] = "other",       [API_CLASS_DISCOVERY] = "discovery",
                [API_CLASS_DOCTOR] = "doctor",     [API_CLASS_EVICTIONS] = "evictions",
                [API_CLASS_MACHINES] = "machines", [API_CLASS_METRICS] = "metrics",
                [API_CLASS_STATE] = "state",       [API_CLASS_STATES] = "states",
                [API_CLASS_UNIT] = "unit",         [API_CLASS_UNITS] = "units",
                [API_CLASS_WAIT] = "wait",
        };
        MetricsSample sample = { .family = "fleet_http_requests_total",
                                 .kind = "counter",
                                 .help = "Requests answered, by the class of the status and by "
                                         "what was asked for." };
        int r = 0;

        for (size_t class = 0; class < _API_CLASS_MAX; class ++)
                for (size_t i = 0; i < API_STATUS_CLASSES && r == 0; i++) {
                        char labels[64];

                        (void)snprintf(labels, sizeof(labels), "{code=\"%zuxx\",route=\"%s\"}",
                                       i + 2, classes[class]);
                        sample.labels = labels;
                        sample.value = (double)api->n_replies[class][i];
                        r = metrics_append(out, &sample, 1);
                        sample.kind = NULL;
                }
        return r;
}

/* The numbers of the store by kind of request. */
static const char *const kinds[_STORE_KIND_MAX] = {
        [STORE_KIND_RANGE] = "type=\"range\"",
        [STORE_KIND_TXN] = "type=\"txn\"",
        [STORE_KIND_LEASE_GRANT] = "type=\"lease_grant\"",
        [STORE_KIND_LEASE_KEEP_ALIVE] = "type=\"lease_keep_alive\"",
        [STORE_KIND_LEASE_REVOKE] = "type=\"lease_revoke\"",
        [STORE_KIND_LEASE_LOOK] = "type=\"lease_look\"",
        [STORE_KIND_STATUS] = "type=\"status\"",
};

static int append_by_kind(Buf *out, const char *family, const char *help,
                          const uint64_t numbers[static _STORE_KIND_MAX]) {
        MetricsSample sample = { .family = family, .kind = "counter", .help = help };
        int r = 0;

        for (size_t i = 0; i < _STORE_KIND_MAX && r == 0; i++) {
                char labels[64];

                (void)snprintf(labels, sizeof(labels), "{%s}", kinds[i]);
                sample.labels = labels;
                sample.value = (double)numbers[i];
                r = metrics_append(out, &sample, 1);
                sample.kind = NULL;
        }
        return r;
}

static int append_durations(Buf *out, const StoreStats *stats) {
        const char *help = "How long requests to the store took, in seconds.";
        int r = 0;

        for (size_t i = 0; i < _STORE_KIND_MAX && r == 0; i++)
                r = metrics_append_histogram(out, "fleet_registry_operation_duration_second",
                                             kinds[i], i == 0 ? help : NULL, &stats->durations[i]);
        return r;
}

static int append_store(Buf *out, const Api *api) {
        StoreStats stats = store_stats(registry_store(api->registry));
        const MetricsSample samples[] = {
                { "fleet_store_pending_requests", "", "gauge", "Requests to the store in flight.",
                  (double)stats.n_pending },
                { "fleet_store_watches", "", "gauge", "Watches on the store.",
                  (double)stats.n_watches },
                { "fleet_store_connections_total", "", "counter", "Connections made to the store.",
                  (double)stats.n_connections },
                { "fleet_http_waits", "", "gauge", "Clients that wait for units.", api->n_waits },
        };
        int r;

        r = append_by_kind(out, "fleet_registry_operation_count_total", "Requests to the store.",
                           stats.n_started);
        if (r == 0)
                r = append_by_kind(out, "fleet_registry_operation_failed_count_total",
                                   "Requests to the store that failed.", stats.n_failed);
        if (r == 0)
                r = append_durations(out, &stats);
        if (r == 0)
                r = metrics_append(out, samples, ELEMENTSOF(samples));
        return r;
}

void api_metrics(Api *api, HttpExchange *exchange, const char *name) {
        Buf body = buf_make(METRICS_MAX_BYTES);
        int r;

        (void)name;
        r = append_requests(&body, api);
        if (r == 0)
                r = append_store(&body, api);
        if (r == 0 && api->options.metrics)
                r = api->options.metrics(&body, api->options.metrics_userdata);
        if (r == 0)
                api_reply_bytes(api, exchange, 200, "text/plain; version=0.0.4; charset=utf-8",
                                &body);
        else
                api_reply_failure(api, exchange, r);
        buf_done(&body);
}
