/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The configuration of fleetd: defaults, then a file, then the environment (contract section 8).
 * One table of keys, in config.c, is behind all of it, behind `fleetd --help` and behind the sample
 * configuration.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/evict.h"
#include "lib/base/diag.h"
#include "lib/base/strlist.h"
#include "lib/model/metadata.h"

/* The file that is read when none is named, if it exists. */
#define CONFIG_DEFAULT_PATH "/etc/fleet/fleet.conf"

/* Which store is configured. */
typedef enum StoreMode {
        STORE_MODE_AUTO,
        STORE_MODE_BUILTIN,
        STORE_MODE_ETCD,
        _STORE_MODE_MAX,
} StoreMode;

/* What is configured; the key of each member has the member's name. Strings are owned and never
 * NULL. */
typedef struct Config {
        int verbosity;        /* > 0: debug lines are logged */
        StoreMode store;      /* which of the two, or what is found (store-choice.h) */
        StrList store_listen; /* where the built-in store is served (lib/serve/serve.h); none = not */
        char *store_certfile;  /* to serve it by TLS; empty = not */
        char *store_keyfile;   /* of the certificate; empty exactly if that is */
        char *store_cafile;    /* who may vouch for its clients; empty = nobody has to */
        StrList etcd_servers;  /* http://HOST:PORT or https://HOST:PORT; none = not configured */
        char *etcd_username;   /* empty = no authentication */
        char *etcd_password;   /* empty unless there is a name */
        char *etcd_cafile;     /* absolute path; empty = whom the system trusts */
        char *etcd_certfile;   /* absolute path; empty exactly if etcd_keyfile is */
        char *etcd_keyfile;    /* absolute path, or empty */
        char *etcd_key_prefix; /* of all our keys */
        char *public_ip;       /* IPv4 or IPv6 address; empty = found out */
        Metadata metadata;     /* of this machine */
        uint64_t agent_ttl_us; /* after this silence others consider this machine lost; >= 2 s */
        uint64_t leave_timeout_us;   /* a machine that leaves waits for successors for so long */
        char *units_directory;       /* absolute path */
        bool systemd_user;           /* the user's service manager in place of the system's */
        uint16_t token_limit;        /* entries of a page of the API, >= 1 */
        bool disable_engine;         /* never lead */
        double etcd_request_timeout; /* seconds that an ordinary request may take */
        bool disable_watches;        /* read again and again in place of watching */
        double engine_reconcile_interval; /* seconds between these readings */

        /* So many machines may vanish at once. */
        EvictRule eviction_limit;

        struct {
                bool flag;
                char *text;
        } unused; /* where keys that are checked and have no effect end */
} Config;

/* Read the configuration. `path` is the file, NULL for CONFIG_DEFAULT_PATH if that exists.
 * `environment` holds "NAME=VALUE" strings up to a NULL (environ(7)). What a person should know
 * although it is no error goes to `notices` as sentences. Returns 0; -ENOMEM; or a negative errno
 * with a message in `diag` that names the file, the line and the key, or the environment variable.
 */
int config_load(Config *ret_config, const char *path, char *const *environment, StrList *notices,
                Diag *diag);

/* The same of a text that stands in `path`: it is changed on the way, and has a NUL at
 * text[n_bytes]. */
int config_read(Config *ret_config, const char *path, char *text, size_t n_bytes,
                char *const *environment, StrList *notices, Diag *diag);

/* The names of the keys whose values differ, those with an effect: in `changed` the ones that can
 * change while the daemon runs, in `to_restart` the others. Returns 0 or -ENOMEM. */
int config_compare(const Config *config, const Config *other, StrList *changed,
                   StrList *to_restart);

/* Put `next` in force: of the keys that can change while the daemon runs the values are exchanged.
 */
void config_replace(Config *config, Config *next);

/* Free the members (zeroed afterwards). */
void config_done(Config *config);

/* What a key is, for those who describe the configuration. All strings static. */
typedef struct ConfigKeyInfo {
        const char *name;
        const char *initial; /* the default, as one would write it; may be empty */
        const char *help;    /* what it does, in lines; NULL for a key without effect */
        const char *unused;  /* why it has no effect, or NULL */
        bool needs_restart;  /* a change has no effect before the daemon is started again */
} ConfigKeyInfo;

/* The i-th key, in the order in which they are shown; false behind the last. */
bool config_key_at(size_t i, ConfigKeyInfo *ret_key);

/* Write the list of keys with their defaults, for --help. */
void config_print_help(FILE *file);

/* Write a configuration file in which every key stands, commented out, with its meaning and its
 * default. */
void config_print_sample(FILE *file);
