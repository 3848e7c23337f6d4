/* SPDX-License-Identifier: Apache-2.0 */

/* Labels of machines. */

#include "fleetctl/label.h"

int label_append_id(Buf *out, const char *machine_id, bool full) {
        if (full)
                return buf_append_string(out, machine_id);
        return buf_printf(out, "%.*s...", LABEL_ID_SHORT, machine_id);
}

int label_append(Buf *out, const char *machine_id, const char *address, bool full) {
        int r = label_append_id(out, machine_id, full);

        if (r < 0 || !address || address[0] == '\0')
                return r;
        return buf_printf(out, "/%s", address);
}
