/* SPDX-License-Identifier: Apache-2.0 */

/* Allocation faults by the linker's --wrap: each call of malloc() and its kin in the test program lands here first, where a
 * countdown decides whether it fails. Production code has no hooks for this.
 *
 * Calls within shared libraries are not wrapped, so a fault is always one that our own code has to handle. With the
 * sanitizers on, what a failed operation forgot shows up as a leak.
 */

#include "tests/unit/fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t n_bytes);
void *__real_calloc(size_t n, size_t n_bytes);
void *__real_realloc(void *memory, size_t n_bytes);
void *__real_reallocarray(void *memory, size_t n, size_t n_bytes);
char *__real_strdup(const char *string);
char *__real_strndup(const char *string, size_t n_bytes);

void *__wrap_malloc(size_t n_bytes);
void *__wrap_calloc(size_t n, size_t n_bytes);
void *__wrap_realloc(void *memory, size_t n_bytes);
void *__wrap_reallocarray(void *memory, size_t n, size_t n_bytes);
char *__wrap_strdup(const char *string);
char *__wrap_strndup(const char *string, size_t n_bytes);

static bool is_armed, has_failed, is_lasting;
static size_t n_until_failure;

void fault_arm(size_t n) {
        is_armed = true;
        has_failed = is_lasting = false;
        n_until_failure = n;
}

void fault_arm_lasting(size_t n) {
        fault_arm(n);
        is_lasting = true;
}

bool fault_disarm(void) {
        is_armed = false;
        return has_failed;
}

void fault_assert(bool claim) {
        bool was_armed = is_armed;

        is_armed = false;
        ck_assert(claim);
        is_armed = was_armed;
}

static bool is_due(void) {
        if (!is_armed || (has_failed && !is_lasting) || (!has_failed && n_until_failure-- > 0))
                return false;

        has_failed = true;
        errno = ENOMEM;
        return true;
}

void *__wrap_malloc(size_t n_bytes) {
        return is_due() ? NULL : __real_malloc(n_bytes);
}

void *__wrap_calloc(size_t n, size_t n_bytes) {
        return is_due() ? NULL : __real_calloc(n, n_bytes);
}

void *__wrap_realloc(void *memory, size_t n_bytes) {
        return is_due() ? NULL : __real_realloc(memory, n_bytes);
}

void *__wrap_reallocarray(void *memory, size_t n, size_t n_bytes) {
        return is_due() ? NULL : __real_reallocarray(memory, n, n_bytes);
}

char *__wrap_strdup(const char *string) {
        return is_due() ? NULL : __real_strdup(string);
}

char *__wrap_strndup(const char *string, size_t n_bytes) {
        return is_due() ? NULL : __real_strndup(string, n_bytes);
}

size_t fault_sweep(int (*run)(void *context), void *context) {
        for (size_t n = 0;; n++) {
                bool failed;
                int r;

                fault_arm(n);
                r = run(context);
                failed = fault_disarm();

                ck_assert_msg(r == (failed ? -ENOMEM : 0), "allocation %zu %s, the result is %d", n,
                              failed ? "failed" : "did not fail", r);
                if (!failed)
                        return n;
        }
}

int tests_run(const char *name, const TTest *const *tests, size_t n_tests) {
        Suite *suite = suite_create(name);
        TCase *tcase = tcase_create(name);
        SRunner *runner;
        int n_failed;

        for (size_t i = 0; i < n_tests; i++)
                tcase_add_test(tcase, tests[i]);
        suite_add_tcase(suite, tcase);

        runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
