/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/model/json-out.h"

#include <errno.h>

#include "tests/unit/fault.h"

/* A string, and how it looks in JSON. */
typedef struct Row {
        const char *string;
        const char *json;
} Row;

static const Row rows[] = {
        { "", "\"\"" },
        { "plain /text", "\"plain /text\"" },
        { "say \"hi\" \\o/", "\"say \\\"hi\\\" \\\\o/\"" },
        { "\b\t\n\f\r", "\"\\b\\t\\n\\f\\r\"" },
        { "\x01\x0b\x1f\x7f", "\"\\u0001\\u000b\\u001f\x7f\"" },
        { "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x9a\x80",
          "\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x9a\x80\"" },
        { "a\xff"
          "b\xc3",
          "\"a\xef\xbf\xbd"
          "b\xef\xbf\xbd\"" },
        { "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
};

/* Strings are escaped as JSON demands and no more; what is not UTF-8 is replaced byte by byte. */
START_TEST(test_strings) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(buf_done) Buf buf = buf_make(1000), expected = buf_make(1000);
                JsonOut out = json_out_begin(&buf);

                json_out_open(&out, '{');
                json_out_any_string(&out, "k", rows[i].string);
                json_out_close(&out, '}');
                ck_assert_int_eq(json_out_end(&out), 0);
                ck_assert_int_eq(buf_printf(&expected, "{\"k\":%s}", rows[i].json), 0);
                ck_assert_str_eq(buf.data, expected.data);
        }
}
END_TEST

static void write_all(JsonOut *out, uint64_t number) {
        Metadata metadata = { 0 };

        json_out_open(out, '{');
        json_out_string(out, "absent", NULL);
        json_out_key(out, "list");
        json_out_open(out, '[');
        for (int i = 0; i < 2; i++) {
                json_out_open(out, '{');
                json_out_string(out, "a", "b");
                json_out_string(out, "c", "");
                json_out_close(out, '}');
        }
        json_out_close(out, ']');
        json_out_key(out, "metadata");
        json_out_metadata(out, &metadata);
        json_out_number(out, "n", number);
        json_out_any_string(out, "s", "");
        json_out_close(out, '}');
}

/* Commas are where they belong, empty members are left out where that is asked for, and what was
 * there stays in front. */
START_TEST(test_structure) {
        _cleanup_(buf_done) Buf buf = buf_make(1000);
        JsonOut out;

        ck_assert_int_eq(buf_append_string(&buf, "before "), 0);
        out = json_out_begin(&buf);
        write_all(&out, INT64_MAX);
        ck_assert_int_eq(json_out_end(&out), 0);
        ck_assert_str_eq(buf.data, "before {\"list\":[{\"a\":\"b\"},{\"a\":\"b\"}],\"metadata\":{},"
                                   "\"n\":9223372036854775807,\"s\":\"\"}");
}
END_TEST

/* The first error is the result, and the buffer is as it was. */
START_TEST(test_errors_stick) {
        for (size_t limit = 7; limit < 92; limit++) {
                _cleanup_(buf_done) Buf buf = buf_make(limit);
                JsonOut out;

                ck_assert_int_eq(buf_append_string(&buf, "before "), 0);
                out = json_out_begin(&buf);
                write_all(&out, 5);
                if (json_out_end(&out) == 0)
                        break;
                ck_assert_int_eq(out.error, -ENOBUFS);
                ck_assert_str_eq(buf.data, "before ");
                ck_assert_uint_lt(limit, 91);
        }
}
END_TEST

/* A number that no reader would take is refused. */
START_TEST(test_large_number) {
        _cleanup_(buf_done) Buf buf = buf_make(1000);
        JsonOut out = json_out_begin(&buf);
        char *json = NULL;

        write_all(&out, (uint64_t)INT64_MAX + 1);
        ck_assert_int_eq(json_out_finish(&out, &json), -ERANGE);
        ck_assert_ptr_null(json);
        ck_assert_uint_eq(buf.n_bytes, 0);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_strings, test_structure, test_errors_stick,
                                       test_large_number };

        return tests_run("json-out", tests, ELEMENTSOF(tests));
}
