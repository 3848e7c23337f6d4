/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/unit/requirements.h"

#include <errno.h>

#include "tests/unit/fault.h"

/* Without the sections that Exclusive is held against: test-exclusive.c. */
static const UnitFile no_file;

/* The requirements of a unit whose [X-Fleet] section holds `options`. */
static Requirements *read_options(const char *options, const char *unit_name) {
        _cleanup_(buf_done) Buf text = buf_make(UNIT_FILE_MAX_BYTES);
        _cleanup_(unit_file_freep) UnitFile *file = NULL;
        Requirements *requirements = NULL;

        ck_assert_int_eq(buf_printf(&text, "[X-Fleet]\n%s\n", options), 0);
        ck_assert_int_eq(unit_file_parse(text.data, text.n_bytes, &file, NULL), 0);
        ck_assert_int_eq(requirements_new(&requirements, file, unit_name), 0);
        return requirements;
}

static void append_list(Buf *out, const char *name, const StrList *list) {
        for (size_t i = 0; i < list->n_items; i++)
                ck_assert_int_eq(buf_printf(out, "%s<%s> ", name, list->items[i]), 0);
}

/* All of the requirements as one line. */
static char *describe(const Requirements *requirements) {
        _cleanup_(buf_done) Buf out = buf_make(100000);

        if (requirements->machine_id)
                ck_assert_int_eq(buf_printf(&out, "id<%s> ", requirements->machine_id), 0);
        append_list(&out, "of", &requirements->machine_of);
        append_list(&out, "not", &requirements->conflicts);
        append_list(&out, "for", &requirements->replaces);
        for (size_t i = 0; i < requirements->n_metadata; i++)
                ck_assert_int_eq(buf_printf(&out, "%s=%s ", requirements->metadata[i].key,
                                            requirements->metadata[i].value),
                                 0);
        if (requirements->global)
                ck_assert_int_eq(buf_append_string(&out, "global "), 0);
        if (requirements->exclusive)
                ck_assert_int_eq(buf_append_string(&out, "exclusive "), 0);
        return buf_take_string(&out);
}

/* Options, and the requirements that they are, for a unit called web@1.service. */
typedef struct ReadRow {
        const char *options;
        const char *description;
} ReadRow;

static const ReadRow read_rows[] = {
        { "", "" },

        /* MachineID: the first value, in the order of precedence. */
        { "MachineID=a\nMachineID=b", "id<a> " },
        { "X-ConditionMachineBootID=c\nX-ConditionMachineID=b\nMachineID=a", "id<a> " },
        { "X-ConditionMachineBootID=c\nX-ConditionMachineID=b", "id<b> " },
        { "X-ConditionMachineBootID=c", "id<c> " },
        { "MachineID=\"a\" \"b\"", "id<a> " },

        /* MachineOf and Replaces: a line is one value unless it is in quotes. */
        { "MachineOf=a.service b.service", "of<a.service b.service> " },
        { "MachineOf=\"a.service\" \"b.service\"", "of<a.service> of<b.service> " },
        { "MachineOf=a.service\nX-ConditionMachineOf=b.service", "of<a.service> of<b.service> " },
        { "MachineOf=\"a b\" \"c\"", "of<a b> of<c> " },
        { "MachineOf=\"a\"  \"b\"", "of<a> of<> of<b> " },
        { "MachineOf=\"a\"\t\"b\"", "of<a> of<b> " },
        { "MachineOf=\"", "of<> " },
        { "MachineOf=\"a", "of<\"a> " },
        { "MachineOf=\"a\"b\"", "of<ab> " },
        { "Replaces=a b", "for<a b> " },
        { "Replaces=\"a\" \"b\"\nReplaces=c", "for<a> for<b> for<c> " },

        /* Conflicts are split at white space, too. */
        { "Conflicts=a*  b\tc", "not<a*> not<b> not<c> " },
        { "Conflicts=\"a b\" \"c\"\nX-Conflicts=d", "not<a> not<b> not<c> not<d> " },
        { "Conflicts=", "" },
        { "Conflicts=a \\\n  b", "not<a> not<\\> not<b> " },

        /* MachineMetadata: what is no pair is dropped. */
        { "MachineMetadata=disk=ssd", "disk=ssd " },
        { "MachineMetadata=\"disk=ssd\" \"region=eu\"\nMachineMetadata=disk=hdd",
          "disk=ssd region=eu disk=hdd " },
        { "X-ConditionMachineMetadata=a=b", "a=b " },
        { "MachineMetadata=a\nMachineMetadata=a=\nMachineMetadata==b\nMachineMetadata=a=b=c", "" },

        /* Global: the last value. */
        { "Global=true", "global " },
        { "Global=YES", "global " },
        { "Global=1", "global " },
        { "Global=On", "global " },
        { "Global=T", "global " },
        { "Global=true\nGlobal=false", "" },
        { "Global=y", "" },
        { "Global=", "" },
        { "Global=\"false\" \"true\"", "global " },

        /* Specifiers. */
        { "MachineOf=%n %N %p %i", "of<web@1.service web@1 web 1> " },
        { "Conflicts=%p@*.service", "not<web@*.service> " },
        { "MachineMetadata=%p=%i", "web=1 " },
        { "MachineOf=%%n %x %", "of<%web@1.service %x %> " },

        { "Exclusive=yes", "exclusive " },
        { "Exclusive=true\nExclusive=no", "" },

        /* Keys of others, and of other spellings. */
        { "Bogus=1\nmachineid=a\nConditionMachineOf=b\nX-Global=true", "" },
};

