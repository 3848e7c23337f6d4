/* SPDX-License-Identifier: Apache-2.0 */

/* The brake on evictions, in whole clusters: a machine that is lost loses its units, many that
 * vanish at once do not, and none of that hangs on who leads. */

#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/cluster.h"
#include "tests/unit/fault.h"

enum {
        N_MACHINES = 6,
        N_UNITS = 18,
        LONG_MS = 90 * 1000, /* for whatever is to happen, and much that is not */
};

static const char plain[] = "[Service]\nExecStart=/bin/true\n";
static const char everywhere[] = "[X-Fleet]\nGlobal=true\n";

static const char *name_of(size_t unit) {
        static char name[32];

        (void)snprintf(name, sizeof(name), "u%02zu.service", unit);
        return name;
}

static const char *key_of(const Sim *sim, const char *kind, size_t machine) {
        static char key[64];

        (void)snprintf(key, sizeof(key), "%s/%s", kind, sim->machines[machine].id);
        return key;
}

static size_t leader_of(const Sim *sim) {
        for (size_t i = 0; i < sim->n_machines; i++)
                if (sim->machines[i].engine && engine_is_leading(sim->machines[i].engine))
                        return i;
        ck_abort_msg("nobody leads");
        return 0;
}

/* The n-th machine that does not lead. */
static size_t other_of(const Sim *sim, size_t n) {
        size_t leader = leader_of(sim);

        return n < leader ? n : n + 1;
}

static bool runs_on(const Sim *sim, size_t machine, size_t unit) {
        return fake_machine_unit_is_active(sim->machines[machine].fake, name_of(unit));
}

/* Where each unit runs. */
typedef struct Places {
        size_t machine[N_UNITS];
} Places;

static Places places_of(const Sim *sim) {
        Places places = { 0 };

        for (size_t u = 0; u < N_UNITS; u++) {
                ck_assert_uint_eq(sim_copies(sim, name_of(u)), 1);
                while (!runs_on(sim, places.machine[u], u))
                        places.machine[u]++;
        }
        return places;
}

/* Each unit runs where it ran, was never stopped there, and nowhere else. */
static void assert_nothing_moved(const Sim *sim, const Places *before) {
        for (size_t u = 0; u < N_UNITS; u++) {
                size_t machine = before->machine[u];

                ck_assert_msg(runs_on(sim, machine, u) && sim_copies(sim, name_of(u)) == 1 &&
                                      fake_machine_unit_starts(sim->machines[machine].fake,
                                                               name_of(u)) == 1,
                              "unit %zu was moved from machine %zu", u, machine);
        }
}

/* Six machines with three units each. */
static Places set_up(Sim *sim, uint64_t seed) {
        sim_init(sim, seed, N_MACHINES, false);
        rig_run_ms(&sim->rig, 1000);
        for (size_t u = 0; u < N_UNITS; u++)
                sim_submit(sim, name_of(u), plain, JOB_STATE_LAUNCHED);
        rig_run_ms(&sim->rig, LONG_MS);
        return places_of(sim);
}

/* How long it takes until all units that were on the machine run elsewhere. */
static uint64_t ms_until_moved(Sim *sim, const Places *before, size_t machine) {
        for (uint64_t ms = 0; ms < LONG_MS; ms += 10) {
                size_t n_waiting = 0;

                for (size_t u = 0; u < N_UNITS; u++)
                        n_waiting += before->machine[u] == machine &&
                                     sim_copies(sim, name_of(u)) <= runs_on(sim, machine, u);
                if (n_waiting == 0)
                        return ms;
                rig_run_ms(&sim->rig, 10);
        }
        return UINT64_MAX;
}

/* A machine whose units are kept for it comes back only to leave: they are not kept any more. */
START_TEST(test_one_returns_to_leave) {
        Places before;
        size_t cut[3];
        Sim sim;

        before = set_up(&sim, 1);
        for (size_t i = 0; i < 3; i++)
                sim_cut(&sim, cut[i] = other_of(&sim, i), true);
        rig_run_ms(&sim.rig, LONG_MS);
        assert_nothing_moved(&sim, &before);

        sim_leave(&sim, cut[0]);
        sim_cut(&sim, cut[0], false);
        ck_assert_uint_le(ms_until_moved(&sim, &before, cut[0]), 10000);
        rig_run_ms(&sim.rig, 5000);
        ck_assert(sim.machines[cut[0]].has_left);
        for (size_t u = 0; u < N_UNITS; u++)
                ck_assert_uint_eq(sim_copies(&sim, name_of(u)), 1);
        sim_done(&sim);
}
END_TEST

/* Three machines of six are cut off at once, at any phase of their heartbeats: nothing moves, new
 * units find a place, and when they are back, everything is as it was. */
