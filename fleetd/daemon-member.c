/* SPDX-License-Identifier: Apache-2.0 */

/* The store and the membership: the machine joins the cluster when the store is first reached, and
 * not before, since a machine that boots may have no address until then. Its address is looked for
 * again once a minute, along with whatever wakes the loop: leases of DHCP change.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fleetd/daemon-private.h"
#include "lib/base/log.h"

enum {
        /* How long the store may be out of reach at the start before that is logged. */
        MEMBER_PATIENCE_US = 3000 * US_PER_MS,

        /* How often the address is looked for. */
        MEMBER_LOOK_US = 60 * US_PER_S,
};

static void update_available(Daemon *daemon) {
        api_set_available(daemon->api, store_is_connected(daemon->store) && daemon->presence &&
                                               presence_lease(daemon->presence) != 0 &&
                                               !presence_why_closed(daemon->presence));
}

/* The lease to lead on: nobody leads a cluster whose store is closed. */
static void update_engine(Daemon *daemon) {
        engine_set_lease(daemon->engine, presence_why_closed(daemon->presence)
                                                 ? 0
                                                 : presence_lease(daemon->presence));
}

static void on_up(int64_t lease, int64_t revision, void *userdata) {
        Daemon *daemon = userdata;

        if (daemon->is_closing)
                return;
        agent_set_lease(daemon->agent, lease, revision);
        update_engine(daemon);
        update_available(daemon);
}

static void on_kept(uint64_t until_us, uint64_t ttl_us, void *userdata) {
        Daemon *daemon = userdata;

        if (!daemon->is_closing)
                agent_set_valid_until(daemon->agent, until_us, ttl_us);
}

static void on_closed(bool is_closed, void *userdata) {
        Daemon *daemon = userdata;

        if (daemon->is_closing)
                return;
        api_set_closed(daemon->api, is_closed ? presence_why_closed(daemon->presence) : NULL);
        update_engine(daemon);
        update_available(daemon);
}

static void on_down(void *userdata) {
        Daemon *daemon = userdata;

        if (daemon->is_closing)
                return;
        agent_set_lease(daemon->agent, 0, 0);
        engine_set_lease(daemon->engine, 0);
        update_available(daemon);
}

/* The configured address, or else the one that is found. NULL when there is none, or no memory; the
 * caller frees. */
static char *find_address(const Config *config) {
        char *address = NULL;

        if (*config->public_ip)
                return strdup(config->public_ip);
        return default_address(&address) == 0 ? address : NULL;
}

/* Look for the address. One that is not there at the moment is still ours: interfaces come and go.
 * Returns whether it is another than before. */
static bool look_for_address(Daemon *daemon) {
        char *address = find_address(daemon->config);

        daemon->looked_us = loop_now_us(daemon->loop);
        if (!address || streq_optional(address, daemon->address)) {
                free(address);
                return false;
        }

        free(daemon->address);
        daemon->address = address;
        return true;
}

/* What the cluster shall know of this machine; borrowed. */
static MachineRecord machine_record(const Daemon *daemon) {
        return (MachineRecord){
                .address = daemon->address,
                .hostname = daemon->identity->hostname,
                .version = (char *)FLEET_VERSION,
                .boot_id = daemon->identity->boot_id,
                .metadata = daemon->config->metadata,
                .is_leaving = daemon->leave >= LEAVE_HANDS_OVER,
        };
}

static int join(Daemon *daemon) {
        const PresenceListener listener = { .on_up = on_up,
                                            .on_down = on_down,
                                            .on_kept = on_kept,
                                            .on_closed = on_closed,
                                            .userdata = daemon };
        PresenceOptions options = {
                .machine = daemon->identity->machine,
                .ttl_us = daemon->config->agent_ttl_us,
                .lease_path = daemon->runtime->lease_path,
        };
        MachineRecord record;

        (void)look_for_address(daemon);
        if (!daemon->address)
                log_line(LOG_WARNING, "This machine has no global IPv4 address on the interface of "
                                      "its default route; others will not know how to reach it. "
                                      "Set public_ip, or start fleet after the network");
        record = machine_record(daemon);
        options.record = &record;
        return presence_new(&daemon->presence, daemon->registry, &options, &listener);
}

