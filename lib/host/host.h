/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The host seam: the service manager of this machine. It knows the units that fleet gave to it
 * (files in its units directory), carries out one request per unit at a time, and tells every
 * change of their states without being asked.
 *
 * Requests follow the contract of lib/loop/loop.h and end exactly once with 0, a HOST_E_* or a
 * negative errno: -ECANCELED (host_cancel(), or the host closes), -ENOTCONN (the service manager
 * went away meanwhile: whether it was carried out is unknown; look at the unit's state once
 * connected again), -ETIMEDOUT (no answer in time), -ENOMEM. The `why` of a failure is for people:
 * the service manager's own words where it has some.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/hash-map.h"
#include "lib/base/list.h"
#include "lib/base/macro.h"
#include "lib/loop/loop.h"
#include "lib/unit/unit-file.h"

typedef struct Host Host;
typedef struct HostRequest HostRequest;
typedef struct HostUnit HostUnit;

/* Documented outcomes. */
enum {
        _HOST_E_OK,
        HOST_E_LOAD,    /* the file cannot be put in place, or means nothing to the manager */
        HOST_E_JOB,     /* the job ended otherwise than done: failed, timeout, dependency... */
        HOST_E_NO_UNIT, /* the host knows no unit of this name */
        HOST_E_LACK,    /* the machine has no room for the file, or no descriptor: later it may */
        _HOST_E_MAX,
};

/* Longest reason; what a service manager says beyond it is cut. */
enum { HOST_WHY_MAX_BYTES = 1000 };

/* Ends a request. `why` is NULL when status is 0, else text, borrowed until the callback returns.
 */
typedef void (*HostDone)(HostRequest *request, int status, const char *why);

/* A request; embed it and zero it before the first use. */
struct HostRequest {
        HostDone done;
        Host *host;              /* borrowed; NULL while idle */
        void *backend;           /* the backend's state of this request */
        ListNode node;           /* for the backend */
        LoopDeferred completion; /* for the backend */
};

/* One unit as the host sees it; owned by the host, valid until the next change is told. Strings are
 * interned or owned by the host, never NULL. */
struct HostUnit {
        HashNode node;      /* in the host's map, by name */
        char *name;         /* owned */
        const char *load;   /* LoadState, "" while unknown */
        const char *active; /* ActiveState, "" while unknown */
        const char *sub;    /* SubState, "" while unknown */
        /* Of the file in the units directory; empty when there is none or it cannot be read. */
        char hash[UNIT_HASH_BYTES];
};

/* What the host tells; from the loop only. */
typedef struct HostListener {
        /* A unit appeared, changed its state or its file, or (unit->hash empty and load "")
         * vanished. `unit` is borrowed until this returns. */
        void (*on_unit)(const HostUnit *unit, void *userdata);
        /* The service manager is connected and every unit's state is known (true), or it was lost
         * (false, `why` says how; states stay as last known). After true, on_unit() has been called
         * for each unit. */
        void (*on_ready)(bool is_ready, const char *why, void *userdata);
        void *userdata;
} HostListener;

/* Connect, adopt what is in the units directory, and start telling. May be called once. `listener`
 * is copied. Returns 0 or a negative errno
 * (-ENOMEM, or what creating the units directory gave); a service manager that is not there is not
 * an error: the host keeps trying, with back-off, and tells by on_ready(). */
int host_start(Host *host, const HostListener *listener);

/* Is the service manager connected and the view complete? */
bool host_is_ready(const Host *host);

/* The unit of this name, or NULL; borrowed until the next change is told. */
const HostUnit *host_find(const Host *host, const char *name);

/* All units of the host (fleet's, not the machine's), a map of HostUnit.node. Borrowed. */
const HashMap *host_units(const Host *host);

/* Put a unit in place: write its file (canonical text), link it, enable it when it has [Install],
 * and make sure that the service manager will use this content: a changed file of a loaded unit
 * costs a reload, which all that are pending share; an unknown one costs none. A running unit is
 * not restarted. Ends with HOST_E_LOAD when the service manager refuses the file, with HOST_E_LACK
 * when there is no room for it. Returns 0, -ENOMEM, -ESHUTDOWN. */
int host_load(Host *host, HostRequest *request, const char *name, const char *text, size_t n_bytes,
              HostDone done);

/* Start a unit and end when the job has ended: 0 for done, HOST_E_JOB else, at once when it is
 * active already. A unit that has failed is started anew. Returns as host_load(). */
int host_unit_start(Host *host, HostRequest *request, const char *name, HostDone done);

/* Restart a unit and end when the job has ended: it is stopped to its end, then started. One that
 * does not run is started. Returns as host_load(). */
int host_unit_restart(Host *host, HostRequest *request, const char *name, HostDone done);

/* Stop a unit and end when the job has ended: every ExecStop line has run. At once when it is not
 * running. Returns as host_load(). */
int host_unit_stop(Host *host, HostRequest *request, const char *name, HostDone done);

/* Take a stopped unit away: disable it, forget its failure, remove link and file. Ends with 0 also
 * when nothing was there. Must follow a host_unit_stop() that ended. Returns as host_load(). */
int host_unload(Host *host, HostRequest *request, const char *name, HostDone done);

/* Let Exclusive units run until then (env_now_us()). Afterwards the host stops those that run and
 * starts none, whatever has become of this daemon. To be called with ever later moments. Returns 0
 * or a negative errno, on which the time from before stands. */
int host_guard_until(Host *host, uint64_t until_us);

/* What was set last, by this run of the daemon or an earlier one since the boot; 0 = nothing. */
uint64_t host_guarded_until_us(const Host *host);

/* Give up waiting for a request: its callback runs from the loop with -ECANCELED. What was asked of
 * the service manager is not undone. Does nothing for an idle one or one whose end is on its way.
 */
void host_cancel(HostRequest *request);

/* Is the request in flight? */
bool host_request_is_pending(const HostRequest *request);

/* Why this process is to end, as the service manager has it. */
typedef enum HostEnd {
        HOST_END_UNKNOWN, /* it runs no job on our service, we are none, or it does not answer */
        HOST_END_STOP,    /* our service is stopped */
        HOST_END_RESTART, /* our service is restarted */
} HostEnd;

/* Ask for that, after a signal to end; not while the last one who asked waits. `told` runs from the
 * loop, once, some seconds later at most, unless the host is closed before. */
void host_ask_end(Host *host, void (*told)(HostEnd end, void *userdata), void *userdata);

/* Begin to close: pending requests end with -ECANCELED, nothing is told any more; no unit is
 * touched. Then `closed` runs from the loop, once, and the host may be freed. */
void host_close(Host *host, void (*closed)(Host *host, void *userdata), void *userdata);

/* Free a host that is closed or was never started. Takes NULL; returns NULL. */
Host *host_free(Host *host);
DEFINE_CLEANUP(Host, host_free)
