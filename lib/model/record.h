/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The values of the cluster's records (docs/records.md), and their JSON. Keys are lib/registry's
 * business.
 *
 * Every decoder takes bytes that anything may have written: it returns 0; -ENOMEM; or -EBADMSG with
 * a message in `diag` (may be NULL) that says what is wrong with the value. Unknown members are
 * ignored, so that a newer version may add some. Every encoder returns a compact JSON text with
 * sorted keys that the caller frees, empty members left out; or -ENOMEM, -ENOBUFS (more than
 * RECORD_MAX_BYTES), or -ERANGE (a number over INT64_MAX, which no decoder would take). Numbers are
 * always written, and 0 when they are absent. Of equal members the last one counts.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/diag.h"
#include "lib/base/macro.h"
#include "lib/base/strlist.h"
#include "lib/model/entity.h"
#include "lib/model/job-state.h"
#include "lib/model/metadata.h"
#include "lib/model/restarts.h"
#include "lib/unit/unit-file.h"

enum {
        RECORD_MAX_BYTES = 1536 * 1024, /* longest record: what one request to etcd can hold */
        SCHEDULE_AFTER_MAX = 8,         /* machines that one row waits for */
};

/* unit/<name>: what the user wants. Written by the API. */
typedef struct UnitRecord {
        char file[UNIT_HASH_BYTES]; /* hash of its content, key of the file record */
        JobState desired;           /* what the user asked for */
        uint64_t generation; /* grows with every request of a user about this unit; a start asked
                                for again is a new one */
        uint64_t restart;    /* generation of the last restart of the whole unit; 0 = never */
        Restarts restarts;   /* of a global unit on single machines. They leave `generation` alone,
                                so that they concern no other machine */
} UnitRecord;

/* The generation of the last request that concerns this machine. */
uint64_t unit_record_generation_on(const UnitRecord *record, const char *machine);

/* The generation of the last restart that concerns this machine; 0 = never. */
uint64_t unit_record_restart_on(const UnitRecord *record, const char *machine);

/* The largest generation that any request about this unit had. */
uint64_t unit_record_last_generation(const UnitRecord *record);

/* Do they say the same? */
bool unit_record_equals(const UnitRecord *a, const UnitRecord *b);

/* Copy. Returns 0 or -ENOMEM. */
int unit_record_copy(const UnitRecord *record, UnitRecord *ret_copy);

/* Free the members (zeroed afterwards); to JSON; from JSON. As said above. */
void unit_record_done(UnitRecord *record);
int unit_record_encode(const UnitRecord *record, char **ret_json);
int unit_record_decode(const char *json, size_t n_bytes, UnitRecord *ret_record, Diag *diag);

/* machine/<id>: who is there. On the machine's lease; written by that machine's agent. */
typedef struct MachineRecord {
        char *address;     /* where other machines and users reach it, or NULL */
        char *hostname;    /* for people, who must tell two machines of one ID apart; or NULL */
        char *version;     /* of fleetd, or NULL */
        char *boot_id;     /* /proc/sys/kernel/random/boot_id (random(4)), or NULL */
        Metadata metadata; /* the configured one */
        bool is_leaving;   /* it leaves the cluster, and hands its units over */
} MachineRecord;

/* Free the members (zeroed afterwards); to JSON; from JSON. As said above. */
void machine_record_done(MachineRecord *record);
int machine_record_encode(const MachineRecord *record, char **ret_json);
int machine_record_decode(const char *json, size_t n_bytes, MachineRecord *ret_record, Diag *diag);

/* metadata/<machine>: metadata set over the API; an empty value is a tombstone. The value is one
 * flat JSON object. */
int metadata_record_encode(const Metadata *metadata, char **ret_json);
int metadata_record_decode(const char *json, size_t n_bytes, Metadata *ret_metadata, Diag *diag);

