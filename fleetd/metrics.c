/* SPDX-License-Identifier: Apache-2.0 */

/* The families of /metrics that only the daemon as a whole can tell; the API adds its own and those
 * of the store. Names that fleet 1.0 served or documented are kept where the number still means the
 * same (contract section 9 lists which of them were wrong there); the rest follows the same manner.
 */

#include "fleetd/metrics.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/base/env.h"
#include "lib/base/metrics.h"

static double seconds(uint64_t us) {
        return (double)us / US_PER_S;
}

static int append_leadership(const EngineStats *stats, Buf *out) {
        const MetricsSample samples[] = {
                { "fleet_engine_leading", "", "gauge", "1 while this machine leads the cluster.",
                  stats->is_leader },
                { "fleet_engine_leader_start_time", "", "gauge",
                  "When this machine was elected, in seconds since the epoch; 0 while it does not "
                  "lead.",
                  seconds(stats->leader_since_us) },
                { "fleet_engine_elections_total", "", "counter", "Elections won.",
                  (double)stats->n_elections },
                { "fleet_engine_machines", "", "gauge", "Machines that the leader sees.",
                  (double)stats->n_machines },
                { "fleet_engine_units", "", "gauge", "Units that the leader sees.",
                  (double)stats->n_units },
                { "fleet_engine_holds", "", "gauge", "Exclusive units that some machine holds.",
                  (double)stats->n_holds },
                { "fleet_engine_lost_holds", "", "gauge",
                  "Of them, those of machines that are not there.", (double)stats->n_holds_lost },
                { "fleet_engine_removed_holds_total", "", "counter",
                  "Holds taken from machines that were lost.", (double)stats->n_holds_removed },
                { "fleet_engine_unplaced_units", "", "gauge",
                  "Units that shall be somewhere and fit nowhere.", (double)stats->n_unplaced },
                { "fleet_engine_evictions_held", "", "gauge",
                  "1 while too many machines are missing for units to be moved away from them.",
                  stats->is_holding },
                { "fleet_engine_missing_machines", "", "gauge",
                  "Machines that vanished within twice agent_ttl, or while evictions are held.",
                  (double)stats->n_missing },
                { "fleet_engine_held_machines", "", "gauge",
                  "Of them, those that keep their units.", (double)stats->n_held },
        };

        return metrics_append(out, samples, ELEMENTSOF(samples));
}

static int append_engine(const Engine *engine, Buf *out) {
        EngineStats stats = engine_stats(engine);
        const MetricsSample samples[] = {
                { "fleet_engine_reconcile_count_total", "", "counter", "Rounds of planning.",
                  (double)stats.n_plans },
                { "fleet_engine_reconcile_failure_count_total", "{type=\"machine_away\"}",
                  "counter",
                  "Machines that went, rounds that failed, and units for which no machine was "
                  "found.",
                  (double)stats.n_machines_lost },
                { "fleet_engine_reconcile_failure_count_total", "{type=\"run\"}", NULL, NULL,
                  (double)(stats.n_plans_failed + stats.n_commits_failed) },
                { "fleet_engine_reconcile_failure_count_total", "{type=\"schedule\"}", NULL, NULL,
                  (double)stats.n_explained },
                { "fleet_engine_task_count_total", "{type=\"attemptscheduleunit\"}", "counter",
                  "Schedule rows written and removed.", (double)stats.n_scheduled },
                { "fleet_engine_task_count_total", "{type=\"unscheduleunit\"}", NULL, NULL,
                  (double)stats.n_unscheduled },
                { "fleet_engine_task_failure_count_total", "{type=\"attemptscheduleunit\"}",
                  "counter", "Of them, those whose transaction failed or was refused.",
                  (double)stats.n_scheduled_failed },
                { "fleet_engine_task_failure_count_total", "{type=\"unscheduleunit\"}", NULL, NULL,
                  (double)stats.n_unscheduled_failed },
                { "fleet_engine_commits_total", "", "counter", "Transactions of the engine.",
                  (double)stats.n_commits },
                { "fleet_engine_commit_failures_total", "", "counter",
                  "Of them, those that failed or were refused.", (double)stats.n_commits_failed },
        };
        int r;

        r = append_leadership(&stats, out);
        if (r == 0)
                r = metrics_append_histogram(out, "fleet_engine_reconcile_duration_second", "",
                                             "How long a round of planning took, in seconds.",
                                             &stats.plans);
        return r < 0 ? r : metrics_append(out, samples, ELEMENTSOF(samples));
}

