/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetd/store-place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fleetd/config-value.h"
#include "fleetd/state.h"
#include "lib/store/store-etcd.h"

enum { PATIENCE_US = 5 * US_PER_S };

static void on_connection(StoreListener *listener, bool is_connected, const char *detail) {
        (void)listener;
        (void)is_connected;
        (void)detail;
}

/* A file that cannot be opened is no matter of time; another member of etcd may answer. */
static void on_trouble(StoreListener *listener, const char *why) {
        StorePlace *place = container_of(listener, StorePlace, listener);

        (void)snprintf(place->trouble, sizeof(place->trouble), "%s", why);
        if (place->sqlite && !place->is_told)
                loop_exit(place->loop, 0);
}

static void on_probed(StoreRequest *request, int status, const StoreReply *reply) {
        StorePlace *place = container_of(request, StorePlace, probe);

        (void)reply;
        if (place->is_told)
                return;
        place->status = status;
        place->is_told = true;
        loop_exit(place->loop, 0);
}

static void on_closed(Store *store, void *userdata) {
        (void)store;
        loop_exit(userdata, 0);
}

static int place_make_file(StorePlace *place, bool must_exist, Diag *diag) {
        const SqliteStoreOptions options = { .path = place->name };
        int r;

        if (must_exist && access(place->name, F_OK) < 0)
                return diag_set(diag, -errno, "there is no store in %s: %s", place->name,
                                strerror(errno));
        r = sqlite_store_new(&place->sqlite, place->loop, &options);
        return r == 0 ? store_sqlite_new(&place->store, place->sqlite) : r;
}

static const char *or_null(const char *text) {
        return *text ? text : NULL;
}

static int place_make_etcd(StorePlace *place, const Config *config, Diag *diag) {
        _cleanup_(strlist_done) StrList urls = { 0 };
        StoreEtcdOptions options = {
                .endpoints = &urls,
                .username = or_null(config->etcd_username),
                .password = or_null(config->etcd_password),
                .ca_path = or_null(config->etcd_cafile),
                .cert_path = or_null(config->etcd_certfile),
                .key_path = or_null(config->etcd_keyfile),
        };
        int r = config_value_endpoints(place->name, &urls, diag);

        return r == 0 ? store_etcd_new(&place->store, place->loop, &options, diag) : r;
}

static int place_make(StorePlace *place, const Config *config, const char *where, bool must_exist,
                      Diag *diag) {
        _cleanup_(state_done) State state = { 0 };
        int r = state_init(&state, getenv("STATE_DIRECTORY"));

        if (r < 0)
                return r;
        place->name = strdup(streq(where, "builtin") ? state.store_path : where);
        if (!place->name)
                return -ENOMEM;
        if (strstr(where, "://"))
                return place_make_etcd(place, config, diag);
        if (!strchr(place->name, '/'))
                return diag_set(diag, -EINVAL,
                                "what is %s? A store is builtin, a path with a slash, or URLs",
                                where);
        return place_make_file(place, must_exist, diag);
}

/* Waits until the store answers. */
static int place_probe(StorePlace *place, Diag *diag) {
        int r;

        place->listener.on_trouble = on_trouble;
        store_listen(place->store, &place->listener, on_connection);
        r = store_status(place->store, &place->probe, PATIENCE_US, on_probed);
        if (r == 0)
                r = loop_run(place->loop);
        if (r < 0)
                return r;
        if (place->is_told && place->status == 0)
                return 0;

        place->is_told = true;
        return diag_set(diag, -EIO, "%s cannot be used: %s", place->name,
                        *place->trouble ? place->trouble : store_outcome_to_string(place->status));
}

int store_place_open(StorePlace *place, Loop *loop, const Config *config, const char *where,
                     bool must_exist, Diag *diag) {
        int r;

        *place = (StorePlace){ .loop = loop };
        r = place_make(place, config, where, must_exist, diag);
        if (r == 0)
                r = place_probe(place, diag);
        if (r < 0) {
                if (!diag->message[0])
                        diag_set(diag, r, "%s", strerror(-r));
                store_place_close(place);
        }
        return r;
}

void store_place_close(StorePlace *place) {
        if (place->store) {
                store_unlisten(&place->listener);
                store_close(place->store, on_closed, place->loop);
                (void)loop_run(place->loop);
                place->store = store_free(place->store);
        }
        place->sqlite = sqlite_store_free(place->sqlite);
        free(TAKE(place->name));
}
