/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "lib/registry/copy.h"
#include "lib/store/store-memory.h"
#include "tests/unit/fault.h"

/* Copying records between two stores in memory, by a loop on the real clock, since a copy runs the
 * loop itself. That daemons wait for it is in test-presence.c. */

enum { SIDES = 2 };

typedef struct Fixture {
        Loop *loop;
        MemoryStore *memory[SIDES];
        Store *stores[SIDES];
        RegistryCopyReport report;
        Diag diag;
} Fixture;

static const char *const names[SIDES] = { "the one", "the other" };

static void set_up(Fixture *f) {
        *f = (Fixture){ 0 };
        ck_assert_int_eq(loop_new(&f->loop, env_system()), 0);
        for (size_t i = 0; i < SIDES; i++) {
                ck_assert_int_eq(memory_store_new(&f->memory[i], f->loop), 0);
                ck_assert_int_eq(store_memory_new(&f->stores[i], f->memory[i], f->loop), 0);
        }
}

static void on_closed(Store *store, void *userdata) {
        (void)store;
        loop_exit(userdata, 0);
}

static void tear_down(Fixture *f) {
        for (size_t i = 0; i < SIDES; i++) {
                store_close(f->stores[i], on_closed, f->loop);
                ck_assert_int_eq(loop_run(f->loop), 0);
                (void)store_free(f->stores[i]);
                (void)memory_store_free(f->memory[i]);
        }
        (void)loop_free(f->loop);
}

typedef struct Asked {
        StoreRequest request;
        Loop *loop;
        int64_t number; /* of a lease; or how many keys were found */
        int64_t lease;  /* of the first key */
} Asked;

static void on_answer(StoreRequest *request, int status, const StoreReply *reply) {
        Asked *asked = container_of(request, Asked, request);

        ck_assert_int_eq(status, 0);
        asked->number = reply->lease ? reply->lease : (int64_t)reply->n_kvs;
        asked->lease = reply->n_kvs > 0 ? reply->kvs->lease : 0;
        loop_exit(asked->loop, 0);
}

static void put(Fixture *f, int side, const char *key, const char *value, int64_t lease) {
        const StoreOp op = { .key = store_bytes(key), .value = store_bytes(value), .lease = lease };
        const StoreTxn txn = { .ops = &op, .n_ops = 1 };
        Asked asked = { .loop = f->loop };

        ck_assert_int_eq(
                store_txn(f->stores[side], &asked.request, &txn, STORE_CALL_TIMEOUT_US, on_answer),
                0);
        ck_assert_int_eq(loop_run(f->loop), 0);
}

static int64_t grant(Fixture *f, int side) {
        Asked asked = { .loop = f->loop };

        ck_assert_int_eq(store_lease_grant(f->stores[side], &asked.request, 30,
                                           STORE_CALL_TIMEOUT_US, on_answer),
                         0);
        ck_assert_int_eq(loop_run(f->loop), 0);
        return asked.number;
}

/* How many keys there are; and the lease of the first. */
static int64_t count(Fixture *f, int side, const char *key, int64_t *ret_lease) {
        const StoreRange range = { .key = store_bytes(key), .end = store_bytes("/~") };
        Asked asked = { .loop = f->loop };

        ck_assert_int_eq(store_range(f->stores[side], &asked.request, &range, STORE_CALL_TIMEOUT_US,
                                     on_answer),
                         0);
        ck_assert_int_eq(loop_run(f->loop), 0);
        if (ret_lease)
                *ret_lease = asked.lease;
        return asked.number;
}

static bool has(const Fixture *f, int side, const char *key, const char *value) {
        StoreBytes found;

        return memory_store_read(f->memory[side], key, &found) &&
               (!value ||
                (found.n_bytes == strlen(value) && memcmp(found.data, value, found.n_bytes) == 0));
}

static int copy(Fixture *f, int from, bool moves, bool replaces) {
        const RegistryCopyOptions options = { .prefix = "/fleet",
                                              .from_name = names[from],
                                              .to_name = names[!from],
                                              .copier = "a test",
                                              .moves = moves,
                                              .replaces = replaces };

        f->diag = (Diag){ 0 };
        return registry_copy(f->loop, f->stores[from], f->stores[!from], &options, &f->report,
                             &f->diag);
}

