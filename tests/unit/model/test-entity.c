/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/model/entity.h"

#include <errno.h>

#include "tests/unit/fault.h"

/* Decode an entity of one kind and append it to `out` again. */
typedef int (*Recode)(const char *json, size_t n_bytes, Buf *out, Diag *diag);

static int recode_unit(const char *json, size_t n_bytes, Buf *out, Diag *diag) {
        _cleanup_(unit_done) Unit unit = { 0 };
        int r = unit_decode(json, n_bytes, &unit, diag);

        return r < 0 ? r : unit_encode(&unit, out);
}

static int recode_page(const char *json, size_t n_bytes, Buf *out, Diag *diag) {
        _cleanup_(page_done) Page page = { 0 };
        int r = page_decode(json, n_bytes, &page, diag);

        return r < 0 ? r : page_encode(&page, out);
}

static int recode_wait_request(const char *json, size_t n_bytes, Buf *out, Diag *diag) {
        _cleanup_(wait_request_done) WaitRequest request = { 0 };
        int r = wait_request_decode(json, n_bytes, &request, diag);

        return r < 0 ? r : wait_request_encode(&request, out);
}

static int recode_wait_result(const char *json, size_t n_bytes, Buf *out, Diag *diag) {
        _cleanup_(wait_result_done) WaitResult result = { 0 };
        int r = wait_result_decode(json, n_bytes, &result, diag);

        return r < 0 ? r : wait_result_encode(&result, out);
}

static int recode_diagnosis(const char *json, size_t n_bytes, Buf *out, Diag *diag) {
        _cleanup_(diagnosis_done) Diagnosis diagnosis = { 0 };
        int r = diagnosis_decode(json, n_bytes, &diagnosis, diag);

        return r < 0 ? r : diagnosis_encode(&diagnosis, out);
}

static int recode_error(const char *json, size_t n_bytes, Buf *out, Diag *diag) {
        _cleanup_(freep) char *message = NULL;
        int code, r = error_decode(json, n_bytes, &code, &message);

        (void)diag;
        return r < 0 ? r : error_encode(code, message, out);
}

/* A value, and what it is once it was decoded and encoded. */
typedef struct Row {
        Recode recode;
        const char *json;
        const char *recoded; /* NULL: the same */
        const char *message; /* not NULL: it is refused */
} Row;

