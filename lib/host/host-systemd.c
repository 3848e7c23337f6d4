/* SPDX-License-Identifier: Apache-2.0 */

/* The host over systemd: construction, the connection, and taking over what is there.
 *
 *   DOWN ── connect ──> OPENING ── Subscribe answered ──┬────────────────> SYNCING
 *    ^                                                  └─> RELOADING ──────^
 *    │
 *    │   SYNCING ── all states read ──┬────────────────────────────> READY
 *    │                                └─> HEALING ──> RESYNCING ──────^
 *    │
 *    └── the connection ends, in any state: everything in flight ends with -ENOTCONN, and a timer
 *        with back-off connects again
 *
 * RELOADING happens when an earlier daemon died between changing a file and the reload for it;
 * HEALING when files are there whose link is missing: all in one call, and one by one if that fails.
 *
 * Ways to systemd, in this order: its private socket (root, or the user's own manager), then the
 * message bus. The private socket has no bus: no Hello, no names, no match rules; every signal of
 * the manager arrives, so each is looked at as cheaply as can be (host-systemd-signal.c). In return
 * the bus is spared its copy, and systemd-without-dbus is enough. A way that does not lead to an
 * answer of systemd gives turn to the next.
 *
 * Nothing blocks: sd_bus_start(3) connects a unix socket, which is at once or not at all, and
 * queues the rest.
 */

#include "lib/host/host-systemd.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/host/guard.h"
#include "lib/host/host-systemd-private.h"
#include "lib/unit/unit-name.h"

/* Where the ways lead; a missing environment variable closes one. */
static const char system_private_address[] = "unix:path=/run/systemd/private";
static const char system_bus_address[] = "unix:path=/run/dbus/system_bus_socket";
static const char system_link_directory[] = "/run/systemd/system";

enum { SYSTEMD_WAYS = 2 };

int systemd_manager_call(HostSystemd *host, const char *member, sd_bus_message **ret_call) {
        return sd_bus_message_new_method_call(host->bus, ret_call, systemd_service, systemd_path,
                                              systemd_manager_interface, member);
}

