/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/sim/mirror.h"

#include <stdio.h>
#include <string.h>

static const char prefix[] = "/fleet/";

MirrorUnit *mirror_find(Mirror *mirror, const char *name, size_t n_name) {
        for (size_t i = 0; i < mirror->n_units; i++)
                if (strlen(mirror->units[i].name) == n_name &&
                    memcmp(mirror->units[i].name, name, n_name) == 0)
                        return &mirror->units[i];
        return NULL;
}

bool mirror_unit_is_absent(const MirrorUnit *unit) {
        for (size_t i = 0; i < SIM_MACHINES_MAX; i++)
                if (unit->rows[i].exists || (unit->has_state[i] && !unit->rows[i].was_lost))
                        return false;
        return true;
}

bool mirror_unit_is_wanted(const MirrorUnit *unit) {
        return unit->exists && unit->desired != JOB_STATE_INACTIVE;
}

/* The IDs of simulated machines are a digit, 32 times. */
int mirror_machine(const Mirror *mirror, const char *id, size_t n_id) {
        int machine = n_id == 32 ? id[0] - '0' : -1;

        return machine >= 0 && (size_t)machine < mirror->n_machines ? machine : -1;
}

static bool take_part(const char **text, size_t *n_left, const char *part) {
        size_t n = strlen(part);

        if (*n_left < n || memcmp(*text, part, n) != 0)
                return false;
        *text += n;
        *n_left -= n;
        return true;
}

MirrorKey mirror_key(Mirror *mirror, StoreBytes bytes) {
        static const struct {
                const char *part;
                MirrorKind kind;
                bool has_machine;
                bool has_unit;
        } kinds[] = {
                { "unit/", MIRROR_UNIT, false, true },
                { "file/", MIRROR_FILE, false, false },
                { "machine/", MIRROR_MACHINE, true, false },
                { "metadata/", MIRROR_METADATA, true, false },
                { "schedule/", MIRROR_SCHEDULE, true, true },
                { "placement/", MIRROR_PLACEMENT, false, true },
                { "state/", MIRROR_STATE, true, true },
                { "engine/leader", MIRROR_LEADER, false, false },
        };
        MirrorKey key = { .machine = -1 };
        const char *text = (const char *)bytes.data;
        size_t n = bytes.n_bytes;

        if (!take_part(&text, &n, prefix))
                return key;
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                if (!take_part(&text, &n, kinds[i].part))
                        continue;
                key.kind = kinds[i].kind;
                if (kinds[i].has_machine && n >= 32) {
                        key.machine = mirror_machine(mirror, text, 32);
                        text += n > 32 ? 33 : 32;
                        n -= n > 32 ? 33 : 32;
                }
                if (kinds[i].has_unit)
                        key.unit = mirror_find(mirror, text, n);
                if (key.kind == MIRROR_FILE && n < sizeof(key.file))
                        memcpy(key.file, text, n);
                break;
        }
        return key;
}

static void apply_unit(MirrorUnit *unit, StoreBytes value, bool is_deletion, uint64_t now_us) {
        UnitRecord record = { 0 };
        bool existed = unit->exists, was_wanted = mirror_unit_is_wanted(unit);

        unit->changed_us = now_us;
        unit->exists = !is_deletion && unit_record_decode((const char *)value.data, value.n_bytes,
                                                          &record, NULL) == 0;
        if (existed && !unit->exists)
                unit->removed_us = now_us;
        if (!unit->exists)
                return;
        memcpy(unit->file, record.file, sizeof(unit->file));
        unit->desired = record.desired;
        unit->generation = record.generation;
        unit->restart = record.restart;
        unit->created_us = existed ? unit->created_us : now_us;
        if (!was_wanted && mirror_unit_is_wanted(unit))
                unit->wanted_us = now_us;
        unit_record_done(&record);
}

/* So long a leader may go on believing that a machine is lost which has come back, or that a unit is
 * to be nowhere which is asked for again. */
enum { LEADER_LAG_US = 10 * US_PER_S };

static void apply_row(MirrorRow *row, StoreBytes value, bool is_deletion, uint64_t now_us) {
        ScheduleRecord record = { 0 };
        bool exists = !is_deletion && schedule_record_decode((const char *)value.data,
                                                             value.n_bytes, &record, NULL) == 0;

        if (exists != row->exists || !streq(record.file, row->file) ||
            record.desired != row->desired || record.restart != row->restart)
                row->same_since_us = now_us;
        row->exists = exists;
        if (exists) {
                memcpy(row->file, record.file, sizeof(row->file));
                row->desired = record.desired;
                row->restart = record.restart;
                row->generation = record.generation;
                row->after = 0;
                for (size_t i = 0; i < record.after.n_items; i++)
                        row->after |= 1U << (record.after.items[i][0] - '0');
        }
        schedule_record_done(&record);
}

