/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The host over systemd, by sd-bus, all asynchronous (org.freedesktop.systemd1(5)). */

#include "lib/host/host.h"

/* How to reach systemd. Everything is copied. */
typedef struct HostSystemdOptions {
        const char *units_directory; /* of unit files, "/run/fleet/units/" (contract section 7.2) */
        bool use_user_manager;       /* the user's service manager (systemd_user) */
        const char *guard_path; /* of the file that the guard looks at (lib/host/guard.h), or NULL
                                        for none: then no Exclusive unit can run */
        int bus_fd;             /* for tests: a socket to a service manager, taken; or -1 */
} HostSystemdOptions;

/* Make the host. Returns 0 or -ENOMEM, -EINVAL. */
int host_systemd_new(Host **ret_host, Loop *loop, const HostSystemdOptions *options);
