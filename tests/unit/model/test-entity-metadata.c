/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>

#include "lib/model/entity.h"
#include "tests/unit/fault.h"

/* A body, and the changes in it as "machine/key=value;". */
typedef struct Row {
        const char *json;
        const char *changes;
        const char *message; /* not NULL: it is refused */
} Row;

static const char bad_op[] = "invalid op: expect add, remove, or replace";
static const char bad_path[] = "machine metadata path invalid";
static const char bad_value[] = "invalid value: add and replace require a value";

static const Row rows[] = {
        { "[]", "", NULL },
        { "[{\"op\":\"add\",\"path\":\"/m/metadata/k\",\"value\":\"v\"}]", "m/k=v;", NULL },
        { "[{\"op\":\"replace\",\"path\":\"/m/metadata/k\",\"value\":{\"value\":\"v\"}}]", "m/k=v;",
          NULL },
        { "[{\"op\":\"add\",\"path\":\"/m/metadata/k\",\"value\":{\"Value\":\"v\"}}]", "m/k=v;",
          NULL },
        { "[{\"op\":\"remove\",\"path\":\"/m/metadata/a.b_c-9\"},"
          "{\"op\":\"add\",\"path\":\"/n/metadata/k\",\"value\":\"v\"}]",
          "m/a.b_c-9-;n/k=v;", NULL },
        { "[{\"op\":\"remove\",\"path\":\"/m/metadata/k\",\"value\":1}]", "m/k-;", NULL },

        { "[1]", NULL, bad_op },
        { "[{}]", NULL, bad_op },
        { "[{\"op\":\"move\",\"path\":\"/m/metadata/k\"}]", NULL, bad_op },
        { "[{\"op\":1}]", NULL, bad_op },
        { "[{\"op\":\"add\",\"value\":\"v\"}]", NULL, bad_path },
        { "[{\"op\":\"add\",\"path\":\"m/metadata/k\",\"value\":\"v\"}]", NULL, bad_path },
        { "[{\"op\":\"add\",\"path\":\"//metadata/k\",\"value\":\"v\"}]", NULL, bad_path },
        { "[{\"op\":\"add\",\"path\":\"/m/metadata/\",\"value\":\"v\"}]", NULL, bad_path },
        { "[{\"op\":\"add\",\"path\":\"/m/metadata/a/b\",\"value\":\"v\"}]", NULL, bad_path },
        { "[{\"op\":\"add\",\"path\":\"/m/metadata/a b\",\"value\":\"v\"}]", NULL, bad_path },
        { "[{\"op\":\"add\",\"path\":\"/m/other/k\",\"value\":\"v\"}]", NULL, bad_path },
        { "[{\"op\":\"add\",\"path\":\"/m\",\"value\":\"v\"}]", NULL, bad_path },
        { "[{\"op\":\"remove\",\"path\":\"/\"}]", NULL, bad_path },
        { "[{\"op\":\"add\",\"path\":\"/m/metadata/k\"}]", NULL, bad_value },
        { "[{\"op\":\"add\",\"path\":\"/m/metadata/k\",\"value\":\"\"}]", NULL, bad_value },
        { "[{\"op\":\"replace\",\"path\":\"/m/metadata/k\",\"value\":{}}]", NULL, bad_value },
        { "[{\"op\":\"add\",\"path\":\"/m/metadata/k\",\"value\":7}]", NULL, bad_value },

        /* One bad item spoils the list, wherever it is. */
        { "[{\"op\":\"add\",\"path\":\"/m/metadata/k\",\"value\":\"v\"},{\"op\":\"x\"}]", NULL,
          bad_op },
        { "", NULL, "EOF" },
        { "{}", NULL, "the outermost JSON value must be an array" },
};

/* The whole list is checked, item by item, and handed out only when all of it is right. */
START_TEST(test_decode) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const Row *row = &rows[i];
                _cleanup_(buf_done) Buf text = buf_make(1000);
                MetadataChange *changes = NULL;
                size_t n_changes = 0;
                Diag diag = { 0 };

                ck_assert_int_eq(metadata_changes_decode(row->json, strlen(row->json), &changes,
                                                         &n_changes, &diag),
                                 row->message ? -EBADMSG : 0);
                ck_assert_str_eq(diag.message, row->message ? row->message : "");
                ck_assert_int_eq(buf_append_string(&text, ""), 0);
                for (size_t j = 0; j < n_changes; j++)
                        ck_assert_int_eq(buf_printf(&text, "%s/%s%s%s;", changes[j].machine,
                                                    changes[j].key, changes[j].value ? "=" : "-",
                                                    changes[j].value ? changes[j].value : ""),
                                         0);
                ck_assert_str_eq(text.data, row->changes ? row->changes : "");
                metadata_changes_free(changes, n_changes);
        }
}
END_TEST

static int run_decode(void *context) {
        MetadataChange *changes = NULL;
        size_t n_changes = 0;
        int r;

        r = metadata_changes_decode(context, strlen(context), &changes, &n_changes, NULL);
        fault_assert((r == 0) == (changes != NULL));
        metadata_changes_free(changes, n_changes);
        return r;
}

/* Without memory there is an error, and nothing of the list. */
START_TEST(test_survives_oom) {
        ck_assert_uint_gt(fault_sweep(run_decode, (void *)rows[4].json), 10);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_decode, test_survives_oom };

        return tests_run("entity-metadata", tests, ELEMENTSOF(tests));
}
