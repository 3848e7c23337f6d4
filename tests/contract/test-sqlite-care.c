/* SPDX-License-Identifier: Apache-2.0 */

/* The care of a file of the built-in store: what a check finds, copies while it is written to, and
 * the way back. */

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/store/store-care.h"
#include "lib/store/store-serving.h"
#include "tests/contract/sqlite-file.h"

enum { LIMIT_US = 10 * US_PER_S };

static SqliteTestFile file;
static char backup[160];

static void set_up(void) {
        ck_assert_int_eq(sqlite_test_file_make(&file), 0);
        (void)snprintf(backup, sizeof(backup), "%s/backup", file.directory);
}

static void tear_down(void) {
        sqlite_test_file_done(&file);
}

/* ---- a store in use */

typedef struct Opened {
        Loop *loop;
        SqliteStore *sqlite;
        SqliteRequest request;
        int status;
        int64_t revision;
        int64_t count;
        bool is_done;
} Opened;

static void opened_begin(Opened *opened) {
        const SqliteStoreOptions options = { .path = file.path, .module = SQLITE_MODULE };

        *opened = (Opened){ 0 };
        ck_assert_int_eq(loop_new(&opened->loop, env_system()), 0);
        ck_assert_int_eq(sqlite_store_new(&opened->sqlite, opened->loop, &options), 0);
}

static void opened_end(Opened *opened) {
        (void)sqlite_store_free(opened->sqlite);
        (void)loop_free(opened->loop);
}

static void on_done(SqliteRequest *request, int status, SqliteReply *reply) {
        Opened *opened = container_of(request, Opened, request);

        opened->is_done = true;
        opened->status = status;
        if (reply) {
                opened->revision = reply->revision;
                opened->count = reply->answer->count;
        }
}

static int await(Opened *opened) {
        while (!opened->is_done)
                ck_assert_int_eq(loop_turn(opened->loop, US_PER_MS), 0);
        return opened->status;
}

static int command(Opened *opened, const StoreCommand *what) {
        opened->is_done = false;
        ck_assert_int_eq(
                sqlite_request_command(&opened->request, opened->sqlite, what, LIMIT_US, on_done),
                0);
        return await(opened);
}

static int put(Opened *opened, const char *key, const char *value, int64_t lease) {
        const StoreCommand what = { .kind = STORE_COMMAND_PUT,
                                    .key = store_bytes(key),
                                    .value = store_bytes(value),
                                    .lease = lease };

        return command(opened, &what);
}

static int64_t count(Opened *opened, int64_t revision, int *ret_status) {
        const StoreCommand all = { .kind = STORE_COMMAND_RANGE,
                                   .key = store_bytes("a"),
                                   .end = store_bytes("z"),
                                   .revision = revision,
                                   .counts_only = true };

        *ret_status = command(opened, &all);
        return opened->count;
}

/* Four keys, one of them on a lease; revision 7. */
static void make_records(void) {
        Opened opened;

        opened_begin(&opened);
        opened.is_done = false;
        ck_assert_int_eq(
                sqlite_request_grant(&opened.request, opened.sqlite, 7, 600, LIMIT_US, on_done), 0);
        ck_assert_int_eq(await(&opened), 0);
        for (int i = 0; i < 3; i++)
                ck_assert_int_eq(put(&opened, "k", "v", 0), 0);
        ck_assert_int_eq(put(&opened, "l", "v", 0), 0);
        ck_assert_int_eq(put(&opened, "m", "v", 0), 0);
        ck_assert_int_eq(put(&opened, "n", "v", 7), 0);
        ck_assert_int_eq(opened.revision, 7);
        opened_end(&opened);
}

static void execute(const char *path, const char *sql) {
        sqlite3 *db;

        ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
        ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        (void)sqlite3_close(db);
}

/* ---- checking */

typedef struct Findings {
        char text[4096];
        size_t n;
} Findings;

static void on_finding(const char *what, void *userdata) {
        Findings *findings = userdata;
        size_t n = strlen(findings->text);

        findings->n++;
        (void)snprintf(findings->text + n, sizeof(findings->text) - n, "%s\n", what);
}

