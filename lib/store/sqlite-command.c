/* SPDX-License-Identifier: Apache-2.0 */

/* What the SQLite engine does with commands, and with the end of a lease.
 *
 * A transaction goes through twice: at first its comparisons, and those of the transactions within
 * it, choose what is to be made, and that is held against what is there; then it is made. Its
 * answers are laid out by the first pass, and filled by the second.
 */

#include <errno.h>

#include "lib/store/sqlite-private.h"
#include "lib/store/store-rules.h"

/* A commit in the making: its revision is the file's next. */
typedef struct SqliteCommit {
        SqliteFile *file; /* borrowed */
        int64_t n_changes;
        Diag *diag;
} SqliteCommit;

/* The revision of what a command sees. */
static int64_t commit_revision(const SqliteCommit *commit) {
        return commit->file->revision + (commit->n_changes > 0);
}

/* ---- reading */

/* A ranged statement with the rest of its parameters: how many rows (-1 = all), and as of which
 * revision (0 = now). */
static sqlite3_stmt *commit_ranged(SqliteCommit *commit, Statement statement, StoreBytes key,
                                   StoreBytes end, char *scratch, int64_t n_rows, int64_t revision,
                                   int *ret_error) {
        sqlite3_stmt *s = sqlite_ranged(commit->file, statement, key, end, scratch, ret_error,
                                        commit->diag);

        if (!s)
                return NULL;
        if (sqlite3_bind_parameter_count(s) > 2)
                (void)sqlite3_bind_int64(s, 3, n_rows);
        if (revision > 0)
                (void)sqlite3_bind_int64(s, 4, (revision + 1) << CHANGE_BITS);
        return s;
}

/* The rows of a range as of now, with values or without. */
static int commit_list(SqliteCommit *commit, StoreBytes key, StoreBytes end, bool keys_only,
                       SqliteRows *rows) {
        _cleanup_(freep) char *scratch = malloc(key.n_bytes + 1);
        sqlite3_stmt *s;
        int r;

        if (!scratch)
                return -ENOMEM;
        s = commit_ranged(commit, keys_only ? STATEMENT_KEYS : STATEMENT_RANGE, key, end, scratch,
                          -1, 0, &r);
        return s ? sqlite_collect(commit->file, s, rows, keys_only, commit->diag) : r;
}

static int commit_count(SqliteCommit *commit, const StoreCommand *range, int64_t revision,
                        char *scratch, int64_t *ret_count) {
        sqlite3_stmt *s;
        int r;

        s = commit_ranged(commit, revision > 0 ? STATEMENT_COUNT_PAST : STATEMENT_COUNT, range->key,
                          range->end, scratch, -1, revision, &r);
        if (!s)
                return r;

        r = sqlite_step(commit->file, s, commit->diag);
        if (r < 0)
                return r;
        *ret_count = sqlite3_column_int64(s, 0);
        (void)sqlite3_reset(s);
        return 0;
}

static int commit_range(SqliteCommit *commit, const StoreCommand *range, StoreAnswer *answer) {
        bool is_past = range->revision > 0 && range->revision < commit_revision(commit);
        int64_t revision = is_past ? range->revision : 0,
                limit = range->limit > 0 && range->limit < INT64_MAX ? range->limit : INT64_MAX - 1;
        Statement statement = is_past            ? STATEMENT_PAST
                              : range->keys_only ? STATEMENT_KEYS
                                                 : STATEMENT_RANGE;
        _cleanup_(freep) char *scratch = malloc(range->key.n_bytes + 1);
        sqlite3_stmt *s;
        int r;

        if (!scratch)
                return -ENOMEM;
        if (range->counts_only)
                return commit_count(commit, range, revision, scratch, &answer->count);

        /* One more than asked for tells whether there is more. */
        s = commit_ranged(commit, statement, range->key, range->end, scratch, limit + 1, revision,
                          &r);
        if (!s)
                return r;
        r = sqlite_collect(commit->file, s, &answer->rows, range->keys_only, commit->diag);
        if (r < 0)
                return r;

        answer->more = (int64_t)answer->rows.n_kvs > limit;
        if (answer->more)
                sqlite_rows_drop_last(&answer->rows);
        answer->count = (int64_t)answer->rows.n_kvs;
        return answer->more && range->counts_all
                       ? commit_count(commit, range, revision, scratch, &answer->count)
                       : 0;
}

/* ---- comparing */

/* Returns 1 when it holds, 0 when it does not. */
static int commit_test(SqliteCommit *commit, const StoreTest *test) {
        _cleanup_(freep) char *scratch = malloc(test->key.n_bytes + 1);
        Statement statement = test->target == STORE_TEST_VALUE ? STATEMENT_RANGE : STATEMENT_KEYS;
        bool is_empty = true;
        sqlite3_stmt *s;
        int r;

        if (!scratch)
                return -ENOMEM;
        s = commit_ranged(commit, statement, test->key, test->end, scratch, -1, 0, &r);
        if (!s)
                return r;

        while ((r = sqlite_step(commit->file, s, commit->diag)) == 1) {
                const StoreKv kv = sqlite_row(s);

                is_empty = false;
                if (!store_test_holds(test, &kv)) {
                        (void)sqlite3_reset(s);
                        return 0;
                }
        }
        if (r < 0)
                return r;
        return !is_empty || store_test_holds(test, NULL);
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
                (void)sqlite3_bind_int64(s, 6, kv->version);
        }
        return sqlite_step(commit->file, s, commit->diag);
}

