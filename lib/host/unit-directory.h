/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The folder of unit files that fleet keeps on a machine (contract section 7.2). File operations
 * are synchronous: the files are small, and the folder is in memory by default.
 */

#include <stdbool.h>
#include <stddef.h>

#include "lib/unit/unit-file.h"

/* The folder. */
typedef struct UnitDirectory {
        char *path; /* owned; ends with a slash */
} UnitDirectory;

/* Copy the path; nothing is touched. Returns 0, -ENOMEM, or -EINVAL for one that is not absolute.
 */
int unit_directory_init(UnitDirectory *directory, const char *path);

/* Free the memory. */
void unit_directory_done(UnitDirectory *directory);

/* Create the folder and its parents (mode 0755) where they are missing. Returns 0 or a negative
 * errno. */
int unit_directory_create(const UnitDirectory *directory);

/* Call `fn` for each regular file that is named as a unit, with the hash of its bytes (empty when
 * it cannot be read); what an interrupted unit_directory_write() left is removed. Returns 0, what
 * `fn` returned when that was not 0, or a negative errno. */
int unit_directory_scan(const UnitDirectory *directory,
                        int (*fn)(const char *name, const char hash[UNIT_HASH_BYTES],
                                  void *userdata),
                        void *userdata);

/* The content of a file, which the caller frees, NUL-terminated. Returns 0, -ENOENT, -EFBIG (over
 * UNIT_FILE_MAX_BYTES), or another negative errno. */
int unit_directory_read(const UnitDirectory *directory, const char *name, char **ret_text,
                        size_t *ret_n_bytes);

/* Put a file in place, atomically: readers see the old content or the new one, mode 0644. Creates
 * the folder when somebody removed it. Returns 0 or a negative errno, on which nothing has changed.
 */
int unit_directory_write(const UnitDirectory *directory, const char *name, const char *text,
                         size_t n_bytes);

/* Remove a file; one that is not there is fine. Returns 0 or a negative errno. */
int unit_directory_remove(const UnitDirectory *directory, const char *name);

/* Set or clear the mark "systemd may have loaded something else than what the files say"; it
 * outlives the daemon. Returns 0 or a negative errno. */
int unit_directory_set_stale(const UnitDirectory *directory, bool is_stale);

/* Is the mark set? */
bool unit_directory_is_stale(const UnitDirectory *directory);

/* Remove `<link_directory>/<name>` when it is a link to the folder's file of this name. */
void unit_directory_remove_link(const UnitDirectory *directory, const char *link_directory,
                                const char *name);
