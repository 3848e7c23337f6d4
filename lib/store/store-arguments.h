/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a request asks for, kept while it waits: a store of our own carries it out in a later turn
 * of the loop. Only the backends in lib/store include this. */

#include "lib/store/store.h"

/* The copy; zeroed is none. */
typedef struct StoreArguments {
        StoreKind kind;
        StoreRange range; /* borrows from `bytes` */
        StoreTxn txn;     /* borrows from `bytes` */
        int64_t number;   /* the lease, or the TTL of one to grant */
        int64_t lease;    /* of one to grant: its number; 0 = whichever */
        void *bytes;      /* owned */
        size_t n_bytes;   /* of it */
} StoreArguments;

/* Copy what a range or a transaction names. Return 0 or -ENOMEM. */
int store_arguments_copy_range(StoreArguments *arguments, const StoreRange *range);
int store_arguments_copy_txn(StoreArguments *arguments, const StoreTxn *txn);

/* Free the copy. */
void store_arguments_done(StoreArguments *arguments);

/* Do they change nothing, by their kind? */
bool store_arguments_only_read(const StoreArguments *arguments);

/* Do they ask for space that a full store does not have: a new lease, or a transaction that puts?
 */
bool store_arguments_take_space(const StoreArguments *arguments);