int systemd_append_path(HostSystemd *host, sd_bus_message *call, const char *name) {
        _cleanup_(freep) char *path = NULL;

        if (asprintf(&path, "%s%s", host->directory.path, name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        return sd_bus_message_append_basic(call, 's', path);
}

bool systemd_reply_is_void(HostSystemd *host) {
        return !host->bus || sd_bus_is_open(host->bus) <= 0;
}

bool systemd_name_can_be_loaded(const char *name) {
        static const char *const forgotten[] = { "busname", "snapshot" };
        UnitNameParts parts;

        if (unit_name_split(name, &parts) < 0 || unit_name_is_template(name))
                return false;
        for (size_t i = 0; i < ELEMENTSOF(forgotten); i++)
                if (streq(parts.suffix, forgotten[i]))
                        return false;
        return true;
}

/* Taking over */

static void link_ready(HostSystemd *host) {
        host->link = SYSTEMD_LINK_READY;

        /* What was found in the folder is told now that its states are known, the first time. */
        for (HashNode *node = host->is_adopted ? NULL : hash_map_first(&host->base.units); node;
             node = hash_map_next(&host->base.units, node))
                host_entry_changed(&host->base, container_of(node, HostEntry, unit.node));
        host->is_adopted = true;
        host_set_ready(&host->base, true, NULL);
}

static bool entry_is_unlinked(const HostEntry *entry) {
        return streq(entry->unit.load, "not-found") && entry->unit.hash[0] != '\0';
}

/* Of those that are to be linked again the next one, from `node` on; or NULL. */
static SystemdUnit *heal_next(const HostSystemd *host, HashNode *node) {
        for (; node; node = hash_map_next(&host->base.units, node)) {
                SystemdUnit *unit = container_of(node, SystemdUnit, base.unit.node);

                if (entry_is_unlinked(&unit->base) && !unit->is_healed)
                        return unit;
        }
        return NULL;
}

static void heal_anew(HostSystemd *host, bool alone) {
        host->heals_alone = alone;
        for (HashNode *node = hash_map_first(&host->base.units); node;
             node = hash_map_next(&host->base.units, node))
                container_of(node, SystemdUnit, base.unit.node)->is_healed = false;
}

static void link_sync(HostSystemd *host, SystemdLink state) {
        host->link = state;
        if (state == SYSTEMD_LINK_SYNCING)
                heal_anew(host, false);
        for (HashNode *node = hash_map_first(&host->base.units); node;
             node = hash_map_next(&host->base.units, node)) {
                HostEntry *entry = container_of(node, HostEntry, unit.node);

                if (state == SYSTEMD_LINK_SYNCING || entry_is_unlinked(entry))
                        systemd_refresh_unit(host, container_of(entry, SystemdUnit, base));
        }
        if (list_is_empty(&host->refresh_wanted) && list_is_empty(&host->refresh_running))
                link_ready(host);
}

static bool link_heal(HostSystemd *host);

static int on_healed(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        HostSystemd *host = userdata;
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        bool is_hopeless = error && systemd_error_is_timeout(error);

        (void)ret_error;
        if (systemd_reply_is_void(host))
                return 0;

        host->link_slot = sd_bus_slot_unref(host->link_slot);
        if (error)
                log_line(LOG_DEBUG, "Cannot link unit files again: %s", error->message);
        if (error && !is_hopeless && !host->heals_alone)
                heal_anew(host, true);
        if (is_hopeless || !link_heal(host))
                link_sync(host, SYSTEMD_LINK_RESYNCING);
        return 0;
}

static int heal_compose(HostSystemd *host, sd_bus_message *call) {
        const HashMap *units = &host->base.units;
        SystemdUnit *unit = heal_next(host, hash_map_first(units));
        int r = sd_bus_message_open_container(call, 'a', "s");

        while (unit && r >= 0) {
                unit->is_healed = true;
                r = systemd_append_path(host, call, unit->base.unit.name);
                unit = host->heals_alone
                               ? NULL
                               : heal_next(host, hash_map_next(units, &unit->base.unit.node));
        }

        if (r >= 0)
                r = sd_bus_message_close_container(call);
        if (r >= 0)
                r = sd_bus_message_append(call, "bb", true, true);
        return r;
}

/* Links the files that systemd does not find. Returns false when there are none, or it cannot be
 * done. */
static bool link_heal(HostSystemd *host) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
        int r;

        if (!heal_next(host, hash_map_first(&host->base.units)))
                return false;

        r = systemd_manager_call(host, "LinkUnitFiles", &call);
        if (r >= 0)
                r = heal_compose(host, call);
        if (r >= 0)
                r = sd_bus_call_async(host->bus, &host->link_slot, call, on_healed, host,
                                      SYSTEMD_CALL_TIMEOUT_US);
        if (r < 0)
                return false;

        host->link = SYSTEMD_LINK_HEALING;
        return true;
}

void systemd_on_refreshed(HostSystemd *host) {
        if (host->link == SYSTEMD_LINK_SYNCING && link_heal(host))
                return;
        if (host->link == SYSTEMD_LINK_SYNCING || host->link == SYSTEMD_LINK_RESYNCING)
                link_ready(host);
}

static int on_reloaded(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        HostSystemd *host = userdata;

        (void)ret_error;
        if (systemd_reply_is_void(host))
                return 0;

        host->link_slot = sd_bus_slot_unref(host->link_slot);
        if (!sd_bus_message_is_method_error(reply, NULL))
                (void)unit_directory_set_stale(&host->directory, false);
        link_sync(host, SYSTEMD_LINK_SYNCING);
        return 0;
}

static int link_reload(HostSystemd *host) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
        int r;

        host->link = SYSTEMD_LINK_RELOADING;
        r = systemd_manager_call(host, "Reload", &call);
        if (r < 0)
                return r;
        return sd_bus_call_async(host->bus, &host->link_slot, call, on_reloaded, host,
                                 SYSTEMD_RELOAD_TIMEOUT_US);
}

