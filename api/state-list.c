/* SPDX-License-Identifier: Apache-2.0 */

/* GET state: pages of unit states in the order name, machine (contract sections 4.4 and 4.5).
 *
 * States are stored by machine and listed by unit, so the list walks the units: a chunk of names,
 * their placements, and then the state of each on its machine, some at a time, all at one revision,
 * until a page is full or the units end. A unit without a placement that is meant to be somewhere
 * is a global one: its states are looked for on every machine. One entry more than the page holds
 * is looked for, so that a token is given out exactly when something follows.
 *
 * With machineID= the list is one stretch of that machine's states; with unitName= the walk has one
 * unit.
 */

#include <assert.h>
#include <errno.h>

#include "api/api-private.h"
#include "lib/model/entity.h"
#include "lib/unit/unit-name.h"

enum { STATES_ROUND = 64 /* states read between two looks at whether the page is full */ };

/* A unit of the chunk. Strings owned. */
typedef struct StatesUnit {
        char *name;
        char *machine;  /* where it is placed, or NULL */
        bool is_placed; /* there is a placement, with or without a machine */
        bool is_meant;  /* it is meant to be somewhere */
} StatesUnit;

/* A state to read. Strings borrowed from the chunk and the list of machines. */
typedef struct StatesPair {
        const char *unit;
        const char *machine;
} StatesPair;

typedef struct StatesCall {
        ApiCall call;
        char *machine;      /* owned: machineID=, or NULL */
        char *unit;         /* owned: unitName=, or NULL */
        int64_t revision;   /* 0 before the first read */
        char *from_unit;    /* owned: the last entry of the page before, or NULL */
        char *from_machine; /* owned */
        size_t n_skip;      /* entries to leave out, for a token of fleet 1.0's form */
        StatesUnit *units;  /* owned: the chunk */
        size_t n_units;
        bool more_units;
        bool is_resuming;  /* the chunk is the unit at which the page before ended */
        int64_t chunk;     /* size of the next one */
        char *chunk_after; /* owned: where the next one begins, or NULL */
        char *chunk_last;  /* owned: last key of this one */
        char **machines;   /* owned: IDs of all machines, once they are needed */
        size_t n_machines;
        bool has_machines;
        size_t i_unit;    /* where the walk is */
        size_t i_machine; /* of a global unit */
        StatesPair pairs[STATES_ROUND];
        UnitState round[STATES_ROUND];
        size_t n_pairs;
        UnitState *entries; /* owned: found so far */
        size_t n_entries;
} StatesCall;

static void states_free_units(StatesCall *states) {
        for (size_t i = 0; i < states->n_units; i++) {
                free(states->units[i].name);
                free(states->units[i].machine);
        }
        free(TAKE(states->units));
        states->n_units = states->i_unit = states->i_machine = 0;
}

static void states_free(ApiCall *call) {
        StatesCall *states = container_of(call, StatesCall, call);

        states_free_units(states);
        for (size_t i = 0; i < states->n_machines; i++)
                free(states->machines[i]);
        for (size_t i = 0; i < STATES_ROUND; i++)
                unit_state_done(&states->round[i]);
        for (size_t i = 0; i < states->n_entries; i++)
                unit_state_done(&states->entries[i]);
        free(states->machines);
        free(states->entries);
        free(states->machine);
        free(states->unit);
        free(states->from_unit);
        free(states->from_machine);
        free(states->chunk_after);
        free(states->chunk_last);
        free(states);
}

static const ApiCallVtable states_vtable = { .free = states_free };

static size_t states_limit(const StatesCall *states) {
        return states->call.token_limit;
}

/* The answer */

static char *states_token(const StatesCall *states) {
        const UnitState *last = &states->entries[states_limit(states) - 1];
        _cleanup_(buf_done) Buf key = buf_make(1024);

        if (buf_printf(&key, "%s/%s", last->name, last->machine_id) < 0)
                return NULL;
        return page_token_encode((uint16_t)states_limit(states), states->revision, key.data);
}

