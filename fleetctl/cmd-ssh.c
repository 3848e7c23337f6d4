/* SPDX-License-Identifier: Apache-2.0 */

/* ssh: a shell or a command on a machine of the cluster, named by its ID or by a unit on it
 * (contract section 3). */

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "fleetctl/found.h"
#include "fleetctl/place.h"
#include "fleetctl/remote.h"
#include "fleetctl/ssh-argv.h"
#include "lib/base/macro.h"
#include "lib/unit/unit-name.h"

static int fail_to_proceed(const char *cause) {
        return cli_fail("Unable to proceed: %s", cause);
}

/* Read the unit that `word` means; `ret_unit` stays zeroed when there is none. */
static int read_unit(Cli *cli, const char *word, Unit *ret_unit) {
        _cleanup_(strlist_done) StrList names = { 0 };
        _cleanup_(freep) char *name = NULL;
        Diag diag = { 0 };
        int r;

        r = unit_name_mangle(word, &name);
        if (r == 0 && unit_name_check(name, NULL) < 0)
                return 0;
        if (r == 0)
                r = strlist_add(&names, name);
        if (r == 0)
                r = client_get_units(cli->client, &names, ret_unit, &diag);
        if (r < 0)
                (void)cli_fail_because("Error retrieving units", r, &diag);
        return r;
}

/* The one machine of a unit. Returns EXIT_OK, or an exit code after a message. */
static int choose_by_unit(Cli *cli, const Unit *unit, Places *places, Place *ret_place) {
        bool is_global;

        if (found_is_global(unit, &is_global) < 0)
                return cli_fail("Out of memory");
        if (is_global)
                return fail_to_proceed("global units unsupported, name a machine");
        if (places_of_unit(cli, unit, places) < 0)
                return EXIT_FAILED;
        if (places->n_items == 0) {
                (void)cli_fail("Unit %s does not appear to be loaded.", unit->name);
                return unit->why ? cli_fail("%s", unit->why) : EXIT_FAILED;
        }
        *ret_place = places->items[0];
        return EXIT_OK;
}

static int choose_machine(Places *places, const char *prefix, Place *ret_place) {
        int r = places_find(places, prefix, ret_place);

        if (r == -ENOENT)
                return fail_to_proceed("machine does not exist");
        return r < 0 ? fail_to_proceed("found more than one machine") : EXIT_OK;
}

/* `word` is the beginning of a machine's ID or the name of a unit. */
static int choose_either(Cli *cli, const char *word, const Unit *unit, Places *places,
                         Place *ret_place) {
        int r = word[0] != '\0' ? places_find(places, word, ret_place) : -ENOENT;

        if (r != -ENOENT && unit->name)
                return fail_to_proceed(
                        "ambiguous argument, both machine and unit found; say which with --machine "
                        "or --unit");
        if (r == -ENOTUNIQ)
                return fail_to_proceed("found more than one machine");
        if (r == 0)
                return EXIT_OK;
        if (!unit->name)
                return fail_to_proceed("could not find matching unit or machine");
        return choose_by_unit(cli, unit, places, ret_place);
}

/* Where to go. `*ret_n_taken` is how many arguments named it. */
static int choose(Cli *cli, Places *places, Place *ret_place, size_t *ret_n_taken) {
        const char *by_unit = cli->options.unit, *by_machine = TAKE(cli->options.machine);
        const char *word = by_unit ? by_unit : cli->args.n_items > 0 ? cli->args.items[0] : NULL;
        _cleanup_(unit_done) Unit unit = { 0 };

        *ret_n_taken = by_unit || by_machine ? 0 : 1;
        if (by_unit && by_machine)
                return cli_fail("Both machine and unit flags provided, please specify only one.");
        if (!word && !by_machine)
                return fail_to_proceed("one machine or unit must be provided");
        if (places_read(cli, places) < 0)
                return EXIT_FAILED;
        if (by_machine)
                return choose_machine(places, by_machine, ret_place);

        if (read_unit(cli, word, &unit) < 0)
                return EXIT_FAILED;
        if (!by_unit)
                return choose_either(cli, word, &unit, places, ret_place);
        return unit.name ? choose_by_unit(cli, &unit, places, ret_place)
                         : fail_to_proceed("unit does not exist");
}

static int connect_to(Cli *cli, const Place *place, char *const *words, size_t n_words) {
        _cleanup_(buf_done) Buf command = buf_make(SSH_TEXT_MAX_BYTES);
        SshJob job = {
                .address = place->address,
                .port = (uint32_t)cli->options.ssh_port.value,
                .forward_agent = cli->options.forward_agent,
                .has_terminal = isatty(STDIN_FILENO) && (n_words == 0 || isatty(STDOUT_FILENO)),
        };
        Diag diag = { 0 };
        Ssh *ssh;
        int r = shell_join(&command, words, n_words);

        if (r == -ENOBUFS)
                r = diag_set(&diag, -E2BIG, "the command is longer than %d bytes",
                             SSH_TEXT_MAX_BYTES);
        job.command = n_words > 0 ? command.data : NULL;
        if (r == 0)
                r = cli_ssh(cli, &ssh, &diag);
        if (r == 0)
                r = ssh_run(ssh, &job, &diag);
        if (r < 0)
                return cli_fail_because("Unable to establish SSH connection", r, &diag);
        return r;
}

static int run(Cli *cli) {
        _cleanup_(places_done) Places places = { 0 };
        Place place = { 0 };
        size_t n_taken;
        int code;

        code = choose(cli, &places, &place, &n_taken);
        if (code != EXIT_OK)
                return code;
        if (!place.address)
                return cli_fail("Could not determine address of machine.");
        return connect_to(cli, &place, cli->args.items + n_taken, cli->args.n_items - n_taken);
}

static const Flag rows[] = {
        { "machine", "ID", NULL, "Go to the machine whose ID begins so", offsetof(Options, machine),
          FLAG_STRING, 0, false },
        { "unit", "NAME", NULL, "Go to the machine of this unit", offsetof(Options, unit),
          FLAG_STRING, 0, false },
        { "forward-agent", NULL, NULL, "Let the machine use the SSH agent of this one",
          offsetof(Options, forward_agent), FLAG_BOOL, 'A', false },
        SSH_PORT_FLAG,
};
static const FlagTable flags = { rows, ELEMENTSOF(rows) };

const Command cmd_ssh = {
        .name = "ssh",
        .usage = "[-A] [--ssh-port=PORT] [MACHINE|UNIT|--machine=ID|--unit=NAME] [COMMAND...]",
        .summary = "Open a shell or run a command on a machine of the cluster",
        .description =
                "MACHINE is the beginning of a machine's ID; a UNIT stands for the machine that it "
                "is on. The words\n"
                "of COMMAND are joined by blanks and run by the shell there. Options of COMMAND "
                "follow a --, as\n"
                "in 'fleetctl ssh 0c1f -- ls -l', or are quoted with it as one word.\n\n"
                "Ends with the exit code of COMMAND, with 0 after a shell, with 1 when there is no "
                "connection.\n",
        .flags = &flags,
        .args = COMMAND_ARGS_PLACES,
        .max_args = COMMAND_ARGS_ANY,
        .run = run,
};
