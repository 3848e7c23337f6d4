/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The built-in store for who serves it to others (lib/serve): whatever a client of etcd may ask of
 * it, carried out in the same order, and in the same gathered commits, as what the daemon's own
 * clients ask through store.h. Watches are those of store-watch.h, by a client of the store.
 *
 * Requests follow the contract of lib/loop/loop.h, as in store.h: each ends exactly once, from the
 * loop, with 0, a STORE_E_* (those of store-command.h included) or a negative errno: -ECANCELED or
 * -ENOMEM. While the file cannot be used they wait for as long as they have, and then end with
 * STORE_E_UNREACHABLE: they were certainly not carried out. STORE_E_UNKNOWN: the disk failed in the
 * very moment of the commit. STORE_E_NO_SPACE: the disk is full.
 */

#include "lib/store/store-command.h"
#include "lib/store/store-sqlite.h"
#include "lib/store/store-watch.h"

typedef struct SqliteRequest SqliteRequest;

/* What a lease is. */
typedef struct SqliteLeaseInfo {
        int64_t id;
        int64_t ttl_s;  /* granted */
        int64_t left_s; /* rounded down */
} SqliteLeaseInfo;

/* What a request brought; only the members of its kind are set. */
typedef struct SqliteReply {
        int64_t revision;              /* all: the store's when it was carried out */
        StoreAnswer *answer;           /* command: its rows and answers may be taken (and the rest
                                         zeroed); what is left is freed after the callback */
        SqliteLeaseInfo lease;         /* grant, look: all of it; keep-alive: without `left_s` */
        SqliteRows keys;               /* look with keys: in byte order, without values; borrowed */
        const SqliteLeaseInfo *leases; /* list: what ends first comes first; borrowed */
        size_t n_leases;
} SqliteReply;

/* Ends a request. `reply` is not NULL exactly when status is 0, and borrowed until this returns. */
typedef void (*SqliteRequestDone)(SqliteRequest *request, int status, SqliteReply *reply);

/* A request; embed it and zero it before the first use. It is idle before its callback runs, so it
 * can be started again, or freed, there. */
struct SqliteRequest {
        SqliteRequestDone done;
        void *call; /* the store's state of it; NULL while idle */
};

/* ---- starting: `timeout_us` > 0 is the deadline from now; arguments are copied; each returns 0
 * (started) or -ENOMEM. */

/* Carry out a command; it ends with what store_command_check() says of it with STORE_TXN_OPS_MAX,
 * before anything else. */
int sqlite_request_command(SqliteRequest *request, SqliteStore *sqlite, const StoreCommand *command,
                           uint64_t timeout_us, SqliteRequestDone done);

/* Grant a lease; `id` 0 = one is drawn. The TTL may be raised. STORE_E_LEASE_EXISTS,
 * STORE_E_LEASE_TOO_LONG. */
int sqlite_request_grant(SqliteRequest *request, SqliteStore *sqlite, int64_t id, int64_t ttl_s,
                         uint64_t timeout_us, SqliteRequestDone done);

/* Renew a lease once. STORE_E_NO_LEASE. */
int sqlite_request_keep_alive(SqliteRequest *request, SqliteStore *sqlite, int64_t id,
                              uint64_t timeout_us, SqliteRequestDone done);

/* End a lease with its keys, in one revision if it has some. STORE_E_NO_LEASE. */
int sqlite_request_revoke(SqliteRequest *request, SqliteStore *sqlite, int64_t id,
                          uint64_t timeout_us, SqliteRequestDone done);

/* Look at a lease, and at its keys if `wants_keys`. STORE_E_NO_LEASE. */
int sqlite_request_look(SqliteRequest *request, SqliteStore *sqlite, int64_t id, bool wants_keys,
                        uint64_t timeout_us, SqliteRequestDone done);

/* List the leases. */
int sqlite_request_leases(SqliteRequest *request, SqliteStore *sqlite, uint64_t timeout_us,
                          SqliteRequestDone done);

/* Forget history below `revision`; it ends when that is gone. STORE_E_COMPACTED: it was gone
 * already. STORE_E_FUTURE: the revision has not come yet. */
int sqlite_request_compact(SqliteRequest *request, SqliteStore *sqlite, int64_t revision,
                           uint64_t timeout_us, SqliteRequestDone done);

/* Give up a request: its callback runs from the loop with -ECANCELED. Does nothing for an idle one
 * or one whose end is already on its way. A write may be made all the same. */
void sqlite_request_cancel(SqliteRequest *request);

/* Is the request in flight? */
bool sqlite_request_is_pending(const SqliteRequest *request);

/* ---- what is known without asking */

/* How the store is. */
typedef struct SqliteState {
        bool is_open;      /* the file can be used; the numbers are 0 while it cannot */
        const char *why;   /* why not, or what is wrong with it, in words for a person; "" =
                               nothing; borrowed until the loop's next turn */
        uint64_t identity; /* of the file: drawn when it was made, the same for ever after */
        int64_t revision;  /* of the last commit; at least 1 */
        int64_t compacted; /* history below it is gone; 0 = none is */
} SqliteState;

/* Look how the store is. */
SqliteState sqlite_store_state(SqliteStore *sqlite);

/* How many bytes the file has, and how many of them are in use; 0 while it cannot be used. This
 * asks the file, which the state does not. */
void sqlite_store_size(SqliteStore *sqlite, int64_t *ret_bytes, int64_t *ret_used_bytes);

/* Read what a key had before the change that `kv` is (of a watch, say): one row, or none where the
 * key was not there, or where that was compacted away. The rows are the caller's to free. Returns 0,
 * or STORE_E_UNREACHABLE or a negative errno: it is not known now. */
int sqlite_store_previous(SqliteStore *sqlite, const StoreKv *kv, SqliteRows *ret_rows);

/* The revision up to which a watch, which is on and whose store is a client of the built-in one, has
 * been told everything that concerns it. */
int64_t sqlite_watch_told(const StoreWatch *watch);
