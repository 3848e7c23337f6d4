/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The care of a file of the built-in store, by hand and beside the daemon: is it sound, a copy of
 * it, and back to a copy. These block for as long as they take. `module` is that of
 * SqliteStoreOptions. Unless it says otherwise, a function returns 0, or a negative errno with a
 * message for a person (-ENOMEM without).
 */

#include "lib/base/diag.h"
#include "lib/store/sqlite-engine.h"

/* Look whether the file is sound, and tell what is not. Nothing is changed, and nobody is kept from
 * writing. Returns 1 when it is sound, 0 when it is not. */
int store_care_check(const char *module, const char *path, SqliteFindingFn fn, void *userdata,
                     SqliteSummary *ret_summary, Diag *diag);

/* Copy the file as of one moment, its history included, into `to`, which is a file of its own then:
 * it has no log beside it. The daemon may use the file all the while. The copy is checked before it
 * is put in place, in one step. `replaces`: take the place of what is there; else -EEXIST. */
int store_care_backup(const char *module, const char *path, const char *to, bool replaces,
                      SqliteSummary *ret_summary, Diag *diag);

/* Go back to the copy `from`, which is left as it is. -EBUSY: a daemon uses the file; with `waits`,
 * wait until it lets go. The file that was in use is kept aside. Revisions do not go back: the next
 * ones are above those of both, and history begins there, so that whoever followed the store
 * reads it anew. */
int store_care_restore(const char *module, const char *path, const char *from, bool waits,
                       SqliteRestored *ret_restored, Diag *diag);

/* Free the members. */
void sqlite_restored_done(SqliteRestored *restored);
