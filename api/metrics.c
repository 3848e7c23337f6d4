/* SPDX-License-Identifier: Apache-2.0 */

/* GET /metrics: the Prometheus text format 0.0.4 (contract section 9). What the process costs, what
 * the API answered, what the store did, and whatever else the daemon adds.
 */

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/api-private.h"

enum { METRICS_MAX_BYTES = 1024 * 1024 };

static int append_family(Buf *out, const char *name, const char *type, const char *help,
                         double value) {
        return buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", name, help, name, type,
                          name, value);
}

/* Resident memory in bytes (proc(5), statm), or 0. */
static double resident_bytes(void) {
        FILE *file = fopen("/proc/self/statm", "re");
        unsigned long resident = 0;

        if (!file)
                return 0;
        if (fscanf(file, "%*u %lu", &resident) != 1)
                resident = 0;
        (void)fclose(file);
        return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static int append_process(Buf *out) {
        struct rusage usage = { 0 };
        int r;

        (void)getrusage(RUSAGE_SELF, &usage);
        r = append_family(
                out, "process_cpu_seconds_total", "counter", "Processor time spent, in seconds.",
                (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                        (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / US_PER_S);
        if (r == 0)
                r = append_family(out, "process_resident_memory_bytes", "gauge",
                                  "Resident memory, in bytes.", resident_bytes());
        return r;
}

static int append_api(Buf *out, const Api *api) {
        int r;

        r = buf_append_string(
                out, "# HELP fleet_http_requests_total Requests answered, by class of status.\n"
                     "# TYPE fleet_http_requests_total counter\n");
        for (size_t i = 2; i < ELEMENTSOF(api->n_replies) && r == 0; i++)
                r = buf_printf(out, "fleet_http_requests_total{code=\"%zuxx\"} %llu\n", i,
                               (unsigned long long)api->n_replies[i]);
        if (r == 0)
                r = append_family(out, "fleet_http_waits", "gauge", "Clients that wait for units.",
                                  api->n_waits);
        return r;
}

static int append_store(Buf *out, const Api *api) {
        StoreStats stats = store_stats(registry_store(api->registry));
        int r;

        r = append_family(out, "fleet_registry_operation_count_total", "counter",
                          "Requests to the store.", (double)stats.n_requests);
        if (r == 0)
                r = append_family(out, "fleet_registry_operation_failed_count_total", "counter",
                                  "Requests to the store that failed.", (double)stats.n_failed);
        if (r == 0)
                r = append_family(out, "fleet_registry_operation_duration_seconds_total", "counter",
                                  "Time that requests to the store took, added up.",
                                  (double)stats.latency_us / US_PER_S);
        if (r == 0)
                r = append_family(out, "fleet_store_pending_requests", "gauge",
                                  "Requests to the store in flight.", (double)stats.n_pending);
        if (r == 0)
                r = append_family(out, "fleet_store_watches", "gauge", "Watches on the store.",
                                  (double)stats.n_watches);
        if (r == 0)
                r = append_family(out, "fleet_store_connections_total", "counter",
                                  "Connections made to the store.", (double)stats.n_connections);
        return r;
}

void api_metrics(Api *api, HttpExchange *exchange, const char *name) {
        Buf body = buf_make(METRICS_MAX_BYTES);
        int r;

        (void)name;
        r = append_process(&body);
        if (r == 0)
                r = append_api(&body, api);
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
