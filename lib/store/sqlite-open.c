/* SPDX-License-Identifier: Apache-2.0 */

/* Opening and closing the file of the built-in store.
 *
 * FILE          the database; FILE-wal and FILE-shm are SQLite's
 * FILE.lock     locked by whoever has it open, with the process's number in it
 * FILE.corrupt  a database that turned out to be corrupt, with its -wal; nothing is written to it
 *
 * Nothing is changed before the file has turned out to be ours, of a version that we know, and
 * sound. A corrupt one is moved aside with its log, and as long as it lies there and nothing took
 * its place, nothing is opened: an empty store in place of a full one would stop every unit.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/store/sqlite-private.h"

enum {
        FILE_APPLICATION = 0x666c6565, /* "flee": application_id (sqlite.org/fileformat.html) */
        FILE_VERSION = 2,              /* of the tables: user_version */
        ASIDE_MAX = 100,               /* corrupt files that are told apart */
};

static const char schema[] =
        "BEGIN IMMEDIATE;"
        "CREATE TABLE change ("
        " id INTEGER PRIMARY KEY, key BLOB NOT NULL, value BLOB,"
        " created INTEGER NOT NULL, lease INTEGER NOT NULL, version INTEGER NOT NULL,"
        " previous INTEGER);"
        "CREATE TABLE live ("
        " key BLOB PRIMARY KEY, change INTEGER NOT NULL, created INTEGER NOT NULL,"
        " lease INTEGER NOT NULL, version INTEGER NOT NULL) WITHOUT ROWID;"
        "CREATE INDEX live_by_lease ON live (lease, key) WHERE lease <> 0;"
        "CREATE TABLE lease (id INTEGER PRIMARY KEY, ttl_s INTEGER NOT NULL, left_us INTEGER);"
        "CREATE TABLE setting (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
        "INSERT INTO setting (name, value) VALUES ('compacted', 0);"
        "PRAGMA application_id = 1718379877;"
        "PRAGMA user_version = 2;"
        "COMMIT";

/* From version 1 to 2. */
static const char upgrade[] =
        "BEGIN IMMEDIATE;"
        "ALTER TABLE change ADD COLUMN previous INTEGER;"
        "UPDATE change SET previous = ("
        " SELECT iif(old.created > 0, old.id, NULL) FROM change AS old"
        " WHERE old.key = change.key AND old.id < change.id ORDER BY old.id DESC LIMIT 1);"
        "DROP INDEX change_by_key;"
        "PRAGMA user_version = 2;"
        "COMMIT";

static_assert(FILE_APPLICATION == 1718379877, "the schema writes it");
static_assert(FILE_VERSION == 2, "the schema and the upgrade write it");

/* A small cache: what is read again comes from the system's. The log is folded into the file in
 * portions that are quickly written. */
static const char settings[] = "PRAGMA cache_size = -256;"
                               "PRAGMA mmap_size = 0;"
                               "PRAGMA temp_store = MEMORY;"
                               "PRAGMA trusted_schema = OFF;"
                               "PRAGMA cell_size_check = ON";

static const char durability[] = "PRAGMA journal_mode = WAL;"
                                 "PRAGMA synchronous = FULL;"
                                 "PRAGMA wal_autocheckpoint = 250;"
                                 "PRAGMA journal_size_limit = 4194304";

static const char *const companions[] = { "", "-wal" };

int sqlite_path_with(const char *path, const char *suffix, char **ret_path) {
        return asprintf(ret_path, "%s%s", path, suffix) < 0 ? -ENOMEM : 0;
}

bool sqlite_path_exists(const char *path, const char *suffix) {
        _cleanup_(freep) char *name = NULL;
        struct stat status;

        return sqlite_path_with(path, suffix, &name) == 0 && lstat(name, &status) == 0;
}

int sqlite_system_error(int error, const char *what, const char *path, Diag *diag) {
        int r = error == ENOSPC || error == EDQUOT                    ? -ENOSPC
                : error == EROFS || error == EACCES || error == EPERM ? -EROFS
                                                                      : -EIO;

        return diag_set(diag, r, "cannot %s %s: %s", what, path, strerror(error));
}

/* ---- the lock */

/* The message names who holds the lock, as far as the file says. */
static int sqlite_lock_refused(const SqliteFile *file, Diag *diag) {
        char text[16] = "";
        ssize_t n = pread(file->lock_fd, text, sizeof(text) - 1, 0);

        text[n > 0 ? strspn(text, "0123456789") : 0] = '\0';
        return diag_set(diag, -EBUSY, "%s is in use by another process%s%s", file->path,
                        *text ? ", of number " : "", text);
}

