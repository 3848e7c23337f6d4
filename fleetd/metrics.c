/* SPDX-License-Identifier: Apache-2.0 */

/* The families of /metrics that only the daemon as a whole can tell; the API adds its own and those
 * of the store. Names that fleet 1.0 served or documented are kept where the number still means the
 * same (contract section 9 lists which of them were wrong there); the rest follows the same manner.
 */

#include "fleetd/metrics.h"

#include <dirent.h>
#include <sys/resource.h>

#include "lib/base/env.h"

/* A sample. The first one of a family has its kind and help. */
typedef struct Sample {
        const char *family;
        const char *labels; /* in braces, or empty */
        const char *kind;   /* "counter" or "gauge"; NULL for a further one */
        const char *help;
        double value;
} Sample;

static int append(Buf *out, const Sample *samples, size_t n_samples) {
        for (size_t i = 0; i < n_samples; i++) {
                const Sample *sample = &samples[i];
                int r;

                if (sample->kind) {
                        r = buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", sample->family,
                                       sample->help, sample->family, sample->kind);
                        if (r < 0)
                                return r;
                }
                r = buf_printf(out, "%s%s %.15g\n", sample->family, sample->labels, sample->value);
                if (r < 0)
                        return r;
        }
        return 0;
}

static double seconds(uint64_t us) {
        return (double)us / US_PER_S;
}

static int append_engine(const Engine *engine, Buf *out) {
        EngineStats stats = engine_stats(engine);
        const Sample samples[] = {
                { "fleet_engine_leading", "", "gauge", "1 while this machine leads the cluster.",
                  stats.is_leader },
                { "fleet_engine_leader_start_time", "", "gauge",
                  "When this machine was elected, in seconds since the epoch; 0 while it does not "
                  "lead.",
                  seconds(stats.leader_since_us) },
                { "fleet_engine_elections_total", "", "counter", "Elections won.",
                  (double)stats.n_elections },
                { "fleet_engine_reconcile_count_total", "", "counter", "Rounds of planning.",
                  (double)stats.n_plans },
                { "fleet_engine_task_count_total", "{type=\"attemptscheduleunit\"}", "counter",
                  "Schedule rows written and removed.", (double)stats.n_scheduled },
                { "fleet_engine_task_count_total", "{type=\"unscheduleunit\"}", NULL, NULL,
                  (double)stats.n_unscheduled },
                { "fleet_engine_commits_total", "", "counter", "Transactions of the engine.",
                  (double)stats.n_commits },
                { "fleet_engine_commit_failures_total", "", "counter",
                  "Of them, those that failed or were refused.", (double)stats.n_commits_failed },
                { "fleet_engine_machines", "", "gauge", "Machines that the leader sees.",
                  (double)stats.n_machines },
                { "fleet_engine_units", "", "gauge", "Units that the leader sees.",
                  (double)stats.n_units },
                { "fleet_engine_unplaced_units", "", "gauge",
                  "Units that shall be somewhere and fit nowhere.", (double)stats.n_unplaced },
        };

        return append(out, samples, ELEMENTSOF(samples));
}

static int append_agent(const Agent *agent, Buf *out) {
        AgentStats stats = agent_stats(agent);
        const Sample samples[] = {
                { "fleet_agent_units", "", "gauge",
                  "Units scheduled to this machine or still on it.", (double)stats.n_units },
                { "fleet_agent_busy_units", "", "gauge", "Of them, those being worked on.",
                  (double)stats.n_busy },
                { "fleet_agent_actions_total", "", "counter", "Loads, starts, stops and unloads.",
                  (double)stats.n_actions },
                { "fleet_agent_action_failures_total", "", "counter", "Of them, those that failed.",
                  (double)stats.n_failures },
                { "fleet_agent_reports_total", "", "counter", "Transactions of unit states.",
                  (double)stats.n_reports },
        };

        return append(out, samples, ELEMENTSOF(samples));
}

static int append_http(const HttpServer *http, Buf *out) {
        const Sample samples[] = {
                { "fleet_http_connections", "", "gauge", "Open connections to the API.",
                  http_server_connections(http) },
        };

        return append(out, samples, ELEMENTSOF(samples));
}

static double count_descriptors(void) {
        DIR *directory = opendir("/proc/self/fd");
        double n = 0;

        if (!directory)
                return 0;
        for (const struct dirent *entry; (entry = readdir(directory));)
                n += entry->d_name[0] != '.';
        (void)closedir(directory);
        return n - 1; /* not the one that reads */
}

static int append_process(Buf *out) {
        struct rusage usage = { 0 };
        struct rlimit limit = { 0 };

        (void)getrusage(RUSAGE_SELF, &usage);
        (void)getrlimit(RLIMIT_NOFILE, &limit);

        const Sample samples[] = {
                { "fleet_process_wakeups_total", "", "counter", "Times that the daemon woke up.",
                  (double)usage.ru_nvcsw },
                { "process_open_fds", "", "gauge", "Open descriptors.", count_descriptors() },
                { "process_max_fds", "", "gauge", "Descriptors that may be open.",
                  (double)limit.rlim_cur },
        };

        return append(out, samples, ELEMENTSOF(samples));
}

int metrics_append(const MetricsSources *sources, Buf *out) {
        int r;

        r = append_engine(sources->engine, out);
        if (r < 0)
                return r;
        r = append_agent(sources->agent, out);
        if (r < 0)
                return r;
        r = append_http(sources->http, out);
        if (r < 0)
                return r;
        return append_process(out);
}
