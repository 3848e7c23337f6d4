/* SPDX-License-Identifier: Apache-2.0 */

/* What is answered: the store's answers as etcd's messages. The order of a range, and its limits of
 * the revisions, are made here: etcd, too, makes them of all that the range has. */

#include "lib/serve/serve-codec.h"
#include "lib/store/store-rules.h"

static ProtobufCBinaryData binary(StoreBytes bytes) {
        return (ProtobufCBinaryData){ .len = bytes.n_bytes, .data = (uint8_t *)bytes.data };
}

static void kv_fill(Served__KeyValue *message, const StoreKv *kv) {
        served__key_value__init(message);
        message->key = binary(kv->key);
        message->value = binary(kv->value);
        message->create_revision = kv->create_revision;
        message->mod_revision = kv->mod_revision;
        message->version = kv->version;
        message->lease = kv->lease;
}

Served__KeyValue *serve_kv(EtcdArena *arena, const StoreKv *kv) {
        Served__KeyValue *message = serve_allocate(arena, 1, sizeof(*message));

        if (message)
                kv_fill(message, kv);
        return message;
}

static Served__KeyValue **kvs_of(EtcdArena *arena, const StoreKv *kvs, size_t n_kvs) {
        Served__KeyValue *messages = serve_allocate(arena, n_kvs, sizeof(*messages));
        Served__KeyValue **list = serve_allocate(arena, n_kvs, sizeof(Served__KeyValue *));

        if (!messages || !list)
                return NULL;

        for (size_t i = 0; i < n_kvs; i++) {
                kv_fill(&messages[i], &kvs[i]);
                list[i] = &messages[i];
        }
        return list;
}

/* ---- ranges */

static bool range_has(const Served__RangeRequest *request, const StoreKv *kv) {
        return (request->min_mod_revision == 0 || kv->mod_revision >= request->min_mod_revision) &&
               (request->max_mod_revision == 0 || kv->mod_revision <= request->max_mod_revision) &&
               (request->min_create_revision == 0 ||
                kv->create_revision >= request->min_create_revision) &&
               (request->max_create_revision == 0 ||
                kv->create_revision <= request->max_create_revision);
}

static int compare_numbers(int64_t a, int64_t b) {
        return (a > b) - (a < b);
}

/* For qsort_r(3); what is equal stays in the order of the keys. */
static int compare_kvs(const void *left, const void *right, void *userdata) {
        const Served__RangeRequest *request = userdata;
        const StoreKv *a = left, *b = right;
        int r = 0;

        switch (request->sort_target) {
        case SERVED__RANGE_REQUEST__SORT_TARGET__VERSION:
                r = compare_numbers(a->version, b->version);
                break;
        case SERVED__RANGE_REQUEST__SORT_TARGET__CREATE:
                r = compare_numbers(a->create_revision, b->create_revision);
                break;
        case SERVED__RANGE_REQUEST__SORT_TARGET__MOD:
                r = compare_numbers(a->mod_revision, b->mod_revision);
                break;
        case SERVED__RANGE_REQUEST__SORT_TARGET__VALUE:
                r = store_bytes_compare(a->value, b->value);
                break;
        default:
                r = store_bytes_compare(a->key, b->key);
                break;
        }
        if (request->sort_order == SERVED__RANGE_REQUEST__SORT_ORDER__DESCEND)
                r = -r;
        return r != 0 ? r : store_bytes_compare(a->key, b->key);
}

/* Copies of the rows that the request wants, in its order; `*ret_n` of them. */
static StoreKv *range_sift(EtcdArena *arena, const Served__RangeRequest *request,
                           const SqliteRows *rows, size_t *ret_n) {
        StoreKv *kvs = serve_allocate(arena, rows->n_kvs, sizeof(*kvs));
        size_t n = 0;

        if (!kvs)
                return NULL;

        for (size_t i = 0; i < rows->n_kvs; i++)
                if (range_has(request, &rows->kvs[i]))
                        kvs[n++] = rows->kvs[i];
        if (request->sort_target != SERVED__RANGE_REQUEST__SORT_TARGET__KEY ||
            request->sort_order == SERVED__RANGE_REQUEST__SORT_ORDER__DESCEND)
                qsort_r(kvs, n, sizeof(*kvs), compare_kvs, (void *)request);
        if (request->keys_only)
                for (size_t i = 0; i < n; i++)
                        kvs[i].value = (StoreBytes){ 0 };
        *ret_n = n;
        return kvs;
}

