/* SPDX-License-Identifier: Apache-2.0 */

/* The store's contract: what holds for every request, whatever it asks (lib/loop/loop.h,
 * "Asynchronous operations"). */

#include <errno.h>
#include <stdio.h>

#include "tests/contract/harness.h"

/* The kinds of requests; each test that loops over them says what it means for all. */
enum {
        KIND_RANGE,
        KIND_TXN,
        KIND_GRANT,
        KIND_KEEP_ALIVE,
        KIND_REVOKE,
        KIND_LOOK,
        KIND_STATUS,
        KIND_MAX,
};

/* Starts a request of a kind; `lease` is one that is there. */
static int start_kind(int kind, Call *call, int64_t lease, uint64_t timeout_us) {
        Store *store = harness_store();
        const StoreRange one = { .key = key("a") };
        const StoreOp op = { .kind = STORE_OP_PUT, .key = key("a"), .value = store_bytes("v") };
        const StoreTxn write = { .ops = &op, .n_ops = 1 };

        switch (kind) {
        case KIND_RANGE:
                return store_range(store, &call->request, &one, timeout_us, call_done);
        case KIND_TXN:
                return store_txn(store, &call->request, &write, timeout_us, call_done);
        case KIND_GRANT:
                return store_lease_grant(store, &call->request, 60, timeout_us, call_done);
        case KIND_KEEP_ALIVE:
                return store_lease_keep_alive(store, &call->request, lease, timeout_us, call_done);
        case KIND_LOOK:
                return store_lease_look(store, &call->request, lease, timeout_us, call_done);
        case KIND_STATUS:
                return store_status(store, &call->request, timeout_us, call_done);
        default:
                return store_lease_revoke(store, &call->request, lease, timeout_us, call_done);
        }
}

/* A request ends from the loop, never inside the call that starts it, exactly once, and is idle
 * then. */
START_TEST(test_ends_once_from_the_loop) {
        int64_t lease = granted_lease(60);
        Call *call = call_new();

        ck_assert_int_eq(start_kind(_i, call, lease, STORE_CALL_TIMEOUT_US), 0);
        ck_assert_uint_eq(call->n_done, 0);
        ck_assert(store_request_is_pending(&call->request));
        ck_assert_int_eq(call_wait(call), 0);
        ck_assert_int_ge(call->reply.revision, 1);
        wait_for_us(50 * US_PER_MS);
        ck_assert_uint_eq(call->n_done, 1);
        ck_assert_uint_eq(store_stats(harness_store()).n_pending, 0);
}
END_TEST

/* A healthy store has a leader and nothing to complain of. */
START_TEST(test_healthy_status) {
        const Call *call = status();

        ck_assert_int_ge(call->reply.revision, 1);
        ck_assert(call->reply.status.has_leader);
        ck_assert(!call->reply.status.is_full);
        ck_assert(!call->reply.status.is_corrupt);
        ck_assert_str_eq(call->reply.status.troubles, "");
        if (harness_etcd()) {
                ck_assert_int_eq(strchr(call->reply.status.version, '.') != NULL,
                                 harness_etcd()->guard != ETCD_SERVED);
                ck_assert_int_gt(call->reply.status.size_bytes, 0);
                ck_assert_int_gt(call->reply.status.used_bytes, 0);
        }
}
END_TEST

/* A cancelled request ends with -ECANCELED, from the loop, once, however often it is cancelled. */
START_TEST(test_cancel) {
        int64_t lease = granted_lease(60);
        Call *call = call_new();

        ck_assert_int_eq(start_kind(_i, call, lease, STORE_CALL_TIMEOUT_US), 0);
        store_cancel(&call->request);
        store_cancel(&call->request);
        ck_assert_uint_eq(call->n_done, 0);
        ck_assert_int_eq(call_wait(call), -ECANCELED);
        store_cancel(&call->request);
        wait_for_us(50 * US_PER_MS);
        ck_assert_uint_eq(call->n_done, 1);
}
END_TEST

/* Cancelling an idle request does nothing, and it can be used after. */
START_TEST(test_cancel_idle) {
        Call *call = call_new();

        store_cancel(&call->request);
        ck_assert_int_eq(start_kind(KIND_TXN, call, 0, STORE_CALL_TIMEOUT_US), 0);
        ck_assert_int_eq(call_wait(call), 0);
}
END_TEST

/* A request that a silent store does not answer ends at its deadline, not before, once: a read with
 * nothing known, a write unknown, or certainly not made where the store can tell; an answer that
 * comes after all is not told. */
