/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The agent's objects, shared by its files: agent.c (what comes in), work.c (steps), after.c and
 * handover.c (what a unit waits for before it comes here, and ends here), wait.c (what is the same
 * of both), exclusive.c (what never runs twice), leave.c (the machine leaves), report.c (out). */

#include "agent/agent.h"
#include "agent/pace.h"
#include "agent/plan.h"
#include "lib/registry/follow.h"
#include "lib/registry/own-writes.h"
#include "lib/registry/write.h"

typedef struct AgentUnit AgentUnit;
typedef struct AgentFile AgentFile;
typedef struct AgentOp AgentOp;
typedef struct AgentWait AgentWait;
typedef struct AgentHold AgentHold;

/* A unit that is scheduled here, or on the host, or that the store still has a state of. */
struct AgentUnit {
        HashNode node;            /* Agent.units, by name */
        Agent *agent;             /* back pointer */
        char *name;               /* owned */
        AgentOp *op;              /* owned: the step under way, or NULL */
        AgentWait *wait;          /* owned: what it waits for on other machines, or NULL */
        AgentHold *hold;          /* owned: its hold, ours or wanted, or NULL */
        char *why;                /* owned: why the last request failed, or NULL */
        LoopTimer retry;          /* set: the next step waits */
        ListNode work_node;       /* Agent.to_work */
        ListNode report_node;     /* Agent.to_report, or Agent.in_report while on its way */
        ScheduleRecord row;       /* while has_row */
        int64_t row_revision;     /* of that record */
        uint64_t done_generation; /* request brought to its end */
        uint64_t restarted;       /* restarts up to this generation are carried out */
        uint64_t digest;          /* of the state that the store has */
        uint64_t sent_digest;     /* of the state on its way */
        uint64_t report_since_us; /* when it was first found to differ; 0 = it does not */
        uint64_t generation;      /* of the state that the store has */
        uint64_t sent_generation; /* of the state on its way */
        Pace pace;                /* of reports that answer no request */
        int64_t state_revision;   /* of the state record in the store, 0 = there is none */
        int64_t state_lease;      /* that it is on */
        uint32_t backoff_ms;      /* of the next retry */
        JobState reached;         /* how far the unit was brought */
        AgentStep last_step;      /* for the back-off of a step that changes nothing */
        bool has_row, is_row_bad;
        bool is_listed;  /* the list under way has brought the row */
        bool is_sent;    /* in Agent.in_report */
        bool is_free;    /* no machine of the row's `after` has it any more */
        bool is_let_go;  /* it has lost its row, and need not run here any more */
        bool is_stuck;   /* it has lost its row, and its successor has failed */
        bool is_adopted; /* done_generation, reached and why are an earlier run's */
        bool lacks;      /* the last request failed for want of something, and is tried on */
        bool is_again;   /* changed while its state was on its way */
        bool is_barred;  /* Exclusive, and nothing speaks for it any more: it must leave the host */
        bool must_stop;  /* and be stopped first, whatever state the host shows */
        bool may_start;  /* a start was given up, and may yet happen */
};

/* Room for what a unit waits for, in words. */
enum { AGENT_WAIT_TEXT_BYTES = 192 };

/* What a unit waits for on other machines; the first member of what after.c and handover.c make of
 * it, which hold no other memory. */
struct AgentWait {
        AgentUnit *unit; /* back pointer */
        RegistryFollow follow;
        LoopTimer timer; /* set: none is there, or no row, but there may yet be */
        char *machine;   /* owned; handover.c: whose records are followed, or NULL */
        char text[AGENT_WAIT_TEXT_BYTES];
};

/* A step under way. */
struct AgentOp {
        AgentUnit *unit; /* back pointer */
        HostRequest request;
        AgentFile *file;    /* content being fetched, or NULL */
        ListNode file_node; /* AgentFile.waiters */
        AgentStep step;
        uint64_t generation; /* of the row that asked for it, 0 for none */
        uint64_t restart;    /* of that row */
        JobState desired;    /* of that row */
};

/* Content being fetched; shared by all units that wait for it. */
struct AgentFile {
        HashNode node; /* Agent.files, by hash */
        Agent *agent;  /* back pointer */
        char hash[UNIT_HASH_BYTES];
        RegistryRead read;
        List waiters; /* AgentOp.file_node */
};

/* Is this machine to keep its units? */
typedef enum AgentStay {
        AGENT_STAYS,
        AGENT_HANDS_OVER, /* each unit ends when its successor runs */
        AGENT_EMPTIES,    /* every unit is stopped */
} AgentStay;

