/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A story: a cluster, users who change units through its API, and everything that can happen to its
 * machines and its store, drawn from a seed. While it goes on, and when calm has come back, it is
 * held against what the daemons promise (story-check.c).
 */

#include <stdio.h>

#include "tests/sim/mirror.h"

enum { STORY_UNITS_MAX = MIRROR_UNITS_MAX };

/* How a unit of the story behaves. */
typedef enum StoryKind {
        STORY_PLAIN,
        STORY_SLOW_STOP, /* its ExecStop takes seconds */
        STORY_SLOW_START,
        STORY_FAILS,    /* its start fails */
        STORY_ONESHOT,  /* ends well at once */
        STORY_ZONED,    /* wants a machine of zone a or b */
        STORY_LONER,    /* conflicts with the other loners */
        STORY_FOLLOWER, /* goes where the first unit is */
        STORY_GLOBAL,
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
        _STORY_FAULT_MAX,
} StoryFault;

typedef struct Story Story;

/* A unit. */
typedef struct StoryUnit {
        Story *story;
        char name[32];
        StoryKind kind;
        unsigned version;                  /* of its content */
        bool is_busy;                      /* a request about it is under way */
        JobState asked;                    /* by that request */
        bool is_destroy;                   /* it is one to destroy */
        bool has_exited[SIM_MACHINES_MAX]; /* it ended by itself there, and did not start since */
} StoryUnit;

/* A machine. */
typedef struct StoryMachine {
        Story *story;
        StoryFault fault;
        uint64_t until_us; /* when the fault ends */
        uint64_t fine_us;  /* since when all has been well with it */
        bool is_dying;     /* its units end now because of what happens to the machine */
} StoryMachine;

/* What to play. */
typedef struct StoryOptions {
        uint64_t seed;
        uint64_t n_steps; /* turns of loops until calm comes back */
        size_t n_machines;
        size_t n_units;
        bool is_traced; /* print what happens */
} StoryOptions;

struct Story {
        StoryOptions options;
        Sim sim;
        Mirror mirror;
        uint64_t
                random_state; /* of the story's own dice, so that what is played does not hang on what the daemons draw */
        StoryUnit units[STORY_UNITS_MAX];
        StoryMachine machines[SIM_MACHINES_MAX];
        unsigned char owner[MIRROR_CLIENTS_MAX]; /* by client: its machine's number and one */
        uint64_t no_quorum_until_us;             /* 0 = it has one */
        uint64_t quorum_us;                      /* since when it has had one */
        uint64_t n_requests;                     /* answered so far */
        uint64_t n_faults;                       /* that happened so far */
        bool is_violated;
        bool is_over; /* it is being cleared away */
};

/* Play it to its end. True when every promise was kept; otherwise what was broken has been printed,
 * with the seed. */
bool story_play(Story *story, const StoryOptions *options);

/* A number below `bound`, from the story's dice. */
uint64_t story_draw(Story *story, uint64_t bound);

/* Something the user or the world does, for the trace. */
void story_tell(Story *story, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A promise was broken. */
void story_violate(Story *story, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Is there a machine for this unit, as things are? */
bool story_fits(const Story *story, const StoryUnit *unit, size_t machine);

/* story-check.c: held against every commit, every start and end of a unit, at every pause, and at
 * the end. */
void story_check_commit(Story *story, unsigned client, const MirrorKey *key, StoreBytes value,
                        bool is_deletion);
void story_check_activity(Story *story, size_t machine, StoryUnit *unit, bool is_active);
void story_check_copies(Story *story);
const char *story_check_end(Story *story);

/* story-user.c: a request of a user, or what happens to a unit by itself. */
void story_user_acts(Story *story);

/* The text of a unit file; the caller frees. */
char *story_unit_text(const StoryUnit *unit);
