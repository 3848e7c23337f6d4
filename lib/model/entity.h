/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The entities of the HTTP API (contract section 4.3) and of our additions to it (docs/api.md), as
 * values and as JSON, for the server and the client alike: each has an encoder and a decoder of its
 * own, or travels in a Page.
 *
 * Encoders append compact JSON to a Buf, keys in alphabetical order, empty members left out, and
 * return buf_append()'s errors, or -ERANGE for a number over INT64_MAX; on error the Buf is as it
 * was. Bytes that are not UTF-8 go out as U+FFFD. Decoders return 0, -ENOMEM, or -EBADMSG with a
 * message in `diag` (may be NULL); they bound what they take by the size of the input.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/diag.h"
#include "lib/base/macro.h"
#include "lib/base/strlist.h"
#include "lib/model/job-state.h"
#include "lib/model/metadata.h"
#include "lib/unit/unit-file.h"

/* Unit. Strings owned; zeroed is empty. */
typedef struct Unit {
        char *name;          /* or NULL: in a request body it may be left to the URL */
        UnitFile *options;   /* or NULL when no options were given */
        char *desired_state; /* as written, or NULL: decoding keeps unknown values, so that the API
                                can say which */
        char *current_state; /* or NULL */
        char *machine_id;    /* or NULL; with `restart`: the one machine to restart it on */
        bool restart;        /* ours ("restart"), of a request: it shall be restarted */
        char *why; /* ours ("why"): the reason when it is not where it should be, or NULL */
} Unit;

/* Free the members (zeroed afterwards); append as JSON; read from JSON. As said above. */
void unit_done(Unit *unit);
int unit_encode(const Unit *unit, Buf *out);
int unit_decode(const char *json, size_t n_bytes, Unit *ret_unit, Diag *diag);

/* Machine. Strings owned. */
typedef struct Machine {
        /* Ours ("missingSince"): seconds since the epoch when it went missing; 0 while it is there. */
        uint64_t missing_since_s;

        char *id;          /* machine ID */
        char *primary_ip;  /* or NULL */
        Metadata metadata; /* merged: configured and set over the API */
        bool is_leaving;   /* ours ("leaving"): it leaves the cluster, and hands its units over */
} Machine;

/* Free the members (zeroed afterwards). */
void machine_done(Machine *machine);

/* UnitState. Strings owned, each may be NULL. */
typedef struct UnitState {
        char *name;
        char *machine_id;
        char *hash;
        char *load;   /* systemdLoadState */
        char *active; /* systemdActiveState */
        char *sub;    /* systemdSubState */
        char *why;    /* ours ("why"): why the last request failed there, or NULL */
} UnitState;

/* Free the members (zeroed afterwards); append as JSON. As said above. */
void unit_state_done(UnitState *state);
int unit_state_encode(const UnitState *state, Buf *out);

/* One page of a list. At most one of the arrays is used, by the list's kind. */
typedef struct Page {
        Unit *units;           /* owned array, or NULL */
        size_t n_units;        /* how many */
        Machine *machines;     /* owned array, or NULL */
        size_t n_machines;     /* how many */
        UnitState *states;     /* owned array, or NULL */
        size_t n_states;       /* how many */
        char *next_page_token; /* or NULL on the last page */
} Page;

/* Free the members (zeroed afterwards); append as JSON; read from JSON. As said above. */
void page_done(Page *page);
int page_encode(const Page *page, Buf *out);
int page_decode(const char *json, size_t n_bytes, Page *ret_page, Diag *diag);

/* Append the entries of a page as one array, "[]" for none. As said above. */
int page_encode_array(const Page *page, Buf *out);

/* The body of POST /fleet/v1/units: {"units":[Unit,...]} is a Page with units, too; decode it with
 * page_decode(). */

/* The error body: {"error":{"code":C,"message":"M"}}, code first (contract section 4.1). `code` is
 * not negative. */
int error_encode(int code, const char *message, Buf *out);

/* Read an error body; the caller frees the message, which may be empty. Returns 0, -ENOMEM, or
 * -EBADMSG when it is none. */
int error_decode(const char *json, size_t n_bytes, int *ret_code, char **ret_message);

/* One change of machine metadata (contract section 4.8). Strings owned. */
typedef struct MetadataChange {
        char *machine; /* machine ID */
        char *key;     /* of the characters that the contract allows */
        char *value;   /* not empty; NULL for op "remove" */
} MetadataChange;

/* Decode the body of PATCH machines: checks the whole list first. Value is accepted as a string and
 * as {"value":"..."} or {"Value":"..."}. On -EBADMSG the diag is one of the contract's messages.
 * The caller frees with metadata_changes_free(). */
int metadata_changes_decode(const char *json, size_t n_bytes, MetadataChange **ret_changes,
                            size_t *ret_n, Diag *diag);
void metadata_changes_free(MetadataChange *changes, size_t n_changes);

/* The body of POST /fleet/v1/wait (docs/api.md):
 * {"state":"launched","timeoutMs":2000,"units":[{"name":..,"machineID":..},..]}. */
typedef struct WaitRequest {
        char *state;         /* "inactive", "loaded", "launched" or "gone" */
        uint64_t timeout_ms; /* 0 = as long as the client stays */
        Unit *units; /* name set; machine_id is a hint for "gone": where the unit was; current_state
                        unused */
        size_t n_units;
} WaitRequest;

/* Free the members (zeroed afterwards); append as JSON; read from JSON. As said above. */
void wait_request_done(WaitRequest *request);
int wait_request_encode(const WaitRequest *request, Buf *out);
int wait_request_decode(const char *json, size_t n_bytes, WaitRequest *ret_request, Diag *diag);

/* One line of the reply to a wait (docs/api.md). Strings owned. */
typedef struct WaitResult {
        char *name;
        char *outcome; /* "reached", "failed", "unplaced" (not final: the wait goes on), "timeout",
                          "unknown-unit" */
        char *state;   /* current fleet state, or NULL */
        char *machine_id; /* or NULL */
        char *primary_ip; /* of that machine, or NULL */
        char *why;        /* reason for anything but "reached", or NULL */
} WaitResult;

/* Free the members (zeroed afterwards); append as JSON; read from JSON. As said above. */
void wait_result_done(WaitResult *result);
int wait_result_encode(const WaitResult *result, Buf *out);
int wait_result_decode(const char *json, size_t n_bytes, WaitResult *ret_result, Diag *diag);

/* GET /fleet/v1/doctor: what a checkup found (docs/api.md). Strings owned. */
typedef struct Finding {
        char *check;   /* which check found it */
        char *subject; /* unit, machine or record that it is about, or NULL */
        char *what;    /* what is so */
        char *remedy;  /* what to do, or NULL */
        bool is_note;  /* worth knowing, but nothing is wrong */
} Finding;

/* One check. Strings owned. */
typedef struct CheckResult {
        char *name;
        char *summary;       /* what was looked at, for people */
        uint64_t n_problems; /* findings that are no notes; all of them, where not all are told */
} CheckResult;

/* The whole. */
typedef struct Diagnosis {
        char *machine;       /* whose API answered */
        CheckResult *checks; /* owned array, in the order in which they are to be shown */
        size_t n_checks;
        Finding *findings; /* owned array; the same order */
        size_t n_findings;
} Diagnosis;

/* Free the members (zeroed afterwards); append as JSON; read from JSON. As said above. */
void diagnosis_done(Diagnosis *diagnosis);
int diagnosis_encode(const Diagnosis *diagnosis, Buf *out);
int diagnosis_decode(const char *json, size_t n_bytes, Diagnosis *ret_diagnosis, Diag *diag);
