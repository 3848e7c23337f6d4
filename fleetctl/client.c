/* SPDX-License-Identifier: Apache-2.0 */

/* The front-ends of the client: they check what no implementation should have to. */

#include "fleetctl/client.h"

#include <assert.h>

Client *client_free(Client *client) {
        if (client)
                client->vtable->free(client);
        return NULL;
}

int client_get_units(Client *client, const StrList *names, Unit *ret_units, Diag *diag) {
        assert(client);
        assert(ret_units || names->n_items == 0);

        return names->n_items == 0 ? 0 : client->vtable->get_units(client, names, ret_units, diag);
}

int client_set_units(Client *client, const Unit *units, size_t n_units, Diag *diag) {
        assert(client);

        return n_units == 0 ? 0 : client->vtable->set_units(client, units, n_units, diag);
}

int client_delete_units(Client *client, const StrList *names, Diag *ret_diags, Diag *diag) {
        assert(client);

        return names->n_items == 0 ? 0
                                   : client->vtable->delete_units(client, names, ret_diags, diag);
}

int client_wait_units(Client *client, const WaitRequest *request, ClientWaiter *waiter,
                      Diag *diag) {
        assert(client);
        assert(waiter);

        return request->n_units == 0 ? 0
                                     : client->vtable->wait_units(client, request, waiter, diag);
}

int client_list(Client *client, ListKind kind, Page *ret_page, Diag *diag) {
        assert(client);
        assert(ret_page);

        return client->vtable->list(client, kind, ret_page, diag);
}

int client_get_states(Client *client, const char *unit, Page *ret_page, Diag *diag) {
        assert(client);
        assert(ret_page);

        return client->vtable->get_states(client, unit, ret_page, diag);
}

int client_held(Client *client, BrakeRecord *ret_held, Diag *diag) {
        return client->vtable->held(client, ret_held, diag);
}

int client_evict(Client *client, const char *machine, Diag *diag) {
        return client->vtable->evict(client, machine, diag);
}

int client_diagnose(Client *client, Diagnosis *ret_diagnosis, Diag *diag) {
        assert(client);
        assert(ret_diagnosis);

        return client->vtable->diagnose(client, ret_diagnosis, diag);
}
