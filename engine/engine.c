/* SPDX-License-Identifier: Apache-2.0 */

/* The engine: from leading to a view, from the view to commits.
 *
 *   LEADING --follow--> view complete --> plan what is dirty --> commit the differences --> ...
 *
 * Records that arrive only mark units dirty. Once a turn, when no commit is in flight, the dirty
 * ones are planned and the next transaction is filled: what happens during a commit is gathered for
 * the next. One transaction is in flight at a time.
 *
 * When a commit does not end well the view does not know what the store has:
 *
 *   refused (conflict)  we are deposed, though the watch may not have said so yet: stop leading,
 *                       and look who leads
 *   unreachable, full   nothing was written: read again, after a while
 *   unknown             it may be written yet: resign first, so that our fence falls and a late
 *                       copy is refused; then lead anew
 *
 * Only this engine writes schedule and placement records, so they are listed and not followed: of
 * their changes only the revisions are looked at. One that is none of our commits' was made by a
 * person, or by a program that should not, and has everything read again.
 * Everything is read again now and then, against what a watch may have missed (etcd before 3.4.36).
 */

#include "engine/engine.h"

#include <assert.h>
#include <errno.h>
#include <syslog.h>

#include "engine/brake.h"
#include "engine/cluster.h"
#include "engine/commit.h"
#include "engine/election.h"
#include "engine/gone.h"
#include "engine/holds.h"
#include "engine/left.h"
#include "engine/placement.h"
#include "lib/base/log.h"
#include "lib/registry/own-writes.h"

enum {
        ENGINE_RELIST_US = 600 * US_PER_S,    /* read everything again */
        ENGINE_SWEEP_US = 60 * US_PER_S,      /* look for what is left over */
        ENGINE_FILE_GRACE_US = 60 * US_PER_S, /* an unused file is kept for so long */
        ENGINE_MEND_US = US_PER_S,            /* after others changed what is ours */
        ENGINE_FRESH_US = US_PER_S, /* a list that took longer is waited with for as long */
        ENGINE_CATCH_UP_MAX_US = 5 * US_PER_S,
        ENGINE_RETRY_US = US_PER_S, /* after a commit that the store did not take */
};

struct Engine {
        Registry *registry; /* borrowed */
        Loop *loop;         /* borrowed */
        char *machine;      /* owned */
        Election election;
        Cluster cluster;
        Holds holds; /* of Exclusive units */
        Brake brake;
        Gone gone;
        RegistryFollow follow; /* the whole view, while leading */
        RegistryWrite commit;
        LeftCheck left;
        LoopHook hook; /* plans once a turn */
        LoopTimer relist;
        LoopTimer sweep;
        LoopTimer retry;    /* set: read again then */
        LoopTimer catch_up; /* set: the list is complete, and was long under way */
        LoopTimer mend;     /* set: others changed what is ours: read again then */
        OwnWrites own;      /* commits, to notice what others do to rows and placements */
        LoopDeferred closing;
        LoopDeferred more; /* queued: there is more to plan in the next turn */
        EngineStats stats;
        CommitCounts in_flight; /* what the commit changes */
        bool is_synced;         /* the view is complete */
        bool is_tainted; /* a commit was in flight when the list began: it may or may not be in it
                          */
        bool is_brake_in_flight; /* the commit tells of the brake */
        bool is_election_closed;
        void (*closed)(Engine *engine, void *userdata);
        void *closed_userdata;
};

static const RecordKey leader_key = { .kind = RECORD_LEADER };

/* Builds the view anew. */
static void engine_read_again(Engine *engine) {
        engine->is_synced = false;
        if (engine->follow.registry)
                registry_follow_restart(&engine->follow);
}

static void on_retry(LoopTimer *timer) {
        engine_read_again(container_of(timer, Engine, retry));
}