/* schedule/<machine>/<unit>: what a machine shall do with a unit. Written by the leading engine. */
typedef struct ScheduleRecord {
        char file[UNIT_HASH_BYTES]; /* content to run */
        JobState desired;           /* loaded or launched; never inactive: then there is no row */
        uint64_t generation;        /* of the user's request that it carries out */
        uint64_t restart; /* generation of the last restart that concerns this machine; 0 = never */
        StrList after;    /* IDs of the machines that had the unit before and may not have ended it
                          yet: it is loaded and started here once none of them has a state of it.
                          SCHEDULE_AFTER_MAX at most */
        uint64_t exclusive_s; /* the unit is Exclusive, and systemd may take so many seconds to stop
                                 it: it is here only while the machine has its hold. 0 = it is not */
        bool is_leaving; /* the machine leaves the cluster, and the unit has no other place: it is
                             stopped there in the end */
} ScheduleRecord;

/* Copy. Returns 0 or -ENOMEM. */
int schedule_record_copy(const ScheduleRecord *record, ScheduleRecord *ret_copy);

/* Free the members (zeroed afterwards); to JSON; from JSON. As said above. */
void schedule_record_done(ScheduleRecord *record);
int schedule_record_encode(const ScheduleRecord *record, char **ret_json);
int schedule_record_decode(const char *json, size_t n_bytes, ScheduleRecord *ret_record,
                           Diag *diag);

/* placement/<unit>: where a unit is, or why it is nowhere, and where it may still be ending. Written
 * with the schedule row, by the leading engine. Not written for global units that fit somewhere. */
typedef struct PlacementRecord {
        char *machine;       /* machine ID, or NULL */
        char *why;           /* for people: per machine why the unit does not fit, or NULL */
        uint64_t generation; /* of the request that was decided on */
        StrList left; /* IDs of the machines that it was taken from while it has gone nowhere,
                                until none of them has a state of it: where it goes next waits for
                                them. SCHEDULE_AFTER_MAX at most; empty where `machine` is set */
} PlacementRecord;

/* Copy in place of what `ret_to` held. Returns 0 or -ENOMEM, on which that is as it was. */
int placement_record_copy(const PlacementRecord *record, PlacementRecord *ret_to);

/* Do they say the same? */
bool placement_record_equals(const PlacementRecord *a, const PlacementRecord *b);

/* Free the members (zeroed afterwards); to JSON; from JSON. As said above. */
void placement_record_done(PlacementRecord *record);
int placement_record_encode(const PlacementRecord *record, char **ret_json);
int placement_record_decode(const char *json, size_t n_bytes, PlacementRecord *ret_record,
                            Diag *diag);

/* state/<machine>/<unit>: what systemd says of a unit there. On the machine's lease; written by
 * that machine's agent. */
typedef struct StateRecord {
        char *load;   /* systemd's LoadState, e.g. "loaded"; decoded ones are never NULL, but may be
                         empty */
        char *active; /* ActiveState, e.g. "active"; the same */
        char *sub;    /* SubState, e.g. "running"; the same */
        char hash[UNIT_HASH_BYTES]; /* content that is on the machine; empty when none could be put
                                       there */
        JobState state; /* how far the agent has come: loaded, launched (start requested); inactive
                           = could not be loaded */
        uint64_t generation; /* of the request it has come to the end of, well or not; smaller while
                                it still works on it */
        char *waits; /* what the machine waits for before it can go on with the request, or NULL */
        char *why;   /* the reason when the request failed ("job failed", systemd's error), or NULL
                      when all is well */
} StateRecord;

/* Free the members (zeroed afterwards); to JSON; from JSON. As said above. */
void state_record_done(StateRecord *record);
int state_record_encode(const StateRecord *record, char **ret_json);
int state_record_decode(const char *json, size_t n_bytes, StateRecord *ret_record, Diag *diag);

/* Why the unit is not as asked there: `why`, else `waits`, else NULL. Borrowed. */
const char *state_record_reason(const StateRecord *record);

/* hold/<unit>: the one machine that may have an Exclusive unit, running or not. Not on a lease: the
 * machine's agent makes it before the unit comes there and removes it after it has gone, or the
 * leading engine does once the machine was lost for long enough. The same value is under
 * held/<machine>/<unit>, written and removed along with it, for the machine to find its own. */