START_TEST(test_many_are_cut_off) {
        for (uint64_t seed = 1; seed <= 12; seed++) {
                Places before;
                size_t cut[3];
                Sim sim;

                before = set_up(&sim, seed);
                rig_run_ms(&sim.rig, 417 * seed);
                for (size_t i = 0; i < 3; i++)
                        sim_cut(&sim, cut[i] = other_of(&sim, i), true);
                rig_run_ms(&sim.rig, LONG_MS);
                assert_nothing_moved(&sim, &before);
                ck_assert_ptr_nonnull(rig_get(&sim.rig, "engine/brake"));
                ck_assert_ptr_nonnull(
                        strstr(rig_get(&sim.rig, "engine/brake"), sim.machines[cut[2]].id));
                ck_assert(engine_stats(sim.machines[leader_of(&sim)].engine).is_holding);
                ck_assert_uint_eq(engine_stats(sim.machines[leader_of(&sim)].engine).n_held, 3);

                sim_submit(&sim, "new.service", plain, JOB_STATE_LAUNCHED);
                sim_wait_copies(&sim, "new.service", 1, 5000);

                for (size_t i = 0; i < 3; i++)
                        sim_cut(&sim, cut[i], false);
                rig_run_ms(&sim.rig, LONG_MS);
                assert_nothing_moved(&sim, &before);
                ck_assert(!rig_has(&sim.rig, "engine/brake"));
                ck_assert_uint_eq(engine_stats(sim.machines[leader_of(&sim)].engine).n_missing, 0);
                sim_done(&sim);
        }
}
END_TEST

/* The leader is among them. */
START_TEST(test_many_are_cut_off_and_the_leader) {
        for (uint64_t seed = 1; seed <= 6; seed++) {
                Places before;
                size_t cut[3];
                Sim sim;

                before = set_up(&sim, seed);
                rig_run_ms(&sim.rig, 611 * seed);
                cut[0] = leader_of(&sim);
                cut[1] = other_of(&sim, 1);
                cut[2] = other_of(&sim, 3);
                for (size_t i = 0; i < 3; i++)
                        sim_cut(&sim, cut[i], true);
                rig_run_ms(&sim.rig, LONG_MS);
                assert_nothing_moved(&sim, &before);
                ck_assert(rig_has(&sim.rig, "engine/brake"));
                for (size_t i = 0; i < 3; i++)
                        sim_cut(&sim, cut[i], false);
                rig_run_ms(&sim.rig, LONG_MS);
                assert_nothing_moved(&sim, &before);
                ck_assert(!rig_has(&sim.rig, "engine/brake"));
                sim_done(&sim);
        }
}
END_TEST

/* The same where leases are renewed one after the other, and end so: others may be about to vanish
 * when the next leader finds some missing. */
START_TEST(test_leader_and_others_vanish_in_turn) {
        for (uint64_t seed = 1; seed <= 12; seed++) {
                Places before;
                size_t cut[3];
                Sim sim;

                before = set_up(&sim, seed);
                for (size_t i = 0; i < N_MACHINES; i++) {
                        sim_crash(&sim, i);
                        sim_start(&sim, i);
                        rig_run_ms(&sim.rig, 800);
                }
                rig_run_ms(&sim.rig, 30000 + 411 * seed);
                cut[0] = leader_of(&sim);
                cut[1] = other_of(&sim, seed % 5);
                cut[2] = other_of(&sim, (seed + 2) % 5);
                for (size_t i = 0; i < 3; i++)
                        sim_cut(&sim, cut[i], true);
                rig_run_ms(&sim.rig, LONG_MS);
                assert_nothing_moved(&sim, &before);
                ck_assert(rig_has(&sim.rig, "engine/brake"));
                sim_done(&sim);
        }
}
END_TEST

/* Evictions stay held when the leader changes, twice. */
START_TEST(test_held_through_elections) {
        size_t cut[3], leader;
        Places before;
        char *brake;
        Sim sim;

        before = set_up(&sim, 21);
        for (size_t i = 0; i < 3; i++)
                sim_cut(&sim, cut[i] = other_of(&sim, i), true);
        rig_run_ms(&sim.rig, LONG_MS);
        brake = strdup(rig_get(&sim.rig, "engine/brake"));
        for (size_t n = 0; n < 2; n++) {
                leader = leader_of(&sim);
                sim_stop(&sim, leader);
                rig_run_ms(&sim.rig, 2000);
                sim_start(&sim, leader);
                rig_run_ms(&sim.rig, LONG_MS);
                ck_assert_uint_ne(leader_of(&sim), leader);
                assert_nothing_moved(&sim, &before);
                ck_assert_str_eq(rig_get(&sim.rig, "engine/brake"), brake);
        }
        for (size_t i = 0; i < 3; i++)
                sim_cut(&sim, cut[i], false);
        rig_run_ms(&sim.rig, LONG_MS);
        assert_nothing_moved(&sim, &before);
        free(brake);
        sim_done(&sim);
}
END_TEST