static void engine_read_again_later(Engine *engine) {
        uint64_t jitter_us = env_random_below(loop_env(engine->loop), ENGINE_RETRY_US / 2);

        engine->is_synced = false;
        timer_set_in(engine->loop, &engine->retry, ENGINE_RETRY_US + jitter_us);
}

/* What others did is gathered for a while, so that whoever goes on and on costs a list now and then.
 */
static void engine_mend_later(Engine *engine) {
        if (engine->election.fence == 0 || timer_is_set(&engine->mend))
                return;

        log_line(LOG_NOTICE, "Rows or placements were changed by others than the leader: reading "
                             "everything again, and repairing what differs");
        timer_set_in(engine->loop, &engine->mend, ENGINE_MEND_US);
}

static void engine_maybe_closed(Engine *engine) {
        if (engine->is_election_closed && !registry_write_is_pending(&engine->commit) &&
            !left_is_busy(&engine->left) && !holds_is_busy(&engine->holds) &&
            !brake_is_pending(&engine->brake))
                loop_defer(engine->loop, &engine->closing);
}

static void on_left_read_ended(LeftCheck *check) {
        engine_maybe_closed(container_of(check, Engine, left));
}

static void on_closing(LoopDeferred *deferred) {
        Engine *engine = container_of(deferred, Engine, closing);

        engine->closed(engine, engine->closed_userdata);
}

static void on_holds_idle(Holds *holds) {
        engine_maybe_closed(container_of(holds, Engine, holds));
}

static void on_pulse_ended(Brake *brake) {
        engine_maybe_closed(container_of(brake, Engine, brake));
}

/* Commits */

static void on_committed(RegistryWrite *write, int status, int64_t revision) {
        Engine *engine = container_of(write, Engine, commit);

        engine_maybe_closed(engine);
        if (own_writes_ended(&engine->own, revision))
                engine_mend_later(engine);
        if (status != 0 && engine->is_brake_in_flight)
                brake_unwritten(&engine->brake);
        engine->is_brake_in_flight = false;
        if (status == 0 && engine->is_tainted && engine->election.fence > 0)
                engine_read_again(engine);
        if (status == 0 || status == -ECANCELED)
                return;

        engine->stats.n_commits_failed++;
        engine->stats.n_scheduled_failed += engine->in_flight.n_rows_put;
        engine->stats.n_unscheduled_failed += engine->in_flight.n_rows_deleted;
        log_line(LOG_NOTICE, "Cannot commit the schedule: %s", registry_outcome_to_string(status));
        if (engine->election.fence == 0)
                return;
        switch (status) {
        case REGISTRY_E_UNKNOWN:
                election_resign(&engine->election);
                break;
        case REGISTRY_E_CONFLICT:
                election_doubt(&engine->election);
                break;
        default:
                engine_read_again_later(engine);
        }
}

static void engine_commit(Engine *engine) {
        CommitCounts *counts = &engine->in_flight;
        int r;

        registry_write_begin(&engine->commit, engine->registry);
        registry_write_if_created_at(&engine->commit, leader_key, engine->election.fence);
        r = commit_fill(&engine->cluster, &engine->commit, counts);
        if (r == 0 && registry_write_is_empty(&engine->commit))
                return;
        if (r == 0)
                r = registry_write_commit(&engine->commit, on_committed);
        if (r < 0) {
                log_line(LOG_ERR, "Cannot commit the schedule: %s", strerror(-r));
                engine_read_again_later(engine);
                return;
        }

        engine->stats.n_commits++;
        engine->stats.n_scheduled += counts->n_rows_put;
        engine->stats.n_unscheduled += counts->n_rows_deleted;
        engine->stats.n_explained += counts->n_explained;
}

