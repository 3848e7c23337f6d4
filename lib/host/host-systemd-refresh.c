/* SPDX-License-Identifier: Apache-2.0 */

/* Reading the states of units, by ListUnitsByNames: one call for many units, one call at a time. It
 * is how an adopted unit, a loaded one, and, after a reload, every unit gets its states; all else
 * comes by signals. The call makes systemd load what it has not, which is what tells whether it can
 * make sense of the file. A unit that systemd has no row for keeps its states.
 *
 * A unit that is wanted while it is being read is read again. A call for several that fails is
 * repeated for each alone; one that is not answered in time ends the connection, because without it
 * no state can be vouched for.
 */

#include <errno.h>

#include "lib/host/host-systemd-private.h"

/* One row of the answer, as far as it is of interest. */
typedef struct UnitRow {
        const char *name, *load, *active, *sub;
} UnitRow;

static void refresh_add(HostSystemd *host, SystemdUnit *unit) {
        list_remove(&unit->refresh);
        list_append(&host->refresh_wanted, &unit->refresh);
        loop_defer(host->base.loop, &host->flush);
}

void systemd_refresh_unit(HostSystemd *host, SystemdUnit *unit) {
        if (unit->base.unit.hash[0] == '\0' || !systemd_name_can_be_loaded(unit->base.unit.name))
                return;

        unit->is_refresh_alone = false;
        refresh_add(host, unit);
}

void systemd_refresh_all(HostSystemd *host) {
        for (HashNode *node = hash_map_first(&host->base.units); node;
             node = hash_map_next(&host->base.units, node))
                systemd_refresh_unit(host, container_of(node, SystemdUnit, base.unit.node));
}

static int read_row(sd_bus_message *reply, UnitRow *ret_row) {
        UnitRow row;
        int r;

        r = sd_bus_message_read(reply, "(ssssssouso)", &row.name, NULL, &row.load, &row.active,
                                &row.sub, NULL, NULL, NULL, NULL, NULL);
        if (r > 0)
                *ret_row = row;
        return r;
}

static void read_rows(HostSystemd *host, sd_bus_message *reply) {
        UnitRow row;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "(ssssssouso)");
        while (r > 0 && (r = read_row(reply, &row)) > 0) {
                HostEntry *entry = host_entry_find(&host->base, row.name);

                if (entry)
                        host_entry_set_states(&host->base, entry,
                                              intern_word(&host->intern, row.load),
                                              intern_word(&host->intern, row.active),
                                              intern_word(&host->intern, row.sub));
        }
}

static void refresh_done(HostSystemd *host, SystemdUnit *unit, const sd_bus_error *error) {
        HostOp *base_op = host_op_find(&host->base, unit->base.unit.name);
        SystemdOp *op = base_op ? container_of(base_op, SystemdOp, base) : NULL;

        unit->is_refresh_alone = false;
        if (op && op->is_verifying)
                systemd_load_on_refreshed(op, error);
}

static int on_reply(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        HostSystemd *host = userdata;
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        bool is_shared = host->n_refreshing > 1;
        List done = { 0 };
        ListNode *node;

        (void)ret_error;
        if (systemd_reply_is_void(host))
                return 0;

        host->refresh_slot = sd_bus_slot_unref(host->refresh_slot);
        if (error && systemd_error_is_timeout(error)) {
                /* Without an answer no state is true any more. */
                systemd_link_break(host);
                return 0;
        }

        list_splice(&done, &host->refresh_running);
        if (!error)
                read_rows(host, reply);
        while ((node = list_pop(&done))) {
                SystemdUnit *unit = container_of(node, SystemdUnit, refresh);

                unit->is_refresh_alone = error && is_shared;
                if (unit->is_refresh_alone)
                        refresh_add(host, unit);
                else
                        refresh_done(host, unit, error);
        }

        if (list_is_empty(&host->refresh_wanted))
                systemd_on_refreshed(host);
        else
                loop_defer(host->base.loop, &host->flush);
        return 0;
}

static void refresh_gather(HostSystemd *host) {
        ListNode *node;

        host->n_refreshing = 0;
        while (host->n_refreshing < SYSTEMD_BATCH_MAX &&
               (node = list_first(&host->refresh_wanted))) {
                bool is_alone = container_of(node, SystemdUnit, refresh)->is_refresh_alone;

                if (is_alone && host->n_refreshing > 0)
                        return;
                list_remove(node);
                list_append(&host->refresh_running, node);
                host->n_refreshing++;
                if (is_alone)
                        return;
        }
}

static int refresh_send(HostSystemd *host) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
        int r;

        r = systemd_manager_call(host, "ListUnitsByNames", &call);
        if (r >= 0)
                r = sd_bus_message_open_container(call, 'a', "s");
        for (ListNode *node = list_first(&host->refresh_running); node && r >= 0;
             node = list_next(&host->refresh_running, node))
                r = sd_bus_message_append_basic(
                        call, 's', container_of(node, SystemdUnit, refresh)->base.unit.name);
        if (r >= 0)
                r = sd_bus_message_close_container(call);
        if (r >= 0)
                r = sd_bus_call_async(host->bus, &host->refresh_slot, call, on_reply, host,
                                      SYSTEMD_CALL_TIMEOUT_US);
        return r;
}

void systemd_refresh_flush(HostSystemd *host) {
        if (host->refresh_slot || list_is_empty(&host->refresh_wanted))
                return;

        refresh_gather(host);
        if (refresh_send(host) < 0)
                systemd_link_break(host);
}

void systemd_refresh_clear(HostSystemd *host) {
        while (list_pop(&host->refresh_wanted))
                ;
        while (list_pop(&host->refresh_running))
                ;
        host->refresh_slot = sd_bus_slot_unref(host->refresh_slot);
}
