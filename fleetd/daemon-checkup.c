/* SPDX-License-Identifier: Apache-2.0 */

/* What this daemon says of itself in a checkup: to the cluster, when that asks (agent/checkup.h),
 * and over its own API, also while it has no store. */

#include <stdio.h>

#include "fleetd/daemon-private.h"

/* Why this machine is no member of the cluster, or can do nothing as one; NULL when it is one.
 * Borrowed. */
static const char *why_out(Daemon *daemon) {
        const char *rival = daemon->presence ? presence_rival(daemon->presence) : NULL;
        const char *closed = daemon->presence ? presence_why_closed(daemon->presence) : NULL;

        if (closed) {
                (void)snprintf(daemon->why_out, sizeof(daemon->why_out), "the store is closed: %s",
                               closed);
                return daemon->why_out;
        }
        if (daemon->presence && presence_lease(daemon->presence) != 0)
                return NULL;
        if (!rival)
                return *daemon->trouble ? daemon->trouble : "it has not joined the cluster yet";

        (void)snprintf(daemon->why_out, sizeof(daemon->why_out),
                       "another machine with its ID is in the cluster: %s", rival);
        return daemon->why_out;
}

void daemon_report(ReportRecord *ret_report, void *userdata) {
        Daemon *daemon = userdata;

        *ret_report = (ReportRecord){
                .hostname = daemon->identity->hostname,
                .address = daemon->address,
                .version = (char *)FLEET_VERSION,
                .store = daemon->endpoint,
                .why = (char *)why_out(daemon),
                .is_host_lost = !host_is_ready(daemon->host),
                .n_units = agent_stats(daemon->agent).n_units,
                .n_late = agent_count_late(daemon->agent),
        };
}

static int64_t on_checkup(ReportRecord *ret_report, void *userdata) {
        Daemon *daemon = userdata;

        daemon_report(ret_report, daemon);
        return daemon->presence ? presence_held_lease(daemon->presence) : 0;
}

int daemon_start_checkup(Daemon *daemon) {
        const CheckupSource source = { .fill = on_checkup, .userdata = daemon };

        return checkup_new(&daemon->checkup, daemon->registry, daemon->identity->machine, &source);
}