static void expect_refused(const Fixture *f, int r, int expected, const char *words) {
        ck_assert_int_eq(r, expected);
        ck_assert_msg(strstr(f->diag.message, words) != NULL, "no \"%s\" in \"%s\"", words,
                      f->diag.message);
}

static int64_t fill(Fixture *f, int side) {
        int64_t lease = grant(f, side);

        put(f, side, "/fleet/file/aa", "text", 0);
        put(f, side, "/fleet/hold/a.service", "{}", 0);
        put(f, side, "/fleet/unit/a.service", "{}", 0);
        put(f, side, "/fleet/unit/not one of ours", "", 0);
        put(f, side, "/fleet/checkup/ask", "{}", 0);
        put(f, side, "/fleet/engine/leader", "{}", lease);
        put(f, side, "/fleet/report/m/1f", "{}", lease);
        put(f, side, "/fleet/machine/m", "{}", lease);
        put(f, side, "/fleet/state/m/a.service", "{}", lease);
        put(f, side, "/fleet/state/m/b.service", "{}", lease);
        put(f, side, "/elsewhere", "", 0);
        put(f, side, "/fleetx", "", 0);
        return lease;
}

/* What lasts is copied, whatever it is, and where it came from is written down; nothing else is. The
 * source stays open, with all that it has. */
START_TEST(test_copy) {
        int64_t lease, n;
        Fixture f;

        set_up(&f);
        lease = fill(&f, 0);
        n = count(&f, 0, "/", NULL);
        ck_assert_int_eq(copy(&f, 0, false, false), 0);
        ck_assert_uint_eq(f.report.n_records, 4);
        ck_assert_uint_eq(f.report.n_machines + f.report.n_states, 0);
        ck_assert_int_eq(f.report.revision, memory_store_revision(f.memory[0]));
        ck_assert_int_eq(count(&f, 1, "/", NULL), 5);
        ck_assert(has(&f, 1, "/fleet/file/aa", "text"));
        ck_assert(has(&f, 1, "/fleet/unit/not one of ours", ""));
        ck_assert(has(&f, 1, "/fleet/origin", NULL));
        ck_assert_int_eq(count(&f, 0, "/", NULL), n);
        ck_assert_int_ne(lease, 0);
        tear_down(&f);
}
END_TEST

/* A move takes leases along, by their numbers, closes the source and ends who leads there. */
START_TEST(test_copy_to_move) {
        int64_t lease, found;
        char origin[64];
        Fixture f;

        set_up(&f);
        lease = fill(&f, 0);
        ck_assert_int_eq(copy(&f, 0, true, false), 0);
        ck_assert_uint_eq(f.report.n_records, 4);
        ck_assert_uint_eq(f.report.n_machines, 1);
        ck_assert_uint_eq(f.report.n_states, 2);
        ck_assert_int_eq(count(&f, 1, "/", NULL), 8);
        (void)count(&f, 1, "/fleet/machine/", &found);
        ck_assert_int_eq(found, lease);
        ck_assert(!has(&f, 1, "/fleet/closed", NULL));
        ck_assert(has(&f, 0, "/fleet/closed",
                      "{\"why\":\"its records are in the other now, or on their way there, copied "
                      "by a test\"}"));
        ck_assert(!has(&f, 0, "/fleet/engine/leader", NULL));
        (void)snprintf(origin, sizeof(origin), "{\"revision\":%" PRId64 "}", f.report.revision);
        ck_assert(has(&f, 1, "/fleet/origin", origin));

        /* And back, over what was left there: revisions add up. */
        put(&f, 1, "/fleet/unit/c.service", "{}", 0);
        memory_store_expire_lease(f.memory[1], lease);
        expect_refused(&f, copy(&f, 1, true, false), -EEXIST, "the one is closed (its records are");
        ck_assert_int_eq(copy(&f, 1, true, true), 0);
        ck_assert_int_eq(count(&f, 0, "/fleet/", NULL), 7); /* with /fleetx */
        ck_assert(has(&f, 0, "/fleet/unit/c.service", NULL));
        ck_assert(has(&f, 0, "/elsewhere", NULL));
        ck_assert(has(&f, 0, "/fleetx", NULL));
        (void)sscanf(origin, "{\"revision\":%" SCNd64 "}", &found);
        (void)snprintf(origin, sizeof(origin), "{\"revision\":%" PRId64 "}",
                       found + f.report.revision);
        ck_assert(has(&f, 0, "/fleet/origin", origin));
        tear_down(&f);
}
END_TEST

