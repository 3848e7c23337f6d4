/* SPDX-License-Identifier: Apache-2.0 */

/* Globs of Conflicts and Replaces (contract section 6): '*' a run without a slash, '?' one
 * character that is no slash, classes, and the backslash, over the whole string.
 *
 * First the pattern is checked to its end: a malformed one matches nothing, whatever the string.
 * Then the matcher walks both, and on a mismatch goes back to the last '*' only, which takes one
 * byte more. Earlier ones need no second chance: what is between two '*' holds a slash only
 * literally, so moving it to the right finds nothing that the last '*' could not reach. That bounds
 * the time by the product of the lengths, which matters since patterns come from users.
 *
 * It works on bytes. Unit names are ASCII, and for an ASCII string a class or a range with other
 * characters in the pattern decides the same by bytes as by characters.
 */

#include "lib/unit/unit-name.h"

#include <string.h>

/* Step over one character of a class, which may be escaped. NULL when it is malformed or the
 * pattern ends. */
static const char *class_take_character(const char *pattern, unsigned char *ret_character) {
        if (*pattern == '-' || *pattern == ']')
                return NULL;
        if (*pattern == '\\')
                pattern++;
        if (!*pattern)
                return NULL;

        *ret_character = (unsigned char)*pattern;
        return pattern + 1;
}

/* Does the class behind the '[' at `pattern` contain `c`? Returns what follows its ']', or NULL
 * when it is malformed. */
static const char *class_match(const char *pattern, char c, bool *ret_matches) {
        bool is_negated = *pattern == '^', contains = false;
        size_t n_ranges = 0;

        if (is_negated)
                pattern++;

        for (; *pattern != ']' || n_ranges == 0; n_ranges++) {
                unsigned char low, high;

                pattern = class_take_character(pattern, &low);
                if (!pattern)
                        return NULL;

                high = low;
                if (*pattern == '-') {
                        pattern = class_take_character(pattern + 1, &high);
                        if (!pattern)
                                return NULL;
                }

                if ((unsigned char)c >= low && (unsigned char)c <= high)
                        contains = true;
        }

        *ret_matches = contains != is_negated && c != '/';
        return pattern + 1;
}

bool unit_glob_is_valid(const char *pattern) {
        while (*pattern) {
                bool ignored;

                switch (*pattern++) {
                case '[':
                        pattern = class_match(pattern, 'x', &ignored);
                        if (!pattern)
                                return false;
                        break;
                case '\\':
                        if (!*pattern++)
                                return false;
                        break;
                default:
                        break;
                }
        }
        return true;
}

/* Match one character of the string, which is not at its end, against one element of the valid
 * pattern, which is no '*'. Returns what follows the element, or NULL when it does not match. */
static const char *element_match(const char *pattern, char c) {
        bool matches;

        switch (*pattern) {
        case '\0':
                return NULL;
        case '?':
                return c != '/' ? pattern + 1 : NULL;
        case '[':
                pattern = class_match(pattern + 1, c, &matches);
                return matches ? pattern : NULL;
        case '\\':
                pattern++;
                break;
        default:
                break;
        }
        return *pattern == c ? pattern + 1 : NULL;
}

static bool is_special(char c) {
        return c == '*' || c == '?' || c == '[' || c == '\\';
}

bool unit_glob_matches(const char *pattern, const char *string) {
        const char *after_star = NULL, *star_string = NULL;

        /* Most patterns differ from most names before anything special comes. */
        for (; *pattern && !is_special(*pattern); pattern++, string++)
                if (*pattern != *string)
                        return false;
        if (!unit_glob_is_valid(pattern))
                return false;

        while (*string || *pattern) {
                const char *next;

                if (*pattern == '*') {
                        after_star = ++pattern;
                        star_string = string;
                        continue;
                }

                next = *string ? element_match(pattern, *string) : NULL;
                if (next) {
                        pattern = next;
                        string++;
                        continue;
                }

                if (!after_star || !*star_string || *star_string == '/')
                        return false;
                pattern = after_star;
                string = ++star_string;
        }
        return true;
}
