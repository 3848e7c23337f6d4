/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The encoding of keys and values; private to lib/registry. */

#include "lib/base/buf.h"
#include "lib/registry/registry.h"

enum {
        REGISTRY_PREFIX_MAX_BYTES = 256, /* longest key prefix */
        REGISTRY_KEY_MAX_BYTES =
                1024,          /* longest key: prefix, two parts of at most 256 bytes, separators */
        REGISTRY_N_TOLD = 128, /* bad records remembered as told */
        REMOVED_SLOT_BYTES = 5,            /* a slot of removed/, with its NUL */
        REGISTRY_TOLD_US = 600 * US_PER_S, /* that many are told in so long at most */
};

struct Registry {
        Store *store; /* borrowed */
        Loop *loop;   /* borrowed */
        char *prefix; /* owned, ends in a slash */
        void (*on_bad)(const char *key, const char *why, void *userdata); /* or NULL */
        void *on_bad_userdata;
        uint64_t told[REGISTRY_N_TOLD];    /* digests of bad records that were told, a ring */
        uint64_t told_us[REGISTRY_N_TOLD]; /* when each was */
        size_t n_told;                     /* so far */
        List follows;                      /* RegistryFollow.node: those that are on */
        StoreListener connection;          /* of the store */
        LoopTimer refresh;                 /* set for a while after the store came back */
        bool was_connected;                /* ever */
        uint64_t call_timeout_us;          /* of ordinary reads and writes */
        uint64_t poll_us;                  /* followers list again so often; 0 = they watch */
        int64_t seen;                      /* the newest revision that the store has told */
        int64_t base;                      /* registry_base() */
};

/* The store has told this revision. */
static inline void registry_saw(Registry *registry, int64_t revision) {
        if (registry->seen < revision)
                registry->seen = revision;
}

/* Have every follower of the registry list again. */
void registry_restart_follows(Registry *registry);

/* The slot of removed/ that a unit's name shares with others. */
void removed_slot(const char *unit, char ret_slot[REMOVED_SLOT_BYTES]);

/* Is the key complete: does it name one record? */
bool record_key_is_complete(const RecordKey *key);

/* Append the encoded key; an incomplete one ends in a slash. Errors as buf_append(). */
int record_key_encode(const Registry *registry, const RecordKey *key, Buf *out);

/* Append the first key behind all those that begin with the encoded incomplete key `prefix`. Errors
 * as buf_append(). */
int record_key_end(const Buf *prefix, Buf *out);

/* A key as text without what a terminal could stumble over, which the caller frees; NULL = out of
 * memory. */
char *record_key_printable(const StoreBytes *key);

/* Decode a key and its value. The record borrows from `kv` and from `ret_strings`, which the caller
 * frees after record_done(). Returns 0, -ENOMEM, or -EBADMSG for a key that is none of ours
 * (already told as bad). */
int record_decode(Registry *registry, const StoreKv *kv, bool is_deleted, bool keys_only,
                  Record *ret_record, char **ret_strings);

/* Free what decoding a value allocated. */
void record_done(Record *record);

/* The REGISTRY_E_* of a STORE_E_*; negative errnos and 0 stay as they are. */
int registry_outcome(int store_status);