static void states_reply(StatesCall *states) {
        _cleanup_(freep) char *token = NULL;
        Buf body = buf_make(API_REPLY_MAX_BYTES);
        size_t limit = states_limit(states);
        bool more = states->n_entries > limit;
        int r = 0;

        if (more) {
                token = states_token(states);
                r = token ? 0 : -ENOMEM;
        }
        if (r == 0)
                r = page_encode(&(Page){ .states = states->entries,
                                         .n_states = more ? limit : states->n_entries,
                                         .next_page_token = token },
                                &body);
        if (r == 0)
                api_call_reply(&states->call, 200, &body);
        else
                api_call_fail(&states->call, r);
        buf_done(&body);
}

static int state_copy(const Record *record, UnitState *ret_state) {
        const StateRecord *from = &record->state;
        const char *why = state_record_reason(from);
        UnitState state = { 0 };

        state.name = strdup(record->key.unit);
        state.machine_id = strdup(record->key.machine);
        state.hash = *from->hash ? strdup(from->hash) : NULL;
        state.load = from->load ? strdup(from->load) : NULL;
        state.active = from->active ? strdup(from->active) : NULL;
        state.sub = from->sub ? strdup(from->sub) : NULL;
        state.why = why ? strdup(why) : NULL;
        if (!state.name || !state.machine_id || (*from->hash && !state.hash) ||
            (from->load && !state.load) || (from->active && !state.active) ||
            (from->sub && !state.sub) || (why && !state.why)) {
                unit_state_done(&state);
                return -ENOMEM;
        }
        *ret_state = state;
        return 0;
}

static int states_add(StatesCall *states, UnitState *state) {
        UnitState *entries;

        if (states->n_skip > 0) {
                states->n_skip--;
                unit_state_done(state);
                return 0;
        }

        entries = reallocarray(states->entries, states->n_entries + 1, sizeof(*entries));
        if (!entries)
                return -ENOMEM;
        states->entries = entries;
        states->entries[states->n_entries++] = *state;
        *state = (UnitState){ 0 };
        return 0;
}

/* The walk */

static void states_next(ApiCall *call);

static void round_range(ApiCall *call, size_t i, RegistryRange *range) {
        StatesCall *states = container_of(call, StatesCall, call);

        range->key = (RecordKey){ .kind = RECORD_STATE,
                                  .machine = states->pairs[i].machine,
                                  .unit = states->pairs[i].unit };
        range->revision = states->revision;
}

static int round_take(ApiCall *call, size_t i, const RegistryPage *page) {
        StatesCall *states = container_of(call, StatesCall, call);

        if (page->n_records == 0 || page->records->is_bad)
                return 0;
        return state_copy(page->records, &states->round[i]);
}

static void on_round(ApiCall *call) {
        StatesCall *states = container_of(call, StatesCall, call);

        for (size_t i = 0; i < states->n_pairs; i++) {
                if (states->round[i].name && states_add(states, &states->round[i]) < 0) {
                        api_call_fail(call, -ENOMEM);
                        return;
                }
        }
        states_next(call);
}

static void round_add(StatesCall *states, const char *unit, const char *machine) {
        bool is_before = states->is_resuming && strcmp(machine, states->from_machine) <= 0;

        if (!is_before)
                states->pairs[states->n_pairs++] = (StatesPair){ .unit = unit, .machine = machine };
}

/* Add what the unit at hand has to this round. Returns whether the machines must be known first. */
static bool round_add_unit(StatesCall *states) {
        const StatesUnit *unit = &states->units[states->i_unit];

        if (unit->machine) {
                round_add(states, unit->name, unit->machine);
        } else if (unit->is_meant && !unit->is_placed) {
                if (!states->has_machines)
                        return true;
                while (states->i_machine < states->n_machines && states->n_pairs < STATES_ROUND)
                        round_add(states, unit->name, states->machines[states->i_machine++]);
                if (states->i_machine < states->n_machines)
                        return false;
        }
        states->i_unit++;
        states->i_machine = 0;
        return false;
}

