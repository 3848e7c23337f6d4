/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdio.h>

#include "lib/registry/key.h"
#include "tests/sim/rig.h"
#include "tests/unit/fault.h"

/* Keys and values: what each kind looks like in the store, and what is told of keys and values that
 * are none. */

static const char hash[] = "da39a3ee5e6b4b0d3255bfef95601890afd80709"; /* of no bytes at all */

typedef struct Told {
        char key[1024];
        char why[512];
        unsigned n;
} Told;

static void on_bad(const char *key, const char *why, void *userdata) {
        Told *told = userdata;

        (void)snprintf(told->key, sizeof(told->key), "%s", key);
        (void)snprintf(told->why, sizeof(told->why), "%s", why);
        told->n++;
}

static Registry *make_registry(Rig *rig, const char *prefix, Told *told) {
        Registry *registry;

        rig_init(rig, 1);
        ck_assert_int_eq(registry_new(&registry, rig->stores[rig_connect(rig)], rig->loop, prefix),
                         0);
        registry_set_bad_record_fn(registry, on_bad, told);
        return registry;
}

static int decode(Registry *registry, const char *key, const char *value, int64_t revision,
                  Record *ret_record, char **ret_strings) {
        StoreKv kv = {
                .key = store_bytes(key),
                .value = store_bytes(value),
                .create_revision = 3,
                .mod_revision = revision,
                .lease = 5,
        };

        return record_decode(registry, &kv, false, false, ret_record, ret_strings);
}

/* Keys of each kind, and a value. */
static const struct {
        RecordKey key;
        const char *text;
        const char *value; /* that parses; NULL for an incomplete key */
} keys[] = {
        { { RECORD_CHECKUP, NULL, NULL }, "/f/checkup/ask", "{\"machine\":\"m\"}" },
        { { RECORD_REPORT, "m1", "6aa2" }, "/f/report/m1/6aa2", "{\"asked\":7}" },
        { { RECORD_REPORT, NULL, NULL }, "/f/report/", NULL },
        { { RECORD_LEADER, NULL, NULL }, "/f/engine/leader", "{\"machine\":\"m\"}" },
        { { RECORD_HELD, "m1", "a@b.timer" }, "/f/held/m1/a@b.timer", "{\"machine\":\"m1\"}" },
        { { RECORD_HELD, "m1", NULL }, "/f/held/m1/", NULL },
        { { RECORD_HOLD, NULL, "a@b.timer" }, "/f/hold/a@b.timer", "{\"machine\":\"m1\"}" },
        { { RECORD_FILE, NULL, hash }, "/f/file/da39a3ee5e6b4b0d3255bfef95601890afd80709", "" },
        { { RECORD_FILE, NULL, NULL }, "/f/file/", NULL },
        { { RECORD_MACHINE, "m1", NULL }, "/f/machine/m1", "{}" },
        { { RECORD_MACHINE, NULL, NULL }, "/f/machine/", NULL },
        { { RECORD_METADATA, "m1", NULL }, "/f/metadata/m1", "{\"k\":\"v\"}" },
        { { RECORD_METADATA, NULL, NULL }, "/f/metadata/", NULL },
        { { RECORD_PLACEMENT, NULL, "a.service" },
          "/f/placement/a.service",
          "{\"machine\":\"m\"}" },
        { { RECORD_PLACEMENT, NULL, NULL }, "/f/placement/", NULL },
        { { RECORD_REMOVED, NULL, "5f00" }, "/f/removed/5f00", "{}" },
        { { RECORD_REMOVED, NULL, NULL }, "/f/removed/", NULL },
        { { RECORD_SCHEDULE, "m1", "a.service" },
          "/f/schedule/m1/a.service",
          "{\"desired\":\"loaded\",\"file\":"
          "\"da39a3ee5e6b4b0d3255bfef95601890afd80709\"}" },
        { { RECORD_SCHEDULE, "m1", NULL }, "/f/schedule/m1/", NULL },
        { { RECORD_SCHEDULE, NULL, NULL }, "/f/schedule/", NULL },
        { { RECORD_STATE, "m1", "a@b.timer" },
          "/f/state/m1/a@b.timer",
          "{\"load\":\"loaded\",\"active\":\"active\",\"sub\":\"running\",\"state\":"
          "\"launched\"}" },
        { { RECORD_STATE, "m1", NULL }, "/f/state/m1/", NULL },
        { { RECORD_UNIT, NULL, "a.service" },
          "/f/unit/a.service",
          "{\"desired\":\"launched\",\"file\":"
          "\"da39a3ee5e6b4b0d3255bfef95601890afd80709\"}" },
        { { RECORD_UNIT, NULL, NULL }, "/f/unit/", NULL },
};

