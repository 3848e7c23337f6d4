/* SPDX-License-Identifier: Apache-2.0 */

/* The served store under kill -9: `served-crash [ROUNDS]`.
 *
 * Several clients write as fast as they are answered, over the network protocol, many writes in
 * flight, and one watches. Again and again the process that serves is killed at a random moment and
 * started again. Everything that was answered must be there in the end, under the revision that it
 * was answered with, and the watch must have been told of it, once, in order; the revision must never
 * go back; nothing may have to be repaired. A write whose end is unknown is left in doubt: it is there
 * once or not at all. The server keeps the whole history: on a fast disk more is written in half a
 * second than it keeps otherwise, and a watch that was away for so long would have to begin anew.
 */

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/store/store-etcd.h"
#include "lib/store/store-watch.h"
#include "tests/contract/etcd-process.h"

enum {
        CLIENTS = 4,
        IN_FLIGHT = 16, /* of each */
        LIMIT_US = 10 * US_PER_S,
        LOOK_US = US_PER_MS, /* short: a turn sleeps after its callbacks, before we look */
        LIFE_MIN_US = 20 * US_PER_MS,
        LIFE_SPREAD_US = 150 * US_PER_MS,
        WRITES_MAX = 1 << 22,
        KEY_BYTES = 12, /* "key-%08u" */
};

/* A write on its way. */
typedef struct Write {
        StoreRequest request;
        Store *store; /* borrowed */
        uint32_t number;
} Write;

static Loop *loop;
static EtcdProcess server;
static int64_t answered[WRITES_MAX]; /* by number: the revision; 0 = not answered */
static int64_t told[WRITES_MAX];     /* by number: the revision that the watch told */
static uint32_t next_number;
static uint64_t n_answered, n_unknown, n_told;
static int64_t revision; /* the highest that was answered */
static int64_t told_revision;
static bool has_failed;

static void fail(const char *what, uint32_t number, int64_t a, int64_t b) {
        (void)fprintf(stderr, "%s: number %u, %lld and %lld\n", what, number, (long long)a,
                      (long long)b);
        has_failed = true;
}

/* ---- writing */

static void start_write(Write *write);

static void on_written(StoreRequest *request, int status, const StoreReply *reply) {
        Write *write = container_of(request, Write, request);

        if (status == 0 && reply->succeeded) {
                answered[write->number] = reply->revision;
                n_answered++;
                if (reply->revision > revision)
                        revision = reply->revision;
        } else if (status == STORE_E_UNKNOWN) {
                n_unknown++;
        } else if (status != STORE_E_UNREACHABLE && status != -ECANCELED) {
                fail("a write ended badly", write->number, status, 0);
        }
        if (status != -ECANCELED && !has_failed)
                start_write(write);
}

static void start_write(Write *write) {
        char key[16], value[200];
        const StoreOp op = { .kind = STORE_OP_PUT,
                             .key = { .data = key, .n_bytes = KEY_BYTES },
                             .value = { .data = value, .n_bytes = sizeof(value) } };
        const StoreCompare fresh = { .key = op.key };
        const StoreTxn txn = { .compares = &fresh, .n_compares = 1, .ops = &op, .n_ops = 1 };

        write->number = next_number++;
        (void)snprintf(key, sizeof(key), "key-%08u", write->number);
        memset(value, (int)('a' + write->number % 26), sizeof(value));
        if (next_number == WRITES_MAX ||
            store_txn(write->store, &write->request, &txn, LIMIT_US, on_written) < 0)
                fail("cannot write", write->number, 0, 0);
}

/* ---- watching */

static uint32_t number_of(StoreBytes key) {
        char text[16];

        (void)snprintf(text, sizeof(text), "%.*s", (int)key.n_bytes, (const char *)key.data);
        return (uint32_t)strtoul(text + strlen("key-"), NULL, 10);
}

