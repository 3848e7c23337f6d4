/* SPDX-License-Identifier: Apache-2.0 */

/* What systemd tells by itself.
 *
 * One filter sees every signal. On the private socket that is everything the manager says of every
 * unit of the machine, so the order of the tests matters: the path or the member first, by
 * comparing bytes of the header, then the unit's name against the map; only what is ours is parsed.
 * There is no match per unit. On a message bus four rules ask for the same, and one more for
 * systemd's own connection: when that comes or goes (a re-execution, a restarted bus), signals may
 * have been lost, so it counts as a loss of the connection.
 *
 *   JobRemoved         a job has ended: host-systemd-job.c
 *   PropertiesChanged  ActiveState and SubState of a unit
 *   Reloading          after a reload, by whomever, LoadState may be another: all states are read
 * again
 */

#include <errno.h>

#include "lib/host/host-systemd-private.h"
#include "lib/unit/unit-name.h"

static const char properties_interface[] = "org.freedesktop.DBus.Properties";

static const char *const match_rules[] = {
        "type='signal',sender='org.freedesktop.systemd1',path='/org/freedesktop/systemd1',"
        "interface='org.freedesktop.systemd1.Manager',member='JobRemoved'",
        "type='signal',sender='org.freedesktop.systemd1',path='/org/freedesktop/systemd1',"
        "interface='org.freedesktop.systemd1.Manager',member='Reloading'",
        "type='signal',sender='org.freedesktop.systemd1',path_namespace='/org/freedesktop/systemd1/"
        "unit',"
        "interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',"
        "arg0='org.freedesktop.systemd1.Unit'",
        "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
        "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='org.freedesktop."
        "systemd1'",
};

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return -1;
}

/* The name of the unit whose object this is; "_2e" in a path is a '.' (sd_bus_path_encode(3)).
 * Without an allocation, as this happens for every signal of the machine. Returns false for what is
 * no unit, or one with a name too long to be ours. */
static bool unit_name_from_path(const char *path, char ret_name[UNIT_NAME_MAX_BYTES + 1]) {
        size_t n_prefix = sizeof(systemd_unit_path) - 1, n = 0;

        if (strncmp(path, systemd_unit_path, n_prefix) != 0 || path[n_prefix] != '/')
                return false;

        for (const char *c = path + n_prefix + 1; *c; c++) {
                char decoded = *c;

                if (n >= UNIT_NAME_MAX_BYTES)
                        return false;
                if (*c == '_') {
                        int high = hex_digit(c[1]), low = high < 0 ? -1 : hex_digit(c[2]);

                        if (low < 0)
                                return false;
                        decoded = (char)(high << 4 | low);
                        c += 2;
                }
                ret_name[n++] = decoded;
        }

        ret_name[n] = '\0';
        return n > 0;
}

/* Reads a string variant when its property is the one that is looked for, else skips it. */
static int read_state(sd_bus_message *signal, const char *property, const char **active,
                      const char **sub) {
        if (streq(property, "ActiveState"))
                return sd_bus_message_read(signal, "v", "s", active);
        if (streq(property, "SubState"))
                return sd_bus_message_read(signal, "v", "s", sub);
        return sd_bus_message_skip(signal, "v");
}

static int read_states(sd_bus_message *signal, const char **ret_active, const char **ret_sub) {
        const char *active = NULL, *sub = NULL;
        int r;

        r = sd_bus_message_enter_container(signal, 'a', "{sv}");
        while (r > 0 && !(active && sub)) {
                const char *property;

                r = sd_bus_message_enter_container(signal, 'e', "sv");
                if (r <= 0)
                        break;
                r = sd_bus_message_read_basic(signal, 's', &property);
                if (r >= 0)
                        r = read_state(signal, property, &active, &sub);
                if (r >= 0)
                        r = sd_bus_message_exit_container(signal);
        }
        if (r < 0)
                return r;

        *ret_active = active;
        *ret_sub = sub;
        return 0;
}

static void on_properties_changed(HostSystemd *host, sd_bus_message *signal) {
        char name[UNIT_NAME_MAX_BYTES + 1];
        const char *interface, *active, *sub;
        HostEntry *entry;

        if (!unit_name_from_path(sd_bus_message_get_path(signal), name))
                return;
        entry = host_entry_find(&host->base, name);
        if (!entry || sd_bus_message_read_basic(signal, 's', &interface) <= 0 ||
            !streq(interface, systemd_unit_interface) || read_states(signal, &active, &sub) < 0)
                return;

        host_entry_set_states(&host->base, entry, NULL,
                              active ? intern_word(&host->intern, active) : NULL,
                              sub ? intern_word(&host->intern, sub) : NULL);
}

static void on_manager_signal(HostSystemd *host, sd_bus_message *signal) {
        const char *member = sd_bus_message_get_member(signal), *unit, *result;
        uint32_t id;
        int is_active;

        if (!member)
                return;

        if (streq(member, "JobRemoved")) {
                if (sd_bus_message_read(signal, "uoss", &id, NULL, &unit, &result) >= 0)
                        systemd_on_job_removed(host, id, unit, result);
        } else if (streq(member, "Reloading")) {
                if (sd_bus_message_read(signal, "b", &is_active) >= 0 && !is_active &&
                    host->link >= SYSTEMD_LINK_SYNCING)
                        systemd_refresh_all(host);
        }
}

static int on_message(sd_bus_message *message, void *userdata, sd_bus_error *ret_error) {
        HostSystemd *host = userdata;
        const char *path = sd_bus_message_get_path(message);

        (void)ret_error;
        if (systemd_reply_is_void(host) || !path || !sd_bus_message_is_signal(message, NULL, NULL))
                return 0;

        if (streq(path, systemd_path)) {
                if (sd_bus_message_is_signal(message, systemd_manager_interface, NULL))
                        on_manager_signal(host, message);
        } else if (sd_bus_message_is_signal(message, properties_interface, "PropertiesChanged")) {
                on_properties_changed(host, message);
        } else if (sd_bus_message_is_signal(message, "org.freedesktop.DBus", "NameOwnerChanged")) {
                systemd_link_break(host);
        }
        return 1;
}

static int on_match_added(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        HostSystemd *host = userdata;

        (void)ret_error;
        if (!systemd_reply_is_void(host) && sd_bus_message_is_method_error(reply, NULL))
                systemd_link_break(host);
        return 0;
}

int systemd_signals_start(HostSystemd *host, bool is_bus) {
        int r;

        r = sd_bus_add_filter(host->bus, NULL, on_message, host);

        for (size_t i = 0; is_bus && i < ELEMENTSOF(match_rules) && r >= 0; i++)
                r = sd_bus_call_method_async(host->bus, NULL, "org.freedesktop.DBus",
                                             "/org/freedesktop/DBus", "org.freedesktop.DBus",
                                             "AddMatch", on_match_added, host, "s", match_rules[i]);
        return r < 0 ? r : 0;
}