/* Writes what the brake has to tell. */
static void engine_commit_brake(Engine *engine) {
        engine->in_flight = (CommitCounts){ 0 };
        registry_write_begin(&engine->commit, engine->registry);
        registry_write_if_created_at(&engine->commit, leader_key, engine->election.fence);
        brake_fill(&engine->brake, &engine->cluster, &engine->commit);
        engine->is_brake_in_flight = registry_write_commit(&engine->commit, on_committed) == 0;
        if (engine->is_brake_in_flight)
                engine->stats.n_commits++;
        else
                engine_read_again_later(engine);
}

/* Plans a round. What it leaves comes when the commit has ended, or else in the next turn. */
static void engine_plan(Engine *engine) {
        int r;

        engine->stats.n_plans++;
        r = placement_plan(&engine->cluster);
        if (r < 0) {
                engine->stats.n_plans_failed++;
                log_line(LOG_ERR, "Cannot plan: %s", strerror(-r));
        } else if (!list_is_empty(&engine->cluster.dirty))
                loop_defer(engine->loop, &engine->more);
}

/* The turn is all that it is about. */
static void on_more(LoopDeferred *deferred) {
        (void)deferred;
}

/* Runs before every wait. */
static void on_turn(LoopHook *hook) {
        Engine *engine = container_of(hook, Engine, hook);
        Env *env = loop_env(engine->loop);
        uint64_t begin_us;
        bool plans;

        if (!engine->is_synced || engine->election.fence == 0)
                return;
        holds_turn(&engine->holds);
        if (registry_write_is_pending(&engine->commit))
                return;

        brake_turn(&engine->brake, &engine->cluster);
        plans = !list_is_empty(&engine->cluster.dirty);
        begin_us = env_now_us(env);
        if (plans)
                engine_plan(engine);
        if (!list_is_empty(&engine->cluster.uncommitted))
                engine_commit(engine);
        else
                left_turn(&engine->left);
        if (plans)
                metrics_observe(&engine->stats.plans, env_now_us(env) - begin_us);
        if (!registry_write_is_pending(&engine->commit) &&
            brake_has_news(&engine->brake, &engine->cluster))
                engine_commit_brake(engine);
}

/* Sweeping */

/* Then nobody can tell which files are in use. */
static bool engine_has_bad_unit(const Engine *engine) {
        for (HashNode *node = hash_map_first(&engine->cluster.units); node;
             node = hash_map_next(&engine->cluster.units, node))
                if (container_of(node, ClusterUnit, node)->is_bad)
                        return true;
        return false;
}

/* Does a row refer to the file? */
static bool file_has_rows(const Engine *engine, const ClusterFile *file) {
        for (HashNode *node = hash_map_first(&engine->cluster.units); node;
             node = hash_map_next(&engine->cluster.units, node)) {
                const ClusterUnit *unit = container_of(node, ClusterUnit, node);

                for (ListNode *r = list_first(&unit->rows); r; r = list_next(&unit->rows, r))
                        if (streq(container_of(r, ClusterRow, unit_node)->stored.file, file->hash))
                                return true;
        }
        return false;
}

static void on_file_removed(RegistryWrite *write, int status, int64_t revision) {
        /* Written again meanwhile: it stays, and the watch tells. */
        on_committed(write, status == REGISTRY_E_CONFLICT ? -ECANCELED : status, revision);
}

static void engine_remove_file(Engine *engine, ClusterFile *file) {
        RecordKey key = { .kind = RECORD_FILE, .unit = file->hash };

        engine->in_flight = (CommitCounts){ 0 };
        registry_write_begin(&engine->commit, engine->registry);
        registry_write_if_created_at(&engine->commit, leader_key, engine->election.fence);
        registry_write_if_modified_at(&engine->commit, key, file->mod_revision);
        registry_write_delete(&engine->commit, key);
        if (registry_write_commit(&engine->commit, on_file_removed) == 0)
                engine->stats.n_commits++;
}

/* Removes one file that nothing has referred to for a while; one written again meanwhile stays, by
 * the comparison of its revision. Was there one? */
