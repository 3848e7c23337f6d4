/* SPDX-License-Identifier: Apache-2.0 */

/* The flag parser. Flags are rows that say which field of Options they set, so a command adds one
 * by adding a row, and help texts, the environment and the parser cannot disagree about it.
 *
 * The rules are those of fleet 1.0 as they were meant: "--name value" and "--name=value", a boolean
 * is set false with "=", a flag may stand before or after the command, letters work with one dash
 * and with two, "--" ends the flags. What nobody knows is an error with a suggestion, never a word.
 *
 * Values are borrowed from argv and the environment, which live as long as the process: Options
 * needs no destructor.
 */

#include "fleetctl/flags.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleetctl/suggest.h"
#include "lib/base/macro.h"

enum { SECONDS_MAX = 24 * 60 * 60 }; /* who waits for longer has mistyped */

/* Of two flags with one field the later row's variable wins: the old names stand first. */
static const Flag global_rows[] = {
        { "endpoint", "URL", "unix:///var/run/fleet.sock",
          "Where the fleet API is: unix:///PATH, http://HOST:PORT or https://HOST:PORT",
          offsetof(Options, endpoint), FLAG_STRING, 0, true },
        { "request-timeout", "SECONDS", "3",
          "Give up when the API stays silent for so long; until then, try again",
          offsetof(Options, request_timeout_ms), FLAG_SECONDS, 0, true },
        { "etcd-cafile", "FILE", NULL, NULL, offsetof(Options, ca_file), FLAG_STRING, 0, true },
        { "etcd-certfile", "FILE", NULL, NULL, offsetof(Options, cert_file), FLAG_STRING, 0, true },
        { "etcd-keyfile", "FILE", NULL, NULL, offsetof(Options, key_file), FLAG_STRING, 0, true },
        { "ca-file", "FILE", NULL,
          "Authorities that an https:// endpoint may be certified by; without it the system's",
          offsetof(Options, ca_file), FLAG_STRING, 0, true },
        { "cert-file", "FILE", NULL, "Certificate to show to an https:// endpoint",
          offsetof(Options, cert_file), FLAG_STRING, 0, true },
        { "key-file", "FILE", NULL, "The private key of that certificate",
          offsetof(Options, key_file), FLAG_STRING, 0, true },
        { "driver", "NAME", "API", "How to reach the cluster; API is the only way",
          offsetof(Options, driver), FLAG_STRING, 0, true },
        { "etcd-key-prefix", "PREFIX", NULL, NULL, offsetof(Options, etcd_key_prefix), FLAG_STRING,
          0, true },
        { "experimental-api", NULL, NULL, NULL, offsetof(Options, experimental_api), FLAG_BOOL, 0,
          true },
        { "debug", NULL, NULL, "Log each request to stderr", offsetof(Options, debug), FLAG_BOOL, 0,
          true },
        { "tunnel", "HOST[:PORT]", NULL, "Reach the API and the machines through this SSH host",
          offsetof(Options, tunnel), FLAG_STRING, 0, true },
        { "ssh-username", "USER", NULL,
          "User to log in as; without it ssh's configuration counts, then core",
          offsetof(Options, ssh_username), FLAG_STRING, 0, true },
        { "ssh-timeout", "SECONDS", "10", "Give up an SSH connection that is not there by then",
          offsetof(Options, ssh_timeout_ms), FLAG_SECONDS, 0, true },
        { "known-hosts-file", "FILE", "~/.fleetctl/known_hosts",
          "Where the keys of known SSH hosts are kept", offsetof(Options, known_hosts_file),
          FLAG_STRING, 0, true },
        { "strict-host-key-checking", NULL, "true",
          "Check the keys of SSH hosts; =false checks and stores none",
          offsetof(Options, strict_host_key_checking), FLAG_BOOL, 0, true },
        { "help", NULL, NULL, "Show what a command does and takes", offsetof(Options, help),
          FLAG_BOOL, 'h', false },
        { "version", NULL, NULL, "Show the version", offsetof(Options, version), FLAG_BOOL, 'v',
          false },
};

const FlagTable global_flags = { global_rows, ELEMENTSOF(global_rows) };

/* The spellings that Go's flag parser, and so fleet 1.0, accepted. */
static int parse_bool(const char *text, bool *ret_value) {
        static const char *const yes[] = { "1", "t", "T", "true", "True", "TRUE" };
        static const char *const no[] = { "0", "f", "F", "false", "False", "FALSE" };

        for (size_t i = 0; i < ELEMENTSOF(yes); i++) {
                if (!streq(text, yes[i]) && !streq(text, no[i]))
                        continue;
                *ret_value = streq(text, yes[i]);
                return 0;
        }
        return -EINVAL;
}

static int parse_count(const char *text, uint64_t *ret_value) {
        unsigned long long value;
        char *end;

        if (!isdigit((unsigned char)text[0]))
                return -EINVAL;

        errno = 0;
        value = strtoull(text, &end, 10);
        if (errno != 0 || *end != '\0' || value > UINT32_MAX)
                return -EINVAL;

        *ret_value = value;
        return 0;
}

/* Only plain decimal numbers: what else strtod(3) takes, nobody means. */
static int parse_seconds(const char *text, uint64_t *ret_ms) {
        double seconds;
        char *end;

        if (text[0] == '\0' || strspn(text, "0123456789.") != strlen(text))
                return -EINVAL;

        seconds = strtod(text, &end);
        if (*end != '\0' || seconds * 1000 < 1 || seconds > SECONDS_MAX)
                return -EINVAL;

        *ret_ms = (uint64_t)(seconds * 1000);
        return 0;
}

