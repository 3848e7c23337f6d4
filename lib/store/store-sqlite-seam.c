/* SPDX-License-Identifier: Apache-2.0 */

/* The requests of the store seam, as calls of the built-in store: a range and a transaction are
 * commands that ask for less. */

#include <errno.h>

#include "lib/store/store-rules.h"
#include "lib/store/store-sqlite-private.h"

/* The seam has fewer outcomes. */
static int seam_status(int status) {
        if (status < _STORE_E_MAX)
                return status;
        if (status == STORE_E_FUTURE)
                return STORE_E_COMPACTED;
        return status == STORE_E_TOO_MANY ? STORE_E_TOO_LARGE : STORE_E_INVALID;
}

static void seam_on_end(SqliteCall *call) {
        StoreRequest *request = call->owner;
        const StoreReply reply = {
                .revision = call->reply.revision,
                .kvs = call->answer.rows.kvs,
                .n_kvs = call->answer.rows.n_kvs,
                .more = call->answer.more,
                .succeeded = call->answer.succeeded,
                .lease = call->reply.lease.id,
                .lease_ttl_s = call->reply.lease.ttl_s,
                .lease_left_s = call->reply.lease.left_s,
                .status = call->store,
        };

        list_remove(&request->node);
        store_request_finish(request, seam_status(call->status), call->status == 0 ? &reply : NULL);
}

static void seam_start(Store *store, StoreRequest *request, SqliteCall *call, uint64_t timeout_us) {
        request->backend = call;
        list_append(&store_sqlite(store)->requests, &request->node);
        sqlite_call_start(call, timeout_us);
}

void store_sqlite_cancel(StoreRequest *request) {
        sqlite_call_end_with(request->backend, -ECANCELED);
}

/* ---- commands */

static int seam_start_command(Store *store, StoreRequest *request, const StoreCommand *command,
                              int status, uint64_t timeout_us) {
        SqliteCall *call;

        if (status < 0 || sqlite_call_new_command(&call, store_sqlite(store)->sqlite, command,
                                                  STORE_NESTED_OPS_MAX, seam_on_end, request) < 0)
                return -ENOMEM;
        if (status > 0)
                call->status = status;
        seam_start(store, request, call, timeout_us);
        return 0;
}

int store_sqlite_range(Store *store, StoreRequest *request, const StoreRange *range,
                       uint64_t timeout_us) {
        const StoreCommand command = {
                .kind = STORE_COMMAND_RANGE,
                .key = range->key,
                .end = range->end,
                .revision = range->revision,
                .limit = range->limit,
                .keys_only = range->keys_only,
        };

        return seam_start_command(store, request, &command, 0, timeout_us);
}

static StoreCommand command_of(const StoreOp *op) {
        return (StoreCommand){
                .kind = op->kind == STORE_OP_PUT ? STORE_COMMAND_PUT : STORE_COMMAND_DELETE,
                .key = op->key,
                .end = op->end,
                .value = op->value,
                .lease = op->lease,
        };
}

int store_sqlite_txn(Store *store, StoreRequest *request, const StoreTxn *txn,
                     uint64_t timeout_us) {
        _cleanup_(freep) StoreTest *tests = calloc(txn->n_compares + 1, sizeof(*tests));
        _cleanup_(freep) StoreCommand *commands = calloc(txn->n_ops + 1, sizeof(*commands));
        const StoreCommand command = {
                .kind = STORE_COMMAND_TXN,
                .tests = tests,
                .n_tests = txn->n_compares,
                .then = commands,
                .n_then = txn->n_ops,
        };

        if (!tests || !commands)
                return -ENOMEM;
        for (size_t i = 0; i < txn->n_compares; i++)
                tests[i] = store_test_of(&txn->compares[i]);
        for (size_t i = 0; i < txn->n_ops; i++)
                commands[i] = command_of(&txn->ops[i]);
        return seam_start_command(store, request, &command, store_txn_check_size(txn), timeout_us);
}

/* ---- the others */

static int seam_start_call(Store *store, StoreRequest *request, SqliteCallKind kind, int64_t id,
                           int64_t number, uint64_t timeout_us) {
        SqliteCall *call = sqlite_call_new(store_sqlite(store)->sqlite, kind, seam_on_end, request);

        if (!call)
                return -ENOMEM;

        call->id = id;
        call->number = number;
        seam_start(store, request, call, timeout_us);
        return 0;
}

int store_sqlite_lease_grant(Store *store, StoreRequest *request, int64_t lease, int64_t ttl_s,
                             uint64_t timeout_us) {
        return seam_start_call(store, request, CALL_GRANT, lease, ttl_s, timeout_us);
}

int store_sqlite_lease_keep_alive(Store *store, StoreRequest *request, int64_t lease,
                                  uint64_t timeout_us) {
        return seam_start_call(store, request, CALL_KEEP_ALIVE, lease, 0, timeout_us);
}

int store_sqlite_lease_revoke(Store *store, StoreRequest *request, int64_t lease,
                              uint64_t timeout_us) {
        return seam_start_call(store, request, CALL_REVOKE, lease, 0, timeout_us);
}

int store_sqlite_lease_look(Store *store, StoreRequest *request, int64_t lease,
                            uint64_t timeout_us) {
        return seam_start_call(store, request, CALL_LOOK, lease, 0, timeout_us);
}

int store_sqlite_status(Store *store, StoreRequest *request, uint64_t timeout_us) {
        return seam_start_call(store, request, CALL_STATUS, 0, 0, timeout_us);
}
