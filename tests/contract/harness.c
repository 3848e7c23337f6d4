/* SPDX-License-Identifier: Apache-2.0 */

/* The harness of the store's contract tests.
 *
 * Check calls cases without arguments, so what they share is in one static object here. What a case
 * makes is in its arena, a list of allocations that the end of the case frees, after its stores
 * have closed: requests in flight and watches live in it.
 */

#include "tests/contract/harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_STORE_ETCD
#include "lib/base/diag.h"
#include "lib/store/store-etcd.h"
#endif

enum {
        HARNESS_LIMIT_US = 30 * US_PER_S, /* how long anything may take */
        HARNESS_LOOK_US = US_PER_MS, /* short: a turn sleeps after its callbacks, before we look */
        HARNESS_STORES_MAX = 8,
        HARNESS_SEED = 7,
};

typedef struct Allocation {
        struct Allocation *next;
        max_align_t data[];
} Allocation;

static struct {
        HarnessBackend backend;
        EtcdProcess shared_etcd;
        EtcdProcess private_etcd;
        EtcdProcess *etcd; /* borrowed: the case's */
        VirtualEnv virtual_env;
        Loop *loop;
        MemoryStore *memory;
        SqliteTestFile sqlite_file;
        SqliteStore *sqlite;
        Store *stores[HARNESS_STORES_MAX];
        bool is_closed[HARNESS_STORES_MAX];
        size_t n_stores;
        unsigned n_cases;
        char prefix[32];
        Allocation *arena;
} harness;

void *allocate(size_t n_bytes) {
        Allocation *allocation = calloc(1, sizeof(Allocation) + n_bytes);

        ck_assert_ptr_nonnull(allocation);
        allocation->next = harness.arena;
        harness.arena = allocation;
        return allocation->data;
}

static StoreBytes copy_bytes(StoreBytes bytes) {
        char *copy = allocate(bytes.n_bytes + 1);

        if (bytes.n_bytes > 0)
                memcpy(copy, bytes.data, bytes.n_bytes);
        return (StoreBytes){ .data = copy, .n_bytes = bytes.n_bytes };
}

static SeenKv copy_kv(const StoreKv *kv) {
        return (SeenKv){
                .key = copy_bytes(kv->key),
                .value = copy_bytes(kv->value),
                .create_revision = kv->create_revision,
                .version = kv->version,
                .mod_revision = kv->mod_revision,
                .lease = kv->lease,
        };
}

/* ---- the run and its cases */

static bool backend_is_virtual(void) {
        return harness.backend == HARNESS_MEMORY_VIRTUAL || harness.backend == HARNESS_SQLITE;
}

static bool backend_is_etcd(void) {
        return harness.backend >= HARNESS_ETCD;
}

static EtcdGuard backend_guard(void) {
        return harness.backend == HARNESS_ETCD_AUTH  ? ETCD_USERS
               : harness.backend == HARNESS_ETCD_TLS ? ETCD_CERTIFICATES
               : harness.backend == HARNESS_SERVED   ? ETCD_SERVED
                                                     : ETCD_OPEN;
}

int harness_begin(HarnessBackend backend) {
        harness.backend = backend;
        if (backend == HARNESS_SQLITE)
                return sqlite_test_file_make(&harness.sqlite_file);
        return backend_is_etcd() ? etcd_process_start(&harness.shared_etcd, backend_guard()) : 0;
}

void harness_end(void) {
        etcd_process_done(&harness.shared_etcd);
        sqlite_test_file_done(&harness.sqlite_file);
}

