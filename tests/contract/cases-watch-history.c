/* SPDX-License-Identifier: Apache-2.0 */

/* The store's contract: watches from past and future revisions, and compaction. */

#include <stdio.h>

#include "tests/contract/harness.h"

/* From a past revision on, everything since is told, in order, then what happens now: no gap and
 * nothing twice. */
START_TEST(test_from_the_past) {
        int64_t first = put("k1", "one");
        Recorder *recorder;

        (void)put("other", "v");
        (void)put("k2", "two");
        (void)erase("k1");
        recorder = recorder_new(key("k"), end_of("k"), first);
        recorder_wait(recorder, 3);
        (void)put("k3", "three");
        recorder_wait(recorder, 4);

        ck_assert(is_key(recorder->events[0].key, "k1"));
        ck_assert(bytes_are(recorder->events[0].value, "one"));
        ck_assert_int_eq(recorder->events[0].mod_revision, first);
        ck_assert(is_key(recorder->events[1].key, "k2"));
        ck_assert_int_eq(recorder->events[1].mod_revision, first + 2);
        ck_assert(recorder->events[2].is_deletion);
        ck_assert(is_key(recorder->events[3].key, "k3"));
}
END_TEST

/* From the middle of the history on, nothing earlier is told. */
START_TEST(test_from_the_middle) {
        int64_t middle;
        Recorder *recorder;

        (void)put("k", "one");
        middle = put("k", "two");
        (void)put("k", "three");
        recorder = recorder_new(key("k"), (StoreBytes){ 0 }, middle);
        recorder_wait(recorder, 2);
        ck_assert(bytes_are(recorder->events[0].value, "two"));
        ck_assert(bytes_are(recorder->events[1].value, "three"));
}
END_TEST

/* From a future revision on, what happens before it is not told. */
START_TEST(test_from_the_future) {
        int64_t now = current_revision();
        Recorder *recorder = recorder_new(key("k"), end_of("k"), now + 3);

        for (int i = 0; i < 4; i++)
                (void)put("k", "v");
        recorder_wait(recorder, 2);
        ck_assert_int_eq(recorder->events[0].mod_revision, now + 3);
        ck_assert_int_eq(recorder->events[1].mod_revision, now + 4);
}
END_TEST

/* The numbers of the reports rise only where revisions do: no revision is torn apart. */
static void check_whole_revisions(const Recorder *recorder) {
        for (size_t i = 1; i < recorder->n_events; i++) {
                const SeenKv *before = &recorder->events[i - 1], *event = &recorder->events[i];

                ck_assert_int_ge(event->mod_revision, before->mod_revision);
                if (event->mod_revision == before->mod_revision)
                        ck_assert_uint_eq(event->report, before->report);
        }
}

/* A long history comes complete and in order. */
START_TEST(test_long_history) {
        enum { N_COMMITS = 2500, N_AT_A_TIME = 250 };
        int64_t first = current_revision() + 1;
        Call *calls[N_COMMITS];
        Recorder *recorder;

        for (size_t i = 0; i < N_COMMITS; i++) {
                const StoreOp op = { .kind = STORE_OP_PUT,
                                     .key = key("k"),
                                     .value = store_bytes("v") };
                const StoreTxn one = { .ops = &op, .n_ops = 1 };

                calls[i] = call_new();
                ck_assert_int_eq(store_txn(harness_store(), &calls[i]->request, &one,
                                           STORE_LIST_TIMEOUT_US, call_done),
                                 0);
                if ((i + 1) % N_AT_A_TIME == 0)
                        (void)call_wait(calls[i]);
        }
        for (size_t i = 0; i < N_COMMITS; i++)
                ck_assert_int_eq(call_wait(calls[i]), 0);

        recorder = recorder_new(key("k"), (StoreBytes){ 0 }, first);
        recorder_wait(recorder, N_COMMITS);
        for (size_t i = 0; i < N_COMMITS; i++)
                ck_assert_int_eq(recorder->events[i].mod_revision, first + (int64_t)i);
}
END_TEST

