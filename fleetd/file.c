/* SPDX-License-Identifier: Apache-2.0 */

/* Reads small files as a whole: the configuration, the identity of the machine, what /proc says.
 * All of it happens before the loop runs or concerns files of the kernel that never block, so plain
 * read(2) will do. Files of /proc have no size, so it reads up to the end.
 */

#include "fleetd/file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"

int file_read(const char *path, size_t max_bytes, char **ret_text, size_t *ret_n_bytes) {
        _cleanup_(buf_done) Buf buf = buf_make(max_bytes);
        size_t n_bytes;
        char *text;
        int fd, r;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;

        r = buf_append_fd(&buf, fd);
        (void)close(fd);
        if (r < 0)
                return r == -ENOBUFS ? -EFBIG : r;

        n_bytes = buf.n_bytes;
        text = buf_take_string(&buf);
        if (!text)
                return -ENOMEM;

        *ret_text = text;
        if (ret_n_bytes)
                *ret_n_bytes = n_bytes;
        return 0;
}

char *text_trim(char *text) {
        size_t n;

        while (isspace((unsigned char)*text))
                text++;
        for (n = strlen(text); n > 0 && isspace((unsigned char)text[n - 1]); n--)
                text[n - 1] = '\0';
        return text;
}
