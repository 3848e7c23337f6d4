/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What an implementation of the stream seam provides; only lib/loop includes this. stream.h says
 * what each operation promises.
 */

#include "lib/loop/stream.h"

/* The operations. */
typedef struct StreamVtable {
        void (*free)(Stream *stream);
        size_t (*input)(Stream *stream, const uint8_t **ret_bytes);
        void (*consume)(Stream *stream, size_t n_bytes);
        int (*write)(Stream *stream, const void *bytes, size_t n_bytes);
        void (*push)(Stream *stream); /* NULL = not provided */
        size_t (*queued_bytes)(const Stream *stream);
        int (*error)(const Stream *stream);
        const char *(*explanation)(const Stream *stream); /* NULL = it never has one */
} StreamVtable;

/* The head of every implementation's object. */
struct Stream {
        const StreamVtable *vtable;
};

/* Hand to the kernel what it takes of the queued output without waiting, and tell nobody: for a
 * last word before the stream is freed. */
void stream_push(Stream *stream);
