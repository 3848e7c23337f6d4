/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/store/store-etcd-codec.h"

#include <errno.h>
#include <stdio.h>

#include "lib/store/proto/etcd.pb-c.h"
#include "lib/store/store-lease.h"
#include "tests/unit/fault.h"

/* The plan for a transaction, checked by etcd's own rule for every list. */
static void assert_plan(size_t n_compares, size_t n_ops) {
        size_t n_groups, n_each, n_outer;

        ck_assert_int_eq(etcd_txn_plan(n_compares, n_ops, &n_groups, &n_each), 0);
        ck_assert_uint_ge(n_groups * n_each, n_ops);
        if (n_groups == 1) {
                ck_assert_uint_le(n_ops, STORE_TXN_OPS_MAX);
                return;
        }
        n_outer = n_compares > n_groups ? n_compares : n_groups;
        ck_assert_uint_le(n_outer, STORE_TXN_OPS_MAX);
        ck_assert_uint_le(n_each, STORE_TXN_OPS_MAX - n_outer);
}

/* Every number of operations up to 4,096 fits with up to 64 comparisons; beyond, the plan says
 * so instead of sending what etcd refuses. */
START_TEST(test_plan) {
        size_t n_groups, n_each;

        for (size_t n_compares = 0; n_compares <= 64; n_compares++)
                for (size_t n_ops = 0; n_ops <= 4096; n_ops += 1 + n_ops / 50)
                        assert_plan(n_compares, n_ops);
        assert_plan(64, 4096);
        assert_plan(128, 128);
        ck_assert_int_eq(etcd_txn_plan(128, 129, &n_groups, &n_each), -EMSGSIZE);
        ck_assert_int_eq(etcd_txn_plan(0, 4097, &n_groups, &n_each), -EMSGSIZE);
}
END_TEST

/* The one message in a call's output. */
static const GrpcMessage *output_of(const GrpcCall *call) {
        return container_of(list_first(&call->output.messages), GrpcMessage, node);
}

/* A nested transaction holds each operation once and in order, and all comparisons at the top. */
START_TEST(test_nested_txn) {
        GrpcCall call = { 0 };
        StoreOp ops[1000];
        char keys[1000][8];
        StoreCompare compares[2] = {
                { .key = store_bytes("a"), .target = STORE_COMPARE_CREATE, .revision = 7 },
                { .key = store_bytes("b"),
                  .target = STORE_COMPARE_MOD,
                  .result = STORE_COMPARE_LESS },
        };
        StoreTxn txn = { .compares = compares, .n_compares = 2, .ops = ops, .n_ops = 1000 };
        Etcd__TxnRequest *request;
        size_t n = 0;

        for (size_t i = 0; i < 1000; i++) {
                (void)snprintf(keys[i], sizeof keys[i], "%04zu", i);
                ops[i] = (StoreOp){ .kind = i % 2 ? STORE_OP_DELETE : STORE_OP_PUT,
                                    .key = store_bytes(keys[i]) };
        }
        ck_assert_int_eq(etcd_encode_txn(&call, &txn), 0);
        request = etcd__txn_request__unpack(NULL,
                                            output_of(&call)->n_bytes - GRPC_FRAME_HEADER_BYTES,
                                            output_of(&call)->bytes + GRPC_FRAME_HEADER_BYTES);
        ck_assert_ptr_nonnull(request);
        ck_assert_uint_eq(request->n_compare, 2);
        ck_assert_int_eq(request->compare[0]->create_revision, 7);
        ck_assert_int_eq(request->compare[1]->target_union_case,
                         ETCD__COMPARE__TARGET_UNION_MOD_REVISION);
        ck_assert_int_eq(request->compare[1]->result, ETCD__COMPARE__RESULT__LESS);
        for (size_t i = 0; i < request->n_success; i++) {
                const Etcd__TxnRequest *group = request->success[i]->txn;

                for (size_t j = 0; j < group->n_success; j++, n++) {
                        const Etcd__RequestOp *op = group->success[j];

                        ck_assert_int_eq(op->request_case,
                                         n % 2 ? ETCD__REQUEST_OP__REQUEST_DELETE_RANGE
                                               : ETCD__REQUEST_OP__REQUEST_PUT);
                        ck_assert_int_eq(
                                memcmp(n % 2 ? op->delete_range->key.data : op->put->key.data,
                                       keys[n], 4),
                                0);
                }
        }
        ck_assert_uint_eq(n, 1000);
        etcd__txn_request__free_unpacked(request, NULL);
        grpc_call_done(&call);
}
END_TEST

