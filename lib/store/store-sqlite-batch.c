/* SPDX-License-Identifier: Apache-2.0 */

/* What the built-in store does in a turn of the loop: everything that was asked for in the turn
 * before is carried out in order, in one transaction of the file, and answered when that is on the
 * disk.
 *
 * A batch that cannot write fails as a whole, because an answer must not tell of what was not
 * written: its reads are carried out again, without the writes, and these end with what is known of
 * them. They were certainly not made, unless the disk failed in the very moment of the commit.
 *
 * Renewals of leases are not written down: they take no transaction and wake no disk.
 *
 * While another process keeps the file from being written, writes wait, and all else goes on: a
 * lease must not end because nobody could renew it.
 */

#include <errno.h>

#include "lib/store/store-rules.h"
#include "lib/store/store-sqlite-private.h"

enum {
        BATCH_CALLS_MAX = 256,             /* that one transaction has */
        BATCH_BYTES_MAX = 4 * 1024 * 1024, /* of arguments, after which no call begins */
        HISTORY_SLACK = 1000,    /* more revisions than are kept before some are dropped */
        BUSY_TOLD_US = US_PER_S, /* that another process holds the file, before it is trouble */
};

typedef struct SqliteBatch {
        SqliteStore *sqlite; /* borrowed */
        List calls;          /* SqliteCall.node */
        List granted;        /* SqliteLease.node: entered, to be taken out again on failure */
        List ended;          /* SqliteLease.node: to be taken out on success */
        int64_t revision;    /* before it */
        int64_t compact_to;  /* 0 = no further */
        bool has_due;        /* leases that have run out are ended */
        bool reads;          /* the file */
        bool writes;
        Diag diag;
} SqliteBatch;

void sqlite_store_wake(SqliteStore *sqlite) {
        if (sqlite->file && !timer_is_set(&sqlite->retry))
                loop_defer(sqlite->loop, &sqlite->batch);
}

/* ---- what is in it */

static bool sqlite_call_touches_file(const SqliteCall *call) {
        return call->kind == CALL_COMMAND || call->wants_keys || call->writes;
}

/* Are reads to be carried out again that failed for the writes beside them? Then nothing else is. */
static bool sqlite_reads_again(const SqliteStore *sqlite) {
        const ListNode *node = list_first(&sqlite->queue);

        return node && container_of(node, SqliteCall, node)->was_tried;
}

static void batch_take_calls(SqliteBatch *batch, bool reads_again) {
        SqliteStore *sqlite = batch->sqlite;
        size_t n_calls = 0, n_bytes = 0;
        ListNode *node;

        while ((node = list_first(&sqlite->queue)) && n_calls < BATCH_CALLS_MAX &&
               n_bytes < BATCH_BYTES_MAX) {
                SqliteCall *call = container_of(node, SqliteCall, node);

                if (reads_again && !call->was_tried)
                        break;
                list_remove(node);
                list_append(&batch->calls, node);
                call->state = CALL_TAKEN;
                n_calls++;
                n_bytes += call->n_bytes;
                batch->reads |= sqlite_call_touches_file(call);
                batch->writes |= call->writes;
        }
}

static void batch_take(SqliteBatch *batch) {
        SqliteStore *sqlite = batch->sqlite;

        batch->revision = sqlite->engine->revision(sqlite->file);
        if (sqlite_reads_again(sqlite)) {
                batch_take_calls(batch, true);
                return;
        }

        batch->compact_to = sqlite->compact_to < batch->revision ? sqlite->compact_to
                                                                 : batch->revision;
        batch->has_due = sqlite->has_due;
        sqlite->compact_to = 0;
        sqlite->has_due = false;
        batch->writes = batch->has_due || batch->compact_to > 0;
        batch_take_calls(batch, false);
}

/* ---- leases */

static SqliteLeaseInfo lease_info(const SqliteStore *sqlite, const StoreLease *lease) {
        uint64_t now_us = loop_now_us(sqlite->loop);

        return (SqliteLeaseInfo){
                .id = lease->id,
                .ttl_s = lease->ttl_s,
                .left_s = lease->deadline_us > now_us
                                  ? (int64_t)((lease->deadline_us - now_us) / US_PER_S)
                                  : 0,
        };
}

