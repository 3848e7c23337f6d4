/* SPDX-License-Identifier: Apache-2.0 */

/* Content types: parameters and case do not matter, what is in front of them does. */

#include "api/api-private.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        _cleanup_(freep) char *type = fuzz_string(data, n_bytes);
        _cleanup_(buf_done) Buf other = buf_make(64 * 1024 * 1024);
        bool is_json;

        fuzz_require(type, "there is memory");
        is_json = api_type_is_json(type);
        fuzz_require(buf_printf(&other, "%s ; charset=utf-8", type) == 0, "there is memory");
        fuzz_require(api_type_is_json(other.data) == is_json, "parameters do not matter");
        buf_clear(&other);
        fuzz_require(buf_printf(&other, "x%s", type) == 0, "there is memory");
        fuzz_require(!api_type_is_json(other.data), "the type counts from its beginning");
        return 0;
}
