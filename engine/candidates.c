/* SPDX-License-Identifier: Apache-2.0 */

/* Pools of machines.
 *
 * A pool is a heap of numbers, the load in the upper half and the rank of the machine (its place
 * among all in order of their IDs) in the lower: the smallest is the machine to choose. During a
 * round loads mostly grow, and nobody tells the pools: whoever looks at the top brings its load up
 * to date first, and lets it sink. A load that has become less would go unnoticed, so that drops
 * the pools; rows are given up before units are placed, so it is rare.
 *
 * Presence and metadata do not change during a round. Afterwards everything is dropped: an idle
 * leader keeps nothing.
 */

#include "engine/candidates.h"

#include <errno.h>

#include "engine/fit.h"

enum {
        MACHINE_ID_SHORT = 8, /* characters that MachineID may give in place of all (contract
                                 section 6) */
        SKIPPED_MAX = 32, /* machines taken off a heap that do not fit, before all are looked at */
};

void candidates_init(Candidates *candidates, Cluster *cluster) {
        *candidates = (Candidates){ .cluster = cluster,
                                    .pools = hash_map_make(cluster->units.seed),
                                    .n_released = cluster->n_released };
}

static void pool_free(CandidatesPool *pool) {
        HashNode *node, *next;

        for (node = hash_map_first(&pool->excluded); node; node = next) {
                CandidatesExcluded *excluded = container_of(node, CandidatesExcluded, node);

                next = hash_map_next(&pool->excluded, node);
                free(excluded->key);
                free(excluded);
        }
        hash_map_done(&pool->excluded);
        free(pool->key);
        free(pool->heap);
        free(pool);
}

void candidates_done(Candidates *candidates) {
        HashNode *node, *next;

        for (node = hash_map_first(&candidates->pools); node; node = next) {
                next = hash_map_next(&candidates->pools, node);
                pool_free(container_of(node, CandidatesPool, node));
        }
        hash_map_done(&candidates->pools);
        candidates_init(candidates, candidates->cluster);
}

/* The heap */

static uint64_t heap_entry(const ClusterMachine *machine) {
        return (uint64_t)machine->n_wanted << 32 | machine->rank;
}

static ClusterMachine *entry_machine(const Candidates *candidates, uint64_t entry) {
        return candidates->cluster->by_id[(uint32_t)entry];
}

static void heap_sink(CandidatesPool *pool, size_t index) {
        uint64_t entry = pool->heap[index];

        for (;;) {
                size_t child = 2 * index + 1;

                if (child >= pool->n_machines)
                        break;
                if (child + 1 < pool->n_machines && pool->heap[child + 1] < pool->heap[child])
                        child++;
                if (entry <= pool->heap[child])
                        break;
                pool->heap[index] = pool->heap[child];
                index = child;
        }
        pool->heap[index] = entry;
}

static void heap_rise(CandidatesPool *pool, size_t index) {
        uint64_t entry = pool->heap[index];

        while (index > 0 && entry < pool->heap[(index - 1) / 2]) {
                pool->heap[index] = pool->heap[(index - 1) / 2];
                index = (index - 1) / 2;
        }
        pool->heap[index] = entry;
}

/* The least loaded machine, by its load of now. */
static ClusterMachine *heap_top(const Candidates *candidates, CandidatesPool *pool) {
        for (;;) {
                ClusterMachine *machine = entry_machine(candidates, pool->heap[0]);

                if (pool->heap[0] == heap_entry(machine))
                        return machine;
                pool->heap[0] = heap_entry(machine);
                heap_sink(pool, 0);
        }
}

static uint64_t heap_pop(CandidatesPool *pool) {
        uint64_t entry = pool->heap[0];

        pool->heap[0] = pool->heap[--pool->n_machines];
        if (pool->n_machines > 0)
                heap_sink(pool, 0);
        return entry;
}

static void heap_push(CandidatesPool *pool, uint64_t entry) {
        pool->heap[pool->n_machines] = entry;
        heap_rise(pool, pool->n_machines++);
}

/* Pools */

static void count_missing(CandidatesPool *pool, const char *key) {
        size_t i = 0;

        while (i < pool->n_missing && !streq(pool->missing[i].key, key))
                i++;
        if (i == CANDIDATES_KEYS)
                return;
        if (i == pool->n_missing)
                pool->missing[pool->n_missing++] = (CandidatesMissing){ .key = key };
        pool->missing[i].n_machines++;
}

static void pool_fill(const Cluster *cluster, CandidatesPool *pool,
                      const Requirements *requirements) {
        for (size_t i = 0; i < cluster->n_present; i++) {
                const ClusterMachine *machine = cluster->by_id[i];
                const char *key = fit_missing_key(requirements, &machine->merged);

                if (key) {
                        count_missing(pool, key);
                        continue;
                }
                if (pool->n_lowest < CANDIDATES_LISTED)
                        pool->lowest[pool->n_lowest++] = machine->rank;
                pool->heap[pool->n_machines++] = heap_entry(machine);
        }
        for (size_t i = pool->n_machines / 2; i > 0; i--)
                heap_sink(pool, i - 1);
}

