/* SPDX-License-Identifier: Apache-2.0 */

/* The hash map: chained buckets, a power of two of them, doubled when nodes outnumber buckets.
 *
 * The hash is a keyed multiply-and-fold over eight bytes at a time. It is no cryptographic hash:
 * with a random seed it keeps an outsider from aiming at one bucket, which is all that is asked of
 * it here.
 */

#include "lib/base/hash-map.h"

#include <assert.h>
#include <errno.h>

enum { HASH_MAP_FIRST_BUCKETS = 16 };

static uint64_t fold(uint64_t a, uint64_t b) {
        __uint128_t product = (__uint128_t)a * b;

        return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_string(uint64_t seed, const char *key) {
        const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
        size_t n_bytes = strlen(key);
        uint64_t hash = fold(seed ^ odd, n_bytes ^ UINT64_C(0xd1b54a32d192ed03));

        while (n_bytes > 0) {
                size_t n = n_bytes < sizeof(uint64_t) ? n_bytes : sizeof(uint64_t);
                uint64_t word = 0;

                memcpy(&word, key, n);
                hash = fold(hash ^ word, odd);
                key += n;
                n_bytes -= n;
        }

        return fold(hash, odd ^ seed);
}

void hash_map_done(HashMap *map) {
        free(map->buckets);
        *map = hash_map_make(map->seed);
}

static HashNode **hash_map_bucket(const HashMap *map, uint64_t hash) {
        return &map->buckets[hash & (map->n_buckets - 1)];
}

static int hash_map_grow(HashMap *map) {
        size_t n_buckets = map->n_buckets ? map->n_buckets * 2 : HASH_MAP_FIRST_BUCKETS;
        HashMap grown = { .n_buckets = n_buckets, .n_nodes = map->n_nodes, .seed = map->seed };

        grown.buckets = calloc(n_buckets, sizeof(HashNode *));
        if (!grown.buckets)
                return -ENOMEM;

        for (size_t i = 0; i < map->n_buckets; i++) {
                HashNode *node = map->buckets[i];

                while (node) {
                        HashNode *next = node->next, **bucket = hash_map_bucket(&grown, node->hash);

                        node->next = *bucket;
                        *bucket = node;
                        node = next;
                }
        }

        free(map->buckets);
        *map = grown;
        return 0;
}

static HashNode *hash_map_find(const HashMap *map, uint64_t hash, const char *key) {
        if (map->n_buckets == 0)
                return NULL;

        for (HashNode *node = *hash_map_bucket(map, hash); node; node = node->next)
                if (node->hash == hash && streq(node->key, key))
                        return node;

        return NULL;
}

int hash_map_put(HashMap *map, HashNode *node, const char *key) {
        uint64_t hash = hash_string(map->seed, key);
        HashNode **bucket;

        assert(node);

        if (hash_map_find(map, hash, key))
                return -EEXIST;

        if (map->n_nodes >= map->n_buckets && hash_map_grow(map) < 0 && map->n_buckets == 0)
                return -ENOMEM;

        bucket = hash_map_bucket(map, hash);
        *node = (HashNode){ .next = *bucket, .key = key, .hash = hash };
        *bucket = node;
        map->n_nodes++;
        return 0;
}

HashNode *hash_map_get(const HashMap *map, const char *key) {
        return hash_map_find(map, hash_string(map->seed, key), key);
}

void hash_map_remove(HashMap *map, HashNode *node) {
        HashNode **slot = hash_map_bucket(map, node->hash);

        while (*slot && *slot != node)
                slot = &(*slot)->next;

        assert(*slot == node);
        *slot = node->next;
        *node = (HashNode){ 0 };
        map->n_nodes--;
}

static HashNode *hash_map_from_bucket(const HashMap *map, size_t i) {
        for (; i < map->n_buckets; i++)
                if (map->buckets[i])
                        return map->buckets[i];
        return NULL;
}

HashNode *hash_map_first(const HashMap *map) {
        return hash_map_from_bucket(map, 0);
}

HashNode *hash_map_next(const HashMap *map, const HashNode *node) {
        if (node->next)
                return node->next;
        return hash_map_from_bucket(map, (node->hash & (map->n_buckets - 1)) + 1);
}

static int compare_nodes(const void *a, const void *b) {
        const HashNode *const *x = a, *const *y = b;

        return strcmp((*x)->key, (*y)->key);
}

int hash_map_sorted(const HashMap *map, HashNode ***ret_nodes) {
        HashNode **nodes;
        size_t n = 0;

        nodes = calloc(map->n_nodes + 1, sizeof(HashNode *));
        if (!nodes)
                return -ENOMEM;

        for (HashNode *node = hash_map_first(map); node; node = hash_map_next(map, node))
                nodes[n++] = node;

        qsort(nodes, n, sizeof(HashNode *), compare_nodes);
        *ret_nodes = nodes;
        return 0;
}
