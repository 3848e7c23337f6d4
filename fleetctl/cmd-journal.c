/* SPDX-License-Identifier: Apache-2.0 */

/* journal: the journal of a unit, read where it is (contract section 3). */

#include <errno.h>
#include <stdio.h>

#include "fleetctl/remote.h"
#include "lib/base/macro.h"

/* A name or a format may begin with a dash, and so is never a word of its own. */
static int add_with(StrList *words, const char *flag, const char *value) {
        _cleanup_(freep) char *word = NULL;

        if (asprintf(&word, "%s=%s", flag, value) < 0) {
                word = NULL;
                return -ENOMEM;
        }
        return strlist_add(words, word);
}

static int words(const Options *options, const char *unit, StrList *words) {
        char lines[32];
        int r = options->sudo ? strlist_add(words, "sudo") : 0;

        (void)snprintf(lines, sizeof(lines), "%llu", (unsigned long long)options->lines.value);
        if (r == 0)
                r = strlist_add(words, "journalctl");
        if (r == 0)
                r = add_with(words, "--unit", unit);
        if (r == 0)
                r = strlist_add(words, "--no-pager");
        if (r == 0)
                r = add_with(words, "--lines", lines);
        if (r == 0)
                r = add_with(words, "--output", options->output);
        if (r == 0 && options->follow)
                r = strlist_add(words, "--follow");
        return r;
}

static int run(Cli *cli) {
        static const RemoteCommand command = {
                .words = words,
                .not_there = "running",
        };

        return remote_run_all(cli, &command);
}

static const Flag rows[] = {
        { "lines", "N", "10", "How many lines of the journal to show", offsetof(Options, lines),
          FLAG_COUNT, 'n', false },
        { "follow", NULL, NULL, "Show further lines as they come", offsetof(Options, follow),
          FLAG_BOOL, 'f', false },
        { "sudo", NULL, NULL, "Read the journal as root, by sudo", offsetof(Options, sudo),
          FLAG_BOOL, 0, false },
        { "output", "MODE", "short", "Format of the lines, as journalctl has them",
          offsetof(Options, output), FLAG_STRING, 'o', false },
        { "machine", "ID", NULL, "Only on the machine whose ID begins so, for a global unit",
          offsetof(Options, machine), FLAG_STRING, 0, false },
        SSH_PORT_FLAG,
};
static const FlagTable flags = { rows, ELEMENTSOF(rows) };

const Command cmd_journal = {
        .name = "journal",
        .usage = "[-n N] [-f] [-o MODE] [--sudo] [--machine=ID] [--ssh-port=PORT] UNIT",
        .summary = "Show the journal of a unit, wherever it runs",
        .description =
                "Runs 'journalctl' on the machine of the unit: here, or over SSH. For a global "
                "unit "
                "it is run on\n"
                "every machine that has the unit, headed by the machine; with -f --machine says on "
                "which "
                "one.\n\n"
                "Ends with journalctl's exit code, with 1 for a unit that does not exist or is on "
                "no machine,\n"
                "with 255 when there is no SSH connection.\n",
        .flags = &flags,
        .args = COMMAND_ARGS_UNITS,
        .min_args = 1,
        .max_args = 1,
        .args_message = "One unit file must be provided.",
        .args_exit = EXIT_FAILED,
        .run = run,
};
