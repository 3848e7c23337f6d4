/* SPDX-License-Identifier: Apache-2.0 */

/* Starting, restarting and stopping: jobs of systemd.
 *
 * StartUnit, RestartUnit and StopUnit answer with the path of a job; JobRemoved says how a job of
 * that path ended. The signal was subscribed to before the first call, so it cannot be missed, but
 * it may come before the answer: the last few results of jobs of a unit, while an operation of that
 * unit waits for its answer, are kept in the operation.
 *
 * A job takes as long as the unit's own timeouts allow; there is no timeout here. "done" and
 * "skipped" are success, as for systemctl(1): a unit whose ConditionX does not hold is not started
 * and nothing is wrong with it.
 *
 * For each job that was asked for over a message bus, systemd watches its asker by a match rule of
 * its own. A bus allows a connection 512 of them, and systemd 252 drops its connection to the bus
 * when that is passed: so there are at most SYSTEMD_BUS_JOBS_MAX of ours at a time there. The
 * private socket has no such limit, and there is none here for it.
 *
 * A failed unit has its failure forgotten before it is started, which also resets its start limit:
 * whoever starts it means it. So does a restart, which would otherwise stop a unit that it then may
 * not start. A restart's job stays one job: systemd turns it into the start when the stop is done.
 */

#include <errno.h>
#include <stdio.h>

#include "lib/host/host-systemd-private.h"

const SystemdJobWords *systemd_job_words(const SystemdOp *op) {
        static const SystemdJobWords words[] = {
                [HOST_VERB_START] = { "start", "StartUnit" },
                [HOST_VERB_RESTART] = { "restart", "RestartUnit" },
                [HOST_VERB_STOP] = { "stop", "StopUnit" },
        };

        return &words[op->base.verb];
}

static bool result_is_good(const char *result) {
        return streq(result, "done") || streq(result, "skipped");
}

static void job_ended(SystemdOp *op, const char *result) {
        if (op->job_key[0] != '\0') {
                hash_map_remove(&systemd_of_op(op)->jobs, &op->job);
                op->job_key[0] = '\0';
        }

        if (result_is_good(result)) {
                host_op_end(&op->base, 0, NULL);
                return;
        }
        op->failure.job_result = result;
        systemd_explain(op);
}

void systemd_on_job_removed(HostSystemd *host, uint32_t id, const char *unit, const char *result) {
        char key[sizeof(((SystemdOp *)NULL)->job_key)];
        HashNode *node;
        HostOp *base_op;
        SystemdOp *op;

        (void)snprintf(key, sizeof(key), "%u", id);
        node = hash_map_get(&host->jobs, key);
        if (node) {
                job_ended(container_of(node, SystemdOp, job), intern_word(&host->intern, result));
                return;
        }

        base_op = host_op_find(&host->base, unit);
        op = base_op ? container_of(base_op, SystemdOp, base) : NULL;
        if (op && op->is_job_asked)
                op->early[op->n_early++ % SYSTEMD_EARLY_JOBS] =
                        (SystemdEarlyJob){ id, intern_word(&host->intern, result) };
}

/* The number of a job from its path; 0 for what is no job. */
static uint32_t job_id_from_path(const char *path) {
        static const char prefix[] = "/org/freedesktop/systemd1/job/";
        unsigned long id;
        char *end;

        if (strncmp(path, prefix, sizeof(prefix) - 1) != 0)
                return 0;
        id = strtoul(path + sizeof(prefix) - 1, &end, 10);
        return *end == '\0' && id <= UINT32_MAX ? (uint32_t)id : 0;
}

static void op_await_job(SystemdOp *op, uint32_t id) {
        HostSystemd *host = systemd_of_op(op);
        int r;

        op->is_job_asked = false;
        for (size_t i = 0; i < SYSTEMD_EARLY_JOBS; i++)
                if (op->early[i].id == id) {
                        job_ended(op, op->early[i].result);
                        return;
                }

        (void)snprintf(op->job_key, sizeof(op->job_key), "%u", id);
        r = hash_map_put(&host->jobs, &op->job, op->job_key);
        if (r == 0)
                return;

        /* -EEXIST: systemd merges jobs of one unit, but another unit's name can be an alias of it;
         * the one that came first is told. */
        op->job_key[0] = '\0';
        host_op_end(&op->base, r == -ENOMEM ? r : HOST_E_JOB, "%s",
                    r == -ENOMEM ? "out of memory"
                                 : "another unit of fleet is the same unit of systemd");
}

