/* SPDX-License-Identifier: Apache-2.0 */

/* The keys of the configuration, and how a configuration comes about: every default is parsed as if
 * it stood in a file, then the file's values, then the environment's lay themselves over it. So a
 * default in --help and in the sample file is the default, by construction.
 *
 * Keys that fleet 1.0 had and that mean nothing here are accepted, so that its configuration files
 * still work, and are named in one notice. A key that is not in the table is an error: most likely
 * it is a typing mistake, and what it was meant to do would not happen.
 */

#include "fleetd/config.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "fleetd/config-text.h"
#include "fleetd/config-value.h"
#include "fleetd/file.h"
#include "lib/base/macro.h"

enum {
        FILE_MAX_BYTES = 1024 * 1024,
        NAME_MAX_BYTES = 64, /* longest key */
};

static const char environment_prefix[] = "FLEET_";

typedef int (*ConfigValueFn)(const char *text, void *target, Diag *diag);

/* What a member of Config is: by that values are compared and exchanged. */
typedef enum ConfigKind {
        KIND_STRING, /* char *; what is not said is one */
        KIND_LIST,   /* StrList */
        KIND_METADATA,
        KIND_BOOL,
        KIND_INT,
        KIND_UINT16,
        KIND_UINT64,
        KIND_SECONDS, /* double */
        KIND_RULE,    /* EvictRule */
        _KIND_MAX,
} ConfigKind;

/* A key. */
typedef struct ConfigKey {
        const char *name;
        ConfigValueFn parse;
        size_t offset;       /* of the member of Config that `parse` fills */
        ConfigKind kind;     /* of that member */
        bool needs_restart;  /* a change has no effect before the daemon is started again */
        const char *initial; /* the default, as one would write it */
        const char *help;    /* one or more lines */
        const char *
                unused; /* why it has no effect, or NULL when it has one; such keys are not shown */
} ConfigKey;

