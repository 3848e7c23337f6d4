/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Is it UTF-8? Unit files and JSON can hold nothing else. */

#include <stddef.h>

/* How many bytes the UTF-8 sequence at `text` has, of `n_bytes` that are there; 0 when it is none,
 * when it is cut off, or for a NUL. Looks at no byte behind the first one that does not belong, so
 * for a NUL-terminated string any `n_bytes` from 4 up will do. */
size_t utf8_sequence_bytes(const char *text, size_t n_bytes);
