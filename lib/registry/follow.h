/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Following records: list, then watch, and list again when the store has forgotten the place. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/registry/registry.h"
#include "lib/store/store-watch.h"

typedef struct RegistryFollow RegistryFollow;

/* How a follower is told. */
typedef struct RegistryFollowFns {
        /* A (new) list begins: what is not told by a record before on_synced() is gone. May be
         * NULL. */
        void (*on_reset)(RegistryFollow *follow);
        /* A record is there, changed or went. */
        void (*on_record)(RegistryFollow *follow, const Record *record);
        /* The list is complete as of `revision`; from here on every change comes, in order. */
        void (*on_synced)(RegistryFollow *follow, int64_t revision);
        /* The store is at `revision` and was at `seen`, as it told this registry itself: it was
           emptied, or put back to an earlier time. Nothing of it is told; it is looked at again
           until it has caught up. Told each time. May be NULL. */
        void (*on_set_back)(RegistryFollow *follow, int64_t revision, int64_t seen);
        /* The commit `revision` changed records of a key that is only noticed. The follower must
           not be stopped from here. May be NULL where there is no such key. */
        void (*on_noticed)(RegistryFollow *follow, int64_t revision);
} RegistryFollowFns;

enum { REGISTRY_FOLLOW_MAX = 10 /* keys of one follower */ };

/* One of the keys that a follower follows; private to the registry. */
typedef struct RegistryFollowPart {
        RegistryFollow *follow; /* back pointer */
        Buf key;                /* encoded first key */
        Buf end;                /* encoded end, empty for a single key */
        StoreWatch watch;
        bool is_list_only;
        bool is_noticed;
} RegistryFollowPart;

/* A follower; embed it, zero it before the first use. The members are the registry's. */
struct RegistryFollow {
        Registry *registry;           /* borrowed; NULL while off */
        const RegistryFollowFns *fns; /* static */
        RegistryFollowPart parts[REGISTRY_FOLLOW_MAX];
        size_t n_parts;
        size_t i_listing; /* part being listed */
        int64_t revision; /* of the list; 0 before its first page */
        Buf from;         /* where the next page begins; empty = at the part's first key */
        void *page;       /* the read in flight; outlives a follower that stops meanwhile */
        LoopTimer retry;
        uint64_t backoff_us;
        uint64_t patience_us; /* deadline of a page */
        uint64_t read_us;     /* loop_now_us() when the revision of the list was told */
        LoopDeferred restart;
        ListNode node;  /* in the registry's list */
        bool *is_alive; /* told by registry_follow_stop() to the code that is telling a record */
        bool is_synced;
        bool is_denied; /* the last word on a watch was that it is not permitted */
};

/* A key to follow: every record that begins so. `is_list_only` ones are told by lists, at the same
 * revision as the others, and not watched. Of `is_noticed` ones changes are noticed besides, by
 * their revisions: for whoever is their only writer, and wants to know of others (own-writes.h). */
typedef struct RegistryFollowKey {
        RecordKey key;
        bool is_list_only;
        bool is_noticed;
} RegistryFollowKey;

/* Follow up to REGISTRY_FOLLOW_MAX keys: all are listed at one revision, in pages, in the order
 * given, then watched from the next. Unreachable stores are waited for. Returns 0, -ENOMEM, or
 * -ENOBUFS for a key that is too long to exist. */
int registry_follow_start(Registry *registry, RegistryFollow *follow, const RegistryFollowKey *keys,
                          size_t n_keys, const RegistryFollowFns *fns);

/* Throw away the place and list again, from the next turn. Some REGISTRY_REFRESH_US after a
 * connection to the store came back, every follower does so by itself. */
void registry_follow_restart(RegistryFollow *follow);

/* Stop: nothing is told any more, and `follow` may be freed at once. */
void registry_follow_stop(RegistryFollow *follow);
