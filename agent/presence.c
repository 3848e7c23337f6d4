/* SPDX-License-Identifier: Apache-2.0 */

/* The presence of this machine.
 *
 *   lease held --> is there a record of our ID?
 *       none                   create it on our lease                    -> UP
 *       on our lease           it is ours, of this run or the one before -> UP
 *       on an earlier one      the TTL was changed: rewrite it on our lease -> UP
 *       ours by its name       this machine booted again, or lost its lease file: likewise -> UP
 *       broken, or on no lease nobody's: likewise -> UP
 *       another's              another machine uses our ID: say so, wait until it goes
 *       the store is closed    its records are being moved: say so, wait until it is open
 *
 * A machine whose agent_ttl changes moves: a lease of the new time is granted while the old one is
 * kept, the record is rewritten on it, and then the listener is told; the old lease runs out.
 *
 * The record is followed, so that its loss is noticed even when keep-alives go on being answered
 * (etcd before 3.4.31 could revoke a lease wrongly). It is written again, on the same lease: if that
 * is still there, somebody has removed the record, and nothing has happened; else this is refused.
 *
 * "Ours by its name" means equal host name and equal address: two machines made from one image
 * share the ID, sometimes the boot ID (containers), but not both of these while both are in one
 * network.
 */

#include "agent/presence.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <syslog.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/registry/follow.h"
#include "lib/registry/lease.h"
#include "lib/registry/write.h"

enum {
        PRESENCE_RETRY_US = 500 * US_PER_MS,
};

struct Presence {
        Registry *registry; /* borrowed */
        Loop *loop;         /* borrowed */
        char *machine;      /* owned */
        char *lease_path;   /* owned, or NULL */
        MachineRecord record;
        char *json; /* owned: the record, encoded */
        PresenceListener listener;
        Lease lease;
        RegistryFollow follow; /* our record */
        RegistryWrite write;
        LoopTimer retry;
        StoreRequest farewell; /* ends the lease */
        LoopDeferred leaving;  /* calls `left` where there is no lease to end */
        void (*left)(void *userdata);
        void *left_userdata;
        int64_t revision;        /* of the record in the store, 0 = there is none */
        int64_t seen;            /* revision of the newest news of it, its absence included */
        int64_t record_lease;    /* that it is on */
        char *why_closed;        /* owned: why the store is closed, or NULL */
        char *other;             /* owned: who holds our ID, for the log, or NULL */
        int64_t adopted;         /* lease of an earlier run of this daemon, or 0 */
        int64_t up_lease;        /* that we are up on, while is_up */
        uint64_t valid_until_us; /* that lease has not ended before, while is_up */
        int64_t moving_from;     /* the lease that we are up on until another has taken its place */
        int64_t sent_lease;      /* that the write in flight registers on */
        int64_t told_revision;   /* of the other's record that was complained of */
        unsigned told_causes;    /* why the lease could not be had, as logged: a bit per STORE_E_*,
                                  the lowest for errors; 0 = it is held and renewed */
        bool is_same;            /* the record in the store says what ours says */
        bool is_outdated;        /* ours has changed since the write in flight was begun */
        bool is_ours;            /* it is this machine's, by its name */
        bool was_listed;
        bool was_closed_listed;
        bool is_set_back; /* the store is behind what it told before */
        bool is_synced;
        bool is_up;
        bool is_stopped;
};

static void presence_reconsider(Presence *presence);

/* The lease's number between runs */

int64_t presence_earlier_lease(const char *path) {
        char text[32] = "";
        int64_t lease = 0;
        ssize_t n;
        int fd;

        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return 0;

        n = read(fd, text, sizeof(text) - 1);
        (void)close(fd);
        if (n <= 0 || sscanf(text, "%" SCNx64, (uint64_t *)&lease) != 1 || lease <= 0)
                return 0;
        return lease;
}

static void lease_file_write(const char *path, int64_t lease) {
        char text[32], temporary[4096];
        int n, fd, r = 0;
        ssize_t n_written = -1;

        n = snprintf(temporary, sizeof(temporary), "%s.new", path);
        if (n < 0 || (size_t)n >= sizeof(temporary))
                return;

        n = snprintf(text, sizeof(text), "%" PRIx64 "\n", (uint64_t)lease);
        fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd >= 0)
                n_written = write(fd, text, (size_t)n);
        if (n_written != n)
                r = n_written < 0 ? -errno : -ENOSPC;
        if (fd >= 0)
                (void)close(fd);
        if (r == 0 && rename(temporary, path) < 0)
                r = -errno;
        if (r < 0)
                log_line(LOG_WARNING,
                         "Cannot keep the lease in %s: %s; after a restart this machine will take "
                         "a moment longer to rejoin",
                         path, strerror(-r));
}