/* A number that no lease has; etcd, too, draws them. */
static int64_t sqlite_draw_lease_id(const SqliteStore *sqlite) {
        int64_t id;

        do {
                env_random_bytes(loop_env(sqlite->loop), &id, sizeof(id));
                id &= INT64_MAX;
        } while (id == 0 || store_leases_find(&sqlite->leases, id));
        return id;
}

static int batch_grant(SqliteBatch *batch, SqliteCall *call) {
        SqliteStore *sqlite = batch->sqlite;
        int64_t ttl_s = store_lease_grantable_ttl_s(call->number);
        SqliteLease *lease;

        if (ttl_s == 0)
                return STORE_E_LEASE_TOO_LONG;
        if (call->id != 0 && store_leases_find(&sqlite->leases, call->id))
                return STORE_E_LEASE_EXISTS;

        lease = calloc(1, sizeof(*lease));
        if (!lease)
                return -ENOMEM;
        lease->lease.id = call->id != 0 ? call->id : sqlite_draw_lease_id(sqlite);
        lease->lease.ttl_s = ttl_s;
        if (store_leases_add(&sqlite->leases, &lease->lease, store_lease_ttl_us(&lease->lease)) <
            0) {
                free(lease);
                return -ENOMEM;
        }

        list_append(&batch->granted, &lease->node);
        call->reply.lease = lease_info(sqlite, &lease->lease);
        return sqlite->engine->lease_add(sqlite->file, lease->lease.id, ttl_s, &batch->diag);
}

static int batch_end_lease(SqliteBatch *batch, SqliteLease *lease) {
        SqliteStore *sqlite = batch->sqlite;

        lease->is_ending = true;
        list_append(&batch->ended, &lease->node);
        return sqlite->engine->lease_end(sqlite->file, lease->lease.id, &batch->diag);
}

/* The lease, unless an earlier call of the batch ends it. */
static SqliteLease *batch_find_lease(const SqliteBatch *batch, int64_t id) {
        StoreLease *found = store_leases_find(&batch->sqlite->leases, id);
        SqliteLease *lease = found ? container_of(found, SqliteLease, lease) : NULL;

        return lease && !lease->is_ending ? lease : NULL;
}

static int batch_end_due(SqliteBatch *batch) {
        StoreLeases *leases = &batch->sqlite->leases;
        size_t n = 0;
        int r = 0;

        for (size_t i = 0; r == 0 && n < STORE_LEASES_PER_LOOK && i < leases->n_leases; i++)
                if (store_leases_is_over(leases, leases->all[i])) {
                        r = batch_end_lease(batch,
                                            container_of(leases->all[i], SqliteLease, lease));
                        n++;
                }
        return r;
}

static void sqlite_lease_drop(SqliteStore *sqlite, SqliteLease *lease) {
        list_remove(&lease->node);
        store_leases_remove(&sqlite->leases, &lease->lease);
        free(lease);
}

/* What became of the leases that the batch granted and ended. */
static void batch_settle_leases(SqliteBatch *batch, bool is_made) {
        List *over = is_made ? &batch->ended : &batch->granted;
        List *kept = is_made ? &batch->granted : &batch->ended;
        ListNode *node;

        while ((node = list_first(kept))) {
                container_of(node, SqliteLease, node)->is_ending = false;
                list_remove(node);
        }
        while ((node = list_first(over)))
                sqlite_lease_drop(batch->sqlite, container_of(node, SqliteLease, node));
}

/* ---- carrying it out */

static void sqlite_tell_status(SqliteStore *sqlite, StoreStatus *status) {
        *status = (StoreStatus){
                .version = "",
                .troubles = sqlite->trouble,
                .has_leader = true,
                .is_full = sqlite->is_full,
        };
        sqlite->engine->size(sqlite->file, &status->size_bytes, &status->used_bytes);
}