static int look(const char *path, Findings *findings, SqliteSummary *summary, Diag *diag) {
        *findings = (Findings){ 0 };
        *diag = (Diag){ 0 };
        return store_care_check(SQLITE_MODULE, path, on_finding, findings, summary, diag);
}

START_TEST(test_sound) {
        SqliteSummary summary;
        Findings findings;
        Diag diag;

        make_records();
        ck_assert_int_eq(look(file.path, &findings, &summary, &diag), 1);
        ck_assert_uint_eq(findings.n, 0);
        ck_assert_int_eq(summary.revision, 7);
        ck_assert_int_eq(summary.compacted, 0);
        ck_assert_int_eq(summary.n_keys, 4);
        ck_assert_int_eq(summary.n_leased, 1);
        ck_assert_int_eq(summary.n_leases, 1);
        ck_assert_int_eq(summary.n_changes, 6);
        ck_assert_int_gt(summary.n_bytes, 0);
}
END_TEST

/* After all that a store does, it is sound. */
START_TEST(test_sound_after_work) {
        const StoreCommand delete = { .kind = STORE_COMMAND_DELETE,
                                      .key = store_bytes("l"),
                                      .end = store_bytes("n") };
        const StoreCommand both[] = {
                { .kind = STORE_COMMAND_PUT, .key = store_bytes("x") },
                { .kind = STORE_COMMAND_DELETE, .key = store_bytes("a"), .end = { "", 1 } },
        };
        const StoreCommand txn = { .kind = STORE_COMMAND_TXN, .then = both, .n_then = 2 };
        SqliteSummary summary;
        Findings findings;
        Opened opened;
        Diag diag;

        make_records();
        opened_begin(&opened);
        for (int64_t round = 0; round < 3; round++) {
                ck_assert_int_eq(command(&opened, &delete), 0);
                ck_assert_int_eq(put(&opened, "l", "again", 0), 0);
                ck_assert_int_eq(put(&opened, "l", "and again", 7), 0);
                ck_assert_int_eq(command(&opened, &txn), 0);
                ck_assert_int_eq(put(&opened, "l", "third", 0), 0);
                opened.is_done = false;
                ck_assert_int_eq(sqlite_request_compact(&opened.request, opened.sqlite,
                                                        opened.revision - round, LIMIT_US, on_done),
                                 0);
                ck_assert_int_eq(await(&opened), 0);
                ck_assert_int_eq(look(file.path, &findings, &summary, &diag), 1);
                ck_assert_str_eq(findings.text, "");
        }
        opened_end(&opened);
}
END_TEST

/* Makes the file one of the first version: with an index by key, and no change knows the one before
 * it. */
static void make_version_1(void) {
        execute(file.path, "ALTER TABLE change DROP COLUMN previous; "
                           "CREATE INDEX change_by_key ON change (key, id); "
                           "PRAGMA user_version = 1");
}

/* A file of the first version is sound as it is, and opening it for a store brings it up: the past
 * reads as before, is forgotten as before, and what comes is written as if it had always been so. */
