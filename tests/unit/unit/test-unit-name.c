/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/unit/unit-name.h"

#include <errno.h>

#include "lib/base/macro.h"
#include "tests/unit/fault.h"

/* A name, and what the rules say: NULL when it is valid. */
typedef struct CheckRow {
        const char *name;
        const char *message;
} CheckRow;

static const CheckRow check_rows[] = {
        { "a.service", NULL },
        { "a.b.c.timer", NULL },
        { "web@1.service", NULL },
        { "web@.socket", NULL },
        { "a@b@c.path", NULL },
        { "0:_.\\@-Z.target", NULL },
        { "a.automount", NULL },
        { "a.busname", NULL },
        { "a.snapshot", NULL },
        { "", "unit name cannot be empty" },
        { "foo", "unit name must contain \".\"" },
        { "foo.", "unit name cannot end in \".\"" },
        { "a/b.", "unit name cannot end in \".\"" },
        { "foo.txt", "invalid unit type: \"txt\"" },
        { "foo.Service", "invalid unit type: \"Service\"" },
        { "foo.service ", "invalid unit type: \"service \"" },
        { "foo.service\n", "invalid unit type: \"service\n\"" },
        { "a@1.mount", "invalid unit type for template: \"mount\"" },
        { "a b@.slice", "invalid unit type for template: \"slice\"" },
        { "a b.service", "invalid character ' ' in unit name" },
        { "a/b.service", "invalid character '/' in unit name" },
        { "../a.service", "invalid character '/' in unit name" },
        { "a%.service", "invalid character '%' in unit name" },
        { "a\n.service", "invalid character '\\x0a' in unit name" },
        { "caf\xc3\xa9.service", "invalid character '\xc3\xa9' in unit name" },
        { "@.service", "unit name cannot start in \"@\"" },
        { "@/.service", "invalid character '/' in unit name" },
};

/* Each rule has its message, and the first one that is broken decides. */
START_TEST(test_check) {
        for (size_t i = 0; i < ELEMENTSOF(check_rows); i++) {
                const CheckRow *row = &check_rows[i];
                Diag diag = { 0 };

                ck_assert_int_eq(unit_name_check(row->name, &diag), row->message ? -EINVAL : 0);
                ck_assert_str_eq(diag.message, row->message ? row->message : "");
                ck_assert_int_eq(unit_name_check(row->name, NULL), row->message ? -EINVAL : 0);
        }
}
END_TEST

/* 256 bytes are allowed, 257 are not. */
START_TEST(test_check_length) {
        char name[UNIT_NAME_MAX_BYTES + 2];
        Diag diag = { 0 };

        memset(name, 'a', sizeof(name));
        memcpy(name + UNIT_NAME_MAX_BYTES - 8, ".service", 9);
        ck_assert_int_eq(unit_name_check(name, &diag), 0);

        name[UNIT_NAME_MAX_BYTES - 8] = 'a';
        memcpy(name + UNIT_NAME_MAX_BYTES - 7, ".service", 9);
        ck_assert_int_eq(unit_name_check(name, &diag), -EINVAL);
        ck_assert_str_eq(diag.message, "unit name exceeds maximum length (256)");
}
END_TEST

/* A name and its parts; an instance of NULL means that there is no '@'. */
typedef struct SplitRow {
        const char *name;
        const char *prefix;
        const char *instance;
        const char *suffix;
        const char *template; /* NULL when it is no instance */
} SplitRow;

static const SplitRow split_rows[] = {
        { "a.service", "a", NULL, "service", NULL },
        { "a.b.service", "a.b", NULL, "service", NULL },
        { "web@1.service", "web", "1", "service", "web@.service" },
        { "web@.service", "web", "", "service", NULL },
        { "web@a@b.timer", "web", "a@b", "timer", "web@.timer" },
        { "web@1.2.socket", "web", "1.2", "socket", "web@.socket" },
        { "a.x@y", "a", NULL, "x@y", NULL },
        { "@i.service", "", "i", "service", "@.service" },
        { ".", "", NULL, "", NULL },
};

