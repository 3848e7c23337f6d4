/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What PUT units/NAME and POST units ask of one unit, and the rules by which it is decided
 * (contract section 4.6). */

#include "lib/base/buf.h"
#include "lib/base/diag.h"
#include "lib/base/hash-map.h"
#include "lib/model/entity.h"
#include "lib/registry/registry.h"

/* One unit of a request. */
typedef struct UnitChange {
        Unit asked; /* owned: as decoded; the name is set */
        Buf text;   /* owned: canonical text of the options; empty without options */
        char hash[UNIT_HASH_BYTES]; /* of the text */
        const char *fault;          /* what breaks an option rule, or NULL; owned by `diag` */
        Diag diag;
        UnitRecord record;    /* owned: what to write */
        int64_t mod_revision; /* of the record that this was decided on; 0 = there is none */
        int status;           /* the answer when all goes well: 201 or 204 */
        bool puts_file;       /* the text is to be written */
        bool carries_file;    /* the first of the request with this text: the one that writes it */
        UnitRecord sent;      /* owned: what the last transaction would have made of it... */
        int64_t sent_mod_revision; /* ...out of this... */
        int sent_status;           /* ...to be answered so */
        HashNode node;             /* key: hash; while files are counted */
} UnitChange;

/* Free the members. */
void unit_change_done(UnitChange *change);

/* Take the options: canonical text, hash, and whether they break a rule. Returns 0 or -ENOMEM. */
int unit_change_prepare(UnitChange *change);

/* Decide on what the store holds now: `record` is NULL for a unit that does not exist; `revision`
 * is the store's. Returns 0 with record, mod_revision, status and puts_file set; the status of a
 * refusal, with its message in `diag`; or -ENOMEM. */
int unit_change_decide(UnitChange *change, const Record *record, int64_t revision, Diag *diag);
