/* SPDX-License-Identifier: Apache-2.0 */

/* The built-in store and its file, when something is wrong with that: what a person is told, that
 * nothing is lost for it, and that the store works again by itself when the cause is gone.
 */

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/store/store-sqlite.h"
#include "tests/contract/sqlite-file.h"

enum { LIMIT_US = 10 * US_PER_S };

/* A store with one client. */
typedef struct Opened {
        Loop *loop;
        SqliteStore *sqlite;
        Store *store;
        StoreListener listener;
        StoreRequest request;
        char trouble[1024];
        int status;
        size_t n_kvs;
        bool is_done;
} Opened;

static SqliteTestFile file;
static bool can_mount;

static void on_connection(StoreListener *listener, bool is_connected, const char *detail) {
        Opened *opened = container_of(listener, Opened, listener);

        (void)snprintf(opened->trouble, sizeof(opened->trouble), "%s", is_connected ? "" : detail);
}

static void on_trouble(StoreListener *listener, const char *why) {
        Opened *opened = container_of(listener, Opened, listener);

        (void)snprintf(opened->trouble, sizeof(opened->trouble), "%s", why);
}

static void opened_begin_with(Opened *opened, const SqliteStoreOptions *options) {
        *opened = (Opened){ .listener.on_trouble = on_trouble };
        ck_assert_int_eq(loop_new(&opened->loop, env_system()), 0);
        ck_assert_int_eq(sqlite_store_new(&opened->sqlite, opened->loop, options), 0);
        ck_assert_int_eq(store_sqlite_new(&opened->store, opened->sqlite), 0);
        store_listen(opened->store, &opened->listener, on_connection);
}

static void opened_begin(Opened *opened) {
        const SqliteStoreOptions options = { .path = file.path, .module = SQLITE_MODULE };

        opened_begin_with(opened, &options);
}

static void on_closed(Store *store, void *userdata) {
        (void)store;
        *(bool *)userdata = true;
}

static void opened_end(Opened *opened) {
        bool is_closed = false;

        store_unlisten(&opened->listener);
        store_close(opened->store, on_closed, &is_closed);
        while (!is_closed)
                ck_assert_int_eq(loop_turn(opened->loop, US_PER_MS), 0);
        (void)store_free(opened->store);
        (void)sqlite_store_free(opened->sqlite);
        (void)loop_free(opened->loop);
}

static void wait_for(Opened *opened, bool (*is_true)(const Opened *opened)) {
        uint64_t limit_us = loop_now_us(opened->loop) + LIMIT_US;

        while (!is_true(opened)) {
                ck_assert_msg(loop_now_us(opened->loop) < limit_us,
                              "what is waited for does not happen; trouble: %s", opened->trouble);
                ck_assert_int_eq(loop_turn(opened->loop, US_PER_MS), 0);
        }
}

static bool is_up(const Opened *opened) {
        return store_is_connected(opened->store);
}

static bool is_in_trouble(const Opened *opened) {
        return opened->trouble[0];
}

static bool is_done(const Opened *opened) {
        return opened->is_done;
}

static void on_done(StoreRequest *request, int status, const StoreReply *reply) {
        Opened *opened = container_of(request, Opened, request);

        opened->status = status;
        opened->n_kvs = reply ? reply->n_kvs : 0;
        opened->is_done = true;
}

static int put(Opened *opened, const char *key, StoreBytes value) {
        const StoreOp op = { .kind = STORE_OP_PUT, .key = store_bytes(key), .value = value };
        const StoreTxn one = { .ops = &op, .n_ops = 1 };

        opened->is_done = false;
        ck_assert_int_eq(store_txn(opened->store, &opened->request, &one, LIMIT_US, on_done), 0);
        wait_for(opened, is_done);
        return opened->status;
}

static size_t count(Opened *opened) {
        const StoreRange all = { .key = store_bytes("a"), .end = store_bytes("z") };

        opened->is_done = false;
        ck_assert_int_eq(store_range(opened->store, &opened->request, &all, LIMIT_US, on_done), 0);
        wait_for(opened, is_done);
        ck_assert_int_eq(opened->status, 0);
        return opened->n_kvs;
}