/* A transaction over the limit is refused here, not by the server. */
START_TEST(test_too_large) {
        _cleanup_(freep) char *value = calloc(1, STORE_REQUEST_MAX_BYTES);
        GrpcCall call = { 0 };
        StoreOp op = { .kind = STORE_OP_PUT,
                       .key = store_bytes("k"),
                       .value = { value, STORE_REQUEST_MAX_BYTES } };

        ck_assert_int_eq(etcd_encode_txn(&call, &(StoreTxn){ .ops = &op, .n_ops = 1 }), -EMSGSIZE);
        op.value.n_bytes--;
        ck_assert_int_eq(etcd_encode_txn(&call, &(StoreTxn){ .ops = &op, .n_ops = 1 }), 0);
        grpc_call_done(&call);
}
END_TEST

/* Bytes that are no message are an error, whatever they are; none of them leaks. */
START_TEST(test_nonsense) {
        static const char *const nonsense[] = { "\x0a", "\x12\x7f", "\x0a\x05xx",
                                                "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
                                                "\x12\x02\x0a\x50" };

        for (size_t i = 0; i < ELEMENTSOF(nonsense); i++) {
                size_t n = strlen(nonsense[i]);
                _cleanup_(freep) GrpcMessage *message = malloc(sizeof *message + n);
                _cleanup_(etcd_arena_done) EtcdArena arena = { 0 };
                EtcdWatchReply watch_reply;
                EtcdReply reply;

                message->n_bytes = n;
                memcpy(message->bytes, nonsense[i], n);
                ck_assert_int_eq(etcd_decode_range(message, &reply), -EBADMSG);
                (void)etcd_decode_watch(message, &arena, &watch_reply);
        }
}
END_TEST

static GrpcMessage *packed(const ProtobufCMessage *message) {
        GrpcMessage *bytes = malloc(sizeof *bytes + protobuf_c_message_get_packed_size(message));

        bytes->n_bytes = protobuf_c_message_pack(message, bytes->bytes);
        return bytes;
}

/* A range reply of many keys, large and small, decodes to the same bytes. */
START_TEST(test_decode_range) {
        enum { N = 3000 };
        Etcd__RangeResponse response = ETCD__RANGE_RESPONSE__INIT;
        Etcd__Header header = ETCD__HEADER__INIT;
        _cleanup_(freep) Etcd__KeyValue *kvs = calloc(N, sizeof *kvs);
        _cleanup_(freep) Etcd__KeyValue **list = calloc(N, sizeof *list);
        _cleanup_(freep) uint8_t *value = calloc(1, 200000);
        _cleanup_(freep) GrpcMessage *message = NULL;
        EtcdReply reply;

        for (size_t i = 0; i < N; i++) {
                etcd__key_value__init(&kvs[i]);
                kvs[i].key = (ProtobufCBinaryData){ .len = i % 10, .data = value };
                kvs[i].value = (ProtobufCBinaryData){ .len = i % 1000 == 0 ? 200000 : i % 50,
                                                      .data = value };
                kvs[i].mod_revision = (int64_t)i;
                list[i] = &kvs[i];
        }
        header.revision = INT64_MAX - 1;
        response.header = &header;
        response.kvs = list;
        response.n_kvs = N;
        response.more = true;
        message = packed(&response.base);

        ck_assert_int_eq(etcd_decode_range(message, &reply), 0);
        ck_assert_uint_eq(reply.reply.n_kvs, N);
        ck_assert_int_eq(reply.reply.revision, INT64_MAX - 1);
        ck_assert(reply.reply.more);
        for (size_t i = 0; i < N; i++) {
                ck_assert_uint_eq(reply.reply.kvs[i].key.n_bytes, i % 10);
                ck_assert_uint_eq(reply.reply.kvs[i].value.n_bytes, kvs[i].value.len);
                ck_assert_int_eq(reply.reply.kvs[i].mod_revision, (int64_t)i);
        }
        etcd_arena_done(&reply.arena);
}
END_TEST

