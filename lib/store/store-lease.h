/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The leases of a store of our own: which there are, and when they run out. They run out as in
 * etcd: never early, noticed by a look every half second, at most 1,000 per second; after a time in
 * which nobody could have kept them alive, each has its full time again. What hangs on a lease is
 * its store's affair. Only the backends in lib/store include this.
 */

#include "lib/store/store.h"

/* The longest TTL, as in etcd. */
#define STORE_LEASE_TTL_MAX_S INT64_C(9000000000)

/* A lease; the head of what its store knows of it. */
typedef struct StoreLease {
        int64_t id;
        int64_t ttl_s;
        uint64_t deadline_us; /* on the loop's clock */
} StoreLease;

typedef struct StoreLeases StoreLeases;

/* Some have run out: the store ends them now or a little later, STORE_LEASES_PER_LOOK at most. The
 * next look comes by itself. */
typedef void (*StoreLeasesDueFn)(StoreLeases *leases);

/* All leases of a store. */
struct StoreLeases {
        Loop *loop;       /* borrowed */
        StoreLease **all; /* owned array, by id; what it points to is the store's */
        size_t n_leases;
        size_t n_allocated;
        LoopTimer look; /* set while there may be something to look for */
        bool is_paused; /* none runs out */
        StoreLeasesDueFn on_due;
};

/* How many leases a store ends at most when it is told that some have run out. */
enum { STORE_LEASES_PER_LOOK = 500 };

/* Begin without leases. */
void store_leases_init(StoreLeases *leases, Loop *loop, StoreLeasesDueFn on_due);

/* Free the array, and stop looking; the leases are the store's to free. */
void store_leases_done(StoreLeases *leases);

/* The lease, or NULL. */
StoreLease *store_leases_find(const StoreLeases *leases, int64_t id);

/* The TTL that one gets who asks for `ttl_s`; 0 when it is too long. */
int64_t store_lease_grantable_ttl_s(int64_t ttl_s);

/* Enter a lease whose id and TTL are set, and whose id is not there yet, with `left_us` to go. Borrowed
 * until it is taken out. Returns 0 or -ENOMEM: it is not there. */
int store_leases_add(StoreLeases *leases, StoreLease *lease, uint64_t left_us);

/* Take a lease out. */
void store_leases_remove(StoreLeases *leases, StoreLease *lease);

/* Give a lease its full time again. */
void store_leases_renew(const StoreLeases *leases, StoreLease *lease);

/* Carry out lease_keep_alive and lease_look. Return 0 or STORE_E_NO_LEASE. */
int store_leases_keep_alive(StoreLeases *leases, int64_t id, StoreReply *reply);
int store_leases_look(const StoreLeases *leases, int64_t id, StoreReply *reply);

/* Has its time run out, though nobody may have noticed? */
bool store_leases_is_over(const StoreLeases *leases, const StoreLease *lease);

/* How long the full TTL is. */
uint64_t store_lease_ttl_us(const StoreLease *lease);

/* The lease that runs out first, or NULL. */
StoreLease *store_leases_first(const StoreLeases *leases);

/* Let none run out any more; or go on, each with its full time. */
void store_leases_pause(StoreLeases *leases, bool is_paused);
