/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The built-in store: etcd's semantics over a SQLite file on this machine's disk. What it has
 * answered is on the disk. Everything that is asked for in one turn of the loop is carried out in
 * one transaction of the file, with one fsync, which the loop waits for (docs/design-notes.md).
 *
 * Several clients can share one SqliteStore, as several daemons share one etcd. SQLite itself is
 * loaded with the first SqliteStore.
 */

#include "lib/base/diag.h"
#include "lib/store/store.h"

typedef struct SqliteStore SqliteStore;

/* Where it is, and what it keeps. Everything is copied. */
typedef struct SqliteStoreOptions {
        const char *path;   /* of the file; it is made, and its directory, when there is none */
        const char *module; /* NULL = the one that was installed */

        /* History is kept for this time at least, and for twice as long at most, but of no more
         * revisions than this; 0 = as is usual. */
        uint64_t history_us;
        int64_t history_revisions;
} SqliteStoreOptions;

/* Make a store. It opens the file from the loop, and again and again for as long as that does not
 * work; its clients are told why. Returns 0 or -ENOMEM. */
int sqlite_store_new(SqliteStore **ret_sqlite, Loop *loop, const SqliteStoreOptions *options);

/* Close the file in good order, and free the store; all its clients must have been freed. Takes
 * NULL; returns NULL. */
SqliteStore *sqlite_store_free(SqliteStore *sqlite);
DEFINE_CLEANUP(SqliteStore, sqlite_store_free)

/* A client of it. Returns 0 or -ENOMEM. */
int store_sqlite_new(Store **ret_store, SqliteStore *sqlite);

/* Look into a file that nobody uses: does it have keys that hang on no lease, which says more than
 * who is there now? Returns 0, or a negative errno with a message, as opening it does. */
int sqlite_store_has_lasting(const SqliteStoreOptions *options, bool *ret_has, Diag *diag);

/* Forget history below `revision`, not beyond the current one, in steps of some milliseconds that go
 * along with what else is carried out. */
void sqlite_store_compact(SqliteStore *sqlite, int64_t revision);
