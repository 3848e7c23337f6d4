/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdio.h>

#include "lib/registry/registry.h"
#include "tests/sim/rig.h"
#include "tests/unit/fault.h"

/* Reads: which records a range brings, and how it ends. */

static const char unit_json[] =
        "{\"desired\":\"launched\",\"file\":\"da39a3ee5e6b4b0d3255bfef95601890afd80709\"}";

typedef struct Fixture {
        Rig rig;
        Registry *registry;
        RegistryRead read;
        unsigned n_done;
        int status;
        char names[512]; /* last parts of the keys that came, joined by blanks; '!' behind bad ones
                          */
        int64_t revision;
        bool more;
        unsigned n_bad;
} Fixture;

static void on_bad(const char *key, const char *why, void *userdata) {
        (void)key;
        (void)why;
        ((Fixture *)userdata)->n_bad++;
}

static void set_up(Fixture *f) {
        *f = (Fixture){ 0 };
        rig_init(&f->rig, 1);
        f->registry = f->rig.registries[rig_connect(&f->rig)];
        registry_set_bad_record_fn(f->registry, on_bad, f);
}

static void on_read(RegistryRead *read, int status, const RegistryPage *page) {
        Fixture *f = container_of(read, Fixture, read);
        size_t n = 0;

        fault_assert((status == 0) == (page != NULL));
        f->n_done++;
        f->status = status;
        f->names[0] = '\0';
        for (size_t i = 0; page && i < page->n_records; i++) {
                const RecordKey *key = &page->records[i].key;

                n += (size_t)snprintf(f->names + n, sizeof(f->names) - n, "%s%s%s", n ? " " : "",
                                      key->unit ? key->unit : key->machine,
                                      page->records[i].is_bad ? "!" : "");
        }
        if (page) {
                f->revision = page->revision;
                f->more = page->more;
        }
}

static void read_range(Fixture *f, const RegistryRange *range) {
        unsigned n_done = f->n_done;

        ck_assert_int_eq(registry_read(f->registry, &f->read, range, on_read), 0);
        ck_assert(registry_read_is_pending(&f->read));
        ck_assert_uint_eq(f->n_done, n_done);
        rig_run_ms(&f->rig, 31000);
        ck_assert_uint_eq(f->n_done, n_done + 1);
        ck_assert(!registry_read_is_pending(&f->read));
}

/* Ranges over the records that test_ranges makes. */
static const struct {
        RegistryRange range;
        const char *names;
        bool more;
} ranges[] = {
        { { .key = { .kind = RECORD_UNIT } }, "a.service b.service b@1.service c.service", false },
        { { .key = { .kind = RECORD_UNIT }, .limit = 2 }, "a.service b.service", true },
        { { .key = { .kind = RECORD_UNIT }, .limit = 4 },
          "a.service b.service b@1.service c.service",
          false },
        { { .key = { .kind = RECORD_UNIT }, .after = "b.service" },
          "b@1.service c.service",
          false },
        { { .key = { .kind = RECORD_UNIT }, .after = "b" },
          "b.service b@1.service c.service",
          false },
        { { .key = { .kind = RECORD_UNIT }, .after = "b.service", .limit = 1 },
          "b@1.service",
          true },
        { { .key = { .kind = RECORD_UNIT }, .until = "b.service" }, "a.service b.service", false },
        { { .key = { .kind = RECORD_UNIT }, .after = "a.service", .until = "b@1.service" },
          "b.service b@1.service",
          false },
        { { .key = { .kind = RECORD_UNIT }, .after = "c.service" }, "", false },
        { { .key = { .kind = RECORD_UNIT }, .after = "c.service", .until = "a.service" },
          "",
          false },
        { { .key = { .kind = RECORD_UNIT, .unit = "b.service" } }, "b.service", false },
        { { .key = { .kind = RECORD_UNIT, .unit = "x.service" } }, "", false },
        { { .key = { .kind = RECORD_UNIT }, .keys_only = true },
          "a.service b.service b@1.service c.service",
          false },
        { { .key = { .kind = RECORD_MACHINE } }, "m1 m10 m2", false },
        { { .key = { .kind = RECORD_MACHINE }, .after = "m1" }, "m10 m2", false },
        { { .key = { .kind = RECORD_MACHINE }, .until = "m1" }, "m1", false },
        { { .key = { .kind = RECORD_SCHEDULE, .machine = "m1" }, .keys_only = true },
          "a.service",
          false },
        { { .key = { .kind = RECORD_SCHEDULE }, .keys_only = true }, "a.service b.service", false },
        { { .key = { .kind = RECORD_STATE } }, "", false },
};

