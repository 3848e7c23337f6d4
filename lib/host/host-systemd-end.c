/* SPDX-License-Identifier: Apache-2.0 */

/* Why this process is to end: systemd runs a job on its service, and that has a type.
 *
 *   GetUnitByPID --> the unit's object --Job--> the job's object --JobType--> "stop", "restart"...
 *
 * Three calls one after the other, each sent from the loop. What is no service has no job, and a
 * signal that somebody sent by hand has none either.
 */

#include <errno.h>
#include <unistd.h>

#include "lib/host/host-systemd-private.h"

/* What is asked next. */
enum {
        ASK_UNIT,
        ASK_JOB,
        ASK_TYPE,
};

static const char job_interface[] = "org.freedesktop.systemd1.Job";
static const char unit_interface[] = "org.freedesktop.systemd1.Unit";

static void ask_done(HostSystemd *host, HostEnd end) {
        systemd_end_drop(host);
        host_end_is(&host->base, end);
}

static HostEnd end_of_type(const char *type) {
        if (streq(type, "stop"))
                return HOST_END_STOP;
        return streq(type, "restart") || streq(type, "try-restart") ? HOST_END_RESTART
                                                                    : HOST_END_UNKNOWN;
}

/* Remembers whose property is asked for next. A unit without a job names "/" as its job. */
static void ask_next(HostSystemd *host, const char *path) {
        free(host->end_path);
        host->end_path = strdup(path);
        host->end_step++;
        if (!host->end_path || streq(path, "/"))
                ask_done(host, HOST_END_UNKNOWN);
        else
                loop_defer(host->base.loop, &host->ask_end);
}

static int on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        HostSystemd *host = userdata;
        const char *text = NULL;
        uint32_t id;
        int r = -EIO;

        (void)ret_error;
        if (systemd_reply_is_void(host))
                return 0;

        host->end_slot = sd_bus_slot_unref(host->end_slot);
        if (!sd_bus_message_is_method_error(reply, NULL)) {
                if (host->end_step == ASK_UNIT)
                        r = sd_bus_message_read(reply, "o", &text);
                else if (host->end_step == ASK_JOB)
                        r = sd_bus_message_read(reply, "v", "(uo)", &id, &text);
                else
                        r = sd_bus_message_read(reply, "v", "s", &text);
        }
        if (r < 0)
                ask_done(host, HOST_END_UNKNOWN);
        else if (host->end_step == ASK_TYPE)
                ask_done(host, end_of_type(text));
        else
                ask_next(host, text);
        return 0;
}

static int ask_compose(HostSystemd *host, sd_bus_message **ret_call) {
        bool is_job = host->end_step == ASK_TYPE;
        int r;

        if (host->end_step == ASK_UNIT) {
                r = systemd_manager_call(host, "GetUnitByPID", ret_call);
                return r < 0 ? r : sd_bus_message_append(*ret_call, "u", (uint32_t)getpid());
        }

        r = sd_bus_message_new_method_call(host->bus, ret_call, systemd_service, host->end_path,
                                           "org.freedesktop.DBus.Properties", "Get");
        return r < 0 ? r
                     : sd_bus_message_append(*ret_call, "ss",
                                             is_job ? job_interface : unit_interface,
                                             is_job ? "JobType" : "Job");
}

void systemd_on_ask_end(LoopDeferred *deferred) {
        HostSystemd *host = container_of(deferred, HostSystemd, ask_end);
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
        int r = -ENOTCONN;

        if (host->bus)
                r = ask_compose(host, &call);
        if (r >= 0)
                r = sd_bus_call_async(host->bus, &host->end_slot, call, on_answer, host,
                                      SYSTEMD_END_TIMEOUT_US);
        if (r < 0)
                ask_done(host, HOST_END_UNKNOWN);
}

void systemd_end_begin(Host *base) {
        HostSystemd *host = container_of(base, HostSystemd, base);

        host->end_step = ASK_UNIT;
        host->is_end_asked = true;
        loop_defer(base->loop, &host->ask_end);
}

void systemd_end_drop(HostSystemd *host) {
        host->is_end_asked = false;
        host->end_slot = sd_bus_slot_unref(host->end_slot);
        loop_defer_cancel(&host->ask_end);
        free(TAKE(host->end_path));
}