/* Why a row went, as far as the leader knew. */
static void explain_removal(MirrorRow *row, const MirrorUnit *unit, const MirrorMachine *machine,
                            uint64_t now_us) {
        row->was_lost = !machine->is_present || machine->is_leaving ||
                        now_us < machine->present_us + LEADER_LAG_US;
        row->was_unwanted = !mirror_unit_is_wanted(unit) ||
                            now_us < unit->wanted_us + LEADER_LAG_US;
}

static void apply_placement(MirrorUnit *unit, StoreBytes value, bool is_deletion) {
        PlacementRecord record = { 0 };

        unit->has_placement = !is_deletion;
        unit->is_placed = !is_deletion &&
                          placement_record_decode((const char *)value.data, value.n_bytes, &record,
                                                  NULL) == 0 &&
                          record.machine;
        (void)snprintf(unit->machine, sizeof(unit->machine), "%s",
                       unit->is_placed ? record.machine : "");
        placement_record_done(&record);
}

static void apply_state(MirrorUnit *unit, int machine, StoreBytes value, bool is_deletion,
                        uint64_t now_us) {
        StateRecord record = { 0 };

        unit->has_state[machine] = !is_deletion &&
                                   state_record_decode((const char *)value.data, value.n_bytes,
                                                       &record, NULL) == 0;
        unit->state_generation[machine] = record.generation;
        unit->state_us[machine] = now_us;
        (void)snprintf(unit->active[machine], sizeof(unit->active[machine]), "%s",
                       unit->has_state[machine] ? record.active : "");
        state_record_done(&record);
}

static void apply_machine(MirrorMachine *machine, StoreBytes value, bool is_deletion,
                          uint64_t now_us) {
        MachineRecord record = { 0 };
        bool is_leaving = !is_deletion &&
                          machine_record_decode((const char *)value.data, value.n_bytes, &record,
                                                NULL) == 0 &&
                          record.is_leaving;

        if (is_deletion)
                machine->absent_us = now_us;
        else if (!machine->is_present || (machine->is_leaving && !is_leaving))
                machine->present_us = now_us;
        machine->is_present = !is_deletion;
        machine->is_leaving = is_leaving;
        machine_record_done(&record);
}

static void apply_leader(Mirror *mirror, StoreBytes value, bool is_deletion) {
        LeaderRecord record = { 0 };

        mirror->leader[0] = '\0';
        if (!is_deletion &&
            leader_record_decode((const char *)value.data, value.n_bytes, &record, NULL) == 0)
                (void)snprintf(mirror->leader, sizeof(mirror->leader), "%s", record.machine);
        leader_record_done(&record);
}

void mirror_apply(Mirror *mirror, const MirrorKey *key, StoreBytes value, bool is_deletion,
                  uint64_t now_us) {
        MirrorMachine *machine = key->machine >= 0 ? &mirror->machines[key->machine] : NULL;

        if (key->unit && mirror_unit_is_absent(key->unit))
                key->unit->absent_us = now_us;
        switch (key->kind) {
        case MIRROR_UNIT:
                if (key->unit)
                        apply_unit(key->unit, value, is_deletion, now_us);
                break;
        case MIRROR_MACHINE:
                if (machine)
                        apply_machine(machine, value, is_deletion, now_us);
                break;
        case MIRROR_METADATA:
                if (machine)
                        machine->metadata_us = now_us;
                break;
        case MIRROR_SCHEDULE:
                if (key->unit && machine) {
                        MirrorRow *row = &key->unit->rows[key->machine];

                        apply_row(row, value, is_deletion, now_us);
                        row->was_lost = row->was_unwanted = row->was_unseen = false;
                        if (is_deletion) {
                                explain_removal(row, key->unit, machine, now_us);
                                row->was_unseen = !key->unit->has_state[key->machine];
                        }
                }
                break;
        case MIRROR_PLACEMENT:
                if (key->unit)
                        apply_placement(key->unit, value, is_deletion);
                break;
        case MIRROR_STATE:
                if (key->unit && machine)
                        apply_state(key->unit, key->machine, value, is_deletion, now_us);
                break;
        case MIRROR_LEADER:
                apply_leader(mirror, value, is_deletion);
                break;
        case MIRROR_FILE:
        case MIRROR_OTHER:
                break;
        }
}
