/* SPDX-License-Identifier: Apache-2.0 */

/* The helpers that fuzz targets share. A claim that fails aborts, which libFuzzer, the sanitizers
 * and meson all notice. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

void fuzz_require(bool claim, const char *message) {
        if (claim)
                return;

        (void)fprintf(stderr, "Claim violated: %s\n", message);
        abort();
}

char *fuzz_string(const uint8_t *data, size_t n_bytes) {
        char *string = strndup(n_bytes > 0 ? (const char *)data : "", n_bytes);

        fuzz_require(string, "there is memory");
        return string;
}
