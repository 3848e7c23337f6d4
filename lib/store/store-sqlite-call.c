/* SPDX-License-Identifier: Apache-2.0 */

/* The calls of the built-in store: what its clients ask (store-sqlite-seam.c), and those whom it is
 * served to (store-sqlite-serving.c).
 *
 *     QUEUED ──batch──> TAKEN ──> finished
 *        │ ^             │
 *        │ └─ the file cannot be used now, and it only reads; or it takes several batches
 *        ├──deadline──> finished: it was certainly not carried out
 *        └──cancelled, or refused──> ENDING ──next turn──> finished
 */

#include <errno.h>

#include "lib/store/store-sqlite-private.h"

static SqliteCall *sqlite_call_free(SqliteCall *call) {
        if (!call)
                return NULL;

        list_remove(&call->node);
        timer_clear(&call->deadline);
        loop_defer_cancel(&call->completion);
        store_answer_done(&call->answer);
        sqlite_rows_done(&call->reply.keys);
        free(call->leases);
        free(call->command);
        free(call);
        return NULL;
}
DEFINE_CLEANUP(SqliteCall, sqlite_call_free)

void sqlite_call_finish(SqliteCall *call) {
        timer_clear(&call->deadline);
        loop_defer_cancel(&call->completion);
        call->on_end(call);
        sqlite_call_free(call);
}

/* A part of a compaction may have been made. */
static void sqlite_call_on_deadline(LoopTimer *timer) {
        SqliteCall *call = container_of(timer, SqliteCall, deadline);

        call->status = call->has_begun ? STORE_E_UNKNOWN : STORE_E_UNREACHABLE;
        sqlite_call_finish(call);
}

static void sqlite_call_on_completion(LoopDeferred *completion) {
        sqlite_call_finish(container_of(completion, SqliteCall, completion));
}

static bool sqlite_call_kind_writes(SqliteCallKind kind) {
        return kind == CALL_GRANT || kind == CALL_REVOKE || kind == CALL_COMPACT;
}

SqliteCall *sqlite_call_new(SqliteStore *sqlite, SqliteCallKind kind, SqliteCallFn on_end,
                            void *owner) {
        SqliteCall *call = calloc(1, sizeof(*call));

        if (!call)
                return NULL;

        call->sqlite = sqlite;
        call->kind = kind;
        call->writes = sqlite_call_kind_writes(kind);
        call->on_end = on_end;
        call->owner = owner;
        call->deadline.fn = sqlite_call_on_deadline;
        call->completion.fn = sqlite_call_on_completion;
        return call;
}

int sqlite_call_new_command(SqliteCall **ret_call, SqliteStore *sqlite, const StoreCommand *command,
                            size_t max_ops, SqliteCallFn on_end, void *owner) {
        _cleanup_(sqlite_call_freep)
                SqliteCall *call = sqlite_call_new(sqlite, CALL_COMMAND, on_end, owner);

        if (!call)
                return -ENOMEM;

        call->status = store_command_check(command, max_ops);
        if (call->status < 0)
                return call->status;
        if (call->status == 0) {
                call->writes = store_command_writes(command);
                if (store_command_copy(&call->command, command, &call->n_bytes) < 0)
                        return -ENOMEM;
        }
        *ret_call = TAKE(call);
        return 0;
}

void sqlite_call_start(SqliteCall *call, uint64_t timeout_us) {
        if (call->status != 0) {
                sqlite_call_end_with(call, call->status);
                return;
        }

        timer_set_in(call->sqlite->loop, &call->deadline, timeout_us);
        list_append(&call->sqlite->queue, &call->node);
        sqlite_store_wake(call->sqlite);
}

void sqlite_call_end_with(SqliteCall *call, int status) {
        if (call->state != CALL_QUEUED)
                return;

        list_remove(&call->node);
        timer_clear(&call->deadline);
        call->state = CALL_ENDING;
        call->status = status;
        loop_defer(call->sqlite->loop, &call->completion);
}
