/* SPDX-License-Identifier: Apache-2.0 */

/* Copies of a file of the built-in store, and back to one.
 *
 * FILE.new        what is being put in place
 * FILE.replaced   what was in its place, whole, without a log
 *
 * There is no moment at which nothing is in the place of the file: a daemon that looks then would
 * make an empty one.
 */

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/store/sqlite-private.h"

enum {
        /* Where nobody can tell how far the store had come: more than it can have. It takes a year
         * of 30 writes a second to come so far, and there is room for thousands of such leaps. */
        LEAP_REVISIONS = 1000000000,
        REPLACED_MAX = 1000, /* files aside that are told apart */
};

int sqlite_file_copy(const char *path, const char *to, Diag *diag) {
        SqliteFile *file;
        sqlite3_stmt *s = NULL;
        int r;

        r = sqlite_attach(&file, path, diag);
        if (r < 0)
                return r;

        if (sqlite3_prepare_v2(file->db, "VACUUM INTO ?1", -1, &s, NULL) == SQLITE_OK)
                (void)sqlite3_bind_text(s, 1, to, -1, SQLITE_STATIC);
        if (!s || sqlite3_step(s) != SQLITE_DONE)
                r = sqlite_file_error(file, diag);
        (void)sqlite3_finalize(s);
        sqlite_file_close(file);
        return r;
}

/* ---- what is in place */

/* Reads how far the store had come, and folds its log into it. Returns 1 when it can be put aside as
 * it is, 0 when there is nothing in the way. */
static int restore_examine(SqliteFile *held, SqliteRestored *restored, Diag *diag) {
        SqliteFile *old;
        int r;

        if (!sqlite_path_exists(held->path, ""))
                return 0;

        r = sqlite_attach(&old, held->path, diag);
        if (r == 0) {
                r = sqlite_file_look(old, diag);
                if (r == 0) {
                        restored->revision = old->revision;
                        r = sqlite_exec(old, "PRAGMA journal_mode = DELETE", diag);
                }
                sqlite_file_close(old);
        }
        if (r != -EUCLEAN)
                return r < 0 ? r : 1;

        r = sqlite_move_aside(held, diag);
        return r == -EUCLEAN ? 0 : r;
}

/* Gives it a second name, the first that is free. */
static int restore_put_aside(const SqliteFile *held, SqliteRestored *restored, Diag *diag) {
        for (int n = 1; n <= REPLACED_MAX; n++) {
                _cleanup_(freep) char *aside = NULL;
                char suffix[32] = ".replaced";

                if (n > 1)
                        (void)snprintf(suffix, sizeof(suffix), ".replaced%d", n);
                if (sqlite_path_with(held->path, suffix, &aside) < 0)
                        return -ENOMEM;
                if (link(held->path, aside) == 0) {
                        restored->aside = TAKE(aside);
                        return 0;
                }
                if (errno != EEXIST)
                        return sqlite_system_error(errno, "keep a copy as", aside, diag);
        }
        return diag_set(diag, -EEXIST, "too many replaced files lie beside %s: remove some",
                        held->path);
}

/* ---- what is put in its place */

/* Every watch and every list from before has to begin anew, and no revision is told twice. */
static int restore_raise(SqliteFile *file, SqliteRestored *restored, Diag *diag) {
        char *sql;
        int r;

        r = sqlite_file_look(file, diag);
        if (r < 0)
                return r;

        restored->from_revision = file->revision;
        restored->is_guess = restored->revision == 0;
        if (restored->revision < file->revision)
                restored->revision = file->revision;
        restored->revision += restored->is_guess ? LEAP_REVISIONS : 1;
        sql = sqlite3_mprintf("BEGIN IMMEDIATE;"
                              "DELETE FROM change WHERE id NOT IN (SELECT change FROM live);"
                              "REPLACE INTO setting (name, value) VALUES ('compacted', %lld);"
                              "REPLACE INTO setting (name, value) VALUES ('floor', %lld);"
                              "COMMIT",
                              (long long)restored->revision, (long long)restored->revision);
        r = sql ? sqlite_exec(file, sql, diag) : -ENOMEM;
        sqlite3_free(sql);
        return r;
}

/* Makes the file that is to take the place; it is on the disk when this returns. */
static int restore_make(const char *fresh, const char *from, SqliteRestored *restored, Diag *diag) {
        SqliteFile *file;
        int fd, r;

        if (unlink(fresh) < 0 && errno != ENOENT)
                return sqlite_system_error(errno, "remove", fresh, diag);
        fd = open(fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return sqlite_system_error(errno, "make", fresh, diag);
        (void)close(fd);

        r = sqlite_file_copy(from, fresh, diag);
        if (r == 0)
                r = sqlite_attach(&file, fresh, diag);
        if (r < 0)
                return r;
        r = sqlite_exec(file, "PRAGMA synchronous = FULL", diag);
        if (r == 0)
                r = restore_raise(file, restored, diag);
        sqlite_file_close(file);
        return r;
}

/* What a log of another file would do to it is not to be found out. */
static int restore_place(const SqliteFile *held, const char *fresh, Diag *diag) {
        static const char *const leftovers[] = { "-wal", "-shm" };

        for (size_t i = 0; i < ELEMENTSOF(leftovers); i++) {
                _cleanup_(freep) char *name = NULL;

                if (sqlite_path_with(held->path, leftovers[i], &name) < 0)
                        return -ENOMEM;
                if (unlink(name) < 0 && errno != ENOENT)
                        return sqlite_system_error(errno, "remove", name, diag);
        }
        if (rename(fresh, held->path) < 0)
                return sqlite_system_error(errno, "put in place", held->path, diag);
        return sqlite_sync_directory(held->path, diag);
}

static int restore_into(SqliteFile *held, const char *from, SqliteRestored *restored, Diag *diag) {
        _cleanup_(freep) char *fresh = NULL;
        int r;

        if (sqlite_path_with(held->path, ".new", &fresh) < 0)
                return -ENOMEM;

        r = restore_examine(held, restored, diag);
        if (r < 0)
                return r;
        if (r == 1) {
                r = restore_put_aside(held, restored, diag);
                if (r < 0)
                        return r;
        }
        r = restore_make(fresh, from, restored, diag);
        if (r == 0)
                r = restore_place(held, fresh, diag);
        if (r < 0) {
                (void)unlink(fresh);
                if (restored->aside)
                        (void)unlink(restored->aside);
        }
        return r;
}

int sqlite_file_restore(const char *path, const char *from, bool waits,
                        SqliteRestored *ret_restored, Diag *diag) {
        SqliteFile *held = calloc(1, sizeof(*held));
        int r;

        *ret_restored = (SqliteRestored){ 0 };
        if (!held)
                return -ENOMEM;

        r = sqlite_file_hold(held, path, waits, diag);
        if (r == 0)
                r = restore_into(held, from, ret_restored, diag);
        if (r < 0) {
                free(ret_restored->aside);
                *ret_restored = (SqliteRestored){ 0 };
        }
        sqlite_file_close(held);
        return r;
}