START_TEST(test_version_1) {
        const StoreCommand delete = { .kind = STORE_COMMAND_DELETE, .key = store_bytes("l") };
        static const int64_t counts[] = { 0, 0, 1, 1, 1, 2, 3, 4, 3, 4, 4 };
        SqliteRestored restored;
        SqliteSummary summary;
        Findings findings;
        Opened opened;
        Diag diag;
        int status;

        make_records();
        opened_begin(&opened);
        ck_assert_int_eq(command(&opened, &delete), 0);
        ck_assert_int_eq(put(&opened, "l", "again", 0), 0);
        opened_end(&opened);
        make_version_1();
        ck_assert_int_eq(look(file.path, &findings, &summary, &diag), 1);
        ck_assert_int_eq(
                store_care_backup(SQLITE_MODULE, file.path, backup, false, &summary, &diag), 0);

        opened_begin(&opened);
        ck_assert_int_eq(put(&opened, "l", "and again", 0), 0);
        for (int64_t revision = 2; revision <= 10; revision++)
                ck_assert_int_eq(count(&opened, revision, &status), counts[revision]);
        ck_assert_int_eq(look(file.path, &findings, &summary, &diag), 1);
        ck_assert_int_eq(summary.n_changes, 9);
        opened.is_done = false;
        ck_assert_int_eq(
                sqlite_request_compact(&opened.request, opened.sqlite, 9, LIMIT_US, on_done), 0);
        ck_assert_int_eq(await(&opened), 0);
        ck_assert_int_eq(count(&opened, 9, &status), 4);
        opened_end(&opened);
        ck_assert_int_eq(look(file.path, &findings, &summary, &diag), 1);
        ck_assert_int_eq(summary.n_changes, 5);

        /* A copy of one, too, may take the place of what is newer. */
        ck_assert_int_eq(
                store_care_restore(SQLITE_MODULE, file.path, backup, false, &restored, &diag), 0);
        sqlite_restored_done(&restored);
        opened_begin(&opened);
        ck_assert_int_eq(put(&opened, "l", "once more", 0), 0);
        ck_assert_int_eq(count(&opened, 0, &status), 4);
        opened_end(&opened);
        ck_assert_int_eq(look(file.path, &findings, &summary, &diag), 1);
}
END_TEST

/* What is done to a file, and what the check says of it. */
static const struct {
        const char *sql;
        const char *finding;
} damages[] = {
        { "UPDATE live SET version = 4 WHERE key = CAST('k' AS BLOB)",
          "the key k is not as its last change left it\n" },
        { "UPDATE live SET change = 2 << 20 WHERE key = CAST('k' AS BLOB)",
          "the key k is not as its last change left it\n" },
        { "DELETE FROM live WHERE key = CAST('l' AS BLOB)",
          "the key l is missing, although its last change did not delete it\n" },
        { "UPDATE change SET created = 100, key = x'6c0a' WHERE key = CAST('l' AS BLOB); "
          "UPDATE live SET created = 100, key = x'6c0a' WHERE key = CAST('l' AS BLOB)",
          "a change of the key l\\x0a contradicts itself\n" },
        { "DELETE FROM change WHERE id = 3 << 20",
          "the versions of the key k do not follow one another\n"
          "a change of the key k does not know the one before it\n"
          "of the history from revision 1 on, revisions are missing\n" },
        { "UPDATE change SET previous = NULL WHERE id = 4 << 20",
          "a change of the key k does not know the one before it\n" },
        { "UPDATE change SET previous = 4 << 20 WHERE id = 5 << 20",
          "a change of the key l does not know the one before it\n" },
        { "DELETE FROM lease", "the key n hangs on a lease that does not exist\n" },
        { "UPDATE lease SET ttl_s = 0", "the time of the lease 7 is out of bounds\n" },
        { "UPDATE setting SET value = 8 WHERE name = 'compacted'",
          "it was compacted to revision 8, which it has not reached\n" },
        { "DELETE FROM setting WHERE name = 'compacted'",
          "it does not say to what it was compacted\n" },
        { "DROP TABLE lease", "no such table: lease" },
};

START_TEST(test_unsound) {
        SqliteSummary summary;
        Findings findings;
        Diag diag;
        int r;

        make_records();
        execute(file.path, damages[_i].sql);
        r = look(file.path, &findings, &summary, &diag);
        if (r < 0)
                ck_assert_ptr_nonnull(strstr(diag.message, damages[_i].finding));
        else
                ck_assert_str_eq(findings.text, damages[_i].finding);
        ck_assert_int_ne(r, 1);
}
END_TEST

