/* SPDX-License-Identifier: Apache-2.0 */

/* The store of the daemon: which it is, and what makes it. With
 * store-place.c the only file that names a concrete one.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fleetd/daemon-private.h"
#include "fleetd/state.h"
#include "fleetd/store-choice.h"
#include "lib/base/log.h"
#include "lib/store/store-etcd.h"
#include "lib/store/store-sqlite.h"

/* ---- which it is */

/* Are there records in the built-in store that a user made? Where nobody can tell, there are: they
 * must not be left behind. */
static bool has_records(const State *state) {
        const SqliteStoreOptions options = { .path = state->store_path };
        bool has = true;
        Diag diag = { 0 };

        if (access(state->store_path, F_OK) < 0 && errno == ENOENT)
                return false;
        if (sqlite_store_has_lasting(&options, &has, &diag) < 0)
                log_line(LOG_WARNING, "Cannot look into the built-in store: %s", diag.message);
        return has;
}

static StoreChoice daemon_choose_store(const Config *config, const State *state,
                                       char **remembered) {
        StoreFacts facts = {
                .mode = config->store,
                .names_etcd = config->etcd_servers.n_items > 0 || *config->etcd_username,
        };
        Diag diag = { 0 };
        int r = state_recall(state, remembered, &diag);

        if (r < 0 && r != -ENOENT)
                log_line(LOG_WARNING, "Cannot tell which store was used last: %s",
                         diag.message[0] ? diag.message : strerror(-r));
        facts.remembered = *remembered;
        if (config->store == STORE_MODE_AUTO && !facts.names_etcd) {
                facts.answering = store_find_local_etcd();
                facts.has_records = facts.answering && *remembered && has_records(state);
        }
        return store_choose(&facts);
}

static void daemon_remember_store(const State *state, const StoreChoice *choice) {
        Diag diag = { 0 };
        int r = state_remember(state, choice->is_builtin ? STORE_BUILTIN_NAME : choice->server,
                               &diag);

        if (r < 0)
                log_line(LOG_WARNING,
                         "Cannot write down which store this machine uses, and will decide anew "
                         "when fleet is started again: %s",
                         diag.message[0] ? diag.message : strerror(-r));
}

/* ---- etcd */

static const char *or_null(const char *text) {
        return *text ? text : NULL;
}

const StrList *daemon_servers(const Daemon *daemon, const Config *config) {
        return config->etcd_servers.n_items > 0 ? &config->etcd_servers : &daemon->found_servers;
}

/* The lines of a configuration that reach etcd; borrowed from it and from the daemon. */
static StoreEtcdOptions etcd_options(const Daemon *daemon, const Config *config) {
        return (StoreEtcdOptions){
                .endpoints = daemon_servers(daemon, config),
                .username = or_null(config->etcd_username),
                .password = or_null(config->etcd_password),
                .ca_path = or_null(config->etcd_cafile),
                .cert_path = or_null(config->etcd_certfile),
                .key_path = or_null(config->etcd_keyfile),
        };
}

/* The URLs for when none is configured: that which was found, or those at which etcd usually is. */
static int find_servers(Daemon *daemon, const StoreChoice *choice) {
        int r = 0;

        if (choice->server && choice->is_remembered)
                return strlist_add(&daemon->found_servers, choice->server);
        for (size_t i = 0; r == 0 && i < store_n_local_servers; i++)
                r = strlist_add(&daemon->found_servers, store_local_servers[i]);
        return r;
}

static int make_etcd(Daemon *daemon, const StoreChoice *choice) {
        StoreEtcdOptions options;
        Diag diag = { 0 };
        int r;

        r = find_servers(daemon, choice);
        if (r < 0)
                return r;

        options = etcd_options(daemon, daemon->config);
        daemon->store_name = "etcd";
        log_line(LOG_NOTICE, "Store: etcd, %s%s (%s)", options.endpoints->items[0],
                 options.endpoints->n_items > 1 ? " and others" : "", choice->why);
        r = store_etcd_new(&daemon->store, daemon->loop, &options, &diag);
        if (r < 0 && diag.message[0])
                log_line(LOG_ERR, "%s", diag.message);
        return r;
}

/* ---- the built-in store */

static int make_builtin(Daemon *daemon, const State *state, const StoreChoice *choice) {
        const SqliteStoreOptions options = { .path = state->store_path };
        int r;

        daemon->store_name = "the built-in store";
        log_line(LOG_NOTICE, "Store: built-in, %s (%s)", state->store_path, choice->why);
        r = sqlite_store_new(&daemon->sqlite, daemon->loop, &options);
        return r == 0 ? store_sqlite_new(&daemon->store, daemon->sqlite) : r;
}

/* ---- for the other parts */

int daemon_make_store(Daemon *daemon) {
        _cleanup_(state_done) State state = { 0 };
        _cleanup_(freep) char *remembered = NULL;
        StoreChoice choice;
        int r;

        r = state_init(&state, getenv("STATE_DIRECTORY"));
        if (r < 0)
                return r;

        choice = daemon_choose_store(daemon->config, &state, &remembered);
        r = choice.is_builtin ? make_builtin(daemon, &state, &choice) : make_etcd(daemon, &choice);
        if (r < 0)
                return r;

        if (choice.warning)
                log_line(LOG_WARNING, "%s", choice.warning);
        if (choice.is_remembered)
                daemon_remember_store(&state, &choice);
        return 0;
}

int daemon_configure_store(Daemon *daemon, const Config *next, Diag *diag) {
        const StoreEtcdOptions options = etcd_options(daemon, next);

        if (!daemon->sqlite)
                return store_etcd_configure(daemon->store, &options, diag);
        if (next->etcd_servers.n_items > 0 && next->store == STORE_MODE_AUTO)
                log_line(LOG_WARNING, "etcd_servers is configured now; this machine uses it, and "
                                      "leaves its built-in store, when fleet is restarted");
        return 0;
}

void daemon_free_store(Daemon *daemon) {
        daemon->store = store_free(daemon->store);
        daemon->sqlite = sqlite_store_free(daemon->sqlite);
        strlist_done(&daemon->found_servers);
}