/* Every key is read as the contract says. */
START_TEST(test_read) {
        for (size_t i = 0; i < ELEMENTSOF(read_rows); i++) {
                _cleanup_(requirements_freep) Requirements *requirements = read_options(
                        read_rows[i].options, "web@1.service");
                _cleanup_(freep) char *description = describe(requirements);

                ck_assert_str_eq(description, read_rows[i].description);
        }
}
END_TEST

/* Only the section [X-Fleet] counts. */
START_TEST(test_other_sections) {
        static const char text[] = "[Unit]\nConflicts=a\n[x-fleet]\nGlobal=true\n";
        _cleanup_(unit_file_freep) UnitFile *file = NULL;
        _cleanup_(requirements_freep) Requirements *requirements = NULL;

        ck_assert_int_eq(unit_file_parse(text, strlen(text), &file, NULL), 0);
        ck_assert_int_eq(requirements_new(&requirements, file, "a.service"), 0);
        ck_assert_uint_eq(requirements->conflicts.n_items, 0);
        ck_assert(!requirements->global);
}
END_TEST

/* Without a name specifiers stay, and for a unit that is no instance %i is empty. */
START_TEST(test_specifiers_need_a_name) {
        _cleanup_(requirements_freep) Requirements *unnamed = read_options("MachineOf=%p%i", NULL);
        _cleanup_(requirements_freep)
                Requirements *plain = read_options("MachineOf=%p%i", "a.b.timer");

        ck_assert_str_eq(unnamed->machine_of.items[0], "%p%i");
        ck_assert_str_eq(plain->machine_of.items[0], "a.b");
}
END_TEST

/* Options, and what the rules say of them. */
typedef struct CheckRow {
        const char *options;
        const char *message; /* NULL: allowed */
} CheckRow;

