/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Words that occur again and again, such as the states of units, each kept once. */

#include "lib/base/hash-map.h"

enum { INTERN_MAX = 512 }; /* systemd has about 150 words for states and results */

/* The words; zeroed is empty. */
typedef struct Intern {
        HashMap words;
} Intern;

/* The one copy of this word, valid as long as `intern`. When there are INTERN_MAX words already, or
 * no memory, "unknown" stands for a new one. */
const char *intern_word(Intern *intern, const char *word);

/* Free all words. */
void intern_done(Intern *intern);
