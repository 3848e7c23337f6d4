/* SPDX-License-Identifier: Apache-2.0 */

/* What is handed to ssh. Each text passes through up to three readers, and is written for all of
 * them: ssh's own splitting of an option's value into words, its percent tokens, and a shell. A
 * host's name meets all three in places that cannot be quoted, so it is checked instead.
 */

#include "fleetctl/ssh-argv.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/macro.h"

enum {
        PORT_MAX = 65535,
        HOST_MAX_BYTES = 255, /* RFC 1035 */
        MS_PER_S = 1000,
};

void ssh_host_done(SshHost *host) {
        free(host->name);
        *host = (SshHost){ 0 };
}

int ssh_host_check(const char *name, Diag *diag) {
        static const char allowed[] =
                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                "-._:";

        if (strchr(name, '@'))
                return diag_set(diag, -EINVAL,
                                "\"%s\" is no host: the user is named with --ssh-username", name);
        if (name[0] == '\0' || name[0] == '-' || strlen(name) > HOST_MAX_BYTES ||
            name[strspn(name, allowed)] != '\0')
                return diag_set(diag, -EINVAL, "\"%.*s\" is no name or address of a host",
                                HOST_MAX_BYTES, name);
        return 0;
}

static int parse_port(const char *text, uint32_t *ret_port) {
        uint32_t port = 0;

        for (; isdigit((unsigned char)*text) && port <= PORT_MAX; text++)
                port = port * 10 + (uint32_t)(*text - '0');
        if (*text != '\0' || port == 0 || port > PORT_MAX)
                return -EINVAL;

        *ret_port = port;
        return 0;
}

/* Where the name ends, and where the port begins or NULL. `*text` steps over a bracket. */
static size_t host_split(const char **text, const char **ret_port) {
        const char *colon = strchr(*text, ':');
        const char *bracket = (*text)[0] == '[' ? strchr(*text, ']') : NULL;

        *ret_port = NULL;
        if (bracket) {
                if (bracket[1] == ':')
                        *ret_port = bracket + 2;
                else if (bracket[1] != '\0')
                        return 0;
                (*text)++;
                return (size_t)(bracket - *text);
        }
        if (!colon || strchr(colon + 1, ':'))
                return strlen(*text);
        *ret_port = colon + 1;
        return (size_t)(colon - *text);
}

int ssh_host_parse(const char *text, SshHost *ret_host, Diag *diag) {
        const char *given = text, *port;
        size_t n_bytes = host_split(&text, &port);
        SshHost host = { 0 };
        int r;

        if (port && parse_port(port, &host.port) < 0)
                return diag_set(diag, -EINVAL, "\"%s\" names no port from 1 to %d: HOST[:PORT]",
                                given, PORT_MAX);
        host.name = strndup(text, n_bytes);
        if (!host.name)
                return -ENOMEM;

        r = ssh_host_check(host.name, diag);
        if (r < 0) {
                ssh_host_done(&host);
                return r;
        }
        *ret_host = host;
        return 0;
}

/* --- words */

int shell_quote(Buf *out, const char *word) {
        int r = buf_append_string(out, "'");

        while (r == 0 && *word) {
                size_t n = strcspn(word, "'");

                r = buf_append(out, word, n);
                word += n;
                if (r == 0 && *word == '\'') {
                        r = buf_append_string(out, "'\\''");
                        word++;
                }
        }
        return r < 0 ? r : buf_append_string(out, "'");
}

int shell_quote_all(Buf *out, const StrList *words) {
        static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                    "-._:/@=+,";
        int r = 0;

        for (size_t i = 0; r == 0 && i < words->n_items; i++) {
                const char *word = words->items[i];

                if (i > 0)
                        r = buf_append_string(out, " ");
                if (r < 0)
                        break;
                if (word[0] != '\0' && word[strspn(word, plain)] == '\0')
                        r = buf_append_string(out, word);
                else
                        r = shell_quote(out, word);
        }
        return r;
}

int shell_join(Buf *out, char *const *words, size_t n_words) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < n_words; i++)
                r = buf_printf(out, "%s%s", i > 0 ? " " : "", words[i]);
        return r;
}

/* Append `text` with '%' doubled: ssh expands tokens in most values. */
static int append_percents(Buf *out, const char *text) {
        int r = 0;

        for (; r == 0 && *text; text++)
                r = buf_printf(out, *text == '%' ? "%%%%" : "%c", *text);
        return r;
}

