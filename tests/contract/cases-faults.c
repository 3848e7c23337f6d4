/* SPDX-License-Identifier: Apache-2.0 */

/* The store in memory: its faults on command, its doors for tests, and that a run on a virtual
 * clock repeats itself. These cases are about exact times, hence on the virtual clock only.
 */

#include <stdio.h>

#include "tests/contract/harness.h"

enum { ALWAYS = 1000000 }; /* per million */

static uint64_t now_us(void) {
        return loop_now_us(harness_loop());
}

static void set_faults(StoreFaults faults) {
        store_memory_set_faults(harness_store(), &faults);
}

static Call *start_put(const char *name, uint64_t timeout_us) {
        const StoreOp op = { .kind = STORE_OP_PUT, .key = key(name), .value = store_bytes("v") };
        const StoreTxn write = { .ops = &op, .n_ops = 1 };
        Call *call = call_new();

        ck_assert_int_eq(store_txn(harness_store(), &call->request, &write, timeout_us, call_done),
                         0);
        return call;
}

static Call *start_range(const char *name, uint64_t timeout_us) {
        const StoreRange one = { .key = key(name) };
        Call *call = call_new();

        ck_assert_int_eq(store_range(harness_store(), &call->request, &one, timeout_us, call_done),
                         0);
        return call;
}

static bool is_stored(const char *name) {
        StoreBytes value;

        return memory_store_read(harness_memory(), key(name).data, &value);
}

/* A lost request ends exactly at its deadline, and what it asked for is never done. */
START_TEST(test_lost_request) {
        uint64_t started_us = now_us();
        Call *write, *read;

        set_faults((StoreFaults){ .lose_request_ppm = ALWAYS });
        write = start_put("a", 3 * US_PER_S);
        read = start_range("a", 3 * US_PER_S);
        ck_assert_int_eq(call_wait(write), STORE_E_UNKNOWN);
        ck_assert_int_eq(call_wait(read), STORE_E_UNREACHABLE);
        ck_assert_uint_eq(now_us() - started_us, 3 * US_PER_S);
        wait_for_us(25 * US_PER_S);
        ck_assert(!is_stored("a"));
}
END_TEST

/* A lost reply leaves the write made and its writer in doubt. */
START_TEST(test_lost_reply) {
        Call *call;

        set_faults((StoreFaults){ .lose_reply_ppm = ALWAYS });
        call = start_put("a", 3 * US_PER_S);
        ck_assert_int_eq(call_wait(call), STORE_E_UNKNOWN);
        ck_assert(is_stored("a"));
}
END_TEST

/* A lost write may be made later, long after its deadline, over what was written since. */
START_TEST(test_late_apply) {
        uint64_t started_us = now_us();

        set_faults((StoreFaults){ .lose_request_ppm = ALWAYS,
                                  .late_apply_ppm = ALWAYS,
                                  .late_apply_us = 12 * US_PER_S });
        ck_assert_int_eq(call_wait(start_put("a", 3 * US_PER_S)), STORE_E_UNKNOWN);
        set_faults((StoreFaults){ 0 });
        (void)put("a", "newer");

        wait_for_us(started_us + 12 * US_PER_S - 1 - now_us());
        ck_assert(bytes_are(list("a")->kvs[0].value, "newer"));
        wait_for_us(1);
        ck_assert(bytes_are(list("a")->kvs[0].value, "v"));
}
END_TEST

/* A comparison turns the late copy into nothing, which is why every write has one. */
START_TEST(test_late_apply_with_compare) {
        const StoreCompare absent = { .key = key("a"), .target = STORE_COMPARE_CREATE };
        const StoreOp op = { .kind = STORE_OP_PUT, .key = key("a"), .value = store_bytes("late") };
        const StoreTxn create = { .compares = &absent, .n_compares = 1, .ops = &op, .n_ops = 1 };
        Call *call = call_new();

        set_faults((StoreFaults){ .lose_request_ppm = ALWAYS,
                                  .late_apply_ppm = ALWAYS,
                                  .late_apply_us = 12 * US_PER_S });
        ck_assert_int_eq(store_txn(harness_store(), &call->request, &create, US_PER_S, call_done),
                         0);
        ck_assert_int_eq(call_wait(call), STORE_E_UNKNOWN);
        set_faults((StoreFaults){ 0 });
        (void)put("a", "newer");
        wait_for_us(20 * US_PER_S);
        ck_assert(bytes_are(list("a")->kvs[0].value, "newer"));
}
END_TEST