/* Up and down */

/* The lease that is held is the one that we are up on: until when that is for sure. */
static void presence_set_valid(Presence *presence) {
        presence->valid_until_us = presence->lease.valid_until_us;
        presence->listener.on_kept(presence->valid_until_us,
                                   (uint64_t)presence->lease.ttl_s * US_PER_S,
                                   presence->listener.userdata);
}

/* Up on the lease that is held; from nothing, or from another lease. */
static void presence_set_up(Presence *presence) {
        LogSubject subject = { .machine = presence->machine };
        int64_t lease = presence->lease.id;

        if (presence->is_up && presence->up_lease == lease)
                return;

        log_about(LOG_INFO, &subject,
                  presence->is_up ? "This machine stays a member of the cluster as %s, on a lease "
                                    "of another time"
                                  : "This machine is a member of the cluster as %s",
                  presence->machine);
        presence->is_up = true;
        presence->up_lease = lease;
        presence->moving_from = 0;
        if (presence->lease_path && !presence->record.is_leaving)
                lease_file_write(presence->lease_path, lease);
        presence->listener.on_up(lease, presence->revision, presence->listener.userdata);
        presence_set_valid(presence);
}

static void presence_set_down(Presence *presence, const char *why) {
        LogSubject subject = { .machine = presence->machine };

        presence->is_up = false;
        presence->moving_from = 0;
        log_about(LOG_WARNING, &subject,
                  "This machine is not a member of the cluster any more: %s. Its units keep "
                  "running, but for Exclusive ones",
                  why);
        presence->listener.on_down(presence->listener.userdata);
}

static void presence_retry_later(Presence *presence) {
        timer_set_in(presence->loop, &presence->retry,
                     PRESENCE_RETRY_US +
                             env_random_below(loop_env(presence->loop), PRESENCE_RETRY_US / 2));
}

static void on_retry(LoopTimer *timer) {
        presence_reconsider(container_of(timer, Presence, retry));
}

/* What has become of the record since may have been told before the answer. */
static void presence_on_written(Presence *presence, int64_t revision) {
        if (revision >= presence->seen) {
                presence->revision = presence->seen = revision;
                presence->record_lease = presence->sent_lease;
                presence->is_same = !presence->is_outdated;
                presence->is_ours = true;
        }
        presence_reconsider(presence);
}

static void on_registered(RegistryWrite *write, int status, int64_t revision) {
        Presence *presence = container_of(write, Presence, write);

        if (presence->is_stopped)
                return;

        switch (status) {
        case 0:
                presence_on_written(presence, revision);
                return;
        case REGISTRY_E_NO_LEASE:
                presence->moving_from = 0;
                lease_renounce(&presence->lease);
                presence_reconsider(presence);
                return;
        case REGISTRY_E_CONFLICT:
        case REGISTRY_E_UNKNOWN:
                registry_follow_restart(&presence->follow);
                presence->is_synced = false;
                return;
        default:
                log_line(LOG_WARNING, "Cannot register this machine, trying again: %s",
                         registry_outcome_to_string(status));
                presence_retry_later(presence);
        }
}

static void presence_register(Presence *presence) {
        RecordKey key = { .kind = RECORD_MACHINE, .machine = presence->machine };

        presence->sent_lease = presence->lease.id;
        presence->is_outdated = false;
        registry_write_begin(&presence->write, presence->registry);
        registry_write_if_open(&presence->write);
        registry_write_if_modified_at(&presence->write, key, presence->revision);
        registry_write_put_machine(&presence->write, presence->machine, &presence->record,
                                   presence->lease.id);
        if (registry_write_commit(&presence->write, on_registered) < 0)
                presence_retry_later(presence);
}

static void presence_complain(Presence *presence) {
        LogSubject subject = { .machine = presence->machine };

        if (presence->told_revision == presence->revision)
                return;

        presence->told_revision = presence->revision;
        log_about(LOG_ERR, &subject,
                  "Another machine, %s, is in the cluster with this machine's ID %s: this one "
                  "(host name %s, address %s) stays out until it is gone. "
                  "If both were made from one image, give this one an ID of its own: rm "
                  "/etc/machine-id && systemd-machine-id-setup, and reboot",
                  presence->other ? presence->other : "(unknown)", presence->machine,
                  presence->record.hostname ? presence->record.hostname : "-",
                  presence->record.address ? presence->record.address : "-");
}

/* Is it still there, on the lease that it is up on? That is the one held now, or the one that this
 * takes the place of. */
