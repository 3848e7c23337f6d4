/* SPDX-License-Identifier: Apache-2.0 */

/* The wiring: makes the parts, tells each what concerns it of the others, and takes them down
 * again. The only place that names a concrete store and a concrete host, and the only one that
 * knows agent, engine and API at once.
 *
 *     presence --on_up/on_down--> agent, engine        (the lease to work on)
 *     presence, store connection --> API               (available or 503)
 *     all of them --> status hook --> service manager  (STATUS=)
 *
 * The presence begins when the store is first reached, and not before: a machine that boots may
 * have no address until then.
 *
 * The end: SIGTERM closes the sockets, then API, agent and engine side by side (the engine gives up
 * its leader record, so that another leads at once), then presence and store. The lease is not
 * revoked and no unit is touched: a daemon that is started again goes on with both. All of it has
 * DAEMON_END_US; what has not answered by then is left to the lease.
 */

#include "fleetd/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/presence.h"
#include "api/api.h"
#include "engine/engine.h"
#include "fleetd/listen.h"
#include "fleetd/memory.h"
#include "fleetd/metrics.h"
#include "fleetd/notify.h"
#include "lib/base/log.h"
#include "lib/base/strlist.h"
#include "lib/host/host-systemd.h"
#include "lib/http/http-server.h"
#include "lib/registry/follow.h"
#include "lib/registry/registry.h"
#include "lib/store/store-etcd.h"

enum {
        /* From the signal to the end at the latest: under 2 s. Without the store there is nobody to
           wait for. */
        DAEMON_END_US = 1800 * US_PER_MS,
        DAEMON_END_CUT_OFF_US = 300 * US_PER_MS,

        /* How long the store may be out of reach at the start before that is logged. */
        DAEMON_PATIENCE_US = 3000 * US_PER_MS,

        /* A window with fewer turns of the loop is rest: heartbeats at the shortest ttl take half
           of them. */
        DAEMON_WINDOW_US = 10000 * US_PER_MS,
        DAEMON_REST_TURNS = 200,

        /* A body of several unit files; what the records of a request may take in the store is less
           (docs/api.md). */
        HTTP_BODY_MAX_BYTES = 4 * 1024 * 1024,
        HTTP_HEADER_MAX_BYTES = 64 * 1024,
        HTTP_CONNECTIONS_MAX = 512, /* waits hold one each */
        HTTP_IDLE_TIMEOUT_S = 60,   /* four times the beat of a wait's reply */
        HTTP_REQUEST_TIMEOUT_S = 60,
        HTTP_REPLY_TIMEOUT_S = 300, /* tens of megabytes over a slow tunnel */
};

/* What the service manager is told that we do; the texts are in phase_texts. */
typedef enum DaemonPhase {
        PHASE_NONE,
        PHASE_WAITING,
        PHASE_JOINING,
        PHASE_MEMBER,
        PHASE_LEADER,
        PHASE_CUT_OFF,
} DaemonPhase;

static const char *const phase_texts[] = {
        [PHASE_WAITING] = "Waiting for etcd; units run, the API answers 503",
        [PHASE_JOINING] = "Connected to etcd, joining the cluster",
        [PHASE_MEMBER] = "Member of the cluster",
        [PHASE_LEADER] = "Member of the cluster, leading it",
        [PHASE_CUT_OFF] = "Lost etcd, trying to reach it again; units run, the API answers 503",
};

typedef struct Daemon {
        const Config *config;     /* borrowed */
        const Identity *identity; /* borrowed */
        const Runtime *runtime;   /* borrowed */

        Loop *loop; /* owned, as is all that follows; NULL while not made */
        Store *store;
        Registry *registry;
        Host *host;
        HttpServer *http;
        Api *api;
        Agent *agent;
        Engine *engine;
        Presence *presence;
        StoreListener connection;
        void *signals[3];
        Notify notify;

        LoopHook status;     /* compares `phase` with what is */
        LoopTimer patience;  /* set until the store was first reached */
        LoopTimer deadline;  /* set while closing */
        StrList troubles;    /* why etcd cannot be reached, as far as it is not logged yet */
        char trouble[512];   /* the last of all; empty while it can be */
        bool is_trouble_new; /* not told to the service manager yet */
        DaemonPhase phase;   /* told last */
        uint64_t started_us; /* env_wall_us() */
        uint64_t window_us;  /* when the turns began to be counted */
        unsigned n_turns;    /* since then */
        unsigned n_closing;  /* parts that have not said that they are closed */
        int exit_code;
        bool was_connected; /* ever */
        bool was_busy;      /* in the window before */
        bool is_closing;
        bool is_closed; /* everything said so: it can be freed */
} Daemon;