static const Row rows[] = {
        /* Complete entities, keys in alphabetical order. */
        { recode_unit,
          "{\"currentState\":\"launched\",\"desiredState\":\"loaded\",\"machineID\":\"m\",\"name\":"
          "\"a.service\","
          "\"options\":[{\"name\":\"A\",\"section\":\"S\",\"value\":\"x \\\\\\n "
          "y\"},{\"name\":\"B\",\"section\":\"T\"}],"
          "\"why\":\"w\"}",
          NULL, NULL },
        { recode_page,
          "{\"states\":[{\"hash\":\"8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7\",\"machineID\":\"m\","
          "\"name\":\"a."
          "service\",\"systemdActiveState\":\"active\","
          "\"systemdLoadState\":\"loaded\",\"systemdSubState\":\"running\",\"why\":\"w\"}]}",
          NULL, NULL },
        { recode_page,
          "{\"machines\":[{\"id\":\"m\",\"metadata\":{\"a\":\"1\",\"b\":\"\"},\"primaryIP\":\"::"
          "1\"}]}",
          NULL, NULL },
        { recode_page,
          "{\"machines\":[{\"id\":\"m\"},{\"id\":\"n\"}],\"nextPageToken\":\"ZAACAA==\"}", NULL,
          NULL },
        { recode_page, "{\"nextPageToken\":\"t\",\"units\":[{\"name\":\"a\"},{}]}", NULL, NULL },
        { recode_page, "{\"nextPageToken\":\"t\",\"states\":[{\"name\":\"a\"}]}", NULL, NULL },
        { recode_page, "{}", NULL, NULL },
        { recode_error, "{\"error\":{\"code\":404,\"message\":\"unit does not exist\"}}", NULL,
          NULL },
        { recode_diagnosis,
          "{\"checks\":[{\"name\":\"units\",\"problems\":1,\"summary\":\"s\"}],\"findings\":[{"
          "\"check\":\"units\",\"note\":true,\"subject\":\"a\",\"what\":\"w\"},{\"check\":"
          "\"units\",\"remedy\":\"r\",\"what\":\"w\"}],\"machine\":\"m\"}",
          NULL, NULL },
        { recode_diagnosis, "{\"checks\":[{}],\"findings\":[]}", NULL,
          "\"name\" is missing or empty" },
        { recode_error, "{\"error\":{\"code\":405,\"message\":\"\"}}", NULL, NULL },
        { recode_wait_request,
          "{\"state\":\"launched\",\"timeoutMs\":0,\"units\":[{\"name\":\"a.service\"},"
          "{\"machineID\":\"m\",\"name\":\"b.service\"}]}",
          NULL, NULL },
        { recode_wait_result,
          "{\"machineID\":\"m\",\"name\":\"a.service\",\"outcome\":\"failed\",\"primaryIP\":\"10."
          "77.0.11\","
          "\"state\":\"launched\",\"why\":\"the start job failed\"}",
          NULL, NULL },

        /* What other clients may send: any order and case, null, empty, unknown members. */
        { recode_unit, "{\"options\":[],\"name\":\"\",\"desiredState\":null,\"etag\":[1]}", "{}",
          NULL },
        { recode_unit, "{\"Name\":\"a\",\"DESIREDSTATE\":\"what\"}",
          "{\"desiredState\":\"what\",\"name\":\"a\"}", NULL },
        { recode_unit, "{\"options\":[{}]}", NULL, NULL },
        { recode_page, "{\"units\":null,\"states\":[],\"machines\":[]}", "{}", NULL },
        { recode_wait_request, "{\"state\":\"gone\"}", "{\"state\":\"gone\",\"timeoutMs\":0}",
          NULL },

        /* Wrong types are refused, with the place. */
        { recode_unit, "{\"name\":1}", NULL, "\"name\" must be a string" },
        { recode_unit, "{\"options\":{}}", NULL, "\"options\" must be an array" },
        { recode_unit, "{\"options\":[{},1]}", NULL, "options[1]: an option must be an object" },
        { recode_unit, "{\"options\":[{\"value\":true}]}", NULL,
          "options[0]: \"value\" must be a string" },
        { recode_page, "{\"units\":[{},{\"options\":[{\"name\":0}]}]}", NULL,
          "units[1]: options[0]: \"name\" must be a string" },
        { recode_page, "{\"units\":[[]]}", NULL, "units[0]: a unit must be an object" },
        { recode_page, "{\"states\":[{},{\"hash\":{}}]}", NULL,
          "states[1]: \"hash\" must be a string" },
        { recode_page, "{\"states\":[1]}", NULL, "states[0]: a state must be an object" },
        { recode_page, "{\"machines\":[{\"id\":\"m\"},{}]}", NULL,
          "machines[1]: \"id\" is missing or empty" },
        { recode_page, "{\"machines\":[\"m\"]}", NULL, "machines[0]: a machine must be an object" },
        { recode_page, "{\"nextPageToken\":1}", NULL, "\"nextPageToken\" must be a string" },
        { recode_page, "{\"machines\":[{\"id\":\"m\",\"metadata\":{\"a\":1}}]}", NULL,
          "machines[0]: metadata \"a\" must be a string" },
        { recode_wait_request, "{\"state\":\"up\"}", NULL,
          "\"state\" must be inactive, loaded, launched or gone" },
        { recode_wait_request, "{}", NULL, "\"state\" is missing or empty" },
        { recode_wait_request, "{\"state\":\"gone\",\"timeoutMs\":-1}", NULL,
          "\"timeoutMs\" must be an integer that is not negative" },
        { recode_wait_request, "{\"state\":\"gone\",\"units\":[{}]}", NULL,
          "units[0]: \"name\" is missing or empty" },
        { recode_wait_request, "{\"state\":\"gone\",\"units\":[1]}", NULL,
          "units[0]: a unit must be an object" },
        { recode_wait_result, "{\"name\":\"a\"}", NULL, "\"outcome\" is missing or empty" },
        { recode_unit, "", NULL, "EOF" },
};

