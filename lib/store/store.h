/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The store seam: an ordered map from byte keys to byte values with etcd's semantics. Every commit
 * has one revision; a range can be read at a past revision; a transaction compares and then writes,
 * atomically; a watch (store-watch.h) tells every change from a revision on, or that the revision
 * was compacted away; a lease takes its keys with it when it ends.
 *
 * Requests follow the contract of lib/loop/loop.h. Each has a deadline and ends exactly once with
 * 0, a STORE_E_* or a negative errno: -ECANCELED (store_cancel() or the store is closing) and
 * -ENOMEM.
 *
 * Whoever writes must remember: STORE_E_UNKNOWN means that the change may have been made, or may be
 * made seconds from now. So every write is a transaction whose comparison turns a late copy into a
 * no-op, and after STORE_E_UNKNOWN one reads again and then decides.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/list.h"
#include "lib/base/macro.h"
#include "lib/loop/loop.h"
#include "lib/store/store-status.h"

typedef struct Store Store;
typedef struct StoreRequest StoreRequest;

/* Documented outcomes. */
enum {
        _STORE_E_OK,
        STORE_E_UNREACHABLE, /* no member answered, or none has a leader; for a read: nothing is
                                known; a write was certainly not made */
        STORE_E_UNKNOWN,     /* the answer never came: a write may have been made or may yet be */
        STORE_E_COMPACTED,   /* the revision asked for is gone: list again */
        STORE_E_NO_LEASE,    /* the lease does not exist (any more) */
        STORE_E_DENIED,      /* authentication or permission failed: retrying will not help */
        STORE_E_NO_SPACE,    /* the store is full (quota): reads and keep-alives still work */
        STORE_E_TOO_LARGE,   /* the request is over the store's limits: split it */
        STORE_E_INVALID, /* the store refused the request as malformed: a bug of ours, or a store of
                            another kind */
        _STORE_E_MAX,
};

/* A sentence's worth of words for a STORE_E_* or negative errno, e.g. "the store did not answer".
 * Static. */
const char *store_outcome_to_string(int status);

enum {
        STORE_TXN_OPS_MAX =
                128, /* comparisons, and operations, of one transaction (etcd --max-txn-ops) */
        STORE_NESTED_OPS_MAX = 4096,           /* that store_txn() takes */
        STORE_REQUEST_MAX_BYTES = 1500000,     /* keys and values of one transaction together (etcd
                                                  --max-request-bytes is 1.5 MiB) */
        STORE_PAGE_KEYS = 5000,                /* a good page size for long lists (measured) */
        STORE_CALL_TIMEOUT_US = 3000000,       /* deadline of a normal call */
        STORE_LIST_TIMEOUT_US = 30000000,      /* longest deadline of a page of a long list */
        STORE_KEEP_ALIVE_TIMEOUT_US = 2000000, /* deadline of a keep-alive */
        STORE_LEASE_TTL_MIN_S = 2, /* smallest lease that etcd grants with its defaults */
};

/* Bytes, borrowed. */
typedef struct StoreBytes {
        const void *data; /* may be NULL when n_bytes is 0 */
        size_t n_bytes;
} StoreBytes;

/* The bytes of a string, without its NUL. */
static inline StoreBytes store_bytes(const char *string) {
        return (StoreBytes){ .data = string, .n_bytes = strlen(string) };
}

/* A key with its value, borrowed. */
typedef struct StoreKv {
        StoreBytes key;
        StoreBytes value;
        int64_t create_revision; /* of the commit that created it; 0 in a deletion */
        int64_t mod_revision;    /* of the commit that last changed it, or deleted it */
        int64_t version;         /* how often it was put since it was created, that included; 0 in a
                                    deletion */
        int64_t lease;           /* 0 = none */
} StoreKv;

/* What a request brought; borrowed until the callback returns. Only the members of its kind are
 * set. */
typedef struct StoreReply {
        int64_t revision;   /* all: the store's revision when it answered; of the commit, for a
                               transaction that wrote */
        const StoreKv *kvs; /* range: in byte order of the keys */
        size_t n_kvs;
        bool more; /* range: the limit cut it; continue after the last key at the same revision */
        bool succeeded;       /* txn: all comparisons held, the operations were made */
        int64_t lease;        /* lease_grant */
        int64_t lease_ttl_s;  /* lease_grant, lease_keep_alive, lease_look: the TTL that the store
                                gave */
        int64_t lease_left_s; /* lease_look: what is left of it, rounded down */
        StoreStatus status;   /* status */
} StoreReply;

/* Ends a request. `reply` is not NULL exactly when status is 0. */
typedef void (*StoreDone)(StoreRequest *request, int status, const StoreReply *reply);

/* A request; embed it and zero it before the first use. Everything in it belongs to the store
 * between start and callback. */
struct StoreRequest {
        StoreDone done;
        Store *store;  /* borrowed; NULL while idle */
        void *backend; /* the backend's state of this request */
        StoreKind kind;
        uint64_t started_us;     /* loop_now_us() when it was started */
        ListNode node;           /* for the backend */
        LoopTimer deadline;      /* for the backend */
        LoopDeferred completion; /* for the backend */
};

/* Arguments of store_range(). */
typedef struct StoreRange {
        StoreBytes key;
        StoreBytes end;   /* empty = only `key`; else all keys k with key <= k < end */
        int64_t revision; /* 0 = now (linearizable), else as of that revision */
        int64_t limit;    /* 0 = all */
        bool keys_only;   /* values come empty */
} StoreRange;