/* Nothing that is in use, or is not known to be of no use, is overwritten or copied from. */
START_TEST(test_copy_is_refused) {
        int64_t revision;
        Fixture f;

        set_up(&f);
        (void)fill(&f, 0);
        put(&f, 1, "/fleet/unit/x.service", "{}", 0);
        revision = memory_store_revision(f.memory[1]);
        expect_refused(&f, copy(&f, 0, true, false), -EEXIST, "the other has records already");
        put(&f, 1, "/fleet/machine/x", "{}", 0);
        expect_refused(&f, copy(&f, 0, true, true), -EBUSY, "machines are members");
        ck_assert_int_eq(memory_store_revision(f.memory[1]), revision + 1);
        ck_assert(!has(&f, 0, "/fleet/closed", NULL));

        put(&f, 0, "/fleet/closed", "{\"why\":\"so\"}", 0);
        expect_refused(&f, copy(&f, 0, false, false), -EBUSY, "the one is closed: so");
        tear_down(&f);
}
END_TEST

/* A copy that breaks off leaves the target closed, and opens the source; with `replaces` it is
 * repeated. */
START_TEST(test_breaking_off) {
        Fixture f;

        set_up(&f);
        (void)fill(&f, 0);
        memory_store_set_full(f.memory[1], true);
        expect_refused(&f, copy(&f, 0, true, false), -EIO, "cannot close the other");
        memory_store_set_full(f.memory[1], false);

        /* What no store takes stops it in the middle. */
        {
                _cleanup_(freep) char *much = calloc(1, STORE_REQUEST_MAX_BYTES);

                ck_assert_int_eq(memory_store_write(f.memory[0], "/fleet/unit/much",
                                                    (StoreBytes){ much, STORE_REQUEST_MAX_BYTES }),
                                 0);
        }
        expect_refused(&f, copy(&f, 0, true, false), -EIO, "cannot write to the other");
        ck_assert(has(&f, 1, "/fleet/closed", NULL));
        ck_assert(!has(&f, 0, "/fleet/closed", NULL));
        expect_refused(&f, copy(&f, 0, true, false), -EEXIST, "the other is closed");
        ck_assert_int_eq(memory_store_write(f.memory[0], "/fleet/unit/much", (StoreBytes){ 0 }), 0);
        ck_assert_int_eq(copy(&f, 0, true, true), 0);
        ck_assert_int_eq(count(&f, 1, "/", NULL), 8);

        /* Whoever gives the move up has the source back. */
        ck_assert_int_eq(registry_open_store(f.loop, f.stores[0], "/fleet", names[0], &f.diag), 0);
        ck_assert(!has(&f, 0, "/fleet/closed", NULL));
        expect_refused(&f, registry_open_store(f.loop, f.stores[0], "/fleet", names[0], &f.diag),
                       -ENOENT, "the one is open");
        tear_down(&f);
}
END_TEST

static void on_closing(unsigned from, const StoreKv *kv, bool is_deletion, void *userdata) {
        (void)from;
        (void)kv;
        if (!is_deletion)
                memory_store_set_full(userdata, true);
}

/* The target has no room for a lease just where a transaction has become as large as it may: what
 * was gathered is dropped, and the source is open again. */