/* Numbers that no store has: from a revision one goes on with the next, and a lease's time is counted
 * in microseconds. */
static const struct {
        int64_t revision, ttl_s;
        int granted, kept;
} numbers[] = {
        { 1, 2, 0, 0 },
        { INT64_MAX - 1, STORE_LEASE_TTL_MAX_S, 0, 0 },
        { 0, 2, 0, 0 }, /* not told */
        { -1, 2, -EBADMSG, -EBADMSG },
        { INT64_MIN, 2, -EBADMSG, -EBADMSG },
        { INT64_MAX, 2, -EBADMSG, -EBADMSG },
        { 1, 0, -EBADMSG, 0 }, /* of a keep-alive: there is no such lease */
        { 1, -1, -EBADMSG, 0 },
        { 1, STORE_LEASE_TTL_MAX_S + 1, -EBADMSG, -EBADMSG },
        { 1, INT64_MAX, -EBADMSG, -EBADMSG },
};

static void assert_numbers(size_t i) {
        Etcd__Header header = ETCD__HEADER__INIT;
        Etcd__LeaseGrantResponse grant = ETCD__LEASE_GRANT_RESPONSE__INIT;
        Etcd__LeaseKeepAliveResponse keep = ETCD__LEASE_KEEP_ALIVE_RESPONSE__INIT;
        Etcd__RangeResponse range = ETCD__RANGE_RESPONSE__INIT;
        _cleanup_(freep) GrpcMessage *granted = NULL, *kept = NULL, *listed = NULL;
        bool is_good = numbers[i].revision >= 0 && numbers[i].revision < INT64_MAX;
        EtcdReply reply;

        header.revision = numbers[i].revision;
        grant.header = keep.header = range.header = &header;
        grant.id = keep.id = 7;
        grant.ttl = keep.ttl = numbers[i].ttl_s;
        granted = packed(&grant.base);
        kept = packed(&keep.base);
        listed = packed(&range.base);
        ck_assert_int_eq(etcd_decode_lease_grant(granted, &reply), numbers[i].granted);
        ck_assert_int_eq(etcd_decode_lease_keep_alive(kept, &reply), numbers[i].kept);
        ck_assert_int_eq(etcd_decode_range(listed, &reply), is_good ? 0 : -EBADMSG);
        if (is_good)
                etcd_arena_done(&reply.arena);
}

START_TEST(test_numbers) {
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                assert_numbers(i);
}
END_TEST

/* An event has a key and a revision that another may follow. */
START_TEST(test_event_numbers) {
        static const int64_t wrong[] = { INT64_MIN, -1, 0, INT64_MAX };

        for (size_t i = 0; i <= ELEMENTSOF(wrong); i++) {
                Etcd__WatchResponse response = ETCD__WATCH_RESPONSE__INIT;
                Etcd__Event event = ETCD__EVENT__INIT, *events = &event;
                Etcd__KeyValue kv = ETCD__KEY_VALUE__INIT;
                _cleanup_(etcd_arena_done) EtcdArena arena = { 0 };
                _cleanup_(freep) GrpcMessage *message = NULL;
                EtcdWatchReply reply;

                response.n_events = 1;
                response.events = &events;
                if (i < ELEMENTSOF(wrong)) {
                        event.kv = &kv;
                        kv.mod_revision = wrong[i];
                }
                message = packed(&response.base);
                ck_assert_int_eq(etcd_decode_watch(message, &arena, &reply), -EBADMSG);
        }
}
END_TEST

/* A status reply as etcd 3.4 writes it after its quota was reached; 3.6 tells the quota, too. */
static GrpcMessage *status_message(int64_t quota_bytes) {
        Etcd__StatusResponse response = ETCD__STATUS_RESPONSE__INIT;
        char alarm[] = "memberID:10276657743932975437 alarm:NOSPACE ";
        char no_leader[] = "etcdserver: no leader", version[] = "3.4.23";
        char *errors[] = { alarm, no_leader };

        response.version = version;
        response.db_size = 2000;
        response.db_size_in_use = 1000;
        response.db_size_quota = quota_bytes;
        response.errors = errors;
        response.n_errors = ELEMENTSOF(errors);
        return packed(&response.base);
}

