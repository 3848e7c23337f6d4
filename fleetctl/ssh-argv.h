/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The command lines of OpenSSH's client, and the words of a remote shell: pure functions (contract
 * section 3, SSH transport). How they are run is ssh.h's matter. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/diag.h"
#include "lib/base/strlist.h"

enum { SSH_TEXT_MAX_BYTES = 128 * 1024 }; /* of one argument: the kernel's limit, execve(2) */

/* A host to connect to. Strings owned; zeroed is none. */
typedef struct SshHost {
        char *name;    /* name or address, checked by ssh_host_check() */
        uint32_t port; /* 0 = what ssh's configuration says, 22 when it says nothing */
} SshHost;

/* Free the members; zeroed afterwards. */
void ssh_host_done(SshHost *host);

/* Parse "HOST", "HOST:PORT", "[IPV6]", "[IPV6]:PORT" or a bare IPv6 address. Returns 0, -ENOMEM, or
 * -EINVAL with a message. */
int ssh_host_parse(const char *text, SshHost *ret_host, Diag *diag);

/* Can this be the name or address of a host, and nothing else to ssh or a shell? Returns 0, or
 * -EINVAL with a message. */
int ssh_host_check(const char *name, Diag *diag);

/* What one connection is for. */
typedef enum SshPurpose {
        SSH_SESSION, /* a command or a login */
        SSH_MASTER,  /* nothing by itself: channels share it (ssh_config(5), ControlMaster) */
        SSH_CHANNEL, /* a command, over a master */
        SSH_FORWARD, /* a TCP connection from the far end, over a master */
} SshPurpose;

/* One run of ssh. Strings borrowed; NULL where not wanted. */
typedef struct SshCall {
        SshPurpose purpose;
        const SshHost *host;
        const char *user;             /* given by the user; NULL leaves it to the configuration */
        const char *config_file;      /* made by ssh_config_text() */
        const char *known_hosts_file; /* path */
        bool any_host_key;            /* check no key, store no key */
        uint64_t timeout_ms;          /* until the connection stands */
        const char *control_path;     /* of the master; for a session: reach the host through it */
        const SshHost *via;           /* the master's host, for a session through it */
        const char *marker;           /* session: create this file once logged in */
        bool forward_agent;           /* session */
        bool has_terminal;            /* session: ask for a terminal there */
        const char *command;          /* session, channel: for the remote shell; NULL is a login */
        const char *target;           /* forward: HOST:PORT as the far end reaches it */
} SshCall;

/* Append ssh's argv. Returns 0, -ENOMEM, or -ENOBUFS when an argument is longer than the kernel
 * takes. */
int ssh_argv(const SshCall *call, StrList *argv);

/* Append the text of a configuration file for ssh -F: what the user and the system have configured,
 * then fleet's default user for `hosts` (contract section 2.1, --ssh-username), which so yields to
 * a User of theirs. `home` is the user's home directory, or NULL. Errors as buf_append(). */
int ssh_config_text(const char *home, const SshHost *const *hosts, size_t n_hosts, Buf *text);

/* Append a word so that a POSIX shell reads exactly it. Errors as buf_append(). */
int shell_quote(Buf *out, const char *word);

/* Append words, each quoted where it has to be, with blanks between. Errors as buf_append(). */
int shell_quote_all(Buf *out, const StrList *words);

/* Append words as they are, with blanks between. Errors as buf_append(). */
int shell_join(Buf *out, char *const *words, size_t n_words);