/* Each kind has its key, complete and as a prefix, and its decoder reads the parts back. */
START_TEST(test_keys_of_every_kind) {
        Told told = { 0 };
        Rig rig;
        Registry *registry = make_registry(&rig, "/f", &told);

        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                _cleanup_(buf_done) Buf text = buf_make(REGISTRY_KEY_MAX_BYTES);
                _cleanup_(freep) char *strings = NULL;
                Record record;

                ck_assert_int_eq(record_key_encode(registry, &keys[i].key, &text), 0);
                ck_assert_str_eq(text.data, keys[i].text);
                ck_assert_int_eq(record_key_is_complete(&keys[i].key), keys[i].value != NULL);
                if (!keys[i].value)
                        continue;

                ck_assert_int_eq(
                        decode(registry, keys[i].text, keys[i].value, 4, &record, &strings), 0);
                ck_assert_msg(!record.is_bad, "%s: %s", keys[i].text, told.why);
                ck_assert_int_eq(record.key.kind, keys[i].key.kind);
                ck_assert_pstr_eq(record.key.machine, keys[i].key.machine);
                ck_assert_pstr_eq(record.key.unit, keys[i].key.unit);
                ck_assert_int_eq(record.create_revision, 3);
                ck_assert_int_eq(record.mod_revision, 4);
                ck_assert_int_eq(record.lease, 5);
                ck_assert_uint_eq(record.n_text_bytes, strlen(keys[i].value));
                record_done(&record);
        }

        ck_assert_uint_eq(told.n, 0);
        (void)registry_free(registry);
        rig_done(&rig);
}
END_TEST

/* The end of a prefix is the first key behind all that begin with it: neither "state/m1" nor
 * "state/m10/" is in "state/m1/". */
START_TEST(test_key_end) {
        _cleanup_(buf_done) Buf key = buf_make(REGISTRY_KEY_MAX_BYTES), end = key;
        Told told;
        Rig rig;
        Registry *registry = make_registry(&rig, "/f/", &told);

        ck_assert_int_eq(
                record_key_encode(registry, &(RecordKey){ RECORD_STATE, "m1", NULL }, &key), 0);
        ck_assert_int_eq(record_key_end(&key, &end), 0);
        ck_assert_str_eq(key.data, "/f/state/m1/");
        ck_assert_str_eq(end.data, "/f/state/m10");
        ck_assert_int_lt(strcmp("/f/state/m1", key.data), 0);
        ck_assert_int_ge(strcmp("/f/state/m10/a.service", end.data), 0);
        (void)registry_free(registry);
        rig_done(&rig);
}
END_TEST

