/* SPDX-License-Identifier: Apache-2.0 */

/* What is asked: etcd's messages as commands of the store. */

#include <errno.h>

#include "lib/serve/serve-codec.h"

void *serve_allocate(EtcdArena *arena, size_t n, size_t n_bytes) {
        void *bytes = etcd_arena_allocate(arena, n * n_bytes + 1);

        return bytes ? memset(bytes, 0, n * n_bytes) : NULL;
}

int serve_decode(const ProtobufCMessageDescriptor *type, const GrpcMessage *message,
                 EtcdArena *arena, ProtobufCMessage **ret_message) {
        ProtobufCAllocator allocator = {
                .alloc = etcd_arena_allocate,
                .free = etcd_arena_release,
                .allocator_data = arena,
        };

        *ret_message = protobuf_c_message_unpack(type, &allocator, message->n_bytes,
                                                 message->bytes);
        if (!*ret_message)
                return arena->is_full ? STORE_E_TOO_LARGE : arena->has_failed ? -ENOMEM : -EBADMSG;
        return 0;
}

static StoreBytes bytes_of(ProtobufCBinaryData data) {
        return (StoreBytes){ .data = data.data, .n_bytes = data.len };
}

/* Is it more than the store has to look for: another order, or limits of the revisions? */
static bool range_is_sifted(const Served__RangeRequest *request) {
        return request->sort_order != SERVED__RANGE_REQUEST__SORT_ORDER__NONE ||
               request->min_mod_revision != 0 || request->max_mod_revision != 0 ||
               request->min_create_revision != 0 || request->max_create_revision != 0;
}

int serve_command_of_range(const Served__RangeRequest *request, StoreCommand *ret_command) {
        bool sorts = request->sort_target != SERVED__RANGE_REQUEST__SORT_TARGET__KEY;
        bool wants_values = request->sort_target == SERVED__RANGE_REQUEST__SORT_TARGET__VALUE;
        int64_t limit = request->limit > 0 && !range_is_sifted(request) ? request->limit : 0;

        if (request->sort_order < SERVED__RANGE_REQUEST__SORT_ORDER__NONE ||
            request->sort_order > SERVED__RANGE_REQUEST__SORT_ORDER__DESCEND ||
            request->sort_target < SERVED__RANGE_REQUEST__SORT_TARGET__KEY ||
            request->sort_target > SERVED__RANGE_REQUEST__SORT_TARGET__VALUE)
                return STORE_E_INVALID;

        *ret_command = (StoreCommand){
                .kind = STORE_COMMAND_RANGE,
                .key = bytes_of(request->key),
                .end = bytes_of(request->range_end),
                .revision = request->revision > 0 ? request->revision : 0,
                /* With a target and no order etcd sorts what it took, which is one more than the
                 * limit; see serve_range_response(). */
                .limit = limit > 0 && limit < INT64_MAX && sorts ? limit + 1 : limit,
                .keys_only = request->keys_only && !wants_values,
                .counts_all = true,
                .counts_only = request->count_only,
        };
        return 0;
}

void serve_command_of_put(const Served__PutRequest *request, StoreCommand *ret_command) {
        *ret_command = (StoreCommand){
                .kind = STORE_COMMAND_PUT,
                .key = bytes_of(request->key),
                .value = bytes_of(request->value),
                .lease = request->lease,
                .keeps_value = request->ignore_value,
                .keeps_lease = request->ignore_lease,
                .wants_previous = request->prev_kv,
        };
}

void serve_command_of_delete(const Served__DeleteRangeRequest *request, StoreCommand *ret_command) {
        *ret_command = (StoreCommand){
                .kind = STORE_COMMAND_DELETE,
                .key = bytes_of(request->key),
                .end = bytes_of(request->range_end),
                .wants_previous = request->prev_kv,
        };
}

/* A number under the name of another target is as good as none, as in etcd. */
static int64_t compare_number(const Served__Compare *compare) {
        static const Served__Compare__TargetUnionCase cases[] = {
                [SERVED__COMPARE__TARGET__VERSION] = SERVED__COMPARE__TARGET_UNION_VERSION,
                [SERVED__COMPARE__TARGET__CREATE] = SERVED__COMPARE__TARGET_UNION_CREATE_REVISION,
                [SERVED__COMPARE__TARGET__MOD] = SERVED__COMPARE__TARGET_UNION_MOD_REVISION,
                [SERVED__COMPARE__TARGET__LEASE] = SERVED__COMPARE__TARGET_UNION_LEASE,
        };

        /* All of them are the same member of the union, whatever it is called. */
        return compare->target != SERVED__COMPARE__TARGET__VALUE &&
                               compare->target_union_case == cases[compare->target]
                       ? compare->version
                       : 0;
}

