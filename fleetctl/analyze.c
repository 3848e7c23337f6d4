/* SPDX-License-Identifier: Apache-2.0 */

/* systemd-analyze reads the file as systemd will, in a folder where units beside it are found, and
 * ignores sections that begin with "X-" as systemd does. Whatever it says counts: it ends well
 * where systemd would go on without the option that it complains of.
 *
 * Versions before 250 do not know how to leave out the faults of other units, and are asked again
 * without that.
 */

#include "fleetctl/analyze.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fleetctl/child.h"
#include "lib/base/macro.h"

static void closep(int *fd) {
        if (*fd >= 0)
                (void)close(*fd);
}

/* Read to the end. What is more than the buffer holds is read and dropped. */
static int read_output(int fd, Buf *text) {
        char chunk[4096];
        ssize_t n;

        while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (buf_append(text, chunk, (size_t)n) == -ENOMEM)
                        return -ENOMEM;
        }
        return 0;
}

/* Run a program with nothing to read. Returns its code as ChildWait has it, or a negative errno. */
static int run(char *const *argv, Buf *ret_text, Diag *diag) {
        _cleanup_(closep) int reader = -1, nothing = -1;
        int pipe_fds[2], r;
        ChildWait wait = { 0 };
        ChildSpec spec = { .argv = argv };

        nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (nothing < 0 || pipe2(pipe_fds, O_CLOEXEC) < 0)
                return diag_set(diag, -errno, "cannot run %s: %s", argv[0], strerror(errno));
        reader = pipe_fds[0];

        spec.stdin_fd = nothing;
        spec.stdout_fd = spec.stderr_fd = pipe_fds[1];
        r = child_start(&spec, &wait.pid, diag);
        (void)close(pipe_fds[1]);
        if (r < 0)
                return r;

        r = read_output(reader, ret_text);
        if (r == 0)
                r = child_wait(&wait);
        if (r < 0)
                return diag_set(diag, r, "cannot hear %s out: %s", argv[0], strerror(-r));
        return wait.code;
}

static int analyze(char *const *argv, Buf *ret_text, Diag *diag) {
        int r = run(argv, ret_text, diag);

        if (r < 0)
                return r == -ENOENT ? ANALYZE_E_ABSENT : r;
        return ret_text->n_bytes > 0 || r > 0 ? ANALYZE_E_FINDINGS : 0;
}

int analyze_unit(const char *path, Buf *ret_text, Diag *diag) {
        char *const only_this[] = { (char *)"systemd-analyze",
                                    (char *)"verify",
                                    (char *)"--man=no",
                                    (char *)"--recursive-errors=no",
                                    (char *)"--",
                                    (char *)path,
                                    NULL };
        char *const old[] = { (char *)"systemd-analyze",
                              (char *)"verify",
                              (char *)"--man=no",
                              (char *)"--",
                              (char *)path,
                              NULL };
        int r;

        r = analyze(only_this, ret_text, diag);
        if (r == ANALYZE_E_FINDINGS && ret_text->n_bytes > 0 &&
            strstr(ret_text->data, "--recursive-errors")) {
                buf_clear(ret_text);
                r = analyze(old, ret_text, diag);
        }
        return r;
}