enum { RECORDS_MAX = 200 };

/* A file with some records, closed in good order. */
static void make_records(size_t n) {
        static char keys[RECORDS_MAX][16], value[500];
        StoreOp ops[RECORDS_MAX];
        const StoreTxn all = { .ops = ops, .n_ops = n };
        Opened opened;

        memset(value, 'v', sizeof(value));
        for (size_t i = 0; i < n; i++) {
                (void)snprintf(keys[i], sizeof(keys[i]), "k%04zu", i);
                ops[i] = (StoreOp){ .kind = STORE_OP_PUT,
                                    .key = store_bytes(keys[i]),
                                    .value = { .data = value, .n_bytes = sizeof(value) } };
        }

        opened_begin(&opened);
        ck_assert_int_eq(store_txn(opened.store, &opened.request, &all, LIMIT_US, on_done), 0);
        wait_for(&opened, is_done);
        ck_assert_int_eq(opened.status, 0);
        opened_end(&opened);
}

static void set_up(void) {
        ck_assert_int_eq(sqlite_test_file_make(&file), 0);
}

static void tear_down(void) {
        sqlite_test_file_done(&file);
}

/* ---- what a file contains */

typedef struct Content {
        char bytes[1 << 20];
        ssize_t n_bytes;
} Content;

static void content_read(Content *content, const char *path) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        ck_assert_int_ge(fd, 0);
        content->n_bytes = read(fd, content->bytes, sizeof(content->bytes));
        ck_assert_int_gt(content->n_bytes, 0);
        (void)close(fd);
}

static void content_write(const Content *content, const char *path) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        ck_assert_int_eq(write(fd, content->bytes, (size_t)content->n_bytes), content->n_bytes);
        (void)close(fd);
}

static bool content_is(const Content *content, const char *path) {
        static Content other;

        content_read(&other, path);
        return other.n_bytes == content->n_bytes &&
               memcmp(other.bytes, content->bytes, (size_t)content->n_bytes) == 0;
}

static void execute(const char *sql) {
        sqlite3 *db;

        ck_assert_int_eq(sqlite3_open(file.path, &db), SQLITE_OK);
        ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        (void)sqlite3_close(db);
}

static char *corrupt_path(void) {
        static char path[128];

        (void)snprintf(path, sizeof(path), "%s.corrupt", file.path);
        return path;
}

/* How the file is spoilt. */
static const struct {
        off_t from;
        size_t n_bytes;
        off_t truncate_to; /* 0 = not */
} damages[] = {
        { 0, 100, 0 },      /* the header */
        { 8192, 16384, 0 }, /* pages in the middle */
        { 0, 0, 20000 },    /* the end is missing */
        { 0, 0, 50 },       /* nearly all is */
};

/* A corrupt file is named, moved aside as it is, and not replaced, however often one looks; a copy
 * that is put in its place is taken up. */
START_TEST(test_corrupt) {
        static Content sound, spoilt;
        Opened opened;

        make_records(RECORDS_MAX);
        content_read(&sound, file.path);
        spoilt = sound;
        memset(spoilt.bytes + damages[_i].from, 0x5a, damages[_i].n_bytes);
        if (damages[_i].truncate_to > 0)
                spoilt.n_bytes = damages[_i].truncate_to;
        content_write(&spoilt, file.path);

        opened_begin(&opened);
        wait_for(&opened, is_in_trouble);
        ck_assert_ptr_nonnull(strstr(opened.trouble, file.path));
        ck_assert_ptr_nonnull(strstr(opened.trouble, "corrupt"));
        ck_assert(content_is(&spoilt, corrupt_path()));
        ck_assert_int_ne(access(file.path, F_OK), 0);
        opened_end(&opened);

        opened_begin(&opened);
        wait_for(&opened, is_in_trouble);
        ck_assert_ptr_nonnull(strstr(opened.trouble, corrupt_path()));
        ck_assert_int_ne(access(file.path, F_OK), 0);

        content_write(&sound, file.path);
        wait_for(&opened, is_up);
        ck_assert_uint_eq(count(&opened), RECORDS_MAX);
        ck_assert(content_is(&spoilt, corrupt_path()));
        opened_end(&opened);
}
END_TEST