START_TEST(test_no_lease_in_the_middle) {
        enum { N = 100 };
        int64_t lease;
        Fixture f;

        set_up(&f);
        for (int i = 0; i < N; i++) {
                char key[64];

                (void)snprintf(key, sizeof(key), "/fleet/file/%03d", i);
                put(&f, 0, key, "text", 0);
        }
        lease = grant(&f, 0);
        put(&f, 0, "/fleet/machine/m", "{}", lease);
        memory_store_set_observer(f.memory[1], on_closing, f.memory[1]);
        expect_refused(&f, copy(&f, 0, true, false), -EIO, "cannot grant a lease in the other");
        memory_store_set_observer(f.memory[1], NULL, NULL);
        ck_assert_int_eq(count(&f, 1, "/", NULL), 1);
        ck_assert(!has(&f, 0, "/fleet/closed", NULL));

        memory_store_set_full(f.memory[1], false);
        ck_assert_int_eq(copy(&f, 0, true, true), 0);
        ck_assert_int_eq(count(&f, 1, "/", NULL), N + 2);
        tear_down(&f);
}
END_TEST

typedef struct Meanwhile {
        MemoryStore *memory; /* the source */
        int64_t lease;       /* that ends; 0 = a record that lasts is written */
} Meanwhile;

/* Somebody changes the source as soon as the first record has arrived in the target. */
static void on_change(unsigned from, const StoreKv *kv, bool is_deletion, void *userdata) {
        static const char first[] = "/fleet/file/aa";
        const Meanwhile *meanwhile = userdata;

        (void)from;
        if (is_deletion || kv->key.n_bytes != strlen(first) ||
            memcmp(kv->key.data, first, strlen(first)) != 0)
                return;
        if (meanwhile->lease)
                memory_store_expire_lease(meanwhile->memory, meanwhile->lease);
        else
                ck_assert_int_eq(memory_store_write(meanwhile->memory, "/fleet/unit/late.service",
                                                    store_bytes("{}")),
                                 0);
}

/* A change while records are copied is told, and does not stand in the way; of a source that is
 * closed it does. A lease that ends is none. */
START_TEST(test_changes_meanwhile) {
        static const struct {
                bool moves, ends_lease;
                int result;
        } rows[] = {
                { false, false, REGISTRY_COPY_E_CHANGED },
                { false, true, 0 },
                { true, false, -EIO },
                { true, true, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Meanwhile meanwhile = { 0 };
                Fixture f;
                int r;

                set_up(&f);
                meanwhile.lease = fill(&f, 0);
                meanwhile.memory = f.memory[0];
                if (!rows[i].ends_lease)
                        meanwhile.lease = 0;
                memory_store_set_observer(f.memory[1], on_change, &meanwhile);
                r = copy(&f, 0, rows[i].moves, false);
                memory_store_set_observer(f.memory[1], NULL, NULL);
                expect_refused(&f, r, rows[i].result,
                               rows[i].result ? "have changed since revision" : "");
                ck_assert(has(&f, 1, "/fleet/closed", NULL) == (rows[i].result < 0));
                ck_assert(has(&f, 0, "/fleet/closed", NULL) == (rows[i].moves && r == 0));
                ck_assert(has(&f, 1, "/fleet/unit/a.service", NULL));
                tear_down(&f);
        }
}
END_TEST

/* More than a page, and more than a transaction takes. */
START_TEST(test_many) {
        Fixture f;

        set_up(&f);
        for (int i = 0; i < 2500; i++) {
                char key[64];

                (void)snprintf(key, sizeof(key), "/fleet/unit/u%d.service", i);
                ck_assert_int_eq(memory_store_write(f.memory[0], key, store_bytes("{}")), 0);
        }
        for (int i = 0; i < 8; i++) {
                _cleanup_(freep) char *text = calloc(1, 400000);
                char key[64];

                (void)snprintf(key, sizeof(key), "/fleet/file/f%d", i);
                ck_assert_int_eq(memory_store_write(f.memory[0], key, (StoreBytes){ text, 400000 }),
                                 0);
        }
        ck_assert_int_eq(copy(&f, 0, false, false), 0);
        ck_assert_uint_eq(f.report.n_records, 2508);
        ck_assert_int_eq(count(&f, 1, "/", NULL), 2509);
        tear_down(&f);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_copy,
                test_copy_to_move,
                test_copy_is_refused,
                test_breaking_off,
                test_changes_meanwhile,
                test_many,
                test_no_lease_in_the_middle,
        };

        return tests_run("copy", tests, ELEMENTSOF(tests));
}
