/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What Exclusive=true asks of a unit file: systemd must be able to end all of the unit, and within
 * a time that the file alone tells, since another machine waits for so long after this one is lost
 * before it starts the unit. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/diag.h"
#include "lib/unit/unit-file.h"

enum {
        EXCLUSIVE_STOP_MAX_S = 24 * 3600, /* longest time to stop that is accepted */

        /* systemd's default for the times to stop (systemd-system.conf(5), DefaultTimeoutStopSec=).
           Where the file says nothing, the host sets it for Exclusive units, so that a machine with
           another default is held to it, too. */
        EXCLUSIVE_STOP_DEFAULT_S = 90,
};

/* The section of the file whose time to stop is not set there, so that systemd's default would
 * count: "Service", "Socket", or NULL. Static. */
const char *exclusive_section_without_timeout(const UnitFile *file);

/* How long systemd may take to stop a unit with this file, in seconds, rounded up, at least 1. By
 * systemd.service(5), TimeoutStopSec= is what each ExecStop= command may take, what then the unit's
 * processes may take after SIGTERM, and after SIGKILL, what each ExecStopPost= command may take,
 * and what the processes that are left may take after the signals that follow. A SIGABRT in between
 * (TimeoutStopFailureMode=, WatchdogSec=) has TimeoutAbortSec=. Sockets likewise (systemd.socket(5)).
 * Returns 0, or -EINVAL with the reason why there is no such time, or none that would do. */
int exclusive_stop_time(const UnitFile *file, uint32_t *ret_s, Diag *diag);

/* Read a time span (systemd.time(7)); "infinity" and what is too long to tell are UINT64_MAX.
 * Returns 0 or -EINVAL. */
int timespan_parse(const char *text, uint64_t *ret_us);
