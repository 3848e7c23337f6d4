/* SPDX-License-Identifier: Apache-2.0 */

/* The ordered index of the store in memory: a skip list of the keys.
 *
 * A key has one link per level; a quarter of the keys of a level are on the next one, too, so that
 * finding one among n looks at some 4 log4(n) keys. Heights come from a generator of the index's
 * own with a fixed start: the same calls build the same list, without touching the randomness that
 * decides what a simulation does.
 *
 * Keys are counted references, because versions outlive their place in the index while an answer
 * that names them is on its way.
 */

#include <assert.h>

#include "lib/store/store-memory-data.h"

/* The next number of splitmix64. */
static uint64_t memory_index_random(MemoryIndex *index) {
        uint64_t z = index->state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}

static unsigned memory_index_draw_height(MemoryIndex *index) {
        uint64_t bits = memory_index_random(index);
        unsigned height = 1;

        while (height < MEMORY_KEY_HEIGHT_MAX && (bits & 3) == 0) {
                height++;
                bits >>= 2;
        }
        return height;
}

/* Sets links[level] to the link of each level that leads to the first key >= `bytes`. */
static void memory_index_links(MemoryIndex *index, StoreBytes bytes, MemoryKey ***links) {
        MemoryKey **next = index->first;

        for (int level = MEMORY_KEY_HEIGHT_MAX - 1; level >= 0; level--) {
                while (next[level] && store_bytes_compare(next[level]->bytes, bytes) < 0)
                        next = next[level]->next;
                links[level] = &next[level];
        }
}

MemoryKey *memory_index_lower_bound(const MemoryIndex *index, StoreBytes bytes) {
        MemoryKey *const *next = index->first;

        for (int level = MEMORY_KEY_HEIGHT_MAX - 1; level >= 0; level--)
                while (next[level] && store_bytes_compare(next[level]->bytes, bytes) < 0)
                        next = next[level]->next;

        return next[0];
}

MemoryKey *memory_index_find(const MemoryIndex *index, StoreBytes bytes) {
        MemoryKey *key = memory_index_lower_bound(index, bytes);

        return key && store_bytes_compare(key->bytes, bytes) == 0 ? key : NULL;
}

static MemoryKey *memory_key_new(unsigned height, StoreBytes bytes) {
        size_t n_head = sizeof(MemoryKey) + height * sizeof(MemoryKey *);
        MemoryKey *key = calloc(1, n_head + bytes.n_bytes);

        if (!key)
                return NULL;

        key->n_refs = 1;
        key->height = height;
        key->bytes = (StoreBytes){ .data = (char *)key + n_head, .n_bytes = bytes.n_bytes };
        if (bytes.n_bytes > 0)
                memcpy((char *)key + n_head, bytes.data, bytes.n_bytes);
        return key;
}

MemoryKey *memory_index_add(MemoryIndex *index, StoreBytes bytes) {
        MemoryKey *key = memory_index_find(index, bytes), **links[MEMORY_KEY_HEIGHT_MAX];

        if (key)
                return key;

        key = memory_key_new(memory_index_draw_height(index), bytes);
        if (!key)
                return NULL;

        memory_index_links(index, bytes, links);
        for (unsigned level = 0; level < key->height; level++) {
                key->next[level] = *links[level];
                *links[level] = key;
        }
        return key;
}

void memory_index_remove(MemoryIndex *index, MemoryKey *key) {
        MemoryKey **links[MEMORY_KEY_HEIGHT_MAX];

        memory_index_links(index, key->bytes, links);
        assert(*links[0] == key);
        for (unsigned level = 0; level < key->height; level++)
                *links[level] = key->next[level];
        memory_key_unref(key);
}

void memory_key_unref(MemoryKey *key) {
        assert(key->n_refs > 0);
        if (--key->n_refs == 0)
                free(key);
}
