/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdio.h>

#include "engine/engine.h"
#include "lib/base/log.h"
#include "lib/registry/lease.h"
#include "lib/store/store-watch.h"
#include "tests/sim/rig.h"
#include "tests/unit/fault.h"

/* Engines over one store in memory: who leads, when that ends, and that only who leads writes. */

enum { N_NODES = 3, TTL_S = 15 };

static const JobState L = JOB_STATE_LAUNCHED;

/* One daemon's engine with its lease. */
typedef struct Node {
        size_t client;
        char machine[8];
        Lease lease;
        Engine *engine;
        bool is_closed;
} Node;

typedef struct Fixture {
        Rig rig;
        Node nodes[N_NODES];
        size_t observer;   /* client of the watch below */
        StoreWatch watch;  /* schedule/ */
        char rows[64][32]; /* "<machine>/<unit>" as of the last report */
        unsigned n_rows;
        unsigned n_row_events;
        bool was_doubled; /* a unit had two rows at some revision */
} Fixture;

static void on_lease(Lease *lease, LeaseEvent event) {
        Node *node = container_of(lease, Node, lease);

        if (event == LEASE_HELD || event == LEASE_LOST)
                engine_set_lease(node->engine, event == LEASE_HELD ? lease->id : 0);
}

static void node_start(Fixture *f, size_t i, bool is_disabled, int64_t adopt) {
        Node *node = &f->nodes[i];
        const EngineOptions options = { .machine = node->machine,
                                        .is_disabled = is_disabled,
                                        .eviction_limit = { .percent = 100 },
                                        .ttl_us = TTL_S * US_PER_S };

        *node = (Node){ 0 };
        (void)snprintf(node->machine, sizeof(node->machine), "e%zu", i);
        node->client = rig_connect(&f->rig);
        ck_assert_int_eq(engine_new(&node->engine, f->rig.registries[node->client], &options), 0);
        lease_start(&node->lease, f->rig.stores[node->client], f->rig.loop, TTL_S, adopt, on_lease);
}

static void on_engine_closed(Engine *engine, void *userdata) {
        (void)engine;
        ((Node *)userdata)->is_closed = true;
}

static bool node_is_closed(void *userdata) {
        return ((Node *)userdata)->is_closed;
}

/* The daemon ends as told; its lease stands until it runs out. */
static void node_stop(Fixture *f, size_t i) {
        Node *node = &f->nodes[i];

        engine_close(node->engine, on_engine_closed, node);
        rig_wait(&f->rig, 10000, node_is_closed, node);
        node->engine = engine_free(node->engine);
        lease_stop(&node->lease);
        rig_close(&f->rig, node->client);
}

/* The daemon dies: nothing of it reaches the store any more. */
static void node_kill(Fixture *f, size_t i) {
        rig_cut(&f->rig, f->nodes[i].client, true);
        node_stop(f, i);
}

static void on_schedule(StoreWatch *watch, const StoreWatchReport *report) {
        Fixture *f = container_of(watch, Fixture, watch);

        for (size_t i = 0; i < report->n_events; i++) {
                const StoreEvent *event = &report->events[i];
                char row[32];
                unsigned k;

                (void)snprintf(row, sizeof(row), "%.*s",
                               (int)event->kv.key.n_bytes - (int)strlen("/fleet/schedule/"),
                               (const char *)event->kv.key.data + strlen("/fleet/schedule/"));
                f->n_row_events++;
                for (k = 0; k < f->n_rows && !streq(f->rows[k], row); k++)
                        ;
                if (event->kind == STORE_EVENT_PUT && k == f->n_rows && k < ELEMENTSOF(f->rows))
                        memcpy(f->rows[f->n_rows++], row, sizeof(row));
                if (event->kind == STORE_EVENT_DELETE && k < f->n_rows)
                        memcpy(f->rows[k], f->rows[--f->n_rows], sizeof(row));
        }

        for (unsigned i = 0; i < f->n_rows; i++)
                for (unsigned k = 0; k < i; k++)
                        f->was_doubled |= streq(strchr(f->rows[i], '/'), strchr(f->rows[k], '/'));
}