static int append_agent(const Agent *agent, Buf *out) {
        AgentStats stats = agent_stats(agent);
        const MetricsSample samples[] = {
                { "fleet_agent_units", "", "gauge",
                  "Units scheduled to this machine or still on it.", (double)stats.n_units },
                { "fleet_agent_busy_units", "", "gauge", "Of them, those being worked on.",
                  (double)stats.n_busy },
                { "fleet_agent_leaving_units", "", "gauge",
                  "Units still here, while this machine leaves the cluster.",
                  (double)stats.n_leaving },
                { "fleet_agent_actions_total", "", "counter", "Loads, starts, stops and unloads.",
                  (double)stats.n_actions },
                { "fleet_agent_action_failures_total", "", "counter", "Of them, those that failed.",
                  (double)stats.n_failures },
                { "fleet_agent_reports_total", "", "counter", "Transactions of unit states.",
                  (double)stats.n_reports },
                { "fleet_agent_held_units", "", "gauge",
                  "Exclusive units that this machine holds, or waits for.", (double)stats.n_holds },
                { "fleet_agent_exclusive_expiries_total", "", "counter",
                  "Times that the Exclusive units here had to end, since the lease might.",
                  (double)stats.n_expired },
        };

        return metrics_append(out, samples, ELEMENTSOF(samples));
}

static int append_http(const HttpServer *http, Buf *out) {
        const MetricsSample samples[] = {
                { "fleet_http_connections", "", "gauge", "Open connections to the API.",
                  http_server_connections(http) },
        };

        return metrics_append(out, samples, ELEMENTSOF(samples));
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

/* Memory in bytes (proc(5), statm); 0 where it cannot be told. */
static void read_memory(double *ret_virtual, double *ret_resident) {
        FILE *file = fopen("/proc/self/statm", "re");
        unsigned long virtual = 0, resident = 0;
        double page_bytes = (double)sysconf(_SC_PAGESIZE);

        if (file && fscanf(file, "%lu %lu", &virtual, &resident) != 2)
                virtual = resident = 0;
        if (file)
                (void)fclose(file);
        *ret_virtual = (double)virtual * page_bytes;
        *ret_resident = (double)resident * page_bytes;
}

static double cpu_seconds(const struct rusage *usage) {
        return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) +
               (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / US_PER_S;
}

static int append_process(uint64_t started_us, Buf *out) {
        struct rusage usage = { 0 };
        struct rlimit limit = { 0 };
        double virtual, resident;

        (void)getrusage(RUSAGE_SELF, &usage);
        (void)getrlimit(RLIMIT_NOFILE, &limit);
        read_memory(&virtual, &resident);

        const MetricsSample samples[] = {
                { "fleet_process_wakeups_total", "", "counter", "Times that the daemon woke up.",
                  (double)usage.ru_nvcsw },
                { "process_cpu_seconds_total", "", "counter", "Processor time spent, in seconds.",
                  cpu_seconds(&usage) },
                { "process_open_fds", "", "gauge", "Open descriptors.", count_descriptors() },
                { "process_max_fds", "", "gauge", "Descriptors that may be open.",
                  (double)limit.rlim_cur },
                { "process_resident_memory_bytes", "", "gauge", "Resident memory, in bytes.",
                  resident },
                { "process_virtual_memory_bytes", "", "gauge", "Virtual memory, in bytes.",
                  virtual },
                { "process_start_time_seconds", "", "gauge",
                  "When the daemon was started, in seconds since the epoch.", seconds(started_us) },
        };

        return metrics_append(out, samples, ELEMENTSOF(samples));
}

int daemon_metrics_append(const MetricsSources *sources, Buf *out) {
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
        return append_process(sources->started_us, out);
}
