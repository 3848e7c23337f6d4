/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the SQLite engine share. Only they include this.
 *
 * The tables:
 *
 *   change   every change of every key that is not compacted away. Its id is the revision of the
 *            commit, and the number of the change within it: so history is read in order of the
 *            ids, and the last id tells the revision. A deletion has `created` 0. `previous` is the
 *            change of the key that this one superseded, which may be compacted away; NULL where
 *            the key did not exist. There is no index by key: it had to be changed in as many
 *            places as a commit has keys, each time.
 *   live     of each key that exists, its last change. Ranges as of now read this and not what may
 *            be thousands of versions.
 *   lease    the leases; `left_us` is what was left when the file was closed in good order, else
 *            NULL. A renewal is not written down: an idle machine wakes no disk.
 *   setting  `compacted`; `identity`, a number by which the file is told from others; and `floor`,
 *            in a file that was restored: the revision that it went on from.
 */

#include <sqlite3.h>

#include "lib/store/sqlite-engine.h"

enum {
        CHANGE_BITS = 20, /* of an id: the number of the change; so many changes has a commit */
        CHANGES_MAX = 1 << CHANGE_BITS,
};

/* The prepared statements; the texts are in sqlite-statement.c. The ranged ones are followed by
 * themselves without an end. */
typedef enum Statement {
        STATEMENT_BEGIN_READ,
        STATEMENT_BEGIN_WRITE,
        STATEMENT_COMMIT,
        STATEMENT_ROLLBACK,
        STATEMENT_SAVE,
        STATEMENT_RELEASE,
        STATEMENT_RETURN,
        STATEMENT_LAST_CHANGE,
        STATEMENT_COMPACTED,
        STATEMENT_FLOOR,
        STATEMENT_IDENTITY,
        STATEMENT_SET_IDENTITY,
        STATEMENT_SET_COMPACTED,
        STATEMENT_RANGE,
        STATEMENT_RANGE_OPEN,
        STATEMENT_KEYS,
        STATEMENT_KEYS_OPEN,
        STATEMENT_COUNT,
        STATEMENT_COUNT_OPEN,
        STATEMENT_PAST,
        STATEMENT_PAST_OPEN,
        STATEMENT_COUNT_PAST,
        STATEMENT_COUNT_PAST_OPEN,
        STATEMENT_CHANGES,
        STATEMENT_CHANGES_OPEN,
        STATEMENT_PREVIOUS,
        STATEMENT_ADD_CHANGE,
        STATEMENT_SET_LIVE,
        STATEMENT_DROP_LIVE,
        STATEMENT_LEASES,
        STATEMENT_HAS_LEASE,
        STATEMENT_ADD_LEASE,
        STATEMENT_DROP_LEASE,
        STATEMENT_KEEP_LEASE,
        STATEMENT_KEYS_OF_LEASE,
        STATEMENT_NTH_CHANGE,
        STATEMENT_DROP_SUPERSEDED,
        STATEMENT_DROP_DELETIONS,
        STATEMENT_PAGES,
        _STATEMENT_MAX,
} Statement;

struct SqliteFile {
        sqlite3 *db;     /* owned */
        char *path;      /* owned */
        char *lock_path; /* owned */
        int lock_fd;     /* owned; -1 = none */
        int version;     /* of its tables, before they were brought up to the last; 0 = was empty */
        int64_t revision;
        int64_t compacted;
        int64_t saved_revision; /* before the transaction under way */
        int64_t saved_compacted;
        sqlite3_stmt *statements[_STATEMENT_MAX]; /* owned; prepared when first used */
};

/* Set the message for SQLite's last error and return the negative errno for it. */
int sqlite_file_error(const SqliteFile *file, Diag *diag);

/* A statement, reset and ready for its parameters, or NULL with a message set; `*ret_error` is the
 * negative errno then. It belongs to the file. */
sqlite3_stmt *sqlite_statement(SqliteFile *file, Statement statement, int *ret_error, Diag *diag);

/* Step it. Returns 1 for a row, 0 at its end (it is reset then), or a negative errno with a message
 * (it is reset, too). */
int sqlite_step(SqliteFile *file, sqlite3_stmt *s, Diag *diag);

/* Run a statement that has no parameters and no rows. */
int sqlite_run(SqliteFile *file, Statement statement, Diag *diag);

/* Run a statement with integers for its parameters, up to two, and no rows. */
int sqlite_run_with(SqliteFile *file, Statement statement, int64_t first, int64_t second,
                    Diag *diag);

