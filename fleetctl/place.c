/* SPDX-License-Identifier: Apache-2.0 */

/* Where units are. A unit is on the machine that the API names; a global one is wherever a machine
 * reports it.
 */

#include "fleetctl/place.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "fleetctl/found.h"
#include "fleetctl/listing.h"
#include "lib/base/macro.h"

void places_done(Places *places) {
        page_done(&places->machines);
        page_done(&places->states);
        free(places->items);
        *places = (Places){ 0 };
}

int places_read(Cli *cli, Places *places) {
        Diag diag = { 0 };
        Client *client;
        int r;

        if (places->machines.n_machines > 0)
                return 0;
        r = cli_client(cli, &client);
        if (r < 0)
                return r;
        r = client_list(client, LIST_MACHINES, &places->machines, &diag);
        if (r < 0)
                (void)cli_fail_because("Error retrieving list of active machines", r, &diag);
        return r;
}

static bool begins_with(const char *text, const char *prefix) {
        return strncmp(text, prefix, strlen(prefix)) == 0;
}

static Place place_of(const Machine *machine) {
        bool has_address = machine->primary_ip && machine->primary_ip[0] != '\0';

        return (Place){ machine->id, has_address ? machine->primary_ip : NULL };
}

int places_find(const Places *places, const char *prefix, Place *ret_place) {
        const Machine *found = NULL;

        for (size_t i = 0; i < places->machines.n_machines; i++) {
                const Machine *machine = &places->machines.machines[i];

                if (!machine->id || !begins_with(machine->id, prefix))
                        continue;
                if (found)
                        return -ENOTUNIQ;
                found = machine;
        }
        if (!found)
                return -ENOENT;
        *ret_place = place_of(found);
        return 0;
}

/* A machine that is gone from the cluster is a place still, without an address. */
static Place place_by_id(const Places *places, const char *id) {
        for (size_t i = 0; i < places->machines.n_machines; i++) {
                const Machine *machine = &places->machines.machines[i];

                if (machine->id && streq(machine->id, id))
                        return place_of(machine);
        }
        return (Place){ .id = id };
}

static void places_add(const Cli *cli, Places *places, const char *id) {
        const char *wanted = cli->options.machine;

        if (id && (!wanted || begins_with(id, wanted)))
                places->items[places->n_items++] = place_by_id(places, id);
}

static int add_reporting(Cli *cli, const Unit *unit, Places *places) {
        Diag diag = { 0 };
        int r;

        assert(cli->client);

        page_done(&places->states);
        r = client_get_states(cli->client, unit->name, &places->states, &diag);
        if (r < 0) {
                (void)cli_fail_because("Error retrieving states of the unit", r, &diag);
                return r;
        }
        if (places->states.n_states == 0)
                return 0;

        qsort(places->states.states, places->states.n_states, sizeof(UnitState),
              listing_compare_states);
        places->items = calloc(places->states.n_states, sizeof(Place));
        for (size_t i = 0; places->items && i < places->states.n_states; i++)
                places_add(cli, places, places->states.states[i].machine_id);
        return places->items ? 0 : -ENOMEM;
}

int places_of_unit(Cli *cli, const Unit *unit, Places *places) {
        bool is_global;
        int r;

        free(TAKE(places->items));
        places->n_items = 0;

        r = found_is_global(unit, &is_global);
        if (r == 0 && is_global)
                return add_reporting(cli, unit, places);
        if (r < 0 || !unit->machine_id || !unit->current_state ||
            streq(unit->current_state, "inactive"))
                return r;

        places->items = calloc(1, sizeof(Place));
        if (!places->items)
                return -ENOMEM;
        places_add(cli, places, unit->machine_id);
        return 0;
}
