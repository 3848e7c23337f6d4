/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The presence of this machine in the cluster: its lease, and its record on that lease. Everything
 * that the machine reports hangs on the lease, so whoever reports waits for on_up().
 *
 * A daemon that restarts finds its lease again (its number is kept in a file under the runtime
 * directory, which a reboot clears) and goes on with it: for the others nothing happened. Another
 * machine with the same ID is waited for and named, never pushed aside.
 */

#include <stdint.h>

#include "lib/base/macro.h"
#include "lib/model/record.h"
#include "lib/registry/registry.h"

typedef struct Presence Presence;

/* What a presence tells; from the loop only. */
typedef struct PresenceListener {
        /* This machine is registered, by its record of this revision; what it reports goes on this
           lease. Also told, without on_down() before, when it moves to a lease of another TTL
           (presence_update()). */
        void (*on_up)(int64_t lease, int64_t revision, void *userdata);
        /* It is not any more: the lease ended. A new one is being asked for. */
        void (*on_down)(void *userdata);
        /* The lease was renewed: it cannot have ended for the others before `until_us`
           (env_now_us()); it is for `ttl_us`. Told after on_up(), too. */
        void (*on_kept)(uint64_t until_us, uint64_t ttl_us, void *userdata);
        /* The store is closed: its records are on their way to another one, or from one. A machine
         * that is registered stays so, and nothing lasting may be written; one that is not waits. Told
         * also when it is open again. May be NULL. */
        void (*on_closed)(bool is_closed, void *userdata);
        void *userdata;
} PresenceListener;

/* Who we are. Everything is copied. */
typedef struct PresenceOptions {
        const char *machine;         /* machine ID */
        const MachineRecord *record; /* what the cluster shall know of us */
        uint64_t ttl_us;             /* agent_ttl, rounded up to seconds */
        const char *lease_path;      /* file that keeps the lease's number, or NULL for none */
} PresenceOptions;

/* The lease of an earlier run of this daemon since the machine's boot, from the file that keeps it;
 * 0 = there was none. */
int64_t presence_earlier_lease(const char *path);

/* Make it and start. Returns 0, -ENOMEM, or what encoding the record gave. */
int presence_new(Presence **ret_presence, Registry *registry, const PresenceOptions *options,
                 const PresenceListener *listener);

/* Be known as `record`, which is copied, and by a lease of `ttl_us`, from now on. The machine stays
 * registered meanwhile, and nothing is written when both are as before. The lease of a machine that
 * leaves is kept in no file from then on: should this daemon not get to the end of that, what it has
 * stopped until then is not what the next one takes for done. Returns 0, or -ENOMEM or what encoding
 * the record gave, on which nothing changes. */
int presence_update(Presence *presence, const MachineRecord *record, uint64_t ttl_us);

/* The lease now, 0 while not registered. */
int64_t presence_lease(const Presence *presence);

/* The lease that this daemon holds, as a member of the cluster or not; 0 = none. */
int64_t presence_held_lease(const Presence *presence);

/* Who keeps this machine out of the cluster by having its ID, for people; NULL when nobody does.
 * Borrowed until the loop goes on. */
const char *presence_rival(const Presence *presence);

/* Why the store is closed, for people; NULL while it is open. Borrowed until the loop goes on. */
const char *presence_why_closed(const Presence *presence);

/* Leave the cluster: end the lease, with which the machine's record and all that it reports go at
 * once. `left` runs from the loop, once, when that has an answer, whatever it is: without one the
 * lease runs out. Nothing else is told from now on, as after presence_stop(). */
void presence_leave(Presence *presence, void (*left)(void *userdata), void *userdata);

/* Stop renewing and telling; the lease runs out by itself unless a next run of the daemon finds it.
 * Nothing is called afterwards. */
void presence_stop(Presence *presence);

/* Free it, stopped, after the store has closed. Takes NULL; returns NULL. */
Presence *presence_free(Presence *presence);
DEFINE_CLEANUP(Presence, presence_free)
