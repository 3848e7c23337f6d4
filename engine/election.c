/* SPDX-License-Identifier: Apache-2.0 */

/* The election.
 *
 *        no record, lease held            created
 *   FOLLOWING ---------------> STANDING ----------> LEADING
 *       ^                         |                    |  record gone or another's, lease lost
 *       +-------------------------+--------------------+  resigned: our record is removed first
 *
 * The state is not kept but derived: `fence` says that we lead, `write` in flight that we stand or
 * remove. Every event ends in election_reconsider(), which compares what is with what should be and
 * starts at most one write.
 *
 * A record of ours that is not our fence is from an earlier run of this daemon, or from a creation
 * whose answer never came. It is removed and created anew: the fence of that earlier run must not
 * hold any more, since a transaction of it may still be under way.
 */

#include "engine/election.h"

#include <assert.h>
#include <errno.h>
#include <syslog.h>

#include "lib/base/log.h"

enum {
        /* Candidates wait up to this long, so that they do not all ask at once. */
        ELECTION_SPREAD_US = 30 * US_PER_MS,
        ELECTION_RETRY_US = 300 * US_PER_MS, /* after a failed try */
};

static const RecordKey leader_key = { .kind = RECORD_LEADER };

static void election_reconsider(Election *election);
static void election_remove(Election *election);

static Loop *election_loop(const Election *election) {
        return registry_loop(election->registry);
}

static void election_set_leading(Election *election, int64_t fence) {
        if (election->fence == fence)
                return;

        election->fence = fence;
        election->fn(election, fence > 0);
}

static void election_wait(Election *election, uint64_t least_us, uint64_t spread_us) {
        uint64_t delay_us = least_us +
                            env_random_below(loop_env(election_loop(election)), spread_us);

        timer_set_in(election_loop(election), &election->timer, delay_us);
}

static void on_created(RegistryWrite *write, int status, int64_t revision) {
        Election *election = container_of(write, Election, write);
        /* Unless it has gone since, as was told before. */
        bool is_there = status == 0 && revision >= election->seen;

        if (is_there) {
                election->leader_created = election->seen = revision;
                if (election->lease == election->fence_lease && !election->is_disabled &&
                    !election->is_closing)
                        election_set_leading(election, revision);
        }

        /* Created while we were told to close: nobody leads by it, so it goes at once. */
        if (is_there && election->is_closing) {
                election_remove(election);
                return;
        }

        /* Also after a conflict: the record of who was first is about to be told, and where nobody
         * may lead there is none. */
        if (status != 0 && status != -ECANCELED)
                election_wait(election, ELECTION_RETRY_US, ELECTION_RETRY_US);
        else
                election_reconsider(election);
}

static void on_removed(RegistryWrite *write, int status, int64_t revision) {
        Election *election = container_of(write, Election, write);

        /* What the watch will tell, told at once; a conflict means that the record is another one
         * by now, which the watch tells, too. */
        if (status == 0 && revision > election->seen) {
                election->seen = revision;
                election->leader_created = 0;
        }

        if (status == 0 || election->is_closing)
                election_reconsider(election);
        else
                election_wait(election, ELECTION_RETRY_US, ELECTION_RETRY_US);
}

static void election_create(Election *election) {
        int64_t known = election->seen > election->listed ? election->seen : election->listed;
        LeaderRecord record = { .machine = (char *)election->machine,
                                .epoch = (uint64_t)(registry_base(election->registry) + known) +
                                         1 };

        election->fence_lease = election->lease;
        registry_write_begin(&election->write, election->registry);
        registry_write_if_open(&election->write);
        registry_write_if_absent(&election->write, leader_key);
        registry_write_put_leader(&election->write, &record, election->lease);
        if (registry_write_commit(&election->write, on_created) < 0)
                election_wait(election, ELECTION_RETRY_US, ELECTION_RETRY_US);
}

static void election_remove(Election *election) {
        registry_write_begin(&election->write, election->registry);
        registry_write_if_created_at(&election->write, leader_key, election->leader_created);
        registry_write_delete(&election->write, leader_key);
        if (registry_write_commit(&election->write, on_removed) < 0)
                election_wait(election, ELECTION_RETRY_US, ELECTION_RETRY_US);
}

static bool election_has_stale_record(const Election *election) {
        if (election->leader_created == 0 || election->leader_created == election->fence)
                return false;

        /* A record that does not parse leads nobody, and would keep everybody from leading. */
        return election->is_bad || (election->leader && streq(election->leader, election->machine));
}

