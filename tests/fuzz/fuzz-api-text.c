/* SPDX-License-Identifier: Apache-2.0 */

/* What the API takes out of a URL: percent-encoded paths, their shortest form, page tokens. */

#include "api/api-private.h"
#include "api/routes.h"
#include "tests/fuzz/fuzz.h"

static void require_path(const char *text) {
        _cleanup_(freep) char *path = http_path_decode(text, strlen(text));
        _cleanup_(freep) char *clean = NULL;
        _cleanup_(freep) char *again = NULL;

        if (!path)
                return;
        fuzz_require(strlen(path) <= strlen(text), "decoding does not make it longer");

        clean = api_path_clean(path);
        fuzz_require(clean && *clean == '/' && strlen(clean) <= strlen(path) + 1,
                     "a clean path begins with a slash");
        fuzz_require(!strstr(clean, "//") && !strstr(clean, "/./") && !strstr(clean, "/../"),
                     "a clean path is clean");
        again = api_path_clean(clean);
        fuzz_require(again && streq(clean, again), "a clean path stays");
}

static void require_token(const char *text) {
        _cleanup_(page_token_done) PageToken token = { 0 };
        _cleanup_(page_token_done) PageToken again = { 0 };
        _cleanup_(freep) char *encoded = NULL;
        Diag diag = { 0 };
        uint16_t limit = 100;

        if (page_token_decode(text, limit, &token, &diag) < 0) {
                fuzz_require(diag.message[0], "what is refused has a reason");
                return;
        }
        if (!token.after)
                return;

        encoded = page_token_encode(limit, token.revision, token.after);
        fuzz_require(encoded && page_token_decode(encoded, limit, &again, NULL) == 0,
                     "a token can be given out again");
        fuzz_require(again.revision == token.revision && streq(again.after, token.after),
                     "a token keeps its place");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        _cleanup_(freep) char *text = fuzz_string(data, n_bytes);

        fuzz_require(text, "there is memory");
        require_path(text);
        require_token(text);
        return 0;
}
