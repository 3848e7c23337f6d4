/* SPDX-License-Identifier: Apache-2.0 */

/* The records that are about one unit: what the user wants (unit/), what a machine shall do
 * (schedule/), where the unit is (placement/), and what systemd says of it (state/). Their shapes
 * are in docs/records.md.
 *
 * Each encoder writes its members in alphabetical order straight into the text. Each decoder fills
 * a local record and hands it out once it is complete, so a caller never sees half of one. Decoders
 * check types and the few values that code relies on (hashes, states); whether a record makes sense
 * beside the others is for who reads them together.
 */

#include <assert.h>
#include <errno.h>

#include "lib/model/json-in.h"
#include "lib/model/json-out.h"
#include "lib/model/record.h"
#include "lib/unit/unit-name.h"

uint64_t unit_record_restart_on(const UnitRecord *record, const char *machine) {
        uint64_t restart = restarts_get(&record->restarts, machine);

        return restart > record->restart ? restart : record->restart;
}

uint64_t unit_record_generation_on(const UnitRecord *record, const char *machine) {
        uint64_t restart = unit_record_restart_on(record, machine);

        return restart > record->generation ? restart : record->generation;
}

uint64_t unit_record_last_generation(const UnitRecord *record) {
        uint64_t last = record->restart > record->generation ? record->restart : record->generation;

        for (size_t i = 0; i < record->restarts.n_entries; i++)
                if (record->restarts.entries[i].generation > last)
                        last = record->restarts.entries[i].generation;
        return last;
}

void unit_record_done(UnitRecord *record) {
        restarts_done(&record->restarts);
        *record = (UnitRecord){ 0 };
}

int unit_record_copy(const UnitRecord *record, UnitRecord *ret_copy) {
        UnitRecord copy = *record;
        int r;

        r = restarts_copy(&record->restarts, &copy.restarts);
        if (r < 0)
                return r;

        *ret_copy = copy;
        return 0;
}

bool unit_record_equals(const UnitRecord *a, const UnitRecord *b) {
        if (a->desired != b->desired || !streq(a->file, b->file) ||
            a->generation != b->generation || a->restart != b->restart ||
            a->restarts.n_entries != b->restarts.n_entries)
                return false;

        for (size_t i = 0; i < a->restarts.n_entries; i++)
                if (a->restarts.entries[i].generation != b->restarts.entries[i].generation ||
                    !streq(a->restarts.entries[i].machine, b->restarts.entries[i].machine))
                        return false;
        return true;
}

int unit_record_encode(const UnitRecord *record, char **ret_json) {
        _cleanup_(buf_done) Buf buf = buf_make(RECORD_MAX_BYTES);
        JsonOut out = json_out_begin(&buf);

        json_out_open(&out, '{');
        json_out_string(&out, "desired", job_state_to_string(record->desired));
        json_out_string(&out, "file", record->file);
        json_out_number(&out, "generation", record->generation);
        if (record->restart > 0)
                json_out_number(&out, "restart", record->restart);
        if (record->restarts.n_entries > 0) {
                json_out_key(&out, "restarts");
                json_out_restarts(&out, &record->restarts);
        }
        json_out_close(&out, '}');
        return json_out_finish(&out, ret_json);
}

static int require_hash(const json_t *object, const char *key, char ret_hash[UNIT_HASH_BYTES],
                        Diag *diag) {
        char hash[UNIT_HASH_BYTES];
        int r;

        r = json_in_get_hash(object, key, hash, diag);
        if (r < 0)
                return r;
        if (!*hash)
                return diag_set(diag, -EBADMSG, "\"%s\" is missing or empty", key);

        memcpy(ret_hash, hash, UNIT_HASH_BYTES);
        return 0;
}

int unit_record_decode(const char *json, size_t n_bytes, UnitRecord *ret_record, Diag *diag) {
        json_auto_t *root = NULL;
        UnitRecord record = { 0 };
        int r;

        r = json_in_parse(json, n_bytes, JSON_OBJECT, &root, diag);
        if (r == 0)
                r = json_in_require_state(root, "desired", &record.desired, diag);
        if (r == 0)
                r = require_hash(root, "file", record.file, diag);
        if (r == 0)
                r = json_in_get_number(root, "generation", &record.generation, diag);
        if (r == 0)
                r = json_in_get_number(root, "restart", &record.restart, diag);
        if (r == 0)
                r = json_in_get_restarts(root, "restarts", &record.restarts, diag);
        if (r < 0)
                return r;

        *ret_record = record;
        return 0;
}

