/* SPDX-License-Identifier: Apache-2.0 */

/* Interned words: a map that owns its keys. The limit is there because the words come from a peer.
 */

#include "lib/host/intern.h"

typedef struct InternWord {
        HashNode node;
        char text[];
} InternWord;

static const char intern_unknown[] = "unknown";

const char *intern_word(Intern *intern, const char *word) {
        HashNode *node = hash_map_get(&intern->words, word);
        size_t n_bytes = strlen(word) + 1;
        InternWord *added;

        if (node)
                return container_of(node, InternWord, node)->text;
        if (*word == '\0')
                return "";
        if (intern->words.n_nodes >= INTERN_MAX)
                return intern_unknown;

        added = calloc(1, sizeof(InternWord) + n_bytes);
        if (!added)
                return intern_unknown;

        memcpy(added->text, word, n_bytes);
        if (hash_map_put(&intern->words, &added->node, added->text) < 0) {
                free(added);
                return intern_unknown;
        }
        return added->text;
}

void intern_done(Intern *intern) {
        HashNode *node = hash_map_first(&intern->words);

        while (node) {
                InternWord *word = container_of(node, InternWord, node);

                node = hash_map_next(&intern->words, node);
                free(word);
        }
        hash_map_done(&intern->words);
}
