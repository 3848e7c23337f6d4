/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/model/json-in.h"

#include <errno.h>

#include "tests/unit/fault.h"

static json_t *parse(const char *json) {
        json_t *root = NULL;

        ck_assert_int_eq(json_in_parse(json, strlen(json), JSON_OBJECT, &root, NULL), 0);
        return root;
}

/* A body that is no JSON, or not of the kind that was asked for, is told apart and said. */
START_TEST(test_parse_errors) {
        static const struct {
                const char *json, *message;
        } rows[] = {
                { "", "EOF" },
                { "[]", "the outermost JSON value must be an object" },
                { "{",
                  "invalid JSON in line 1, column 1: string or '}' expected near end of file" },
                { "{}\n x", "invalid JSON in line 2, column 2: end of file expected near 'x'" },
                { "{\"a\":\"\\u0000\"}", NULL },
                { "{\"a\\u0000\":1}", NULL },
                { "{\"a\":\"\xff\"}", NULL },
                { "{\"a\":123456789012345678901234567890}", NULL },
                { "{\"a\":1e999}", NULL },
                { "null", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                json_t *root = NULL;
                Diag diag = { 0 };

                ck_assert_int_eq(json_in_parse(rows[i].json, strlen(rows[i].json), JSON_OBJECT,
                                               &root, &diag),
                                 -EBADMSG);
                ck_assert_ptr_null(root);
                if (rows[i].message)
                        ck_assert_str_eq(diag.message, rows[i].message);
                else
                        ck_assert_int_eq(strncmp(diag.message, "invalid JSON in line 1", 22), 0);
        }
}
END_TEST

/* Nesting beyond any reason is an error, not a crash. */
START_TEST(test_deep_nesting) {
        static char json[200001];
        json_t *root = NULL;
        Diag diag = { 0 };

        memset(json, '[', sizeof(json) - 1);
        ck_assert_int_eq(json_in_parse(json, sizeof(json) - 1, JSON_ARRAY, &root, &diag), -EBADMSG);
        ck_assert_ptr_nonnull(strstr(diag.message, "depth"));
        memset(json + 100000, ']', 100000);
        ck_assert_int_eq(json_in_parse(json, sizeof(json) - 1, JSON_ARRAY, &root, &diag), -EBADMSG);
        ck_assert_ptr_null(root);
}
END_TEST

/* Members are found by their exact name, or else without regard to case; null is absent; the last
 * of equal ones counts. */
START_TEST(test_get) {
        json_auto_t *root = parse(
                "{\"Name\":\"a\",\"name\":\"b\",\"NAME\":\"c\",\"State\":\"d\",\"x\":null,"
                "\"y\":1,\"y\":2}");

        ck_assert_str_eq(json_string_value(json_in_get(root, "name")), "b");
        ck_assert_str_eq(json_string_value(json_in_get(root, "state")), "d");
        ck_assert_ptr_null(json_in_get(root, "x"));
        ck_assert_ptr_null(json_in_get(root, "z"));
        ck_assert_int_eq(json_integer_value(json_in_get(root, "y")), 2);
}
END_TEST

/* Strings: absent, empty and null are the same where they may be missing, and an error where they
 * may not. */
START_TEST(test_get_string) {
        json_auto_t *root = parse("{\"a\":\"x\",\"e\":\"\",\"n\":null,\"i\":1}");
        _cleanup_(freep) char *a = NULL, *any = NULL;
        char *none = (char *)"untouched";
        Diag diag = { 0 };

        ck_assert_int_eq(json_in_get_string(root, "a", &a, NULL), 0);
        ck_assert_str_eq(a, "x");
        ck_assert_int_eq(json_in_get_string(root, "i", &none, &diag), -EBADMSG);
        ck_assert_str_eq(diag.message, "\"i\" must be a string");
        ck_assert_str_eq(none, "untouched");

        for (const char *const *key = (const char *const[]){ "e", "n", "missing", NULL }; *key;
             key++) {
                ck_assert_int_eq(json_in_get_string(root, *key, &none, NULL), 0);
                ck_assert_ptr_null(none);
                ck_assert_int_eq(json_in_require_string(root, *key, &none, NULL), -EBADMSG);
        }
        ck_assert_int_eq(json_in_get_any_string(root, "n", &any, NULL), 0);
        ck_assert_str_eq(any, "");
}
END_TEST

/* Numbers are integers from 0. */
START_TEST(test_get_number) {
        json_auto_t *root = parse("{\"max\":9223372036854775807,\"zero\":0,\"neg\":-1,\"real\":1.0,"
                                  "\"text\":\"1\",\"null\":null}");
        uint64_t number = 7;

        ck_assert_int_eq(json_in_get_number(root, "neg", &number, NULL), -EBADMSG);
        ck_assert_int_eq(json_in_get_number(root, "real", &number, NULL), -EBADMSG);
        ck_assert_int_eq(json_in_get_number(root, "text", &number, NULL), -EBADMSG);
        ck_assert_uint_eq(number, 7);
        ck_assert_int_eq(json_in_get_number(root, "max", &number, NULL), 0);
        ck_assert_uint_eq(number, INT64_MAX);
        ck_assert_int_eq(json_in_get_number(root, "null", &number, NULL), 0);
        ck_assert_uint_eq(number, 0);
}
END_TEST

/* Hashes and states are checked. */
START_TEST(test_get_hash_and_state) {
        json_auto_t *root = parse(
                "{\"h\":\"8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7\",\"bad\":\"8bde\","
                "\"s\":\"loaded\",\"t\":\"running\"}");
        char hash[UNIT_HASH_BYTES] = "untouched";
        JobState state = JOB_STATE_LAUNCHED;

        ck_assert_int_eq(json_in_get_hash(root, "bad", hash, NULL), -EBADMSG);
        ck_assert_str_eq(hash, "untouched");
        ck_assert_int_eq(json_in_get_hash(root, "h", hash, NULL), 0);
        ck_assert_str_eq(hash, "8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7");
        ck_assert_int_eq(json_in_get_hash(root, "missing", hash, NULL), 0);
        ck_assert_str_eq(hash, "");

        ck_assert_int_eq(json_in_require_state(root, "t", &state, NULL), -EBADMSG);
        ck_assert_int_eq(json_in_require_state(root, "missing", &state, NULL), -EBADMSG);
        ck_assert_int_eq(state, JOB_STATE_LAUNCHED);
        ck_assert_int_eq(json_in_require_state(root, "s", &state, NULL), 0);
        ck_assert_int_eq(state, JOB_STATE_LOADED);
}
END_TEST

/* Metadata is sorted however it comes, and can be added to. */
START_TEST(test_get_metadata) {
        json_auto_t *root = parse(
                "{\"m\":{\"c\":\"3\",\"a\":\"\",\"b\":\"2\"},\"bad\":{\"a\":1},\"no\":[]}");
        _cleanup_(metadata_done) Metadata metadata = { 0 };
        Diag diag = { 0 };

        ck_assert_int_eq(json_in_get_metadata(root, "bad", &metadata, &diag), -EBADMSG);
        ck_assert_str_eq(diag.message, "metadata \"a\" must be a string");
        ck_assert_int_eq(json_in_get_metadata(root, "no", &metadata, &diag), -EBADMSG);
        ck_assert_ptr_null(metadata.entries);

        ck_assert_int_eq(json_in_get_metadata(root, "m", &metadata, NULL), 0);
        ck_assert_uint_eq(metadata.n_entries, 3);
        ck_assert_str_eq(metadata.entries[0].key, "a");
        ck_assert_str_eq(metadata.entries[2].key, "c");
        for (char key[] = "d"; *key <= 'k'; key[0]++)
                ck_assert_int_eq(metadata_set(&metadata, key, "x"), 0);
        ck_assert_str_eq(metadata_get(&metadata, "b"), "2");
}
END_TEST

static int run_parse(void *context) {
        json_auto_t *root = NULL;
        int r;

        r = json_in_parse(context, strlen(context), JSON_OBJECT, &root, NULL);
        fault_assert((r == 0) == (root != NULL));
        fault_assert(r < 0 || strlen(json_string_value(json_in_get(root, "a"))) == 40);
        return r;
}

/* Without memory parsing fails; above all, no string comes out shorter than it went in. */
START_TEST(test_survives_oom) {
        static char json[] = "{\"a\":\"0123456789012345678901234567890123456789\",\"b\":[1,2,{}]}";

        ck_assert_uint_gt(fault_sweep(run_parse, json), 10);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_parse_errors, test_deep_nesting,
                                       test_get,          test_get_string,
                                       test_get_number,   test_get_hash_and_state,
                                       test_get_metadata, test_survives_oom };

        return tests_run("json-in", tests, ELEMENTSOF(tests));
}