/* In the order in which they are shown. */
static const ConfigKey keys[] = {
        { .name = "store",
          .parse = config_value_store,
          .offset = offsetof(Config, store),
          .kind = KIND_INT,
          .needs_restart = true,
          .initial = "auto",
          .help = "Where the records of the cluster are: builtin, in a file on this machine, which "
                  "is a\n"
                  "cluster of its own; or etcd. With auto it is etcd if etcd_servers is set or if "
                  "etcd\n"
                  "answers on this machine when fleet is first started there, else builtin; what "
                  "was\n"
                  "found then is kept to." },
        { .name = "store_listen",
          .parse = config_value_listen,
          .offset = offsetof(Config, store_listen),
          .kind = KIND_LIST,
          .needs_restart = true,
          .initial = "",
          .help = "Where other machines reach the built-in store of this one, which is theirs, "
                  "too,\n"
                  "with etcd_servers=http://ADDRESS:PORT: addresses ADDRESS:PORT separated by\n"
                  "commas, 0.0.0.0 or [::] for all that this machine has; a port alone is one of\n"
                  "the loopback. Whoever reaches it can read and write every record, and so run\n"
                  "anything as root on every machine. Empty: nowhere." },
        { .name = "store_certfile",
          .parse = config_value_optional_path,
          .offset = offsetof(Config, store_certfile),
          .needs_restart = true,
          .initial = "",
          .help = "PEM file of the certificate to show to who comes to store_listen, and those\n"
                  "between it and its authority; then the others write https://. Read again for\n"
                  "every new connection." },
        { .name = "store_keyfile",
          .parse = config_value_optional_path,
          .offset = offsetof(Config, store_keyfile),
          .needs_restart = true,
          .initial = "",
          .help = "PEM file of its key." },
        { .name = "store_cafile",
          .parse = config_value_optional_path,
          .offset = offsetof(Config, store_cafile),
          .needs_restart = true,
          .initial = "",
          .help = "PEM file of the authorities that may vouch for who comes to store_listen: "
                  "nobody\n"
                  "gets in without a certificate of theirs. Empty: everybody gets in." },
        { .name = "etcd_servers",
          .parse = config_value_endpoints,
          .offset = offsetof(Config, etcd_servers),
          .kind = KIND_LIST,
          .initial = "",
          .help = "URLs of etcd's members, http://HOST:PORT or https://HOST:PORT, separated by\n"
                  "commas. Every machine of a cluster names the same etcd. Empty: ports 2379 and "
                  "4001 of\n"
                  "this machine, if etcd is used at all." },
        { .name = "etcd_username",
          .parse = config_value_string,
          .offset = offsetof(Config, etcd_username),
          .initial = "",
          .help = "Name for etcd's authentication; empty for none." },
        { .name = "etcd_password",
          .parse = config_value_string,
          .offset = offsetof(Config, etcd_password),
          .initial = "",
          .help = "Its password. A file that holds one should be readable by root only." },
        { .name = "etcd_cafile",
          .parse = config_value_optional_path,
          .offset = offsetof(Config, etcd_cafile),
          .initial = "",
          .help = "PEM file of the certificate authorities that may vouch for etcd, for https://.\n"
                  "Empty: those that the system trusts. etcd's certificate is always verified, "
                  "and\n"
                  "has to name the host or address of the URL." },
        { .name = "etcd_certfile",
          .parse = config_value_optional_path,
          .offset = offsetof(Config, etcd_certfile),
          .initial = "",
          .help = "PEM file of the certificate to show to etcd, and those between it and its\n"
                  "authority. Read again for every new connection." },
        { .name = "etcd_keyfile",
          .parse = config_value_optional_path,
          .offset = offsetof(Config, etcd_keyfile),
          .initial = "",
          .help = "PEM file of its key, without a passphrase. Should be readable by root only." },
        { .name = "etcd_key_prefix",
          .parse = config_value_prefix,
          .offset = offsetof(Config, etcd_key_prefix),
          .needs_restart = true,
          .initial = "/fleet/",
          .help = "Where in etcd the records of this cluster are. Every machine of a cluster has\n"
                  "the same; one etcd can hold several clusters." },
        { .name = "public_ip",
          .parse = config_value_address,
          .offset = offsetof(Config, public_ip),
          .initial = "",
          .help = "Address by which others reach this machine. Empty: the first global IPv4\n"
                  "address of the interface that has the default route." },
        { .name = "metadata",
          .parse = config_value_metadata,
          .offset = offsetof(Config, metadata),
          .kind = KIND_METADATA,
          .initial = "",
          .help = "What MachineMetadata= of a unit is compared with: KEY=VALUE,KEY=VALUE." },
        { .name = "agent_ttl",
          .parse = config_value_ttl,
          .offset = offsetof(Config, agent_ttl_us),
          .kind = KIND_UINT64,
          .initial = "15s",
          .help = "After so long a silence the others consider this machine lost, and its units\n"
                  "run elsewhere. It says that it lives three times in this time. At least 2s." },
        { .name = "leave_timeout",
          .parse = config_value_duration,
          .offset = offsetof(Config, leave_timeout_us),
          .kind = KIND_UINT64,
          .initial = "60s",
          .help = "systemctl stop fleet has the units of this machine run elsewhere before they "
                  "are\n"
                  "stopped here. What no other machine runs after so long is stopped all the same. "
                  "0:\n"
                  "do not wait for other machines." },
        { .name = "units_directory",
          .parse = config_value_path,
          .offset = offsetof(Config, units_directory),
          .needs_restart = true,
          .initial = "/run/fleet/units/",
          .help = "Where the unit files of this machine are kept." },
        { .name = "systemd_user",
          .parse = config_value_bool,
          .offset = offsetof(Config, systemd_user),
          .kind = KIND_BOOL,
          .needs_restart = true,
          .initial = "false",
          .help = "Run units in the service manager of the user that runs fleetd, in place of the\n"
                  "system's. units_directory must be one that this user can write." },
        { .name = "token_limit",
          .parse = config_value_page_size,
          .offset = offsetof(Config, token_limit),
          .kind = KIND_UINT16,
          .initial = "100",
          .help = "Entries of a page of the HTTP API, 1 to 65535." },
        { .name = "disable_engine",
          .parse = config_value_bool,
          .offset = offsetof(Config, disable_engine),
          .kind = KIND_BOOL,
          .initial = "false",
          .help = "Never lead the cluster. At least one machine must be able to." },
        { .name = "eviction_limit",
          .parse = config_value_evictions,
          .offset = offsetof(Config, eviction_limit),
          .kind = KIND_RULE,
          .initial = "33%",
          .help = "When more machines than this vanish within twice agent_ttl, no unit is moved\n"
                  "away from them until they are back, or fleetctl evict gives them up: a share\n"
                  "of the machines, rounded and never less than 2, or a number of them. 0: no\n"
                  "unit ever moves without fleetctl evict; 100%: they always move. What the\n"
                  "leader has counts, so every machine of a cluster should have the same." },
        { .name = "verbosity",
          .parse = config_value_verbosity,
          .offset = offsetof(Config, verbosity),
          .kind = KIND_INT,
          .initial = "0",
          .help = "Above 0, debug lines are logged." },
        { .name = "etcd_request_timeout",
          .parse = config_value_seconds,
          .offset = offsetof(Config, etcd_request_timeout),
          .kind = KIND_SECONDS,
          .initial = "2.5",
          .help = "After so many seconds without an answer an ordinary request to etcd is given\n"
                  "up, and the API answers 503; fleetctl waits for 2.7. Renewals of leases and\n"
                  "long lists have deadlines of their own." },
        { .name = "disable_watches",
          .parse = config_value_bool,
          .offset = offsetof(Config, disable_watches),
          .kind = KIND_BOOL,
          .initial = "false",
          .help = "Read etcd again and again in place of watching it: for networks that break\n"
                  "long-lived streams. Costs etcd much, and every change waits for the next "
                  "read." },
        { .name = "engine_reconcile_interval",
          .parse = config_value_seconds,
          .offset = offsetof(Config, engine_reconcile_interval),
          .kind = KIND_SECONDS,
          .initial = "2.0",
          .help = "Seconds from one reading to the next with disable_watches. Without that, every\n"
                  "change is acted upon at once, and nothing waits for this." },

        /* Checked, without effect. */
        { .name = "enable_grpc",
          .parse = config_value_bool,
          .offset = offsetof(Config, unused.flag),
          .kind = KIND_BOOL,
          .initial = "false",
          .unused = "machines share nothing but etcd" },
        { .name = "verify_units",
          .parse = config_value_string,
          .offset = offsetof(Config, unused.text),
          .initial = "",
          .unused = "there are no signed units" },
        { .name = "authorized_keys_file",
          .parse = config_value_string,
          .offset = offsetof(Config, unused.text),
          .initial = "",
          .unused = "there are no signed units" },
};

