/* SPDX-License-Identifier: Apache-2.0 */

/* The built-in store on the disk that TMPDIR is on: what a commit takes, which is how long the
 * daemon's loop waits for it, and how many there are in a second.
 */

#include <stdio.h>
#include <stdlib.h>

#include "lib/store/store-sqlite.h"
#include "tests/contract/sqlite-file.h"

enum {
        SECONDS = 3,
        IN_FLIGHT_MAX = 256,
        TURNS_MAX = 1 << 20,
        VALUE_BYTES = 300, /* about what a record has */
        KEYS = 1000,
        OPS_MAX = 128,
};

typedef struct Writer {
        StoreRequest request;
        uint64_t n;
} Writer;

static SqliteTestFile file;
static Loop *loop;
static Store *store;
static uint64_t end_us, n_done;
static unsigned n_running;
static size_t n_ops;
static uint64_t turns[TURNS_MAX];

static void start(Writer *writer);

static void on_done(StoreRequest *request, int status, const StoreReply *reply) {
        Writer *writer = container_of(request, Writer, request);

        (void)reply;
        if (status != 0) {
                (void)fprintf(stderr, "a write ended with %d\n", status);
                exit(EXIT_FAILURE);
        }
        n_done++;
        n_running--;
        if (env_now_us(env_system()) < end_us)
                start(writer);
}

static void start(Writer *writer) {
        static char keys[OPS_MAX][32], value[VALUE_BYTES];
        static StoreOp ops[OPS_MAX];
        const StoreTxn txn = { .ops = ops, .n_ops = n_ops };

        for (size_t i = 0; i < n_ops; i++) {
                (void)snprintf(keys[i], sizeof(keys[i]), "key-%04u",
                               (unsigned)(writer->n++ * 7 % KEYS));
                ops[i] = (StoreOp){ .kind = STORE_OP_PUT,
                                    .key = store_bytes(keys[i]),
                                    .value = { .data = value, .n_bytes = sizeof(value) } };
        }
        if (store_txn(store, &writer->request, &txn, 30 * (uint64_t)US_PER_S, on_done) < 0)
                exit(EXIT_FAILURE);
        n_running++;
}

static int compare(const void *a, const void *b) {
        const uint64_t *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

static void run(unsigned n_writers, size_t n_ops_each) {
        static Writer writers[IN_FLIGHT_MAX];
        uint64_t began_us = env_now_us(env_system());
        size_t n_turns = 0, median, high;

        n_ops = n_ops_each;
        n_done = 0;
        end_us = began_us + SECONDS * US_PER_S;
        for (unsigned i = 0; i < n_writers; i++)
                start(&writers[i]);
        while (n_running > 0) {
                uint64_t turn_us = env_now_us(env_system());

                (void)loop_turn(loop, US_PER_MS);
                if (n_turns < TURNS_MAX)
                        turns[n_turns++] = env_now_us(env_system()) - turn_us;
        }

        qsort(turns, n_turns, sizeof(*turns), compare);
        median = n_turns / 2;
        high = n_turns * 99 / 100;
        (void)printf(
                "%3u in flight, %3zu keys each: %6.0f commits/s; a turn takes %.2f ms, at most "
                "%.2f in 99 of 100, %.2f at worst\n",
                n_writers, n_ops_each, (double)n_done / SECONDS, (double)turns[median] / 1000,
                (double)turns[high] / 1000, (double)turns[n_turns - 1] / 1000);
}

int main(void) {
        SqliteStoreOptions options = { .module = SQLITE_MODULE };
        SqliteStore *sqlite;

        if (sqlite_test_file_make(&file) < 0)
                return EXIT_FAILURE;
        options.path = file.path;
        if (loop_new(&loop, env_system()) < 0 || sqlite_store_new(&sqlite, loop, &options) < 0 ||
            store_sqlite_new(&store, sqlite) < 0)
                return EXIT_FAILURE;

        run(1, 1);
        run(64, 1);
        run(1, OPS_MAX);
        run(IN_FLIGHT_MAX, 1);
        sqlite_test_file_done(&file);
        return EXIT_SUCCESS;
}
