/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The guard of Exclusive units, which stops them when the daemon does not renew their time, whatever
 * keeps it from that: a service of its own (fleet-guard.service) that ends then, and to which each
 * Exclusive unit is bound (BindsTo=), so that the service manager stops it at once and starts none
 * any more. The daemon and the guard share one file with the time.
 */

#include <stdint.h>

#include "lib/unit/unit-file.h"

/* Exclusive units may run until then (CLOCK_BOOTTIME, microseconds). Readers see the old time or the
 * new one. Returns 0 or a negative errno, on which the old one stands. */
int guard_write(const char *path, uint64_t until_us);

/* Read it. Returns 0, or a negative errno: -ENOENT when it was never written since the boot. */
int guard_read(const char *path, uint64_t *ret_until_us);

/* Bind a unit with this content to the guard if it is Exclusive, and others not: write or remove
 * `<link_directory>/<name>.d/` with what fleet adds to the unit (systemd.unit(5), drop-ins). Takes a
 * NULL file: no such unit. Returns 0 or a negative errno; -ENOTDIR without a `link_directory` to bind
 * an Exclusive unit in. */
int guard_bind(const char *link_directory, const char *name, const UnitFile *file);
