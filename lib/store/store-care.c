/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/store/store-care.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/store/store-sqlite-private.h"

int store_care_check(const char *module, const char *path, SqliteFindingFn fn, void *userdata,
                     SqliteSummary *ret_summary, Diag *diag) {
        const SqliteEngine *engine;
        int r = sqlite_store_load(&engine, module, diag);

        return r == 0 ? engine->check(path, fn, userdata, ret_summary, diag) : r;
}

/* ---- a copy */

static int fail(int error, const char *what, const char *path, Diag *diag) {
        return diag_set(diag, -error, "cannot %s %s: %s", what, path, strerror(error));
}

static int sync_path(const char *path, int flags, Diag *diag) {
        int fd = open(path, flags | O_CLOEXEC), r = 0;

        if (fd < 0 || fsync(fd) < 0)
                r = fail(errno, "write", path, diag);
        if (fd >= 0)
                (void)close(fd);
        return r;
}

/* The copy must not take the place of what it is a copy of, nor of what belongs to that. */
static int refuse_same(const char *path, const char *to, Diag *diag) {
        static const char *const names[] = { "", "-wal", "-shm", ".lock" };
        struct stat there, ours;

        if (stat(to, &there) < 0)
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_(freep) char *name = NULL;

                if (asprintf(&name, "%s%s", path, names[i]) < 0)
                        return -ENOMEM;
                if (stat(name, &ours) == 0 && ours.st_dev == there.st_dev &&
                    ours.st_ino == there.st_ino)
                        return diag_set(diag, -EINVAL, "%s is a part of the store itself", to);
        }
        return 0;
}

static int place(const char *fresh, const char *to, bool replaces, Diag *diag) {
        _cleanup_(freep) char *copy = strdup(to);
        int r;

        if (!copy)
                return -ENOMEM;

        r = sync_path(fresh, O_RDONLY, diag);
        if (r < 0)
                return r;
        /* Not every file system has links. */
        if (!replaces && link(fresh, to) == 0)
                (void)unlink(fresh);
        else if (!replaces && errno != EPERM)
                return fail(errno, "write", to, diag);
        else if (rename(fresh, to) < 0)
                return fail(errno, "write", to, diag);
        return sync_path(dirname(copy), O_RDONLY | O_DIRECTORY, diag);
}

static void on_finding(const char *what, void *userdata) {
        Diag *first = userdata;

        if (!first->message[0])
                diag_set(first, 0, "%s", what);
}

static int copy_and_check(const SqliteEngine *engine, const char *path, const char *fresh,
                          SqliteSummary *ret_summary, Diag *diag) {
        Diag first = { 0 };
        int r = engine->copy(path, fresh, diag);

        if (r == 0)
                r = engine->check(fresh, on_finding, &first, ret_summary, diag);
        if (r < 0)
                return r;
        return r == 1 ? 0
                      : diag_set(diag, -EUCLEAN, "what was copied of %s is not sound: %s", path,
                                 first.message);
}

int store_care_backup(const char *module, const char *path, const char *to, bool replaces,
                      SqliteSummary *ret_summary, Diag *diag) {
        _cleanup_(freep) char *fresh = NULL;
        const SqliteEngine *engine;
        int fd, r;

        r = sqlite_store_load(&engine, module, diag);
        if (r == 0)
                r = refuse_same(path, to, diag);
        if (r < 0)
                return r;
        if (!replaces && access(to, F_OK) == 0)
                return diag_set(diag, -EEXIST, "%s is there already", to);
        if (asprintf(&fresh, "%s.XXXXXX", to) < 0)
                return -ENOMEM;

        fd = mkostemp(fresh, O_CLOEXEC);
        if (fd < 0)
                return fail(errno, "write", to, diag);
        (void)close(fd);
        r = copy_and_check(engine, path, fresh, ret_summary, diag);
        if (r == 0)
                r = place(fresh, to, replaces, diag);
        if (r < 0)
                (void)unlink(fresh);
        return r;
}

/* ---- and back */

int store_care_restore(const char *module, const char *path, const char *from, bool waits,
                       SqliteRestored *ret_restored, Diag *diag) {
        SqliteSummary summary;
        Diag first = { 0 };
        const SqliteEngine *engine;
        int r;

        r = sqlite_store_load(&engine, module, diag);
        if (r == 0)
                r = refuse_same(path, from, diag);
        if (r == 0)
                r = engine->check(from, on_finding, &first, &summary, diag);
        if (r < 0)
                return r;
        if (r == 0)
                return diag_set(diag, -EUCLEAN, "%s is not sound, nothing was changed: %s", from,
                                first.message);
        return engine->restore(path, from, waits, ret_restored, diag);
}

void sqlite_restored_done(SqliteRestored *restored) {
        free(restored->aside);
        *restored = (SqliteRestored){ 0 };
}