static void set_up(Fixture *f, uint64_t seed, size_t n_nodes) {
        *f = (Fixture){ 0 };
        log_set_max_priority(LOG_CRIT);
        rig_init(&f->rig, seed);
        f->observer = rig_connect(&f->rig);
        ck_assert_int_eq(store_watch_start(f->rig.stores[f->observer], &f->watch,
                                           store_bytes("/fleet/schedule/"),
                                           store_bytes("/fleet/schedule0"), 1, on_schedule),
                         0);
        for (size_t i = 0; i < n_nodes; i++)
                node_start(f, i, false, 0);
}

static void tear_down(Fixture *f) {
        for (size_t i = 0; i < N_NODES; i++)
                if (f->nodes[i].engine)
                        node_stop(f, i);
        store_watch_stop(&f->watch);
        rig_done(&f->rig);
        log_set_max_priority(LOG_INFO);
}

/* The node that leads, -1 for none; the test fails when two say that they do and both hold the
 * record. */
static int leader_of(const Fixture *f) {
        int leader = -1;

        for (int i = 0; i < N_NODES; i++)
                if (f->nodes[i].engine && engine_stats(f->nodes[i].engine).is_leader)
                        leader = leader < 0 ? i : N_NODES;
        return leader;
}

static bool somebody_leads(void *userdata) {
        int leader = leader_of(userdata);

        return leader >= 0 && leader < N_NODES;
}

static int wait_for_leader(Fixture *f, uint64_t limit_ms) {
        rig_wait(&f->rig, limit_ms, somebody_leads, f);
        return leader_of(f);
}

static void set_machine(Fixture *f, const char *id) {
        char key[64];

        (void)snprintf(key, sizeof(key), "machine/%s", id);
        rig_set(&f->rig, key, "{}");
}

/* One leads, the record says so; a unit is scheduled within a moment. */
START_TEST(test_one_leads) {
        Fixture f;
        int leader;

        set_up(&f, 1, 3);
        set_machine(&f, "m1");
        leader = wait_for_leader(&f, 500);
        rig_run_ms(&f.rig, 100);
        ck_assert_ptr_nonnull(strstr(rig_get(&f.rig, "engine/leader"), f.nodes[leader].machine));

        rig_set_unit(&f.rig, "a.service", "[Service]\nExecStart=/bin/true\n", L, 5);
        rig_run_ms(&f.rig, 10);
        ck_assert_ptr_nonnull(strstr(rig_get(&f.rig, "schedule/m1/a.service"), "\"generation\":5"));
        ck_assert_str_eq(rig_get(&f.rig, "placement/a.service"),
                         "{\"generation\":5,\"machine\":\"m1\"}");
        ck_assert_uint_eq(engine_stats(f.nodes[leader].engine).n_commits, 1);
        ck_assert_uint_eq(engine_stats(f.nodes[leader].engine).n_scheduled, 1);
        tear_down(&f);
}
END_TEST

/* A leader that dies is followed by another as soon as its lease has run out, with a higher epoch.
 */
START_TEST(test_leader_dies) {
        uint64_t since_us;
        Fixture f;
        int leader;

        set_up(&f, 1, 3);
        leader = wait_for_leader(&f, 500);
        rig_run_ms(&f.rig, 60000);
        ck_assert_int_eq(leader_of(&f), leader);
        since_us = f.rig.env.now_us;
        node_kill(&f, (size_t)leader);
        (void)wait_for_leader(&f, TTL_S * 1000 + 1000);
        ck_assert_uint_gt(f.rig.env.now_us - since_us, (TTL_S * 2 / 3 - 1) * US_PER_S);
        tear_down(&f);
}
END_TEST

/* A leader that closes takes its record away, so that another leads at once. */
START_TEST(test_close_hands_over) {
        Fixture f;
        int leader;

        set_up(&f, 1, 2);
        leader = wait_for_leader(&f, 500);
        node_stop(&f, (size_t)leader);
        (void)wait_for_leader(&f, 200);
        tear_down(&f);
        set_up(&f, 1, 1);
        (void)wait_for_leader(&f, 500);
        node_stop(&f, 0);
        ck_assert(!rig_has(&f.rig, "engine/leader"));
        tear_down(&f);
}
END_TEST

/* Closed at any moment of its standing for leader, it leaves no record behind. */
START_TEST(test_close_while_standing) {
        for (uint64_t after_ms = 0; after_ms < 400; after_ms += 20) {
                Fixture f;

                set_up(&f, after_ms, 1);
                store_memory_set_faults(f.rig.stores[f.nodes[0].client],
                                        &(StoreFaults){ .latency_us = 40 * US_PER_MS });
                rig_run_ms(&f.rig, after_ms);
                node_stop(&f, 0);
                ck_assert(!rig_has(&f.rig, "engine/leader"));
                tear_down(&f);
        }
}
END_TEST

