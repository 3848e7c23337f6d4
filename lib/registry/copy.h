/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Copying a cluster's records from one store to another, for a command: it has a loop of its own,
 * and waits for what it asks for. docs/records.md says which records are copied, and what a store
 * that is closed is.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/diag.h"
#include "lib/loop/loop.h"
#include "lib/store/store.h"

enum {
        /* The outcome of a copy that is whole, but not of what the source has now. */
        REGISTRY_COPY_E_CHANGED = 1,

        /* The leases that are taken along are for this time: in which the daemons have to come. */
        REGISTRY_COPY_LEASE_S = 300,
};

/* What to copy, and how. Strings borrowed; the names of the stores are for people. */
typedef struct RegistryCopyOptions {
        const char *prefix;    /* of the keys, in both */
        const char *from_name; /* where the records are */
        const char *to_name;   /* where they are to be */
        const char *copier; /* who copies, so that a copy that broke off can be told from another */
        bool moves;    /* the daemons are to go over: the source is closed, and the machines' leases
                          are taken along with what hangs on them */
        bool replaces; /* what the target has is removed first, and what a copy that broke off has
                          left in either store is no obstacle */
} RegistryCopyOptions;

/* What was copied. */
typedef struct RegistryCopyReport {
        int64_t revision;  /* of the source: the records are as they were then */
        size_t n_records;  /* that last */
        size_t n_machines; /* that were taken along, and what they report of units */
        size_t n_states;
} RegistryCopyReport;

/* Copy. The target is closed meanwhile, so that no daemon takes a part for the whole; it is counted
 * and opened in the end, and stays closed when that does not come. A source that was closed for a
 * copy which fails is opened again. Returns 0; REGISTRY_COPY_E_CHANGED with a message, when the
 * source, which was not closed, has changed meanwhile; or a negative errno with a message:
 *
 *   -EEXIST   the target is not empty
 *   -EBUSY    machines are members of the target, or one of the stores is closed */
int registry_copy(Loop *loop, Store *from, Store *to, const RegistryCopyOptions *options,
                  RegistryCopyReport *ret_report, Diag *diag);

/* Open a store that is closed, whatever for. Returns 0, -ENOENT when it is open, or another negative
 * errno, with a message each. */
int registry_open_store(Loop *loop, Store *store, const char *prefix, const char *name, Diag *diag);
