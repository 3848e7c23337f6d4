/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What happens to the files of a folder, as the kernel tells it (inotify(7)). Own changes are told
 * like everybody else's. */

#include "lib/loop/loop.h"

typedef struct DirectoryWatch DirectoryWatch;

/* Told from the loop: the file `name`, borrowed, has come, gone or got other content; NULL = look at
 * everything, for the folder itself has gone, or more happened than could be told. */
typedef void (*DirectoryWatchFn)(DirectoryWatch *watch, const char *name);

/* The watch; embed it, zero it before the first use. */
struct DirectoryWatch {
        LoopIo io;
        DirectoryWatchFn fn;
        int fd; /* owned, while it is on */
        bool is_on;
};

/* Watch the folder at `path`, which must be there; again, if it was on. Returns 0 or a negative
 * errno, on which nothing is watched. */
int directory_watch_start(DirectoryWatch *watch, Loop *loop, const char *path, DirectoryWatchFn fn);

/* Watch no more. Does nothing when it is off. */
void directory_watch_stop(DirectoryWatch *watch);