static int flag_set(const Flag *flag, const char *text, Options *options) {
        void *field = (char *)options + flag->offset;
        Count *count = field;

        switch (flag->kind) {
        case FLAG_BOOL:
                return parse_bool(text, field);
        case FLAG_COUNT:
                if (parse_count(text, &count->value) < 0)
                        return -EINVAL;
                count->is_given = true;
                return 0;
        case FLAG_PORT:
                if (parse_count(text, &count->value) < 0 || count->value < 1 ||
                    count->value > UINT16_MAX)
                        return -EINVAL;
                count->is_given = true;
                return 0;
        case FLAG_SECONDS:
                return parse_seconds(text, field);
        case FLAG_STRING:
                *(const char **)field = text;
                return 0;
        }
        return -EINVAL;
}

void flags_set_defaults(const FlagTable *table, Options *options) {
        for (size_t i = 0; i < table->n_flags; i++)
                if (table->flags[i].fallback)
                        (void)flag_set(&table->flags[i], table->flags[i].fallback, options);
}

void flag_environment_name(const Flag *flag, char ret_name[FLAG_ENVIRONMENT_BYTES]) {
        (void)snprintf(ret_name, FLAG_ENVIRONMENT_BYTES, "FLEETCTL_%s", flag->name);
        for (char *c = ret_name; *c; c++)
                *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
}

void flags_read_environment(const FlagTable *table, Options *options) {
        for (size_t i = 0; i < table->n_flags; i++) {
                char name[FLAG_ENVIRONMENT_BYTES];
                const char *value;

                if (!table->flags[i].has_environment)
                        continue;
                flag_environment_name(&table->flags[i], name);
                value = getenv(name);
                if (value && value[0] != '\0')
                        (void)flag_set(&table->flags[i], value, options);
        }
}

static bool flag_is_called(const Flag *flag, const char *name, size_t n_bytes, bool is_short) {
        if (n_bytes == 1 && flag->letter && name[0] == flag->letter)
                return true;
        return !is_short && strlen(flag->name) == n_bytes && memcmp(flag->name, name, n_bytes) == 0;
}

static const Flag *flag_find(const FlagParse *parse, const char *name, size_t n_bytes,
                             bool is_short) {
        for (size_t t = 0; t < parse->n_tables; t++)
                for (size_t i = 0; i < parse->tables[t]->n_flags; i++)
                        if (flag_is_called(&parse->tables[t]->flags[i], name, n_bytes, is_short))
                                return &parse->tables[t]->flags[i];
        return NULL;
}

/* `word` is as typed, up to where its name ends. */
static int flag_unknown(const FlagParse *parse, const char *word, size_t n_bytes, Diag *diag) {
        size_t n_dashes = word[1] == '-' ? 2 : 1;
        Suggestions near = { .typed = word + n_dashes, .n_typed = n_bytes - n_dashes };

        for (size_t t = 0; t < parse->n_tables; t++)
                for (size_t i = 0; i < parse->tables[t]->n_flags; i++)
                        if (parse->tables[t]->flags[i].help)
                                suggestions_offer(&near, parse->tables[t]->flags[i].name);

        (void)diag_set(diag, -EINVAL, "unknown flag: %.*s", (int)n_bytes, word);
        return suggestions_append(&near, "--", diag, -EINVAL);
}

static const char *kind_expects(FlagKind kind) {
        static const char *const expectations[] = {
                [FLAG_BOOL] = "true or false",
                [FLAG_COUNT] = "a whole number of 0 or more",
                [FLAG_PORT] = "a port, from 1 to 65535",
                [FLAG_SECONDS] = "seconds, from 0.001 to a day",
                [FLAG_STRING] = "text",
        };

        return expectations[kind];
}

/* Parse the flag at parse->words[*at] and step over it and, where it has one, its separate value.
 */
static int flag_take(const FlagParse *parse, size_t *at, Options *options, Diag *diag) {
        const char *word = parse->words[*at];
        bool is_short = word[1] != '-';
        const char *name = word + (is_short ? 1 : 2);
        size_t n_bytes = strcspn(name, "=");
        const char *value = name[n_bytes] == '=' ? name + n_bytes + 1 : NULL;
        const Flag *flag;

        flag = flag_find(parse, name, n_bytes, is_short);
        if (!flag)
                return flag_unknown(parse, word, (size_t)(name - word) + n_bytes, diag);

        (*at)++;
        if (!value && flag->kind == FLAG_BOOL)
                value = "true";
        if (!value && *at == parse->n_words)
                return diag_set(diag, -EINVAL, "flag --%s needs a value: --%s=%s", flag->name,
                                flag->name, flag->metavar);
        if (!value)
                value = parse->words[(*at)++];

        if (flag_set(flag, value, options) < 0)
                return diag_set(diag, -EINVAL, "invalid value \"%s\" for flag --%s: expected %s",
                                value, flag->name, kind_expects(flag->kind));
        return 0;
}

int flags_parse(const FlagParse *parse, Options *options, StrList *ret_words, size_t *ret_n_taken,
                Diag *diag) {
        bool flags_ended = false;
        size_t at = 0;
        int r;

        assert(options);

        while (at < parse->n_words) {
                const char *word = parse->words[at];

                if (!flags_ended && streq(word, "--")) {
                        flags_ended = true;
                        at++;
                } else if (!flags_ended && word[0] == '-' && word[1] != '\0') {
                        r = flag_take(parse, &at, options, diag);
                        if (r < 0)
                                return r;
                } else if (parse->until_word) {
                        break;
                } else {
                        r = strlist_add(ret_words, word);
                        if (r < 0)
                                return r;
                        at++;
                }
        }

        *ret_n_taken = at;
        return 0;
}
