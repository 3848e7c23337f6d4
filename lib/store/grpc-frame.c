/* SPDX-License-Identifier: Apache-2.0 */

/* gRPC framing. The reader allocates a message once, at its exact size, when its header is
 * complete, and copies each byte once; so a reply of 33 MB costs 33 MB while it is held, and
 * nothing afterwards. It runs inside nghttp2's callbacks: it only collects, nobody is called from
 * here.
 *
 * Deliberately missing: compression. A message that says it is compressed is a protocol error,
 * because we never offer any.
 */

#include "lib/store/grpc-frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/macro.h"

static uint32_t header_length(const uint8_t *header) {
        return (uint32_t)header[1] << 24 | (uint32_t)header[2] << 16 | (uint32_t)header[3] << 8 |
               header[4];
}

/* Starts the message whose header has just been completed. */
static int reader_begin_message(GrpcFrameReader *reader) {
        size_t n_bytes = header_length(reader->header);
        GrpcMessage *message;

        if (reader->header[0] != 0)
                return -EPROTO;
        if (n_bytes > (reader->n_max_bytes ? reader->n_max_bytes : GRPC_MESSAGE_MAX_BYTES))
                return -EMSGSIZE;

        message = malloc(sizeof *message + n_bytes);
        if (!message)
                return -ENOMEM;

        message->node = (ListNode){ 0 };
        message->n_bytes = n_bytes;
        reader->n_held_bytes += sizeof *message + n_bytes;
        reader->partial = message;
        reader->n_partial = 0;
        return 0;
}

static void reader_end_message(GrpcFrameReader *reader) {
        list_append(&reader->messages, &reader->partial->node);
        reader->partial = NULL;
        reader->n_partial = 0;
        reader->n_header = 0;
}

/* Moves as many bytes as fit from the input to `target`, which has room for `n_room`. */
static size_t take_bytes(void *target, size_t n_room, const uint8_t **bytes, size_t *n_bytes) {
        size_t n = *n_bytes < n_room ? *n_bytes : n_room;

        if (n > 0)
                memcpy(target, *bytes, n);
        *bytes += n;
        *n_bytes -= n;
        return n;
}

int grpc_frame_reader_feed(GrpcFrameReader *reader, const uint8_t *bytes, size_t n_bytes) {
        while (n_bytes > 0) {
                if (!reader->partial) {
                        int r;

                        reader->n_header += take_bytes(reader->header + reader->n_header,
                                                       sizeof reader->header - reader->n_header,
                                                       &bytes, &n_bytes);
                        if (reader->n_header < sizeof reader->header)
                                return 0;
                        r = reader_begin_message(reader);
                        if (r < 0)
                                return r;
                }

                reader->n_partial += take_bytes(reader->partial->bytes + reader->n_partial,
                                                reader->partial->n_bytes - reader->n_partial,
                                                &bytes, &n_bytes);
                if (reader->n_partial == reader->partial->n_bytes)
                        reader_end_message(reader);
        }

        return 0;
}

GrpcMessage *grpc_frame_reader_pop(GrpcFrameReader *reader) {
        ListNode *node = list_pop(&reader->messages);
        GrpcMessage *message = node ? container_of(node, GrpcMessage, node) : NULL;

        if (message)
                reader->n_held_bytes -= sizeof *message + message->n_bytes;
        return message;
}

bool grpc_frame_reader_is_midway(const GrpcFrameReader *reader) {
        return reader->n_header > 0;
}

void grpc_frame_reader_done(GrpcFrameReader *reader) {
        GrpcMessage *message;

        while ((message = grpc_frame_reader_pop(reader)))
                free(message);
        free(reader->partial);
        *reader = (GrpcFrameReader){ .n_max_bytes = reader->n_max_bytes };
}

int grpc_message_new_framed(GrpcMessage **ret_message, size_t n_payload_bytes) {
        GrpcMessage *message;

        if (n_payload_bytes > GRPC_MESSAGE_MAX_BYTES)
                return -EMSGSIZE;

        message = malloc(sizeof *message + GRPC_FRAME_HEADER_BYTES + n_payload_bytes);
        if (!message)
                return -ENOMEM;

        *message = (GrpcMessage){ .n_bytes = GRPC_FRAME_HEADER_BYTES + n_payload_bytes };
        message->bytes[0] = 0; /* not compressed */
        for (int i = 0; i < 4; i++)
                message->bytes[1 + i] = (uint8_t)(n_payload_bytes >> (24 - 8 * i));

        *ret_message = message;
        return 0;
}

int grpc_output_add(GrpcOutput *output, size_t n_payload_bytes, uint8_t **ret_payload) {
        GrpcMessage *message;
        int r;

        r = grpc_message_new_framed(&message, n_payload_bytes);
        if (r < 0)
                return r;

        list_append(&output->messages, &message->node);
        output->n_bytes += message->n_bytes;
        *ret_payload = message->bytes + GRPC_FRAME_HEADER_BYTES;
        return 0;
}

static void output_drop_first(GrpcOutput *output) {
        GrpcMessage *message = container_of(list_pop(&output->messages), GrpcMessage, node);

        output->n_bytes -= message->n_bytes;
        output->n_taken = 0;
        free(message);
}

size_t grpc_output_copy(GrpcOutput *output, uint8_t *target, size_t n_room) {
        const GrpcMessage *message;
        size_t n;

        if (list_is_empty(&output->messages))
                return 0;

        message = container_of(list_first(&output->messages), GrpcMessage, node);
        n = message->n_bytes - output->n_taken;
        if (n > n_room)
                n = n_room;
        memcpy(target, message->bytes + output->n_taken, n);
        output->n_taken += n;
        return n;
}

size_t grpc_output_take(GrpcOutput *output, uint8_t *target, size_t n_room) {
        size_t n_done = 0;
        ListNode *node;

        while (n_done < n_room && (node = list_first(&output->messages))) {
                n_done += grpc_output_copy(output, target + n_done, n_room - n_done);
                if (output->n_taken == container_of(node, GrpcMessage, node)->n_bytes)
                        output_drop_first(output);
        }
        return n_done;
}

void grpc_output_done(GrpcOutput *output) {
        while (!list_is_empty(&output->messages))
                output_drop_first(output);
}
