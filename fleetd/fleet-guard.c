/* SPDX-License-Identifier: Apache-2.0 */

/* fleet-guard FILE: run while FILE holds a time to come, and end when it has passed.
 *
 * The Exclusive units of this machine are bound to this service (lib/host/guard.h): when it ends,
 * for whatever reason, systemd stops them, and while it does not start they do not either. fleetd
 * writes the time anew with each renewal of the machine's lease; this looks only when the time that
 * it knows has passed, so it wakes up about once per lease. It needs nothing of fleetd, of etcd, of
 * the message bus or of a disk: what it runs on is locked in memory.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/env.h"
#include "lib/host/guard.h"

/* Tell the service manager, as sd_notify(3) does; without that library, which is larger than all of
 * this. */
static void tell_ready(void) {
        static const char ready[] = "READY=1";
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        const char *path = getenv("NOTIFY_SOCKET");
        size_t n_path = path ? strlen(path) : 0;
        int fd;

        if (n_path == 0 || n_path >= sizeof(address.sun_path))
                return;
        memcpy(address.sun_path, path, n_path);
        if (path[0] == '@')
                address.sun_path[0] = '\0';

        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return;
        (void)sendto(fd, ready, sizeof(ready) - 1, 0, (const struct sockaddr *)&address,
                     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n_path));
        (void)close(fd);
}

/* Returns early when a signal comes. The clock goes on while the machine is suspended. */
static void sleep_until(uint64_t us) {
        const struct timespec when = { .tv_sec = (time_t)(us / US_PER_S),
                                       .tv_nsec = (long)(us % US_PER_S) * 1000 };

        (void)clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &when, NULL);
}

int main(int argc, char *argv[]) {
        uint64_t until_us = 0;
        int r;

        if (argc != 2) {
                (void)fprintf(stderr, "usage: %s FILE\n", argv[0]);
                return EXIT_FAILURE;
        }

        r = guard_read(argv[1], &until_us);
        if (r < 0 || env_now_us(env_system()) >= until_us) {
                (void)fprintf(stderr,
                              "Exclusive units cannot run here: this machine is not, or not for "
                              "sure, a member of the cluster%s%s\n",
                              r < 0 ? ": " : "", r < 0 ? strerror(-r) : "");
                return EXIT_FAILURE;
        }

        tell_ready();
        (void)mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
        while (env_now_us(env_system()) < until_us) {
                sleep_until(until_us);
                if (guard_read(argv[1], &until_us) < 0)
                        break;
        }

        (void)fprintf(stderr,
                      "fleetd has not renewed the time of this machine: its Exclusive units "
                      "are stopped, since others may start them soon\n");
        return EXIT_FAILURE;
}