/* A late write is made even when the client that sent it is gone. */
START_TEST(test_late_apply_of_a_dead_client) {
        Store *doomed = harness_connect();
        const StoreOp op = { .kind = STORE_OP_PUT, .key = key("a"), .value = store_bytes("late") };
        const StoreTxn write = { .ops = &op, .n_ops = 1 };
        Call *call = call_new();

        store_memory_set_faults(doomed, &(StoreFaults){ .lose_request_ppm = ALWAYS,
                                                        .late_apply_ppm = ALWAYS,
                                                        .late_apply_us = 5 * US_PER_S });
        ck_assert_int_eq(store_txn(doomed, &call->request, &write, US_PER_S, call_done), 0);
        harness_close(doomed);
        ck_assert(!is_stored("a"));
        wait_for_us(6 * US_PER_S);
        ck_assert(is_stored("a"));
}
END_TEST

/* A refused request fails at once, and certainly did nothing. */
START_TEST(test_unreachable) {
        uint64_t started_us = now_us();
        Call *call;

        set_faults((StoreFaults){ .unreachable_ppm = ALWAYS });
        call = start_put("a", 3 * US_PER_S);
        ck_assert_uint_eq(call->n_done, 0);
        ck_assert_int_eq(call_wait(call), STORE_E_UNREACHABLE);
        ck_assert_uint_eq(now_us(), started_us);
        ck_assert(!is_stored("a"));
}
END_TEST

/* Cancelling a request whose end is on its way changes nothing about it. */
START_TEST(test_cancel_after_the_end) {
        Call *call;

        set_faults((StoreFaults){ .unreachable_ppm = ALWAYS });
        call = start_put("a", 3 * US_PER_S);
        store_cancel(&call->request);
        ck_assert_int_eq(call_wait(call), STORE_E_UNREACHABLE);
}
END_TEST

/* Latency is there twice for a request and once for an event. */
START_TEST(test_latency) {
        Recorder *recorder = recorder_new(key("a"), (StoreBytes){ 0 }, current_revision() + 1);
        uint64_t started_us;
        Call *call;

        wait_for_us(1);
        set_faults((StoreFaults){ .latency_us = 40 * US_PER_MS });
        started_us = now_us();
        call = start_put("a", 3 * US_PER_S);
        wait_for_us(40 * US_PER_MS - 1);
        ck_assert(!is_stored("a"));
        ck_assert_int_eq(call_wait(call), 0);
        ck_assert_uint_eq(now_us() - started_us, 80 * US_PER_MS);
        recorder_wait(recorder, 1);
        ck_assert_uint_eq(now_us() - started_us, 80 * US_PER_MS);
}
END_TEST

/* Each event takes its latency from its own commit: a delivery on its way does not bring what
 * happened after it left. */
START_TEST(test_latency_of_each_event) {
        Recorder *recorder = recorder_new(key("a"), (StoreBytes){ 0 }, current_revision() + 1);
        uint64_t started_us;

        wait_for_us(1);
        set_faults((StoreFaults){ .latency_us = 40 * US_PER_MS });
        started_us = now_us();
        ck_assert_int_eq(memory_store_write(harness_memory(), key("a").data, store_bytes("1")), 0);
        wait_for_us(30 * US_PER_MS);
        ck_assert_int_eq(memory_store_write(harness_memory(), key("a").data, store_bytes("2")), 0);
        recorder_wait(recorder, 1);
        ck_assert_uint_eq(now_us() - started_us, 40 * US_PER_MS);
        recorder_wait(recorder, 2);
        ck_assert_uint_eq(now_us() - started_us, 70 * US_PER_MS);
}
END_TEST

/* A reply that takes longer than the deadline comes too late; the write was made. */
START_TEST(test_latency_beyond_the_deadline) {
        Call *call;

        set_faults((StoreFaults){ .latency_us = US_PER_S });
        call = start_put("a", 500 * US_PER_MS);
        ck_assert_int_eq(call_wait(call), STORE_E_UNKNOWN);
        ck_assert(!is_stored("a"));
        wait_for_us(2 * US_PER_S);
        ck_assert(is_stored("a"));
        ck_assert_uint_eq(call->n_done, 1);
}
END_TEST

/* Under jitter requests overtake each other; what a watch is told still is in order, complete, and
 * each once. */
