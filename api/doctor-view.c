/* SPDX-License-Identifier: Apache-2.0 */

/* What a checkup has read. States come in the order of the rows, so that the two are joined as they
 * come. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/doctor.h"

void doctor_view_init(DoctorView *view, const char *machine, uint64_t seed) {
        *view = (DoctorView){ .machine = machine,
                              .machines = hash_map_make(seed),
                              .units = hash_map_make(seed),
                              .files = hash_map_make(seed),
                              .holds = hash_map_make(seed),
                              .answers = hash_map_make(seed) };
}

static void free_machines(HashMap *map) {
        HashNode *node;

        while ((node = hash_map_first(map))) {
                DoctorMachine *machine = container_of(node, DoctorMachine, node);

                hash_map_remove(map, node);
                machine_record_done(&machine->record);
                free(machine->id);
                free(machine);
        }
        hash_map_done(map);
}

static void free_units(HashMap *map) {
        HashNode *node;

        while ((node = hash_map_first(map))) {
                DoctorUnit *unit = container_of(node, DoctorUnit, node);

                hash_map_remove(map, node);
                unit_record_done(&unit->record);
                placement_record_done(&unit->placement);
                free(unit->name);
                free(unit);
        }
        hash_map_done(map);
}

static void free_files(HashMap *map) {
        HashNode *node;

        while ((node = hash_map_first(map))) {
                hash_map_remove(map, node);
                free(container_of(node, DoctorFile, node));
        }
        hash_map_done(map);
}

static void free_answers(HashMap *map) {
        HashNode *node;

        while ((node = hash_map_first(map))) {
                DoctorAnswer *answer = container_of(node, DoctorAnswer, node);

                hash_map_remove(map, node);
                report_record_done(&answer->report);
                free(answer->key);
                free(answer);
        }
        hash_map_done(map);
}

static void hold_free(DoctorHold *hold) {
        if (!hold)
                return;
        free(hold->unit);
        free(hold->machine);
        free(hold);
}

static void free_holds(HashMap *map) {
        HashNode *node;

        while ((node = hash_map_first(map))) {
                hash_map_remove(map, node);
                hold_free(container_of(node, DoctorHold, node));
        }
        hash_map_done(map);
}

void doctor_view_done(DoctorView *view) {
        for (size_t i = 0; i < view->n_rows; i++) {
                schedule_record_done(&view->rows[i].row);
                state_record_done(&view->rows[i].state);
        }
        for (size_t i = 0; i < view->n_strays; i++) {
                free(view->strays[i].key);
                free(view->strays[i].why);
        }
        free_answers(&view->answers);
        free_machines(&view->machines);
        free_units(&view->units);
        free_files(&view->files);
        free_holds(&view->holds);
        free(view->rows);
        free(view->strays);
        free(view->leader);
        free(view->endpoint);
        free((char *)view->status.version);
        free((char *)view->status.troubles);
}

static DoctorMachine *view_machine(DoctorView *view, const char *id) {
        HashNode *node = hash_map_get(&view->machines, id);
        DoctorMachine *machine;

        if (node)
                return container_of(node, DoctorMachine, node);

        machine = calloc(1, sizeof(*machine));
        if (machine)
                machine->id = strdup(id);
        if (!machine || !machine->id ||
            hash_map_put(&view->machines, &machine->node, machine->id) < 0) {
                if (machine)
                        free(machine->id);
                free(machine);
                return NULL;
        }
        return machine;
}

static DoctorUnit *view_unit(DoctorView *view, const char *name) {
        HashNode *node = hash_map_get(&view->units, name);
        DoctorUnit *unit;

        if (node)
                return container_of(node, DoctorUnit, node);

        unit = calloc(1, sizeof(*unit));
        if (unit)
                unit->name = strdup(name);
        if (!unit || !unit->name || hash_map_put(&view->units, &unit->node, unit->name) < 0) {
                if (unit)
                        free(unit->name);
                free(unit);
                return NULL;
        }
        return unit;
}

int doctor_view_stray(DoctorView *view, const char *key, const char *why, bool is_note) {
        DoctorStray *stray;

        if (view->n_strays == DOCTOR_FINDINGS_MAX) {
                view->n_more_strays++;
                return 0;
        }
        if (!view->strays) {
                view->strays = calloc(DOCTOR_FINDINGS_MAX, sizeof(*view->strays));
                if (!view->strays)
                        return -ENOMEM;
        }

        stray = &view->strays[view->n_strays++];
        stray->key = strdup(key);
        stray->why = strdup(why);
        stray->is_note = is_note;
        return stray->key && stray->why ? 0 : -ENOMEM;
}

/* A stray of a kind: "<word>/<part>" or "<word>/<machine>/<unit>". */
static int view_stray(DoctorView *view, const char *word, const Record *record, const char *why,
                      bool is_note) {
        const char *machine = record->key.machine, *unit = record->key.unit;
        _cleanup_(freep) char *key = NULL;
        int r;

        if (asprintf(&key, "%s/%s%s%s", word, machine ? machine : "", machine && unit ? "/" : "",
                     unit ? unit : "") < 0) {
                key = NULL;
                return -ENOMEM;
        }
        r = doctor_view_stray(view, key, why, is_note);
        return r;
}