static bool presence_is_still_up(const Presence *presence, int64_t lease) {
        bool is_there = presence->revision > 0 && presence->record_lease == presence->up_lease;
        bool is_valid = env_now_us(loop_env(presence->loop)) < presence->valid_until_us;

        if (lease == 0 ||
            (presence->up_lease != lease && presence->up_lease != presence->moving_from))
                return false;

        /* Registered on the new lease: about to be told. */
        is_there |= presence->revision > 0 && presence->record_lease == lease;
        if (is_there || !presence->is_synced)
                return true;

        /* The lease cannot have run out: somebody has removed or overwritten the record, which is
         * written again. If the lease was ended nevertheless, the store refuses that. */
        return is_valid && (presence->revision == 0 || presence->is_ours);
}

/* Is the record in the store another machine's, so that this one must stay out? */
static bool presence_is_kept_out(const Presence *presence) {
        bool is_registered = presence->revision > 0 && presence->lease.id != 0 &&
                             presence->record_lease == presence->lease.id;

        return presence->revision > 0 && !is_registered && !presence->is_ours && !presence->is_up;
}

/* Compares what is with what should be, and starts at most one write. */
static void presence_reconsider(Presence *presence) {
        int64_t lease = presence->lease.is_proven ? presence->lease.id : 0;
        bool is_registered = presence->revision > 0 && presence->record_lease == lease &&
                             lease != 0;

        if (presence->is_up && !presence_is_still_up(presence, lease))
                presence_set_down(presence, "its lease has ended");

        if (lease == 0 || !presence->is_synced || presence->why_closed ||
            registry_write_is_pending(&presence->write) || timer_is_set(&presence->retry))
                return;

        if (presence_is_kept_out(presence))
                presence_complain(presence);
        else if (!is_registered || !presence->is_same)
                presence_register(presence);
        else
                presence_set_up(presence);
}

/* The lease */

/* Tries go on every second or so: each cause is logged once, and then that it is over. That the
 * store is out of reach is logged by whoever watches the connection. */
static void presence_note_failure(Presence *presence, int status) {
        unsigned cause = 1U << (status > 0 ? status : 0);

        if (presence->told_causes & cause)
                return;

        presence->told_causes |= cause;
        log_line(status == STORE_E_UNREACHABLE ? LOG_DEBUG : LOG_WARNING,
                 "Cannot get or renew a lease, still trying: %s", store_outcome_to_string(status));
}

static void presence_note_success(Presence *presence) {
        if (presence->told_causes == 0)
                return;

        log_line(presence->told_causes == 1U << STORE_E_UNREACHABLE ? LOG_DEBUG : LOG_NOTICE,
                 "The lease is held and renewed again");
        presence->told_causes = 0;
}

static void on_lease(Lease *lease, LeaseEvent event) {
        Presence *presence = container_of(lease, Presence, lease);

        registry_note_revision(presence->registry, lease->revision);
        switch (event) {
        case LEASE_HELD:
                presence_note_success(presence);
                presence_reconsider(presence);
                break;
        case LEASE_LOST:
                presence_reconsider(presence);
                break;
        case LEASE_FAILED:
                presence_note_failure(presence, lease->status);
                break;
        case LEASE_KEPT:
                if (!lease->is_changing)
                        presence_note_success(presence);
                if (presence->is_up && presence->up_lease == lease->id)
                        presence_set_valid(presence);
                break;
        }
}

/* The record */

static void presence_set_other(Presence *presence, const MachineRecord *record) {
        free(TAKE(presence->other));
        if (asprintf(&presence->other, "host name %s, address %s",
                     record->hostname ? record->hostname : "-",
                     record->address ? record->address : "-") < 0)
                presence->other = NULL;
}

static bool same_text(const char *a, const char *b) {
        return a && b && streq(a, b);
}

/* `why` is NULL when the store is open. Each change is told once. */
static void presence_set_closed(Presence *presence, const char *why) {
        LogSubject subject = { .machine = presence->machine };
        bool was_closed = presence->why_closed;

        if (!was_closed && !why)
                return;

        free(TAKE(presence->why_closed));
        if (why) {
                /* Without memory for the reason it is closed all the same. */
                presence->why_closed = strdup(why);
                if (!presence->why_closed) {
                        registry_follow_restart(&presence->follow);
                        return;
                }
        }
        if (was_closed == (why != NULL))
                return;

        if (why)
                log_about(LOG_WARNING, &subject,
                          "The store is closed: %s. Units keep running, and nothing can be changed "
                          "until it is open again",
                          why);
        else
                log_about(LOG_NOTICE, &subject, "The store is open again");
        if (presence->listener.on_closed)
                presence->listener.on_closed(why != NULL, presence->listener.userdata);
}

