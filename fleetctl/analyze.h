/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What systemd says of a unit file, from systemd-analyze(1). */

#include "lib/base/buf.h"
#include "lib/base/diag.h"

enum {
        _ANALYZE_E_OK,
        ANALYZE_E_FINDINGS, /* systemd complains; the text says of what */
        ANALYZE_E_ABSENT,   /* there is no systemd-analyze here */
};

/* Have systemd-analyze verify the file at `path`, which waits for it, and append what it says to
 * `ret_text`, whole lines. Returns 0, one of the above, or a negative errno with a message. */
int analyze_unit(const char *path, Buf *ret_text, Diag *diag);
