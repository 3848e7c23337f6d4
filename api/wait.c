/* SPDX-License-Identifier: Apache-2.0 */

/* POST wait (docs/api.md): tell a client how what it asked for has gone, a line per unit.
 *
 *       request -> [where are they?] -> watching -> all told, timed out, or the client has gone
 *
 * Watches mark units (wait-watch.c); marked units are judged (wait-judge.c) and told in the next
 * turn, a bounded number at a time, so that the lines can leave in between. Two things are read
 * besides: the files of units that may be global, and the addresses of machines, the latter as soon
 * as a placement names one, so that it is at hand when the unit gets there. The reply has begun
 * before anything is read, so a read that fails is tried again later, like everything else of a
 * wait: it goes on when the store is back.
 */

#include "api/wait.h"

#include <assert.h>
#include <errno.h>

#include "lib/unit/requirements.h"
#include "lib/unit/unit-name.h"

enum {
        WAIT_HEARTBEAT_US = 15 * US_PER_S, /* docs/api.md */
        WAIT_RETRY_US = 500 * US_PER_MS,
        WAIT_TOLD_PER_TURN = 256,
        WAIT_LINE_MAX_BYTES = 512 * 1024,
};

static Loop *wait_loop(const WaitCall *wait) {
        return registry_loop(wait->call.api->registry);
}

/* Marks */

void wait_mark(WaitUnit *unit) {
        if (unit->is_done || list_node_is_linked(&unit->dirty))
                return;
        list_append(&unit->wait->dirty, &unit->dirty);
        loop_defer(wait_loop(unit->wait), &unit->wait->evaluate);
}

static void wait_mark_all(WaitCall *wait) {
        for (size_t i = 0; i < wait->n_units; i++)
                wait_mark(&wait->units[i]);
}

void wait_break(WaitCall *wait, int error) {
        if (wait->error == 0)
                wait->error = error;
        loop_defer(wait_loop(wait), &wait->evaluate);
}

/* Life */

static void wait_stop(ApiCall *call) {
        WaitCall *wait = container_of(call, WaitCall, call);

        wait_watch_stop(wait);
        loop_defer_cancel(&wait->evaluate);
        timer_clear(&wait->timeout);
        timer_clear(&wait->heartbeat);
        timer_clear(&wait->retry);
}

static void wait_free(ApiCall *call) {
        WaitCall *wait = container_of(call, WaitCall, call);

        wait_stop(call);
        for (HashNode *node = hash_map_first(&wait->machines), *next; node; node = next) {
                WaitMachine *machine = container_of(node, WaitMachine, node);

                next = hash_map_next(&wait->machines, node);
                free(machine->address);
                free(machine);
        }
        for (size_t i = 0; i < wait->n_units; i++) {
                free(wait->units[i].name);
                free(wait->units[i].hint);
                free(wait->units[i].told);
        }
        hash_map_done(&wait->machines);
        hash_map_done(&wait->by_name);
        free(wait->kinds);
        free(wait->units);
        call->api->n_waits--;
        free(wait);
}

static void wait_start(WaitCall *wait);

static void wait_fail(ApiCall *call, int status) {
        WaitCall *wait = container_of(call, WaitCall, call);

        for (size_t i = 0; i < wait->n_kinds && call->fetch.n_pending == 0; i++) {
                if (wait->kinds[i]->kind == WAIT_KIND_READING)
                        wait->kinds[i]->kind = WAIT_KIND_UNKNOWN;
        }
        if (status == -ENOMEM)
                wait_break(wait, status);
        else
                timer_set_in(wait_loop(wait), &wait->retry, WAIT_RETRY_US);
        if (!wait->has_started)
                wait_start(wait);
}

static const ApiCallVtable wait_vtable = { .cancel = wait_stop,
                                           .free = wait_free,
                                           .fail = wait_fail };

static void wait_finish(WaitCall *wait) {
        HttpExchange *exchange = TAKE(wait->call.exchange);

        if (exchange)
                http_reply_end(exchange);
        api_call_cancel(&wait->call);
}

