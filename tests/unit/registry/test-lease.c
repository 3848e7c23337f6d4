/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdio.h>

#include "lib/registry/lease.h"
#include "tests/sim/rig.h"
#include "tests/unit/fault.h"

/* The lease that keeps itself alive, through all that can happen to it. */

enum { TTL_S = 15 };

typedef struct Fixture {
        Rig rig;
        Lease lease;
        char events[256]; /* H, K, L, F: what was told, in order */
        size_t n_events;
        LeaseEvent stop_at; /* stop the lease when this is told, if `stops` */
        bool stops;
} Fixture;

static void on_lease(Lease *lease, LeaseEvent event) {
        Fixture *f = container_of(lease, Fixture, lease);

        if (f->n_events < sizeof(f->events) - 1)
                f->events[f->n_events++] = "HKLF"[event];
        if (f->stops && event == f->stop_at)
                lease_stop(lease);
}

static void set_up(Fixture *f) {
        *f = (Fixture){ 0 };
        rig_init(&f->rig, 1);
        (void)rig_connect(&f->rig);
}

static void start(Fixture *f, int64_t adopt) {
        lease_start(&f->lease, f->rig.stores[0], f->rig.loop, TTL_S, adopt, on_lease);
        ck_assert_uint_eq(f->n_events, 0);
}

static void stop(Fixture *f) {
        lease_stop(&f->lease);
        rig_done(&f->rig);
}

static void clear_events(Fixture *f) {
        memset(f->events, 0, sizeof(f->events));
        f->n_events = 0;
}

/* What was told and is to be told no more is forgotten; the rest must be this. */
static void expect_events(Fixture *f, const char *events) {
        ck_assert_str_eq(f->events, events);
        clear_events(f);
}

typedef struct Asked {
        StoreRequest request;
        int status;
        bool is_done;
} Asked;

static void on_asked(StoreRequest *request, int status, const StoreReply *reply) {
        Asked *asked = container_of(request, Asked, request);

        (void)reply;
        asked->status = status;
        asked->is_done = true;
}

/* Is the lease there? Asking renews it. */
static bool is_there(Fixture *f, int64_t lease) {
        Asked asked = { 0 };

        ck_assert_int_eq(
                store_lease_keep_alive(f->rig.stores[0], &asked.request, lease, US_PER_S, on_asked),
                0);
        virtual_env_settle(&f->rig.env, f->rig.loop);
        ck_assert(asked.is_done);
        return asked.status == 0;
}

/* A lease is granted, is there, and is valid for its whole time from when it was asked for. */
START_TEST(test_grant) {
        Fixture f;

        set_up(&f);
        start(&f, 0);
        rig_run_ms(&f.rig, 1);
        expect_events(&f, "H");
        ck_assert_int_ne(f.lease.id, 0);
        ck_assert(f.lease.is_proven);
        ck_assert_int_eq(f.lease.ttl_s, TTL_S);
        ck_assert_uint_eq(f.lease.valid_until_us, f.rig.env.now_us - US_PER_MS + TTL_S * US_PER_S);
        ck_assert(is_there(&f, f.lease.id));
        stop(&f);
}
END_TEST

/* It stays alive for an hour, at one keep-alive every third of its time, and writes nothing for
 * that. */
START_TEST(test_an_hour) {
        uint64_t n_requests;
        int64_t id, revision;
        Fixture f;

        set_up(&f);
        start(&f, 0);
        rig_run_ms(&f.rig, 1);
        id = f.lease.id;
        revision = rig_revision(&f.rig);
        n_requests = store_stats(f.rig.stores[0]).n_requests;
        rig_run_ms(&f.rig, 3600 * 1000);
        ck_assert_int_eq(f.lease.id, id);
        ck_assert_uint_eq(store_stats(f.rig.stores[0]).n_requests - n_requests, 3600 / (TTL_S / 3));
        ck_assert_int_eq(rig_revision(&f.rig), revision);
        ck_assert(f.events[0] == 'H' && strspn(f.events + 1, "K") == f.n_events - 1);
        stop(&f);
}
END_TEST