/* Every entity comes out of its JSON as it went in, and wrong types are refused with the place and
 * the reason. */
START_TEST(test_recode) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const Row *row = &rows[i];
                _cleanup_(buf_done) Buf out = buf_make(10000);
                Diag diag = { 0 };

                ck_assert_int_eq(row->recode(row->json, strlen(row->json), &out, &diag),
                                 row->message ? -EBADMSG : 0);
                ck_assert_str_eq(diag.message, row->message ? row->message : "");
                if (!row->message)
                        ck_assert_str_eq(out.data, row->recoded ? row->recoded : row->json);
        }
}
END_TEST

/* Bodies that are no error body are told apart. */
START_TEST(test_error_decode_refuses) {
        static const char *const bodies[] = { "",
                                              "{}",
                                              "{\"error\":1}",
                                              "{\"error\":{\"code\":\"x\"}}",
                                              "{\"error\":{\"code\":4294967296}}",
                                              "<html>" };

        for (size_t i = 0; i < ELEMENTSOF(bodies); i++) {
                char *message = NULL;
                int code = 7;

                ck_assert_int_eq(error_decode(bodies[i], strlen(bodies[i]), &code, &message),
                                 -EBADMSG);
                ck_assert_ptr_null(message);
                ck_assert_int_eq(code, 7);
        }
}
END_TEST

/* A unit file survives the way through JSON with its hash. */
START_TEST(test_options_keep_the_hash) {
        static const char text[] =
                "[Unit]\nA=caf\xc3\xa9 \"\\x\"\t1\n[S]\nB=x\\\n\nC=\n[Unit]\nD=y \\\n z\n";
        _cleanup_(unit_file_freep) UnitFile *file = NULL;
        _cleanup_(unit_done) Unit decoded = { 0 };
        _cleanup_(buf_done) Buf json = buf_make(10000);
        char before[UNIT_HASH_BYTES], after[UNIT_HASH_BYTES];

        ck_assert_int_eq(unit_file_parse(text, strlen(text), &file, NULL), 0);
        ck_assert_int_eq(unit_encode(&(Unit){ .options = file }, &json), 0);
        ck_assert_int_eq(unit_decode(json.data, json.n_bytes, &decoded, NULL), 0);
        ck_assert_int_eq(unit_file_hash(file, before), 0);
        ck_assert_int_eq(unit_file_hash(decoded.options, after), 0);
        ck_assert_str_eq(before, after);
}
END_TEST

/* A page that does not fit leaves what was there. */
START_TEST(test_encode_respects_the_limit) {
        UnitState states[10] = { 0 };
        Page page = { .states = states, .n_states = ELEMENTSOF(states) };
        _cleanup_(buf_done) Buf out = buf_make(35);

        ck_assert_int_eq(buf_append_string(&out, "abc"), 0);
        ck_assert_int_eq(page_encode(&page, &out), -ENOBUFS);
        ck_assert_str_eq(out.data, "abc");
        page.n_states = 1;
        ck_assert_int_eq(page_encode(&page, &out), 0);
        ck_assert_str_eq(out.data, "abc{\"states\":[{}]}");
}
END_TEST

static int run_recode(void *context) {
        const Row *row = context;
        _cleanup_(buf_done) Buf out = buf_make(10000);

        return row->recode(row->json, strlen(row->json), &out, NULL);
}

/* Without memory neither decoding nor encoding leaves anything behind. */
START_TEST(test_survives_oom) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (!rows[i].message)
                        ck_assert_uint_gt(fault_sweep(run_recode, (void *)&rows[i]), 2);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_recode, test_error_decode_refuses,
                                       test_options_keep_the_hash, test_encode_respects_the_limit,
                                       test_survives_oom };

        return tests_run("entity", tests, ELEMENTSOF(tests));
}