static void daemon_close(Daemon *daemon, int exit_code);

/* Membership */

static void update_available(Daemon *daemon) {
        api_set_available(daemon->api, store_is_connected(daemon->store) && daemon->presence &&
                                               presence_lease(daemon->presence) != 0);
}

static void on_up(int64_t lease, void *userdata) {
        Daemon *daemon = userdata;

        if (daemon->is_closing)
                return;
        agent_set_lease(daemon->agent, lease);
        engine_set_lease(daemon->engine, lease);
        update_available(daemon);
}

static void on_down(void *userdata) {
        Daemon *daemon = userdata;

        if (daemon->is_closing)
                return;
        agent_set_lease(daemon->agent, 0);
        engine_set_lease(daemon->engine, 0);
        update_available(daemon);
}

/* The configured address, or else the one that is found. NULL when there is none, which is logged;
 * the caller frees. */
static char *choose_address(const Config *config) {
        char *address = NULL;
        int r;

        if (*config->public_ip)
                return strdup(config->public_ip);

        r = default_address(&address);
        if (r < 0)
                log_line(LOG_WARNING, "This machine has no global IPv4 address on the interface of "
                                      "its default route; "
                                      "others will not know how to reach it. Set public_ip, or "
                                      "start fleet after the network");
        return address;
}

static int join(Daemon *daemon) {
        _cleanup_(freep) char *address = choose_address(daemon->config);
        char version[] = FLEET_VERSION;
        const MachineRecord record = {
                .address = address,
                .hostname = daemon->identity->hostname,
                .version = version,
                .boot_id = daemon->identity->boot_id,
                .metadata = daemon->config->metadata,
        };
        const PresenceOptions options = {
                .machine = daemon->identity->machine,
                .record = &record,
                .ttl_us = daemon->config->agent_ttl_us,
                .lease_path = daemon->runtime->lease_path,
        };
        const PresenceListener listener = { .on_up = on_up,
                                            .on_down = on_down,
                                            .userdata = daemon };

        return presence_new(&daemon->presence, daemon->registry, &options, &listener);
}

/* The store */

/* Has the service manager told why etcd cannot be reached; "" when it can be. */
static void note_trouble(Daemon *daemon, const char *why) {
        (void)snprintf(daemon->trouble, sizeof(daemon->trouble), "%s", why);
        daemon->is_trouble_new = true;
}

static void on_connection(StoreListener *listener, bool is_connected, const char *detail) {
        Daemon *daemon = container_of(listener, Daemon, connection);

        if (daemon->is_closing)
                return;

        if (is_connected)
                log_line(LOG_NOTICE, "Connected to etcd: %s", detail ? detail : "");
        else if (daemon->was_connected)
                log_line(LOG_WARNING,
                         "Lost etcd (%s); units keep running, the API answers 503 until it is back",
                         detail ? detail : "");

        if (is_connected && !daemon->presence && join(daemon) < 0) {
                log_line(LOG_ERR, "Cannot join the cluster: %s", strerror(ENOMEM));
                daemon_close(daemon, DAEMON_EXIT_AGAIN);
                return;
        }
        if (is_connected) {
                daemon->was_connected = true;
                timer_clear(&daemon->patience);
        }
        strlist_done(&daemon->troubles);
        note_trouble(daemon, is_connected || !detail ? "" : detail);
        update_available(daemon);
}

/* Told once for each endpoint and cause; in the first moments etcd may be starting, too. */
static void on_trouble(StoreListener *listener, const char *why) {
        Daemon *daemon = container_of(listener, Daemon, connection);

        if (daemon->is_closing)
                return;

        note_trouble(daemon, why);
        if (daemon->was_connected || !timer_is_set(&daemon->patience) ||
            strlist_add(&daemon->troubles, why) < 0)
                log_line(LOG_WARNING, "etcd cannot be used: %s", why);
}