static int pool_new(Cluster *cluster, const Requirements *requirements, const char *key,
                    CandidatesPool **ret_pool) {
        CandidatesPool *pool = calloc(1, sizeof(*pool));
        uint64_t *heap;

        if (!pool)
                return -ENOMEM;

        cluster_sort_machines(cluster);
        pool->key = strdup(key);
        pool->heap = malloc((cluster->n_present + 1) * sizeof(uint64_t));
        if (!pool->key || !pool->heap) {
                pool_free(pool);
                return -ENOMEM;
        }

        pool_fill(cluster, pool, requirements);
        heap = realloc(pool->heap, (pool->n_machines + 1) * sizeof(uint64_t));
        if (heap)
                pool->heap = heap;
        *ret_pool = pool;
        return 0;
}

/* Appends a string so that no two lists of strings give the same key: its length, then its bytes.
 */
static char *key_append(char *end, const char *string) {
        size_t n = strlen(string);

        for (size_t rest = n; rest > 0; rest /= 16)
                *end++ = (char)('a' + rest % 16);
        *end++ = ':';
        memcpy(end, string, n);
        return end + n;
}

enum { KEY_LENGTH_MAX = 2 * sizeof(size_t) + 1 };

/* What is asked of the metadata, as a string that the caller frees. */
static char *metadata_key(const Requirements *requirements) {
        char *key, *end;
        size_t n = 1;

        for (size_t i = 0; i < requirements->n_metadata; i++)
                n += strlen(requirements->metadata[i].key) +
                     strlen(requirements->metadata[i].value) + (size_t)2 * KEY_LENGTH_MAX;
        key = end = malloc(n);
        for (size_t i = 0; key && i < requirements->n_metadata; i++)
                end = key_append(key_append(end, requirements->metadata[i].key),
                                 requirements->metadata[i].value);
        if (key)
                *end = '\0';
        return key;
}

/* The same of Conflicts. */
static char *conflicts_key(const Requirements *requirements) {
        const StrList *globs = &requirements->conflicts;
        char *key, *end;
        size_t n = 1;

        for (size_t i = 0; i < globs->n_items; i++)
                n += strlen(globs->items[i]) + KEY_LENGTH_MAX;
        key = end = malloc(n);
        for (size_t i = 0; key && i < globs->n_items; i++)
                end = key_append(end, globs->items[i]);
        if (key)
                *end = '\0';
        return key;
}

int candidates_pool(Candidates *candidates, const ClusterUnit *unit, CandidatesPool **ret_pool) {
        _cleanup_(freep) char *key = metadata_key(unit->requirements);
        CandidatesPool *pool;
        HashNode *node;
        int r;

        if (!key)
                return -ENOMEM;

        if (candidates->n_released != candidates->cluster->n_released)
                candidates_done(candidates);
        node = hash_map_get(&candidates->pools, key);
        if (node) {
                *ret_pool = container_of(node, CandidatesPool, node);
                return 0;
        }

        r = pool_new(candidates->cluster, unit->requirements, key, &pool);
        if (r < 0)
                return r;
        if (candidates->n_entries + pool->n_machines > CANDIDATES_ENTRIES_MAX)
                candidates_done(candidates);
        r = hash_map_put(&candidates->pools, &pool->node, pool->key);
        if (r < 0) {
                pool_free(pool);
                return r;
        }

        candidates->n_entries += pool->n_machines;
        *ret_pool = pool;
        return 0;
}

/* Choosing */

static bool machine_is_better(const ClusterMachine *a, const ClusterMachine *b) {
        if (!b || a->n_wanted != b->n_wanted)
                return !b || a->n_wanted < b->n_wanted;
        return strcmp(a->id, b->id) < 0;
}

static ClusterMachine *choose_among_all(const Candidates *candidates, const CandidatesPool *pool,
                                        const ClusterUnit *unit) {
        ClusterMachine *best = NULL;

        for (size_t i = 0; i < pool->n_machines; i++) {
                ClusterMachine *machine = entry_machine(candidates, pool->heap[i]);

                if (machine_is_better(machine, best) &&
                    fit_holds(candidates->cluster, unit, machine))
                        best = machine;
        }
        return best;
}

static ClusterMachine *choose_from_top(const Candidates *candidates, CandidatesPool *pool,
                                       const ClusterUnit *unit) {
        uint64_t skipped[SKIPPED_MAX];
        ClusterMachine *chosen = NULL;
        size_t n_skipped = 0;

        while (!chosen && pool->n_machines > 0 && n_skipped < SKIPPED_MAX) {
                ClusterMachine *top = heap_top(candidates, pool);

                if (fit_holds(candidates->cluster, unit, top))
                        chosen = top;
                else
                        skipped[n_skipped++] = heap_pop(pool);
        }
        while (n_skipped > 0)
                heap_push(pool, skipped[--n_skipped]);
        return chosen;
}