/* A leader record that does not parse leads nobody and is removed. */
START_TEST(test_bad_leader_record) {
        Fixture f;

        set_up(&f, 1, 0);
        rig_set(&f.rig, "engine/leader", "{");
        node_start(&f, 0, false, 0);
        node_start(&f, 1, false, 0);
        (void)wait_for_leader(&f, 1000);
        rig_set(&f.rig, "engine/leader", "nonsense");
        rig_run_ms(&f.rig, 2000);
        ck_assert(somebody_leads(&f));
        ck_assert_ptr_nonnull(strstr(rig_get(&f.rig, "engine/leader"), "machine"));
        tear_down(&f);
}
END_TEST

/* Where the record cannot be made, although none is known, it is not tried again and again. */
START_TEST(test_refused_for_long) {
        uint64_t n_answers;
        Store *store;
        Fixture f;

        set_up(&f, 1, 0);
        rig_set(&f.rig, "closed", "{\"why\":\"it is moved\"}");
        node_start(&f, 0, false, 0);
        store = f.rig.stores[f.nodes[0].client];
        rig_run_ms(&f.rig, 1000);
        n_answers = store_answers(store);
        rig_run_ms(&f.rig, 30000);
        ck_assert_uint_le(store_answers(store) - n_answers, 120);
        ck_assert(!somebody_leads(&f));
        rig_remove(&f.rig, "closed");
        (void)wait_for_leader(&f, 1000);
        tear_down(&f);
}
END_TEST

/* The answer to the creation may come when somebody has removed the record, and that was told: then
 * nobody leads by it. */
START_TEST(test_late_answer) {
        for (uint64_t seed = 0; seed < 8; seed++) {
                Store *store;
                Fixture f;

                set_up(&f, seed, 0);
                node_start(&f, 0, false, 0);
                store = f.rig.stores[f.nodes[0].client];
                store_memory_set_faults(store,
                                        &(StoreFaults){ .latency_jitter_us = 1400 * US_PER_MS });
                while (!rig_has(&f.rig, "engine/leader"))
                        rig_run_ms(&f.rig, 1);
                store_memory_set_faults(store, &(StoreFaults){ 0 });
                rig_remove(&f.rig, "engine/leader");
                rig_run_ms(&f.rig, 10000);
                ck_assert(somebody_leads(&f));
                ck_assert(rig_has(&f.rig, "engine/leader"));
                tear_down(&f);
        }
}
END_TEST

/* A daemon that dies and starts again with the same lease removes the record of its earlier run,
 * whose transactions may still be on their way, and stands anew. */
START_TEST(test_restart_with_the_same_lease) {
        for (int disabled = 0; disabled < 2; disabled++) {
                const char *before;
                int64_t lease;
                Fixture f;

                set_up(&f, 1, 1);
                (void)wait_for_leader(&f, 500);
                before = rig_get(&f.rig, "engine/leader");
                lease = f.nodes[0].lease.id;
                node_kill(&f, 0);
                ck_assert(rig_has(&f.rig, "engine/leader"));

                node_start(&f, 0, disabled, lease);
                node_start(&f, 1, false, 0);
                ck_assert_int_eq(disabled, disabled && wait_for_leader(&f, 500) == 1);
                (void)wait_for_leader(&f, 500);
                ck_assert_str_ne(rig_get(&f.rig, "engine/leader"), before);
                ck_assert_int_eq(f.nodes[0].lease.id, lease);
                tear_down(&f);
        }
}
END_TEST

/* A lease that is lost and replaced ends leading, and leading begins anew on the new one. */
START_TEST(test_lease_is_replaced) {
        uint64_t n_elections;
        Fixture f;

        set_up(&f, 1, 1);
        (void)wait_for_leader(&f, 500);
        n_elections = engine_stats(f.nodes[0].engine).n_elections;
        memory_store_expire_lease(f.rig.memory, f.nodes[0].lease.id);
        rig_run_ms(&f.rig, 1000);
        ck_assert(!engine_stats(f.nodes[0].engine).is_leader ||
                  engine_stats(f.nodes[0].engine).n_elections > n_elections ||
                  !rig_has(&f.rig, "engine/leader"));
        rig_run_ms(&f.rig, 6000);
        (void)wait_for_leader(&f, 1000);
        ck_assert_uint_gt(engine_stats(f.nodes[0].engine).n_elections, n_elections);
        ck_assert(rig_has(&f.rig, "engine/leader"));
        tear_down(&f);
}
END_TEST

