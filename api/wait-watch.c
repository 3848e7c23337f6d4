/* SPDX-License-Identifier: Apache-2.0 */

/* What a wait knows of its units, kept up to date by following records.
 *
 * A narrow wait, for few units, follows each by itself: its record and its placement, and its state
 * on the machine that the placement names (or that the client named, for units that are leaving). A
 * wide one follows all units, placements and states, and picks out its own: for many units that is
 * less work, and for units that may be on any machine it is the only way.
 *
 * States may come before the placement that names their machine, since each kind of record has a
 * watch of its own: so they are kept by machine.
 */

#include <errno.h>

#include "api/wait.h"

static void unit_clear_record(WaitUnit *unit) {
        unit->exists = unit->is_bad = false;
}

static void unit_clear_placement(WaitUnit *unit) {
        free(TAKE(unit->machine));
        free(TAKE(unit->placement_why));
        strlist_done(&unit->left);
        unit->placement_generation = 0;
}

static void state_done(WaitState *state) {
        free(state->machine);
        free(state->active);
        free(state->waits);
        free(state->why);
}

static void unit_clear_states(WaitUnit *unit) {
        for (size_t i = 0; i < unit->n_states; i++)
                state_done(&unit->states[i]);
        free(TAKE(unit->states));
        unit->n_states = 0;
}

/* Copy a string that may be NULL; false when memory is out. */
static bool copy_string(const char *from, char **ret_copy) {
        *ret_copy = from ? strdup(from) : NULL;
        return !from || *ret_copy;
}

static void take_unit(WaitUnit *unit, const Record *record) {
        unit_clear_record(unit);
        if (record->is_deleted)
                return;
        unit->exists = true;
        unit->is_bad = record->is_bad;
        if (record->is_bad)
                return;
        if (!streq(unit->record.file, record->unit.file))
                unit->kind = WAIT_KIND_UNKNOWN;
        unit->record = (UnitRecord){ .desired = record->unit.desired,
                                     .generation = record->unit.generation };
        memcpy(unit->record.file, record->unit.file, sizeof(unit->record.file));
        unit->hint_generation_last = unit->hint
                                             ? unit_record_generation_on(&record->unit, unit->hint)
                                             : 0;
}

static int take_placement(WaitUnit *unit, const Record *record) {
        unit_clear_placement(unit);
        if (record->is_deleted || record->is_bad)
                return 0;
        unit->placement_generation = record->placement.generation;
        if (!copy_string(record->placement.machine, &unit->machine) ||
            !copy_string(record->placement.why, &unit->placement_why) ||
            strlist_copy(&record->placement.left, &unit->left) < 0)
                return -ENOMEM;
        if (unit->machine)
                wait_want_machine(unit->wait, unit->machine);
        return 0;
}

static void unit_drop_state(WaitUnit *unit, const char *machine) {
        for (size_t i = 0; i < unit->n_states; i++) {
                if (!streq(unit->states[i].machine, machine))
                        continue;
                state_done(&unit->states[i]);
                unit->states[i] = unit->states[--unit->n_states];
                return;
        }
}

static int take_state(WaitUnit *unit, const Record *record) {
        WaitState state = { .generation = record->state.generation, .state = record->state.state };
        WaitState *states;

        unit_drop_state(unit, record->key.machine);
        if (record->is_deleted)
                return 0;

        states = reallocarray(unit->states, unit->n_states + 1, sizeof(*states));
        if (!states)
                return -ENOMEM;
        unit->states = states;
        if (!copy_string(record->key.machine, &state.machine) ||
            (!record->is_bad && (!copy_string(record->state.active, &state.active) ||
                                 !copy_string(record->state.waits, &state.waits) ||
                                 !copy_string(record->state.why, &state.why)))) {
                state_done(&state);
                return -ENOMEM;
        }
        unit->states[unit->n_states++] = state;
        return 0;
}

