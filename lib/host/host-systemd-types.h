/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the host over systemd, its units and its operations consist of; only host-systemd*.c include
 * this, through host-systemd-private.h. */

#include <systemd/sd-bus.h>

#include "lib/base/buf.h"
#include "lib/host/directory-watch.h"
#include "lib/host/host-backend.h"
#include "lib/host/host-systemd.h"
#include "lib/host/intern.h"
#include "lib/host/unit-directory.h"
#include "lib/loop/bus-glue.h"

/* org.freedesktop.systemd1(5) */
static const char systemd_service[] = "org.freedesktop.systemd1";
static const char systemd_path[] = "/org/freedesktop/systemd1";
static const char systemd_unit_path[] = "/org/freedesktop/systemd1/unit";
static const char systemd_manager_interface[] = "org.freedesktop.systemd1.Manager";
static const char systemd_unit_interface[] = "org.freedesktop.systemd1.Unit";

enum {
        SYSTEMD_CALLS_MAX = 96,     /* single calls in flight; dbus-daemon(1) refuses over 128 */
        SYSTEMD_BUS_JOBS_MAX = 256, /* jobs at a time over a message bus; see host-systemd-job.c */
        SYSTEMD_BATCH_MAX = 512,    /* operations, or units, that share one call */
        SYSTEMD_EARLY_JOBS = 4,     /* results of a unit's jobs kept until a reply names its job */

        /* While it reloads, systemd answers nobody: 45 s with 5,000 units (measured on 252). A call
         * may wait for one reload, and a reload for another. */
        SYSTEMD_CALL_TIMEOUT_US = 90 * US_PER_S,
        SYSTEMD_RELOAD_TIMEOUT_US = 300 * US_PER_S,
        SYSTEMD_END_TIMEOUT_US = US_PER_S, /* of each of the three calls about our end */

        SYSTEMD_RETRY_MIN_US = 100 * US_PER_MS, /* back-off of connecting */
        SYSTEMD_RETRY_MAX_US = 2 * US_PER_S,
};

typedef struct HostSystemd HostSystemd;
typedef struct SystemdOp SystemdOp;

/* The state of the connection. */
typedef enum SystemdLink {
        SYSTEMD_LINK_DOWN,      /* none, and a timer to try again */
        SYSTEMD_LINK_OPENING,   /* Subscribe is under way */
        SYSTEMD_LINK_RELOADING, /* making up for a reload that an earlier daemon owed */
        SYSTEMD_LINK_SYNCING,   /* reading the states */
        SYSTEMD_LINK_HEALING,   /* linking files that systemd does not find */
        SYSTEMD_LINK_RESYNCING, /* reading the states of those */
        SYSTEMD_LINK_READY,
} SystemdLink;

/* The calls that many operations share. */
typedef enum SystemdStageId {
        SYSTEMD_STAGE_DISABLE, /* DisableUnitFiles */
        SYSTEMD_STAGE_LINK,    /* LinkUnitFiles */
        SYSTEMD_STAGE_ENABLE,  /* EnableUnitFiles */
        SYSTEMD_STAGE_RELOAD,  /* Reload */
        _SYSTEMD_STAGE_MAX,
} SystemdStageId;

/* One of them: what waits for the next call, and the call in flight. */
typedef struct SystemdStage {
        HostSystemd *host; /* borrowed */
        List pending;      /* SystemdOp.node */
        List running;      /* SystemdOp.node; those that the call in flight is about */
        sd_bus_slot *slot; /* owned; the call in flight, or NULL */
        size_t n_sent;     /* how many the call in flight was made for */
        uint64_t covers;   /* HostSystemd.n_changes when it was made */
} SystemdStage;

/* A job that ended before anybody knew whose it was. */
typedef struct SystemdEarlyJob {
        uint32_t id;        /* 0 = none */
        const char *result; /* interned */
} SystemdEarlyJob;

/* What a failed unit says of itself (org.freedesktop.systemd1.Service). */
typedef struct SystemdFailure {
        const char *job_result; /* interned; how the job ended */
        const char *result;     /* interned; Result, or NULL */
        int32_t exec_code;      /* ExecMainCode, a CLD_* of waitid(2) */
        int32_t exec_status;    /* ExecMainStatus: exit status or signal */
} SystemdFailure;

