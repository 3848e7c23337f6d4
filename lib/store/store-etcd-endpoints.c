/* SPDX-License-Identifier: Apache-2.0 */

/* Endpoints: parsing, rotation, back-off. Pure, but for the randomness of its environment. */

#include "lib/store/store-etcd-endpoints.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/macro.h"

static int port_parse(const char *text, size_t n_bytes, uint16_t *ret_port) {
        unsigned port = 0;

        if (n_bytes == 0 || n_bytes > 5)
                return -EINVAL;
        for (size_t i = 0; i < n_bytes; i++) {
                if (text[i] < '0' || text[i] > '9')
                        return -EINVAL;
                port = port * 10 + (unsigned)(text[i] - '0');
        }
        if (port == 0 || port > UINT16_MAX)
                return -EINVAL;

        *ret_port = (uint16_t)port;
        return 0;
}

/* Finds the colon before the port in HOST:PORT, or NULL when there is no usable host. */
static const char *authority_split(const char *authority, size_t n_bytes, const char **ret_host,
                                   size_t *ret_n_host) {
        const char *colon = memrchr(authority, ':', n_bytes);
        bool is_bracketed;

        if (!colon || colon == authority)
                return NULL;

        is_bracketed = *authority == '[' && colon[-1] == ']';
        *ret_host = authority + is_bracketed;
        *ret_n_host = (size_t)(colon - authority) - 2 * is_bracketed;
        if (colon - authority <= 2 * is_bracketed ||
            (!is_bracketed && memchr(*ret_host, ':', *ret_n_host)) ||
            strcspn(*ret_host, "/?#@[]% \t") < *ret_n_host)
                return NULL;
        return colon;
}

static int endpoint_parse(EtcdEndpoint *endpoint, const char *url, Diag *diag) {
        static const char plain[] = "http://", tls[] = "https://";
        const char *authority, *host, *colon;
        size_t n_authority, n_host;

        endpoint->is_tls = strncmp(url, tls, strlen(tls)) == 0;
        authority = url + strlen(endpoint->is_tls ? tls : plain);
        if (!endpoint->is_tls && strncmp(url, plain, strlen(plain)) != 0)
                return diag_set(
                        diag, -EINVAL,
                        "etcd endpoint \"%s\" is not like http://HOST:PORT or https://HOST:PORT",
                        url);

        n_authority = strlen(authority);
        if (n_authority > 0 && authority[n_authority - 1] == '/')
                n_authority--;
        colon = authority_split(authority, n_authority, &host, &n_host);
        if (!colon || port_parse(colon + 1, n_authority - (size_t)(colon + 1 - authority),
                                 &endpoint->port) < 0)
                return diag_set(diag, -EINVAL, "etcd endpoint \"%s\" is not like %sHOST:PORT", url,
                                endpoint->is_tls ? tls : plain);

        endpoint->url = strdup(url);
        endpoint->host = strndup(host, n_host);
        return endpoint->url && endpoint->host ? 0 : -ENOMEM;
}

int etcd_endpoints_init(EtcdEndpoints *endpoints, const StrList *urls, Env *env, Diag *diag) {
        *endpoints = (EtcdEndpoints){ 0 };

        if (urls->n_items == 0)
                return diag_set(diag, -EINVAL, "no etcd endpoint is given");

        endpoints->items = calloc(urls->n_items, sizeof *endpoints->items);
        if (!endpoints->items)
                return -ENOMEM;

        for (size_t i = 0; i < urls->n_items; i++) {
                int r = endpoint_parse(&endpoints->items[endpoints->n_items++], urls->items[i],
                                       diag);

                if (r < 0) {
                        etcd_endpoints_done(endpoints);
                        return r;
                }
        }

        endpoints->current = env_random_below(env, endpoints->n_items);
        return 0;
}

void etcd_endpoints_done(EtcdEndpoints *endpoints) {
        for (size_t i = 0; i < endpoints->n_items; i++) {
                free(endpoints->items[i].url);
                free(endpoints->items[i].host);
                strlist_done(&endpoints->items[i].troubles);
        }
        free(endpoints->items);
        *endpoints = (EtcdEndpoints){ 0 };
}

const EtcdEndpoint *etcd_endpoints_current(const EtcdEndpoints *endpoints) {
        assert(endpoints->n_items > 0);

        return &endpoints->items[endpoints->current];
}

bool etcd_endpoints_note_trouble(EtcdEndpoints *endpoints, const char *why) {
        EtcdEndpoint *endpoint = &endpoints->items[endpoints->current];

        if (endpoint->troubles.n_items == ETCD_TROUBLES_MAX ||
            strlist_has(&endpoint->troubles, why))
                return false;
        (void)strlist_add(&endpoint->troubles, why); /* without memory it is told once more */
        return true;
}

void etcd_endpoints_forget_trouble(EtcdEndpoints *endpoints) {
        strlist_done(&endpoints->items[endpoints->current].troubles);
}

uint64_t etcd_endpoints_fail(EtcdEndpoints *endpoints, Env *env) {
        uint64_t bound_us = 2 * ETCD_BACKOFF_MIN_US;
        size_t n_rounds;

        assert(endpoints->n_items > 0);

        endpoints->current = (endpoints->current + 1) % endpoints->n_items;
        endpoints->n_failures++;
        if (endpoints->n_failures % endpoints->n_items != 0)
                return 0;

        n_rounds = endpoints->n_failures / endpoints->n_items;
        while (--n_rounds > 0 && bound_us < ETCD_BACKOFF_MAX_US)
                bound_us *= 2;
        if (bound_us > ETCD_BACKOFF_MAX_US)
                bound_us = ETCD_BACKOFF_MAX_US;
        return ETCD_BACKOFF_MIN_US + env_random_below(env, bound_us - ETCD_BACKOFF_MIN_US + 1);
}

void etcd_endpoints_succeed(EtcdEndpoints *endpoints) {
        endpoints->n_failures = 0;
}
