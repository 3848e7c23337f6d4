/* SPDX-License-Identifier: Apache-2.0 */

/* Watching a folder. One descriptor per watch, so that whatever it tells is about this folder; what
 * is told after the folder was removed, or could not be told one by one, is "everything". */

#include "lib/host/directory-watch.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/* What changes a file's content or whether it is there; and the end of the folder. */
static const uint32_t events_mask = IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM |
                                    IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

enum { READ_BYTES = 4096 };

/* Tells one event. Returns whether the watch is still on. */
static bool watch_tell(DirectoryWatch *watch, const struct inotify_event *event) {
        if (event->len > 0)
                watch->fn(watch, event->name);
        else
                watch->fn(watch, NULL);
        return watch->is_on;
}

static void on_readable(LoopIo *io, unsigned events) {
        DirectoryWatch *watch = container_of(io, DirectoryWatch, io);
        _Alignas(struct inotify_event) char bytes[READ_BYTES];
        int fd = watch->fd;
        ssize_t n;

        (void)events;
        n = read(fd, bytes, sizeof(bytes));
        for (ssize_t at = 0; n > 0 && at < n;) {
                const struct inotify_event *event = (const struct inotify_event *)(bytes + at);

                /* One that was begun anew meanwhile has a descriptor of its own. */
                if (!watch_tell(watch, event) || watch->fd != fd)
                        return;
                at += (ssize_t)(sizeof(*event) + event->len);
        }
}

int directory_watch_start(DirectoryWatch *watch, Loop *loop, const char *path,
                          DirectoryWatchFn fn) {
        /* Before the old one is closed, so that it does not get the same number. */
        int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), r = fd < 0 ? -errno : 0;

        directory_watch_stop(watch);
        if (r < 0)
                return r;

        watch->fd = fd;
        watch->fn = fn;
        watch->io.fn = on_readable;
        watch->is_on = true;
        if (inotify_add_watch(watch->fd, path, events_mask) < 0)
                r = -errno;
        if (r == 0)
                r = loop_io_watch(loop, &watch->io, watch->fd, LOOP_READ);
        if (r < 0)
                directory_watch_stop(watch);
        return r;
}

void directory_watch_stop(DirectoryWatch *watch) {
        if (!watch->is_on)
                return;

        loop_io_stop(&watch->io);
        (void)close(watch->fd);
        watch->is_on = false;
}
