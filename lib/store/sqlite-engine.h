/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What store-sqlite*.c need of SQLite. The engine (sqlite-*.c) is a module of its own, loaded where
 * the built-in store is used, so that a daemon on etcd does not carry libsqlite3. It reads and
 * writes the file, by the rules of store-rules.h; of the loop, of time, requests and watches it
 * knows nothing.
 *
 * Unless it says otherwise, a function returns 0; a STORE_E_* that concerns this call alone; or a
 * negative errno that concerns the file, with a message for a person that names the file:
 *
 *   -EAGAIN   another process uses the file just now: try again soon
 *   -ENOSPC   the disk is full: what was to be written was not; reading goes on
 *   -EROFS    it cannot be written (read-only, no permission)
 *   -EUCLEAN  it is corrupt
 *   -EIO      the disk failed, or whatever else
 *   -ENOMEM   without a message
 *
 * After a negative errno the transaction has to be rolled back.
 */

#include "lib/base/diag.h"
#include "lib/base/module.h"
#include "lib/store/sqlite-rows.h"
#include "lib/store/store-command.h"
#include "lib/store/store.h"

/* The symbol of the module that holds its SqliteEngine. */
#define SQLITE_ENGINE_SYMBOL "fleet_sqlite_engine"

/* An open file. */
typedef struct SqliteFile SqliteFile;

/* A lease that the file has. */
typedef struct SqliteFileLease {
        int64_t id;
        int64_t ttl_s;
        int64_t left_us; /* what was left when the file was closed; -1 = that is not known */
} SqliteFileLease;

/* What is in a file. */
typedef struct SqliteSummary {
        int64_t revision;
        int64_t compacted; /* history below it is gone */
        int64_t n_keys;
        int64_t n_leased; /* of them, those that hang on a lease */
        int64_t n_leases;
        int64_t n_changes; /* in history, the last ones of keys included */
        int64_t n_bytes;   /* in use */
} SqliteSummary;

/* Tells something that is wrong with a file, in words for a person. */
typedef void (*SqliteFindingFn)(const char *what, void *userdata);

/* How a file was put back. */
typedef struct SqliteRestored {
        char *aside;           /* owned: where the file is that was in use; NULL = there was none */
        int64_t revision;      /* that the store goes on from */
        int64_t from_revision; /* of the copy */
        bool is_guess;         /* how far the store had come was not to be read */
} SqliteRestored;

/* Changes to look for. */
typedef struct SqliteWindow {
        StoreBytes key; /* the range */
        StoreBytes end;
        int64_t from;           /* first revision */
        unsigned max_revisions; /* after so many revisions, or bytes, no other one begins */
        size_t max_bytes;
        bool keys_only; /* values come empty */
} SqliteWindow;

/* The operations. */
typedef struct SqliteEngine {
        ModuleHead head; /* first: see module_load() */

        /* Open the file, and make it with its directory if there is none. It is locked for as long
         * as it is open: another process that wants to open it gets -EBUSY. A corrupt file is moved
         * aside and nothing takes its place (-EUCLEAN): that is for a person to decide, and until
         * then every attempt ends so. -EPROTO: it is of a newer version or of another program, and
         * was left as it is. */
        int (*open)(SqliteFile **ret_file, const char *path, Diag *diag);

        /* Close it; a transaction that is under way is rolled back. */
        void (*close)(SqliteFile *file);

        /* The revision of the last commit, those of the transaction under way included; and the
         * one below which history is gone. */
        int64_t (*revision)(const SqliteFile *file);
        int64_t (*compacted)(const SqliteFile *file);

        /* The number by which the file is told from others: `drawn` becomes it if it has none. */
        int (*identify)(SqliteFile *file, int64_t drawn, int64_t *ret_identity, Diag *diag);

        /* How many bytes the file has, and how many of them are in use. Cannot fail. */
        void (*size)(SqliteFile *file, int64_t *ret_bytes, int64_t *ret_used_bytes);

        /* Begin a transaction of the file, with the right to write or without; end it: what commit
         * returns 0 for is on the disk. Without a transaction a reading call is one of its own. */
        int (*begin)(SqliteFile *file, bool is_writing, Diag *diag);
        int (*commit)(SqliteFile *file, Diag *diag);
        void (*rollback)(SqliteFile *file);

        /* Carry out a command that store_command_check() found to be one, in a revision of its own
         * if it changes something; a STORE_E_* changes nothing. The answer, which begins zeroed, is
         * the caller's to free, whatever this returns. */
        int (*command)(SqliteFile *file, const StoreCommand *command, StoreAnswer *ret_answer,
                       Diag *diag);

        /* Add a lease whose id is not there; end one with its keys, in one revision if it has some.
         */
        int (*lease_add)(SqliteFile *file, int64_t id, int64_t ttl_s, Diag *diag);
        int (*lease_end)(SqliteFile *file, int64_t id, Diag *diag);

        /* Read the keys of a lease, without values; the rows are the caller's to free. */
        int (*lease_keys)(SqliteFile *file, int64_t id, SqliteRows *ret_rows, Diag *diag);

        /* Write down how much time a lease has left; -1 = it is not known. */
        int (*lease_keep)(SqliteFile *file, int64_t id, int64_t left_us, Diag *diag);

        /* Tell all leases; `fn` returns 0 to go on, or what the call is to return. */
        int (*leases)(SqliteFile *file, int (*fn)(const SqliteFileLease *lease, void *userdata),
                      void *userdata, Diag *diag);

        /* Read changes in order of their revision, whole revisions only; a deletion is a row
         * without create revision. `*ret_next` is the first revision that was not looked at. The
         * rows are the caller's to free. */
        int (*changes)(SqliteFile *file, const SqliteWindow *window, SqliteRows *ret_rows,
                       int64_t *ret_next, Diag *diag);

        /* Read what a key was before the change that `kv` tells of; no row where it was not, or where
         * that is compacted away. The rows are the caller's to free. */
        int (*previous)(SqliteFile *file, const StoreKv *kv, SqliteRows *ret_rows, Diag *diag);

        /* Forget history below `revision`, which is at most the current one, or a part of it: so
         * much as takes a few milliseconds. `compacted` tells how far it came. */
        int (*compact)(SqliteFile *file, int64_t revision, Diag *diag);

        /* Of a file that somebody else may have open (see store-care.h). Check one: returns 1 when
         * it is sound, 0 when not. Copy one, as of one moment, into `to`, an empty file. Put a copy
         * that is sound into the place of a file. */
        int (*check)(const char *path, SqliteFindingFn fn, void *userdata,
                     SqliteSummary *ret_summary, Diag *diag);
        int (*copy)(const char *path, const char *to, Diag *diag);
        int (*restore)(const char *path, const char *from, bool waits, SqliteRestored *ret_restored,
                       Diag *diag);
} SqliteEngine;
