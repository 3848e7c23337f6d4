/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/model/metadata.h"

#include <errno.h>

#include "lib/base/buf.h"
#include "tests/unit/fault.h"

/* The metadata as "k=v;k=v;". */
static char *describe(const Metadata *metadata) {
        _cleanup_(buf_done) Buf out = buf_make(10000);

        for (size_t i = 0; i < metadata->n_entries; i++)
                ck_assert_int_eq(buf_printf(&out, "%s=%s;", metadata->entries[i].key,
                                            metadata->entries[i].value),
                                 0);
        return buf_take_string(&out);
}

static void assert_is(const Metadata *metadata, const char *description) {
        _cleanup_(freep) char *actual = describe(metadata);

        ck_assert_str_eq(actual, description);
}

static Metadata parse(const char *text) {
        Metadata metadata = { 0 };

        ck_assert_int_eq(metadata_parse(text, &metadata, NULL), 0);
        return metadata;
}

/* Entries are sorted however they come, and the last value of a key stays. */
START_TEST(test_set_and_get) {
        _cleanup_(metadata_done) Metadata metadata = { 0 };
        static const char *const keys[] = { "m", "a", "z", "m", "b", "aa", "", "z" };

        ck_assert_ptr_null(metadata_get(&metadata, "a"));
        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                const char value[] = { (char)('0' + i), '\0' };

                ck_assert_int_eq(metadata_set(&metadata, keys[i], value), 0);
                ck_assert_str_eq(metadata_get(&metadata, keys[i]), value);
        }
        assert_is(&metadata, "=6;a=1;aa=5;b=4;m=3;z=7;");
        ck_assert_ptr_null(metadata_get(&metadata, "c"));
}
END_TEST

/* Text of the configuration, and what it says. */
typedef struct ParseRow {
        const char *text;
        const char *description;
} ParseRow;

static const ParseRow parse_rows[] = {
        { "", "" },
        { "  ", "" },
        { "a=b", "a=b;" },
        { " region = us-west , disk=ssd ", "disk=ssd;region=us-west;" },
        { "a=1,b=2,a=3", "a=3;b=2;" },
        { "a=b=c", "a=b=c;" },
        { "a=", "a=;" },
        { "a=b,", "a=b;" },
        { ",,a=b,,", "a=b;" },
        { "a=b c", "a=b c;" },
};

/* Pairs are trimmed, the later one of a key wins, a value may hold '='. */
START_TEST(test_parse) {
        for (size_t i = 0; i < ELEMENTSOF(parse_rows); i++) {
                _cleanup_(metadata_done) Metadata metadata = parse(parse_rows[i].text);

                assert_is(&metadata, parse_rows[i].description);
        }
}
END_TEST

/* What is no pair is an error that names it, and nothing is handed out. */
START_TEST(test_parse_error) {
        Metadata metadata = { 0 };
        Diag diag = { 0 };

        ck_assert_int_eq(metadata_parse("a=b, broken ,c=d", &metadata, &diag), -EINVAL);
        ck_assert_str_eq(diag.message, "metadata \"broken\" is no key=value pair");
        ck_assert_ptr_null(metadata.entries);
}
END_TEST

/* A base, what is laid over it, and what comes out. */
typedef struct MergeRow {
        const char *base, *over, *merged;
} MergeRow;

static const MergeRow merge_rows[] = {
        { "", "", "" },
        { "a=1", "", "a=1;" },
        { "", "a=1", "a=1;" },
        { "a=1,b=2,c=3", "b=9", "a=1;b=9;c=3;" },
        { "a=1,b=2,c=3", "b=", "a=1;c=3;" },
        { "b=2", "a=,c=,d=4", "b=2;d=4;" },
        { "a=", "", "a=;" },
        { "a=1", "a=", "" },
};

/* The upper value wins, a tombstone removes, and never shows. */
START_TEST(test_merge) {
        for (size_t i = 0; i < ELEMENTSOF(merge_rows); i++) {
                _cleanup_(metadata_done) Metadata base = parse(merge_rows[i].base);
                _cleanup_(metadata_done) Metadata over = parse(merge_rows[i].over);
                _cleanup_(metadata_done) Metadata merged = { 0 };

                ck_assert_int_eq(metadata_merge(&base, &over, &merged), 0);
                assert_is(&merged, merge_rows[i].merged);
        }
}
END_TEST