/* Whoever moves the corrupt file away begins with an empty store. */
START_TEST(test_begin_anew) {
        static const Content nonsense = { .bytes = "this is no database, but long enough for one",
                                          .n_bytes = 4096 };
        Opened opened;

        content_write(&nonsense, file.path);
        opened_begin(&opened);
        wait_for(&opened, is_in_trouble);
        ck_assert(!is_up(&opened));
        ck_assert_int_eq(unlink(corrupt_path()), 0);
        wait_for(&opened, is_up);
        ck_assert_uint_eq(count(&opened), 0);
        opened_end(&opened);
}
END_TEST

/* Files that are not for this program stay as they are, and it waits for them to be so. */
static const struct {
        const char *spoil;
        const char *mend;
        const char *word;
} foreign[] = {
        { "PRAGMA user_version = 3", "PRAGMA user_version = 2", "version 3" },
        { "PRAGMA application_id = 1", "PRAGMA application_id = 1718379877", "another program" },
};

START_TEST(test_foreign_file) {
        static Content before;
        Opened opened;

        make_records(3);
        execute(foreign[_i].spoil);
        content_read(&before, file.path);
        opened_begin(&opened);
        wait_for(&opened, is_in_trouble);
        ck_assert_ptr_nonnull(strstr(opened.trouble, foreign[_i].word));
        ck_assert(content_is(&before, file.path));

        execute(foreign[_i].mend);
        wait_for(&opened, is_up);
        ck_assert_uint_eq(count(&opened), 3);
        opened_end(&opened);
}
END_TEST

/* Two daemons cannot have one file: the second says who has it, and takes over when that is gone.
 */
START_TEST(test_second_daemon) {
        Opened first, second;
        char number[32];

        opened_begin(&first);
        ck_assert_int_eq(put(&first, "k", store_bytes("v")), 0);
        opened_begin(&second);
        wait_for(&second, is_in_trouble);
        (void)snprintf(number, sizeof(number), "of number %d", (int)getpid());
        ck_assert_ptr_nonnull(strstr(second.trouble, number));
        opened_end(&first);
        wait_for(&second, is_up);
        ck_assert_uint_eq(count(&second), 1);
        opened_end(&second);
}
END_TEST

