/* SPDX-License-Identifier: Apache-2.0 */

/* Writing without blocking through a descriptor that must not be made non-blocking: the flag would
 * hold for everybody who shares it, standard error and the shell among them. A socket can be told
 * with each send(2); a pipe or terminal is opened anew by way of /proc; a file does not block.
 */

#include "fleetd/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void output_end(Output *output) {
        loop_io_stop(&output->io);
        timer_clear(&output->patience);
        if (output->is_ours)
                (void)close(output->io.fd);
        buf_done(&output->text);
        *output = (Output){ 0 };
}

/* The descriptor to write to: `fd`, or one of our own. */
static int output_open(Output *output, int fd) {
        char path[64];
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;

        output->is_socket = S_ISSOCK(st.st_mode);
        if (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
                return fd;

        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;

        output->is_ours = true;
        return fd;
}

static ssize_t output_send(const Output *output, int fd) {
        const char *data = output->text.data + output->n_written;
        size_t n_bytes = output->text.n_bytes - output->n_written;

        return output->is_socket ? send(fd, data, n_bytes, MSG_DONTWAIT | MSG_NOSIGNAL)
                                 : write(fd, data, n_bytes);
}

/* Writes what goes. Returns 0 when all is written, -EAGAIN, or another negative errno. */
static int output_flush(Output *output, int fd) {
        while (output->n_written < output->text.n_bytes) {
                ssize_t n = output_send(output, fd);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                output->n_written += (size_t)n;
        }
        return 0;
}

static void on_writable(LoopIo *io, unsigned events) {
        Output *output = container_of(io, Output, io);
        int r = output_flush(output, io->fd);

        (void)events;
        if (r == -EAGAIN)
                timer_set_in(output->loop, &output->patience, OUTPUT_PATIENCE_US);
        else
                output_end(output);
}

static void on_patience(LoopTimer *timer) {
        output_end(container_of(timer, Output, patience));
}

int output_write(Output *output, Loop *loop, int fd, Buf *text) {
        int r;

        if (output->loop)
                return -EBUSY;

        *output = (Output){ .loop = loop,
                            .text = *text,
                            .io.fn = on_writable,
                            .io.fd = -1,
                            .patience.fn = on_patience };
        *text = buf_make(0);
        r = output_open(output, fd);
        if (r >= 0) {
                output->io.fd = fd = r;
                r = output_flush(output, fd);
        }
        if (r == -EAGAIN) {
                r = loop_io_watch(loop, &output->io, fd, LOOP_WRITE);
                if (r == 0) {
                        timer_set_in(loop, &output->patience, OUTPUT_PATIENCE_US);
                        return 0;
                }
        }

        output_end(output);
        return r < 0 ? r : 0;
}

bool output_is_busy(const Output *output) {
        return output->loop;
}

void output_done(Output *output) {
        if (output->loop)
                output_end(output);
}
