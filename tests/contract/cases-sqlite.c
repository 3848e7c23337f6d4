/* SPDX-License-Identifier: Apache-2.0 */

/* What only the built-in store can do: it comes back. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/contract/harness.h"

/* What was written is there after a restart, under the same revisions, and what comes is newer. */
START_TEST(test_reopen) {
        int64_t first = put("a", "one"), second = put("a", "two"), third = put("b", "v"), last;
        Call *call;

        harness_reopen();
        call = list("");
        ck_assert_uint_eq(call->n_kvs, 2);
        ck_assert_int_eq(call->reply.revision, third);
        ck_assert(bytes_are(call->kvs[0].value, "two"));
        ck_assert_int_eq(call->kvs[0].create_revision, first);
        ck_assert_int_eq(call->kvs[0].mod_revision, second);
        last = erase("a");
        ck_assert_int_eq(last, third + 1);
        harness_reopen();
        ck_assert_int_eq(current_revision(), last);
        call = range((StoreRange){ .key = key("a"), .revision = first });
        ck_assert(bytes_are(call->kvs[0].value, "one"));
}
END_TEST

/* A watch from a revision before the restart sees everything since. */
START_TEST(test_watch_across_reopening) {
        int64_t first = put("k", "one");
        Recorder *recorder;

        (void)put("k", "two");
        harness_reopen();
        (void)put("k", "three");
        recorder = recorder_new(key("k"), (StoreBytes){ 0 }, first);
        recorder_wait(recorder, 3);
        ck_assert_int_eq(recorder->events[0].mod_revision, first);
        ck_assert(bytes_are(recorder->events[2].value, "three"));
}
END_TEST

/* What was compacted away stays away. */
START_TEST(test_compaction_across_reopening) {
        int64_t first = put("k", "one"), second = put("k", "two");

        compact(second);
        (void)put("k", "three");
        harness_reopen();
        ck_assert_int_eq(range((StoreRange){ .key = key("k"), .revision = first })->status,
                         STORE_E_COMPACTED);
        ck_assert_int_eq(range((StoreRange){ .key = key("k"), .revision = second })->status, 0);
}
END_TEST

/* A lease that was 10 s old at the closing has that much less after it; the time in between does
 * not count. Kept alive, it has all of its time again. */
START_TEST(test_lease_across_reopening) {
        int64_t lease = granted_lease(30);
        Call *look;

        (void)put_with_lease("a", "v", lease);
        wait_for_us(10 * US_PER_S);
        harness_reopen();
        look = lease_look(lease);
        ck_assert_int_eq(look->status, 0);
        ck_assert_int_eq(look->reply.lease_ttl_s, 30);
        ck_assert_int_ge(look->reply.lease_left_s, 18);
        ck_assert_int_le(look->reply.lease_left_s, 20);

        wait_for_us(15 * US_PER_S);
        ck_assert_int_eq(lease_keep_alive(lease)->status, 0);
        wait_for_us(15 * US_PER_S);
        ck_assert_uint_eq(list("a")->n_kvs, 1);
        wait_for_us(17 * US_PER_S);
        ck_assert_uint_eq(list("a")->n_kvs, 0);
        ck_assert_int_eq(lease_look(lease)->status, STORE_E_NO_LEASE);
}
END_TEST

/* An ended lease does not come back. */
START_TEST(test_ended_lease_across_reopening) {
        int64_t lease = granted_lease(30);

        ck_assert_int_eq(lease_revoke(lease)->status, 0);
        harness_reopen();
        ck_assert_int_eq(lease_keep_alive(lease)->status, STORE_E_NO_LEASE);
}
END_TEST

