/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A story: a cluster, users who change units through its API, and everything that can happen to its
 * machines and its store, drawn from a seed. While it goes on, and when calm has come back, it is
 * held against what the daemons promise (story-check.c).
 */

#include <stdio.h>

#include "tests/sim/mirror.h"

enum {
        STORY_UNITS_MAX = MIRROR_UNITS_MAX,
        STORY_BATCH_MAX = 6,      /* units of one request */
        STORY_REQUESTS_MAX = 512, /* that may still have an effect */
        STORY_WAITS_MAX = 48,     /* under way */
};

/* How a unit of the story behaves. */
typedef enum StoryKind {
        STORY_PLAIN,
        STORY_SLOW_STOP, /* its ExecStop takes seconds */
        STORY_SLOW_START,
        STORY_FAILS,    /* its start fails */
        STORY_HANGS,    /* its start never ends */
        STORY_ONESHOT,  /* ends well at once */
        STORY_ZONED,    /* wants a machine of zone a or b */
        STORY_LONER,    /* conflicts with the other loners */
        STORY_FOLLOWER, /* goes where the first unit is */
        STORY_GLOBAL,
        STORY_EXCLUSIVE,      /* never runs twice */
        STORY_EXCLUSIVE_SLOW, /* nor does this, whose stop takes nearly as long as it may */
} StoryKind;

/* What is wrong with a machine; one thing at a time. */
typedef enum StoryFault {
        STORY_FINE,
        STORY_CUT,        /* from the store */
        STORY_CRASHED,    /* its daemon, and is not up yet */
        STORY_STOPPED,    /* its daemon, by an admin */
        STORY_OFF,        /* no power */
        STORY_PAUSED,     /* its daemon gets no time */
        STORY_NO_SYSTEMD, /* the service manager does not answer */
        STORY_FLAKY,      /* slow and lost answers, late writes */
        STORY_MUTE,       /* what it asks the store never arrives, or late; it hears of changes */
        STORY_DEAF,       /* what it asks is done; the answers are lost, and it hears of changes */
        STORY_SLOW,       /* every way takes seconds */
        STORY_LEAVES,     /* the cluster, and is back, in harsh stories */
        _STORY_FAULT_MAX,
} StoryFault;

typedef struct Story Story;

/* A unit. */
typedef struct StoryUnit {
        Story *story;
        char name[32];
        StoryKind kind;
        unsigned version;                      /* of its content */
        uint64_t restart_us;                   /* when a restart was last asked for */
        uint64_t active_us;                    /* when it was last seen active anywhere */
        uint64_t started_us[SIM_MACHINES_MAX]; /* when it last became active there */
        unsigned n_starts[SIM_MACHINES_MAX];   /* that there shall be, in calm weather */
        uint64_t exited_us[SIM_MACHINES_MAX];  /* when it last ended by itself there */
        uint64_t misfit_us[SIM_MACHINES_MAX]; /* since when it has run there without fitting; 0 = it
                                                  does not */
        bool has_exited[SIM_MACHINES_MAX];    /* it did, and did not start since */
        bool was_behind
                [SIM_MACHINES_MAX]; /* it lost its row there when the leader may not have heard
                                              that the machine is back */
        int mass_machine;           /* where it had a row when many machines failed; -1 = nowhere */
} StoryUnit;

/* What a request asks of one unit. */
typedef struct StoryAsk {
        StoryUnit *unit;
        bool is_destroy;
        bool has_content;
        bool is_restart;
        JobState desired;
        char file[UNIT_HASH_BYTES]; /* hash of the content, if it has one */
        bool was_made;              /* a commit did this since it was sent */
} StoryAsk;

/* A request about units, until it cannot have an effect any more. */
typedef struct StoryRequest {
        Story *story;
        size_t server; /* the machine that was asked */
        StoryAsk asks[STORY_BATCH_MAX];
        size_t n_asks;   /* 0 = this slot is free */
        bool is_open;    /* not answered yet */
        bool is_certain; /* answered so that it is known what came of it */
        uint64_t sent_us;
        uint64_t ended_us; /* when it was answered */
        uint64_t until_us; /* a copy may turn up until then */
} StoryRequest;

/* Somebody waits for a unit. */
typedef struct StoryWait {
        Story *story;
        StoryUnit *unit;  /* NULL = this slot is free */
        JobState desired; /* launched or inactive */
        uint64_t sent_us;
} StoryWait;

/* A machine. */
typedef struct StoryMachine {
        Story *story;
        StoryFault fault;
        uint64_t until_us;   /* when the fault ends */
        uint64_t fine_us;    /* since when all has been well with it */
        uint64_t left_us;    /* when it was last a member again after it had begun to leave */
        bool is_out;         /* it has begun to leave, and is no member again yet */
        uint64_t off_us;     /* when it last lost power */
        uint64_t expired_us; /* when its lease last ended on command, before its time */
        bool has_begun_anew; /* and that was a start of its daemon */
        bool is_expiring;    /* its lease ends now, on command */
        bool is_dying;       /* its units end now because of what happens to the machine */
        StoreFaults faults;  /* of its way to the store */
} StoryMachine;

