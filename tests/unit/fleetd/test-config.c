/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetd/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/fault.h"

static char path[] = "/tmp/fleet-config-XXXXXX";
static char *const no_environment[] = { NULL };

static void write_config(const char *text) {
        FILE *file = fopen(path, "w");

        ck_assert_ptr_nonnull(file);
        ck_assert_int_ge(fputs(text, file), 0);
        ck_assert_int_eq(fclose(file), 0);
}

/* Load a file with this text and nothing else. */
static int load(Config *config, const char *text, StrList *notices, Diag *diag) {
        write_config(text);
        return config_load(config, path, no_environment, notices, diag);
}

/* An empty file gives the defaults. */
START_TEST(test_defaults) {
        _cleanup_(config_done) Config config = { 0 };
        _cleanup_(strlist_done) StrList notices = { 0 };

        ck_assert_int_eq(load(&config, "", &notices, NULL), 0);
        ck_assert_int_eq(config.verbosity, 0);
        ck_assert_int_eq(config.store, STORE_MODE_AUTO);
        ck_assert_uint_eq(config.etcd_servers.n_items, 0);
        ck_assert_str_eq(config.etcd_username, "");
        ck_assert_str_eq(config.etcd_password, "");
        ck_assert_str_eq(config.etcd_key_prefix, "/fleet/");
        ck_assert_str_eq(config.public_ip, "");
        ck_assert_uint_eq(config.metadata.n_entries, 0);
        ck_assert_uint_eq(config.agent_ttl_us, 15000000);
        ck_assert_uint_eq(config.leave_timeout_us, 60000000);
        ck_assert_str_eq(config.units_directory, "/run/fleet/units/");
        ck_assert(!config.systemd_user);
        ck_assert_uint_eq(config.token_limit, 100);
        ck_assert_uint_eq(config.eviction_limit.percent, 33);
        ck_assert(!config.disable_engine);
        ck_assert_double_eq(config.etcd_request_timeout, 2.5);
        ck_assert(!config.disable_watches);
        ck_assert_double_eq(config.engine_reconcile_interval, 2.0);
        ck_assert_uint_eq(notices.n_items, 0);
}
END_TEST

/* Every key of a file arrives. */
START_TEST(test_every_key) {
        _cleanup_(config_done) Config config = { 0 };
        _cleanup_(strlist_done) StrList notices = { 0 };

        ck_assert_int_eq(load(&config,
                              "verbosity=2\n"
                              "store=etcd\n"
                              "etcd_servers=http://10.0.0.1:2379,http://10.0.0.2:4001\n"
                              "etcd_username=root\n"
                              "etcd_password='p#=\"x'\n"
                              "etcd_key_prefix=/other/\n"
                              "public_ip=10.0.0.9\n"
                              "metadata=\"region=us-west,az=1,eq=a=b\"\n"
                              "agent_ttl=1m30s\n"
                              "leave_timeout=0\n"
                              "units_directory=/var/units\n"
                              "systemd_user=true\n"
                              "token_limit=65535\n"
                              "disable_engine=true\n"
                              "etcd_request_timeout=3.5\n"
                              "disable_watches=yes\n"
                              "engine_reconcile_interval=.5\n",
                              &notices, NULL),
                         0);
        ck_assert_int_eq(config.verbosity, 2);
        ck_assert_int_eq(config.store, STORE_MODE_ETCD);
        ck_assert_uint_eq(config.etcd_servers.n_items, 2);
        ck_assert_str_eq(config.etcd_servers.items[1], "http://10.0.0.2:4001");
        ck_assert_str_eq(config.etcd_username, "root");
        ck_assert_str_eq(config.etcd_password, "p#=\"x");
        ck_assert_str_eq(config.etcd_key_prefix, "/other/");
        ck_assert_str_eq(config.public_ip, "10.0.0.9");
        ck_assert_uint_eq(config.metadata.n_entries, 3);
        ck_assert_str_eq(metadata_get(&config.metadata, "eq"), "a=b");
        ck_assert_str_eq(metadata_get(&config.metadata, "region"), "us-west");
        ck_assert_uint_eq(config.agent_ttl_us, 90000000);
        ck_assert_uint_eq(config.leave_timeout_us, 0);
        ck_assert_str_eq(config.units_directory, "/var/units");
        ck_assert(config.systemd_user);
        ck_assert_uint_eq(config.token_limit, 65535);
        ck_assert(config.disable_engine);
        ck_assert_double_eq(config.etcd_request_timeout, 3.5);
        ck_assert(config.disable_watches);
        ck_assert_double_eq(config.engine_reconcile_interval, 0.5);
        ck_assert_uint_eq(notices.n_items, 0);
}
END_TEST

