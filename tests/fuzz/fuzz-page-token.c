/* SPDX-License-Identifier: Apache-2.0 */

/* Page tokens: one that is refused has a reason; one of ours that is taken can be given out again,
 * and keeps its place. */

#include "api/api-private.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        _cleanup_(freep) char *text = fuzz_string(data, n_bytes);
        _cleanup_(page_token_done) PageToken token = { 0 };
        _cleanup_(page_token_done) PageToken again = { 0 };
        _cleanup_(freep) char *encoded = NULL;
        Diag diag = { 0 };
        uint16_t limit = 100;

        fuzz_require(text, "there is memory");
        if (page_token_decode(text, limit, &token, &diag) < 0) {
                fuzz_require(diag.message[0], "what is refused has a reason");
                return 0;
        }
        fuzz_require((token.page > 0) != !!token.after, "a token counts pages, or names a place");
        if (!token.after)
                return 0;

        encoded = page_token_encode(limit, token.revision, token.after);
        fuzz_require(encoded && page_token_decode(encoded, limit, &again, NULL) == 0,
                     "a token can be given out again");
        fuzz_require(again.revision == token.revision && streq(again.after, token.after),
                     "a token keeps its place");
        return 0;
}