/* The first '@' before the last dot separates, and only a name with something behind it is an
 * instance. */
START_TEST(test_split) {
        for (size_t i = 0; i < ELEMENTSOF(split_rows); i++) {
                const SplitRow *row = &split_rows[i];
                _cleanup_(freep) char *template = NULL;
                UnitNameParts parts;

                ck_assert_int_eq(unit_name_split(row->name, &parts), 0);
                ck_assert_uint_eq(parts.prefix_bytes, strlen(row->prefix));
                ck_assert_mem_eq(parts.prefix, row->prefix, parts.prefix_bytes);
                ck_assert_int_eq(!parts.instance, !row->instance);
                ck_assert_uint_eq(parts.instance_bytes, row->instance ? strlen(row->instance) : 0);
                if (row->instance)
                        ck_assert_mem_eq(parts.instance, row->instance, parts.instance_bytes);
                ck_assert_str_eq(parts.suffix, row->suffix);

                ck_assert_int_eq(unit_name_is_instance(row->name), row->template != NULL);
                ck_assert_int_eq(unit_name_is_template(row->name),
                                 row->instance && !*row->instance);
                ck_assert_int_eq(unit_name_template(row->name, &template),
                                 row->template ? 0 : -EINVAL);
                ck_assert_pstr_eq(template, row->template);
        }
}
END_TEST

/* Without a dot there are no parts, and nothing is written. */
START_TEST(test_split_without_dot) {
        UnitNameParts parts = { .prefix = "untouched" };
        char *template = NULL;

        ck_assert_int_eq(unit_name_split("a@b", &parts), -EINVAL);
        ck_assert_str_eq(parts.prefix, "untouched");
        ck_assert(!unit_name_is_template("a@"));
        ck_assert(!unit_name_is_instance("a@b"));
        ck_assert_int_eq(unit_name_template("a@b", &template), -EINVAL);
        ck_assert_ptr_null(template);
}
END_TEST

/* A word of the command line becomes the name of its file, a service unless it says otherwise. */
START_TEST(test_mangle) {
        static const struct {
                const char *word, *name;
        } rows[] = {
                { "foo", "foo.service" },
                { "foo.service", "foo.service" },
                { "foo.target", "foo.target" },
                { "foo.txt", "foo.txt.service" },
                { "dir/sub/foo.socket", "foo.socket" },
                { "/abs/foo", "foo.service" },
                { "./foo@1", "foo@1.service" },
                { "foo/", "foo.service" },
                { "service", "service.service" },
                { "foo.", "foo..service" },
                { "", "" },
                { "///", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *name = NULL;

                ck_assert_int_eq(unit_name_mangle(rows[i].word, &name), 0);
                ck_assert_str_eq(name, rows[i].name);
        }
}
END_TEST

/* All the types of the contract are types, and parts of them are not. */
START_TEST(test_suffixes) {
        ck_assert(unit_suffix_is_valid("service"));
        ck_assert(unit_suffix_is_valid("swap"));
        ck_assert(!unit_suffix_is_valid("servic"));
        ck_assert(!unit_suffix_is_valid(".service"));
        ck_assert(!unit_suffix_is_valid(""));
}
END_TEST

static int run_names(void *context) {
        _cleanup_(freep) char *name = NULL;
        _cleanup_(freep) char *template = NULL;
        int r;

        (void)context;
        r = unit_name_mangle("foo", &name);
        if (r == 0)
                r = unit_name_template("web@1.service", &template);
        return r;
}

/* Without memory there is an error and no name. */
START_TEST(test_survives_oom) {
        ck_assert_uint_eq(fault_sweep(run_names, NULL), 2);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_check,       test_check_length,
                                       test_split,       test_split_without_dot,
                                       test_mangle,      test_suffixes,
                                       test_survives_oom };

        return tests_run("unit-name", tests, ELEMENTSOF(tests));
}
