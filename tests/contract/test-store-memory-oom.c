/* SPDX-License-Identifier: Apache-2.0 */

/* The store in memory without memory: whichever allocation fails, a request ends with -ENOMEM or
 * does not start, a commit is made whole or not at all, and nothing leaks.
 */

#include <errno.h>

#include "lib/store/store-memory.h"
#include "lib/store/store-watch.h"
#include "tests/sim/virtual-env.h"
#include "tests/unit/fault.h"

/* What a sweep works on: made anew for each round, before the faults begin. */
typedef struct Round {
        VirtualEnv env;
        Loop *loop;
        MemoryStore *memory;
        Store *store;
        StoreRequest request;
        int status;
        bool is_done;
} Round;

static void on_done(StoreRequest *request, int status, const StoreReply *reply) {
        Round *round = container_of(request, Round, request);

        (void)reply;
        round->status = status;
        round->is_done = true;
}

static void round_open(Round *round) {
        *round = (Round){ 0 };
        virtual_env_init(&round->env, 1);
        ck_assert_int_eq(loop_new(&round->loop, &round->env.env), 0);
        ck_assert_int_eq(memory_store_new(&round->memory, round->loop), 0);
        ck_assert_int_eq(store_memory_new(&round->store, round->memory, round->loop), 0);
        ck_assert_int_eq(memory_store_write(round->memory, "old", store_bytes("v")), 0);
}

static void round_close(Round *round) {
        store_close(round->store, NULL, NULL);
        virtual_env_settle(&round->env, round->loop);
        (void)store_free(round->store);
        (void)memory_store_free(round->memory);
        (void)loop_free(round->loop);
}

/* The status of a request that was started with `r`, with time enough for its deadline. */
static int round_finish(Round *round, int r) {
        if (r < 0)
                return r;
        virtual_env_run_for(&round->env, round->loop, 2 * US_PER_S);
        fault_assert(round->is_done);
        return round->status;
}

/* Runs `use` with its first, second, ... allocation failing, each time on a fresh store, until none
 * fails. */
static void sweep(int (*use)(Round *round), void (*check)(Round *round, bool failed)) {
        bool failed = true;

        for (size_t n = 0; failed; n++) {
                Round round;
                int r;

                round_open(&round);
                fault_arm(n);
                r = use(&round);
                failed = fault_disarm();
                ck_assert_int_eq(r, failed ? -ENOMEM : 0);
                check(&round, failed);
                round_close(&round);
        }
}

static int use_txn(Round *round) {
        StoreOp ops[40] = { 0 };
        char names[40][4];
        const StoreTxn txn = { .ops = ops, .n_ops = ELEMENTSOF(ops) };

        for (size_t i = 0; i < ELEMENTSOF(ops); i++) {
                memcpy(names[i], (char[]){ 'n', (char)('a' + i / 8), (char)('a' + i % 8), 0 }, 4);
                ops[i] = (StoreOp){ .kind = STORE_OP_PUT,
                                    .key = store_bytes(names[i]),
                                    .value = store_bytes("v") };
        }
        ops[0] = (StoreOp){ .kind = STORE_OP_DELETE, .key = store_bytes("old") };
        return round_finish(round,
                            store_txn(round->store, &round->request, &txn, US_PER_S, on_done));
}

static void check_txn(Round *round, bool failed) {
        StoreBytes value;

        ck_assert_int_eq(memory_store_read(round->memory, "old", &value), failed);
        ck_assert_int_eq(memory_store_read(round->memory, "nab", &value), !failed);
        ck_assert_int_eq(memory_store_revision(round->memory), failed ? 2 : 3);
}

/* A transaction that runs out of memory anywhere is not made at all. */
START_TEST(test_txn) {
        sweep(use_txn, check_txn);
}
END_TEST

static int use_range(Round *round) {
        const StoreRange range = { .key = store_bytes("a"), .end = store_bytes("z") };

        return round_finish(round,
                            store_range(round->store, &round->request, &range, US_PER_S, on_done));
}

static void check_unchanged(Round *round, bool failed) {
        StoreBytes value;

        (void)failed;
        ck_assert(memory_store_read(round->memory, "old", &value));
        ck_assert_int_eq(memory_store_revision(round->memory), 2);
}

/* A range that runs out of memory ends with -ENOMEM. */
START_TEST(test_range) {
        sweep(use_range, check_unchanged);
}
END_TEST

static int use_grant(Round *round) {
        return round_finish(
                round, store_lease_grant(round->store, &round->request, 60, US_PER_S, on_done));
}

/* A lease that cannot be kept is not granted. */
START_TEST(test_grant) {
        sweep(use_grant, check_unchanged);
}
END_TEST

static int use_write(Round *round) {
        return memory_store_write(round->memory, "new", store_bytes("v"));
}

static void check_write(Round *round, bool failed) {
        StoreBytes value;

        ck_assert_int_eq(memory_store_read(round->memory, "new", &value), !failed);
}

/* Writing past the clients is all or nothing, too. */
START_TEST(test_write) {
        sweep(use_write, check_write);
}
END_TEST

typedef struct Seen {
        StoreWatch watch;
        size_t n_events;
} Seen;

static void on_report(StoreWatch *watch, const StoreWatchReport *report) {
        container_of(watch, Seen, watch)->n_events += report->n_events;
}

/* A watch whose report cannot be made for want of memory makes it soon after; nothing is lost. */
START_TEST(test_watch) {
        bool failed = true;

        for (size_t n = 0; failed; n++) {
                Seen seen = { 0 };
                Round round;

                round_open(&round);
                ck_assert_int_eq(store_watch_start(round.store, &seen.watch, store_bytes("old"),
                                                   (StoreBytes){ 0 }, 1, on_report),
                                 0);
                fault_arm(n);
                virtual_env_settle(&round.env, round.loop);
                failed = fault_disarm();
                virtual_env_run_for(&round.env, round.loop, US_PER_S);
                ck_assert_uint_eq(seen.n_events, 1);
                round_close(&round);
        }
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_txn, test_range, test_grant, test_write, test_watch,
        };

        return tests_run("store-memory-oom", tests, ELEMENTSOF(tests));
}
