/* SPDX-License-Identifier: Apache-2.0 */

/* What the mirror knows of why a row went: the checks of stories excuse by that. */

#include <stdlib.h>
#include <string.h>

#include "tests/sim/mirror.h"
#include "tests/unit/fault.h"

static const char unit_key[] = "/fleet/unit/a.service";
static const char row_key[] = "/fleet/schedule/00000000000000000000000000000000/a.service";
static const char machine_key[] = "/fleet/machine/00000000000000000000000000000000";

#define REQUEST(state)                                                                      \
        "{\"desired\":\"" state "\",\"file\":\"fb0cf0f61455f36994c18524136cf41f563783ec\"," \
        "\"generation\":1}"

/* A change, `value` NULL = a removal, so many seconds after the start. */
static void apply(Mirror *mirror, const char *key, const char *value, uint64_t at_s) {
        const StoreBytes bytes = { .data = (const uint8_t *)key, .n_bytes = strlen(key) };
        const MirrorKey parts = mirror_key(mirror, bytes);
        const StoreBytes content = { .data = (const uint8_t *)value,
                                     .n_bytes = value ? strlen(value) : 0 };

        mirror_apply(mirror, &parts, content, !value, at_s * US_PER_S);
}

/* A machine that came, and has the unit, since long. */
static void init(Mirror *mirror) {
        *mirror = (Mirror){ .units = { { .name = "a.service" } }, .n_units = 1, .n_machines = 1 };
        apply(mirror, machine_key, "{}", 100);
        apply(mirror, unit_key, REQUEST("launched"), 100);
        apply(mirror, row_key, REQUEST("launched"), 100);
}

START_TEST(test_row_of_a_lost_machine) {
        Mirror mirror;
        MirrorRow *row = &mirror.units[0].rows[0];

        init(&mirror);
        apply(&mirror, machine_key, NULL, 200);
        apply(&mirror, row_key, NULL, 201);
        ck_assert(row->was_lost);
        ck_assert(!row->was_unwanted);

        apply(&mirror, row_key, REQUEST("launched"), 300);
        ck_assert(!row->was_lost);
}
END_TEST

/* Unloaded or destroyed, and asked for again when the row has gone: that it goes is the user's wish,
 * also where its machine has just come back. */
START_TEST(test_row_of_a_unit_that_was_taken_back) {
        static const char *const requests[] = { REQUEST("inactive"), NULL };

        for (size_t i = 0; i < ELEMENTSOF(requests); i++) {
                Mirror mirror;
                MirrorRow *row = &mirror.units[0].rows[0];

                init(&mirror);
                apply(&mirror, machine_key, NULL, 200);
                apply(&mirror, machine_key, "{}", 201);
                apply(&mirror, unit_key, requests[i], 202);
                apply(&mirror, row_key, NULL, 203);
                apply(&mirror, unit_key, REQUEST("launched"), 204);
                ck_assert(row->was_lost);
                ck_assert(row->was_unwanted);

                apply(&mirror, row_key, REQUEST("launched"), 205);
                ck_assert(!row->was_unwanted);
        }
}
END_TEST

/* A leader that has not heard yet that the unit is asked for again takes it all the same; a while
 * later it has. */
START_TEST(test_leader_that_lags) {
        static const struct {
                uint64_t row_s;
                bool was_unwanted;
        } cases[] = { { 209, true }, { 211, false } };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Mirror mirror;

                init(&mirror);
                apply(&mirror, unit_key, REQUEST("inactive"), 190);
                apply(&mirror, unit_key, REQUEST("launched"), 200);
                apply(&mirror, row_key, NULL, cases[i].row_s);
                ck_assert_int_eq(mirror.units[0].rows[0].was_unwanted, cases[i].was_unwanted);
        }
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_row_of_a_lost_machine,
                test_row_of_a_unit_that_was_taken_back,
                test_leader_that_lags,
        };

        return tests_run("mirror", tests, ELEMENTSOF(tests));
}
