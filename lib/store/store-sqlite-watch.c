/* SPDX-License-Identifier: Apache-2.0 */

/* The watches of the built-in store.
 *
 * A watch is either up to date (it is told of by the next commit that concerns it) or it has one
 * delivery on its way, which reads the history in the file from the watch's cursor on, and comes in
 * the next turn. So nothing of the history is kept in memory, and a watch that begins in the past
 * is told of it in portions.
 */

#include <errno.h>

#include "lib/store/store-rules.h"
#include "lib/store/store-serving.h"
#include "lib/store/store-sqlite-private.h"
#include "lib/store/store-watch.h"

enum {
        REPORT_REVISIONS_MAX = 1000,        /* that are told at once, as in etcd */
        REPORT_BYTES_MAX = 1 * 1024 * 1024, /* after which no revision begins */
};

typedef struct SqliteWatch {
        StoreWatch *watch;     /* borrowed: its owner's side */
        SqliteStore *sqlite;   /* borrowed */
        ListNode node;         /* in SqliteStore.watches */
        StoreBytes key;        /* in this allocation */
        StoreBytes end;        /* in this allocation */
        int64_t cursor;        /* the first revision to look at, while a delivery is on its way */
        LoopDeferred delivery; /* queued while one is on its way, unless the file cannot be used */
        bool is_pending;       /* one is on its way */
} SqliteWatch;

/* Tells what was read; the watch may be gone afterwards. Returns 0 or -ENOMEM. */
static int sqlite_watch_tell(SqliteWatch *w, const SqliteRows *rows) {
        _cleanup_(freep) StoreEvent *events = calloc(rows->n_kvs + 1, sizeof(*events));
        StoreWatchReport report = { .kind = STORE_WATCH_EVENTS, .n_events = rows->n_kvs };

        if (!events)
                return -ENOMEM;

        for (size_t i = 0; i < rows->n_kvs; i++)
                events[i] = (StoreEvent){
                        .kind = rows->kvs[i].create_revision > 0 ? STORE_EVENT_PUT
                                                                 : STORE_EVENT_DELETE,
                        .kv = rows->kvs[i],
                };
        report.events = events;
        store_watch_report(w->watch, &report);
        return 0;
}

static void sqlite_watch_schedule(SqliteWatch *w, int64_t cursor) {
        w->cursor = cursor;
        w->is_pending = true;
        if (w->sqlite->file)
                loop_defer(w->sqlite->loop, &w->delivery);
}

/* The history cannot be read now. */
static void sqlite_watch_fail(SqliteWatch *w, int r, const Diag *diag) {
        w->is_pending = true;
        if (r == -EAGAIN || r == -ENOMEM)
                sqlite_store_retry(w->sqlite);
        else
                sqlite_store_lose(w->sqlite, r, diag);
}

static void sqlite_watch_on_delivery(LoopDeferred *deferred) {
        SqliteWatch *w = container_of(deferred, SqliteWatch, delivery);
        SqliteStore *sqlite = w->sqlite;
        const SqliteWindow window = {
                .key = w->key,
                .end = w->end,
                .from = w->cursor,
                .max_revisions = REPORT_REVISIONS_MAX,
                .max_bytes = REPORT_BYTES_MAX,
        };
        _cleanup_(sqlite_rows_done) SqliteRows rows = { 0 };
        int64_t compacted, next, cursor = w->cursor;
        Diag diag = { 0 };
        int r;

        if (!sqlite->file)
                return;

        compacted = sqlite->engine->compacted(sqlite->file);
        if (w->cursor < compacted) {
                store_watch_report(w->watch, &(StoreWatchReport){ .kind = STORE_WATCH_COMPACTED,
                                                                  .revision = compacted });
                return;
        }

        r = sqlite->engine->changes(sqlite->file, &window, &rows, &next, &diag);
        if (r < 0) {
                sqlite_watch_fail(w, r, &diag);
                return;
        }

        w->is_pending = false;
        if (next <= sqlite->engine->revision(sqlite->file))
                sqlite_watch_schedule(w, next);
        if (rows.n_kvs > 0 && sqlite_watch_tell(w, &rows) < 0) {
                w->cursor = cursor;
                sqlite_watch_fail(w, -ENOMEM, NULL);
        }
}

/* ---- commits */

/* The keys that were changed from a revision on, in byte order. Returns 0, or a negative errno:
 * then nobody knows. */