Served__RangeResponse *serve_range_response(EtcdArena *arena, const Served__RangeRequest *request,
                                            const StoreAnswer *answer) {
        Served__RangeResponse *response = serve_allocate(arena, 1, sizeof(*response));
        size_t n = 0;
        StoreKv *kvs = response ? range_sift(arena, request, &answer->rows, &n) : NULL;

        if (!kvs)
                return NULL;

        served__range_response__init(response);
        response->more = answer->more;
        if (request->limit > 0 && n > (uint64_t)request->limit) {
                n = (size_t)request->limit;
                response->more = true;
        }
        response->count = answer->count;
        response->n_kvs = n;
        response->kvs = kvs_of(arena, kvs, n);
        return response->kvs ? response : NULL;
}

/* ---- writes */

Served__PutResponse *serve_put_response(EtcdArena *arena, const StoreAnswer *answer) {
        Served__PutResponse *response = serve_allocate(arena, 1, sizeof(*response));

        if (!response)
                return NULL;

        served__put_response__init(response);
        if (answer->rows.n_kvs > 0) {
                response->prev_kv = serve_kv(arena, &answer->rows.kvs[0]);
                if (!response->prev_kv)
                        return NULL;
        }
        return response;
}

Served__DeleteRangeResponse *serve_delete_response(EtcdArena *arena, const StoreAnswer *answer) {
        Served__DeleteRangeResponse *response = serve_allocate(arena, 1, sizeof(*response));

        if (!response)
                return NULL;

        served__delete_range_response__init(response);
        response->deleted = answer->count;
        response->n_prev_kvs = answer->rows.n_kvs;
        response->prev_kvs = kvs_of(arena, answer->rows.kvs, answer->rows.n_kvs);
        return response->prev_kvs ? response : NULL;
}

/* ---- transactions */

/* Fills in the answer to one operation. Returns whether there was memory for it. */
static bool op_answer(EtcdArena *arena, const Served__RequestOp *op, const StoreAnswer *answer,
                      Served__Header *header, Served__ResponseOp *response) {
        served__response_op__init(response);
        switch (answer->kind) {
        case STORE_COMMAND_RANGE:
                response->response_case = SERVED__RESPONSE_OP__RESPONSE_RANGE;
                response->range = serve_range_response(arena, op->range, answer);
                if (response->range)
                        response->range->header = header;
                return response->range;
        case STORE_COMMAND_PUT:
                response->response_case = SERVED__RESPONSE_OP__RESPONSE_PUT;
                response->put = serve_put_response(arena, answer);
                if (response->put)
                        response->put->header = header;
                return response->put;
        case STORE_COMMAND_DELETE:
                response->response_case = SERVED__RESPONSE_OP__RESPONSE_DELETE_RANGE;
                response->delete_range = serve_delete_response(arena, answer);
                if (response->delete_range)
                        response->delete_range->header = header;
                return response->delete_range;
        case STORE_COMMAND_TXN:
                response->response_case = SERVED__RESPONSE_OP__RESPONSE_TXN;
                response->txn = serve_txn_response(arena, op->txn, answer);
                if (response->txn) {
                        header->revision = 0;
                        response->txn->header = header;
                }
                return response->txn;
        }
        return false;
}

Served__TxnResponse *serve_txn_response(EtcdArena *arena, const Served__TxnRequest *request,
                                        const StoreAnswer *answer) {
        Served__RequestOp *const *ops = answer->succeeded ? request->success : request->failure;
        size_t n = answer->n_answers;
        Served__TxnResponse *response = serve_allocate(arena, 1, sizeof(*response));
        Served__ResponseOp *messages = serve_allocate(arena, n, sizeof(*messages));
        Served__ResponseOp **list = serve_allocate(arena, n, sizeof(Served__ResponseOp *));
        Served__Header *headers = serve_allocate(arena, n, sizeof(*headers));

        if (!response || !messages || !list || !headers)
                return NULL;

        served__txn_response__init(response);
        response->succeeded = answer->succeeded;
        response->n_responses = n;
        response->responses = list;
        for (size_t i = 0; i < n; i++) {
                served__header__init(&headers[i]);
                headers[i].revision = answer->answers[i].revision;
                if (!op_answer(arena, ops[i], &answer->answers[i], &headers[i], &messages[i]))
                        return NULL;
                list[i] = &messages[i];
        }
        return response;
}
