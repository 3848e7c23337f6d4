/* SPDX-License-Identifier: Apache-2.0 */

/* Encoding and decoding of etcd's messages with protobuf-c, whose generated code (proto/etcd.proto)
 * is seen by this file only.
 */

#include "lib/store/store-etcd-codec.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/store/proto/etcd.pb-c.h"
#include "lib/store/store-etcd-outcome.h"
#include "lib/store/store-lease.h"

enum {
        ETCD_REQUEST_MAX_BYTES = 1536 << 10, /* etcd's --max-request-bytes, by default */
};

/* Small helpers. */

static ProtobufCBinaryData binary(StoreBytes bytes) {
        return (ProtobufCBinaryData){ .len = bytes.n_bytes, .data = (uint8_t *)bytes.data };
}

static StoreBytes bytes_of(ProtobufCBinaryData data) {
        return (StoreBytes){ .data = data.data, .n_bytes = data.len };
}

/* The first key of a range; etcd takes no empty key, the smallest there is does the same for
 * [key, end). */
static ProtobufCBinaryData range_start(StoreBytes key, StoreBytes end) {
        if (key.n_bytes == 0 && end.n_bytes > 0)
                return (ProtobufCBinaryData){ .len = 1, .data = (uint8_t *)"" };
        return binary(key);
}

static int call_add(GrpcCall *call, const ProtobufCMessage *message) {
        size_t n_bytes = protobuf_c_message_get_packed_size(message);
        uint8_t *bytes;
        int r;

        r = grpc_call_add_message(call, n_bytes, &bytes);
        if (r < 0)
                return r;

        (void)protobuf_c_message_pack(message, bytes);
        return 0;
}

static int unpack(const ProtobufCMessageDescriptor *type, const GrpcMessage *message,
                  EtcdArena *arena, ProtobufCMessage **ret) {
        ProtobufCAllocator allocator = {
                .alloc = etcd_arena_allocate,
                .free = etcd_arena_release,
                .allocator_data = arena,
        };

        *ret = protobuf_c_message_unpack(type, &allocator, message->n_bytes, message->bytes);
        if (!*ret)
                return arena->has_failed ? -ENOMEM : -EBADMSG;
        return 0;
}

static int64_t header_revision(const Etcd__Header *header) {
        return header ? header->revision : 0;
}

/* Can it be a revision? Whoever is told one goes on from the next. */
static bool is_revision(int64_t number) {
        return number > 0 && number < INT64_MAX;
}

/* Are the numbers of a reply such as a store has, or 0 for none? Callers count on from revisions, and
 * a lease's time in microseconds. Returns 0 or -EBADMSG. */
static int reply_check(const StoreReply *reply) {
        return (reply->revision == 0 || is_revision(reply->revision)) && reply->lease_ttl_s >= 0 &&
                               reply->lease_ttl_s <= STORE_LEASE_TTL_MAX_S &&
                               reply->lease_left_s <= STORE_LEASE_TTL_MAX_S
                       ? 0
                       : -EBADMSG;
}

/* Requests. */

int etcd_encode_range(GrpcCall *call, const StoreRange *range) {
        Etcd__RangeRequest request = ETCD__RANGE_REQUEST__INIT;

        request.key = range_start(range->key, range->end);
        request.range_end = binary(range->end);
        request.revision = range->revision;
        request.limit = range->limit;
        request.keys_only = range->keys_only;
        return call_add(call, &request.base);
}

int etcd_txn_plan(size_t n_compares, size_t n_ops, size_t *ret_n_groups, size_t *ret_n_ops_each) {
        if (n_ops <= STORE_TXN_OPS_MAX) {
                *ret_n_groups = 1;
                *ret_n_ops_each = n_ops;
                return 0;
        }

        for (size_t n_groups = 2; n_groups < STORE_TXN_OPS_MAX; n_groups++) {
                size_t n_list = n_compares > n_groups ? n_compares : n_groups;
                size_t n_each = (n_ops + n_groups - 1) / n_groups;

                if (n_list + n_each <= STORE_TXN_OPS_MAX) {
                        *ret_n_groups = n_groups;
                        *ret_n_ops_each = n_each;
                        return 0;
                }
        }
        return -EMSGSIZE;
}

/* A transaction's messages while they are being packed, in one allocation each. */
typedef struct TxnMessages {
        Etcd__Compare *compares;
        Etcd__Compare **compare_list;
        Etcd__RequestOp *ops; /* one per operation, then one per group */
        Etcd__RequestOp **op_list;
        union {
                Etcd__PutRequest put;
                Etcd__DeleteRangeRequest delete_range;
        } * requests;
        Etcd__TxnRequest *groups;
} TxnMessages;

