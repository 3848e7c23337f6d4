/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetd/runtime.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/macro.h"
#include "tests/unit/fault.h"

static char root[] = "/tmp/fleet-runtime-XXXXXX";

/* The directory is made; of a list the first counts; the lease file is in it. */
START_TEST(test_makes_the_directory) {
        _cleanup_(runtime_done) Runtime runtime = { .lock_fd = -1 };
        char list[sizeof(root) + 32], expected[sizeof(root) + 32];
        struct stat st;

        (void)snprintf(list, sizeof(list), "%s/a:/nowhere", root);
        (void)snprintf(expected, sizeof(expected), "%s/a/lease", root);
        ck_assert_int_eq(runtime_open(&runtime, list, NULL), 0);
        ck_assert_str_eq(runtime.lease_path, expected);

        expected[strlen(expected) - strlen("/lease")] = '\0';
        ck_assert_int_eq(stat(expected, &st), 0);
        ck_assert(S_ISDIR(st.st_mode));
}
END_TEST

/* A second daemon is refused with a message as long as the first one lives, and taken afterwards.
 */
START_TEST(test_second_is_refused) {
        Runtime first, second = { .lock_fd = -1 };
        Diag diag = { 0 };

        ck_assert_int_eq(runtime_open(&first, root, NULL), 0);
        ck_assert_int_eq(runtime_open(&second, root, &diag), -EWOULDBLOCK);
        ck_assert_ptr_nonnull(strstr(diag.message, "another fleetd runs on this machine"));
        ck_assert_ptr_nonnull(strstr(diag.message, root));

        runtime_done(&first);
        ck_assert_int_eq(runtime_open(&second, root, NULL), 0);
        runtime_done(&second);
}
END_TEST

/* A directory that cannot be made is an error that names it. */
START_TEST(test_unwritable) {
        Runtime runtime = { .lock_fd = -1 };
        Diag diag = { 0 };

        ck_assert_int_lt(runtime_open(&runtime, "/proc/fleet", &diag), 0);
        ck_assert_ptr_nonnull(strstr(diag.message, "/proc/fleet"));
}
END_TEST

static int open_once(void *context) {
        _cleanup_(runtime_done) Runtime runtime = { .lock_fd = -1 };

        (void)context;
        return runtime_open(&runtime, root, NULL);
}

/* Without memory, it fails and keeps no lock. */
START_TEST(test_survives_oom) {
        (void)fault_sweep(open_once, NULL);
        ck_assert_int_eq(open_once(NULL), 0);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_makes_the_directory, test_second_is_refused,
                                       test_unwritable, test_survives_oom };
        static const char *const left[] = { "a/lock", "a", "lock" };
        char path[sizeof(root) + 32];
        int code;

        if (!mkdtemp(root))
                return EXIT_FAILURE;
        code = tests_run("runtime", tests, ELEMENTSOF(tests));
        for (size_t i = 0; i < ELEMENTSOF(left); i++) {
                (void)snprintf(path, sizeof(path), "%s/%s", root, left[i]);
                (void)remove(path);
        }
        (void)rmdir(root);
        return code;
}