START_TEST(test_jitter_keeps_watches_in_order) {
        enum { N = 200 };
        int64_t first = current_revision() + 1;
        Recorder *recorder = recorder_new(key("k"), end_of("k"), first);
        Call *calls[N];

        set_faults((StoreFaults){ .latency_us = 1000, .latency_jitter_us = 300 * US_PER_MS });
        for (int i = 0; i < N; i++) {
                calls[i] = start_put("k", 20 * US_PER_S);
                wait_for_us(3000);
        }
        for (int i = 0; i < N; i++)
                ck_assert_int_eq(call_wait(calls[i]), 0);
        recorder_wait(recorder, N);
        ck_assert_uint_gt(recorder->n_reports, 3);
        for (int i = 0; i < N; i++)
                ck_assert_int_eq(recorder->events[i].mod_revision, first + i);
}
END_TEST

/* Behind a cut nothing gets through, either way; when it heals, watches resume without gap or
 * repetition. */
START_TEST(test_cut_and_heal) {
        int64_t first = current_revision() + 1;
        Recorder *recorder = recorder_new(key("k"), end_of("k"), first);

        (void)put("k", "one");
        recorder_wait(recorder, 1);
        set_faults((StoreFaults){ .is_cut = true });
        ck_assert_int_eq(call_wait(start_put("k", US_PER_S)), STORE_E_UNKNOWN);
        for (int i = 0; i < 5; i++)
                ck_assert_int_eq(
                        memory_store_write(harness_memory(), key("k").data, store_bytes("other")),
                        0);
        wait_for_us(20 * US_PER_S);
        ck_assert_uint_eq(recorder->n_events, 1);
        ck_assert(!store_is_connected(harness_store()));

        set_faults((StoreFaults){ 0 });
        recorder_wait(recorder, 6);
        ck_assert(store_is_connected(harness_store()));
        (void)put("k", "last");
        recorder_wait(recorder, 7);
        for (int i = 0; i < 7; i++)
                ck_assert_int_eq(recorder->events[i].mod_revision, first + i);
}
END_TEST

/* A cut loses what is on its way: the request that has not arrived, and the reply and the event
 * that have not come back. */
START_TEST(test_cut_on_the_way) {
        Recorder *recorder = recorder_new(key(""), end_of(""), current_revision() + 1);
        Call *made, *lost;

        wait_for_us(1);
        set_faults((StoreFaults){ .latency_us = 100 * US_PER_MS });
        made = start_put("made", 3 * US_PER_S);
        wait_for_us(120 * US_PER_MS);
        lost = start_put("lost", 3 * US_PER_S);
        wait_for_us(20 * US_PER_MS);
        set_faults((StoreFaults){ .is_cut = true });
        ck_assert_int_eq(call_wait(made), STORE_E_UNKNOWN);
        ck_assert_int_eq(call_wait(lost), STORE_E_UNKNOWN);
        ck_assert(is_stored("made"));
        ck_assert(!is_stored("lost"));
        ck_assert_uint_eq(recorder->n_events, 0);

        set_faults((StoreFaults){ 0 });
        recorder_wait(recorder, 1);
}
END_TEST

/* A watch that was cut off while the history went away is told so when it returns. */
START_TEST(test_compacted_behind_a_cut) {
        Recorder *recorder = recorder_new(key("k"), end_of("k"), current_revision() + 1);

        (void)put("k", "one");
        recorder_wait(recorder, 1);
        set_faults((StoreFaults){ .is_cut = true });
        for (int i = 0; i < 3; i++)
                ck_assert_int_eq(
                        memory_store_write(harness_memory(), key("k").data, store_bytes("other")),
                        0);
        compact(memory_store_revision(harness_memory()));
        set_faults((StoreFaults){ 0 });
        recorder_wait_end(recorder);
        ck_assert_int_eq(recorder->end_kind, STORE_WATCH_COMPACTED);
        ck_assert_uint_eq(recorder->n_events, 1);
}
END_TEST

/* One client's faults are no other's. */
START_TEST(test_faults_are_per_client) {
        const StoreRange one = { .key = key("a") };
        Call *call = call_new();

        set_faults((StoreFaults){ .is_cut = true });
        ck_assert_int_eq(store_range(harness_connect(), &call->request, &one, US_PER_S, call_done),
                         0);
        ck_assert_int_eq(call_wait(call), 0);
}
END_TEST