static void presence_on_closed_record(Presence *presence, const Record *record) {
        presence->was_closed_listed = !record->is_deleted;
        presence_set_closed(presence, record->is_deleted ? NULL
                                      : record->is_bad   ? "nobody can read why"
                                                         : record->closed.why);
        if (presence->is_synced)
                presence_reconsider(presence);
}

static void on_reset(RegistryFollow *follow) {
        Presence *presence = container_of(follow, Presence, follow);

        presence->is_synced = presence->was_listed = presence->was_closed_listed = false;
}

static void presence_on_machine_record(Presence *presence, const Record *record) {
        /* The answer to our own write may have come before the watch's older news. */
        if (record->mod_revision < presence->seen)
                return;

        presence->seen = record->mod_revision;
        presence->was_listed = true;
        presence->revision = record->is_deleted ? 0 : record->mod_revision;
        presence->record_lease = record->lease;
        presence->is_same = record->n_text_bytes == strlen(presence->json) &&
                            memcmp(record->text, presence->json, record->n_text_bytes) == 0;
        presence->is_ours = record->is_deleted || record->is_bad || record->lease == 0 ||
                            (presence->adopted != 0 && record->lease == presence->adopted) ||
                            (same_text(record->machine.hostname, presence->record.hostname) &&
                             same_text(record->machine.address, presence->record.address));
        if (!record->is_deleted && !record->is_bad)
                presence_set_other(presence, &record->machine);
        if (presence->is_synced)
                presence_reconsider(presence);
}

static void on_record(RegistryFollow *follow, const Record *record) {
        Presence *presence = container_of(follow, Presence, follow);

        if (record->key.kind == RECORD_CLOSED)
                presence_on_closed_record(presence, record);
        else if (record->key.kind == RECORD_MACHINE)
                presence_on_machine_record(presence, record);
        else if (!record->is_bad)
                registry_set_base(presence->registry, (int64_t)record->origin.revision);
}

static void on_synced(RegistryFollow *follow, int64_t revision) {
        Presence *presence = container_of(follow, Presence, follow);

        if (!presence->was_closed_listed)
                presence_set_closed(presence, NULL);
        presence->is_set_back = false;
        if (!presence->was_listed && revision >= presence->seen) {
                presence->revision = 0;
                presence->seen = revision;
        }
        presence->is_synced = true;
        presence_reconsider(presence);
}

/* To go on with the store as it is would stop every unit that it does not know, so that is left to
 * whoever restarts us. */
static void on_set_back(RegistryFollow *follow, int64_t revision, int64_t seen) {
        Presence *presence = container_of(follow, Presence, follow);
        LogSubject subject = { .machine = presence->machine };

        if (presence->is_set_back)
                return;

        presence->is_set_back = true;
        log_about(LOG_ERR, &subject,
                  "etcd was emptied or restored: it is at revision %lld and was at %lld. "
                  "This machine stays out and its units keep running; units that etcd does "
                  "not know any more are stopped when fleet is restarted here",
                  (long long)revision, (long long)seen);
        if (presence->is_up)
                presence_set_down(presence, "etcd is not what it was");
}

/* The outside */

static char *copy_text(const char *text, int *r) {
        char *copy = text ? strdup(text) : NULL;

        if (text && !copy)
                *r = -ENOMEM;
        return copy;
}

/* On error nothing changes. */
static int presence_set_record(Presence *presence, const MachineRecord *record) {
        _cleanup_(machine_record_done) MachineRecord copy = { .is_leaving = record->is_leaving };
        char *json;
        int r = 0;

        copy.address = copy_text(record->address, &r);
        copy.hostname = copy_text(record->hostname, &r);
        copy.version = copy_text(record->version, &r);
        copy.boot_id = copy_text(record->boot_id, &r);
        if (r == 0)
                r = metadata_copy(&record->metadata, &copy.metadata);
        if (r == 0)
                r = machine_record_encode(&copy, &json);
        if (r < 0)
                return r;

        machine_record_done(&presence->record);
        free(presence->json);
        presence->record = copy;
        presence->json = json;
        copy = (MachineRecord){ 0 };
        return 0;
}

static int presence_copy(Presence *presence, const PresenceOptions *options) {
        int r = 0;

        presence->machine = copy_text(options->machine, &r);
        presence->lease_path = copy_text(options->lease_path, &r);
        return r < 0 ? r : presence_set_record(presence, options->record);
}