/* The connection */

static int on_subscribed(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        HostSystemd *host = userdata;

        (void)ret_error;
        if (systemd_reply_is_void(host))
                return 0;

        host->link_slot = sd_bus_slot_unref(host->link_slot);
        if (sd_bus_message_is_method_error(reply, NULL)) {
                systemd_link_break(host);
                return 0;
        }

        host->n_attempts = 0;
        host->candidate = 0;
        if (!unit_directory_is_stale(&host->directory))
                link_sync(host, SYSTEMD_LINK_SYNCING);
        else if (link_reload(host) < 0)
                systemd_link_break(host);
        return 0;
}

static void link_drop(HostSystemd *host) {
        host->link = SYSTEMD_LINK_DOWN;
        host->link_slot = sd_bus_slot_unref(host->link_slot);
        systemd_refresh_clear(host);
        systemd_stages_clear(host);
        if (host->is_end_asked)
                host_end_is(&host->base, HOST_END_UNKNOWN);
        systemd_end_drop(host);
        loop_defer_cancel(&host->flush);
        loop_defer_cancel(&host->relink);
        bus_glue_detach(&host->glue);
        host->bus = sd_bus_close_unref(host->bus);
}

static void link_retry_later(HostSystemd *host) {
        Env *env = loop_env(host->base.loop);
        uint64_t delay_us = SYSTEMD_RETRY_MIN_US;

        for (unsigned i = 0; i < host->n_attempts && delay_us < SYSTEMD_RETRY_MAX_US; i++)
                delay_us *= 2;
        if (delay_us > SYSTEMD_RETRY_MAX_US)
                delay_us = SYSTEMD_RETRY_MAX_US;

        host->n_attempts++;
        delay_us = delay_us / 2 + env_random_below(env, delay_us / 2 + 1);
        timer_set_in(host->base.loop, &host->retry, delay_us);
}

/* Let go of the connection, and try again. Never from a callback of sd-bus. */
static void link_lost(HostSystemd *host, int error) {
        log_line(LOG_DEBUG, "Lost systemd: %s", strerror(-error));
        link_drop(host);
        host_set_ready(&host->base, false, "the connection to systemd was lost");
        host_end_all(&host->base, -ENOTCONN, "the connection to systemd was lost");
        link_retry_later(host);
}

static void on_lost(BusGlue *glue, int error) {
        link_lost(container_of(glue, HostSystemd, glue), error);
}

static int link_subscribe(HostSystemd *host, bool is_bus) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
        int r;

        r = systemd_signals_start(host, is_bus);
        if (r < 0)
                return r;
        r = systemd_manager_call(host, "Subscribe", &call);
        if (r < 0)
                return r;
        return sd_bus_call_async(host->bus, &host->link_slot, call, on_subscribed, host,
                                 SYSTEMD_CALL_TIMEOUT_US);
}

/* Takes the connection, which is set up but not started. */
static int link_open(HostSystemd *host, sd_bus *bus, bool is_bus) {
        int r;

        host->bus = bus;
        host->is_bus = is_bus;
        r = sd_bus_start(bus);
        if (r >= 0)
                r = bus_glue_attach(&host->glue, host->base.loop, bus, on_lost);
        if (r >= 0)
                r = link_subscribe(host, is_bus);
        if (r < 0) {
                link_drop(host);
                return r;
        }

        host->link = SYSTEMD_LINK_OPENING;
        return 0;
}