/* History that is compacted away under a follower deposes nobody, and nobody stands again: the
 * record is as it was. */
START_TEST(test_compaction_deposes_nobody) {
        Fixture f;

        set_up(&f, 1, 2);
        (void)wait_for_leader(&f, 500);
        rig_run_ms(&f.rig, 1000);
        for (int round = 0; round < 3; round++) {
                const char *before = rig_get(&f.rig, "engine/leader");
                uint64_t n_requests;
                int leader = leader_of(&f);

                for (size_t i = 0; i < 2; i++)
                        rig_cut(&f.rig, f.nodes[i].client, true);
                rig_run_ms(&f.rig, 1);
                for (int i = 0; i < 5; i++)
                        rig_set(&f.rig, "unit/x.service", "{");
                memory_store_compact(f.rig.memory, rig_revision(&f.rig));
                rig_run_ms(&f.rig, 1000);
                for (size_t i = 0; i < 2; i++)
                        rig_cut(&f.rig, f.nodes[i].client, false);
                rig_run_ms(&f.rig, 5000);
                ck_assert_int_eq(leader_of(&f), leader);
                ck_assert_str_eq(rig_get(&f.rig, "engine/leader"), before);

                /* Nor does anybody keep asking. */
                n_requests = store_stats(f.rig.stores[f.nodes[1 - leader].client]).n_requests;
                rig_run_ms(&f.rig, 10000);
                ck_assert_uint_le(store_stats(f.rig.stores[f.nodes[1 - leader].client]).n_requests -
                                          n_requests,
                                  3);
        }
        tear_down(&f);
}
END_TEST

/* The transaction of a leader that is deposed while it is on its way is refused: nothing of it is
 * in the store. */
START_TEST(test_two_engines_can_never_both_write) {
        int64_t revision;
        Fixture f;
        Node *old;

        set_up(&f, 1, 1);
        (void)wait_for_leader(&f, 500);
        node_start(&f, 1, false, 0);
        set_machine(&f, "m5");
        rig_run_ms(&f.rig, 1000);
        old = &f.nodes[0];

        /* The old leader learns of the unit and decides for m5; its transaction takes two seconds
         * to arrive. */
        rig_set_unit(&f.rig, "a.service", "[Service]\nExecStart=/bin/true\n", L, 1);
        virtual_env_settle(&f.rig.env, f.rig.loop);
        ck_assert_uint_eq(engine_stats(old->engine).n_commits, 1);
        ck_assert(rig_has(&f.rig, "schedule/m5/a.service"));
        store_memory_set_faults(f.rig.stores[old->client],
                                &(StoreFaults){ .latency_us = 1000 * US_PER_MS });
        rig_set_unit(&f.rig, "b.service", "[Service]\nExecStart=/bin/true\n", L, 1);
        rig_run_ms(&f.rig, 1001);
        ck_assert_uint_eq(engine_stats(old->engine).n_commits, 2);
        ck_assert(!rig_has(&f.rig, "schedule/m5/b.service"));

        /* Meanwhile it is deposed, and the new leader decides otherwise. */
        set_machine(&f, "m1");
        memory_store_expire_lease(f.rig.memory, old->lease.id);
        rig_run_ms(&f.rig, 200);
        ck_assert(engine_stats(f.nodes[1].engine).is_leader);
        ck_assert(rig_has(&f.rig, "schedule/m1/b.service"));
        ck_assert_str_eq(rig_get(&f.rig, "placement/b.service"),
                         "{\"generation\":1,\"machine\":\"m1\"}");
        revision = rig_revision(&f.rig);

        rig_run_ms(&f.rig, 3000);
        ck_assert_uint_eq(engine_stats(old->engine).n_commits, 2);
        ck_assert(!rig_has(&f.rig, "schedule/m5/b.service"));
        ck_assert_str_eq(rig_get(&f.rig, "placement/b.service"),
                         "{\"generation\":1,\"machine\":\"m1\"}");
        ck_assert_int_eq(rig_revision(&f.rig), revision);
        ck_assert(!f.was_doubled);
        tear_down(&f);
}
END_TEST