/* What to play. */
typedef struct StoryOptions {
        uint64_t seed;
        uint64_t n_steps; /* turns of loops until calm comes back */
        size_t n_machines;
        size_t n_units;
        bool is_traced;   /* print what happens */
        bool is_digested; /* sum up what happens, in Story.digest */
} StoryOptions;

struct Story {
        StoryOptions options;
        Sim sim;
        Mirror mirror;
        uint64_t
                random_state; /* of the story's own dice, so that what is played does not hang on what the daemons draw */
        StoryUnit units[STORY_UNITS_MAX];
        StoryMachine machines[SIM_MACHINES_MAX];
        StoryRequest requests[STORY_REQUESTS_MAX];
        StoryWait waits[STORY_WAITS_MAX];
        unsigned char owner[MIRROR_CLIENTS_MAX]; /* by client: its machine's number and one */
        bool is_harsh;                           /* more happens (story.c) */
        uint64_t mass_us;                        /* when many machines failed at the same time... */
        uint64_t mass_until_us;                  /* ...until then; 0 = they have not, or are back */
        uint64_t no_quorum_until_us;             /* 0 = it has one */
        uint64_t is_full_until_us;               /* 0 = the store has room */
        uint64_t full_us;                        /* when the store was full last */
        uint64_t quorum_us;                      /* since when the store has been well */
        uint64_t n_requests;                     /* answered so far */
        uint64_t n_waits;                        /* likewise */
        uint64_t n_faults;                       /* that happened so far */
        uint64_t digest;                         /* of everything told, if asked for */
        bool is_by_hand;                         /* what is written now is no daemon's */
        bool is_calm; /* all trouble is over, and the users only restart */
        bool is_violated;
        bool is_over; /* it is being cleared away */
};

/* Play it to its end. True when every promise was kept; otherwise what was broken has been printed,
 * with the seed. */
bool story_play(Story *story, const StoryOptions *options);

/* The parts of that for a test which tells a story of its own: the cluster of a story at its
 * beginning, watched; and all of it cleared away. */
void story_begin(Story *story, const StoryOptions *options);
void story_end(Story *story);

/* A number below `bound`, from the story's dice. */
uint64_t story_draw(Story *story, uint64_t bound);

/* Something the user or the world does, for the trace. */
void story_tell(Story *story, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A promise was broken. */
void story_violate(Story *story, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Is there a machine for this unit, as things are? */
bool story_fits(const Story *story, const StoryUnit *unit, size_t machine);

/* Does it run on once it is started, as long as it does not end by itself? */
bool story_stays_up(const StoryUnit *unit);

/* story-trouble.c: something goes wrong; the leader's connection breaks while it is slow; what has
 * lasted its time ends, or (`is_all`) everything; the fault of machine `i` ends. */
void story_trouble_comes(Story *story);
void story_disturb_leader(Story *story);
void story_end_trouble(Story *story, bool is_all);
void story_end_fault(Story *story, size_t i);

/* story-hand.c: somebody damages records that daemons write. */
void story_hand_acts(Story *story);

/* What the client of the store of machine `i` writes is that machine's. */
void story_own_client(Story *story, size_t i);

/* The machine's daemon starts, with the machine's way to the store. */
void story_start_daemon(Story *story, size_t i);

/* story-look.c: held at every look. */
void story_look(Story *story);

/* story-check.c: held against every commit, every start and end of a unit, and at the
 * end. */
void story_check_commit(Story *story, unsigned client, const MirrorKey *key, StoreBytes value,
                        bool is_deletion);
void story_check_activity(Story *story, size_t machine, StoryUnit *unit, bool is_active);
const char *story_check_end(Story *story);

/* Many machines fail now at the same time: note where units are. And before those are back: they
 * have all that they had, but for what users have changed, if too many are missing (engine/evict.h). */
void story_note_rows(Story *story);
void story_check_rows_kept(Story *story);

/* An Exclusive unit is on its way up or down, or runs, on one machine at most, ever. */
bool story_is_exclusive(const StoryUnit *unit);
void story_check_exclusive(Story *story, const StoryUnit *unit);

/* What is under way, or kept in memory, in calm weather though nothing asks for it; NULL when
 * nothing is. */
const char *story_check_rest(const Story *story);

/* story-user.c: a request of a user, or what happens to a unit by itself. */
void story_user_acts(Story *story);

/* Users ask for a restart of every unit that runs, and wait; or for a start, which changes nothing.
 */
void story_ask_all(Story *story, bool is_restart);

/* The text of a unit file; the caller frees. */
char *story_unit_text(const StoryUnit *unit);

/* story-history.c: the requests about units, and what came of them. */

/* A request to this machine, to be filled with what it asks; NULL when there are too many. */
StoryRequest *story_request_new(Story *story, size_t server);

/* How a request ended: is it true? The user is told by the status alone. */
void story_request_answered(StoryRequest *request, int status);

/* A unit's record changes: which request is that a step of? */
void story_check_step(Story *story, int from, StoryUnit *unit, StoreBytes value, bool is_deletion);

/* Wait for a unit at a machine. Does nothing when too many wait. */
void story_wait(Story *story, SimMachine *server, StoryUnit *unit, JobState desired);

/* How many requests and waits have no answer? */
size_t story_count_open(const Story *story);
