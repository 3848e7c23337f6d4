/* SPDX-License-Identifier: Apache-2.0 */

/* Paths of requests: percent-decoding, and the shortest form. */

#include "api/routes.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        _cleanup_(freep) char *text = fuzz_string(data, n_bytes);
        _cleanup_(freep) char *path = NULL, *clean = NULL, *again = NULL;

        fuzz_require(text, "there is memory");
        path = http_path_decode(text, strlen(text));
        if (!path)
                return 0;
        fuzz_require(strlen(path) <= strlen(text), "decoding does not make it longer");

        clean = api_path_clean(path);
        fuzz_require(clean && *clean == '/' && strlen(clean) <= strlen(path) + 1,
                     "a clean path begins with a slash");
        fuzz_require(!strstr(clean, "//") && !strstr(clean, "/./") && !strstr(clean, "/../"),
                     "a clean path is clean");
        again = api_path_clean(clean);
        fuzz_require(again && streq(clean, again), "a clean path stays");
        return 0;
}
