/* SPDX-License-Identifier: Apache-2.0 */

/* The store over etcd: what happens to requests, watches and leases when the server hangs, dies and
 * comes back. Each case has an etcd of its own.
 */

#include "tests/contract/harness.h"

static Call *start_put(const char *name, uint64_t timeout_us) {
        const StoreOp op = { .kind = STORE_OP_PUT, .key = key(name), .value = store_bytes("v") };
        const StoreTxn write = { .ops = &op, .n_ops = 1 };
        Call *call = call_new();

        ck_assert_int_eq(store_txn(harness_store(), &call->request, &write, timeout_us, call_done),
                         0);
        return call;
}

/* Reads until the store answers again; the harness's limit ends it when it never does. */
static void await_store(void) {
        uint64_t limit_us = loop_now_us(harness_loop()) + 30 * US_PER_S;

        while (range((StoreRange){ .key = key("any") })->status != 0)
                ck_assert_uint_lt(loop_now_us(harness_loop()), limit_us);
}

static bool is_disconnected(void *userdata) {
        return !store_is_connected(userdata);
}

/* A watch and a lease survive a server that hangs for longer than the client waits: nothing is lost
 * and nothing told twice. */
START_TEST(test_freeze) {
        int64_t lease = granted_lease(60), first = put_with_lease("k1", "v", lease);
        Recorder *recorder = recorder_new(key("k"), end_of("k"), first);
        Call *call;
        int status;

        recorder_wait(recorder, 1);
        etcd_process_freeze(harness_etcd());
        call = start_put("k2", 2 * US_PER_S);
        status = call_wait(call);
        ck_assert_int_eq(status, STORE_E_UNKNOWN);
        wait_for_us(4 * US_PER_S);
        etcd_process_thaw(harness_etcd());

        await_store();
        (void)put("k3", "v");
        wait_for_us(500 * US_PER_MS);

        /* The unanswered write may have been made, or not; what is in the store is what the watch
         * was told. */
        recorder_wait(recorder, list("k2")->n_kvs > 0 ? 3 : 2);
        for (size_t i = 1; i < recorder->n_events; i++)
                ck_assert_int_gt(recorder->events[i].mod_revision,
                                 recorder->events[i - 1].mod_revision);
        ck_assert_uint_eq(recorder->n_ends, 0);
        ck_assert_int_eq(lease_keep_alive(lease)->status, 0);
        ck_assert_uint_eq(list("k1")->n_kvs, 1);
}
END_TEST

/* A watch and a lease survive the death of the server: after its restart the watch goes on where it
 * was. */
START_TEST(test_kill_and_restart) {
        int64_t lease = granted_lease(60), first = put_with_lease("k1", "v", lease);
        Recorder *recorder = recorder_new(key("k"), end_of("k"), first), *idle;

        idle = recorder_new(key("idle"), (StoreBytes){ 0 }, first);
        recorder_wait(recorder, 1);
        etcd_process_kill(harness_etcd());
        wait_until(is_disconnected, harness_store());
        etcd_process_restart(harness_etcd());

        await_store();
        (void)put("k2", "v");
        (void)erase("k1");
        recorder_wait(recorder, 3);
        ck_assert(is_key(recorder->events[1].key, "k2"));
        ck_assert(recorder->events[2].is_deletion);
        ck_assert_int_eq(lease_keep_alive(lease)->status, 0);

        (void)put("idle", "v");
        recorder_wait(idle, 1);
        ck_assert_uint_eq(recorder->n_ends + idle->n_ends, 0);
        ck_assert_uint_ge(store_stats(harness_store()).n_connections, 2);
}
END_TEST

/* What happened while the client was away is told when it returns: another client's writes, each
 * once, in order. */
START_TEST(test_many_restarts) {
        int64_t first = current_revision() + 1;
        Recorder *recorder = recorder_new(key("k"), end_of("k"), first);
        size_t n_expected = 0;

        for (int round = 0; round < 3; round++) {
                for (int i = 0; i < 10; i++)
                        (void)put("k", "v");
                n_expected += 10;
                etcd_process_kill(harness_etcd());
                wait_until(is_disconnected, harness_store());
                etcd_process_restart(harness_etcd());
                await_store();
        }
        recorder_wait(recorder, n_expected);
        for (size_t i = 0; i < n_expected; i++)
                ck_assert_int_eq(recorder->events[i].mod_revision, first + (int64_t)i);
}
END_TEST

/* While no server is there, a request ends at its deadline at the latest, once: nothing is known,
 * and nothing was done. */
START_TEST(test_no_server) {
        uint64_t started_us;
        Call *write, *read = call_new();
        const StoreRange one = { .key = key("a") };

        (void)put("a", "v");
        etcd_process_kill(harness_etcd());
        wait_until(is_disconnected, harness_store());

        started_us = loop_now_us(harness_loop());
        write = start_put("b", US_PER_S);
        ck_assert_int_eq(store_range(harness_store(), &read->request, &one, US_PER_S, call_done),
                         0);
        ck_assert_int_eq(call_wait(write), STORE_E_UNREACHABLE);
        ck_assert_int_eq(call_wait(read), STORE_E_UNREACHABLE);
        ck_assert_uint_le(loop_now_us(harness_loop()) - started_us, 2 * US_PER_S);

        etcd_process_restart(harness_etcd());
        await_store();
        ck_assert_uint_eq(list("b")->n_kvs, 0);
}
END_TEST

/* A request that is in flight when the server dies ends, once: a write in doubt, or certainly not
 * made. */
START_TEST(test_death_under_requests) {
        enum { N = 50 };
        Call *calls[N];

        (void)put("a", "v");
        etcd_process_freeze(harness_etcd());
        for (int i = 0; i < N; i++)
                calls[i] = start_put("k", 5 * US_PER_S);
        wait_for_us(200 * US_PER_MS);
        etcd_process_kill(harness_etcd());
        for (int i = 0; i < N; i++) {
                int status = call_wait(calls[i]);

                ck_assert(status == STORE_E_UNKNOWN || status == STORE_E_UNREACHABLE);
        }
        ck_assert_int_eq(calls[0]->status, STORE_E_UNKNOWN);
        etcd_process_restart(harness_etcd());
        await_store();
}
END_TEST

TCase *etcd_cases(void) {
        TCase *cases = tcase_create("etcd");

        tcase_add_checked_fixture(cases, harness_set_up_private_etcd, harness_tear_down);
        tcase_add_test(cases, test_freeze);
        tcase_add_test(cases, test_kill_and_restart);
        tcase_add_test(cases, test_many_restarts);
        tcase_add_test(cases, test_no_server);
        tcase_add_test(cases, test_death_under_requests);
        return cases;
}
