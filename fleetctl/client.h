/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The cluster as commands see it. client_new() gives the real one, over the HTTP API (docs/api.md);
 * tests bring their own vtable.
 *
 * Every call waits for its answer and returns 0, or a negative errno with a message for a person in
 * `diag`. What the server refuses is -EREMOTEIO with the message of contract section 2.5,
 * "googleapi: Error 404: ..."; -EAGAIN when it cannot answer at the moment (503).
 */

#include <stddef.h>

#include "fleetctl/http.h"
#include "fleetctl/options.h"
#include "lib/base/diag.h"
#include "lib/base/macro.h"
#include "lib/base/strlist.h"
#include "lib/model/entity.h"
#include "lib/model/record.h"

typedef struct Client Client;
typedef struct ClientWaiter ClientWaiter;

/* Which list to read. */
typedef enum ListKind { LIST_UNITS, LIST_STATES, LIST_MACHINES } ListKind;

/* Whoever waits for units; embed it. A positive return value ends the wait, and client_wait_units()
 * returns it; a negative one is an error likewise. */
struct ClientWaiter {
        int (*on_result)(ClientWaiter *waiter,
                         const WaitResult *result); /* an outcome, final or not */
        int (*on_tick)(ClientWaiter *waiter);       /* several times a second */
        /* The answer broke off, as `cause` says, and is asked for again for at most `resume_ms`.
         * NULL = not told. */
        void (*on_break)(ClientWaiter *waiter, const Diag *cause, uint64_t resume_ms);
};

/* What a client does; see the front-ends below. */
typedef struct ClientVtable {
        int (*get_units)(Client *client, const StrList *names, Unit *ret_units, Diag *diag);
        int (*set_units)(Client *client, const Unit *units, size_t n_units, Diag *diag);
        int (*delete_units)(Client *client, const StrList *names, Diag *ret_diags, Diag *diag);
        int (*wait_units)(Client *client, const WaitRequest *request, ClientWaiter *waiter,
                          Diag *diag);
        int (*list)(Client *client, ListKind kind, Page *ret_page, Diag *diag);
        int (*get_states)(Client *client, const char *unit, Page *ret_page, Diag *diag);
        int (*held)(Client *client, BrakeRecord *ret_held, Diag *diag);
        int (*evict)(Client *client, const char *machine, Diag *diag);
        int (*diagnose)(Client *client, Diagnosis *ret_diagnosis, Diag *diag);
        void (*free)(Client *client);
} ClientVtable;

/* A client: embed it, and set the vtable. */
struct Client {
        const ClientVtable *vtable; /* never NULL */
};

/* A client of the API as the global flags in `options` describe it; nothing is connected yet. What
 * they point to must outlive the client. `relay` as for http_new(). -EINVAL for a flag that makes
 * no sense. */
int client_new(const Options *options, HttpRelay *relay, Client **ret_client, Diag *diag);

/* Takes NULL; returns NULL. */
Client *client_free(Client *client);
DEFINE_CLEANUP(Client, client_free)

/* Read the named units into an array of names->n_items zeroed Units; one that the cluster does not
 * know stays zeroed. The caller calls unit_done() on each, also after an error. */
int client_get_units(Client *client, const StrList *names, Unit *ret_units, Diag *diag);

/* Create, replace or tell units their desired state, all or none (POST /fleet/v1/units). */
int client_set_units(Client *client, const Unit *units, size_t n_units, Diag *diag);

/* Destroy the named units; an unknown one is no error. `ret_diags` has an entry for each name:
 * empty, or why that one was not destroyed while others were. */
int client_delete_units(Client *client, const StrList *names, Diag *ret_diags, Diag *diag);

/* Wait as `request` says (POST /fleet/v1/wait). Returns 0 when the server has told all outcomes. */
int client_wait_units(Client *client, const WaitRequest *request, ClientWaiter *waiter, Diag *diag);

/* Read a whole list, page by page. The caller calls page_done(), also after an error. */
int client_list(Client *client, ListKind kind, Page *ret_page, Diag *diag);

/* Read what the machines report of one unit. The caller calls page_done(), also after an error. */
int client_get_states(Client *client, const char *unit, Page *ret_page, Diag *diag);

/* Read which machines are missing and keep their units, because too many vanished at once (GET
 * /fleet/v1/evictions); none from a server that does not know. The caller calls brake_record_done().
 */
int client_held(Client *client, BrakeRecord *ret_held, Diag *diag);

/* Give up a machine that is missing: its units move (PUT /fleet/v1/evictions/MACHINE). */
int client_evict(Client *client, const char *machine, Diag *diag);

/* Have the cluster looked over (GET /fleet/v1/doctor). The caller calls diagnosis_done(). */
int client_diagnose(Client *client, Diagnosis *ret_diagnosis, Diag *diag);
