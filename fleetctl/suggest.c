/* SPDX-License-Identifier: Apache-2.0 */

/* Suggestions by edit distance (insert, delete, substitute: Levenshtein), in the row-by-row form
 * that needs one row of memory. Names and typed words are short; what is longer than a row is not
 * near to anything.
 */

#include "fleetctl/suggest.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
        WORD_MAX_BYTES = 32,
        NEAR_MAX_EDITS = 2,
};

static size_t min3(size_t a, size_t b, size_t c) {
        size_t least = a < b ? a : b;

        return least < c ? least : c;
}

static size_t edit_distance(const char *a, size_t n_a, const char *b, size_t n_b) {
        size_t row[WORD_MAX_BYTES + 1];

        for (size_t j = 0; j <= n_b; j++)
                row[j] = j;

        for (size_t i = 1; i <= n_a; i++) {
                size_t diagonal = row[0];

                row[0] = i;
                for (size_t j = 1; j <= n_b; j++) {
                        size_t above = row[j];

                        row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
                        diagonal = above;
                }
        }
        return row[n_b];
}

static bool is_near(const char *typed, size_t n_typed, const char *name) {
        size_t n_name = strlen(name), edits;

        if (n_typed == 0 || n_typed > WORD_MAX_BYTES || n_name > WORD_MAX_BYTES)
                return false;
        if (strncmp(typed, name, n_typed) == 0)
                return true;

        /* A word that shares no letter in place is not a typing error, however short. */
        edits = edit_distance(typed, n_typed, name, n_name);
        return edits <= NEAR_MAX_EDITS && edits < n_typed;
}

void suggestions_offer(Suggestions *suggestions, const char *name) {
        if (suggestions->n_names < SUGGESTIONS_MAX &&
            is_near(suggestions->typed, suggestions->n_typed, name))
                suggestions->names[suggestions->n_names++] = name;
}

int suggestions_append(const Suggestions *suggestions, const char *prefix, Diag *diag, int code) {
        size_t used;

        if (!diag || suggestions->n_names == 0)
                return code;

        used = strlen(diag->message);
        (void)snprintf(diag->message + used, sizeof(diag->message) - used, "\nDid you mean this?");
        for (size_t i = 0; i < suggestions->n_names; i++) {
                used = strlen(diag->message);
                (void)snprintf(diag->message + used, sizeof(diag->message) - used, "\n\t%s%s",
                               prefix, suggestions->names[i]);
        }
        return code;
}
