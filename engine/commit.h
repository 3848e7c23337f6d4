/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* From what is wanted to transactions: the differences between the view and the store. */

#include <stddef.h>

#include "engine/cluster.h"
#include "lib/registry/write.h"

/* What went into a transaction. */
typedef struct CommitCounts {
        size_t n_rows_put;
        size_t n_rows_deleted;
        size_t n_placements;
        size_t n_explained; /* of the placements, those that say why the unit fits nowhere */
} CommitCounts;

/* Fill a transaction, begun and fenced by the caller, with as many differences as it can hold; a
 * unit's row and its placement go together. The view takes them as stored, so a transaction that is
 * not committed well means that the view must be built anew. Returns 0 or -ENOMEM. */
int commit_fill(Cluster *cluster, RegistryWrite *write, CommitCounts *ret_counts);
