/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Small files, read as a whole when the daemon starts. */

#include <stddef.h>

/* Read a file of at most `max_bytes` bytes into a NUL-terminated string that the caller frees;
 * `ret_n_bytes` may be NULL. Returns 0, -ENOMEM, -EFBIG for a longer one, or what open(2) or
 * read(2) gave. */
int file_read(const char *path, size_t max_bytes, char **ret_text, size_t *ret_n_bytes);

/* The text without the white space around it, cut in place. */
char *text_trim(char *text);
