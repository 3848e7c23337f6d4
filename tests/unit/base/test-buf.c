/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/base/buf.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/unit/fault.h"

/* What is appended comes out in order, with a NUL behind it that does not count. */
START_TEST(test_append_keeps_order_and_nul) {
        _cleanup_(buf_done) Buf buf = buf_make(100);

        ck_assert_int_eq(buf_append(&buf, "ab\0cd", 5), 0);
        ck_assert_int_eq(buf_append_string(&buf, "ef"), 0);
        ck_assert_int_eq(buf_printf(&buf, "%d-%s", 42, "x"), 0);
        ck_assert_uint_eq(buf.n_bytes, 11);
        ck_assert_mem_eq(buf.data, "ab\0cdef42-x", 12);
}
END_TEST

/* The limit can be reached but not passed, and what would pass it changes nothing. */
START_TEST(test_limit_is_exact) {
        _cleanup_(buf_done) Buf buf = buf_make(4);

        ck_assert_int_eq(buf_append_string(&buf, "abcd"), 0);
        ck_assert_int_eq(buf_append_string(&buf, "e"), -ENOBUFS);
        ck_assert_int_eq(buf_printf(&buf, "%d", 1), -ENOBUFS);
        ck_assert_int_eq(buf_append(&buf, NULL, 0), 0);
        ck_assert_str_eq(buf.data, "abcd");

        buf_clear(&buf);
        ck_assert_int_eq(buf_append_string(&buf, "abcde"), -ENOBUFS);
        ck_assert_int_eq(buf_printf(&buf, "%d", 12345), -ENOBUFS);
        ck_assert_uint_eq(buf.n_bytes, 0);
}
END_TEST

/* A length that would wrap around is over the limit, not small. */
START_TEST(test_huge_length_is_refused) {
        _cleanup_(buf_done) Buf buf = buf_make(1000);

        ck_assert_int_eq(buf_append_string(&buf, "abc"), 0);
        ck_assert_int_eq(buf_append(&buf, "x", SIZE_MAX - 1), -ENOBUFS);
        ck_assert_str_eq(buf.data, "abc");
}
END_TEST

/* Growing over many doublings loses nothing. */
START_TEST(test_growth_keeps_content) {
        _cleanup_(buf_done) Buf buf = buf_make(100000);

        for (int i = 0; i < 10000; i++)
                ck_assert_int_eq(buf_append(&buf, &(char){ (char)('a' + i % 26) }, 1), 0);
        for (int i = 0; i < 10000; i++)
                ck_assert_int_eq(buf.data[i], 'a' + i % 26);
        ck_assert_int_eq(buf.data[10000], '\0');
}
END_TEST

/* Taking the string empties the buffer, which works on, under the same limit. */
START_TEST(test_take_string) {
        _cleanup_(buf_done) Buf buf = buf_make(4);
        _cleanup_(freep) char *empty = buf_take_string(&buf);
        _cleanup_(freep) char *taken = NULL;

        ck_assert_str_eq(empty, "");
        ck_assert_int_eq(buf_append_string(&buf, "abc"), 0);
        taken = buf_take_string(&buf);
        ck_assert_str_eq(taken, "abc");
        ck_assert_uint_eq(buf.n_bytes, 0);
        ck_assert_int_eq(buf_append_string(&buf, "abcde"), -ENOBUFS);
}
END_TEST

/* A file is read to its end, in as many pieces as it takes, unless it passes the limit. */
START_TEST(test_append_fd) {
        _cleanup_(buf_done) Buf buf = buf_make(10001), small = buf_make(9999);
        FILE *file = tmpfile();
        int fd;

        ck_assert_ptr_nonnull(file);
        fd = fileno(file);
        for (int i = 0; i < 1000; i++)
                ck_assert_int_eq(fprintf(file, "%09d\n", i), 10);
        ck_assert_int_eq(fflush(file), 0);

        ck_assert_int_eq(buf_append_string(&buf, "x"), 0);
        ck_assert_int_eq((int)lseek(fd, 0, SEEK_SET), 0);
        ck_assert_int_eq(buf_append_fd(&buf, fd), 0);
        ck_assert_uint_eq(buf.n_bytes, 10001);
        ck_assert_str_eq(buf.data + 9991, "000000999\n");

        ck_assert_int_eq((int)lseek(fd, 0, SEEK_SET), 0);
        ck_assert_int_eq(buf_append_fd(&small, fd), -ENOBUFS);
        ck_assert_int_eq(fclose(file), 0);
        ck_assert_int_eq(buf_append_fd(&buf, -1), -EBADF);
}
END_TEST

static int run_all(void *context) {
        _cleanup_(buf_done) Buf buf = buf_make(10000);
        int r;

        (void)context;
        r = buf_append_string(&buf, "abc");
        for (int i = 0; r == 0 && i < 100; i++) {
                r = buf_printf(&buf, "%08d", i);
                if (r < 0)
                        fault_assert(buf.n_bytes == 3 + 8 * (size_t)i);
        }
        return r;
}

/* Without memory, appending fails and the content stays. */
START_TEST(test_survives_oom) {
        ck_assert_uint_gt(fault_sweep(run_all, NULL), 2);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_append_keeps_order_and_nul,
                test_limit_is_exact,
                test_huge_length_is_refused,
                test_growth_keeps_content,
                test_take_string,
                test_append_fd,
                test_survives_oom,
        };

        return tests_run("buf", tests, ELEMENTSOF(tests));
}
