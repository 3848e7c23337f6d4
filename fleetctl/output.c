/* SPDX-License-Identifier: Apache-2.0 */

/* The formats of --output. */

#include "fleetctl/output.h"

#include <errno.h>

#include "lib/base/macro.h"

int output_is_json(const Options *options, bool *ret_is_json, Diag *diag) {
        *ret_is_json = streq(options->format, "json");
        if (*ret_is_json || streq(options->format, "table"))
                return 0;
        return diag_set(diag, -EINVAL,
                        "invalid value \"%.100s\" for flag --output: expected table or json",
                        options->format);
}
