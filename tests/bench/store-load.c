/* SPDX-License-Identifier: Apache-2.0 */

/* store-load load URL         what a store does in a second, and how soon a watch tells; as JSON
 * store-load watch URL N      N clients, each of which watches; prints "ready", and waits for its
 *                             input's end
 *
 * The client is the daemon's own (lib/store/store-etcd.h), whatever serves.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/store/store-etcd.h"
#include "lib/store/store-watch.h"

enum {
        SECONDS = 1,
        IN_FLIGHT = 64,
        VALUE_BYTES = 300, /* about what a record has */
        KEYS = 1000,       /* that are written over and over */
        TXN_OPS = 128,
        RANGE_KEYS = 10000,
        RANGES = 5,
        WATCHED = 500,
        CLIENTS_MAX = 1000,
        TIMEOUT_US = 30 * US_PER_S,
};

static Loop *loop;
static const char *url;

static uint64_t now_us(void) {
        return env_now_us(env_system());
}

static void give_up(const char *what, int r) {
        (void)fprintf(stderr, "store-load: %s: %d\n", what, r);
        exit(EXIT_FAILURE);
}

static Store *open_store(void) {
        _cleanup_(strlist_done) StrList endpoints = { 0 };
        StoreEtcdOptions options = { .endpoints = &endpoints };
        Diag diag = { 0 };
        Store *opened = NULL;

        if (strlist_add(&endpoints, url) < 0 || store_etcd_new(&opened, loop, &options, &diag) < 0)
                give_up(diag.message, -EINVAL);
        return opened;
}

