/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdio.h>

#include "lib/registry/follow.h"
#include "lib/store/store-backend.h"
#include "tests/sim/rig.h"
#include "tests/unit/fault.h"

/* Followers: list, then watch, and list again. What is told is written down as one line of text per
 * follower: "reset", "+name" (there), "!name" (bad), "-name" (went), "synced". */

static const char unit_json[] =
        "{\"desired\":\"launched\",\"file\":\"da39a3ee5e6b4b0d3255bfef95601890afd80709\"}";

typedef struct Fixture {
        Rig rig;
        Registry *registry;
        RegistryFollow *follow; /* of its own, so that it can be freed */
        char told[4096];
        size_t n_told;
        size_t n_records;
        size_t n_resets;
        size_t n_syncs;
        size_t n_set_backs;
        int64_t revision;
        const char
                *stop_at; /* what is told when the follower is to be stopped and freed, or NULL */
        const char *restart_at;
} Fixture;

static Fixture *fixture; /* of the test that runs: a freed follower has no place for it */

static void note(const char *what, const char *name) {
        char word[256];

        (void)snprintf(word, sizeof(word), "%s%s", what, name);
        if (fixture->n_told + strlen(word) + 2 < sizeof(fixture->told))
                fixture->n_told += (size_t)snprintf(fixture->told + fixture->n_told,
                                                    sizeof(fixture->told) - fixture->n_told, "%s%s",
                                                    fixture->n_told ? " " : "", word);

        if (fixture->restart_at && streq(fixture->restart_at, word)) {
                fixture->restart_at = NULL;
                registry_follow_restart(fixture->follow);
        }
        if (fixture->stop_at && streq(fixture->stop_at, word)) {
                registry_follow_stop(fixture->follow);
                free(TAKE(fixture->follow));
        }
}

static void on_reset(RegistryFollow *follow) {
        fault_assert(follow == fixture->follow);
        fixture->n_resets++;
        note("reset", "");
}

static void on_record(RegistryFollow *follow, const Record *record) {
        fault_assert(follow == fixture->follow);
        fixture->n_records++;
        note(record->is_deleted ? "-"
             : record->is_bad   ? "!"
                                : "+",
             record->key.unit      ? record->key.unit
             : record->key.machine ? record->key.machine
                                   : "leader");
}

static void on_synced(RegistryFollow *follow, int64_t revision) {
        fault_assert(follow == fixture->follow);
        fixture->revision = revision;
        fixture->n_syncs++;
        note("synced", "");
}

static void on_set_back(RegistryFollow *follow, int64_t revision, int64_t seen) {
        fault_assert(follow == fixture->follow);
        fault_assert(revision < seen);
        fixture->n_set_backs++;
}

static const RegistryFollowFns fns = { .on_reset = on_reset,
                                       .on_record = on_record,
                                       .on_synced = on_synced,
                                       .on_set_back = on_set_back };

static void set_up(Fixture *f) {
        *f = (Fixture){ 0 };
        fixture = f;
        rig_init(&f->rig, 1);
        f->registry = f->rig.registries[rig_connect(&f->rig)];
        f->follow = calloc(1, sizeof(*f->follow));
        ck_assert_ptr_nonnull(f->follow);
}

static void start(Fixture *f, const RegistryFollowKey *keys, size_t n_keys) {
        ck_assert_int_eq(registry_follow_start(f->registry, f->follow, keys, n_keys, &fns), 0);
        ck_assert_uint_eq(f->n_told, 0);
}

static void start_units(Fixture *f) {
        start(f, &(RegistryFollowKey){ .key = { .kind = RECORD_UNIT } }, 1);
}

static void stop(Fixture *f) {
        if (f->follow) {
                registry_follow_stop(f->follow);
                free(f->follow);
        }
        rig_run_ms(&f->rig, 5000);
        rig_done(&f->rig);
}

static void expect(Fixture *f, const char *told) {
        ck_assert_str_eq(f->told, told);
        memset(f->told, 0, sizeof(f->told));
        f->n_told = 0;
}

static void set_unit(Fixture *f, const char *name) {
        char key[128];

        (void)snprintf(key, sizeof(key), "unit/%s", name);
        rig_set(&f->rig, key, unit_json);
}

/* What is there is listed in order, then every change is told, in order; bad records are told as
 * such, keys of nobody's are left out. */