/* Machines' addresses */

void wait_want_machine(WaitCall *wait, const char *id) {
        size_t n_bytes = strlen(id) + 1;
        WaitMachine *machine;

        if (hash_map_get(&wait->machines, id))
                return;

        machine = calloc(1, sizeof(*machine) + n_bytes);
        if (!machine) {
                wait_break(wait, -ENOMEM);
                return;
        }
        memcpy(machine->id, id, n_bytes);
        if (hash_map_put(&wait->machines, &machine->node, machine->id) < 0) {
                free(machine);
                wait_break(wait, -ENOMEM);
                return;
        }
        list_append(&wait->unread, &machine->unread);
        loop_defer(wait_loop(wait), &wait->evaluate);
}

static void on_machine(ApiCall *call, const RegistryPage *page) {
        WaitCall *wait = container_of(call, WaitCall, call);
        WaitMachine *machine = container_of(list_pop(&wait->unread), WaitMachine, unread);
        const Record *record = page->n_records > 0 ? page->records : NULL;

        machine->is_known = true;
        if (record && !record->is_bad && record->machine.address) {
                machine->address = strdup(record->machine.address);
                if (!machine->address)
                        wait_break(wait, -ENOMEM);
        }
        wait_mark_all(wait);
        loop_defer(wait_loop(wait), &wait->evaluate);
}

static void wait_read_machine(WaitCall *wait) {
        ListNode *first = list_first(&wait->unread);
        RegistryRange range = { .key = { .kind = RECORD_MACHINE } };

        if (!first || registry_read_is_pending(&wait->call.read) || timer_is_set(&wait->retry))
                return;
        range.key.machine = container_of(first, WaitMachine, unread)->id;
        api_call_read(&wait->call, &range, on_machine);
}

static const WaitMachine *wait_machine(const WaitCall *wait, const char *id) {
        HashNode *node = id ? hash_map_get(&wait->machines, id) : NULL;

        return node ? container_of(node, WaitMachine, node) : NULL;
}

/* Which units are global */

static void kind_range(ApiCall *call, size_t i, RegistryRange *range) {
        WaitCall *wait = container_of(call, WaitCall, call);

        range->key = (RecordKey){ .kind = RECORD_FILE, .unit = wait->kinds[i]->record.file };
}

static int kind_take(ApiCall *call, size_t i, const RegistryPage *page) {
        WaitUnit *unit = container_of(call, WaitCall, call)->kinds[i];
        _cleanup_(requirements_freep) Requirements *requirements = NULL;
        _cleanup_(unit_file_freep) UnitFile *file = NULL;
        int r = 0;

        /* The record has changed meanwhile: read the other file. */
        if (unit->kind != WAIT_KIND_READING)
                return 0;

        unit->kind = WAIT_KIND_PLAIN;
        if (page->n_records > 0 && !page->records->is_bad) {
                r = unit_file_parse(page->records->text, page->records->n_text_bytes, &file, NULL);
                if (r == 0)
                        r = requirements_new(&requirements, file, unit->name);
                if (r == 0 && requirements->global)
                        unit->kind = WAIT_KIND_GLOBAL;
        }
        wait_mark(unit);
        return r == -ENOMEM ? r : 0;
}

static void on_kinds(ApiCall *call) {
        WaitCall *wait = container_of(call, WaitCall, call);

        wait->n_kinds = 0;
        loop_defer(wait_loop(wait), &wait->evaluate);
}

static void wait_read_kinds(WaitCall *wait) {
        if (!wait->needs_kinds || wait->call.fetch.n_pending > 0 || timer_is_set(&wait->retry))
                return;

        wait->needs_kinds = false;
        wait->n_kinds = 0;
        for (size_t i = 0; i < wait->n_units; i++) {
                WaitUnit *unit = &wait->units[i];

                if (unit->is_done || !unit->exists || unit->is_bad || unit->machine ||
                    unit->kind != WAIT_KIND_UNKNOWN)
                        continue;
                unit->kind = WAIT_KIND_READING;
                wait->kinds[wait->n_kinds++] = unit;
        }
        wait->call.fetch.range = kind_range;
        wait->call.fetch.take = kind_take;
        if (wait->n_kinds > 0)
                api_call_fetch(&wait->call, wait->n_kinds, on_kinds);
}

