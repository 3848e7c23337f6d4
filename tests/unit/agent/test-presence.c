/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdio.h>

#include "lib/base/log.h"
#include "tests/sim/cluster.h"
#include "tests/unit/fault.h"

/* The presence of a machine: what it is known as and by which lease may change while it runs, and
 * a store that was emptied or put back is not taken at its word. Lost leases, restarts and machines
 * that share an ID are in test-agent.c. */

static const char plain[] = "[Service]\nExecStart=/bin/true\n";
static const char machine_key[] = "machine/00000000000000000000000000000000";
static const JobState LAUNCHED = JOB_STATE_LAUNCHED;

enum { STEP_MS = 1000 };

static bool says_wiped;
static unsigned n_troubles; /* lines about a lease that cannot be had */
static unsigned n_relieved; /* lines that it can be had again */

static void sink(int priority, const LogSubject *subject, const char *text) {
        (void)priority;
        (void)subject;
        says_wiped |= strstr(text, "etcd was emptied or restored") != NULL;
        n_troubles += strstr(text, "Cannot get or renew a lease") != NULL;
        n_relieved += strstr(text, "The lease is held and renewed again") != NULL;
}

static void listen(int priority) {
        says_wiped = false;
        n_troubles = n_relieved = 0;
        log_set_sink(sink);
        log_set_max_priority(priority);
}

static void listen_no_more(void) {
        log_set_max_priority(LOG_CRIT);
        log_set_sink(NULL);
}

static void set_up(Sim *sim) {
        sim_init(sim, 1, 1, true);
        rig_run_ms(&sim->rig, STEP_MS);
        sim_set_row(sim, 0, "a.service", plain, LAUNCHED, 1);
        rig_run_ms(&sim->rig, STEP_MS);
        ck_assert_uint_eq(sim->machines[0].n_changes, 1);
}

static int64_t lease_of(const Sim *sim) {
        return presence_lease(sim->machines[0].presence);
}

static void update(Sim *sim, const char *address, const char *metadata, uint64_t ttl_s) {
        MachineRecord record = { .address = (char *)address,
                                 .hostname = sim->machines[0].hostname,
                                 .version = (char *)"2.0.0" };

        ck_assert_int_eq(metadata_parse(metadata, &record.metadata, NULL), 0);
        ck_assert_int_eq(presence_update(sim->machines[0].presence, &record, ttl_s * US_PER_S), 0);
        metadata_done(&record.metadata);
}

static void expect_record(Sim *sim, const char *text) {
        const char *record = rig_get(&sim->rig, machine_key);

        ck_assert_msg(record && strstr(record, text), "no %s in %s", text, record);
}

/* What it is known as changes at once, on the lease that it has. What does not change is not
 * written. */
START_TEST(test_update_record) {
        int64_t lease, revision;
        Sim sim;

        set_up(&sim);
        lease = lease_of(&sim);
        revision = rig_revision(&sim.rig);
        update(&sim, "192.0.2.1", "", SIM_TTL_S);
        rig_run_ms(&sim.rig, STEP_MS);
        ck_assert_int_eq(rig_revision(&sim.rig), revision);

        update(&sim, "192.0.2.2", "disk=ssd", SIM_TTL_S);
        ck_assert_int_eq(lease_of(&sim), lease);
        rig_run_ms(&sim.rig, 1);
        expect_record(&sim, "\"address\":\"192.0.2.2\"");
        expect_record(&sim, "\"disk\":\"ssd\"");
        rig_run_ms(&sim.rig, 60000);
        ck_assert_int_eq(lease_of(&sim), lease);
        ck_assert_int_eq(rig_revision(&sim.rig), revision + 1);
        ck_assert_uint_eq(sim.machines[0].n_changes, 1);
        sim_done(&sim);
}
END_TEST

/* Changes that follow each other faster than the store answers, or come while it is away: the last
 * one is what it has in the end. */
