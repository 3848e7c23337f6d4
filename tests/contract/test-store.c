/* SPDX-License-Identifier: Apache-2.0 */

/* The store's front-end over a backend that does what the test says. */

#include "lib/store/store-watch.h"
#include "lib/store/store.h"

#include <errno.h>

#include "lib/store/store-backend.h"
#include "tests/sim/virtual-env.h"
#include "tests/unit/fault.h"

/* A backend that refuses or takes what it is given, and remembers. */
typedef struct Puppet {
        Store store;
        VirtualEnv env;
        int start_result; /* what starting returns */
        unsigned n_stops;
} Puppet;

static int puppet_range(Store *store, StoreRequest *request, const StoreRange *range,
                        uint64_t timeout_us) {
        (void)request;
        (void)range;
        (void)timeout_us;
        return container_of(store, Puppet, store)->start_result;
}

static int puppet_watch_start(StoreWatch *watch, StoreBytes key, StoreBytes end) {
        (void)key;
        (void)end;
        return container_of(watch->store, Puppet, store)->start_result;
}

static void puppet_watch_stop(StoreWatch *watch) {
        container_of(watch->store, Puppet, store)->n_stops++;
}

static void puppet_init(Puppet *puppet) {
        static const StoreVtable vtable = {
                .range = puppet_range,
                .watch_start = puppet_watch_start,
                .watch_stop = puppet_watch_stop,
        };

        *puppet = (Puppet){ .store.vtable = &vtable };
        virtual_env_init(&puppet->env, 1);
        ck_assert_int_eq(loop_new(&puppet->store.loop, &puppet->env.env), 0);
}

typedef struct Seen {
        StoreWatch watch;
        int64_t revisions[8];
        size_t n_events;
        unsigned n_reports;
        int kind;
        int64_t report_revision;
        bool was_on;
} Seen;

static void on_report(StoreWatch *watch, const StoreWatchReport *report) {
        Seen *seen = container_of(watch, Seen, watch);

        seen->n_reports++;
        seen->kind = (int)report->kind;
        seen->report_revision = report->revision;
        seen->was_on = watch->store;
        for (size_t i = 0; i < report->n_events; i++)
                seen->revisions[seen->n_events++] = report->events[i].kv.mod_revision;
}

static void report_events(Seen *seen, int64_t first, size_t n) {
        StoreEvent events[4] = { 0 };
        const StoreWatchReport report = { .kind = STORE_WATCH_EVENTS,
                                          .events = events,
                                          .n_events = n };

        for (size_t i = 0; i < n; i++)
                events[i].kv.mod_revision = first + (int64_t)i;
        store_watch_report(&seen->watch, &report);
}

/* Whatever a backend repeats, a watch sees each revision once, and none from before its start. */
START_TEST(test_repeated_events_are_dropped) {
        Seen seen = { 0 };
        Puppet puppet;

        puppet_init(&puppet);
        ck_assert_int_eq(store_watch_start(&puppet.store, &seen.watch, store_bytes("a"),
                                           (StoreBytes){ 0 }, 10, on_report),
                         0);
        report_events(&seen, 8, 4);
        ck_assert_uint_eq(seen.n_events, 2);
        ck_assert_int_eq(seen.report_revision, 11);
        report_events(&seen, 9, 3);
        ck_assert_uint_eq(seen.n_reports, 1);
        report_events(&seen, 11, 2);
        ck_assert_uint_eq(seen.n_events, 3);
        ck_assert_int_eq(seen.revisions[0], 10);
        ck_assert_int_eq(seen.revisions[1], 11);
        ck_assert_int_eq(seen.revisions[2], 12);
        ck_assert_int_eq(seen.watch.next_revision, 13);
        store_watch_stop(&seen.watch);
        (void)loop_free(puppet.store.loop);
}
END_TEST

/* A watch that ends is off, in the backend, too, before it is told. */
START_TEST(test_ended_watch_is_off) {
        static const int kinds[] = { STORE_WATCH_COMPACTED, STORE_WATCH_DENIED };
        Puppet puppet;

        puppet_init(&puppet);
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                const StoreWatchReport report = { .kind = kinds[i], .revision = 77 };
                Seen seen = { 0 };

                ck_assert_int_eq(store_watch_start(&puppet.store, &seen.watch, store_bytes("a"),
                                                   (StoreBytes){ 0 }, 1, on_report),
                                 0);
                store_watch_report(&seen.watch, &report);
                ck_assert_int_eq(seen.kind, kinds[i]);
                ck_assert_int_eq(seen.report_revision, 77);
                ck_assert(!seen.was_on);
                ck_assert_uint_eq(puppet.n_stops, i + 1);
                ck_assert_uint_eq(store_stats(&puppet.store).n_watches, 0);
        }
        (void)loop_free(puppet.store.loop);
}
END_TEST

static void on_done(StoreRequest *request, int status, const StoreReply *reply) {
        (void)request;
        (void)status;
        (void)reply;
        ck_abort_msg("a request that never started has ended");
}

/* What a backend does not take never started: it is idle, and not counted. */
START_TEST(test_refused_start) {
        const StoreRange range = { .key = store_bytes("a") };
        StoreRequest request = { 0 };
        Seen seen = { 0 };
        Puppet puppet;

        puppet_init(&puppet);
        puppet.start_result = -ENOMEM;
        ck_assert_int_eq(store_range(&puppet.store, &request, &range, 1, on_done), -ENOMEM);
        ck_assert(!store_request_is_pending(&request));
        ck_assert_int_eq(store_watch_start(&puppet.store, &seen.watch, store_bytes("a"),
                                           (StoreBytes){ 0 }, 1, on_report),
                         -ENOMEM);
        ck_assert_ptr_null(seen.watch.store);
        ck_assert_uint_eq(store_stats(&puppet.store).n_requests, 0);
        ck_assert_uint_eq(store_stats(&puppet.store).n_pending, 0);
        ck_assert_uint_eq(store_stats(&puppet.store).n_watches, 0);
        (void)loop_free(puppet.store.loop);
}
END_TEST

/* Every outcome has words of its own; so has what is none. */
START_TEST(test_outcomes_have_words) {
        for (int a = 0; a < _STORE_E_MAX; a++)
                for (int b = 0; b < a; b++)
                        ck_assert_str_ne(store_outcome_to_string(a), store_outcome_to_string(b));
        ck_assert_ptr_nonnull(store_outcome_to_string(_STORE_E_MAX));
        ck_assert_str_eq(store_outcome_to_string(-ECANCELED), strerror(ECANCELED));
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_repeated_events_are_dropped,
                test_ended_watch_is_off,
                test_refused_start,
                test_outcomes_have_words,
        };

        return tests_run("store", tests, ELEMENTSOF(tests));
}
