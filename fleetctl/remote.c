/* SPDX-License-Identifier: Apache-2.0 */

/* Commands where units are. On this machine they run without SSH: whoever can read the machine's ID
 * is on it. Elsewhere the words are quoted for the shell that sshd hands them to.
 */

#include "fleetctl/remote.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fleetctl/child.h"
#include "fleetctl/found.h"
#include "fleetctl/label.h"
#include "fleetctl/resolve.h"
#include "fleetctl/ssh-argv.h"
#include "lib/base/macro.h"

enum { MACHINE_ID_BYTES = 32 }; /* machine-id(5) */

static bool is_this_machine(const char *id) {
        char own[MACHINE_ID_BYTES + 1] = "";
        FILE *file = fopen("/etc/machine-id", "re");
        bool is_read = file && fgets(own, sizeof(own), file);

        if (file)
                (void)fclose(file);
        return is_read && strlen(own) == MACHINE_ID_BYTES && streq(own, id);
}

static int run_here(const StrList *words, Diag *diag) {
        _cleanup_(freep) char **argv = calloc(words->n_items + 1, sizeof(char *));
        ChildSpec spec = { .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1 };

        if (!argv)
                return -ENOMEM;
        memcpy(argv, words->items, words->n_items * sizeof(char *));
        return child_run(&spec, NULL, diag);
}

static int run_over_ssh(Cli *cli, const Place *place, const StrList *words, Diag *diag) {
        _cleanup_(buf_done) Buf command = buf_make(SSH_TEXT_MAX_BYTES);
        bool has_terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
        SshJob job = {
                .address = place->address,
                .port = (uint32_t)cli->options.ssh_port.value,
                .has_terminal = has_terminal,
                .leaves_stdin = !has_terminal,
        };
        Ssh *ssh;
        int r;

        if (!place->address)
                return diag_set(diag, -EHOSTUNREACH,
                                "the machine %s is not in the cluster now, or tells no address",
                                place->id);
        r = shell_quote_all(&command, words);
        if (r == 0)
                r = cli_ssh(cli, &ssh, diag);
        if (r < 0)
                return r;
        job.command = command.data;
        return ssh_run(ssh, &job, diag);
}

static int run_at(Cli *cli, const Place *place, const StrList *words) {
        Diag diag = { 0 };
        int r;

        if (is_this_machine(place->id)) {
                r = run_here(words, &diag);
                return r < 0 ? cli_fail_because("Unable to run command", r, &diag) : r;
        }

        r = run_over_ssh(cli, place, words, &diag);
        if (r >= 0)
                return r;
        (void)cli_fail_because("Unable to SSH to remote host", r, &diag);
        return EXIT_NO_SSH;
}

static void print_heading(const Place *place, bool is_first) {
        _cleanup_(buf_done) Buf label = buf_make(1024);

        if (label_append(&label, place->id, place->address, false) == 0)
                (void)printf("%s==> %s <==\n", is_first ? "" : "\n", label.data);
}

static int fail_not_there(const Cli *cli, const RemoteCommand *command, const Unit *unit) {
        if (cli->options.machine)
                return cli_fail("Unit %s is on no machine whose ID begins with %s.", unit->name,
                                cli->options.machine);
        (void)cli_fail("Unit %s does not appear to be %s.", unit->name, command->not_there);
        if (unit->why)
                (void)cli_fail("%s", unit->why);
        return EXIT_FAILED;
}

/* The first machine's journal would never let the next one's be shown. */
static int fail_endless(const Unit *unit, const Places *places) {
        _cleanup_(buf_done) Buf text = buf_make(64 * 1024);
        int r = 0;

        for (size_t i = 0; r == 0 && i < places->n_items; i++) {
                const Place *place = &places->items[i];

                r = buf_append_string(&text, "\n\t");
                if (r == 0)
                        r = label_append(&text, place->id, place->address, false);
        }
        return cli_fail("Unit %s is on several machines, and only one can be followed; say which "
                        "with --machine=ID:%s",
                        unit->name, text.data ? text.data : "");
}

/* At each place of the unit; the first code that is not 0 counts. */
static int run_unit(Cli *cli, const RemoteCommand *command, const Unit *unit, bool is_first,
                    Places *places) {
        _cleanup_(strlist_done) StrList words = { 0 };
        bool is_global;
        int code = 0;

        if (places_of_unit(cli, unit, places) < 0 || found_is_global(unit, &is_global) < 0)
                return EXIT_FAILED;
        if (places->n_items == 0)
                return fail_not_there(cli, command, unit);
        if (places->n_items > 1 && cli->options.follow)
                return fail_endless(unit, places);
        if (command->words(&cli->options, unit->name, &words) < 0)
                return cli_fail("Out of memory");

        if (!is_first)
                (void)putchar('\n');
        for (size_t i = 0; i < places->n_items; i++) {
                int r;

                if (is_global)
                        print_heading(&places->items[i], i == 0);
                r = run_at(cli, &places->items[i], &words);
                code = code ? code : r;
        }
        if (unit->why)
                (void)printf("fleet: %s\n", unit->why);
        return code;
}

static int run_units(Cli *cli, const RemoteCommand *command, const StrList *names,
                     const Unit *units) {
        _cleanup_(places_done) Places places = { 0 };
        int code = 0;

        for (size_t i = 0; code == 0 && i < names->n_items; i++) {
                if (!units[i].name)
                        return cli_fail("Unit %s does not exist.", names->items[i]);
                if (places_read(cli, &places) < 0)
                        return EXIT_FAILED;
                code = run_unit(cli, command, &units[i], i == 0, &places);
        }
        return code;
}

static int look_up(Cli *cli, Resolved *resolved, Unit **ret_units) {
        Diag diag = { 0 };
        Client *client;
        int r;

        r = cli_client(cli, &client);
        if (r < 0)
                return r;

        r = resolve_words(client, &cli->args, resolved, &diag);
        if (r == 0) {
                *ret_units = calloc(resolved->names.n_items + 1, sizeof(Unit));
                r = *ret_units ? resolved_get_units(resolved, client, *ret_units, &diag) : -ENOMEM;
        }
        if (r < 0)
                (void)cli_fail_because("Error retrieving units", r, &diag);
        return r;
}

int remote_run_all(Cli *cli, const RemoteCommand *command) {
        _cleanup_(resolved_done) Resolved resolved = { 0 };
        Unit *units = NULL;
        int code = EXIT_FAILED;

        if (look_up(cli, &resolved, &units) == 0) {
                code = run_units(cli, command, &resolved.names, units);
                for (size_t i = 0; i < resolved.unmatched.n_items; i++) {
                        int failed = cli_fail("No unit matches %s", resolved.unmatched.items[i]);

                        code = code ? code : failed;
                }
        }
        for (size_t i = 0; units && i < resolved.names.n_items; i++)
                unit_done(&units[i]);
        free(units);
        return code;
}
