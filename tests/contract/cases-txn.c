/* SPDX-License-Identifier: Apache-2.0 */

/* The store's contract: transactions. */

#include <errno.h>
#include <stdio.h>

#include "tests/contract/harness.h"

static StoreOp put_op(const char *name, const char *value) {
        return (StoreOp){ .kind = STORE_OP_PUT, .key = key(name), .value = store_bytes(value) };
}

static StoreOp delete_op(const char *name) {
        return (StoreOp){ .kind = STORE_OP_DELETE, .key = key(name) };
}

/* A comparison of create revision 0 makes a key once: the second time nothing is written, and that
 * is no failure. */
START_TEST(test_create_once) {
        const StoreCompare absent = { .key = key("a"), .target = STORE_COMPARE_CREATE };
        const StoreOp first = put_op("a", "first"), second = put_op("a", "second");
        Call *call = txn(&absent, 1, &first, 1);
        int64_t revision;

        ck_assert_int_eq(call->status, 0);
        ck_assert(call->reply.succeeded);
        revision = call->reply.revision;

        call = txn(&absent, 1, &second, 1);
        ck_assert_int_eq(call->status, 0);
        ck_assert(!call->reply.succeeded);
        ck_assert_int_eq(call->reply.revision, revision);

        call = list("");
        ck_assert_uint_eq(call->n_kvs, 1);
        ck_assert(bytes_are(call->kvs[0].value, "first"));
        ck_assert_int_eq(call->reply.revision, revision);
}
END_TEST

/* One row per comparison on a key created at C and changed at C + 1; the number compared with is C
 * + `offset`. */
static const struct {
        int target;
        int result;
        int offset;
        bool holds;
} compare_rows[] = {
        { STORE_COMPARE_CREATE, STORE_COMPARE_EQUAL, 0, true },
        { STORE_COMPARE_CREATE, STORE_COMPARE_EQUAL, 1, false },
        { STORE_COMPARE_CREATE, STORE_COMPARE_LESS, 1, true },
        { STORE_COMPARE_CREATE, STORE_COMPARE_LESS, 0, false },
        { STORE_COMPARE_CREATE, STORE_COMPARE_GREATER, -1, true },
        { STORE_COMPARE_CREATE, STORE_COMPARE_GREATER, 0, false },
        { STORE_COMPARE_MOD, STORE_COMPARE_EQUAL, 1, true },
        { STORE_COMPARE_MOD, STORE_COMPARE_EQUAL, 0, false },
        { STORE_COMPARE_MOD, STORE_COMPARE_LESS, 2, true },
        { STORE_COMPARE_MOD, STORE_COMPARE_LESS, 1, false },
        { STORE_COMPARE_MOD, STORE_COMPARE_GREATER, 0, true },
        { STORE_COMPARE_MOD, STORE_COMPARE_GREATER, 1, false },
};

/* Comparisons mean what they say, and one that does not hold writes nothing. */
START_TEST(test_compare) {
        int64_t created = put("a", "one");
        StoreCompare compare = {
                .key = key("a"),
                .target = compare_rows[_i].target,
                .result = compare_rows[_i].result,
                .revision = created + compare_rows[_i].offset,
        };
        const StoreOp op = put_op("b", "written");
        Call *call;

        ck_assert_int_eq(put("a", "two"), created + 1);
        call = txn(&compare, 1, &op, 1);
        ck_assert_int_eq(call->status, 0);
        ck_assert_int_eq(call->reply.succeeded, compare_rows[_i].holds);
        ck_assert_uint_eq(list("b")->n_kvs, compare_rows[_i].holds);
        ck_assert_int_eq(current_revision(), created + 1 + compare_rows[_i].holds);
}
END_TEST

/* Every comparison must hold: of two, the second decides as much as the first. */
START_TEST(test_all_compares_must_hold) {
        int64_t revision = put("a", "v");
        const StoreCompare both[] = {
                { .key = key("a"), .target = STORE_COMPARE_MOD, .revision = revision },
                { .key = key("b"), .target = STORE_COMPARE_MOD, .revision = _i },
        };
        const StoreOp op = put_op("c", "v");
        Call *call = txn(both, 2, &op, 1);

        ck_assert_int_eq(call->status, 0);
        ck_assert_int_eq(call->reply.succeeded, _i == 0);
}
END_TEST

/* A comparison of a range must hold for every key in it; an empty range compares as 0. */
START_TEST(test_range_compare) {
        const StoreOp op = put_op("z", "v");
        StoreCompare compare = { .key = key("p/"),
                                 .end = end_of("p/"),
                                 .target = STORE_COMPARE_CREATE };
        int64_t first;

        ck_assert(txn(&compare, 1, &op, 1)->reply.succeeded);
        compare.result = STORE_COMPARE_GREATER;
        ck_assert(!txn(&compare, 1, &op, 1)->reply.succeeded);

        first = put("p/a", "v");
        (void)put("p/b", "v");
        ck_assert(txn(&compare, 1, &op, 1)->reply.succeeded);

        compare.target = STORE_COMPARE_MOD;
        compare.result = STORE_COMPARE_LESS;
        compare.revision = first + 2;
        ck_assert(txn(&compare, 1, &op, 1)->reply.succeeded);
        compare.revision = first + 1;
        ck_assert(!txn(&compare, 1, &op, 1)->reply.succeeded);
}
END_TEST

