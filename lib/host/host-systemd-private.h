/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The parts of the host over systemd; only host-systemd*.c include this. What a file of the family
 * does is written at its head.
 *
 *   host-systemd.c          construction, connection, adoption
 *   host-systemd-files.c    the unit files, as others leave them
 *   host-systemd-signal.c   what systemd tells by itself
 *   host-systemd-call.c     calls of single operations, at most SYSTEMD_CALLS_MAX at a time
 *   host-systemd-stage.c    calls that many operations share
 *   host-systemd-refresh.c  reading the states of units
 *   host-systemd-load.c     loading and unloading
 *   host-systemd-job.c      starting, restarting and stopping
 *   host-systemd-why.c      the words for a failure
 *   unit-directory.c        the files
 *   directory-watch.c       what happens to them
 */

#include "lib/host/host-systemd-types.h"

/* host-systemd.c */

/* Make a call of the manager. Returns 0 or a negative errno. */
int systemd_manager_call(HostSystemd *host, const char *member, sd_bus_message **ret_call);

/* Append the path of a unit's file to a call. Returns 0 or a negative errno. */
int systemd_append_path(HostSystemd *host, sd_bus_message *call, const char *name);

/* Is this reply one that sd-bus made up because the connection ended? Then it is to be ignored: the
 * loss is handled in one place. */
bool systemd_reply_is_void(HostSystemd *host);

/* The connection broke its word; lose it in the next turn. May be called from everywhere. */
void systemd_link_break(HostSystemd *host);

/* No unit waits to be read any more. */
void systemd_on_refreshed(HostSystemd *host);

/* Can systemd have a unit of this name? Not a template, nor a type that it does not know any more.
 */
bool systemd_name_can_be_loaded(const char *name);

/* host-systemd-files.c */

/* Add every file of the units directory to the host's units, and watch the directory from now on.
 * Returns 0 or a negative errno. */
int systemd_files_adopt(HostSystemd *host);

/* Make the units directory if it is not there, and watch it (again). Returns 0 or a negative errno.
 */
int systemd_files_watch(HostSystemd *host);

/* host-systemd-signal.c */

/* Have systemd's signals handled, and, on a message bus, ask for them. Returns 0 or a negative
 * errno. */
int systemd_signals_start(HostSystemd *host, bool is_bus);

/* host-systemd-call.c */

/* Have `send` called when a call is free; it sends with systemd_op_send(), or returns a negative
 * errno, which ends the operation. */
void systemd_op_call(SystemdOp *op, int (*send)(SystemdOp *op));

/* Send the call; `on_reply` gets the operation as userdata. Returns 0 or a negative errno. */
int systemd_op_send(SystemdOp *op, sd_bus_message *call, sd_bus_message_handler_t on_reply);

/* To be called first in `on_reply`: the call is over. False when the reply is to be ignored. */
bool systemd_op_replied(SystemdOp *op);

/* Send waiting calls. */
void systemd_calls_flush(HostSystemd *host);

/* Forget all about an operation (HostVtable.abandon). */
void systemd_op_abandon(Host *base, HostOp *op);

/* Is this the error of a call that was not answered in time? */
bool systemd_error_is_timeout(const sd_bus_error *error);

/* End an operation by an error reply: -ETIMEDOUT when there was none in time, else `status` with
 * systemd's words. */
void systemd_op_end_by_error(SystemdOp *op, int status, const char *what,
                             const sd_bus_error *error);

/* End an operation because of an error on this side. */
void systemd_op_end_by_errno(SystemdOp *op, int error);

/* host-systemd-stage.c */

/* Set up the stages of a new host. */
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

/* host-systemd-end.c: why this process is to end. */

/* See HostVtable. */
void systemd_end_begin(Host *base);

/* HostSystemd.ask_end's callback: make the next call. */
void systemd_on_ask_end(LoopDeferred *deferred);

/* Forget that somebody asks. */
void systemd_end_drop(HostSystemd *host);

/* host-systemd-load.c */

/* Carry out a HOST_VERB_LOAD. */
void systemd_load_begin(SystemdOp *op);

/* Carry out a HOST_VERB_UNLOAD. */
void systemd_unload_begin(SystemdOp *op);

/* The operation's part in a shared call is done: `error` is NULL or what systemd said. */
void systemd_load_on_stage(SystemdOp *op, SystemdStageId id, const sd_bus_error *error);

/* The states of the unit that the operation waits for are read; `error` is NULL or why not. */
void systemd_load_on_refreshed(SystemdOp *op, const sd_bus_error *error);

/* A reload is done that systemd began after this number of changes. */
void systemd_units_reloaded(HostSystemd *host, uint64_t n_changes);

/* host-systemd-job.c */

/* Carry out a HOST_VERB_START or a HOST_VERB_RESTART. */
void systemd_start_begin(SystemdOp *op);

/* Carry out a HOST_VERB_STOP. */
void systemd_stop_begin(SystemdOp *op);

/* The operation will have no job any more: another may have one. */
void systemd_job_credit_return(HostSystemd *host, SystemdOp *op);

/* A job has ended (JobRemoved). */
void systemd_on_job_removed(HostSystemd *host, uint32_t id, const char *unit, const char *result);

/* What the job of an operation is called: for people, and by systemd. Static. */
typedef struct SystemdJobWords {
        const char *verb;   /* "start" */
        const char *method; /* of the manager: "StartUnit" */
} SystemdJobWords;
const SystemdJobWords *systemd_job_words(const SystemdOp *op);

/* Send ResetFailedUnit for the operation's unit. Returns 0 or a negative errno. */
int systemd_op_send_reset_failed(SystemdOp *op, sd_bus_message_handler_t on_reply);

/* host-systemd-why.c */

/* Find out why the job failed, then end the operation. */
void systemd_explain(SystemdOp *op);
