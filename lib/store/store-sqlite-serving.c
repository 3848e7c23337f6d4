/* SPDX-License-Identifier: Apache-2.0 */

/* The requests of who serves the built-in store to others. */

#include "lib/store/store-serving.h"

#include <assert.h>
#include <errno.h>

#include "lib/store/store-sqlite-private.h"

static void serving_on_end(SqliteCall *call) {
        SqliteRequest *request = call->owner;

        request->call = NULL;
        call->reply.answer = &call->answer;
        request->done(request, call->status, call->status == 0 ? &call->reply : NULL);
}

static void serving_start(SqliteRequest *request, SqliteCall *call, uint64_t timeout_us,
                          SqliteRequestDone done) {
        assert(!request->call);
        request->done = done;
        request->call = call;
        sqlite_call_start(call, timeout_us);
}

int sqlite_request_command(SqliteRequest *request, SqliteStore *sqlite, const StoreCommand *command,
                           uint64_t timeout_us, SqliteRequestDone done) {
        SqliteCall *call;
        int r;

        r = sqlite_call_new_command(&call, sqlite, command, STORE_TXN_OPS_MAX, serving_on_end,
                                    request);
        if (r == 0)
                serving_start(request, call, timeout_us, done);
        return r;
}

/* Starts any other call. */
static int serving_start_call(SqliteRequest *request, SqliteStore *sqlite, const SqliteCall *asked,
                              uint64_t timeout_us, SqliteRequestDone done) {
        SqliteCall *call = sqlite_call_new(sqlite, asked->kind, serving_on_end, request);

        if (!call)
                return -ENOMEM;

        call->id = asked->id;
        call->number = asked->number;
        call->wants_keys = asked->wants_keys;
        serving_start(request, call, timeout_us, done);
        return 0;
}

int sqlite_request_grant(SqliteRequest *request, SqliteStore *sqlite, int64_t id, int64_t ttl_s,
                         uint64_t timeout_us, SqliteRequestDone done) {
        const SqliteCall asked = { .kind = CALL_GRANT, .id = id, .number = ttl_s };

        return serving_start_call(request, sqlite, &asked, timeout_us, done);
}

int sqlite_request_keep_alive(SqliteRequest *request, SqliteStore *sqlite, int64_t id,
                              uint64_t timeout_us, SqliteRequestDone done) {
        const SqliteCall asked = { .kind = CALL_KEEP_ALIVE, .id = id };

        return serving_start_call(request, sqlite, &asked, timeout_us, done);
}

int sqlite_request_revoke(SqliteRequest *request, SqliteStore *sqlite, int64_t id,
                          uint64_t timeout_us, SqliteRequestDone done) {
        const SqliteCall asked = { .kind = CALL_REVOKE, .id = id };

        return serving_start_call(request, sqlite, &asked, timeout_us, done);
}

int sqlite_request_look(SqliteRequest *request, SqliteStore *sqlite, int64_t id, bool wants_keys,
                        uint64_t timeout_us, SqliteRequestDone done) {
        const SqliteCall asked = { .kind = CALL_LOOK, .id = id, .wants_keys = wants_keys };

        return serving_start_call(request, sqlite, &asked, timeout_us, done);
}

int sqlite_request_leases(SqliteRequest *request, SqliteStore *sqlite, uint64_t timeout_us,
                          SqliteRequestDone done) {
        const SqliteCall asked = { .kind = CALL_LEASES };

        return serving_start_call(request, sqlite, &asked, timeout_us, done);
}

int sqlite_request_compact(SqliteRequest *request, SqliteStore *sqlite, int64_t revision,
                           uint64_t timeout_us, SqliteRequestDone done) {
        const SqliteCall asked = { .kind = CALL_COMPACT, .number = revision };

        return serving_start_call(request, sqlite, &asked, timeout_us, done);
}

void sqlite_request_cancel(SqliteRequest *request) {
        if (request->call)
                sqlite_call_end_with(request->call, -ECANCELED);
}

bool sqlite_request_is_pending(const SqliteRequest *request) {
        return request->call;
}

/* ---- what is known without asking */

SqliteState sqlite_store_state(SqliteStore *sqlite) {
        SqliteState state = { .why = sqlite->trouble, .identity = (uint64_t)sqlite->identity };

        if (!sqlite->file)
                return state;

        state.is_open = true;
        state.revision = sqlite->engine->revision(sqlite->file);
        state.compacted = sqlite->engine->compacted(sqlite->file);
        return state;
}

void sqlite_store_size(SqliteStore *sqlite, int64_t *ret_bytes, int64_t *ret_used_bytes) {
        *ret_bytes = *ret_used_bytes = 0;
        if (sqlite->file)
                sqlite->engine->size(sqlite->file, ret_bytes, ret_used_bytes);
}

int sqlite_store_previous(SqliteStore *sqlite, const StoreKv *kv, SqliteRows *ret_rows) {
        return sqlite->file ? sqlite->engine->previous(sqlite->file, kv, ret_rows, NULL)
                            : STORE_E_UNREACHABLE;
}
