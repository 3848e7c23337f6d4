/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* SSH by the system's own OpenSSH client (contract sections 2.1 and 3): commands and logins on
 * machines, and connections to the API through a tunnel. Keys, agents, certificates, ~/.ssh/config
 * and jump hosts are ssh's business; fleet's flags come on top.
 */

#include <stdbool.h>
#include <stdint.h>

#include "fleetctl/http.h"
#include "fleetctl/options.h"
#include "lib/base/diag.h"
#include "lib/base/macro.h"

typedef struct Ssh Ssh;

/* Prepare; nothing is connected yet. Options are borrowed. Returns 0, or a negative errno with a
 * message: a --tunnel that names no host, no private folder. */
int ssh_new(const Options *options, Ssh **ret_ssh, Diag *diag);

/* Close the tunnel. Takes NULL; returns NULL. */
Ssh *ssh_free(Ssh *ssh);
DEFINE_CLEANUP(Ssh, ssh_free)

/* Connect to the host of --tunnel, unless that is done. Asks what there is to ask. Returns 0, or a
 * negative errno with a message. */
int ssh_open_tunnel(Ssh *ssh, Diag *diag);

/* What takes connections to the API through the tunnel; belongs to `ssh`. */
HttpRelay *ssh_relay(Ssh *ssh);

/* Something to run on a machine. */
typedef struct SshJob {
        const char *address; /* of the machine; through the tunnel, if there is one */
        const char *command; /* for the shell there; NULL = a login */
        uint32_t port;       /* 0 = ssh's own choice */
        bool forward_agent;
        bool has_terminal; /* ask for a terminal there */
        bool leaves_stdin; /* the command reads nothing of ours */
} SshJob;

/* Run it and wait. Returns its exit code, 0 for a login that came about, 128 + N when signal N ended
 * it, or a negative errno with a message when there was no connection; ssh itself has told the cause on stderr then. */
int ssh_run(Ssh *ssh, const SshJob *job, Diag *diag);

/* The path that `text` means: a leading ~ or ~USER is a home directory (contract section 2.1,
 * --known-hosts-file). The caller frees it. Returns 0, -ENOMEM, or -ENOENT with a message for a user
 * who does not exist. */
int ssh_expand_home(const char *text, char **ret_path, Diag *diag);
