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
#include "fleetd/slice.h"
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
                .serves = config->store_listen.n_items > 0,
                .names_etcd = config->etcd_servers.n_items > 0 || *config->etcd_username,
        };
        Diag diag = { 0 };
        int r = state_recall(state, remembered, &diag);

        if (r < 0 && r != -ENOENT)
                log_line(LOG_WARNING, "Cannot tell which store was used last: %s",
                         diag.message[0] ? diag.message : strerror(-r));
        facts.remembered = *remembered;
        if (config->store == STORE_MODE_AUTO && !facts.names_etcd && !facts.serves) {
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

/* What it means to listen there is said where it can do harm. */
static void warn_of(const char *text, const Config *config) {
        ServeAddress address;

        if (*config->store_cafile || serve_address_parse(text, &address, NULL) < 0 ||
            address.is_loopback)
                return;
        log_line(LOG_WARNING,
                 "store_listen=%s has no %s: whoever reaches this address can read and change "
                 "every record of the cluster, and so run anything as root on each of its "
                 "machines; it must be one that only these machines reach%s",
                 text, *config->store_certfile ? "store_cafile" : "TLS and no passwords",
                 *config->store_certfile ? "" : ", or have store_certfile and store_cafile");
}

static void say_served(const Config *config) {
        const char *how = *config->store_cafile     ? ", by TLS, to clients with a certificate"
                          : *config->store_certfile ? ", by TLS"
                                                    : "";

        for (size_t i = 0; i < config->store_listen.n_items; i++) {
                log_line(LOG_NOTICE, "Serving the built-in store at %s%s",
                         config->store_listen.items[i], how);
                warn_of(config->store_listen.items[i], config);
        }
}

static int serve_builtin(Daemon *daemon) {
        const Config *config = daemon->config;
        const StreamTlsServer tls = {
                .cert_path = config->store_certfile,
                .key_path = config->store_keyfile,
                .client_ca_path = or_null(config->store_cafile),
        };
        const ServeOptions options = {
                .addresses = &config->store_listen,
                .host = or_null(config->public_ip),
                .tls = *config->store_certfile ? &tls : NULL,
        };
        Diag diag = { 0 };
        int r;

        r = serve_new(&daemon->serve, daemon->loop, daemon->sqlite, &options, &diag);
        if (r < 0) {
                if (diag.message[0])
                        log_line(LOG_ERR, "Cannot serve the built-in store: %s", diag.message);
                return r;
        }
        say_served(config);
        return 0;
}

static int make_builtin(Daemon *daemon, const State *state, const StoreChoice *choice) {
        const SqliteStoreOptions options = { .path = state->store_path };
        int r;

        daemon->store_name = "the built-in store";
        log_line(LOG_NOTICE, "Store: built-in, %s (%s)", state->store_path, choice->why);
        slice_shorten();
        r = sqlite_store_new(&daemon->sqlite, daemon->loop, &options);
        if (r == 0)
                r = store_sqlite_new(&daemon->store, daemon->sqlite);
        if (r == 0 && daemon->config->store_listen.n_items > 0)
                r = serve_builtin(daemon);
        return r;
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

/* The others keep what they were answered until the end; what they ask then, they ask again. */
static void on_serve_closed(Serve *serve, void *userdata) {
        Daemon *daemon = userdata;

        (void)serve;
        store_close(daemon->store, daemon->store_closed, daemon);
}

void daemon_close_store(Daemon *daemon, void (*closed)(Store *store, void *userdata)) {
        daemon->store_closed = closed;
        if (daemon->serve)
                serve_close(daemon->serve, on_serve_closed, daemon);
        else
                store_close(daemon->store, closed, daemon);
}

void daemon_free_store(Daemon *daemon) {
        daemon->serve = serve_free(daemon->serve);
        daemon->store = store_free(daemon->store);
        daemon->sqlite = sqlite_store_free(daemon->sqlite);
        strlist_done(&daemon->found_servers);
}