/* Telling */

static void wait_send(WaitCall *wait, const void *bytes, size_t n_bytes) {
        int r;

        if (!wait->call.exchange || wait->error < 0)
                return;
        r = http_reply_piece(wait->call.exchange, bytes, n_bytes);
        if (r < 0)
                wait_break(wait, r);
        else
                timer_set_in(wait_loop(wait), &wait->heartbeat, WAIT_HEARTBEAT_US);
}

static const char *unit_state_word(const WaitUnit *unit) {
        const WaitState *state = wait_unit_state(unit);

        if (!unit->exists || (unit->kind == WAIT_KIND_GLOBAL && !unit->hint) ||
            !wait_watch_is_synced(unit))
                return NULL;
        return job_state_to_string(state ? state->state : JOB_STATE_INACTIVE);
}

static void unit_tell(WaitUnit *unit, const char *outcome, const char *why) {
        WaitCall *wait = unit->wait;
        const WaitMachine *machine = wait_machine(wait, wait_unit_machine(unit));
        Buf line = buf_make(WAIT_LINE_MAX_BYTES);
        WaitResult result = {
                .name = unit->name,
                .outcome = (char *)outcome,
                .state = (char *)unit_state_word(unit),
                .machine_id = (char *)wait_unit_machine(unit),
                .primary_ip = machine ? machine->address : NULL,
                .why = (char *)why,
        };
        int r;

        r = wait_result_encode(&result, &line);
        if (r == 0)
                r = buf_append_string(&line, "\n");
        if (r == 0)
                wait_send(wait, line.data, line.n_bytes);
        else
                wait_break(wait, r);
        buf_done(&line);
}

static void unit_close(WaitUnit *unit, const char *outcome, const char *why) {
        unit_tell(unit, outcome, why);
        unit->is_done = true;
        list_remove(&unit->dirty);
        unit->wait->n_open--;
}

/* What is not final is told once, and again when the reason changes. */
static void unit_tell_meanwhile(WaitUnit *unit, const char *outcome, const char *why) {
        if (unit->told && streq(unit->told, why))
                return;

        free(unit->told);
        unit->told = strdup(why);
        if (unit->told)
                unit_tell(unit, outcome, why);
        else
                wait_break(unit->wait, -ENOMEM);
}

static void unit_evaluate(WaitUnit *unit) {
        static const char *const words[] = {
                [WAIT_UNPLACED] = "unplaced",         [WAIT_HELD_UP] = "waiting",
                [WAIT_REACHED] = "reached",           [WAIT_FAILED] = "failed",
                [WAIT_UNKNOWN_UNIT] = "unknown-unit",
        };
        WaitCall *wait = unit->wait;
        const WaitMachine *machine;
        WaitOutcome outcome;
        const char *why;

        wait_watch_follow_machines(unit);
        if (!wait_watch_is_synced(unit))
                return;
        if ((wait->target == WAIT_LOADED || wait->target == WAIT_LAUNCHED) && unit->exists &&
            !unit->is_bad && !unit->machine && unit->kind == WAIT_KIND_UNKNOWN)
                wait->needs_kinds = true;

        outcome = wait_judge(unit, wait->target, &why);
        if (outcome == WAIT_PENDING)
                return;
        if (wait_unit_machine(unit))
                wait_want_machine(wait, wait_unit_machine(unit));

        /* Its address is being read: all are looked at again when it is known. */
        machine = wait_machine(wait, wait_unit_machine(unit));
        if (machine && !machine->is_known)
                return;
        if (outcome == WAIT_UNPLACED || outcome == WAIT_HELD_UP)
                unit_tell_meanwhile(unit, words[outcome], why);
        else
                unit_close(unit, words[outcome], why);
}