void schedule_record_done(ScheduleRecord *record) {
        strlist_done(&record->after);
        *record = (ScheduleRecord){ 0 };
}

int schedule_record_copy(const ScheduleRecord *record, ScheduleRecord *ret_copy) {
        ScheduleRecord copy = *record;
        int r;

        r = strlist_copy(&record->after, &copy.after);
        if (r < 0)
                return r;

        *ret_copy = copy;
        return 0;
}

int schedule_record_encode(const ScheduleRecord *record, char **ret_json) {
        _cleanup_(buf_done) Buf buf = buf_make(RECORD_MAX_BYTES);
        JsonOut out = json_out_begin(&buf);

        assert(record->desired != JOB_STATE_INACTIVE);

        json_out_open(&out, '{');
        if (record->after.n_items > 0)
                json_out_strings(&out, "after", &record->after);
        json_out_string(&out, "desired", job_state_to_string(record->desired));
        if (record->exclusive_s > 0)
                json_out_number(&out, "exclusive", record->exclusive_s);
        json_out_string(&out, "file", record->file);
        json_out_number(&out, "generation", record->generation);
        json_out_true(&out, "leaving", record->is_leaving);
        if (record->restart > 0)
                json_out_number(&out, "restart", record->restart);
        json_out_close(&out, '}');
        return json_out_finish(&out, ret_json);
}

/* Could it be a machine's ID, as a part of a key? */
static bool is_machine_id(const char *text) {
        return *text != '\0' && !strchr(text, '/') && strlen(text) <= UNIT_NAME_MAX_BYTES;
}

static int get_machines(const json_t *root, const char *name, StrList *ret_machines, Diag *diag) {
        bool is_sound;
        int r;

        r = json_in_get_strings(root, name, ret_machines, diag);
        if (r < 0)
                return r;

        is_sound = ret_machines->n_items <= SCHEDULE_AFTER_MAX;
        for (size_t i = 0; is_sound && i < ret_machines->n_items; i++)
                is_sound = is_machine_id(ret_machines->items[i]);
        return is_sound ? 0
                        : diag_set(diag, -EBADMSG, "\"%s\" must hold at most %d machine IDs", name,
                                   SCHEDULE_AFTER_MAX);
}

int schedule_record_decode(const char *json, size_t n_bytes, ScheduleRecord *ret_record,
                           Diag *diag) {
        _cleanup_(schedule_record_done) ScheduleRecord record = { 0 };
        json_auto_t *root = NULL;
        int r;

        r = json_in_parse(json, n_bytes, JSON_OBJECT, &root, diag);
        if (r == 0)
                r = json_in_require_state(root, "desired", &record.desired, diag);
        if (r == 0 && record.desired == JOB_STATE_INACTIVE)
                return diag_set(diag, -EBADMSG, "\"desired\" must be loaded or launched");
        if (r == 0)
                r = json_in_get_number(root, "exclusive", &record.exclusive_s, diag);
        if (r == 0)
                r = require_hash(root, "file", record.file, diag);
        if (r == 0)
                r = json_in_get_number(root, "generation", &record.generation, diag);
        if (r == 0)
                r = json_in_get_number(root, "restart", &record.restart, diag);
        if (r == 0)
                r = get_machines(root, "after", &record.after, diag);
        if (r == 0)
                r = json_in_get_bool(root, "leaving", &record.is_leaving, diag);
        if (r < 0)
                return r;

        *ret_record = record;
        record = (ScheduleRecord){ 0 };
        return 0;
}

void placement_record_done(PlacementRecord *record) {
        free(record->machine);
        free(record->why);
        strlist_done(&record->left);
        *record = (PlacementRecord){ 0 };
}

int placement_record_copy(const PlacementRecord *record, PlacementRecord *ret_to) {
        PlacementRecord copy = { .generation = record->generation };

        if ((record->machine && !(copy.machine = strdup(record->machine))) ||
            (record->why && !(copy.why = strdup(record->why))) ||
            strlist_copy(&record->left, &copy.left) < 0) {
                placement_record_done(&copy);
                return -ENOMEM;
        }

        placement_record_done(ret_to);
        *ret_to = copy;
        return 0;
}