struct Agent {
        Registry *registry; /* borrowed */
        Host *host;         /* borrowed */
        Loop *loop;         /* borrowed */
        char *machine;      /* owned */
        HashMap units;
        HashMap files;
        List to_work;   /* units to decide upon */
        List to_report; /* units whose state may differ from the store's */
        List in_report; /* units whose state is on its way */
        RegistryFollow follow;
        RegistryWrite write; /* states on their way */
        OwnWrites own;       /* reports, to notice what others do to them */
        LoopTimer mend;      /* set: the states are listed again then */
        LoopHook hook;
        LoopTimer report; /* set: reports wait */
        LoopTimer grace;  /* bounds the last report */
        LoopDeferred closing;
        uint64_t report_interval_us;
        Pace pace;                /* of reports */
        int64_t lease;            /* 0 = none */
        uint64_t member_since_us; /* on the lease */
        int64_t earlier_lease;    /* of an earlier run since the boot, 0 = none */
        int64_t sent_lease;       /* that the states on their way go on */
        size_t n_ops;
        uint64_t valid_until_us;   /* the lease has not ended before (env_now_us()); 0 = unknown */
        uint64_t deadline_us;      /* then the Exclusive units here are stopped */
        uint64_t guarded_until_us; /* what this run has told the guard */
        LoopTimer expiry;          /* at the deadline, while there are holds */
        size_t n_holds;            /* AgentUnit.hold that are there */
        size_t n_hold_writes;      /* in flight */
        size_t n_ending;           /* units that must_stop */
        AgentStats stats;
        AgentStay stay;
        size_t n_leaving; /* units still on the host, unless it stays */
        void (*left)(Agent *agent, void *userdata);
        void *left_userdata;
        LoopDeferred leaving;    /* calls `left` */
        int64_t view_revision;   /* of the last list of the schedule that was complete */
        int64_t member_revision; /* the machine is a member since then */
        bool was_synced;         /* the schedule has been known once: decide */
        bool was_member;         /* there was a lease once: this machine is who it says, decide */
        bool is_expired;         /* the deadline has passed, or the lease was lost */
        bool has_lapsed; /* the guard had ended what it guards before this run told it anything */
        bool is_guard_broken; /* the guard could not be told, as was logged */
        bool is_closing;
        bool is_host_closed;
        void (*closed)(Agent *agent, void *userdata);
        void *closed_userdata;
};

/* Free a unit that nothing is under way for. */
void agent_unit_free(AgentUnit *unit);

/* Decide upon the unit before the next wait. */
void agent_mark_work(AgentUnit *unit);

/* Report the unit's state, if it differs, when reports go next. */
void agent_mark_report(AgentUnit *unit);

/* Is the schedule known as it was when the machine became a member, or later? */
bool agent_view_is_current(const Agent *agent);

/* Decide upon every marked unit and begin its step. */
void agent_work(Agent *agent);

/* The unit's row changed: a step that the user does not want any more is given up. */
void agent_reconsider_op(AgentUnit *unit);

/* A retry timer's callback. */
void agent_on_retry(LoopTimer *timer);

/* Must the unit wait until other machines have ended it? */
bool agent_must_wait(const AgentUnit *unit);

/* Wait for that, if it does not yet; the unit is marked for work when it is over. Returns 0 or a
 * negative errno. */
int agent_after_begin(AgentUnit *unit);

/* The unit, which has no row here, runs: wait, if it does not yet, until it may end. It is marked
 * for work, and let go, when that is so. Returns 0 or a negative errno. */
int agent_handover_begin(AgentUnit *unit);

/* Say in the unit's state what it waits for (printf(3)). */
void agent_wait_say(AgentWait *wait, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Wait no more. */
void agent_wait_end(AgentUnit *unit);

/* What the unit waits for, for people, borrowed; NULL when it does not wait. */
const char *agent_wait_text(const AgentUnit *unit);

/* Give up waiting for a start under way. */
void agent_give_up_start(AgentUnit *unit);

/* Send states, if it is time, there is a lease, and none are on their way. */
void agent_report(Agent *agent);

/* Take over what a state record in the store says: what the store has, and what an earlier run of
 * this daemon had done. */
void agent_adopt_state(AgentUnit *unit, const Record *record);

/* Somebody else changed states of this machine: list them again soon, and report what differs. */
void agent_mend_states(Agent *agent);

/* The report timer's callback. */
void agent_on_report_timer(LoopTimer *timer);

/* Close what is left after the last report: it has been sent, or has had its time. */
void agent_close_rest(Agent *agent);

/* Go on with closing, if nothing is under way any more. */
void agent_maybe_closed(Agent *agent);
