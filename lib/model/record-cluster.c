/* SPDX-License-Identifier: Apache-2.0 */

/* The records that are about machines, who leads them and who holds what: machine/, metadata/,
 * engine/leader and hold/.
 * Their shapes are in docs/records.md; how encoders and decoders are made is said at the head of
 * record-unit.c.
 *
 * Metadata set over the API keeps entries with empty values: they are tombstones, and mean
 * something. Everywhere else an empty member is one that is not there.
 */

#include <errno.h>

#include "lib/model/json-in.h"
#include "lib/model/json-out.h"
#include "lib/model/record.h"

void machine_record_done(MachineRecord *record) {
        free(record->address);
        free(record->hostname);
        free(record->version);
        free(record->boot_id);
        metadata_done(&record->metadata);
        *record = (MachineRecord){ 0 };
}

int machine_record_encode(const MachineRecord *record, char **ret_json) {
        _cleanup_(buf_done) Buf buf = buf_make(RECORD_MAX_BYTES);
        JsonOut out = json_out_begin(&buf);

        json_out_open(&out, '{');
        json_out_string(&out, "address", record->address);
        json_out_string(&out, "bootID", record->boot_id);
        json_out_string(&out, "hostname", record->hostname);
        json_out_true(&out, "leaving", record->is_leaving);
        if (record->metadata.n_entries > 0) {
                json_out_key(&out, "metadata");
                json_out_metadata(&out, &record->metadata);
        }
        json_out_string(&out, "version", record->version);
        json_out_close(&out, '}');
        return json_out_finish(&out, ret_json);
}

static int machine_record_read(const json_t *root, MachineRecord *record, Diag *diag) {
        int r;

        r = json_in_get_string(root, "address", &record->address, diag);
        if (r == 0)
                r = json_in_get_string(root, "bootID", &record->boot_id, diag);
        if (r == 0)
                r = json_in_get_string(root, "hostname", &record->hostname, diag);
        if (r == 0)
                r = json_in_get_bool(root, "leaving", &record->is_leaving, diag);
        if (r == 0)
                r = json_in_get_metadata(root, "metadata", &record->metadata, diag);
        if (r == 0)
                r = json_in_get_string(root, "version", &record->version, diag);
        return r;
}

int machine_record_decode(const char *json, size_t n_bytes, MachineRecord *ret_record, Diag *diag) {
        _cleanup_(machine_record_done) MachineRecord record = { 0 };
        json_auto_t *root = NULL;
        int r;

        r = json_in_parse(json, n_bytes, JSON_OBJECT, &root, diag);
        if (r == 0)
                r = machine_record_read(root, &record, diag);
        if (r < 0)
                return r;

        *ret_record = record;
        record = (MachineRecord){ 0 };
        return 0;
}

int metadata_record_encode(const Metadata *metadata, char **ret_json) {
        _cleanup_(buf_done) Buf buf = buf_make(RECORD_MAX_BYTES);
        JsonOut out = json_out_begin(&buf);

        json_out_metadata(&out, metadata);
        return json_out_finish(&out, ret_json);
}

int metadata_record_decode(const char *json, size_t n_bytes, Metadata *ret_metadata, Diag *diag) {
        json_auto_t *root = NULL;
        int r;

        r = json_in_parse(json, n_bytes, JSON_OBJECT, &root, diag);
        if (r < 0)
                return r;
        return json_in_read_metadata(root, ret_metadata, diag);
}

void leader_record_done(LeaderRecord *record) {
        free(record->machine);
        *record = (LeaderRecord){ 0 };
}

int leader_record_encode(const LeaderRecord *record, char **ret_json) {
        _cleanup_(buf_done) Buf buf = buf_make(RECORD_MAX_BYTES);
        JsonOut out = json_out_begin(&buf);

        json_out_open(&out, '{');
        json_out_number(&out, "epoch", record->epoch);
        json_out_string(&out, "machine", record->machine);
        json_out_close(&out, '}');
        return json_out_finish(&out, ret_json);
}

int leader_record_decode(const char *json, size_t n_bytes, LeaderRecord *ret_record, Diag *diag) {
        _cleanup_(leader_record_done) LeaderRecord record = { 0 };
        json_auto_t *root = NULL;
        int r;

        r = json_in_parse(json, n_bytes, JSON_OBJECT, &root, diag);
        if (r == 0)
                r = json_in_get_number(root, "epoch", &record.epoch, diag);
        if (r == 0)
                r = json_in_require_string(root, "machine", &record.machine, diag);
        if (r < 0)
                return r;

        *ret_record = record;
        record = (LeaderRecord){ 0 };
        return 0;
}

void hold_record_done(HoldRecord *record) {
        free(record->machine);
        *record = (HoldRecord){ 0 };
}

int hold_record_encode(const HoldRecord *record, char **ret_json) {
        _cleanup_(buf_done) Buf buf = buf_make(RECORD_MAX_BYTES);
        JsonOut out = json_out_begin(&buf);

        json_out_open(&out, '{');
        json_out_string(&out, "machine", record->machine);
        json_out_number(&out, "stop", record->stop_s);
        json_out_close(&out, '}');
        return json_out_finish(&out, ret_json);
}

int hold_record_decode(const char *json, size_t n_bytes, HoldRecord *ret_record, Diag *diag) {
        _cleanup_(hold_record_done) HoldRecord record = { 0 };
        json_auto_t *root = NULL;
        int r;

        r = json_in_parse(json, n_bytes, JSON_OBJECT, &root, diag);
        if (r == 0)
                r = json_in_require_string(root, "machine", &record.machine, diag);
        if (r == 0)
                r = json_in_get_number(root, "stop", &record.stop_s, diag);
        if (r < 0)
                return r;

        *ret_record = record;
        record = (HoldRecord){ 0 };
        return 0;
}