static void on_patience(LoopTimer *timer) {
        Daemon *daemon = container_of(timer, Daemon, patience);

        log_line(LOG_WARNING,
                 "etcd cannot be reached yet (%s%s); units run, the API answers 503. Still trying",
                 daemon->config->etcd_servers.items[0],
                 daemon->config->etcd_servers.n_items > 1 ? " and others" : "");
        for (size_t i = 0; i < daemon->troubles.n_items; i++)
                log_line(LOG_WARNING, "etcd cannot be used: %s", daemon->troubles.items[i]);
        strlist_done(&daemon->troubles);
}

static void on_bad_record(const char *key, const char *why, void *userdata) {
        (void)userdata;
        log_line(LOG_WARNING, "The record %s in the store cannot be read and is skipped: %s", key,
                 why);
}

/* Status */

static DaemonPhase daemon_phase(const Daemon *daemon) {
        if (!store_is_connected(daemon->store))
                return daemon->was_connected ? PHASE_CUT_OFF : PHASE_WAITING;
        if (!daemon->presence || presence_lease(daemon->presence) == 0)
                return PHASE_JOINING;
        return engine_is_leading(daemon->engine) ? PHASE_LEADER : PHASE_MEMBER;
}

/* Give memory back when there is rest after work, the work of the start included. It looks only
 * when the loop is awake anyway. */
static void note_turn(Daemon *daemon) {
        uint64_t now_us = loop_now_us(daemon->loop);
        bool is_busy;

        daemon->n_turns++;
        if (now_us - daemon->window_us < DAEMON_WINDOW_US)
                return;

        is_busy = daemon->n_turns > DAEMON_REST_TURNS;
        if (daemon->was_busy && !is_busy)
                memory_release();
        daemon->was_busy = is_busy;
        daemon->window_us = now_us;
        daemon->n_turns = 0;
}

static void on_status(LoopHook *hook) {
        Daemon *daemon = container_of(hook, Daemon, status);
        DaemonPhase phase = daemon_phase(daemon);
        bool shows_trouble = *daemon->trouble && phase != PHASE_MEMBER && phase != PHASE_LEADER;
        char text[sizeof(daemon->trouble) + 128];

        note_turn(daemon);
        if (phase == daemon->phase && !daemon->is_trouble_new)
                return;

        daemon->phase = phase;
        daemon->is_trouble_new = false;
        (void)snprintf(text, sizeof(text), "%s%s%s", phase_texts[phase], shows_trouble ? ": " : "",
                       shows_trouble ? daemon->trouble : "");
        notify_status(text);
}

static int on_metrics(Buf *out, void *userdata) {
        const Daemon *daemon = userdata;
        const MetricsSources sources = { .agent = daemon->agent,
                                         .engine = daemon->engine,
                                         .http = daemon->http,
                                         .started_us = daemon->started_us };

        return daemon_metrics_append(&sources, out);
}

/* The end */

static void on_store_closed(Store *store, void *userdata) {
        Daemon *daemon = userdata;

        (void)store;
        daemon->is_closed = true;
        loop_exit(daemon->loop, daemon->exit_code);
}

static void on_part_closed(Daemon *daemon) {
        if (--daemon->n_closing > 0)
                return;

        if (daemon->presence)
                presence_stop(daemon->presence);
        store_close(daemon->store, on_store_closed, daemon);
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

        log_line(LOG_NOTICE,
                 "Ending without the last answers from etcd or systemd; units keep running");
        loop_exit(daemon->loop, daemon->exit_code);
}

/* Take the parts down, in the order that the head of this file gives. */
static void daemon_close(Daemon *daemon, int exit_code) {
        if (daemon->is_closing)
                return;

        daemon->is_closing = true;
        daemon->exit_code = exit_code;
        notify_stopping();
        loop_hook_remove(&daemon->status);
        timer_clear(&daemon->patience);
        if (timer_set_in(daemon->loop, &daemon->deadline,
                         store_is_connected(daemon->store) ? DAEMON_END_US
                                                           : DAEMON_END_CUT_OFF_US) < 0) {
                loop_exit(daemon->loop, exit_code);
                return;
        }

        daemon->http = http_server_free(daemon->http);
        daemon->n_closing = 3;
        api_close(TAKE(daemon->api), on_api_closed, daemon);
        agent_close(daemon->agent, on_agent_closed, daemon);
        engine_close(daemon->engine, on_engine_closed, daemon);
}