/* A key that is none of ours is told, printable, and is no record. */
START_TEST(test_bad_keys) {
        static const struct {
                const char *key;
                const char *told;
        } rows[] = {
                { "/f/", "/f/" },
                { "/f/other/x", "/f/other/x" },
                { "/g/unit/a.service", "/g/unit/a.service" },
                { "/f/engine/leader2", "/f/engine/leader2" },
                { "/f/engine/leader/x", "/f/engine/leader/x" },
                { "/f/file/short", "/f/file/short" },
                { "/f/file/DA39A3EE5E6B4B0D3255BFEF95601890AFD80709",
                  "/f/file/DA39A3EE5E6B4B0D3255BFEF95601890AFD80709" },
                { "/f/machine/", "/f/machine/" },
                { "/f/machine/a/b", "/f/machine/a/b" },
                { "/f/removed/a.service", "/f/removed/a.service" },
                { "/f/removed/5F00", "/f/removed/5F00" },
                { "/f/removed/5f00f", "/f/removed/5f00f" },
                { "/f/unit/", "/f/unit/" },
                { "/f/unit/nosuffix", "/f/unit/nosuffix" },
                { "/f/unit/a/b.service", "/f/unit/a/b.service" },
                { "/f/unit/a\nb.service", "/f/unit/a?b.service" },
                { "/f/unit/\x1b[31m.service", "/f/unit/?[31m.service" },
                { "/f/schedule/m1", "/f/schedule/m1" },
                { "/f/schedule/m1/", "/f/schedule/m1/" },
                { "/f/schedule//a.service", "/f/schedule//a.service" },
                { "/f/schedule/m1/a.service/b", "/f/schedule/m1/a.service/b" },
        };
        Told told = { 0 };
        Rig rig;
        Registry *registry = make_registry(&rig, "/f/", &told);

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                char *strings = NULL;
                Record record;

                ck_assert_int_eq(decode(registry, rows[i].key, "{}", 9, &record, &strings),
                                 -EBADMSG);
                ck_assert_ptr_null(strings);
                ck_assert_str_eq(told.key, rows[i].told);
                ck_assert_uint_eq(told.n, i + 1);
        }

        (void)registry_free(registry);
        rig_done(&rig);
}
END_TEST

/* A key with a NUL, or one too long to be ours, is no record either. */
START_TEST(test_keys_that_are_no_text) {
        char long_key[2 * REGISTRY_KEY_MAX_BYTES];
        Told told = { 0 };
        Rig rig;
        Registry *registry = make_registry(&rig, "/f/", &told);
        StoreKv kv = { .key = { "/f/unit/a\0.service", 18 }, .mod_revision = 1 };
        Record record;
        char *strings;

        ck_assert_int_eq(record_decode(registry, &kv, false, false, &record, &strings), -EBADMSG);
        memset(long_key, 'a', sizeof(long_key));
        memcpy(long_key, "/f/unit/", 8);
        kv.key = (StoreBytes){ long_key, sizeof(long_key) };
        ck_assert_int_eq(record_decode(registry, &kv, false, false, &record, &strings), -EBADMSG);
        ck_assert_uint_eq(told.n, 2);
        (void)registry_free(registry);
        rig_done(&rig);
}
END_TEST

/* A value that does not parse is told once per revision, with what is wrong, and comes as a bad
 * record. */
START_TEST(test_bad_values) {
        static const struct {
                const char *key;
                const char *value;
        } rows[] = {
                { "/f/engine/leader", "{" },
                { "/f/machine/m", "[]" },
                { "/f/metadata/m", "{\"k\":1}" },
                { "/f/placement/a.service", "" },
                { "/f/schedule/m/a.service", "{}" },
                { "/f/state/m/a.service", "nonsense" },
                { "/f/unit/a.service", "{\"desired\":\"running\"}" },
                { "/f/file/da39a3ee5e6b4b0d3255bfef95601890afd80709", "not empty" },
        };
        Told told = { 0 };
        Rig rig;
        Registry *registry = make_registry(&rig, "/f/", &told);

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                for (int again = 0; again < 2; again++) {
                        _cleanup_(freep) char *strings = NULL;
                        Record record;

                        ck_assert_int_eq(
                                decode(registry, rows[i].key, rows[i].value, 7, &record, &strings),
                                0);
                        ck_assert(record.is_bad);
                        ck_assert_str_eq(told.key, rows[i].key);
                        ck_assert_str_ne(told.why, "");
                        ck_assert_str_eq(record.why_bad, told.why);
                        ck_assert_uint_eq(told.n, i + 1);
                        record_done(&record);
                }

        for (int64_t revision = 8; revision < 10; revision++) {
                _cleanup_(freep) char *strings = NULL;
                Record record;

                ck_assert_int_eq(decode(registry, rows[0].key, "{", revision, &record, &strings),
                                 0);
        }
        ck_assert_uint_eq(told.n, ELEMENTSOF(rows) + 2);
        (void)registry_free(registry);
        rig_done(&rig);
}
END_TEST

