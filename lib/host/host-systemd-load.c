/* SPDX-License-Identifier: Apache-2.0 */

/* Loading and unloading.
 *
 *   load:    probe ─> (disable what the old file had enabled) ─> write ─> link ─> (enable)
 *            ─> (reload) ─> read the states ─> done
 *   unload:  (forget the failure) ─> disable ─> remove link and file ─> done
 *
 * systemd reads the file of a unit that it does not have loaded when the unit is first named, so a
 * reload is needed only where it has something loaded under the name and the file is another. That
 * is what the probe asks (GetUnit, which loads nothing), and only for a file that is new or
 * differs; a name that is loaded as "not-found", because another unit mentions it, does not count:
 * systemd looks again when its folders have changed. Something can be loaded although fleet has no
 * file of the name: another unit refers to it, so that systemd did not forget it after an unload.
 * The unload does not reload for that; the next load of the name finds out. Or it is a unit of the
 * machine's own, whose place is not taken while it runs.
 *
 * Between writing such a file and the reload the folder carries a mark (unit-directory.h) and the
 * unit remembers, so that neither a crash nor a cancelled or failed request makes the file pass for
 * what systemd runs.
 *
 * A load that systemd refuses to link or enable puts back what was there before. One whose file
 * systemd can read but not make sense of stays, as its LoadState says so to everybody, and ends
 * with HOST_E_LOAD.
 */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/host/guard.h"
#include "lib/host/host-systemd-private.h"
#include "lib/unit/unit-name.h"

/* Where the files of an operator take precedence over the links of this run (systemd.unit(5)). */
static const char administrator_directory[] = "/etc/systemd/system";

static SystemdUnit *op_unit(SystemdOp *op) {
        HostEntry *entry = host_entry_find(op->base.request->host, host_op_name(&op->base));

        return entry ? container_of(entry, SystemdUnit, base) : NULL;
}

/* Is it for want of something that the machine may have again? */
static bool is_lack(int error) {
        return error == -ENOSPC || error == -EDQUOT || error == -EMFILE || error == -ENFILE ||
               error == -EROFS || error == -EIO;
}

static void load_fail(SystemdOp *op, const char *what, int error) {
        host_op_end(&op->base, is_lack(error) ? HOST_E_LACK : HOST_E_LOAD, "%s: %s", what,
                    strerror(-error));
}

static bool text_has_install(const char *text, size_t n_bytes) {
        _cleanup_(unit_file_freep) UnitFile *file = NULL;

        return unit_file_parse(text, n_bytes, &file, NULL) >= 0 &&
               unit_file_has_section(file, "Install");
}

/* Reading the outcome */

static int on_load_error(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        SystemdOp *op = userdata;
        const char *message = "";
        SystemdUnit *unit;

        (void)ret_error;
        if (!systemd_op_replied(op))
                return 0;

        unit = op_unit(op);
        if (!sd_bus_message_is_method_error(reply, NULL))
                (void)sd_bus_message_read(reply, "v", "(ss)", NULL, &message);
        host_op_end(&op->base, HOST_E_LOAD,
                    "systemd cannot use the unit file (%s)%s%s; see: journalctl -u %s",
                    unit ? unit->base.unit.load : "gone", *message ? ": " : "", message,
                    host_op_name(&op->base));
        return 0;
}

static int get_property(SystemdOp *op, const char *property, sd_bus_message_handler_t on_reply) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
        _cleanup_(freep) char *path = NULL;
        int r;

        r = sd_bus_path_encode(systemd_unit_path, host_op_name(&op->base), &path);
        if (r >= 0)
                r = sd_bus_message_new_method_call(systemd_of_op(op)->bus, &call, systemd_service,
                                                   path, "org.freedesktop.DBus.Properties", "Get");
        if (r >= 0)
                r = sd_bus_message_append(call, "ss", systemd_unit_interface, property);
        return r < 0 ? r : systemd_op_send(op, call, on_reply);
}

static int send_load_error(SystemdOp *op) {
        return get_property(op, "LoadError", on_load_error);
}

/* A unit whose file had vanished is not read again while it runs (systemd 252 tries, and ends with
 * LoadState=error), other than by a reload; nor, by older systemds, one that another unit mentions.
 */
static bool reload_may_help(const SystemdOp *op, const HostUnit *unit) {
        if (op->has_reloaded || !(streq(unit->load, "not-found") || streq(unit->load, "error")))
                return false;
        return op->was_known || !(streq(unit->active, "inactive") || streq(unit->active, "failed"));
}

