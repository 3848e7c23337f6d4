/* SPDX-License-Identifier: Apache-2.0 */

/* Queries of requests: what stands in front of a parameter does not hide it, whatever it is. */

#include "lib/base/buf.h"
#include "lib/http/http-server.h"
#include "tests/fuzz/fuzz.h"

static unsigned count_values(const char *query, const char *name) {
        unsigned n = 0;

        for (char *value; (value = http_query_parameter(query, name, n)); n++) {
                fuzz_require(strlen(value) <= strlen(query), "decoding does not make it longer");
                free(value);
        }
        return n;
}

static unsigned count_pairs(const char *query) {
        unsigned n = 1;

        for (; *query; query++)
                n += *query == '&';
        return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        static const char *const names[] = { "nextPageToken", "unitName", "machineID", "a", "" };
        _cleanup_(freep) char *query = fuzz_string(data, n_bytes);
        _cleanup_(buf_done) Buf longer = buf_make(64 * 1024 * 1024);

        fuzz_require(query, "there is memory");
        fuzz_require(buf_printf(&longer, "%s&a=%%26+x", query) == 0, "there is memory");
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                unsigned n = count_values(query, names[i]);
                _cleanup_(freep) char *value = http_query_parameter(longer.data, names[i], n);

                fuzz_require(n <= count_pairs(query), "a pair has one value");
                fuzz_require(streq(names[i], "a") ? value && streq(value, "& x") : !value,
                             "what comes behind is found, and only that");
        }
        return 0;
}
