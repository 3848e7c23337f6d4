/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* POST wait (docs/api.md): what its parts share. wait.c runs it and speaks to the client,
 * wait-watch.c keeps what is known of each unit up to date, wait-judge.c decides what that means.
 */

#include "api/api-private.h"
#include "lib/base/hash-map.h"
#include "lib/model/entity.h"
#include "lib/registry/follow.h"

typedef struct WaitCall WaitCall;

/* What is waited for. */
typedef enum WaitTarget {
        WAIT_INACTIVE,
        WAIT_LOADED,
        WAIT_LAUNCHED,
        WAIT_GONE,
} WaitTarget;

/* What is to be said of a unit. */
typedef enum WaitOutcome {
        WAIT_PENDING,  /* nothing */
        WAIT_UNPLACED, /* not final: no machine has it */
        WAIT_HELD_UP,  /* not final: its machine waits for another */
        WAIT_REACHED,
        WAIT_FAILED,
        WAIT_UNKNOWN_UNIT,
} WaitOutcome;

/* What a machine reports. Strings owned. */
typedef struct WaitState {
        char *machine;
        char *active; /* or NULL */
        char *waits;  /* or NULL */
        char *why;    /* or NULL */
        uint64_t generation;
        JobState state;
} WaitState;

/* The watches of one unit of a narrow wait. */
typedef struct WaitNarrow {
        RegistryFollow unit;  /* unit/ and placement/ */
        RegistryFollow state; /* on `machines` */
        StrList machines;     /* where it is, last, and those that it was on before */
        bool unit_is_synced;
        bool state_is_synced;
        struct WaitUnit *owner; /* back pointer */
} WaitNarrow;

/* One unit. Strings owned. */
typedef struct WaitUnit {
        WaitCall *wait; /* borrowed */
        char *name;
        char *hint;    /* machine that it was on, or, for a global one, that is asked about; or
                          NULL */
        HashNode node; /* key: name */
        ListNode dirty;
        bool exists;
        bool is_bad;       /* its record does not parse */
        UnitRecord record; /* while it exists */
        bool has_generation;
        uint64_t generation;           /* of the request waited for */
        uint64_t hint_generation;      /* the same on the hinted machine */
        uint64_t hint_generation_last; /* as the record has it now */
        enum {
                WAIT_KIND_UNKNOWN,
                WAIT_KIND_READING,
                WAIT_KIND_GLOBAL,
                WAIT_KIND_PLAIN,
        } kind;
        char *machine;       /* of its placement, or NULL */
        char *placement_why; /* or NULL */
        StrList left;        /* of its placement */
        uint64_t placement_generation;
        WaitState *states; /* owned array */
        size_t n_states;
        char *told; /* the reason told last */
        bool is_done;
        WaitNarrow *narrow; /* owned; NULL in a wide wait */
} WaitUnit;

/* What is known of a machine's address. */
typedef struct WaitMachine {
        HashNode node;   /* key: id */
        ListNode unread; /* while its record was not read */
        char *address;   /* owned, or NULL */
        bool is_known;
        char id[];
} WaitMachine;

/* A wait. */
struct WaitCall {
        ApiCall call;
        WaitTarget target;
        WaitUnit *units; /* owned */
        size_t n_units;
        size_t n_open;    /* without a final outcome */
        HashMap by_name;  /* WaitUnit.node */
        List dirty;       /* WaitUnit.dirty */
        HashMap machines; /* WaitMachine.node */
        List unread;      /* WaitMachine.unread */
        WaitUnit **kinds; /* owned: units whose file is being read; n_units of room */
        size_t n_kinds;
        RegistryFollow wide;
        bool is_wide;
        bool wide_is_synced;
        int error;        /* what ends it: no memory, a client that does not read */
        bool has_started; /* the watches are on */
        bool needs_kinds; /* some unit may be global: its file must be read */
        LoopDeferred evaluate;
        LoopTimer timeout;
        LoopTimer heartbeat;
        LoopTimer retry; /* of a read that failed */
};

/* What can be said of a unit now; `ret_why` borrowed from the unit or static, or NULL. */
WaitOutcome wait_judge(const WaitUnit *unit, WaitTarget target, const char **ret_why);
/* The machine that counts: where the unit is placed, or, of a global one, the one asked about; or
 * NULL. Borrowed. */
const char *wait_unit_machine(const WaitUnit *unit);
/* The state reported by the machine that counts, or NULL. */
const WaitState *wait_unit_state(const WaitUnit *unit);

/* Start to watch. Returns 0 or -ENOMEM. */
int wait_watch_start(WaitCall *wait);
/* Stop all watches. */
void wait_watch_stop(WaitCall *wait);
/* Is all known that a judgement on the unit needs? */
bool wait_watch_is_synced(const WaitUnit *unit);
/* The unit's placement was seen: watch its states where it is, and where it may still be ending
 * (narrow waits). */
void wait_watch_follow_machines(WaitUnit *unit);

/* Look at the unit again in the next turn. */
void wait_mark(WaitUnit *unit);
/* Know the machine's address soon. */
void wait_want_machine(WaitCall *wait, const char *id);
/* It cannot go on. */
void wait_break(WaitCall *wait, int error);