/* Puts and deletions of one transaction are one commit with one revision. */
START_TEST(test_one_revision) {
        int64_t before;
        const StoreOp ops[] = {
                put_op("a", "new"),
                delete_op("b"),
                put_op("c", "new"),
                { .kind = STORE_OP_DELETE, .key = key("d/"), .end = end_of("d/") },
        };
        Call *call;

        (void)put("b", "v");
        (void)put_many("d/", 3, "v");
        before = put("e", "stays");

        call = txn(NULL, 0, ops, ELEMENTSOF(ops));
        ck_assert_int_eq(call->status, 0);
        ck_assert_int_eq(call->reply.revision, before + 1);

        call = list("");
        ck_assert_int_eq(call->reply.revision, before + 1);
        ck_assert_uint_eq(call->n_kvs, 3);
        ck_assert_int_eq(call->kvs[0].mod_revision, before + 1);
        ck_assert_int_eq(call->kvs[1].mod_revision, before + 1);
        ck_assert(is_key(call->kvs[2].key, "e"));
}
END_TEST

/* A transaction that changes nothing has no revision of its own: without operations, or deleting
 * what is not there. */
START_TEST(test_nothing_changed) {
        int64_t before = put("a", "v");
        const StoreOp op = delete_op("absent");
        Call *call = txn(NULL, 0, NULL, 0);

        ck_assert_int_eq(call->status, 0);
        ck_assert(call->reply.succeeded);

        call = txn(NULL, 0, &op, 1);
        ck_assert_int_eq(call->status, 0);
        ck_assert(call->reply.succeeded);
        ck_assert_int_eq(current_revision(), before);
}
END_TEST

/* Writing a key twice in one transaction is refused, and nothing of it is written; deletions may
 * overlap. */
START_TEST(test_duplicate_keys) {
        const StoreOp twice[] = { put_op("a", "1"), put_op("b", "1"), put_op("a", "2") };
        const StoreOp put_and_delete[] = { put_op("a", "1"), delete_op("a") };
        const StoreOp put_in_range[] = {
                { .kind = STORE_OP_DELETE, .key = key(""), .end = end_of("") },
                put_op("a", "1"),
        };
        const StoreOp deletions[] = {
                { .kind = STORE_OP_DELETE, .key = key(""), .end = end_of("") },
                delete_op("a"),
        };
        int64_t before = put("a", "0");

        ck_assert_int_eq(txn(NULL, 0, twice, 3)->status, STORE_E_INVALID);
        ck_assert_int_eq(txn(NULL, 0, put_and_delete, 2)->status, STORE_E_INVALID);
        ck_assert_int_eq(txn(NULL, 0, put_in_range, 2)->status, STORE_E_INVALID);
        ck_assert_int_eq(current_revision(), before);
        ck_assert_uint_eq(list("")->n_kvs, 1);

        ck_assert_int_eq(txn(NULL, 0, deletions, 2)->status, 0);
        ck_assert_uint_eq(list("")->n_kvs, 0);
}
END_TEST

/* An empty key is refused. */
START_TEST(test_empty_key) {
        const StoreOp op = { .kind = STORE_OP_PUT,
                             .key = { .data = "", .n_bytes = 0 },
                             .value = store_bytes("v") };

        ck_assert_int_eq(txn(NULL, 0, &op, 1)->status, STORE_E_INVALID);
}
END_TEST

/* More operations than etcd's limit of one list are one commit all the same, up to 4,096. */
START_TEST(test_many_ops) {
        static const size_t counts[] = { 128, 129, 300, 4096 };
        size_t n = counts[_i];
        int64_t before = put("before", "v"), revision = put_many("k", n, "v");
        Call *call = list("k");

        ck_assert_int_eq(revision, before + 1);
        ck_assert_uint_eq(call->n_kvs, n);
        for (size_t i = 0; i < n; i++)
                ck_assert_int_eq(call->kvs[i].mod_revision, revision);
}
END_TEST

/* Comparisons and the refusal of duplicates hold for many operations, too. */
START_TEST(test_many_ops_are_one_txn) {
        enum { N = 300 };
        StoreCompare compare = { .key = key("a"), .target = STORE_COMPARE_CREATE };
        int64_t before = put("a", "v");
        StoreOp ops[N];
        Call *call;

        for (size_t i = 0; i < N; i++) {
                char name[16];

                (void)snprintf(name, sizeof(name), "k%04zu", i);
                ops[i] = put_op(name, "v");
        }

        call = txn(&compare, 1, ops, N);
        ck_assert_int_eq(call->status, 0);
        ck_assert(!call->reply.succeeded);

        ops[N - 1] = ops[0];
        ck_assert_int_eq(txn(NULL, 0, ops, N)->status, STORE_E_INVALID);
        ck_assert_int_eq(current_revision(), before);
}
END_TEST

