/* SPDX-License-Identifier: Apache-2.0 */

/* Requirements: the input is the content of an [X-Fleet] section. Whatever it says, what is read
 * keeps the promises of the header, the check ends with a verdict, and conflicts are symmetric and
 * never with oneself.
 */

#include <errno.h>

#include "lib/base/buf.h"
#include "lib/unit/requirements.h"
#include "tests/fuzz/fuzz.h"

static void require_promises(const Requirements *requirements) {
        const StrList *const lists[] = { &requirements->machine_of, &requirements->conflicts,
                                         &requirements->replaces };

        for (size_t i = 0; i < ELEMENTSOF(lists); i++)
                for (size_t j = 0; j < lists[i]->n_items; j++)
                        fuzz_require(lists[i]->items[j], "no string is NULL");

        for (size_t i = 0; i < requirements->n_metadata; i++)
                fuzz_require(*requirements->metadata[i].key && *requirements->metadata[i].value &&
                                     !strchr(requirements->metadata[i].key, '=') &&
                                     !strchr(requirements->metadata[i].value, '='),
                             "metadata is pairs");
}

static void require_relations(const Requirements *named, const Requirements *unnamed) {
        static const char a[] = "web@1.service", b[] = "db.service";

        fuzz_require(!requirements_conflict(a, named, a, unnamed), "no conflict with oneself");
        fuzz_require(requirements_conflict(a, named, b, unnamed) ==
                             requirements_conflict(b, unnamed, a, named),
                     "a conflict has two sides");
        fuzz_require(requirements_allow_machine(named, "0123456789abcdef") || named->machine_id,
                     "only MachineID excludes machines by ID");
}

static void require_file(const UnitFile *file) {
        _cleanup_(requirements_freep) Requirements *named = NULL;
        _cleanup_(requirements_freep) Requirements *unnamed = NULL;
        _cleanup_(strlist_done) StrList unknown = { 0 };
        Diag diag = { 0 };
        int r;

        fuzz_require(requirements_new(&named, file, "web@1.service") == 0 &&
                             requirements_new(&unnamed, file, NULL) == 0 &&
                             requirements_unknown_keys(file, &unknown) == 0,
                     "requirements can be read");
        fuzz_require(unknown.n_items <= file->n_options, "unknown keys are keys");
        require_promises(named);
        require_promises(unnamed);
        require_relations(named, unnamed);

        r = requirements_check(unnamed, file, &diag);
        fuzz_require(r == 0 || (r == -EINVAL && *diag.message), "a refusal has a reason");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        _cleanup_(buf_done) Buf text = buf_make(2 * UNIT_FILE_MAX_BYTES);
        _cleanup_(unit_file_freep) UnitFile *file = NULL;

        fuzz_require(buf_append_string(&text, "[X-Fleet]\n") == 0, "there is memory");
        if (buf_append(&text, data, n_bytes) == 0 &&
            unit_file_parse(text.data, text.n_bytes, &file, NULL) == 0)
                require_file(file);
        return 0;
}