/* An operator gives one up: its units run elsewhere, the others' stay. When it is back, the word is
 * over, and there is one copy of each. */
START_TEST(test_one_is_given_up) {
        Places before;
        size_t cut[3];
        Sim sim;

        before = set_up(&sim, 31);
        for (size_t i = 0; i < 3; i++)
                sim_cut(&sim, cut[i] = other_of(&sim, i), true);
        rig_run_ms(&sim.rig, LONG_MS);
        rig_set(&sim.rig, key_of(&sim, "evict", cut[1]), "{\"asked\":1}");
        ck_assert_uint_lt(ms_until_moved(&sim, &before, cut[1]), 1000);
        rig_run_ms(&sim.rig, LONG_MS);
        for (size_t u = 0; u < N_UNITS; u++)
                ck_assert_uint_eq(sim_copies(&sim, name_of(u)),
                                  before.machine[u] == cut[1] ? 2 : 1);
        ck_assert(rig_has(&sim.rig, "engine/brake"));
        ck_assert(rig_has(&sim.rig, key_of(&sim, "evict", cut[1])));

        for (size_t i = 0; i < 3; i++)
                sim_cut(&sim, cut[i], false);
        rig_run_ms(&sim.rig, LONG_MS);
        ck_assert(!rig_has(&sim.rig, "engine/brake"));
        ck_assert(!rig_has(&sim.rig, key_of(&sim, "evict", cut[1])));
        for (size_t u = 0; u < N_UNITS; u++) {
                ck_assert_uint_eq(sim_copies(&sim, name_of(u)), 1);
                if (before.machine[u] != cut[1])
                        ck_assert(runs_on(&sim, before.machine[u], u));
        }
        sim_done(&sim);
}
END_TEST

/* One machine that is lost is no mass failure: its units run elsewhere within its time and a second,
 * whether it led or not. */
START_TEST(test_one_is_lost) {
        for (uint64_t seed = 1; seed <= 8; seed++) {
                size_t lost;
                Places before;
                Sim sim;

                before = set_up(&sim, seed);
                rig_run_ms(&sim.rig, 733 * seed);
                lost = seed % 2 ? leader_of(&sim) : other_of(&sim, 2);
                sim_power_off(&sim, lost);
                ck_assert_uint_le(ms_until_moved(&sim, &before, lost), SIM_TTL_S * 1000 + 1000);
                ck_assert(!rig_has(&sim.rig, "engine/brake"));
                sim_done(&sim);
        }
}
END_TEST

/* Two are lost, the leader among them: the new one gives the other a moment, and no more. */
START_TEST(test_leader_and_another_are_lost) {
        size_t lost[2];
        Places before;
        Sim sim;

        before = set_up(&sim, 41);
        lost[0] = leader_of(&sim);
        lost[1] = other_of(&sim, 4);
        sim_power_off(&sim, lost[0]);
        sim_power_off(&sim, lost[1]);
        ck_assert_uint_le(ms_until_moved(&sim, &before, lost[0]), SIM_TTL_S * 1000 + 4000);
        ck_assert_uint_le(ms_until_moved(&sim, &before, lost[1]), SIM_TTL_S * 1000 + 4000);
        sim_done(&sim);
}
END_TEST

/* All leases end, as when the store stood still for longer than their time: whoever is back first
 * leads, and leaves the others' units to them. */
START_TEST(test_all_leases_end) {
        for (uint64_t seed = 51; seed <= 58; seed++) {
                Places before;
                Sim sim;

                before = set_up(&sim, seed);
                for (size_t i = 0; i < N_MACHINES; i++)
                        sim_cut(&sim, i, true);
                rig_run_ms(&sim.rig, 20000);
                for (size_t i = 0; i < N_MACHINES; i++) {
                        sim_cut(&sim, i, false);
                        rig_run_ms(&sim.rig, 300 * (seed % 4));
                }
                rig_run_ms(&sim.rig, LONG_MS);
                assert_nothing_moved(&sim, &before);
                sim_done(&sim);
        }
}
END_TEST

/* A machine's record is deleted by hand: the machine puts it back, and keeps its units. */
START_TEST(test_a_record_is_deleted_by_hand) {
        Places before;
        size_t victim;
        Sim sim;

        before = set_up(&sim, 61);
        victim = other_of(&sim, 3);
        rig_remove(&sim.rig, key_of(&sim, "machine", victim));
        rig_run_ms(&sim.rig, LONG_MS);
        ck_assert(rig_has(&sim.rig, key_of(&sim, "machine", victim)));
        assert_nothing_moved(&sim, &before);
        sim_done(&sim);
}
END_TEST

