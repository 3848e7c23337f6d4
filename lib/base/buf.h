/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A growing byte buffer with a limit: every buffer that a peer feeds states its maximum when it is
 * made. */

#include <stddef.h>
#include <stdint.h>

#include "lib/base/macro.h"

/* A buffer; make it with BUF_INIT, free it with buf_done(). The bytes are always followed by a NUL
 * that n_bytes does not count, once anything has been appended. */
typedef struct Buf {
        char *data;         /* owned; NULL while nothing was appended */
        size_t n_bytes;     /* how many bytes are valid */
        size_t n_allocated; /* how many bytes `data` has room for */
        size_t max_bytes;   /* appending beyond this fails with -ENOBUFS */
} Buf;

/* An empty buffer that never grows beyond `max` bytes. */
static inline Buf buf_make(size_t max) {
        return (Buf){ .max_bytes = max };
}

/* Free the memory; the buffer is empty afterwards and keeps its limit. */
void buf_done(Buf *buf);

/* Drop the content and keep the memory. */
void buf_clear(Buf *buf);

/* Append bytes. Returns 0, -ENOMEM, or -ENOBUFS when the limit would be passed; on error nothing
 * was appended. */
int buf_append(Buf *buf, const void *bytes, size_t n_bytes);

/* Append a string without its NUL. Errors as buf_append(). */
int buf_append_string(Buf *buf, const char *string);

/* Append everything up to the end of the file. Returns 0, or as buf_append() and read(2): after an
 * error a part of it may be there. */
int buf_append_fd(Buf *buf, int fd);

/* Append formatted text. Errors as buf_append(), and -EINVAL for a format that libc refuses. */
int buf_printf(Buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Hand out the bytes as a NUL-terminated string that the caller frees; the buffer is empty
 * afterwards. NULL on out of memory (only possible when nothing was appended). */
char *buf_take_string(Buf *buf);