void systemd_load_on_refreshed(SystemdOp *op, const sd_bus_error *error) {
        SystemdUnit *unit = op_unit(op);
        const char *load = unit ? unit->base.unit.load : "";

        op->is_verifying = false;
        if (error)
                systemd_op_end_by_error(op, HOST_E_LOAD, "systemd cannot load the unit", error);
        else if (streq(load, "loaded") || streq(load, "merged"))
                host_op_end(&op->base, 0, NULL);
        else if (streq(load, ""))
                host_op_end(&op->base, HOST_E_LOAD, "systemd knows no unit of this name");
        else if (reload_may_help(op, &unit->base.unit))
                systemd_stage_add(op, SYSTEMD_STAGE_RELOAD);
        else
                systemd_op_call(op, send_load_error);
}

static void load_verify(SystemdOp *op) {
        SystemdUnit *unit = op_unit(op);

        if (!unit || !systemd_name_can_be_loaded(host_op_name(&op->base))) {
                if (unit)
                        host_entry_changed(op->base.request->host, &unit->base);
                host_op_end(&op->base, 0, NULL);
                return;
        }
        op->is_verifying = true;
        systemd_refresh_unit(systemd_of_op(op), unit);
}

/* The file */

/* Binds the unit to the guard if its content says so; NULL = it goes. */
static int load_bind(SystemdOp *op, const char *text, size_t n_bytes) {
        _cleanup_(unit_file_freep) UnitFile *file = NULL;
        int r = text ? unit_file_parse(text, n_bytes, &file, NULL) : 0;

        return r == -ENOMEM ? r
                            : guard_bind(systemd_of_op(op)->link_directory, host_op_name(&op->base),
                                         file);
}

/* Puts back what was there before this load. */
static void load_undo(SystemdOp *op) {
        HostSystemd *host = systemd_of_op(op);
        const char *name = host_op_name(&op->base);
        SystemdUnit *unit = op_unit(op);

        if (!op->is_written || !unit)
                return;

        if (op->old_text && load_bind(op, op->old_text, op->n_old_bytes) >= 0 &&
            unit_directory_write(&host->directory, name, op->old_text, op->n_old_bytes) >= 0) {
                unit_text_hash(op->old_text, op->n_old_bytes, unit->base.unit.hash);
                return;
        }
        if (host->link_directory)
                unit_directory_remove_link(&host->directory, host->link_directory, name);
        (void)unit_directory_remove(&host->directory, name);
        (void)load_bind(op, NULL, 0);
        host_entry_remove(&host->base, &unit->base);
}

static int load_mark_change(HostSystemd *host, SystemdUnit *unit) {
        int r = unit_directory_set_stale(&host->directory, true);

        if (r < 0)
                return r;
        unit->changed_at = ++host->n_changes;
        return 0;
}

void systemd_units_reloaded(HostSystemd *host, uint64_t n_changes) {
        bool is_stale = false;

        for (HashNode *node = hash_map_first(&host->base.units); node;
             node = hash_map_next(&host->base.units, node)) {
                SystemdUnit *unit = container_of(node, SystemdUnit, base.unit.node);

                if (unit->changed_at <= n_changes)
                        unit->changed_at = 0;
                is_stale |= unit->changed_at > 0;
        }

        if (!is_stale)
                (void)unit_directory_set_stale(&host->directory, false);
}

static int load_write(SystemdOp *op) {
        HostSystemd *host = systemd_of_op(op);
        const char *name = host_op_name(&op->base);
        SystemdUnit *unit = op_unit(op);
        bool is_new = !unit;
        int r = 0;

        if (is_new) {
                HostEntry *entry;

                r = host_entry_add(&host->base, name, &entry);
                if (r < 0)
                        return r;
                unit = container_of(entry, SystemdUnit, base);
        }

        if (op->needs_reload)
                r = load_mark_change(host, unit);
        if (r >= 0)
                r = load_bind(op, op->base.text, op->base.n_bytes);
        if (r >= 0)
                r = unit_directory_write(&host->directory, name, op->base.text, op->base.n_bytes);
        if (r < 0) {
                /* The file that is there says whether it is bound, not the one that is not. */
                (void)load_bind(op, op->old_text, op->n_old_bytes);
                if (is_new)
                        host_entry_remove(&host->base, &unit->base);
                return r;
        }

        op->is_written = true;
        unit_text_hash(op->base.text, op->base.n_bytes, unit->base.unit.hash);
        /* A new one is told once there is more to say than that it exists. */
        if (!is_new)
                host_entry_changed(&host->base, &unit->base);
        return 0;
}

static void load_put(SystemdOp *op) {
        int r = op->is_changing ? load_write(op) : 0;

        if (r == -ENOMEM)
                host_op_end(&op->base, r, "out of memory");
        else if (r < 0)
                load_fail(op, "cannot write the unit file", r);
        else
                systemd_stage_add(op, SYSTEMD_STAGE_LINK);
}