/* Another program that writes to the file for a while delays a write and does not end it. */
START_TEST(test_other_writer) {
        Opened opened;
        sqlite3 *db;

        opened_begin(&opened);
        ck_assert_int_eq(put(&opened, "k", store_bytes("v")), 0);
        ck_assert_int_eq(sqlite3_open(file.path, &db), SQLITE_OK);
        ck_assert_int_eq(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
        ck_assert_uint_eq(count(&opened), 1);
        opened.is_done = false;
        {
                const StoreOp op = { .kind = STORE_OP_PUT,
                                     .key = store_bytes("k2"),
                                     .value = store_bytes("v") };
                const StoreTxn one = { .ops = &op, .n_ops = 1 };

                ck_assert_int_eq(store_txn(opened.store, &opened.request, &one, LIMIT_US, on_done),
                                 0);
        }
        for (int i = 0; i < 10; i++)
                ck_assert_int_eq(loop_turn(opened.loop, 20 * US_PER_MS), 0);
        ck_assert(!opened.is_done);
        (void)sqlite3_close(db);
        wait_for(&opened, is_done);
        ck_assert_int_eq(opened.status, 0);
        opened_end(&opened);
}
END_TEST

/* Only its owner may read it; the module that is not there is named. */
START_TEST(test_mode_and_module) {
        const SqliteStoreOptions options = { .path = file.path, .module = "/nowhere/module.so" };
        struct stat status;
        Opened opened;

        opened_begin_with(&opened, &options);
        wait_for(&opened, is_in_trouble);
        ck_assert_ptr_nonnull(strstr(opened.trouble, "/nowhere/module.so"));
        opened_end(&opened);

        make_records(1);
        ck_assert_int_eq(stat(file.path, &status), 0);
        ck_assert_uint_eq(status.st_mode & 0777, 0600);
}
END_TEST

/* ---- disks */

static bool mount_small(const char *options) {
        if (!can_mount)
                return false;
        ck_assert_int_eq(mount("fleet", file.directory, "tmpfs", 0, options), 0);
        return true;
}

static void unmount_small(void) {
        ck_assert_int_eq(umount2(file.directory, MNT_DETACH), 0);
}

/* A full disk refuses writes, and nothing else; with room again, they work. */
START_TEST(test_disk_full) {
        static Content filler = { .n_bytes = 600 * 1024 };
        char filler_path[128];
        StoreBytes value = { .data = filler.bytes, .n_bytes = 20000 };
        Opened opened;
        size_t n = 0;
        int status = 0;

        if (!mount_small("size=1m"))
                return;
        (void)snprintf(filler_path, sizeof(filler_path), "%s/filler", file.directory);
        content_write(&filler, filler_path);

        opened_begin(&opened);
        for (; status == 0 && n < 100; n++) {
                char key[16];

                (void)snprintf(key, sizeof(key), "k%04zu", n);
                status = put(&opened, key, value);
        }
        ck_assert_int_eq(status, STORE_E_NO_SPACE);
        ck_assert_ptr_nonnull(strstr(opened.trouble, "full"));
        ck_assert(is_up(&opened));
        ck_assert_uint_eq(count(&opened), n - 1);

        ck_assert_int_eq(unlink(filler_path), 0);
        ck_assert_int_eq(put(&opened, "last", value), 0);
        ck_assert_uint_eq(count(&opened), n);
        opened_end(&opened);
        unmount_small();
}
END_TEST

/* A disk that cannot be written is named, and used once it can be. */
START_TEST(test_disk_read_only) {
        Opened opened;

        if (!mount_small("size=1m"))
                return;
        make_records(3);
        ck_assert_int_eq(mount(NULL, file.directory, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
        opened_begin(&opened);
        wait_for(&opened, is_in_trouble);
        ck_assert_ptr_nonnull(strstr(opened.trouble, "Read-only file system"));

        ck_assert_int_eq(mount(NULL, file.directory, NULL, MS_REMOUNT, NULL), 0);
        wait_for(&opened, is_up);
        ck_assert_uint_eq(count(&opened), 3);
        opened_end(&opened);
        unmount_small();
}
END_TEST

int main(void) {
        Suite *suite = suite_create("sqlite-file");
        TCase *cases = tcase_create("file");
        SRunner *runner;
        int n_failed;

        can_mount = unshare(CLONE_NEWNS) == 0 &&
                    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
        if (!can_mount)
                (void)fprintf(stderr, "The disks are left out: mounting takes root\n");

        tcase_add_checked_fixture(cases, set_up, tear_down);
        tcase_set_timeout(cases, 60);
        /* First, because a module stays loaded. */
        tcase_add_test(cases, test_mode_and_module);
        tcase_add_loop_test(cases, test_corrupt, 0, ELEMENTSOF(damages));
        tcase_add_test(cases, test_begin_anew);
        tcase_add_loop_test(cases, test_foreign_file, 0, ELEMENTSOF(foreign));
        tcase_add_test(cases, test_second_daemon);
        tcase_add_test(cases, test_other_writer);
        tcase_add_test(cases, test_disk_full);
        tcase_add_test(cases, test_disk_read_only);
        suite_add_tcase(suite, cases);
        runner = srunner_create(suite);
        srunner_set_fork_status(runner, CK_NOFORK);
        srunner_run_all(runner, CK_NORMAL);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