/* A copy has the same entries and is independent. */
START_TEST(test_copy) {
        _cleanup_(metadata_done) Metadata metadata = parse("a=1,b=2,c=3");
        _cleanup_(metadata_done) Metadata copy = { 0 };

        ck_assert_int_eq(metadata_copy(&metadata, &copy), 0);
        assert_is(&copy, "a=1;b=2;c=3;");
        ck_assert_int_eq(metadata_set(&copy, "b", "9"), 0);
        ck_assert_str_eq(metadata_get(&metadata, "b"), "2");
        ck_assert_int_eq(metadata_set(&copy, "d", "4"), 0);
        assert_is(&copy, "a=1;b=9;c=3;d=4;");
}
END_TEST

/* A machine's metadata, a unit's wishes, and whether they fit. */
typedef struct SatisfiesRow {
        const char *metadata;
        const char *options;
        bool fits;
} SatisfiesRow;

static const SatisfiesRow satisfies_rows[] = {
        { "", "", true },
        { "a=1", "", true },
        { "a=1", "MachineMetadata=a=1", true },
        { "a=1", "MachineMetadata=a=2", false },
        { "", "MachineMetadata=a=1", false },
        { "a=1", "MachineMetadata=\"a=2\" \"a=1\"", true },
        { "a=1,b=2", "MachineMetadata=a=1\nMachineMetadata=b=2", true },
        { "a=1,b=2", "MachineMetadata=a=1\nMachineMetadata=b=3", false },
        { "a=1,b=2", "MachineMetadata=b=3\nMachineMetadata=a=1\nMachineMetadata=b=2", true },
        { "a=1", "MachineMetadata=A=1", false },
};

/* Of equal keys one value suffices, different keys must all fit. */
START_TEST(test_satisfies) {
        for (size_t i = 0; i < ELEMENTSOF(satisfies_rows); i++) {
                const SatisfiesRow *row = &satisfies_rows[i];
                _cleanup_(metadata_done) Metadata metadata = parse(row->metadata);
                _cleanup_(requirements_freep) Requirements *requirements = NULL;
                _cleanup_(unit_file_freep) UnitFile *file = NULL;
                _cleanup_(buf_done) Buf text = buf_make(1000);

                ck_assert_int_eq(buf_printf(&text, "[X-Fleet]\n%s\n", row->options), 0);
                ck_assert_int_eq(unit_file_parse(text.data, text.n_bytes, &file, NULL), 0);
                ck_assert_int_eq(requirements_new(&requirements, file, NULL), 0);
                ck_assert_int_eq(metadata_satisfies(&metadata, requirements), row->fits);
        }
}
END_TEST

static int run_all(void *context) {
        _cleanup_(metadata_done) Metadata a = { 0 };
        _cleanup_(metadata_done) Metadata merged = { 0 };
        _cleanup_(metadata_done) Metadata copy = { 0 };
        int r;

        (void)context;
        r = metadata_parse("c=1,a=2,b=3,a=4", &a, NULL);
        if (r == 0)
                r = metadata_merge(&a, &a, &merged);
        if (r == 0)
                r = metadata_copy(&a, &copy);
        fault_assert(r == 0 || copy.n_entries == 0);
        return r;
}

/* A set that fails leaves everything as it was. */
START_TEST(test_failed_set_changes_nothing) {
        _cleanup_(metadata_done) Metadata metadata = parse("a=1,b=2");
        int r;

        /* The value, the key, and the array, which is full. */
        for (size_t n = 0; n < 3; n++) {
                fault_arm(n);
                r = metadata_set(&metadata, "aa", "9");
                ck_assert(fault_disarm());
                ck_assert_int_eq(r, -ENOMEM);
                assert_is(&metadata, "a=1;b=2;");
        }

        fault_arm(0);
        r = metadata_set(&metadata, "a", "9");
        ck_assert(fault_disarm());
        ck_assert_int_eq(r, -ENOMEM);
        assert_is(&metadata, "a=1;b=2;");
}
END_TEST

/* Without memory there is an error and nothing half done. */
START_TEST(test_survives_oom) {
        ck_assert_uint_gt(fault_sweep(run_all, NULL), 20);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_set_and_get,
                                       test_parse,
                                       test_parse_error,
                                       test_merge,
                                       test_copy,
                                       test_satisfies,
                                       test_failed_set_changes_nothing,
                                       test_survives_oom };

        return tests_run("metadata", tests, ELEMENTSOF(tests));
}
