/* SPDX-License-Identifier: Apache-2.0 */

/* The contract of lib/store/store.h, checked on one backend: `store-contract BACKEND`, where
 * BACKEND is one of those below: etcd comes plain, with TLS and client certificates, and with users
 * besides, whose tokens expire all the time; and as the built-in store, served.
 *
 * The cases of all backends come first; those that need what only one backend can do follow. Cases
 * run in this process (no fork), so that a debugger and the sanitizers see all of it; CK_RUN_CASE
 * picks some.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/contract/harness.h"

enum { EXIT_SKIPPED = 77 };

/* What can be named on the command line. */
static const char *const backend_names[] = {
        [HARNESS_MEMORY_VIRTUAL] = "memory-virtual",
        [HARNESS_MEMORY_REAL] = "memory-real",
        [HARNESS_SQLITE] = "sqlite",
        [HARNESS_ETCD] = "etcd",
        [HARNESS_SERVED] = "served",
        [HARNESS_ETCD_TLS] = "etcd-tls",
        [HARNESS_ETCD_AUTH] = "etcd-auth",
};

static bool backend_from_string(HarnessBackend *ret_backend, const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(backend_names); i++)
                if (streq(backend_names[i], name)) {
                        *ret_backend = (HarnessBackend)i;
                        return true;
                }
        return false;
}

static Suite *contract_suite(HarnessBackend backend) {
        Suite *suite = suite_create(backend_names[backend]);

        suite_add_tcase(suite, range_cases());
        suite_add_tcase(suite, txn_cases());
        suite_add_tcase(suite, watch_cases());
        suite_add_tcase(suite, watch_history_cases());
        suite_add_tcase(suite, lease_cases());
        suite_add_tcase(suite, request_cases());
        if (backend == HARNESS_MEMORY_VIRTUAL)
                suite_add_tcase(suite, fault_cases());
        if (backend == HARNESS_SQLITE)
                suite_add_tcase(suite, sqlite_cases());
        if (backend >= HARNESS_ETCD)
                suite_add_tcase(suite, etcd_cases());
        return suite;
}

int main(int argc, char **argv) {
        HarnessBackend backend;
        SRunner *runner;
        int n_failed;

        if (argc != 2 || !backend_from_string(&backend, argv[1])) {
                (void)fprintf(stderr,
                              "Usage: store-contract "
                              "memory-virtual|memory-real|sqlite|etcd|served|etcd-tls|etcd-auth\n");
                return EXIT_FAILURE;
        }
        if (backend >= HARNESS_ETCD && getenv("FLEET_TEST_NO_ETCD")) {
                (void)fprintf(stderr, "Skipped: FLEET_TEST_NO_ETCD is set\n");
                return EXIT_SKIPPED;
        }

        (void)signal(SIGPIPE, SIG_IGN);
        if (harness_begin(backend) < 0)
                return EXIT_FAILURE;

        runner = srunner_create(contract_suite(backend));
        srunner_set_fork_status(runner, CK_NOFORK);
        srunner_run_all(runner, CK_NORMAL);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        harness_end();
        return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
