/* SPDX-License-Identifier: Apache-2.0 */

/* The statements of the SQLite engine, and what its errors mean. */

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "lib/store/sqlite-private.h"
#include "lib/store/store-rules.h"

/* A row has key, value, created, id, lease, version. What a past range has are the changes before
 * it that are still the last of their keys, and those that a change after it superseded. */
static const char *const texts[_STATEMENT_MAX] = {
        [STATEMENT_BEGIN_READ] = "BEGIN",
        [STATEMENT_BEGIN_WRITE] = "BEGIN IMMEDIATE",
        [STATEMENT_COMMIT] = "COMMIT",
        [STATEMENT_ROLLBACK] = "ROLLBACK",
        [STATEMENT_SAVE] = "SAVEPOINT request",
        [STATEMENT_RELEASE] = "RELEASE request",
        [STATEMENT_RETURN] = "ROLLBACK TO request",
        [STATEMENT_LAST_CHANGE] = "SELECT max(id) FROM change",
        [STATEMENT_COMPACTED] = "SELECT value FROM setting WHERE name = 'compacted'",
        [STATEMENT_FLOOR] = "SELECT value FROM setting WHERE name = 'floor'",
        [STATEMENT_IDENTITY] = "SELECT value FROM setting WHERE name = 'identity'",
        [STATEMENT_SET_IDENTITY] = "INSERT INTO setting (name, value) VALUES ('identity', ?1)",
        [STATEMENT_SET_COMPACTED] = "UPDATE setting SET value = ?1 WHERE name = 'compacted'",
        [STATEMENT_RANGE] = "SELECT change.key, value, change.created, id, change.lease, "
                            "change.version FROM live JOIN change ON id = live.change "
                            "WHERE live.key >= ?1 AND live.key < ?2 ORDER BY live.key LIMIT ?3",
        [STATEMENT_RANGE_OPEN] = "SELECT change.key, value, change.created, id, change.lease, "
                                 "change.version FROM live JOIN change ON id = live.change "
                                 "WHERE live.key >= ?1 AND ?2 IS NULL ORDER BY live.key LIMIT ?3",
        [STATEMENT_KEYS] = "SELECT key, NULL, created, change, lease, version FROM live "
                           "WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3",
        [STATEMENT_KEYS_OPEN] = "SELECT key, NULL, created, change, lease, version FROM live "
                                "WHERE key >= ?1 AND ?2 IS NULL ORDER BY key LIMIT ?3",
        [STATEMENT_COUNT] = "SELECT count(*) FROM live WHERE key >= ?1 AND key < ?2",
        [STATEMENT_COUNT_OPEN] = "SELECT count(*) FROM live WHERE key >= ?1 AND ?2 IS NULL",
        [STATEMENT_PAST] = "SELECT change.key, value, created, id, lease, version FROM "
                           "(SELECT key, change FROM live "
                           "WHERE key >= ?1 AND key < ?2 AND change < ?4 "
                           "UNION ALL SELECT key, previous FROM change "
                           "WHERE id >= ?4 AND previous < ?4 AND key >= ?1 AND key < ?2 "
                           "ORDER BY key LIMIT ?3) AS past "
                           "JOIN change ON id = past.change ORDER BY change.key",
        [STATEMENT_PAST_OPEN] = "SELECT change.key, value, created, id, lease, version FROM "
                                "(SELECT key, change FROM live "
                                "WHERE key >= ?1 AND ?2 IS NULL AND change < ?4 "
                                "UNION ALL SELECT key, previous FROM change "
                                "WHERE id >= ?4 AND previous < ?4 AND key >= ?1 AND ?2 IS NULL "
                                "ORDER BY key LIMIT ?3) AS past "
                                "JOIN change ON id = past.change ORDER BY change.key",
        [STATEMENT_COUNT_PAST] = "SELECT (SELECT count(*) FROM live "
                                 "WHERE key >= ?1 AND key < ?2 AND change < ?4) + "
                                 "(SELECT count(*) FROM change "
                                 "WHERE id >= ?4 AND previous < ?4 AND key >= ?1 AND key < ?2)",
        [STATEMENT_COUNT_PAST_OPEN] =
                "SELECT (SELECT count(*) FROM live "
                "WHERE key >= ?1 AND ?2 IS NULL AND change < ?4) + "
                "(SELECT count(*) FROM change "
                "WHERE id >= ?4 AND previous < ?4 AND key >= ?1 AND ?2 IS NULL)",
        [STATEMENT_CHANGES] = "SELECT key, value, created, id, lease, version FROM change "
                              "WHERE id >= ?3 AND key >= ?1 AND key < ?2 ORDER BY id",
        [STATEMENT_CHANGES_OPEN] = "SELECT key, value, created, id, lease, version FROM change "
                                   "WHERE id >= ?3 AND key >= ?1 AND ?2 IS NULL ORDER BY id",
        [STATEMENT_PREVIOUS] =
                "SELECT old.key, old.value, old.created, old.id, old.lease, old.version "
                "FROM change AS new CROSS JOIN change AS old ON old.id = new.previous "
                "WHERE new.id >= ?2 AND new.id < ?3 AND new.key = ?1 AND new.previous < ?2",
        [STATEMENT_ADD_CHANGE] =
                "INSERT INTO change (id, key, value, created, lease, version, previous) "
                "VALUES (?1, ?2, ?3, ?4, ?5, ?6, (SELECT change FROM live WHERE key = ?2))",
        [STATEMENT_SET_LIVE] = "REPLACE INTO live (key, change, created, lease, version) "
                               "VALUES (?2, ?1, ?4, ?5, ?6)",
        [STATEMENT_DROP_LIVE] = "DELETE FROM live WHERE key = ?2",
        [STATEMENT_LEASES] = "SELECT id, ttl_s, left_us FROM lease",
        [STATEMENT_HAS_LEASE] = "SELECT 1 FROM lease WHERE id = ?1",
        [STATEMENT_ADD_LEASE] = "INSERT INTO lease (id, ttl_s) VALUES (?1, ?2)",
        [STATEMENT_DROP_LEASE] = "DELETE FROM lease WHERE id = ?1",
        [STATEMENT_KEEP_LEASE] = "UPDATE lease SET left_us = nullif(?2, -1) WHERE id = ?1",
        [STATEMENT_KEYS_OF_LEASE] = "SELECT key, NULL, created, change, lease, version FROM live "
                                    "WHERE lease = ?1 AND lease <> 0 ORDER BY key",
        [STATEMENT_NTH_CHANGE] = "SELECT id FROM change WHERE id >= ?1 ORDER BY id "
                                 "LIMIT 1 OFFSET 250",
        [STATEMENT_DROP_SUPERSEDED] = "DELETE FROM change WHERE id IN "
                                      "(SELECT previous FROM change WHERE id >= ?1 AND id < ?2)",
        [STATEMENT_DROP_DELETIONS] =
                "DELETE FROM change WHERE id >= ?1 AND id < ?2 AND created = 0",
        [STATEMENT_PAGES] = "SELECT page_count * page_size, "
                            "(page_count - freelist_count) * page_size "
                            "FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
};

