/* SPDX-License-Identifier: Apache-2.0 */

/* The wiring: makes the parts, tells each what concerns it of the others, and takes them down
 * again. The only place that names a concrete host, and the only one that knows agent, engine and
 * API at once; daemon-store.c names the concrete stores.
 *
 *     presence --on_up/on_down--> agent, engine        (the lease to work on)
 *     presence, store connection --> API               (available or 503)
 *     all of them --> status hook --> service manager  (STATUS=)
 *
 * The end, after what daemon-leave.c does before: closes the sockets, then API, agent and engine
 * side by side (the engine gives up its leader record, so that another leads at once), then presence
 * and store. Unless this machine has left the cluster, the lease is not revoked and no unit is
 * touched: a daemon that is started again goes on with both. All of it has DAEMON_END_US; what has
 * not answered by then is left to the lease.
 */

#include "fleetd/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fleetd/daemon-private.h"
#include "fleetd/listen.h"
#include "lib/base/log.h"
#include "lib/host/host-systemd.h"
#include "lib/registry/registry.h"

enum {
        /* From the signal to the end at the latest: under 2 s. Without the store there is nobody to
           wait for. */
        DAEMON_END_US = 1800 * US_PER_MS,
        DAEMON_END_CUT_OFF_US = 300 * US_PER_MS,

        /* A body of several unit files; what the records of a request may take in the store is less
           (docs/api.md). */
        HTTP_BODY_MAX_BYTES = 4 * 1024 * 1024,
        HTTP_HEADER_MAX_BYTES = 64 * 1024,
        HTTP_CONNECTIONS_MAX = 512, /* waits hold one each */
        HTTP_OUTPUT_MAX_BYTES = 64 * 1024 * 1024,
        HTTP_INPUT_MAX_BYTES = 64 * 1024 * 1024,
        HTTP_IDLE_TIMEOUT_S = 60, /* four times the beat of a wait's reply */
        HTTP_REQUEST_TIMEOUT_S = 60,
        HTTP_REPLY_TIMEOUT_S = 300, /* tens of megabytes over a slow tunnel */

        /* Descriptors that clients leave to us: etcd, systemd, unit files, the listening sockets. */
        DAEMON_DESCRIPTORS = 32,
};

/* The end */

static void on_store_closed(Store *store, void *userdata) {
        Daemon *daemon = userdata;

        (void)store;
        daemon->is_closed = true;
        loop_exit(daemon->loop, daemon->exit_code);
}

static void on_presence_left(void *userdata) {
        daemon_close_store(userdata, on_store_closed);
}

static void on_part_closed(Daemon *daemon) {
        if (--daemon->n_closing > 0)
                return;

        if (daemon->checkup)
                checkup_stop(daemon->checkup);
        if (daemon->presence && daemon->leave == LEAVE_DONE) {
                presence_leave(daemon->presence, on_presence_left, daemon);
                return;
        }
        if (daemon->presence)
                presence_stop(daemon->presence);
        daemon_close_store(daemon, on_store_closed);
}

static void on_api_closed(void *userdata) {
        on_part_closed(userdata);
}

static void on_agent_closed(Agent *agent, void *userdata) {
        (void)agent;
        on_part_closed(userdata);
}

static void on_engine_closed(Engine *engine, void *userdata) {
        (void)engine;
        on_part_closed(userdata);
}

static void on_deadline(LoopTimer *timer) {
        Daemon *daemon = container_of(timer, Daemon, deadline);

        log_line(LOG_NOTICE, "Ending without the last answers from %s or systemd%s",
                 daemon->store_name, daemon->leave == LEAVE_DONE ? "" : "; units keep running");
        loop_exit(daemon->loop, daemon->exit_code);
}