static int link_open_address(HostSystemd *host, const char *address, bool is_bus) {
        sd_bus *bus;
        int r;

        r = sd_bus_new(&bus);
        if (r < 0)
                return r;

        r = sd_bus_set_address(bus, address);
        if (r >= 0 && is_bus)
                r = sd_bus_set_bus_client(bus, true);
        if (r < 0) {
                (void)sd_bus_unref(bus);
                return r;
        }
        return link_open(host, bus, is_bus);
}

static int link_open_given(HostSystemd *host) {
        sd_bus *bus;
        int r;

        if (host->given_fd < 0)
                return -ENOTCONN;

        r = sd_bus_new(&bus);
        if (r < 0)
                return r;

        r = sd_bus_set_fd(bus, host->given_fd, host->given_fd);
        if (r < 0) {
                (void)sd_bus_unref(bus);
                return r;
        }
        host->given_fd = -1;
        return link_open(host, bus, false);
}

static int link_open_user(HostSystemd *host, bool is_bus) {
        const char *runtime = getenv("XDG_RUNTIME_DIR"),
                   *session = getenv("DBUS_SESSION_BUS_ADDRESS");
        _cleanup_(freep) char *address = NULL;

        if (is_bus && session)
                return link_open_address(host, session, true);
        if (!runtime)
                return -ENOENT;
        if (asprintf(&address, "unix:path=%s/%s", runtime, is_bus ? "bus" : "systemd/private") <
            0) {
                address = NULL;
                return -ENOMEM;
        }
        return link_open_address(host, address, is_bus);
}

static int link_open_way(HostSystemd *host, unsigned way) {
        const char *address = getenv("DBUS_SYSTEM_BUS_ADDRESS");
        bool is_bus = way > 0;

        if (host->is_given)
                return link_open_given(host);
        if (host->use_user_manager)
                return link_open_user(host, is_bus);
        if (is_bus)
                return link_open_address(host, address ? address : system_bus_address, true);
        return geteuid() == 0 ? link_open_address(host, system_private_address, false) : -EACCES;
}

static void on_retry(LoopTimer *timer) {
        HostSystemd *host = container_of(timer, HostSystemd, retry);

        loop_defer(host->base.loop, &host->relink);
}

static void on_relink(LoopDeferred *deferred) {
        HostSystemd *host = container_of(deferred, HostSystemd, relink);
        int r = -ENOTCONN;

        if (host->bus) {
                link_lost(host, -ECONNABORTED);
                return;
        }

        for (unsigned i = 0; i < SYSTEMD_WAYS && r < 0; i++)
                r = link_open_way(host, host->candidate++ % SYSTEMD_WAYS);
        if (r < 0 && (!host->is_given || host->given_fd >= 0))
                link_retry_later(host);
}

void systemd_link_break(HostSystemd *host) {
        loop_defer(host->base.loop, &host->relink);
}

/* What the front-end asks for */

static void on_flush(LoopDeferred *deferred) {
        HostSystemd *host = container_of(deferred, HostSystemd, flush);

        if (!host->bus)
                return;

        systemd_calls_flush(host);
        systemd_stages_flush(host);
        systemd_refresh_flush(host);
}

static int host_systemd_start(Host *base) {
        HostSystemd *host = container_of(base, HostSystemd, base);
        int r = unit_directory_create(&host->directory);

        if (r == 0)
                r = systemd_files_adopt(host);
        if (r < 0)
                return r;

        loop_defer(base->loop, &host->relink);
        return 0;
}

static void host_systemd_begin(Host *base, HostOp *base_op) {
        static void (*const begins[])(SystemdOp * op) = {
                [HOST_VERB_LOAD] = systemd_load_begin,     [HOST_VERB_START] = systemd_start_begin,
                [HOST_VERB_RESTART] = systemd_start_begin, [HOST_VERB_STOP] = systemd_stop_begin,
                [HOST_VERB_UNLOAD] = systemd_unload_begin,
        };
        HostSystemd *host = container_of(base, HostSystemd, base);

        if (host->link != SYSTEMD_LINK_READY) {
                host_op_end(base_op, -ENOTCONN, "systemd is not connected");
                return;
        }
        begins[base_op->verb](container_of(base_op, SystemdOp, base));
}

