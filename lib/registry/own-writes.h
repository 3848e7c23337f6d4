/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Telling one's own changes from those of others, for a record's only writer that watches it: by
 * the revisions of its own commits. Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OWN_WRITES_MAX = 64 /* commits whose echo may still be on its way */ };

/* What was written lately; zeroed is nothing. */
typedef struct OwnWrites {
        int64_t revisions[OWN_WRITES_MAX]; /* of our commits, a ring */
        size_t n_written;                  /* so far */
        int64_t unclear; /* of a change that was told while a commit was in flight, and may be that
                            commit's; 0 = there is none */
} OwnWrites;

/* A change at `revision` was told, while a commit of ours was in flight or not. Returns whether it
 * is certain that somebody else made it. */
bool own_writes_told(OwnWrites *own, int64_t revision, bool is_writing);

/* A commit of ours has ended, at `revision`; 0 = it failed, or that is not known. Returns whether it
 * is certain now that a change which was told meanwhile is somebody else's. */
bool own_writes_ended(OwnWrites *own, int64_t revision);
