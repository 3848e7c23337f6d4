/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdio.h>

#include "lib/registry/write.h"
#include "tests/sim/rig.h"
#include "tests/unit/fault.h"

/* Writes: every comparison holds and does not hold, errors are kept while building, and nothing is
 * written by half. */

static const RecordKey leader = { .kind = RECORD_LEADER };

typedef struct Fixture {
        Rig rig;
        Registry *registry;
        RegistryWrite write;
        unsigned n_done;
        int status;
        int64_t revision;
} Fixture;

static void set_up(Fixture *f) {
        *f = (Fixture){ 0 };
        rig_init(&f->rig, 1);
        f->registry = f->rig.registries[rig_connect(&f->rig)];
}

static void tear_down(Fixture *f) {
        registry_write_clear(&f->write);
        rig_done(&f->rig);
}

static void on_written(RegistryWrite *write, int status, int64_t revision) {
        Fixture *f = container_of(write, Fixture, write);

        f->n_done++;
        f->status = status;
        f->revision = revision;
}

static void commit(Fixture *f) {
        unsigned n_done = f->n_done;

        ck_assert_int_eq(registry_write_commit(&f->write, on_written), 0);
        ck_assert(registry_write_is_pending(&f->write));
        ck_assert_uint_eq(f->n_done, n_done);
        rig_run_ms(&f->rig, 4000);
        ck_assert_uint_eq(f->n_done, n_done + 1);
        ck_assert(!registry_write_is_pending(&f->write));
}

static void put_leader(Fixture *f) {
        char machine[] = "m1";

        registry_write_put_leader(&f->write, &(LeaderRecord){ .machine = machine, .epoch = 7 }, 0);
}

typedef enum Comparison { ABSENT, PRESENT, CREATED_AT, MODIFIED_AT } Comparison;

static void compare(Fixture *f, Comparison comparison, RecordKey key, int64_t revision) {
        switch (comparison) {
        case ABSENT:
                registry_write_if_absent(&f->write, key);
                break;
        case PRESENT:
                registry_write_if_present(&f->write, key);
                break;
        case CREATED_AT:
                registry_write_if_created_at(&f->write, key, revision);
                break;
        case MODIFIED_AT:
                registry_write_if_modified_at(&f->write, key, revision);
                break;
        }
}

/* Each comparison of one key, against a record that was created at 2 and changed at 3, one created
 * at 4, and none. */
