/* SPDX-License-Identifier: Apache-2.0 */

/* The files in the units directory, as others leave them: found at the start, and told by the kernel
 * when somebody puts one there, changes or removes one. The unit's hash follows the file, and the
 * listener is told: what is to be done about it is its to decide. Our own changes lead to the hash
 * that the unit has already.
 *
 * Nobody but fleet has a use for that folder, so what is named as a unit there and is neither a file
 * nor a folder, such as a link, is removed. Folders are left alone: systemd does not look at those.
 */

#include <errno.h>

#include "lib/base/log.h"
#include "lib/host/host-systemd-private.h"
#include "lib/unit/unit-name.h"

/* The hash of the file, empty where there is none that can be read. Returns 0 or -ENOMEM. */
static int file_hash(HostSystemd *host, const char *name, char ret_hash[UNIT_HASH_BYTES]) {
        _cleanup_(freep) char *text = NULL;
        size_t n_bytes;
        int r = unit_directory_read(&host->directory, name, &text, &n_bytes);

        ret_hash[0] = '\0';
        if (r == -ELOOP || r == -EINVAL) {
                r = unit_directory_remove(&host->directory, name);
                if (r == 0)
                        log_unit(LOG_NOTICE, name,
                                 "Removed %s%s, which is no file: nothing but fleet's unit files "
                                 "belongs there",
                                 host->directory.path, name);
        } else if (r == 0)
                unit_text_hash(text, n_bytes, ret_hash);
        return r == -ENOMEM ? r : 0;
}

static void look_at_unit(HostSystemd *host, HostEntry *entry) {
        char hash[UNIT_HASH_BYTES];

        if (file_hash(host, entry->unit.name, hash) < 0 || streq(hash, entry->unit.hash))
                return;

        memcpy(entry->unit.hash, hash, sizeof(hash));
        host_entry_changed(&host->base, entry);
}

/* A file that nobody gave to us. */
static void take_in(HostSystemd *host, const char *name) {
        char hash[UNIT_HASH_BYTES];
        HostEntry *entry;

        if (file_hash(host, name, hash) < 0 || hash[0] == '\0' ||
            host_entry_add(&host->base, name, &entry) < 0)
                return;

        memcpy(entry->unit.hash, hash, sizeof(hash));
        systemd_refresh_unit(host, container_of(entry, SystemdUnit, base));
        host_entry_changed(&host->base, entry);
}

/* Does an operation change the file of this unit now? What it does is its own to tell. A job does
 * nothing to it, and may take as long as it likes. */
static bool file_is_ours_now(const HostSystemd *host, const char *name) {
        const HostOp *op = host_op_find(&host->base, name);

        return op && (op->verb == HOST_VERB_LOAD || op->verb == HOST_VERB_UNLOAD);
}

static void look_at(HostSystemd *host, const char *name) {
        HostEntry *entry;

        if (name[0] == '.' || unit_name_check(name, NULL) < 0 || file_is_ours_now(host, name))
                return;

        entry = host_entry_find(&host->base, name);
        if (entry)
                look_at_unit(host, entry);
        else
                take_in(host, name);
}

static int look_at_found(const char *name, const char hash[UNIT_HASH_BYTES], void *userdata) {
        (void)hash;
        look_at(userdata, name);
        return 0;
}

/* The folder has gone, or too much happened: it is made anew, and everything looked at. */
static void look_at_all(HostSystemd *host) {
        int r = systemd_files_watch(host);

        if (r < 0)
                log_line(LOG_WARNING, "Cannot watch %s, where fleet keeps its unit files: %s",
                         host->directory.path, strerror(-r));
        (void)unit_directory_scan(&host->directory, look_at_found, host);
        for (HashNode *node = hash_map_first(&host->base.units); node;
             node = hash_map_next(&host->base.units, node)) {
                HostEntry *entry = container_of(node, HostEntry, unit.node);

                if (!file_is_ours_now(host, entry->unit.name))
                        look_at_unit(host, entry);
        }
}

static void on_change(DirectoryWatch *watch, const char *name) {
        HostSystemd *host = container_of(watch, HostSystemd, files);

        if (name)
                look_at(host, name);
        else
                look_at_all(host);
}

int systemd_files_watch(HostSystemd *host) {
        int r = unit_directory_create(&host->directory);

        if (r < 0)
                return r;
        return directory_watch_start(&host->files, host->base.loop, host->directory.path,
                                     on_change);
}

static int adopt(const char *name, const char hash[UNIT_HASH_BYTES], void *userdata) {
        HostSystemd *host = userdata;
        char again[UNIT_HASH_BYTES];
        HostEntry *entry;
        int r;

        /* There is something of that name that cannot be read as a file. */
        if (hash[0] == '\0')
                return file_hash(host, name, again);

        r = host_entry_add(&host->base, name, &entry);
        if (r == 0)
                memcpy(entry->unit.hash, hash, UNIT_HASH_BYTES);
        return r;
}

int systemd_files_adopt(HostSystemd *host) {
        int r = systemd_files_watch(host);

        /* Without a watch everything works but the noticing. */
        if (r < 0)
                log_line(LOG_NOTICE,
                         "Cannot watch %s: %s; changes by hand are noticed at the next "
                         "start of fleet",
                         host->directory.path, strerror(-r));
        return unit_directory_scan(&host->directory, adopt, host);
}
