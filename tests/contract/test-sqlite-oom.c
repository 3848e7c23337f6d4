/* SPDX-License-Identifier: Apache-2.0 */

/* The built-in store without memory: whichever allocation fails, of its engine or of the store
 * around it, a command ends with -ENOMEM or does not start, is made whole or not at all, and nothing
 * leaks. The engine is linked into this program, where its allocations can be made to fail; SQLite's
 * own cannot.
 */

#include <errno.h>
#include <stdio.h>

#include "lib/store/store-care.h"
#include "lib/store/store-serving.h"
#include "tests/contract/sqlite-file.h"
#include "tests/unit/fault.h"

enum { LIMIT_US = 10 * US_PER_S };

/* What the module exports. */
extern const SqliteEngine fleet_sqlite_engine;

static const SqliteEngine *const engine = &fleet_sqlite_engine;
static SqliteTestFile file;

static void set_up(void) {
        ck_assert_int_eq(sqlite_test_file_make(&file), 0);
}

static void tear_down(void) {
        sqlite_test_file_done(&file);
}

/* ---- what is asked */

#define BYTES(text) \
        { .data = (text), .n_bytes = sizeof(text) - 1 }
#define ARRAY(type, ...) \
        (const type[]){ __VA_ARGS__ }, sizeof((const type[]){ __VA_ARGS__ }) / sizeof(type)

static const StoreCommand within = {
        .kind = STORE_COMMAND_TXN,
        .tests = ARRAY(StoreTest, { .key = BYTES("old"), .target = STORE_TEST_VALUE }),
        .otherwise = ARRAY(StoreCommand,
                           { .kind = STORE_COMMAND_PUT, .key = BYTES("c"), .value = BYTES("3") }),
};

static const StoreCommand commands[] = {
        { .kind = STORE_COMMAND_RANGE,
          .key = BYTES("a"),
          .end = BYTES("z"),
          .limit = 1,
          .counts_all = true },
        { .kind = STORE_COMMAND_RANGE, .key = BYTES("a"), .end = BYTES("z"), .revision = 2 },
        { .kind = STORE_COMMAND_PUT,
          .key = BYTES("old"),
          .value = BYTES("new"),
          .wants_previous = true },
        { .kind = STORE_COMMAND_PUT, .key = BYTES("old"), .keeps_value = true, .lease = 7 },
        { .kind = STORE_COMMAND_DELETE,
          .key = BYTES("a"),
          .end = BYTES("z"),
          .wants_previous = true },
        { .kind = STORE_COMMAND_TXN,
          .tests = ARRAY(StoreTest,
                         { .key = BYTES("old"), .target = STORE_TEST_VERSION, .number = 1 }),
          .then = ARRAY(
                  StoreCommand,
                  { .kind = STORE_COMMAND_DELETE, .key = BYTES("old"), .wants_previous = true },
                  { .kind = STORE_COMMAND_PUT, .key = BYTES("b"), .value = BYTES("2") },
                  { .kind = STORE_COMMAND_RANGE, .key = BYTES("a"), .end = BYTES("z") }) },
};

/* The key "old" and the lease 7, at revision 2. */
static SqliteFile *make_file(void) {
        static const StoreCommand put = { .kind = STORE_COMMAND_PUT,
                                          .key = BYTES("old"),
                                          .value = BYTES("v") };
        StoreAnswer answer = { 0 };
        SqliteFile *opened;

        ck_assert_int_eq(engine->open(&opened, file.path, NULL), 0);
        ck_assert_int_eq(engine->lease_add(opened, 7, 60, NULL), 0);
        ck_assert_int_eq(engine->command(opened, &put, &answer, NULL), 0);
        store_answer_done(&answer);
        return opened;
}

/* ---- the engine */

/* Returns what the command did; it is taken back in any case. */
static int try_command(SqliteFile *opened, const StoreCommand *command, size_t n,
                       bool *ret_has_failed) {
        StoreAnswer answer = { 0 };
        int r;

        ck_assert_int_eq(engine->begin(opened, true, NULL), 0);
        fault_arm(n);
        r = engine->command(opened, command, &answer, NULL);
        *ret_has_failed = fault_disarm();
        engine->rollback(opened);
        ck_assert_int_eq(engine->revision(opened), 2);
        store_answer_done(&answer);
        return r;
}

