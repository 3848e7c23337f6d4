/* SPDX-License-Identifier: Apache-2.0 */

/* The words for a failed job: what systemctl(1) would say, without sending the reader to three more
 * commands.
 *
 * JobRemoved only says "failed". The unit's own Result, and for a service the exit of its main
 * process, say more; they are read one after the other, as failures are rare. A unit that restarts
 * by itself may have reset them by then, which leaves the bare "failed".
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "lib/host/host-systemd-private.h"
#include "lib/unit/unit-name.h"

/* A text for a word of systemd. */
typedef struct Phrase {
        const char *word;
        const char *text;
} Phrase;

/* Results of jobs (org.freedesktop.systemd1(5), JobRemoved). */
static const Phrase job_phrases[] = {
        { "canceled", "the job was cancelled: another request took its place" },
        { "timeout", "the job took longer than JobTimeoutSec= allows" },
        { "dependency", "a unit that it requires could not be started" },
        { "invalid", "the unit cannot do that" },
        { "assert", "an Assert...= of the unit does not hold" },
        { "unsupported", "this machine does not support such units" },
        { "collected", "systemd forgot the unit while the job waited" },
        { "once", "the unit runs only once per boot, and has run" },
};

/* Results of units (systemd.service(5), systemd.exec(5) $SERVICE_RESULT). */
static const Phrase unit_phrases[] = {
        { "timeout", "it did not start in the time that it has (TimeoutStartSec=)" },
        { "watchdog", "its watchdog was not fed in time" },
        { "start-limit-hit", "it was started too often in a short time (StartLimitBurst=)" },
        { "resources", "systemd could not set up what it needs" },
        { "oom-kill", "it was killed because memory ran out" },
        { "protocol", "it did not keep to the protocol of its Type=" },
        { "exec-condition", "its ExecCondition= does not hold" },
        { "unit-condition-failed", "a Condition...= does not hold" },
        { "service-start-limit-hit", "its service was started too often in a short time" },
};

/* The exit statuses that systemd itself sets (systemd.exec(5)) and that say what is wrong with the
 * file. */
static const struct {
        int status;
        const char *name;
} exit_names[] = {
        { 200, "CHDIR" },
        { 201, "NICE" },
        { 202, "FDS" },
        { 203, "EXEC" },
        { 204, "MEMORY" },
        { 205, "LIMITS" },
        { 206, "OOM_ADJUST" },
        { 208, "STDIN" },
        { 209, "STDOUT" },
        { 210, "CHROOT" },
        { 214, "SETSCHEDULER" },
        { 216, "GROUP" },
        { 217, "USER" },
        { 218, "CAPABILITIES" },
        { 219, "CGROUP" },
        { 222, "STDERR" },
        { 224, "PAM" },
        { 225, "NETWORK" },
        { 226, "NAMESPACE" },
        { 228, "SECCOMP" },
        { 233, "RUNTIME_DIRECTORY" },
        { 238, "STATE_DIRECTORY" },
        { 239, "CACHE_DIRECTORY" },
        { 240, "LOGS_DIRECTORY" },
        { 241, "CONFIGURATION_DIRECTORY" },
        { 243, "CREDENTIALS" },
};

static const char *phrase_find(const Phrase *phrases, size_t n_phrases, const char *word) {
        for (size_t i = 0; i < n_phrases; i++)
                if (streq(phrases[i].word, word))
                        return phrases[i].text;
        return NULL;
}

static const char *exit_name(int status) {
        for (size_t i = 0; i < ELEMENTSOF(exit_names); i++)
                if (exit_names[i].status == status)
                        return exit_names[i].name;
        return NULL;
}

static void describe_exit(const SystemdFailure *failure, char *text, size_t n_bytes) {
        const char *name = exit_name(failure->exec_status),
                   *signal_name = sigabbrev_np(failure->exec_status);

        if (failure->exec_code == CLD_EXITED && failure->exec_status != 0)
                (void)snprintf(text, n_bytes, "its main process exited with status %d%s%s",
                               failure->exec_status, name ? "/" : "", name ? name : "");
        else if (failure->exec_code == CLD_KILLED || failure->exec_code == CLD_DUMPED)
                (void)snprintf(text, n_bytes, "its main process was killed by signal %d%s%s%s",
                               failure->exec_status, signal_name ? "/" : "",
                               signal_name ? signal_name : "",
                               failure->exec_code == CLD_DUMPED ? " and dumped core" : "");
        else
                (void)snprintf(text, n_bytes,
                               "one of its commands failed (ExecStartPre=, ExecStartPost=...)");
}