/* History goes by age and by count; a watch from before has to list again, a new one goes on. */
START_TEST(test_history_is_bounded) {
        int64_t old = put("k", "one");
        Recorder *recorder;

        (void)put("k", "two");
        wait_for_us(601 * US_PER_S);
        (void)put("k", "three");
        wait_for_us(601 * US_PER_S);
        recorder = recorder_new(key("k"), (StoreBytes){ 0 }, old);
        recorder_wait_end(recorder);
        ck_assert_int_eq(recorder->end_kind, STORE_WATCH_COMPACTED);
        ck_assert(bytes_are(list("k")->kvs[0].value, "three"));
}
END_TEST

static void start_put(Call *call, const char *name) {
        const StoreOp op = { .kind = STORE_OP_PUT, .key = key(name), .value = store_bytes("v") };
        const StoreTxn one = { .ops = &op, .n_ops = 1 };

        ck_assert_int_eq(
                store_txn(harness_store(), &call->request, &one, STORE_CALL_TIMEOUT_US, call_done),
                0);
}

static void start_range(Call *call, const char *name) {
        const StoreRange one = { .key = key(name) };

        ck_assert_int_eq(store_range(harness_store(), &call->request, &one, STORE_CALL_TIMEOUT_US,
                                     call_done),
                         0);
}

/* What a failing commit does to a write; reads beside it tell what is there without it. */
static const struct {
        int error;
        int status;
        bool stays_connected;
} failures[] = {
        { -ENOSPC, STORE_E_NO_SPACE, true },
        { -EROFS, STORE_E_UNKNOWN, false },
        { -EIO, STORE_E_UNKNOWN, false },
        { -ENOMEM, -ENOMEM, true },
};

/* A write that fails for the disk says so, reads beside it are answered as if it had not been, and
 * when the disk is back everything works again by itself. */
START_TEST(test_failing_commit) {
        Call *write = call_new(), *grant = call_new(), *read = call_new();
        int64_t lease = granted_lease(30), before = put("b", "v");

        sqlite_test_file_set_fault((SqliteFault){ .commit = failures[_i].error });
        start_put(write, "a");
        ck_assert_int_eq(store_lease_grant(harness_store(), &grant->request, 30,
                                           STORE_CALL_TIMEOUT_US, call_done),
                         0);
        start_range(read, "a");
        ck_assert_int_eq(call_wait(write), failures[_i].status);
        ck_assert_int_eq(call_wait(grant), failures[_i].status);
        sqlite_test_file_set_fault((SqliteFault){ .commit = 0 });

        ck_assert_int_eq(call_wait(read), 0);
        ck_assert_uint_eq(read->n_kvs, 0);
        ck_assert_int_eq(read->reply.revision, before);
        ck_assert_int_eq(put("a", "v"), before + 1);
        ck_assert_int_eq(lease_keep_alive(lease)->status, 0);
        ck_assert_uint_eq(store_stats(harness_store()).n_connections,
                          failures[_i].stays_connected ? 1 : 2);
}
END_TEST

/* While the disk is full, reads and renewals work, and leases that run out do so when it is not. */
START_TEST(test_writes_without_space) {
        int64_t lease = granted_lease(5);
        Call *write = call_new();

        (void)put_with_lease("a", "v", lease);
        sqlite_test_file_set_fault((SqliteFault){ .commit = -ENOSPC, .begin = 0 });
        start_put(write, "b");
        ck_assert_int_eq(call_wait(write), STORE_E_NO_SPACE);
        ck_assert_int_eq(lease_keep_alive(lease)->status, 0);
        ck_assert(store_is_connected(harness_store()));
        wait_for_us(7 * US_PER_S);
        ck_assert_int_eq(lease_keep_alive(lease)->status, STORE_E_NO_LEASE);

        sqlite_test_file_set_fault((SqliteFault){ 0 });
        wait_for_us(US_PER_S);
        ck_assert_uint_eq(list("a")->n_kvs, 0);
}
END_TEST

