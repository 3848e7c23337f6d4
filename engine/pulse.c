/* SPDX-License-Identifier: Apache-2.0 */

/* Looking at leases.
 *
 * A machine renews its lease each third of its time, so one that lives has two thirds left and
 * more. Of those that were cut off together the first lease ends when the others have a third left
 * at most. In whole seconds, which is what etcd tells, half of the time lies between the two.
 */

#include "engine/pulse.h"

#include <errno.h>
#include <stdlib.h>

enum { PULSE_TIMEOUT_US = US_PER_S };

int pulse_begin(Pulse *pulse, Store *store, PulseFn fn) {
        if (pulse_is_pending(pulse))
                return -EBUSY;

        *pulse = (Pulse){ .store = store, .fn = fn };
        pulse->looks = calloc(PULSE_LOOKS_MAX, sizeof(*pulse->looks));
        return pulse->looks ? 0 : -ENOMEM;
}

void pulse_add(Pulse *pulse, int64_t lease, bool is_missing) {
        if (lease == 0 || pulse->n_looks == PULSE_LOOKS_MAX)
                return;

        pulse->looks[pulse->n_looks++] =
                (PulseLook){ .pulse = pulse, .lease = lease, .is_missing = is_missing };
}

static void pulse_clear(Pulse *pulse) {
        free(TAKE(pulse->looks));
        pulse->n_looks = 0;
}

static void pulse_end(Pulse *pulse) {
        pulse->fn(pulse);
        pulse_clear(pulse);
}

static void pulse_count(Pulse *pulse, const PulseLook *look, int64_t ttl_s) {
        if (look->is_missing)
                return;

        pulse->n_others++;
        if (look->is_alive && 2 * look->left_s >= ttl_s)
                return;
        pulse->n_silent++;
        if (look->left_s > pulse->silent_left_s)
                pulse->silent_left_s = look->left_s;
}

static void on_looked(StoreRequest *request, int status, const StoreReply *reply) {
        PulseLook *look = container_of(request, PulseLook, request);
        Pulse *pulse = look->pulse;

        look->is_alive = status == 0;
        look->left_s = status == 0 ? reply->lease_left_s : 0;
        pulse_count(pulse, look, status == 0 ? reply->lease_ttl_s : 0);
        if (--pulse->n_pending == 0)
                pulse_end(pulse);
}

int pulse_go(Pulse *pulse) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < pulse->n_looks; i++) {
                r = store_lease_look(pulse->store, &pulse->looks[i].request, pulse->looks[i].lease,
                                     PULSE_TIMEOUT_US, on_looked);
                pulse->n_pending += r == 0;
        }
        if (r == 0 && pulse->n_pending > 0)
                return 0;

        pulse_drop(pulse);
        return r < 0 ? r : -ENODATA;
}

int64_t pulse_left_s(const Pulse *pulse, int64_t lease) {
        for (size_t i = 0; i < pulse->n_looks; i++)
                if (pulse->looks[i].lease == lease && pulse->looks[i].is_alive)
                        return pulse->looks[i].left_s;
        return 0;
}

void pulse_drop(Pulse *pulse) {
        pulse->is_dropped = true;
        for (size_t i = 0; i < pulse->n_looks; i++)
                store_cancel(&pulse->looks[i].request);
        if (pulse->n_pending == 0)
                pulse_clear(pulse);
}

bool pulse_is_pending(const Pulse *pulse) {
        return pulse->n_pending > 0;
}