static int make_store(Store **ret_store) {
        if (harness.memory)
                return store_memory_new(ret_store, harness.memory, harness.loop);
        if (harness.sqlite)
                return store_sqlite_new(ret_store, harness.sqlite);
#ifdef HAVE_STORE_ETCD
        if (harness.etcd) {
                char *endpoint = harness.etcd->endpoint;
                const StrList endpoints = { .items = &endpoint, .n_items = 1 };
                bool is_tls = harness.etcd->guard >= ETCD_CERTIFICATES;
                bool has_users = harness.etcd->guard == ETCD_USERS;
                const StoreEtcdOptions options = {
                        .endpoints = &endpoints,
                        .username = has_users ? ETCD_USER : NULL,
                        .password = has_users ? ETCD_PASSWORD : NULL,
                        .ca_path = is_tls ? harness.etcd->ca : NULL,
                        .cert_path = is_tls ? harness.etcd->cert : NULL,
                        .key_path = is_tls ? harness.etcd->key : NULL,
                        .tls_module = TLS_MODULE,
                };
                Diag diag = { 0 };
                int r = store_etcd_new(ret_store, harness.loop, &options, &diag);

                ck_assert_msg(r == 0, "%s", diag.message);
                return r;
        }
#endif
        return -1;
}

Store *harness_connect(void) {
        Store **store = &harness.stores[harness.n_stores];

        ck_assert_uint_lt(harness.n_stores, HARNESS_STORES_MAX);
        ck_assert_int_eq(make_store(store), 0);
        harness.is_closed[harness.n_stores++] = false;
        return *store;
}

static void harness_open(uint64_t seed) {
        bool is_virtual = backend_is_virtual();

        virtual_env_init(&harness.virtual_env, seed);
        ck_assert_int_eq(
                loop_new(&harness.loop, is_virtual ? &harness.virtual_env.env : env_system()), 0);
        if (harness.backend == HARNESS_SQLITE)
                ck_assert_int_eq(
                        sqlite_test_file_open(&harness.sqlite_file, &harness.sqlite, harness.loop),
                        0);
        else if (!backend_is_etcd())
                ck_assert_int_eq(memory_store_new(&harness.memory, harness.loop), 0);
        (void)harness_connect();
}

static void harness_set_up_on(EtcdProcess *etcd) {
        harness.etcd = etcd;
        (void)snprintf(harness.prefix, sizeof(harness.prefix), "/case-%u/", ++harness.n_cases);
        harness_open(HARNESS_SEED);
}

void harness_set_up(void) {
        harness_set_up_on(backend_is_etcd() ? &harness.shared_etcd : NULL);
}

void harness_set_up_private_etcd(void) {
        ck_assert_int_eq(etcd_process_start(&harness.private_etcd, backend_guard()), 0);
        harness_set_up_on(&harness.private_etcd);
}

static void on_closed(Store *store, void *userdata) {
        bool *is_closed = userdata;

        (void)store;
        *is_closed = true;
}

static bool is_true(void *userdata) {
        return *(bool *)userdata;
}

void harness_close(Store *store) {
        for (size_t i = 0; i < harness.n_stores; i++)
                if (harness.stores[i] == store && !harness.is_closed[i]) {
                        store_close(store, on_closed, &harness.is_closed[i]);
                        wait_until(is_true, &harness.is_closed[i]);
                }
}

static void harness_close_all(void) {
        for (size_t i = 0; i < harness.n_stores; i++) {
                harness_close(harness.stores[i]);
                harness.stores[i] = store_free(harness.stores[i]);
        }
        harness.n_stores = 0;
        harness.memory = memory_store_free(harness.memory);
        harness.sqlite = sqlite_store_free(harness.sqlite);
        harness.loop = loop_free(harness.loop);
}

void harness_close_file(void) {
        harness_close_all();
}

void harness_reopen(void) {
        harness_close_all();
        harness_open(HARNESS_SEED);
}

void harness_restart_with_seed(uint64_t seed) {
        harness_close_all();
        harness_open(seed);
}

void harness_tear_down(void) {
        harness_close_all();
        if (harness.etcd == &harness.private_etcd)
                etcd_process_done(&harness.private_etcd);
        harness.etcd = NULL;

        while (harness.arena) {
                Allocation *next = harness.arena->next;

                free(harness.arena);
                harness.arena = next;
        }
}

Loop *harness_loop(void) {
        return harness.loop;
}

Store *harness_store(void) {
        return harness.stores[0];
}

MemoryStore *harness_memory(void) {
        return harness.memory;
}