static bool sweep_files(Engine *engine, uint64_t now_us) {
        if (engine_has_bad_unit(engine))
                return false;

        for (HashNode *node = hash_map_first(&engine->cluster.files); node;
             node = hash_map_next(&engine->cluster.files, node)) {
                ClusterFile *file = container_of(node, ClusterFile, node);

                if (file->mod_revision == 0 || registry_write_is_pending(&engine->commit) ||
                    !list_is_empty(&file->units))
                        continue;
                if (file->unused_since_us == 0)
                        file->unused_since_us = now_us;
                else if (now_us - file->unused_since_us >= ENGINE_FILE_GRACE_US &&
                         !file_has_rows(engine, file)) {
                        engine_remove_file(engine, file);
                        return true;
                }
        }
        return false;
}

/* What nobody else would ever remove. */
static void on_sweep(LoopTimer *timer) {
        Engine *engine = container_of(timer, Engine, sweep);
        uint64_t now_us = loop_now_us(engine->loop);
        bool has_more = false;

        if (engine->is_synced) {
                has_more = sweep_files(engine, now_us);
                gone_look(&engine->gone, &engine->cluster, now_us);
        }
        timer_set_in(engine->loop, &engine->sweep, has_more ? US_PER_S : ENGINE_SWEEP_US);
}

/* The view */

static void on_reset(RegistryFollow *follow) {
        Engine *engine = container_of(follow, Engine, follow);

        timer_clear(&engine->catch_up);
        engine->is_synced = false;
        engine->is_tainted = registry_write_is_pending(&engine->commit);
        cluster_done(&engine->cluster);
        holds_reset(&engine->holds);
        brake_on_reset(&engine->brake);
}

/* Tells of a machine that goes, before the view knows it. */
static void engine_note_machine(Engine *engine, const Record *record) {
        LogSubject subject = { .machine = record->key.machine };
        bool was_leaving = cluster_is_leaving(&engine->cluster, record->key.machine);

        if (record->is_deleted && was_leaving)
                log_about(LOG_NOTICE, &subject, "Machine %.8s has left", record->key.machine);
        else if (record->is_deleted) {
                engine->stats.n_machines_lost++;
                log_about(LOG_NOTICE, &subject, "Machine %.8s is not there any more",
                          record->key.machine);
        } else if (!record->is_bad && record->machine.is_leaving && !was_leaving)
                log_about(LOG_NOTICE, &subject, "Machine %.8s leaves; its units move",
                          record->key.machine);
}

static void on_record(RegistryFollow *follow, const Record *record) {
        Engine *engine = container_of(follow, Engine, follow);
        int r;

        if (engine->is_synced && record->key.kind == RECORD_MACHINE)
                engine_note_machine(engine, record);

        r = cluster_apply(&engine->cluster, record);
        if (r == 0)
                r = holds_apply(&engine->holds, record);
        if (r == 0)
                r = brake_on_record(&engine->brake, record);
        if (r < 0) {
                log_line(LOG_ERR, "Cannot keep the view of the cluster: %s", strerror(-r));
                engine_read_again(engine);
        }
}

/* The view is what the store has. */
static void engine_believe(Engine *engine) {
        engine->is_synced = true;
        engine->cluster.is_settled = true;
        holds_synced(&engine->holds);
        cluster_mark_all_dirty(&engine->cluster);
        if (brake_on_synced(&engine->brake, &engine->cluster) < 0)
                engine_read_again_later(engine);
}

static void on_catch_up(LoopTimer *timer) {
        engine_believe(container_of(timer, Engine, catch_up));
}

/* A list is as of its first page. What has happened since comes by the watches, a moment later; to
 * plan before that would take units from machines that have come back meanwhile. */
