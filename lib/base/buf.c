/* SPDX-License-Identifier: Apache-2.0 */

/* The growing buffer. Growth doubles, so that appending n bytes costs O(n); one byte more than the
 * content is always kept for the NUL, so that text needs no copy to become a string.
 */

#include "lib/base/buf.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

enum { BUF_FIRST_BYTES = 128 };

void buf_done(Buf *buf) {
        free(buf->data);
        *buf = buf_make(buf->max_bytes);
}

void buf_clear(Buf *buf) {
        buf->n_bytes = 0;
        if (buf->data)
                buf->data[0] = '\0';
}

static int buf_reserve(Buf *buf, size_t n_more) {
        size_t need, size;
        char *data;

        if (n_more > buf->max_bytes || buf->n_bytes > buf->max_bytes - n_more)
                return -ENOBUFS;

        need = buf->n_bytes + n_more + 1;
        if (need <= buf->n_allocated)
                return 0;

        size = buf->n_allocated ? buf->n_allocated : BUF_FIRST_BYTES;
        while (size < need)
                size *= 2;

        data = realloc(buf->data, size);
        if (!data)
                return -ENOMEM;

        buf->data = data;
        buf->n_allocated = size;
        return 0;
}

int buf_append(Buf *buf, const void *bytes, size_t n_bytes) {
        int r;

        assert(bytes || n_bytes == 0);

        r = buf_reserve(buf, n_bytes);
        if (r < 0)
                return r;

        if (n_bytes > 0)
                memcpy(buf->data + buf->n_bytes, bytes, n_bytes);
        buf->n_bytes += n_bytes;
        buf->data[buf->n_bytes] = '\0';
        return 0;
}

int buf_append_string(Buf *buf, const char *string) {
        return buf_append(buf, string, strlen(string));
}

int buf_append_fd(Buf *buf, int fd) {
        char chunk[4096];
        ssize_t n;
        int r;

        while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                r = buf_append(buf, chunk, (size_t)n);
                if (r < 0)
                        return r;
        }
        return 0;
}

int buf_printf(Buf *buf, const char *format, ...) {
        va_list args;
        int n, r;

        va_start(args, format);
        n = vsnprintf(NULL, 0, format, args);
        va_end(args);
        if (n < 0)
                return -EINVAL;

        r = buf_reserve(buf, (size_t)n);
        if (r < 0)
                return r;

        va_start(args, format);
        (void)vsnprintf(buf->data + buf->n_bytes, (size_t)n + 1, format, args);
        va_end(args);
        buf->n_bytes += (size_t)n;
        return 0;
}

char *buf_take_string(Buf *buf) {
        char *string = buf->data ? TAKE(buf->data) : strdup("");

        *buf = buf_make(buf->max_bytes);
        return string;
}
