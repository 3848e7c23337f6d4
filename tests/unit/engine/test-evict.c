/* SPDX-License-Identifier: Apache-2.0 */

/* When evictions are held: a table of vanishing machines. */

#include "engine/evict.h"
#include "lib/base/macro.h"
#include "tests/unit/fault.h"

/* How many may vanish at once. */
START_TEST(test_limit) {
        static const struct {
                EvictRule rule;
                size_t n_machines, limit;
        } rows[] = {
                { { .percent = 33 }, 1, 2 },    { { .percent = 33 }, 2, 2 },
                { { .percent = 33 }, 6, 2 },    { { .percent = 33 }, 7, 2 },
                { { .percent = 33 }, 8, 3 },    { { .percent = 33 }, 9, 3 },
                { { .percent = 33 }, 100, 33 }, { { .percent = 33 }, 5000, 1650 },
                { { .percent = 1 }, 1000, 10 }, { { .percent = 50 }, 5, 3 },
                { { .percent = 100 }, 7, 7 },   { { .count = 0 }, 7, 0 },
                { { .count = 1 }, 7, 1 },       { { .count = 10 }, 7, 10 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                ck_assert_uint_eq(evict_limit(rows[i].rule, rows[i].n_machines), rows[i].limit);
}
END_TEST

enum { WINDOW = 30 };

enum { THIRD, NONE, ONE, ALL };

static const EvictRule rules[] = {
        [THIRD] = { .percent = 33 },
        [NONE] = { .count = 0 },
        [ONE] = { .count = 1 },
        [ALL] = { .percent = 100 },
};

/* A cluster, and what follows; times in any unit. */
typedef struct CaseRow {
        const char *claim;
        int rule;             /* index in rules */
        uint64_t vanished[8]; /* up to the first 0 */
        size_t n_given_up;
        size_t n_present;
        bool is_holding;
        bool holds;
} CaseRow;

static const CaseRow case_rows[] = {
        { "nobody is missing", THIRD, { 0 }, 0, 6, false, false },
        { "nobody is missing any more", THIRD, { 0 }, 0, 6, true, false },
        { "one of two is no mass failure", THIRD, { 100 }, 0, 1, false, false },
        { "two of six are within a third", THIRD, { 100, 100 }, 0, 4, false, false },
        { "three of six are more", THIRD, { 100, 100, 100 }, 0, 3, false, true },
        { "the order of times does not matter", THIRD, { 120, 100, 110 }, 0, 3, false, true },
        { "a moment less than the window apart", THIRD, { 100, 110, 129 }, 0, 3, false, true },
        { "the window is half open", THIRD, { 100, 110, 130 }, 0, 3, false, false },
        { "one by one over a long time", THIRD, { 100, 130, 160, 190 }, 0, 2, false, false },
        { "three at once among others", THIRD, { 10, 50, 100, 101, 102 }, 0, 1, false, true },
        { "the limit grows with the cluster", THIRD, { 100, 100, 100 }, 0, 6, false, false },
        { "fewer than the limit end it", THIRD, { 100 }, 0, 5, true, false },
        { "as many as the limit do not", THIRD, { 100, 100 }, 0, 4, true, true },
        { "however long ago they vanished", THIRD, { 10, 500 }, 0, 4, true, true },
        { "one given up, others wait", THIRD, { 100, 100, 100 }, 1, 3, true, true },
        { "all given up", THIRD, { 100, 100, 100 }, 3, 3, true, false },
        { "given up, they are missing all the same", THIRD, { 1, 1, 1 }, 2, 3, false, true },
        { "none may vanish", NONE, { 100 }, 0, 1, false, true },
        { "none may vanish, and one is back", NONE, { 0 }, 0, 2, true, false },
        { "none may vanish, and one is given up", NONE, { 100 }, 1, 1, true, false },
        { "one may", ONE, { 100 }, 0, 5, false, false },
        { "one may, and two do", ONE, { 100, 101 }, 0, 5, false, true },
        { "all may", ALL, { 100, 100, 100, 100 }, 0, 1, false, false },
};

START_TEST(test_when_evictions_are_held) {
        for (size_t i = 0; i < ELEMENTSOF(case_rows); i++) {
                CaseRow row = case_rows[i];
                EvictCase c = {
                        .rule = rules[row.rule],
                        .window_us = WINDOW,
                        .vanished = row.vanished,
                        .n_present = row.n_present,
                        .is_holding = row.is_holding,
                };

                while (c.n_vanished < ELEMENTSOF(row.vanished) && row.vanished[c.n_vanished] > 0)
                        c.n_vanished++;
                c.n_waiting = c.n_vanished - row.n_given_up;
                ck_assert_msg(evict_holds(&c) == row.holds, "%s", row.claim);
        }
}
END_TEST

/* A machine that is not held counts for as long as the window. */
START_TEST(test_forgetting) {
        ck_assert(!evict_forgets(100, 100, WINDOW));
        ck_assert(!evict_forgets(100, 129, WINDOW));
        ck_assert(evict_forgets(100, 130, WINDOW));
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_limit,
                test_when_evictions_are_held,
                test_forgetting,
        };

        return tests_run("engine evict", tests, ELEMENTSOF(tests));
}
