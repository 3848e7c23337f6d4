/* SPDX-License-Identifier: Apache-2.0 */

/* Braces: the first group that stands for something is replaced by each of its alternatives in
 * turn, and what follows is looked at again from there, so nested groups need no case of their own.
 * Every branch ends in a word of the result, which is counted before it is made: a range over a
 * thousand million costs as little as one over three.
 *
 * Patterns: the matcher is the one of Conflicts= (lib/unit/glob.c). It takes a backslash as an
 * escape and '^' for "none of", so backslashes are doubled and "[!" becomes "[^" on the way in.
 */

#include "fleetctl/expand.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/macro.h"
#include "lib/unit/unit-name.h"

enum {
        NUMBER_MAX_DIGITS = 18, /* fit an int64_t */
        ITEM_BYTES = 32,        /* one of a range, as text */
};

/* --- braces --- */

/* "{1..9..2}", "{a..e}". */
typedef struct Range {
        int64_t first, last;
        uint64_t step;
        int width; /* digits, filled with zeros; 0 = as many as there are */
        bool is_letters;
} Range;

/* A group in a word: from its '{' to behind its '}'. */
typedef struct Group {
        const char *begin, *end;
        bool is_range; /* otherwise alternatives */
        Range range;
} Group;

static int too_much(const char *word, Diag *diag) {
        return diag_set(diag, -E2BIG, "%.100s: the braces stand for more than %d units", word,
                        EXPAND_MAX_WORDS);
}

/* Read an integer of a range. Returns what follows it, or NULL. */
static const char *take_number(const char *text, int64_t *ret_number, int *ret_width) {
        bool is_negative = *text == '-';
        const char *digits = text + is_negative;
        size_t n = strspn(digits, "0123456789");

        if (n == 0 || n > NUMBER_MAX_DIGITS)
                return NULL;

        *ret_number = strtoll(text, NULL, 10);
        *ret_width = digits[0] == '0' && n > 1 ? (int)n + is_negative : 0;
        return digits + n;
}

static const char *take_letter(const char *text, int64_t *ret_letter) {
        if (!isalpha((unsigned char)*text))
                return NULL;
        *ret_letter = (unsigned char)*text;
        return text + 1;
}

static const char *take_dots(const char *text) {
        return text && text[0] == '.' && text[1] == '.' ? text + 2 : NULL;
}

/* "..2" before the closing brace; a step of 0 counts as 1, and its sign does not matter. */
static bool take_step(const char *text, const char *close, uint64_t *ret_step) {
        int64_t step = 1;
        int width;

        if (text && text != close) {
                text = take_dots(text);
                text = text ? take_number(text, &step, &width) : NULL;
        }
        *ret_step = step == 0 ? 1 : (uint64_t)llabs(step);
        return text == close;
}

static bool range_read_numbers(const char *text, const char *close, Range *range) {
        int first_width = 0, last_width = 0;
        const char *next = take_dots(take_number(text, &range->first, &first_width));

        next = next ? take_number(next, &range->last, &last_width) : NULL;
        range->width = first_width > last_width ? first_width : last_width;
        return next && take_step(next, close, &range->step);
}

static bool range_read_letters(const char *text, const char *close, Range *range) {
        const char *next = take_dots(take_letter(text, &range->first));

        next = next ? take_letter(next, &range->last) : NULL;
        range->is_letters = true;
        return next && !isupper((int)range->first) == !isupper((int)range->last) &&
               take_step(next, close, &range->step);
}

/* The group whose '{' is at `begin`, if it stands for anything. */
static bool group_read(const char *begin, Group *ret_group) {
        size_t depth = 0;
        bool has_comma = false;
        const char *c;

        for (c = begin; *c; c++) {
                depth += *c == '{';
                has_comma |= *c == ',' && depth == 1;
                if (*c == '}' && --depth == 0)
                        break;
        }
        if (!*c)
                return false;

        *ret_group = (Group){ .begin = begin, .end = c + 1 };
        if (has_comma)
                return true;
        ret_group->is_range = range_read_numbers(begin + 1, c, &ret_group->range);
        if (!ret_group->is_range)
                ret_group->is_range = range_read_letters(begin + 1, c, &ret_group->range);
        return ret_group->is_range;
}

static bool group_find(const char *text, Group *ret_group) {
        for (text = strchr(text, '{'); text; text = strchr(text + 1, '{'))
                if (group_read(text, ret_group))
                        return true;
        return false;
}

/* One word being expanded. */
typedef struct Expansion {
        const char *original; /* for messages */
        StrList *words;       /* the result; borrowed */
        size_t n_braces;      /* replaced on the way to the current word */
        Diag *diag;
} Expansion;

static int expand_from(Expansion *expansion, const char *word, size_t done);

/* Go on with `item` in the place of the group. */
static int expand_item(Expansion *expansion, const char *word, const Group *group, const char *item,
                       size_t n_item) {
        size_t n_before = (size_t)(group->begin - word);
        _cleanup_(freep) char *next = NULL;

        if (asprintf(&next, "%.*s%.*s%s", (int)n_before, word, (int)n_item, item, group->end) < 0) {
                next = NULL;
                return -ENOMEM;
        }
        return expand_from(expansion, next, n_before);
}