START_TEST(test_update_again) {
        Sim sim;

        set_up(&sim);
        store_memory_set_faults(sim.rig.stores[sim.machines[0].client],
                                &(StoreFaults){ .latency_us = 50 * US_PER_MS });
        for (unsigned i = 0; i < 10; i++) {
                char metadata[32];

                (void)snprintf(metadata, sizeof(metadata), "i=%u", i);
                update(&sim, "192.0.2.1", metadata, SIM_TTL_S);
                rig_run_ms(&sim.rig, 20);
        }
        rig_run_ms(&sim.rig, STEP_MS);
        expect_record(&sim, "\"i\":\"9\"");

        sim_cut(&sim, 0, true);
        update(&sim, "192.0.2.1", "i=cut", SIM_TTL_S);
        rig_run_ms(&sim.rig, 5000);
        sim_cut(&sim, 0, false);
        rig_run_ms(&sim.rig, (REGISTRY_REFRESH_US + REGISTRY_REFRESH_SPREAD_US) / US_PER_MS);
        expect_record(&sim, "\"i\":\"cut\"");
        ck_assert_int_ne(lease_of(&sim), 0);
        sim_done(&sim);
}
END_TEST

/* The answer to a change may come when the record has gone with its lease, and that was told: it is
 * no news then. */
START_TEST(test_late_answer) {
        for (uint64_t seed = 0; seed < 8; seed++) {
                bool was_down = false;
                Store *store;
                Sim sim;

                sim_init(&sim, seed, 1, true);
                rig_run_ms(&sim.rig, STEP_MS);
                store = sim.rig.stores[sim.machines[0].client];
                store_memory_set_faults(store,
                                        &(StoreFaults){ .latency_jitter_us = 1400 * US_PER_MS });
                update(&sim, "192.0.2.1", "disk=ssd", SIM_TTL_S);
                while (!strstr(rig_get(&sim.rig, machine_key), "ssd"))
                        rig_run_ms(&sim.rig, 1);
                store_memory_set_faults(store, &(StoreFaults){ 0 });
                memory_store_expire_lease(sim.rig.memory, lease_of(&sim));

                for (unsigned i = 0; i < 1000; i++) {
                        rig_run_ms(&sim.rig, 10);
                        was_down |= lease_of(&sim) == 0;
                        ck_assert(!was_down || lease_of(&sim) == 0 ||
                                  rig_has(&sim.rig, machine_key));
                }
                ck_assert_int_ne(lease_of(&sim), 0);
                sim_done(&sim);
        }
}
END_TEST

/* The store has ended the lease before its time: known when the record cannot be written again on it,
 * and not only when there is another lease. */
START_TEST(test_lease_ends_early) {
        Sim sim;

        set_up(&sim);
        store_memory_set_faults(sim.rig.stores[sim.machines[0].client],
                                &(StoreFaults){ .latency_us = 500 * US_PER_MS });
        memory_store_expire_lease(sim.rig.memory, lease_of(&sim));
        rig_run_ms(&sim.rig, 1600);
        ck_assert_int_eq(lease_of(&sim), 0);
        rig_run_ms(&sim.rig, 5000);
        ck_assert_int_ne(lease_of(&sim), 0);
        ck_assert_uint_eq(sim.machines[0].n_changes, 1);
        sim_done(&sim);
}
END_TEST

/* Another agent_ttl: the machine and all its states move to a lease of that time, and are never
 * gone meanwhile. */
START_TEST(test_update_ttl) {
        int64_t lease;
        Sim sim;

        set_up(&sim);
        lease = lease_of(&sim);
        update(&sim, "192.0.2.1", "", 60);
        ck_assert_int_eq(lease_of(&sim), lease);
        for (int i = 0; i < 60000; i++) {
                rig_run_ms(&sim.rig, 1);
                ck_assert_int_ne(lease_of(&sim), 0);
                ck_assert(rig_has(&sim.rig, machine_key));
                ck_assert_str_ne(sim_state(&sim, 0, "a.service"), "");
        }
        ck_assert_int_ne(lease_of(&sim), lease);
        ck_assert_uint_eq(sim.machines[0].n_changes, 1);

        /* They are on the new lease, which a restart finds, and it lasts that long. */
        sim_crash(&sim, 0);
        rig_run_ms(&sim.rig, 35000);
        ck_assert(rig_has(&sim.rig, machine_key));
        rig_run_ms(&sim.rig, 30000);
        ck_assert(!rig_has(&sim.rig, machine_key));
        ck_assert_str_eq(sim_state(&sim, 0, "a.service"), "");
        sim_done(&sim);
}
END_TEST

