/* SPDX-License-Identifier: Apache-2.0 */

/* The store's contract: reading ranges, now and at past revisions. */

#include <stdio.h>

#include "tests/contract/harness.h"

/* A key that was never written is not there, and the answer still has a revision. */
START_TEST(test_absent_key) {
        Call *call = range((StoreRange){ .key = key("a") });

        ck_assert_int_eq(call->status, 0);
        ck_assert_uint_eq(call->n_kvs, 0);
        ck_assert(!call->reply.more);
        ck_assert_int_ge(call->reply.revision, 1);
}
END_TEST

/* A single key comes with its value, the revisions of its first and last commit and their number,
 * and brings no neighbours. */
START_TEST(test_single_key) {
        int64_t created = put("a", "one"), changed = put("a", "two");
        Call *call;

        (void)put("a0", "neighbour");
        call = range((StoreRange){ .key = key("a") });
        ck_assert_int_eq(call->status, 0);
        ck_assert_uint_eq(call->n_kvs, 1);
        ck_assert(is_key(call->kvs[0].key, "a"));
        ck_assert(bytes_are(call->kvs[0].value, "two"));
        ck_assert_int_eq(call->kvs[0].create_revision, created);
        ck_assert_int_eq(call->kvs[0].mod_revision, changed);
        ck_assert_int_eq(call->kvs[0].version, 2);
        ck_assert_int_eq(call->kvs[0].lease, 0);
        ck_assert_int_gt(call->reply.revision, changed);
        call = range((StoreRange){ .key = key("a"), .revision = created });
        ck_assert_int_eq(call->kvs[0].version, 1);
}
END_TEST

/* A key that was deleted and made again was created by the later commit. */
START_TEST(test_created_again) {
        int64_t created;
        Call *call;

        (void)put("a", "one");
        (void)erase("a");
        created = put("a", "two");
        call = range((StoreRange){ .key = key("a") });
        ck_assert_uint_eq(call->n_kvs, 1);
        ck_assert_int_eq(call->kvs[0].create_revision, created);
        ck_assert_int_eq(call->kvs[0].mod_revision, created);
        ck_assert_int_eq(call->kvs[0].version, 1);
}
END_TEST

/* A range comes in byte order, without what is before, at or behind its end. */
START_TEST(test_prefix_in_byte_order) {
        static const char *const in_order[] = { "p/",   "p/A", "p/a",    "p/a/",
                                                "p/aa", "p/b", "p/\x7f", "p/\xff" };
        Call *call;

        for (size_t i = ELEMENTSOF(in_order); i > 0; i--)
                (void)put(in_order[i - 1], "v");
        (void)put("o", "before");
        (void)put("p", "before");
        (void)put("p0", "the end");
        (void)put("q", "behind");

        call = range((StoreRange){ .key = key("p/"), .end = key("p0") });
        ck_assert_int_eq(call->status, 0);
        ck_assert_uint_eq(call->n_kvs, ELEMENTSOF(in_order));
        for (size_t i = 0; i < ELEMENTSOF(in_order); i++)
                ck_assert(is_key(call->kvs[i].key, in_order[i]));
        ck_assert(!call->reply.more);
}
END_TEST

/* An end at or before the key is an empty range, not an error. */
START_TEST(test_empty_range) {
        Call *call;

        (void)put("b", "v");
        call = range((StoreRange){ .key = key("b"), .end = key("b") });
        ck_assert_int_eq(call->status, 0);
        ck_assert_uint_eq(call->n_kvs, 0);
        call = range((StoreRange){ .key = key("b"), .end = key("a") });
        ck_assert_int_eq(call->status, 0);
        ck_assert_uint_eq(call->n_kvs, 0);
}
END_TEST

/* There is no empty key. */
START_TEST(test_empty_key) {
        Call *call = range((StoreRange){ .key = { .data = "", .n_bytes = 0 } });

        ck_assert_int_eq(call->status, STORE_E_INVALID);
}
END_TEST

/* The limit cuts the range, and `more` says whether it did. */
START_TEST(test_limit) {
        Call *call;

        (void)put_many("k", 5, "v");
        call = range((StoreRange){ .key = key("k"), .end = end_of("k"), .limit = 3 });
        ck_assert_uint_eq(call->n_kvs, 3);
        ck_assert(is_key(call->kvs[2].key, "k0002"));
        ck_assert(call->reply.more);

        call = range((StoreRange){ .key = key("k"), .end = end_of("k"), .limit = 5 });
        ck_assert_uint_eq(call->n_kvs, 5);
        ck_assert(!call->reply.more);

        call = range((StoreRange){ .key = key("k"), .end = end_of("k"), .limit = 9 });
        ck_assert_uint_eq(call->n_kvs, 5);
        ck_assert(!call->reply.more);
}
END_TEST

/* The key right behind another one: with a zero byte appended. */
static StoreBytes successor(StoreBytes bytes) {
        char *data = allocate(bytes.n_bytes + 1);

        memcpy(data, bytes.data, bytes.n_bytes);
        return (StoreBytes){ .data = data, .n_bytes = bytes.n_bytes + 1 };
}

/* Pages at the revision of the first one show one state, whatever is written meanwhile. */
START_TEST(test_paging_at_a_revision) {
        StoreRange page = { .key = key("k"), .end = end_of("k"), .limit = 4 };
        size_t n_seen = 0;
        Call *call;

        (void)put_many("k", 10, "before");
        do {
                call = range(page);
                ck_assert_int_eq(call->status, 0);
                for (size_t i = 0; i < call->n_kvs; i++) {
                        char name[16];

                        (void)snprintf(name, sizeof(name), "k%04zu", n_seen++);
                        ck_assert(is_key(call->kvs[i].key, name));
                        ck_assert(bytes_are(call->kvs[i].value, "before"));
                }

                if (page.revision == 0)
                        page.revision = call->reply.revision;
                page.key = successor(call->kvs[call->n_kvs - 1].key);
                (void)put_many("k", 12, "after");
                (void)erase("k0007");
        } while (call->reply.more);
        ck_assert_uint_eq(n_seen, 10);
}
END_TEST