typedef struct HoldRecord {
        char *machine;   /* machine ID */
        uint64_t stop_s; /* so many seconds systemd may take to stop the unit there */
} HoldRecord;

/* Free the members (zeroed afterwards); to JSON; from JSON. As said above. */
void hold_record_done(HoldRecord *record);
int hold_record_encode(const HoldRecord *record, char **ret_json);
int hold_record_decode(const char *json, size_t n_bytes, HoldRecord *ret_record, Diag *diag);

/* engine/leader: who leads. On the leader's machine lease; created by whoever is first. */
typedef struct LeaderRecord {
        char *machine;  /* machine ID */
        uint64_t epoch; /* larger than that of every earlier leader */
} LeaderRecord;

/* Free the members (zeroed afterwards); to JSON; from JSON. As said above. */
void leader_record_done(LeaderRecord *record);
int leader_record_encode(const LeaderRecord *record, char **ret_json);
int leader_record_decode(const char *json, size_t n_bytes, LeaderRecord *ret_record, Diag *diag);

/* checkup/ask: somebody wants every daemon to say how it is. Written by the API for each checkup,
 * which is known by the record's revision. */
typedef struct CheckupRecord {
        char *machine; /* machine ID of who asks */
} CheckupRecord;

/* Free the members (zeroed afterwards); to JSON; from JSON. As said above. */
void checkup_record_done(CheckupRecord *record);
int checkup_record_encode(const CheckupRecord *record, char **ret_json);
int checkup_record_decode(const char *json, size_t n_bytes, CheckupRecord *ret_record, Diag *diag);

/* report/<machine>/<lease>: how a daemon is, as its answer to a checkup. On the daemon's lease,
 * which tells two daemons of one machine ID apart; written by that daemon. */
typedef struct ReportRecord {
        uint64_t asked;      /* the revision of the checkup that it answers */
        uint64_t wall_ms;    /* its wall clock as it answers, since 1970 */
        char *hostname;      /* or NULL, as all strings here */
        char *address;       /* where others reach it */
        char *version;       /* of fleetd */
        char *store;         /* the endpoint of the store that it is connected to */
        char *store_version; /* of that member */
        char *why;           /* why it is not a member of the cluster; NULL when it is */
        bool is_host_lost;   /* its systemd does not answer */
        uint64_t n_units;    /* scheduled there, or there */
        uint64_t n_late;     /* of them, those whose state in the store has not been what systemd
                                says for some seconds */
} ReportRecord;

/* Free the members (zeroed afterwards); to JSON; from JSON. As said above. */
void report_record_done(ReportRecord *record);
int report_record_encode(const ReportRecord *record, char **ret_json);
int report_record_decode(const char *json, size_t n_bytes, ReportRecord *ret_record, Diag *diag);

/* engine/brake: units are not moved away from machines that are missing, since too many vanished at
 * once. Written by the leading engine, and there only while that holds. The API shows it, too. */
typedef struct BrakeRecord {
        uint64_t since_s;  /* seconds since the epoch */
        uint64_t limit;    /* so many may vanish at once */
        Machine *machines; /* owned: the missing ones, as last known, in order of their IDs */
        size_t n_machines; /* how many */
} BrakeRecord;

/* Free the members (zeroed afterwards); to JSON; from JSON. As said above. */
void brake_record_done(BrakeRecord *record);
int brake_record_encode(const BrakeRecord *record, char **ret_json);
int brake_record_decode(const char *json, size_t n_bytes, BrakeRecord *ret_record, Diag *diag);

/* evict/<machine>: an operator gives a missing machine up: its units move. Written by the API,
 * removed by the leading engine when the machine is back, or has no rows any more. */
typedef struct EvictRecord {
        uint64_t asked_s; /* seconds since the epoch, for people */
} EvictRecord;

/* To JSON; from JSON. As said above. */
int evict_record_encode(const EvictRecord *record, char **ret_json);
int evict_record_decode(const char *json, size_t n_bytes, EvictRecord *ret_record, Diag *diag);
