/* SPDX-License-Identifier: Apache-2.0 */

/* What a client asks of the served store: the first byte says which message the others are. What is a
 * transaction goes the way that it goes in the server: what the look at its bytes lets through is
 * decoded, becomes a command, and that is checked. Properties: nothing crashes, nothing leaks; what
 * is decoded has no more entries than are allowed, on any level. */

#include <stdlib.h>

#include "lib/serve/serve-codec.h"
#include "lib/serve/serve-scan.h"
#include "tests/fuzz/fuzz.h"

static void check_txn(const Served__TxnRequest *txn, size_t max_ops);

static void check_ops(Served__RequestOp *const *ops, size_t n_ops, size_t max_ops) {
        for (size_t i = 0; i < n_ops; i++)
                if (ops[i]->request_case == SERVED__REQUEST_OP__REQUEST_TXN)
                        check_txn(ops[i]->txn, max_ops);
}

static void check_txn(const Served__TxnRequest *txn, size_t max_ops) {
        size_t n = txn->n_compare;

        n = txn->n_success > n ? txn->n_success : n;
        n = txn->n_failure > n ? txn->n_failure : n;
        fuzz_require(n <= max_ops, "a transaction with too many entries was decoded");
        check_ops(txn->success, txn->n_success, max_ops - n);
        check_ops(txn->failure, txn->n_failure, max_ops - n);
}

static void ask_txn(const GrpcMessage *message) {
        _cleanup_(etcd_arena_done) EtcdArena arena = { 0 };
        ProtobufCMessage *request;
        StoreCommand command;

        if (serve_scan_txn(message->bytes, message->n_bytes, STORE_TXN_OPS_MAX) != 0 ||
            serve_decode(&served__txn_request__descriptor, message, &arena, &request) != 0)
                return;

        check_txn((const Served__TxnRequest *)request, STORE_TXN_OPS_MAX);
        if (serve_command_of_txn((const Served__TxnRequest *)request, &arena, &command) == 0)
                (void)store_command_check(&command, STORE_TXN_OPS_MAX);
}

static void ask_range(const GrpcMessage *message) {
        _cleanup_(etcd_arena_done) EtcdArena arena = { 0 };
        ProtobufCMessage *request;
        StoreCommand command;

        if (serve_decode(&served__range_request__descriptor, message, &arena, &request) == 0 &&
            serve_command_of_range((const Served__RangeRequest *)request, &command) == 0)
                (void)store_command_check(&command, STORE_TXN_OPS_MAX);
}

static void ask_other(const GrpcMessage *message, uint8_t kind) {
        static const ProtobufCMessageDescriptor *const types[] = {
                &served__put_request__descriptor,
                &served__delete_range_request__descriptor,
                &served__compaction_request__descriptor,
                &served__lease_grant_request__descriptor,
                &served__lease_request__descriptor,
                &served__lease_time_to_live_request__descriptor,
                &served__watch_request__descriptor,
                &served__alarm_request__descriptor,
        };
        _cleanup_(etcd_arena_done) EtcdArena arena = { 0 };
        ProtobufCMessage *request;

        (void)serve_decode(types[kind % ELEMENTSOF(types)], message, &arena, &request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        GrpcMessage *message;

        if (n_bytes == 0)
                return 0;
        message = malloc(sizeof(*message) + n_bytes);
        if (!message)
                return 0;

        message->n_bytes = n_bytes - 1;
        memcpy(message->bytes, data + 1, n_bytes - 1);
        if (data[0] == 't')
                ask_txn(message);
        else if (data[0] == 'r')
                ask_range(message);
        else
                ask_other(message, data[0]);
        free(message);
        return 0;
}