static const CheckRow check_rows[] = {
        { "", NULL },
        { "MachineID=a\nMachineMetadata=a=b", NULL },
        { "Global=true\nMachineMetadata=a=b\nConflicts=x", NULL },
        { "MachineOf=a.service\nConflicts=b*", NULL },
        { "MachineOf=a.service\nReplaces=b*", NULL },
        { "MachineOf=a.service\nConflicts=x\nConflicts=a*",
          "unresolvable requirements: peer \"a.service\" matches conflict \"a*\"" },
        { "MachineOf=a.service\nReplaces=a*",
          "unresolvable requirements: peer \"a.service\" matches replace \"a*\"" },
        { "MachineID=a\nMachineOf=b", "MachineID cannot be used with Peers" },
        { "MachineID=a\nConflicts=b", "MachineID cannot be used with Conflicts" },
        { "MachineID=a\nGlobal=true", "MachineID cannot be used with Global" },
        { "MachineID=a\nReplaces=b", "MachineID cannot be used with Replaces" },
        { "Global=true\nMachineOf=b", "Global cannot be used with Peers" },
        { "Global=true\nReplaces=b", "Global cannot be used with Replaces" },
        { "Global=true\nExclusive=true", "Global cannot be used with Exclusive" },
        { "Global=false\nExclusive=true\nConflicts=a\nMachineOf=b", NULL },
        { "Conflicts=a\nReplaces=b", "Conflicts cannot be used with Replaces" },

        /* The first rule that is broken decides. */
        { "MachineID=a\nMachineOf=b\nConflicts=b\nGlobal=true",
          "unresolvable requirements: peer \"b\" matches conflict \"b\"" },
        { "MachineID=a\nGlobal=true\nReplaces=c\nConflicts=d",
          "MachineID cannot be used with Conflicts" },
        { "Global=true\nReplaces=c\nConflicts=d", "Global cannot be used with Replaces" },
};

/* The combinations that make no sense are refused, with the contract's messages, in its order. */
START_TEST(test_check) {
        for (size_t i = 0; i < ELEMENTSOF(check_rows); i++) {
                const CheckRow *row = &check_rows[i];
                _cleanup_(requirements_freep)
                        Requirements *requirements = read_options(row->options, NULL);
                Diag diag = { 0 };

                ck_assert_int_eq(requirements_check(requirements, &no_file, &diag),
                                 row->message ? -EINVAL : 0);
                ck_assert_str_eq(diag.message, row->message ? row->message : "");
        }
}
END_TEST

/* 256 values are checked against each other, more are refused. */
START_TEST(test_check_bounds_the_work) {
        for (int n = 256; n <= 257; n++) {
                _cleanup_(requirements_freep) Requirements *requirements = NULL;
                _cleanup_(buf_done) Buf options = buf_make(UNIT_FILE_MAX_BYTES);
                Diag diag = { 0 };

                for (int i = 0; i < n; i++)
                        ck_assert_int_eq(buf_printf(&options, "Conflicts=a%d\n", i), 0);
                for (int i = 0; i < 256; i++)
                        ck_assert_int_eq(buf_printf(&options, "MachineOf=b%d\n", i), 0);

                requirements = read_options(options.data, NULL);
                ck_assert_int_eq(requirements_check(requirements, &no_file, &diag),
                                 n == 256 ? 0 : -EINVAL);
                ck_assert_str_eq(
                        diag.message,
                        n == 256 ? "" : "Conflicts has 257 values, more than the maximum of 256");
        }
}
END_TEST

/* A value as long as a unit name may be is checked, a longer one is refused. */
START_TEST(test_check_bounds_the_length) {
        _cleanup_(buf_done) Buf text = buf_make(1000);
        Diag diag = { 0 };

        ck_assert_int_eq(buf_append_string(&text, "Replaces="), 0);
        for (int i = 0; i < 2; i++) {
                _cleanup_(requirements_freep) Requirements *requirements = NULL;

                while (text.n_bytes < strlen("Replaces=") + 256 + (size_t)i)
                        ck_assert_int_eq(buf_append_string(&text, "x"), 0);
                requirements = read_options(text.data, NULL);
                ck_assert_int_eq(requirements_check(requirements, &no_file, &diag),
                                 i == 0 ? 0 : -EINVAL);
        }
        ck_assert_str_eq(diag.message,
                         "Replaces has a value of 257 bytes, more than the maximum of 256");
}
END_TEST

