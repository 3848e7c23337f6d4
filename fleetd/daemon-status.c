/* SPDX-License-Identifier: Apache-2.0 */

/* What the daemon tells of itself: to the service manager in words, to /metrics in numbers, and, on
 * SIGUSR1, all of its state as one line of JSON on standard output (contract section 8). A dump is
 * made at once and leaves as fast as its reader takes it (output.h); while one is on its way there
 * is no other.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fleetd/daemon-private.h"
#include "fleetd/memory.h"
#include "fleetd/metrics.h"
#include "lib/base/log.h"
#include "lib/model/dump.h"

enum {
        /* A window with fewer turns of the loop is rest: heartbeats at the shortest ttl take half
           of them. */
        STATUS_WINDOW_US = 10000 * US_PER_MS,
        STATUS_REST_TURNS = 200,

        /* After its start a daemon is done with what only a start needs. */
        STATUS_SETTLED_US = 1000 * US_PER_MS,

        DUMP_MAX_BYTES = 64 * 1024 * 1024, /* some 100,000 units */
};

enum { PHASE_TEXT_BYTES = 128 };

/* In words. */
static void phase_text(const Daemon *daemon, DaemonPhase phase, char text[PHASE_TEXT_BYTES]) {
        static const struct {
                const char *before, *after; /* the store's name, if there is an `after` */
        } texts[] = {
                [PHASE_WAITING] = { "Waiting for ", "; units run, the API answers 503" },
                [PHASE_JOINING] = { "Connected to ", ", joining the cluster" },
                [PHASE_MEMBER] = { "Member of the cluster", NULL },
                [PHASE_LEADER] = { "Member of the cluster, leading it", NULL },
                [PHASE_CLOSED] = { "The store is closed, its records are being moved; units run, "
                                   "the "
                                   "API answers 503",
                                   NULL },
                [PHASE_LEAVING] = { "Leaving the cluster", NULL },
                [PHASE_CUT_OFF] = { "Lost ", ", trying to reach it again; units run, the API "
                                             "answers 503" },
        };
        const char *after = texts[phase].after;

        (void)snprintf(text, PHASE_TEXT_BYTES, "%s%s%s", texts[phase].before,
                       after ? daemon->store_name : "", after ? after : "");
}

static DaemonPhase daemon_phase(const Daemon *daemon) {
        if (daemon->leave >= LEAVE_HANDS_OVER)
                return PHASE_LEAVING;
        if (!store_is_connected(daemon->store))
                return daemon->was_connected ? PHASE_CUT_OFF : PHASE_WAITING;
        if (daemon->presence && presence_why_closed(daemon->presence))
                return PHASE_CLOSED;
        if (!daemon->presence || presence_lease(daemon->presence) == 0)
                return PHASE_JOINING;
        return engine_is_leading(daemon->engine) ? PHASE_LEADER : PHASE_MEMBER;
}

static void on_settled(LoopTimer *timer) {
        (void)timer;
        memory_release();
}

/* Give memory back when there is rest after work. It looks only when the loop is awake anyway. */
static void note_turn(Daemon *daemon) {
        uint64_t now_us = loop_now_us(daemon->loop);
        bool is_busy;

        daemon->n_turns++;
        if (now_us - daemon->window_us < STATUS_WINDOW_US)
                return;

        is_busy = daemon->n_turns > STATUS_REST_TURNS;
        if (daemon->was_busy && !is_busy)
                memory_release();
        daemon->was_busy = is_busy;
        daemon->window_us = now_us;
        daemon->n_turns = 0;
}

/* On the way out: how many units are still to go. */
static void tell_leaving(Daemon *daemon) {
        uint64_t n = agent_stats(daemon->agent).n_leaving;
        char text[96];

        if (daemon->phase == PHASE_LEAVING && daemon->n_leaving_told == n)
                return;

        daemon->phase = PHASE_LEAVING;
        daemon->n_leaving_told = n;
        (void)snprintf(text, sizeof(text), "Leaving the cluster: %llu units are still here",
                       (unsigned long long)n);
        notify_status(text);
}

