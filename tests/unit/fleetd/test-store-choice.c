/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetd/store-choice.h"

#include "tests/unit/fault.h"

#define LOCAL "http://127.0.0.1:2379"
#define OLD   "http://127.0.0.1:4001"

/* What is decided, for every case that a person can meet. */
static const struct {
        const char *name;
        StoreFacts facts;
        bool is_builtin;
        const char *server;
        bool is_remembered;
        bool warns;
} rows[] = {
        { "a machine with nothing", { 0 }, true, NULL, true, false },
        { "etcd is there from the start", { .answering = LOCAL }, false, LOCAL, true, false },
        { "etcd on its old port", { .answering = OLD }, false, OLD, true, false },
        { "again, with etcd",
          { .remembered = LOCAL, .answering = LOCAL },
          false,
          LOCAL,
          true,
          false },
        { "again, and etcd is late", { .remembered = LOCAL }, false, LOCAL, true, false },
        { "again, without etcd", { .remembered = STORE_BUILTIN_NAME }, true, NULL, true, false },
        { "etcd was late the first time, and nothing happened since",
          { .remembered = STORE_BUILTIN_NAME, .answering = LOCAL },
          false,
          LOCAL,
          true,
          false },
        { "etcd appears beside records",
          { .remembered = STORE_BUILTIN_NAME, .answering = LOCAL, .has_records = true },
          true,
          NULL,
          true,
          true },
        { "etcd is configured", { .names_etcd = true }, false, NULL, false, false },
        { "etcd is configured, another answers",
          { .names_etcd = true, .answering = LOCAL },
          false,
          NULL,
          false,
          false },
        { "etcd is configured on a machine that had the built-in store",
          { .names_etcd = true, .remembered = STORE_BUILTIN_NAME },
          false,
          NULL,
          false,
          true },
        { "store=builtin",
          { .mode = STORE_MODE_BUILTIN, .names_etcd = true, .remembered = LOCAL },
          true,
          NULL,
          false,
          false },
        { "store_listen", { .serves = true, .remembered = LOCAL }, true, NULL, false, false },
        { "store=etcd", { .mode = STORE_MODE_ETCD }, false, LOCAL, false, false },
        { "store=etcd with servers",
          { .mode = STORE_MODE_ETCD, .names_etcd = true },
          false,
          NULL,
          false,
          false },
        { "store=etcd on a machine that had the built-in store",
          { .mode = STORE_MODE_ETCD, .remembered = STORE_BUILTIN_NAME },
          false,
          LOCAL,
          false,
          true },
};

START_TEST(test_choice) {
        StoreChoice choice = store_choose(&rows[_i].facts);

        ck_assert_msg(choice.is_builtin == rows[_i].is_builtin, "%s", rows[_i].name);
        ck_assert_pstr_eq(choice.server, rows[_i].server);
        ck_assert_msg(choice.is_remembered == rows[_i].is_remembered, "%s", rows[_i].name);
        ck_assert_msg(!choice.warning == !rows[_i].warns, "%s", rows[_i].name);
        ck_assert_ptr_nonnull(choice.why);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("store-choice");
        TCase *cases = tcase_create("choice");
        SRunner *runner;
        int n_failed;

        tcase_add_loop_test(cases, test_choice, 0, ELEMENTSOF(rows));
        suite_add_tcase(suite, cases);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