static void on_closing(LoopDeferred *deferred) {
        Election *election = container_of(deferred, Election, closing);

        registry_follow_stop(&election->follow);
        timer_clear(&election->timer);
        registry_write_clear(&election->write);
        free(TAKE(election->leader));
        free(TAKE(election->predecessor));
        election->closed(election);
}

static void election_reconsider(Election *election) {
        if (election->fence > 0 && (election->leader_created != election->fence ||
                                    election->lease != election->fence_lease))
                election_set_leading(election, 0);

        if (registry_write_is_pending(&election->write) || timer_is_set(&election->timer))
                return;

        if (election->is_closing) {
                loop_defer(election_loop(election), &election->closing);
                return;
        }

        if (!election->is_synced || election->lease == 0)
                return;

        /* Also where we never stand: a record of an earlier run, on the lease that we keep alive,
         * would keep everybody from leading. */
        if (election_has_stale_record(election))
                election_remove(election);
        else if (election->leader_created == 0 && !election->is_disabled)
                election_wait(election, 0, ELECTION_SPREAD_US);
}

static void on_timer(LoopTimer *timer) {
        Election *election = container_of(timer, Election, timer);

        if (election->is_synced && election->leader_created == 0 && election->lease != 0 &&
            !election->is_disabled && !election->is_closing &&
            !registry_write_is_pending(&election->write))
                election_create(election);
        else
                election_reconsider(election);
}

static void on_reset(RegistryFollow *follow) {
        Election *election = container_of(follow, Election, follow);

        election->is_synced = false;
        election->was_listed = false;
}

static void on_record(RegistryFollow *follow, const Record *record) {
        Election *election = container_of(follow, Election, follow);

        /* Our own write's answer may have come before the watch's, or a list's, older news. */
        if (record->mod_revision < election->seen)
                return;

        election->seen = record->mod_revision;
        election->was_listed = true;
        free(TAKE(election->leader));
        election->leader_created = record->is_deleted ? 0 : record->create_revision;
        election->is_bad = record->is_bad;
        if (!record->is_deleted && !record->is_bad)
                election->leader = strdup(record->leader.machine);
        if (election->leader && !streq(election->leader, election->machine)) {
                free(election->predecessor);
                election->predecessor = strdup(election->leader);
        }
        if (election->is_synced)
                election_reconsider(election);
}

static void on_synced(RegistryFollow *follow, int64_t revision) {
        Election *election = container_of(follow, Election, follow);

        if (!election->was_listed && revision >= election->seen) {
                free(TAKE(election->leader));
                election->leader_created = 0;
                election->seen = revision;
        }
        election->listed = revision;
        election->is_synced = true;
        election_reconsider(election);
}

int election_start(Election *election, Registry *registry, const char *machine, bool is_disabled,
                   ElectionFn fn) {
        static const RegistryFollowFns fns = { .on_reset = on_reset,
                                               .on_record = on_record,
                                               .on_synced = on_synced };
        static const RegistryFollowKey key = { .key = { .kind = RECORD_LEADER } };

        *election = (Election){
                .registry = registry,
                .machine = machine,
                .fn = fn,
                .is_disabled = is_disabled,
                .timer.fn = on_timer,
                .closing.fn = on_closing,
        };
        return registry_follow_start(registry, &election->follow, &key, 1, &fns);
}

void election_set_disabled(Election *election, bool is_disabled) {
        if (election->is_disabled == is_disabled)
                return;

        election->is_disabled = is_disabled;
        if (is_disabled && election->fence > 0)
                election_resign(election);
        else
                election_reconsider(election);
}

void election_set_lease(Election *election, int64_t lease) {
        if (election->lease == lease)
                return;

        election->lease = lease;
        election_reconsider(election);
}

void election_resign(Election *election) {
        election_set_leading(election, 0);
        timer_clear(&election->timer);
        election_reconsider(election);
}

void election_doubt(Election *election) {
        election->is_synced = false;
        registry_follow_restart(&election->follow);
        election_set_leading(election, 0);
}

void election_close(Election *election, void (*closed)(Election *election)) {
        bool is_ours = election->fence > 0;

        assert(!election->is_closing);

        election->is_closing = true;
        election->closed = closed;
        election_set_leading(election, 0);
        timer_clear(&election->timer);
        if (is_ours && !registry_write_is_pending(&election->write))
                election_remove(election);
        if (!registry_write_is_pending(&election->write)) {
                timer_clear(&election->timer);
                election_reconsider(election);
        }
}
