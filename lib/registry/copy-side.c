/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/registry/copy-side.h"

#include <errno.h>

#include "lib/registry/key.h"

enum {
        WRITE_TIMEOUT_US = 10 * US_PER_S, /* what is removed may be much */
        TRIES_MAX = 5,
};

/* A request that is waited for. */
typedef struct Wait {
        StoreRequest request;
        CopySide *side;
        CopyTakeFn take; /* or NULL */
        void *userdata;
        int status;
        int64_t revision;
        bool succeeded;
        bool more;
} Wait;

static void on_done(StoreRequest *request, int status, const StoreReply *reply) {
        Wait *wait = container_of(request, Wait, request);

        wait->status = status;
        if (reply) {
                wait->revision = reply->revision;
                wait->succeeded = reply->succeeded;
                wait->more = reply->more;
        }
        if (reply && wait->take) {
                int r = wait->take(wait->userdata, reply);

                wait->status = r < 0 ? r : status;
        }
        loop_exit(wait->side->loop, 0);
}

/* Waits for what was started with the result `r`. Returns the request's status. */
static int wait_end(Wait *wait, int r) {
        if (r < 0)
                return r;
        r = loop_run(wait->side->loop);
        return r < 0 ? r : wait->status;
}

/* The errno and the message for what a request to a store ended with. */
static int side_fail(const CopySide *side, int status, const char *what, Diag *diag) {
        if (status < 0 && diag && diag->message[0])
                return status;
        return diag_set(diag,
                        status < 0                 ? status
                        : status == STORE_E_DENIED ? -EACCES
                                                   : -EIO,
                        "cannot %s %s: %s", what, side->name, store_outcome_to_string(status));
}

/* May it be asked again, since a second copy does no harm? */
static bool is_worth_another(int status) {
        return status == STORE_E_UNKNOWN || status == STORE_E_UNREACHABLE;
}

static int side_txn(CopySide *side, const StoreTxn *txn, Wait *ret_wait) {
        *ret_wait = (Wait){ .side = side };
        return wait_end(ret_wait,
                        store_txn(side->store, &ret_wait->request, txn, WRITE_TIMEOUT_US, on_done));
}

/* Returns the status. */
static int side_txn_again(CopySide *side, const StoreTxn *txn, bool *ret_is_made) {
        int status = STORE_E_UNKNOWN;
        Wait wait = { 0 };

        for (int i = 0; i < TRIES_MAX && is_worth_another(status); i++)
                status = side_txn(side, txn, &wait);
        *ret_is_made = wait.succeeded;
        return status;
}

int copy_side_range(CopySide *side, const StoreRange *range, CopyTakeFn take, void *userdata,
                    bool *ret_more, Diag *diag) {
        Wait wait = { .side = side, .take = take, .userdata = userdata };
        int status = STORE_E_UNREACHABLE;

        for (int i = 0; i < TRIES_MAX && status == STORE_E_UNREACHABLE; i++)
                status = wait_end(&wait, store_range(side->store, &wait.request, range,
                                                     STORE_LIST_TIMEOUT_US, on_done));
        if (ret_more)
                *ret_more = wait.more;
        return status == 0 ? 0 : side_fail(side, status, "read", diag);
}

static int take_any(void *userdata, const StoreReply *reply) {
        *(bool *)userdata = reply->n_kvs > 0;
        return 0;
}

int copy_side_has(CopySide *side, StoreBytes key, StoreBytes end, bool *ret_has, Diag *diag) {
        const StoreRange range = { .key = key, .end = end, .limit = 1, .keys_only = true };

        return copy_side_range(side, &range, take_any, ret_has, NULL, diag);
}

int copy_side_write(CopySide *side, const StoreTxn *txn, bool *ret_is_made, Diag *diag) {
        int status = side_txn_again(side, txn, ret_is_made);

        return status == 0 ? 0 : side_fail(side, status, "write to", diag);
}