/* Without quorum no lease runs out, however late; when it returns each has its full time again. */
START_TEST(test_quorum) {
        int64_t lease = granted_lease(6);
        uint64_t returned_us;

        (void)put_with_lease("a", "v", lease);
        wait_for_us(4 * US_PER_S);
        memory_store_set_quorum(harness_memory(), false);
        wait_for_us(25 * US_PER_S);
        ck_assert(is_stored("a"));

        memory_store_set_quorum(harness_memory(), true);
        returned_us = now_us();
        wait_for_us(6 * US_PER_S - 1);
        ck_assert(is_stored("a"));
        wait_for_us(1 * US_PER_S);
        ck_assert(!is_stored("a"));
        ck_assert_uint_le(now_us() - returned_us, 7 * US_PER_S);
}
END_TEST

/* A lease that has run out is not revived in the half second until the store notices. */
START_TEST(test_no_revival) {
        int64_t lease;

        wait_for_us(US_PER_MS); /* off the store's half seconds */
        lease = granted_lease(2);
        (void)put_with_lease("a", "v", lease);
        wait_for_us(2 * US_PER_S);
        ck_assert(is_stored("a"));
        ck_assert_int_eq(lease_keep_alive(lease)->status, STORE_E_NO_LEASE);
        wait_for_us(500 * US_PER_MS);
        ck_assert(!is_stored("a"));
}
END_TEST

/* Leases that run out together go at most a thousand per second. */
START_TEST(test_mass_expiry) {
        enum { N = 1500 };
        uint64_t granted_us = now_us();

        for (int i = 0; i < N; i++) {
                char name[16];

                (void)snprintf(name, sizeof(name), "k%04d", i);
                (void)put_with_lease(name, "v", granted_lease(5));
        }
        ck_assert_uint_eq(now_us(), granted_us);
        wait_for_us(5 * US_PER_S + 499 * US_PER_MS);
        ck_assert_uint_eq(list("k")->n_kvs, N - 500);
        wait_for_us(500 * US_PER_MS);
        ck_assert_uint_eq(list("k")->n_kvs, N - 1000);
        wait_for_us(500 * US_PER_MS);
        ck_assert_uint_eq(list("k")->n_kvs, 0);
}
END_TEST

/* A lease ends on command as if it had run out. */
START_TEST(test_expire_on_command) {
        int64_t lease = granted_lease(60);
        Recorder *recorder = recorder_new(key("a"), (StoreBytes){ 0 },
                                          put_with_lease("a", "v", lease) + 1);

        memory_store_expire_lease(harness_memory(), lease);
        recorder_wait(recorder, 1);
        ck_assert(recorder->events[0].is_deletion);
        ck_assert_int_eq(lease_keep_alive(lease)->status, STORE_E_NO_LEASE);
}
END_TEST

/* What is written past the clients is a commit like any other; NULL deletes, and an empty value
 * does not. */
START_TEST(test_write_past_clients) {
        Recorder *recorder = recorder_new(key("a"), (StoreBytes){ 0 }, current_revision() + 1);
        const char *name = key("a").data;
        StoreBytes value;

        ck_assert_int_eq(memory_store_write(harness_memory(), name, store_bytes("v")), 0);
        ck_assert_int_eq(memory_store_write(harness_memory(), name, store_bytes("")), 0);
        ck_assert(memory_store_read(harness_memory(), name, &value));
        ck_assert_uint_eq(value.n_bytes, 0);
        ck_assert_int_eq(memory_store_write(harness_memory(), name, (StoreBytes){ 0 }), 0);
        ck_assert(!memory_store_read(harness_memory(), name, &value));
        recorder_wait(recorder, 3);
        ck_assert(recorder->events[2].is_deletion);
        ck_assert_int_eq(memory_store_revision(harness_memory()), recorder->events[2].mod_revision);
}
END_TEST

/* A full store refuses what takes space, and does the rest. */
START_TEST(test_full) {
        const StoreOp deletion = { .kind = STORE_OP_DELETE, .key = key("a") };
        int64_t lease = granted_lease(60);

        (void)put_with_lease("a", "v", lease);
        memory_store_set_full(harness_memory(), true);
        ck_assert_int_eq(call_wait(start_put("b", US_PER_S)), STORE_E_NO_SPACE);
        ck_assert_int_eq(lease_grant(60)->status, STORE_E_NO_SPACE);
        ck_assert_int_eq(lease_keep_alive(lease)->status, 0);
        ck_assert(is_stored("a"));
        ck_assert_int_eq(txn(NULL, 0, &deletion, 1)->status, 0);
        ck_assert(!is_stored("a"));
        ck_assert(status()->reply.status.is_full);
        memory_store_set_full(harness_memory(), false);
        ck_assert(!status()->reply.status.is_full);
        (void)put("b", "v");
}
END_TEST