/* The list of servers is understood in all the forms that fleet's users wrote it in. */
START_TEST(test_server_lists) {
        static const char *const forms[] = {
                "http://a:1,http://b:2",           "http://a:1, http://b:2 ,",
                "[\"http://a:1\",\"http://b:2\"]", "[http://a:1, http://b:2]",
                "[ 'http://a:1' , 'http://b:2' ]", "\"http://a:1,http://b:2\"",
        };

        for (size_t i = 0; i < ELEMENTSOF(forms); i++) {
                _cleanup_(config_done) Config config = { 0 };
                _cleanup_(strlist_done) StrList notices = { 0 };
                char text[128];
                Diag diag = { 0 };

                (void)snprintf(text, sizeof(text), "etcd_servers=%s\n", forms[i]);
                ck_assert_msg(load(&config, text, &notices, &diag) == 0, "%s: %s", forms[i],
                              diag.message);
                ck_assert_uint_eq(config.etcd_servers.n_items, 2);
                ck_assert_str_eq(config.etcd_servers.items[0], "http://a:1");
                ck_assert_str_eq(config.etcd_servers.items[1], "http://b:2");
        }
}
END_TEST

/* An IPv6 server keeps its brackets. */
START_TEST(test_ipv6_server) {
        _cleanup_(config_done) Config config = { 0 };
        _cleanup_(strlist_done) StrList notices = { 0 };

        ck_assert_int_eq(load(&config, "etcd_servers=[\"http://[::1]:2379\"]\n", &notices, NULL),
                         0);
        ck_assert_uint_eq(config.etcd_servers.n_items, 1);
        ck_assert_str_eq(config.etcd_servers.items[0], "http://[::1]:2379");
}
END_TEST

