/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The daemon's object, shared by its files: daemon.c (the parts, start and end), daemon-member.c
 * (the connection to the store, and the membership), daemon-store.c (which store), daemon-checkup.c
 * (its part in a checkup), daemon-reload.c (another configuration), daemon-leave.c (the end, as far
 * as units have a part in it), daemon-status.c (what it tells of itself). */

#include "agent/agent.h"
#include "agent/checkup.h"
#include "agent/presence.h"
#include "api/api.h"
#include "engine/engine.h"
#include "fleetd/daemon.h"
#include "fleetd/notify.h"
#include "fleetd/output.h"
#include "lib/base/strlist.h"
#include "lib/http/http-server.h"
#include "lib/serve/serve.h"
#include "lib/store/store-sqlite.h"

typedef struct Daemon Daemon;

/* What the service manager is told that we do; the texts are in phase_texts. */
typedef enum DaemonPhase {
        PHASE_NONE,
        PHASE_WAITING,
        PHASE_JOINING,
        PHASE_MEMBER,
        PHASE_LEADER,
        PHASE_CUT_OFF,
        PHASE_CLOSED,
        PHASE_LEAVING,
} DaemonPhase;

/* How far the end has come; the stages are in daemon-leave.c. */
typedef enum DaemonLeave {
        LEAVE_NOT,
        LEAVE_ASKS,
        LEAVE_JOINS,
        LEAVE_HANDS_OVER,
        LEAVE_STOPS,
        LEAVE_DONE,
} DaemonLeave;

struct Daemon {
        Config *config;           /* borrowed; what is in force */
        const char *config_path;  /* borrowed; or NULL */
        const Identity *identity; /* borrowed */
        const Runtime *runtime;   /* borrowed */

        Loop *loop; /* owned, as is all that follows; NULL while not made */
        Store *store;
        SqliteStore *sqlite; /* what `store` is a client of; NULL with etcd */
        Serve *serve;        /* serves it to others, or NULL */
        void (*store_closed)(Store *store, void *userdata); /* see daemon_close_store() */
        const char *store_name; /* static: "etcd" or "the built-in store" */
        StrList found_servers;  /* of etcd, for when none is configured */
        Registry *registry;
        Host *host;
        HttpServer *http;
        Api *api;
        Agent *agent;
        Engine *engine;
        Presence *presence;
        Checkup *checkup;
        StoreListener connection;
        void *signals[4];
        Notify notify;
        Output output; /* dumps of the state, to standard output */

        char *address;           /* owned: by which we are known; NULL = none */
        uint64_t looked_us;      /* when it was looked for last */
        char endpoint[512];      /* of the connection to etcd, or why there is none */
        LoopHook status;         /* compares `phase` with what is */
        LoopTimer settled;       /* set until the work of the start is done */
        LoopTimer patience;      /* set until the store was first reached */
        LoopTimer deadline;      /* set while closing */
        LoopTimer leave_beat;    /* set since we were told to end, until we close */
        DaemonLeave leave;       /* how far that has come */
        uint64_t leave_until_us; /* when this stage has taken too long */
        uint64_t member_us;      /* when we were a member last, since then */
        uint64_t n_leaving_told; /* how many units were still here, as the service manager knows */
        StrList troubles;        /* why etcd cannot be reached, as far as it is not logged yet */
        char trouble[512];       /* the last of all; empty while it can be */
        char why_out[512];       /* scratch of daemon_report() */
        bool is_trouble_new;     /* not told to the service manager yet */
        DaemonPhase phase;       /* told last */
        uint64_t started_us;     /* env_wall_us() */
        uint64_t window_us;      /* when the turns began to be counted */
        unsigned n_turns;        /* since then */
        unsigned n_closing;      /* parts that have not said that they are closed */
        int exit_code;
        bool was_connected; /* ever */
        bool was_busy;      /* in the window before */
        bool is_closing;
        bool is_closed; /* everything said so: it can be freed */
};

/* Begin to end, with this exit code; does nothing a second time. */
void daemon_close(Daemon *daemon, int exit_code);

/* Decide which store it is, and make it. Returns 0 or a negative errno; logs. */
int daemon_make_store(Daemon *daemon);

/* Reach the store as another configuration says. Returns 0, or a negative errno with a message, and
 * then nothing changes. */
int daemon_configure_store(Daemon *daemon, const Config *next, Diag *diag);

/* The servers of etcd by a configuration: those that it names, or those that are found. Borrowed from
 * it or from the daemon. */
const StrList *daemon_servers(const Daemon *daemon, const Config *config);

/* Serve it no more, and close it; `closed` as in store_close(). */
void daemon_close_store(Daemon *daemon, void (*closed)(Store *store, void *userdata));

/* Free it. */
void daemon_free_store(Daemon *daemon);

/* Hear of the store, and join the cluster when it is first reached. */
void daemon_start_member(Daemon *daemon);

/* Be known to the cluster as the configuration says now. Returns 0, or a negative errno, and then
 * nothing changes. */
int daemon_update_member(Daemon *daemon);

/* Look, once a minute at most, whether the machine has another address by now. */
void daemon_look_around(Daemon *daemon);

/* SIGTERM's and SIGINT's handler: end; as a stop of the service has it, leave the cluster first. */
void daemon_on_end(void *userdata);

/* SIGHUP's handler: read the configuration again and put it in force, or keep the one that is. */
void daemon_on_reload(void *userdata);

/* Hand a configuration's settings to the parts that can take them in while they run; those of the
 * store and of the membership aside. */
void daemon_apply(Daemon *daemon, const Config *config);

/* Tell the service manager what we do from now on. */
void daemon_start_status(Daemon *daemon);

/* Take part in checkups of the cluster. Returns 0 or -ENOMEM. */
int daemon_start_checkup(Daemon *daemon);

/* How this daemon is (ApiReportFn). */
void daemon_report(ReportRecord *ret_report, void *userdata);

/* Append the numbers of /metrics (ApiMetricsFn). */
int daemon_on_metrics(Buf *out, void *userdata);

/* SIGUSR1's handler: the state as one line on standard output. */
void daemon_on_dump(void *userdata);
