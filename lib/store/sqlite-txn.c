/* SPDX-License-Identifier: Apache-2.0 */

/* What the SQLite engine does with ranges, transactions and the end of a lease. */

#include <errno.h>

#include "lib/store/sqlite-private.h"
#include "lib/store/store-rules.h"

/* A commit in the making: its revision is the file's next. */
typedef struct SqliteCommit {
        SqliteFile *file; /* borrowed */
        int64_t n_changes;
        Diag *diag;
} SqliteCommit;

/* ---- ranges */

int sqlite_file_range(SqliteFile *file, const StoreRange *range, SqliteRows *ret_rows,
                      bool *ret_more, Diag *diag) {
        bool is_past = range->revision > 0 && range->revision < file->revision;
        Statement statement = is_past            ? STATEMENT_PAST
                              : range->keys_only ? STATEMENT_KEYS
                                                 : STATEMENT_RANGE;
        _cleanup_(freep) char *scratch = malloc(range->key.n_bytes + 1);
        _cleanup_(sqlite_rows_done) SqliteRows rows = { 0 };
        sqlite3_stmt *s;
        int r;

        r = store_range_check(range, file->revision, file->compacted);
        if (r != 0)
                return r;
        if (!scratch)
                return -ENOMEM;

        s = sqlite_ranged(file, statement, range->key, range->end, scratch, &r, diag);
        if (!s)
                return r;

        /* One more than asked for tells whether there is more. */
        (void)sqlite3_bind_int64(s, 3, range->limit > 0 ? range->limit + 1 : -1);
        if (is_past)
                (void)sqlite3_bind_int64(s, 4, (range->revision + 1) << CHANGE_BITS);
        r = sqlite_collect(file, s, &rows, range->keys_only, diag);
        if (r < 0)
                return r;

        *ret_more = range->limit > 0 && rows.n_kvs > (size_t)range->limit;
        if (*ret_more)
                sqlite_rows_drop_last(&rows);
        *ret_rows = rows;
        rows = (SqliteRows){ 0 };
        return 0;
}

/* ---- comparing */

/* Returns 1 when it holds, 0 when it does not. */
static int compare_holds(SqliteFile *file, const StoreCompare *compare, Diag *diag) {
        _cleanup_(freep) char *scratch = malloc(compare->key.n_bytes + 1);
        bool is_empty = true;
        sqlite3_stmt *s;
        int r;

        if (!scratch)
                return -ENOMEM;
        s = sqlite_ranged(file, STATEMENT_KEYS, compare->key, compare->end, scratch, &r, diag);
        if (!s)
                return r;

        (void)sqlite3_bind_int64(s, 3, -1);
        while ((r = sqlite_step(file, s, diag)) == 1) {
                const StoreKv kv = sqlite_row(s);

                is_empty = false;
                if (!store_compare_holds(compare, kv.create_revision, kv.mod_revision)) {
                        (void)sqlite3_reset(s);
                        return 0;
                }
        }
        if (r < 0)
                return r;
        return !is_empty || store_compare_holds(compare, 0, 0);
}

static int txn_holds(SqliteFile *file, const StoreTxn *txn, Diag *diag) {
        int r = 1;

        for (size_t i = 0; r == 1 && i < txn->n_compares; i++)
                r = compare_holds(file, &txn->compares[i], diag);
        return r;
}

/* ---- writing */

/* Runs a statement with what a change is. */
static int commit_run(SqliteCommit *commit, Statement statement, int64_t id, const StoreKv *kv) {
        int r = 0;
        sqlite3_stmt *s = sqlite_statement(commit->file, statement, &r, commit->diag);

        if (!s)
                return r;

        (void)sqlite3_bind_int64(s, 1, id);
        sqlite_bind_bytes(s, 2, kv->key);
        if (sqlite3_bind_parameter_count(s) > 2) {
                if (kv->create_revision > 0)
                        sqlite_bind_bytes(s, 3, kv->value);
                (void)sqlite3_bind_int64(s, 4, kv->create_revision);
                (void)sqlite3_bind_int64(s, 5, kv->lease);
        }
        return sqlite_step(commit->file, s, commit->diag);
}

static int commit_add(SqliteCommit *commit, const StoreKv *kv) {
        int64_t id = ((commit->file->revision + 1) << CHANGE_BITS) + commit->n_changes;
        int r;

        if (commit->n_changes == CHANGES_MAX)
                return STORE_E_TOO_LARGE;

        r = commit_run(commit, STATEMENT_ADD_CHANGE, id, kv);
        if (r == 0)
                r = commit_run(commit,
                               kv->create_revision > 0 ? STATEMENT_SET_LIVE : STATEMENT_DROP_LIVE,
                               id, kv);
        commit->n_changes++;
        return r;
}

