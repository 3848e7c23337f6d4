/* SPDX-License-Identifier: Apache-2.0 */

/* cat: the unit file as the cluster has it, in the canonical form whose SHA-1 is the unit's hash
 * (contract section 5.4). */

#include <stdio.h>
#include <string.h>

#include "fleetctl/expand.h"
#include "fleetctl/found.h"
#include "lib/unit/unit-name.h"

enum { PRINT_MAX_BYTES = 4 * UNIT_FILE_MAX_BYTES }; /* a header line per option at worst */

static int print_unit(const Unit *unit) {
        _cleanup_(buf_done) Buf text = buf_make(PRINT_MAX_BYTES);
        int r;

        if (!unit->options)
                return EXIT_OK;
        r = unit_file_print(unit->options, &text);
        if (r < 0)
                return cli_fail("Error printing unit %s: %s", unit->name, strerror(-r));

        (void)fwrite(text.data, 1, text.n_bytes, stdout);
        return EXIT_OK;
}

static int fail_not_found(const Cli *cli) {
        _cleanup_(freep) char *name = NULL;

        if (unit_pattern_is_one(cli->args.items[0]))
                return EXIT_FAILED; /* that has been told of */
        if (unit_name_mangle(cli->args.items[0], &name) < 0)
                return cli_fail("Out of memory");
        return cli_fail("Unit %s not found", name);
}

/* One unit's file is printed as it is, to the byte; several are told apart by a comment. */
static int run(Cli *cli) {
        _cleanup_(found_done) Found found = { 0 };
        int code = EXIT_OK;

        if (found_look_up(cli, &found) < 0)
                return EXIT_FAILED;
        if (found.n_units == 0)
                return fail_not_found(cli);

        for (size_t i = 0; code == EXIT_OK && i < found.n_units; i++) {
                if (found.n_units > 1)
                        (void)printf("%s# %s\n", i > 0 ? "\n" : "", found.units[i].name);
                code = print_unit(&found.units[i]);
        }
        return code;
}

const Command cmd_cat = {
        .name = "cat",
        .usage = "UNIT",
        .summary = "Print the unit file of a unit",
        .description = "Prints what the cluster has, in canonical form: without comments, a line "
                       "per option. The\n"
                       "SHA-1 of the output is the hash that list-unit-files shows. A pattern or "
                       "braces that mean\n"
                       "several units print each, headed by a comment with its name.\n",
        .args = COMMAND_ARGS_UNITS,
        .min_args = 1,
        .max_args = 1,
        .args_message = "One unit file must be provided",
        .args_exit = EXIT_FAILED,
        .run = run,
};
