/* SPDX-License-Identifier: Apache-2.0 */

/* The runtime directory holds the number of the lease that this machine's records hang on. A daemon
 * that restarts goes on with it, so that the others see nothing. A second daemon beside a running
 * one would do the same, and both would act for one machine: hence the lock, which the kernel drops
 * with the process that has it.
 */

#include "fleetd/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/macro.h"

static int path_join(const char *directory, const char *name, char **ret_path) {
        return asprintf(ret_path, "%s/%s", directory, name) < 0 ? -ENOMEM : 0;
}

static int lock(const char *directory, Diag *diag) {
        _cleanup_(freep) char *path = NULL;
        int fd, r;

        r = path_join(directory, "lock", &path);
        if (r < 0)
                return r;

        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return diag_set(diag, -errno, "cannot write %s: %s", path, strerror(errno));
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                r = -errno;
                (void)close(fd);
                return diag_set(diag, r,
                                r == -EWOULDBLOCK
                                        ? "another fleetd runs on this machine: it holds %s"
                                        : "cannot lock %s",
                                path);
        }
        return fd;
}

int runtime_open(Runtime *ret_runtime, const char *path, Diag *diag) {
        _cleanup_(freep) char *directory = NULL, *lease_path = NULL, *guard_path = NULL;
        int fd, r;

        path = path && *path ? path : "/run/fleet";
        directory = strndup(path, strcspn(path, ":"));
        if (!directory)
                return -ENOMEM;
        if (mkdir(directory, 0755) < 0 && errno != EEXIST)
                return diag_set(diag, -errno, "cannot make the runtime directory %s: %s", directory,
                                strerror(errno));

        r = path_join(directory, "lease", &lease_path);
        if (r == 0)
                r = path_join(directory, "guard", &guard_path);
        if (r < 0)
                return r;
        fd = lock(directory, diag);
        if (fd < 0)
                return fd;

        *ret_runtime = (Runtime){ .lease_path = TAKE(lease_path),
                                  .guard_path = TAKE(guard_path),
                                  .lock_fd = fd };
        return 0;
}

void runtime_done(Runtime *runtime) {
        if (runtime->lock_fd >= 0)
                (void)close(runtime->lock_fd);
        free(runtime->lease_path);
        free(runtime->guard_path);
        *runtime = (Runtime){ .lock_fd = -1 };
}