static int64_t ttl_seconds(uint64_t ttl_us) {
        return (int64_t)((ttl_us + US_PER_S - 1) / US_PER_S);
}

static void on_leaving(LoopDeferred *deferred) {
        Presence *presence = container_of(deferred, Presence, leaving);

        presence->left(presence->left_userdata);
}

int presence_new(Presence **ret_presence, Registry *registry, const PresenceOptions *options,
                 const PresenceListener *listener) {
        static const RegistryFollowFns fns = { .on_reset = on_reset,
                                               .on_record = on_record,
                                               .on_synced = on_synced,
                                               .on_set_back = on_set_back };
        _cleanup_(presence_freep) Presence *presence = calloc(1, sizeof(*presence));
        const RegistryFollowKey keys[] = {
                { .key = { .kind = RECORD_MACHINE, .machine = options->machine } },
                { .key = { .kind = RECORD_CLOSED } },
                /* Written before the store was opened. */
                { .key = { .kind = RECORD_ORIGIN }, .is_list_only = true },
        };
        int r;

        if (!presence)
                return -ENOMEM;

        presence->registry = registry;
        presence->loop = registry_loop(registry);
        presence->listener = *listener;
        presence->retry.fn = on_retry;
        presence->leaving.fn = on_leaving;
        r = presence_copy(presence, options);
        if (r < 0)
                return r;

        if (presence->lease_path)
                presence->adopted = presence_earlier_lease(presence->lease_path);
        r = registry_follow_start(registry, &presence->follow, keys, ELEMENTSOF(keys), &fns);
        if (r < 0)
                return r;
        lease_start(&presence->lease, registry_store(registry), presence->loop,
                    ttl_seconds(options->ttl_us), presence->adopted, on_lease);
        *ret_presence = TAKE(presence);
        return 0;
}

int presence_update(Presence *presence, const MachineRecord *record, uint64_t ttl_us) {
        _cleanup_(freep) char *before = strdup(presence->json);
        int r;

        if (!before)
                return -ENOMEM;

        r = presence_set_record(presence, record);
        if (r < 0)
                return r;

        if (presence->lease.wanted_ttl_s != ttl_seconds(ttl_us)) {
                presence->moving_from = presence->is_up ? presence->up_lease : 0;
                lease_set_ttl(&presence->lease, ttl_seconds(ttl_us));
        }
        if (presence->lease_path && record->is_leaving)
                (void)unlink(presence->lease_path);
        if (!streq(before, presence->json)) {
                presence->is_same = false;
                presence->is_outdated = true;
                presence_reconsider(presence);
        }
        return 0;
}

int64_t presence_lease(const Presence *presence) {
        return presence->is_up ? presence->up_lease : 0;
}

int64_t presence_held_lease(const Presence *presence) {
        return presence->lease.is_proven ? presence->lease.id : 0;
}

const char *presence_rival(const Presence *presence) {
        if (!presence->is_synced || !presence_is_kept_out(presence))
                return NULL;
        return presence->other ? presence->other : "(unknown)";
}

const char *presence_why_closed(const Presence *presence) {
        return presence->why_closed;
}

void presence_stop(Presence *presence) {
        presence->is_stopped = true;
        timer_clear(&presence->retry);
        lease_stop(&presence->lease);
        registry_follow_stop(&presence->follow);
        registry_write_cancel(&presence->write);
}

static void on_revoked(StoreRequest *request, int status, const StoreReply *reply) {
        Presence *presence = container_of(request, Presence, farewell);

        (void)reply;
        if (status == 0 && presence->lease_path)
                (void)unlink(presence->lease_path);
        if (status != 0 && status != STORE_E_NO_LEASE)
                log_line(LOG_WARNING,
                         "Cannot end the lease of this machine: %s; it runs out by itself",
                         store_outcome_to_string(status));
        presence->left(presence->left_userdata);
}

void presence_leave(Presence *presence, void (*left)(void *userdata), void *userdata) {
        int64_t lease = presence->lease.id;

        presence_stop(presence);
        presence->left = left;
        presence->left_userdata = userdata;
        if (lease == 0 ||
            store_lease_revoke(registry_store(presence->registry), &presence->farewell, lease,
                               STORE_CALL_TIMEOUT_US, on_revoked) < 0)
                loop_defer(presence->loop, &presence->leaving);
}

Presence *presence_free(Presence *presence) {
        if (!presence)
                return NULL;

        registry_write_clear(&presence->write);
        machine_record_done(&presence->record);
        free(presence->json);
        free(presence->why_closed);
        free(presence->other);
        free(presence->machine);
        free(presence->lease_path);
        free(presence);
        return NULL;
}