/* after, until, limit and keys_only choose among the records of one kind, or of one machine, and
 * nothing else comes. */
START_TEST(test_ranges) {
        static const char *const units[] = { "a.service", "b.service", "b@1.service", "c.service" };
        Fixture f;

        set_up(&f);
        for (size_t i = 0; i < ELEMENTSOF(units); i++) {
                char key[64];

                (void)snprintf(key, sizeof(key), "unit/%s", units[i]);
                rig_set(&f.rig, key, unit_json);
        }
        rig_set(&f.rig, "machine/m1", "{}");
        rig_set(&f.rig, "machine/m10", "{}");
        rig_set(&f.rig, "machine/m2", "{}");
        rig_set(&f.rig, "schedule/m1/a.service", "not decoded");
        rig_set(&f.rig, "schedule/m10/b.service", "not decoded");

        for (size_t i = 0; i < ELEMENTSOF(ranges); i++) {
                read_range(&f, &ranges[i].range);
                ck_assert_int_eq(f.status, 0);
                ck_assert_msg(streq(f.names, ranges[i].names), "row %zu: \"%s\" instead of \"%s\"",
                              i, f.names, ranges[i].names);
                ck_assert_int_eq(f.more, ranges[i].more);
                ck_assert_int_eq(f.revision, rig_revision(&f.rig));
        }
        ck_assert_uint_eq(f.n_bad, 0);
        rig_done(&f.rig);
}
END_TEST

/* What is none of ours is left out, what does not parse comes as bad, and neither stops the others.
 */
START_TEST(test_bad_ones_stop_no_others) {
        Fixture f;

        set_up(&f);
        rig_set(&f.rig, "unit/a.service", unit_json);
        rig_set(&f.rig, "unit/b.service", "{");
        rig_set(&f.rig, "unit/no unit", unit_json);
        rig_set(&f.rig, "unit/z.service", unit_json);
        for (int i = 0; i < 2; i++) {
                read_range(&f, &(RegistryRange){ .key = { .kind = RECORD_UNIT } });
                ck_assert_str_eq(f.names, "a.service b.service! z.service");
                ck_assert_uint_eq(f.n_bad, 2);
        }
        rig_done(&f.rig);
}
END_TEST

/* A list goes on at the revision at which it began, whatever is written meanwhile. */
START_TEST(test_pages_at_one_revision) {
        int64_t revision;
        Fixture f;

        set_up(&f);
        rig_set(&f.rig, "unit/a.service", unit_json);
        rig_set(&f.rig, "unit/c.service", unit_json);
        read_range(&f, &(RegistryRange){ .key = { .kind = RECORD_UNIT }, .limit = 1 });
        revision = f.revision;
        rig_set(&f.rig, "unit/b.service", unit_json);
        read_range(&f, &(RegistryRange){ .key = { .kind = RECORD_UNIT },
                                         .after = "a.service",
                                         .revision = revision });
        ck_assert_str_eq(f.names, "c.service");
        ck_assert_int_eq(f.revision, revision);
        rig_done(&f.rig);
}
END_TEST

/* A revision that was compacted away, a store out of reach, and a cancelled read each end once, in
 * their own way. */
