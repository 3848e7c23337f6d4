/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/unit/unit-file.h"

#include <errno.h>

#include "tests/unit/fault.h"

static UnitFile *parse(const char *text) {
        UnitFile *file = NULL;

        ck_assert_int_eq(unit_file_parse(text, strlen(text), &file, NULL), 0);
        return file;
}

/* The hash of a file that is known from fleet 1.0 itself. */
START_TEST(test_hash_of_the_contract) {
        _cleanup_(unit_file_freep) UnitFile *file = parse(
                "[Unit]\nDescription=Hello\n\n[Service]\n"
                "ExecStart=/bin/bash -c \"while true; do echo Hello; sleep 1; done\"\n");
        char hash[UNIT_HASH_BYTES];

        ck_assert_int_eq(unit_file_hash(file, hash), 0);
        ck_assert_str_eq(hash, "8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7");
}
END_TEST

/* Two texts, and whether they are the same file. */
typedef struct SameRow {
        const char *a, *b;
        bool same;
} SameRow;

static const SameRow same_rows[] = {
        { "[A]\nx=1\n", "#c\n[A]\n\n x = 1 \n", true },
        { "[A]\nx=1\n[B]\ny=2\n[A]\nz=3\n", "[A]\nx=1\nz=3\n[B]\ny=2\n", true },
        { "[A]\nx=1\n[B]\ny=2\n", "[B]\ny=2\n[A]\nx=1\n", false },
        { "[A]\nx=1\ny=2\n", "[A]\ny=2\nx=1\n", false },
        { "[A]\nx=1\n", "[A]\nx=1\nx=1\n", false },
        { "[A]\nx=1\n", "[A]\nx=2\n", false },
        { "[A]\nx=1\n", "[a]\nx=1\n", false },
        { "", "[A]\n", true },
        { "[A]\nx=1\n[X-Fleet]\nGlobal=true\n", "[A]\nx=1\n", false },
};

/* Files are the same exactly when their hashes are. */
START_TEST(test_equality_is_that_of_hashes) {
        for (size_t i = 0; i < ELEMENTSOF(same_rows); i++) {
                _cleanup_(unit_file_freep) UnitFile *a = parse(same_rows[i].a);
                _cleanup_(unit_file_freep) UnitFile *b = parse(same_rows[i].b);
                char hash_a[UNIT_HASH_BYTES], hash_b[UNIT_HASH_BYTES];

                ck_assert_int_eq(unit_file_hash(a, hash_a), 0);
                ck_assert_int_eq(unit_file_hash(b, hash_b), 0);
                ck_assert_int_eq(streq(hash_a, hash_b), same_rows[i].same);
                ck_assert_int_eq(unit_file_equals(a, b), same_rows[i].same);
        }
}
END_TEST

/* Options that are added are copied and printed as they are. */
START_TEST(test_add_and_print) {
        _cleanup_(unit_file_freep) UnitFile *file = NULL;
        _cleanup_(buf_done) Buf out = buf_make(1000);
        char name[] = "Name";

        ck_assert_int_eq(unit_file_new(&file), 0);
        ck_assert_int_eq(unit_file_print(file, &out), 0);
        ck_assert_uint_eq(out.n_bytes, 0);

        ck_assert_int_eq(unit_file_add(file, "S", name, "a \\\n b"), 0);
        name[0] = 'X';
        ck_assert_int_eq(unit_file_add(file, "T", "", ""), 0);
        ck_assert_int_eq(buf_append_string(&out, "before:"), 0);
        ck_assert_int_eq(unit_file_print(file, &out), 0);
        ck_assert_str_eq(out.data, "before:[S]\nName=a \\\n b\n\n[T]\n=\n");
}
END_TEST

/* When the canonical form does not fit, nothing of it is appended. */
START_TEST(test_print_respects_the_limit) {
        _cleanup_(unit_file_freep) UnitFile *file = parse("[S]\nA=b\nC=d\n");
        _cleanup_(buf_done) Buf out = buf_make(14);

        ck_assert_int_eq(buf_append_string(&out, "abc"), 0);
        ck_assert_int_eq(unit_file_print(file, &out), -ENOBUFS);
        ck_assert_str_eq(out.data, "abc");
        buf_clear(&out);
        ck_assert_int_eq(unit_file_print(file, &out), 0);
}
END_TEST

