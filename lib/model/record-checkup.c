/* SPDX-License-Identifier: Apache-2.0 */

/* The records of a checkup: checkup/ask and report/. Their shapes are in docs/records.md; how
 * encoders and decoders are made is said at the head of record-unit.c. */

#include <errno.h>

#include "lib/model/json-in.h"
#include "lib/model/json-out.h"
#include "lib/model/record.h"

void checkup_record_done(CheckupRecord *record) {
        free(record->machine);
        *record = (CheckupRecord){ 0 };
}

int checkup_record_encode(const CheckupRecord *record, char **ret_json) {
        _cleanup_(buf_done) Buf buf = buf_make(RECORD_MAX_BYTES);
        JsonOut out = json_out_begin(&buf);

        json_out_open(&out, '{');
        json_out_string(&out, "machine", record->machine);
        json_out_close(&out, '}');
        return json_out_finish(&out, ret_json);
}

int checkup_record_decode(const char *json, size_t n_bytes, CheckupRecord *ret_record, Diag *diag) {
        CheckupRecord record = { 0 };
        json_auto_t *root = NULL;
        int r;

        r = json_in_parse(json, n_bytes, JSON_OBJECT, &root, diag);
        if (r == 0)
                r = json_in_get_string(root, "machine", &record.machine, diag);
        if (r == 0)
                *ret_record = record;
        return r;
}

void report_record_done(ReportRecord *record) {
        free(record->hostname);
        free(record->address);
        free(record->version);
        free(record->store);
        free(record->store_version);
        free(record->why);
        *record = (ReportRecord){ 0 };
}

int report_record_encode(const ReportRecord *record, char **ret_json) {
        _cleanup_(buf_done) Buf buf = buf_make(RECORD_MAX_BYTES);
        JsonOut out = json_out_begin(&buf);

        json_out_open(&out, '{');
        json_out_string(&out, "address", record->address);
        json_out_number(&out, "asked", record->asked);
        json_out_true(&out, "hostLost", record->is_host_lost);
        json_out_string(&out, "hostname", record->hostname);
        json_out_number(&out, "late", record->n_late);
        json_out_string(&out, "store", record->store);
        json_out_string(&out, "storeVersion", record->store_version);
        json_out_number(&out, "units", record->n_units);
        json_out_string(&out, "version", record->version);
        json_out_number(&out, "wallMs", record->wall_ms);
        json_out_string(&out, "why", record->why);
        json_out_close(&out, '}');
        return json_out_finish(&out, ret_json);
}

static int report_read_texts(const json_t *root, ReportRecord *record, Diag *diag) {
        const struct {
                const char *key;
                char **text;
        } texts[] = {
                { "address", &record->address }, { "hostname", &record->hostname },
                { "store", &record->store },     { "storeVersion", &record->store_version },
                { "version", &record->version }, { "why", &record->why },
        };
        int r = 0;

        for (size_t i = 0; r == 0 && i < ELEMENTSOF(texts); i++)
                r = json_in_get_string(root, texts[i].key, texts[i].text, diag);
        return r;
}

static int report_read(const json_t *root, ReportRecord *record, Diag *diag) {
        int r = report_read_texts(root, record, diag);

        if (r == 0)
                r = json_in_get_number(root, "asked", &record->asked, diag);
        if (r == 0)
                r = json_in_get_bool(root, "hostLost", &record->is_host_lost, diag);
        if (r == 0)
                r = json_in_get_number(root, "late", &record->n_late, diag);
        if (r == 0)
                r = json_in_get_number(root, "units", &record->n_units, diag);
        if (r == 0)
                r = json_in_get_number(root, "wallMs", &record->wall_ms, diag);
        return r;
}

int report_record_decode(const char *json, size_t n_bytes, ReportRecord *ret_record, Diag *diag) {
        _cleanup_(report_record_done) ReportRecord record = { 0 };
        json_auto_t *root = NULL;
        int r;

        r = json_in_parse(json, n_bytes, JSON_OBJECT, &root, diag);
        if (r == 0)
                r = report_read(root, &record, diag);
        if (r < 0)
                return r;

        *ret_record = record;
        record = (ReportRecord){ 0 };
        return 0;
}