static int batch_command(SqliteBatch *batch, SqliteCall *call) {
        SqliteStore *sqlite = batch->sqlite;

        store_answer_done(&call->answer);
        return sqlite->engine->command(sqlite->file, call->command, &call->answer, &batch->diag);
}

static int batch_revoke(SqliteBatch *batch, const SqliteCall *call) {
        SqliteLease *lease = batch_find_lease(batch, call->id);

        return lease ? batch_end_lease(batch, lease) : STORE_E_NO_LEASE;
}

/* One that has run out is not revived in the moment until it is noticed. */
static int batch_keep_alive(SqliteBatch *batch, SqliteCall *call) {
        SqliteStore *sqlite = batch->sqlite;
        SqliteLease *lease = batch_find_lease(batch, call->id);

        if (!lease || store_leases_is_over(&sqlite->leases, &lease->lease))
                return STORE_E_NO_LEASE;

        store_leases_renew(&sqlite->leases, &lease->lease);
        call->reply.lease = lease_info(sqlite, &lease->lease);
        return 0;
}

static int batch_look(SqliteBatch *batch, SqliteCall *call) {
        SqliteStore *sqlite = batch->sqlite;
        const SqliteLease *lease = batch_find_lease(batch, call->id);

        if (!lease)
                return STORE_E_NO_LEASE;

        call->reply.lease = lease_info(sqlite, &lease->lease);
        sqlite_rows_done(&call->reply.keys);
        return call->wants_keys ? sqlite->engine->lease_keys(sqlite->file, call->id,
                                                             &call->reply.keys, &batch->diag)
                                : 0;
}

static int compare_leases(const void *a, const void *b) {
        const StoreLease *x = *(StoreLease *const *)a, *y = *(StoreLease *const *)b;

        return (x->deadline_us > y->deadline_us) - (x->deadline_us < y->deadline_us);
}

static int batch_list_leases(SqliteBatch *batch, SqliteCall *call) {
        const StoreLeases *leases = &batch->sqlite->leases;
        _cleanup_(freep) StoreLease **sorted = calloc(leases->n_leases + 1, sizeof(StoreLease *));
        size_t n = 0;

        free(call->leases);
        call->leases = calloc(leases->n_leases + 1, sizeof(*call->leases));
        if (!sorted || !call->leases)
                return -ENOMEM;

        for (size_t i = 0; i < leases->n_leases; i++)
                if (!container_of(leases->all[i], SqliteLease, lease)->is_ending)
                        sorted[n++] = leases->all[i];
        qsort(sorted, n, sizeof(StoreLease *), compare_leases);
        for (size_t i = 0; i < n; i++)
                call->leases[i] = lease_info(batch->sqlite, sorted[i]);
        call->reply.leases = call->leases;
        call->reply.n_leases = n;
        return 0;
}

/* It has the batches that follow forget as much as each may, and waits. */
static int batch_compact(SqliteBatch *batch, SqliteCall *call) {
        SqliteStore *sqlite = batch->sqlite;
        int64_t compacted = sqlite->engine->compacted(sqlite->file);

        call->is_waiting = false;
        if (!call->has_begun && call->number <= compacted)
                return STORE_E_COMPACTED;
        if (call->number > sqlite->engine->revision(sqlite->file))
                return STORE_E_FUTURE;
        if (call->number <= compacted)
                return 0;

        call->has_begun = true;
        call->is_waiting = true;
        sqlite_store_compact(sqlite, call->number);
        return 0;
}

static int batch_dispatch(SqliteBatch *batch, SqliteCall *call) {
        switch (call->kind) {
        case CALL_COMMAND:
                return batch_command(batch, call);
        case CALL_GRANT:
                return batch_grant(batch, call);
        case CALL_KEEP_ALIVE:
                return batch_keep_alive(batch, call);
        case CALL_REVOKE:
                return batch_revoke(batch, call);
        case CALL_LOOK:
                return batch_look(batch, call);
        case CALL_LEASES:
                return batch_list_leases(batch, call);
        case CALL_COMPACT:
                return batch_compact(batch, call);
        case CALL_STATUS:
                sqlite_tell_status(batch->sqlite, &call->store);
                return 0;
        }
        return STORE_E_INVALID;
}

