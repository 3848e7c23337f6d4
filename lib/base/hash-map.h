/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An intrusive hash map from strings to objects: the node is embedded in the object, the key is
 * borrowed from it, so an entry costs no allocation. Only the bucket array does. Iteration order is
 * unspecified; what must be deterministic sorts with hash_map_sorted().
 */

#include <stddef.h>
#include <stdint.h>

#include "lib/base/macro.h"

typedef struct HashNode HashNode;

/* A link, to embed. Zeroed while it is in no map. */
struct HashNode {
        HashNode *next;  /* in the same bucket */
        const char *key; /* borrowed from the object; must not change while it is linked */
        uint64_t hash;   /* of the key, under the map's seed */
};

/* The map; zeroed is an empty map with seed 0. */
typedef struct HashMap {
        HashNode **buckets; /* owned; n_buckets of them, a power of two, or NULL while empty */
        size_t n_buckets;   /* 0 or a power of two */
        size_t n_nodes;     /* how many objects are linked */
        uint64_t seed;      /* keeps peers who choose keys from choosing the bucket */
} HashMap;

/* An empty map. `seed` should be random (Env) where peers choose the keys. */
static inline HashMap hash_map_make(uint64_t seed) {
        return (HashMap){ .seed = seed };
}

/* Free the bucket array. The objects are the caller's; their nodes are left as they are. */
void hash_map_done(HashMap *map);

/* Link an object under `key`. Returns 0, -EEXIST when the key is taken, or -ENOMEM (only when the
 * map must grow from nothing: a later growth that fails makes it slower, not wrong). */
int hash_map_put(HashMap *map, HashNode *node, const char *key);

/* The node of `key`, or NULL. */
HashNode *hash_map_get(const HashMap *map, const char *key);

/* Unlink a node that is in this map. */
void hash_map_remove(HashMap *map, HashNode *node);

/* Some first node, or NULL. Walk with hash_map_next(); nothing may be linked meanwhile, and only
 * the node just visited may be unlinked, after its successor was taken. */
HashNode *hash_map_first(const HashMap *map);

/* The node after `node` in the walk, or NULL. */
HashNode *hash_map_next(const HashMap *map, const HashNode *node);

/* All nodes in byte order of their keys, as an array of n_nodes that the caller frees. Returns 0 or
 * -ENOMEM. */
int hash_map_sorted(const HashMap *map, HashNode ***ret_nodes);
