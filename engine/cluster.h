/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The leader's view of the cluster: machines, units, files, and who shall run what. A plain data
 * structure: records are applied to it, planning (engine/placement.h) changes what is wanted,
 * committing (engine/commit.h) brings the store to it. Work is in proportion to what changed:
 * applying marks units dirty, planning looks at dirty units only.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/hash-map.h"
#include "lib/base/list.h"
#include "lib/base/macro.h"
#include "lib/model/record.h"
#include "lib/registry/registry.h"
#include "lib/unit/requirements.h"

typedef struct Cluster Cluster;
typedef struct ClusterFile ClusterFile;
typedef struct ClusterMachine ClusterMachine;
typedef struct ClusterUnit ClusterUnit;
typedef struct ClusterRow ClusterRow;

/* The content of units: only what scheduling asks of it. */
struct ClusterFile {
        HashNode node; /* Cluster.files, by hash */
        char hash[UNIT_HASH_BYTES];
        UnitFile *fleet;      /* its [X-Fleet] options; NULL while the record is missing or bad */
        uint32_t stop_s;      /* how long systemd may take to stop it, for Exclusive units, while
                            `fleet` is there */
        int64_t mod_revision; /* 0 while the record is missing */
        List units;           /* ClusterUnit.file_node: units that refer to it */
        uint64_t unused_since_us; /* when it was first found unused; 0 = in use */
};

/* A machine that is there, or that rows or metadata speak of. */
struct ClusterMachine {
        HashNode node;         /* Cluster.machines, by ID */
        char *id;              /* owned */
        Metadata configured;   /* from its record */
        Metadata over;         /* from the metadata record */
        Metadata merged;       /* both */
        List rows;             /* ClusterRow.machine_node */
        size_t n_rows;         /* how many */
        size_t n_wanted;       /* rows wanted: its load (contract section 6) */
        size_t n_conflicts;    /* of them, how many belong to units with Conflicts */
        size_t n_replaces;     /* of them, how many belong to units with Replaces */
        bool is_held;          /* it is missing, and keeps its units for now (engine/brake.h) */
        size_t heap_index;     /* in Cluster.present, while present */
        uint32_t rank;         /* in Cluster.by_id, while that is sorted */
        bool has_record;       /* its record is there: Exclusive units may run there */
        ClusterRow *mark;      /* scratch of planning a global unit */
        bool is_present;       /* its record is there, and does not say that it leaves */
        bool is_leaving;       /* its record is there, and says so: units are placed as if it were
                                lost, and the copies on it end when the new ones run */
        ListNode leaving_node; /* Cluster.leaving, while it is leaving */
};

/* A unit that is there, or that rows, placements or peers speak of. */
struct ClusterUnit {
        HashNode node;     /* Cluster.units, by name */
        char *name;        /* owned */
        UnitRecord record; /* while is_known */
        ClusterFile *file; /* or NULL */
        ListNode file_node;
        Requirements *requirements; /* NULL while unknown */
        List rows;                  /* ClusterRow.unit_node */
        size_t n_rows;              /* how many */
        StrList left;               /* machines that it was taken from while it has gone nowhere
                                       (PlacementRecord.left) */
        ListNode leaver_node;       /* Cluster.leavers */
        ListNode left_due_node;     /* LeftCheck.due */
        uint32_t n_left_looks;      /* of engine/left.h */
        bool is_asked_about;        /* the same: what is read is about it as it is */
        List followers;         /* ClusterFollow.peer_node: units whose MachineOf names this one */
        List follows;           /* ClusterFollow.follower_node: its own MachineOf */
        PlacementRecord wanted; /* while has_wanted */
        PlacementRecord stored; /* while has_stored */
        ListNode dirty_node;    /* Cluster.dirty */
        ListNode commit_node;   /* Cluster.uncommitted */
        ListNode waiting_node;  /* Cluster.waiting */
        ListNode global_node;   /* Cluster.globals */
        ListNode replacer_node; /* Cluster.replacers */
        ListNode unplaced_node; /* Cluster.unplaced */
        struct LayoutBlock *block; /* scratch of engine/layout.h; else NULL */
        uint64_t visit;            /* scratch of engine/fit.h: the walk that came here last */
        uint32_t n_awaited;        /* scratch of a pass: peers that are to be placed before it */
        bool is_pending;           /* scratch of a pass: to be placed */
        bool is_known;             /* its record is there */
        bool is_bad;               /* its record does not parse: leave it as it is */
        bool has_wanted;
        bool has_stored;
};

/* "follower" has `peer` in its MachineOf. */
typedef struct ClusterFollow {
        ClusterUnit *follower;
        ClusterUnit *peer;
        ListNode follower_node;
        ListNode peer_node;
} ClusterFollow;

