/* SPDX-License-Identifier: Apache-2.0 */

/* Words become names, names become units. A word that can be no unit's name is not an error: no
 * cluster knows such a unit, so it is left out like any other that is unknown, and like there
 * nothing is said about it (contract section 3, stop). Of a pattern that matches nothing the user
 * is told.
 */

#include "fleetctl/found.h"

#include <errno.h>

#include "fleetctl/resolve.h"
#include "lib/unit/requirements.h"

void found_done(Found *found) {
        for (size_t i = 0; i < found->n_units; i++)
                unit_done(&found->units[i]);
        free(found->units);
        free(found->is_match);
        *found = (Found){ 0 };
}

static void tell_unmatched(const StrList *patterns) {
        for (size_t i = 0; i < patterns->n_items; i++)
                (void)cli_fail("No unit matches %s", patterns->items[i]);
}

/* Close the gaps that unknown units left. */
static void drop_unknown(Found *found) {
        size_t n_known = 0;

        for (size_t i = 0; i < found->n_units; i++)
                if (found->units[i].name) {
                        found->units[n_known] = found->units[i];
                        found->is_match[n_known++] = found->is_match[i];
                }
        found->n_units = n_known;
}

static int look_up(Client *client, const StrList *words, Found *ret_found, Diag *diag) {
        _cleanup_(resolved_done) Resolved resolved = { 0 };
        int r;

        r = resolve_words(client, words, &resolved, diag);
        if (r < 0)
                return r;

        tell_unmatched(&resolved.unmatched);
        ret_found->units = calloc(resolved.names.n_items + 1, sizeof(Unit));
        if (!ret_found->units)
                return -ENOMEM;
        ret_found->n_units = resolved.names.n_items;
        ret_found->is_match = TAKE(resolved.is_match);

        r = resolved_get_units(&resolved, client, ret_found->units, diag);
        if (r == 0)
                drop_unknown(ret_found);
        return r;
}

int found_look_up(Cli *cli, Found *ret_found) {
        Diag diag = { 0 };
        Client *client;
        int r;

        r = cli_client(cli, &client);
        if (r < 0)
                return r;

        r = look_up(client, &cli->args, ret_found, &diag);
        if (r < 0) {
                found_done(ret_found);
                (void)cli_fail_because("Error retrieving units", r, &diag);
        }
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