/* What had been enabled is disabled: remove link and file, and end the operation. */
static void unload_finish(SystemdOp *op) {
        HostSystemd *host = systemd_of_op(op);
        const char *name = host_op_name(&op->base);
        SystemdUnit *unit = op_unit(op);
        int r;

        if (host->link_directory)
                unit_directory_remove_link(&host->directory, host->link_directory, name);
        r = unit_directory_remove(&host->directory, name);
        if (r >= 0)
                r = load_bind(op, NULL, 0);
        if (r < 0) {
                load_fail(op, "cannot remove the unit file", r);
                return;
        }

        if (unit)
                host_entry_remove(&host->base, &unit->base);
        host_op_end(&op->base, 0, NULL);
}

void systemd_load_on_stage(SystemdOp *op, SystemdStageId id, const sd_bus_error *error) {
        static const char *const what[_SYSTEMD_STAGE_MAX] = {
                [SYSTEMD_STAGE_LINK] = "systemd cannot link the unit file",
                [SYSTEMD_STAGE_ENABLE] = "systemd cannot enable the unit",
                [SYSTEMD_STAGE_RELOAD] = "systemd cannot reload its unit files",
                [SYSTEMD_STAGE_DISABLE] = "systemd cannot disable the unit",
        };

        if (id == SYSTEMD_STAGE_DISABLE && (!error || !systemd_error_is_timeout(error))) {
                if (op->base.verb == HOST_VERB_LOAD)
                        load_put(op);
                else
                        unload_finish(op);
                return;
        }

        if (error) {
                bool lacks = is_lack(-sd_bus_error_get_errno(error));

                if (id != SYSTEMD_STAGE_RELOAD && op->base.verb == HOST_VERB_LOAD)
                        load_undo(op);
                systemd_op_end_by_error(op, lacks ? HOST_E_LACK : HOST_E_LOAD, what[id], error);
                return;
        }

        op->has_reloaded |= id == SYSTEMD_STAGE_RELOAD;
        if (id == SYSTEMD_STAGE_LINK && op->has_install)
                systemd_stage_add(op, SYSTEMD_STAGE_ENABLE);
        else if (op->needs_reload && !op->has_reloaded)
                systemd_stage_add(op, SYSTEMD_STAGE_RELOAD);
        else
                load_verify(op);
}

/* The probe */

static void load_probed(SystemdOp *op) {
        HostSystemd *host = systemd_of_op(op);

        if (op->is_probing) {
                op->is_probing = false;
                host->n_probing--;
                loop_defer(host->base.loop, &host->flush);
        }

        if (op->had_install)
                systemd_stage_add(op, SYSTEMD_STAGE_DISABLE);
        else
                load_put(op);
}

/* Is it the file of a unit that the machine came with, or that was installed on it? */
static bool is_own_file(const char *path) {
        static const char *const directories[] = { "/usr/lib/", "/lib/", "/usr/local/lib/" };

        for (size_t i = 0; i < ELEMENTSOF(directories); i++)
                if (strncmp(path, directories[i], strlen(directories[i])) == 0)
                        return true;
        return false;
}

static int on_active_state(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        SystemdOp *op = userdata;
        const char *active = "";

        (void)ret_error;
        if (!systemd_op_replied(op))
                return 0;

        if (!sd_bus_message_is_method_error(reply, NULL))
                (void)sd_bus_message_read(reply, "v", "s", &active);
        if (streq(active, "") || streq(active, "inactive") || streq(active, "failed")) {
                load_probed(op);
                return 0;
        }
        systemd_op_abandon(&systemd_of_op(op)->base, &op->base);
        host_op_end(&op->base, HOST_E_LOAD,
                    "this machine runs a unit of its own of this name: rename the unit");
        return 0;
}

static int send_get_active_state(SystemdOp *op) {
        return get_property(op, "ActiveState", on_active_state);
}

static int on_fragment_path(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        SystemdOp *op = userdata;
        const char *path = "";

        (void)ret_error;
        if (!systemd_op_replied(op))
                return 0;

        if (!sd_bus_message_is_method_error(reply, NULL))
                (void)sd_bus_message_read(reply, "v", "s", &path);
        if (is_own_file(path))
                systemd_op_call(op, send_get_active_state);
        else
                load_probed(op);
        return 0;
}

static int send_get_fragment_path(SystemdOp *op) {
        return get_property(op, "FragmentPath", on_fragment_path);
}

static int on_load_state(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        SystemdOp *op = userdata;
        const char *load = "";

        (void)ret_error;
        if (!systemd_op_replied(op))
                return 0;

        if (!sd_bus_message_is_method_error(reply, NULL))
                (void)sd_bus_message_read(reply, "v", "s", &load);
        op->needs_reload = !streq(load, "not-found");
        if (streq(load, "loaded") && !op_unit(op))
                systemd_op_call(op, send_get_fragment_path);
        else
                load_probed(op);
        return 0;
}