/* A unit on a machine: as it shall be, and as the store has it. */
struct ClusterRow {
        ClusterUnit *unit;
        ClusterMachine *machine;
        ListNode unit_node;
        ListNode machine_node;
        ScheduleRecord wanted; /* while is_wanted */
        ScheduleRecord stored; /* while is_stored */
        bool is_wanted;
        bool is_stored;
};

/* The view. */
struct Cluster {
        HashMap files;
        HashMap machines;
        HashMap units;
        ClusterMachine **present; /* owned: heap of present machines, least (load, ID) first */
        ClusterMachine **by_id;   /* owned: the same in order of their IDs, while is_sorted */
        size_t n_present;
        List leaving; /* ClusterMachine.leaving_node: machines that are leaving */
        size_t n_present_allocated;
        List dirty;       /* units to plan */
        List uncommitted; /* units whose wanted and stored may differ */
        List waiting;   /* units that have less than they want: nowhere, or kept off a machine by a
                            conflict */
        List globals;   /* global units */
        List replacers; /* units for one machine with Replaces */
        List leavers;  /* units that are to be nowhere and may not have ended everywhere: those with
                           a `left` */
        List unplaced; /* units that found no machine in this round: a reason is to be written */
        uint64_t
                n_looked; /* machines, rows and pairs of units looked at so far: a measure of work */
        uint64_t n_visits;   /* walks over who replaces whom so far */
        uint64_t n_released; /* how often a row on a present machine was given up: tells who keeps
                                machines in order of their load that one has become less */
        bool is_sorted;      /* by_id and the ranks are up to date */
        bool has_new_chains; /* a Replaces or MachineOf has come or gone since the last round */
        bool is_settled; /* a list is complete and nothing came since: a missing file is missing,
                            not on its way */
};

/* An empty view. `seed` is for its hash maps. */
void cluster_init(Cluster *cluster, uint64_t seed);

/* Free everything; empty afterwards. */
void cluster_done(Cluster *cluster);

/* Apply a record of a kind that the leader follows; others are ignored. A bad record is left out,
 * but for a unit's, which freezes the unit, and a machine's on a lease, which is there without
 * metadata. Returns 0 or -ENOMEM, on which the view is incomplete and must be built anew. */
int cluster_apply(Cluster *cluster, const Record *record);

/* Plan this unit (again) in the next round. */
void cluster_mark_dirty(Cluster *cluster, ClusterUnit *unit);

/* Plan the waiting units in the next round. */
void cluster_mark_waiting_dirty(Cluster *cluster);

/* A machine that is missing keeps its units from now on, or no more. */
void cluster_hold_machine(Cluster *cluster, const char *id, bool is_held);

/* Is a unit there, and placed on this machine, that would move if the machine were lost? */
bool cluster_has_evictable(const ClusterMachine *machine);

/* Plan every unit in the next round. */
void cluster_mark_all_dirty(Cluster *cluster);

/* Bring by_id and the machines' ranks up to date. */
void cluster_sort_machines(Cluster *cluster);

/* The machine with this ID, if any record spoke of it; or NULL. */
ClusterMachine *cluster_find_machine(const Cluster *cluster, const char *id);

/* Is this machine leaving the cluster? */
bool cluster_is_leaving(const Cluster *cluster, const char *id);

/* The row of a unit on a machine, or NULL. */
ClusterRow *cluster_find_row(const ClusterUnit *unit, const ClusterMachine *machine);

/* Want the unit on the machine as its record says; creates the row. A unit for one machine that
 * comes from others which are there is to be started only after they have ended it
 * (ScheduleRecord.after). Returns 0 or -ENOMEM. */
int cluster_want_row(Cluster *cluster, ClusterUnit *unit, ClusterMachine *machine, ClusterRow *row);

/* Do not want this row any more. It may be gone when this returns. */
void cluster_unwant_row(Cluster *cluster, ClusterRow *row);

/* Want this placement: a machine, a reason, both, or (both NULL) none. Copies. Returns 0 or
 * -ENOMEM. */
int cluster_want_placement(Cluster *cluster, ClusterUnit *unit, const char *machine,
                           const char *why);

/* Let the unit be planned again whenever room is made somewhere, or no more. */
void cluster_set_waiting(Cluster *cluster, ClusterUnit *unit, bool is_waiting);

/* Is the machine there, though it may be leaving? */
bool cluster_has_machine(const Cluster *cluster, const char *id);

/* Forget a unit of which nothing is left; does nothing for others. */
void cluster_collect_unit(Cluster *cluster, ClusterUnit *unit);

/* Must the store be changed to have the row as wanted? */
bool cluster_row_differs(const ClusterRow *row);

/* Must the store be changed to have the unit's placement as wanted? */
bool cluster_placement_differs(const ClusterUnit *unit);

/* The wanted placement has been written, or its removal. Returns 0 or -ENOMEM. */
int cluster_placement_stored(ClusterUnit *unit);

/* The row's wanted state has been written, or its removal. It may be gone when this returns.
 * Returns 0 or -ENOMEM. */
int cluster_row_stored(ClusterRow *row);