static void on_report(StoreWatch *watch, const StoreWatchReport *report) {
        (void)watch;
        if (report->kind != STORE_WATCH_EVENTS) {
                fail("the watch ended", 0, (int)report->kind, report->revision);
                return;
        }
        for (size_t i = 0; i < report->n_events; i++) {
                const StoreKv *kv = &report->events[i].kv;
                uint32_t number = number_of(kv->key);

                if (told[number] != 0 || kv->mod_revision < told_revision)
                        fail("told twice, or out of order", number, kv->mod_revision,
                             told_revision);
                told[number] = told_revision = kv->mod_revision;
                n_told++;
        }
}

/* ---- clients */

static Store *connect_client(void) {
        char *endpoint = server.endpoint;
        const StrList endpoints = { .items = &endpoint, .n_items = 1 };
        const StoreEtcdOptions options = { .endpoints = &endpoints };
        Diag diag = { 0 };
        Store *store;

        if (store_etcd_new(&store, loop, &options, &diag) < 0) {
                (void)fprintf(stderr, "%s\n", diag.message);
                exit(EXIT_FAILURE);
        }
        return store;
}

static void on_closed(Store *store, void *userdata) {
        (void)store;
        *(bool *)userdata = true;
}

static void close_client(Store *store) {
        bool is_closed = false;

        store_close(store, on_closed, &is_closed);
        while (!is_closed)
                (void)loop_turn(loop, LOOK_US);
        (void)store_free(store);
}

/* Turns the loop until so many more writes have been answered. Returns how long that took. */
static uint64_t await_answers(uint64_t n) {
        uint64_t started_us = env_now_us(env_system()), goal = n_answered + n;

        while (n_answered < goal && !has_failed) {
                (void)loop_turn(loop, LOOK_US);
                if (env_now_us(env_system()) - started_us > 3 * LIMIT_US)
                        fail("nothing is answered any more", 0, 0, 0);
        }
        return env_now_us(env_system()) - started_us;
}

/* ---- a round, and the end */

static uint64_t longest_us;

static void kill_and_restart(void) {
        uint64_t life_us = LIFE_MIN_US + env_random_below(env_system(), LIFE_SPREAD_US);
        uint64_t until_us = env_now_us(env_system()) + life_us, back_us;
        int64_t before;

        while (env_now_us(env_system()) < until_us)
                (void)loop_turn(loop, LOOK_US);
        before = revision;
        etcd_process_kill(&server);
        etcd_process_restart(&server);
        back_us = await_answers(1);
        if (back_us > longest_us)
                longest_us = back_us;
        if (revision <= before)
                fail("the revision went back", 0, before, revision);
}

typedef struct Page {
        StoreRequest request;
        int status; /* 1 = it is on its way */
        bool more;
        int64_t revision; /* that is read */
        uint32_t next;    /* number from which the next page begins */
        uint64_t n_found;
} Page;

static void on_page(StoreRequest *request, int status, const StoreReply *reply) {
        Page *page = container_of(request, Page, request);

        page->status = status;
        page->more = status == 0 && reply->more;
        for (size_t i = 0; status == 0 && i < reply->n_kvs; i++) {
                uint32_t number = number_of(reply->kvs[i].key);

                if (answered[number] != 0 && answered[number] != reply->kvs[i].mod_revision)
                        fail("answered with another revision than it has", number, answered[number],
                             reply->kvs[i].mod_revision);
                if (told[number] != reply->kvs[i].mod_revision)
                        fail("the watch was not told of it", number, told[number],
                             reply->kvs[i].mod_revision);
                for (; page->next < number; page->next++)
                        if (answered[page->next] != 0)
                                fail("answered, and not there", page->next, answered[page->next],
                                     0);
                page->next = number + 1;
                page->n_found++;
        }
}

static void on_first(StoreRequest *request, int status, const StoreReply *reply) {
        Page *page = container_of(request, Page, request);

        page->status = status;
        page->revision = reply ? reply->revision : 0;
}

