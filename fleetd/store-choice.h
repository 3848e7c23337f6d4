/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which store this machine uses: a decision of its configuration, or of what it finds when fleet
 * starts there for the first time. What was decided once is remembered, because records in one
 * store are not in the other: an etcd that appears beside a built-in store with records, or that is
 * late one morning, must not change what the machine runs.
 */

#include "fleetd/config.h"

/* The URLs at which etcd is looked for when none is configured (contract section 8). */
extern const char *const store_local_servers[];
extern const size_t store_n_local_servers;

/* What the decision follows from. Strings borrowed. */
typedef struct StoreFacts {
        StoreMode mode;
        bool serves;     /* store_listen is configured */
        bool names_etcd; /* etcd is configured: servers, or a user */
        const char
                *remembered;   /* what was used last: STORE_BUILTIN_NAME or a URL; NULL = nothing */
        const char *answering; /* the local URL at which something answers, or NULL */
        bool has_records;      /* the built-in store has some that a user made */
} StoreFacts;

/* What stands for the built-in store where a URL stands for etcd. */
#define STORE_BUILTIN_NAME "builtin"

/* The decision. Strings borrowed from the facts, or static. */
typedef struct StoreChoice {
        bool is_builtin;
        const char *server;  /* the URL of etcd; NULL = the built-in store, or what is configured */
        bool is_remembered;  /* it is to be remembered: nothing that is configured says it */
        const char *why;     /* words for a person */
        const char *warning; /* a sentence on what the choice leaves behind, or NULL */
} StoreChoice;

/* Decide. */
StoreChoice store_choose(const StoreFacts *facts);

/* The first of the local URLs at which something takes a connection, or NULL: at most a tenth of a
 * second each, which is far more than a loopback needs. */
const char *store_find_local_etcd(void);
