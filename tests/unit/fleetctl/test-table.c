/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetctl/table.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/base/macro.h"
#include "tests/unit/fault.h"

/* A row is an array of three texts. */
static int append_first(Buf *cell, const void *row, const void *context) {
        (void)context;
        return buf_append_string(cell, ((const char *const *)row)[0]);
}

static int append_second(Buf *cell, const void *row, const void *context) {
        (void)context;
        return buf_append_string(cell, ((const char *const *)row)[1]);
}

static int append_third(Buf *cell, const void *row, const void *context) {
        (void)row;
        return buf_append_string(cell, context);
}

static const Column columns[] = {
        { "machine", append_first },
        { "ip", append_second },
        { "metadata", append_third },
};

static char *render(const char *fields, const char *const (*rows)[2], size_t n_rows,
                    bool with_header) {
        _cleanup_(table_done) Table table = { 0 };
        char *text = NULL;
        size_t n_bytes;
        FILE *out;

        ck_assert_int_eq(table_init(&table, columns, ELEMENTSOF(columns), fields, NULL), 0);
        for (size_t i = 0; i < n_rows; i++)
                ck_assert_int_eq(table_add_row(&table, rows[i], "k=v"), 0);

        out = open_memstream(&text, &n_bytes);
        ck_assert_ptr_nonnull(out);
        table_print(&table, with_header, out);
        ck_assert_int_eq(fclose(out), 0);
        return text;
}

/* Contract section 2.4's own example: padding by tabs to the next stop, the last cell bare. */
START_TEST(test_contract_example) {
        static const char *const rows[][2] = { { "106e6da3...", "10.77.0.12" } };
        _cleanup_(freep) char *text = render("machine,ip,metadata", rows, 1, true);

        ck_assert_str_eq(text, "MACHINE\t\tIP\t\tMETADATA\n106e6da3...\t10.77.0.12\tk=v\n");
}
END_TEST

/* A cell of 7 fits one stop, one of 8 needs the next; a header counts, and not when it is left out.
 */
START_TEST(test_width_at_the_stop) {
        static const char *const seven[][2] = { { "1234567", "x" } };
        static const char *const eight[][2] = { { "12345678", "x" }, { "1", "y" } };
        static const char *const one[][2] = { { "x", "1" } };
        _cleanup_(freep) char *a = render("machine,ip", seven, 1, true);
        _cleanup_(freep) char *b = render("machine,ip", eight, 2, true);
        _cleanup_(freep) char *c = render("metadata,ip", one, 1, true);
        _cleanup_(freep) char *d = render("metadata,ip", one, 1, false);

        ck_assert_str_eq(a, "MACHINE\tIP\n1234567\tx\n");
        ck_assert_str_eq(b, "MACHINE\t\tIP\n12345678\tx\n1\t\ty\n");
        ck_assert_str_eq(c, "METADATA\tIP\nk=v\t\t1\n");
        ck_assert_str_eq(d, "k=v\t1\n");
}
END_TEST

/* Width counts characters, not bytes; nothing is "-"; control characters cannot break a line. */
START_TEST(test_cell_texts) {
        static const char *const rows[][2] = { { "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f"
                                                 "567",
                                                 "" },
                                               { "a\tb\n\033c", "x" } };
        _cleanup_(freep) char *text = render("machine,ip", rows, 2, false);

        ck_assert_str_eq(text, "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f"
                               "567\t-\na b  c\tx\n");
}
END_TEST

/* No rows leave the header; columns come in the order asked for, also twice. */
START_TEST(test_empty_and_order) {
        _cleanup_(freep) char *text = render("ip,machine,ip", NULL, 0, true);

        ck_assert_str_eq(text, "IP\tMACHINE\tIP\n");
}
END_TEST

/* Fields that are not there, and none at all, have the contract's messages. */
START_TEST(test_bad_fields) {
        static const struct {
                const char *fields, *message;
        } cases[] = {
                { "", "Must define output format" },
                { "ip,bogus", "Invalid key in output format: \"bogus\"" },
                { "ip,", "Invalid key in output format: \"\"" },
                { "IP", "Invalid key in output format: \"IP\"" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(table_done) Table table = { 0 };
                Diag diag = { 0 };

                ck_assert_int_eq(
                        table_init(&table, columns, ELEMENTSOF(columns), cases[i].fields, &diag),
                        -EINVAL);
                ck_assert_str_eq(diag.message, cases[i].message);
        }
}
END_TEST

static int run_fill(void *context) {
        static const char *const row[] = { "a", "b" };
        _cleanup_(table_done) Table table = { 0 };
        int r = table_init(&table, columns, ELEMENTSOF(columns), "machine,ip", NULL);

        (void)context;
        for (int i = 0; r == 0 && i < 100; i++)
                r = table_add_row(&table, row, "");
        return r;
}

/* Without memory it fails and leaks nothing. */
START_TEST(test_survives_oom) {
        ck_assert_uint_ge(fault_sweep(run_fill, NULL), 200);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_contract_example, test_width_at_the_stop, test_cell_texts,
                test_empty_and_order,  test_bad_fields,        test_survives_oom,
        };

        return tests_run("table", tests, ELEMENTSOF(tests));
}
