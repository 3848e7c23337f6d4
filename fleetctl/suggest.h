/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* "Did you mean this?": names near to what was typed. */

#include <stddef.h>

#include "lib/base/diag.h"

enum { SUGGESTIONS_MAX = 4 }; /* more would not help anybody */

/* Collects what is near to what was typed. Zeroed but for the first two. */
typedef struct Suggestions {
        const char *typed;                  /* borrowed; need not end in a NUL */
        size_t n_typed;                     /* its length */
        const char *names[SUGGESTIONS_MAX]; /* borrowed, in the order in which they were offered */
        size_t n_names;
} Suggestions;

/* Keep `name` if it is near: it begins with what was typed, or at most two letters were mistyped,
 * swapped neighbours counting as two (contract section 2.3). Beyond SUGGESTIONS_MAX it is dropped.
 */
void suggestions_offer(Suggestions *suggestions, const char *name);

/* Append what was kept to a message, one tab-indented name per line after `prefix`, nothing when
 * there is none. Returns `code`. */
int suggestions_append(const Suggestions *suggestions, const char *prefix, Diag *diag, int code);