static void on_synced(RegistryFollow *follow, int64_t revision) {
        Engine *engine = container_of(follow, Engine, follow);
        const uint64_t age_us = loop_now_us(engine->loop) - follow->read_us;

        /* Read again when the commit has ended; on_committed() sees to it where that is still to
         * come. */
        if (engine->is_tainted) {
                if (!registry_write_is_pending(&engine->commit))
                        engine_read_again(engine);
                return;
        }

        log_line(LOG_DEBUG, "View of the cluster complete at revision %lld", (long long)revision);
        if (age_us > ENGINE_FRESH_US)
                timer_set_in(engine->loop, &engine->catch_up,
                             age_us < ENGINE_CATCH_UP_MAX_US ? age_us : ENGINE_CATCH_UP_MAX_US);
        else
                engine_believe(engine);
}

static void on_noticed(RegistryFollow *follow, int64_t revision) {
        Engine *engine = container_of(follow, Engine, follow);

        if (own_writes_told(&engine->own, revision, registry_write_is_pending(&engine->commit)))
                engine_mend_later(engine);
}

static void on_mend(LoopTimer *timer) {
        Engine *engine = container_of(timer, Engine, mend);

        /* A commit in flight would not be in the list. */
        if (registry_write_is_pending(&engine->commit))
                timer_set_in(engine->loop, &engine->mend, ENGINE_MEND_US);
        else
                engine_read_again(engine);
}

static void on_relist(LoopTimer *timer) {
        Engine *engine = container_of(timer, Engine, relist);

        /* A commit in flight would not be in the list. */
        if (!registry_write_is_pending(&engine->commit))
                engine_read_again(engine);
        timer_set_in(engine->loop, &engine->relist, ENGINE_RELIST_US);
}

/* Leading */

static void engine_begin(Engine *engine) {
        static const RegistryFollowFns fns = { .on_reset = on_reset,
                                               .on_record = on_record,
                                               .on_noticed = on_noticed,
                                               .on_synced = on_synced };
        static const RegistryFollowKey keys[] = {
                { .key = { .kind = RECORD_BRAKE }, .is_list_only = true },
                { .key = { .kind = RECORD_EVICT } },
                { .key = { .kind = RECORD_FILE } },
                { .key = { .kind = RECORD_HOLD } },
                { .key = { .kind = RECORD_MACHINE } },
                { .key = { .kind = RECORD_METADATA } },
                { .key = { .kind = RECORD_PLACEMENT }, .is_noticed = true },
                { .key = { .kind = RECORD_SCHEDULE }, .is_noticed = true },
                { .key = { .kind = RECORD_UNIT } },
        };
        int r;

        log_line(LOG_NOTICE, "This machine leads the cluster");
        holds_begin(&engine->holds, engine->election.fence);
        brake_begin(&engine->brake, engine->election.predecessor);
        engine->stats.n_elections++;
        engine->stats.leader_since_us = env_wall_us(loop_env(engine->loop));
        r = registry_follow_start(engine->registry, &engine->follow, keys, ELEMENTSOF(keys), &fns);
        if (r < 0) {
                log_line(LOG_ERR, "Cannot lead: %s", strerror(-r));
                election_resign(&engine->election);
                return;
        }
        timer_set_in(engine->loop, &engine->relist, ENGINE_RELIST_US);
        timer_set_in(engine->loop, &engine->sweep, ENGINE_SWEEP_US);
}

static void engine_end(Engine *engine) {
        log_line(LOG_NOTICE, "This machine does not lead the cluster any more");
        engine->stats.leader_since_us = 0;
        engine->is_synced = false;
        registry_follow_stop(&engine->follow);
        timer_clear(&engine->relist);
        timer_clear(&engine->sweep);
        timer_clear(&engine->retry);
        timer_clear(&engine->catch_up);
        timer_clear(&engine->mend);
        registry_write_cancel(&engine->commit);
        left_stop(&engine->left);
        holds_end(&engine->holds);
        brake_end(&engine->brake);
        gone_done(&engine->gone);
        cluster_done(&engine->cluster);
}