static void on_all_machines(ApiCall *call, const RegistryPage *page) {
        StatesCall *states = container_of(call, StatesCall, call);

        states->machines = calloc(page->n_records + 1, sizeof(char *));
        for (size_t i = 0; states->machines && i < page->n_records; i++) {
                states->machines[i] = strdup(page->records[i].key.machine);
                if (!states->machines[i])
                        break;
                states->n_machines++;
        }
        if (!states->machines || states->n_machines < page->n_records) {
                api_call_fail(call, -ENOMEM);
                return;
        }
        states->has_machines = true;
        states_next(call);
}

static void states_read_chunk(StatesCall *states);

static void states_next(ApiCall *call) {
        StatesCall *states = container_of(call, StatesCall, call);
        const RegistryRange machines = { .key = { .kind = RECORD_MACHINE },
                                         .revision = states->revision,
                                         .keys_only = true };
        bool needs_machines = false;

        states->n_pairs = 0;
        if (states->n_entries > states_limit(states)) {
                states_reply(states);
                return;
        }

        while (!needs_machines && states->n_pairs < STATES_ROUND &&
               states->i_unit < states->n_units)
                needs_machines = round_add_unit(states);

        if (states->n_pairs > 0) {
                call->fetch.range = round_range;
                call->fetch.take = round_take;
                api_call_fetch(call, states->n_pairs, on_round);
        } else if (needs_machines) {
                api_call_read(call, &machines, on_all_machines);
        } else if (states->more_units) {
                states_read_chunk(states);
        } else {
                states_reply(states);
        }
}

/* Chunks of units */

static void on_placements(ApiCall *call, const RegistryPage *page) {
        StatesCall *states = container_of(call, StatesCall, call);
        size_t i = 0;

        for (size_t n = 0; n < page->n_records; n++) {
                const Record *record = &page->records[n];

                while (i < states->n_units && strcmp(states->units[i].name, record->key.unit) < 0)
                        i++;
                if (i == states->n_units || !streq(states->units[i].name, record->key.unit))
                        continue;
                states->units[i].is_placed = true;
                if (record->is_bad || !record->placement.machine)
                        continue;
                states->units[i].machine = strdup(record->placement.machine);
                if (!states->units[i].machine) {
                        api_call_fail(call, -ENOMEM);
                        return;
                }
        }
        states_next(call);
}

static int states_take_units(StatesCall *states, const RegistryPage *page) {
        states_free_units(states);
        states->units = calloc(page->n_records + 1, sizeof(*states->units));
        if (!states->units)
                return -ENOMEM;

        for (size_t i = 0; i < page->n_records; i++) {
                StatesUnit *unit = &states->units[states->n_units];

                unit->name = strdup(page->records[i].key.unit);
                if (!unit->name)
                        return -ENOMEM;
                unit->is_meant = !page->records[i].is_bad &&
                                 page->records[i].unit.desired != JOB_STATE_INACTIVE;
                states->n_units++;
        }

        free(states->chunk_last);
        states->chunk_last = strdup(
                page->n_records > 0 ? page->records[page->n_records - 1].key.unit : "");
        return states->chunk_last ? 0 : -ENOMEM;
}

static void on_chunk(ApiCall *call, const RegistryPage *page) {
        StatesCall *states = container_of(call, StatesCall, call);
        RegistryRange range = { .key = { .kind = RECORD_PLACEMENT } };
        const char *single = states->unit          ? states->unit
                             : states->is_resuming ? states->from_unit
                                                   : NULL;

        states->revision = page->revision;
        states->more_units = page->more || (states->is_resuming && !states->unit);
        if (states_take_units(states, page) < 0) {
                api_call_fail(call, -ENOMEM);
                return;
        }
        if (states->n_units == 0) {
                states_next(call);
                return;
        }

        range.revision = states->revision;
        range.key.unit = single;
        if (!single) {
                range.after = states->chunk_after;
                range.until = states->chunk_last;
        }
        api_call_read(call, &range, on_placements);
}