/* A copy of a commit whose outcome was unknown arrives after the leader has decided anew: it is
 * refused. */
START_TEST(test_late_copies_are_refused) {
        int64_t revision;
        Fixture f;

        set_up(&f, 1, 1);
        (void)wait_for_leader(&f, 500);
        set_machine(&f, "m5");
        rig_run_ms(&f.rig, 1000);
        store_memory_set_faults(f.rig.stores[f.nodes[0].client],
                                &(StoreFaults){ .lose_request_ppm = 1000000,
                                                .late_apply_ppm = 1000000,
                                                .late_apply_us = 10 * US_PER_S });
        rig_set_unit(&f.rig, "a.service", "[Service]\nExecStart=/bin/true\n", L, 1);
        rig_run_ms(&f.rig, 10);
        ck_assert_uint_eq(engine_stats(f.nodes[0].engine).n_commits, 1);
        store_memory_set_faults(f.rig.stores[f.nodes[0].client], &(StoreFaults){ 0 });
        set_machine(&f, "m1");

        rig_run_ms(&f.rig, 4000);
        ck_assert_uint_eq(engine_stats(f.nodes[0].engine).n_commits_failed, 1);
        ck_assert_uint_eq(engine_stats(f.nodes[0].engine).n_elections, 2);
        ck_assert(rig_has(&f.rig, "schedule/m1/a.service"));
        revision = rig_revision(&f.rig);
        rig_run_ms(&f.rig, 10000);
        ck_assert(!rig_has(&f.rig, "schedule/m5/a.service"));
        ck_assert_int_eq(rig_revision(&f.rig), revision);
        tear_down(&f);
}
END_TEST

static void toggle_machine(Fixture *f) {
        char key[32];

        (void)snprintf(key, sizeof(key), "machine/m%u",
                       (unsigned)env_random_below(&f->rig.env.env, 5));
        if (rig_has(&f->rig, key))
                rig_remove(&f->rig, key);
        else
                rig_set(&f->rig, key, "{}");
}

static void change_unit(Fixture *f, uint64_t generation) {
        char name[32];

        (void)snprintf(name, sizeof(name), "u%u.service",
                       (unsigned)env_random_below(&f->rig.env.env, 8));
        rig_set_unit(&f->rig, name, "[Service]\nExecStart=/bin/true\n", L, generation);
}

/* Deposes the leader while its answer to a change is on its way, after which the next leader sees
 * another cluster. */
static void storm_depose(Fixture *f) {
        int leader = leader_of(f);

        if (leader < 0 || leader >= N_NODES)
                return;
        store_memory_set_faults(f->rig.stores[f->nodes[leader].client],
                                &(StoreFaults){ .latency_us = 500 * US_PER_MS });
        toggle_machine(f);
        toggle_machine(f);
        rig_run_ms(&f->rig, 550);
        toggle_machine(f);
        memory_store_expire_lease(f->rig.memory, f->nodes[leader].lease.id);
}

static void storm_step(Fixture *f, uint64_t step) {
        static const StoreFaults lossy = { .latency_jitter_us = 1500 * US_PER_MS,
                                           .lose_request_ppm = 200000,
                                           .lose_reply_ppm = 200000,
                                           .late_apply_ppm = 500000,
                                           .late_apply_us = 5 * US_PER_S };
        Node *node = &f->nodes[env_random_below(&f->rig.env.env, N_NODES)];

        switch (env_random_below(&f->rig.env.env, 6)) {
        case 0:
                memory_store_expire_lease(f->rig.memory, node->lease.id);
                break;
        case 1:
                store_memory_set_faults(f->rig.stores[node->client], &lossy);
                break;
        case 2:
                store_memory_set_faults(f->rig.stores[node->client], &(StoreFaults){ 0 });
                break;
        case 3:
                storm_depose(f);
                break;
        case 4:
                toggle_machine(f);
                break;
        default:
                change_unit(f, step + 1);
        }
}

static unsigned n_rows_of(const Fixture *f, const char *unit) {
        unsigned n = 0;

        for (unsigned i = 0; i < f->n_rows; i++)
                n += streq(strchr(f->rows[i], '/') + 1, unit);
        return n;
}