static int compare(const void *a, const void *b) {
        const int64_t *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

static int64_t percentile(int64_t *times, size_t n, unsigned percent) {
        qsort(times, n, sizeof *times, compare);
        return times[n * percent / 100];
}

/* Writes without end: each of these is in flight all the time. */
typedef struct Writer {
        StoreRequest request;
        unsigned n;
} Writer;

static Store *store;
static uint64_t end_us;
static unsigned n_running, n_done, n_ops;

static void write_on(Writer *writer);

static void on_written(StoreRequest *request, int status, const StoreReply *reply) {
        (void)reply;
        if (status != 0)
                give_up("a write failed", status);
        n_done++;
        n_running--;
        if (now_us() < end_us)
                write_on(container_of(request, Writer, request));
}

static void put_keys(StoreRequest *request, const char *format, unsigned first, unsigned n,
                     StoreDone done) {
        static char keys[TXN_OPS][32], value[VALUE_BYTES];
        static StoreOp ops[TXN_OPS];
        const StoreTxn txn = { .ops = ops, .n_ops = n };
        int r;

        memset(value, 'v', sizeof value);
        for (unsigned i = 0; i < n; i++) {
                (void)snprintf(keys[i], sizeof keys[i], "%s%05u", format, first + i);
                ops[i] = (StoreOp){ .kind = STORE_OP_PUT,
                                    .key = store_bytes(keys[i]),
                                    .value = { value, sizeof value } };
        }
        r = store_txn(store, request, &txn, TIMEOUT_US, done);
        if (r < 0)
                give_up("cannot write", r);
}

static void write_on(Writer *writer) {
        writer->n = (writer->n + 7) % KEYS;
        n_running++;
        put_keys(&writer->request, "bench/key-", writer->n, n_ops, on_written);
}

/* Returns how many transactions of so many puts there are in a second. */
static double writes_per_s(unsigned n_writers, unsigned n_ops_each) {
        static Writer writers[IN_FLIGHT];
        uint64_t began_us = now_us();

        n_ops = n_ops_each;
        n_done = 0;
        end_us = began_us + SECONDS * US_PER_S;
        for (unsigned i = 0; i < n_writers; i++) {
                writers[i].n = i * (KEYS / IN_FLIGHT);
                write_on(&writers[i]);
        }
        while (n_running > 0)
                (void)loop_turn(loop, US_PER_S);
        return n_done / ((double)(now_us() - began_us) / US_PER_S);
}

/* One request at a time. */
static size_t n_received;
static int64_t revision; /* of the last answer */

static void on_end(StoreRequest *request, int status, const StoreReply *reply) {
        (void)request;
        if (status != 0)
                give_up("a request failed", status);
        n_received = reply->n_kvs;
        revision = reply->revision;
        n_running--;
}

static void await_end(void) {
        n_running++;
        while (n_running > 0)
                (void)loop_turn(loop, US_PER_S);
}

/* Returns the median of the milliseconds that a range of RANGE_KEYS takes. */
static double range_ms(void) {
        const StoreRange range = { .key = store_bytes("range/"), .end = store_bytes("range0") };
        static StoreRequest request;
        int64_t times[RANGES];

        for (unsigned i = 0; i < RANGE_KEYS; i += 100) {
                put_keys(&request, "range/", i, 100, on_end);
                await_end();
        }
        for (unsigned i = 0; i < RANGES; i++) {
                uint64_t began_us = now_us();
                int r = store_range(store, &request, &range, TIMEOUT_US, on_end);

                if (r < 0)
                        give_up("cannot read", r);
                await_end();
                times[i] = (int64_t)(now_us() - began_us);
                if (n_received != RANGE_KEYS)
                        give_up("keys are missing", (int)n_received);
        }
        return (double)percentile(times, RANGES, 50) / US_PER_MS;
}

/* How soon another client's watch tells of a put. */
static uint64_t put_us, answered_us, seen_us;

static void on_put(StoreRequest *request, int status, const StoreReply *reply) {
        answered_us = now_us();
        on_end(request, status, reply);
}

static void on_event(StoreWatch *watch, const StoreWatchReport *report) {
        (void)watch;
        if (report->kind != STORE_WATCH_EVENTS)
                give_up("the watch ended", (int)report->kind);
        seen_us = now_us();
}

/* Prints medians and 99 of 100, of put to event and of answer to event; the event may come first. */
static void print_watch(void) {
        static int64_t from_put[WATCHED], from_answer[WATCHED];
        Store *other = open_store();
        static StoreRequest request;
        static StoreWatch watch;
        int r;

        put_keys(&request, "watched/", 0, 1, on_put);
        await_end();
        r = store_watch_start(other, &watch, store_bytes("watched/"), store_bytes("watched0"),
                              revision, on_event);
        if (r < 0)
                give_up("cannot watch", r);
        for (unsigned i = 0; i < WATCHED; i++) {
                while (i == 0 && seen_us == 0)
                        (void)loop_turn(loop, US_PER_S);
                seen_us = 0;
                put_us = now_us();
                put_keys(&request, "watched/", 0, 1, on_put);
                await_end();
                while (seen_us == 0)
                        (void)loop_turn(loop, US_PER_S);
                from_put[i] = (int64_t)(seen_us - put_us);
                from_answer[i] = (int64_t)(seen_us - answered_us);
        }
        (void)printf("\"watch_answer_median_us\": %ld, \"watch_answer_p99_us\": %ld,\n",
                     (long)percentile(from_answer, WATCHED, 50),
                     (long)percentile(from_answer, WATCHED, 99));
        (void)printf("\"watch_put_median_us\": %ld, \"watch_put_p99_us\": %ld}\n",
                     (long)percentile(from_put, WATCHED, 50),
                     (long)percentile(from_put, WATCHED, 99));
}

static void load(void) {
        store = open_store();
        (void)writes_per_s(1, 1); /* connects, and warms up */
        (void)printf("{\"puts_1\": %.1f,\n", writes_per_s(1, 1));
        (void)printf("\"puts_64\": %.1f,\n", writes_per_s(IN_FLIGHT, 1));
        (void)printf("\"txns_128\": %.1f,\n", writes_per_s(1, TXN_OPS));
        (void)printf("\"range_ms\": %.2f,\n", range_ms());
        print_watch();
}

/* Clients that watch, and do nothing. */
typedef struct Watcher {
        StoreWatch watch;
        bool has_seen;
} Watcher;

static void on_seen(StoreWatch *watch, const StoreWatchReport *report) {
        (void)report;
        container_of(watch, Watcher, watch)->has_seen = true;
}

static void on_input(LoopIo *io, unsigned events) {
        (void)io;
        (void)events;
        loop_exit(loop, 0);
}

static void watch_with(unsigned n_clients) {
        static Watcher watchers[CLIENTS_MAX];
        static LoopIo input = { .fn = on_input };
        static StoreRequest request;

        store = open_store();
        put_keys(&request, "watched/", 0, 1, on_end);
        await_end();
        for (unsigned i = 0; i < n_clients; i++) {
                int r = store_watch_start(open_store(), &watchers[i].watch, store_bytes("watched/"),
                                          store_bytes("watched0"), revision, on_seen);

                if (r < 0)
                        give_up("cannot watch", r);
                while (!watchers[i].has_seen)
                        (void)loop_turn(loop, US_PER_S);
        }
        (void)printf("ready\n");
        (void)fflush(stdout);
        (void)loop_io_watch(loop, &input, STDIN_FILENO, LOOP_READ);
        (void)loop_run(loop);
}

int main(int argc, char **argv) {
        bool is_load = argc == 3 && streq(argv[1], "load");
        bool is_watch = argc == 4 && streq(argv[1], "watch") && strtoul(argv[3], NULL, 10) > 0 &&
                        strtoul(argv[3], NULL, 10) <= CLIENTS_MAX;

        if (!is_load && !is_watch) {
                (void)fprintf(stderr, "usage: store-load load URL | store-load watch URL N\n");
                return 2;
        }
        url = argv[2];
        if (loop_new(&loop, env_system()) < 0)
                return EXIT_FAILURE;
        if (is_load)
                load();
        else
                watch_with((unsigned)strtoul(argv[3], NULL, 10));
        return EXIT_SUCCESS;
}
