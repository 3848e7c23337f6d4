/* SPDX-License-Identifier: Apache-2.0 */

/* Words of fleetctl's command line, one per line: their braces and patterns.
 *
 * What is refused has a reason. Braces stand for a bounded number of words, a word without braces
 * for itself; a pattern that is accepted can be held against any name.
 */

#include <errno.h>
#include <string.h>

#include "fleetctl/expand.h"
#include "lib/base/macro.h"
#include "tests/fuzz/fuzz.h"

static void require_pattern(const char *word) {
        _cleanup_(unit_pattern_done) UnitPattern pattern = { 0 };
        Diag diag = { 0 };
        int r = unit_pattern_init(&pattern, word, &diag);

        fuzz_require(r == 0 || (r == -EINVAL && diag.message[0]), "a pattern is one, or says why");
        fuzz_require(r == 0 || unit_pattern_is_one(word), "a name is never a bad pattern");
        if (r < 0)
                return;
        (void)unit_pattern_matches(&pattern, "web@1.service");
        if (strcmp(word, "*") == 0)
                fuzz_require(unit_pattern_matches(&pattern, "a.timer"), "a star matches all");
}

static void require_braces(const char *word) {
        _cleanup_(strlist_done) StrList words = { 0 };
        Diag diag = { 0 };
        int r = expand_braces(word, &words, &diag);

        fuzz_require(words.n_items <= EXPAND_MAX_WORDS, "words are limited");
        if (r < 0) {
                fuzz_require(r == -E2BIG && diag.message[0], "only too much is refused");
                return;
        }
        fuzz_require(words.n_items > 0, "a word stands for a word");
        if (!strchr(word, '{'))
                fuzz_require(words.n_items == 1 && streq(words.items[0], word),
                             "without braces it stands for itself");
        require_pattern(words.items[words.n_items - 1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        _cleanup_(freep) char *text = fuzz_string(data, n_bytes);

        for (char *word = text; word;) {
                char *newline = strchr(word, '\n');

                if (newline)
                        *newline++ = '\0';
                require_braces(word);
                word = newline;
        }
        return 0;
}
