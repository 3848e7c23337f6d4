/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/store/store-lease.h"

#include <errno.h>

enum { LOOK_INTERVAL_US = 500 * US_PER_MS /* how often etcd looks */ };

/* ---- which there are */

/* Where the lease of `id` is, or would be. */
static size_t store_leases_position(const StoreLeases *leases, int64_t id) {
        size_t low = 0, high = leases->n_leases;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (leases->all[middle]->id < id)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

StoreLease *store_leases_find(const StoreLeases *leases, int64_t id) {
        size_t i = store_leases_position(leases, id);

        return i < leases->n_leases && leases->all[i]->id == id ? leases->all[i] : NULL;
}

StoreLease *store_leases_first(const StoreLeases *leases) {
        StoreLease *first = NULL;

        for (size_t i = 0; i < leases->n_leases; i++)
                if (!first || leases->all[i]->deadline_us < first->deadline_us)
                        first = leases->all[i];
        return first;
}

static int store_leases_reserve(StoreLeases *leases) {
        size_t n = leases->n_allocated ? leases->n_allocated * 2 : 16;
        StoreLease **all;

        if (leases->n_leases < leases->n_allocated)
                return 0;

        all = reallocarray(leases->all, n, sizeof(StoreLease *));
        if (!all)
                return -ENOMEM;
        leases->all = all;
        leases->n_allocated = n;
        return 0;
}

/* ---- when they run out */

uint64_t store_lease_ttl_us(const StoreLease *lease) {
        return (uint64_t)lease->ttl_s * US_PER_S;
}

int64_t store_lease_grantable_ttl_s(int64_t ttl_s) {
        if (ttl_s > STORE_LEASE_TTL_MAX_S)
                return 0;
        return ttl_s > STORE_LEASE_TTL_MIN_S ? ttl_s : STORE_LEASE_TTL_MIN_S;
}

static void store_leases_look_at(StoreLeases *leases, uint64_t us) {
        uint64_t n_intervals = (us + LOOK_INTERVAL_US - 1) / LOOK_INTERVAL_US;

        timer_set_at(leases->loop, &leases->look, n_intervals * LOOK_INTERVAL_US);
}

/* Looks when this lease will have run out, unless a look comes before. One that comes too early
 * does no harm: it is what finds the next one. So only a lease shorter than all others moves it. */
static void store_leases_expect(StoreLeases *leases, const StoreLease *lease) {
        if (leases->is_paused ||
            (timer_is_set(&leases->look) && leases->look.deadline_us <= lease->deadline_us))
                return;
        store_leases_look_at(leases, lease->deadline_us);
}

static void store_leases_on_look(LoopTimer *timer) {
        StoreLeases *leases = container_of(timer, StoreLeases, look);
        uint64_t now_us = loop_now_us(leases->loop);
        const StoreLease *first = store_leases_first(leases);

        if (first && first->deadline_us <= now_us) {
                leases->on_due(leases);
                first = store_leases_first(leases);
        }

        if (first)
                store_leases_look_at(leases,
                                     first->deadline_us > now_us ? first->deadline_us : now_us + 1);
}

void store_leases_init(StoreLeases *leases, Loop *loop, StoreLeasesDueFn on_due) {
        *leases = (StoreLeases){ .loop = loop, .look.fn = store_leases_on_look, .on_due = on_due };
}

void store_leases_done(StoreLeases *leases) {
        timer_clear(&leases->look);
        free(leases->all);
        *leases = (StoreLeases){ 0 };
}

int store_leases_add(StoreLeases *leases, StoreLease *lease, uint64_t left_us) {
        size_t i = store_leases_position(leases, lease->id);

        lease->deadline_us = loop_now_us(leases->loop) + left_us;
        if (store_leases_reserve(leases) < 0)
                return -ENOMEM;

        memmove(&leases->all[i + 1], &leases->all[i],
                (leases->n_leases - i) * sizeof(StoreLease *));
        leases->all[i] = lease;
        leases->n_leases++;
        store_leases_expect(leases, lease);
        return 0;
}

void store_leases_remove(StoreLeases *leases, StoreLease *lease) {
        size_t i = store_leases_position(leases, lease->id);

        leases->n_leases--;
        memmove(&leases->all[i], &leases->all[i + 1],
                (leases->n_leases - i) * sizeof(StoreLease *));
}

bool store_leases_is_over(const StoreLeases *leases, const StoreLease *lease) {
        return !leases->is_paused && lease->deadline_us <= loop_now_us(leases->loop);
}

void store_leases_renew(const StoreLeases *leases, StoreLease *lease) {
        lease->deadline_us = loop_now_us(leases->loop) + store_lease_ttl_us(lease);
}

void store_leases_pause(StoreLeases *leases, bool is_paused) {
        const StoreLease *first;

        if (leases->is_paused == is_paused)
                return;

        leases->is_paused = is_paused;
        if (is_paused) {
                timer_clear(&leases->look);
                return;
        }

        for (size_t i = 0; i < leases->n_leases; i++)
                store_leases_renew(leases, leases->all[i]);
        first = store_leases_first(leases);
        if (first)
                store_leases_look_at(leases, first->deadline_us);
}

/* ---- requests */

int store_leases_keep_alive(StoreLeases *leases, int64_t id, StoreReply *reply) {
        StoreLease *lease = store_leases_find(leases, id);

        /* One that has run out is not revived in the moment until it is noticed. */
        if (!lease || store_leases_is_over(leases, lease))
                return STORE_E_NO_LEASE;

        store_leases_renew(leases, lease);
        reply->lease_ttl_s = lease->ttl_s;
        return 0;
}

int store_leases_look(const StoreLeases *leases, int64_t id, StoreReply *reply) {
        const StoreLease *lease = store_leases_find(leases, id);
        uint64_t now_us = loop_now_us(leases->loop);

        if (!lease)
                return STORE_E_NO_LEASE;

        reply->lease = lease->id;
        reply->lease_ttl_s = lease->ttl_s;
        if (lease->deadline_us > now_us)
                reply->lease_left_s = (int64_t)((lease->deadline_us - now_us) / US_PER_S);
        return 0;
}