START_TEST(test_deadline) {
        int64_t lease = granted_lease(60);
        Call *call = call_new();
        uint64_t started_us, took_us;
        int status;

        silence();
        started_us = loop_now_us(harness_loop());
        ck_assert_int_eq(start_kind(_i, call, lease, 700 * US_PER_MS), 0);
        status = call_wait(call);
        took_us = loop_now_us(harness_loop()) - started_us;
        unsilence();

        ck_assert_uint_ge(took_us, 700 * US_PER_MS);
        ck_assert_uint_le(took_us, 1500 * US_PER_MS);
        if (_i == KIND_RANGE || _i == KIND_STATUS || _i == KIND_LOOK)
                ck_assert_int_eq(status, STORE_E_UNREACHABLE);
        else if (_i == KIND_KEEP_ALIVE)
                ck_assert(status == STORE_E_UNREACHABLE || status == STORE_E_UNKNOWN);
        else
                ck_assert_int_eq(status,
                                 harness_knows_its_queue() ? STORE_E_UNREACHABLE : STORE_E_UNKNOWN);

        (void)put("b", "the store speaks again");
        wait_for_us(50 * US_PER_MS);
        ck_assert_uint_eq(call->n_done, 1);
}
END_TEST

typedef struct Chain {
        StoreRequest request;
        unsigned n_done;
        int last_status;
} Chain;

static bool chain_is_complete(void *userdata) {
        const Chain *chain = userdata;

        return chain->n_done == 50;
}

static void chain_on_done(StoreRequest *request, int status, const StoreReply *reply) {
        Chain *chain = container_of(request, Chain, request);
        const StoreRange one = { .key = key("a") };

        (void)reply;
        chain->last_status = status;
        if (++chain->n_done < 50)
                ck_assert_int_eq(store_range(harness_store(), request, &one, STORE_CALL_TIMEOUT_US,
                                             chain_on_done),
                                 0);
}

/* A request can be started again inside its own callback, any number of times. */
START_TEST(test_reuse_inside_callback) {
        Chain *chain = allocate(sizeof(*chain));
        const StoreRange one = { .key = key("a") };

        ck_assert_int_eq(store_range(harness_store(), &chain->request, &one, STORE_CALL_TIMEOUT_US,
                                     chain_on_done),
                         0);
        wait_until(chain_is_complete, chain);
        ck_assert_int_eq(chain->last_status, 0);
        ck_assert(!store_request_is_pending(&chain->request));
}
END_TEST

/* Many requests in flight get each their own answer. */
START_TEST(test_many_in_flight) {
        enum { N = 300 };
        Call *calls[N];

        (void)put_many("k", N, "v");
        for (size_t i = 0; i < N; i++) {
                char name[16];
                StoreRange one = { 0 };

                (void)snprintf(name, sizeof(name), "k%04zu", i);
                one.key = key(name);
                calls[i] = call_new();
                ck_assert_int_eq(store_range(harness_store(), &calls[i]->request, &one,
                                             STORE_LIST_TIMEOUT_US, call_done),
                                 0);
        }
        for (size_t i = 0; i < N; i++) {
                char name[16];

                (void)snprintf(name, sizeof(name), "k%04zu", i);
                ck_assert_int_eq(call_wait(calls[i]), 0);
                ck_assert_uint_eq(calls[i]->n_kvs, 1);
                ck_assert(is_key(calls[i]->kvs[0].key, name));
        }
}
END_TEST

/* The arguments are copied: what the caller does with them after the start does not matter. */
START_TEST(test_arguments_are_copied) {
        StoreBytes name = key("a"), value = key("value");
        StoreCompare compare = { .key = key("absent"), .target = STORE_COMPARE_CREATE };
        StoreOp op = { .kind = STORE_OP_PUT, .key = name, .value = value };
        StoreTxn write = { .compares = &compare, .n_compares = 1, .ops = &op, .n_ops = 1 };
        Call *call = call_new();

        ck_assert_int_eq(store_txn(harness_store(), &call->request, &write, STORE_CALL_TIMEOUT_US,
                                   call_done),
                         0);
        memset((char *)name.data, 'x', name.n_bytes);
        memset((char *)value.data, 'x', value.n_bytes);
        memset((char *)compare.key.data, 'x', compare.key.n_bytes);
        op = (StoreOp){ 0 };
        compare = (StoreCompare){ 0 };
        write = (StoreTxn){ 0 };

        ck_assert_int_eq(call_wait(call), 0);
        ck_assert_uint_eq(list("")->n_kvs, 1);
        ck_assert(is_key(list("")->kvs[0].key, "a"));
        ck_assert(is_key(list("")->kvs[0].value, "value"));
}
END_TEST

typedef struct Canceller {
        Call *victim;
        StoreRequest request;
        bool is_done;
} Canceller;

static void canceller_on_done(StoreRequest *request, int status, const StoreReply *reply) {
        Canceller *canceller = container_of(request, Canceller, request);

        (void)status;
        (void)reply;
        canceller->is_done = true;
        store_cancel(&canceller->victim->request);
}

/* A request can be cancelled from another one's callback; it ends once, with its answer if that was
 * quicker. */
