/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdio.h>

#include "lib/unit/unit-file.h"
#include "tests/unit/fault.h"

/* A text, and its canonical form. */
typedef struct ParseRow {
        const char *text;
        const char *canonical;
} ParseRow;

static const ParseRow parse_rows[] = {
        { "", "" },
        { "nothing here", "" },
        { "[Unit]\n", "" },
        { "[Unit]\nA=b\n", "[Unit]\nA=b\n" },
        { "[Unit]\nA=b", "[Unit]\nA=b\n" },

        /* What is before the first section is skipped, comments with brackets, too. */
        { "junk = x\n# see [1]\n; [2]\njunk [Unit]\nA=b\n", "[Unit]\nA=b\n" },
        { "\xef\xbb\xbf[Unit]\nA=b\n", "[Unit]\nA=b\n" },

        /* White space around names and values goes, inside it stays. */
        { "  [Unit]  \n  A b  =  c  d  \n", "[Unit]\nA b=c  d\n" },
        { "[Unit]\n\n\n\tA=\tb\t\n", "[Unit]\nA=b\n" },
        { "[ Unit ]\nA=b\n", "[ Unit ]\nA=b\n" },
        { "[]\n=\n", "[]\n=\n" },
        { "[Unit]\nA=\nA=   \n", "[Unit]\nA=\nA=\n" },
        { "[Unit]\nA=b=c\n", "[Unit]\nA=b=c\n" },
        { "[Unit]\nA=[b]\n", "[Unit]\nA=[b]\n" },
        { "[Unit]\nA=b # no comment\n", "[Unit]\nA=b # no comment\n" },

        /* Comments, continued ones too; one blank behind the backslash is allowed, two are not. */
        { "[Unit]\n#A=b\n ;B=c\nC=d\n", "[Unit]\nC=d\n" },
        { "[Unit]\n# a \\\nB=c\nC=d\n", "[Unit]\nC=d\n" },
        { "[Unit]\n# a \\ \nB=c\nC=d\n", "[Unit]\nC=d\n" },
        { "[Unit]\n# a \\  \nB=c\n", "[Unit]\nB=c\n" },
        { "[Unit]\n# a \\\n", "" },

        /* Continued values keep backslash and newline; an empty line ends them with one newline. */
        { "[S]\nA=b \\\n  c \\\n  d  \nE=f\n", "[S]\nA=b \\\n  c \\\n  d\nE=f\n" },
        { "[S]\nA=x\\\n\nB=y\n", "[S]\nA=x\\\n\nB=y\n" },
        { "[S]\nA=x\\\n   \t\nB=y\n", "[S]\nA=x\\\n\nB=y\n" },
        { "[S]\nA=x\\\n\\\n\nB=y\n", "[S]\nA=x\\\n\\\n\nB=y\n" },
        { "[S]\nA=x\\\n#no comment\n", "[S]\nA=x\\\n#no comment\n" },
        { "[S]\nA=x\\\n[T]\n", "[S]\nA=x\\\n[T]\n" },
        { "[S]\nA=\\\nB=y\n", "[S]\nA=\\\nB=y\n" },

        /* A backslash at the end of the file counts as a continuation by nothing. */
        { "[S]\nA=x\\", "[S]\nA=x\\\n\n" },
        { "[S]\nA=x\\\n", "[S]\nA=x\\\n\n" },

        /* A backslash before blanks continues nothing, and its printed form continues nothing,
           either. */
        { "[S]\nA=x\\  \nB=y\n", "[S]\nA=x\\ \nB=y\n" },
        { "[S]\nA=x\\\n y\\\t\nB=y\n", "[S]\nA=x\\\n y\\ \nB=y\n" },

        /* CR LF is a newline. */
        { "[S]\r\nA=b\r\nC=d \\\r\n  e\r\nF=x\\\r\n\r\n", "[S]\nA=b\nC=d \\\n  e\nF=x\\\n\n" },

        /* Sections are merged in order of first appearance; options keep their order. */
        { "[S]\nB=1\n[U]\nA=2\n[S]\nA=3\nB=4\n", "[S]\nB=1\nA=3\nB=4\n\n[U]\nA=2\n" },
        { "[B]\nx=1\n[A]\nx=2\n[B]\nx=3\n[A]\nx=4\n", "[B]\nx=1\nx=3\n\n[A]\nx=2\nx=4\n" },
        { "[s]\nA=1\n[S]\na=2\n", "[s]\nA=1\n\n[S]\na=2\n" },

        { "[S]\nA=caf\xc3\xa9 \xe2\x82\xac\n", "[S]\nA=caf\xc3\xa9 \xe2\x82\xac\n" },
};