START_TEST(test_commands) {
        SqliteFile *opened = make_file();
        bool has_failed = true;

        for (size_t n = 0; has_failed; n++) {
                int r = try_command(opened, &commands[_i], n, &has_failed);

                ck_assert_int_eq(r, has_failed ? -ENOMEM : 0);
                ck_assert(has_failed || n > 0);
        }
        engine->close(opened);
}
END_TEST

static void on_finding(const char *what, void *userdata) {
        (void)userdata;
        ck_abort_msg("%s", what);
}

/* Opening, checking, copying and restoring end with -ENOMEM, and the file is as it was. */
static int open_and_close(const char *copy) {
        SqliteFile *opened;
        int r = engine->open(&opened, file.path, NULL);

        (void)copy;
        if (r == 0)
                engine->close(opened);
        return r;
}

static int check_file(const char *copy) {
        SqliteSummary summary;
        int r = engine->check(file.path, on_finding, NULL, &summary, NULL);

        (void)copy;
        return r == 1 ? 0 : r;
}

static int restore_file(const char *copy) {
        SqliteRestored restored;
        int r = engine->restore(file.path, copy, false, &restored, NULL);

        if (r == 0)
                sqlite_restored_done(&restored);
        return r;
}

static int (*const uses[])(const char *copy) = { open_and_close, check_file, restore_file };

START_TEST(test_care) {
        char copy[160];
        bool has_failed = true;

        engine->close(make_file());
        (void)snprintf(copy, sizeof(copy), "%s/copy", file.directory);
        ck_assert_int_eq(engine->copy(file.path, copy, NULL), 0);
        for (size_t n = 0; has_failed; n++) {
                int r;

                fault_arm(n);
                r = uses[_i](copy);
                has_failed = fault_disarm();
                ck_assert_int_eq(r, has_failed ? -ENOMEM : 0);
                ck_assert(has_failed || n > 0);
                ck_assert_int_eq(check_file(NULL), 0);
        }
}
END_TEST

/* ---- the store around it */

typedef struct Asked {
        SqliteRequest request;
        int status;
        bool is_done;
} Asked;

static void on_done(SqliteRequest *request, int status, SqliteReply *reply) {
        Asked *asked = container_of(request, Asked, request);

        (void)reply;
        asked->status = status;
        asked->is_done = true;
}

static int ask(Loop *loop, SqliteStore *sqlite, const StoreCommand *command) {
        Asked asked = { 0 };
        int r = sqlite_request_command(&asked.request, sqlite, command, LIMIT_US, on_done);

        if (r < 0)
                return r;
        while (!asked.is_done)
                fault_assert(loop_turn(loop, US_PER_MS) == 0);
        return asked.status;
}

START_TEST(test_requests) {
        const SqliteStoreOptions options = { .path = file.path, .module = SQLITE_MODULE };
        const StoreCommand both[] = { within, commands[5] };
        const StoreCommand txn = { .kind = STORE_COMMAND_TXN, .then = both, .n_then = 2 };
        bool has_failed = true;
        SqliteStore *sqlite;
        Loop *loop;

        engine->close(make_file());
        ck_assert_int_eq(loop_new(&loop, env_system()), 0);
        ck_assert_int_eq(sqlite_store_new(&sqlite, loop, &options), 0);
        ck_assert_int_eq(ask(loop, sqlite, &commands[0]), 0);
        for (size_t n = 0; has_failed; n++) {
                int r;

                fault_arm(n);
                r = ask(loop, sqlite, &txn);
                has_failed = fault_disarm();
                ck_assert_int_eq(r, has_failed ? -ENOMEM : 0);
                ck_assert_int_eq(sqlite_store_state(sqlite).revision, has_failed ? 2 : 3);
        }
        (void)sqlite_store_free(sqlite);
        (void)loop_free(loop);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("sqlite-oom");
        TCase *cases = tcase_create("sqlite-oom");
        SRunner *runner;
        int n_failed;

        tcase_add_checked_fixture(cases, set_up, tear_down);
        tcase_set_timeout(cases, 60);
        tcase_add_loop_test(cases, test_commands, 0, ELEMENTSOF(commands));
        tcase_add_loop_test(cases, test_care, 0, ELEMENTSOF(uses));
        tcase_add_test(cases, test_requests);
        suite_add_tcase(suite, cases);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed == 0 ? 0 : 1;
}