static int sqlite_changed_keys(SqliteStore *sqlite, int64_t from, SqliteRows *rows,
                               StoreBytes **ret_keys) {
        const SqliteWindow window = {
                .key = { .data = "", .n_bytes = 0 },
                .end = { .data = "", .n_bytes = 1 },
                .from = from,
                .max_revisions = UINT32_MAX,
                .max_bytes = SIZE_MAX,
                .keys_only = true,
        };
        int64_t next;
        int r;

        r = sqlite->engine->changes(sqlite->file, &window, rows, &next, NULL);
        if (r < 0)
                return r;

        *ret_keys = calloc(rows->n_kvs + 1, sizeof(**ret_keys));
        if (!*ret_keys)
                return -ENOMEM;
        for (size_t i = 0; i < rows->n_kvs; i++)
                (*ret_keys)[i] = rows->kvs[i].key;
        store_keys_sort(*ret_keys, rows->n_kvs);
        return 0;
}

void sqlite_store_notify(SqliteStore *sqlite, int64_t from) {
        _cleanup_(sqlite_rows_done) SqliteRows rows = { 0 };
        _cleanup_(freep) StoreBytes *keys = NULL;
        bool is_known;

        if (list_is_empty(&sqlite->watches))
                return;

        /* Where nobody knows, all look: those that are not concerned will find nothing. */
        is_known = sqlite_changed_keys(sqlite, from, &rows, &keys) == 0;
        for (ListNode *n = list_first(&sqlite->watches); n; n = list_next(&sqlite->watches, n)) {
                SqliteWatch *w = container_of(n, SqliteWatch, node);

                if (w->is_pending ||
                    w->watch->next_revision > sqlite->engine->revision(sqlite->file) ||
                    (is_known && !store_keys_touch(keys, rows.n_kvs, w->key, w->end)))
                        continue;
                sqlite_watch_schedule(w, from > w->watch->next_revision ? from
                                                                        : w->watch->next_revision);
        }
}

void sqlite_store_hold_watches(SqliteStore *sqlite) {
        int64_t next = sqlite->engine->revision(sqlite->file) + 1;

        for (ListNode *n = list_first(&sqlite->watches); n; n = list_next(&sqlite->watches, n)) {
                SqliteWatch *w = container_of(n, SqliteWatch, node);

                if (!w->is_pending)
                        sqlite_watch_schedule(
                                w, next > w->watch->next_revision ? next : w->watch->next_revision);
        }
}

void sqlite_store_resume_watches(SqliteStore *sqlite) {
        for (ListNode *n = list_first(&sqlite->watches); n; n = list_next(&sqlite->watches, n)) {
                SqliteWatch *w = container_of(n, SqliteWatch, node);

                if (w->is_pending)
                        loop_defer(sqlite->loop, &w->delivery);
        }
}

/* ---- starting and stopping */

static StoreBytes put_bytes(char *to, StoreBytes from) {
        if (from.n_bytes > 0)
                memcpy(to, from.data, from.n_bytes);
        return (StoreBytes){ .data = to, .n_bytes = from.n_bytes };
}

int store_sqlite_watch_start(StoreWatch *watch, StoreBytes key, StoreBytes end) {
        StoreSqlite *client = store_sqlite(watch->store);
        SqliteWatch *w = calloc(1, sizeof(*w) + key.n_bytes + end.n_bytes);

        if (!w)
                return -ENOMEM;

        w->watch = watch;
        w->sqlite = client->sqlite;
        w->key = put_bytes((char *)(w + 1), key);
        w->end = put_bytes((char *)(w + 1) + key.n_bytes, end);
        w->delivery.fn = sqlite_watch_on_delivery;
        watch->backend = w;
        list_append(&client->watches, &watch->node);
        list_append(&client->sqlite->watches, &w->node);
        sqlite_watch_schedule(w, watch->next_revision);
        return 0;
}

void store_sqlite_watch_stop(StoreWatch *watch) {
        SqliteWatch *w = watch->backend;

        loop_defer_cancel(&w->delivery);
        list_remove(&w->node);
        list_remove(&watch->node);
        free(w);
        watch->backend = NULL;
}

int64_t sqlite_watch_told(const StoreWatch *watch) {
        const SqliteWatch *w = watch->backend;

        return w->is_pending ? w->cursor - 1 : w->sqlite->engine->revision(w->sqlite->file);
}