static int view_bad(DoctorView *view, const char *word, const Record *record) {
        _cleanup_(freep) char *why = NULL;

        if (asprintf(&why, "it does not parse: %s", record->why_bad) < 0) {
                why = NULL;
                return -ENOMEM;
        }
        return view_stray(view, word, record, why, false);
}

static int copy_text(char **target, const char *text) {
        *target = text ? strdup(text) : NULL;
        return text && !*target ? -ENOMEM : 0;
}

static int apply_machine(DoctorView *view, const Record *record) {
        DoctorMachine *machine = view_machine(view, record->key.machine);
        const MachineRecord *from = &record->machine;
        int r;

        if (!machine)
                return -ENOMEM;

        machine->is_present = true;
        machine->is_bad = record->is_bad;
        if (record->is_bad)
                return view_bad(view, "machine", record);
        machine->record.is_leaving = from->is_leaving;
        r = copy_text(&machine->record.hostname, from->hostname);
        if (r == 0)
                r = copy_text(&machine->record.address, from->address);
        return r < 0 ? r : copy_text(&machine->record.version, from->version);
}

static int apply_brake(DoctorView *view, const Record *record) {
        if (record->is_bad)
                return doctor_view_stray(view, "engine/brake", record->why_bad, false);

        for (size_t i = 0; i < record->brake.n_machines; i++) {
                DoctorMachine *machine = view_machine(view, record->brake.machines[i].id);

                if (!machine)
                        return -ENOMEM;
                machine->is_held = true;
        }
        return 0;
}

static int apply_unit(DoctorView *view, const Record *record) {
        DoctorUnit *unit = view_unit(view, record->key.unit);

        if (!unit)
                return -ENOMEM;

        unit->is_known = true;
        unit->is_bad = record->is_bad;
        return record->is_bad ? view_bad(view, "unit", record)
                              : unit_record_copy(&record->unit, &unit->record);
}

static int apply_file(DoctorView *view, const Record *record) {
        DoctorFile *file = calloc(1, sizeof(*file));

        if (!file)
                return -ENOMEM;

        memcpy(file->hash, record->key.unit, strnlen(record->key.unit, UNIT_HASH_BYTES - 1));
        if (hash_map_put(&view->files, &file->node, file->hash) < 0) {
                free(file);
                return -ENOMEM;
        }
        return 0;
}