/* Unknown keys of [X-Fleet] are found, known and deprecated ones are not among them. */
START_TEST(test_unknown_keys) {
        static const char text[] =
                "[Unit]\nOther=1\n[X-Fleet]\nBogus=1\nGlobal=true\nX-Conflicts=a\n"
                "global=1\nMachineOf=b\n";
        _cleanup_(unit_file_freep) UnitFile *file = NULL;
        _cleanup_(strlist_done) StrList keys = { 0 };

        ck_assert_int_eq(unit_file_parse(text, strlen(text), &file, NULL), 0);
        ck_assert_int_eq(requirements_unknown_keys(file, &keys), 0);
        ck_assert_uint_eq(keys.n_items, 2);
        ck_assert_str_eq(keys.items[0], "Bogus");
        ck_assert_str_eq(keys.items[1], "global");
}
END_TEST

/* A conflict holds from both sides, and never with oneself. */
START_TEST(test_conflict) {
        _cleanup_(requirements_freep)
                Requirements *web = read_options("Conflicts=web@*.service", NULL);
        _cleanup_(requirements_freep) Requirements *none = read_options("", NULL);

        ck_assert(requirements_conflict("web@1.service", web, "web@2.service", web));
        ck_assert(!requirements_conflict("web@1.service", web, "web@1.service", web));
        ck_assert(requirements_conflict("a.service", web, "web@2.service", none));
        ck_assert(requirements_conflict("web@2.service", none, "a.service", web));
        ck_assert(!requirements_conflict("b.service", none, "a.service", web));
}
END_TEST

/* MachineID is a full ID or its first eight characters, nothing between. */
START_TEST(test_allow_machine) {
        static const char id[] = "0123456789abcdef0123456789abcdef";
        static const struct {
                const char *options;
                bool allowed;
        } rows[] = {
                { "", true },
                { "MachineID=0123456789abcdef0123456789abcdef", true },
                { "MachineID=01234567", true },
                { "MachineID=0123456", false },
                { "MachineID=012345678", false },
                { "MachineID=11234567", false },
                { "MachineID=", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(requirements_freep)
                        Requirements *requirements = read_options(rows[i].options, NULL);

                ck_assert_int_eq(requirements_allow_machine(requirements, id), rows[i].allowed);
        }
}
END_TEST

static int run_read(void *context) {
        Requirements *requirements = NULL;
        int r;

        r = requirements_new(&requirements, context, "web@1.service");
        fault_assert((r == 0) == (requirements != NULL));
        requirements_free(requirements);
        return r;
}

static int run_unknown_keys(void *context) {
        _cleanup_(strlist_done) StrList keys = { 0 };

        return requirements_unknown_keys(context, &keys);
}

/* Without memory there is an error and nothing half read. */
START_TEST(test_survives_oom) {
        static const char text[] =
                "[X-Fleet]\nX-ConditionMachineID=b\nMachineID=a\nMachineOf=\"a\" \"b%i\"\n"
                "Conflicts=c d\nReplaces=%n\nMachineMetadata=a=b\n"
                "MachineMetadata=a=c\nMachineMetadata=a=d\nBogus=1\nGlobal=\n";
        _cleanup_(unit_file_freep) UnitFile *file = NULL;

        ck_assert_int_eq(unit_file_parse(text, strlen(text), &file, NULL), 0);
        ck_assert_uint_gt(fault_sweep(run_read, file), 20);
        ck_assert_uint_eq(fault_sweep(run_unknown_keys, file), 2);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_read,
                                       test_other_sections,
                                       test_specifiers_need_a_name,
                                       test_check,
                                       test_check_bounds_the_work,
                                       test_check_bounds_the_length,
                                       test_unknown_keys,
                                       test_conflict,
                                       test_allow_machine,
                                       test_survives_oom };

        return tests_run("requirements", tests, ELEMENTSOF(tests));
}