/* Append a path to an option's value: quoted for ssh's splitting into words, its tokens escaped. */
static int append_path(Buf *out, const char *path) {
        int r = buf_append_string(out, "\"");

        for (; r == 0 && *path; path++) {
                if (strchr("\"\\", *path))
                        r = buf_append_string(out, "\\");
                else if (*path == '%')
                        r = buf_append_string(out, "%");
                if (r == 0)
                        r = buf_append(out, path, 1);
        }
        return r < 0 ? r : buf_append_string(out, "\"");
}

/* --- arguments */

static int add_option(StrList *argv, const char *setting) {
        int r = strlist_add(argv, "-o");

        return r < 0 ? r : strlist_add(argv, setting);
}

static int add_options(StrList *argv, const char *const *settings) {
        int r = 0;

        for (; r == 0 && *settings; settings++)
                r = add_option(argv, *settings);
        return r;
}

static int add_path_option(StrList *argv, const char *name, const char *path) {
        _cleanup_(buf_done) Buf value = buf_make(SSH_TEXT_MAX_BYTES);
        int r;

        r = buf_printf(&value, "%s=", name);
        if (r == 0)
                r = append_path(&value, path);
        return r < 0 ? r : add_option(argv, value.data);
}

/* Nothing is checked and nothing stored; the messages about what was "added" would be untrue. */
static int add_key_checks(const SshCall *call, StrList *argv) {
        static const char *const unchecked[] = { "StrictHostKeyChecking=no",
                                                 "UserKnownHostsFile=/dev/null",
                                                 "GlobalKnownHostsFile=/dev/null", "LogLevel=ERROR",
                                                 NULL };
        int r;

        if (call->any_host_key)
                return add_options(argv, unchecked);
        r = add_option(argv, "StrictHostKeyChecking=ask");
        return r < 0 ? r : add_path_option(argv, "UserKnownHostsFile", call->known_hosts_file);
}

/* ssh takes whole seconds, at least one. */
static int add_timeout(const SshCall *call, StrList *argv) {
        _cleanup_(buf_done) Buf value = buf_make(SSH_TEXT_MAX_BYTES);
        int r;

        r = buf_printf(&value, "ConnectTimeout=%llu",
                       (unsigned long long)((call->timeout_ms + MS_PER_S - 1) / MS_PER_S));
        return r < 0 ? r : add_option(argv, value.data);
}

/* How a session gets through the tunnel: another ssh, over the tunnel's master. */
static int add_proxy(const SshCall *call, StrList *argv) {
        _cleanup_(buf_done) Buf command = buf_make(SSH_TEXT_MAX_BYTES);
        _cleanup_(buf_done) Buf value = buf_make(SSH_TEXT_MAX_BYTES);
        _cleanup_(strlist_done) StrList words = { 0 };
        const SshCall proxy = {
                .purpose = SSH_FORWARD,
                .host = call->via,
                .config_file = call->config_file,
                .control_path = call->control_path,
                .target = "%",
        };
        int r;

        r = ssh_argv(&proxy, &words);
        for (size_t i = 0; r == 0 && i < words.n_items; i++) {
                if (streq(words.items[i], "%")) {
                        r = buf_append_string(&value, "[%h]:%p ");
                        continue;
                }
                buf_clear(&command);
                r = shell_quote(&command, words.items[i]);
                if (r == 0)
                        r = append_percents(&value, command.data);
                if (r == 0)
                        r = buf_append_string(&value, " ");
        }
        buf_clear(&command);
        if (r == 0)
                r = buf_printf(&command, "ProxyCommand=%s", value.data);
        return r < 0 ? r : add_option(argv, command.data);
}

/* ssh itself cannot say whether its exit code 255 is its own or the remote command's; a file that
 * appears once the connection stands can. */
static int add_marker(const SshCall *call, StrList *argv) {
        _cleanup_(buf_done) Buf quoted = buf_make(SSH_TEXT_MAX_BYTES);
        _cleanup_(buf_done) Buf value = buf_make(SSH_TEXT_MAX_BYTES);
        int r;

        r = shell_quote(&quoted, call->marker);
        if (r == 0)
                r = buf_append_string(&value, "LocalCommand=touch ");
        if (r == 0)
                r = append_percents(&value, quoted.data);
        if (r == 0)
                r = add_option(argv, "PermitLocalCommand=yes");
        return r < 0 ? r : add_option(argv, value.data);
}