static void on_evaluate(LoopDeferred *deferred) {
        WaitCall *wait = container_of(deferred, WaitCall, evaluate);
        ListNode *node;

        for (unsigned n = 0;
             n < WAIT_TOLD_PER_TURN && wait->error == 0 && (node = list_pop(&wait->dirty)); n++)
                unit_evaluate(container_of(node, WaitUnit, dirty));

        if (wait->error < 0 || wait->n_open == 0) {
                wait_finish(wait);
                return;
        }
        if (!list_is_empty(&wait->dirty))
                loop_defer(wait_loop(wait), deferred);
        wait_read_kinds(wait);
        wait_read_machine(wait);
}

/* Timers */

/* The last word on why it is not there; borrowed, or NULL. */
static const char *unit_last_reason(const WaitUnit *unit) {
        const WaitState *state = wait_unit_state(unit);

        if (state && (state->why || state->waits))
                return state->why ? state->why : state->waits;
        return unit->placement_why;
}

static void on_timeout(LoopTimer *timer) {
        WaitCall *wait = container_of(timer, WaitCall, timeout);

        for (size_t i = 0; i < wait->n_units; i++) {
                WaitUnit *unit = &wait->units[i];

                if (!unit->is_done)
                        unit_close(unit, "timeout", unit_last_reason(unit));
        }
        wait_finish(wait);
}

static void on_heartbeat(LoopTimer *timer) {
        wait_send(container_of(timer, WaitCall, heartbeat), "\n", 1);
}

static void on_retry(LoopTimer *timer) {
        WaitCall *wait = container_of(timer, WaitCall, retry);

        wait_mark_all(wait);
        loop_defer(wait_loop(wait), &wait->evaluate);
}

/* Beginning */

static void wait_start(WaitCall *wait) {
        bool must_be_wide = wait->n_units > API_WAIT_NARROW_MAX;
        int r;

        /* A unit that leaves may be anywhere unless someone says where it was. */
        for (size_t i = 0; i < wait->n_units && !must_be_wide; i++)
                must_be_wide = (wait->target == WAIT_INACTIVE || wait->target == WAIT_GONE) &&
                               !wait->units[i].hint;

        wait->is_wide = must_be_wide;
        wait->has_started = true;
        r = wait_watch_start(wait);
        if (r < 0)
                wait_break(wait, r);
}

static void on_places(ApiCall *call) {
        wait_start(container_of(call, WaitCall, call));
}

static void place_range(ApiCall *call, size_t i, RegistryRange *range) {
        range->key = (RecordKey){ .kind = RECORD_PLACEMENT,
                                  .unit = container_of(call, WaitCall, call)->units[i].name };
}

static int place_take(ApiCall *call, size_t i, const RegistryPage *page) {
        WaitUnit *unit = &container_of(call, WaitCall, call)->units[i];

        const PlacementRecord *placement;
        const char *machine;

        if (unit->hint || page->n_records == 0 || page->records->is_bad)
                return 0;
        placement = &page->records->placement;
        machine = placement->machine            ? placement->machine
                  : placement->left.n_items > 0 ? placement->left.items[0]
                                                : NULL;
        if (!machine)
                return 0;
        unit->hint = strdup(machine);
        return unit->hint ? 0 : -ENOMEM;
}

static void wait_begin(WaitCall *wait, uint64_t timeout_ms) {
        uint64_t timeout_us = timeout_ms > UINT64_MAX / US_PER_MS ? UINT64_MAX
                                                                  : timeout_ms * US_PER_MS;
        ApiCall *call = &wait->call;

        api_count_reply(call->api, call->exchange, 200);
        http_reply_begin(call->exchange, 200, "application/x-ndjson");
        timer_set_in(wait_loop(wait), &wait->heartbeat, WAIT_HEARTBEAT_US);
        if (timeout_ms > 0)
                timer_set_in(wait_loop(wait), &wait->timeout, timeout_us);

        if (wait->n_units == 0)
                loop_defer(wait_loop(wait), &wait->evaluate);
        else if (wait->n_units <= API_WAIT_NARROW_MAX &&
                 (wait->target == WAIT_INACTIVE || wait->target == WAIT_GONE)) {
                call->fetch.range = place_range;
                call->fetch.take = place_take;
                api_call_fetch(call, wait->n_units, on_places);
        } else {
                wait_start(wait);
        }
}