static void on_leading(Election *election, bool is_leading) {
        Engine *engine = container_of(election, Engine, election);

        if (is_leading)
                engine_begin(engine);
        else
                engine_end(engine);
}

/* The outside */

int engine_new(Engine **ret_engine, Registry *registry, const EngineOptions *options) {
        Engine *engine = calloc(1, sizeof(*engine));
        uint64_t seed;
        int r;

        if (!engine)
                return -ENOMEM;

        *engine = (Engine){
                .registry = registry,
                .loop = registry_loop(registry),
                .hook.prepare = on_turn,
                .relist.fn = on_relist,
                .sweep.fn = on_sweep,
                .retry.fn = on_retry,
                .catch_up.fn = on_catch_up,
                .mend.fn = on_mend,
                .closing.fn = on_closing,
                .more.fn = on_more,
                .left = { .registry = registry,
                          .cluster = &engine->cluster,
                          .read_ended = on_left_read_ended },
        };
        env_random_bytes(loop_env(engine->loop), &seed, sizeof(seed));
        cluster_init(&engine->cluster, seed);
        holds_init(&engine->holds, registry, &engine->cluster, seed, on_holds_idle);

        engine->machine = strdup(options->machine);
        r = engine->machine ? election_start(&engine->election, registry, engine->machine,
                                             options->is_disabled, on_leading)
                            : -ENOMEM;
        if (r < 0) {
                free(engine->machine);
                free(engine);
                return r;
        }

        brake_init(&engine->brake, registry, engine->machine, seed, on_pulse_ended);
        brake_set(&engine->brake, options->eviction_limit, options->ttl_us);
        loop_hook_add(engine->loop, &engine->hook);
        *ret_engine = engine;
        return 0;
}

void engine_set_disabled(Engine *engine, bool is_disabled) {
        election_set_disabled(&engine->election, is_disabled);
}

void engine_set_evictions(Engine *engine, EvictRule limit, uint64_t ttl_us) {
        brake_set(&engine->brake, limit, ttl_us);
}

void engine_set_lease(Engine *engine, int64_t lease) {
        brake_set_lease(&engine->brake, lease);
        election_set_lease(&engine->election, lease);
}

bool engine_is_leading(const Engine *engine) {
        return engine->election.fence > 0;
}

EngineStats engine_stats(const Engine *engine) {
        EngineStats stats = engine->stats;

        stats.is_leader = engine_is_leading(engine);
        stats.n_machines = engine->cluster.n_present;
        holds_count(&engine->holds, &stats.n_holds, &stats.n_holds_lost);
        stats.n_holds_removed = engine->holds.n_removed;
        stats.n_missing = engine->brake.roll.n_missing;
        stats.n_held = brake_n_held(&engine->brake);
        stats.is_holding = engine->brake.roll.is_holding;
        for (HashNode *node = hash_map_first(&engine->cluster.units); node;
             node = hash_map_next(&engine->cluster.units, node)) {
                const ClusterUnit *unit = container_of(node, ClusterUnit, node);

                stats.n_units += unit->is_known;
                stats.n_unplaced += unit->has_wanted && unit->wanted.why;
        }
        return stats;
}

static void on_election_closed(Election *election) {
        Engine *engine = container_of(election, Engine, election);

        engine->is_election_closed = true;
        engine_maybe_closed(engine);
}

void engine_close(Engine *engine, void (*closed)(Engine *engine, void *userdata), void *userdata) {
        engine->closed = closed;
        engine->closed_userdata = userdata;
        loop_hook_remove(&engine->hook);
        loop_defer_cancel(&engine->more);
        election_close(&engine->election, on_election_closed);
}

Engine *engine_free(Engine *engine) {
        if (!engine)
                return NULL;

        brake_done(&engine->brake);
        gone_done(&engine->gone);
        registry_write_clear(&engine->commit);
        holds_done(&engine->holds);
        free(engine->machine);
        free(engine);
        return NULL;
}