static void host_systemd_release(Host *base, HostOp *base_op) {
        SystemdOp *op = container_of(base_op, SystemdOp, base);

        systemd_job_credit_return(container_of(base, HostSystemd, base), op);
        free(op->old_text);
}

static void host_systemd_forget(Host *base, HostEntry *entry) {
        (void)base;
        list_remove(&container_of(entry, SystemdUnit, base)->refresh);
}

static int host_systemd_guard_until(Host *base, uint64_t until_us) {
        HostSystemd *host = container_of(base, HostSystemd, base);

        return host->guard_path ? guard_write(host->guard_path, until_us) : -EOPNOTSUPP;
}

static uint64_t host_systemd_guarded_until_us(const Host *base) {
        const HostSystemd *host = container_of(base, const HostSystemd, base);
        uint64_t until_us;

        return host->guard_path && guard_read(host->guard_path, &until_us) == 0 ? until_us : 0;
}

static void host_systemd_close(Host *base) {
        HostSystemd *host = container_of(base, HostSystemd, base);

        timer_clear(&host->retry);
        directory_watch_stop(&host->files);
        link_drop(host);
}

static void host_systemd_free(Host *base) {
        HostSystemd *host = container_of(base, HostSystemd, base);

        link_drop(host);
        directory_watch_stop(&host->files);
        timer_clear(&host->retry);
        if (host->given_fd >= 0)
                (void)close(host->given_fd);
        hash_map_done(&host->jobs);
        intern_done(&host->intern);
        unit_directory_done(&host->directory);
        free(host->link_directory);
        free(host->guard_path);
        free(host);
}

static const HostVtable host_systemd_vtable = {
        .op_bytes = sizeof(SystemdOp),
        .entry_bytes = sizeof(SystemdUnit),
        .start = host_systemd_start,
        .begin = host_systemd_begin,
        .abandon = systemd_op_abandon,
        .release = host_systemd_release,
        .forget = host_systemd_forget,
        .guard_until = host_systemd_guard_until,
        .guarded_until_us = host_systemd_guarded_until_us,
        .ask_end = systemd_end_begin,
        .close = host_systemd_close,
        .free = host_systemd_free,
};

static int link_directory_init(HostSystemd *host) {
        const char *runtime = getenv("XDG_RUNTIME_DIR");

        if (!host->use_user_manager)
                host->link_directory = strdup(system_link_directory);
        else if (!runtime)
                return 0;
        else if (asprintf(&host->link_directory, "%s/systemd/user", runtime) < 0)
                host->link_directory = NULL;
        return host->link_directory ? 0 : -ENOMEM;
}

int host_systemd_new(Host **ret_host, Loop *loop, const HostSystemdOptions *options) {
        HostSystemd *host;
        int r;

        host = calloc(1, sizeof(HostSystemd));
        if (!host)
                return -ENOMEM;

        host_init(&host->base, loop, &host_systemd_vtable);
        host->intern.words = hash_map_make(host->base.units.seed);
        host->use_user_manager = options->use_user_manager;
        host->given_fd = -1;
        host->is_given = options->bus_fd >= 0;
        host->retry.fn = on_retry;
        host->relink.fn = on_relink;
        host->flush.fn = on_flush;
        host->ask_end.fn = systemd_on_ask_end;
        systemd_stages_init(host);

        r = unit_directory_init(&host->directory, options->units_directory);
        if (r >= 0)
                r = link_directory_init(host);
        if (r >= 0 && options->guard_path) {
                host->guard_path = strdup(options->guard_path);
                r = host->guard_path ? 0 : -ENOMEM;
        }
        if (r < 0) {
                host_systemd_free(&host->base);
                return r;
        }

        host->given_fd = options->bus_fd;
        *ret_host = &host->base;
        return 0;
}
