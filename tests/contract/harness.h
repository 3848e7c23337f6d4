/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The harness of the store's contract tests: a store of the backend under test for each case, and
 * verbs that wait, so that a case reads as a script. A case says nothing about the backend; what
 * only some backends can do is in cases of their own.
 *
 * Everything that a case makes lives until its end: keys, calls and recorders need no freeing.
 */

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/store/store-memory.h"
#include "lib/store/store-watch.h"
#include "lib/store/store.h"
#include "tests/contract/etcd-process.h"
#include "tests/contract/sqlite-file.h"
#include "tests/sim/virtual-env.h"

/* What the cases run on. */
typedef enum HarnessBackend {
        HARNESS_MEMORY_VIRTUAL, /* memory, on a virtual clock */
        HARNESS_MEMORY_REAL,    /* memory, on the real clock */
        HARNESS_SQLITE,         /* the built-in store, on a virtual clock */
        HARNESS_ETCD,           /* an etcd that the harness starts; from here on all are */
        HARNESS_SERVED,         /* the built-in store, served by another process */
        HARNESS_ETCD_TLS,       /* one that wants a client certificate */
        HARNESS_ETCD_AUTH,      /* one that wants a user besides */
} HarnessBackend;

/* Begin the run: starts what all cases share. Returns 0, or -1 after a message. */
int harness_begin(HarnessBackend backend);

/* End what harness_begin() started. */
void harness_end(void);

/* Check's fixtures of a case: a loop and a store; and the end of all. */
void harness_set_up(void);
void harness_tear_down(void);

/* Check's fixture of a case that ill-treats the store's server: it gets an etcd of its own. */
void harness_set_up_private_etcd(void);

/* The case's loop, its first client, and what is behind it: each NULL where the backend has no such
 * thing. */
Loop *harness_loop(void);
Store *harness_store(void);
MemoryStore *harness_memory(void);
EtcdProcess *harness_etcd(void);

/* The file of the built-in store; and begin again on it, as after a restart of the daemon: the
 * stores are closed, and there is one new client. */
const SqliteTestFile *harness_sqlite_file(void);
void harness_reopen(void);

/* Close the stores, and do nothing more with the file until harness_reopen(). */
void harness_close_file(void);

/* Can the store tell that a write was not made, since it never left its queue? */
bool harness_knows_its_queue(void);

/* Another client of the same store. */
Store *harness_connect(void);

/* Begin the case anew, with an empty store on a clock that starts over, and with this seed. Memory
 * on a virtual clock only. */
void harness_restart_with_seed(uint64_t seed);

/* Close a client and wait; it is freed at the end of the case. */
void harness_close(Store *store);

/* A key of this case: "<prefix of the case><name>". Lives until the case ends. */
StoreBytes key(const char *name);

/* The end of the range of all keys that begin with key(name). */
StoreBytes end_of(const char *name);

/* Turn the loop until `is_done` says true; the case fails when that takes longer than 30 s. */
void wait_until(bool (*is_done)(void *userdata), void *userdata);

/* Turn the loop for this long on its clock. For what must not happen; what must is waited for. */
void wait_for_us(uint64_t us);

/* Silence the store, as if its server hung, and let it speak again. */
void silence(void);
void unsilence(void);

/* Forget the history below a revision. */
void compact(int64_t revision);

/* A key and value that were seen; copies. */
typedef struct SeenKv {
        StoreBytes key;
        StoreBytes value;
        int64_t create_revision;
        int64_t mod_revision;
        int64_t version;
        int64_t lease;
        bool is_deletion; /* of an event */
        size_t report;    /* of an event: in which report it came */
} SeenKv;

/* A request with what came of it. */
typedef struct Call {
        StoreRequest request;
        unsigned n_done;  /* how often its callback ran */
        int status;       /* the last time */
        StoreReply reply; /* with status 0; without kvs */
        SeenKv *kvs;
        size_t n_kvs;
} Call;

/* Memory until the end of the case. */
void *allocate(size_t n_bytes);

/* A new call, for the starting functions; and the callback to start them with. */
Call *call_new(void);
void call_done(StoreRequest *request, int status, const StoreReply *reply);

/* Wait for its end; returns its status. Fails the case when it ended more than once. */
int call_wait(Call *call);

/* Start, wait, and return the call. */
Call *range(StoreRange arguments);
Call *txn(const StoreCompare *compares, size_t n_compares, const StoreOp *ops, size_t n_ops);
Call *lease_grant(int64_t ttl_s);
Call *lease_grant_as(int64_t lease, int64_t ttl_s);
Call *lease_keep_alive(int64_t lease);
Call *lease_revoke(int64_t lease);
Call *lease_look(int64_t lease);
Call *status(void);

/* All keys of the case that begin with key(name). */
Call *list(const char *name);

/* Write one key, or delete it; both return the revision. The case fails when the store does not do
 * it. */
int64_t put(const char *name, const char *value);
int64_t put_with_lease(const char *name, const char *value, int64_t lease);
int64_t erase(const char *name);

/* Write `n_keys` keys "<name>0000"... with this value, in one commit; returns its revision. */
int64_t put_many(const char *name, size_t n_keys, const char *value);

/* A lease that is there. */
int64_t granted_lease(int64_t ttl_s);

/* The revision of the store now. */
int64_t current_revision(void);

/* A watch with what it told. */
typedef struct Recorder {
        StoreWatch watch;
        SeenKv *events;
        size_t n_events;
        size_t n_reports; /* with events */
        size_t n_ends;    /* reports that ended it */
        int end_kind;     /* STORE_WATCH_*, of the last one of these */
        int64_t end_revision;
        void (*then)(struct Recorder *recorder); /* called after each report, or NULL */
        void *userdata;                          /* for `then` */
} Recorder;

/* Watch [key, end), recording. */
Recorder *recorder_new(StoreBytes start, StoreBytes end, int64_t start_revision);

/* Start a recorder again. */
void recorder_start(Recorder *recorder, StoreBytes start, StoreBytes end, int64_t start_revision);

/* The callback of a recorder's watch. */
void recorder_on_report(StoreWatch *watch, const StoreWatchReport *report);

/* Wait until it has seen this many events; fails the case when it has seen more. */
void recorder_wait(Recorder *recorder, size_t n_events);

/* Wait until it has been ended by a report. */
void recorder_wait_end(Recorder *recorder);

/* Are the bytes this string? */
bool bytes_are(StoreBytes bytes, const char *string);

/* The cases, by subject. */
TCase *range_cases(void);
TCase *txn_cases(void);
TCase *watch_cases(void);
TCase *watch_history_cases(void);
TCase *lease_cases(void);
TCase *request_cases(void);
TCase *fault_cases(void);  /* memory, virtual clock */
TCase *etcd_cases(void);   /* etcd */
TCase *sqlite_cases(void); /* the built-in store */

/* Is it the case's key of this name? */
bool is_key(StoreBytes bytes, const char *name);