START_TEST(test_corrupt_pages) {
        SqliteSummary summary;
        char nonsense[8192];
        Findings findings;
        Diag diag;
        int fd;

        make_records();
        memset(nonsense, 0x5a, sizeof(nonsense));
        fd = open(file.path, O_WRONLY | O_CLOEXEC);
        ck_assert_int_eq(pwrite(fd, nonsense, sizeof(nonsense), 8192), sizeof(nonsense));
        (void)close(fd);
        ck_assert_int_eq(look(file.path, &findings, &summary, &diag), 0);
        ck_assert_uint_gt(findings.n, 0);
}
END_TEST

/* What is no store at all is no finding. */
START_TEST(test_no_store) {
        SqliteSummary summary;
        Findings findings;
        Diag diag;

        ck_assert_int_lt(look("/nowhere/store.db", &findings, &summary, &diag), 0);
        ck_assert_ptr_nonnull(strstr(diag.message, "/nowhere/store.db: No such file"));
        execute(file.path, "PRAGMA application_id = 1; CREATE TABLE t (x)");
        ck_assert_int_eq(look(file.path, &findings, &summary, &diag), -EPROTO);
        ck_assert_ptr_nonnull(strstr(diag.message, "another program"));
        ck_assert_uint_eq(findings.n, 0);
}
END_TEST

/* ---- copies */

/* A copy is as of one moment, and has nothing beside it. */
START_TEST(test_backup_in_use) {
        char name[200];
        SqliteSummary summary;
        Findings findings;
        struct stat status;
        Opened opened;
        Diag diag = { 0 };

        make_records();
        opened_begin(&opened);
        ck_assert_int_eq(put(&opened, "o", "v", 0), 0);
        ck_assert_int_eq(
                store_care_backup(SQLITE_MODULE, file.path, backup, false, &summary, &diag), 0);
        ck_assert_int_eq(summary.revision, 8);
        ck_assert_int_eq(summary.n_keys, 5);
        ck_assert_int_eq(put(&opened, "p", "v", 0), 0);
        opened_end(&opened);

        ck_assert_int_eq(look(backup, &findings, &summary, &diag), 1);
        ck_assert_int_eq(summary.revision, 8);
        ck_assert_int_eq(stat(backup, &status), 0);
        ck_assert_uint_eq(status.st_mode & 0777, 0600);
        (void)snprintf(name, sizeof(name), "%s-wal", backup);
        ck_assert_int_ne(access(name, F_OK), 0);
}
END_TEST

/* What is there is replaced on demand only, and the store itself never. */
START_TEST(test_backup_over_something) {
        SqliteSummary summary;
        Diag diag = { 0 };
        char lock[160];

        make_records();
        execute(backup, "CREATE TABLE t (x)");
        ck_assert_int_eq(
                store_care_backup(SQLITE_MODULE, file.path, backup, false, &summary, &diag),
                -EEXIST);
        ck_assert_int_eq(store_care_backup(SQLITE_MODULE, file.path, backup, true, &summary, &diag),
                         0);
        ck_assert_int_eq(
                store_care_backup(SQLITE_MODULE, file.path, file.path, true, &summary, &diag),
                -EINVAL);
        (void)snprintf(lock, sizeof(lock), "%s.lock", file.path);
        ck_assert_int_eq(store_care_backup(SQLITE_MODULE, file.path, lock, true, &summary, &diag),
                         -EINVAL);
        ck_assert_int_lt(store_care_backup(SQLITE_MODULE, file.path, "/nowhere/backup", false,
                                           &summary, &diag),
                         0);
        ck_assert_ptr_nonnull(strstr(diag.message, "/nowhere/backup: No such file"));
}
END_TEST

/* What is not sound is not kept as a backup, and not gone back to. */
START_TEST(test_unsound_copies) {
        SqliteRestored restored;
        SqliteSummary summary;
        Diag diag = { 0 };

        make_records();
        ck_assert_int_eq(
                store_care_backup(SQLITE_MODULE, file.path, backup, false, &summary, &diag), 0);
        execute(file.path, "DELETE FROM lease");
        execute(backup, "DELETE FROM live");
        ck_assert_int_eq(
                store_care_restore(SQLITE_MODULE, file.path, backup, false, &restored, &diag),
                -EUCLEAN);
        ck_assert_ptr_nonnull(strstr(diag.message, "nothing was changed: the key k is missing"));
        ck_assert_int_eq(unlink(backup), 0);
        ck_assert_int_eq(
                store_care_backup(SQLITE_MODULE, file.path, backup, false, &summary, &diag),
                -EUCLEAN);
        ck_assert_ptr_nonnull(strstr(diag.message, "hangs on a lease that does not exist"));
        ck_assert_int_ne(access(backup, F_OK), 0);
}
END_TEST