static WaitTarget target_from_string(const char *state) {
        if (streq(state, "gone"))
                return WAIT_GONE;
        if (streq(state, "launched"))
                return WAIT_LAUNCHED;
        return streq(state, "loaded") ? WAIT_LOADED : WAIT_INACTIVE;
}

/* Check the units, and move their names into the wait. Returns 0, -EINVAL or -ENOMEM. */
static int wait_take_units(WaitCall *wait, WaitRequest *request, Diag *diag) {
        wait->units = calloc(request->n_units + 1, sizeof(WaitUnit));
        wait->kinds = calloc(request->n_units + 1, sizeof(WaitUnit *));
        if (!wait->units || !wait->kinds)
                return -ENOMEM;

        for (size_t i = 0; i < request->n_units; i++) {
                WaitUnit *unit = &wait->units[wait->n_units++];
                int r;

                unit->wait = wait;
                unit->name = TAKE(request->units[i].name);
                unit->hint = TAKE(request->units[i].machine_id);
                if (unit->hint && !*unit->hint)
                        free(TAKE(unit->hint));
                if (unit_name_check(unit->name, diag) < 0)
                        return diag_wrap(diag, -EINVAL, "%s", unit->name);
                if (unit->hint &&
                    (strlen(unit->hint) > UNIT_NAME_MAX_BYTES || strchr(unit->hint, '/')))
                        return diag_set(diag, -EINVAL, "%s: invalid machineID", unit->name);
                r = hash_map_put(&wait->by_name, &unit->node, unit->name);
                if (r == -EEXIST)
                        return diag_set(diag, -EINVAL, "%s: given more than once", unit->name);
                if (r < 0)
                        return r;
        }
        wait->n_open = wait->n_units;
        return 0;
}

/* Decode the body; false after having answered. */
static bool wait_decode(Api *api, HttpExchange *exchange, WaitRequest *ret_request) {
        Diag diag = { 0 };
        const char *body;
        size_t n_bytes;
        int r;

        if (!api_check_content_type(api, exchange))
                return false;

        body = http_exchange_body(exchange, &n_bytes);
        r = wait_request_decode(body, n_bytes, ret_request, &diag);
        if (r == -EBADMSG)
                api_reply_error(api, exchange, 400, "unable to decode body: %s", diag.message);
        else if (r < 0)
                api_reply_failure(api, exchange, r);
        else if (ret_request->n_units > API_WAIT_UNITS_MAX)
                api_reply_error(api, exchange, 413, "more than %d units in one request",
                                API_WAIT_UNITS_MAX);
        else if (api->n_waits >= API_WAITS_MAX)
                api_reply_error(api, exchange, 503,
                                "%d clients are waiting already: try again later", API_WAITS_MAX);
        else
                return true;
        return false;
}

void api_wait(Api *api, HttpExchange *exchange, const char *name) {
        _cleanup_(wait_request_done) WaitRequest request = { 0 };
        Diag diag = { 0 };
        WaitCall *wait;
        int r;

        (void)name;
        if (!wait_decode(api, exchange, &request))
                return;

        wait = api_call_new(sizeof(*wait), api, exchange, &wait_vtable);
        if (!wait)
                return;

        api->n_waits++;
        wait->target = target_from_string(request.state);
        wait->evaluate.fn = on_evaluate;
        wait->timeout.fn = on_timeout;
        wait->heartbeat.fn = on_heartbeat;
        wait->retry.fn = on_retry;
        r = wait_take_units(wait, &request, &diag);
        if (r == -EINVAL)
                api_call_error(&wait->call, 400, "%s", diag.message);
        else if (r < 0)
                api_call_error(&wait->call, 500, "out of memory");
        else
                wait_begin(wait, request.timeout_ms);
}