/* The lease of an earlier run that still stands goes on. */
START_TEST(test_adopt_a_live_one) {
        int64_t id;
        Fixture f;

        set_up(&f);
        start(&f, 0);
        rig_run_ms(&f.rig, 7000);
        id = f.lease.id;
        lease_stop(&f.lease);
        rig_run_ms(&f.rig, 5000);

        clear_events(&f);
        f.lease = (Lease){ 0 };
        start(&f, id);
        rig_run_ms(&f.rig, 1);
        expect_events(&f, "H");
        ck_assert_int_eq(f.lease.id, id);
        rig_run_ms(&f.rig, 60000);
        ck_assert(is_there(&f, id));
        stop(&f);
}
END_TEST

/* One that has ended meanwhile is not spoken of: another is granted. */
START_TEST(test_adopt_a_dead_one) {
        Fixture f;

        set_up(&f);
        start(&f, 4711);
        rig_run_ms(&f.rig, 1);
        expect_events(&f, "H");
        ck_assert_int_ne(f.lease.id, 4711);
        ck_assert_int_ne(f.lease.id, 0);
        stop(&f);
}
END_TEST

/* One that was granted for another time is left to run out: the daemon was configured anew. */
START_TEST(test_adopt_one_of_another_time) {
        int64_t id;
        Fixture f;

        set_up(&f);
        start(&f, 0);
        rig_run_ms(&f.rig, 1000);
        id = f.lease.id;
        lease_stop(&f.lease);

        clear_events(&f);
        f.lease = (Lease){ 0 };
        lease_start(&f.lease, f.rig.stores[0], f.rig.loop, TTL_S / 2, id, on_lease);
        rig_run_ms(&f.rig, 200);
        expect_events(&f, "H");
        ck_assert_int_ne(f.lease.id, id);
        ck_assert_int_eq(f.lease.ttl_s, TTL_S / 2);
        rig_run_ms(&f.rig, 60000);
        ck_assert(is_there(&f, f.lease.id));
        ck_assert(!is_there(&f, id));
        stop(&f);
}
END_TEST

/* Until the store has said that the adopted lease stands it is not held. */
START_TEST(test_adopt_without_the_store) {
        Fixture f;

        set_up(&f);
        rig_cut(&f.rig, 0, true);
        start(&f, 4711);
        rig_run_ms(&f.rig, 10000);
        ck_assert_uint_gt(f.n_events, 0);
        ck_assert_uint_eq(strspn(f.events, "F"), f.n_events);
        ck_assert(!f.lease.is_proven);

        clear_events(&f);
        rig_cut(&f.rig, 0, false);
        rig_run_ms(&f.rig, 5000);
        ck_assert(f.lease.is_proven);
        ck_assert_ptr_nonnull(strchr(f.events, 'H'));
        ck_assert_ptr_null(strchr(f.events, 'L'));
        stop(&f);
}
END_TEST

/* A lease that the store ended is lost, once, and the next one is held at once. */
START_TEST(test_lost) {
        int64_t id;
        Fixture f;

        set_up(&f);
        start(&f, 0);
        rig_run_ms(&f.rig, 1);
        id = f.lease.id;
        memory_store_expire_lease(f.rig.memory, id);
        clear_events(&f);
        rig_run_ms(&f.rig, 5000);
        expect_events(&f, "LH");
        ck_assert_int_ne(f.lease.id, id);
        stop(&f);
}
END_TEST

/* Another time is wanted: a lease of that time takes the place of the old one, which is there until
 * it has. */
