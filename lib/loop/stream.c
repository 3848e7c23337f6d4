/* SPDX-License-Identifier: Apache-2.0 */

/* The front of the stream seam: hands each call to the implementation that made the stream. */

#include "lib/loop/stream.h"

#include "lib/loop/stream-backend.h"

Stream *stream_free(Stream *stream) {
        if (stream)
                stream->vtable->free(stream);
        return NULL;
}

size_t stream_input(Stream *stream, const uint8_t **ret_bytes) {
        return stream->vtable->input(stream, ret_bytes);
}

void stream_consume(Stream *stream, size_t n_bytes) {
        stream->vtable->consume(stream, n_bytes);
}

int stream_write(Stream *stream, const void *bytes, size_t n_bytes) {
        return stream->vtable->write(stream, bytes, n_bytes);
}

void stream_push(Stream *stream) {
        if (stream->vtable->push)
                stream->vtable->push(stream);
}

size_t stream_queued_bytes(const Stream *stream) {
        return stream->vtable->queued_bytes(stream);
}

int stream_error(const Stream *stream) {
        return stream->vtable->error(stream);
}

const char *stream_explanation(const Stream *stream) {
        return stream->vtable->explanation ? stream->vtable->explanation(stream) : NULL;
}