static int send_get_load_state(SystemdOp *op) {
        return get_property(op, "LoadState", on_load_state);
}

static int on_unit_got(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        SystemdOp *op = userdata;
        const sd_bus_error *error = sd_bus_message_get_error(reply);

        (void)ret_error;
        if (!systemd_op_replied(op))
                return 0;

        op->was_known = !error;
        if (!error)
                systemd_op_call(op, send_get_load_state);
        else if (systemd_error_is_timeout(error))
                systemd_op_end_by_error(op, HOST_E_LOAD, "cannot load the unit", error);
        else
                load_probed(op);
        return 0;
}

static int send_get_unit(SystemdOp *op) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
        int r;

        r = systemd_manager_call(systemd_of_op(op), "GetUnit", &call);
        if (r >= 0)
                r = sd_bus_message_append_basic(call, 's', host_op_name(&op->base));
        return r < 0 ? r : systemd_op_send(op, call, on_unit_got);
}

/* Reads the file that is there, for what it enabled and for putting it back. */
static int load_keep_old(SystemdOp *op) {
        HostSystemd *host = systemd_of_op(op);
        int r;

        r = unit_directory_read(&host->directory, host_op_name(&op->base), &op->old_text,
                                &op->n_old_bytes);
        if (r >= 0)
                op->had_install = text_has_install(op->old_text, op->n_old_bytes);
        return r == -ENOMEM ? r : 0;
}

/* What of this machine's own keeps a link of this name from working? */
static bool name_is_taken(HostSystemd *host, const char *name) {
        char path[PATH_MAX];

        if (host->use_user_manager || host->is_given)
                return false;
        (void)snprintf(path, sizeof(path), "%s/%s", administrator_directory, name);
        return access(path, F_OK) >= 0;
}

/* Has an operator said that the unit may not start, until the next boot? To link our file would undo
 * that. */
static bool is_masked(const HostSystemd *host, const char *name) {
        char path[PATH_MAX], target[sizeof("/dev/null")];

        if (!host->link_directory)
                return false;
        (void)snprintf(path, sizeof(path), "%s/%s", host->link_directory, name);
        return readlink(path, target, sizeof(target)) == sizeof(target) - 1 &&
               memcmp(target, "/dev/null", sizeof(target) - 1) == 0;
}

void systemd_load_begin(SystemdOp *op) {
        HostSystemd *host = systemd_of_op(op);
        const char *name = host_op_name(&op->base);
        SystemdUnit *unit = op_unit(op);
        char hash[UNIT_HASH_BYTES];

        /* systemd never looks at files whose names start with a dot. */
        if (unit_name_check(name, NULL) < 0 || name[0] == '.') {
                host_op_end(&op->base, HOST_E_LOAD, "systemd cannot have a unit of this name");
                return;
        }
        if (name_is_taken(host, name)) {
                host_op_end(&op->base, HOST_E_LOAD,
                            "%s/%s of this machine takes precedence: remove it, or rename the unit",
                            administrator_directory, name);
                return;
        }

        if (is_masked(host, name)) {
                host_op_end(&op->base, HOST_E_LOAD,
                            "it is masked on this machine; systemctl unmask --runtime %s undoes "
                            "that",
                            name);
                return;
        }

        unit_text_hash(op->base.text, op->base.n_bytes, hash);
        op->has_install = text_has_install(op->base.text, op->base.n_bytes);
        op->is_changing = !unit || !streq(unit->base.unit.hash, hash);
        op->needs_reload = unit && unit->changed_at > 0;
        if (!op->is_changing) {
                systemd_stage_add(op, SYSTEMD_STAGE_LINK);
                return;
        }

        if (unit && load_keep_old(op) < 0) {
                host_op_end(&op->base, -ENOMEM, "out of memory");
                return;
        }
        op->is_probing = true;
        host->n_probing++;
        systemd_op_call(op, send_get_unit);
}

/* Unloading */

static int on_failure_reset(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        SystemdOp *op = userdata;

        (void)reply;
        (void)ret_error;
        /* An error is fine: systemd has forgotten the unit by itself. */
        if (systemd_op_replied(op))
                systemd_stage_add(op, SYSTEMD_STAGE_DISABLE);
        return 0;
}

static int send_reset_failed(SystemdOp *op) {
        return systemd_op_send_reset_failed(op, on_failure_reset);
}

void systemd_unload_begin(SystemdOp *op) {
        SystemdUnit *unit = op_unit(op);

        if (!unit)
                host_op_end(&op->base, 0, NULL);
        else if (streq(unit->base.unit.active, "failed"))
                systemd_op_call(op, send_reset_failed);
        else
                systemd_stage_add(op, SYSTEMD_STAGE_DISABLE);
}