START_TEST(test_set_ttl) {
        int64_t old;
        Fixture f;

        set_up(&f);
        start(&f, 0);
        rig_run_ms(&f.rig, 1);
        expect_events(&f, "H");
        old = f.lease.id;
        lease_set_ttl(&f.lease, TTL_S);
        rig_run_ms(&f.rig, 1);
        expect_events(&f, "");

        lease_set_ttl(&f.lease, 60);
        ck_assert_int_eq(f.lease.id, old);
        lease_set_ttl(&f.lease, 40);
        rig_run_ms(&f.rig, 1);
        expect_events(&f, "H");
        ck_assert_int_ne(f.lease.id, old);
        ck_assert_int_eq(f.lease.ttl_s, 40);
        rig_run_ms(&f.rig, 40000);
        expect_events(&f, "KKK");
        ck_assert(!is_there(&f, old));
        stop(&f);
}
END_TEST

/* Wanted while something is in flight: a grant, a renewal, the adoption of an earlier run's lease.
 * It ends with one of the time wanted last. */
START_TEST(test_set_ttl_in_flight) {
        for (int i = 0; i < 3; i++) {
                int64_t adopt = 0;
                Fixture f;

                set_up(&f);
                if (i == 2) {
                        start(&f, 0);
                        rig_run_ms(&f.rig, 1);
                        adopt = f.lease.id;
                        lease_stop(&f.lease);
                        clear_events(&f);
                }
                store_memory_set_faults(f.rig.stores[0],
                                        &(StoreFaults){ .latency_us = 50 * US_PER_MS });
                start(&f, adopt);
                rig_run_ms(&f.rig, i == 1 ? TTL_S * 1000 / 3 + 150 : 50);
                lease_set_ttl(&f.lease, 60);
                rig_run_ms(&f.rig, 1000);
                ck_assert_int_eq(f.lease.ttl_s, 60);
                ck_assert_int_ne(f.lease.id, adopt);
                store_memory_set_faults(f.rig.stores[0], &(StoreFaults){ 0 });
                ck_assert(is_there(&f, f.lease.id));
                stop(&f);
        }
}
END_TEST

/* A store that grants none: the old one is kept for as long as it takes. */
START_TEST(test_set_ttl_refused) {
        int64_t old;
        Fixture f;

        set_up(&f);
        start(&f, 0);
        rig_run_ms(&f.rig, 1);
        old = f.lease.id;
        memory_store_set_full(f.rig.memory, true);
        lease_set_ttl(&f.lease, 60);
        clear_events(&f);
        rig_run_ms(&f.rig, 100000);
        ck_assert_int_eq(f.lease.id, old);
        ck_assert(is_there(&f, old));
        ck_assert_uint_ge(f.n_events, 20);
        ck_assert_uint_le(f.n_events, 60);
        ck_assert_ptr_null(strchr(f.events, 'L'));

        memory_store_set_full(f.rig.memory, false);
        rig_run_ms(&f.rig, 10000);
        ck_assert_int_ne(f.lease.id, old);
        ck_assert_int_eq(f.lease.ttl_s, 60);
        stop(&f);
}
END_TEST

/* A renounced lease is left to itself and another is held, also when an answer about the first is
 * on its way. */
START_TEST(test_renounce) {
        for (int in_flight = 0; in_flight < 2; in_flight++) {
                int64_t id;
                Fixture f;

                set_up(&f);
                start(&f, 0);
                rig_run_ms(&f.rig, 1);
                id = f.lease.id;
                if (in_flight) {
                        store_memory_set_faults(f.rig.stores[0],
                                                &(StoreFaults){ .latency_us = 200 * US_PER_MS });
                        rig_run_ms(&f.rig, 5100);
                        ck_assert(store_request_is_pending(&f.lease.request));
                }
                clear_events(&f);
                lease_renounce(&f.lease);
                ck_assert_int_eq(f.lease.id, 0);
                ck_assert_uint_eq(f.lease.valid_until_us, 0);
                rig_run_ms(&f.rig, 1500);
                expect_events(&f, "H");
                ck_assert_int_ne(f.lease.id, id);
                ck_assert_int_ne(f.lease.id, 0);
                stop(&f);
        }
}
END_TEST

