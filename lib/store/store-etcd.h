/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The store over etcd's v3 gRPC API (etcd >= 3.4): HTTP/2 by libnghttp2 over one TCP or TLS
 * connection, on the loop. docs/etcd-client.md describes how it works and how to use it elsewhere.
 */

#include "lib/base/diag.h"
#include "lib/base/strlist.h"
#include "lib/store/store.h"

/* How to reach etcd. Everything is copied. */
typedef struct StoreEtcdOptions {
        const StrList
                *endpoints;   /* http://HOST:PORT or https://HOST:PORT, at least one; tried in turn,
                                  a random one first */
        const char *username; /* or NULL */
        const char *password; /* or NULL */
        const char *ca_path;  /* for https://, as is what follows, see StreamTls; or NULL */
        const char *cert_path;  /* or NULL */
        const char *key_path;   /* or NULL, exactly if `cert_path` is */
        const char *tls_module; /* NULL = the one that was installed */
} StoreEtcdOptions;

/* Make a client; it connects when it is first used, and keeps trying for as long as it lives,
 * with back-off and jitter. Returns 0, -ENOMEM, or -EINVAL with a message that names the
 * endpoint that is none. */
int store_etcd_new(Store **ret_store, Loop *loop, const StoreEtcdOptions *options, Diag *diag);

/* Reach etcd in another way from now on. The connection stays while its endpoint is among the new
 * ones and the credentials are as before; else it is made anew, to one of them, and what waits and
 * what is watched goes on there. Returns 0, or as store_etcd_new(), and then nothing changes. */
int store_etcd_configure(Store *store, const StoreEtcdOptions *options, Diag *diag);
