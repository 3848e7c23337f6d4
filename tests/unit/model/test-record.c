/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/model/record-move.h"
#include "lib/model/record.h"

#include <errno.h>

#include "tests/unit/fault.h"

/* Decode a record of one kind and encode it again: 0 and a text that the caller frees, or an error.
 */
typedef int (*Recode)(const char *json, size_t n_bytes, char **ret_json, Diag *diag);

static int recode_unit(const char *json, size_t n_bytes, char **ret_json, Diag *diag) {
        _cleanup_(unit_record_done) UnitRecord record = { 0 };
        int r = unit_record_decode(json, n_bytes, &record, diag);

        return r < 0 ? r : unit_record_encode(&record, ret_json);
}

static int recode_schedule(const char *json, size_t n_bytes, char **ret_json, Diag *diag) {
        _cleanup_(schedule_record_done) ScheduleRecord record = { 0 };
        int r = schedule_record_decode(json, n_bytes, &record, diag);

        return r < 0 ? r : schedule_record_encode(&record, ret_json);
}

static int recode_machine(const char *json, size_t n_bytes, char **ret_json, Diag *diag) {
        _cleanup_(machine_record_done) MachineRecord record = { 0 };
        int r = machine_record_decode(json, n_bytes, &record, diag);

        return r < 0 ? r : machine_record_encode(&record, ret_json);
}

static int recode_metadata(const char *json, size_t n_bytes, char **ret_json, Diag *diag) {
        _cleanup_(metadata_done) Metadata metadata = { 0 };
        int r = metadata_record_decode(json, n_bytes, &metadata, diag);

        return r < 0 ? r : metadata_record_encode(&metadata, ret_json);
}

static int recode_placement(const char *json, size_t n_bytes, char **ret_json, Diag *diag) {
        _cleanup_(placement_record_done) PlacementRecord record = { 0 };
        int r = placement_record_decode(json, n_bytes, &record, diag);

        return r < 0 ? r : placement_record_encode(&record, ret_json);
}

static int recode_state(const char *json, size_t n_bytes, char **ret_json, Diag *diag) {
        _cleanup_(state_record_done) StateRecord record = { 0 };
        int r = state_record_decode(json, n_bytes, &record, diag);

        return r < 0 ? r : state_record_encode(&record, ret_json);
}

static int recode_hold(const char *json, size_t n_bytes, char **ret_json, Diag *diag) {
        _cleanup_(hold_record_done) HoldRecord record = { 0 };
        int r = hold_record_decode(json, n_bytes, &record, diag);

        return r < 0 ? r : hold_record_encode(&record, ret_json);
}

static int recode_closed(const char *json, size_t n_bytes, char **ret_json, Diag *diag) {
        _cleanup_(closed_record_done) ClosedRecord record = { 0 };
        int r = closed_record_decode(json, n_bytes, &record, diag);

        return r < 0 ? r : closed_record_encode(&record, ret_json);
}

static int recode_origin(const char *json, size_t n_bytes, char **ret_json, Diag *diag) {
        OriginRecord record = { 0 };
        int r = origin_record_decode(json, n_bytes, &record, diag);

        return r < 0 ? r : origin_record_encode(&record, ret_json);
}

static int recode_leader(const char *json, size_t n_bytes, char **ret_json, Diag *diag) {
        _cleanup_(leader_record_done) LeaderRecord record = { 0 };
        int r = leader_record_decode(json, n_bytes, &record, diag);

        return r < 0 ? r : leader_record_encode(&record, ret_json);
}

static int recode_checkup(const char *json, size_t n_bytes, char **ret_json, Diag *diag) {
        _cleanup_(checkup_record_done) CheckupRecord record = { 0 };
        int r = checkup_record_decode(json, n_bytes, &record, diag);

        return r < 0 ? r : checkup_record_encode(&record, ret_json);
}

static int recode_report(const char *json, size_t n_bytes, char **ret_json, Diag *diag) {
        _cleanup_(report_record_done) ReportRecord record = { 0 };
        int r = report_record_decode(json, n_bytes, &record, diag);

        return r < 0 ? r : report_record_encode(&record, ret_json);
}

/* A value, and what it is once it was decoded and encoded. */
typedef struct Row {
        Recode recode;
        const char *json;
        const char *recoded; /* NULL: the same */
        const char *message; /* not NULL: it is refused */
} Row;

