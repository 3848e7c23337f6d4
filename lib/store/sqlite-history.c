/* SPDX-License-Identifier: Apache-2.0 */

/* The history in the SQLite engine: what watches read, and its compaction.
 *
 * Compaction at revision C follows etcd: of each key the last change at or before C stays, so that
 * ranges at C and later are complete, and every change of C and later stays, so that watches from C
 * on are. What was compacted before has one change per key left, so only the changes since then
 * have to be looked at: each of them drops the one that it superseded.
 */

#include <errno.h>

#include "lib/store/sqlite-private.h"

/* Takes the rows of the statement while the window has room. Returns 1 when it was cut. */
static int changes_take(SqliteFile *file, sqlite3_stmt *s, const SqliteWindow *window,
                        SqliteRows *rows, int64_t *ret_next, Diag *diag) {
        int64_t revision = 0;
        unsigned n_revisions = 0;
        int r;

        while ((r = sqlite_step(file, s, diag)) == 1) {
                StoreKv kv = sqlite_row(s);

                if (kv.mod_revision != revision) {
                        if (n_revisions == window->max_revisions ||
                            rows->n_bytes >= window->max_bytes) {
                                *ret_next = kv.mod_revision;
                                (void)sqlite3_reset(s);
                                return 1;
                        }
                        n_revisions++;
                        revision = kv.mod_revision;
                }

                if (window->keys_only)
                        kv.value = (StoreBytes){ 0 };
                if (sqlite_rows_add(rows, &kv) < 0) {
                        (void)sqlite3_reset(s);
                        return -ENOMEM;
                }
        }
        return r;
}

int sqlite_file_changes(SqliteFile *file, const SqliteWindow *window, SqliteRows *ret_rows,
                        int64_t *ret_next, Diag *diag) {
        _cleanup_(freep) char *scratch = malloc(window->key.n_bytes + 1);
        _cleanup_(sqlite_rows_done) SqliteRows rows = { 0 };
        sqlite3_stmt *s;
        int r;

        /* Whoever waits for a revision of the future may wait for any; not all of them are the first
         * part of an id. */
        *ret_next = file->revision + 1;
        *ret_rows = (SqliteRows){ 0 };
        if (window->from > file->revision)
                return 0;
        if (!scratch)
                return -ENOMEM;
        s = sqlite_ranged(file, STATEMENT_CHANGES, window->key, window->end, scratch, &r, diag);
        if (!s)
                return r;

        (void)sqlite3_bind_int64(s, 3, window->from << CHANGE_BITS);
        r = changes_take(file, s, window, &rows, ret_next, diag);
        if (r < 0)
                return r;

        *ret_rows = rows;
        rows = (SqliteRows){ 0 };
        return 0;
}

int sqlite_file_previous(SqliteFile *file, const StoreKv *kv, SqliteRows *ret_rows, Diag *diag) {
        int r = 0;
        sqlite3_stmt *s = sqlite_statement(file, STATEMENT_PREVIOUS, &r, diag);

        if (!s)
                return r;

        sqlite_bind_bytes(s, 1, kv->key);
        (void)sqlite3_bind_int64(s, 2, kv->mod_revision << CHANGE_BITS);
        (void)sqlite3_bind_int64(s, 3, (kv->mod_revision + 1) << CHANGE_BITS);
        return sqlite_collect(file, s, ret_rows, false, diag);
}

int sqlite_file_compact(SqliteFile *file, int64_t revision, Diag *diag) {
        int64_t from = file->compacted << CHANGE_BITS, nth;
        int r;

        if (revision <= file->compacted)
                return 0;

        r = sqlite_ask(file, STATEMENT_NTH_CHANGE, from, &nth, diag);
        if (r < 0)
                return r;
        if (r == 1 && nth >> CHANGE_BITS < revision)
                revision = nth >> CHANGE_BITS > file->compacted ? nth >> CHANGE_BITS
                                                                : file->compacted + 1;

        r = sqlite_run_with(file, STATEMENT_DROP_SUPERSEDED, from, (revision + 1) << CHANGE_BITS,
                            diag);
        if (r == 0)
                r = sqlite_run_with(file, STATEMENT_DROP_DELETIONS, from, revision << CHANGE_BITS,
                                    diag);
        if (r == 0)
                r = sqlite_run_with(file, STATEMENT_SET_COMPACTED, revision, 0, diag);
        if (r == 0)
                file->compacted = revision;
        return r;
}