/* A unit fits nowhere. If its Conflicts alone see to that, no other unit that says the same needs
 * to look: while the pool lives machines only get fuller. */
static int remember_excluded(const Candidates *candidates, CandidatesPool *pool,
                             const ClusterUnit *unit, char *key) {
        CandidatesExcluded *excluded;
        int r;

        for (size_t i = 0; i < pool->n_machines; i++)
                if (!fit_excludes_itself(unit, entry_machine(candidates, pool->heap[i])))
                        return 0;

        excluded = calloc(1, sizeof(*excluded));
        if (!excluded)
                return -ENOMEM;
        excluded->key = strdup(key);
        r = excluded->key ? hash_map_put(&pool->excluded, &excluded->node, excluded->key) : -ENOMEM;
        if (r < 0) {
                free(excluded->key);
                free(excluded);
        }
        return r;
}

static int choose_in_pool(const Candidates *candidates, CandidatesPool *pool,
                          const ClusterUnit *unit, ClusterMachine **ret_machine) {
        _cleanup_(freep) char *key = conflicts_key(unit->requirements);

        if (!key)
                return -ENOMEM;

        *ret_machine = NULL;
        if (hash_map_get(&pool->excluded, key))
                return 0;

        *ret_machine = choose_from_top(candidates, pool, unit);
        if (!*ret_machine)
                *ret_machine = choose_among_all(candidates, pool, unit);
        return *ret_machine ? 0 : remember_excluded(candidates, pool, unit, key);
}

/* On the machine of its first peer; a global one has many. */
static ClusterMachine *choose_among_peers(Cluster *cluster, const ClusterUnit *unit,
                                          const ClusterUnit *peer) {
        ClusterMachine *best = NULL;

        for (ListNode *node = list_first(&peer->rows); node; node = list_next(&peer->rows, node)) {
                ClusterMachine *machine = container_of(node, ClusterRow, unit_node)->machine;

                if (machine_is_better(machine, best) && fit_holds(cluster, unit, machine))
                        best = machine;
        }
        return best;
}

static size_t find_id(const Cluster *cluster, const char *id) {
        size_t low = 0, high = cluster->n_present;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (strcmp(cluster->by_id[middle]->id, id) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

void candidates_named(Candidates *candidates, const char *machine_id, size_t *ret_first,
                      size_t *ret_n) {
        Cluster *cluster = candidates->cluster;
        bool is_short = strlen(machine_id) == MACHINE_ID_SHORT;
        size_t first, end;

        cluster_sort_machines(cluster);
        first = end = find_id(cluster, machine_id);
        while (end < cluster->n_present &&
               (is_short ? strncmp(cluster->by_id[end]->id, machine_id, MACHINE_ID_SHORT) == 0
                         : streq(cluster->by_id[end]->id, machine_id)))
                end++;
        *ret_first = first;
        *ret_n = end - first;
}

static ClusterMachine *choose_named(Candidates *candidates, const ClusterUnit *unit) {
        Cluster *cluster = candidates->cluster;
        ClusterMachine *best = NULL;
        size_t first, n;

        candidates_named(candidates, unit->requirements->machine_id, &first, &n);
        for (size_t i = first; i < first + n; i++)
                if (machine_is_better(cluster->by_id[i], best) &&
                    fit_holds(cluster, unit, cluster->by_id[i]))
                        best = cluster->by_id[i];
        return best;
}

static const ClusterUnit *first_peer(const ClusterUnit *unit) {
        for (ListNode *node = list_first(&unit->follows); node;
             node = list_next(&unit->follows, node)) {
                const ClusterUnit *peer = container_of(node, ClusterFollow, follower_node)->peer;

                if (peer != unit)
                        return peer;
        }
        return NULL;
}

int candidates_choose(Candidates *candidates, const ClusterUnit *unit,
                      ClusterMachine **ret_machine) {
        Cluster *cluster = candidates->cluster;
        const ClusterUnit *peer = first_peer(unit);
        CandidatesPool *pool;
        int r;

        *ret_machine = NULL;
        if (cluster->n_present == 0)
                return 0;
        if (peer)
                *ret_machine = choose_among_peers(cluster, unit, peer);
        else if (unit->requirements->machine_id)
                *ret_machine = choose_named(candidates, unit);
        else if (fit_holds(cluster, unit, cluster->present[0]))
                *ret_machine = cluster->present[0];
        else {
                r = candidates_pool(candidates, unit, &pool);
                if (r < 0)
                        return r;
                return choose_in_pool(candidates, pool, unit, ret_machine);
        }
        return 0;
}
