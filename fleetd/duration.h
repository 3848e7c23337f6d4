/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

/* Read a duration as Go's time.ParseDuration does (the form that fleet's configuration has,
 * contract section 8): one or more numbers, each with an optional fraction and a unit out of ns,
 * us, ms, s, m and h, as in "30s", "1m30s", "1.5h"; or "0". Fractions of a microsecond are dropped.
 * Returns 0, -EINVAL, or -ERANGE when it is negative or longer than UINT64_MAX nanoseconds (584
 * years). */
int duration_parse(const char *text, uint64_t *ret_us);
