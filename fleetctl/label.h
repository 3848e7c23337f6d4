/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How a machine is written: its ID and address (contract section 2.4). */

#include <stdbool.h>

#include "lib/base/buf.h"

enum { LABEL_ID_SHORT = 8 }; /* characters of a shortened machine ID, before "..." */

/* Append "0c1f1a2b..." or, with `full`, the whole ID. Errors as buf_append(). */
int label_append_id(Buf *out, const char *machine_id, bool full);

/* Append the ID and, where there is one, "/ADDRESS". `address` may be NULL. Errors as buf_append().
 */
int label_append(Buf *out, const char *machine_id, const char *address, bool full);