/* A wiped store is a new one: it has no key and no lease, and revisions begin anew. A watch from
 * before tells nothing until they have come to where it was. */
START_TEST(test_wipe) {
        int64_t lease = granted_lease(60), first;
        Recorder *recorder;

        for (int i = 0; i < 5; i++)
                (void)put_with_lease("a", "v", lease);
        first = current_revision() + 1;
        recorder = recorder_new(key(""), end_of(""), first);
        wait_for_us(1);
        set_faults((StoreFaults){ .is_cut = true });
        wait_for_us(1);
        memory_store_wipe(harness_memory());
        set_faults((StoreFaults){ 0 });
        wait_for_us(1);

        ck_assert_int_eq(memory_store_revision(harness_memory()), 1);
        ck_assert(!is_stored("a"));
        ck_assert_int_eq(lease_keep_alive(lease)->status, STORE_E_NO_LEASE);
        ck_assert_int_ne(granted_lease(60), lease);
        for (int64_t revision = 2; revision <= first; revision++)
                ck_assert_int_eq(put("b", "v"), revision);
        recorder_wait(recorder, 1);
        ck_assert_int_eq(recorder->events[0].mod_revision, first);
}
END_TEST

typedef struct Counter {
        StoreListener listener;
        int n; /* 1 for each time it came, 100 for each time it went */
} Counter;

static void count_connections(StoreListener *listener, bool is_connected, const char *detail) {
        ck_assert_ptr_nonnull(detail);
        container_of(listener, Counter, listener)->n += is_connected ? 1 : 100;
}

/* Each listener is told when the connection comes and goes, from the loop, once each, until it
 * leaves. */
START_TEST(test_connection_is_told) {
        Store *store = harness_connect();
        Counter counters[2] = { 0 };

        store_listen(store, &counters[0].listener, count_connections);
        store_listen(store, &counters[1].listener, count_connections);
        ck_assert(!store_is_connected(store));
        wait_for_us(1);
        ck_assert(store_is_connected(store));
        ck_assert_int_eq(counters[0].n, 1);
        ck_assert_int_eq(counters[1].n, 1);
        store_unlisten(&counters[0].listener);
        store_unlisten(&counters[0].listener);
        store_memory_set_faults(store, &(StoreFaults){ .is_cut = true });
        ck_assert_int_eq(counters[1].n, 1);
        wait_for_us(1);
        store_memory_set_faults(store, &(StoreFaults){ .is_cut = true, .latency_us = 1 });
        wait_for_us(1);
        ck_assert_int_eq(counters[0].n, 1);
        ck_assert_int_eq(counters[1].n, 101);
        store_unlisten(&counters[1].listener);
}
END_TEST

/* Compacts from within the callback, while the events are borrowed. */
static void compact_all(Recorder *recorder) {
        const SeenKv *last = &recorder->events[recorder->n_events - 1];

        ck_assert_int_eq(memory_store_write(harness_memory(), key("k").data, (StoreBytes){ 0 }), 0);
        memory_store_compact(harness_memory(), memory_store_revision(harness_memory()));
        ck_assert(bytes_are(last->value, "v") || last->is_deletion);
        recorder->then = NULL;
}

/* A compaction inside a watch's callback is harmless to it. */
START_TEST(test_compaction_inside_callback) {
        Recorder *recorder = recorder_new(key("k"), end_of("k"), current_revision() + 1);

        recorder->then = compact_all;
        (void)start_put("k", US_PER_S);
        recorder_wait(recorder, 2);
        ck_assert(recorder->events[1].is_deletion);
}
END_TEST

/* What happens to 150 requests of two clients under every fault, as one line per end; deterministic
 * text. */
