/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The store's requests and replies as etcd's messages. Encoders add one message to a call's output;
 * decoders read one whole message into memory of their own, which goes at once.
 *
 * Encoders return 0, -ENOMEM, -ENOBUFS (see grpc_call_add_message()) or what is said; decoders 0,
 * -ENOMEM, or -EBADMSG for bytes that are not the message.
 */

#include <stdbool.h>

#include "lib/store/etcd-arena.h"
#include "lib/store/grpc-channel.h"
#include "lib/store/store-watch.h"
#include "lib/store/store.h"

/* A decoded reply; valid until etcd_arena_done(). */
typedef struct EtcdReply {
        EtcdArena arena;
        StoreReply reply;
} EtcdReply;

/* A decoded message of the Watch stream. */
typedef struct EtcdWatchReply {
        int64_t watch_id;
        bool created;
        bool canceled;
        bool is_fragment;         /* more of the same revision may follow */
        int64_t compact_revision; /* 0 = none */
        StoreEvent *events;       /* in the arena */
        size_t n_events;
} EtcdWatchReply;

/* Encode a request into the call's message (field numbers: proto/etcd.proto). Each returns 0 or
 * -ENOMEM. */
int etcd_encode_range(GrpcCall *call, const StoreRange *range);

/* -EMSGSIZE: it is over a limit of etcd's, or has comparisons and operations in numbers that no
 * nesting fits. */
int etcd_encode_txn(GrpcCall *call, const StoreTxn *txn);

/* LeaseGrantRequest; the store chooses the ID. */
int etcd_encode_lease_grant(GrpcCall *call, int64_t lease, int64_t ttl_s);
/* LeaseRevokeRequest. */
int etcd_encode_lease_revoke(GrpcCall *call, int64_t lease);
/* LeaseTimeToLiveRequest. */
int etcd_encode_lease_look(GrpcCall *call, int64_t lease);
/* LeaseKeepAliveRequest, one of many on a stream. */
int etcd_encode_lease_keep_alive(GrpcCall *call, int64_t lease);
/* WatchRequest that begins a watch, with fragments and progress notifications. */
int etcd_encode_watch_create(GrpcCall *call, int64_t watch_id, StoreBytes key, StoreBytes end,
                             int64_t start_revision);
/* WatchRequest that ends it. */
int etcd_encode_watch_cancel(GrpcCall *call, int64_t watch_id);
/* AuthenticateRequest. */
int etcd_encode_authenticate(GrpcCall *call, const char *username, const char *password);
/* StatusRequest of Maintenance: does the member answer, and how is it? */
int etcd_encode_status(GrpcCall *call);

/* Decode the reply to a request. Each returns 0, -ENOMEM, or -EBADMSG for what is no such message;
 * what `ret_reply` refers to lives in its arena. */
int etcd_decode_range(const GrpcMessage *message, EtcdReply *ret_reply);
/* TxnResponse; answers of nested transactions are not looked at. */
int etcd_decode_txn(const GrpcMessage *message, EtcdReply *ret_reply);
/* LeaseGrantResponse: ID and TTL. */
int etcd_decode_lease_grant(const GrpcMessage *message, EtcdReply *ret_reply);
/* LeaseRevokeResponse: only the revision. */
int etcd_decode_lease_revoke(const GrpcMessage *message, EtcdReply *ret_reply);
/* LeaseTimeToLiveResponse; reply.lease_ttl_s is 0 when the lease does not exist. */
int etcd_decode_lease_look(const GrpcMessage *message, EtcdReply *ret_reply);

/* StatusResponse of Maintenance. */
int etcd_decode_status(const GrpcMessage *message, EtcdReply *ret_reply);

/* reply.lease_ttl_s is 0 when the lease does not exist. */
int etcd_decode_lease_keep_alive(const GrpcMessage *message, EtcdReply *ret_reply);

/* What it brings lives in `arena`, which the caller frees, also on error; several messages may
 * share one. */
int etcd_decode_watch(const GrpcMessage *message, EtcdArena *arena, EtcdWatchReply *ret_reply);

/* The token is the caller's to free. */
int etcd_decode_authenticate(const GrpcMessage *message, char **ret_token);

/* How to nest a transaction's operations: into how many groups of how many each; one group = no
 * nesting. Within a list of the outer transaction of n entries (comparisons, groups), etcd
 * allows STORE_TXN_OPS_MAX - n in a nested one (checkTxnRequest in
 * server/etcdserver/api/v3rpc/key.go). Returns 0, or -EMSGSIZE when no number of groups fits. */
int etcd_txn_plan(size_t n_compares, size_t n_ops, size_t *ret_n_groups, size_t *ret_n_ops_each);