static char *print_file(const UnitFile *file) {
        _cleanup_(buf_done) Buf out = buf_make(4 * UNIT_FILE_MAX_BYTES);

        ck_assert_int_eq(unit_file_print(file, &out), 0);
        return buf_take_string(&out);
}

/* Every construct ends up in the canonical form that it should, and that form parses to itself. */
START_TEST(test_parse) {
        for (size_t i = 0; i < ELEMENTSOF(parse_rows); i++) {
                const ParseRow *row = &parse_rows[i];
                _cleanup_(unit_file_freep) UnitFile *file = NULL, *again = NULL;
                _cleanup_(freep) char *printed = NULL, *printed_again = NULL;

                ck_assert_int_eq(unit_file_parse(row->text, strlen(row->text), &file, NULL), 0);
                printed = print_file(file);
                ck_assert_str_eq(printed, row->canonical);

                ck_assert_int_eq(unit_file_parse(printed, strlen(printed), &again, NULL), 0);
                printed_again = print_file(again);
                ck_assert_str_eq(printed_again, printed);
                ck_assert(unit_file_equals(file, again));
        }
}
END_TEST

/* Options keep the order of the file, with their sections. */
START_TEST(test_options_in_file_order) {
        static const char text[] = "[S]\nB=1\n[U]\nA=2\n[S]\nC=3\n";
        _cleanup_(unit_file_freep) UnitFile *file = NULL;

        ck_assert_int_eq(unit_file_parse(text, strlen(text), &file, NULL), 0);
        ck_assert_uint_eq(file->n_options, 3);
        ck_assert_str_eq(file->options[1].section, "U");
        ck_assert_str_eq(file->options[2].section, "S");
        ck_assert_str_eq(file->options[2].name, "C");
        ck_assert_str_eq(file->options[2].value, "3");
}
END_TEST

/* A text that is no unit file, and what is said of it. */
typedef struct ErrorRow {
        const char *text;
        size_t n_bytes; /* 0: all of the string */
        const char *message;
} ErrorRow;

static const ErrorRow error_rows[] = {
        { "[Unit]\nA=b\n[Service\nC=d\n", 0, "line 3: unable to find end of section" },
        { "[Unit", 0, "line 1: unable to find end of section" },
        { "[Unit] ab\nA=b\n", 0, "line 1: found garbage after section name : [97 98]" },
        { "[Unit]\nA=b\n[S] x # y\n", 0,
          "line 3: found garbage after section name Unit: [120 32 35 32 121]" },
        { "[S]]\n", 0, "line 1: found garbage after section name : [93]" },
        { "[S]\nA=b\nnonsense\nC=d\n", 0,
          "line 3: unexpected newline encountered while parsing option name" },
        { "[S]\r\nnonsense\r\n", 0,
          "line 2: unexpected newline encountered while parsing option name" },
        { "[S]\nA=b \\\n c\n# d \\\n e\n\nbad\n", 0,
          "line 7: unexpected newline encountered while parsing option name" },
        { "# \\\n [x]\n\nfoo\n[S]\nA\n", 0,
          "line 6: unexpected newline encountered while parsing option name" },
        { "[S]\nA=b\nnonsense", 0,
          "line 3: unexpected end of file (EOF) while parsing option name" },
        { "[S]\nA=b\0c\n", 10, "line 2: text contains a NUL byte" },
        { "\n\xff", 0, "line 2: text is not valid UTF-8" },
        { "[S]\nA=\xc3\x28\n", 0, "line 2: text is not valid UTF-8" },
        { "[S]\nA=\xed\xa0\x80\n", 0, "line 2: text is not valid UTF-8" },
};

