/* SPDX-License-Identifier: Apache-2.0 */

/* The store's contract: watches of what happens now. */

#include <stdio.h>

#include "tests/contract/harness.h"

/* A watch from the next revision on tells of a put: the key, its value and its revisions. */
START_TEST(test_put_is_told) {
        int64_t created = put("a", "one"), changed;
        Recorder *recorder = recorder_new(key("a"), (StoreBytes){ 0 }, created + 1);

        changed = put("a", "two");
        recorder_wait(recorder, 1);
        ck_assert(!recorder->events[0].is_deletion);
        ck_assert(is_key(recorder->events[0].key, "a"));
        ck_assert(bytes_are(recorder->events[0].value, "two"));
        ck_assert_int_eq(recorder->events[0].create_revision, created);
        ck_assert_int_eq(recorder->events[0].mod_revision, changed);
        ck_assert_int_eq(recorder->events[0].version, 2);
        ck_assert_int_eq(recorder->events[0].lease, 0);
}
END_TEST

/* A deletion is told with its key and revision, and nothing else. */
START_TEST(test_deletion_is_told) {
        int64_t revision = put("a", "v");
        Recorder *recorder = recorder_new(key("a"), (StoreBytes){ 0 }, revision + 1);

        ck_assert_int_eq(erase("a"), revision + 1);
        recorder_wait(recorder, 1);
        ck_assert(recorder->events[0].is_deletion);
        ck_assert(is_key(recorder->events[0].key, "a"));
        ck_assert_int_eq(recorder->events[0].mod_revision, revision + 1);
        ck_assert_uint_eq(recorder->events[0].value.n_bytes, 0);
        ck_assert_int_eq(recorder->events[0].create_revision, 0);
        ck_assert_int_eq(recorder->events[0].version, 0);
}
END_TEST

/* A watch of a single key is told nothing of its neighbours. */
START_TEST(test_single_key) {
        Recorder *recorder = recorder_new(key("b"), (StoreBytes){ 0 }, current_revision() + 1);

        (void)put("a", "before");
        (void)put("ba", "behind");
        (void)put("c", "behind");
        (void)put("b", "v");
        recorder_wait(recorder, 1);
        ck_assert(is_key(recorder->events[0].key, "b"));
}
END_TEST

/* A watch of a range is told of its first key and of all others, not of its end. */
START_TEST(test_range) {
        Recorder *recorder = recorder_new(key("b"), key("d"), current_revision() + 1);

        (void)put("a", "before");
        (void)put("b", "first");
        (void)put("d", "the end");
        (void)put("czzz", "last");
        (void)put("e", "behind");
        (void)erase("b");
        recorder_wait(recorder, 3);
        ck_assert(is_key(recorder->events[0].key, "b"));
        ck_assert(is_key(recorder->events[1].key, "czzz"));
        ck_assert(recorder->events[2].is_deletion);
}
END_TEST

/* All events of one commit come in one report, in whatever number, past and present. */
START_TEST(test_one_report_per_revision) {
        int64_t before = put("a", "v"), revision;
        Recorder *live = recorder_new(key("k"), end_of("k"), before + 1), *late;

        (void)put_many("k", 300, "one");
        recorder_wait(live, 300);
        ck_assert_uint_eq(live->n_reports, 1);

        revision = put_many("k", 2000, "two");
        late = recorder_new(key("k"), end_of("k"), revision);
        recorder_wait(late, 2000);
        recorder_wait(live, 2300);
        ck_assert_uint_eq(late->n_reports, 1);
        ck_assert_uint_eq(live->n_reports, 2);
}
END_TEST

enum { N_PIPELINED = 300 };

/* Are the events every revision from the first on, each once, each put with its own value? */
static void check_complete(const Recorder *recorder, size_t n_events) {
        for (size_t i = 0; i < n_events; i++) {
                ck_assert_int_eq(recorder->events[i].mod_revision,
                                 recorder->events[0].mod_revision + (int64_t)i);
                if (i > 0)
                        ck_assert_uint_ge(recorder->events[i].report,
                                          recorder->events[i - 1].report);
        }
}

