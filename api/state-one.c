/* SPDX-License-Identifier: Apache-2.0 */

/* GET state/NAME: the state of a unit on the machine that it is placed on; of a global unit that of
 * one of its machines (contract section 4.5). A unit that nobody reports is a 404.
 */

#include <errno.h>

#include "api/api-private.h"
#include "lib/model/entity.h"
#include "lib/unit/unit-name.h"

typedef struct StateCall {
        ApiCall call;
        char *name;      /* owned */
        char **machines; /* owned: to look on, for a global unit */
        size_t n_machines;
        Buf body; /* the first state found */
} StateCall;

static void state_free(ApiCall *call) {
        StateCall *state = container_of(call, StateCall, call);

        for (size_t i = 0; i < state->n_machines; i++)
                free(state->machines[i]);
        free(state->machines);
        free(state->name);
        buf_done(&state->body);
        free(state);
}

static const ApiCallVtable state_vtable = { .free = state_free };

static void state_reply(ApiCall *call) {
        StateCall *state = container_of(call, StateCall, call);

        if (state->body.n_bytes > 0)
                api_call_reply(call, 200, &state->body);
        else
                api_call_error(call, 404, "unit state does not exist");
}

/* Keep the state, unless one is kept already. Borrows only. */
static int state_keep(StateCall *state, const RegistryPage *page) {
        const Record *record = page->records;
        UnitState entity;

        if (page->n_records == 0 || record->is_bad || state->body.n_bytes > 0)
                return 0;

        entity = (UnitState){
                .name = (char *)record->key.unit,
                .machine_id = (char *)record->key.machine,
                .hash = (char *)record->state.hash,
                .load = record->state.load,
                .active = record->state.active,
                .sub = record->state.sub,
                .why = (char *)state_record_reason(&record->state),
        };
        return unit_state_encode(&entity, &state->body);
}

static void on_state(ApiCall *call, const RegistryPage *page) {
        int r = state_keep(container_of(call, StateCall, call), page);

        if (r < 0)
                api_call_fail(call, r);
        else
                state_reply(call);
}

static void machine_range(ApiCall *call, size_t i, RegistryRange *range) {
        StateCall *state = container_of(call, StateCall, call);

        range->key = (RecordKey){ .kind = RECORD_STATE,
                                  .machine = state->machines[i],
                                  .unit = state->name };
}

static int machine_take(ApiCall *call, size_t i, const RegistryPage *page) {
        (void)i;
        return state_keep(container_of(call, StateCall, call), page);
}

static void on_machines(ApiCall *call, const RegistryPage *page) {
        StateCall *state = container_of(call, StateCall, call);

        state->machines = calloc(page->n_records + 1, sizeof(char *));
        for (size_t i = 0; state->machines && i < page->n_records; i++) {
                state->machines[i] = strdup(page->records[i].key.machine);
                if (!state->machines[i])
                        break;
                state->n_machines++;
        }
        if (!state->machines || state->n_machines < page->n_records) {
                api_call_fail(call, -ENOMEM);
                return;
        }

        call->fetch.range = machine_range;
        call->fetch.take = machine_take;
        api_call_fetch(call, state->n_machines, state_reply);
}

/* It has no placement: is it meant to be somewhere? Then it is global, or about to be placed. */
static void on_unit(ApiCall *call, const RegistryPage *page) {
        const RegistryRange machines = { .key = { .kind = RECORD_MACHINE }, .keys_only = true };

        if (page->n_records == 0 || page->records->is_bad ||
            page->records->unit.desired == JOB_STATE_INACTIVE)
                state_reply(call);
        else
                api_call_read(call, &machines, on_machines);
}

static void on_placement(ApiCall *call, const RegistryPage *page) {
        StateCall *state = container_of(call, StateCall, call);
        RegistryRange range = { .key = { .kind = RECORD_UNIT, .unit = state->name } };

        if (page->n_records == 0) {
                api_call_read(call, &range, on_unit);
                return;
        }
        if (page->records->is_bad || !page->records->placement.machine) {
                state_reply(call);
                return;
        }

        range.key = (RecordKey){ .kind = RECORD_STATE,
                                 .machine = page->records->placement.machine,
                                 .unit = state->name };
        api_call_read(call, &range, on_state);
}

void api_state_get(Api *api, HttpExchange *exchange, const char *name) {
        RegistryRange range = { .key = { .kind = RECORD_PLACEMENT } };
        StateCall *state;

        if (unit_name_check(name, NULL) < 0) {
                api_reply_error(api, exchange, 404, "unit state does not exist");
                return;
        }

        state = api_call_new(sizeof(*state), api, exchange, &state_vtable);
        if (!state)
                return;

        state->body = buf_make(API_REPLY_MAX_BYTES);
        state->name = strdup(name);
        if (!state->name) {
                api_call_fail(&state->call, -ENOMEM);
                return;
        }
        range.key.unit = state->name;
        api_call_read(&state->call, &range, on_placement);
}
