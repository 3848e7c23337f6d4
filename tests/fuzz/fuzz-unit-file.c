/* SPDX-License-Identifier: Apache-2.0 */

/* The parser of unit files: whatever it accepts prints to a text that it accepts again, that prints
 * to itself, and that has the hash of the file. What it refuses, it refuses with a message that
 * names a line.
 */

#include <errno.h>

#include "lib/unit/unit-file.h"
#include "tests/fuzz/fuzz.h"

static void require_round_trip(const UnitFile *file) {
        _cleanup_(buf_done) Buf printed = buf_make(4 * UNIT_FILE_MAX_BYTES);
        _cleanup_(buf_done) Buf printed_again = buf_make(4 * UNIT_FILE_MAX_BYTES);
        _cleanup_(unit_file_freep) UnitFile *again = NULL;
        char hash[UNIT_HASH_BYTES], hash_of_text[UNIT_HASH_BYTES];

        fuzz_require(unit_file_print(file, &printed) == 0, "a file prints");
        fuzz_require(unit_file_parse(printed.data, printed.n_bytes, &again, NULL) == 0,
                     "a printed file parses");
        fuzz_require(unit_file_print(again, &printed_again) == 0, "a printed file prints");
        fuzz_require(printed.n_bytes == printed_again.n_bytes &&
                             (printed.n_bytes == 0 ||
                              memcmp(printed.data, printed_again.data, printed.n_bytes) == 0),
                     "the canonical form is canonical");
        fuzz_require(unit_file_equals(file, again), "a printed file is the same file");

        fuzz_require(unit_file_hash(file, hash) == 0, "a file has a hash");
        unit_text_hash(printed.data, printed.n_bytes, hash_of_text);
        fuzz_require(streq(hash, hash_of_text), "the hash is that of the canonical form");
        fuzz_require(unit_hash_is_valid(hash), "a hash is valid");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        _cleanup_(unit_file_freep) UnitFile *file = NULL;
        Diag diag = { 0 };
        int r;

        r = unit_file_parse((const char *)data, n_bytes, &file, &diag);
        if (r == 0)
                require_round_trip(file);
        else {
                fuzz_require(!file, "a file that was refused is not handed out");
                fuzz_require(r == -EFBIG || r == -EBADMSG, "refusals have two reasons");
                fuzz_require(r == -EFBIG || strncmp(diag.message, "line ", 5) == 0,
                             "a refusal names the line");
        }
        return 0;
}