/* ---- errors */

static int errno_of(int code, int system_error) {
        switch (code & 0xff) {
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return -EAGAIN;
        case SQLITE_FULL:
                return -ENOSPC;
        case SQLITE_READONLY:
        case SQLITE_PERM:
        case SQLITE_AUTH:
                return -EROFS;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return -EUCLEAN;
        case SQLITE_NOMEM:
                return -ENOMEM;
        default:
                break;
        }

        if (code == SQLITE_IOERR_NOMEM)
                return -ENOMEM;
        if (system_error == ENOSPC || system_error == EDQUOT)
                return -ENOSPC;
        if (system_error == EROFS || system_error == EACCES || system_error == EPERM)
                return -EROFS;
        return -EIO;
}

int sqlite_file_error(const SqliteFile *file, Diag *diag) {
        int code = sqlite3_extended_errcode(file->db),
            system_error = sqlite3_system_errno(file->db);
        int r = errno_of(code, system_error);

        switch (r) {
        case -EAGAIN:
                return diag_set(diag, r, "another process has locked %s", file->path);
        case -ENOSPC:
                return diag_set(diag, r, "the disk of %s is full", file->path);
        case -ENOMEM:
                return r;
        default:
                return diag_set(diag, r, "%s: %s%s%s", file->path, sqlite3_errmsg(file->db),
                                system_error != 0 ? ": " : "",
                                system_error != 0 ? strerror(system_error) : "");
        }
}

/* ---- statements */

sqlite3_stmt *sqlite_statement(SqliteFile *file, Statement statement, int *ret_error, Diag *diag) {
        sqlite3_stmt **s = &file->statements[statement];

        if (!*s && sqlite3_prepare_v3(file->db, texts[statement], -1, SQLITE_PREPARE_PERSISTENT, s,
                                      NULL) != SQLITE_OK) {
                *ret_error = sqlite_file_error(file, diag);
                return NULL;
        }
        return *s;
}