static int batch_carry_out(SqliteBatch *batch) {
        SqliteStore *sqlite = batch->sqlite;
        int r = 0;

        if (batch->compact_to > 0)
                r = sqlite->engine->compact(sqlite->file, batch->compact_to, &batch->diag);
        if (r == 0 && batch->has_due)
                r = batch_end_due(batch);

        for (ListNode *n = list_first(&batch->calls); r >= 0 && n;
             n = list_next(&batch->calls, n)) {
                SqliteCall *call = container_of(n, SqliteCall, node);

                call->status = r = batch_dispatch(batch, call);
                call->reply.revision = sqlite->engine->revision(sqlite->file);
        }
        return r < 0 ? r : 0;
}

/* Returns 0, or a negative errno, and then nothing was made; except that nobody knows after a
 * failing commit, which `*ret_is_unknown` says. */
static int batch_run(SqliteBatch *batch, bool *ret_is_unknown) {
        SqliteStore *sqlite = batch->sqlite;
        bool has_transaction = batch->reads || batch->writes;
        int r;

        *ret_is_unknown = false;
        if (!has_transaction)
                return batch_carry_out(batch);

        r = sqlite->engine->begin(sqlite->file, batch->writes, &batch->diag);
        if (r < 0)
                return r;

        r = batch_carry_out(batch);
        if (r == 0) {
                r = sqlite->engine->commit(sqlite->file, &batch->diag);
                *ret_is_unknown = r < 0 && r != -ENOSPC && r != -EAGAIN && r != -ENOMEM;
        }
        if (r < 0)
                sqlite->engine->rollback(sqlite->file);
        return r;
}

/* ---- afterwards */

/* What a call ends with in a batch that failed with `r`. */
static int outcome_of(const SqliteCall *call, int r, bool is_unknown) {
        if (r == -ENOMEM)
                return -ENOMEM;
        if (r == -ENOSPC && call->writes)
                return STORE_E_NO_SPACE;
        return is_unknown && call->writes ? STORE_E_UNKNOWN : STORE_E_UNREACHABLE;
}

static void sqlite_finish_calls(List *calls) {
        ListNode *node;

        while ((node = list_first(calls)))
                sqlite_call_finish(container_of(node, SqliteCall, node));
}

/* Puts back what may be carried out later, and ends the rest. A call that another process held up
 * waits for as long as it has; a read that failed for the writes beside it is tried once more. */
static void batch_fail(SqliteBatch *batch, int r, bool is_unknown) {
        List over = { 0 }, again = { 0 };
        ListNode *node;

        batch_settle_leases(batch, false);
        while ((node = list_pop(&batch->calls))) {
                SqliteCall *call = container_of(node, SqliteCall, node);
                bool waits = r == -EAGAIN || (!call->writes && !call->was_tried);

                call->was_tried |= r != -EAGAIN;
                call->state = waits ? CALL_QUEUED : CALL_TAKEN;
                call->status = outcome_of(call, r, is_unknown);
                list_append(waits ? &again : &over, node);
        }
        list_splice(&again, &batch->sqlite->queue);
        list_splice(&batch->sqlite->queue, &again);
        sqlite_finish_calls(&over);
}

/* Sees to it that history does not grow without bound: by count now, by age later. */
static void sqlite_watch_over_history(SqliteStore *sqlite) {
        int64_t revision = sqlite->engine->revision(sqlite->file);
        int64_t compacted = sqlite->engine->compacted(sqlite->file);

        if (revision - compacted > sqlite->history_revisions + HISTORY_SLACK)
                sqlite_store_compact(sqlite, revision - sqlite->history_revisions);
        if (revision > compacted && !timer_is_set(&sqlite->history)) {
                sqlite->mark = revision;
                timer_set_in(sqlite->loop, &sqlite->history, sqlite->history_us);
        }
}

