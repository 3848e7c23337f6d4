/* SPDX-License-Identifier: Apache-2.0 */

/* The decoders of all entities of the API, on each input: what one accepts it encodes, and accepts
 * again, with the same result. Changes of metadata have no encoder; for them, what is accepted
 * keeps the promises of the header.
 */

#include <errno.h>

#include "lib/model/entity.h"
#include "tests/fuzz/fuzz.h"

enum { MAX_OUTPUT_BYTES = 64 * 1024 * 1024 };

/* Decode an entity of one kind and append it to `out` again; false when it is refused. */
typedef bool (*Recode)(const char *json, size_t n_bytes, Buf *out);

static bool accept(int r, const Diag *diag) {
        fuzz_require(r == 0 || (r == -EBADMSG && *diag->message), "a refusal has a reason");
        return r == 0;
}

static bool recode_unit(const char *json, size_t n_bytes, Buf *out) {
        _cleanup_(unit_done) Unit unit = { 0 };
        Diag diag = { 0 };

        if (!accept(unit_decode(json, n_bytes, &unit, &diag), &diag))
                return false;
        fuzz_require(unit_encode(&unit, out) == 0, "a unit can be encoded");
        return true;
}

static bool recode_page(const char *json, size_t n_bytes, Buf *out) {
        _cleanup_(page_done) Page page = { 0 };
        Diag diag = { 0 };

        if (!accept(page_decode(json, n_bytes, &page, &diag), &diag))
                return false;
        fuzz_require(page_encode(&page, out) == 0, "a page can be encoded");
        return true;
}

static bool recode_wait_request(const char *json, size_t n_bytes, Buf *out) {
        _cleanup_(wait_request_done) WaitRequest request = { 0 };
        Diag diag = { 0 };

        if (!accept(wait_request_decode(json, n_bytes, &request, &diag), &diag))
                return false;
        fuzz_require(wait_request_encode(&request, out) == 0, "a request can be encoded");
        return true;
}

static bool recode_wait_result(const char *json, size_t n_bytes, Buf *out) {
        _cleanup_(wait_result_done) WaitResult result = { 0 };
        Diag diag = { 0 };

        if (!accept(wait_result_decode(json, n_bytes, &result, &diag), &diag))
                return false;
        fuzz_require(wait_result_encode(&result, out) == 0, "a result can be encoded");
        fuzz_require(!strchr(out->data, '\n'), "a result is one line");
        return true;
}

static bool recode_error(const char *json, size_t n_bytes, Buf *out) {
        _cleanup_(freep) char *message = NULL;
        int code, r = error_decode(json, n_bytes, &code, &message);

        fuzz_require(r == 0 || r == -EBADMSG, "refusals have one reason");
        if (r < 0)
                return false;
        fuzz_require(code >= 0 && error_encode(code, message, out) == 0, "an error can be encoded");
        return true;
}

static void require_changes(const char *json, size_t n_bytes) {
        MetadataChange *changes = NULL;
        size_t n_changes = 0;
        Diag diag = { 0 };

        if (!accept(metadata_changes_decode(json, n_bytes, &changes, &n_changes, &diag), &diag))
                fuzz_require(!changes, "what was refused is not handed out");
        for (size_t i = 0; i < n_changes; i++)
                fuzz_require(*changes[i].machine && !strchr(changes[i].machine, '/') &&
                                     *changes[i].key && !strchr(changes[i].key, '/') &&
                                     (!changes[i].value || *changes[i].value),
                             "changes name a machine, a key and a value");
        metadata_changes_free(changes, n_changes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        static const Recode recodes[] = { recode_unit, recode_page, recode_wait_request,
                                          recode_wait_result, recode_error };

        for (size_t i = 0; i < ELEMENTSOF(recodes); i++) {
                _cleanup_(buf_done) Buf text = buf_make(MAX_OUTPUT_BYTES);
                _cleanup_(buf_done) Buf again = buf_make(MAX_OUTPUT_BYTES);

                if (!recodes[i]((const char *)data, n_bytes, &text))
                        continue;
                fuzz_require(recodes[i](text.data, text.n_bytes, &again) &&
                                     streq(text.data, again.data),
                             "an encoded entity decodes to itself");
        }

        require_changes((const char *)data, n_bytes);
        return 0;
}