/* Many writes in flight are told in the order of their revisions, each exactly once. */
START_TEST(test_order) {
        Recorder *recorder = recorder_new(key("k"), end_of("k"), current_revision() + 1);
        Call *calls[N_PIPELINED];

        for (size_t i = 0; i < N_PIPELINED; i++) {
                char name[16];
                StoreOp op = { .kind = STORE_OP_PUT, .value = store_bytes("v") };
                const StoreTxn one = { .ops = &op, .n_ops = 1 };

                (void)snprintf(name, sizeof(name), "k%zu", i % 7);
                op.key = key(name);
                calls[i] = call_new();
                ck_assert_int_eq(store_txn(harness_store(), &calls[i]->request, &one,
                                           STORE_LIST_TIMEOUT_US, call_done),
                                 0);
        }
        for (size_t i = 0; i < N_PIPELINED; i++)
                ck_assert_int_eq(call_wait(calls[i]), 0);

        recorder_wait(recorder, N_PIPELINED);
        check_complete(recorder, N_PIPELINED);
}
END_TEST

enum { N_MANY = 200 };

/* Many watches of one client are each told their own, and only that. */
START_TEST(test_many_watches) {
        Recorder *recorders[N_MANY];
        int64_t next = current_revision() + 1;

        for (size_t i = 0; i < N_MANY; i++) {
                char name[16];

                (void)snprintf(name, sizeof(name), "k%04zu", i);
                recorders[i] = recorder_new(key(name), (StoreBytes){ 0 }, next);
        }
        ck_assert_uint_eq(store_stats(harness_store()).n_watches, N_MANY);

        (void)put_many("k", N_MANY, "v");
        for (size_t i = 0; i < N_MANY; i++) {
                char name[16];

                (void)snprintf(name, sizeof(name), "k%04zu", i);
                recorder_wait(recorders[i], 1);
                ck_assert(is_key(recorders[i]->events[0].key, name));
        }
}
END_TEST

/* Two watches of the same range are both told everything. */
START_TEST(test_same_range_twice) {
        int64_t next = current_revision() + 1;
        Recorder *first = recorder_new(key("k"), end_of("k"), next);
        Recorder *second = recorder_new(key("k"), end_of("k"), next);

        (void)put("k1", "v");
        (void)put("k2", "v");
        recorder_wait(first, 2);
        recorder_wait(second, 2);
}
END_TEST

/* A watch that was stopped is told nothing more. */
START_TEST(test_stop) {
        int64_t next = current_revision() + 1;
        Recorder *stopped = recorder_new(key("k"), end_of("k"), next);
        Recorder *witness = recorder_new(key("k"), end_of("k"), next);

        (void)put("k1", "v");
        recorder_wait(stopped, 1);
        store_watch_stop(&stopped->watch);
        store_watch_stop(&stopped->watch);
        (void)put("k2", "v");
        recorder_wait(witness, 2);
        ck_assert_uint_eq(stopped->n_events, 1);
        ck_assert_uint_eq(store_stats(harness_store()).n_watches, 1);
}
END_TEST

/* A watch can be stopped right after it was started, and started again on something else. */
START_TEST(test_stop_at_once) {
        int64_t revision = put("a", "v");
        Recorder *recorder = recorder_new(key("a"), (StoreBytes){ 0 }, revision);

        store_watch_stop(&recorder->watch);
        (void)put("b", "v");
        recorder_start(recorder, key("b"), (StoreBytes){ 0 }, revision + 1);
        recorder_wait(recorder, 1);
        ck_assert(is_key(recorder->events[0].key, "b"));
}
END_TEST

static void stop_itself(Recorder *recorder) {
        store_watch_stop(&recorder->watch);
}

/* A watch can be stopped from its own callback. */
START_TEST(test_stop_inside_callback) {
        int64_t next = current_revision() + 1;
        Recorder *stopped = recorder_new(key("k"), end_of("k"), next), *witness;

        stopped->then = stop_itself;
        witness = recorder_new(key("k"), end_of("k"), next);
        (void)put("k1", "v");
        recorder_wait(stopped, 1);
        (void)put("k2", "v");
        recorder_wait(witness, 2);
        ck_assert_uint_eq(stopped->n_events, 1);
}
END_TEST