static void describe(const SystemdFailure *failure, char *text, size_t n_bytes) {
        static const char *const exits[] = { "exit-code", "signal", "core-dump" };
        const char *result = failure->result ? failure->result : "success", *phrase;

        phrase = phrase_find(job_phrases, ELEMENTSOF(job_phrases), failure->job_result);
        if (!phrase)
                phrase = phrase_find(unit_phrases, ELEMENTSOF(unit_phrases), result);
        if (phrase) {
                (void)snprintf(text, n_bytes, "%s", phrase);
                return;
        }

        for (size_t i = 0; i < ELEMENTSOF(exits); i++)
                if (streq(exits[i], result)) {
                        describe_exit(failure, text, n_bytes);
                        return;
                }
        (void)snprintf(text, n_bytes, "%s",
                       streq(result, "success") ? failure->job_result : result);
}

static void explain_end(SystemdOp *op) {
        const char *name = host_op_name(&op->base);
        char text[256];

        describe(&op->failure, text, sizeof(text));
        host_op_end(&op->base, HOST_E_JOB, "the %s job failed: %s; see: journalctl -u %s",
                    systemd_job_words(op)->verb, text, name);
}

/* Reading the properties: each reply asks for the next. */

static int send_get(SystemdOp *op, const char *property, sd_bus_message_handler_t on_reply) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
        _cleanup_(freep) char *path = NULL, *interface = NULL;
        UnitNameParts parts;
        int r;

        r = unit_name_split(host_op_name(&op->base), &parts);
        if (r >= 0 && asprintf(&interface, "org.freedesktop.systemd1.%s", parts.suffix) < 0) {
                interface = NULL;
                r = -ENOMEM;
        }
        if (r >= 0) {
                char *initial = strrchr(interface, '.') + 1;

                if (*initial >= 'a' && *initial <= 'z')
                        *initial = (char)(*initial - 'a' + 'A');
                r = sd_bus_path_encode(systemd_unit_path, host_op_name(&op->base), &path);
        }
        if (r >= 0)
                r = sd_bus_message_new_method_call(systemd_of_op(op)->bus, &call, systemd_service,
                                                   path, "org.freedesktop.DBus.Properties", "Get");
        if (r >= 0)
                r = sd_bus_message_append(call, "ss", interface, property);
        return r < 0 ? r : systemd_op_send(op, call, on_reply);
}

static int on_exec_status(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        SystemdOp *op = userdata;

        (void)ret_error;
        if (!systemd_op_replied(op))
                return 0;

        if (!sd_bus_message_is_method_error(reply, NULL))
                (void)sd_bus_message_read(reply, "v", "i", &op->failure.exec_status);
        explain_end(op);
        return 0;
}

static int send_get_exec_status(SystemdOp *op) {
        return send_get(op, "ExecMainStatus", on_exec_status);
}

static int on_exec_code(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        SystemdOp *op = userdata;

        (void)ret_error;
        if (!systemd_op_replied(op))
                return 0;

        if (!sd_bus_message_is_method_error(reply, NULL))
                (void)sd_bus_message_read(reply, "v", "i", &op->failure.exec_code);
        systemd_op_call(op, send_get_exec_status);
        return 0;
}

static int send_get_exec_code(SystemdOp *op) {
        return send_get(op, "ExecMainCode", on_exec_code);
}

static int on_result(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        SystemdOp *op = userdata;
        HostSystemd *host = systemd_of_op(op);
        UnitNameParts parts;
        const char *result;

        (void)ret_error;
        if (!systemd_op_replied(op))
                return 0;

        if (!sd_bus_message_is_method_error(reply, NULL) &&
            sd_bus_message_read(reply, "v", "s", &result) >= 0)
                op->failure.result = intern_word(&host->intern, result);

        if (op->failure.result && unit_name_split(host_op_name(&op->base), &parts) >= 0 &&
            streq(parts.suffix, "service"))
                systemd_op_call(op, send_get_exec_code);
        else
                explain_end(op);
        return 0;
}

static int send_get_result(SystemdOp *op) {
        return send_get(op, "Result", on_result);
}

void systemd_explain(SystemdOp *op) {
        if (streq(op->failure.job_result, "failed"))
                systemd_op_call(op, send_get_result);
        else
                explain_end(op);
}