/* Read the chunk behind the one before. */
static void states_read_chunk(StatesCall *states) {
        RegistryRange range = { .key = { .kind = RECORD_UNIT }, .revision = states->revision };

        if (states->chunk_last) {
                free(states->chunk_after);
                states->chunk_after = states->is_resuming ? strdup(states->from_unit)
                                                          : TAKE(states->chunk_last);
                states->is_resuming = false;
                if (!states->chunk_after) {
                        api_call_fail(&states->call, -ENOMEM);
                        return;
                }
        }

        if (states->unit || states->is_resuming) {
                range.key.unit = states->unit ? states->unit : states->from_unit;
        } else {
                range.after = states->chunk_after;
                range.limit = states->chunk;
                states->chunk = 4 * states->chunk < STORE_PAGE_KEYS ? 4 * states->chunk
                                                                    : STORE_PAGE_KEYS;
        }
        api_call_read(&states->call, &range, on_chunk);
}

/* One machine's states */

static void on_machine_states(ApiCall *call, const RegistryPage *page) {
        StatesCall *states = container_of(call, StatesCall, call);
        int r = 0;

        states->revision = page->revision;
        for (size_t i = 0; i < page->n_records && r == 0; i++) {
                UnitState state = { 0 };

                if (page->records[i].is_bad)
                        continue;
                r = state_copy(&page->records[i], &state);
                if (r == 0)
                        r = states_add(states, &state);
                unit_state_done(&state);
        }
        if (r < 0)
                api_call_fail(call, r);
        else
                states_reply(states);
}

static void states_read_machine(StatesCall *states) {
        const RegistryRange range = {
                .key = { .kind = RECORD_STATE, .machine = states->machine, .unit = states->unit },
                .after = states->unit ? NULL : states->from_unit,
                .revision = states->revision,
                .limit = (int64_t)states_limit(states) + 1 + (int64_t)states->n_skip,
        };

        api_call_read(&states->call, &range, on_machine_states);
}

/* Requests */

/* A place is "UNIT/MACHINE". */
static int states_set_place(StatesCall *states, PageToken *token) {
        char *slash = token->after ? strchr(token->after, '/') : NULL;

        states->revision = token->revision;
        states->n_skip = token->page > 1 ? (size_t)(token->page - 1) * states_limit(states) : 0;
        if (!token->after)
                return 0;
        if (!slash)
                return -EINVAL;

        *slash = '\0';
        states->from_machine = strdup(slash + 1);
        states->from_unit = TAKE(token->after);
        states->is_resuming = true;
        if (!states->from_machine)
                return -ENOMEM;
        return unit_name_check(states->from_unit, NULL) < 0 || !*states->from_machine ? -EINVAL : 0;
}

static bool is_key_part(const char *text) {
        return *text && strlen(text) <= UNIT_NAME_MAX_BYTES && !strchr(text, '/');
}

void api_states_list(Api *api, HttpExchange *exchange, const char *name) {
        PageToken token;
        StatesCall *states;
        int r;

        (void)name;
        if (!api_page_token(api, exchange, &token))
                return;

        states = api_call_new(sizeof(*states), api, exchange, &states_vtable);
        if (!states) {
                page_token_done(&token);
                return;
        }

        states->machine = http_exchange_parameter(exchange, "machineID", 0);
        states->unit = http_exchange_parameter(exchange, "unitName", 0);
        states->chunk = api->options.token_limit + 1;
        /* A filter without a value is none, as in fleet 1.0. */
        if (states->machine && !*states->machine)
                free(TAKE(states->machine));
        if (states->unit && !*states->unit)
                free(TAKE(states->unit));

        r = states_set_place(states, &token);
        page_token_done(&token);
        if (r == -EINVAL)
                api_call_error(&states->call, 400, "invalid page token");
        else if (r < 0)
                api_call_fail(&states->call, r);
        else if ((states->machine && !is_key_part(states->machine)) ||
                 (states->unit && unit_name_check(states->unit, NULL) < 0))
                states_reply(states);
        else if (states->machine)
                states_read_machine(states);
        else
                states_read_chunk(states);
}