/* A store that grants no lease: the machine stays on the old one, and moves once it can. */
START_TEST(test_update_ttl_while_full) {
        int64_t lease;
        Sim sim;

        set_up(&sim);
        lease = lease_of(&sim);
        memory_store_set_full(sim.rig.memory, true);
        update(&sim, "192.0.2.1", "", 60);
        rig_run_ms(&sim.rig, 100000);
        ck_assert_int_eq(lease_of(&sim), lease);
        memory_store_set_full(sim.rig.memory, false);
        rig_run_ms(&sim.rig, 30000);
        ck_assert_int_ne(lease_of(&sim), 0);
        ck_assert_int_ne(lease_of(&sim), lease);
        ck_assert(rig_has(&sim.rig, machine_key));
        sim_done(&sim);
}
END_TEST

/* An outage is a line for each cause, and one for its end, however long it was and however often
 * the lease was tried; the next outage is another. A store that is full and keeps renewing the
 * lease that there is says so once. */
START_TEST(test_outage_is_told_once) {
        Sim sim;

        set_up(&sim);
        listen(LOG_DEBUG);
        for (unsigned i = 1; i <= 2; i++) {
                sim_cut(&sim, 0, true);
                rig_run_ms(&sim.rig, 600000);
                ck_assert_uint_eq(n_troubles, i);
                ck_assert_uint_eq(n_relieved, i - 1);
                sim_cut(&sim, 0, false);
                rig_run_ms(&sim.rig, 60000);
                ck_assert_uint_eq(n_relieved, i);
        }

        listen(LOG_WARNING);
        memory_store_set_full(sim.rig.memory, true);
        update(&sim, "192.0.2.1", "", 60);
        rig_run_ms(&sim.rig, 600000);
        listen_no_more();
        ck_assert_uint_eq(n_troubles, 1);
        ck_assert_uint_eq(n_relieved, 0);
        sim_done(&sim);
}
END_TEST

/* The store comes back emptied, or put back to what it was before the unit was scheduled: the
 * machine says so and stays out, and its units run. A restart takes the store as it is. */
START_TEST(test_wiped_store) {
        for (int is_restored = 0; is_restored < 2; is_restored++) {
                Sim sim;

                set_up(&sim);
                sim_cut(&sim, 0, true);
                rig_run_ms(&sim.rig, 1);
                memory_store_wipe(sim.rig.memory);
                if (is_restored)
                        rig_set(&sim.rig, "unit/other.service",
                                "{\"desired\":\"inactive\",\"file\":\"x\",\"generation\":1}");
                listen(LOG_ERR);
                sim_cut(&sim, 0, false);
                rig_run_ms(&sim.rig, 600000);
                listen_no_more();
                ck_assert(says_wiped);
                ck_assert_int_eq(lease_of(&sim), 0);
                ck_assert(!rig_has(&sim.rig, machine_key));
                ck_assert(fake_machine_unit_is_active(sim.machines[0].fake, "a.service"));

                sim_stop(&sim, 0);
                sim_start(&sim, 0);
                rig_run_ms(&sim.rig, 10000);
                ck_assert_int_ne(lease_of(&sim), 0);
                ck_assert(!fake_machine_unit_is_active(sim.machines[0].fake, "a.service"));
                sim_done(&sim);
        }
}
END_TEST

/* The store is put back to a time after the last change that concerned this machine. It knows all
 * the same, since each renewal of its lease tells how far the store was. */
START_TEST(test_store_is_put_back_a_little) {
        int64_t revision;
        Sim sim;

        set_up(&sim);
        revision = rig_revision(&sim.rig);
        for (unsigned i = 0; i < 20; i++)
                rig_set(&sim.rig, "unit/other.service", "");
        rig_run_ms(&sim.rig, SIM_TTL_S * 1000);
        sim_cut(&sim, 0, true);
        rig_run_ms(&sim.rig, 1);
        memory_store_wipe(sim.rig.memory);
        while (rig_revision(&sim.rig) < revision + 10)
                rig_set(&sim.rig, "unit/other.service", "");
        listen(LOG_ERR);
        sim_cut(&sim, 0, false);
        rig_run_ms(&sim.rig, 60000);
        listen_no_more();
        ck_assert(says_wiped);
        ck_assert_int_eq(lease_of(&sim), 0);
        ck_assert(fake_machine_unit_is_active(sim.machines[0].fake, "a.service"));
        sim_done(&sim);
}
END_TEST

