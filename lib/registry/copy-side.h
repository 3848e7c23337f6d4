/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One of the two stores of a copy (copy.c), and what is asked of it. Every request is waited for,
 * by running the loop, so these are for programs that do nothing else. Only lib/registry/copy*.c
 * include this.
 *
 * Unless it says otherwise a function returns 0, or a negative errno with a message that names the
 * store.
 */

#include "lib/base/buf.h"
#include "lib/base/diag.h"
#include "lib/registry/registry.h"

/* A store. */
typedef struct CopySide {
        Loop *loop;         /* borrowed */
        Store *store;       /* borrowed */
        const char *name;   /* borrowed; for people */
        Registry *registry; /* owned: what encodes its keys */
        Buf first, end;     /* all keys below the prefix */
        Buf closed;         /* the key that says that it is closed */
        char *why_closed;   /* owned: what that says, or NULL */
        int64_t closed_at;  /* revision of that; 0 = it is open */
} CopySide;

/* Takes what a range has brought, borrowed. Returns 0, or the negative errno to end with. */
typedef int (*CopyTakeFn)(void *userdata, const StoreReply *reply);

/* The bytes of a buffer, borrowed. */
static inline StoreBytes copy_bytes_of(const Buf *buf) {
        return (StoreBytes){ .data = buf->data, .n_bytes = buf->n_bytes };
}

/* Get ready for the records below `prefix`. Returns 0, or a negative errno without a message;
 * copy_side_done() is due in any case. */
int copy_side_init(CopySide *side, Loop *loop, Store *store, const char *name, const char *prefix);

/* Free what it holds. */
void copy_side_done(CopySide *side);

/* Read a range, again where the store cannot be reached. `*ret_more` (or NULL) tells whether the
 * limit cut it. */
int copy_side_range(CopySide *side, const StoreRange *range, CopyTakeFn take, void *userdata,
                    bool *ret_more, Diag *diag);

/* Is there a key in the range? */
int copy_side_has(CopySide *side, StoreBytes key, StoreBytes end, bool *ret_has, Diag *diag);

/* Make a transaction, again until it is known to have been made, or refused by its comparisons: it
 * must be one of which a second copy does no harm. */
int copy_side_write(CopySide *side, const StoreTxn *txn, bool *ret_is_made, Diag *diag);

/* Have a lease of this number with its full time, which an attempt before may have granted. */
int copy_side_grant(CopySide *side, int64_t lease, int64_t ttl_s, Diag *diag);

/* Read whether the store is closed, and why: sets `why_closed` and `closed_at`. */
int copy_side_look(CopySide *side, Diag *diag);

/* Close the store by a transaction that begins with the operation for that, whose value is filled
 * in here. Its comparisons must not hold a second time. -EAGAIN, without a message, when a
 * comparison did not hold. */
int copy_side_close(CopySide *side, StoreTxn *txn, StoreOp *ops, const char *why, Diag *diag);

/* Open a store that was closed as is known. That it is closed by the same commit no more is the end
 * that was wanted. */
int copy_side_open(CopySide *side, Diag *diag);

/* That the store is still closed by the commit that is known of, or still open. Borrowed from it. */
StoreCompare copy_still_closed(const CopySide *side);