int copy_side_grant(CopySide *side, int64_t lease, int64_t ttl_s, Diag *diag) {
        Wait wait = { .side = side };
        int status = STORE_E_UNKNOWN;

        for (int i = 0; i < TRIES_MAX && (is_worth_another(status) || status == STORE_E_INVALID);
             i++) {
                status = wait_end(&wait, store_lease_keep_alive(side->store, &wait.request, lease,
                                                                STORE_CALL_TIMEOUT_US, on_done));
                if (status == STORE_E_NO_LEASE)
                        status = wait_end(
                                &wait, store_lease_grant_as(side->store, &wait.request, lease,
                                                            ttl_s, STORE_CALL_TIMEOUT_US, on_done));
        }
        return status == 0 ? 0 : side_fail(side, status, "grant a lease in", diag);
}

/* Beginning and end */

void copy_side_done(CopySide *side) {
        registry_free(side->registry);
        buf_done(&side->first);
        buf_done(&side->end);
        buf_done(&side->closed);
        free(side->why_closed);
}

int copy_side_init(CopySide *side, Loop *loop, Store *store, const char *name, const char *prefix) {
        const RecordKey closed = { .kind = RECORD_CLOSED };
        int r;

        *side = (CopySide){
                .loop = loop,
                .store = store,
                .name = name,
                .first = buf_make(REGISTRY_KEY_MAX_BYTES),
                .end = buf_make(REGISTRY_KEY_MAX_BYTES),
                .closed = buf_make(REGISTRY_KEY_MAX_BYTES),
        };
        r = registry_new(&side->registry, store, loop, prefix);
        if (r == 0)
                r = buf_append_string(&side->first, side->registry->prefix);
        if (r == 0)
                r = record_key_end(&side->first, &side->end);
        if (r == 0)
                r = record_key_encode(side->registry, &closed, &side->closed);
        return r;
}

/* Closed and open */

static int take_closed(void *userdata, const StoreReply *reply) {
        _cleanup_(freep) char *strings = NULL;
        CopySide *side = userdata;
        Record record;
        int r;

        free(TAKE(side->why_closed));
        side->closed_at = 0;
        if (reply->n_kvs == 0)
                return 0;

        r = record_decode(side->registry, reply->kvs, false, false, &record, &strings);
        if (r < 0)
                return r;
        side->closed_at = reply->kvs->mod_revision;
        side->why_closed = strdup(record.is_bad ? "nobody can read why" : record.closed.why);
        record_done(&record);
        return side->why_closed ? 0 : -ENOMEM;
}

int copy_side_look(CopySide *side, Diag *diag) {
        const StoreRange range = { .key = copy_bytes_of(&side->closed) };

        return copy_side_range(side, &range, take_closed, side, NULL, diag);
}

int copy_side_close(CopySide *side, StoreTxn *txn, StoreOp *ops, const char *why, Diag *diag) {
        const ClosedRecord record = { .why = (char *)why };
        _cleanup_(freep) char *json = NULL;
        Wait wait;
        int r, status;

        r = closed_record_encode(&record, &json);
        if (r < 0)
                return r;

        ops[0] = (StoreOp){ .key = copy_bytes_of(&side->closed), .value = store_bytes(json) };
        txn->ops = ops;
        status = side_txn(side, txn, &wait);
        if (status == 0 && !wait.succeeded)
                return -EAGAIN;
        if (status == 0) {
                side->closed_at = wait.revision;
                return 0;
        }
        if (status != STORE_E_UNKNOWN)
                return side_fail(side, status, "close", diag);

        r = copy_side_look(side, diag);
        if (r < 0)
                return r;
        return side->why_closed && streq(side->why_closed, why)
                       ? 0
                       : side_fail(side, status, "close", diag);
}

StoreCompare copy_still_closed(const CopySide *side) {
        return (StoreCompare){ .key = copy_bytes_of(&side->closed),
                               .target = STORE_COMPARE_MOD,
                               .revision = side->closed_at };
}

int copy_side_open(CopySide *side, Diag *diag) {
        const StoreCompare compare = copy_still_closed(side);
        const StoreOp op = { .kind = STORE_OP_DELETE, .key = copy_bytes_of(&side->closed) };
        const StoreTxn txn = { .compares = &compare, .n_compares = 1, .ops = &op, .n_ops = 1 };
        bool is_made;
        int status = side_txn_again(side, &txn, &is_made);

        return status == 0 ? 0 : side_fail(side, status, "open", diag);
}