static const Row rows[] = {
        /* The examples of docs/records.md. */
        { recode_unit,
          "{\"desired\":\"launched\",\"file\":\"8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7\","
          "\"generation\":3}",
          NULL, NULL },
        { recode_metadata, "{\"disk\":\"ssd\",\"rack\":\"\"}", NULL, NULL },
        { recode_machine,
          "{\"address\":\"10.0.0.1\",\"bootID\":\"b\",\"hostname\":\"h\",\"metadata\":{\"a\":\"1\"}"
          ",\"version\":\"2\"}",
          NULL, NULL },
        { recode_schedule,
          "{\"desired\":\"loaded\",\"file\":\"8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7\","
          "\"generation\":3}",
          NULL, NULL },
        { recode_unit,
          "{\"desired\":\"launched\",\"file\":\"8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7\","
          "\"generation\":3,\"restart\":2,\"restarts\":{\"0c1f\":5,\"1d2e\":4}}",
          NULL, NULL },
        { recode_schedule,
          "{\"after\":[\"1d2e\",\"0c1f\"],\"desired\":\"launched\","
          "\"file\":\"8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7\",\"generation\":5,"
          "\"restart\":5}",
          NULL, NULL },
        { recode_state,
          "{\"generation\":0,\"state\":\"inactive\",\"waits\":\"for the end of the copy\"}", NULL,
          NULL },
        { recode_schedule,
          "{\"desired\":\"launched\",\"file\":\"8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7\","
          "\"generation\":3,\"leaving\":true}",
          NULL, NULL },
        { recode_machine, "{\"address\":\"10.0.0.1\",\"leaving\":true}", NULL, NULL },
        { recode_machine, "{\"leaving\":false}", "{}", NULL },
        { recode_machine, "{\"leaving\":\"yes\"}", NULL, "\"leaving\" must be true or false" },
        { recode_placement, "{\"generation\":3,\"machine\":\"0c1f\"}", NULL, NULL },
        { recode_placement, "{\"generation\":3,\"why\":\"no machine\"}", NULL, NULL },
        { recode_placement, "{\"generation\":3,\"left\":[\"0c1f\",\"1d2e\"]}", NULL, NULL },
        { recode_state,
          "{\"active\":\"active\",\"generation\":3,\"hash\":"
          "\"8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7\",\"load\":\"loaded\","
          "\"state\":\"launched\",\"sub\":\"running\",\"why\":\"x\"}",
          NULL, NULL },
        { recode_leader, "{\"epoch\":17,\"machine\":\"0c1f\"}", NULL, NULL },
        { recode_checkup, "{\"machine\":\"0c1f\"}", NULL, NULL },
        { recode_report,
          "{\"address\":\"10.0.0.1\",\"asked\":7,\"hostLost\":true,\"hostname\":\"h\",\"late\":1,"
          "\"store\":\"http://e:2379\",\"storeVersion\":\"3.4\",\"units\":2,"
          "\"version\":\"2\",\"wallMs\":9,\"why\":\"w\"}",
          NULL, NULL },
        { recode_report, "{\"wallMs\":\"x\"}", NULL,
          "\"wallMs\" must be an integer that is not negative" },
        { recode_hold, "{\"machine\":\"0c1f\",\"stop\":20}", NULL, NULL },
        { recode_schedule,
          "{\"desired\":\"launched\",\"exclusive\":20,"
          "\"file\":\"8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7\",\"generation\":3}",
          NULL, NULL },

        /* Any order, unknown members, null, white space. */
        { recode_unit,
          " {\"x\":[1,{}], \"generation\":1 , "
          "\"file\":\"8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7\",\"desired\":\"inactive\"}\n",
          "{\"desired\":\"inactive\",\"file\":\"8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7\","
          "\"generation\":1}",
          NULL },
        { recode_metadata, "{\"b\":\"2\",\"a\":\"1\"}", "{\"a\":\"1\",\"b\":\"2\"}", NULL },
        { recode_metadata, "{}", NULL, NULL },
        { recode_closed, "{\"why\":\"moved\"}", NULL, NULL },
        { recode_closed, "{}", NULL, "\"why\" is missing or empty" },
        { recode_origin, "{\"revision\":4711}", NULL, NULL },
        { recode_origin, "{\"revision\":9223372036854775807}", NULL,
          "\"revision\" is larger than any store's" },
        { recode_origin, "{\"revision\":-1}", NULL,
          "\"revision\" must be an integer that is not negative" },
        { recode_machine, "{\"address\":null,\"metadata\":{}}", "{}", NULL },
        { recode_placement, "{}", "{\"generation\":0}", NULL },
        { recode_state, "{\"state\":\"inactive\"}", "{\"generation\":0,\"state\":\"inactive\"}",
          NULL },

        { recode_unit,
          "{\"desired\":\"inactive\",\"file\":\"8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7\","
          "\"generation\":1,\"restart\":0,\"restarts\":{\"b\":2,\"a\":1}}",
          "{\"desired\":\"inactive\",\"file\":\"8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7\","
          "\"generation\":1,\"restarts\":{\"a\":1,\"b\":2}}",
          NULL },
        { recode_schedule,
          "{\"desired\":\"loaded\",\"file\":\"8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7\","
          "\"generation\":1,\"restart\":null,\"after\":[]}",
          "{\"desired\":\"loaded\",\"file\":\"8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7\","
          "\"generation\":1}",
          NULL },

        /* What cannot be believed. */
        { recode_hold, "{\"stop\":20}", NULL, "\"machine\" is missing or empty" },
        { recode_hold, "{\"machine\":\"0c1f\",\"stop\":-1}", NULL,
          "\"stop\" must be an integer that is not negative" },
        { recode_unit,
          "{\"desired\":\"loaded\",\"file\":\"8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7\","
          "\"restart\":\"now\"}",
          NULL, "\"restart\" must be an integer that is not negative" },
        { recode_unit,
          "{\"desired\":\"loaded\",\"file\":\"8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7\","
          "\"restarts\":[]}",
          NULL, "\"restarts\" must be an object of integers" },
        { recode_unit,
          "{\"desired\":\"loaded\",\"file\":\"8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7\","
          "\"restarts\":{\"a\":-1}}",
          NULL, "\"restarts\" must be an object of integers that are not negative" },
        { recode_schedule,
          "{\"desired\":\"loaded\",\"file\":\"8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7\","
          "\"after\":[1]}",
          NULL, "\"after\" must be an array of strings" },
        { recode_schedule,
          "{\"desired\":\"loaded\",\"file\":\"8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7\","
          "\"after\":[\"a/b\"]}",
          NULL, "\"after\" must hold at most 8 machine IDs" },
        { recode_schedule,
          "{\"desired\":\"loaded\",\"file\":\"8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7\","
          "\"after\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]}",
          NULL, "\"after\" must hold at most 8 machine IDs" },
        { recode_unit, "{\"file\":\"8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7\"}", NULL,
          "\"desired\" must be inactive, loaded or launched" },
        { recode_unit, "{\"desired\":\"up\",\"file\":\"8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7\"}",
          NULL, "\"desired\" must be inactive, loaded or launched" },
        { recode_unit, "{\"desired\":\"loaded\"}", NULL, "\"file\" is missing or empty" },
        { recode_unit, "{\"desired\":\"loaded\",\"file\":\"x/y\"}", NULL,
          "\"file\" must be 40 lower-case hex digits" },
        { recode_unit,
          "{\"desired\":\"loaded\",\"file\":\"8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7\","
          "\"generation\":-1}",
          NULL, "\"generation\" must be an integer that is not negative" },
        { recode_schedule,
          "{\"desired\":\"inactive\",\"file\":\"8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7\"}", NULL,
          "\"desired\" must be loaded or launched" },
        { recode_machine, "{\"metadata\":[]}", NULL, "\"metadata\" must be an object of strings" },
        { recode_machine, "{\"hostname\":1}", NULL, "\"hostname\" must be a string" },
        { recode_metadata, "{\"a\":null}", NULL, "metadata \"a\" must be a string" },
        { recode_placement, "{\"machine\":{}}", NULL, "\"machine\" must be a string" },
        { recode_placement, "{\"machine\":\"a/b\"}", NULL, "\"machine\" must be a machine ID" },
        { recode_placement, "{\"left\":[\"a/b\"]}", NULL,
          "\"left\" must hold at most 8 machine IDs" },
        { recode_state, "{}", NULL, "\"state\" must be inactive, loaded or launched" },
        { recode_state, "{\"state\":\"loaded\",\"hash\":\"zz\"}", NULL,
          "\"hash\" must be 40 lower-case hex digits" },
        { recode_leader, "{\"epoch\":1}", NULL, "\"machine\" is missing or empty" },
        { recode_leader, "[]", NULL, "the outermost JSON value must be an object" },
        { recode_leader, "", NULL, "EOF" },
};