START_TEST(test_cancel_inside_callback) {
        Canceller *canceller = allocate(sizeof(*canceller));
        const StoreRange one = { .key = key("a") };
        int status;

        canceller->victim = call_new();
        ck_assert_int_eq(store_range(harness_store(), &canceller->request, &one,
                                     STORE_CALL_TIMEOUT_US, canceller_on_done),
                         0);
        ck_assert_int_eq(start_kind(KIND_RANGE, canceller->victim, 0, STORE_CALL_TIMEOUT_US), 0);
        status = call_wait(canceller->victim);
        ck_assert(status == 0 || status == -ECANCELED);
        wait_for_us(50 * US_PER_MS);
        ck_assert(canceller->is_done);
        ck_assert_uint_eq(canceller->victim->n_done, 1);
}
END_TEST

/* Closing ends what is in flight with -ECANCELED, stops the watches silently, and takes nothing
 * more. */
START_TEST(test_close) {
        enum { N = 20 };
        int64_t lease = granted_lease(60), next = current_revision() + 1;
        Recorder *recorder = recorder_new(key(""), end_of(""), next),
                 *refused = allocate(sizeof(*refused));
        Call *calls[N], *late = call_new();

        for (int i = 0; i < N; i++) {
                calls[i] = call_new();
                ck_assert_int_eq(start_kind(i % KIND_MAX, calls[i], lease, STORE_CALL_TIMEOUT_US),
                                 0);
        }
        harness_close(harness_store());

        for (int i = 0; i < N; i++) {
                ck_assert_uint_eq(calls[i]->n_done, 1);
                ck_assert_int_eq(calls[i]->status, -ECANCELED);
        }
        ck_assert_uint_eq(recorder->n_reports + recorder->n_ends, 0);
        ck_assert_int_eq(start_kind(KIND_RANGE, late, 0, STORE_CALL_TIMEOUT_US), -ESHUTDOWN);
        ck_assert_int_eq(store_watch_start(harness_store(), &refused->watch, key("a"),
                                           (StoreBytes){ 0 }, 1, recorder_on_report),
                         -ESHUTDOWN);
        ck_assert_uint_eq(store_stats(harness_store()).n_pending, 0);
        ck_assert_uint_eq(store_stats(harness_store()).n_watches, 0);
}
END_TEST

/* A client that was never used closes as well; so does one that is closed while the store is
 * silent. */
START_TEST(test_close_idle_and_silent) {
        Call *call = call_new();

        harness_close(harness_connect());
        (void)put("a", "v");
        silence();
        ck_assert_int_eq(start_kind(KIND_TXN, call, 0, STORE_LIST_TIMEOUT_US), 0);
        harness_close(harness_store());
        unsilence();
        ck_assert_uint_eq(call->n_done, 1);
        ck_assert_int_eq(call->status, -ECANCELED);
}
END_TEST

/* The numbers count what happened. */
START_TEST(test_stats) {
        StoreStats before = store_stats(harness_store()), after;
        Call *call = call_new();

        (void)put("a", "v");
        ck_assert_int_eq(start_kind(KIND_RANGE, call, 0, STORE_CALL_TIMEOUT_US), 0);
        ck_assert_uint_eq(store_stats(harness_store()).n_pending, before.n_pending + 1);
        store_cancel(&call->request);
        (void)call_wait(call);

        after = store_stats(harness_store());
        ck_assert_uint_eq(after.n_requests, before.n_requests + 2);
        ck_assert_uint_eq(after.n_started[STORE_KIND_TXN], before.n_started[STORE_KIND_TXN] + 1);
        ck_assert_uint_eq(after.n_started[STORE_KIND_RANGE],
                          before.n_started[STORE_KIND_RANGE] + 1);
        ck_assert_uint_eq(after.n_failed[STORE_KIND_TXN], before.n_failed[STORE_KIND_TXN]);
        ck_assert_uint_eq(after.n_failed[STORE_KIND_RANGE], before.n_failed[STORE_KIND_RANGE] + 1);
        ck_assert_uint_eq(after.n_pending, 0);
        ck_assert_uint_eq(after.n_connections, 1);
        ck_assert(store_is_connected(harness_store()));
}
END_TEST

TCase *request_cases(void) {
        TCase *cases = tcase_create("request");

        tcase_add_checked_fixture(cases, harness_set_up, harness_tear_down);
        tcase_add_loop_test(cases, test_ends_once_from_the_loop, 0, KIND_MAX);
        tcase_add_test(cases, test_healthy_status);
        tcase_add_loop_test(cases, test_cancel, 0, KIND_MAX);
        tcase_add_test(cases, test_cancel_idle);
        tcase_add_loop_test(cases, test_deadline, 0, KIND_MAX);
        tcase_add_test(cases, test_reuse_inside_callback);
        tcase_add_test(cases, test_many_in_flight);
        tcase_add_test(cases, test_arguments_are_copied);
        tcase_add_test(cases, test_cancel_inside_callback);
        tcase_add_test(cases, test_close);
        tcase_add_test(cases, test_close_idle_and_silent);
        tcase_add_test(cases, test_stats);
        return cases;
}
