/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The records of a move from one store to another: closed and origin. Their shapes are in
 * docs/records.md; encoders and decoders promise what those of record.h do.
 */

#include <stddef.h>
#include <stdint.h>

#include "lib/base/diag.h"

/* closed: nobody joins a cluster whose store has this record, and nothing lasting is written: its
 * records are on their way to another store, or from one. Written and removed by who moves them. */
typedef struct ClosedRecord {
        char *why; /* owned: words for a person */
} ClosedRecord;

/* Free what it owns (zeroed afterwards). */
void closed_record_done(ClosedRecord *record);

/* To JSON; from JSON. As said in record.h. */
int closed_record_encode(const ClosedRecord *record, char **ret_json);
int closed_record_decode(const char *json, size_t n_bytes, ClosedRecord *ret_record, Diag *diag);

/* origin: the records came from another store. Written by who moved them. */
typedef struct OriginRecord {
        uint64_t revision; /* no generation of theirs is larger */
} OriginRecord;

/* To JSON; from JSON. As said in record.h. */
int origin_record_encode(const OriginRecord *record, char **ret_json);
int origin_record_decode(const char *json, size_t n_bytes, OriginRecord *ret_record, Diag *diag);
