/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/unit/utf8.h"

#include <string.h>

#include "lib/base/macro.h"
#include "tests/unit/fault.h"

/* A text, and how long its first sequence is. */
typedef struct Row {
        const char *text;
        size_t n_sequence;
} Row;

static const Row rows[] = {
        { "", 0 },
        { "a", 1 },
        { "\x7f", 1 },
        { "\x80", 0 },     /* starts with a continuation */
        { "\xc1\xbf", 0 }, /* longer than needed */
        { "\xc2\x80", 2 }, /* U+0080 */
        { "\xc3", 0 },     /* cut off */
        { "\xc3(", 0 },
        { "\xe0\x9f\xbf", 0 },  /* longer than needed */
        { "\xe0\xa0\x80", 3 },  /* U+0800 */
        { "\xe2\x82\xac!", 3 }, /* the euro sign */
        { "\xe2\x82", 0 },
        { "\xed\x9f\xbf", 3 },     /* U+D7FF, the last one before the surrogates */
        { "\xed\xa0\x80", 0 },     /* a surrogate */
        { "\xef\xbf\xbd", 3 },     /* U+FFFD */
        { "\xf0\x8f\xbf\xbf", 0 }, /* longer than needed */
        { "\xf0\x90\x80\x80", 4 }, /* U+10000 */
        { "\xf4\x8f\xbf\xbf", 4 }, /* U+10FFFF, the last one */
        { "\xf4\x90\x80\x80", 0 },
        { "\xf5\x80\x80\x80", 0 },
        { "\xff", 0 },
};

/* Exactly the well-formed sequences of the Unicode standard are sequences. */
START_TEST(test_sequences) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                ck_assert_uint_eq(utf8_sequence_bytes(rows[i].text, strlen(rows[i].text)),
                                  rows[i].n_sequence);
                ck_assert_uint_eq(utf8_sequence_bytes(rows[i].text, 4), rows[i].n_sequence);
        }
}
END_TEST

/* A sequence that goes beyond the bytes that are there is none. */
START_TEST(test_length_counts) {
        ck_assert_uint_eq(utf8_sequence_bytes("\xe2\x82\xac", 2), 0);
        ck_assert_uint_eq(utf8_sequence_bytes("a", 0), 0);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_sequences, test_length_counts };

        return tests_run("utf8", tests, ELEMENTSOF(tests));
}