static void decode_bad(Registry *registry, int64_t revision) {
        _cleanup_(freep) char *strings = NULL;
        Record record;

        ck_assert_int_eq(decode(registry, "/f/unit/a.service", "{", revision, &record, &strings),
                         0);
        ck_assert(record.is_bad);
        record_done(&record);
}

/* Of more bad records than are remembered only so many are told in a while, however often they are
 * read. */
START_TEST(test_many_bad_values) {
        Told told = { 0 };
        Rig rig;
        Registry *registry = make_registry(&rig, "/f/", &told);

        for (unsigned i = 0; i < 10; i++) {
                for (int64_t revision = 1; revision <= 2 * REGISTRY_N_TOLD; revision++)
                        decode_bad(registry, revision);
                rig_run_ms(&rig, 1000);
        }
        ck_assert_uint_eq(told.n, REGISTRY_N_TOLD);

        rig_run_ms(&rig, REGISTRY_TOLD_US / US_PER_MS);
        for (int64_t revision = 1; revision <= 2 * REGISTRY_N_TOLD; revision++)
                decode_bad(registry, revision);
        ck_assert_uint_eq(told.n, 2 * REGISTRY_N_TOLD);
        (void)registry_free(registry);
        rig_done(&rig);
}
END_TEST

/* A deletion has a key and a revision, and no value to be wrong. */
START_TEST(test_deletion) {
        _cleanup_(freep) char *strings = NULL;
        Told told = { 0 };
        Rig rig;
        Registry *registry = make_registry(&rig, "/f/", &told);
        StoreKv kv = { .key = store_bytes("/f/unit/a.service"), .mod_revision = 8 };
        Record record;

        ck_assert_int_eq(record_decode(registry, &kv, true, false, &record, &strings), 0);
        ck_assert(record.is_deleted && !record.is_bad);
        ck_assert_str_eq(record.key.unit, "a.service");
        ck_assert_int_eq(record.mod_revision, 8);
        record_done(&record);
        ck_assert_uint_eq(told.n, 0);
        (void)registry_free(registry);
        rig_done(&rig);
}
END_TEST

static int decode_for_sweep(void *context) {
        _cleanup_(freep) char *strings = NULL;
        Record record;
        int r = decode(context, "/f/state/m1/a.service",
                       "{\"load\":\"loaded\",\"active\":\"active\",\"sub\":\"running\",\"state\":"
                       "\"launched\",\"why\":\"because\"}",
                       4, &record, &strings);

        if (r < 0)
                return r;
        fault_assert(!record.is_bad);
        record_done(&record);
        return 0;
}

/* Decoding survives every failed allocation: out of memory is no bad record. */
START_TEST(test_decode_out_of_memory) {
        Told told = { 0 };
        Rig rig;
        Registry *registry = make_registry(&rig, "/f/", &told);

        ck_assert_uint_gt(fault_sweep(decode_for_sweep, registry), 1);
        ck_assert_uint_eq(told.n, 0);
        (void)registry_free(registry);
        rig_done(&rig);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_keys_of_every_kind, test_key_end,
                test_bad_keys,           test_keys_that_are_no_text,
                test_bad_values,         test_many_bad_values,
                test_deletion,           test_decode_out_of_memory,
        };

        return tests_run("registry key", tests, ELEMENTSOF(tests));
}