START_TEST(test_ends) {
        Fixture f;

        set_up(&f);
        rig_set(&f.rig, "unit/a.service", unit_json);
        rig_set(&f.rig, "unit/b.service", unit_json);
        rig_set(&f.rig, "unit/c.service", unit_json);
        memory_store_compact(f.rig.memory, rig_revision(&f.rig));
        read_range(&f, &(RegistryRange){ .key = { .kind = RECORD_UNIT }, .revision = 2 });
        ck_assert_int_eq(f.status, REGISTRY_E_COMPACTED);

        rig_cut(&f.rig, 0, true);
        read_range(&f, &(RegistryRange){ .key = { .kind = RECORD_UNIT } });
        ck_assert_int_eq(f.status, REGISTRY_E_UNREACHABLE);
        rig_cut(&f.rig, 0, false);

        ck_assert_int_eq(registry_read(f.registry, &f.read,
                                       &(RegistryRange){ .key = { .kind = RECORD_UNIT } }, on_read),
                         0);
        registry_read_cancel(&f.read);
        ck_assert_uint_eq(f.n_done, 2);
        rig_run_ms(&f.rig, 1);
        ck_assert_uint_eq(f.n_done, 3);
        ck_assert_int_eq(f.status, -ECANCELED);
        rig_done(&f.rig);
}
END_TEST

static int read_for_sweep(void *context) {
        Fixture *f = context;
        int r = registry_read(f->registry, &f->read,
                              &(RegistryRange){ .key = { .kind = RECORD_UNIT } }, on_read);

        if (r < 0)
                return r;
        virtual_env_run_for(&f->rig.env, f->rig.loop, 31 * (uint64_t)US_PER_S);
        fault_assert(!registry_read_is_pending(&f->read));
        return f->status;
}

/* A read ends once whatever allocation fails, with -ENOMEM, and brings no part of the list. */
START_TEST(test_read_out_of_memory) {
        Fixture f;

        set_up(&f);
        rig_set(&f.rig, "unit/a.service", unit_json);
        read_range(&f, &(RegistryRange){ .key = { .kind = RECORD_UNIT } });
        ck_assert_uint_gt(fault_sweep(read_for_sweep, &f), 3);
        rig_done(&f.rig);
}
END_TEST

/* Reads have the time that they are given, however much they may bring: somebody waits for them. */
START_TEST(test_call_timeout) {
        static const RegistryRange asked[] = {
                { .key = { .kind = RECORD_UNIT, .unit = "a.service" } },
                { .key = { .kind = RECORD_UNIT }, .limit = 10 },
                { .key = { .kind = RECORD_UNIT } },
        };

        for (size_t i = 0; i < ELEMENTSOF(asked); i++) {
                Fixture f;

                set_up(&f);
                registry_set_call_timeout(f.registry, 500 * US_PER_MS);
                rig_cut(&f.rig, 0, true);
                ck_assert_int_eq(registry_read(f.registry, &f.read, &asked[i], on_read), 0);
                rig_run_ms(&f.rig, 499);
                ck_assert(registry_read_is_pending(&f.read));
                rig_run_ms(&f.rig, 1);
                ck_assert(!registry_read_is_pending(&f.read));
                ck_assert_int_eq(f.status, REGISTRY_E_UNREACHABLE);
                rig_done(&f.rig);
        }
}
END_TEST

/* The words for outcomes: every one has some. */
START_TEST(test_outcomes_have_words) {
        for (int i = 0; i < _REGISTRY_E_MAX; i++)
                ck_assert_ptr_nonnull(registry_outcome_to_string(i));
        ck_assert_str_ne(registry_outcome_to_string(REGISTRY_E_UNKNOWN),
                         registry_outcome_to_string(REGISTRY_E_UNREACHABLE));
        ck_assert_str_eq(registry_outcome_to_string(-ENOMEM), strerror(ENOMEM));
        ck_assert_str_eq(registry_outcome_to_string(_REGISTRY_E_MAX), "unknown outcome");
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_ranges,       test_bad_ones_stop_no_others, test_pages_at_one_revision,
                test_ends,         test_read_out_of_memory,      test_outcomes_have_words,
                test_call_timeout,
        };

        return tests_run("registry", tests, ELEMENTSOF(tests));
}