/* The keys of a range as they are now, without values. */
static int commit_list(SqliteCommit *commit, StoreBytes key, StoreBytes end, SqliteRows *rows) {
        _cleanup_(freep) char *scratch = malloc(key.n_bytes + 1);
        sqlite3_stmt *s;
        int r;

        if (!scratch)
                return -ENOMEM;
        s = sqlite_ranged(commit->file, STATEMENT_KEYS, key, end, scratch, &r, commit->diag);
        if (!s)
                return r;

        (void)sqlite3_bind_int64(s, 3, -1);
        return sqlite_collect(commit->file, s, rows, true, commit->diag);
}

static int commit_delete_all(SqliteCommit *commit, const SqliteRows *rows) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < rows->n_kvs; i++)
                r = commit_add(commit, &(StoreKv){ .key = rows->kvs[i].key });
        return r;
}

static int commit_put(SqliteCommit *commit, const StoreOp *op) {
        _cleanup_(sqlite_rows_done) SqliteRows before = { 0 };
        StoreKv kv = {
                .key = op->key,
                .value = op->value,
                .create_revision = commit->file->revision + 1,
                .lease = op->lease,
        };
        int64_t found;
        int r;

        if (op->lease != 0) {
                r = sqlite_ask(commit->file, STATEMENT_HAS_LEASE, op->lease, &found, commit->diag);
                if (r != 1)
                        return r == 0 ? STORE_E_NO_LEASE : r;
        }

        r = commit_list(commit, op->key, (StoreBytes){ 0 }, &before);
        if (r < 0)
                return r;
        if (before.n_kvs > 0)
                kv.create_revision = before.kvs[0].create_revision;
        return commit_add(commit, &kv);
}

static int commit_delete(SqliteCommit *commit, const StoreOp *op) {
        _cleanup_(sqlite_rows_done) SqliteRows rows = { 0 };
        int r = commit_list(commit, op->key, op->end, &rows);

        return r == 0 ? commit_delete_all(commit, &rows) : r;
}

/* Keeps what was written if `r` is 0, takes it back otherwise. */
static int commit_end(SqliteCommit *commit, int r) {
        if (r > 0) {
                int back = sqlite_run(commit->file, STATEMENT_RETURN, commit->diag);

                r = back < 0 ? back : r;
        }
        if (r >= 0) {
                int released = sqlite_run(commit->file, STATEMENT_RELEASE, commit->diag);

                r = released < 0 ? released : r;
        }
        if (r == 0 && commit->n_changes > 0)
                commit->file->revision++;
        return r;
}

static int apply(SqliteFile *file, const StoreTxn *txn, Diag *diag) {
        SqliteCommit commit = { .file = file, .diag = diag };
        int r = sqlite_run(file, STATEMENT_SAVE, diag);

        if (r < 0)
                return r;

        for (size_t i = 0; r == 0 && i < txn->n_ops; i++) {
                const StoreOp *op = &txn->ops[i];

                r = op->kind == STORE_OP_PUT ? commit_put(&commit, op) : commit_delete(&commit, op);
        }
        return commit_end(&commit, r);
}

int sqlite_file_txn(SqliteFile *file, const StoreTxn *txn, bool *ret_succeeded, Diag *diag) {
        int r = store_txn_check(txn);

        if (r != 0)
                return r;

        r = txn_holds(file, txn, diag);
        if (r < 0)
                return r;
        *ret_succeeded = r == 1;
        return r == 1 && txn->n_ops > 0 ? apply(file, txn, diag) : 0;
}

int sqlite_file_lease_end(SqliteFile *file, int64_t id, Diag *diag) {
        SqliteCommit commit = { .file = file, .diag = diag };
        _cleanup_(sqlite_rows_done) SqliteRows rows = { 0 };
        sqlite3_stmt *s;
        int r = 0;

        s = sqlite_statement(file, STATEMENT_KEYS_OF_LEASE, &r, diag);
        if (!s)
                return r;
        (void)sqlite3_bind_int64(s, 1, id);
        r = sqlite_collect(file, s, &rows, true, diag);
        if (r == 0)
                r = sqlite_run(file, STATEMENT_SAVE, diag);
        if (r < 0)
                return r;

        r = commit_delete_all(&commit, &rows);
        if (r == 0)
                r = sqlite_run_with(file, STATEMENT_DROP_LEASE, id, 0, diag);
        return commit_end(&commit, r);
}