/* Another process that has the file for a moment delays what is asked, and loses nothing. */
START_TEST(test_busy_file) {
        Recorder *recorder = recorder_new(key("a"), (StoreBytes){ 0 }, current_revision() + 1);
        Call *write = call_new();

        sqlite_test_file_set_fault((SqliteFault){ .begin = -EAGAIN, .changes = -EAGAIN });
        start_put(write, "a");
        wait_for_us(US_PER_S);
        ck_assert_uint_eq(write->n_done, 0);
        sqlite_test_file_set_fault((SqliteFault){ .changes = -EAGAIN });
        ck_assert_int_eq(call_wait(write), 0);
        wait_for_us(US_PER_S);
        ck_assert_uint_eq(recorder->n_events, 0);
        sqlite_test_file_set_fault((SqliteFault){ 0 });
        recorder_wait(recorder, 1);
}
END_TEST

static char trouble[256];

static void on_connection(StoreListener *listener, bool is_connected, const char *detail) {
        (void)listener;
        (void)is_connected;
        (void)detail;
}

static void on_trouble(StoreListener *listener, const char *why) {
        (void)listener;
        (void)snprintf(trouble, sizeof(trouble), "%s", why);
}

/* While another process keeps the file from being written, reads and renewals go on beside a write
 * that waits; after a second that is told. */
START_TEST(test_busy_file_keeps_leases) {
        StoreListener listener = { .on_trouble = on_trouble };
        int64_t lease = granted_lease(5), before = put_with_lease("a", "v", lease);
        Call *write = call_new();

        store_listen(harness_store(), &listener, on_connection);
        sqlite_test_file_set_fault((SqliteFault){ .begin_writing = -EAGAIN });
        start_put(write, "b");
        for (int i = 0; i < 3; i++) {
                ck_assert_str_eq(
                        trouble,
                        i == 0 ? ""
                               : "beginning fails on command: Resource temporarily unavailable");
                wait_for_us(2 * US_PER_S);
                ck_assert_int_eq(lease_keep_alive(lease)->status, 0);
                ck_assert_int_eq(range((StoreRange){ .key = key("a") })->reply.revision, before);
                if (write->n_done > 0)
                        start_put(write = call_new(), "b");
        }
        sqlite_test_file_set_fault((SqliteFault){ 0 });
        ck_assert_int_eq(call_wait(write), 0);
        ck_assert_int_eq(lease_keep_alive(lease)->status, 0);
        store_unlisten(&listener);
}
END_TEST

/* While the file is gone no lease runs out, and a watch that was up to date misses nothing. */
START_TEST(test_disk_fails_and_returns) {
        int64_t lease = granted_lease(5);
        Recorder *recorder;

        (void)put_with_lease("a", "v", lease);
        recorder = recorder_new(key("a"), (StoreBytes){ 0 }, current_revision() + 1);
        silence();
        wait_for_us(60 * US_PER_S);
        unsilence();
        wait_for_us(2 * US_PER_S);
        ck_assert_int_eq(lease_keep_alive(lease)->status, 0);
        ck_assert_uint_eq(list("a")->n_kvs, 1);
        (void)erase("a");
        recorder_wait(recorder, 1);
        ck_assert(recorder->events[0].is_deletion);
}
END_TEST

TCase *sqlite_cases(void) {
        TCase *cases = tcase_create("sqlite");

        tcase_add_checked_fixture(cases, harness_set_up, harness_tear_down);
        tcase_add_test(cases, test_reopen);
        tcase_add_test(cases, test_watch_across_reopening);
        tcase_add_test(cases, test_compaction_across_reopening);
        tcase_add_test(cases, test_lease_across_reopening);
        tcase_add_test(cases, test_ended_lease_across_reopening);
        tcase_add_test(cases, test_history_is_bounded);
        tcase_add_loop_test(cases, test_failing_commit, 0, ELEMENTSOF(failures));
        tcase_add_test(cases, test_writes_without_space);
        tcase_add_test(cases, test_busy_file);
        tcase_add_test(cases, test_busy_file_keeps_leases);
        tcase_add_test(cases, test_disk_fails_and_returns);
        return cases;
}
