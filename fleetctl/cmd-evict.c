/* SPDX-License-Identifier: Apache-2.0 */

/* evict: give up machines that are missing and keep their units, because too many vanished at once.
 * Then their units move, and are waited for. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fleetctl/cli.h"
#include "fleetctl/label.h"
#include "fleetctl/wait.h"
#include "lib/base/buf.h"

enum { ID_BYTES = 32 };

/* One invocation. */
typedef struct Evict {
        Client *client;       /* borrowed */
        BrakeRecord held;     /* the machines that keep their units */
        Page machines, units; /* those that are there; all */
} Evict;

static void evict_done(Evict *evict) {
        brake_record_done(&evict->held);
        page_done(&evict->machines);
        page_done(&evict->units);
}

/* The only machine whose ID begins so; NULL when there is none. Sets *ret_is_one to false when there
 * are several. */
static const char *find_machine(const Machine *machines, size_t n, const char *prefix,
                                bool *ret_is_one) {
        const char *found = NULL;

        *ret_is_one = true;
        for (size_t i = 0; i < n; i++)
                if (machines[i].id && strncmp(machines[i].id, prefix, strlen(prefix)) == 0) {
                        *ret_is_one = !found;
                        found = machines[i].id;
                }
        return found;
}

/* The ID that a word means, or NULL after having said why none. A whole ID is left to the server. */
static const char *choose_machine(const Evict *evict, const char *word) {
        bool is_one;
        const char *id = find_machine(evict->held.machines, evict->held.n_machines, word, &is_one);

        if (id && !is_one)
                (void)cli_fail(
                        "Several machines that are missing begin with %s: say more of the ID",
                        word);
        if (id)
                return is_one ? id : NULL;

        id = find_machine(evict->machines.machines, evict->machines.n_machines, word, &is_one);
        if (id) {
                (void)cli_fail("Machine %s is in the cluster, and not given up: stop fleet there, "
                               "and its units move",
                               id);
                return NULL;
        }
        if (strlen(word) == ID_BYTES)
                return word;
        (void)cli_fail("No machine %s is missing and keeps its units (fleetctl list-machines)",
                       word);
        return NULL;
}

static int wait_for(const Evict *evict, const Cli *cli, const StrList *ids, const char *state,
                    Diag *diag) {
        const WaitSpec spec = { .state = state,
                                .done = state,
                                .block_attempts = cli->options.block_attempts };
        _cleanup_(freep) Unit *moving = calloc(evict->units.n_units + 1, sizeof(Unit));
        size_t n = 0;

        if (!moving)
                return -ENOMEM;
        for (size_t i = 0; i < evict->units.n_units; i++) {
                const Unit *unit = &evict->units.units[i];

                if (unit->machine_id && strlist_has(ids, unit->machine_id) && unit->desired_state &&
                    streq(unit->desired_state, state))
                        moving[n++] = (Unit){ .name = unit->name };
        }
        return n > 0 ? wait_for_units(evict->client, &spec, moving, n, diag) : 0;
}

static int evict_all(const Evict *evict, const StrList *words, StrList *ret_ids) {
        int code = EXIT_OK;

        for (size_t i = 0; i < words->n_items; i++) {
                const char *id = choose_machine(evict, words->items[i]);
                Diag diag = { 0 };
                int r;

                r = id ? client_evict(evict->client, id, &diag) : -EINVAL;
                if (r == 0)
                        r = strlist_add(ret_ids, id);
                if (r == 0) {
                        (void)printf("Machine %s given up\n", id);
                        continue;
                }
                code = EXIT_FAILED;
                if (id)
                        (void)cli_fail_because("Error giving up a machine", r, &diag);
        }
        (void)fflush(stdout);
        return code;
}

static int run(Cli *cli) {
        _cleanup_(evict_done) Evict evict = { 0 };
        _cleanup_(strlist_done) StrList ids = { 0 };
        Diag diag = { 0 };
        int r, code;

        if (cli_client(cli, &evict.client) < 0)
                return EXIT_FAILED;
        r = client_held(evict.client, &evict.held, &diag);
        if (r == 0)
                r = client_list(evict.client, LIST_MACHINES, &evict.machines, &diag);
        if (r == 0)
                r = client_list(evict.client, LIST_UNITS, &evict.units, &diag);
        if (r < 0)
                return cli_fail_because("Error looking for the machines", r, &diag);

        code = evict_all(&evict, &cli->args, &ids);
        if (cli->options.no_block || ids.n_items == 0)
                return code;

        r = wait_for(&evict, cli, &ids, "launched", &diag);
        if (r == 0)
                r = wait_for(&evict, cli, &ids, "loaded", &diag);
        return r == 0 ? code : cli_fail_because("Error waiting for the units", r, &diag);
}

const Command cmd_evict = {
        .name = "evict",
        .usage = "[--no-block] [--block-attempts=N] MACHINE...",
        .summary = "Give up machines that are missing, so that their units move",
        .description = "When more machines vanish at once than eviction_limit allows, their units "
                       "stay with them\n"
                       "until they are back: list-machines tells. This gives up those that will "
                       "not come back.\n"
                       "Their units are started elsewhere, although they may still run there, and "
                       "waited for.\n"
                       "A machine that is in the cluster is not given up. MACHINE is an ID or the "
                       "beginning of one.\n",
        .flags = &wait_flags,
        .args = COMMAND_ARGS_MACHINES,
        .min_args = 1,
        .max_args = COMMAND_ARGS_ANY,
        .args_message = "One or more machines must be named",
        .args_exit = EXIT_FAILED,
        .run = run,
};
