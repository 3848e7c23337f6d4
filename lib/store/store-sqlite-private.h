/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the built-in store share: the store with its clients. Only the store-sqlite*.c
 * files include this. */

#include "lib/store/sqlite-engine.h"
#include "lib/store/store-arguments.h"
#include "lib/store/store-backend.h"
#include "lib/store/store-lease.h"
#include "lib/store/store-sqlite.h"

/* A lease. */
typedef struct SqliteLease {
        StoreLease lease; /* first: the head */
        ListNode node;    /* in one of the lists of the batch that grants or ends it */
        bool is_ending;   /* the batch under way ends it */
} SqliteLease;

/* The store. */
struct SqliteStore {
        Loop *loop;                 /* borrowed */
        const SqliteEngine *engine; /* the module's; NULL until it is loaded */
        SqliteFile *file;           /* owned; NULL while it cannot be used */
        char *path;                 /* owned */
        char *module;               /* owned */
        StoreLeases leases;         /* owned, each a SqliteLease */
        List clients;               /* StoreSqlite.node */
        List queue;                 /* SqliteCall.node: to be carried out */
        List watches;               /* SqliteWatch.node: of all clients */
        LoopDeferred batch;         /* carries out what is queued */
        LoopTimer retry;            /* tries again what did not work */
        LoopTimer history;          /* compacts by age */
        uint64_t history_us;
        int64_t history_revisions;
        int64_t compact_to; /* what the next batch has to forget; 0 = nothing */
        int64_t mark;       /* the revision when `history` was set: the next to be compacted to */
        bool has_due;       /* leases have run out */
        char trouble[512];  /* told last; empty while there is none */
};

/* A client. */
typedef struct StoreSqlite {
        Store store;
        SqliteStore *sqlite;     /* borrowed */
        ListNode node;           /* in SqliteStore.clients */
        List requests;           /* StoreRequest.node: in flight */
        List watches;            /* StoreWatch.node: on */
        LoopDeferred connection; /* tells whether the file can be used */
        LoopDeferred closing;    /* ends store_close() */
} StoreSqlite;

/* The client that a store is. */
static inline StoreSqlite *store_sqlite(Store *store) {
        return container_of(store, StoreSqlite, store);
}

/* store-sqlite-file.c: the file cannot be used any more, or could not be opened, for the reason
 * that `r` and the message say: it is closed, and opened again later. */
void sqlite_store_lose(SqliteStore *sqlite, int r, const Diag *diag);

/* A write did not work although the file can be read: tell why, if that is news; NULL when one
 * did. */
void sqlite_store_note_trouble(SqliteStore *sqlite, const char *why);

/* Open the file if it is not open, in this turn. */
void sqlite_store_open(SqliteStore *sqlite);

/* Try again in a moment. */
void sqlite_store_retry(SqliteStore *sqlite);

/* Write down what every lease has left, and close the file. */
void sqlite_store_shut(SqliteStore *sqlite);

/* store-sqlite-batch.c: carry out what is queued, from the loop. */
void sqlite_store_on_batch(LoopDeferred *deferred);

/* Have a batch run in the next turn. */
void sqlite_store_wake(SqliteStore *sqlite);

/* store-sqlite-call.c: the vtable's requests. */
int store_sqlite_range(Store *store, StoreRequest *request, const StoreRange *range,
                       uint64_t timeout_us);
int store_sqlite_txn(Store *store, StoreRequest *request, const StoreTxn *txn, uint64_t timeout_us);
int store_sqlite_lease_grant(Store *store, StoreRequest *request, int64_t lease, int64_t ttl_s,
                             uint64_t timeout_us);
int store_sqlite_lease_keep_alive(Store *store, StoreRequest *request, int64_t lease,
                                  uint64_t timeout_us);
int store_sqlite_lease_revoke(Store *store, StoreRequest *request, int64_t lease,
                              uint64_t timeout_us);
int store_sqlite_lease_look(Store *store, StoreRequest *request, int64_t lease,
                            uint64_t timeout_us);
int store_sqlite_status(Store *store, StoreRequest *request, uint64_t timeout_us);
void store_sqlite_cancel(StoreRequest *request);

/* store-sqlite-watch.c: the vtable's watches. */
int store_sqlite_watch_start(StoreWatch *watch, StoreBytes key, StoreBytes end);
void store_sqlite_watch_stop(StoreWatch *watch);

/* Tell the watches of the commits from revision `from` on. */
void sqlite_store_notify(SqliteStore *sqlite, int64_t from);

/* Note where every watch is, before the file is closed; go on there. */
void sqlite_store_hold_watches(SqliteStore *sqlite);
void sqlite_store_resume_watches(SqliteStore *sqlite);

/* A request on its way. */
typedef struct SqliteCall {
        ListNode node;         /* in SqliteStore.queue, or in the batch's calls */
        SqliteStore *sqlite;   /* borrowed */
        StoreRequest *request; /* borrowed */
        StoreArguments arguments;
        enum {
                CALL_QUEUED,
                CALL_ENDING, /* in the next turn, with `status` */
                CALL_TAKEN,  /* by a batch */
        } state;
        bool was_tried;     /* in a batch that failed for the file */
        int status;         /* how it ends */
        StoreReply reply;   /* with status 0 */
        SqliteRows rows;    /* range: what reply.kvs names */
        SqliteLease *lease; /* borrowed: that it grants; or NULL */
} SqliteCall;

/* End a call that a batch took, and free it. */
void sqlite_call_finish(SqliteCall *call);

/* Does it write to the file? */
bool sqlite_call_writes(const SqliteCall *call);