/* A long list comes complete, in pages of the recommended size. */
START_TEST(test_long_list) {
        StoreRange page = { .key = key("k"), .end = end_of("l"), .limit = STORE_PAGE_KEYS };
        size_t n_seen = 0, n_pages = 0;
        Call *call;

        (void)put_many("k", 4096, "v");
        (void)put_many("l", 4000, "v");
        do {
                call = range(page);
                ck_assert_int_eq(call->status, 0);
                n_seen += call->n_kvs;
                n_pages++;
                page.revision = call->reply.revision;
                page.key = successor(call->kvs[call->n_kvs - 1].key);
        } while (call->reply.more);
        ck_assert_uint_eq(n_seen, 8096);
        ck_assert_uint_eq(n_pages, 2);
}
END_TEST

/* keys_only leaves the values out and nothing else. */
START_TEST(test_keys_only) {
        int64_t revision = put("a", "value");
        Call *call = range((StoreRange){ .key = key("a"), .keys_only = true });

        ck_assert_uint_eq(call->n_kvs, 1);
        ck_assert(is_key(call->kvs[0].key, "a"));
        ck_assert_uint_eq(call->kvs[0].value.n_bytes, 0);
        ck_assert_int_eq(call->kvs[0].create_revision, revision);
        ck_assert_int_eq(call->kvs[0].mod_revision, revision);
}
END_TEST

/* At a past revision the store is as it was: old values, what was deleted since, not what was made
 * since. */
START_TEST(test_past_revision) {
        int64_t then, first;
        Call *call;

        first = put("a", "old");
        then = put("b", "deleted later");
        (void)put("a", "new");
        (void)erase("b");
        (void)put("c", "made later");

        call = range((StoreRange){ .key = key(""), .end = end_of(""), .revision = then });
        ck_assert_int_eq(call->status, 0);
        ck_assert_uint_eq(call->n_kvs, 2);
        ck_assert(is_key(call->kvs[0].key, "a"));
        ck_assert(bytes_are(call->kvs[0].value, "old"));
        ck_assert_int_eq(call->kvs[0].mod_revision, first);
        ck_assert(is_key(call->kvs[1].key, "b"));
        ck_assert_int_gt(call->reply.revision, then);
}
END_TEST

/* A revision that is yet to come cannot be read. */
START_TEST(test_future_revision) {
        int64_t revision = put("a", "v");
        Call *call = range((StoreRange){ .key = key("a"), .revision = revision + 1000000 });

        ck_assert_int_eq(call->status, STORE_E_COMPACTED);
}
END_TEST

/* What was compacted away cannot be read; the revision of the compaction, later ones and the
 * present can. */
START_TEST(test_compacted_revision) {
        int64_t old = put("a", "one"), kept = put("a", "two");
        Call *call;

        (void)put("a", "three");
        compact(kept);

        call = range((StoreRange){ .key = key("a"), .revision = old });
        ck_assert_int_eq(call->status, STORE_E_COMPACTED);

        call = range((StoreRange){ .key = key("a"), .revision = kept });
        ck_assert_int_eq(call->status, 0);
        ck_assert_uint_eq(call->n_kvs, 1);
        ck_assert(bytes_are(call->kvs[0].value, "two"));

        call = range((StoreRange){ .key = key("a") });
        ck_assert(bytes_are(call->kvs[0].value, "three"));
}
END_TEST

/* A compaction takes nothing from the present, also not what was last changed long before it;
 * deleted keys stay deleted. */
START_TEST(test_compaction_keeps_the_present) {
        int64_t revision;
        Call *call;

        (void)put("old", "kept");
        (void)put("dead", "v");
        (void)erase("dead");
        (void)put("busy", "one");
        revision = put("busy", "two");
        compact(revision);

        call = list("");
        ck_assert_uint_eq(call->n_kvs, 2);
        ck_assert(is_key(call->kvs[0].key, "busy"));
        ck_assert(bytes_are(call->kvs[0].value, "two"));
        ck_assert(is_key(call->kvs[1].key, "old"));
        ck_assert(bytes_are(call->kvs[1].value, "kept"));

        (void)put("dead", "again");
        compact(current_revision());
        ck_assert_uint_eq(list("")->n_kvs, 3);
}
END_TEST

TCase *range_cases(void) {
        TCase *cases = tcase_create("range");

        tcase_add_checked_fixture(cases, harness_set_up, harness_tear_down);
        tcase_add_test(cases, test_absent_key);
        tcase_add_test(cases, test_single_key);
        tcase_add_test(cases, test_created_again);
        tcase_add_test(cases, test_prefix_in_byte_order);
        tcase_add_test(cases, test_empty_range);
        tcase_add_test(cases, test_empty_key);
        tcase_add_test(cases, test_limit);
        tcase_add_test(cases, test_paging_at_a_revision);
        tcase_add_test(cases, test_long_list);
        tcase_add_test(cases, test_keys_only);
        tcase_add_test(cases, test_past_revision);
        tcase_add_test(cases, test_future_revision);
        tcase_add_test(cases, test_compacted_revision);
        tcase_add_test(cases, test_compaction_keeps_the_present);
        return cases;
}
