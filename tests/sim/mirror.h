/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the store holds, as the simulator sees it: a copy kept up to date commit by commit, decoded,
 * with the times of the changes that judgements need. */

#include "lib/model/record.h"
#include "tests/sim/cluster.h"

enum {
        MIRROR_UNITS_MAX = 64,
        MIRROR_CLIENTS_MAX = 65536, /* clients that one run may have, restarts included */
};

/* A schedule row, or where one was. */
typedef struct MirrorRow {
        bool exists;
        bool is_bad;
        char file[UNIT_HASH_BYTES];
        JobState desired;
        uint64_t generation;
        uint64_t restart;
        unsigned after;         /* machines that it waits for, as a set of bits */
        uint64_t same_since_us; /* since when it has said the same */
        bool was_lost; /* it was removed while its machine was lost or leaving, as far as the leader
                          knew... */
        bool was_unwanted; /* ...or while the unit was to be nowhere, or both */
        bool was_unseen;   /* it was removed while the store had no state of it */
} MirrorRow;

/* A unit. */
typedef struct MirrorUnit {
        const char *name; /* borrowed */
        bool exists;
        char file[UNIT_HASH_BYTES];
        JobState desired;
        uint64_t generation; /* the last that it had, also when it exists no more */
        uint64_t restart;    /* generation of the last restart */
        uint64_t created_us; /* when it last began to exist */
        uint64_t removed_us; /* when it was last destroyed; 0 = never */
        uint64_t changed_us; /* when it was last written or removed */
        uint64_t wanted_us;  /* since when it is to be somewhere; 0 = never was */
        uint64_t absent_us;  /* when no machine had it last, or was to have it; 0 = not seen */
        bool has_placement;  /* it has a placement record */
        bool is_placed;      /* the placement names a machine... */
        char machine[33];    /* ...this one */
        MirrorRow rows[SIM_MACHINES_MAX];
        bool has_state[SIM_MACHINES_MAX];
        uint64_t state_generation[SIM_MACHINES_MAX];
        uint64_t state_us[SIM_MACHINES_MAX]; /* when that was written */
        char active[SIM_MACHINES_MAX][24];   /* as reported */
} MirrorUnit;

/* A machine. */
typedef struct MirrorMachine {
        bool is_present;
        bool is_leaving;      /* its record says so */
        uint64_t absent_us;   /* when it was last not there; 0 = never was there */
        uint64_t present_us;  /* when it came last, or stopped leaving */
        uint64_t metadata_us; /* when its metadata changed last */
} MirrorMachine;

/* The copy. */
typedef struct Mirror {
        MirrorUnit units[MIRROR_UNITS_MAX];
        size_t n_units;
        MirrorMachine machines[SIM_MACHINES_MAX];
        size_t n_machines;
        char leader[33]; /* machine ID of the leader; empty = none */
} Mirror;

/* The unit of this name, or NULL. */
MirrorUnit *mirror_find(Mirror *mirror, const char *name, size_t n_name);

/* Is it scheduled nowhere, and reported by no machine, but for copies too many, which end by
 * themselves? */
bool mirror_unit_is_absent(const MirrorUnit *unit);

/* Is it to be somewhere, loaded or launched? */
bool mirror_unit_is_wanted(const MirrorUnit *unit);

/* The number of the machine with this ID, or -1. */
int mirror_machine(const Mirror *mirror, const char *id, size_t n_id);

/* What a key is about. */
typedef enum MirrorKind {
        MIRROR_OTHER,
        MIRROR_UNIT,
        MIRROR_FILE,
        MIRROR_MACHINE,
        MIRROR_METADATA,
        MIRROR_SCHEDULE,
        MIRROR_PLACEMENT,
        MIRROR_STATE,
        MIRROR_LEADER,
} MirrorKind;

/* A key taken apart. */
typedef struct MirrorKey {
        MirrorKind kind;
        int machine;                /* number, or -1 */
        MirrorUnit *unit;           /* or NULL */
        char file[UNIT_HASH_BYTES]; /* hash of a file, else empty */
} MirrorKey;

/* Take a key apart. */
MirrorKey mirror_key(Mirror *mirror, StoreBytes bytes);

/* Apply a change that was made at this time. */
void mirror_apply(Mirror *mirror, const MirrorKey *key, StoreBytes value, bool is_deletion,
                  uint64_t now_us);
