/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetd/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/sim/virtual-env.h"
#include "tests/unit/fault.h"

/* A text that leaves through pipes, sockets and files without ever blocking. */

enum { LONG_BYTES = 1024 * 1024 };

typedef struct Fixture {
        VirtualEnv env;
        Loop *loop;
        Output output;
        int reader;
        int writer;
} Fixture;

static void set_up(Fixture *f, bool is_socket) {
        int fds[2];

        *f = (Fixture){ 0 };
        virtual_env_init(&f->env, 1);
        ck_assert_int_eq(loop_new(&f->loop, &f->env.env), 0);
        ck_assert_int_eq(is_socket ? socketpair(AF_UNIX, SOCK_STREAM, 0, fds) : pipe(fds), 0);
        f->reader = fds[0];
        f->writer = fds[1];
        ck_assert_int_eq(fcntl(f->reader, F_SETFL, O_NONBLOCK), 0);
}

static void tear_down(Fixture *f) {
        output_done(&f->output);
        (void)loop_free(f->loop);
        if (f->reader >= 0)
                (void)close(f->reader);
        (void)close(f->writer);
}

static int write_text(Fixture *f, size_t n_bytes) {
        Buf text = buf_make(2 * LONG_BYTES);
        int r;

        for (size_t i = 0; i < n_bytes; i += 16)
                ck_assert_int_eq(buf_append(&text, "0123456789abcde\n", 16), 0);
        r = output_write(&f->output, f->loop, f->writer, &text);
        buf_done(&text);
        return r;
}

/* Read what there is. */
static size_t drain(Fixture *f) {
        char bytes[65536];
        size_t n_bytes = 0;
        ssize_t n;

        while ((n = read(f->reader, bytes, sizeof(bytes))) > 0) {
                for (ssize_t i = 0; i < n; i++)
                        ck_assert_int_eq(bytes[i], "0123456789abcde\n"[(n_bytes + (size_t)i) % 16]);
                n_bytes += (size_t)n;
        }
        return n_bytes;
}

/* A slow reader gets all of it; the descriptor stays one that blocks. */
START_TEST(test_slow_reader) {
        for (int is_socket = 0; is_socket < 2; is_socket++) {
                size_t n_bytes = 0;
                Fixture f;

                set_up(&f, is_socket);
                ck_assert_int_eq(write_text(&f, LONG_BYTES), 0);
                ck_assert(output_is_busy(&f.output));
                ck_assert_int_eq(write_text(&f, 16), -EBUSY);
                for (int i = 0; i < 1000 && output_is_busy(&f.output); i++) {
                        n_bytes += drain(&f);
                        virtual_env_settle(&f.env, f.loop);
                }
                n_bytes += drain(&f);
                ck_assert_uint_eq(n_bytes, LONG_BYTES);
                ck_assert(!output_is_busy(&f.output));
                ck_assert_int_eq(fcntl(f.writer, F_GETFL) & O_NONBLOCK, 0);
                ck_assert_int_eq(write_text(&f, 16), 0);
                ck_assert(!output_is_busy(&f.output));
                ck_assert_uint_eq(drain(&f), 16);
                tear_down(&f);
        }
}
END_TEST

/* Where nobody reads, the rest is dropped after a while, and the next text may come. */
START_TEST(test_nobody_reads) {
        for (int is_socket = 0; is_socket < 2; is_socket++) {
                Fixture f;

                set_up(&f, is_socket);
                ck_assert_int_eq(write_text(&f, LONG_BYTES), 0);
                virtual_env_run_for(&f.env, f.loop, OUTPUT_PATIENCE_US - 1);
                ck_assert(output_is_busy(&f.output));
                virtual_env_run_for(&f.env, f.loop, 1);
                ck_assert(!output_is_busy(&f.output));
                tear_down(&f);
        }
}
END_TEST

/* A reader that goes while something is on its way, or has gone before. */
START_TEST(test_reader_goes) {
        for (int is_socket = 0; is_socket < 2; is_socket++) {
                Fixture f;

                set_up(&f, is_socket);
                ck_assert_int_eq(write_text(&f, LONG_BYTES), 0);
                (void)close(f.reader);
                f.reader = -1;
                virtual_env_settle(&f.env, f.loop);
                ck_assert(!output_is_busy(&f.output));
                ck_assert_int_lt(write_text(&f, 16), 0);
                ck_assert(!output_is_busy(&f.output));
                tear_down(&f);
        }
}
END_TEST

/* A file takes it at once, and no descriptor at all is an error. */
START_TEST(test_file_and_nothing) {
        FILE *file = tmpfile();
        Fixture f;
        int pipe_end;

        ck_assert_ptr_nonnull(file);
        set_up(&f, false);
        pipe_end = f.writer;
        f.writer = fileno(file);
        ck_assert_int_eq(write_text(&f, LONG_BYTES), 0);
        ck_assert(!output_is_busy(&f.output));
        ck_assert_int_eq(lseek(f.writer, 0, SEEK_END), LONG_BYTES);
        f.writer = -1;
        ck_assert_int_eq(write_text(&f, 16), -EBADF);
        f.writer = pipe_end;
        tear_down(&f);
        (void)fclose(file);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_slow_reader, test_nobody_reads, test_reader_goes,
                                       test_file_and_nothing };

        return tests_run("output", tests, ELEMENTSOF(tests));
}
