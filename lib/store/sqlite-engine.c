/* SPDX-License-Identifier: Apache-2.0 */

/* The module: transactions, leases, and what it exports. */

#include "lib/store/sqlite-engine.h"

#include "lib/store/sqlite-private.h"

static int64_t engine_revision(const SqliteFile *file) {
        return file->revision;
}

static int64_t engine_compacted(const SqliteFile *file) {
        return file->compacted;
}

static int engine_identify(SqliteFile *file, int64_t drawn, int64_t *ret_identity, Diag *diag) {
        int r = sqlite_ask(file, STATEMENT_IDENTITY, 0, ret_identity, diag);

        if (r != 0)
                return r < 0 ? r : 0;

        *ret_identity = drawn;
        return sqlite_run_with(file, STATEMENT_SET_IDENTITY, drawn, 0, diag);
}

static void engine_size(SqliteFile *file, int64_t *ret_bytes, int64_t *ret_used_bytes) {
        int r = 0;
        sqlite3_stmt *s = sqlite_statement(file, STATEMENT_PAGES, &r, NULL);

        *ret_bytes = *ret_used_bytes = 0;
        if (!s || sqlite_step(file, s, NULL) != 1)
                return;

        *ret_bytes = sqlite3_column_int64(s, 0);
        *ret_used_bytes = sqlite3_column_int64(s, 1);
        (void)sqlite3_reset(s);
}

/* ---- transactions */

static int engine_begin(SqliteFile *file, bool is_writing, Diag *diag) {
        file->saved_revision = file->revision;
        file->saved_compacted = file->compacted;
        return sqlite_run(file, is_writing ? STATEMENT_BEGIN_WRITE : STATEMENT_BEGIN_READ, diag);
}

static int engine_commit(SqliteFile *file, Diag *diag) {
        return sqlite_run(file, STATEMENT_COMMIT, diag);
}

static void engine_rollback(SqliteFile *file) {
        file->revision = file->saved_revision;
        file->compacted = file->saved_compacted;

        /* Some errors have rolled it back already. */
        if (!sqlite3_get_autocommit(file->db))
                (void)sqlite_run(file, STATEMENT_ROLLBACK, NULL);
}

/* ---- leases */

static int engine_lease_add(SqliteFile *file, int64_t id, int64_t ttl_s, Diag *diag) {
        return sqlite_run_with(file, STATEMENT_ADD_LEASE, id, ttl_s, diag);
}

static int engine_lease_keep(SqliteFile *file, int64_t id, int64_t left_us, Diag *diag) {
        return sqlite_run_with(file, STATEMENT_KEEP_LEASE, id, left_us, diag);
}

static int engine_leases(SqliteFile *file, int (*fn)(const SqliteFileLease *lease, void *userdata),
                         void *userdata, Diag *diag) {
        int r = 0;
        sqlite3_stmt *s = sqlite_statement(file, STATEMENT_LEASES, &r, diag);

        if (!s)
                return r;

        while ((r = sqlite_step(file, s, diag)) == 1) {
                bool is_known = sqlite3_column_type(s, 2) != SQLITE_NULL;
                const SqliteFileLease lease = {
                        .id = sqlite3_column_int64(s, 0),
                        .ttl_s = sqlite3_column_int64(s, 1),
                        .left_us = is_known ? sqlite3_column_int64(s, 2) : -1,
                };

                r = fn(&lease, userdata);
                if (r != 0) {
                        (void)sqlite3_reset(s);
                        return r;
                }
        }
        return r;
}

/* What the module exports. */
extern const SqliteEngine fleet_sqlite_engine;

__attribute__((visibility("default"))) const SqliteEngine fleet_sqlite_engine = {
        .head.version = FLEET_VERSION,
        .open = sqlite_file_open,
        .close = sqlite_file_close,
        .revision = engine_revision,
        .compacted = engine_compacted,
        .identify = engine_identify,
        .size = engine_size,
        .begin = engine_begin,
        .commit = engine_commit,
        .rollback = engine_rollback,
        .command = sqlite_file_command,
        .lease_add = engine_lease_add,
        .lease_end = sqlite_file_lease_end,
        .lease_keys = sqlite_file_lease_keys,
        .lease_keep = engine_lease_keep,
        .leases = engine_leases,
        .changes = sqlite_file_changes,
        .previous = sqlite_file_previous,
        .compact = sqlite_file_compact,
        .check = sqlite_file_check,
        .copy = sqlite_file_copy,
        .restore = sqlite_file_restore,
};