/* Take the parts down, in the order that the head of this file gives. */
void daemon_close(Daemon *daemon, int exit_code) {
        if (daemon->is_closing)
                return;

        daemon->is_closing = true;
        daemon->exit_code = exit_code;
        notify_stopping(daemon->leave == LEAVE_DONE);
        loop_hook_remove(&daemon->status);
        timer_clear(&daemon->patience);
        timer_clear(&daemon->settled);
        timer_set_in(daemon->loop, &daemon->deadline,
                     store_is_connected(daemon->store) ? DAEMON_END_US : DAEMON_END_CUT_OFF_US);

        daemon->http = http_server_free(daemon->http);
        daemon->n_closing = 3;
        api_close(TAKE(daemon->api), on_api_closed, daemon);
        agent_close(daemon->agent, on_agent_closed, daemon);
        engine_close(daemon->engine, on_engine_closed, daemon);
}

/* The start */

static void on_bad_record(const char *key, const char *why, void *userdata) {
        (void)userdata;
        log_line(LOG_WARNING, "The record %s in the store cannot be read and is skipped: %s", key,
                 why);
}

static int make_store(Daemon *daemon) {
        const Config *config = daemon->config;
        int r;

        r = daemon_make_store(daemon);
        if (r < 0)
                return r;

        r = registry_new(&daemon->registry, daemon->store, daemon->loop, config->etcd_key_prefix);
        if (r < 0)
                return r;
        registry_set_bad_record_fn(daemon->registry, on_bad_record, daemon);
        return 0;
}

/* So many clients at a time that we are never short of descriptors for our own work. */
static unsigned connections_max(const Daemon *daemon) {
        unsigned n_ours = DAEMON_DESCRIPTORS + (daemon->serve ? SERVE_CONNECTIONS_MAX : 0);
        struct rlimit limit;
        unsigned n;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= n_ours + HTTP_CONNECTIONS_MAX)
                return HTTP_CONNECTIONS_MAX;

        n = limit.rlim_cur > n_ours ? (unsigned)limit.rlim_cur - n_ours : 1;
        log_line(LOG_NOTICE, "The API serves %u clients at a time, since LimitNOFILE is %llu", n,
                 (unsigned long long)limit.rlim_cur);
        return n;
}

static int make_http(Daemon *daemon) {
        const HttpLimits limits = {
                .max_header_bytes = HTTP_HEADER_MAX_BYTES,
                .max_body_bytes = HTTP_BODY_MAX_BYTES,
                .max_connections = connections_max(daemon),
                .max_output_bytes = HTTP_OUTPUT_MAX_BYTES,
                .max_input_bytes = HTTP_INPUT_MAX_BYTES,
                .idle_timeout_s = HTTP_IDLE_TIMEOUT_S,
                .request_timeout_s = HTTP_REQUEST_TIMEOUT_S,
                .reply_timeout_s = HTTP_REPLY_TIMEOUT_S,
        };
        int r;

        r = http_server_new(&daemon->http, daemon->loop, "fleetd/" FLEET_VERSION, &limits,
                            api_handle, daemon->api);
        if (r < 0)
                return r;

        r = listen_inherited(daemon->http);
        if (r == 0)
                log_line(LOG_NOTICE, "No socket was passed, so there is no API here; systemctl "
                                     "start fleet.socket passes one");
        return r < 0 ? r : 0;
}

/* Everything that takes no part in the loop yet: on failure it can be freed at once. */
static int daemon_make(Daemon *daemon) {
        const Config *config = daemon->config;
        const HostSystemdOptions host_options = {
                .units_directory = config->units_directory,
                .use_user_manager = config->systemd_user,
                .guard_path = daemon->runtime->guard_path,
                .bus_fd = -1,
        };
        const AgentOptions agent_options = {
                .machine = daemon->identity->machine,
                .earlier_lease = presence_earlier_lease(daemon->runtime->lease_path),
        };
        int r;

        daemon->started_us = env_wall_us(env_system());
        r = loop_new(&daemon->loop, env_system());
        if (r < 0)
                return r;
        r = make_store(daemon);
        if (r < 0)
                return r;
        r = host_systemd_new(&daemon->host, daemon->loop, &host_options);
        if (r < 0)
                return r;
        return agent_new(&daemon->agent, daemon->registry, daemon->host, &agent_options);
}

