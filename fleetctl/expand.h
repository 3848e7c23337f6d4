/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a shell would have made of a word had it not been quoted: several words from one with
 * braces, and patterns that stand for whatever they match. Pure: nothing here knows the cluster. */

#include <stdbool.h>

#include "lib/base/diag.h"
#include "lib/base/strlist.h"

enum {
        EXPAND_MAX_WORDS = 10000,     /* that the braces of one command stand for */
        EXPAND_MAX_WORD_BYTES = 4096, /* of a word with braces */
        EXPAND_MAX_BRACES = 64,       /* that one word of the result comes from */
};

/* Append to `ret_words` what the braces of `word` stand for, in the order in which a shell gives
 * them: "{a,b}" each alternative, "{1..3}" and "{a..e}" each of a range, "{1..9..2}" in steps,
 * "{01..10}" with as many digits; braces that are neither stay as they are. A word without braces
 * is appended as it is. Returns 0, -ENOMEM, or -E2BIG with a message when it is more than the
 * limits above, of which the words that `ret_words` had before are a part. */
int expand_braces(const char *word, StrList *ret_words, Diag *diag);

/* A pattern for names of units, which owns its strings. Zeroed is empty. */
typedef struct UnitPattern {
        char *glob;    /* as unit_glob_matches() takes it */
        char *service; /* the same with ".service" behind it; NULL where the pattern ends in a
                          type */
} UnitPattern;

/* Has the last part of `word` a '*', '?' or '['? No unit's name has. */
bool unit_pattern_is_one(const char *word);

/* Make the pattern of the last part of a word: '*' and '?' as in a shell, classes "[a-z]" and
 * "[!a]" or "[^a]"; a backslash is a backslash, since names have them. A word that is no pattern
 * matches the unit that it names. The caller calls unit_pattern_done(). Returns 0, -ENOMEM, or
 * -EINVAL with a message for a class that does not end. */
int unit_pattern_init(UnitPattern *pattern, const char *word, Diag *diag);

/* Free the strings; empty afterwards. */
void unit_pattern_done(UnitPattern *pattern);

/* Does it match this unit? As with names, ".service" may be left out at the end. */
bool unit_pattern_matches(const UnitPattern *pattern, const char *name);
