/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The parts of the host over systemd; only host-systemd*.c include this. What a file of the family does is written at its head.
 *
 *   host-systemd.c          construction, connection, adoption
 *   host-systemd-signal.c   what systemd tells by itself
 *   host-systemd-call.c     calls of single operations, at most SYSTEMD_CALLS_MAX at a time
 *   host-systemd-stage.c    calls that many operations share
 *   host-systemd-refresh.c  reading the states of units
 *   host-systemd-load.c     loading and unloading
 *   host-systemd-job.c      starting and stopping
 *   host-systemd-why.c      the words for a failure
 *   unit-directory.c        the files
 */

#include <systemd/sd-bus.h>

#include "lib/base/buf.h"
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
        SYSTEMD_CALLS_MAX =
                96, /* single calls in flight; dbus-daemon(1) refuses more than 128 of a connection */
        SYSTEMD_BUS_JOBS_MAX = 256, /* jobs at a time over a message bus; see host-systemd-job.c */
        SYSTEMD_BATCH_MAX = 512,    /* operations, or units, that share one call */
        SYSTEMD_CALL_TIMEOUT_US =
                90 *
                US_PER_S, /* systemd answers nobody while it reloads: 45 s with 5,000 units (measured on 252) */
        SYSTEMD_RELOAD_TIMEOUT_US =
                300 * US_PER_S, /* waits for a reload that is under way, and lasts as long */
        SYSTEMD_RETRY_MIN_US = 100 * US_PER_MS, /* back-off of connecting */
        SYSTEMD_RETRY_MAX_US = 2 * US_PER_S,
        SYSTEMD_EARLY_JOBS =
                4, /* job results of a unit that are kept until a reply names its job */
};

typedef struct HostSystemd HostSystemd;
typedef struct SystemdOp SystemdOp;

/* The state of the connection. */
typedef enum SystemdLink {
        SYSTEMD_LINK_DOWN,    /* none, and a timer to try again */
        SYSTEMD_LINK_OPENING, /* Subscribe is under way */
        SYSTEMD_LINK_RELOADING, /* making up for a reload that an earlier daemon did not get to see done */
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
        uint64_t
                changed_at; /* HostSystemd.n_changes when its file was changed under what systemd has loaded; 0 = it was not */
} SystemdUnit;

struct HostSystemd {
        Host base;
        UnitDirectory directory;
        char *link_directory; /* owned; where systemd keeps its links of this run, or NULL */
        bool use_user_manager;
        int given_fd;  /* owned; -1 once it is used */
        bool is_given; /* the connection was given: there is no other */
        Intern intern; /* states and results */

