/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the built-in store share: the store with its clients. Only the store-sqlite*.c
 * files include this. */

#include "lib/store/sqlite-engine.h"
#include "lib/store/store-backend.h"
#include "lib/store/store-lease.h"
#include "lib/store/store-serving.h"
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
        int64_t identity;           /* of the file; 0 until it was opened once */
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
        bool is_full;       /* the disk was when it was written last */
        uint64_t busy_us;   /* since when another process keeps it from being written; 0 = none */
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

/* store-sqlite-file.c: load the engine, once; NULL = the module that was installed. Returns 0, or a
 * negative errno with a message, and no engine. */
int sqlite_store_load(const SqliteEngine **ret_engine, const char *module, Diag *diag);

/* The file cannot be used any more, or could not be opened, for the reason
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

/* store-sqlite-seam.c: the vtable's requests. */
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

/* What a call asks for. */
typedef enum SqliteCallKind {
        CALL_COMMAND,
        CALL_GRANT,
        CALL_KEEP_ALIVE,
        CALL_REVOKE,
        CALL_LOOK,
        CALL_LEASES,
        CALL_COMPACT,
        CALL_STATUS,
} SqliteCallKind;

typedef struct SqliteCall SqliteCall;

/* Tells a call's owner that it has ended, with call->status, and with call->reply if that is 0. The
 * call is freed afterwards. */
typedef void (*SqliteCallFn)(SqliteCall *call);

/* A request on its way. */
struct SqliteCall {
        ListNode node;       /* in SqliteStore.queue, or in the batch's calls */
        SqliteStore *sqlite; /* borrowed */
        SqliteCallFn on_end;
        void *owner; /* borrowed: whose request it is */
        LoopTimer deadline;
        LoopDeferred completion;
        SqliteCallKind kind;
        StoreCommand *command; /* owned */
        size_t n_bytes;        /* of it */
        int64_t id;            /* of the lease; 0 = one to be drawn */
        int64_t number;        /* grant: the TTL; compact: the revision */
        bool wants_keys;       /* look */
        bool writes;           /* to the file */
        enum {
                CALL_QUEUED,
                CALL_ENDING, /* in the next turn, with `status` */
                CALL_TAKEN,  /* by a batch */
        } state;
        bool was_tried;          /* in a batch that failed for the file */
        bool has_begun;          /* compact: history is being forgotten */
        bool is_waiting;         /* for a later batch to do the rest */
        int status;              /* how it ends */
        SqliteReply reply;       /* with status 0 */
        StoreAnswer answer;      /* owned */
        SqliteLeaseInfo *leases; /* owned */
        StoreStatus store;       /* status */
};

/* Make a call. NULL on out of memory. */
SqliteCall *sqlite_call_new(SqliteStore *sqlite, SqliteCallKind kind, SqliteCallFn on_end,
                            void *owner);

/* Make one for a command, which is copied, and may have so many operations: one that is none ends
 * with what store_command_check() says. Returns 0 or -ENOMEM. */
int sqlite_call_new_command(SqliteCall **ret_call, SqliteStore *sqlite, const StoreCommand *command,
                            size_t max_ops, SqliteCallFn on_end, void *owner);

/* Start a call, which is the store's from now on. */
void sqlite_call_start(SqliteCall *call, uint64_t timeout_us);

/* End a call that was started, and that no batch took, with a status in the next turn. */
void sqlite_call_end_with(SqliteCall *call, int status);

/* End a call with its status, and free it. */
void sqlite_call_finish(SqliteCall *call);