static void txn_messages_done(TxnMessages *messages) {
        free(messages->compares);
        free(messages->compare_list);
        free(messages->ops);
        free(messages->op_list);
        free(messages->requests);
        free(messages->groups);
}

static int txn_messages_init(TxnMessages *messages, size_t n_compares, size_t n_ops,
                             size_t n_groups) {
        messages->compares = calloc(n_compares + 1, sizeof *messages->compares);
        messages->compare_list = calloc(n_compares + 1, sizeof *messages->compare_list);
        messages->ops = calloc(n_ops + n_groups, sizeof *messages->ops);
        messages->op_list = calloc(n_ops + n_groups, sizeof *messages->op_list);
        messages->requests = calloc(n_ops + 1, sizeof *messages->requests);
        messages->groups = calloc(n_groups, sizeof *messages->groups);
        return messages->compares && messages->compare_list && messages->ops && messages->op_list &&
                               messages->requests && messages->groups
                       ? 0
                       : -ENOMEM;
}

static void compare_fill(Etcd__Compare *message, const StoreCompare *compare) {
        static const Etcd__Compare__Result results[] = {
                [STORE_COMPARE_EQUAL] = ETCD__COMPARE__RESULT__EQUAL,
                [STORE_COMPARE_LESS] = ETCD__COMPARE__RESULT__LESS,
                [STORE_COMPARE_GREATER] = ETCD__COMPARE__RESULT__GREATER,
        };

        etcd__compare__init(message);
        message->key = range_start(compare->key, compare->end);
        message->range_end = binary(compare->end);
        message->result = results[compare->result];
        if (compare->target == STORE_COMPARE_CREATE) {
                message->target = ETCD__COMPARE__TARGET__CREATE;
                message->target_union_case = ETCD__COMPARE__TARGET_UNION_CREATE_REVISION;
                message->create_revision = compare->revision;
        } else {
                message->target = ETCD__COMPARE__TARGET__MOD;
                message->target_union_case = ETCD__COMPARE__TARGET_UNION_MOD_REVISION;
                message->mod_revision = compare->revision;
        }
}

static void op_fill(TxnMessages *messages, size_t i, const StoreOp *op) {
        Etcd__RequestOp *message = &messages->ops[i];

        etcd__request_op__init(message);
        messages->op_list[i] = message;
        if (op->kind == STORE_OP_PUT) {
                Etcd__PutRequest *put = &messages->requests[i].put;

                etcd__put_request__init(put);
                put->key = binary(op->key);
                put->value = binary(op->value);
                put->lease = op->lease;
                message->request_case = ETCD__REQUEST_OP__REQUEST_PUT;
                message->put = put;
        } else {
                Etcd__DeleteRangeRequest *delete = &messages->requests[i].delete_range;

                etcd__delete_range_request__init(delete);
                delete->key = range_start(op->key, op->end);
                delete->range_end = binary(op->end);
                message->request_case = ETCD__REQUEST_OP__REQUEST_DELETE_RANGE;
                message->delete_range = delete;
        }
}

/* Puts the operations into nested transactions; the outer one's list follows theirs. */
static void groups_fill(TxnMessages *messages, Etcd__TxnRequest *outer, size_t n_ops,
                        size_t n_groups, size_t n_ops_each) {
        for (size_t i = 0; i < n_groups; i++) {
                size_t first = i * n_ops_each < n_ops ? i * n_ops_each : n_ops;
                Etcd__TxnRequest *group = &messages->groups[i];
                Etcd__RequestOp *op = &messages->ops[n_ops + i];

                etcd__txn_request__init(group);
                group->success = messages->op_list + first;
                group->n_success = n_ops - first < n_ops_each ? n_ops - first : n_ops_each;
                etcd__request_op__init(op);
                op->request_case = ETCD__REQUEST_OP__REQUEST_TXN;
                op->txn = group;
                messages->op_list[n_ops + i] = op;
        }

        outer->success = messages->op_list + n_ops;
        outer->n_success = n_groups;
}

static size_t txn_size_bytes(const StoreTxn *txn) {
        size_t n_bytes = 0;

        for (size_t i = 0; i < txn->n_compares; i++)
                n_bytes += txn->compares[i].key.n_bytes + txn->compares[i].end.n_bytes;
        for (size_t i = 0; i < txn->n_ops; i++)
                n_bytes += txn->ops[i].key.n_bytes + txn->ops[i].end.n_bytes +
                           txn->ops[i].value.n_bytes;
        return n_bytes;
}