static int sqlite_lock(SqliteFile *file, bool waits, Diag *diag) {
        int r;

        file->lock_fd = open(file->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (file->lock_fd < 0)
                return sqlite_system_error(errno, "write", file->lock_path, diag);
        if (flock(file->lock_fd, waits ? LOCK_EX : LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK
                               ? sqlite_lock_refused(file, diag)
                               : sqlite_system_error(errno, "lock", file->lock_path, diag);

        /* For the message of the other one only: on a full disk it stays empty. */
        r = ftruncate(file->lock_fd, 0);
        if (r == 0)
                (void)dprintf(file->lock_fd, "%d\n", (int)getpid());
        return 0;
}

/* ---- a corrupt file */

static int sqlite_refuse_aside(const SqliteFile *file, Diag *diag) {
        return diag_set(diag, -EUCLEAN,
                        "%s was found corrupt and is kept as %s.corrupt. Nothing takes its place "
                        "by itself: put a copy of it from a backup back as %s, or move "
                        "%s.corrupt away to begin with an empty store",
                        file->path, file->path, file->path, file->path);
}

/* Moves the file and its log aside under the first name that is free. */
int sqlite_move_aside(const SqliteFile *file, Diag *diag) {
        char name[32] = ".corrupt";

        for (int n = 2; sqlite_path_exists(file->path, name); n++) {
                if (n > ASIDE_MAX)
                        return diag_set(diag, -EUCLEAN,
                                        "%s is corrupt, and too many corrupt ones lie beside it "
                                        "already: it stays where it is",
                                        file->path);
                (void)snprintf(name, sizeof(name), ".corrupt%d", n);
        }

        for (size_t i = 0; i < ELEMENTSOF(companions); i++) {
                _cleanup_(freep) char *from = NULL, *to = NULL;

                if (asprintf(&from, "%s%s", file->path, companions[i]) < 0 ||
                    asprintf(&to, "%s%s%s", file->path, name, companions[i]) < 0)
                        return -ENOMEM;
                if (rename(from, to) < 0 && errno != ENOENT)
                        return sqlite_system_error(errno, "move aside the corrupt", from, diag);
        }
        return diag_wrap(diag, -EUCLEAN,
                         "%s is corrupt and was moved aside as %s%s; put a copy of it from a "
                         "backup in its place, or move that away, too, to begin with an empty "
                         "store. What is wrong",
                         file->path, file->path, name);
}

/* ---- what the file is */

int sqlite_exec(SqliteFile *file, const char *sql, Diag *diag) {
        return sqlite3_exec(file->db, sql, NULL, NULL, NULL) == SQLITE_OK
                       ? 0
                       : sqlite_file_error(file, diag);
}

static int on_number(void *userdata, int n_columns, char **columns, char **names) {
        int64_t *number = userdata;

        (void)n_columns;
        (void)names;
        *number = columns[0] ? strtoll(columns[0], NULL, 10) : 0;
        return 0;
}

static int sqlite_number(SqliteFile *file, const char *sql, int64_t *ret_number, Diag *diag) {
        return sqlite3_exec(file->db, sql, on_number, ret_number, NULL) == SQLITE_OK
                       ? 0
                       : sqlite_file_error(file, diag);
}

int sqlite_recognize(SqliteFile *file, Diag *diag) {
        int64_t application = 0, version = 0, n_tables = 0;
        int r;

        r = sqlite_number(file, "PRAGMA application_id", &application, diag);
        if (r == 0)
                r = sqlite_number(file, "PRAGMA user_version", &version, diag);
        if (r == 0)
                r = sqlite_number(file, "SELECT count(*) FROM sqlite_schema", &n_tables, diag);
        if (r < 0)
                return r;

        if (application == 0 && version == 0 && n_tables == 0)
                return 0;
        if (application != FILE_APPLICATION)
                return diag_set(diag, -EPROTO,
                                "%s is a database of another program; it was left as it is",
                                file->path);
        if (version < 1 || version > FILE_VERSION)
                return diag_set(diag, -EPROTO,
                                "%s has version %lld, and this fleetd knows version %d: install "
                                "the newer fleet again; the file was left as it is",
                                file->path, (long long)version, FILE_VERSION);
        file->version = (int)version;
        return 1;
}

static int on_check(void *userdata, int n_columns, char **columns, char **names) {
        Diag *diag = userdata;

        (void)n_columns;
        (void)names;
        if (columns[0] && !streq(columns[0], "ok"))
                (void)diag_set(diag, 0, "%s", columns[0]);
        return 0;
}

static int sqlite_check(SqliteFile *file, Diag *diag) {
        Diag found = { 0 };

        if (sqlite3_exec(file->db, "PRAGMA quick_check(1)", on_check, &found, NULL) != SQLITE_OK)
                return sqlite_file_error(file, diag);
        return found.message[0] ? diag_set(diag, -EUCLEAN, "%s", found.message) : 0;
}

int sqlite_file_look(SqliteFile *file, Diag *diag) {
        int64_t last = 0, floor = 1, compacted = 0;
        int r;

        r = sqlite_ask(file, STATEMENT_LAST_CHANGE, 0, &last, diag);
        if (r >= 0)
                r = sqlite_ask(file, STATEMENT_FLOOR, 0, &floor, diag);
        if (r >= 0)
                r = sqlite_ask(file, STATEMENT_COMPACTED, 0, &compacted, diag);
        if (r < 0)
                return r;
        if (r == 0)
                return diag_set(diag, -EUCLEAN, "it does not say to what it was compacted");

        file->revision = last >> CHANGE_BITS > floor ? last >> CHANGE_BITS : floor;
        file->compacted = compacted;
        return 0;
}

int sqlite_sync_directory(const char *path, Diag *diag) {
        _cleanup_(freep) char *copy = strdup(path);
        const char *directory;
        int fd, r;

        if (!copy)
                return -ENOMEM;

        directory = dirname(copy);
        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = fd >= 0 && fsync(fd) == 0 ? 0 : sqlite_system_error(errno, "write", directory, diag);
        if (fd >= 0)
                (void)close(fd);
        return r;
}

/* ---- opening */

static void sqlite_configure_once(void) {
        static bool is_configured;

        if (is_configured)
                return;

        /* One thread, no statistics, no memory set aside. Refused where somebody else has used
         * SQLite in this process already, which costs memory only. */
        (void)sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
        (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
        (void)sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
        is_configured = true;
}

/* Makes the file, for us alone: SQLite's own would be for all to read. */
static int sqlite_make_file(const SqliteFile *file, Diag *diag) {
        int fd;

        if (sqlite_path_exists(file->path, ""))
                return 0;
        if (sqlite_path_exists(file->path, ".corrupt"))
                return sqlite_refuse_aside(file, diag);

        fd = open(file->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return sqlite_system_error(errno, "make", file->path, diag);
        (void)close(fd);
        return 0;
}

static int sqlite_make_directory(const SqliteFile *file, Diag *diag) {
        _cleanup_(freep) char *copy = strdup(file->path);
        const char *directory;

        if (!copy)
                return -ENOMEM;

        directory = dirname(copy);
        if (mkdir(directory, 0700) < 0 && errno != EEXIST)
                return sqlite_system_error(errno, "make", directory, diag);
        return 0;
}

/* Until the file has turned out to be sound, closing it must not fold the log into it. */
int sqlite_connect(SqliteFile *file, Diag *diag) {
        sqlite_configure_once();
        if (sqlite3_open_v2(file->path, &file->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_EXRESCODE,
                            NULL) != SQLITE_OK)
                return file->db ? sqlite_file_error(file, diag) : -ENOMEM;
        (void)sqlite3_db_config(file->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        return sqlite_exec(file, settings, diag);
}

static int sqlite_examine(SqliteFile *file, Diag *diag) {
        int r = sqlite_recognize(file, diag);

        if (r == 1)
                r = sqlite_check(file, diag);
        else if (r == 0)
                r = sqlite_exec(file, schema, diag);
        if (r == 0 && file->version == 1)
                r = sqlite_exec(file, upgrade, diag);
        if (r == 0)
                r = sqlite_exec(file, durability, diag);
        return r == 0 ? sqlite_file_look(file, diag) : r;
}

void sqlite_disconnect(SqliteFile *file) {
        for (size_t i = 0; i < _STATEMENT_MAX; i++) {
                (void)sqlite3_finalize(file->statements[i]);
                file->statements[i] = NULL;
        }
        (void)sqlite3_close(file->db);
        file->db = NULL;
}

void sqlite_file_close(SqliteFile *file) {
        sqlite_disconnect(file);
        if (file->lock_fd >= 0)
                (void)close(file->lock_fd);
        free(file->lock_path);
        free(file->path);
        free(file);
}

int sqlite_attach(SqliteFile **ret_file, const char *path, Diag *diag) {
        SqliteFile *file = calloc(1, sizeof(*file));
        int r;

        if (!file)
                return -ENOMEM;

        file->lock_fd = -1;
        file->path = strdup(path);
        if (!file->path)
                r = -ENOMEM;
        else if (access(path, R_OK) < 0)
                r = sqlite_system_error(errno, "read", path, diag);
        else
                r = sqlite_connect(file, diag);
        if (r == 0)
                r = sqlite_recognize(file, diag);
        if (r == 0)
                r = diag_set(diag, -EPROTO, "%s is empty: it is no store", path);
        if (r < 0) {
                sqlite_file_close(file);
                return r;
        }
        *ret_file = file;
        return 0;
}

int sqlite_file_hold(SqliteFile *file, const char *path, bool waits, Diag *diag) {
        int r;

        file->lock_fd = -1;
        file->path = strdup(path);
        if (!file->path || sqlite_path_with(path, ".lock", &file->lock_path) < 0)
                return -ENOMEM;

        r = sqlite_make_directory(file, diag);
        return r == 0 ? sqlite_lock(file, waits, diag) : r;
}

int sqlite_file_open(SqliteFile **ret_file, const char *path, Diag *diag) {
        SqliteFile *file = calloc(1, sizeof(*file));
        int r;

        if (!file)
                return -ENOMEM;

        r = sqlite_file_hold(file, path, false, diag);
        if (r == 0)
                r = sqlite_make_file(file, diag);
        if (r == 0) {
                r = sqlite_connect(file, diag);
                if (r == 0)
                        r = sqlite_examine(file, diag);
                if (r == -EUCLEAN) {
                        sqlite_disconnect(file);
                        r = sqlite_move_aside(file, diag);
                }
        }
        if (r < 0) {
                sqlite_file_close(file);
                return r;
        }

        (void)sqlite3_db_config(file->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
        *ret_file = file;
        return 0;
}