/* What a member says of itself, with its alarms as words and as flags. */
START_TEST(test_decode_status) {
        _cleanup_(freep) GrpcMessage *message = status_message(5000);
        EtcdReply reply;

        ck_assert_int_eq(etcd_decode_status(message, &reply), 0);
        ck_assert_str_eq(reply.reply.status.version, "3.4.23");
        ck_assert_str_eq(reply.reply.status.troubles,
                         "memberID:10276657743932975437 alarm:NOSPACE; etcdserver: no leader");
        ck_assert_int_eq(reply.reply.status.size_bytes, 2000);
        ck_assert_int_eq(reply.reply.status.used_bytes, 1000);
        ck_assert_int_eq(reply.reply.status.quota_bytes, 5000);
        ck_assert(!reply.reply.status.has_leader);
        ck_assert(reply.reply.status.is_full);
        ck_assert(!reply.reply.status.is_corrupt);
        etcd_arena_done(&reply.arena);
}
END_TEST

/* A built-in store that is served has no version of its own to tell, and whatever troubles it is that
 * it cannot write. */
START_TEST(test_decode_served_status) {
        static const char bytes[] = "\x12\x12"
                                    "3.4.0+fleet-2.0.00"
                                    "\x20\x05\x42\x04"
                                    "full";
        _cleanup_(freep) GrpcMessage *message = malloc(sizeof *message + sizeof bytes);
        EtcdReply reply;

        message->n_bytes = sizeof bytes - 1;
        memcpy(message->bytes, bytes, message->n_bytes);
        ck_assert_int_eq(etcd_decode_status(message, &reply), 0);
        ck_assert_str_eq(reply.reply.status.version, "");
        ck_assert_str_eq(reply.reply.status.troubles, "full");
        ck_assert(reply.reply.status.is_full);
        ck_assert(reply.reply.status.has_leader);
        etcd_arena_done(&reply.arena);
}
END_TEST

static int decode_one_status(void *context) {
        EtcdReply reply;
        int r = etcd_decode_status(context, &reply);

        if (r == 0)
                etcd_arena_done(&reply.arena);
        return r;
}

static int encode_nested(void *context) {
        GrpcCall call = { 0 };
        StoreOp ops[300];
        int r;

        (void)context;
        for (size_t i = 0; i < ELEMENTSOF(ops); i++)
                ops[i] = (StoreOp){ .kind = STORE_OP_PUT, .key = store_bytes("k") };
        r = etcd_encode_txn(&call, &(StoreTxn){ .ops = ops, .n_ops = ELEMENTSOF(ops) });
        grpc_call_done(&call);
        return r;
}

static int decode_one(void *context) {
        EtcdReply reply;
        int r = etcd_decode_range(context, &reply);

        if (r == 0)
                etcd_arena_done(&reply.arena);
        return r;
}

/* Out of memory is told as such at every allocation, without a leak. */
START_TEST(test_out_of_memory) {
        static const char range[] = "\x12\x06\x0a\x01k\x2a\x01v";
        _cleanup_(freep) GrpcMessage *message = malloc(sizeof *message + sizeof range);
        _cleanup_(freep) GrpcMessage *status = status_message(0);

        message->n_bytes = sizeof range - 1;
        memcpy(message->bytes, range, message->n_bytes);
        ck_assert_uint_gt(fault_sweep(encode_nested, NULL), 5);
        ck_assert_uint_gt(fault_sweep(decode_one, message), 0);
        ck_assert_uint_gt(fault_sweep(decode_one_status, status), 0);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_plan,          test_nested_txn,    test_too_large,
                test_nonsense,      test_decode_range,  test_numbers,
                test_event_numbers, test_decode_status, test_decode_served_status,
                test_out_of_memory,
        };

        return tests_run("store-etcd-codec", tests, ELEMENTSOF(tests));
}
