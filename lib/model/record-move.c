/* SPDX-License-Identifier: Apache-2.0 */

/* The records of a move. How encoders and decoders are made is said at the head of record-unit.c. */

#include "lib/model/record-move.h"

#include <errno.h>

#include "lib/model/json-in.h"
#include "lib/model/json-out.h"
#include "lib/model/record.h"

void closed_record_done(ClosedRecord *record) {
        free(record->why);
        *record = (ClosedRecord){ 0 };
}

int closed_record_encode(const ClosedRecord *record, char **ret_json) {
        _cleanup_(buf_done) Buf buf = buf_make(RECORD_MAX_BYTES);
        JsonOut out = json_out_begin(&buf);

        json_out_open(&out, '{');
        json_out_string(&out, "why", record->why);
        json_out_close(&out, '}');
        return json_out_finish(&out, ret_json);
}

int closed_record_decode(const char *json, size_t n_bytes, ClosedRecord *ret_record, Diag *diag) {
        ClosedRecord record = { 0 };
        json_auto_t *root = NULL;
        int r;

        r = json_in_parse(json, n_bytes, JSON_OBJECT, &root, diag);
        if (r == 0)
                r = json_in_require_string(root, "why", &record.why, diag);
        if (r == 0)
                *ret_record = record;
        return r;
}

int origin_record_encode(const OriginRecord *record, char **ret_json) {
        _cleanup_(buf_done) Buf buf = buf_make(RECORD_MAX_BYTES);
        JsonOut out = json_out_begin(&buf);

        json_out_open(&out, '{');
        json_out_number(&out, "revision", record->revision);
        json_out_close(&out, '}');
        return json_out_finish(&out, ret_json);
}

int origin_record_decode(const char *json, size_t n_bytes, OriginRecord *ret_record, Diag *diag) {
        /* Revisions are added to it. */
        static const uint64_t most = INT64_MAX / 2;
        json_auto_t *root = NULL;
        OriginRecord record = { 0 };
        int r;

        r = json_in_parse(json, n_bytes, JSON_OBJECT, &root, diag);
        if (r == 0)
                r = json_in_get_number(root, "revision", &record.revision, diag);
        if (r == 0 && record.revision > most)
                r = diag_set(diag, -EBADMSG, "\"revision\" is larger than any store's");
        if (r == 0)
                *ret_record = record;
        return r;
}