static int test_fill(StoreTest *test, const Served__Compare *compare) {
        static const int targets[] = {
                [SERVED__COMPARE__TARGET__VERSION] = STORE_TEST_VERSION,
                [SERVED__COMPARE__TARGET__CREATE] = STORE_TEST_CREATE,
                [SERVED__COMPARE__TARGET__MOD] = STORE_TEST_MOD,
                [SERVED__COMPARE__TARGET__VALUE] = STORE_TEST_VALUE,
                [SERVED__COMPARE__TARGET__LEASE] = STORE_TEST_LEASE,
        };
        static const int results[] = {
                [SERVED__COMPARE__RESULT__EQUAL] = STORE_TEST_EQUAL,
                [SERVED__COMPARE__RESULT__GREATER] = STORE_TEST_GREATER,
                [SERVED__COMPARE__RESULT__LESS] = STORE_TEST_LESS,
                [SERVED__COMPARE__RESULT__NOT_EQUAL] = STORE_TEST_NOT_EQUAL,
        };

        if ((size_t)compare->target >= ELEMENTSOF(targets) ||
            (size_t)compare->result >= ELEMENTSOF(results))
                return STORE_E_INVALID;

        *test = (StoreTest){
                .key = bytes_of(compare->key),
                .end = bytes_of(compare->range_end),
                .number = compare_number(compare),
        };
        test->target = targets[compare->target];
        test->result = results[compare->result];
        if (compare->target_union_case == SERVED__COMPARE__TARGET_UNION_VALUE)
                test->value = bytes_of(compare->value);
        return 0;
}

static int command_of_op(const Served__RequestOp *op, EtcdArena *arena, StoreCommand *ret_command) {
        switch (op->request_case) {
        case SERVED__REQUEST_OP__REQUEST_RANGE:
                return serve_command_of_range(op->range, ret_command);
        case SERVED__REQUEST_OP__REQUEST_PUT:
                serve_command_of_put(op->put, ret_command);
                return 0;
        case SERVED__REQUEST_OP__REQUEST_DELETE_RANGE:
                serve_command_of_delete(op->delete_range, ret_command);
                return 0;
        case SERVED__REQUEST_OP__REQUEST_TXN:
                return serve_command_of_txn(op->txn, arena, ret_command);
        default:
                return STORE_E_ABSENT; /* so says etcd of an operation that is none */
        }
}

static int commands_of_ops(Served__RequestOp *const *ops, size_t n_ops, EtcdArena *arena,
                           const StoreCommand **ret_commands) {
        StoreCommand *commands = serve_allocate(arena, n_ops, sizeof(*commands));

        if (!commands)
                return -ENOMEM;

        for (size_t i = 0; i < n_ops; i++) {
                int r = command_of_op(ops[i], arena, &commands[i]);

                if (r != 0)
                        return r;
        }
        *ret_commands = commands;
        return 0;
}

int serve_command_of_txn(const Served__TxnRequest *request, EtcdArena *arena,
                         StoreCommand *ret_command) {
        StoreTest *tests = serve_allocate(arena, request->n_compare, sizeof(*tests));
        StoreCommand command = {
                .kind = STORE_COMMAND_TXN,
                .tests = tests,
                .n_tests = request->n_compare,
                .n_then = request->n_success,
                .n_otherwise = request->n_failure,
        };
        int r = 0;

        if (!tests)
                return -ENOMEM;

        for (size_t i = 0; r == 0 && i < request->n_compare; i++)
                r = test_fill(&tests[i], request->compare[i]);
        if (r == 0)
                r = commands_of_ops(request->success, request->n_success, arena, &command.then);
        if (r == 0)
                r = commands_of_ops(request->failure, request->n_failure, arena,
                                    &command.otherwise);
        if (r == 0)
                *ret_command = command;
        return r;
}