START_TEST(test_comparisons) {
        static const struct {
                Comparison comparison;
                const char *unit;
                int64_t revision;
                bool holds;
        } rows[] = {
                { ABSENT, "changed.service", 0, false },
                { ABSENT, "none.service", 0, true },
                { PRESENT, "changed.service", 0, true },
                { PRESENT, "none.service", 0, false },
                { CREATED_AT, "changed.service", 2, true },
                { CREATED_AT, "changed.service", 3, false },
                { CREATED_AT, "changed.service", 1, false },
                { CREATED_AT, "new.service", 4, true },
                { CREATED_AT, "none.service", 2, false },
                { MODIFIED_AT, "changed.service", 3, true },
                { MODIFIED_AT, "changed.service", 2, false },
                { MODIFIED_AT, "changed.service", 4, false },
                { MODIFIED_AT, "changed.service", 0, false },
                { MODIFIED_AT, "none.service", 0, true },
                { MODIFIED_AT, "none.service", 3, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Fixture f;

                set_up(&f);
                rig_set(&f.rig, "unit/changed.service", "x");
                rig_set(&f.rig, "unit/changed.service", "y");
                rig_set(&f.rig, "unit/new.service", "z");
                ck_assert_int_eq(rig_revision(&f.rig), 4);

                registry_write_begin(&f.write, f.registry);
                compare(&f, rows[i].comparison,
                        (RecordKey){ .kind = RECORD_UNIT, .unit = rows[i].unit }, rows[i].revision);
                put_leader(&f);
                commit(&f);
                ck_assert_msg(f.status == (rows[i].holds ? 0 : REGISTRY_E_CONFLICT), "row %zu: %d",
                              i, f.status);
                ck_assert_int_eq(f.revision, rows[i].holds ? 5 : 0);
                ck_assert_int_eq(rig_has(&f.rig, "engine/leader"), rows[i].holds);
                ck_assert_int_eq(rig_revision(&f.rig), rows[i].holds ? 5 : 4);
                tear_down(&f);
        }
}
END_TEST

/* "Unchanged since" speaks of all keys from the first to the last one, both included, and of no
 * others. */
START_TEST(test_unchanged_since) {
        static const struct {
                const char *from, *until;
                int64_t revision;
                bool holds;
        } rows[] = {
                { "a.service", "z.service", 4, true },  { "a.service", "z.service", 3, false },
                { "a.service", "b.service", 3, true },  { "a.service", "c.service", 3, false },
                { "c.service", "c.service", 4, true },  { "c.service", "c.service", 3, false },
                { "c.service0", "d.service", 0, true }, { "b.service", "b.service", 2, false },
                { "b.service", "b.service", 3, true },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Fixture f;

                set_up(&f);
                rig_set(&f.rig, "unit/a.service", "x"); /* 2 */
                rig_set(&f.rig, "unit/b.service", "x"); /* 3 */
                rig_set(&f.rig, "unit/c.service", "x"); /* 4 */
                rig_set(&f.rig, "state/b.service", "another kind");

                registry_write_begin(&f.write, f.registry);
                registry_write_if_unchanged_since(&f.write, (RecordKey){ .kind = RECORD_UNIT },
                                                  rows[i].from, rows[i].until, rows[i].revision);
                put_leader(&f);
                commit(&f);
                ck_assert_msg(f.status == (rows[i].holds ? 0 : REGISTRY_E_CONFLICT), "row %zu: %d",
                              i, f.status);
                tear_down(&f);
        }
}
END_TEST

/* A removal leaves a trace, which one of the same unit, or of any, is told by. */
START_TEST(test_removals) {
        static const struct {
                const char *unit;
                int64_t revision;
                bool holds;
        } rows[] = {
                { "a.service", 2, false }, { "a.service", 3, true }, { "b.service", 2, true },
                { NULL, 2, false },        { NULL, 3, true },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Fixture f;

                set_up(&f);
                rig_set(&f.rig, "unit/a.service", "x"); /* 2 */
                registry_write_begin(&f.write, f.registry);
                registry_write_delete_unit(&f.write, "a.service");
                commit(&f); /* 3 */
                ck_assert_int_eq(f.status, 0);
                ck_assert(!rig_has(&f.rig, "unit/a.service"));
                ck_assert_str_eq(rig_get(&f.rig, "removed/4015"), "{}");

                registry_write_begin(&f.write, f.registry);
                registry_write_if_not_removed_since(&f.write, rows[i].unit, rows[i].revision);
                put_leader(&f);
                commit(&f);
                ck_assert_msg(f.status == (rows[i].holds ? 0 : REGISTRY_E_CONFLICT), "row %zu: %d",
                              i, f.status);
                tear_down(&f);
        }
}
END_TEST

/* Of several comparisons all must hold, and of several operations all are made, in one commit. */
START_TEST(test_all_or_nothing) {
        Fixture f;

        set_up(&f);
        rig_set(&f.rig, "unit/a.service", "x");
        for (int holds = 0; holds < 2; holds++) {
                UnitRecord record = { .desired = JOB_STATE_LAUNCHED, .generation = 3 };

                memcpy(record.file, "da39a3ee5e6b4b0d3255bfef95601890afd80709", UNIT_HASH_BYTES);
                registry_write_begin(&f.write, f.registry);
                registry_write_if_absent(&f.write, leader);
                registry_write_if_modified_at(
                        &f.write, (RecordKey){ .kind = RECORD_UNIT, .unit = "a.service" },
                        holds ? 2 : 1);
                registry_write_put_unit(&f.write, "b.service", &record);
                registry_write_delete(&f.write,
                                      (RecordKey){ .kind = RECORD_UNIT, .unit = "a.service" });
                registry_write_put_file(&f.write, record.file, "", 0);
                ck_assert_uint_eq(registry_write_size(&f.write), 3);
                ck_assert(!registry_write_is_empty(&f.write));
                commit(&f);
                ck_assert_int_eq(rig_has(&f.rig, "unit/a.service"), !holds);
                ck_assert_int_eq(rig_has(&f.rig, "unit/b.service"), holds);
                ck_assert_int_eq(rig_revision(&f.rig), holds ? 3 : 2);
        }
        ck_assert_str_eq(rig_get(&f.rig, "unit/b.service"),
                         "{\"desired\":\"launched\",\"file\":"
                         "\"da39a3ee5e6b4b0d3255bfef95601890afd80709\",\"generation\":3}");
        ck_assert_str_eq(rig_get(&f.rig, "file/da39a3ee5e6b4b0d3255bfef95601890afd80709"), "");
        tear_down(&f);
}
END_TEST

/* A record cannot be written twice in one transaction: the store refuses all of it. */
START_TEST(test_no_record_twice) {
        Fixture f;

        set_up(&f);
        registry_write_begin(&f.write, f.registry);
        put_leader(&f);
        registry_write_delete(&f.write, leader);
        commit(&f);
        ck_assert_int_eq(f.status, REGISTRY_E_REFUSED);
        ck_assert(!rig_has(&f.rig, "engine/leader"));
        tear_down(&f);
}
END_TEST

/* The first error while building is kept, told by the commit, and gone with the next beginning. */
START_TEST(test_error_is_kept_while_building) {
        Fixture f;

        set_up(&f);
        registry_write_begin(&f.write, f.registry);
        put_leader(&f);
        /* A generation that no decoder would take. */
        registry_write_put_unit(
                &f.write, "a.service",
                &(UnitRecord){ .desired = JOB_STATE_LOADED, .generation = UINT64_MAX });
        registry_write_delete(&f.write, (RecordKey){ .kind = RECORD_UNIT, .unit = "b.service" });
        ck_assert_int_eq(registry_write_commit(&f.write, on_written), -ERANGE);
        rig_run_ms(&f.rig, 4000);
        ck_assert_uint_eq(f.n_done, 0);
        ck_assert_int_eq(rig_revision(&f.rig), 1);

        /* Also where nothing else is to be written. */
        registry_write_begin(&f.write, f.registry);
        registry_write_put_unit(
                &f.write, "a.service",
                &(UnitRecord){ .desired = JOB_STATE_LOADED, .generation = UINT64_MAX });
        ck_assert(!registry_write_is_empty(&f.write));
        ck_assert_int_eq(registry_write_commit(&f.write, on_written), -ERANGE);

        registry_write_begin(&f.write, f.registry);
        ck_assert(registry_write_is_empty(&f.write));
        ck_assert_uint_eq(registry_write_bytes(&f.write), 0);
        put_leader(&f);
        commit(&f);
        ck_assert_int_eq(f.status, 0);
        tear_down(&f);
}
END_TEST

/* More bytes than a request may have are refused with nothing written; more comparisons than a
 * transaction may have never start. */
START_TEST(test_too_large) {
        static char text[STORE_REQUEST_MAX_BYTES / 2 + 1];
        Fixture f;

        set_up(&f);
        memset(text, 'x', sizeof(text));
        registry_write_begin(&f.write, f.registry);
        registry_write_put_file(&f.write, "da39a3ee5e6b4b0d3255bfef95601890afd80709", text,
                                sizeof(text));
        registry_write_put_file(&f.write, "da39a3ee5e6b4b0d3255bfef95601890afd80700", text,
                                sizeof(text));
        ck_assert_uint_gt(registry_write_bytes(&f.write), STORE_REQUEST_MAX_BYTES);
        commit(&f);
        ck_assert_int_eq(f.status, REGISTRY_E_TOO_LARGE);
        ck_assert_int_eq(rig_revision(&f.rig), 1);

        registry_write_begin(&f.write, f.registry);
        for (int i = 0; i <= STORE_TXN_OPS_MAX; i++)
                registry_write_if_absent(&f.write, leader);
        put_leader(&f);
        ck_assert_uint_eq(registry_write_size(&f.write), STORE_TXN_OPS_MAX + 1);
        ck_assert_int_eq(registry_write_commit(&f.write, on_written), -E2BIG);
        tear_down(&f);
}
END_TEST

/* A lease that ended, a store out of reach, and giving up each end the write once, in their own
 * way. */
START_TEST(test_ends) {
        Fixture f;

        set_up(&f);
        registry_write_begin(&f.write, f.registry);
        registry_write_put_machine(&f.write, "m1", &(MachineRecord){ 0 }, 4711);
        commit(&f);
        ck_assert_int_eq(f.status, REGISTRY_E_NO_LEASE);

        store_memory_set_faults(f.rig.stores[0], &(StoreFaults){ .unreachable_ppm = 1000000 });
        commit(&f);
        ck_assert_int_eq(f.status, REGISTRY_E_UNREACHABLE);

        rig_cut(&f.rig, 0, true);
        commit(&f);
        ck_assert_int_eq(f.status, REGISTRY_E_UNKNOWN);
        rig_cut(&f.rig, 0, false);
        ck_assert_int_eq(rig_revision(&f.rig), 1);

        registry_write_begin(&f.write, f.registry);
        put_leader(&f);
        ck_assert_int_eq(registry_write_commit(&f.write, on_written), 0);
        registry_write_cancel(&f.write);
        ck_assert_uint_eq(f.n_done, 3);
        rig_run_ms(&f.rig, 1);
        ck_assert_uint_eq(f.n_done, 4);
        ck_assert_int_eq(f.status, -ECANCELED);
        tear_down(&f);
}
END_TEST

/* A copy of a write that arrives after its outcome was unknown, and after the record was written by
 * another, changes nothing. */
START_TEST(test_late_copy_is_refused) {
        Fixture f;

        set_up(&f);
        store_memory_set_faults(f.rig.stores[0], &(StoreFaults){ .lose_request_ppm = 1000000,
                                                                 .late_apply_ppm = 1000000,
                                                                 .late_apply_us = 10 * US_PER_S });
        registry_write_begin(&f.write, f.registry);
        registry_write_if_modified_at(&f.write, leader, 0);
        put_leader(&f);
        commit(&f);
        ck_assert_int_eq(f.status, REGISTRY_E_UNKNOWN);

        rig_set(&f.rig, "engine/leader", "another's");
        rig_run_ms(&f.rig, 20000);
        ck_assert_str_eq(rig_get(&f.rig, "engine/leader"), "another's");
        tear_down(&f);
}
END_TEST

static int write_for_sweep(void *context) {
        Fixture *f = context;
        char load[] = "loaded", active[] = "active", sub[] = "running";
        int r;

        registry_write_begin(&f->write, f->registry);
        registry_write_if_absent(&f->write, leader);
        registry_write_put_state(&f->write, "m1", "a.service",
                                 &(StateRecord){ .load = load, .active = active, .sub = sub }, 0);
        registry_write_delete(&f->write, leader);
        r = registry_write_commit(&f->write, on_written);
        if (r == 0) {
                virtual_env_run_for(&f->rig.env, f->rig.loop, 4 * (uint64_t)US_PER_S);
                r = f->status;
        }
        fault_assert(!registry_write_is_pending(&f->write));
        registry_write_clear(&f->write);
        return r;
}

/* Whatever allocation fails, the commit says so, or the end does. */
START_TEST(test_write_out_of_memory) {
        Fixture f;

        set_up(&f);
        ck_assert_uint_gt(fault_sweep(write_for_sweep, &f), 4);
        rig_done(&f.rig);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_comparisons,
                test_unchanged_since,
                test_removals,
                test_all_or_nothing,
                test_no_record_twice,
                test_error_is_kept_while_building,
                test_too_large,
                test_ends,
                test_late_copy_is_refused,
                test_write_out_of_memory,
        };

        return tests_run("registry write", tests, ELEMENTSOF(tests));
}
