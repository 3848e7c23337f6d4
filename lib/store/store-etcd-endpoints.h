/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The members of an etcd cluster that a client may talk to: which one is next, and how long to
 * wait before trying it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/diag.h"
#include "lib/base/env.h"
#include "lib/base/strlist.h"

/* One member. */
typedef struct EtcdEndpoint {
        char *url;        /* owned; as it was configured, for messages */
        char *host;       /* owned; a name or an address, without brackets */
        StrList troubles; /* why it cannot be used, as far as it was told; empty while it can */
        uint16_t port;
        bool is_tls; /* https:// */
} EtcdEndpoint;

/* All of them; zeroed is none. */
typedef struct EtcdEndpoints {
        EtcdEndpoint *items; /* owned */
        size_t n_items;      /* >= 1 once initialized */
        size_t current;      /* index of the one in use */
        unsigned n_failures; /* in a row */
} EtcdEndpoints;

/* Reasons that are told of one endpoint before it serves again; causes take turns. */
enum { ETCD_TROUBLES_MAX = 8 };

/* How long to wait once every endpoint has failed; doubles from the least to the most. */
enum {
        ETCD_BACKOFF_MIN_US = 200 * US_PER_MS,  /* the least */
        ETCD_BACKOFF_MAX_US = 2000 * US_PER_MS, /* the most */
};

/* Read the URLs: http://HOST:PORT or https://HOST:PORT, an IPv6 address in brackets, a slash at the
 * end allowed. The first to use is a random one, so that many clients spread. Returns 0, -ENOMEM,
 * or -EINVAL with a message. */
int etcd_endpoints_init(EtcdEndpoints *endpoints, const StrList *urls, Env *env, Diag *diag);

/* Free them. */
void etcd_endpoints_done(EtcdEndpoints *endpoints);

/* The one in use. */
const EtcdEndpoint *etcd_endpoints_current(const EtcdEndpoints *endpoints);

/* Note why the one in use cannot be used. Returns whether that is to be told: a reason that was not
 * noted since it could, one of the first ETCD_TROUBLES_MAX. */
bool etcd_endpoints_note_trouble(EtcdEndpoints *endpoints, const char *why);

/* The one in use serves. */
void etcd_endpoints_forget_trouble(EtcdEndpoints *endpoints);

/* The one in use failed: the next becomes the one in use. Returns how long to wait before trying
 * it: nothing until all have failed in a row; after each whole round a random time from
 * ETCD_BACKOFF_MIN_US to a bound that doubles up to ETCD_BACKOFF_MAX_US. */
uint64_t etcd_endpoints_fail(EtcdEndpoints *endpoints, Env *env);

/* The one in use has served well: earlier failures are forgotten. */
void etcd_endpoints_succeed(EtcdEndpoints *endpoints);