static void wait_take(WaitCall *wait, const Record *record) {
        HashNode *node = record->key.unit ? hash_map_get(&wait->by_name, record->key.unit) : NULL;
        WaitUnit *unit;
        int r = 0;

        if (!node)
                return;

        unit = container_of(node, WaitUnit, node);
        if (unit->is_done)
                return;
        if (record->key.kind == RECORD_UNIT)
                take_unit(unit, record);
        else if (record->key.kind == RECORD_PLACEMENT)
                r = take_placement(unit, record);
        else if (record->key.kind == RECORD_STATE)
                r = take_state(unit, record);

        if (r < 0)
                wait_break(wait, r);
        else
                wait_mark(unit);
}

static void unit_synced(WaitUnit *unit) {
        if (!unit->has_generation) {
                unit->has_generation = true;
                unit->generation = unit->exists && !unit->is_bad ? unit->record.generation : 0;
                unit->hint_generation = unit->hint_generation_last;
        }
        wait_mark(unit);
}

/* Wide */

static void on_wide_reset(RegistryFollow *follow) {
        WaitCall *wait = container_of(follow, WaitCall, wide);

        wait->wide_is_synced = false;
        for (size_t i = 0; i < wait->n_units; i++) {
                unit_clear_record(&wait->units[i]);
                unit_clear_placement(&wait->units[i]);
                unit_clear_states(&wait->units[i]);
        }
}

static void on_wide_record(RegistryFollow *follow, const Record *record) {
        wait_take(container_of(follow, WaitCall, wide), record);
}

static void on_wide_synced(RegistryFollow *follow, int64_t revision) {
        WaitCall *wait = container_of(follow, WaitCall, wide);

        (void)revision;
        wait->wide_is_synced = true;
        for (size_t i = 0; i < wait->n_units; i++)
                unit_synced(&wait->units[i]);
}

static const RegistryFollowFns wide_fns = { .on_reset = on_wide_reset,
                                            .on_record = on_wide_record,
                                            .on_synced = on_wide_synced };

/* Narrow */

static void on_unit_reset(RegistryFollow *follow) {
        WaitNarrow *narrow = container_of(follow, WaitNarrow, unit);

        narrow->unit_is_synced = false;
        unit_clear_record(narrow->owner);
        unit_clear_placement(narrow->owner);
}

static void on_unit_record(RegistryFollow *follow, const Record *record) {
        wait_take(container_of(follow, WaitNarrow, unit)->owner->wait, record);
}

static void on_unit_synced(RegistryFollow *follow, int64_t revision) {
        WaitNarrow *narrow = container_of(follow, WaitNarrow, unit);

        (void)revision;
        narrow->unit_is_synced = true;
        unit_synced(narrow->owner);
}

static const RegistryFollowFns unit_fns = { .on_reset = on_unit_reset,
                                            .on_record = on_unit_record,
                                            .on_synced = on_unit_synced };

static void on_state_reset(RegistryFollow *follow) {
        WaitNarrow *narrow = container_of(follow, WaitNarrow, state);

        narrow->state_is_synced = false;
        unit_clear_states(narrow->owner);
}

static void on_state_record(RegistryFollow *follow, const Record *record) {
        wait_take(container_of(follow, WaitNarrow, state)->owner->wait, record);
}

static void on_state_synced(RegistryFollow *follow, int64_t revision) {
        WaitNarrow *narrow = container_of(follow, WaitNarrow, state);

        (void)revision;
        narrow->state_is_synced = true;
        wait_mark(narrow->owner);
}

static const RegistryFollowFns state_fns = { .on_reset = on_state_reset,
                                             .on_record = on_state_record,
                                             .on_synced = on_state_synced };

/* Adds a machine to those where the unit is followed. Returns 0, 1 when that was news, or -ENOMEM. */
static int narrow_add_machine(WaitNarrow *narrow, const char *machine) {
        if (strlist_has(&narrow->machines, machine))
                return 0;
        if (narrow->machines.n_items == REGISTRY_FOLLOW_MAX)
                strlist_done(&narrow->machines);
        return strlist_add(&narrow->machines, machine) < 0 ? -ENOMEM : 1;
}

