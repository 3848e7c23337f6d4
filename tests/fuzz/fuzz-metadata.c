/* SPDX-License-Identifier: Apache-2.0 */

/* The configuration's metadata: what is accepted is sorted, can be written in the same syntax, and
 * reads the same again; laid over itself it changes nothing but loses its tombstones.
 */

#include <errno.h>

#include "lib/base/buf.h"
#include "lib/model/metadata.h"
#include "tests/fuzz/fuzz.h"

static bool is_equal(const Metadata *a, const Metadata *b) {
        if (a->n_entries != b->n_entries)
                return false;

        for (size_t i = 0; i < a->n_entries; i++)
                if (!streq(a->entries[i].key, b->entries[i].key) ||
                    !streq(a->entries[i].value, b->entries[i].value))
                        return false;
        return true;
}

static void require_round_trip(const Metadata *metadata) {
        _cleanup_(buf_done) Buf text = buf_make(16 * 1024 * 1024);
        _cleanup_(metadata_done) Metadata again = { 0 };

        for (size_t i = 0; i < metadata->n_entries; i++) {
                const MetadataEntry *entry = &metadata->entries[i];

                fuzz_require(i == 0 || strcmp(entry[-1].key, entry->key) < 0, "metadata is sorted");
                fuzz_require(streq(metadata_get(metadata, entry->key), entry->value),
                             "what is there is found");
                fuzz_require(buf_printf(&text, "%s=%s,", entry->key, entry->value) == 0,
                             "there is memory");
        }

        fuzz_require(metadata_parse(text.data ? text.data : "", &again, NULL) == 0,
                     "what was written can be read");
        fuzz_require(is_equal(metadata, &again), "what was written reads the same");
}

static void require_merge(const Metadata *metadata) {
        _cleanup_(metadata_done) Metadata merged = { 0 };

        fuzz_require(metadata_merge(metadata, metadata, &merged) == 0, "there is memory");
        for (size_t i = 0; i < metadata->n_entries; i++) {
                const char *value = metadata_get(&merged, metadata->entries[i].key);

                fuzz_require(*metadata->entries[i].value
                                     ? value && streq(value, metadata->entries[i].value)
                                     : !value,
                             "laid over itself only tombstones go");
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        _cleanup_(freep) char *text = fuzz_string(data, n_bytes);
        _cleanup_(metadata_done) Metadata metadata = { 0 };
        Diag diag = { 0 };
        int r;

        r = metadata_parse(text, &metadata, &diag);
        if (r < 0) {
                fuzz_require(r == -EINVAL && *diag.message, "a refusal has a reason");
                return 0;
        }

        require_round_trip(&metadata);
        require_merge(&metadata);
        return 0;
}