const SqliteTestFile *harness_sqlite_file(void) {
        return &harness.sqlite_file;
}

bool harness_knows_its_queue(void) {
        return harness.sqlite;
}

EtcdProcess *harness_etcd(void) {
        return harness.etcd;
}

/* ---- waiting */

void wait_until(bool (*is_done)(void *userdata), void *userdata) {
        uint64_t limit_us = loop_now_us(harness.loop) + HARNESS_LIMIT_US;

        if (backend_is_virtual()) {
                ck_assert_msg(virtual_env_run(&harness.virtual_env, harness.loop, limit_us, is_done,
                                              userdata),
                              "what is waited for does not happen within 30 s");
                return;
        }

        while (!is_done(userdata)) {
                ck_assert_msg(loop_now_us(harness.loop) < limit_us,
                              "what is waited for does not happen within 30 s");
                ck_assert_int_eq(loop_turn(harness.loop, HARNESS_LOOK_US), 0);
        }
}

static bool is_past(void *userdata) {
        return loop_now_us(harness.loop) >= *(uint64_t *)userdata;
}

void wait_for_us(uint64_t us) {
        uint64_t until_us = loop_now_us(harness.loop) + us;

        /* A virtual clock that waits for a predicate jumps from timer to timer, over this instant.
         */
        if (backend_is_virtual())
                virtual_env_run_until(&harness.virtual_env, harness.loop, until_us);
        else
                wait_until(is_past, &until_us);
}

/* It forgets in steps of some milliseconds, so what is asked meanwhile may still be answered. */
static void compact_sqlite(int64_t revision) {
        const StoreRange past = { .key = store_bytes("k"), .revision = revision - 1 };

        sqlite_store_compact(harness.sqlite, revision);
        while (revision > 1 && range(past)->status == 0)
                ;
}

void compact(int64_t revision) {
        if (harness.memory)
                memory_store_compact(harness.memory, revision);
        else if (harness.sqlite)
                compact_sqlite(revision);
        else
                etcd_process_compact(harness.etcd, revision);
}

/* A disk that fails, and that the store has noticed. */
static void break_disk(void) {
        sqlite_test_file_set_fault((SqliteFault){ .open = -EIO, .begin = -EIO, .changes = -EIO });
        while (store_is_connected(harness_store())) {
                const StoreRange one = { .key = key("noticed") };
                Call *call = call_new();

                ck_assert_int_eq(
                        store_range(harness_store(), &call->request, &one, US_PER_MS, call_done),
                        0);
                (void)call_wait(call);
        }
}

void silence(void) {
        if (harness.sqlite)
                break_disk();
        else if (harness.memory)
                store_memory_set_faults(harness_store(), &(StoreFaults){ .is_cut = true });
        else
                etcd_process_freeze(harness.etcd);
}

void unsilence(void) {
        if (harness.sqlite)
                sqlite_test_file_set_fault((SqliteFault){ 0 });
        else if (harness.memory)
                store_memory_set_faults(harness_store(), &(StoreFaults){ 0 });
        else
                etcd_process_thaw(harness.etcd);
}

/* ---- keys */

StoreBytes key(const char *name) {
        size_t n = strlen(harness.prefix) + strlen(name) + 1;
        char *bytes = allocate(n);

        (void)snprintf(bytes, n, "%s%s", harness.prefix, name);
        return store_bytes(bytes);
}

StoreBytes end_of(const char *name) {
        StoreBytes end = key(name);
        char *bytes = (char *)end.data;

        bytes[end.n_bytes - 1]++;
        return end;
}

bool bytes_are(StoreBytes bytes, const char *string) {
        return bytes.n_bytes == strlen(string) &&
               (bytes.n_bytes == 0 || memcmp(bytes.data, string, bytes.n_bytes) == 0);
}

bool is_key(StoreBytes bytes, const char *name) {
        return bytes_are(bytes, key(name).data);
}

/* ---- calls */

Call *call_new(void) {
        return allocate(sizeof(Call));
}