static void on_status(LoopHook *hook) {
        Daemon *daemon = container_of(hook, Daemon, status);
        DaemonPhase phase = daemon_phase(daemon);
        bool shows_trouble = *daemon->trouble && phase != PHASE_MEMBER && phase != PHASE_LEADER;
        char text[sizeof(daemon->trouble) + PHASE_TEXT_BYTES + 2], words[PHASE_TEXT_BYTES];

        note_turn(daemon);
        daemon_look_around(daemon);
        if (phase == PHASE_LEAVING) {
                tell_leaving(daemon);
                return;
        }
        if (phase == daemon->phase && !daemon->is_trouble_new)
                return;

        daemon->phase = phase;
        daemon->is_trouble_new = false;
        phase_text(daemon, phase, words);
        (void)snprintf(text, sizeof(text), "%s%s%s", words, shows_trouble ? ": " : "",
                       shows_trouble ? daemon->trouble : "");
        notify_status(text);
}

int daemon_on_metrics(Buf *out, void *userdata) {
        const Daemon *daemon = userdata;
        const MetricsSources sources = { .agent = daemon->agent,
                                         .engine = daemon->engine,
                                         .http = daemon->http,
                                         .started_us = daemon->started_us };

        return daemon_metrics_append(&sources, out);
}

/* Our part of the dump: what is not about units. */
static int append_dump(const Daemon *daemon, const DumpUnit *units, size_t n_units, Buf *out) {
        int64_t lease = daemon->presence ? presence_lease(daemon->presence) : 0;
        EngineStats engine = engine_stats(daemon->engine);
        StoreStats store = store_stats(daemon->store);
        AgentStats agent = agent_stats(daemon->agent);
        uint64_t n_failed = 0;
        char lease_text[32], status_text[PHASE_TEXT_BYTES];

        for (size_t i = 0; i < _STORE_KIND_MAX; i++)
                n_failed += store.n_failed[i];
        phase_text(daemon, daemon_phase(daemon), status_text);
        (void)snprintf(lease_text, sizeof(lease_text), "%llx", (unsigned long long)lease);
        const DumpValue values[] = {
                { "Address", .text = daemon->address ? daemon->address : "" },
                { "AgentActions", .number = agent.n_actions },
                { "AgentBusyUnits", .number = agent.n_busy },
                { "AgentFailures", .number = agent.n_failures },
                { "AgentReports", .number = agent.n_reports },
                { "EngineCommits", .number = engine.n_commits },
                { "EngineLeading", .number = engine.is_leader },
                { "EngineMachines", .number = engine.n_machines },
                { "EngineUnits", .number = engine.n_units },
                { "EngineUnplacedUnits", .number = engine.n_unplaced },
                { "HTTPConnections", .number = http_server_connections(daemon->http) },
                { "Lease", .text = lease ? lease_text : "" },
                { "Status", .text = status_text },
                { "Store", .text = daemon->endpoint },
                { "StoreConnected", .number = store_is_connected(daemon->store) },
                { "StoreConnections", .number = store.n_connections },
                { "StoreFailures", .number = n_failed },
                { "StorePending", .number = store.n_pending },
                { "StoreRequests", .number = store.n_requests },
                { "StoreWatches", .number = store.n_watches },
                { "Version", .text = FLEET_VERSION },
        };

        return dump_encode(&(Dump){ .machine = daemon->identity->machine,
                                    .units = units,
                                    .n_units = n_units,
                                    .values = values,
                                    .n_values = ELEMENTSOF(values) },
                           out);
}

void daemon_on_dump(void *userdata) {
        Daemon *daemon = userdata;
        _cleanup_(freep) DumpUnit *units = NULL;
        Buf text = buf_make(DUMP_MAX_BYTES);
        size_t n_units;
        int r;

        if (daemon->is_closing)
                return;

        r = agent_dump(daemon->agent, &units, &n_units);
        if (r == 0)
                r = append_dump(daemon, units, n_units, &text);
        if (r == 0)
                r = buf_append_string(&text, "\n");
        if (r == 0)
                r = output_write(&daemon->output, daemon->loop, STDOUT_FILENO, &text);
        buf_done(&text);
        if (r == -EBUSY)
                log_line(LOG_NOTICE, "The last dump of the state is still being written; there is "
                                     "no other meanwhile");
        else if (r < 0)
                log_line(LOG_WARNING, "Cannot write the state to standard output: %s",
                         strerror(-r));
}

void daemon_start_status(Daemon *daemon) {
        daemon->was_busy = true;
        daemon->window_us = loop_now_us(daemon->loop);
        daemon->status.prepare = on_status;
        loop_hook_add(daemon->loop, &daemon->status);
        daemon->settled.fn = on_settled;
        timer_set_in(daemon->loop, &daemon->settled, STATUS_SETTLED_US);
}