/* Its record is removed or overwritten by hand while its lease lives: it is there again at once, and
 * nothing has happened, for Exclusive units either. Where the lease has ended, too, the machine
 * notices at once as well. */
START_TEST(test_record_by_hand) {
        static const char *const values[] = { NULL, "{", "{\"version\":\"1\"}" };
        const char *right;
        int64_t lease;
        Sim sim;

        set_up(&sim);
        lease = lease_of(&sim);
        right = rig_get(&sim.rig, machine_key);
        for (size_t i = 0; i < ELEMENTSOF(values); i++) {
                if (values[i])
                        rig_set(&sim.rig, machine_key, values[i]);
                else
                        rig_remove(&sim.rig, machine_key);
                for (unsigned ms = 0; ms < 100; ms++) {
                        rig_run_ms(&sim.rig, 1);
                        ck_assert_int_eq(lease_of(&sim), lease);
                }
                ck_assert_str_eq(rig_get(&sim.rig, machine_key), right);
        }

        memory_store_expire_lease(sim.rig.memory, lease);
        rig_run_ms(&sim.rig, 100);
        ck_assert_int_ne(lease_of(&sim), lease);
        rig_run_ms(&sim.rig, STEP_MS);
        ck_assert_int_ne(lease_of(&sim), 0);
        ck_assert_str_eq(rig_get(&sim.rig, machine_key), right);
        ck_assert_uint_eq(sim.machines[0].n_changes, 1);
        sim_done(&sim);
}
END_TEST

/* The right data comes back after all: the machine goes on as if nothing had happened. */
START_TEST(test_wiped_store_comes_back) {
        int64_t revision;
        Sim sim;

        set_up(&sim);
        revision = rig_revision(&sim.rig);
        sim_cut(&sim, 0, true);
        rig_run_ms(&sim.rig, 1);
        memory_store_wipe(sim.rig.memory);
        sim_cut(&sim, 0, false);
        rig_run_ms(&sim.rig, 60000);
        ck_assert_int_eq(lease_of(&sim), 0);
        sim_set_row(&sim, 0, "a.service", plain, LAUNCHED, 1);
        while (rig_revision(&sim.rig) <= revision)
                rig_set(&sim.rig, "engine/other", "");
        rig_run_ms(&sim.rig, 60000);
        ck_assert_int_ne(lease_of(&sim), 0);
        ck_assert(rig_has(&sim.rig, machine_key));
        ck_assert_uint_eq(sim.machines[0].n_changes, 1);
        sim_done(&sim);
}
END_TEST

static int answered;     /* the status of the last request... */
static bool says_closed; /* ...and whether its body says that the store is closed */

static void on_answer(int status, const Buf *body, void *userdata) {
        static const char words[] = "the store is closed: its records are being moved";

        (void)userdata;
        answered = status;
        says_closed = body && body->n_bytes > 0 &&
                      memmem(body->data, body->n_bytes, words, strlen(words));
}

/* Have a user submit a unit; returns what the API answered. */
static int submit(Sim *sim, const char *path) {
        answered = 0;
        exchange_send(&sim->machines[0].server, "PUT", path,
                      "{\"desiredState\":\"inactive\",\"options\":[{\"section\":\"Service\","
                      "\"name\":\"ExecStart\",\"value\":\"/bin/true\"}]}",
                      on_answer, NULL);
        rig_run_ms(&sim->rig, STEP_MS);
        return answered;
}

static const char closed[] = "{\"why\":\"its records are being moved\"}";

/* A store that is closed while the machine is a member: it stays one, its units run, and nobody
 * changes anything; also not a request that was on its way when it was closed. */
START_TEST(test_closed_store) {
        int64_t lease;
        Sim sim;

        set_up(&sim);
        lease = lease_of(&sim);
        ck_assert_int_eq(submit(&sim, "/fleet/v1/units/b.service"), 201);
        rig_set(&sim.rig, "closed", closed);
        ck_assert_int_eq(submit(&sim, "/fleet/v1/units/c.service"), 503);
        rig_run_ms(&sim.rig, 60000);
        ck_assert_int_eq(submit(&sim, "/fleet/v1/units/c.service"), 503);
        ck_assert(says_closed);
        ck_assert(!rig_has(&sim.rig, "unit/c.service"));
        ck_assert_str_eq(presence_why_closed(sim.machines[0].presence),
                         "its records are being moved");
        ck_assert_int_eq(lease_of(&sim), lease);
        ck_assert(rig_has(&sim.rig, machine_key));
        ck_assert_uint_eq(sim.machines[0].n_changes, 1);

        rig_remove(&sim.rig, "closed");
        rig_run_ms(&sim.rig, 1);
        ck_assert_ptr_null(presence_why_closed(sim.machines[0].presence));
        ck_assert_int_eq(submit(&sim, "/fleet/v1/units/c.service"), 201);
        ck_assert_int_eq(lease_of(&sim), lease);
        sim_done(&sim);
}
END_TEST