static int apply_placement(DoctorView *view, const Record *record) {
        HashNode *node = hash_map_get(&view->units, record->key.unit);
        DoctorUnit *unit;
        int r;

        if (record->is_bad)
                return view_bad(view, "placement", record);
        /* The leader keeps the placement of a unit that was destroyed for as long as it names where
         * the unit may still be ending. */
        if (!node && record->placement.left.n_items > 0 && !record->placement.machine)
                return 0;
        if (!node)
                return view_stray(view, "placement", record, "there is no such unit", false);

        unit = container_of(node, DoctorUnit, node);
        unit->has_placement = true;
        unit->placement.generation = record->placement.generation;
        r = copy_text(&unit->placement.machine, record->placement.machine);
        return r < 0 ? r : copy_text(&unit->placement.why, record->placement.why);
}

static DoctorRow *view_add_row(DoctorView *view) {
        if (view->n_rows == view->n_rows_allocated) {
                size_t n = view->n_rows_allocated ? 2 * view->n_rows_allocated : 64;
                DoctorRow *rows = reallocarray(view->rows, n, sizeof(*rows));

                if (!rows)
                        return NULL;
                view->rows = rows;
                view->n_rows_allocated = n;
        }
        view->rows[view->n_rows] = (DoctorRow){ 0 };
        return &view->rows[view->n_rows++];
}

static int apply_row(DoctorView *view, const Record *record) {
        DoctorMachine *machine = view_machine(view, record->key.machine);
        HashNode *node = hash_map_get(&view->units, record->key.unit);
        DoctorUnit *unit = node ? container_of(node, DoctorUnit, node) : NULL;
        DoctorRow *row;

        if (!machine)
                return -ENOMEM;
        if (!unit)
                return view_stray(view, "schedule", record, "there is no such unit", false);

        row = view_add_row(view);
        if (!row)
                return -ENOMEM;
        row->machine = machine;
        row->unit = unit;
        row->is_bad = record->is_bad;
        machine->n_rows++;
        unit->n_rows += machine->is_present;
        unit->n_lost_rows += !machine->is_present;
        if (unit->placement.machine && streq(unit->placement.machine, machine->id)) {
                machine->n_singles++;
                unit->has_row_there = true;
        }
        return record->is_bad ? view_bad(view, "schedule", record)
                              : schedule_record_copy(&record->schedule, &row->row);
}

static int state_copy(const StateRecord *from, StateRecord *to) {
        int r;

        to->generation = from->generation;
        to->state = from->state;
        memcpy(to->hash, from->hash, sizeof(to->hash));
        r = copy_text(&to->load, from->load);
        if (r == 0)
                r = copy_text(&to->active, from->active);
        if (r == 0)
                r = copy_text(&to->sub, from->sub);
        if (r == 0)
                r = copy_text(&to->why, from->why);
        return r < 0 ? r : copy_text(&to->waits, from->waits);
}

static int compare_row(const DoctorRow *row, const RecordKey *key) {
        int c = strcmp(row->machine->id, key->machine);

        return c != 0 ? c : strcmp(row->unit->name, key->unit);
}

static int apply_state(DoctorView *view, const Record *record) {
        HashNode *node = hash_map_get(&view->machines, record->key.machine);
        DoctorRow *row;

        if (record->is_bad)
                return view_bad(view, "state", record);

        while (view->i_row < view->n_rows &&
               compare_row(&view->rows[view->i_row], &record->key) < 0)
                view->i_row++;
        row = view->i_row < view->n_rows ? &view->rows[view->i_row] : NULL;
        if (!row || compare_row(row, &record->key) != 0) {
                bool is_there = node && container_of(node, DoctorMachine, node)->is_present;

                return view_stray(view, "state", record,
                                  is_there ? "it is not scheduled there: its machine is ending it"
                                           : "its machine is not there",
                                  is_there);
        }

        row->has_state = true;
        return state_copy(&record->state, &row->state);
}

static int apply_hold(DoctorView *view, const Record *record) {
        DoctorHold *hold = calloc(1, sizeof(*hold));
        int r = hold ? copy_text(&hold->unit, record->key.unit) : -ENOMEM;

        if (r == 0)
                r = copy_text(&hold->machine, record->is_bad ? NULL : record->hold.machine);
        if (r == 0)
                r = hash_map_put(&view->holds, &hold->node, hold->unit);
        if (r < 0) {
                hold_free(hold);
                return r;
        }
        return record->is_bad ? view_bad(view, "hold", record) : 0;
}

