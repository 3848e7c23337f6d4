/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Unit names: their rules (contract section 4.6), their parts (5.3), and how a command line's word
 * becomes one (2.6). */

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/diag.h"

enum {
        UNIT_NAME_MAX_BYTES = 256, /* longest name, without the NUL (contract section 4.6) */
};

/* Check a name by the rules of contract section 4.6, item 4, in their order. Returns 0, or -EINVAL
 * with the rule's message in `diag` (may be NULL). A name that is valid here can be a file name and
 * a component of a key: it has no slash and no NUL. */
int unit_name_check(const char *name, Diag *diag);

/* The parts of a name, borrowed from it as pointer and length (contract section 5.3). */
typedef struct UnitNameParts {
        const char *prefix; /* before the first '@', or before the last dot when there is none */
        const char
                *instance;   /* between the first '@' and the last dot; NULL when there is no '@' */
        const char *suffix;  /* after the last dot, NUL-terminated */
        size_t prefix_bytes; /* length of prefix */
        size_t instance_bytes; /* length of instance; 0 for a template */
} UnitNameParts;

/* Split a name. Any string with a dot can be split. Returns 0 or -EINVAL. */
int unit_name_split(const char *name, UnitNameParts *ret_parts);

/* Is it a template, "p@.suffix"? */
bool unit_name_is_template(const char *name);

/* Is it an instance, "p@i.suffix" with a non-empty i? */
bool unit_name_is_instance(const char *name);

/* The template's name of an instance, "p@.suffix"; the caller frees it. Returns 0, -EINVAL when
 * `name` is no instance, or -ENOMEM. */
int unit_name_template(const char *name, char **ret_template);

/* The unit name that a word of the command line means: its basename, with ".service" appended
 * unless it ends in a unit type (contract section 2.6; all the types that the API accepts count,
 * not only those that fleet 1.0's client knew). The caller frees it. Returns 0 or -ENOMEM. The
 * result need not be a valid name. */
int unit_name_mangle(const char *word, char **ret_name);

/* Is `suffix` (without the dot) a unit type that the API accepts (contract section 4.6)? */
bool unit_suffix_is_valid(const char *suffix);

/* Does `pattern` match the whole of `string`? Patterns are those of Conflicts and Replaces
 * (contract section 6): '*' any run without a slash, '?' one character, '[a-z]' and '[^a]' classes,
 * '\' takes the next character as it is. A malformed pattern matches nothing. Takes time linear in
 * pattern times string at worst. */
bool unit_glob_matches(const char *pattern, const char *string);

/* Is it well-formed: does every class end, and something follow every backslash? */
bool unit_glob_is_valid(const char *pattern);
