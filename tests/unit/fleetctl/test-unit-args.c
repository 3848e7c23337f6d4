/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetctl/unit-args.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/macro.h"
#include "tests/unit/fault.h"

/* Name and file of a word; a unit that is named twice is meant once. */
START_TEST(test_names_and_paths) {
        static const char *const words[] = { "foo", "dir/bar", "../x/baz@1.service", "foo.service",
                                             "/abs/t.target" };
        _cleanup_(strlist_done) StrList list = { 0 }, names = { 0 }, paths = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                ck_assert_int_eq(strlist_add(&list, words[i]), 0);
        ck_assert_int_eq(unit_args_read(&list, &names, &paths, NULL), 0);

        ck_assert_uint_eq(names.n_items, 4);
        ck_assert_uint_eq(paths.n_items, 4);
        ck_assert_str_eq(names.items[0], "foo.service");
        ck_assert_str_eq(paths.items[0], "foo.service");
        ck_assert_str_eq(names.items[1], "bar.service");
        ck_assert_str_eq(paths.items[1], "dir/bar.service");
        ck_assert_str_eq(names.items[2], "baz@1.service");
        ck_assert_str_eq(paths.items[2], "../x/baz@1.service");
        ck_assert_str_eq(names.items[3], "t.target");
}
END_TEST

/* The template is beside the instance. */
START_TEST(test_template_path) {
        _cleanup_(freep) char *path = NULL, *beside = NULL, *none = NULL;

        ck_assert_int_eq(unit_args_template_path("a/web@1.service", &path), 0);
        ck_assert_str_eq(path, "a/web@.service");
        ck_assert_int_eq(unit_args_template_path("web@1.service", &beside), 0);
        ck_assert_str_eq(beside, "web@.service");
        ck_assert_int_eq(unit_args_template_path("web.service", &none), -EINVAL);
}
END_TEST

static void write_file(const char *path, const char *text) {
        FILE *file = fopen(path, "w");

        ck_assert_ptr_nonnull(file);
        ck_assert_int_ge(fputs(text, file), 0);
        ck_assert_int_eq(fclose(file), 0);
}

/* What is absent or a directory is no file; what does not parse names its line; what sets nothing
 * is refused. */
START_TEST(test_load_file) {
        char directory[] = "/tmp/fleet-test-XXXXXX";
        _cleanup_(unit_file_freep) UnitFile *file = NULL;
        Diag diag = { 0 };

        ck_assert_ptr_nonnull(mkdtemp(directory));
        ck_assert_int_eq(chdir(directory), 0);
        ck_assert_int_eq(unit_args_load_file("a.service", &file, NULL), UNIT_ARGS_E_NO_FILE);
        ck_assert_int_eq(unit_args_load_file("x/a.service", &file, NULL), UNIT_ARGS_E_NO_FILE);
        ck_assert_int_eq(mkdir("a.service", 0700), 0);
        ck_assert_int_eq(unit_args_load_file("a.service", &file, NULL), UNIT_ARGS_E_NO_FILE);
        ck_assert_int_eq(rmdir("a.service"), 0);

        write_file("a.service", "[Unit]\nA=b\n[Service\n");
        ck_assert_int_eq(unit_args_load_file("a.service", &file, &diag), -EBADMSG);
        ck_assert_str_eq(diag.message, "line 3: unable to find end of section");

        write_file("a.service", "# nothing\n[Unit]\n");
        ck_assert_int_eq(unit_args_load_file("a.service", &file, &diag), -EBADMSG);
        ck_assert_str_eq(diag.message, "the file sets no options");

        write_file("a.service", "[Unit]\nA=b\n");
        ck_assert_int_eq(unit_args_load_file("a.service", &file, NULL), 0);
        ck_assert_uint_eq(file->n_options, 1);
        ck_assert_int_eq(unlink("a.service"), 0);
        ck_assert_int_eq(chdir("/"), 0);
        ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

static int run_read(void *context) {
        _cleanup_(strlist_done) StrList names = { 0 }, paths = { 0 };

        return unit_args_read(context, &names, &paths, NULL);
}

/* Without memory it fails and leaks nothing. */
START_TEST(test_survives_oom) {
        const char *words[] = { "a", "b", "a" };
        StrList list = { (char **)words, ELEMENTSOF(words) };

        ck_assert_uint_ge(fault_sweep(run_read, &list), 6);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_names_and_paths, test_template_path, test_load_file,
                                       test_survives_oom };

        return tests_run("unit-args", tests, ELEMENTSOF(tests));
}
