/* SPDX-License-Identifier: Apache-2.0 */

/* A lease that keeps itself alive.
 *
 *        adopt given                     NO_LEASE, renounced
 *       -------------> renewing <------> granting
 *                        |  ^   granted
 *                        +--+ every third of the TTL; sooner after a failed try
 *
 * A lease to adopt that runs for another time than the one asked for is renounced. When another
 * time is wanted of a lease that is held, granting and renewing take turns until the grant comes: a
 * store that is full grants none, but renews. One request is in flight at most. A try's deadline is
 * a third of the TTL (0.5 to 2 s), so that two members can be asked before the lease ends.
 */

#include "lib/registry/lease.h"

#include <assert.h>
#include <errno.h>

enum {
        LEASE_TRY_MIN_US = 500 * US_PER_MS,
        LEASE_BACKOFF_MIN_US = 100 * US_PER_MS,
        LEASE_BACKOFF_MAX_US = 2 * US_PER_S,
};

static void lease_send(Lease *lease);

static uint64_t lease_third_us(const Lease *lease) {
        return (uint64_t)lease->ttl_s * US_PER_S / 3;
}

static uint64_t lease_timeout_us(const Lease *lease) {
        uint64_t timeout_us = lease_third_us(lease);

        if (timeout_us < LEASE_TRY_MIN_US)
                return LEASE_TRY_MIN_US;
        return timeout_us < STORE_KEEP_ALIVE_TIMEOUT_US ? timeout_us : STORE_KEEP_ALIVE_TIMEOUT_US;
}

static void lease_try_in(Lease *lease, uint64_t delay_us) {
        timer_set_in(lease->loop, &lease->timer, delay_us);
}

static void lease_on_failed(Lease *lease, int status) {
        uint64_t delay_us = lease->backoff_us / 2 +
                            env_random_below(loop_env(lease->loop), lease->backoff_us / 2 + 1);

        lease->backoff_us *= 2;
        if (lease->backoff_us > LEASE_BACKOFF_MAX_US)
                lease->backoff_us = LEASE_BACKOFF_MAX_US;
        if (delay_us > lease_third_us(lease))
                delay_us = lease_third_us(lease);

        lease_try_in(lease, delay_us);
        lease->status = status;
        lease->fn(lease, LEASE_FAILED);
}

static void lease_on_answer(Lease *lease, const StoreReply *reply) {
        lease->ttl_s = reply->lease_ttl_s;
        lease->revision = reply->revision;
        lease->valid_until_us = lease->sent_us + (uint64_t)lease->ttl_s * US_PER_S;
        lease->backoff_us = LEASE_BACKOFF_MIN_US;
        lease_try_in(lease, lease_third_us(lease));
}

static void on_granted(StoreRequest *request, int status, const StoreReply *reply) {
        Lease *lease = container_of(request, Lease, request);

        if (!lease->store)
                return;
        if (status != 0) {
                lease->is_renewal_due = true;
                lease_on_failed(lease, status);
                return;
        }

        /* Wanted for yet another time meanwhile: that is asked for next. */
        lease->is_changing = lease->asked_ttl_s != lease->wanted_ttl_s;
        lease->id = reply->lease;
        lease->is_proven = true;
        lease_on_answer(lease, reply);
        if (lease->is_changing)
                lease_try_in(lease, 0);
        lease->fn(lease, LEASE_HELD);
}

static void on_kept(StoreRequest *request, int status, const StoreReply *reply) {
        Lease *lease = container_of(request, Lease, request);
        bool was_proven = lease->is_proven, was_due = lease->is_renewal_due;

        /* An answer about a lease that was renounced meanwhile says nothing of the next one. */
        if (!lease->store || lease->id != lease->asked)
                return;

        if (status == STORE_E_NO_LEASE) {
                lease->id = 0;
                lease->is_proven = lease->is_changing = false;
                lease_try_in(lease, 0);
                if (was_proven)
                        lease->fn(lease, LEASE_LOST);
                return;
        }

        if (status != 0) {
                lease_on_failed(lease, status);
                return;
        }

        /* An earlier run asked for another time: that lease is left to run out, and one as asked
         * for now is granted. */
        if (!was_proven && reply->lease_ttl_s != lease->wanted_ttl_s &&
            lease->wanted_ttl_s >= STORE_LEASE_TTL_MIN_S) {
                lease_renounce(lease);
                return;
        }

        lease->is_proven = true;
        lease->is_renewal_due = false;
        lease_on_answer(lease, reply);
        if (lease->is_changing && !was_due)
                lease_try_in(lease, 0);
        lease->fn(lease, was_proven ? LEASE_KEPT : LEASE_HELD);
}

static void lease_send(Lease *lease) {
        int r;

        /* A renounced lease may still have its last request in flight: look again soon. */
        if (store_request_is_pending(&lease->request)) {
                lease_try_in(lease, LEASE_BACKOFF_MIN_US);
                return;
        }

        lease->sent_us = loop_now_us(lease->loop);
        lease->asked = lease->id;
        lease->asked_ttl_s = lease->wanted_ttl_s;
        if (lease->id == 0)
                r = store_lease_grant(lease->store, &lease->request, lease->wanted_ttl_s,
                                      STORE_CALL_TIMEOUT_US, on_granted);
        else if (lease->is_changing && !lease->is_renewal_due)
                r = store_lease_grant(lease->store, &lease->request, lease->wanted_ttl_s,
                                      lease_timeout_us(lease), on_granted);
        else
                r = store_lease_keep_alive(lease->store, &lease->request, lease->id,
                                           lease_timeout_us(lease), on_kept);
        if (r < 0)
                lease_on_failed(lease, r);
}

static void on_timer(LoopTimer *timer) {
        lease_send(container_of(timer, Lease, timer));
}

void lease_start(Lease *lease, Store *store, Loop *loop, int64_t ttl_s, int64_t adopt, LeaseFn fn) {
        assert(!lease->store);
        assert(ttl_s > 0);

        *lease = (Lease){
                .store = store,
                .loop = loop,
                .fn = fn,
                .timer.fn = on_timer,
                .id = adopt,
                .wanted_ttl_s = ttl_s,
                .ttl_s = ttl_s,
                .backoff_us = LEASE_BACKOFF_MIN_US,
        };
        timer_set_in(loop, &lease->timer, 0);
}

void lease_set_ttl(Lease *lease, int64_t ttl_s) {
        assert(ttl_s > 0);

        if (lease->wanted_ttl_s == ttl_s)
                return;

        lease->wanted_ttl_s = ttl_s;
        if (!lease->is_proven)
                return; /* what is granted or adopted next is held against it */
        lease->is_changing = true;
        lease->is_renewal_due = false;
        if (!store_request_is_pending(&lease->request))
                lease_try_in(lease, 0);
}

void lease_renounce(Lease *lease) {
        lease->id = 0;
        lease->is_proven = lease->is_changing = false;
        lease->valid_until_us = 0;
        lease_try_in(lease, 0);
}

void lease_stop(Lease *lease) {
        timer_clear(&lease->timer);
        if (lease->store)
                store_cancel(&lease->request);
        lease->store = NULL;
}