static void read_page(Store *store, Page *page, int64_t limit, StoreDone done) {
        char key[16];
        const StoreRange range = { .key = { .data = key, .n_bytes = KEY_BYTES },
                                   .end = store_bytes("key."),
                                   .revision = page->revision,
                                   .limit = limit,
                                   .keys_only = true };

        (void)snprintf(key, sizeof(key), "key-%08u", page->next);
        page->status = 1;
        if (store_range(store, &page->request, &range, LIMIT_US, done) < 0)
                page->status = -ENOMEM;
        while (page->status == 1)
                (void)loop_turn(loop, LOOK_US);
        if (page->status != 0)
                fail("cannot be read", page->next, page->status, 0);
}

/* What was on its way when its client went may have been made, too: so the revision is asked for, and
 * every one has a write. */
static uint64_t check_everything(Store *store) {
        Page page = { .more = true };

        read_page(store, &page, 1, on_first);
        while (told_revision < page.revision && !has_failed)
                (void)loop_turn(loop, LOOK_US);
        while (page.more && !has_failed)
                read_page(store, &page, STORE_PAGE_KEYS, on_page);
        for (; !page.more && page.next < next_number; page.next++)
                if (answered[page.next] != 0)
                        fail("answered, and not there", page.next, answered[page.next], 0);
        return page.n_found;
}

static int on_check_row(void *userdata, int n, char **values, char **names) {
        (void)userdata;
        (void)n;
        (void)names;
        if (!streq(values[0], "ok")) {
                (void)fprintf(stderr, "integrity_check: %s\n", values[0]);
                has_failed = true;
        }
        return 0;
}

static void check_file(void) {
        char path[128];
        sqlite3 *db = NULL;

        (void)snprintf(path, sizeof(path), "%s/store.db", server.folder);
        if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK ||
            sqlite3_exec(db, "PRAGMA integrity_check", on_check_row, NULL, NULL) != SQLITE_OK) {
                (void)fprintf(stderr, "%s: %s\n", path, sqlite3_errmsg(db));
                has_failed = true;
        }
        (void)sqlite3_close(db);
}

static void play(long n_rounds) {
        Write writes[CLIENTS][IN_FLIGHT] = { 0 };
        StoreWatch watch = { 0 };
        Store *clients[CLIENTS + 1];
        uint64_t n_found;

        for (size_t i = 0; i <= CLIENTS; i++)
                clients[i] = connect_client();
        if (store_watch_start(clients[CLIENTS], &watch, store_bytes("key-"), store_bytes("key."), 1,
                              on_report) < 0)
                fail("cannot watch", 0, 0, 0);
        for (size_t i = 0; i < ELEMENTSOF(writes) * IN_FLIGHT; i++) {
                Write *write = &writes[i / IN_FLIGHT][i % IN_FLIGHT];

                write->store = clients[i / IN_FLIGHT];
                start_write(write);
        }

        (void)await_answers(1);
        for (long i = 0; i < n_rounds && !has_failed; i++)
                kill_and_restart();
        for (size_t i = 0; i < CLIENTS; i++)
                close_client(clients[i]);
        n_found = check_everything(clients[CLIENTS]);
        store_watch_stop(&watch);
        close_client(clients[CLIENTS]);
        (void)printf(
                "%ld rounds, %llu writes answered, %llu in doubt, %llu there and told, revision "
                "%lld, answering again after %llu ms at most\n",
                n_rounds, (unsigned long long)n_answered, (unsigned long long)n_unknown,
                (unsigned long long)n_found, (long long)revision,
                (unsigned long long)(longest_us / US_PER_MS));
}

int main(int argc, char **argv) {
        long n_rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 5;

        if (loop_new(&loop, env_system()) < 0 || etcd_process_start(&server, ETCD_SERVED_LONG) < 0)
                return EXIT_FAILURE;
        play(n_rounds);
        etcd_process_kill(&server);
        if (!has_failed)
                check_file();
        (void)loop_free(loop);
        if (has_failed)
                (void)fprintf(stderr, "what is there is in %s\n", server.folder);
        else
                etcd_process_done(&server);
        (void)printf("%s\n", has_failed ? "FAILED" : "nothing lost");
        return has_failed || n_answered == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