static bool same_text(const char *a, const char *b) {
        return a == b || (a && b && streq(a, b));
}

bool placement_record_equals(const PlacementRecord *a, const PlacementRecord *b) {
        return a->generation == b->generation && same_text(a->machine, b->machine) &&
               same_text(a->why, b->why) && strlist_equals(&a->left, &b->left);
}

int placement_record_encode(const PlacementRecord *record, char **ret_json) {
        _cleanup_(buf_done) Buf buf = buf_make(RECORD_MAX_BYTES);
        JsonOut out = json_out_begin(&buf);

        json_out_open(&out, '{');
        json_out_number(&out, "generation", record->generation);
        if (record->left.n_items > 0)
                json_out_strings(&out, "left", &record->left);
        json_out_string(&out, "machine", record->machine);
        json_out_string(&out, "why", record->why);
        json_out_close(&out, '}');
        return json_out_finish(&out, ret_json);
}

int placement_record_decode(const char *json, size_t n_bytes, PlacementRecord *ret_record,
                            Diag *diag) {
        _cleanup_(placement_record_done) PlacementRecord record = { 0 };
        json_auto_t *root = NULL;
        int r;

        r = json_in_parse(json, n_bytes, JSON_OBJECT, &root, diag);
        if (r == 0)
                r = json_in_get_number(root, "generation", &record.generation, diag);
        if (r == 0)
                r = get_machines(root, "left", &record.left, diag);
        if (r == 0)
                r = json_in_get_string(root, "machine", &record.machine, diag);
        if (r == 0 && record.machine && !is_machine_id(record.machine))
                r = diag_set(diag, -EBADMSG, "\"machine\" must be a machine ID");
        if (r == 0)
                r = json_in_get_string(root, "why", &record.why, diag);
        if (r < 0)
                return r;

        *ret_record = record;
        record = (PlacementRecord){ 0 };
        return 0;
}

void state_record_done(StateRecord *record) {
        free(record->load);
        free(record->active);
        free(record->sub);
        free(record->waits);
        free(record->why);
        *record = (StateRecord){ 0 };
}

const char *state_record_reason(const StateRecord *record) {
        return record->why ? record->why : record->waits;
}

int state_record_encode(const StateRecord *record, char **ret_json) {
        _cleanup_(buf_done) Buf buf = buf_make(RECORD_MAX_BYTES);
        JsonOut out = json_out_begin(&buf);

        json_out_open(&out, '{');
        json_out_string(&out, "active", record->active);
        json_out_number(&out, "generation", record->generation);
        json_out_string(&out, "hash", record->hash);
        json_out_string(&out, "load", record->load);
        json_out_string(&out, "state", job_state_to_string(record->state));
        json_out_string(&out, "sub", record->sub);
        json_out_string(&out, "waits", record->waits);
        json_out_string(&out, "why", record->why);
        json_out_close(&out, '}');
        return json_out_finish(&out, ret_json);
}

static int state_record_read(const json_t *root, StateRecord *record, Diag *diag) {
        int r;

        r = json_in_get_any_string(root, "active", &record->active, diag);
        if (r == 0)
                r = json_in_get_number(root, "generation", &record->generation, diag);
        if (r == 0)
                r = json_in_get_hash(root, "hash", record->hash, diag);
        if (r == 0)
                r = json_in_get_any_string(root, "load", &record->load, diag);
        if (r == 0)
                r = json_in_require_state(root, "state", &record->state, diag);
        if (r == 0)
                r = json_in_get_any_string(root, "sub", &record->sub, diag);
        if (r == 0)
                r = json_in_get_string(root, "waits", &record->waits, diag);
        if (r == 0)
                r = json_in_get_string(root, "why", &record->why, diag);
        return r;
}

int state_record_decode(const char *json, size_t n_bytes, StateRecord *ret_record, Diag *diag) {
        _cleanup_(state_record_done) StateRecord record = { 0 };
        json_auto_t *root = NULL;
        int r;

        r = json_in_parse(json, n_bytes, JSON_OBJECT, &root, diag);
        if (r == 0)
                r = state_record_read(root, &record, diag);
        if (r < 0)
                return r;

        *ret_record = record;
        record = (StateRecord){ 0 };
        return 0;
}