/* A configuration in the making. */
typedef struct ConfigReader {
        Config *config;                   /* borrowed */
        StrList *notices;                 /* borrowed */
        const char *path;                 /* borrowed; the file being read */
        unsigned lines[ELEMENTSOF(keys)]; /* where each key stood in the file, 0 = nowhere */
} ConfigReader;

static const ConfigKey *key_find(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (streq(keys[i].name, name))
                        return &keys[i];
        return NULL;
}

static int key_set(const ConfigKey *key, Config *config, const char *text, Diag *diag) {
        return key->parse(text, (char *)config + key->offset, diag);
}

static int notice_add(StrList *notices, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

static int notice_add(StrList *notices, const char *format, ...) {
        char text[512];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        return strlist_add(notices, text);
}

/* Set a key from where a person wrote it. */
static int key_apply(const ConfigKey *key, ConfigReader *reader, const char *where,
                     const char *text, Diag *diag) {
        int r;

        r = key_set(key, reader->config, text, diag);
        if (r < 0)
                return r;
        if (!key->unused)
                return 0;
        return notice_add(reader->notices,
                          "%s: Config option %s is no longer supported - ignoring: %s", where,
                          key->name, key->unused);
}

static int on_assignment(const char *name, const char *value, unsigned line, void *userdata,
                         Diag *diag) {
        ConfigReader *reader = userdata;
        const ConfigKey *key = key_find(name);
        char where[512];
        int r;

        if (!key)
                return diag_set(diag, -EINVAL,
                                "there is no key \"%s\"; fleetd --help names those that there are",
                                name);

        if (reader->lines[key - keys] > 0) {
                r = notice_add(reader->notices, "%s:%u: %s is set again; line %u does not count",
                               reader->path, line, name, reader->lines[key - keys]);
                if (r < 0)
                        return r;
        }
        reader->lines[key - keys] = line;

        (void)snprintf(where, sizeof(where), "%s:%u", reader->path, line);
        r = key_apply(key, reader, where, value, diag);
        return r == -EINVAL ? diag_wrap(diag, r, "%s", name) : r;
}

/* "FLEET_AGENT_TTL" is the key agent_ttl. */
static int on_variable(ConfigReader *reader, const char *variable, Diag *diag) {
        const char *equals = strchr(variable, '=');
        char name[NAME_MAX_BYTES + 1] = "", where[NAME_MAX_BYTES + 32];
        const ConfigKey *key = NULL;
        size_t n;
        int r;

        if (!equals || strncmp(variable, environment_prefix, strlen(environment_prefix)) != 0)
                return 0;

        n = (size_t)(equals - variable) - strlen(environment_prefix);
        if (n <= NAME_MAX_BYTES) {
                for (size_t i = 0; i < n; i++) {
                        char c = variable[strlen(environment_prefix) + i];

                        name[i] = islower((unsigned char)c) ? '?' : (char)tolower((unsigned char)c);
                }
                key = key_find(name);
        }

        (void)snprintf(where, sizeof(where), "environment variable %.*s",
                       (int)(n + strlen(environment_prefix)), variable);
        if (!key)
                return diag_set(
                        diag, -EINVAL,
                        "%s: there is no such key; fleetd --help names those that there are",
                        where);

        r = key_apply(key, reader, where, equals + 1, diag);
        return r == -EINVAL ? diag_wrap(diag, r, "%s", where) : r;
}

static int set_defaults(Config *config) {
        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                int r = key_set(&keys[i], config, keys[i].initial, NULL);

                assert(r == 0 || r == -ENOMEM);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Who names a TLS file means TLS: nothing goes to etcd without it. */
static int check_tls(const Config *config, Diag *diag) {
        const char *key = *config->etcd_cafile     ? "etcd_cafile"
                          : *config->etcd_certfile ? "etcd_certfile"
                                                   : NULL;

        if (key && config->etcd_servers.n_items == 0)
                return diag_set(diag, -EINVAL,
                                "%s is set, but etcd_servers is not: name servers, with https://",
                                key);
        for (size_t i = 0; key && i < config->etcd_servers.n_items; i++)
                if (strncmp(config->etcd_servers.items[i], "http:", strlen("http:")) == 0)
                        return diag_set(diag, -EINVAL,
                                        "%s is set, but etcd_servers has \"%s\", which would be "
                                        "reached without TLS: write https://",
                                        key, config->etcd_servers.items[i]);
        return 0;
}

/* Is the store etcd, as far as the configuration says? */
static bool names_etcd(const Config *config) {
        return config->store == STORE_MODE_ETCD ||
               (config->store == STORE_MODE_AUTO &&
                (config->etcd_servers.n_items > 0 || *config->etcd_username));
}

/* How the store is served says nothing where it is not. */
static int check_served(const Config *config, Diag *diag) {
        const char *key = *config->store_certfile  ? "store_certfile"
                          : *config->store_keyfile ? "store_keyfile"
                          : *config->store_cafile  ? "store_cafile"
                                                   : NULL;

        if (!key)
                return 0;
        if (config->store_listen.n_items == 0)
                return diag_set(diag, -EINVAL,
                                "%s is set, but store_listen is not: say where to serve the store",
                                key);
        if (!*config->store_certfile || !*config->store_keyfile)
                return diag_set(diag, -EINVAL,
                                "%s is set, but %s is not: TLS needs a certificate and its key",
                                key, *config->store_certfile ? "store_keyfile" : "store_certfile");
        return 0;
}

/* What no key can say by itself. */
static int check(const Config *config, Diag *diag) {
        int r;

        if (*config->etcd_password && !*config->etcd_username)
                return diag_set(diag, -EINVAL,
                                "etcd_password is set, but etcd_username is not: set both or none");
        if (!*config->etcd_certfile != !*config->etcd_keyfile)
                return diag_set(diag, -EINVAL, "%s is set, but %s is not: set both or none",
                                *config->etcd_certfile ? "etcd_certfile" : "etcd_keyfile",
                                *config->etcd_certfile ? "etcd_keyfile" : "etcd_certfile");
        if (config->store_listen.n_items > 0 && names_etcd(config))
                return diag_set(
                        diag, -EINVAL,
                        "store_listen is set, but this machine's records are in etcd, since "
                        "%s: only the built-in store can be served; set one of them",
                        config->store == STORE_MODE_ETCD   ? "store=etcd is set"
                        : config->etcd_servers.n_items > 0 ? "etcd_servers is set"
                                                           : "etcd_username is set");
        r = check_served(config, diag);
        return r < 0 ? r : check_tls(config, diag);
}

static bool is_same_metadata(const Metadata *a, const Metadata *b) {
        if (a->n_entries != b->n_entries)
                return false;

        for (size_t i = 0; i < a->n_entries; i++)
                if (!streq(a->entries[i].key, b->entries[i].key) ||
                    !streq(a->entries[i].value, b->entries[i].value))
                        return false;
        return true;
}

static const size_t kind_sizes[_KIND_MAX] = {
        [KIND_STRING] = sizeof(char *),     [KIND_LIST] = sizeof(StrList),
        [KIND_METADATA] = sizeof(Metadata), [KIND_BOOL] = sizeof(bool),
        [KIND_INT] = sizeof(int),           [KIND_UINT16] = sizeof(uint16_t),
        [KIND_UINT64] = sizeof(uint64_t),   [KIND_SECONDS] = sizeof(double),
        [KIND_RULE] = sizeof(EvictRule),
};

static bool key_is_same(const ConfigKey *key, const Config *config, const Config *other) {
        const void *a = (const char *)config + key->offset, *b = (const char *)other + key->offset;

        switch (key->kind) {
        case KIND_STRING:
                return streq(*(char *const *)a, *(char *const *)b);
        case KIND_LIST:
                return strlist_equals(a, b);
        case KIND_METADATA:
                return is_same_metadata(a, b);
        default:
                return memcmp(a, b, kind_sizes[key->kind]) == 0;
        }
}

static void key_exchange(const ConfigKey *key, Config *config, Config *other) {
        void *a = (char *)config + key->offset, *b = (char *)other + key->offset;
        char kept[sizeof(Config)];

        memcpy(kept, a, kind_sizes[key->kind]);
        memcpy(a, b, kind_sizes[key->kind]);
        memcpy(b, kept, kind_sizes[key->kind]);
}

int config_compare(const Config *config, const Config *other, StrList *changed,
                   StrList *to_restart) {
        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                int r;

                if (keys[i].unused || key_is_same(&keys[i], config, other))
                        continue;
                r = strlist_add(keys[i].needs_restart ? to_restart : changed, keys[i].name);
                if (r < 0)
                        return r;
        }
        return 0;
}

void config_replace(Config *config, Config *next) {
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (!keys[i].unused && !keys[i].needs_restart)
                        key_exchange(&keys[i], config, next);
}

int config_read(Config *ret_config, const char *path, char *text, size_t n_bytes,
                char *const *environment, StrList *notices, Diag *diag) {
        _cleanup_(config_done) Config config = { 0 };
        ConfigReader reader = { .config = &config, .notices = notices, .path = path };
        int r;

        r = set_defaults(&config);
        if (r < 0)
                return r;

        r = config_text_parse(path, text, n_bytes, on_assignment, &reader, diag);
        if (r < 0)
                return r;

        for (; *environment; environment++) {
                r = on_variable(&reader, *environment, diag);
                if (r < 0)
                        return r;
        }

        r = check(&config, diag);
        if (r < 0)
                return r;

        *ret_config = config;
        config = (Config){ 0 };
        return 0;
}

int config_load(Config *ret_config, const char *path, char *const *environment, StrList *notices,
                Diag *diag) {
        const char *name = path ? path : CONFIG_DEFAULT_PATH;
        _cleanup_(freep) char *text = NULL;
        char nothing[] = "";
        size_t n_bytes = 0;
        int r;

        r = file_read(name, FILE_MAX_BYTES, &text, &n_bytes);
        if (r == -ENOENT && !path)
                n_bytes = 0;
        else if (r == -ENOMEM)
                return r;
        else if (r < 0)
                return diag_set(diag, r, "cannot read the configuration %s: %s", name,
                                strerror(-r));
        return config_read(ret_config, name, text ? text : nothing, n_bytes, environment, notices,
                           diag);
}

void config_done(Config *config) {
        strlist_done(&config->store_listen);
        free(config->store_certfile);
        free(config->store_keyfile);
        free(config->store_cafile);
        strlist_done(&config->etcd_servers);
        free(config->etcd_username);
        free(config->etcd_password);
        free(config->etcd_cafile);
        free(config->etcd_certfile);
        free(config->etcd_keyfile);
        free(config->etcd_key_prefix);
        free(config->public_ip);
        metadata_done(&config->metadata);
        free(config->units_directory);
        free(config->unused.text);
        *config = (Config){ 0 };
}

bool config_key_at(size_t i, ConfigKeyInfo *ret_key) {
        if (i >= ELEMENTSOF(keys))
                return false;

        *ret_key = (ConfigKeyInfo){
                .name = keys[i].name,
                .initial = keys[i].initial,
                .help = keys[i].help,
                .unused = keys[i].unused,
                .needs_restart = keys[i].needs_restart,
        };
        return true;
}

/* Print text with something in front of each line. */
static void print_lines(FILE *file, const char *before, const char *text) {
        while (*text) {
                size_t n = strcspn(text, "\n");

                (void)fprintf(file, "%s%.*s\n", before, (int)n, text);
                text += n + (text[n] == '\n');
        }
}

static const char restart_note[] = "A change needs a restart.";

void config_print_help(FILE *file) {
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (keys[i].help)
                        (void)fprintf(file, "  %s%s%s%s\n", keys[i].name,
                                      *keys[i].initial ? " (default " : "", keys[i].initial,
                                      *keys[i].initial ? ")" : "");

        (void)fputs("  accepted from older configurations, without effect:\n", file);
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (keys[i].unused)
                        (void)fprintf(file, "      %s\n", keys[i].name);
}

void config_print_sample(FILE *file) {
        (void)fputs("# The configuration of fleetd: " CONFIG_DEFAULT_PATH
                    ". systemctl reload fleet reads "
                    "it again.\n"
                    "#\n"
                    "# Every key is shown with its default. Values may be quoted with ' or \"; "
                    "there are no escapes. The environment variable\n"
                    "# FLEET_ followed by the key in capitals overrides what stands here.\n",
                    file);
        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                if (!keys[i].help)
                        continue;
                (void)fputc('\n', file);
                print_lines(file, "# ", keys[i].help);
                if (keys[i].needs_restart)
                        print_lines(file, "# ", restart_note);
                (void)fprintf(file, "#%s=%s\n", keys[i].name, keys[i].initial);
        }
}