static void stop_the_other(Recorder *recorder) {
        Recorder *other = recorder->userdata;

        store_watch_stop(&other->watch);
}

/* A watch can stop another one from its callback: whichever is told first, the other is not told
 * after that. */
START_TEST(test_stop_another_inside_callback) {
        int64_t next = current_revision() + 1;
        Recorder *a = recorder_new(key("k"), end_of("k"), next);
        Recorder *b = recorder_new(key("k"), end_of("k"), next);
        Recorder *witness = recorder_new(key("k"), end_of("k"), next);

        a->then = b->then = stop_the_other;
        a->userdata = b;
        b->userdata = a;
        (void)put("k1", "v");
        recorder_wait(witness, 1);
        (void)put("k2", "v");
        recorder_wait(witness, 2);
        recorder_wait(a->n_events > 0 ? a : b, 2);
        ck_assert_uint_eq(a->n_events + b->n_events, 2);
}
END_TEST

static void start_another(Recorder *recorder) {
        recorder->then = NULL;
        recorder->userdata = recorder_new(key("k"), end_of("k"), recorder->watch.next_revision - 1);
}

/* A watch can be started from another one's callback; it sees what that one is being told, if it
 * asks for it. */
START_TEST(test_start_inside_callback) {
        Recorder *recorder = recorder_new(key("k"), end_of("k"), current_revision() + 1);

        recorder->then = start_another;
        (void)put("k1", "v");
        recorder_wait(recorder, 1);
        (void)put("k2", "v");
        recorder_wait(recorder->userdata, 2);
        recorder_wait(recorder, 2);
}
END_TEST

static void restart_itself(Recorder *recorder) {
        int64_t next = recorder->watch.next_revision;

        store_watch_stop(&recorder->watch);
        recorder_start(recorder, key("k"), end_of("k"), next);
}

/* A watch that starts itself again behind each report misses nothing and sees nothing twice. */
START_TEST(test_restart_inside_callback) {
        Recorder *recorder = recorder_new(key("k"), end_of("k"), current_revision() + 1);

        recorder->then = restart_itself;
        for (int i = 0; i < 20; i++)
                (void)put("k", "v");
        recorder_wait(recorder, 20);
        check_complete(recorder, 20);
}
END_TEST

/* What another client writes is told, too. */
START_TEST(test_other_clients_writes) {
        Recorder *recorder = recorder_new(key("k"), end_of("k"), current_revision() + 1);
        const StoreOp op = { .kind = STORE_OP_PUT, .key = key("k"), .value = store_bytes("v") };
        const StoreTxn one = { .ops = &op, .n_ops = 1 };
        Call *call = call_new();

        ck_assert_int_eq(store_txn(harness_connect(), &call->request, &one, STORE_CALL_TIMEOUT_US,
                                   call_done),
                         0);
        ck_assert_int_eq(call_wait(call), 0);
        recorder_wait(recorder, 1);
}
END_TEST

TCase *watch_cases(void) {
        TCase *cases = tcase_create("watch");

        tcase_add_checked_fixture(cases, harness_set_up, harness_tear_down);
        tcase_add_test(cases, test_put_is_told);
        tcase_add_test(cases, test_deletion_is_told);
        tcase_add_test(cases, test_single_key);
        tcase_add_test(cases, test_range);
        tcase_add_test(cases, test_one_report_per_revision);
        tcase_add_test(cases, test_order);
        tcase_add_test(cases, test_many_watches);
        tcase_add_test(cases, test_same_range_twice);
        tcase_add_test(cases, test_stop);
        tcase_add_test(cases, test_stop_at_once);
        tcase_add_test(cases, test_stop_inside_callback);
        tcase_add_test(cases, test_stop_another_inside_callback);
        tcase_add_test(cases, test_start_inside_callback);
        tcase_add_test(cases, test_restart_inside_callback);
        tcase_add_test(cases, test_other_clients_writes);
        return cases;
}
