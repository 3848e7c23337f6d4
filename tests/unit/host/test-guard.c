/* SPDX-License-Identifier: Apache-2.0 */

/* The guard's files. */

#include "lib/host/guard.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/fault.h"

static char folder[32];

static void open_folder(void) {
        (void)snprintf(folder, sizeof(folder), "/tmp/fleet-guard-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(folder));
}

static UnitFile *parse(const char *text) {
        UnitFile *file = NULL;

        ck_assert_int_eq(unit_file_parse(text, strlen(text), &file, NULL), 0);
        return file;
}

static void write_text(const char *path, const char *text) {
        FILE *file = fopen(path, "we");

        ck_assert_ptr_nonnull(file);
        ck_assert_int_ge(fputs(text, file), 0);
        ck_assert_int_eq(fclose(file), 0);
}

/* What was written is read, what is no time is not. */
START_TEST(test_time) {
        static const char *const broken[] = { "", "\n", "soon\n", "12", "-\n" };
        char path[64];
        uint64_t us = 7;

        open_folder();
        (void)snprintf(path, sizeof(path), "%s/guard", folder);
        ck_assert_int_eq(guard_read(path, &us), -ENOENT);
        ck_assert_int_eq(guard_write(path, UINT64_MAX), 0);
        ck_assert_int_eq(guard_read(path, &us), 0);
        ck_assert_uint_eq(us, UINT64_MAX);
        ck_assert_int_eq(guard_write(path, 0), 0);
        ck_assert_int_eq(guard_read(path, &us), 0);
        ck_assert_uint_eq(us, 0);
        for (size_t i = 0; i < ELEMENTSOF(broken); i++) {
                write_text(path, broken[i]);
                ck_assert_int_eq(guard_read(path, &us), -EBADMSG);
        }
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(rmdir(folder), 0);
        ck_assert_int_eq(guard_write(path, 1), -ENOENT);
}
END_TEST

static const char bound[] = "# Written by fleet: the unit is Exclusive (fleet.unit(5)).\n"
                            "[Unit]\nBindsTo=fleet-guard.service\nAfter=fleet-guard.service\n";

/* A unit's content, and what fleet adds to it. */
static const struct {
        const char *text;
        bool is_bound;
        const char *more;
} rows[] = {
        { "[Service]\nExecStart=/bin/a\n", false, "" },
        { "[Service]\nExecStart=/bin/a\n[X-Fleet]\nExclusive=true\n", true,
          "\n[Service]\nTimeoutStopSec=90\n" },
        { "[Service]\nTimeoutStopSec=5\n[X-Fleet]\nExclusive=true\n", true, "" },
        { "[Socket]\nListenStream=1\n[X-Fleet]\nExclusive=true\n", true,
          "\n[Socket]\nTimeoutSec=90\n" },
        { "[X-Fleet]\nExclusive=false\n", false, "" },
};

static void check_drop_in(const char *path, const char *more) {
        char text[512] = "", expected[512];
        FILE *file = fopen(path, "re");

        ck_assert_ptr_nonnull(file);
        (void)fread(text, 1, sizeof(text) - 1, file);
        (void)fclose(file);
        (void)snprintf(expected, sizeof(expected), "%s%s", bound, more);
        ck_assert_str_eq(text, expected);
}

/* Exclusive units, and no others, are bound to the guard; the time that systemd has for their stop
 * is set where the file does not. What somebody else put there stays. */
START_TEST(test_bind) {
        char path[96], theirs[96], sub[64];

        open_folder();
        (void)snprintf(sub, sizeof(sub), "%s/a.service.d", folder);
        (void)snprintf(path, sizeof(path), "%s/50-fleet-exclusive.conf", sub);
        (void)snprintf(theirs, sizeof(theirs), "%s/mine.conf", sub);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(unit_file_freep) UnitFile *file = parse(rows[i].text);

                ck_assert_int_eq(guard_bind(folder, "a.service", file), 0);
                ck_assert_int_eq(access(path, F_OK), rows[i].is_bound ? 0 : -1);
                if (rows[i].is_bound)
                        check_drop_in(path, rows[i].more);
                ck_assert_int_eq(guard_bind(NULL, "a.service", file),
                                 rows[i].is_bound ? -ENOTDIR : 0);
                ck_assert_int_eq(guard_bind(folder, "a.service", NULL), 0);
                ck_assert_int_eq(access(sub, F_OK), -1);
        }

        ck_assert_int_eq(mkdir(sub, 0755), 0);
        write_text(theirs, "");
        write_text(path, "");
        ck_assert_int_eq(guard_bind(folder, "a.service", NULL), 0);
        ck_assert_int_eq(access(path, F_OK), -1);
        ck_assert_int_eq(unlink(theirs), 0);
        ck_assert_int_eq(rmdir(sub), 0);
        ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_time, test_bind };

        return tests_run("guard", tests, ELEMENTSOF(tests));
}