        SystemdLink link;
        bool is_adopted; /* the units that were found have been told */
        sd_bus *bus;     /* owned; NULL while down */
        BusGlue glue;
        bool is_bus;            /* `bus` leads over a message bus */
        sd_bus_slot *link_slot; /* owned; the call of the connection itself in flight, or NULL */
        unsigned candidate;     /* which way to reach systemd is next */
        unsigned n_attempts;    /* since it was last reached */
        LoopTimer retry;        /* connects again, later */
        LoopDeferred relink;    /* connects, or lets go of a useless connection */

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

static inline HostSystemd *systemd_of_op(SystemdOp *op) {
        return container_of(op->base.request->host, HostSystemd, base);
}

/* host-systemd.c */

/* Make a call of the manager. Returns 0 or a negative errno. */
int systemd_manager_call(HostSystemd *host, const char *member, sd_bus_message **ret_call);

/* Append the path of a unit's file to a call. Returns 0 or a negative errno. */
int systemd_append_path(HostSystemd *host, sd_bus_message *call, const char *name);

/* Is this reply one that sd-bus made up because the connection ended? Then it is to be ignored: the loss is handled in one place. */
bool systemd_reply_is_void(HostSystemd *host);

/* The connection is useless; let go of it and try again. May not be called from a callback of sd-bus. */
void systemd_link_lost(HostSystemd *host, int error);

/* The connection broke its word; lose it in the next turn. May be called from everywhere. */
void systemd_link_break(HostSystemd *host);

/* No unit waits to be read any more. */
void systemd_on_refreshed(HostSystemd *host);

/* Can systemd have a unit of this name? Not a template, nor a type that it does not know any more. */
bool systemd_name_can_be_loaded(const char *name);

/* host-systemd-signal.c */

/* Have systemd's signals handled, and, on a message bus, ask for them. Returns 0 or a negative errno. */
int systemd_signals_start(HostSystemd *host, bool is_bus);

/* host-systemd-call.c */

/* Have `send` called when a call is free; it sends with systemd_op_send(), or returns a negative errno, which ends the operation. */
void systemd_op_call(SystemdOp *op, int (*send)(SystemdOp *op));

/* Send the call; `on_reply` gets the operation as userdata. Returns 0 or a negative errno. */
int systemd_op_send(SystemdOp *op, sd_bus_message *call, sd_bus_message_handler_t on_reply);

/* To be called first in `on_reply`: the call is over. False when the reply is to be ignored. */
bool systemd_op_replied(SystemdOp *op);

/* Send waiting calls. */
void systemd_calls_flush(HostSystemd *host);

/* Forget all about an operation (HostVtable.abandon). */
void systemd_op_abandon(Host *host, HostOp *op);

/* Is this the error of a call that was not answered in time? */
bool systemd_error_is_timeout(const sd_bus_error *error);

/* End an operation by an error reply: -ETIMEDOUT when there was none in time, else `status` with systemd's words. */
void systemd_op_end_by_error(SystemdOp *op, int status, const char *what,
                             const sd_bus_error *error);

/* End an operation because of an error on this side. */
void systemd_op_end_by_errno(SystemdOp *op, int error);

/* host-systemd-stage.c */

void systemd_stages_init(HostSystemd *host);

/* Have the operation take part in the next call of this kind. */
void systemd_stage_add(SystemdOp *op, SystemdStageId id);

/* Send what waits. */
void systemd_stages_flush(HostSystemd *host);

/* Forget the calls in flight. */
void systemd_stages_clear(HostSystemd *host);

/* host-systemd-refresh.c */

/* Have the states of a unit read. */
void systemd_refresh_unit(HostSystemd *host, SystemdUnit *unit);

/* Have the states of all units read. */
void systemd_refresh_all(HostSystemd *host);

/* Send what waits. */
void systemd_refresh_flush(HostSystemd *host);

/* Forget what is wanted and what is in flight. */
void systemd_refresh_clear(HostSystemd *host);

/* host-systemd-load.c */

void systemd_load_begin(SystemdOp *op);
void systemd_unload_begin(SystemdOp *op);

/* What had been enabled is disabled: remove link and file, and end the operation. */
void systemd_unload_finish(SystemdOp *op);

/* The operation's part in a shared call is done: `error` is NULL or what systemd said. */
void systemd_load_on_stage(SystemdOp *op, SystemdStageId id, const sd_bus_error *error);

/* The states of the unit that the operation waits for are read; `error` is NULL or why not. */
void systemd_load_on_refreshed(SystemdOp *op, const sd_bus_error *error);

/* A reload is done that systemd began after this number of changes. */
void systemd_units_reloaded(HostSystemd *host, uint64_t n_changes);

/* host-systemd-job.c */

void systemd_start_begin(SystemdOp *op);
void systemd_stop_begin(SystemdOp *op);

/* The operation will have no job any more: another may have one. */
void systemd_job_credit_return(HostSystemd *host, SystemdOp *op);

/* A job has ended (JobRemoved). */
void systemd_on_job_removed(HostSystemd *host, uint32_t id, const char *unit, const char *result);

/* Send ResetFailedUnit for the operation's unit. Returns 0 or a negative errno. */
int systemd_op_send_reset_failed(SystemdOp *op, sd_bus_message_handler_t on_reply);

/* host-systemd-why.c */

/* Find out why the job failed, then end the operation. */
void systemd_explain(SystemdOp *op);
