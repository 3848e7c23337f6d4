/* SPDX-License-Identifier: Apache-2.0 */

/* Words become names, names become units, in one request for all. A word that can be no unit's name
 * is not an error: no cluster knows such a unit, so it is left out like any other that is unknown.
 */

#include "fleetctl/found.h"

#include <errno.h>

#include "fleetctl/unit-args.h"
#include "lib/unit/requirements.h"
#include "lib/unit/unit-name.h"

void found_done(Found *found) {
        for (size_t i = 0; i < found->n_units; i++)
                unit_done(&found->units[i]);
        free(found->units);
        *found = (Found){ 0 };
}

/* Keep the names that a unit can have at all; no cluster knows the others. */
static int keep_valid(const StrList *names, StrList *ret_valid) {
        for (size_t i = 0; i < names->n_items; i++) {
                int r = unit_name_check(names->items[i], NULL) < 0
                                ? 0
                                : strlist_add(ret_valid, names->items[i]);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int look_up(Client *client, const StrList *words, Found *ret_found, Diag *diag) {
        _cleanup_(strlist_done) StrList names = { 0 }, valid = { 0 };
        _cleanup_(found_done) Found found = { 0 };
        size_t n_known = 0;
        int r;

        r = unit_args_read(words, &names, NULL);
        if (r == 0)
                r = keep_valid(&names, &valid);
        if (r < 0)
                return r;

        found.units = calloc(valid.n_items + 1, sizeof(*found.units));
        if (!found.units)
                return -ENOMEM;
        found.n_units = valid.n_items;

        r = client_get_units(client, &valid, found.units, diag);
        if (r < 0)
                return r;

        for (size_t i = 0; i < found.n_units; i++)
                if (found.units[i].name)
                        found.units[n_known++] = found.units[i];

        found.n_units = n_known;
        *ret_found = found;
        found = (Found){ 0 };
        return 0;
}

int found_look_up(Cli *cli, Found *ret_found) {
        Diag diag = { 0 };
        Client *client;
        int r;

        r = cli_client(cli, &client);
        if (r < 0)
                return r;

        r = look_up(client, &cli->args, ret_found, &diag);
        if (r < 0)
                (void)cli_fail_because("Error retrieving units", r, &diag);
        return r;
}

int found_fail_empty(void) {
        (void)cli_fail("Units not found in registry");
        return EXIT_OK;
}

int found_is_global(const Unit *unit, bool *ret_is_global) {
        _cleanup_(requirements_freep) Requirements *requirements = NULL;
        int r;

        *ret_is_global = false;
        if (!unit->options)
                return 0;

        r = requirements_new(&requirements, unit->options, unit->name);
        if (r == 0)
                *ret_is_global = requirements->global;
        return r;
}
