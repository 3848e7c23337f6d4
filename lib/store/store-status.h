/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a store tells of itself: numbers, and how it is. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/metrics.h"

/* The kinds of requests, one per function that starts them. */
typedef enum StoreKind {
        STORE_KIND_RANGE,
        STORE_KIND_TXN,
        STORE_KIND_LEASE_GRANT,
        STORE_KIND_LEASE_KEEP_ALIVE,
        STORE_KIND_LEASE_REVOKE,
        STORE_KIND_LEASE_LOOK,
        STORE_KIND_STATUS,
        _STORE_KIND_MAX,
} StoreKind;

/* Numbers for /metrics, since the start. */
typedef struct StoreStats {
        uint64_t n_requests; /* started, of all kinds */
        uint64_t n_started[_STORE_KIND_MAX];
        uint64_t n_failed[_STORE_KIND_MAX];          /* ended with anything but 0 */
        MetricsHistogram durations[_STORE_KIND_MAX]; /* of the ended ones */
        uint64_t n_pending;                          /* in flight now */
        uint64_t n_watches;                          /* on now */
        uint64_t n_connections;                      /* made so far */
} StoreStats;

/* How the store is, as the member that we are connected to says. */
typedef struct StoreStatus {
        const char *version;  /* of the store's program, e.g. "3.4.23"; "" = it is part of ours */
        const char *troubles; /* its own words for what is wrong with it, "; " between them; "" =
                                 nothing */
        int64_t size_bytes;   /* that its data takes on disk */
        int64_t used_bytes;   /* of them, those in use: the rest is freed by a defragmentation */
        int64_t quota_bytes;  /* where writes are refused; 0 = it does not say (etcd before 3.6) */
        bool has_leader;
        bool is_full;    /* the quota was reached: it refuses what takes space until that is over
                            and a person has disarmed the alarm */
        bool is_corrupt; /* a member found data that differ from the others' */
} StoreStatus;
