/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* etcd's messages as commands of the store, and its answers as etcd's messages. Everything is
 * allocated in the arena of the exchange, and what it refers to is borrowed: from the message that
 * was decoded, or from the answer.
 *
 * Functions that return a pointer return NULL on out of memory.
 */

#include "lib/serve/proto/served.pb-c.h"
#include "lib/store/etcd-arena.h"
#include "lib/store/grpc-frame.h"
#include "lib/store/store-command.h"

/* Zeroed memory for `n` things of `n_bytes` each, or NULL. */
void *serve_allocate(EtcdArena *arena, size_t n, size_t n_bytes);

/* Decode a message. Returns 0, STORE_E_TOO_LARGE where the memory's limit was passed, -ENOMEM or
 * -EBADMSG. */
int serve_decode(const ProtobufCMessageDescriptor *type, const GrpcMessage *message,
                 EtcdArena *arena, ProtobufCMessage **ret_message);

/* Commands. The ones that can fail return 0, -ENOMEM, or the STORE_E_* of a request that has no such
 * command; what else is wrong with one store_command_check() says. */
int serve_command_of_range(const Served__RangeRequest *request, StoreCommand *ret_command);
void serve_command_of_put(const Served__PutRequest *request, StoreCommand *ret_command);
void serve_command_of_delete(const Served__DeleteRangeRequest *request, StoreCommand *ret_command);
int serve_command_of_txn(const Served__TxnRequest *request, EtcdArena *arena,
                         StoreCommand *ret_command);

/* A record as a message. */
Served__KeyValue *serve_kv(EtcdArena *arena, const StoreKv *kv);

/* Answers, without header; `request` is what the answer's command was made of. The answer's rows may
 * be in another order afterwards. */
Served__RangeResponse *serve_range_response(EtcdArena *arena, const Served__RangeRequest *request,
                                            const StoreAnswer *answer);
Served__PutResponse *serve_put_response(EtcdArena *arena, const StoreAnswer *answer);
Served__DeleteRangeResponse *serve_delete_response(EtcdArena *arena, const StoreAnswer *answer);

/* Within a transaction each answer has a header with its revision and nothing else, and a
 * transaction an empty one. */
Served__TxnResponse *serve_txn_response(EtcdArena *arena, const Served__TxnRequest *request,
                                        const StoreAnswer *answer);
