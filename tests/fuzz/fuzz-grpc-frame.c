/* SPDX-License-Identifier: Apache-2.0 */

/* What a gRPC peer sends: any bytes go through the frame reader in pieces, and every message that
 * comes out through the decoders of etcd's replies. Property: the pieces do not matter, nothing
 * crashes, nothing leaks. */

#include <stdint.h>
#include <stdlib.h>

#include "lib/base/macro.h"
#include "lib/store/store-etcd-codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void decode_everything(const GrpcMessage *message) {
        _cleanup_(etcd_arena_done) EtcdArena arena = { 0 };
        EtcdWatchReply watch_reply;
        EtcdReply reply;
        char *token;

        (void)etcd_decode_watch(message, &arena, &watch_reply);
        if (etcd_decode_range(message, &reply) == 0)
                etcd_arena_done(&reply.arena);
        (void)etcd_decode_txn(message, &reply);
        (void)etcd_decode_lease_grant(message, &reply);
        (void)etcd_decode_lease_keep_alive(message, &reply);
        (void)etcd_decode_lease_look(message, &reply);
        if (etcd_decode_authenticate(message, &token) == 0)
                free(token);
}

/* Feed all bytes in pieces of one size; returns how many messages came out. */
static size_t read_in_pieces(const uint8_t *bytes, size_t n_bytes, size_t n_piece) {
        _cleanup_(grpc_frame_reader_done) GrpcFrameReader reader = { 0 };
        size_t n_messages = 0;

        for (size_t at = 0; at < n_bytes; at += n_piece) {
                GrpcMessage *message;
                size_t n = n_bytes - at < n_piece ? n_bytes - at : n_piece;
                int r = grpc_frame_reader_feed(&reader, bytes + at, n);

                while ((message = grpc_frame_reader_pop(&reader))) {
                        decode_everything(message);
                        free(message);
                        n_messages++;
                }
                if (r < 0)
                        break;
        }
        return n_messages;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
        if (n_bytes > 0 &&
            read_in_pieces(bytes, n_bytes, 1) != read_in_pieces(bytes, n_bytes, n_bytes))
                abort();
        return 0;
}
