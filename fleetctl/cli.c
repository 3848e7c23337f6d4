/* SPDX-License-Identifier: Apache-2.0 */

/* From words to a command with options. The first word that is no flag names the command; before it
 * only global flags may stand, since nobody can know yet which others there are; after it both
 * kinds. The client is made late: what needs no cluster (help, version, a mistyped flag) neither
 * waits for one nor fails without.
 */

#include "fleetctl/cli.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fleetctl/suggest.h"
#include "lib/base/macro.h"

void cli_done(Cli *cli) {
        strlist_done(&cli->args);
        cli->client = client_free(cli->client);
        cli->ssh = ssh_free(cli->ssh);
}

int cli_unknown_command(const char *name, Diag *diag) {
        Suggestions near = { .typed = name, .n_typed = strlen(name) };

        for (size_t i = 0; i < n_commands; i++)
                suggestions_offer(&near, commands[i]->name);

        (void)diag_set(diag, -EINVAL, "unknown command \"%s\" for \"fleetctl\"", name);
        return suggestions_append(&near, "", diag, -EINVAL);
}

/* Commands without flags of their own share this. */
static const FlagTable no_flags;

int cli_parse(Cli *cli, char *const *words, size_t n_words, Diag *diag) {
        const FlagTable *tables[2] = { &global_flags };
        FlagParse parse = { tables, 1, words, n_words, true };
        size_t n_taken;
        int r;

        flags_set_defaults(&global_flags, &cli->options);
        flags_read_environment(&global_flags, &cli->options);

        r = flags_parse(&parse, &cli->options, &cli->args, &n_taken, diag);
        if (r < 0 || n_taken == n_words)
                return r;

        cli->command = command_find(words[n_taken]);
        if (!cli->command)
                return cli_unknown_command(words[n_taken], diag);

        tables[0] = cli->command->flags ? cli->command->flags : &no_flags;
        tables[1] = &global_flags;
        flags_set_defaults(tables[0], &cli->options);
        parse = (FlagParse){ tables, 2, words + n_taken + 1, n_words - n_taken - 1, false };
        return flags_parse(&parse, &cli->options, &cli->args, &n_taken, diag);
}

int cli_ssh(Cli *cli, Ssh **ret_ssh, Diag *diag) {
        int r = cli->ssh ? 0 : ssh_new(&cli->options, &cli->ssh, diag);

        *ret_ssh = cli->ssh;
        return r;
}

/* What can be seen to be wrong without a connection is told before one is made. */
static int client_through_tunnel(Cli *cli, Diag *diag) {
        Ssh *ssh;
        int r;

        r = cli_ssh(cli, &ssh, diag);
        if (r == 0)
                r = client_new(&cli->options, ssh_relay(ssh), &cli->client, diag);
        return r < 0 ? r : ssh_open_tunnel(ssh, diag);
}

int cli_client(Cli *cli, Client **ret_client) {
        const char *tunnel = cli->options.tunnel;
        Diag diag = { 0 };
        int r = 0;

        if (!cli->client && tunnel && tunnel[0] != '\0')
                r = client_through_tunnel(cli, &diag);
        else if (!cli->client)
                r = client_new(&cli->options, NULL, &cli->client, &diag);
        if (r < 0) {
                (void)cli_fail_because("Unable to initialize client", r, &diag);
                return r;
        }

        *ret_client = cli->client;
        return 0;
}

int cli_fail(const char *format, ...) {
        va_list args;

        va_start(args, format);
        (void)vfprintf(stderr, format, args);
        va_end(args);
        (void)fputc('\n', stderr);
        return EXIT_FAILED;
}

int cli_fail_because(const char *context, int error, const Diag *diag) {
        bool has_cause = diag && diag->message[0] != '\0';

        assert(error < 0);

        return cli_fail("%s: %s", context, has_cause ? diag->message : strerror(-error));
}

int cli_fail_usage(const Cli *cli, int error, const Diag *diag) {
        (void)cli_fail_because("Error", error, diag);
        (void)cli_fail("Run 'fleetctl %s%s--help' for usage.",
                       cli->command ? cli->command->name : "", cli->command ? " " : "");
        return EXIT_USAGE;
}