/* Booleans are understood in the usual spellings. */
START_TEST(test_booleans) {
        static const struct {
                const char *text;
                bool value;
        } rows[] = {
                { "true", true }, { "TRUE", true }, { "1", true },      { "yes", true },
                { "on", true },   { "t", true },    { "false", false }, { "False", false },
                { "0", false },   { "no", false },  { "off", false },   { "f", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(config_done) Config config = { 0 };
                _cleanup_(strlist_done) StrList notices = { 0 };
                char text[64];

                (void)snprintf(text, sizeof(text), "disable_engine=%s\n", rows[i].text);
                ck_assert_int_eq(load(&config, text, &notices, NULL), 0);
                ck_assert_int_eq(config.disable_engine, rows[i].value);
        }
}
END_TEST

/* Values that cannot be meant. */
static const struct {
        const char *line, *message; /* behind "PATH:2: " */
} bad_values[] = {
        { "agent_tll=3s",
          "there is no key \"agent_tll\"; fleetd --help names those that there are" },
        { "Agent_ttl=3s", "there is no key \"Agent_ttl\"" },
        { "verbosity=high", "verbosity: \"high\" is not a whole number" },
        { "verbosity=-1", "verbosity: -1 is not in the range from 0 to 100" },
        { "verbosity=", "verbosity: \"\" is not a whole number" },
        { "verbosity=' 1'", "verbosity: \" 1\" is not a whole number" },
        { "store=sqlite", "store: \"sqlite\" is none of auto, builtin and etcd" },
        { "etcd_servers=[]", "etcd_servers: no server is named" },
        { "etcd_servers=127.0.0.1:2379", "etcd_servers: " },
        { "etcd_servers=http://a:1,http://b:x", "etcd_servers: " },
        { "etcd_key_prefix=", "etcd_key_prefix: it must have 1 to 255 characters, and has 0" },
        { "etcd_key_prefix=/a b/", "etcd_key_prefix: \"/a b/\" holds a blank" },
        { "etcd_request_timeout=soon",
          "etcd_request_timeout: \"soon\" is not a number of seconds" },
        { "etcd_request_timeout=0", "etcd_request_timeout: 0 seconds are not in the range "
                                    "from 0.1 seconds to a day" },
        { "etcd_request_timeout=0.09", "etcd_request_timeout: 0.09 seconds are not in" },
        { "engine_reconcile_interval=86401", "engine_reconcile_interval: 86401 seconds" },
        { "etcd_request_timeout=nan", "etcd_request_timeout: nan seconds" },
        { "engine_reconcile_interval=2s",
          "engine_reconcile_interval: \"2s\" is not a number of seconds" },
        { "public_ip=here", "public_ip: \"here\" is neither an IPv4 nor an IPv6 address" },
        { "public_ip=10.0.0.256", "public_ip: \"10.0.0.256\" is neither" },
        { "metadata=a=1,b", "metadata: " },
        { "agent_ttl=15", "agent_ttl: \"15\" is not a duration such as 15s" },
        { "agent_ttl=", "agent_ttl: \"\" is not a duration" },
        { "agent_ttl=1999ms", "agent_ttl: 1999ms is not in the range from 2s" },
        { "agent_ttl=-15s", "agent_ttl: -15s is not in the range from 2s" },
        { "agent_ttl=25h", "agent_ttl: 25h is not in the range from 2s" },
        { "leave_timeout=60", "leave_timeout: \"60\" is not a duration such as 15s" },
        { "leave_timeout=-1s", "leave_timeout: -1s is not in the range from 0 to 24h" },
        { "leave_timeout=25h", "leave_timeout: 25h is not in the range from 0 to 24h" },
        { "units_directory=units", "units_directory: \"units\" is not an absolute path" },
        { "systemd_user=maybe", "systemd_user: \"maybe\" is neither true nor false" },
        { "eviction_limit=0%", "eviction_limit: 0 is not in the range from 1 to 100" },
        { "eviction_limit=65536", "eviction_limit: 65536 is not in the range" },
        { "eviction_limit=%", "eviction_limit: \"%\" is neither a number of machines nor" },
        { "eviction_limit=a third", "eviction_limit: \"a third\" is not a whole number" },
        { "token_limit=0", "token_limit: 0 is not in the range from 1 to 65535" },
        { "token_limit=65536", "token_limit: 65536 is not in the range from 1 to 65535" },
        { "token_limit=99999999999999999999",
          "token_limit: 99999999999999999999 is not in the range" },
        { "disable_engine=", "disable_engine: \"\" is neither true nor false" },
        { "enable_grpc=2", "enable_grpc: \"2\" is neither true nor false" },
        { "disable_watches=x", "disable_watches: \"x\" is neither true nor false" },
        { "etcd_keyfile=k", "etcd_keyfile: \"k\" is not an absolute path" },
        { "etcd_certfile=./c", "etcd_certfile: \"./c\" is not an absolute path" },
        { "etcd_cafile=ca", "etcd_cafile: \"ca\" is not an absolute path" },
        { "store_keyfile=k", "store_keyfile: \"k\" is not an absolute path" },
        { "store_certfile=./c", "store_certfile: \"./c\" is not an absolute path" },
        { "store_cafile=ca", "store_cafile: \"ca\" is not an absolute path" },
};

/* Every value that cannot be meant is an error that begins with file, line and key; nothing is
 * written. */
START_TEST(test_bad_values) {
        for (size_t i = 0; i < ELEMENTSOF(bad_values); i++) {
                _cleanup_(strlist_done) StrList notices = { 0 };
                char text[128], expected[256];
                Config config = { .verbosity = 4711 };
                Diag diag = { 0 };

                (void)snprintf(text, sizeof(text), "# a comment\n%s\nverbosity=1\n",
                               bad_values[i].line);
                (void)snprintf(expected, sizeof(expected), "%s:2: %s", path, bad_values[i].message);
                ck_assert_int_eq(load(&config, text, &notices, &diag), -EINVAL);
                ck_assert_msg(strncmp(diag.message, expected, strlen(expected)) == 0, "\"%s\": %s",
                              bad_values[i].line, diag.message);
                ck_assert_int_eq(config.verbosity, 4711);
        }
}
END_TEST

/* The shortest ttl is one that etcd grants. */
START_TEST(test_shortest_ttl) {
        _cleanup_(config_done) Config config = { 0 };
        _cleanup_(strlist_done) StrList notices = { 0 };

        ck_assert_int_eq(load(&config, "agent_ttl=2s\n", &notices, NULL), 0);
        ck_assert_uint_eq(config.agent_ttl_us, 2000000);
}
END_TEST

/* Keys of fleet 1.0 without a meaning here are taken, each with one notice that says why. Empty TLS
 * keys are no wish for TLS. */
START_TEST(test_unused_keys) {
        static const char *const lines[] = {
                "enable_grpc=true",
                "verify_units=true",
                "authorized_keys_file=/k",
        };
        char text[512] = "etcd_keyfile=\netcd_certfile=''\netcd_cafile=\n";
        _cleanup_(config_done) Config config = { 0 };
        _cleanup_(strlist_done) StrList notices = { 0 };
        Diag diag = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(lines); i++)
                (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s\n", lines[i]);
        ck_assert_msg(load(&config, text, &notices, &diag) == 0, "%s", diag.message);

        ck_assert_uint_eq(notices.n_items, ELEMENTSOF(lines));
        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                char expected[256];

                (void)snprintf(expected, sizeof(expected),
                               "%s:%zu: Config option %.*s is no longer supported - ignoring: ",
                               path, i + 4, (int)strcspn(lines[i], "="), lines[i]);
                ck_assert_msg(strncmp(notices.items[i], expected, strlen(expected)) == 0, "%s",
                              notices.items[i]);
        }
}
END_TEST