/* Storms: slow, lossy, late networks, leases that end, machines that come and go. At no revision
 * has a unit two rows, and at the end each has one. */
START_TEST(test_storms) {
        for (uint64_t seed = 0; seed < 40; seed++) {
                Fixture f;

                set_up(&f, seed, N_NODES);
                set_machine(&f, "m1");
                for (uint64_t step = 0; step < 80; step++) {
                        storm_step(&f, step);
                        rig_run_ms(&f.rig, env_random_below(&f.rig.env.env, 3000));
                }
                for (size_t i = 0; i < N_NODES; i++)
                        store_memory_set_faults(f.rig.stores[f.nodes[i].client],
                                                &(StoreFaults){ 0 });
                set_machine(&f, "m9");
                rig_run_ms(&f.rig, 60000);

                ck_assert_msg(!f.was_doubled, "seed %llu", (unsigned long long)seed);
                ck_assert_msg(somebody_leads(&f), "seed %llu", (unsigned long long)seed);
                for (unsigned u = 0; u < 8; u++) {
                        char key[32];

                        (void)snprintf(key, sizeof(key), "unit/u%u.service", u);
                        ck_assert_msg(n_rows_of(&f, key + strlen("unit/")) == rig_has(&f.rig, key),
                                      "seed %llu: %s has %u rows", (unsigned long long)seed, key,
                                      n_rows_of(&f, key + strlen("unit/")));
                }
                tear_down(&f);
        }
}
END_TEST

/* Many rows go in few transactions; a global unit on more machines than a transaction can ever hold
 * comes and goes all the same. */
START_TEST(test_large_commits) {
        enum { N_MACHINES = 4500, N_UNITS = 1000 };
        uint64_t n_commits;
        Fixture f;

        set_up(&f, 1, 1);
        for (int i = 0; i < N_MACHINES; i++) {
                char id[16];

                (void)snprintf(id, sizeof(id), "m%04d", i);
                set_machine(&f, id);
        }
        (void)wait_for_leader(&f, 1000);
        for (int i = 0; i < N_UNITS; i++) {
                char name[32];

                (void)snprintf(name, sizeof(name), "u%04d.service", i);
                rig_set_unit(&f.rig, name, "[Service]\nExecStart=/bin/true\n", L, 1);
        }
        rig_run_ms(&f.rig, 1000);
        ck_assert_uint_eq(f.n_row_events, N_UNITS);
        n_commits = engine_stats(f.nodes[0].engine).n_commits;
        ck_assert_uint_le(n_commits, 2 * N_UNITS / 124 + 2);

        rig_set_unit(&f.rig, "g.service", "[X-Fleet]\nGlobal=true\n", L, 1);
        rig_run_ms(&f.rig, 1000);
        ck_assert_uint_eq(f.n_row_events, N_UNITS + N_MACHINES);
        ck_assert_uint_le(engine_stats(f.nodes[0].engine).n_commits - n_commits,
                          N_MACHINES / 120 + 2);
        rig_remove(&f.rig, "unit/g.service");
        rig_run_ms(&f.rig, 1000);
        ck_assert_uint_eq(f.n_row_events, N_UNITS + 2 * N_MACHINES);
        ck_assert_uint_eq(engine_stats(f.nodes[0].engine).n_commits_failed, 0);
        tear_down(&f);
}
END_TEST

/* A leader takes over what another has decided, and writes nothing for it; nor does reading
 * everything again every ten minutes. */
START_TEST(test_taking_over_writes_nothing) {
        int64_t revision;
        Fixture f;
        int leader;

        set_up(&f, 1, 2);
        set_machine(&f, "m1");
        set_machine(&f, "m2");
        rig_set_unit(&f.rig, "a.service", "[Service]\nExecStart=/bin/true\n", L, 1);
        rig_set_unit(&f.rig, "b.service", "[X-Fleet]\nGlobal=true\n", L, 1);
        rig_set_unit(&f.rig, "c.service", "[X-Fleet]\nMachineID=none\n", L, 1);
        rig_set_unit(&f.rig, "d.service", "[X-Fleet]\nMachineOf=a.service\n", JOB_STATE_LOADED, 1);
        rig_set_unit(&f.rig, "e.service", "[Service]\n", JOB_STATE_INACTIVE, 1);
        rig_set(&f.rig, "unit/f.service", "{");
        leader = wait_for_leader(&f, 500);
        rig_run_ms(&f.rig, 1000);
        revision = rig_revision(&f.rig);
        rig_run_ms(&f.rig, 3600 * 1000);
        ck_assert_int_eq(rig_revision(&f.rig), revision);

        node_stop(&f, (size_t)leader);
        (void)wait_for_leader(&f, 500);
        rig_run_ms(&f.rig, 60000);
        /* The leader's record went, and came. */
        ck_assert_int_eq(rig_revision(&f.rig), revision + 2);
        tear_down(&f);
}
END_TEST