/* Errors name the line and the fault; nothing is handed out. */
START_TEST(test_errors) {
        for (size_t i = 0; i < ELEMENTSOF(error_rows); i++) {
                const ErrorRow *row = &error_rows[i];
                size_t n_bytes = row->n_bytes ? row->n_bytes : strlen(row->text);
                UnitFile *file = NULL;
                Diag diag = { 0 };

                ck_assert_int_eq(unit_file_parse(row->text, n_bytes, &file, &diag), -EBADMSG);
                ck_assert_str_eq(diag.message, row->message);
                ck_assert_int_eq(unit_file_parse(row->text, n_bytes, &file, NULL), -EBADMSG);
                ck_assert_ptr_null(file);
        }
}
END_TEST

/* Much garbage is shown in part. */
START_TEST(test_long_garbage_is_cut) {
        char text[3000];
        UnitFile *file = NULL;
        Diag diag = { 0 };

        (void)snprintf(text, sizeof(text), "[S]%*s", 2000, "x");
        memset(text + 3, '\x7f', 2000);
        ck_assert_int_eq(unit_file_parse(text, strlen(text), &file, &diag), -EBADMSG);
        ck_assert_int_eq(strncmp(diag.message,
                                 "line 1: found garbage after section name : [127 127 ",
                                 strlen("line 1: found garbage after section name : [127 127 ")),
                         0);
        ck_assert_str_eq(diag.message + strlen(diag.message) - 5, " ...]");
}
END_TEST

/* Lines may be as long as the file, and the file as long as its limit; one byte more is an error of
 * its own. */
START_TEST(test_size_limit) {
        _cleanup_(freep) char *text = malloc(UNIT_FILE_MAX_BYTES + 1);
        UnitFile *file = NULL;
        Diag diag = { 0 };

        memset(text, 'x', UNIT_FILE_MAX_BYTES + 1);
        memcpy(text, "[S]\nA=", 6);
        ck_assert_int_eq(unit_file_parse(text, UNIT_FILE_MAX_BYTES, &file, &diag), 0);
        ck_assert_uint_eq(strlen(file->options[0].value), UNIT_FILE_MAX_BYTES - 6);
        file = unit_file_free(file);

        ck_assert_int_eq(unit_file_parse(text, UNIT_FILE_MAX_BYTES + 1, &file, &diag), -EFBIG);
        ck_assert_ptr_null(file);
        ck_assert_ptr_nonnull(strstr(diag.message, "1048577"));
}
END_TEST

/* No text is a file without options. */
START_TEST(test_nothing) {
        _cleanup_(unit_file_freep) UnitFile *file = NULL;

        ck_assert_int_eq(unit_file_parse(NULL, 0, &file, NULL), 0);
        ck_assert_uint_eq(file->n_options, 0);
}
END_TEST

static int run_parse(void *context) {
        static const char text[] = "# c\n[Unit]\nA=b\n[S]\nC=d \\\n e\nF=x\\\n\nG=y\\ \n[T]\nH=\n";
        UnitFile *file = NULL;
        int r;

        (void)context;
        r = unit_file_parse(text, strlen(text), &file, NULL);
        fault_assert((r == 0) == (file != NULL));
        unit_file_free(file);
        return r;
}

/* Without memory there is an error, no file, and nothing left behind. */
START_TEST(test_survives_oom) {
        ck_assert_uint_gt(fault_sweep(run_parse, NULL), 20);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_parse,       test_options_in_file_order,
                                       test_errors,      test_long_garbage_is_cut,
                                       test_size_limit,  test_nothing,
                                       test_survives_oom };

        return tests_run("unit-file-parse", tests, ELEMENTSOF(tests));
}