/* Puts back what this batch carried out a part of. */
static void batch_put_back_waiting(SqliteBatch *batch) {
        ListNode *next;

        for (ListNode *n = list_first(&batch->calls); n; n = next) {
                SqliteCall *call = container_of(n, SqliteCall, node);

                next = list_next(&batch->calls, n);
                if (!call->is_waiting)
                        continue;
                list_remove(n);
                list_append(&batch->sqlite->queue, n);
                call->state = CALL_QUEUED;
        }
}

static void batch_succeed(SqliteBatch *batch) {
        SqliteStore *sqlite = batch->sqlite;

        batch_settle_leases(batch, true);
        if (batch->writes) {
                sqlite_store_note_trouble(sqlite, NULL);
                sqlite->is_full = false;
                sqlite->busy_us = 0;
        }
        if (sqlite->engine->revision(sqlite->file) > batch->revision)
                sqlite_store_notify(sqlite, batch->revision + 1);
        if (batch->compact_to > sqlite->engine->compacted(sqlite->file))
                sqlite_store_compact(sqlite, batch->compact_to);
        sqlite_watch_over_history(sqlite);
        batch_put_back_waiting(batch);
        if (!list_is_empty(&sqlite->queue) || sqlite->has_due || sqlite->compact_to > 0)
                sqlite_store_wake(sqlite);
        sqlite_finish_calls(&batch->calls);
}

static void sqlite_note_busy(SqliteStore *sqlite, const Diag *diag) {
        uint64_t now_us = loop_now_us(sqlite->loop);

        sqlite_store_retry(sqlite);
        if (sqlite->busy_us == 0)
                sqlite->busy_us = now_us;
        else if (now_us - sqlite->busy_us >= BUSY_TOLD_US)
                sqlite_store_note_trouble(sqlite, diag->message);
}

/* Puts back what writes. */
static void batch_leave_out_writes(SqliteBatch *batch) {
        List writes = { 0 };
        ListNode *next;

        batch_settle_leases(batch, false);
        for (ListNode *n = list_first(&batch->calls); n; n = next) {
                SqliteCall *call = container_of(n, SqliteCall, node);

                next = list_next(&batch->calls, n);
                if (!call->writes)
                        continue;
                list_remove(n);
                list_append(&writes, n);
                call->state = CALL_QUEUED;
        }
        list_splice(&writes, &batch->sqlite->queue);
        list_splice(&batch->sqlite->queue, &writes);
        batch->writes = batch->has_due = false;
        batch->compact_to = 0;
}

/* Leases that have run out, and history, are seen to at the next occasion. */
static void batch_note_failure(SqliteBatch *batch, int r) {
        SqliteStore *sqlite = batch->sqlite;

        if (r == -EAGAIN || r == -ENOMEM) {
                sqlite_store_retry(sqlite);
        } else if (r == -ENOSPC) {
                sqlite_store_note_trouble(sqlite, batch->diag.message);
                sqlite->is_full = true;
                sqlite_store_wake(sqlite);
        } else {
                sqlite_store_lose(sqlite, r, &batch->diag);
        }
}

void sqlite_store_on_batch(LoopDeferred *deferred) {
        SqliteStore *sqlite = container_of(deferred, SqliteStore, batch);
        SqliteBatch batch = { .sqlite = sqlite };
        bool is_unknown;
        int r;

        if (!sqlite->file)
                return;

        batch_take(&batch);
        r = batch_run(&batch, &is_unknown);
        if (r == -EAGAIN && batch.writes) {
                sqlite_note_busy(sqlite, &batch.diag);
                batch_leave_out_writes(&batch);
                r = batch_run(&batch, &is_unknown);
        }
        if (r == 0) {
                batch_succeed(&batch);
                return;
        }

        batch_note_failure(&batch, r);
        batch_fail(&batch, r, is_unknown);
}

void sqlite_store_compact(SqliteStore *sqlite, int64_t revision) {
        if (revision > sqlite->compact_to)
                sqlite->compact_to = revision;
        sqlite_store_wake(sqlite);
}