/* A new leader with more to plan than one round does goes on at once, also where nothing has to be
 * written. */
START_TEST(test_long_plans_go_on) {
        EngineStats stats;
        Fixture f;
        int leader;

        set_up(&f, 1, 2);
        set_machine(&f, "m1");
        for (int i = 0; i < 2000; i++) {
                char name[32];

                (void)snprintf(name, sizeof(name), "u%04d.service", i);
                rig_set_unit(&f.rig, name, "[X-Fleet]\nConflicts=x.service\n", L, 1);
        }
        leader = wait_for_leader(&f, 500);
        rig_run_ms(&f.rig, 10000);
        node_stop(&f, (size_t)leader);
        leader = wait_for_leader(&f, 500);
        rig_run_ms(&f.rig, 200);
        stats = engine_stats(f.nodes[leader].engine);
        ck_assert_uint_ge(stats.n_plans, 7);
        ck_assert_uint_eq(stats.n_commits, 0);
        tear_down(&f);
}
END_TEST

/* A file that nothing refers to goes after a while; one in use stays, and so does one that is
 * written again in that moment. */
START_TEST(test_unused_files) {
        static const char text[] = "[Service]\nExecStart=/bin/true\n",
                          other[] = "[Service]\nExecStart=/bin/false\n";
        char hash[UNIT_HASH_BYTES], other_hash[UNIT_HASH_BYTES], key[64], other_key[64];
        Fixture f;

        set_up(&f, 1, 1);
        set_machine(&f, "m1");
        rig_set_unit(&f.rig, "a.service", text, L, 1);
        rig_set_unit(&f.rig, "b.service", other, JOB_STATE_INACTIVE, 1);
        rig_set_file(&f.rig, text, hash);
        rig_set_file(&f.rig, other, other_hash);
        (void)snprintf(key, sizeof(key), "file/%s", hash);
        (void)snprintf(other_key, sizeof(other_key), "file/%s", other_hash);
        rig_run_ms(&f.rig, 600 * 1000);
        ck_assert(rig_has(&f.rig, key) && rig_has(&f.rig, other_key));

        rig_remove(&f.rig, "unit/b.service");
        rig_run_ms(&f.rig, 45 * 1000);
        ck_assert(rig_has(&f.rig, other_key));
        for (int i = 0; i < 10; i++) {
                rig_set(&f.rig, other_key, other);
                rig_run_ms(&f.rig, 30 * 1000);
                ck_assert(rig_has(&f.rig, other_key));
        }
        rig_run_ms(&f.rig, 200 * 1000);
        ck_assert(!rig_has(&f.rig, other_key));
        ck_assert(rig_has(&f.rig, key));
        ck_assert_uint_eq(engine_stats(f.nodes[0].engine).n_commits_failed, 0);
        tear_down(&f);
}
END_TEST

/* Who a record that does not parse refers to is not known: no file goes, not even for a leader that
 * never saw the record as it was. */
START_TEST(test_files_of_bad_units) {
        char hash[UNIT_HASH_BYTES], key[64];
        Fixture f;

        set_up(&f, 1, 1);
        rig_set_file(&f.rig, "[Service]\nExecStart=/bin/true\n", hash);
        rig_set(&f.rig, "unit/a.service", "{");
        (void)snprintf(key, sizeof(key), "file/%s", hash);
        rig_run_ms(&f.rig, 600 * 1000);
        ck_assert(rig_has(&f.rig, key));
        rig_remove(&f.rig, "unit/a.service");
        rig_run_ms(&f.rig, 300 * 1000);
        ck_assert(!rig_has(&f.rig, key));
        tear_down(&f);
}
END_TEST

/* Rows and placements that somebody removed, changed, broke or made up are put right within seconds;
 * the leader's own commits do not make it read again. */