static void on_end_signal(void *userdata) {
        log_line(LOG_INFO, "Ending as told; units keep running");
        daemon_close(userdata, EXIT_SUCCESS);
}

static void on_reload_signal(void *userdata) {
        (void)userdata;
        log_line(LOG_NOTICE, "The configuration is read at the start only. Restart fleet to read "
                             "it again: no unit is touched by that");
}

/* The start */

static int make_store(Daemon *daemon) {
        const Config *config = daemon->config;
        const StoreEtcdOptions options = {
                .endpoints = &config->etcd_servers,
                .username = *config->etcd_username ? config->etcd_username : NULL,
                .password = *config->etcd_password ? config->etcd_password : NULL,
                .ca_path = *config->etcd_cafile ? config->etcd_cafile : NULL,
                .cert_path = *config->etcd_certfile ? config->etcd_certfile : NULL,
                .key_path = *config->etcd_keyfile ? config->etcd_keyfile : NULL,
        };
        Diag diag = { 0 };
        int r;

        r = store_etcd_new(&daemon->store, daemon->loop, &options, &diag);
        if (r < 0) {
                if (diag.message[0])
                        log_line(LOG_ERR, "%s", diag.message);
                return r;
        }
        daemon->connection.on_trouble = on_trouble;
        store_listen(daemon->store, &daemon->connection, on_connection);

        r = registry_new(&daemon->registry, daemon->store, daemon->loop, config->etcd_key_prefix);
        if (r < 0)
                return r;
        registry_set_bad_record_fn(daemon->registry, on_bad_record, daemon);
        return 0;
}

static int make_http(Daemon *daemon) {
        const HttpLimits limits = {
                .max_header_bytes = HTTP_HEADER_MAX_BYTES,
                .max_body_bytes = HTTP_BODY_MAX_BYTES,
                .max_connections = HTTP_CONNECTIONS_MAX,
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
                .bus_fd = -1,
        };
        const AgentOptions agent_options = { .machine = daemon->identity->machine };
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
        } rows[] = { { SIGTERM, on_end_signal },
                     { SIGINT, on_end_signal },
                     { SIGHUP, on_reload_signal } };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                daemon->signals[i] = loop_signal_new(daemon->loop, rows[i].number, rows[i].fn,
                                                     daemon);
                if (!daemon->signals[i])
                        return -ENOMEM;
        }

        /* A request for a dump of the state (contract section 8) is not served yet; it must not end
         * the daemon. */
        (void)signal(SIGUSR1, SIG_IGN);
        return 0;
}

/* Everything that is closed rather than freed once it was made. */
static int daemon_start(Daemon *daemon) {
        const EngineOptions engine_options = { .machine = daemon->identity->machine,
                                               .is_disabled = daemon->config->disable_engine };
        const ApiOptions api_options = {
                .token_limit = daemon->config->token_limit,
                .metrics = on_metrics,
                .metrics_userdata = daemon,
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

        daemon->was_busy = true;
        daemon->window_us = loop_now_us(daemon->loop);
        daemon->status.prepare = on_status;
        loop_hook_add(daemon->loop, &daemon->status);
        daemon->patience.fn = on_patience;
        r = timer_set_in(daemon->loop, &daemon->patience, DAEMON_PATIENCE_US);
        if (r < 0)
                return r;
        return notify_start(&daemon->notify, daemon->loop);
}

static void daemon_done(Daemon *daemon) {
        notify_stop(&daemon->notify);
        timer_clear(&daemon->deadline);
        for (size_t i = 0; i < ELEMENTSOF(daemon->signals); i++)
                loop_signal_free(daemon->signals[i]);
        presence_free(daemon->presence);
        agent_free(daemon->agent);
        engine_free(daemon->engine);
        host_free(daemon->host);
        store_unlisten(&daemon->connection);
        registry_free(daemon->registry);
        store_free(daemon->store);
        loop_free(daemon->loop);
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

int daemon_run(const Config *config, const Identity *identity, const Runtime *runtime) {
        Daemon daemon = { .config = config, .identity = identity, .runtime = runtime };
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