/* Machines that are gone for good leave rows of global units behind. They are no part of the
 * cluster any more: neither do they count as vanished, nor do they raise the limit, whoever leads. */
START_TEST(test_gone_for_good) {
        size_t lost[3], leader;
        Places before;
        Sim sim;

        before = set_up(&sim, 71);
        sim_submit(&sim, "all.service", everywhere, JOB_STATE_LAUNCHED);
        sim_wait_copies(&sim, "all.service", N_MACHINES, 5000);
        for (size_t i = 0; i < 2; i++)
                sim_power_off(&sim, lost[i] = other_of(&sim, i));
        rig_run_ms(&sim.rig, LONG_MS);
        ck_assert_uint_eq(engine_stats(sim.machines[leader_of(&sim)].engine).n_missing, 0);

        leader = leader_of(&sim);
        sim_stop(&sim, leader);
        rig_run_ms(&sim.rig, 2000);
        sim_start(&sim, leader);
        rig_run_ms(&sim.rig, LONG_MS);
        ck_assert_uint_eq(engine_stats(sim.machines[leader_of(&sim)].engine).n_missing, 0);
        before = places_of(&sim);
        sim_power_off(&sim, lost[2] = leader);
        ck_assert_uint_le(ms_until_moved(&sim, &before, lost[2]), SIM_TTL_S * 1000 + 1000);
        ck_assert(!rig_has(&sim.rig, "engine/brake"));
        sim_done(&sim);
}
END_TEST

/* A user asks for a unit whose machine is held: it waits, and says for what. */
START_TEST(test_asking_for_a_held_unit) {
        Places before;
        size_t cut[3], unit = 0;
        char key[64];
        Sim sim;

        before = set_up(&sim, 81);
        for (size_t i = 0; i < 3; i++)
                sim_cut(&sim, cut[i] = other_of(&sim, i), true);
        rig_run_ms(&sim.rig, LONG_MS);
        while (before.machine[unit] != cut[0])
                unit++;
        sim_submit(&sim, name_of(unit), plain, JOB_STATE_LAUNCHED);
        rig_run_ms(&sim.rig, 1000);
        (void)snprintf(key, sizeof(key), "placement/%s", name_of(unit));
        ck_assert_ptr_nonnull(strstr(rig_get(&sim.rig, key), "is missing, and keeps its units"));
        assert_nothing_moved(&sim, &before);

        for (size_t i = 0; i < 3; i++)
                sim_cut(&sim, cut[i], false);
        rig_run_ms(&sim.rig, LONG_MS);
        ck_assert_ptr_null(strstr(rig_get(&sim.rig, key), "why"));
        assert_nothing_moved(&sim, &before);
        sim_done(&sim);
}
END_TEST

/* A unit that has to be with one that is held waits for it, instead of fetching it. */
START_TEST(test_following_a_held_unit) {
        static const char follower[] = "follower.service";
        size_t cut[3], unit = 0;
        char text[128];
        Places before;
        Sim sim;

        before = set_up(&sim, 82);
        for (size_t i = 0; i < 3; i++)
                sim_cut(&sim, cut[i] = other_of(&sim, i), true);
        rig_run_ms(&sim.rig, LONG_MS);
        while (before.machine[unit] != cut[0])
                unit++;
        (void)snprintf(text, sizeof(text), "[X-Fleet]\nMachineOf=%s\n", name_of(unit));
        sim_submit(&sim, follower, text, JOB_STATE_LAUNCHED);
        rig_run_ms(&sim.rig, 1000);
        ck_assert_ptr_nonnull(strstr(rig_get(&sim.rig, "placement/follower.service"), "why"));
        assert_nothing_moved(&sim, &before);

        for (size_t i = 0; i < 3; i++)
                sim_cut(&sim, cut[i], false);
        rig_run_ms(&sim.rig, LONG_MS);
        ck_assert(fake_machine_unit_is_active(sim.machines[cut[0]].fake, follower));
        assert_nothing_moved(&sim, &before);
        sim_done(&sim);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_many_are_cut_off,
                test_many_are_cut_off_and_the_leader,
                test_leader_and_others_vanish_in_turn,
                test_held_through_elections,
                test_one_is_given_up,
                test_one_is_lost,
                test_leader_and_another_are_lost,
                test_all_leases_end,
                test_a_record_is_deleted_by_hand,
                test_gone_for_good,
                test_asking_for_a_held_unit,
                test_following_a_held_unit,
                test_one_returns_to_leave,
        };

        return tests_run("brake", tests, ELEMENTSOF(tests));
}
