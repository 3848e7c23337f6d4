/* SPDX-License-Identifier: Apache-2.0 */

/* The requests of the built-in store.
 *
 *     QUEUED ──batch──> TAKEN ──> finished
 *        │ ^             │
 *        │ └─ the file cannot be used now, and it only reads
 *        ├──deadline──> finished: it was certainly not carried out
 *        └──cancelled──> ENDING ──next turn──> finished
 */

#include <errno.h>

#include "lib/store/store-sqlite-private.h"

static SqliteCall *sqlite_call_free(SqliteCall *call) {
        if (!call)
                return NULL;

        list_remove(&call->node);
        store_arguments_done(&call->arguments);
        sqlite_rows_done(&call->rows);
        free(call);
        return NULL;
}
DEFINE_CLEANUP(SqliteCall, sqlite_call_free)

void sqlite_call_finish(SqliteCall *call) {
        StoreRequest *request = call->request;

        timer_clear(&request->deadline);
        loop_defer_cancel(&request->completion);
        list_remove(&request->node);
        store_request_finish(request, call->status, call->status == 0 ? &call->reply : NULL);
        sqlite_call_free(call);
}

static void sqlite_call_on_deadline(LoopTimer *timer) {
        SqliteCall *call = container_of(timer, StoreRequest, deadline)->backend;

        call->status = STORE_E_UNREACHABLE;
        sqlite_call_finish(call);
}

static void sqlite_call_on_completion(LoopDeferred *completion) {
        sqlite_call_finish(container_of(completion, StoreRequest, completion)->backend);
}

void store_sqlite_cancel(StoreRequest *request) {
        SqliteCall *call = request->backend;

        if (call->state != CALL_QUEUED)
                return;

        list_remove(&call->node);
        timer_clear(&request->deadline);
        call->state = CALL_ENDING;
        call->status = -ECANCELED;
        loop_defer(call->sqlite->loop, &request->completion);
}

bool sqlite_call_writes(const SqliteCall *call) {
        switch (call->arguments.kind) {
        case STORE_KIND_TXN:
                return call->arguments.txn.n_ops > 0;
        case STORE_KIND_LEASE_GRANT:
        case STORE_KIND_LEASE_REVOKE:
                return true;
        default:
                return false;
        }
}

/* ---- starting */

static SqliteCall *sqlite_call_new(Store *store, StoreKind kind) {
        SqliteCall *call = calloc(1, sizeof(*call));

        if (!call)
                return NULL;

        call->sqlite = store_sqlite(store)->sqlite;
        call->arguments.kind = kind;
        return call;
}

/* Takes the call. */
static void sqlite_call_start(SqliteCall *call, StoreRequest *request, uint64_t timeout_us) {
        call->request = request;
        request->backend = call;
        request->deadline.fn = sqlite_call_on_deadline;
        request->completion.fn = sqlite_call_on_completion;
        timer_set_in(call->sqlite->loop, &request->deadline, timeout_us);
        list_append(&call->sqlite->queue, &call->node);
        list_append(&store_sqlite(request->store)->requests, &request->node);
        sqlite_store_wake(call->sqlite);
}

int store_sqlite_range(Store *store, StoreRequest *request, const StoreRange *range,
                       uint64_t timeout_us) {
        _cleanup_(sqlite_call_freep) SqliteCall *call = sqlite_call_new(store, STORE_KIND_RANGE);

        if (!call || store_arguments_copy_range(&call->arguments, range) < 0)
                return -ENOMEM;
        sqlite_call_start(TAKE(call), request, timeout_us);
        return 0;
}

int store_sqlite_txn(Store *store, StoreRequest *request, const StoreTxn *txn,
                     uint64_t timeout_us) {
        _cleanup_(sqlite_call_freep) SqliteCall *call = sqlite_call_new(store, STORE_KIND_TXN);

        if (!call || store_arguments_copy_txn(&call->arguments, txn) < 0)
                return -ENOMEM;
        sqlite_call_start(TAKE(call), request, timeout_us);
        return 0;
}

static int sqlite_call_start_number(Store *store, StoreRequest *request, StoreKind kind,
                                    int64_t lease, int64_t number, uint64_t timeout_us) {
        SqliteCall *call = sqlite_call_new(store, kind);

        if (!call)
                return -ENOMEM;

        call->arguments.lease = lease;
        call->arguments.number = number;
        sqlite_call_start(call, request, timeout_us);
        return 0;
}

int store_sqlite_lease_grant(Store *store, StoreRequest *request, int64_t lease, int64_t ttl_s,
                             uint64_t timeout_us) {
        return sqlite_call_start_number(store, request, STORE_KIND_LEASE_GRANT, lease, ttl_s,
                                        timeout_us);
}

int store_sqlite_lease_keep_alive(Store *store, StoreRequest *request, int64_t lease,
                                  uint64_t timeout_us) {
        return sqlite_call_start_number(store, request, STORE_KIND_LEASE_KEEP_ALIVE, 0, lease,
                                        timeout_us);
}

int store_sqlite_lease_revoke(Store *store, StoreRequest *request, int64_t lease,
                              uint64_t timeout_us) {
        return sqlite_call_start_number(store, request, STORE_KIND_LEASE_REVOKE, 0, lease,
                                        timeout_us);
}

int store_sqlite_lease_look(Store *store, StoreRequest *request, int64_t lease,
                            uint64_t timeout_us) {
        return sqlite_call_start_number(store, request, STORE_KIND_LEASE_LOOK, 0, lease,
                                        timeout_us);
}

int store_sqlite_status(Store *store, StoreRequest *request, uint64_t timeout_us) {
        return sqlite_call_start_number(store, request, STORE_KIND_STATUS, 0, 0, timeout_us);
}
