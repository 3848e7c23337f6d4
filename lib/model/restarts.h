/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Restarts of a unit on single machines: for each machine the generation of the last restart that
 * was asked for there (docs/records.md). Whoever restarts a unit machine by machine waits for each
 * before asking for the next, so only the newest few are of use: the list is short. */

#include <stddef.h>
#include <stdint.h>

enum { RESTARTS_MAX = 64 }; /* machines of one list; beyond, the smallest generation goes */

/* A restart on one machine. */
typedef struct Restart {
        char *machine; /* owned: its ID */
        uint64_t generation;
} Restart;

/* The list, in byte order of the machines; zeroed is empty. */
typedef struct Restarts {
        Restart *entries; /* owned array */
        size_t n_entries; /* how many, RESTARTS_MAX at most */
} Restarts;

/* Free everything; empty afterwards. */
void restarts_done(Restarts *restarts);

/* A restart with this generation was asked for on the machine. When the list is full, the entry
 * with the smallest generation gives way, which may be this one. Returns 0 or -ENOMEM. */
int restarts_set(Restarts *restarts, const char *machine, uint64_t generation);

/* The generation of the last restart on the machine, 0 when there is none. */
uint64_t restarts_get(const Restarts *restarts, const char *machine);

/* Copy. Returns 0 or -ENOMEM. */
int restarts_copy(const Restarts *restarts, Restarts *ret_copy);
