/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* gRPC's framing of messages in a byte stream: one byte "compressed", four bytes length
 * (big-endian), the message ("Length-Prefixed-Message" in the gRPC over HTTP/2 protocol,
 * doc/PROTOCOL-HTTP2.md of grpc/grpc).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/list.h"

/* Sizes of the framing. */
enum {
        GRPC_FRAME_HEADER_BYTES = 5,       /* flag and length */
        GRPC_MESSAGE_MAX_BYTES = 64 << 20, /* a longer message is an error, not an allocation */
};

/* A message; from malloc(), its owner frees it with free(). */
typedef struct GrpcMessage {
        ListNode node;   /* for whoever owns it */
        size_t n_bytes;  /* <= GRPC_MESSAGE_MAX_BYTES */
        uint8_t bytes[]; /* n_bytes of them */
} GrpcMessage;

/* Puts messages together from pieces as the network brings them; zeroed is ready. */
typedef struct GrpcFrameReader {
        uint8_t header[GRPC_FRAME_HEADER_BYTES]; /* of the message that is arriving */
        size_t n_header;                         /* how much of it is there */
        GrpcMessage *partial;                    /* owned; NULL until its header is complete */
        size_t n_partial;                        /* how much of it is there */
        List messages;                           /* owned; complete, in order */
        size_t n_max_bytes;  /* of a message; 0 = GRPC_MESSAGE_MAX_BYTES, which is the most */
        size_t n_held_bytes; /* memory of all messages in here, the arriving one at its full size */
} GrpcFrameReader;

/* Take the next piece. Returns 0, -ENOMEM, -EMSGSIZE for a message above the limit, or -EPROTO
 * for a compressed one (we never offer compression). After an error the stream of bytes cannot
 * be continued. */
int grpc_frame_reader_feed(GrpcFrameReader *reader, const uint8_t *bytes, size_t n_bytes);

/* Take the oldest complete message; the caller owns it. NULL when there is none. */
GrpcMessage *grpc_frame_reader_pop(GrpcFrameReader *reader);

/* Has a message begun that is not complete? At the end of a stream that means it was cut off. */
bool grpc_frame_reader_is_midway(const GrpcFrameReader *reader);

/* Free what was read and not taken; the reader is ready for another stream. */
void grpc_frame_reader_done(GrpcFrameReader *reader);

/* A message to send: `bytes` begins with the frame's header, already written, and the caller
 * fills the `n_payload_bytes` after it. Returns 0, -ENOMEM, or -EMSGSIZE above
 * GRPC_MESSAGE_MAX_BYTES. */
int grpc_message_new_framed(GrpcMessage **ret_message, size_t n_payload_bytes);

/* Messages that wait to be sent; zeroed is empty. */
typedef struct GrpcOutput {
        List messages;  /* owned; framed */
        size_t n_bytes; /* of all of them */
        size_t n_taken; /* how much of the first one has been taken */
} GrpcOutput;

/* Make room for a message of `n_payload_bytes` at the end, for the caller to fill at once. Returns
 * as grpc_message_new_framed(). */
int grpc_output_add(GrpcOutput *output, size_t n_payload_bytes, uint8_t **ret_payload);

/* Copy what comes next to `target`, as much as there is room for, and drop the messages that are
 * taken. Returns how many bytes. */
size_t grpc_output_take(GrpcOutput *output, uint8_t *target, size_t n_room);

/* The same within the first message, which stays: for one that may be sent again. */
size_t grpc_output_copy(GrpcOutput *output, uint8_t *target, size_t n_room);

/* Drop everything; empty afterwards. */
void grpc_output_done(GrpcOutput *output);
