/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A checkup of the cluster: what was read, and what is wrong with it. Only api/doctor*.c include
 * this: doctor.c reads, doctor-view.c keeps, doctor-judge*.c judge (pure).
 */

#include "lib/base/hash-map.h"
#include "lib/model/entity.h"
#include "lib/registry/registry.h"

typedef struct DoctorMachine DoctorMachine;

enum {
        DOCTOR_FINDINGS_MAX = 100,             /* told per check; the rest is counted */
        DOCTOR_SKEW_US = 1000 * US_PER_MS,     /* clocks that differ by more are told */
        DOCTOR_PATIENCE_US = 2000 * US_PER_MS, /* how long answers of daemons are waited for */
        DOCTOR_POLL_US = 100 * US_PER_MS,      /* how often they are looked for */
        DOCTOR_FULL_PERCENT = 80,              /* of the store's quota */
};

/* A daemon's answer. */
typedef struct DoctorAnswer {
        HashNode node;          /* DoctorView.answers, by key */
        char *key;              /* owned: "<machine>/<lease>"; two daemons may have one ID */
        DoctorMachine *machine; /* borrowed */
        ReportRecord report;    /* owned */
        uint64_t received_ms;   /* our wall clock when it was found */
} DoctorAnswer;

/* A machine that is there, or that rows speak of. */
struct DoctorMachine {
        HashNode node; /* DoctorView.machines, by ID */
        char *id;      /* owned */
        MachineRecord record;
        size_t n_rows;    /* of its schedule */
        size_t n_singles; /* of them, of units that are placed on it */
        size_t n_answers; /* of daemons that are members */
        bool is_present;  /* its record is there */
        bool is_bad;      /* ...and does not parse */
        bool is_held;     /* it is missing, and evictions are held (RECORD_BRAKE) */
};

/* A unit that is there, or that rows or placements speak of. */
typedef struct DoctorUnit {
        HashNode node;     /* DoctorView.units, by name */
        char *name;        /* owned */
        UnitRecord record; /* while is_known and not is_bad */
        PlacementRecord placement;
        size_t n_rows;      /* on machines that are there */
        size_t n_lost_rows; /* on others */
        bool is_known;
        bool is_bad;
        bool has_placement;
        bool has_row_there; /* a row where the placement says */
} DoctorUnit;

/* A content. */
typedef struct DoctorFile {
        HashNode node; /* DoctorView.files, by hash */
        char hash[UNIT_HASH_BYTES];
        bool is_used;
} DoctorFile;

/* A unit on a machine. */
typedef struct DoctorRow {
        DoctorMachine *machine;
        DoctorUnit *unit;
        ScheduleRecord row; /* while not is_bad */
        StateRecord state;  /* while has_state */
        bool is_bad;
        bool has_state;
} DoctorRow;

/* A hold; it is written and removed together with held/<machine>/<unit> (docs/records.md). */
typedef struct DoctorHold {
        HashNode node; /* DoctorView.holds, by unit */
        char *unit;    /* owned */
        char *machine; /* owned; NULL when the record does not parse */
        bool is_held;  /* the machine has it that way, too */
} DoctorHold;

/* Records that nothing explains. */
typedef struct DoctorStray {
        char *key; /* owned: as in docs/records.md */
        char *why; /* owned */
        bool is_note;
} DoctorStray;

/* All that was read. */
typedef struct DoctorView {
        const char *machine; /* borrowed: the one that asks */
        HashMap machines;
        HashMap units;
        HashMap files;
        HashMap holds;
        DoctorRow *rows; /* owned; by machine, then unit */
        size_t n_rows, n_rows_allocated;
        size_t i_row;         /* where the states have come to */
        DoctorStray *strays;  /* owned */
        size_t n_strays;      /* kept; DOCTOR_FINDINGS_MAX at most */
        size_t n_more_strays; /* not kept */
        HashMap answers;
        char *leader;        /* owned: machine ID, or NULL */
        int64_t asked;       /* revision of the checkup; 0 = it could not be written */
        const char *unasked; /* why it could not; static */
        uint64_t asked_ms;   /* our wall clock before it was written */
        int store_outcome;   /* of asking for the status: STORE_E_* or negative errno */
        StoreStatus status;  /* while that is 0; strings owned */
        char *endpoint;      /* owned: of the store, or NULL */
} DoctorView;

/* An empty view. */
void doctor_view_init(DoctorView *view, const char *machine, uint64_t seed);

/* Free everything. */
void doctor_view_done(DoctorView *view);

/* Keep what a record says; records come kind by kind: machines, who of them is held, units, files, placements, schedule,
 * states, holds, whose holds. Returns 0 or -ENOMEM. */
int doctor_view_apply(DoctorView *view, const Record *record);

/* Keep a key that is none of ours. Returns 0 or -ENOMEM. */
int doctor_view_stray(DoctorView *view, const char *key, const char *why, bool is_note);

/* Keep a daemon's answer, unless it answers an earlier checkup or is known. Returns 0 or -ENOMEM.
 */
int doctor_view_answer(DoctorView *view, const Record *record, uint64_t now_ms);

/* Has every machine answered? */
bool doctor_view_is_answered(const DoctorView *view);

/* What is to be said of it all. Returns 0 or -ENOMEM. */
int doctor_judge(DoctorView *view, Diagnosis *ret_diagnosis);

/* What a daemon can say alone, without a store, or with one that is closed. Returns 0 or -ENOMEM. */
int doctor_judge_alone(const char *machine, const ReportRecord *report, bool is_closed,
                       Diagnosis *ret_diagnosis);