/* A history of many megabytes, which comes in fragments, keeps the events of each commit together.
 */
START_TEST(test_large_history) {
        enum { N_COMMITS = 6, N_KEYS = 100, N_BYTES = 12000 };
        char *value = allocate(N_BYTES + 1);
        int64_t first = current_revision() + 1;
        Recorder *recorder;

        memset(value, 'x', N_BYTES);
        for (int i = 0; i < N_COMMITS; i++)
                (void)put_many("k", N_KEYS, value);

        recorder = recorder_new(key("k"), end_of("k"), first);
        recorder_wait(recorder, (size_t)N_COMMITS * N_KEYS);
        check_whole_revisions(recorder);
        for (size_t i = 0; i < recorder->n_events; i++)
                ck_assert_uint_eq(recorder->events[i].value.n_bytes, N_BYTES);
}
END_TEST

/* A watch from a revision that was compacted away ends, saying to what the store was compacted; it
 * is off then and may start anew. */
START_TEST(test_compacted) {
        int64_t old = put("k", "one"), kept;
        Recorder *recorder;

        (void)put("k", "two");
        kept = put("k", "three");
        compact(kept);

        recorder = recorder_new(key("k"), (StoreBytes){ 0 }, old);
        recorder_wait_end(recorder);
        ck_assert_int_eq(recorder->end_kind, STORE_WATCH_COMPACTED);
        ck_assert_int_eq(recorder->end_revision, kept);
        ck_assert_uint_eq(recorder->n_events, 0);
        ck_assert_ptr_null(recorder->watch.store);
        ck_assert_uint_eq(store_stats(harness_store()).n_watches, 0);

        recorder_start(recorder, key("k"), (StoreBytes){ 0 }, kept + 1);
        (void)put("k", "four");
        recorder_wait(recorder, 1);
        ck_assert_uint_eq(recorder->n_ends, 1);
}
END_TEST

static void list_again(Recorder *recorder) {
        if (recorder->n_ends == 1 && !recorder->watch.store)
                recorder_start(recorder, key("k"), (StoreBytes){ 0 }, recorder->end_revision);
}

/* From the callback that tells of the compaction the watch may start anew, from the revision of the
 * compaction on. */
START_TEST(test_restart_when_compacted) {
        int64_t old = put("k", "one"), kept = put("k", "two");
        Recorder *recorder;

        compact(kept);
        recorder = recorder_new(key("k"), (StoreBytes){ 0 }, old);
        recorder->then = list_again;
        recorder_wait(recorder, 1);
        ck_assert(bytes_are(recorder->events[0].value, "two"));
        ck_assert_int_eq(recorder->events[0].mod_revision, kept);
}
END_TEST

/* A compaction does nothing to a watch that is up to date, however old the last thing is that it
 * was told. */
START_TEST(test_compaction_under_a_watch) {
        Recorder *recorder = recorder_new(key("k"), end_of("k"), current_revision() + 1);

        (void)put("k", "one");
        recorder_wait(recorder, 1);
        (void)put("other", "one");
        (void)put("other", "two");
        compact(put("other", "three"));

        (void)put("k", "two");
        recorder_wait(recorder, 2);
        ck_assert_uint_eq(recorder->n_ends, 0);
}
END_TEST

TCase *watch_history_cases(void) {
        TCase *cases = tcase_create("watch-history");

        tcase_add_checked_fixture(cases, harness_set_up, harness_tear_down);
        tcase_add_test(cases, test_from_the_past);
        tcase_add_test(cases, test_from_the_middle);
        tcase_add_test(cases, test_from_the_future);
        tcase_add_test(cases, test_long_history);
        tcase_add_test(cases, test_large_history);
        tcase_add_test(cases, test_compacted);
        tcase_add_test(cases, test_restart_when_compacted);
        tcase_add_test(cases, test_compaction_under_a_watch);
        return cases;
}