/* Errors of StartUnit that are about the file, not the job. */
static int status_of_start_error(const sd_bus_error *error) {
        static const char *const about_loading[] = {
                "org.freedesktop.systemd1.NoSuchUnit",
                "org.freedesktop.systemd1.LoadFailed",
                "org.freedesktop.systemd1.BadUnitSetting",
                "org.freedesktop.systemd1.UnitMasked",
        };

        for (size_t i = 0; i < ELEMENTSOF(about_loading); i++)
                if (sd_bus_error_has_name(error, about_loading[i]))
                        return HOST_E_LOAD;
        return HOST_E_JOB;
}

static int on_job_asked(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        SystemdOp *op = userdata;
        bool is_stop = op->base.verb == HOST_VERB_STOP;
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        const char *path = "";
        uint32_t id;

        (void)ret_error;
        if (!systemd_op_replied(op))
                return 0;

        if (error && is_stop &&
            sd_bus_error_has_name(error, "org.freedesktop.systemd1.NoSuchUnit")) {
                host_op_end(&op->base, 0, NULL);
                return 0;
        }
        if (error) {
                char what[64];

                (void)snprintf(what, sizeof(what), "systemd does not %s the unit",
                               systemd_job_words(op)->verb);
                systemd_op_end_by_error(op, is_stop ? HOST_E_JOB : status_of_start_error(error),
                                        what, error);
                return 0;
        }

        (void)sd_bus_message_read_basic(reply, 'o', &path);
        id = job_id_from_path(path);
        if (id == 0)
                host_op_end(&op->base, HOST_E_JOB, "systemd named no job: %s", path);
        else
                op_await_job(op, id);
        return 0;
}

static int send_job(SystemdOp *op) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
        int r;

        r = systemd_manager_call(systemd_of_op(op), systemd_job_words(op)->method, &call);
        if (r >= 0)
                r = sd_bus_message_append(call, "ss", host_op_name(&op->base), "replace");
        if (r >= 0)
                r = systemd_op_send(op, call, on_job_asked);
        op->is_job_asked = r >= 0;
        return r;
}

int systemd_op_send_reset_failed(SystemdOp *op, sd_bus_message_handler_t on_reply) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
        int r;

        r = systemd_manager_call(systemd_of_op(op), "ResetFailedUnit", &call);
        if (r >= 0)
                r = sd_bus_message_append_basic(call, 's', host_op_name(&op->base));
        return r < 0 ? r : systemd_op_send(op, call, on_reply);
}

static int on_failure_reset(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        SystemdOp *op = userdata;

        (void)reply;
        (void)ret_error;
        if (systemd_op_replied(op))
                systemd_op_call(op, send_job);
        return 0;
}

static int send_reset_failed(SystemdOp *op) {
        return systemd_op_send_reset_failed(op, on_failure_reset);
}

static bool op_forgets_failures(const SystemdOp *op, const HostUnit *unit) {
        return op->base.verb == HOST_VERB_RESTART ||
               (op->base.verb == HOST_VERB_START && unit && streq(unit->active, "failed"));
}

static void job_ask(SystemdOp *op) {
        HostSystemd *host = systemd_of_op(op);
        const HostUnit *unit = host_find(&host->base, host_op_name(&op->base));

        if (host->is_bus && host->n_jobs >= SYSTEMD_BUS_JOBS_MAX) {
                list_append(&host->job_waiters, &op->node);
                return;
        }

        host->n_jobs++;
        op->has_job_credit = true;
        systemd_op_call(op, op_forgets_failures(op, unit) ? send_reset_failed : send_job);
}

void systemd_job_credit_return(HostSystemd *host, SystemdOp *op) {
        ListNode *node;

        if (!op->has_job_credit)
                return;

        op->has_job_credit = false;
        host->n_jobs--;
        node = list_pop(&host->job_waiters);
        if (node)
                job_ask(container_of(node, SystemdOp, node));
}

void systemd_start_begin(SystemdOp *op) {
        if (host_find(op->base.request->host, host_op_name(&op->base)))
                job_ask(op);
        else
                host_op_end(&op->base, HOST_E_NO_UNIT, "the unit is not loaded on this machine");
}

void systemd_stop_begin(SystemdOp *op) {
        if (host_find(op->base.request->host, host_op_name(&op->base)))
                job_ask(op);
        else
                host_op_end(&op->base, 0, NULL);
}