/* More than 4,096 operations, and more than 128 comparisons, are refused before anything is sent.
 */
START_TEST(test_too_many) {
        StoreOp *ops = allocate(4097 * sizeof(StoreOp));
        StoreCompare *compares = allocate(129 * sizeof(StoreCompare));
        const StoreTxn many_ops = { .ops = ops, .n_ops = 4097 };
        const StoreTxn many_compares = { .compares = compares, .n_compares = 129 };
        Call *call = call_new();

        for (size_t i = 0; i < 4097; i++)
                ops[i] = delete_op("a");
        for (size_t i = 0; i < 129; i++)
                compares[i] = (StoreCompare){ .key = key("a") };

        ck_assert_int_eq(store_txn(harness_store(), &call->request, &many_ops, US_PER_S, call_done),
                         -E2BIG);
        ck_assert(!store_request_is_pending(&call->request));
        ck_assert_int_eq(
                store_txn(harness_store(), &call->request, &many_compares, US_PER_S, call_done),
                -E2BIG);
        ck_assert(!store_request_is_pending(&call->request));
}
END_TEST

/* A request up to the limit of bytes is taken, whole; one beyond what etcd takes is told apart from
 * other failures. */
START_TEST(test_too_large) {
        static const struct {
                size_t n_bytes;
                int status;
        } rows[] = {
                { STORE_REQUEST_MAX_BYTES - 1000, 0 },
                { 1600 * 1000, STORE_E_TOO_LARGE },
                { 3000 * 1000, STORE_E_TOO_LARGE },
        };
        char *value = allocate(rows[_i].n_bytes);
        const StoreOp op = {
                .kind = STORE_OP_PUT,
                .key = key("large"),
                .value = { .data = value, .n_bytes = rows[_i].n_bytes },
        };
        Call *call;

        memset(value, 'x', rows[_i].n_bytes);
        ck_assert_int_eq(txn(NULL, 0, &op, 1)->status, rows[_i].status);

        call = list("large");
        ck_assert_uint_eq(call->n_kvs, rows[_i].status == 0);
        if (call->n_kvs > 0) {
                ck_assert_uint_eq(call->kvs[0].value.n_bytes, rows[_i].n_bytes);
                ck_assert_mem_eq(call->kvs[0].value.data, value, rows[_i].n_bytes);
        }
}
END_TEST

/* Keys and values are bytes: every byte value comes back, zero included, and keys sort by them. */
START_TEST(test_binary) {
        StoreBytes prefix = key("b");
        StoreOp ops[100];
        Call *call;

        for (size_t i = 0; i < 100; i++) {
                char *bytes = allocate(prefix.n_bytes + 2);

                memcpy(bytes, prefix.data, prefix.n_bytes);
                bytes[prefix.n_bytes] = (char)(unsigned char)(i * 255 / 99);
                ops[i] = (StoreOp){
                        .kind = STORE_OP_PUT,
                        .key = { .data = bytes, .n_bytes = prefix.n_bytes + 2 },
                        .value = { .data = bytes + prefix.n_bytes, .n_bytes = 2 },
                };
        }
        ck_assert_int_eq(txn(NULL, 0, ops, 100)->status, 0);

        call = list("b");
        ck_assert_uint_eq(call->n_kvs, 100);
        for (size_t i = 0; i < 100; i++) {
                ck_assert_uint_eq(call->kvs[i].key.n_bytes, ops[i].key.n_bytes);
                ck_assert_mem_eq(call->kvs[i].key.data, ops[i].key.data, ops[i].key.n_bytes);
                ck_assert_uint_eq(call->kvs[i].value.n_bytes, 2);
                ck_assert_mem_eq(call->kvs[i].value.data, ops[i].value.data, 2);
        }
}
END_TEST

/* An empty value is a value: the key is there. */
START_TEST(test_empty_value) {
        Call *call;

        (void)put("a", "");
        call = list("a");
        ck_assert_uint_eq(call->n_kvs, 1);
        ck_assert_uint_eq(call->kvs[0].value.n_bytes, 0);
}
END_TEST

TCase *txn_cases(void) {
        TCase *cases = tcase_create("txn");

        tcase_add_checked_fixture(cases, harness_set_up, harness_tear_down);
        tcase_add_test(cases, test_create_once);
        tcase_add_loop_test(cases, test_compare, 0, ELEMENTSOF(compare_rows));
        tcase_add_loop_test(cases, test_all_compares_must_hold, 0, 2);
        tcase_add_test(cases, test_range_compare);
        tcase_add_test(cases, test_one_revision);
        tcase_add_test(cases, test_nothing_changed);
        tcase_add_test(cases, test_duplicate_keys);
        tcase_add_test(cases, test_empty_key);
        tcase_add_loop_test(cases, test_many_ops, 0, 4);
        tcase_add_test(cases, test_many_ops_are_one_txn);
        tcase_add_test(cases, test_too_many);
        tcase_add_loop_test(cases, test_too_large, 0, 3);
        tcase_add_test(cases, test_binary);
        tcase_add_test(cases, test_empty_value);
        return cases;
}