static int add_session(const SshCall *call, StrList *argv) {
        int r = strlist_add(argv, call->has_terminal ? "-t" : "-T");

        if (r == 0 && call->forward_agent)
                r = strlist_add(argv, "-A");
        if (r == 0 && call->via)
                r = add_proxy(call, argv);
        if (r == 0 && call->marker)
                r = add_marker(call, argv);
        if (r == 0 && call->command)
                r = add_option(argv, "RemoteCommand=none");
        return r;
}

static int add_master(const SshCall *call, StrList *argv) {
        static const char *const settings[] = { "ControlMaster=yes",     "ControlPersist=no",
                                                "RemoteCommand=none",    "ClearAllForwardings=yes",
                                                "ForwardAgent=no",       "ForwardX11=no",
                                                "PermitLocalCommand=no", NULL };
        int r = strlist_add(argv, "-N");

        if (r == 0)
                r = add_options(argv, settings);
        return r < 0 ? r : add_path_option(argv, "ControlPath", call->control_path);
}

/* Without its master such an ssh would connect, and ask, by itself; a proxy that fails sees to it
 * that it does not. */
static int add_over_master(const SshCall *call, StrList *argv) {
        static const char *const settings[] = { "ControlMaster=no",   "BatchMode=yes",
                                                "ProxyCommand=false", "RemoteCommand=none",
                                                "LogLevel=ERROR",     NULL };
        int r = add_options(argv, settings);

        if (r == 0)
                r = add_path_option(argv, "ControlPath", call->control_path);
        if (r == 0 && call->purpose == SSH_FORWARD)
                r = strlist_add(argv, "-W");
        if (r == 0 && call->purpose == SSH_FORWARD)
                r = strlist_add(argv, call->target);
        if (r == 0 && call->purpose == SSH_CHANNEL)
                r = strlist_add(argv, "-T");
        return r;
}

static int add_connection(const SshCall *call, StrList *argv) {
        int r = add_key_checks(call, argv);

        if (r == 0)
                r = add_timeout(call, argv);
        if (r == 0 && call->user)
                r = strlist_add(argv, "-l");
        if (r == 0 && call->user)
                r = strlist_add(argv, call->user);
        if (r == 0 && call->host->port) {
                _cleanup_(buf_done) Buf port = buf_make(SSH_TEXT_MAX_BYTES);

                r = buf_printf(&port, "-p%u", (unsigned)call->host->port);
                if (r == 0)
                        r = strlist_add(argv, port.data);
        }
        if (r < 0)
                return r;
        return call->purpose == SSH_MASTER ? add_master(call, argv) : add_session(call, argv);
}

int ssh_argv(const SshCall *call, StrList *argv) {
        int r;

        assert(call->host && call->host->name);
        assert(call->config_file);

        r = strlist_add(argv, "ssh");
        if (r == 0)
                r = strlist_add(argv, "-F");
        if (r == 0)
                r = strlist_add(argv, call->config_file);
        if (r < 0)
                return r;

        if (call->purpose == SSH_SESSION || call->purpose == SSH_MASTER)
                r = add_connection(call, argv);
        else
                r = add_over_master(call, argv);

        /* A host after "--" is no option, and what follows the host is no option either. */
        if (r == 0)
                r = strlist_add(argv, "--");
        if (r == 0)
                r = strlist_add(argv, call->host->name);
        if (r == 0 && call->command)
                r = strlist_add(argv, call->command);
        return r;
}

/* --- configuration */

static int append_include(Buf *text, const char *home, const char *file) {
        int r = buf_append_string(text, "Include \"");

        for (const char *c = home; r == 0 && *c; c++)
                r = buf_printf(text, strchr("\"\\*?[", *c) ? "\\%c" : "%c", *c);
        return r < 0 ? r : buf_printf(text, "%s\"\n", file);
}

int ssh_config_text(const char *home, const SshHost *const *hosts, size_t n_hosts, Buf *text) {
        int r = 0;

        if (home)
                r = append_include(text, home, "/.ssh/config");
        if (r == 0)
                r = append_include(text, "", "/etc/ssh/ssh_config");
        if (r == 0)
                r = buf_append_string(text, "Host");
        for (size_t i = 0; r == 0 && i < n_hosts; i++)
                r = buf_printf(text, " %s", hosts[i]->name);
        return r < 0 ? r : buf_append_string(text, "\n    User core\n");
}
