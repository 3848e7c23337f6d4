/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/base/hash-map.h"

#include <errno.h>
#include <stdio.h>

#include "tests/unit/fault.h"

enum { N_ITEMS = 2000 };

/* An object in a map. */
typedef struct Item {
        HashNode node;
        char key[16];
} Item;

static Item items[N_ITEMS];

/* Put the first `n` items, called "0", "1" ..., into the map. */
static void fill(HashMap *map, size_t n) {
        for (size_t i = 0; i < n; i++) {
                items[i] = (Item){ 0 };
                (void)snprintf(items[i].key, sizeof(items[i].key), "%zu", i);
                ck_assert_int_eq(hash_map_put(map, &items[i].node, items[i].key), 0);
        }
}

/* An empty map has nothing, and needs no memory to say so. */
START_TEST(test_empty) {
        _cleanup_(hash_map_done) HashMap map = { 0 };

        ck_assert_ptr_null(hash_map_get(&map, "a"));
        ck_assert_ptr_null(hash_map_first(&map));
        ck_assert_ptr_null(map.buckets);
}
END_TEST

/* Everything that was put is found, by its content and not by its address, through all growth. */
START_TEST(test_put_and_get) {
        _cleanup_(hash_map_done) HashMap map = hash_map_make(12345);
        char key[16];

        fill(&map, N_ITEMS);
        ck_assert_uint_eq(map.n_nodes, N_ITEMS);
        for (size_t i = 0; i < N_ITEMS; i++) {
                (void)snprintf(key, sizeof(key), "%zu", i);
                ck_assert_ptr_eq(hash_map_get(&map, key), &items[i].node);
        }
        ck_assert_ptr_null(hash_map_get(&map, "2000"));
        ck_assert_ptr_null(hash_map_get(&map, ""));
}
END_TEST

/* A key can be taken once. */
START_TEST(test_duplicate) {
        _cleanup_(hash_map_done) HashMap map = { 0 };
        HashNode a = { 0 }, b = { 0 };

        ck_assert_int_eq(hash_map_put(&map, &a, "key"), 0);
        ck_assert_int_eq(hash_map_put(&map, &b, "key"), -EEXIST);
        ck_assert_ptr_eq(hash_map_get(&map, "key"), &a);
        ck_assert_uint_eq(map.n_nodes, 1);
}
END_TEST

/* What is removed is gone, and nothing else is. */
START_TEST(test_remove) {
        _cleanup_(hash_map_done) HashMap map = hash_map_make(1);

        fill(&map, N_ITEMS);
        for (size_t i = 0; i < N_ITEMS; i += 2)
                hash_map_remove(&map, &items[i].node);

        ck_assert_uint_eq(map.n_nodes, N_ITEMS / 2);
        for (size_t i = 0; i < N_ITEMS; i++)
                ck_assert_ptr_eq(hash_map_get(&map, items[i].key), i % 2 ? &items[i].node : NULL);
}
END_TEST

/* The walk visits every node once, and the node just visited may be removed. */
START_TEST(test_walk) {
        _cleanup_(hash_map_done) HashMap map = hash_map_make(7);
        HashNode *next;
        size_t n = 0;

        fill(&map, 500);
        for (HashNode *node = hash_map_first(&map); node; node = next) {
                next = hash_map_next(&map, node);
                hash_map_remove(&map, node);
                n++;
        }
        ck_assert_uint_eq(n, 500);
        ck_assert_uint_eq(map.n_nodes, 0);
        ck_assert_ptr_null(hash_map_first(&map));
}
END_TEST

/* The sorted view is in byte order, whatever the seed. */
START_TEST(test_sorted) {
        for (uint64_t seed = 0; seed < 5; seed++) {
                _cleanup_(hash_map_done) HashMap map = hash_map_make(seed);
                _cleanup_(freep) HashNode **nodes = NULL;

                fill(&map, 100);
                ck_assert_int_eq(hash_map_sorted(&map, &nodes), 0);
                for (size_t i = 1; i < map.n_nodes; i++)
                        ck_assert_int_lt(strcmp(nodes[i - 1]->key, nodes[i]->key), 0);
        }
}
END_TEST

/* Keys spread over the buckets, short ones and those that differ in the last byte only: no bucket
 * holds a twentieth. */
START_TEST(test_spread) {
        _cleanup_(hash_map_done) HashMap map = hash_map_make(99);

        fill(&map, N_ITEMS);
        for (size_t i = 0; i < map.n_buckets; i++) {
                size_t n = 0;

                for (HashNode *node = map.buckets[i]; node; node = node->next)
                        n++;
                ck_assert_uint_lt(n, N_ITEMS / 20);
        }
}
END_TEST

/* Without memory the first put fails; a map that exists takes more all the same, and only gets
 * slower. */
START_TEST(test_survives_oom) {
        _cleanup_(hash_map_done) HashMap map = { 0 };
        HashNode node = { 0 }, **sorted = NULL;

        fault_arm(0);
        ck_assert_int_eq(hash_map_put(&map, &node, "a"), -ENOMEM);
        ck_assert(fault_disarm());
        ck_assert_uint_eq(map.n_nodes, 0);

        for (size_t i = 0; i < 100; i++) {
                items[i] = (Item){ 0 };
                (void)snprintf(items[i].key, sizeof(items[i].key), "%zu", i);
                fault_arm(i == 0 ? 1 : 0);
                ck_assert_int_eq(hash_map_put(&map, &items[i].node, items[i].key), 0);
                (void)fault_disarm();
        }
        ck_assert_uint_eq(map.n_buckets, 16);
        for (size_t i = 0; i < 100; i++)
                ck_assert_ptr_eq(hash_map_get(&map, items[i].key), &items[i].node);

        fault_arm(0);
        ck_assert_int_eq(hash_map_sorted(&map, &sorted), -ENOMEM);
        ck_assert(fault_disarm());
        ck_assert_ptr_null(sorted);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_empty,  test_put_and_get, test_duplicate,
                                       test_remove, test_walk,        test_sorted,
                                       test_spread, test_survives_oom };

        return tests_run("hash-map", tests, ELEMENTSOF(tests));
}
