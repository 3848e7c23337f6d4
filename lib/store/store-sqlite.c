/* SPDX-License-Identifier: Apache-2.0 */

/* The built-in store: the store itself, and its clients.
 *
 * The parts: store-sqlite-file.c (the file comes and goes), store-sqlite-call.c (requests),
 * store-sqlite-batch.c (what is carried out in one turn), store-sqlite-watch.c; and, in a module,
 * sqlite-*.c, which know SQLite (sqlite-engine.h).
 */

#include "lib/store/store-sqlite.h"

#include <assert.h>
#include <errno.h>

#include "lib/store/store-sqlite-private.h"
#include "lib/store/store-watch.h"

enum {
        HISTORY_US = 600 * US_PER_S, /* kept at least, unless there is much */
        HISTORY_REVISIONS = 10000,   /* kept at most */
};

/* ---- the store */

static void sqlite_store_on_due(StoreLeases *leases) {
        SqliteStore *sqlite = container_of(leases, SqliteStore, leases);

        sqlite->has_due = true;
        sqlite_store_wake(sqlite);
}

static void sqlite_store_on_retry(LoopTimer *timer) {
        SqliteStore *sqlite = container_of(timer, SqliteStore, retry);

        if (!sqlite->file) {
                sqlite_store_open(sqlite);
                return;
        }
        sqlite_store_resume_watches(sqlite);
        sqlite_store_wake(sqlite);
}

static void sqlite_store_on_history(LoopTimer *timer) {
        SqliteStore *sqlite = container_of(timer, SqliteStore, history);

        sqlite_store_compact(sqlite, sqlite->mark);
}

int sqlite_store_new(SqliteStore **ret_sqlite, Loop *loop, const SqliteStoreOptions *options) {
        SqliteStore *sqlite = calloc(1, sizeof(*sqlite));

        if (!sqlite)
                return -ENOMEM;

        sqlite->loop = loop;
        sqlite->batch.fn = sqlite_store_on_batch;
        sqlite->retry.fn = sqlite_store_on_retry;
        sqlite->history.fn = sqlite_store_on_history;
        sqlite->history_us = options->history_us ? options->history_us : HISTORY_US;
        sqlite->history_revisions = options->history_revisions ? options->history_revisions
                                                               : HISTORY_REVISIONS;
        store_leases_init(&sqlite->leases, loop, sqlite_store_on_due);
        store_leases_pause(&sqlite->leases, true);
        sqlite->path = strdup(options->path);
        sqlite->module = options->module ? strdup(options->module) : NULL;
        if (!sqlite->path || (options->module && !sqlite->module)) {
                (void)sqlite_store_free(sqlite);
                return -ENOMEM;
        }

        timer_set_in(loop, &sqlite->retry, 0);
        *ret_sqlite = sqlite;
        return 0;
}

SqliteStore *sqlite_store_free(SqliteStore *sqlite) {
        if (!sqlite)
                return NULL;

        assert(list_is_empty(&sqlite->clients));
        sqlite_store_shut(sqlite);
        store_leases_done(&sqlite->leases);
        loop_defer_cancel(&sqlite->batch);
        timer_clear(&sqlite->retry);
        timer_clear(&sqlite->history);
        free(sqlite->path);
        free(sqlite->module);
        free(sqlite);
        return NULL;
}

/* ---- a client */

static void store_sqlite_on_connection(LoopDeferred *deferred) {
        StoreSqlite *client = container_of(deferred, StoreSqlite, connection);
        const SqliteStore *sqlite = client->sqlite;

        store_set_connected(&client->store, sqlite->file,
                            sqlite->file ? sqlite->path : sqlite->trouble);
}

static void store_sqlite_on_closing(LoopDeferred *deferred) {
        StoreSqlite *client = container_of(deferred, StoreSqlite, closing);

        /* The requests' ends were queued before this one, unless they were queued again since. */
        if (client->store.stats.n_pending > 0)
                loop_defer(client->store.loop, deferred);
        else
                store_closed(&client->store);
}

static void store_sqlite_close(Store *store) {
        StoreSqlite *client = store_sqlite(store);
        ListNode *n;

        while ((n = list_first(&client->watches)))
                store_watch_stop(container_of(n, StoreWatch, node));
        for (n = list_first(&client->requests); n; n = list_next(&client->requests, n))
                store_sqlite_cancel(container_of(n, StoreRequest, node));
        loop_defer_cancel(&client->connection);
        loop_defer(client->store.loop, &client->closing);
}

static void store_sqlite_free(Store *store) {
        StoreSqlite *client = store_sqlite(store);

        assert(store->stats.n_pending == 0);
        assert(store->stats.n_watches == 0);

        loop_defer_cancel(&client->connection);
        loop_defer_cancel(&client->closing);
        list_remove(&client->node);
        free(client);
}

int store_sqlite_new(Store **ret_store, SqliteStore *sqlite) {
        static const StoreVtable vtable = {
                .range = store_sqlite_range,
                .txn = store_sqlite_txn,
                .lease_grant = store_sqlite_lease_grant,
                .lease_keep_alive = store_sqlite_lease_keep_alive,
                .lease_revoke = store_sqlite_lease_revoke,
                .lease_look = store_sqlite_lease_look,
                .status = store_sqlite_status,
                .cancel = store_sqlite_cancel,
                .watch_start = store_sqlite_watch_start,
                .watch_stop = store_sqlite_watch_stop,
                .close = store_sqlite_close,
                .free = store_sqlite_free,
        };
        StoreSqlite *client = calloc(1, sizeof(*client));

        if (!client)
                return -ENOMEM;

        client->store.vtable = &vtable;
        client->store.loop = sqlite->loop;
        client->sqlite = sqlite;
        client->connection.fn = store_sqlite_on_connection;
        client->closing.fn = store_sqlite_on_closing;
        list_append(&sqlite->clients, &client->node);
        if (sqlite->file)
                loop_defer(sqlite->loop, &client->connection);
        *ret_store = &client->store;
        return 0;
}
