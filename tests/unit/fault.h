/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Allocation faults, and the main of a test program, for unit tests. Link with the dependency `unit_test` of tests/unit/base/meson.build,
 * which turns the allocations of the program and its static libraries (not of shared ones) into calls of fault.c.
 */

#include <check.h>
#include <stdbool.h>
#include <stddef.h>

/* Let the allocation number `n` from now, counting from 0, fail; the ones after it succeed again. */
void fault_arm(size_t n);

/* The same, and let every one after it fail, too. */
void fault_arm_lasting(size_t n);

/* Let everything succeed. Returns whether an allocation failed since fault_arm(). */
bool fault_disarm(void);

/* Fail the test unless `claim` holds. For use while armed: Check's own assertions allocate, and would take the fault meant for the code
 * under test. */
void fault_assert(bool claim);

/* Run `run` again and again, letting its first, second, third ... allocation fail, until none is left to fail. Checks that it returns
 * -ENOMEM whenever one failed, and 0 otherwise. `run` frees what it made. Returns how many allocations it takes. */
size_t fault_sweep(int (*run)(void *context), void *context);

/* Run the tests as a suite; to be returned from main(). */
int tests_run(const char *name, const TTest *const *tests, size_t n_tests);