/* A lease that is renounced while it is being granted ends up as one lease, kept alive. */
START_TEST(test_renounce_while_granting) {
        int64_t id;
        Fixture f;

        set_up(&f);
        store_memory_set_faults(f.rig.stores[0], &(StoreFaults){ .latency_us = 200 * US_PER_MS });
        start(&f, 0);
        rig_run_ms(&f.rig, 100);
        lease_renounce(&f.lease);
        rig_run_ms(&f.rig, 1000);
        ck_assert(f.lease.is_proven);
        id = f.lease.id;
        rig_run_ms(&f.rig, 60000);
        ck_assert_int_eq(f.lease.id, id);
        ck_assert_ptr_null(strchr(f.events, 'L'));
        stop(&f);
}
END_TEST

/* A cut that heals before the lease has run out costs nothing; one that lasts longer costs the
 * lease, which is told after it heals. */
START_TEST(test_cut_and_healed) {
        static const struct {
                uint64_t cut_ms;
                bool is_lost;
        } rows[] = { { 6000, false }, { 9000, false }, { 16000, true }, { 3600000, true } };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                int64_t id;
                Fixture f;

                set_up(&f);
                start(&f, 0);
                rig_run_ms(&f.rig, 5001);
                id = f.lease.id;
                clear_events(&f);
                rig_cut(&f.rig, 0, true);
                rig_run_ms(&f.rig, rows[i].cut_ms);
                ck_assert_uint_eq(strspn(f.events, "F"), f.n_events);
                ck_assert_int_eq(f.lease.id, id);
                /* What we say of it is never longer than what the store grants. */
                ck_assert_int_eq(f.lease.valid_until_us < f.rig.env.now_us, rows[i].is_lost);

                clear_events(&f);
                rig_cut(&f.rig, 0, false);
                rig_run_ms(&f.rig, 5000);
                ck_assert_int_eq(strchr(f.events, 'L') != NULL, rows[i].is_lost);
                ck_assert_int_eq(f.lease.id != id, rows[i].is_lost);
                ck_assert(f.lease.is_proven);
                ck_assert(is_there(&f, f.lease.id));
                stop(&f);
        }
}
END_TEST

/* A network that loses one request in ten does not cost the lease: a failed try is followed by
 * another in time. */
START_TEST(test_one_request_in_ten_is_lost) {
        int64_t id;
        Fixture f;

        set_up(&f);
        start(&f, 0);
        rig_run_ms(&f.rig, 1);
        id = f.lease.id;
        store_memory_set_faults(f.rig.stores[0], &(StoreFaults){ .lose_request_ppm = 100000 });
        rig_run_ms(&f.rig, 3600 * 1000);
        ck_assert_int_eq(f.lease.id, id);
        stop(&f);
}
END_TEST

/* A stopped lease tells nothing more, may be stopped by what it tells, and runs out by itself. */
START_TEST(test_stop) {
        for (int late = 0; late < 3; late++) {
                int64_t id;
                Fixture f;

                set_up(&f);
                f.stops = late > 0;
                f.stop_at = late == 1 ? LEASE_HELD : LEASE_LOST;
                start(&f, 0);
                rig_run_ms(&f.rig, 1);
                id = f.lease.id;
                if (late == 0)
                        lease_stop(&f.lease);
                if (late == 2) {
                        memory_store_expire_lease(f.rig.memory, id);
                        rig_run_ms(&f.rig, 5001);
                }
                clear_events(&f);
                rig_run_ms(&f.rig, 16000);
                ck_assert_uint_eq(f.n_events, 0);
                ck_assert(!is_there(&f, id));
                stop(&f);
        }
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_grant,
                test_an_hour,
                test_adopt_a_live_one,
                test_adopt_a_dead_one,
                test_adopt_one_of_another_time,
                test_adopt_without_the_store,
                test_lost,
                test_set_ttl,
                test_set_ttl_in_flight,
                test_set_ttl_refused,
                test_renounce,
                test_renounce_while_granting,
                test_cut_and_healed,
                test_one_request_in_ten_is_lost,
                test_stop,
        };

        return tests_run("registry lease", tests, ELEMENTSOF(tests));
}