/* ---- and back */

static void make_backup(void) {
        SqliteSummary summary;
        Diag diag = { 0 };

        make_records();
        ck_assert_int_eq(
                store_care_backup(SQLITE_MODULE, file.path, backup, false, &summary, &diag), 0);
}

/* What was there is there again, under revisions that nobody has seen, with its leases; whoever
 * followed the store has to begin anew; what was in its place is kept whole. */
START_TEST(test_restore) {
        _cleanup_(sqlite_restored_done) SqliteRestored restored = { 0 };
        SqliteSummary summary;
        Findings findings;
        Opened opened;
        Diag diag = { 0 };
        int status;

        make_backup();
        opened_begin(&opened);
        for (int i = 0; i < 10; i++)
                ck_assert_int_eq(put(&opened, "later", "v", 0), 0);
        ck_assert_int_eq(opened.revision, 17);
        opened_end(&opened);

        ck_assert_int_eq(
                store_care_restore(SQLITE_MODULE, file.path, backup, false, &restored, &diag), 0);
        ck_assert_int_eq(restored.from_revision, 7);
        ck_assert_int_eq(restored.revision, 18);
        ck_assert(!restored.is_guess);
        ck_assert_int_eq(look(restored.aside, &findings, &summary, &diag), 1);
        ck_assert_int_eq(summary.revision, 17);
        ck_assert_int_eq(look(file.path, &findings, &summary, &diag), 1);
        ck_assert_str_eq(findings.text, "");
        ck_assert_int_eq(summary.n_leased, 1);

        for (int round = 0; round < 2; round++) {
                opened_begin(&opened);
                ck_assert_int_eq(count(&opened, 0, &status), 4 + round);
                ck_assert_int_eq(opened.revision, 18 + round);
                (void)count(&opened, 17, &status);
                ck_assert_int_eq(status, STORE_E_COMPACTED);
                ck_assert_int_eq(count(&opened, 18, &status), 4);
                ck_assert_int_eq(put(&opened, round == 0 ? "new" : "newer", "v", 7), 0);
                ck_assert_int_eq(opened.revision, 19 + round);
                opened_end(&opened);
                ck_assert_int_eq(look(file.path, &findings, &summary, &diag), 1);
                ck_assert_str_eq(findings.text, "");
        }
}
END_TEST

/* Without a file, or with one that is corrupt, nobody knows how far the store had come. */
START_TEST(test_restore_without_old) {
        _cleanup_(sqlite_restored_done) SqliteRestored restored = { 0 };
        Opened opened;
        Diag diag = { 0 };
        char name[200];
        int fd, status;

        make_backup();
        if (_i == 0) {
                ck_assert_int_eq(unlink(file.path), 0);
        } else {
                fd = open(file.path, O_WRONLY | O_TRUNC | O_CLOEXEC);
                ck_assert_int_eq(write(fd, "this is no database, but long enough", 30), 30);
                (void)close(fd);
        }
        (void)snprintf(name, sizeof(name), "%s-wal", file.path);
        fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        ck_assert_int_eq(write(fd, "a log of something else", 20), 20);
        (void)close(fd);

        ck_assert_int_eq(
                store_care_restore(SQLITE_MODULE, file.path, backup, false, &restored, &diag), 0);
        ck_assert(restored.is_guess);
        ck_assert_int_eq(restored.revision, 7 + 1000000000);
        ck_assert_ptr_null(restored.aside);
        (void)snprintf(name, sizeof(name), "%s.corrupt", file.path);
        ck_assert_int_eq(access(name, F_OK), _i == 0 ? -1 : 0);
        opened_begin(&opened);
        ck_assert_int_eq(count(&opened, 0, &status), 4);
        opened_end(&opened);
}
END_TEST