/* Every record comes out of its JSON as it went in, and what cannot be believed is refused with a
 * reason. */
START_TEST(test_recode) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const Row *row = &rows[i];
                _cleanup_(freep) char *json = NULL;
                Diag diag = { 0 };

                ck_assert_int_eq(row->recode(row->json, strlen(row->json), &json, &diag),
                                 row->message ? -EBADMSG : 0);
                ck_assert_str_eq(diag.message, row->message ? row->message : "");
                if (!row->message)
                        ck_assert_str_eq(json, row->recoded ? row->recoded : row->json);
        }
}
END_TEST

/* All fields of a state arrive in their places, and what is not there is an empty string, not NULL.
 */
START_TEST(test_state_fields) {
        static const char json[] = "{\"load\":\"loaded\",\"state\":\"loaded\",\"generation\":9}";
        _cleanup_(state_record_done) StateRecord record = { 0 };

        ck_assert_int_eq(state_record_decode(json, strlen(json), &record, NULL), 0);
        ck_assert_str_eq(record.load, "loaded");
        ck_assert_str_eq(record.active, "");
        ck_assert_str_eq(record.sub, "");
        ck_assert_str_eq(record.hash, "");
        ck_assert_int_eq(record.state, JOB_STATE_LOADED);
        ck_assert_uint_eq(record.generation, 9);
        ck_assert_ptr_null(record.why);
}
END_TEST

