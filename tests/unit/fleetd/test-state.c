/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetd/state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/macro.h"
#include "tests/unit/fault.h"

static char root[] = "/tmp/fleet-state-XXXXXX";

/* Of a list the first counts, and nothing is made before there is something to remember. */
START_TEST(test_finds_the_directory) {
        _cleanup_(state_done) State state = { 0 };
        char list[sizeof(root) + 32], path[sizeof(root) + 32];

        (void)snprintf(list, sizeof(list), "%s/a:/nowhere", root);
        (void)snprintf(path, sizeof(path), "%s/a/store.db", root);
        ck_assert_int_eq(state_init(&state, list), 0);
        ck_assert_str_eq(state.store_path, path);
        ck_assert_int_ne(access(state.directory, F_OK), 0);
}
END_TEST

/* Without one it is the usual one. */
START_TEST(test_usual_directory) {
        _cleanup_(state_done) State state = { 0 };

        ck_assert_int_eq(state_init(&state, NULL), 0);
        ck_assert_str_eq(state.store_path, "/var/lib/fleet/store.db");
}
END_TEST

/* What is remembered is recalled, by the next one, too; nothing at first. */
START_TEST(test_remembers) {
        _cleanup_(state_done) State state = { 0 };
        _cleanup_(freep) char *first = NULL, *second = NULL;
        char path[sizeof(root) + 32];

        (void)snprintf(path, sizeof(path), "%s/b", root);
        ck_assert_int_eq(state_init(&state, path), 0);
        ck_assert_int_eq(state_recall(&state, &first, NULL), -ENOENT);
        ck_assert_int_eq(state_remember(&state, "builtin", NULL), 0);
        ck_assert_int_eq(state_recall(&state, &first, NULL), 0);
        ck_assert_str_eq(first, "builtin");
        ck_assert_int_eq(state_remember(&state, "http://127.0.0.1:2379", NULL), 0);
        ck_assert_int_eq(state_remember(&state, "http://127.0.0.1:2379", NULL), 0);
        ck_assert_int_eq(state_recall(&state, &second, NULL), 0);
        ck_assert_str_eq(second, "http://127.0.0.1:2379");
}
END_TEST

/* A directory that cannot be made is an error that names it. */
START_TEST(test_no_directory) {
        _cleanup_(state_done) State state = { 0 };
        Diag diag = { 0 };

        ck_assert_int_eq(state_init(&state, "/nowhere/at/all"), 0);
        ck_assert_int_eq(state_remember(&state, "builtin", &diag), -ENOENT);
        ck_assert_ptr_nonnull(strstr(diag.message, "/nowhere/at/all"));
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_finds_the_directory,
                test_usual_directory,
                test_remembers,
                test_no_directory,
        };
        char command[sizeof(root) + 16];
        int r;

        if (!mkdtemp(root))
                return EXIT_FAILURE;
        r = tests_run("state", tests, ELEMENTSOF(tests));
        (void)snprintf(command, sizeof(command), "rm -r %s", root);
        return system(command) == 0 ? r : EXIT_FAILURE;
}