/* The first option of a name counts, and only in its section. */
START_TEST(test_get) {
        _cleanup_(unit_file_freep) UnitFile *file = parse("[S]\nA=1\nA=2\n[Install]\nB=3\n[E]\n");

        ck_assert_str_eq(unit_file_get(file, "S", "A"), "1");
        ck_assert_ptr_null(unit_file_get(file, "S", "B"));
        ck_assert_ptr_null(unit_file_get(file, "s", "A"));
        ck_assert(unit_file_has_section(file, "Install"));
        ck_assert(!unit_file_has_section(file, "E"));
}
END_TEST

/* A hash is 40 lower-case hex digits and nothing else. */
START_TEST(test_hash_is_valid) {
        ck_assert(unit_hash_is_valid("8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7"));
        ck_assert(!unit_hash_is_valid("8bde57c6ec0ee8bfbc9bee3787b2151cb33320b"));
        ck_assert(!unit_hash_is_valid("8bde57c6ec0ee8bfbc9bee3787b2151cb33320b77"));
        ck_assert(!unit_hash_is_valid("8BDE57c6ec0ee8bfbc9bee3787b2151cb33320b7"));
        ck_assert(!unit_hash_is_valid("8bde57c6ec0ee8bfbc9bee3787b2151cb33320b/"));
        ck_assert(!unit_hash_is_valid(""));
}
END_TEST

/* As many sections as a file can hold print in order, and in a time that does not grow with the
 * square. */
START_TEST(test_many_sections) {
        _cleanup_(unit_file_freep) UnitFile *file = NULL;
        _cleanup_(buf_done) Buf text = buf_make(4 * UNIT_FILE_MAX_BYTES);
        _cleanup_(buf_done) Buf out = buf_make(4 * UNIT_FILE_MAX_BYTES);
        char hash[UNIT_HASH_BYTES], hash_of_text[UNIT_HASH_BYTES];

        for (int i = 0; i < 100000; i++)
                ck_assert_int_eq(buf_printf(&text, "%s[%x]\n=\n", i ? "\n" : "", i), 0);
        ck_assert_int_eq(unit_file_parse(text.data, text.n_bytes, &file, NULL), 0);
        ck_assert_uint_eq(file->n_options, 100000);
        ck_assert_int_eq(unit_file_print(file, &out), 0);
        ck_assert_uint_eq(out.n_bytes, text.n_bytes);
        ck_assert_mem_eq(out.data, text.data, out.n_bytes);

        ck_assert_int_eq(unit_file_hash(file, hash), 0);
        unit_text_hash(text.data, text.n_bytes, hash_of_text);
        ck_assert_str_eq(hash, hash_of_text);
}
END_TEST

static int run_build(void *context) {
        _cleanup_(unit_file_freep) UnitFile *file = NULL;
        char hash[UNIT_HASH_BYTES] = "untouched";
        char section[] = "S0";
        int r;

        (void)context;
        r = unit_file_new(&file);
        for (size_t i = 0; r == 0 && i < 5; i++) {
                section[1] = (char)('0' + i % 2);
                r = unit_file_add(file, section, "name", "value");
                fault_assert(file->n_options == (r == 0 ? i + 1 : i));
        }
        if (r == 0) {
                r = unit_file_hash(file, hash);
                fault_assert(streq(hash, "untouched") == (r < 0));
        }
        return r;
}

/* Without memory there is an error, the file stays as it was, and no hash is written. */
START_TEST(test_survives_oom) {
        ck_assert_uint_gt(fault_sweep(run_build, NULL), 20);
}
END_TEST

/* Without memory for sorting, files in different orders count as different, equal ones still as
 * equal. */
START_TEST(test_equality_without_memory) {
        _cleanup_(unit_file_freep) UnitFile *a = parse("[A]\nx=1\n[B]\ny=2\n[A]\nz=3\n");
        _cleanup_(unit_file_freep) UnitFile *b = parse("[A]\nx=1\nz=3\n[B]\ny=2\n");

        for (size_t n = 0; n < 2; n++) {
                fault_arm(n);
                fault_assert(!unit_file_equals(a, b));
                ck_assert(fault_disarm());
        }
        fault_arm(0);
        fault_assert(unit_file_equals(a, a));
        ck_assert(!fault_disarm());
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_hash_of_the_contract,
                                       test_equality_is_that_of_hashes,
                                       test_add_and_print,
                                       test_print_respects_the_limit,
                                       test_get,
                                       test_hash_is_valid,
                                       test_many_sections,
                                       test_survives_oom,
                                       test_equality_without_memory };

        return tests_run("unit-file", tests, ELEMENTSOF(tests));
}
