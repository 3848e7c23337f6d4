/* SPDX-License-Identifier: Apache-2.0 */

/* A reload: the configuration is read again, whole, and put in force, or the one that is stays, and
 * the log says why. What can change while the daemon runs changes in place: no connection is
 * dropped and no unit is touched for it. What cannot (its row in config.c says so) keeps its value
 * until a restart, and the log names it.
 *
 * The store comes first, because it is the only part that can refuse: a configuration is put in
 * force wholly or not at all.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fleetd/daemon-private.h"
#include "lib/base/log.h"
#include "lib/registry/registry.h"

static uint64_t seconds_us(double seconds) {
        return (uint64_t)(seconds * US_PER_S);
}

void daemon_apply(Daemon *daemon, const Config *config) {
        log_set_max_priority(config->verbosity > 0 ? LOG_DEBUG : LOG_INFO);
        registry_set_call_timeout(daemon->registry, seconds_us(config->etcd_request_timeout));
        registry_set_polling(daemon->registry,
                             config->disable_watches ? seconds_us(config->engine_reconcile_interval)
                                                     : 0);
        api_set_token_limit(daemon->api, config->token_limit);
        engine_set_disabled(daemon->engine, config->disable_engine);
        engine_set_evictions(daemon->engine, config->eviction_limit, config->agent_ttl_us);
}

/* "a, b, c". */
static const char *join_names(const StrList *names, char *text, size_t n_bytes) {
        size_t n = 0;

        *text = '\0';
        for (size_t i = 0; i < names->n_items && n < n_bytes; i++)
                n += (size_t)snprintf(text + n, n_bytes - n, "%s%s", i > 0 ? ", " : "",
                                      names->items[i]);
        return text;
}

static void log_reload(const StrList *notices, const StrList *changed, const StrList *to_restart) {
        char names[1024];

        for (size_t i = 0; i < notices->n_items; i++)
                log_line(LOG_NOTICE, "%s", notices->items[i]);
        if (changed->n_items > 0)
                log_line(LOG_NOTICE, "The configuration was read again; in force from now on: %s",
                         join_names(changed, names, sizeof(names)));
        else
                log_line(LOG_NOTICE, "The configuration was read again; nothing has changed that "
                                     "can change while fleet runs");
        if (to_restart->n_items > 0)
                log_line(LOG_WARNING,
                         "Not in force before fleet is restarted, which touches no unit: %s",
                         join_names(to_restart, names, sizeof(names)));
}

static int reload(Daemon *daemon, Diag *diag) {
        _cleanup_(strlist_done) StrList notices = { 0 }, changed = { 0 }, to_restart = { 0 };
        _cleanup_(config_done) Config next = { 0 };
        int r;

        r = config_load(&next, daemon->config_path, environ, &notices, diag);
        if (r == 0)
                r = config_compare(daemon->config, &next, &changed, &to_restart);
        if (r < 0)
                return r;

        r = daemon_configure_store(daemon, &next, diag);
        if (r < 0)
                return r;

        config_replace(daemon->config, &next);
        daemon_apply(daemon, daemon->config);
        log_reload(&notices, &changed, &to_restart);
        r = daemon_update_member(daemon);
        if (r < 0)
                log_line(LOG_ERR, "Cannot tell the cluster of this machine's new configuration: %s",
                         strerror(-r));
        return 0;
}

void daemon_on_reload(void *userdata) {
        Daemon *daemon = userdata;
        Diag diag = { 0 };
        int r;

        if (daemon->is_closing)
                return;

        notify_reloading();
        r = reload(daemon, &diag);
        if (r < 0)
                log_line(LOG_ERR,
                         "Cannot use the configuration, the one in force stays in force: %s",
                         diag.message[0] ? diag.message : strerror(-r));
        notify_ready();
}