/* An operation on systemd. */
struct SystemdOp {
        HostOp base;
        ListNode node;              /* in a stage, or waiting to call */
        sd_bus_slot *slot;          /* owned; its own call in flight, or NULL */
        int (*send)(SystemdOp *op); /* the call that it waits to make */
        HashNode job;               /* among the host's jobs, by job_key */
        char job_key[12];           /* the number of the job, decimal; empty while none is known */
        bool has_job_credit;        /* counts among the host's jobs */
        bool is_job_asked;          /* a reply will name the job */
        SystemdEarlyJob early[SYSTEMD_EARLY_JOBS];
        unsigned n_early; /* how many were put there so far; the oldest is replaced */
        SystemdFailure failure;
        char *old_text;     /* owned; the file that the load replaces, or NULL */
        size_t n_old_bytes; /* of old_text */
        bool has_install;   /* the new file has [Install] */
        bool had_install;   /* the replaced file has [Install] */
        bool is_changing;   /* the file is not there yet, or another */
        bool is_written;    /* the file was written by this operation */
        bool is_probing;    /* asking whether systemd has the unit loaded */
        bool was_known;     /* systemd had the unit in memory before */
        bool is_verifying;  /* waiting for the state of its unit */
        bool has_reloaded;  /* took part in a reload */
        bool needs_reload;  /* systemd has something else loaded under this name */
        bool is_alone;      /* a call that it shared failed: no sharing any more */
};

/* A unit on systemd. */
typedef struct SystemdUnit {
        HostEntry base;
        ListNode refresh;      /* among those whose states are wanted, or being read */
        bool is_refresh_alone; /* a reading that it shared failed */
        bool is_healed;        /* it was linked again on this connection, or could not be */
        /* HostSystemd.n_changes when its file was changed under what systemd has loaded; 0 = it was
         * not. */
        uint64_t changed_at;
} SystemdUnit;

/* The host. */
struct HostSystemd {
        Host base;               /* the front-end's part */
        UnitDirectory directory; /* the unit files */
        DirectoryWatch files;    /* tells when somebody changes them */
        char *link_directory;    /* owned; where systemd keeps its links of this run, or NULL */
        char *guard_path;        /* owned; or NULL */
        bool use_user_manager;
        int given_fd;  /* owned; -1 once it is used */
        bool is_given; /* the connection was given: there is no other */
        Intern intern; /* states and results */

        SystemdLink link; /* the state of the connection */
        bool is_adopted;  /* the units that were found have been told */
        bool heals_alone; /* files that shared a call were not linked: one by one */
        sd_bus *bus;      /* owned; NULL while down */
        BusGlue glue;
        bool is_bus;            /* `bus` leads over a message bus */
        sd_bus_slot *link_slot; /* owned; the call of the connection itself in flight, or NULL */
        unsigned candidate;     /* which way to reach systemd is next */
        unsigned n_attempts;    /* since it was last reached */
        LoopTimer retry;        /* connects again, later */
        LoopDeferred relink;    /* connects, or lets go of a useless connection */

        LoopDeferred ask_end;  /* sends the next call about the end of this process */
        sd_bus_slot *end_slot; /* owned; that call in flight, or NULL */
        char *end_path;        /* owned; the object that it is about, or NULL */
        unsigned end_step;     /* which call that is */
        bool is_end_asked;     /* somebody waits for the answer */

        LoopDeferred flush; /* sends what waits */
        SystemdStage stages[_SYSTEMD_STAGE_MAX];
        List calls;                /* SystemdOp.node, waiting to call */
        unsigned n_calls;          /* single calls in flight */
        unsigned n_probing;        /* loads that will soon want to be linked */
        uint64_t n_changes;        /* how often a file was changed that needs a reload */
        HashMap jobs;              /* SystemdOp.job */
        unsigned n_jobs;           /* operations that want, or have, a job */
        List job_waiters;          /* SystemdOp.node; those that may not ask yet */
        List refresh_wanted;       /* SystemdUnit.refresh */
        List refresh_running;      /* SystemdUnit.refresh */
        size_t n_refreshing;       /* how many units the reading in flight was asked for */
        sd_bus_slot *refresh_slot; /* owned; the reading in flight, or NULL */
};

/* The host that carries out an operation, which has not ended. */
static inline HostSystemd *systemd_of_op(SystemdOp *op) {
        return container_of(op->base.request->host, HostSystemd, base);
}