static int commit_add(SqliteCommit *commit, const StoreKv *kv) {
        int64_t id = ((commit->file->revision + 1) << CHANGE_BITS) + commit->n_changes;
        int r;

        if (commit->n_changes == CHANGES_MAX)
                return STORE_E_TOO_LARGE;
        r = commit->n_changes == 0 ? sqlite_run(commit->file, STATEMENT_SAVE, commit->diag) : 0;
        if (r < 0)
                return r;

        commit->n_changes++;
        r = commit_run(commit, STATEMENT_ADD_CHANGE, id, kv);
        if (r == 0)
                r = commit_run(commit,
                               kv->create_revision > 0 ? STATEMENT_SET_LIVE : STATEMENT_DROP_LIVE,
                               id, kv);
        return r;
}

static int commit_delete_all(SqliteCommit *commit, const SqliteRows *rows) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < rows->n_kvs; i++)
                r = commit_add(commit, &(StoreKv){ .key = rows->kvs[i].key });
        return r;
}

/* What a key has now, its bytes left out. Returns 1, or 0 when it is not there. */
static int commit_peek(SqliteCommit *commit, StoreBytes key, StoreKv *ret_kv) {
        _cleanup_(freep) char *scratch = malloc(key.n_bytes + 1);
        sqlite3_stmt *s;
        int r;

        if (!scratch)
                return -ENOMEM;
        s = commit_ranged(commit, STATEMENT_KEYS, key, (StoreBytes){ 0 }, scratch, 1, 0, &r);
        if (!s)
                return r;

        r = sqlite_step(commit->file, s, commit->diag);
        if (r != 1)
                return r;
        *ret_kv = sqlite_row(s);
        ret_kv->key = ret_kv->value = (StoreBytes){ 0 };
        (void)sqlite3_reset(s);
        return 1;
}

/* As above; with the bytes where the put or its answer needs them, which are the answer's then. */
static int commit_read_before(SqliteCommit *commit, const StoreCommand *put, StoreAnswer *answer,
                              StoreKv *ret_kv) {
        int r;

        if (!put->keeps_value && !put->wants_previous)
                return commit_peek(commit, put->key, ret_kv);

        r = commit_list(commit, put->key, (StoreBytes){ 0 }, false, &answer->rows);
        if (r < 0 || answer->rows.n_kvs == 0)
                return r;
        *ret_kv = answer->rows.kvs[0];
        return 1;
}

static int commit_put(SqliteCommit *commit, const StoreCommand *put, StoreAnswer *answer) {
        StoreKv before = { 0 }, kv = { .key = put->key, .value = put->value, .lease = put->lease };
        int r = commit_read_before(commit, put, answer, &before);

        if (r < 0)
                return r;
        if (r == 0 && (put->keeps_value || put->keeps_lease))
                return STORE_E_ABSENT;

        kv.create_revision = r == 1 ? before.create_revision : commit->file->revision + 1;
        kv.version = before.version + 1;
        if (put->keeps_value)
                kv.value = before.value;
        if (put->keeps_lease)
                kv.lease = before.lease;
        r = commit_add(commit, &kv);
        if (!put->wants_previous)
                sqlite_rows_done(&answer->rows);
        return r;
}

static int commit_delete(SqliteCommit *commit, const StoreCommand *delete, StoreAnswer *answer) {
        int r = commit_list(commit, delete->key, delete->end, !delete->wants_previous,
                            &answer->rows);

        if (r == 0)
                r = commit_delete_all(commit, &answer->rows);
        answer->count = (int64_t)answer->rows.n_kvs;
        if (!delete->wants_previous)
                sqlite_rows_done(&answer->rows);
        return r;
}

/* ---- the first pass */

/* The commands of a transaction that its comparisons chose. */
static const StoreCommand *txn_chosen(const StoreCommand *txn, const StoreAnswer *answer) {
        return answer->succeeded ? txn->then : txn->otherwise;
}

/* Chooses, all the way down. */
static int commit_choose(SqliteCommit *commit, const StoreCommand *command, StoreAnswer *answer) {
        int r = 1;

        answer->kind = command->kind;
        if (command->kind != STORE_COMMAND_TXN)
                return 0;

        for (size_t i = 0; r == 1 && i < command->n_tests; i++)
                r = commit_test(commit, &command->tests[i]);
        if (r < 0)
                return r;

        answer->succeeded = r == 1;
        answer->n_answers = answer->succeeded ? command->n_then : command->n_otherwise;
        if (answer->n_answers == 0)
                return 0;
        answer->answers = calloc(answer->n_answers, sizeof(*answer->answers));
        if (!answer->answers) {
                answer->n_answers = 0;
                return -ENOMEM;
        }

        r = 0;
        for (size_t i = 0; r == 0 && i < answer->n_answers; i++)
                r = commit_choose(commit, &txn_chosen(command, answer)[i], &answer->answers[i]);
        return r;
}

