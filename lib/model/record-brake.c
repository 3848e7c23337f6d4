/* SPDX-License-Identifier: Apache-2.0 */

/* The records of the brake on evictions: engine/brake and evict/. Their shapes are in
 * docs/records.md; how encoders and decoders are made is said at the head of record-unit.c. */

#include <errno.h>

#include "lib/model/entity-json.h"
#include "lib/model/json-in.h"
#include "lib/model/record.h"

void brake_record_done(BrakeRecord *record) {
        for (size_t i = 0; i < record->n_machines; i++)
                machine_done(&record->machines[i]);
        free(record->machines);
        *record = (BrakeRecord){ 0 };
}

int brake_record_encode(const BrakeRecord *record, char **ret_json) {
        _cleanup_(buf_done) Buf buf = buf_make(RECORD_MAX_BYTES);
        JsonOut out = json_out_begin(&buf);

        json_out_open(&out, '{');
        json_out_number(&out, "limit", record->limit);
        machine_list_write(record->machines, record->n_machines, &out);
        json_out_number(&out, "since", record->since_s);
        json_out_close(&out, '}');
        return json_out_finish(&out, ret_json);
}

int brake_record_decode(const char *json, size_t n_bytes, BrakeRecord *ret_record, Diag *diag) {
        _cleanup_(brake_record_done) BrakeRecord record = { 0 };
        json_auto_t *root = NULL;
        int r;

        r = json_in_parse(json, n_bytes, JSON_OBJECT, &root, diag);
        if (r == 0)
                r = json_in_get_number(root, "limit", &record.limit, diag);
        if (r == 0)
                r = machine_list_read(root, &record.machines, &record.n_machines, diag);
        if (r == 0)
                r = json_in_get_number(root, "since", &record.since_s, diag);
        if (r < 0)
                return r;

        *ret_record = record;
        record = (BrakeRecord){ 0 };
        return 0;
}

int evict_record_encode(const EvictRecord *record, char **ret_json) {
        _cleanup_(buf_done) Buf buf = buf_make(RECORD_MAX_BYTES);
        JsonOut out = json_out_begin(&buf);

        json_out_open(&out, '{');
        json_out_number(&out, "asked", record->asked_s);
        json_out_close(&out, '}');
        return json_out_finish(&out, ret_json);
}

int evict_record_decode(const char *json, size_t n_bytes, EvictRecord *ret_record, Diag *diag) {
        json_auto_t *root = NULL;
        EvictRecord record = { 0 };
        int r;

        r = json_in_parse(json, n_bytes, JSON_OBJECT, &root, diag);
        if (r == 0)
                r = json_in_get_number(root, "asked", &record.asked_s, diag);
        if (r < 0)
                return r;

        *ret_record = record;
        return 0;
}