int etcd_encode_txn(GrpcCall *call, const StoreTxn *txn) {
        _cleanup_(txn_messages_done) TxnMessages messages = { 0 };
        Etcd__TxnRequest request = ETCD__TXN_REQUEST__INIT;
        size_t n_groups, n_ops_each;
        int r;

        if (txn_size_bytes(txn) > STORE_REQUEST_MAX_BYTES)
                return -EMSGSIZE;
        r = etcd_txn_plan(txn->n_compares, txn->n_ops, &n_groups, &n_ops_each);
        if (r < 0)
                return r;
        r = txn_messages_init(&messages, txn->n_compares, txn->n_ops, n_groups);
        if (r < 0)
                return r;

        for (size_t i = 0; i < txn->n_compares; i++) {
                compare_fill(&messages.compares[i], &txn->compares[i]);
                messages.compare_list[i] = &messages.compares[i];
        }
        for (size_t i = 0; i < txn->n_ops; i++)
                op_fill(&messages, i, &txn->ops[i]);

        request.compare = messages.compare_list;
        request.n_compare = txn->n_compares;
        request.success = messages.op_list;
        request.n_success = txn->n_ops;
        if (n_groups > 1)
                groups_fill(&messages, &request, txn->n_ops, n_groups, n_ops_each);

        if (etcd__txn_request__get_packed_size(&request) > ETCD_REQUEST_MAX_BYTES)
                return -EMSGSIZE;
        return call_add(call, &request.base);
}

int etcd_encode_lease_grant(GrpcCall *call, int64_t lease, int64_t ttl_s) {
        Etcd__LeaseGrantRequest request = ETCD__LEASE_GRANT_REQUEST__INIT;

        request.id = lease;
        request.ttl = ttl_s;
        return call_add(call, &request.base);
}

int etcd_encode_lease_revoke(GrpcCall *call, int64_t lease) {
        Etcd__LeaseRevokeRequest request = ETCD__LEASE_REVOKE_REQUEST__INIT;

        request.id = lease;
        return call_add(call, &request.base);
}

int etcd_encode_lease_look(GrpcCall *call, int64_t lease) {
        Etcd__LeaseTimeToLiveRequest request = ETCD__LEASE_TIME_TO_LIVE_REQUEST__INIT;

        request.id = lease;
        return call_add(call, &request.base);
}

int etcd_encode_lease_keep_alive(GrpcCall *call, int64_t lease) {
        Etcd__LeaseKeepAliveRequest request = ETCD__LEASE_KEEP_ALIVE_REQUEST__INIT;

        request.id = lease;
        return call_add(call, &request.base);
}

int etcd_encode_watch_create(GrpcCall *call, int64_t watch_id, StoreBytes key, StoreBytes end,
                             int64_t start_revision) {
        Etcd__WatchCreateRequest create = ETCD__WATCH_CREATE_REQUEST__INIT;
        Etcd__WatchRequest request = ETCD__WATCH_REQUEST__INIT;

        create.key = range_start(key, end);
        create.range_end = binary(end);
        create.start_revision = start_revision;
        create.progress_notify = true;
        create.watch_id = watch_id;
        create.fragment = true;
        request.request_case = ETCD__WATCH_REQUEST__REQUEST_CREATE;
        request.create = &create;
        return call_add(call, &request.base);
}

int etcd_encode_watch_cancel(GrpcCall *call, int64_t watch_id) {
        Etcd__WatchCancelRequest cancel = ETCD__WATCH_CANCEL_REQUEST__INIT;
        Etcd__WatchRequest request = ETCD__WATCH_REQUEST__INIT;

        cancel.watch_id = watch_id;
        request.request_case = ETCD__WATCH_REQUEST__REQUEST_CANCEL;
        request.cancel = &cancel;
        return call_add(call, &request.base);
}

int etcd_encode_authenticate(GrpcCall *call, const char *username, const char *password) {
        Etcd__AuthenticateRequest request = ETCD__AUTHENTICATE_REQUEST__INIT;

        request.name = (char *)username;
        request.password = (char *)password;
        return call_add(call, &request.base);
}

int etcd_encode_status(GrpcCall *call) {
        uint8_t *bytes;

        return grpc_call_add_message(call, 0, &bytes); /* the request has no fields */
}

/* Replies. */

static void kv_fill(StoreKv *kv, const Etcd__KeyValue *message) {
        *kv = (StoreKv){
                .key = bytes_of(message->key),
                .value = bytes_of(message->value),
                .create_revision = message->create_revision,
                .mod_revision = message->mod_revision,
                .version = message->version,
                .lease = message->lease,
        };
}