static int watch_signals(Daemon *daemon) {
        static const struct {
                int number;
                void (*fn)(void *userdata);
        } rows[] = { { SIGTERM, daemon_on_end },
                     { SIGINT, daemon_on_end },
                     { SIGHUP, daemon_on_reload },
                     { SIGUSR1, daemon_on_dump } };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                daemon->signals[i] = loop_signal_new(daemon->loop, rows[i].number, rows[i].fn,
                                                     daemon);
                if (!daemon->signals[i])
                        return -ENOMEM;
        }
        return 0;
}

/* Everything that is closed rather than freed once it was made. */
static int daemon_start(Daemon *daemon) {
        const EngineOptions engine_options = { .machine = daemon->identity->machine,
                                               .is_disabled = daemon->config->disable_engine,
                                               .eviction_limit = daemon->config->eviction_limit,
                                               .ttl_us = daemon->config->agent_ttl_us };
        const ApiOptions api_options = {
                .token_limit = daemon->config->token_limit,
                .metrics = daemon_on_metrics,
                .metrics_userdata = daemon,
                .machine = daemon->identity->machine,
                .report = daemon_report,
                .report_userdata = daemon,
        };
        int r;

        r = engine_new(&daemon->engine, daemon->registry, &engine_options);
        if (r < 0)
                return r;
        r = api_new(&daemon->api, daemon->registry, &api_options);
        if (r < 0)
                return r;
        r = make_http(daemon);
        if (r < 0)
                return r;
        r = agent_start(daemon->agent);
        if (r < 0)
                return r;

        daemon_apply(daemon, daemon->config);
        daemon_start_status(daemon);
        daemon_start_member(daemon);
        r = daemon_start_checkup(daemon);
        if (r < 0)
                return r;
        notify_start(&daemon->notify, daemon->loop);
        return 0;
}

static void daemon_done(Daemon *daemon) {
        notify_stop(&daemon->notify);
        timer_clear(&daemon->deadline);
        timer_clear(&daemon->leave_beat);
        for (size_t i = 0; i < ELEMENTSOF(daemon->signals); i++)
                loop_signal_free(daemon->signals[i]);
        presence_free(daemon->presence);
        checkup_free(daemon->checkup);
        agent_free(daemon->agent);
        engine_free(daemon->engine);
        host_free(daemon->host);
        store_unlisten(&daemon->connection);
        registry_free(daemon->registry);
        daemon_free_store(daemon);
        output_done(&daemon->output);
        loop_free(daemon->loop);
        free(daemon->address);
        strlist_done(&daemon->troubles);
}

/* Run what was made, up to its end. */
static int daemon_serve(Daemon *daemon) {
        int r;

        daemon->deadline.fn = on_deadline;
        r = daemon_start(daemon);
        if (r < 0) {
                log_line(LOG_ERR, "Cannot start: %s", strerror(-r));
                return DAEMON_EXIT_AGAIN;
        }

        log_about(LOG_NOTICE, &(LogSubject){ .machine = daemon->identity->machine },
                  "fleetd " FLEET_VERSION " runs as machine %s", daemon->identity->machine);
        notify_ready();
        r = loop_run(daemon->loop);
        if (r < 0)
                log_line(LOG_ERR, "The event loop failed: %s", strerror(-r));
        return r < 0 ? DAEMON_EXIT_AGAIN : r;
}

int daemon_run(Config *config, const char *config_path, const Identity *identity,
               const Runtime *runtime) {
        Daemon daemon = { .config = config,
                          .config_path = config_path,
                          .identity = identity,
                          .runtime = runtime };
        int code, r;

        r = daemon_make(&daemon);
        if (r == 0)
                r = watch_signals(&daemon);
        if (r < 0) {
                log_line(LOG_ERR, "Cannot start: %s", strerror(-r));
                daemon_done(&daemon);
                return DAEMON_EXIT_AGAIN;
        }

        code = daemon_serve(&daemon);
        if (daemon.is_closed)
                daemon_done(&daemon);
        else
                _exit(code); /* parts of it are still at work: there is no order in which their
                                memory could be freed */
        return code;
}