static void expect_names(const StrList *list, const char *names) {
        char text[512] = "";

        for (size_t i = 0; i < list->n_items; i++)
                (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s",
                               i > 0 ? " " : "", list->items[i]);
        ck_assert_str_eq(text, names);
}

/* A reload: what changed is named, key by key, and what can change does; the rest keeps its value,
 * and is named again the next time. A value that is written in another way has not changed. */
START_TEST(test_reload) {
        static const struct {
                const char *line, *changed, *to_restart;
        } rows[] = {
                { "", "", "" },
                { "verbosity=1", "verbosity", "" },
                { "etcd_servers=http://a:1", "etcd_servers", "" },
                { "etcd_servers=", "", "" },
                { "store=builtin", "", "store" },
                { "etcd_username=u", "etcd_username", "" },
                { "etcd_username=u\netcd_password=p", "etcd_username etcd_password", "" },
                { "etcd_key_prefix=/other/", "", "etcd_key_prefix" },
                { "etcd_request_timeout=5", "etcd_request_timeout", "" },
                { "etcd_request_timeout=2.50", "", "" },
                { "engine_reconcile_interval=5", "engine_reconcile_interval", "" },
                { "public_ip=10.0.0.1", "public_ip", "" },
                { "metadata=a=b", "metadata", "" },
                { "agent_ttl=30s", "agent_ttl", "" },
                { "agent_ttl=15000ms", "", "" },
                { "leave_timeout=90s", "leave_timeout", "" },
                { "units_directory=/u/", "", "units_directory" },
                { "systemd_user=yes", "", "systemd_user" },
                { "token_limit=7", "token_limit", "" },
                { "eviction_limit=3", "eviction_limit", "" },
                { "eviction_limit=033%", "", "" },
                { "disable_engine=yes", "disable_engine", "" },
                { "disable_watches=yes", "disable_watches", "" },
                { "enable_grpc=yes", "", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(strlist_done) StrList notices = { 0 }, changed = { 0 },
                                                to_restart = { 0 }, left = { 0 };
                _cleanup_(config_done) Config config = { 0 }, next = { 0 };

                ck_assert_int_eq(load(&config, "", &notices, NULL), 0);
                ck_assert_int_eq(load(&next, rows[i].line, &notices, NULL), 0);
                ck_assert_int_eq(config_compare(&config, &next, &changed, &to_restart), 0);
                expect_names(&changed, rows[i].changed);
                expect_names(&to_restart, rows[i].to_restart);

                config_replace(&config, &next);
                config_done(&next);
                strlist_done(&to_restart);
                ck_assert_int_eq(load(&next, rows[i].line, &notices, NULL), 0);
                ck_assert_int_eq(config_compare(&config, &next, &left, &to_restart), 0);
                expect_names(&left, "");
                expect_names(&to_restart, rows[i].to_restart);
        }
}
END_TEST

/* Of a key that is set twice the last one counts, and a notice says so. */
START_TEST(test_set_twice) {
        _cleanup_(config_done) Config config = { 0 };
        _cleanup_(strlist_done) StrList notices = { 0 };
        char expected[128];

        ck_assert_int_eq(
                load(&config,
                     "public_ip=10.0.0.1\nmetadata=a=1\nmetadata=b=2\npublic_ip=10.0.0.2\n",
                     &notices, NULL),
                0);
        ck_assert_str_eq(config.public_ip, "10.0.0.2");
        ck_assert_uint_eq(config.metadata.n_entries, 1);
        ck_assert_str_eq(metadata_get(&config.metadata, "b"), "2");
        ck_assert_uint_eq(notices.n_items, 2);
        (void)snprintf(expected, sizeof(expected),
                       "%s:4: public_ip is set again; line 1 does not count", path);
        ck_assert_str_eq(notices.items[1], expected);
}
END_TEST

/* The environment overrides the file; other variables are none of our business. */
START_TEST(test_environment) {
        static char ttl[] = "FLEET_AGENT_TTL=3s",
                    ip[] = "FLEET_PUBLIC_IP=", other[] = "FLEETCTL_ENDPOINT=http://x",
                    lower[] = "agent_ttl=9s";
        char *const environment[] = { ttl, ip, other, lower, NULL };
        _cleanup_(config_done) Config config = { 0 };
        _cleanup_(strlist_done) StrList notices = { 0 };

        write_config("agent_ttl=30s\npublic_ip=10.0.0.1\ntoken_limit=7\n");
        ck_assert_int_eq(config_load(&config, path, environment, &notices, NULL), 0);
        ck_assert_uint_eq(config.agent_ttl_us, 3000000);
        ck_assert_str_eq(config.public_ip, "");
        ck_assert_uint_eq(config.token_limit, 7);
}
END_TEST

/* A bad variable is named. */
START_TEST(test_bad_variables) {
        static const struct {
                const char *variable, *message;
        } rows[] = {
                { "FLEET_AGENT_TTL=3",
                  "environment variable FLEET_AGENT_TTL: \"3\" is not a duration" },
                { "FLEET_AGENT_TLL=3s",
                  "environment variable FLEET_AGENT_TLL: there is no such key" },
                { "FLEET_agent_ttl=3s",
                  "environment variable FLEET_agent_ttl: there is no such key" },
                { "FLEET_=3s", "environment variable FLEET_: there is no such key" },
                { "FLEET_ETCD_CAFILE=ca",
                  "environment variable FLEET_ETCD_CAFILE: \"ca\" is not an absolute path" },
                { "FLEET_0123456789012345678901234567890123456789012345678901234567890123456789=1",
                  "environment variable FLEET_0123456789" },
        };

        write_config("");
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(strlist_done) StrList notices = { 0 };
                char variable[128];
                char *const environment[] = { variable, NULL };
                Config config = { 0 };
                Diag diag = { 0 };

                (void)snprintf(variable, sizeof(variable), "%s", rows[i].variable);
                ck_assert_int_eq(config_load(&config, path, environment, &notices, &diag), -EINVAL);
                ck_assert_msg(strncmp(diag.message, rows[i].message, strlen(rows[i].message)) == 0,
                              "%s", diag.message);
        }
}
END_TEST

