/* SPDX-License-Identifier: Apache-2.0 */

/* destroy: units end, and the cluster forgets them. The place of each is read first: once a unit is
 * forgotten, only that says where to look for its end.
 */

#include <errno.h>
#include <stdio.h>

#include "fleetctl/found.h"
#include "fleetctl/wait.h"

/* Those that were removed. Arrays owned, units borrowed. */
typedef struct Removed {
        Unit *units; /* names and machines */
        size_t n_units;
        size_t n_failed;
} Removed;

static int names_of(const Found *found, StrList *ret_names) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < found->n_units; i++)
                r = strlist_add(ret_names, found->units[i].name);
        return r;
}

static int remove_units(Client *client, const Found *found, Removed *ret_removed, Diag *diag) {
        _cleanup_(strlist_done) StrList names = { 0 };
        _cleanup_(freep) Diag *faults = NULL;
        int r;

        faults = calloc(found->n_units, sizeof(*faults));
        ret_removed->units = calloc(found->n_units, sizeof(Unit));
        if (!faults || !ret_removed->units)
                return -ENOMEM;

        r = names_of(found, &names);
        if (r == 0)
                r = client_delete_units(client, &names, faults, diag);
        if (r < 0)
                return r;

        for (size_t i = 0; i < found->n_units; i++)
                if (faults[i].message[0]) {
                        ret_removed->n_failed++;
                        (void)cli_fail("Error destroying units: %s", faults[i].message);
                } else {
                        ret_removed->units[ret_removed->n_units++] = (Unit){
                                .name = found->units[i].name,
                                .machine_id = found->units[i].machine_id,
                        };
                }
        return 0;
}

static int finish(const Cli *cli, const Removed *removed, Diag *diag) {
        const WaitSpec spec = {
                .state = "gone",
                .done = "destroyed",
                .block_attempts = { cli->options.block_attempts.value, true },
        };

        if (!cli->options.no_block)
                return wait_for_units(cli->client, &spec, removed->units, removed->n_units, diag);

        for (size_t i = 0; i < removed->n_units; i++)
                (void)printf("Destroyed %s\n", removed->units[i].name);
        return 0;
}

static int destroy(const Cli *cli, const Found *found) {
        Removed removed = { 0 };
        Diag diag = { 0 };
        int r;

        r = remove_units(cli->client, found, &removed, &diag);
        if (r == 0)
                r = finish(cli, &removed, &diag);
        free(removed.units);

        if (r != 0)
                return cli_fail("Error destroying units: %s",
                                diag.message[0] ? diag.message : "out of memory");
        return removed.n_failed > 0 ? EXIT_FAILED : EXIT_OK;
}

static int run(Cli *cli) {
        _cleanup_(found_done) Found found = { 0 };

        if (found_look_up(cli, &found) < 0)
                return EXIT_FAILED;
        return found.n_units > 0 ? destroy(cli, &found) : found_fail_empty();
}

const Command cmd_destroy = {
        .name = "destroy",
        .usage = "[--no-block] [--block-attempts=N] UNIT...",
        .summary = "Stop units, and have the cluster forget them",
        .description = "The units are stopped, their files removed from the machines, and their "
                       "content from the\n"
                       "cluster. Waits until they have ended: their ExecStop= lines have run. This "
                       "cannot be\n"
                       "undone; 'fleetctl cat UNIT' shows what would be lost.\n",
        .flags = &wait_flags,
        .args = COMMAND_ARGS_UNITS,
        .min_args = 1,
        .max_args = COMMAND_ARGS_ANY,
        .args_message = "No units given",
        .args_exit = EXIT_OK,
        .run = run,
};