int etcd_decode_range(const GrpcMessage *message, EtcdReply *ret_reply) {
        EtcdArena arena = { 0 };
        ProtobufCMessage *base;
        Etcd__RangeResponse *response;
        StoreKv *kvs;
        int r;

        r = unpack(&etcd__range_response__descriptor, message, &arena, &base);
        if (r < 0)
                goto fail;

        response = (Etcd__RangeResponse *)base;
        kvs = etcd_arena_allocate(&arena, response->n_kvs * sizeof *kvs);
        if (!kvs) {
                r = -ENOMEM;
                goto fail;
        }

        for (size_t i = 0; i < response->n_kvs; i++)
                kv_fill(&kvs[i], response->kvs[i]);

        *ret_reply = (EtcdReply){
                .arena = arena,
                .reply = {
                        .revision = header_revision(response->header),
                        .kvs = kvs,
                        .n_kvs = response->n_kvs,
                        .more = response->more,
                },
        };
        r = reply_check(&ret_reply->reply);
        if (r == 0)
                return 0;
fail:
        etcd_arena_done(&arena);
        return r;
}

int etcd_decode_txn(const GrpcMessage *message, EtcdReply *ret_reply) {
        _cleanup_(etcd_arena_done) EtcdArena arena = { 0 };
        ProtobufCMessage *base;
        const Etcd__TxnResponse *response;
        int r;

        r = unpack(&etcd__txn_response__descriptor, message, &arena, &base);
        if (r < 0)
                return r;

        response = (const Etcd__TxnResponse *)base;
        *ret_reply = (EtcdReply){ .reply = {
                                          .revision = header_revision(response->header),
                                          .succeeded = response->succeeded,
                                  } };
        return reply_check(&ret_reply->reply);
}

int etcd_decode_lease_grant(const GrpcMessage *message, EtcdReply *ret_reply) {
        _cleanup_(etcd_arena_done) EtcdArena arena = { 0 };
        ProtobufCMessage *base;
        const Etcd__LeaseGrantResponse *response;
        int r;

        r = unpack(&etcd__lease_grant_response__descriptor, message, &arena, &base);
        if (r < 0)
                return r;

        response = (const Etcd__LeaseGrantResponse *)base;
        if (response->id == 0 || response->ttl <= 0)
                return -EBADMSG;

        *ret_reply = (EtcdReply){ .reply = {
                                          .revision = header_revision(response->header),
                                          .lease = response->id,
                                          .lease_ttl_s = response->ttl,
                                  } };
        return reply_check(&ret_reply->reply);
}

int etcd_decode_lease_revoke(const GrpcMessage *message, EtcdReply *ret_reply) {
        _cleanup_(etcd_arena_done) EtcdArena arena = { 0 };
        ProtobufCMessage *base;
        int r;

        r = unpack(&etcd__lease_revoke_response__descriptor, message, &arena, &base);
        if (r < 0)
                return r;

        *ret_reply = (EtcdReply){
                .reply = { .revision = header_revision(
                                   ((Etcd__LeaseRevokeResponse *)base)->header) },
        };
        return reply_check(&ret_reply->reply);
}

int etcd_decode_lease_look(const GrpcMessage *message, EtcdReply *ret_reply) {
        _cleanup_(etcd_arena_done) EtcdArena arena = { 0 };
        const Etcd__LeaseTimeToLiveResponse *response;
        ProtobufCMessage *base;
        bool is_known;
        int r;

        r = unpack(&etcd__lease_time_to_live_response__descriptor, message, &arena, &base);
        if (r < 0)
                return r;

        response = (const Etcd__LeaseTimeToLiveResponse *)base;
        is_known = response->ttl >= 0 && response->granted_ttl > 0;
        *ret_reply = (EtcdReply){ .reply = {
                                          .revision = header_revision(response->header),
                                          .lease = response->id,
                                          .lease_ttl_s = is_known ? response->granted_ttl : 0,
                                          .lease_left_s = is_known ? response->ttl : 0,
                                  } };
        return reply_check(&ret_reply->reply);
}

int etcd_decode_lease_keep_alive(const GrpcMessage *message, EtcdReply *ret_reply) {
        _cleanup_(etcd_arena_done) EtcdArena arena = { 0 };
        ProtobufCMessage *base;
        const Etcd__LeaseKeepAliveResponse *response;
        int r;

        r = unpack(&etcd__lease_keep_alive_response__descriptor, message, &arena, &base);
        if (r < 0)
                return r;

        response = (const Etcd__LeaseKeepAliveResponse *)base;
        *ret_reply = (EtcdReply){ .reply = {
                                          .revision = header_revision(response->header),
                                          .lease = response->id,
                                          .lease_ttl_s = response->ttl > 0 ? response->ttl : 0,
                                  } };
        return reply_check(&ret_reply->reply);
}