/* A password without a name would never be sent. */
START_TEST(test_password_needs_name) {
        _cleanup_(strlist_done) StrList notices = { 0 };
        Config config = { 0 };
        Diag diag = { 0 };

        ck_assert_int_eq(load(&config, "etcd_password=x\n", &notices, &diag), -EINVAL);
        ck_assert_str_eq(diag.message,
                         "etcd_password is set, but etcd_username is not: set both or none");
}
END_TEST

/* What belongs together is set together, and who names a TLS file never gets a plain connection. */
START_TEST(test_tls_keys) {
        static const struct {
                const char *text, *message; /* NULL = it is taken */
        } rows[] = {
                { "etcd_servers=https://a:1,http://b:2\n", NULL },
                { "etcd_servers=https://a:1\netcd_cafile=/ca\n", NULL },
                { "etcd_servers=https://a:1\netcd_certfile=/c\netcd_keyfile=/k\n", NULL },
                { "etcd_servers=https://a:1\netcd_certfile=/c\n",
                  "etcd_certfile is set, but etcd_keyfile is not: set both or none" },
                { "etcd_servers=https://a:1\netcd_keyfile=/k\n",
                  "etcd_keyfile is set, but etcd_certfile is not: set both or none" },
                { "etcd_cafile=/ca\n",
                  "etcd_cafile is set, but etcd_servers is not: name servers, with https://" },
                { "etcd_servers=https://a:1,http://b:2\netcd_certfile=/c\netcd_keyfile=/k\n",
                  "etcd_certfile is set, but etcd_servers has \"http://b:2\", which would be "
                  "reached without TLS: write https://" },
                { "store_listen=1\nstore_certfile=/c\nstore_keyfile=/k\n", NULL },
                { "store_listen=1\nstore_certfile=/c\nstore_keyfile=/k\nstore_cafile=/a\n", NULL },
                { "store_listen=1\nstore_certfile=/c\n",
                  "store_certfile is set, but store_keyfile is not: TLS needs a certificate and "
                  "its key" },
                { "store_listen=1\nstore_keyfile=/k\n",
                  "store_keyfile is set, but store_certfile is not: TLS needs a certificate and "
                  "its key" },
                { "store_listen=1\nstore_cafile=/a\n",
                  "store_cafile is set, but store_certfile is not: TLS needs a certificate and its "
                  "key" },
                { "store_certfile=/c\nstore_keyfile=/k\n",
                  "store_certfile is set, but store_listen is not: say where to serve the store" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(strlist_done) StrList notices = { 0 };
                _cleanup_(config_done) Config config = { 0 };
                Diag diag = { 0 };

                ck_assert_int_eq(load(&config, rows[i].text, &notices, &diag),
                                 rows[i].message ? -EINVAL : 0);
                ck_assert_str_eq(diag.message, rows[i].message ? rows[i].message : "");
        }
}
END_TEST

/* The built-in store is served where it is the store, and nowhere else. */
START_TEST(test_listen_keys) {
        static const struct {
                const char *text, *message; /* NULL = it is taken */
        } rows[] = {
                { "store_listen=2379\n", NULL },
                { "store_listen=127.0.0.1:2379, [fd00::1]:2379\n", NULL },
                { "store=builtin\nstore_listen=:1\netcd_servers=http://a:1\n", NULL },
                { "store=etcd\nstore_listen=\n", NULL },
                { "store_listen=a:1\n",
                  "\"a:1\" is no address to listen on; write ADDRESS:PORT with the address in "
                  "digits, or a port alone for the loopback" },
                { "store=etcd\nstore_listen=1\n",
                  "store_listen is set, but this machine's records are in etcd, since store=etcd "
                  "is "
                  "set: only the built-in store can be served; set one of them" },
                { "etcd_servers=http://a:1\nstore_listen=1\n",
                  "store_listen is set, but this machine's records are in etcd, since etcd_servers "
                  "is set: only the built-in store can be served; set one of them" },
                { "etcd_username=u\netcd_password=p\nstore_listen=1\n",
                  "store_listen is set, but this machine's records are in etcd, since "
                  "etcd_username "
                  "is set: only the built-in store can be served; set one of them" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(strlist_done) StrList notices = { 0 };
                _cleanup_(config_done) Config config = { 0 };
                Diag diag = { 0 };

                ck_assert_int_eq(load(&config, rows[i].text, &notices, &diag),
                                 rows[i].message ? -EINVAL : 0);
                if (rows[i].message)
                        ck_assert_ptr_nonnull(strstr(diag.message, rows[i].message));
        }
}
END_TEST

/* A file that is asked for must be there, and be a file. */
START_TEST(test_missing_file) {
        _cleanup_(strlist_done) StrList notices = { 0 };
        Config config = { 0 };
        Diag diag = { 0 };

        ck_assert_int_eq(
                config_load(&config, "/nonexistent/fleet.conf", no_environment, &notices, &diag),
                -ENOENT);
        ck_assert_str_eq(
                diag.message,
                "cannot read the configuration /nonexistent/fleet.conf: No such file or directory");
        ck_assert_int_eq(config_load(&config, "/tmp", no_environment, &notices, &diag), -EISDIR);
        ck_assert_str_eq(diag.message, "cannot read the configuration /tmp: Is a directory");
        ck_assert_int_eq(config_load(&config, "/dev/zero", no_environment, &notices, &diag),
                         -EFBIG);
}
END_TEST

static char *print(void (*fn)(FILE *file)) {
        char *text = NULL;
        size_t n_bytes;
        FILE *file = open_memstream(&text, &n_bytes);

        ck_assert_ptr_nonnull(file);
        fn(file);
        ck_assert_int_eq(fclose(file), 0);
        return text;
}

/* The sample file parses as it is, and says the defaults: with every comment sign before a key
 * removed it parses without a notice and gives what an empty file gives. */
START_TEST(test_sample_is_the_defaults) {
        _cleanup_(freep) char *sample = print(config_print_sample),
                              *help = print(config_print_help);
        _cleanup_(config_done) Config config = { 0 };
        _cleanup_(strlist_done) StrList notices = { 0 };
        size_t n_keys = 0;
        Diag diag = { 0 };

        ck_assert_int_eq(load(&config, sample, &notices, NULL), 0);
        config_done(&config);

        for (char *line = sample; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                if (line[0] == '#' && line[1] >= 'a' && line[1] <= 'z') {
                        char key[64];

                        *line = ' ';
                        n_keys++;
                        (void)snprintf(key, sizeof(key), "\n  %.*s", (int)strcspn(line + 1, "="),
                                       line + 1);
                        ck_assert_msg(
                                strstr(help, key + (strncmp(help, key + 1, strlen(key + 1)) == 0)),
                                "--help lacks%s", key);
                }
        }
        ck_assert_uint_eq(n_keys, 25);
        ck_assert_msg(load(&config, sample, &notices, &diag) == 0, "%s", diag.message);
        ck_assert_uint_eq(notices.n_items, 0);
        ck_assert_uint_eq(config.agent_ttl_us, 15000000);
        ck_assert_str_eq(config.etcd_key_prefix, "/fleet/");
        ck_assert_str_eq(config.public_ip, "");
}
END_TEST

static int load_all(void *context) {
        static char ttl[] = "FLEET_AGENT_TTL=3s", watches[] = "FLEET_DISABLE_WATCHES=1";
        char *const environment[] = { ttl, watches, NULL };
        _cleanup_(config_done) Config config = { 0 };
        _cleanup_(strlist_done) StrList notices = { 0 };

        (void)context;
        return config_load(&config, path, environment, &notices, NULL);
}

/* Without memory, loading fails as such and leaves nothing behind. */
START_TEST(test_survives_oom) {
        write_config("etcd_servers=http://a:1,http://"
                     "b:2\nmetadata=a=1,b=2\nenable_grpc=1\nmetadata=c=3\n");
        ck_assert_uint_gt(fault_sweep(load_all, NULL), 30);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_defaults,     test_every_key,
                test_server_lists, test_ipv6_server,
                test_booleans,     test_bad_values,
                test_shortest_ttl, test_unused_keys,
                test_reload,       test_set_twice,
                test_environment,  test_bad_variables,
                test_missing_file, test_password_needs_name,
                test_tls_keys,     test_listen_keys,
                test_survives_oom, test_sample_is_the_defaults,
        };
        int fd, code;

        fd = mkstemp(path);
        if (fd < 0 || close(fd) < 0)
                return EXIT_FAILURE;
        code = tests_run("config", tests, ELEMENTSOF(tests));
        (void)unlink(path);
        return code;
}