static const char *copy_text(const char *text) {
        size_t n_bytes = strlen(text ? text : "") + 1;

        return memcpy(allocate(n_bytes), text ? text : "", n_bytes);
}

void call_done(StoreRequest *request, int status, const StoreReply *reply) {
        Call *call = container_of(request, Call, request);

        call->n_done++;
        call->status = status;
        if (!reply)
                return;

        call->reply = *reply;
        call->reply.kvs = NULL;
        call->reply.status.version = copy_text(reply->status.version);
        call->reply.status.troubles = copy_text(reply->status.troubles);
        call->n_kvs = reply->n_kvs;
        call->kvs = allocate(reply->n_kvs * sizeof(SeenKv));
        for (size_t i = 0; i < reply->n_kvs; i++)
                call->kvs[i] = copy_kv(&reply->kvs[i]);
}

static bool is_ended(void *userdata) {
        const Call *call = userdata;

        return call->n_done > 0;
}

int call_wait(Call *call) {
        wait_until(is_ended, call);
        ck_assert_uint_eq(call->n_done, 1);
        ck_assert(!store_request_is_pending(&call->request));
        return call->status;
}

Call *range(StoreRange arguments) {
        Call *call = call_new();

        ck_assert_int_eq(store_range(harness_store(), &call->request, &arguments,
                                     STORE_LIST_TIMEOUT_US, call_done),
                         0);
        (void)call_wait(call);
        return call;
}

Call *list(const char *name) {
        Call *call = range((StoreRange){ .key = key(name), .end = end_of(name) });

        ck_assert_int_eq(call->status, 0);
        return call;
}

Call *txn(const StoreCompare *compares, size_t n_compares, const StoreOp *ops, size_t n_ops) {
        const StoreTxn arguments = {
                .compares = compares, .n_compares = n_compares, .ops = ops, .n_ops = n_ops
        };
        Call *call = call_new();

        ck_assert_int_eq(store_txn(harness_store(), &call->request, &arguments,
                                   STORE_LIST_TIMEOUT_US, call_done),
                         0);
        (void)call_wait(call);
        return call;
}

static int64_t write_one(StoreOp op) {
        Call *call = txn(NULL, 0, &op, 1);

        ck_assert_int_eq(call->status, 0);
        ck_assert(call->reply.succeeded);
        return call->reply.revision;
}

int64_t put(const char *name, const char *value) {
        return put_with_lease(name, value, 0);
}

int64_t put_with_lease(const char *name, const char *value, int64_t lease) {
        return write_one((StoreOp){ .kind = STORE_OP_PUT,
                                    .key = key(name),
                                    .value = store_bytes(value),
                                    .lease = lease });
}

int64_t erase(const char *name) {
        return write_one((StoreOp){ .kind = STORE_OP_DELETE, .key = key(name) });
}

int64_t put_many(const char *name, size_t n_keys, const char *value) {
        StoreOp *ops = allocate(n_keys * sizeof(StoreOp));
        Call *call;

        for (size_t i = 0; i < n_keys; i++) {
                char numbered[64];

                (void)snprintf(numbered, sizeof(numbered), "%s%04zu", name, i);
                ops[i] = (StoreOp){ .kind = STORE_OP_PUT,
                                    .key = key(numbered),
                                    .value = store_bytes(value) };
        }

        call = txn(NULL, 0, ops, n_keys);
        ck_assert_int_eq(call->status, 0);
        ck_assert(call->reply.succeeded);
        return call->reply.revision;
}

int64_t current_revision(void) {
        return list("")->reply.revision;
}

/* ---- leases */

Call *lease_grant(int64_t ttl_s) {
        Call *call = call_new();

        ck_assert_int_eq(store_lease_grant(harness_store(), &call->request, ttl_s,
                                           STORE_CALL_TIMEOUT_US, call_done),
                         0);
        (void)call_wait(call);
        return call;
}