static int expand_alternatives(Expansion *expansion, const char *word, const Group *group) {
        const char *item = group->begin + 1;
        size_t depth = 0;
        int r = 0;

        for (const char *c = item; r == 0 && c < group->end; c++) {
                bool is_end = depth == 0 && (*c == ',' || c + 1 == group->end);

                depth += *c == '{';
                if (is_end) {
                        r = expand_item(expansion, word, group, item, (size_t)(c - item));
                        item = c + 1;
                } else if (*c == '}')
                        depth--;
        }
        return r;
}

static int expand_range(Expansion *expansion, const char *word, const Group *group) {
        const Range *range = &group->range;
        bool falls = range->last < range->first;
        uint64_t span = falls ? (uint64_t)(range->first - range->last)
                              : (uint64_t)(range->last - range->first);
        int r = 0;

        if (span / range->step >= EXPAND_MAX_WORDS)
                return too_much(expansion->original, expansion->diag);

        for (uint64_t i = 0; r == 0 && i <= span / range->step; i++) {
                int64_t offset = (int64_t)(i * range->step);
                int64_t value = falls ? range->first - offset : range->first + offset;
                char item[ITEM_BYTES];
                int n;

                if (range->is_letters)
                        n = snprintf(item, sizeof(item), "%c", (int)value);
                else
                        n = snprintf(item, sizeof(item), "%0*lld", range->width, (long long)value);
                r = expand_item(expansion, word, group, item, (size_t)n);
        }
        return r;
}

/* Expand what `word` has from `done` on. */
static int expand_from(Expansion *expansion, const char *word, size_t done) {
        Group group;
        int r;

        if (!group_find(word + done, &group)) {
                if (expansion->words->n_items >= EXPAND_MAX_WORDS)
                        return too_much(expansion->original, expansion->diag);
                return strlist_add(expansion->words, word);
        }

        if (expansion->n_braces == EXPAND_MAX_BRACES)
                return diag_set(expansion->diag, -E2BIG, "%.100s: more than %d braces in one word",
                                expansion->original, EXPAND_MAX_BRACES);
        expansion->n_braces++;
        r = group.is_range ? expand_range(expansion, word, &group)
                           : expand_alternatives(expansion, word, &group);
        expansion->n_braces--;
        return r;
}

int expand_braces(const char *word, StrList *ret_words, Diag *diag) {
        Expansion expansion = { .original = word, .words = ret_words, .diag = diag };
        Group group;

        if (!strchr(word, '{'))
                return strlist_add(ret_words, word);
        if (strlen(word) > EXPAND_MAX_WORD_BYTES)
                return diag_set(diag, -E2BIG, "%.100s...: longer than %d bytes", word,
                                EXPAND_MAX_WORD_BYTES);
        return group_find(word, &group) ? expand_from(&expansion, word, 0)
                                        : strlist_add(ret_words, word);
}

/* --- patterns --- */

static const char *last_part(const char *word) {
        const char *slash = strrchr(word, '/');

        return slash ? slash + 1 : word;
}

bool unit_pattern_is_one(const char *word) {
        return strpbrk(last_part(word), "*?[") != NULL;
}

static int to_glob(const char *name, char **ret_glob) {
        _cleanup_(buf_done) Buf glob = buf_make(SIZE_MAX / 4);
        int r = 0;

        for (const char *c = name; r == 0 && *c; c++)
                if (*c == '\\')
                        r = buf_append_string(&glob, "\\\\");
                else if (*c == '!' && c > name && c[-1] == '[')
                        r = buf_append_string(&glob, "^");
                else
                        r = buf_append(&glob, c, 1);
        if (r == 0)
                r = buf_append_string(&glob, "");
        if (r < 0)
                return r;

        *ret_glob = buf_take_string(&glob);
        return *ret_glob ? 0 : -ENOMEM;
}

int unit_pattern_init(UnitPattern *pattern, const char *word, Diag *diag) {
        _cleanup_(freep) char *mangled = NULL;
        const char *name = last_part(word);
        int r;

        r = to_glob(name, &pattern->glob);
        if (r == 0)
                r = unit_name_mangle(word, &mangled);
        if (r < 0)
                return r;

        if (!unit_glob_is_valid(pattern->glob))
                return diag_set(diag, -EINVAL, "%.200s: not a pattern: a [ has no ]", word);
        return streq(mangled, name) ? 0 : to_glob(mangled, &pattern->service);
}

void unit_pattern_done(UnitPattern *pattern) {
        free(pattern->glob);
        free(pattern->service);
        *pattern = (UnitPattern){ 0 };
}

bool unit_pattern_matches(const UnitPattern *pattern, const char *name) {
        return unit_glob_matches(pattern->glob, name) ||
               (pattern->service && unit_glob_matches(pattern->service, name));
}