/* Run a statement with integers for its parameters; 1 when it has a row, whose first column is
 * `*ret_value`, else 0. */
int sqlite_ask(SqliteFile *file, Statement statement, int64_t parameter, int64_t *ret_value,
               Diag *diag);

/* Bind bytes; they must live until the statement is reset. */
void sqlite_bind_bytes(sqlite3_stmt *s, int parameter, StoreBytes bytes);

/* Which range a ranged statement reads, with parameters 1 and 2 bound: `statement` or the one
 * behind it. As sqlite_statement(); `scratch` holds the end of a single key and has
 * key.n_bytes + 1 bytes. */
sqlite3_stmt *sqlite_ranged(SqliteFile *file, Statement statement, StoreBytes key, StoreBytes end,
                            char *scratch, int *ret_error, Diag *diag);

/* The row that a ranged statement is at; borrowed until the next step. */
StoreKv sqlite_row(sqlite3_stmt *s);

/* Read the rows of a statement into `rows`, with their values or without. Returns as sqlite_step()
 * at its end. */
int sqlite_collect(SqliteFile *file, sqlite3_stmt *s, SqliteRows *rows, bool keys_only, Diag *diag);

/* sqlite-open.c, sqlite-command.c, sqlite-history.c: the engine's operations. */
int sqlite_file_open(SqliteFile **ret_file, const char *path, Diag *diag);
void sqlite_file_close(SqliteFile *file);
int sqlite_file_command(SqliteFile *file, const StoreCommand *command, StoreAnswer *ret_answer,
                        Diag *diag);
int sqlite_file_lease_keys(SqliteFile *file, int64_t id, SqliteRows *ret_rows, Diag *diag);
int sqlite_file_lease_end(SqliteFile *file, int64_t id, Diag *diag);
int sqlite_file_changes(SqliteFile *file, const SqliteWindow *window, SqliteRows *ret_rows,
                        int64_t *ret_next, Diag *diag);
int sqlite_file_previous(SqliteFile *file, const StoreKv *kv, SqliteRows *ret_rows, Diag *diag);
int sqlite_file_compact(SqliteFile *file, int64_t revision, Diag *diag);

/* sqlite-check.c, sqlite-restore.c: of a file that somebody else may have open. */
int sqlite_file_check(const char *path, SqliteFindingFn fn, void *userdata,
                      SqliteSummary *ret_summary, Diag *diag);
int sqlite_file_copy(const char *path, const char *to, Diag *diag);
int sqlite_file_restore(const char *path, const char *from, bool waits,
                        SqliteRestored *ret_restored, Diag *diag);

/* sqlite-open.c: the parts of opening. A path with a suffix, owned (0 or -ENOMEM); is there
 * something of that name; the negative errno for an error of the system, with a message. */
int sqlite_path_with(const char *path, const char *suffix, char **ret_path);
bool sqlite_path_exists(const char *path, const char *suffix);
int sqlite_system_error(int error, const char *what, const char *path, Diag *diag);

/* Begin with a file of this path: it is locked until it is closed, and its directory made; with
 * `waits`, however long that takes. */
int sqlite_file_hold(SqliteFile *file, const char *path, bool waits, Diag *diag);

/* See to it that the names in the directory of `path` are on the disk. */
int sqlite_sync_directory(const char *path, Diag *diag);

/* Connect to the database, which is there, and disconnect. Closing it does not fold its log into it.
 */
int sqlite_connect(SqliteFile *file, Diag *diag);
void sqlite_disconnect(SqliteFile *file);

/* Is it of ours? 1 = yes, and the version of its tables is set, 0 = it is empty; -EPROTO with a
 * message. Who only looks at a file, or copies it, meets the older version, too; opening it for a
 * daemon brings it up to the last. */
int sqlite_recognize(SqliteFile *file, Diag *diag);

/* Run statements that bring nothing. */
int sqlite_exec(SqliteFile *file, const char *sql, Diag *diag);

/* Move a corrupt file and its log aside. Returns -EUCLEAN, with what was done put before the
 * message, or another error. */
int sqlite_move_aside(const SqliteFile *file, Diag *diag);

/* Open a file without locking or making it: for who looks beside the daemon. */
int sqlite_attach(SqliteFile **ret_file, const char *path, Diag *diag);

/* Read revision and `compacted` anew. */
int sqlite_file_look(SqliteFile *file, Diag *diag);