int sqlite_step(SqliteFile *file, sqlite3_stmt *s, Diag *diag) {
        int code = sqlite3_step(s), r;

        if (code == SQLITE_ROW)
                return 1;

        r = code == SQLITE_DONE ? 0 : sqlite_file_error(file, diag);
        (void)sqlite3_reset(s);
        (void)sqlite3_clear_bindings(s);
        return r;
}

int sqlite_run(SqliteFile *file, Statement statement, Diag *diag) {
        int r = 0;
        sqlite3_stmt *s = sqlite_statement(file, statement, &r, diag);

        return s ? sqlite_step(file, s, diag) : r;
}

int sqlite_run_with(SqliteFile *file, Statement statement, int64_t first, int64_t second,
                    Diag *diag) {
        int r = 0;
        sqlite3_stmt *s = sqlite_statement(file, statement, &r, diag);

        if (!s)
                return r;

        (void)sqlite3_bind_int64(s, 1, first);
        if (sqlite3_bind_parameter_count(s) > 1)
                (void)sqlite3_bind_int64(s, 2, second);
        return sqlite_step(file, s, diag);
}

int sqlite_ask(SqliteFile *file, Statement statement, int64_t parameter, int64_t *ret_value,
               Diag *diag) {
        int r = 0;
        sqlite3_stmt *s = sqlite_statement(file, statement, &r, diag);

        if (!s)
                return r;

        if (sqlite3_bind_parameter_count(s) > 0)
                (void)sqlite3_bind_int64(s, 1, parameter);
        r = sqlite_step(file, s, diag);
        if (r == 1) {
                *ret_value = sqlite3_column_int64(s, 0);
                (void)sqlite3_reset(s);
        }
        return r;
}

/* ---- ranges */

void sqlite_bind_bytes(sqlite3_stmt *s, int parameter, StoreBytes bytes) {
        /* A NULL pointer would bind NULL, and nothing compares with that. */
        (void)sqlite3_bind_blob64(s, parameter, bytes.n_bytes > 0 ? bytes.data : "", bytes.n_bytes,
                                  SQLITE_STATIC);
}

sqlite3_stmt *sqlite_ranged(SqliteFile *file, Statement statement, StoreBytes key, StoreBytes end,
                            char *scratch, int *ret_error, Diag *diag) {
        bool is_open = store_end_is_open(end);
        sqlite3_stmt *s = sqlite_statement(file, is_open ? statement + 1 : statement, ret_error,
                                           diag);

        if (!s)
                return NULL;

        sqlite_bind_bytes(s, 1, key);
        if (is_open)
                return s;

        if (end.n_bytes == 0) {
                /* The next key in byte order. */
                if (key.n_bytes > 0)
                        memcpy(scratch, key.data, key.n_bytes);
                scratch[key.n_bytes] = '\0';
                end = (StoreBytes){ .data = scratch, .n_bytes = key.n_bytes + 1 };
        }
        sqlite_bind_bytes(s, 2, end);
        return s;
}

static StoreBytes sqlite_column(sqlite3_stmt *s, int column) {
        const void *data = sqlite3_column_blob(s, column);

        return (StoreBytes){ .data = data, .n_bytes = (size_t)sqlite3_column_bytes(s, column) };
}

StoreKv sqlite_row(sqlite3_stmt *s) {
        return (StoreKv){
                .key = sqlite_column(s, 0),
                .value = sqlite_column(s, 1),
                .create_revision = sqlite3_column_int64(s, 2),
                .mod_revision = sqlite3_column_int64(s, 3) >> CHANGE_BITS,
                .lease = sqlite3_column_int64(s, 4),
                .version = sqlite3_column_int64(s, 5),
        };
}

int sqlite_collect(SqliteFile *file, sqlite3_stmt *s, SqliteRows *rows, bool keys_only,
                   Diag *diag) {
        int r;

        while ((r = sqlite_step(file, s, diag)) == 1) {
                StoreKv kv = sqlite_row(s);

                if (keys_only)
                        kv.value = (StoreBytes){ 0 };
                if (sqlite_rows_add(rows, &kv) < 0) {
                        (void)sqlite3_reset(s);
                        return -ENOMEM;
                }
        }
        return r;
}