START_TEST(test_damage_by_hand) {
        static const char row[] = "schedule/m1/a.service", placement[] = "placement/a.service";
        static const struct {
                const char *key, *value;
        } damages[] = {
                { row, NULL },
                { row, "{" },
                { row, "{\"desired\":\"loaded\",\"file\":"
                       "\"0123456789012345678901234567890123456789\",\"generation\":9}" },
                { placement, NULL },
                { placement, "{" },
                { placement, "{\"generation\":1,\"machine\":\"m7\"}" },
                { "schedule/m7/a.service", "{" },
                { "schedule/m1/nobody.service", "{" },
                { "placement/nobody.service", "{}" },
        };
        const char *right, *placed;
        uint64_t n_ranges;
        Fixture f;

        set_up(&f, 1, 1);
        set_machine(&f, "m1");
        rig_run_ms(&f.rig, 10000);
        n_ranges = store_stats(f.rig.stores[f.nodes[0].client]).n_started[STORE_KIND_RANGE];
        rig_set_unit(&f.rig, "a.service", "[Service]\nExecStart=/bin/true\n", L, 1);
        rig_run_ms(&f.rig, 10000);
        ck_assert_uint_eq(store_stats(f.rig.stores[f.nodes[0].client]).n_started[STORE_KIND_RANGE],
                          n_ranges);
        right = rig_get(&f.rig, row);
        placed = rig_get(&f.rig, placement);
        ck_assert_ptr_nonnull(right);

        for (size_t i = 0; i < ELEMENTSOF(damages); i++) {
                if (damages[i].value)
                        rig_set(&f.rig, damages[i].key, damages[i].value);
                else
                        rig_remove(&f.rig, damages[i].key);
                rig_run_ms(&f.rig, 3000);
                ck_assert_str_eq(rig_get(&f.rig, row), right);
                ck_assert_str_eq(rig_get(&f.rig, placement), placed);
                ck_assert(!rig_has(&f.rig, "schedule/m1/nobody.service"));
                ck_assert(!rig_has(&f.rig, "placement/nobody.service"));
        }
        ck_assert(!rig_has(&f.rig, "schedule/m7/a.service"));
        tear_down(&f);
}
END_TEST

/* A row that somebody writes on another machine is removed, and takes the unit nowhere: neither one
 * that cannot be read nor a copy of the right one. Nor does it move when its row went while nobody
 * led. */
START_TEST(test_damage_moves_nothing) {
        static const char row[] = "schedule/m1/a.service", other[] = "schedule/m0/a.service";
        const char *right, *placed;
        Fixture f;

        set_up(&f, 1, 1);
        set_machine(&f, "m1");
        rig_run_ms(&f.rig, 10000);
        rig_set_unit(&f.rig, "a.service", "[Service]\nExecStart=/bin/true\n", L, 1);
        rig_run_ms(&f.rig, 10000);
        set_machine(&f, "m0");
        right = rig_get(&f.rig, row);
        placed = rig_get(&f.rig, "placement/a.service");
        ck_assert_ptr_nonnull(right);

        for (unsigned i = 0; i < 6; i++) {
                bool is_led = i % 2 == 0;

                if (!is_led)
                        node_stop(&f, 0);
                if (i < 4)
                        rig_set(&f.rig, other, i < 2 ? "{" : right);
                else
                        rig_remove(&f.rig, row);
                if (!is_led)
                        node_start(&f, 0, false, 0);
                rig_run_ms(&f.rig, 10000);
                ck_assert_str_eq(rig_get(&f.rig, row), right);
                ck_assert_str_eq(rig_get(&f.rig, "placement/a.service"), placed);
                ck_assert(!rig_has(&f.rig, other));
        }
        tear_down(&f);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_one_leads,
                test_leader_dies,
                test_close_hands_over,
                test_close_while_standing,
                test_bad_leader_record,
                test_refused_for_long,
                test_late_answer,
                test_restart_with_the_same_lease,
                test_lease_is_replaced,
                test_compaction_deposes_nobody,
                test_two_engines_can_never_both_write,
                test_late_copies_are_refused,
                test_storms,
                test_large_commits,
                test_taking_over_writes_nothing,
                test_long_plans_go_on,
                test_unused_files,
                test_files_of_bad_units,
                test_damage_by_hand,
                test_damage_moves_nothing,
        };

        return tests_run("engine", tests, ELEMENTSOF(tests));
}