/* The words of `errors`, one after the other, in the arena; NULL = out of memory. */
static const char *join_errors(EtcdArena *arena, char *const *errors, size_t n_errors) {
        size_t n_bytes = 1;
        char *text, *end;

        for (size_t i = 0; i < n_errors; i++)
                n_bytes += strlen(errors[i]) + 2;
        text = end = etcd_arena_allocate(arena, n_bytes);
        if (!text)
                return NULL;

        *text = '\0';
        for (size_t i = 0; i < n_errors; i++) {
                size_t n = strlen(errors[i]);

                /* An alarm is printed with a space behind it. */
                while (n > 0 && errors[i][n - 1] == ' ')
                        n--;
                if (end > text)
                        end = stpcpy(end, "; ");
                end = mempcpy(end, errors[i], n);
                *end = '\0';
        }
        return text;
}

int etcd_decode_status(const GrpcMessage *message, EtcdReply *ret_reply) {
        EtcdArena arena = { 0 };
        ProtobufCMessage *base;
        const Etcd__StatusResponse *response;
        const char *troubles = NULL;
        bool is_ours;
        int r;

        r = unpack(&etcd__status_response__descriptor, message, &arena, &base);
        response = (const Etcd__StatusResponse *)base;
        if (r == 0) {
                troubles = join_errors(&arena, response->errors, response->n_errors);
                r = troubles ? 0 : -ENOMEM;
        }
        if (r < 0) {
                etcd_arena_done(&arena);
                return r;
        }

        /* A built-in store of ours has no alarms; what troubles it are its writes, and its version is
         * nobody's affair. */
        is_ours = strstr(response->version, STORE_SERVED_MARK);
        *ret_reply = (EtcdReply){
                .arena = arena,
                .reply = {
                        .revision = header_revision(response->header),
                        .status = {
                                .version = is_ours ? "" : response->version,
                                .troubles = troubles,
                                .size_bytes = response->db_size,
                                .used_bytes = response->db_size_in_use,
                                .quota_bytes = response->db_size_quota,
                                .has_leader = response->leader != 0,
                                .is_full = is_ours ? *troubles != 0 : strstr(troubles, "alarm:NOSPACE") != NULL,
                                .is_corrupt = strstr(troubles, "alarm:CORRUPT"),
                        },
                },
        };
        return 0;
}

/* Returns 0, or -EBADMSG for an event of no key and revision. */
static int event_fill(StoreEvent *event, const Etcd__Event *message) {
        if (!message->kv || !is_revision(message->kv->mod_revision))
                return -EBADMSG;

        kv_fill(&event->kv, message->kv);
        event->kind = message->type == ETCD__EVENT__TYPE__DELETE ? STORE_EVENT_DELETE
                                                                 : STORE_EVENT_PUT;
        if (event->kind == STORE_EVENT_DELETE)
                event->kv.create_revision = event->kv.lease = 0;
        return 0;
}

int etcd_decode_watch(const GrpcMessage *message, EtcdArena *arena, EtcdWatchReply *ret_reply) {
        ProtobufCMessage *base;
        const Etcd__WatchResponse *response;
        StoreEvent *events;
        int r;

        r = unpack(&etcd__watch_response__descriptor, message, arena, &base);
        if (r < 0)
                return r;

        response = (const Etcd__WatchResponse *)base;
        events = etcd_arena_allocate(arena, response->n_events * sizeof *events);
        if (!events)
                return -ENOMEM;

        for (size_t i = 0; i < response->n_events; i++) {
                r = event_fill(&events[i], response->events[i]);
                if (r < 0)
                        return r;
        }

        *ret_reply = (EtcdWatchReply){
                .watch_id = response->watch_id,
                .created = response->created,
                .canceled = response->canceled,
                .is_fragment = response->fragment,
                .compact_revision = response->compact_revision,
                .events = events,
                .n_events = response->n_events,
        };
        return 0;
}

int etcd_decode_authenticate(const GrpcMessage *message, char **ret_token) {
        _cleanup_(etcd_arena_done) EtcdArena arena = { 0 };
        ProtobufCMessage *base;
        char *token;
        int r;

        r = unpack(&etcd__authenticate_response__descriptor, message, &arena, &base);
        if (r < 0)
                return r;

        token = strdup(((Etcd__AuthenticateResponse *)base)->token);
        if (!token)
                return -ENOMEM;

        *ret_token = token;
        return 0;
}