START_TEST(test_list_then_watch) {
        Fixture f;

        set_up(&f);
        set_unit(&f, "b.service");
        set_unit(&f, "a.service");
        rig_set(&f.rig, "unit/bad.service", "{");
        rig_set(&f.rig, "unit/none", unit_json);
        start_units(&f);
        rig_run_ms(&f.rig, 1);
        expect(&f, "reset +a.service +b.service !bad.service synced");
        ck_assert_int_eq(f.revision, rig_revision(&f.rig));

        set_unit(&f, "c.service");
        rig_remove(&f.rig, "unit/a.service");
        rig_set(&f.rig, "unit/b.service", "{");
        set_unit(&f, "none");
        set_unit(&f, "a.service");
        rig_set(&f.rig, "machine/m1", "{}");
        rig_run_ms(&f.rig, 1);
        expect(&f, "+c.service -a.service !b.service +a.service");
        stop(&f);
}
END_TEST

/* A list longer than a page comes complete, each record once, at one revision: what is written
 * while it is under way is told by the watch. */
START_TEST(test_pages) {
        enum { N = 2 * STORE_PAGE_KEYS + 1 };
        Fixture f;

        set_up(&f);
        for (int i = 0; i < N; i++) {
                char name[64];

                (void)snprintf(name, sizeof(name), "u%05d.service", i);
                set_unit(&f, name);
        }
        store_memory_set_faults(f.rig.stores[0], &(StoreFaults){ .latency_us = 50 * US_PER_MS });
        start_units(&f);
        rig_run_ms(&f.rig, 150);
        ck_assert_uint_eq(f.n_records, STORE_PAGE_KEYS);
        set_unit(&f, "u00000.service");
        set_unit(&f, "z.service");
        rig_remove(&f.rig, "unit/u10000.service");
        rig_run_ms(&f.rig, 155);
        ck_assert_uint_eq(f.n_syncs, 1);
        ck_assert_uint_eq(f.n_records, N);
        memset(f.told, 0, sizeof(f.told));
        f.n_told = 0;
        rig_run_ms(&f.rig, 1000);
        expect(&f, "+u00000.service +z.service -u10000.service");
        stop(&f);
}
END_TEST

/* Several keys are listed at one revision in the order given; those that are only listed are not
 * watched; a single record is followed alone. */
START_TEST(test_several_keys) {
        const RegistryFollowKey keys[] = {
                { .key = { .kind = RECORD_UNIT } },
                { .key = { .kind = RECORD_SCHEDULE, .machine = "m1" }, .is_list_only = true },
                { .key = { .kind = RECORD_MACHINE, .machine = "m1" } },
        };
        Fixture f;

        set_up(&f);
        rig_set(&f.rig, "machine/m1", "{}");
        rig_set(&f.rig, "machine/m10", "{}");
        rig_set(&f.rig, "schedule/m1/s.service", unit_json);
        rig_set(&f.rig, "schedule/m10/t.service", unit_json);
        set_unit(&f, "u.service");
        start(&f, keys, ELEMENTSOF(keys));
        rig_run_ms(&f.rig, 1);
        expect(&f, "reset +u.service +s.service +m1 synced");

        rig_set(&f.rig, "schedule/m1/s2.service", unit_json);
        rig_set(&f.rig, "machine/m10", "{\"version\":\"2\"}");
        rig_remove(&f.rig, "machine/m1");
        rig_run_ms(&f.rig, 1);
        expect(&f, "-m1");
        stop(&f);
}
END_TEST

/* When the place is compacted away while the store is out of reach, all is listed again. */
START_TEST(test_compaction) {
        Fixture f;

        set_up(&f);
        set_unit(&f, "a.service");
        start_units(&f);
        rig_run_ms(&f.rig, 1);
        expect(&f, "reset +a.service synced");

        rig_cut(&f.rig, 0, true);
        rig_run_ms(&f.rig, 1);
        rig_remove(&f.rig, "unit/a.service");
        set_unit(&f, "b.service");
        set_unit(&f, "c.service");
        memory_store_compact(f.rig.memory, rig_revision(&f.rig));
        rig_run_ms(&f.rig, 10000);
        expect(&f, "");
        rig_cut(&f.rig, 0, false);
        rig_run_ms(&f.rig, 1000);
        expect(&f, "reset +b.service +c.service synced");

        set_unit(&f, "d.service");
        rig_run_ms(&f.rig, 1);
        expect(&f, "+d.service");
        stop(&f);
}
END_TEST

