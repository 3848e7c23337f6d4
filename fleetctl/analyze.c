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
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/macro.h"

static void closep(int *fd) {
        if (*fd >= 0)
                (void)close(*fd);
}

/* Start it with both its outputs at `out`. */
static int start(char *const *argv, int out, pid_t *ret_pid) {
        posix_spawn_file_actions_t actions;
        int r;

        r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return -r;

        r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
        if (r == 0)
                r = posix_spawnp(ret_pid, argv[0], &actions, NULL, argv, environ);
        (void)posix_spawn_file_actions_destroy(&actions);
        return -r;
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

static int wait_for_end(pid_t pid, int *ret_status) {
        while (waitpid(pid, ret_status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        return 0;
}

/* Run a program. Returns 0 with its wait status, or a negative errno. */
static int run(char *const *argv, Buf *ret_text, int *ret_status) {
        _cleanup_(closep) int reader = -1;
        int pipe_fds[2], r, end;
        pid_t pid;

        if (pipe2(pipe_fds, O_CLOEXEC) < 0)
                return -errno;
        reader = pipe_fds[0];

        r = start(argv, pipe_fds[1], &pid);
        (void)close(pipe_fds[1]);
        if (r < 0)
                return r;

        r = read_output(reader, ret_text);
        end = wait_for_end(pid, ret_status);
        return r < 0 ? r : end;
}

static int analyze(char *const *argv, Buf *ret_text, Diag *diag) {
        int status, r;

        r = run(argv, ret_text, &status);
        if (r == -ENOENT)
                return ANALYZE_E_ABSENT;
        if (r < 0)
                return diag_set(diag, r, "cannot run %s: %s", argv[0], strerror(-r));
        return ret_text->n_bytes > 0 || status != 0 ? ANALYZE_E_FINDINGS : 0;
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
