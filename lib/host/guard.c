/* SPDX-License-Identifier: Apache-2.0 */

/* The files of the guard. What fleet adds to a unit is in a drop-in, so the unit's own file stays
 * byte for byte what its author wrote. It also sets the time to stop where the author set none: how
 * long a stop may take must follow from what is known everywhere, not from the defaults of this
 * machine's systemd (lib/unit/exclusive.h). */

#include "lib/host/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/macro.h"
#include "lib/unit/exclusive.h"
#include "lib/unit/requirements.h"

static const char drop_in_name[] = "50-fleet-exclusive.conf";

/* Writes a file under another name and moves it there. */
static int write_whole(const char *path, const char *text, mode_t mode) {
        char temporary[PATH_MAX];
        size_t n_bytes = strlen(text);
        int n = snprintf(temporary, sizeof(temporary), "%s.new", path), fd, r = 0;
        ssize_t n_written;

        if (n < 0 || (size_t)n >= sizeof(temporary))
                return -ENAMETOOLONG;
        fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
        if (fd < 0)
                return -errno;

        n_written = write(fd, text, n_bytes);
        if (n_written < 0)
                r = -errno;
        else if ((size_t)n_written != n_bytes)
                r = -ENOSPC;
        (void)close(fd);
        if (r == 0 && rename(temporary, path) < 0)
                r = -errno;
        if (r < 0)
                (void)unlink(temporary);
        return r;
}

int guard_write(const char *path, uint64_t until_us) {
        char text[32];

        (void)snprintf(text, sizeof(text), "%" PRIu64 "\n", until_us);
        return write_whole(path, text, 0644);
}

int guard_read(const char *path, uint64_t *ret_until_us) {
        char text[32] = "", end;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n;

        if (fd < 0)
                return -errno;
        n = read(fd, text, sizeof(text) - 1);
        if (n < 0)
                n = -errno;
        (void)close(fd);
        if (n < 0)
                return (int)n;
        return sscanf(text, "%" SCNu64 "%c", ret_until_us, &end) == 2 && end == '\n' ? 0 : -EBADMSG;
}

static int is_exclusive(const UnitFile *file, const char *name, bool *ret_is_exclusive) {
        _cleanup_(requirements_freep) Requirements *requirements = NULL;
        int r;

        *ret_is_exclusive = false;
        if (!file)
                return 0;
        r = requirements_new(&requirements, file, name);
        if (r == 0)
                *ret_is_exclusive = requirements->exclusive;
        return r;
}

static int write_drop_in(const char *path, const UnitFile *file) {
        const char *section = exclusive_section_without_timeout(file);
        char text[512];
        int n = snprintf(text, sizeof(text),
                         "# Written by fleet: the unit is Exclusive (fleet.unit(5)).\n"
                         "[Unit]\nBindsTo=fleet-guard.service\nAfter=fleet-guard.service\n");

        if (section)
                (void)snprintf(text + n, sizeof(text) - (size_t)n, "\n[%s]\n%s=%d\n", section,
                               streq(section, "Service") ? "TimeoutStopSec" : "TimeoutSec",
                               EXCLUSIVE_STOP_DEFAULT_S);
        return write_whole(path, text, 0644);
}

int guard_bind(const char *link_directory, const char *name, const UnitFile *file) {
        char folder[PATH_MAX], path[PATH_MAX];
        bool is_bound;
        int n, r;

        r = is_exclusive(file, name, &is_bound);
        if (r < 0 || !link_directory)
                return r < 0 ? r : is_bound ? -ENOTDIR : 0;
        n = snprintf(folder, sizeof(folder), "%s/%s.d", link_directory, name);
        if (n < 0 || (size_t)n >= sizeof(folder))
                return -ENAMETOOLONG;
        n = snprintf(path, sizeof(path), "%s/%s", folder, drop_in_name);
        if (n < 0 || (size_t)n >= sizeof(path))
                return -ENAMETOOLONG;

        if (!is_bound) {
                if (access(path, F_OK) < 0)
                        return 0;
                if (unlink(path) < 0)
                        return -errno;
                /* It stays where somebody has drop-ins of his own in it. */
                (void)rmdir(folder);
                return 0;
        }
        if (mkdir(folder, 0755) < 0 && errno != EEXIST)
                return -errno;
        return write_drop_in(path, file);
}