/* Once placed, a unit that is leaving is followed where it was. One that has moved may still run
 * where it was before, so it is followed there, too. Returns as narrow_add_machine(). */
static int narrow_add_machines(WaitUnit *unit) {
        WaitNarrow *narrow = unit->narrow;
        int r = 0, news = 0;

        if (unit->machine)
                r = narrow_add_machine(narrow, unit->machine);
        else if (unit->hint && narrow->machines.n_items == 0)
                r = narrow_add_machine(narrow, unit->hint);
        for (size_t i = 0; r >= 0 && i < unit->left.n_items; i++) {
                news |= r;
                r = narrow_add_machine(narrow, unit->left.items[i]);
        }
        return r < 0 ? r : news | r;
}

void wait_watch_follow_machines(WaitUnit *unit) {
        WaitNarrow *narrow = unit->narrow;
        RegistryFollowKey keys[REGISTRY_FOLLOW_MAX] = { 0 };
        int r;

        r = narrow ? narrow_add_machines(unit) : 0;
        if (r == 0)
                return;
        if (r < 0) {
                wait_break(unit->wait, r);
                return;
        }

        registry_follow_stop(&narrow->state);
        unit_clear_states(unit);
        narrow->state_is_synced = false;
        for (size_t i = 0; i < narrow->machines.n_items; i++)
                keys[i].key = (RecordKey){ .kind = RECORD_STATE,
                                           .machine = narrow->machines.items[i],
                                           .unit = unit->name };
        narrow->state = (RegistryFollow){ 0 };
        r = registry_follow_start(unit->wait->call.api->registry, &narrow->state, keys,
                                  narrow->machines.n_items, &state_fns);
        if (r < 0)
                wait_break(unit->wait, r);
}

static int narrow_start(WaitUnit *unit) {
        const RegistryFollowKey keys[] = {
                { .key = { .kind = RECORD_UNIT, .unit = unit->name } },
                { .key = { .kind = RECORD_PLACEMENT, .unit = unit->name } },
        };

        unit->narrow = calloc(1, sizeof(WaitNarrow));
        if (!unit->narrow)
                return -ENOMEM;

        unit->narrow->owner = unit;
        wait_watch_follow_machines(unit);
        return registry_follow_start(unit->wait->call.api->registry, &unit->narrow->unit, keys,
                                     ELEMENTSOF(keys), &unit_fns);
}

/* Public */

int wait_watch_start(WaitCall *wait) {
        const RegistryFollowKey keys[] = {
                { .key = { .kind = RECORD_UNIT } },
                { .key = { .kind = RECORD_PLACEMENT } },
                { .key = { .kind = RECORD_STATE } },
        };
        int r = 0;

        if (wait->is_wide)
                return registry_follow_start(wait->call.api->registry, &wait->wide, keys,
                                             ELEMENTSOF(keys), &wide_fns);

        for (size_t i = 0; i < wait->n_units && r == 0; i++)
                r = narrow_start(&wait->units[i]);
        return r;
}

static void narrow_stop(WaitUnit *unit) {
        if (!unit->narrow)
                return;
        registry_follow_stop(&unit->narrow->unit);
        registry_follow_stop(&unit->narrow->state);
        strlist_done(&unit->narrow->machines);
        free(TAKE(unit->narrow));
}

void wait_watch_stop(WaitCall *wait) {
        registry_follow_stop(&wait->wide);
        for (size_t i = 0; i < wait->n_units; i++) {
                narrow_stop(&wait->units[i]);
                unit_clear_placement(&wait->units[i]);
                unit_clear_states(&wait->units[i]);
        }
}

bool wait_watch_is_synced(const WaitUnit *unit) {
        const WaitNarrow *narrow = unit->narrow;

        if (unit->wait->is_wide)
                return unit->wait->wide_is_synced;
        return narrow && narrow->unit_is_synced &&
               (narrow->machines.n_items == 0 || narrow->state_is_synced);
}