/* A record that would not fit one request of the store, or that no decoder would take, is not made.
 */
START_TEST(test_encode_refuses) {
        UnitRecord unit = { .desired = JOB_STATE_LOADED, .generation = UINT64_MAX };
        _cleanup_(freep) char *why = calloc(1, RECORD_MAX_BYTES + 1);
        PlacementRecord placement = { .why = why };
        char *json = NULL;

        memcpy(unit.file, "8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7", UNIT_HASH_BYTES);
        ck_assert_int_eq(unit_record_encode(&unit, &json), -ERANGE);

        memset(why, 'x', RECORD_MAX_BYTES);
        ck_assert_int_eq(placement_record_encode(&placement, &json), -ENOBUFS);
        ck_assert_ptr_null(json);
}
END_TEST

/* A restart on one machine is a request to that machine alone; whoever asks next is above all of
 * them. */
START_TEST(test_generations) {
        static const char json[] =
                "{\"desired\":\"launched\",\"file\":\"8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7\","
                "\"generation\":7,\"restart\":6,\"restarts\":{\"a\":5,\"b\":9}}";
        _cleanup_(unit_record_done) UnitRecord record = { 0 }, copy = { 0 };

        ck_assert_int_eq(unit_record_decode(json, strlen(json), &record, NULL), 0);
        ck_assert_uint_eq(unit_record_generation_on(&record, "a"), 7);
        ck_assert_uint_eq(unit_record_restart_on(&record, "a"), 6);
        ck_assert_uint_eq(unit_record_generation_on(&record, "b"), 9);
        ck_assert_uint_eq(unit_record_restart_on(&record, "b"), 9);
        ck_assert_uint_eq(unit_record_generation_on(&record, "c"), 7);
        ck_assert_uint_eq(unit_record_last_generation(&record), 9);

        ck_assert_int_eq(unit_record_copy(&record, &copy), 0);
        ck_assert(unit_record_equals(&record, &copy));
        copy.restarts.entries[1].generation++;
        ck_assert(!unit_record_equals(&record, &copy));
}
END_TEST

/* A record that could not be decoded leaves the result alone. */
START_TEST(test_failed_decode_changes_nothing) {
        static const char json[] = "{\"address\":\"a\",\"version\":1}";
        char address[] = "untouched";
        MachineRecord record = { .address = address };

        ck_assert_int_eq(machine_record_decode(json, strlen(json), &record, NULL), -EBADMSG);
        ck_assert_ptr_eq(record.address, address);
        ck_assert_str_eq(address, "untouched");
}
END_TEST

static int run_recode(void *context) {
        const Row *row = context;
        _cleanup_(freep) char *json = NULL;
        int r;

        r = row->recode(row->json, strlen(row->json), &json, NULL);
        fault_assert((r == 0) == (json != NULL));
        return r;
}

/* Without memory neither decoding nor encoding leaves anything behind. */
START_TEST(test_survives_oom) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (!rows[i].message)
                        ck_assert_uint_gt(fault_sweep(run_recode, (void *)&rows[i]), 2);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_recode,
                                       test_state_fields,
                                       test_encode_refuses,
                                       test_generations,
                                       test_failed_decode_changes_nothing,
                                       test_survives_oom };

        return tests_run("record", tests, ELEMENTSOF(tests));
}
