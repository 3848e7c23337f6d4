/* SPDX-License-Identifier: Apache-2.0 */

/* The etcd backend's object: construction, the table of operations, cancelling and closing. The
 * work is in the parts that store-etcd-private.h lists.
 *
 * Closing never frees the channel at once, because store_close() may be called from a callback that
 * runs below it: requests and watches go at once, the rest in a deferred call that comes after the
 * completions.
 */

#include "lib/store/store-etcd.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/store/store-etcd-private.h"

static void finish_canceled(LoopDeferred *deferred) {
        store_request_finish(container_of(deferred, StoreRequest, completion), -ECANCELED, NULL);
}

static void finish_unreachable(LoopDeferred *deferred) {
        store_request_finish(container_of(deferred, StoreRequest, completion), STORE_E_UNREACHABLE,
                             NULL);
}

static void finish_too_large(LoopDeferred *deferred) {
        store_request_finish(container_of(deferred, StoreRequest, completion), STORE_E_TOO_LARGE,
                             NULL);
}

void etcd_finish_later(StoreRequest *request, int status) {
        request->backend = NULL;
        timer_clear(&request->deadline);
        request->completion.fn = status == -ECANCELED          ? finish_canceled
                                 : status == STORE_E_TOO_LARGE ? finish_too_large
                                                               : finish_unreachable;
        assert(status == -ECANCELED || status == STORE_E_TOO_LARGE ||
               status == STORE_E_UNREACHABLE);
        loop_defer(request->store->loop, &request->completion);
}

static void etcd_cancel(StoreRequest *request) {
        if (!request->backend)
                return; /* its end is on its way */

        switch (*(const EtcdRequestKind *)request->backend) {
        case ETCD_REQUEST_CALL:
                etcd_calls_cancel(request);
                return;
        case ETCD_REQUEST_KEEP_ALIVE:
                etcd_leases_cancel(request);
                return;
        }
}

static void etcd_on_closing(LoopDeferred *deferred) {
        EtcdStore *etcd = container_of(deferred, EtcdStore, closing);

        /* Requests that were on their way when closing began may be queued behind this. */
        if (etcd->store.stats.n_pending > 0) {
                loop_defer(etcd->store.loop, &etcd->closing);
                return;
        }

        etcd_link_done(&etcd->link);
        store_closed(&etcd->store);
}

static void etcd_close(Store *store) {
        EtcdStore *etcd = etcd_of(store);

        etcd_calls_close(etcd);
        etcd_leases_close(etcd);
        etcd_watches_close(etcd);
        loop_defer(store->loop, &etcd->closing);
}

static void etcd_free(Store *store) {
        EtcdStore *etcd = etcd_of(store);

        assert(store->stats.n_pending == 0);

        loop_defer_cancel(&etcd->closing);
        etcd_watches_close(etcd);
        etcd_leases_close(etcd);
        etcd_link_done(&etcd->link);
        etcd_access_done(&etcd->access);
        etcd_access_done(&etcd->next);
        free(etcd);
}

static const StoreVtable etcd_vtable = {
        .range = etcd_calls_range,
        .txn = etcd_calls_txn,
        .lease_grant = etcd_calls_lease_grant,
        .lease_keep_alive = etcd_leases_keep_alive,
        .lease_revoke = etcd_calls_lease_revoke,
        .lease_look = etcd_calls_lease_look,
        .status = etcd_calls_status,
        .cancel = etcd_cancel,
        .watch_start = etcd_watches_start,
        .watch_stop = etcd_watches_stop,
        .close = etcd_close,
        .free = etcd_free,
};

void etcd_access_done(EtcdAccess *access) {
        etcd_endpoints_done(&access->endpoints);
        free(access->username);
        if (access->password)
                explicit_bzero(access->password, strlen(access->password));
        free(access->password);
        free(access->tls.module);
        free(access->tls.ca_path);
        free(access->tls.cert_path);
        free(access->tls.key_path);
        *access = (EtcdAccess){ 0 };
}

static int copy_path(char **target, const char *path) {
        if (path)
                *target = strdup(path);
        return !path || *target ? 0 : -ENOMEM;
}

static int etcd_copy_tls(EtcdTls *tls, const StoreEtcdOptions *options) {
        int r;

        assert(!options->cert_path == !options->key_path);

        r = copy_path(&tls->module, options->tls_module);
        if (r == 0)
                r = copy_path(&tls->ca_path, options->ca_path);
        if (r == 0)
                r = copy_path(&tls->cert_path, options->cert_path);
        return r < 0 ? r : copy_path(&tls->key_path, options->key_path);
}

static int etcd_access_init(EtcdAccess *access, const StoreEtcdOptions *options, Env *env,
                            Diag *diag) {
        int r;

        r = etcd_endpoints_init(&access->endpoints, options->endpoints, env, diag);
        if (r == 0)
                r = etcd_copy_tls(&access->tls, options);
        if (r < 0 || !options->username)
                return r;

        access->username = strdup(options->username);
        access->password = strdup(options->password ? options->password : "");
        return access->username && access->password ? 0 : -ENOMEM;
}

int store_etcd_new(Store **ret_store, Loop *loop, const StoreEtcdOptions *options, Diag *diag) {
        EtcdStore *etcd = calloc(1, sizeof *etcd);
        int r;

        if (!etcd)
                return -ENOMEM;

        etcd->store.vtable = &etcd_vtable;
        etcd->store.loop = loop;
        etcd->closing.fn = etcd_on_closing;
        etcd_link_init(&etcd->link);
        etcd_watches_init(&etcd->watches);
        r = etcd_access_init(&etcd->access, options, loop_env(loop), diag);
        if (r < 0) {
                etcd_free(&etcd->store);
                return r;
        }

        *ret_store = &etcd->store;
        return 0;
}

int store_etcd_configure(Store *store, const StoreEtcdOptions *options, Diag *diag) {
        EtcdStore *etcd = etcd_of(store);
        EtcdAccess next = { 0 };
        int r;

        r = etcd_access_init(&next, options, loop_env(store->loop), diag);
        if (r < 0) {
                etcd_access_done(&next);
                return r;
        }

        etcd_access_done(&etcd->next);
        etcd->next = next;
        etcd_link_change(etcd);
        return 0;
}
