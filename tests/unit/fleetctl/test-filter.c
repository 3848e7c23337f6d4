/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetctl/filter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/macro.h"
#include "tests/unit/fault.h"

#define ID "0c1f1a2b3c4d5e6f708192a3b4c5d6e7"

/* One filter of unit lists, and whether the unit below passes it. */
typedef struct Case {
        const char *words[2];
        Options options;
        bool keeps_unit, keeps_state;
        const char *error;
} Case;

static const Case cases[] = {
        { .keeps_unit = true, .keeps_state = true },
        { .words = { "web@1" }, .keeps_unit = true, .keeps_state = true },
        { .words = { "other", "web@*" }, .keeps_unit = true, .keeps_state = true },
        { .words = { "web@{2..4}" } },
        { .words = { "web@{1..4}" }, .keeps_unit = true, .keeps_state = true },
        { .words = { "web" } },
        { .words = { "web@[1" }, .error = "web@[1: not a pattern: a [ has no ]" },
        { .options = { .state = "launched" }, .keeps_unit = true },
        { .options = { .state = "failed" }, .keeps_state = true },
        { .options = { .state = "loaded" }, .keeps_state = true },
        { .options = { .state = "active,dead" }, .keeps_state = true },
        { .options = { .state = "fail" } },
        { .options = { .state = "" }, .error = "--state needs values with commas between" },
        { .options = { .state = "a,,b" }, .error = "--state needs values with commas between" },
        { .options = { .state = "a," }, .error = "--state needs values with commas between" },
        { .options = { .dstate = "loaded" }, .keeps_unit = true, .keeps_state = true },
        { .options = { .dstate = "launched,inactive" }, .keeps_state = true },
        { .options = { .machine = "0c1f" }, .keeps_unit = true, .keeps_state = true },
        { .options = { .machine = "1d,0c1f1a2b..." }, .keeps_unit = true, .keeps_state = true },
        { .options = { .machine = "0c1f1a2b.../10.77.0.11" },
          .keeps_unit = true,
          .keeps_state = true },
        { .options = { .machine = ID "/10.77.0.11" }, .keeps_unit = true, .keeps_state = true },
        { .options = { .machine = "c1f1" } },
        { .options = { .machine = "m1" },
          .error = "m1 is not the beginning of a machine ID, as list-machines shows them" },
        { .words = { "web@1" }, .options = { .machine = "0c", .state = "sub" } },
};

static StrList words_of(const char *const *items, size_t n_max) {
        StrList words = { .items = (char **)items };

        while (words.n_items < n_max && items[words.n_items])
                words.n_items++;
        return words;
}

/* A unit must be called one of the names, be on one of the machines and in one of the states. */
START_TEST(test_units) {
        const Unit unit = { .name = (char *)"web@1.service",
                            .desired_state = (char *)"loaded",
                            .current_state = (char *)"launched",
                            .machine_id = (char *)ID };
        const UnitState state = { .name = (char *)"web@1.service",
                                  .machine_id = (char *)ID,
                                  .load = (char *)"loaded",
                                  .active = (char *)"failed",
                                  .sub = (char *)"dead" };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const StrList words = words_of(cases[i].words, ELEMENTSOF(cases[i].words));
                _cleanup_(filter_done) Filter filter = { 0 };
                Diag diag = { 0 };
                int r = filter_init_units(&filter, &cases[i].options, &words, &diag);

                ck_assert_pstr_eq(r < 0 ? diag.message : NULL, cases[i].error);
                if (r < 0)
                        continue;
                ck_assert_msg(filter_keeps_unit(&filter, &unit) == cases[i].keeps_unit,
                              "unit, case %zu", i);
                ck_assert_msg(filter_keeps_state(&filter, &state) == cases[i].keeps_state,
                              "state, case %zu", i);
        }
}
END_TEST

/* What has no state or machine is in none: a unit that is nowhere, a global one. */
START_TEST(test_without_state) {
        const Unit unit = { .name = (char *)"a.service", .desired_state = (char *)"launched" };
        const StrList none = { 0 };
        _cleanup_(filter_done) Filter states = { 0 }, machines = { 0 };

        ck_assert_int_eq(filter_init_units(&states, &(Options){ .state = "launched" }, &none, NULL),
                         0);
        ck_assert(!filter_keeps_unit(&states, &unit));
        ck_assert_int_eq(filter_init_units(&machines, &(Options){ .machine = "0" }, &none, NULL),
                         0);
        ck_assert(!filter_keeps_unit(&machines, &unit));
}
END_TEST

/* Machines by the beginning of their ID, and by all of the metadata asked for. */
START_TEST(test_machines) {
        static const struct {
                const char *words[2];
                const char *metadata;
                bool keeps;
                const char *error;
        } machine_cases[] = {
                { .keeps = true },
                { .words = { "0c1f" }, .keeps = true },
                { .words = { "1d", "0c" }, .keeps = true },
                { .words = { "1d" } },
                { .words = { "web" },
                  .error = "web is not the beginning of a machine ID, as list-machines shows "
                           "them" },
                { .metadata = "disk=ssd", .keeps = true },
                { .metadata = "disk=ssd,zone=a=b", .keeps = true },
                { .metadata = "disk=ssd,zone=c" },
                { .metadata = "rack=1" },
                { .metadata = "disk", .error = "--metadata: disk is not KEY=VALUE" },
                { .metadata = "disk=", .error = "--metadata: disk= is not KEY=VALUE" },
                { .metadata = "=ssd", .error = "--metadata: =ssd is not KEY=VALUE" },
        };
        Machine machine = { .id = (char *)ID };

        ck_assert_int_eq(metadata_set(&machine.metadata, "disk", "ssd"), 0);
        ck_assert_int_eq(metadata_set(&machine.metadata, "zone", "a=b"), 0);
        for (size_t i = 0; i < ELEMENTSOF(machine_cases); i++) {
                const StrList words = words_of(machine_cases[i].words, 2);
                const Options options = { .metadata = machine_cases[i].metadata };
                _cleanup_(filter_done) Filter filter = { 0 };
                Diag diag = { 0 };
                int r = filter_init_machines(&filter, &options, &words, &diag);

                ck_assert_pstr_eq(r < 0 ? diag.message : NULL, machine_cases[i].error);
                if (r == 0)
                        ck_assert_msg(filter_keeps_machine(&filter, &machine) ==
                                              machine_cases[i].keeps,
                                      "case %zu", i);
        }
        metadata_done(&machine.metadata);
}
END_TEST

static int run_units(void *context) {
        const char *items[] = { "a{1,2}", "b*" };
        const StrList words = words_of(items, ELEMENTSOF(items));
        _cleanup_(filter_done) Filter filter = { 0 };

        return filter_init_units(&filter, context, &words, NULL);
}

/* Without memory it fails and leaks nothing. */
START_TEST(test_survives_oom) {
        Options options = { .state = "a,b", .dstate = "loaded", .machine = "0c,1d" };

        ck_assert_uint_ge(fault_sweep(run_units, &options), 10);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_units, test_without_state, test_machines,
                                       test_survives_oom };

        return tests_run("filter", tests, ELEMENTSOF(tests));
}
