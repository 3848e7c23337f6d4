/* SPDX-License-Identifier: Apache-2.0 */

/* The decoders of all records, on each input: what one accepts it encodes, and accepts again, with
 * the same result. */

#include <errno.h>

#include "lib/model/record-move.h"
#include "lib/model/record.h"
#include "tests/fuzz/fuzz.h"

/* Decode a record of one kind and encode it again; NULL when it is refused. The caller frees the
 * text. */
typedef char *(*Recode)(const char *json, size_t n_bytes);

/* A refusal must have a reason, and be of the one kind. */
static char *refuse(int r, const Diag *diag) {
        fuzz_require(r == -EBADMSG && *diag->message, "a refusal has a reason");
        return NULL;
}

static char *recode_unit(const char *json, size_t n_bytes) {
        _cleanup_(unit_record_done) UnitRecord record = { 0 };
        char *text = NULL;
        Diag diag = { 0 };
        int r = unit_record_decode(json, n_bytes, &record, &diag);

        if (r < 0)
                return refuse(r, &diag);
        fuzz_require(unit_record_encode(&record, &text) == 0, "a record can be encoded");
        return text;
}

static char *recode_schedule(const char *json, size_t n_bytes) {
        _cleanup_(schedule_record_done) ScheduleRecord record = { 0 };
        char *text = NULL;
        Diag diag = { 0 };
        int r = schedule_record_decode(json, n_bytes, &record, &diag);

        if (r < 0)
                return refuse(r, &diag);
        fuzz_require(schedule_record_encode(&record, &text) == 0, "a record can be encoded");
        return text;
}

static char *recode_machine(const char *json, size_t n_bytes) {
        _cleanup_(machine_record_done) MachineRecord record = { 0 };
        char *text = NULL;
        Diag diag = { 0 };
        int r = machine_record_decode(json, n_bytes, &record, &diag);

        if (r < 0)
                return refuse(r, &diag);
        fuzz_require(machine_record_encode(&record, &text) == 0, "a record can be encoded");
        return text;
}

static char *recode_metadata(const char *json, size_t n_bytes) {
        _cleanup_(metadata_done) Metadata metadata = { 0 };
        char *text = NULL;
        Diag diag = { 0 };
        int r = metadata_record_decode(json, n_bytes, &metadata, &diag);

        if (r < 0)
                return refuse(r, &diag);
        for (size_t i = 1; i < metadata.n_entries; i++)
                fuzz_require(strcmp(metadata.entries[i - 1].key, metadata.entries[i].key) < 0,
                             "metadata is sorted");
        fuzz_require(metadata_record_encode(&metadata, &text) == 0, "a record can be encoded");
        return text;
}

static char *recode_placement(const char *json, size_t n_bytes) {
        _cleanup_(placement_record_done) PlacementRecord record = { 0 };
        char *text = NULL;
        Diag diag = { 0 };
        int r = placement_record_decode(json, n_bytes, &record, &diag);

        if (r < 0)
                return refuse(r, &diag);
        fuzz_require(placement_record_encode(&record, &text) == 0, "a record can be encoded");
        return text;
}

static char *recode_state(const char *json, size_t n_bytes) {
        _cleanup_(state_record_done) StateRecord record = { 0 };
        char *text = NULL;
        Diag diag = { 0 };
        int r = state_record_decode(json, n_bytes, &record, &diag);

        if (r < 0)
                return refuse(r, &diag);
        fuzz_require(record.load && record.active && record.sub, "states are never NULL");
        fuzz_require(state_record_encode(&record, &text) == 0, "a record can be encoded");
        return text;
}

static char *recode_closed(const char *json, size_t n_bytes) {
        _cleanup_(closed_record_done) ClosedRecord record = { 0 };
        char *text = NULL;
        Diag diag = { 0 };
        int r = closed_record_decode(json, n_bytes, &record, &diag);

        if (r < 0)
                return refuse(r, &diag);
        fuzz_require(closed_record_encode(&record, &text) == 0, "a record can be encoded");
        return text;
}

static char *recode_origin(const char *json, size_t n_bytes) {
        OriginRecord record = { 0 };
        char *text = NULL;
        Diag diag = { 0 };
        int r = origin_record_decode(json, n_bytes, &record, &diag);

        if (r < 0)
                return refuse(r, &diag);
        fuzz_require(origin_record_encode(&record, &text) == 0, "a record can be encoded");
        return text;
}

static char *recode_leader(const char *json, size_t n_bytes) {
        _cleanup_(leader_record_done) LeaderRecord record = { 0 };
        char *text = NULL;
        Diag diag = { 0 };
        int r = leader_record_decode(json, n_bytes, &record, &diag);

        if (r < 0)
                return refuse(r, &diag);
        fuzz_require(leader_record_encode(&record, &text) == 0, "a record can be encoded");
        return text;
}

static char *recode_checkup(const char *json, size_t n_bytes) {
        _cleanup_(checkup_record_done) CheckupRecord record = { 0 };
        char *text = NULL;
        Diag diag = { 0 };
        int r = checkup_record_decode(json, n_bytes, &record, &diag);

        if (r < 0)
                return refuse(r, &diag);
        fuzz_require(checkup_record_encode(&record, &text) == 0, "a record can be encoded");
        return text;
}

static char *recode_report(const char *json, size_t n_bytes) {
        _cleanup_(report_record_done) ReportRecord record = { 0 };
        char *text = NULL;
        Diag diag = { 0 };
        int r = report_record_decode(json, n_bytes, &record, &diag);

        if (r < 0)
                return refuse(r, &diag);
        fuzz_require(report_record_encode(&record, &text) == 0, "a record can be encoded");
        return text;
}

static char *recode_hold(const char *json, size_t n_bytes) {
        _cleanup_(hold_record_done) HoldRecord record = { 0 };
        char *text = NULL;
        Diag diag = { 0 };
        int r = hold_record_decode(json, n_bytes, &record, &diag);

        if (r < 0)
                return refuse(r, &diag);
        fuzz_require(hold_record_encode(&record, &text) == 0, "a record can be encoded");
        return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        static const Recode recodes[] = { recode_unit,     recode_schedule,  recode_machine,
                                          recode_metadata, recode_placement, recode_state,
                                          recode_leader,   recode_checkup,   recode_report,
                                          recode_hold,     recode_closed,    recode_origin };

        for (size_t i = 0; i < ELEMENTSOF(recodes); i++) {
                _cleanup_(freep) char *text = recodes[i]((const char *)data, n_bytes);
                _cleanup_(freep) char *again = NULL;

                if (!text)
                        continue;
                again = recodes[i](text, strlen(text));
                fuzz_require(again && streq(text, again), "an encoded record decodes to itself");
        }
        return 0;
}