Call *lease_grant_as(int64_t lease, int64_t ttl_s) {
        Call *call = call_new();

        ck_assert_int_eq(store_lease_grant_as(harness_store(), &call->request, lease, ttl_s,
                                              STORE_CALL_TIMEOUT_US, call_done),
                         0);
        (void)call_wait(call);
        return call;
}

Call *lease_keep_alive(int64_t lease) {
        Call *call = call_new();

        ck_assert_int_eq(store_lease_keep_alive(harness_store(), &call->request, lease,
                                                STORE_KEEP_ALIVE_TIMEOUT_US, call_done),
                         0);
        (void)call_wait(call);
        return call;
}

Call *lease_revoke(int64_t lease) {
        Call *call = call_new();

        ck_assert_int_eq(store_lease_revoke(harness_store(), &call->request, lease,
                                            STORE_CALL_TIMEOUT_US, call_done),
                         0);
        (void)call_wait(call);
        return call;
}

Call *lease_look(int64_t lease) {
        Call *call = call_new();

        ck_assert_int_eq(store_lease_look(harness_store(), &call->request, lease,
                                          STORE_CALL_TIMEOUT_US, call_done),
                         0);
        (void)call_wait(call);
        return call;
}

Call *status(void) {
        Call *call = call_new();

        ck_assert_int_eq(
                store_status(harness_store(), &call->request, STORE_CALL_TIMEOUT_US, call_done), 0);
        ck_assert_int_eq(call_wait(call), 0);
        return call;
}

int64_t granted_lease(int64_t ttl_s) {
        Call *call = lease_grant(ttl_s);

        ck_assert_int_eq(call->status, 0);
        ck_assert_int_ne(call->reply.lease, 0);
        return call->reply.lease;
}

/* ---- watches */

void recorder_on_report(StoreWatch *watch, const StoreWatchReport *report) {
        Recorder *recorder = container_of(watch, Recorder, watch);
        SeenKv *events;

        if (report->kind != STORE_WATCH_EVENTS) {
                recorder->n_ends++;
                recorder->end_kind = (int)report->kind;
                recorder->end_revision = report->revision;
        } else {
                events = allocate((recorder->n_events + report->n_events) * sizeof(SeenKv));
                if (recorder->n_events > 0)
                        memcpy(events, recorder->events, recorder->n_events * sizeof(SeenKv));
                for (size_t i = 0; i < report->n_events; i++) {
                        events[recorder->n_events] = copy_kv(&report->events[i].kv);
                        events[recorder->n_events].report = recorder->n_reports;
                        events[recorder->n_events++].is_deletion = report->events[i].kind ==
                                                                   STORE_EVENT_DELETE;
                }
                recorder->events = events;
                recorder->n_reports++;
                ck_assert_int_eq(report->revision, events[recorder->n_events - 1].mod_revision);
        }
        if (recorder->then)
                recorder->then(recorder);
}

void recorder_start(Recorder *recorder, StoreBytes start, StoreBytes end, int64_t start_revision) {
        ck_assert_int_eq(store_watch_start(harness_store(), &recorder->watch, start, end,
                                           start_revision, recorder_on_report),
                         0);
}

Recorder *recorder_new(StoreBytes start, StoreBytes end, int64_t start_revision) {
        Recorder *recorder = allocate(sizeof(Recorder));

        recorder_start(recorder, start, end, start_revision);
        return recorder;
}

typedef struct Expectation {
        const Recorder *recorder;
        size_t n_events;
} Expectation;

static bool has_events(void *userdata) {
        const Expectation *expectation = userdata;

        return expectation->recorder->n_events >= expectation->n_events;
}

void recorder_wait(Recorder *recorder, size_t n_events) {
        Expectation expectation = { .recorder = recorder, .n_events = n_events };

        wait_until(has_events, &expectation);
        ck_assert_uint_eq(recorder->n_events, n_events);
}

static bool has_ended(void *userdata) {
        const Recorder *recorder = userdata;

        return recorder->n_ends > 0;
}

void recorder_wait_end(Recorder *recorder) {
        wait_until(has_ended, recorder);
        ck_assert_uint_eq(recorder->n_ends, 1);
}