/* A daemon that finds a closed store waits, and takes nothing there for the truth; without a reason
 * that can be read, too. */
START_TEST(test_waits_for_an_open_store) {
        static const char *const records[] = { closed, "nonsense" };

        for (size_t i = 0; i < ELEMENTSOF(records); i++) {
                Sim sim;

                set_up(&sim);
                sim_crash(&sim, 0);
                rig_run_ms(&sim.rig, 2 * SIM_TTL_S * 1000);
                rig_set(&sim.rig, "closed", records[i]);
                sim_remove_row(&sim, 0, "a.service");
                sim_start(&sim, 0);
                rig_run_ms(&sim.rig, 60000);
                ck_assert_int_eq(lease_of(&sim), 0);
                ck_assert(!rig_has(&sim.rig, machine_key));
                ck_assert_int_eq(submit(&sim, "/fleet/v1/units/c.service"), 503);
                ck_assert(fake_machine_unit_is_active(sim.machines[0].fake, "a.service"));

                sim_set_row(&sim, 0, "a.service", plain, LAUNCHED, 1);
                rig_remove(&sim.rig, "closed");
                rig_run_ms(&sim.rig, STEP_MS);
                ck_assert_int_ne(lease_of(&sim), 0);
                ck_assert_uint_eq(sim.machines[0].n_changes, 1);
                sim_done(&sim);
        }
}
END_TEST

/* Records that came from another store have generations that its revisions allowed; a new unit's is
 * above them. */
START_TEST(test_generations_after_a_move) {
        Sim sim;

        set_up(&sim);
        sim_crash(&sim, 0);
        rig_set(&sim.rig, "origin", "{\"revision\":5000000}");
        sim_start(&sim, 0);
        rig_run_ms(&sim.rig, STEP_MS);
        ck_assert_int_eq(submit(&sim, "/fleet/v1/units/b.service"), 201);
        ck_assert_ptr_nonnull(strstr(rig_get(&sim.rig, "unit/b.service"), "\"generation\":50000"));
        sim_done(&sim);
}
END_TEST

static int change(void *context) {
        Sim *sim = context;
        MachineRecord record = { .address = (char *)"192.0.2.9",
                                 .hostname = (char *)"other",
                                 .version = (char *)"2.0.0" };

        return presence_update(sim->machines[0].presence, &record, SIM_TTL_S * US_PER_S);
}

/* A change that there is no memory for changes nothing, and one that there is memory for does. */
START_TEST(test_update_out_of_memory) {
        Sim sim;

        set_up(&sim);
        for (size_t n = 0;; n++) {
                bool has_failed;
                int r;

                fault_arm(n);
                r = change(&sim);
                has_failed = fault_disarm();
                ck_assert_int_eq(r, r < 0 ? -ENOMEM : 0);
                rig_run_ms(&sim.rig, STEP_MS);
                ck_assert_int_ne(lease_of(&sim), 0);
                if (r < 0)
                        expect_record(&sim, "\"address\":\"192.0.2.1\"");
                if (!has_failed)
                        break;
        }
        rig_run_ms(&sim.rig, STEP_MS);
        expect_record(&sim, "\"address\":\"192.0.2.9\"");
        sim_done(&sim);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_update_record,
                test_update_again,
                test_late_answer,
                test_lease_ends_early,
                test_update_ttl,
                test_update_ttl_while_full,
                test_update_out_of_memory,
                test_wiped_store,
                test_store_is_put_back_a_little,
                test_wiped_store_comes_back,
                test_record_by_hand,
                test_outage_is_told_once,
                test_closed_store,
                test_waits_for_an_open_store,
                test_generations_after_a_move,
        };

        return tests_run("presence", tests, ELEMENTSOF(tests));
}