/* Restores in a process of its own, once it is told to. */
static pid_t restore_when_told(int told) {
        SqliteRestored restored;
        Diag diag = { 0 };
        char byte;
        pid_t pid = fork();
        int r;

        ck_assert_int_ge(pid, 0);
        if (pid > 0)
                return pid;

        r = read(told, &byte, 1) == 1
                    ? store_care_restore(SQLITE_MODULE, file.path, backup, true, &restored, &diag)
                    : -EPIPE;
        _exit(r == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* While a daemon uses the file it is refused, or waited for. */
START_TEST(test_restore_in_use) {
        SqliteRestored restored = { 0 };
        int status, told[2];
        Opened opened;
        Diag diag = { 0 };
        pid_t pid;

        make_backup();
        ck_assert_int_eq(pipe(told), 0);
        pid = restore_when_told(told[0]);
        opened_begin(&opened);
        ck_assert_int_eq(put(&opened, "later", "v", 0), 0);
        ck_assert_int_eq(
                store_care_restore(SQLITE_MODULE, file.path, backup, false, &restored, &diag),
                -EBUSY);
        ck_assert_ptr_nonnull(strstr(diag.message, "is in use by another process, of number"));

        ck_assert_int_eq(write(told[1], "!", 1), 1);
        for (int i = 0; i < 20; i++)
                ck_assert_int_eq(put(&opened, "later still", "v", 0), 0);
        ck_assert_int_eq(waitpid(pid, &status, WNOHANG), 0);
        opened_end(&opened);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
        opened_begin(&opened);
        ck_assert_int_eq(count(&opened, 0, &status), 4);
        ck_assert_int_eq(opened.revision, 29);
        opened_end(&opened);
}
END_TEST

/* Another program that has the old file open could write to it while it is put aside. */
START_TEST(test_restore_beside_another_program) {
        SqliteRestored restored = { 0 };
        Diag diag = { 0 };
        sqlite3 *db;

        make_backup();
        execute(file.path, "PRAGMA journal_mode = WAL");
        ck_assert_int_eq(sqlite3_open(file.path, &db), SQLITE_OK);
        ck_assert_int_eq(sqlite3_exec(db, "BEGIN; SELECT * FROM live", NULL, NULL, NULL),
                         SQLITE_OK);
        ck_assert_int_eq(
                store_care_restore(SQLITE_MODULE, file.path, backup, false, &restored, &diag),
                -EAGAIN);
        ck_assert_ptr_nonnull(strstr(diag.message, "another process has locked"));
        (void)sqlite3_close(db);
        ck_assert_int_eq(
                store_care_restore(SQLITE_MODULE, file.path, backup, false, &restored, &diag), 0);
        sqlite_restored_done(&restored);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("sqlite-care");
        TCase *cases = tcase_create("sqlite-care");
        SRunner *runner;
        int n_failed;

        tcase_add_checked_fixture(cases, set_up, tear_down);
        tcase_set_timeout(cases, 60);
        tcase_add_test(cases, test_sound);
        tcase_add_test(cases, test_sound_after_work);
        tcase_add_test(cases, test_version_1);
        tcase_add_loop_test(cases, test_unsound, 0, ELEMENTSOF(damages));
        tcase_add_test(cases, test_corrupt_pages);
        tcase_add_test(cases, test_no_store);
        tcase_add_test(cases, test_backup_in_use);
        tcase_add_test(cases, test_backup_over_something);
        tcase_add_test(cases, test_unsound_copies);
        tcase_add_test(cases, test_restore);
        tcase_add_loop_test(cases, test_restore_without_old, 0, 2);
        tcase_add_test(cases, test_restore_in_use);
        tcase_add_test(cases, test_restore_beside_another_program);
        suite_add_tcase(suite, cases);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed == 0 ? 0 : 1;
}