/* One comparison of a transaction: the key's create or mod revision, 0 for a key that does not
 * exist. */
typedef struct StoreCompare {
        StoreBytes key;
        StoreBytes end; /* empty = only `key`; else the comparison must hold for every key in [key,
                           end) */
        enum {
                STORE_COMPARE_CREATE,
                STORE_COMPARE_MOD,
        } target;
        enum {
                STORE_COMPARE_EQUAL,
                STORE_COMPARE_LESS,
                STORE_COMPARE_GREATER,
        } result;
        int64_t revision;
} StoreCompare;

/* One operation of a transaction. The same key may not be written twice. */
typedef struct StoreOp {
        enum {
                STORE_OP_PUT,
                STORE_OP_DELETE,
        } kind;
        StoreBytes key;
        StoreBytes value; /* put */
        StoreBytes end;   /* delete: empty = only `key`; else [key, end) */
        int64_t lease;    /* put: 0 = none */
} StoreOp;

/* Arguments of store_txn(). */
typedef struct StoreTxn {
        const StoreCompare *compares;
        size_t n_compares; /* <= STORE_TXN_OPS_MAX */
        const StoreOp *ops;
        size_t n_ops; /* see store_txn() */
} StoreTxn;

/* Read a range. `timeout_us` > 0 is the deadline from now. Arguments are copied. Returns 0
 * (started), -ENOMEM, -ESHUTDOWN after store_close(). */
int store_range(Store *store, StoreRequest *request, const StoreRange *range, uint64_t timeout_us,
                StoreDone done);

/* Compare and write. Completes with 0 also when a comparison did not hold (reply.succeeded). Up to
 * STORE_NESTED_OPS_MAX operations are taken; backends whose store limits lists to STORE_TXN_OPS_MAX nest them,
 * which stays atomic. Returns as store_range(), and -E2BIG for more. */
int store_txn(Store *store, StoreRequest *request, const StoreTxn *txn, uint64_t timeout_us,
              StoreDone done);

/* Grant a lease of `ttl_s` seconds; the store may raise it (reply.lease_ttl_s). Returns as
 * store_range(). */
int store_lease_grant(Store *store, StoreRequest *request, int64_t ttl_s, uint64_t timeout_us,
                      StoreDone done);

/* Grant a lease that has this number: one that a daemon holds from another store, and finds again in
 * this one. STORE_E_INVALID when there is one of that number. Returns as store_range(). */
int store_lease_grant_as(Store *store, StoreRequest *request, int64_t lease, int64_t ttl_s,
                         uint64_t timeout_us, StoreDone done);

/* Keep a lease alive once. STORE_E_NO_LEASE when it has ended. Returns as store_range(). */
int store_lease_keep_alive(Store *store, StoreRequest *request, int64_t lease, uint64_t timeout_us,
                           StoreDone done);

/* End a lease and delete its keys, in one commit. Returns as store_range(). */
int store_lease_revoke(Store *store, StoreRequest *request, int64_t lease, uint64_t timeout_us,
                       StoreDone done);

/* Look how much of its time a lease has left, without renewing it. STORE_E_NO_LEASE when it has
 * ended. Returns as store_range(). */
int store_lease_look(Store *store, StoreRequest *request, int64_t lease, uint64_t timeout_us,
                     StoreDone done);

/* Ask how the member is that we are connected to. Returns as store_range(). */
int store_status(Store *store, StoreRequest *request, uint64_t timeout_us, StoreDone done);

/* Give up a request: its callback runs from the loop with -ECANCELED. Does nothing for an idle one
 * or one whose end is already on its way. A write may be made all the same. */
void store_cancel(StoreRequest *request);

/* Is the request in flight? */
bool store_request_is_pending(const StoreRequest *request);

typedef struct StoreListener StoreListener;

/* Can the store be reached, as far as is known? Told on every change; `detail` says to which
 * endpoint or why not, for the log. */
typedef void (*StoreConnectionFn)(StoreListener *listener, bool is_connected, const char *detail);

/* Why the store cannot be reached, or that it denies what is asked of it, as a sentence's worth of
 * words that name the endpoint. Told once per endpoint and cause, not per attempt. */
typedef void (*StoreTroubleFn)(StoreListener *listener, const char *why);

/* Who is told when the connection comes and goes; embed it, zero it before the first use. */
struct StoreListener {
        StoreConnectionFn fn;
        StoreTroubleFn on_trouble; /* set it before store_listen(), or leave it NULL */
        ListNode node;             /* in the store's list */
};

/* Be told, from the loop, from now on, in the order in which listeners came. The listener must
 * leave before it or the store is freed. */
void store_listen(Store *store, StoreListener *listener, StoreConnectionFn fn);

/* Be told no more. Does nothing for a listener that is in no list. Not from what a listener is
 * told. */
void store_unlisten(StoreListener *listener);

/* Is the store connected now? */
bool store_is_connected(const Store *store);

/* Read the numbers. */
StoreStats store_stats(const Store *store);

/* How many requests were answered well so far. Whoever waits for an answer for long learns from
 * others' whether the store is slow with this one or silent. */
uint64_t store_answers(const Store *store);

/* Begin to close: pending requests end with -ECANCELED, watches stop silently; then `closed` runs
 * from the loop, once, and the store may be freed. */
void store_close(Store *store, void (*closed)(Store *store, void *userdata), void *userdata);

/* Free a store that is closed or was never used. Takes NULL; returns NULL. */
Store *store_free(Store *store);
DEFINE_CLEANUP(Store, store_free)
