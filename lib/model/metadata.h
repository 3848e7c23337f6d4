/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Metadata of a machine: keys with values, sorted by key. The configured ones come with the
 * machine's record; those set over the API are merged over them, where an empty value hides the
 * configured key (contract section 4.8). */

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/diag.h"
#include "lib/unit/requirements.h"

/* One key with its value. Strings owned by the Metadata. */
typedef struct MetadataEntry {
        char *key;
        char *value; /* empty = a tombstone, only in what the API set */
} MetadataEntry;

/* A set of entries in byte order of the keys; zeroed is empty. */
typedef struct Metadata {
        MetadataEntry *entries; /* owned array, with room for the next power of two at or above
                                   n_entries */
        size_t n_entries;
} Metadata;

/* Free everything; empty afterwards. */
void metadata_done(Metadata *metadata);

/* Set a key, replacing an earlier value; copies. Returns 0 or -ENOMEM. */
int metadata_set(Metadata *metadata, const char *key, const char *value);

/* The value of a key, or NULL. Borrowed. */
const char *metadata_get(const Metadata *metadata, const char *key);

/* `ret_merged` = `base` with `over` laid over it; tombstones remove. Returns 0 or -ENOMEM. */
int metadata_merge(const Metadata *base, const Metadata *over, Metadata *ret_merged);

/* Copy. Returns 0 or -ENOMEM. */
int metadata_copy(const Metadata *metadata, Metadata *ret_copy);

/* Does a machine with this metadata satisfy MachineMetadata (contract section 5.2: same key = any,
 * different keys = all)? */
bool metadata_satisfies(const Metadata *metadata, const Requirements *requirements);

/* Parse the configuration's "k=v,k=v" (contract section 8): trimmed, pairs without '=' are an error
 * in `diag` (-EINVAL) that names the pair, later duplicates win, a value may contain '='. Returns
 * 0, -EINVAL or -ENOMEM. */
int metadata_parse(const char *text, Metadata *ret_metadata, Diag *diag);