int daemon_update_member(Daemon *daemon) {
        MachineRecord record;

        (void)look_for_address(daemon);
        if (!daemon->presence)
                return 0;

        record = machine_record(daemon);
        return presence_update(daemon->presence, &record, daemon->config->agent_ttl_us);
}

void daemon_look_around(Daemon *daemon) {
        int r;

        if (!daemon->presence || *daemon->config->public_ip ||
            loop_now_us(daemon->loop) - daemon->looked_us < MEMBER_LOOK_US ||
            !look_for_address(daemon))
                return;

        log_line(LOG_NOTICE, "The address of this machine is %s now", daemon->address);
        r = daemon_update_member(daemon);
        if (r < 0)
                log_line(LOG_ERR, "Cannot tell the cluster: %s", strerror(-r));
}

/* The store */

/* Has the service manager told why the store cannot be reached; "" when it can be. */
static void note_trouble(Daemon *daemon, const char *why) {
        (void)snprintf(daemon->trouble, sizeof(daemon->trouble), "%s", why);
        daemon->is_trouble_new = true;
}

static void on_connection(StoreListener *listener, bool is_connected, const char *detail) {
        Daemon *daemon = container_of(listener, Daemon, connection);
        int r = 0;

        if (daemon->is_closing)
                return;

        if (is_connected)
                log_line(LOG_NOTICE, "Connected to %s: %s", daemon->store_name,
                         detail ? detail : "");
        else if (daemon->was_connected)
                log_line(LOG_WARNING,
                         "Lost %s (%s); units keep running, the API answers 503 until it is back",
                         daemon->store_name, detail ? detail : "");

        if (is_connected && !daemon->presence)
                r = join(daemon);
        if (r < 0) {
                log_line(LOG_ERR, "Cannot join the cluster: %s", strerror(-r));
                daemon_close(daemon, DAEMON_EXIT_AGAIN);
                return;
        }
        if (is_connected) {
                daemon->was_connected = true;
                timer_clear(&daemon->patience);
        }
        strlist_done(&daemon->troubles);
        note_trouble(daemon, is_connected || !detail ? "" : detail);
        (void)snprintf(daemon->endpoint, sizeof(daemon->endpoint), "%s", detail ? detail : "");
        update_available(daemon);
}

static void log_trouble(const Daemon *daemon, const char *why) {
        log_line(LOG_WARNING, "%s cannot be used: %s",
                 daemon->sqlite ? "The built-in store" : daemon->store_name, why);
}

/* Told once for each endpoint and cause; in the first moments etcd may be starting, too. */
static void on_trouble(StoreListener *listener, const char *why) {
        Daemon *daemon = container_of(listener, Daemon, connection);

        if (daemon->is_closing)
                return;

        note_trouble(daemon, why);
        if (daemon->was_connected || !timer_is_set(&daemon->patience) ||
            strlist_add(&daemon->troubles, why) < 0)
                log_trouble(daemon, why);
}

static void on_patience(LoopTimer *timer) {
        Daemon *daemon = container_of(timer, Daemon, patience);
        const StrList *servers = daemon_servers(daemon, daemon->config);

        log_line(LOG_WARNING,
                 "etcd cannot be reached yet (%s%s); units run, the API answers 503. Still trying",
                 servers->items[0], servers->n_items > 1 ? " and others" : "");
        for (size_t i = 0; i < daemon->troubles.n_items; i++)
                log_trouble(daemon, daemon->troubles.items[i]);
        strlist_done(&daemon->troubles);
}

void daemon_start_member(Daemon *daemon) {
        daemon->connection.on_trouble = on_trouble;
        store_listen(daemon->store, &daemon->connection, on_connection);
        daemon->patience.fn = on_patience;

        /* What is wrong with a file of our own is no matter of patience. */
        if (!daemon->sqlite)
                timer_set_in(daemon->loop, &daemon->patience, MEMBER_PATIENCE_US);
}