static char *run_under_faults(uint64_t seed) {
        enum { N = 150, N_BYTES = N * 48 };
        const StoreFaults faults = { .latency_us = 2000,
                                     .latency_jitter_us = 50 * US_PER_MS,
                                     .lose_request_ppm = 200000,
                                     .lose_reply_ppm = 200000,
                                     .late_apply_ppm = 500000,
                                     .late_apply_us = 4 * US_PER_S,
                                     .unreachable_ppm = 100000 };
        char *text = allocate(N_BYTES);
        size_t n = 0;

        harness_restart_with_seed(seed);
        set_faults(faults);
        for (int i = 0; i < N; i++) {
                char name[16];
                Call *call;
                int written;

                (void)snprintf(name, sizeof(name), "k%d", i % 10);
                call = start_put(name, US_PER_S);
                (void)call_wait(call);
                written = snprintf(text + n, N_BYTES - n, "%d %d %lld %llu\n", i, call->status,
                                   (long long)memory_store_revision(harness_memory()),
                                   (unsigned long long)now_us());
                ck_assert_int_gt(written, 0);
                n += (size_t)written;
                ck_assert_uint_lt(n, N_BYTES);
        }
        return text;
}

/* The same seed gives the same run, to the microsecond; another seed another one. */
START_TEST(test_same_seed_same_run) {
        const char *first = run_under_faults(11), *second = run_under_faults(11),
                   *other = run_under_faults(12);

        ck_assert_str_eq(first, second);
        ck_assert_str_ne(first, other);
}
END_TEST

/* The index keeps its order through random writes, deletions and compactions: a model of 200 keys
 * says what must be there. */
START_TEST(test_index_against_a_model) {
        enum { N_KEYS = 200, N_STEPS = 5000 };
        int value_of[N_KEYS] = { 0 };
        Env *env = loop_env(harness_loop());

        for (int step = 1; step <= N_STEPS; step++) {
                size_t i = env_random_below(env, N_KEYS);
                bool deletes = env_random_below(env, 3) == 0;
                char name[16], value[16];

                (void)snprintf(name, sizeof(name), "k%03zu", i);
                (void)snprintf(value, sizeof(value), "%d", step);
                value_of[i] = deletes ? 0 : step;
                ck_assert_int_eq(
                        memory_store_write(harness_memory(), key(name).data,
                                           deletes ? (StoreBytes){ 0 } : store_bytes(value)),
                        0);
                if (step % 500 == 0)
                        compact(memory_store_revision(harness_memory()) - 100);
        }

        Call *call = list("k");
        size_t n = 0;

        for (size_t i = 0; i < N_KEYS; i++) {
                char name[16], value[16];

                if (value_of[i] == 0)
                        continue;
                (void)snprintf(name, sizeof(name), "k%03zu", i);
                (void)snprintf(value, sizeof(value), "%d", value_of[i]);
                ck_assert(is_key(call->kvs[n].key, name));
                ck_assert(bytes_are(call->kvs[n++].value, value));
        }
        ck_assert_uint_eq(call->n_kvs, n);
}
END_TEST

TCase *fault_cases(void) {
        TCase *cases = tcase_create("faults");

        tcase_add_checked_fixture(cases, harness_set_up, harness_tear_down);
        tcase_add_test(cases, test_lost_request);
        tcase_add_test(cases, test_lost_reply);
        tcase_add_test(cases, test_late_apply);
        tcase_add_test(cases, test_late_apply_with_compare);
        tcase_add_test(cases, test_late_apply_of_a_dead_client);
        tcase_add_test(cases, test_unreachable);
        tcase_add_test(cases, test_cancel_after_the_end);
        tcase_add_test(cases, test_latency);
        tcase_add_test(cases, test_latency_of_each_event);
        tcase_add_test(cases, test_latency_beyond_the_deadline);
        tcase_add_test(cases, test_jitter_keeps_watches_in_order);
        tcase_add_test(cases, test_cut_and_heal);
        tcase_add_test(cases, test_cut_on_the_way);
        tcase_add_test(cases, test_compacted_behind_a_cut);
        tcase_add_test(cases, test_faults_are_per_client);
        tcase_add_test(cases, test_quorum);
        tcase_add_test(cases, test_no_revival);
        tcase_add_test(cases, test_mass_expiry);
        tcase_add_test(cases, test_expire_on_command);
        tcase_add_test(cases, test_write_past_clients);
        tcase_add_test(cases, test_full);
        tcase_add_test(cases, test_wipe);
        tcase_add_test(cases, test_connection_is_told);
        tcase_add_test(cases, test_compaction_inside_callback);
        tcase_add_test(cases, test_same_seed_same_run);
        tcase_add_test(cases, test_index_against_a_model);
        return cases;
}