/* When the revision of a list is compacted away between two pages, the list begins again, and is
 * told as a new one. */
START_TEST(test_compaction_between_pages) {
        Fixture f;

        set_up(&f);
        for (int i = 0; i <= STORE_PAGE_KEYS; i++) {
                char name[64];

                (void)snprintf(name, sizeof(name), "u%05d.service", i);
                set_unit(&f, name);
        }
        store_memory_set_faults(f.rig.stores[0], &(StoreFaults){ .latency_us = 50 * US_PER_MS });
        start_units(&f);
        rig_run_ms(&f.rig, 110);
        ck_assert_uint_eq(f.n_records, STORE_PAGE_KEYS);
        set_unit(&f, "v.service");
        memory_store_compact(f.rig.memory, rig_revision(&f.rig));
        rig_run_ms(&f.rig, 1000);
        ck_assert_uint_eq(f.n_resets, 2);
        ck_assert_uint_eq(f.n_syncs, 1);
        ck_assert_uint_eq(f.n_records, STORE_PAGE_KEYS + STORE_PAGE_KEYS + 2);
        stop(&f);
}
END_TEST

/* A store that cannot be reached is asked again until it answers: quickly at first, never slower
 * than every few seconds. */
START_TEST(test_unreachable_store) {
        uint64_t n_requests;
        Fixture f;

        set_up(&f);
        set_unit(&f, "a.service");
        store_memory_set_faults(f.rig.stores[0], &(StoreFaults){ .unreachable_ppm = 1000000 });
        start_units(&f);
        rig_run_ms(&f.rig, 60000);
        expect(&f, "reset");
        n_requests = store_stats(f.rig.stores[0]).n_requests;
        ck_assert_uint_gt(n_requests, 25);
        ck_assert_uint_lt(n_requests, 80);

        store_memory_set_faults(f.rig.stores[0], &(StoreFaults){ 0 });
        rig_run_ms(&f.rig, 2100);
        expect(&f, "+a.service synced");
        stop(&f);
}
END_TEST

/* A cut is survived in place: what happened meanwhile is told when it heals, once, without a new
 * list. */
START_TEST(test_cut_and_healed) {
        Fixture f;

        set_up(&f);
        start_units(&f);
        rig_run_ms(&f.rig, 1);
        expect(&f, "reset synced");
        rig_cut(&f.rig, 0, true);
        set_unit(&f, "a.service");
        rig_run_ms(&f.rig, 3600 * 1000);
        expect(&f, "");
        rig_cut(&f.rig, 0, false);
        rig_run_ms(&f.rig, 1000);
        expect(&f, "+a.service");
        stop(&f);
}
END_TEST

/* A follower may be stopped and freed by whatever it tells: by a reset, by a record of a list or of
 * the watch, by the end of the list. Nothing is told after. */