static int apply_held(DoctorView *view, const Record *record) {
        HashNode *node = hash_map_get(&view->holds, record->key.unit);
        DoctorHold *hold = node ? container_of(node, DoctorHold, node) : NULL;

        if (record->is_bad)
                return view_bad(view, "held", record);
        if (!hold || !hold->machine || !streq(hold->machine, record->key.machine))
                return view_stray(
                        view, "held", record,
                        "the machine may run this Exclusive unit, and hold/ does not keep "
                        "the others from it",
                        false);
        hold->is_held = true;
        return 0;
}

static int apply_leader(DoctorView *view, const Record *record) {
        if (record->is_bad)
                return doctor_view_stray(view, "engine/leader", record->why_bad, false);
        return copy_text(&view->leader, record->leader.machine);
}

static int apply_metadata(DoctorView *view, const Record *record) {
        return record->is_bad ? view_bad(view, "metadata", record) : 0;
}

int doctor_view_apply(DoctorView *view, const Record *record) {
        static int (*const apply[_RECORD_KIND_MAX])(DoctorView * view, const Record *record) = {
                [RECORD_BRAKE] = apply_brake,       [RECORD_FILE] = apply_file,
                [RECORD_HELD] = apply_held,         [RECORD_HOLD] = apply_hold,
                [RECORD_LEADER] = apply_leader,     [RECORD_MACHINE] = apply_machine,
                [RECORD_METADATA] = apply_metadata, [RECORD_PLACEMENT] = apply_placement,
                [RECORD_SCHEDULE] = apply_row,      [RECORD_STATE] = apply_state,
                [RECORD_UNIT] = apply_unit,
        };

        return apply[record->key.kind] ? apply[record->key.kind](view, record) : 0;
}

/* Answers */

static int report_copy(const ReportRecord *from, ReportRecord *to) {
        int r;

        *to = (ReportRecord){ .asked = from->asked,
                              .wall_ms = from->wall_ms,
                              .is_host_lost = from->is_host_lost,
                              .n_units = from->n_units,
                              .n_late = from->n_late };
        r = copy_text(&to->hostname, from->hostname);
        if (r == 0)
                r = copy_text(&to->address, from->address);
        if (r == 0)
                r = copy_text(&to->version, from->version);
        if (r == 0)
                r = copy_text(&to->store, from->store);
        if (r == 0)
                r = copy_text(&to->store_version, from->store_version);
        return r < 0 ? r : copy_text(&to->why, from->why);
}

static int view_add_answer(DoctorView *view, char *key, const Record *record, uint64_t now_ms) {
        DoctorMachine *machine = view_machine(view, record->key.machine);
        DoctorAnswer *answer = calloc(1, sizeof(*answer));

        if (!machine || !answer || hash_map_put(&view->answers, &answer->node, key) < 0) {
                free(answer);
                free(key);
                return -ENOMEM;
        }

        answer->key = key;
        answer->machine = machine;
        answer->received_ms = now_ms;
        machine->n_answers += !record->report.why;
        return report_copy(&record->report, &answer->report);
}

int doctor_view_answer(DoctorView *view, const Record *record, uint64_t now_ms) {
        char *key;

        if (record->is_bad || view->asked == 0 || record->report.asked < (uint64_t)view->asked)
                return 0;
        if (asprintf(&key, "%s/%s", record->key.machine, record->key.unit) < 0)
                return -ENOMEM;
        if (hash_map_get(&view->answers, key)) {
                free(key);
                return 0;
        }
        return view_add_answer(view, key, record, now_ms);
}

bool doctor_view_is_answered(const DoctorView *view) {
        for (HashNode *node = hash_map_first(&view->machines); node;
             node = hash_map_next(&view->machines, node)) {
                const DoctorMachine *machine = container_of(node, DoctorMachine, node);

                if (machine->is_present && machine->n_answers == 0)
                        return false;
        }
        return true;
}
