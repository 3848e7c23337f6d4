/* SPDX-License-Identifier: Apache-2.0 */

/* The decision whether to hold evictions. A machine that comes and goes is one entry, with the time
 * when it went last, so it never counts twice. */

#include "engine/evict.h"

#include <assert.h>
#include <stdlib.h>

size_t evict_limit(EvictRule rule, size_t n_machines) {
        size_t share;

        if (rule.percent == 0)
                return rule.count;

        share = (n_machines * rule.percent + 50) / 100;
        return share > EVICT_PERCENT_LEAST ? share : EVICT_PERCENT_LEAST;
}

static int compare_times(const void *a, const void *b) {
        const uint64_t *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

/* The most machines that vanished within one window. */
static size_t most_at_once(const EvictCase *c) {
        size_t most = 0, first = 0;

        qsort(c->vanished, c->n_vanished, sizeof(*c->vanished), compare_times);
        for (size_t last = 0; last < c->n_vanished; last++) {
                while (c->vanished[last] - c->vanished[first] >= c->window_us)
                        first++;
                if (last - first + 1 > most)
                        most = last - first + 1;
        }
        return most;
}

bool evict_holds(EvictCase *c) {
        size_t limit = evict_limit(c->rule, c->n_present + c->n_vanished);

        assert(c->window_us > 0);

        if (c->n_vanished == 0 || c->n_waiting == 0)
                return false;
        if (c->is_holding)
                return c->n_vanished >= (limit > 0 ? limit : 1);
        return c->n_vanished > limit && most_at_once(c) > limit;
}

bool evict_forgets(uint64_t vanished_us, uint64_t now_us, uint64_t window_us) {
        return now_us - vanished_us >= window_us;
}