/* Is what a put wants there? */
static int commit_check_put(SqliteCommit *commit, const StoreCommand *put) {
        StoreKv before;
        int64_t found;
        int r;

        if (put->lease != 0) {
                r = sqlite_ask(commit->file, STATEMENT_HAS_LEASE, put->lease, &found, commit->diag);
                if (r != 1)
                        return r == 0 ? STORE_E_NO_LEASE : r;
        }
        if (!put->keeps_value && !put->keeps_lease)
                return 0;

        r = commit_peek(commit, put->key, &before);
        if (r < 0)
                return r;
        return r == 1 ? 0 : STORE_E_ABSENT;
}

/* Holds the chosen commands of a kind against what is there before any of them is made. */
static int commit_check(SqliteCommit *commit, const StoreCommand *command,
                        const StoreAnswer *answer, StoreCommandKind kind) {
        int r = 0;

        if (command->kind == STORE_COMMAND_TXN) {
                const StoreCommand *chosen = txn_chosen(command, answer);

                for (size_t i = 0; r == 0 && i < answer->n_answers; i++)
                        r = commit_check(commit, &chosen[i], &answer->answers[i], kind);
                return r;
        }

        if (command->kind != kind)
                return 0;
        if (kind == STORE_COMMAND_PUT)
                return commit_check_put(commit, command);
        if (command->revision > commit->file->revision)
                return STORE_E_FUTURE;
        return command->revision > 0 && command->revision < commit->file->compacted
                       ? STORE_E_COMPACTED
                       : 0;
}

/* ---- the second pass */

static int commit_make(SqliteCommit *commit, const StoreCommand *command, StoreAnswer *answer) {
        int r = 0;

        switch (command->kind) {
        case STORE_COMMAND_RANGE:
                r = commit_range(commit, command, answer);
                break;
        case STORE_COMMAND_PUT:
                r = commit_put(commit, command, answer);
                break;
        case STORE_COMMAND_DELETE:
                r = commit_delete(commit, command, answer);
                break;
        case STORE_COMMAND_TXN:
                for (size_t i = 0; r == 0 && i < answer->n_answers; i++)
                        r = commit_make(commit, &txn_chosen(command, answer)[i],
                                        &answer->answers[i]);
                break;
        }
        answer->revision = commit_revision(commit);
        return r;
}

/* Keeps what was written if `r` is 0, takes it back otherwise. */
static int commit_end(SqliteCommit *commit, int r) {
        if (commit->n_changes == 0)
                return r;

        if (r > 0) {
                int back = sqlite_run(commit->file, STATEMENT_RETURN, commit->diag);

                r = back < 0 ? back : r;
        }
        if (r >= 0) {
                int released = sqlite_run(commit->file, STATEMENT_RELEASE, commit->diag);

                r = released < 0 ? released : r;
        }
        if (r == 0)
                commit->file->revision++;
        return r;
}

int sqlite_file_command(SqliteFile *file, const StoreCommand *command, StoreAnswer *ret_answer,
                        Diag *diag) {
        SqliteCommit commit = { .file = file, .diag = diag };
        int r;

        r = commit_choose(&commit, command, ret_answer);
        if (r == 0)
                r = commit_check(&commit, command, ret_answer, STORE_COMMAND_PUT);
        if (r == 0)
                r = commit_check(&commit, command, ret_answer, STORE_COMMAND_RANGE);
        return r == 0 ? commit_end(&commit, commit_make(&commit, command, ret_answer)) : r;
}

/* ---- leases */

int sqlite_file_lease_keys(SqliteFile *file, int64_t id, SqliteRows *ret_rows, Diag *diag) {
        int r = 0;
        sqlite3_stmt *s = sqlite_statement(file, STATEMENT_KEYS_OF_LEASE, &r, diag);

        if (!s)
                return r;
        (void)sqlite3_bind_int64(s, 1, id);
        return sqlite_collect(file, s, ret_rows, true, diag);
}

int sqlite_file_lease_end(SqliteFile *file, int64_t id, Diag *diag) {
        SqliteCommit commit = { .file = file, .diag = diag };
        _cleanup_(sqlite_rows_done) SqliteRows rows = { 0 };
        int r = sqlite_file_lease_keys(file, id, &rows, diag);

        if (r == 0)
                r = commit_end(&commit, commit_delete_all(&commit, &rows));
        return r == 0 ? sqlite_run_with(file, STATEMENT_DROP_LEASE, id, 0, diag) : r;
}