START_TEST(test_stop_and_free_inside) {
        static const struct {
                const char *stop_at;
                const char *told;
        } rows[] = {
                { "reset", "reset" },
                { "+a.service", "reset +a.service" },
                { "+b.service", "reset +a.service +b.service" },
                { "synced", "reset +a.service +b.service synced" },
                { "+c.service", "reset +a.service +b.service synced +c.service" },
                { "-a.service", "reset +a.service +b.service synced +c.service -a.service" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Fixture f;

                set_up(&f);
                set_unit(&f, "a.service");
                set_unit(&f, "b.service");
                f.stop_at = rows[i].stop_at;
                start_units(&f);
                rig_run_ms(&f.rig, 1);
                set_unit(&f, "c.service");
                rig_remove(&f.rig, "unit/a.service");
                set_unit(&f, "d.service");
                rig_run_ms(&f.rig, 1000);
                ck_assert_ptr_null(f.follow);
                expect(&f, rows[i].told);
                stop(&f);
        }
}
END_TEST

/* A follower may be stopped and freed from outside at any time: before its list, during it, while
 * it waits, while it watches. */
START_TEST(test_stop_from_outside) {
        static const uint64_t after_ms[] = { 0, 30, 80, 130, 250 };

        for (size_t i = 0; i < ELEMENTSOF(after_ms); i++)
                for (int reachable = 0; reachable < 2; reachable++) {
                        StoreFaults faults = { .latency_us = 50 * US_PER_MS,
                                               .unreachable_ppm = reachable ? 0 : 1000000 };
                        Fixture f;

                        set_up(&f);
                        set_unit(&f, "a.service");
                        store_memory_set_faults(f.rig.stores[0], &faults);
                        start_units(&f);
                        if (after_ms[i] > 0)
                                rig_run_ms(&f.rig, after_ms[i]);
                        registry_follow_stop(f.follow);
                        registry_follow_stop(f.follow);
                        free(TAKE(f.follow));
                        f.n_told = 0;
                        set_unit(&f, "b.service");
                        rig_run_ms(&f.rig, 10000);
                        ck_assert_uint_eq(f.n_told, 0);
                        stop(&f);
                }
}
END_TEST

/* A watch that is denied is begun again with a new list, after a while each time: a store that lists
 * and denies may go on with that. */
START_TEST(test_denied_watch) {
        const StoreWatchReport denial = { .kind = STORE_WATCH_DENIED };
        Fixture f;

        set_up(&f);
        set_unit(&f, "a.service");
        start_units(&f);
        rig_run_ms(&f.rig, 1000);
        expect(&f, "reset +a.service synced");
        for (unsigned i = 0; i < 3; i++) {
                store_watch_report(&f.follow->parts[0].watch, &denial);
                rig_run_ms(&f.rig, 40);
                expect(&f, "");
                rig_run_ms(&f.rig, 1000);
                expect(&f, "reset +a.service synced");
        }
        set_unit(&f, "b.service");
        rig_run_ms(&f.rig, 1);
        expect(&f, "+b.service");
        stop(&f);
}
END_TEST

/* One that denies every watch is listed ever more seldom, until there is something to watch. */
START_TEST(test_denied_for_long) {
        const StoreWatchReport denial = { .kind = STORE_WATCH_DENIED };
        Fixture f;

        set_up(&f);
        start_units(&f);
        rig_run_ms(&f.rig, 10000);
        expect(&f, "reset synced");
        for (unsigned i = 0; i < 8; i++) {
                store_watch_report(&f.follow->parts[0].watch, &denial);
                rig_run_ms(&f.rig, i < 7 ? 2100 : 900);
                expect(&f, i < 7 ? "reset synced" : "");
        }
        rig_run_ms(&f.rig, 1200);
        expect(&f, "reset synced");

        set_unit(&f, "b.service");
        rig_run_ms(&f.rig, 1);
        expect(&f, "+b.service");
        store_watch_report(&f.follow->parts[0].watch, &denial);
        rig_run_ms(&f.rig, 110);
        expect(&f, "reset +b.service synced");
        stop(&f);
}
END_TEST

/* Some seconds after the store came back everything is listed again, and the watches go on; not
 * after the first connection, and not while the store is away once more. */
START_TEST(test_refresh_after_a_reconnection) {
        Fixture f;

        set_up(&f);
        set_unit(&f, "a.service");
        start_units(&f);
        rig_run_ms(&f.rig, 60000);
        expect(&f, "reset +a.service synced");

        rig_cut(&f.rig, 0, true);
        rig_run_ms(&f.rig, 60000);
        rig_cut(&f.rig, 0, false);
        rig_run_ms(&f.rig, REGISTRY_REFRESH_US / US_PER_MS - 1);
        rig_cut(&f.rig, 0, true);
        rig_run_ms(&f.rig, 60000);
        expect(&f, "");

        rig_cut(&f.rig, 0, false);
        rig_run_ms(&f.rig, (REGISTRY_REFRESH_US + REGISTRY_REFRESH_SPREAD_US) / US_PER_MS + 1);
        expect(&f, "reset +a.service synced");
        rig_run_ms(&f.rig, 60000);
        set_unit(&f, "b.service");
        rig_run_ms(&f.rig, 1);
        expect(&f, "+b.service");
        stop(&f);
}
END_TEST

/* Without watches what changes is told by the next list, and nothing in between; with them again,
 * at once. */
START_TEST(test_polling) {
        Fixture f;

        set_up(&f);
        registry_set_polling(f.registry, 2 * US_PER_S);
        set_unit(&f, "a.service");
        start_units(&f);
        rig_run_ms(&f.rig, 1000);
        expect(&f, "reset +a.service synced");
        ck_assert_uint_eq(store_stats(f.rig.stores[0]).n_watches, 0);
        set_unit(&f, "b.service");
        rig_run_ms(&f.rig, 400);
        expect(&f, "");
        rig_run_ms(&f.rig, 610);
        expect(&f, "reset +a.service +b.service synced");
        rig_run_ms(&f.rig, 60000);
        ck_assert_uint_ge(f.n_syncs, 2 + 60 / 2);
        ck_assert_uint_le(f.n_syncs, 2 + 60 * 10 / 15);
        expect(&f, f.told);

        registry_set_polling(f.registry, 0);
        rig_run_ms(&f.rig, 1);
        expect(&f, "reset +a.service +b.service synced");
        set_unit(&f, "c.service");
        rig_run_ms(&f.rig, 1);
        expect(&f, "+c.service");
        rig_run_ms(&f.rig, 60000);
        expect(&f, "");
        stop(&f);
}
END_TEST

/* A store that comes back behind what it told before is looked at again and again, and nothing of it
 * is told before it has caught up: not that everything is gone, nor what an old copy holds. */
START_TEST(test_set_back) {
        int64_t seen;
        Fixture f;

        set_up(&f);
        set_unit(&f, "a.service");
        start_units(&f);
        rig_run_ms(&f.rig, 1);
        set_unit(&f, "b.service");
        rig_run_ms(&f.rig, 1);
        expect(&f, "reset +a.service synced +b.service");
        seen = rig_revision(&f.rig);

        rig_cut(&f.rig, 0, true);
        rig_run_ms(&f.rig, 1);
        memory_store_wipe(f.rig.memory);
        set_unit(&f, "old.service");
        rig_cut(&f.rig, 0, false);
        rig_run_ms(&f.rig, 60000);
        expect(&f, "reset");
        ck_assert_uint_ge(f.n_set_backs, 20);
        ck_assert_uint_le(f.n_set_backs, 100);

        while (rig_revision(&f.rig) < seen)
                set_unit(&f, "new.service");
        rig_run_ms(&f.rig, 3000);
        expect(&f, "+new.service +old.service synced");
        stop(&f);
}
END_TEST

/* Restarted while it lists, from outside or by what it tells, it lists from the start, and ends
 * with one complete list. */
START_TEST(test_restart_while_listing) {
        Fixture f;

        set_up(&f);
        set_unit(&f, "a.service");
        set_unit(&f, "b.service");
        f.restart_at = "+a.service";
        start_units(&f);
        rig_run_ms(&f.rig, 1);
        expect(&f, "reset +a.service +b.service reset +a.service +b.service synced");

        store_memory_set_faults(f.rig.stores[0], &(StoreFaults){ .latency_us = 50 * US_PER_MS });
        registry_follow_restart(f.follow);
        registry_follow_restart(f.follow);
        rig_run_ms(&f.rig, 60);
        expect(&f, "reset");
        registry_follow_restart(f.follow);
        rig_run_ms(&f.rig, 60);
        expect(&f, "reset");
        rig_run_ms(&f.rig, 1000);
        expect(&f, "+a.service +b.service synced");
        stop(&f);
}
END_TEST

/* Whatever allocation fails on the way, the follower ends up with the whole list and the changes
 * behind it. */
START_TEST(test_out_of_memory) {
        bool has_failed = true;

        for (size_t n = 0; has_failed; n++) {
                Fixture f;
                int r;

                set_up(&f);
                set_unit(&f, "a.service");
                set_unit(&f, "b.service");
                fault_arm(n);
                r = registry_follow_start(f.registry, f.follow,
                                          &(RegistryFollowKey){ .key = { .kind = RECORD_UNIT } }, 1,
                                          &fns);
                if (r == 0)
                        virtual_env_run_for(&f.rig.env, f.rig.loop, 10 * (uint64_t)US_PER_S);
                has_failed = fault_disarm();
                ck_assert(r == 0 || (r == -ENOMEM && has_failed));
                if (r == 0) {
                        ck_assert_uint_gt(f.n_syncs, 0);
                        ck_assert_str_eq(f.told + strlen(f.told) -
                                                 strlen("+a.service +b.service synced"),
                                         "+a.service +b.service synced");
                }
                stop(&f);
        }
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_list_then_watch,
                test_pages,
                test_several_keys,
                test_compaction,
                test_compaction_between_pages,
                test_unreachable_store,
                test_cut_and_healed,
                test_stop_and_free_inside,
                test_stop_from_outside,
                test_denied_watch,
                test_denied_for_long,
                test_refresh_after_a_reconnection,
                test_polling,
                test_set_back,
                test_restart_while_listing,
                test_out_of_memory,
        };

        return tests_run("registry follow", tests, ELEMENTSOF(tests));
}
