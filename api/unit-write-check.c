/* SPDX-License-Identifier: Apache-2.0 */

/* The rules for a change of a unit (contract section 4.6), as decisions without I/O.
 *
 * What is stored is the canonical text of what others will read out of it: the options are printed,
 * parsed, and printed again, so that the hash is that of the file as every machine sees it. Where
 * fleet 1.0 differs from what it meant, this does what it meant: content is checked on replacement
 * too, a replacement without desired state keeps the one there is, and no unknown state is ever
 * stored.
 *
 * A generation must never come again for a name, or a waiting client would take the state of an
 * earlier unit of that name for the answer to its request. So a new unit does not begin at 1 but
 * above the store's revision, which no generation can have reached: each takes a commit.
 *
 * A restart of the whole unit is a request like any other. One on a single machine leaves the
 * unit's generation alone: it concerns no other machine, and must not look like a request to them.
 */

#include "api/unit-write.h"

#include <errno.h>

#include "lib/unit/requirements.h"
#include "lib/unit/unit-name.h"

/* Twice the largest file: printing before the limit is checked may come out a little longer. */
enum { TEXT_MAX_BYTES = 2 * UNIT_FILE_MAX_BYTES };

void unit_change_done(UnitChange *change) {
        unit_done(&change->asked);
        unit_record_done(&change->record);
        unit_record_done(&change->sent);
        buf_done(&change->text);
}

static int reparse(const UnitFile *file, Buf *text, UnitFile **ret_file, Diag *diag) {
        int r;

        buf_clear(text);
        r = unit_file_print(file, text);
        if (r == -ENOBUFS)
                r = -EFBIG;
        if (r == 0)
                r = unit_file_parse(text->data ? text->data : "", text->n_bytes, ret_file, diag);
        if (r == -EFBIG)
                diag_set(diag, r, "the unit file is larger than %d bytes", UNIT_FILE_MAX_BYTES);
        return r;
}

int unit_change_prepare(UnitChange *change) {
        _cleanup_(requirements_freep) Requirements *requirements = NULL;
        _cleanup_(unit_file_freep) UnitFile *file = NULL;
        int r;

        change->text = buf_make(TEXT_MAX_BYTES);
        if (!change->asked.options || change->asked.options->n_options == 0)
                return 0;

        r = reparse(change->asked.options, &change->text, &file, &change->diag);
        if (r == 0) {
                buf_clear(&change->text);
                r = unit_file_print(file, &change->text);
        }
        if (r == 0)
                r = requirements_new(&requirements, file, NULL);
        if (r == 0)
                r = requirements_check(requirements, file, &change->diag);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                change->fault = change->diag.message;

        if (change->text.n_bytes == 0) {
                /* Nothing but empty sections or such: as if no options had come. */
                change->fault = NULL;
                return 0;
        }
        unit_text_hash(change->text.data, change->text.n_bytes, change->hash);
        return 0;
}

/* The desired state to store: asked for, or `otherwise`. Returns 0 or a status. */
static int decide_desired(UnitChange *change, JobState otherwise, Diag *diag) {
        const Unit *asked = &change->asked;
        JobState desired = otherwise;

        if (asked->desired_state) {
                desired = job_state_from_string(asked->desired_state);
                if (desired < 0) {
                        diag_set(diag, 0, "invalid value \"%s\" for JobState",
                                 asked->desired_state);
                        return 400;
                }
        }
        if (desired != JOB_STATE_INACTIVE && unit_name_is_template(asked->name)) {
                diag_set(diag, 0, "cannot activate template \"%s\"", asked->name);
                return 400;
        }
        change->record.desired = desired;
        return 0;
}

/* Create, or replace the content. */
static int decide_content(UnitChange *change, JobState otherwise, Diag *diag) {
        if (change->fault) {
                diag_set(diag, 0, "%s", change->fault);
                return 400;
        }
        memcpy(change->record.file, change->hash, sizeof(change->record.file));
        change->status = 201;
        change->puts_file = true;
        return decide_desired(change, otherwise, diag);
}

/* Can it be a machine's? It becomes part of keys. */
static bool machine_id_is_sound(const char *id) {
        return strlen(id) <= UNIT_NAME_MAX_BYTES && !strchr(id, '/');
}

/* May the unit, as it is stored, be restarted as asked? Returns 0 or a status. */
static int check_restart(const Unit *asked, const UnitRecord *record, Diag *diag) {
        if (asked->desired_state && !streq(asked->desired_state, "launched")) {
                diag_set(diag, 0, "a unit is launched by a restart, so desiredState cannot be %s",
                         asked->desired_state);
                return 400;
        }
        if (asked->machine_id && (asked->options || !machine_id_is_sound(asked->machine_id))) {
                diag_set(diag, 0,
                         asked->options ? "a restart on one machine takes no options"
                                        : "invalid machineID");
                return 400;
        }
        if (!record || record->desired == JOB_STATE_INACTIVE) {
                diag_set(diag, 0, "unable to restart a unit in state inactive");
                return 409;
        }
        if (asked->machine_id && record->desired != JOB_STATE_LAUNCHED) {
                diag_set(diag, 0, "a unit that is not launched can be restarted only as a whole");
                return 409;
        }
        return 0;
}

/* Returns 0 or -ENOMEM. */
static int decide_restart(UnitChange *change, const UnitRecord *stored) {
        UnitRecord *record = &change->record;
        uint64_t generation = unit_record_last_generation(stored) + 1;

        if (change->asked.machine_id) {
                record->generation = stored->generation;
                return restarts_set(&record->restarts, change->asked.machine_id, generation);
        }

        record->restart = generation;
        restarts_done(&record->restarts);
        return 0;
}

/* What becomes of a unit whose record can be used. */
static int decide_update(UnitChange *change, const UnitRecord *stored, Diag *diag) {
        bool has_content = change->text.n_bytes > 0;
        JobState otherwise = change->asked.restart ? JOB_STATE_LAUNCHED : stored->desired;

        if (has_content && !streq(change->hash, stored->file))
                return decide_content(change, otherwise, diag);

        if (!change->asked.desired_state && !change->asked.restart) {
                diag_set(diag, 0, "must provide DesiredState to update existing unit");
                return 409;
        }
        change->status = 204;
        /* Written again when it is at hand: it mends a file that was lost. */
        change->puts_file = has_content;
        return decide_desired(change, otherwise, diag);
}

/* A unit of which there is no record, or none that can be used. */
static int decide_anew(UnitChange *change, const Record *record, int64_t revision, Diag *diag) {
        change->record.generation = (uint64_t)revision + 1;
        if (change->text.n_bytes > 0)
                return decide_content(change, JOB_STATE_INACTIVE, diag);

        diag_set(diag, 0,
                 record ? "the record of the unit is damaged: submit the unit again or destroy it"
                        : "unit does not exist and options field empty");
        return record ? 500 : 409;
}

int unit_change_decide(UnitChange *change, const Record *record, int64_t revision, Diag *diag) {
        const UnitRecord *stored = record && !record->is_bad ? &record->unit : NULL;
        int r = 0;

        change->mod_revision = record ? record->mod_revision : 0;
        change->puts_file = false;
        unit_record_done(&change->record);
        if (change->asked.restart)
                r = check_restart(&change->asked, stored, diag);
        if (r != 0)
                return r;
        if (!stored)
                return decide_anew(change, record, revision, diag);

        r = unit_record_copy(stored, &change->record);
        if (r < 0)
                return r;
        change->record.generation = unit_record_last_generation(stored) + 1;
        r = decide_update(change, stored, diag);
        return r == 0 && change->asked.restart ? decide_restart(change, stored) : r;
}
