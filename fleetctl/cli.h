/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One invocation of fleetctl: what was asked for, and the connection to the cluster. */

#include "fleetctl/client.h"
#include "fleetctl/command.h"
#include "fleetctl/options.h"
#include "fleetctl/ssh.h"
#include "lib/base/diag.h"
#include "lib/base/strlist.h"

/* Given to Command.run(). Zeroed, then filled by cli_parse(). */
struct Cli {
        Options options;
        const Command *command; /* what to run, or NULL when none was named */
        StrList args;           /* its arguments, flags removed; owned */
        Client *client;         /* owned; NULL until cli_client() makes it */
        Ssh *ssh;               /* owned; NULL until cli_ssh() makes it */
};

/* Free what it owns. */
void cli_done(Cli *cli);

/* Read the environment, then `words` (argv without the program). Returns 0, -ENOMEM, or -EINVAL
 * with a message. `cli->command` is set as soon as it is known, also on failure. */
int cli_parse(Cli *cli, char *const *words, size_t n_words, Diag *diag);

/* The message for a command that nobody knows, with suggestions. Returns -EINVAL. */
int cli_unknown_command(const char *name, Diag *diag);

/* Print a message about the command line, and where help is. Returns EXIT_USAGE. */
int cli_fail_usage(const Cli *cli, int error, const Diag *diag);

/* The connection to the API, made when first asked for. Returns 0, or an error that has been
 * printed. */
int cli_client(Cli *cli, Client **ret_client);

/* What connects to machines, made when first asked for. Returns 0, or a negative errno with a
 * message. */
int cli_ssh(Cli *cli, Ssh **ret_ssh, Diag *diag);

/* Print a line on stderr, and return EXIT_FAILED. */
int cli_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* cli_fail() with what `diag` says or, when it says nothing, what `error` (negative errno) means:
 * "<context>: <cause>". */
int cli_fail_because(const char *context, int error, const Diag *diag);
