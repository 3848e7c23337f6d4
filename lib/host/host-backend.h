/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a backend of the host provides, and what the front-end (host.c) does for all of them; only
 * lib/host includes this.
 *
 * The front-end turns each request into an operation, lets one operation per unit name begin at a
 * time, in the order in which they were asked for, and ends them; it owns the map of units and
 * tells the listener. So a backend only carries out operations that have begun.
 */

#include "lib/host/host.h"

typedef struct HostOp HostOp;
typedef struct HostEntry HostEntry;
typedef struct HostQueue HostQueue;

/* What a request asks for. */
typedef enum HostVerb {
        HOST_VERB_LOAD,
        HOST_VERB_START,
        HOST_VERB_RESTART,
        HOST_VERB_STOP,
        HOST_VERB_UNLOAD,
} HostVerb;

/* A request under way; the first member of a backend's own structure. */
struct HostOp {
        HostRequest *request; /* borrowed; its caller waits */
        HostVerb verb;
        bool has_begun;   /* the backend knows it */
        HostQueue *queue; /* borrowed; NULL once the operation has ended */
        ListNode node;    /* in the queue of its unit */
        ListNode ready;   /* among those that begin in the next turn */
        char *text;       /* owned; what to load, or NULL */
        size_t n_bytes;   /* of `text` */
        int status;       /* how it ended */
        char *why;        /* owned; why it failed, or NULL */
};

/* The operations of one unit name; exists only while there are any. */
struct HostQueue {
        HashNode node; /* in the host's queues, by name */
        List ops;      /* the first has begun, or is about to */
        char name[];   /* of the unit */
};

/* A unit in the host's map; the first member of a backend's own structure. */
struct HostEntry {
        HostUnit unit;
        ListNode changed; /* among those to be told */
        bool is_gone;     /* not in the map any more; freed once that was told */
};

/* The backend's part. Its structures for an operation and for a unit start with HostOp and
 * HostEntry, and are made zeroed. */
typedef struct HostVtable {
        size_t op_bytes;    /* size of its operations */
        size_t entry_bytes; /* size of its units */

        /* See host_start(). */
        int (*start)(Host *host);

        /* Carry out an operation, and host_op_end() it, here or later. */
        void (*begin)(Host *host, HostOp *op);

        /* An operation that has begun ends for other reasons: forget all about it. */
        void (*abandon)(Host *host, HostOp *op);

        /* The operation is about to be freed: free what the backend added to it. */
        void (*release)(Host *host, HostOp *op);

        /* The unit leaves the map: take it out of the backend's lists. */
        void (*forget)(Host *host, HostEntry *unit);

        /* See host_guard_until() and host_guarded_until_us(). */
        int (*guard_until)(Host *host, uint64_t until_us);
        uint64_t (*guarded_until_us)(const Host *host);

        /* Find out why this process is to end, and host_end_is(), here or later. */
        void (*ask_end)(Host *host);

        /* Let go of the service manager; every operation was abandoned before. */
        void (*close)(Host *host);

        /* Free the backend's structure; the front-end's part is done already. */
        void (*free)(Host *host);
} HostVtable;

/* The head of every backend's object. */
struct Host {
        const HostVtable *vtable;
        Loop *loop; /* borrowed */
        HostListener listener;
        HashMap units;                                 /* HostUnit.node */
        HashMap queues;                                /* HostQueue.node */
        List ready;                                    /* HostOp.ready */
        List changed;                                  /* HostEntry.changed */
        LoopDeferred begin;                            /* begins the ready operations */
        LoopDeferred tell;                             /* tells changes */
        LoopDeferred finish;                           /* calls `closed` */
        LoopDeferred answer;                           /* calls `end_told` */
        HostEnd end;                                   /* what it is told */
        void (*end_told)(HostEnd end, void *userdata); /* NULL = nobody asks */
        void *end_userdata;
        size_t n_pending;     /* requests whose callback has not run */
        bool is_started;      /* host_start() was called */
        bool is_closing;      /* host_close() was called */
        bool is_ready;        /* the backend says so */
        bool is_ready_told;   /* what the listener knows */
        const char *lost_why; /* borrowed, static; why it is not ready */
        void (*closed)(Host *host, void *userdata);
        void *closed_userdata;
};

/* Set up the front-end's part. `host` is zeroed memory of the backend. */
void host_init(Host *host, Loop *loop, const HostVtable *vtable);

/* The name of the unit that an operation, which has not ended, is about. Borrowed from the queue.
 */
const char *host_op_name(const HostOp *op);

/* End an operation: its request's callback runs in the next turn, the next operation of the unit
 * begins. `format` (printf(3)) is the reason, NULL when there is none. */
void host_op_end(HostOp *op, int status, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* The operation of this unit name that has begun, or NULL. */
HostOp *host_op_find(const Host *host, const char *name);

/* Abandon and end all operations. */
void host_end_all(Host *host, int status, const char *why);

/* The entry of this name, or NULL. */
HostEntry *host_entry_find(const Host *host, const char *name);

/* Add a unit, of which nothing is known, to the map. Nothing is told yet. Returns 0 or -ENOMEM;
 * -EEXIST when there is one. */
int host_entry_add(Host *host, const char *name, HostEntry **ret_entry);

/* The unit's states are now these, interned; NULL keeps one. Tells it when that is a change. */
void host_entry_set_states(Host *host, HostEntry *entry, const char *load, const char *active,
                           const char *sub);

/* The unit has changed: tell it in the next turn. */
void host_entry_changed(Host *host, HostEntry *entry);

/* The unit has vanished: take it out of the map, tell it, and free it. */
void host_entry_remove(Host *host, HostEntry *entry);

/* Why this process is to end: the answer to whoever asks. */
void host_end_is(Host *host, HostEnd end);

/* The service manager is connected and every state known, or not any more (`why` is static). Told
 * after the changes; while it is not so, changes wait. */
void host_set_ready(Host *host, bool is_ready, const char *why);
