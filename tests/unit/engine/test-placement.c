/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdio.h>

#include "engine/placement.h"
#include "tests/sim/virtual-env.h"
#include "tests/unit/engine/view.h"
#include "tests/unit/fault.h"

/* Where units run: tables of clusters and the plans that they must give. */

static const JobState L = JOB_STATE_LAUNCHED;

typedef struct TableMachine {
        const char *id;
        const char *metadata;
} TableMachine;

typedef struct TableUnit {
        const char *name;
        const char *options; /* lines of [X-Fleet] */
        const char *on;      /* machine that the store has a row on, or NULL */
        bool is_inactive;
        bool is_loaded;
} TableUnit;

typedef struct TableRow {
        const char *claim;
        TableMachine machines[6];
        TableUnit units[8];
        const char *plan;
        const char *why_of; /* unit whose reason is `why`, or NULL */
        const char *why;
} TableRow;

static const char *options_of(const TableUnit *unit) {
        return unit->options ? unit->options : "";
}

static JobState desired_of(const TableUnit *unit) {
        return unit->is_inactive ? JOB_STATE_INACTIVE
               : unit->is_loaded ? JOB_STATE_LOADED
                                 : JOB_STATE_LAUNCHED;
}

static void apply_item(Cluster *cluster, const TableRow *row, size_t item) {
        const TableUnit *unit;

        if (item < ELEMENTSOF(row->machines)) {
                if (row->machines[item].id)
                        view_machine(cluster, row->machines[item].id,
                                     row->machines[item].metadata ? row->machines[item].metadata
                                                                  : "");
                return;
        }

        unit = &row->units[(item - ELEMENTSOF(row->machines)) / 3];
        if (!unit->name)
                return;
        switch ((item - ELEMENTSOF(row->machines)) % 3) {
        case 0:
                view_file(cluster, options_of(unit));
                break;
        case 1:
                view_unit_record(cluster, unit->name, options_of(unit), desired_of(unit), 1);
                break;
        default:
                if (unit->on)
                        view_row(cluster, unit->on, unit->name, options_of(unit), 1);
        }
}

enum { N_ITEMS = 6 + 3 * 8 };

/* Builds the cluster in an order drawn from `env`, or as written, and plans it in one round. */
static void plan_row(Cluster *cluster, const TableRow *row, VirtualEnv *env) {
        size_t order[N_ITEMS];

        for (size_t i = 0; i < N_ITEMS; i++)
                order[i] = i;
        for (size_t i = N_ITEMS - 1; env && i > 0; i--) {
                size_t k = env_random_below(&env->env, i + 1), t = order[i];

                order[i] = order[k];
                order[k] = t;
        }

        cluster_init(cluster, env ? env->random_state[0] : 1);
        for (size_t i = 0; i < N_ITEMS; i++)
                apply_item(cluster, row, order[i]);
        view_plan_all(cluster);
}

static void check_row(const Cluster *cluster, const TableRow *row) {
        ck_assert_msg(streq(view_plan_text(cluster), row->plan), "%s: \"%s\" instead of \"%s\"",
                      row->claim, view_plan_text(cluster), row->plan);
        if (row->why_of)
                ck_assert_msg(streq(view_why(cluster, row->why_of), row->why), "%s: \"%s\"",
                              row->claim, view_why(cluster, row->why_of));
}

/* Every row as written and in 20 other orders; planning again changes nothing, nor does it after a
 * commit. */
static void check_table(const TableRow *rows, size_t n_rows) {
        for (size_t i = 0; i < n_rows; i++) {
                VirtualEnv env;
                Cluster cluster;

                virtual_env_init(&env, i);
                for (int k = 0; k < 20; k++) {
                        plan_row(&cluster, &rows[i], k == 0 ? NULL : &env);
                        check_row(&cluster, &rows[i]);
                        view_plan_all(&cluster);
                        check_row(&cluster, &rows[i]);
                        (void)view_commit(&cluster);
                        view_plan_all(&cluster);
                        check_row(&cluster, &rows[i]);
                        ck_assert_uint_eq(view_commit(&cluster), 0);
                        cluster_done(&cluster);
                }
        }
}

/* Load: the fewest units win, the lowest ID among equals; units are taken by name, each counted
 * before the next; global units count. */
START_TEST(test_load) {
        static const TableRow rows[] = {
                { "ties go to the lowest ID",
                  { { "m2" }, { "m1" }, { "m3" } },
                  { { "a" } },
                  "a=m1" },
                { "each pick is counted",
                  { { "m2" }, { "m1" }, { "m3" } },
                  { { "d" }, { "b" }, { "c" }, { "a" } },
                  "a=m1 b=m2 c=m3 d=m1" },
                { "units that are there count",
                  { { "m1" }, { "m2" } },
                  { { "x", NULL, "m1" },
                    { "y", NULL, "m1" },
                    { "z", NULL, "m2" },
                    { "a" },
                    { "b" } },
                  "a=m2 b=m1 x=m1 y=m1 z=m2" },
                { "global units count where they fit",
                  { { "m1", "g=yes" }, { "m2" } },
                  { { "g", "Global=true\nMachineMetadata=g=yes" }, { "h" } },
                  "g=m1 h=m2" },
                { "inactive units do not count",
                  { { "m1" }, { "m2" } },
                  { { "a", NULL, "m1", .is_inactive = true }, { "b" } },
                  "a=- b=m1" },
                { "loaded is placed as launched is",
                  { { "m1" } },
                  { { "a", .is_loaded = true } },
                  "a=m1" },
        };

        check_table(rows, ELEMENTSOF(rows));
}
END_TEST

/* MachineID: the full ID or its first eight characters. */
START_TEST(test_machine_id) {
        static const TableRow rows[] = {
                { "the full ID",
                  { { "aaaaaaaaaa" }, { "bbbbbbbbbb" } },
                  { { "a", "MachineID=bbbbbbbbbb" } },
                  "a=bbbbbbbbbb" },
                { "eight characters",
                  { { "aaaaaaaaaa" }, { "bbbbbbbbbb" } },
                  { { "a", "MachineID=bbbbbbbb" } },
                  "a=bbbbbbbbbb" },
                { "seven are not enough",
                  { { "bbbbbbbbbb" } },
                  { { "a", "MachineID=bbbbbbb" } },
                  "a=-",
                  "a",
                  "bbbbbbbb: MachineID asks for another machine bbbbbbb" },
                { "nine are neither",
                  { { "bbbbbbbbbb" } },
                  { { "a", "MachineID=bbbbbbbbb" } },
                  "a=-" },
                { "the machine is not there",
                  { { "aaaaaaaaaa" } },
                  { { "a", "MachineID=cccccccccc" } },
                  "a=-",
                  "a",
                  "aaaaaaaa: MachineID asks for another machine cccccccccc" },
        };

        check_table(rows, ELEMENTSOF(rows));
}
END_TEST

/* MachineMetadata: one key several times is or, several keys are and. */
START_TEST(test_machine_metadata) {
        static const TableRow rows[] = {
                { "equal",
                  { { "m1", "d=hdd" }, { "m2", "d=ssd" } },
                  { { "a", "MachineMetadata=d=ssd" } },
                  "a=m2" },
                { "or over values",
                  { { "m1", "d=tape" }, { "m2", "d=hdd" } },
                  { { "a", "MachineMetadata=d=ssd\nMachineMetadata=d=hdd" } },
                  "a=m2" },
                { "and over keys",
                  { { "m1", "d=ssd" }, { "m2", "r=eu" }, { "m3", "d=ssd,r=eu" } },
                  { { "a", "MachineMetadata=\"d=ssd\" \"r=eu\"" } },
                  "a=m3" },
                { "nowhere",
                  { { "m1", "d=hdd" }, { "m2" } },
                  { { "a", "MachineMetadata=d=ssd" } },
                  "a=-",
                  "a",
                  "m1: MachineMetadata does not match; m2: MachineMetadata does not match" },
        };

        check_table(rows, ELEMENTSOF(rows));
}
END_TEST

/* MachineOf: with all its peers, over any number of hops, and never in a circle. */
START_TEST(test_machine_of) {
        static const TableRow rows[] = {
                { "with its peer, against the load",
                  { { "m1" }, { "m2" } },
                  { { "p", NULL, "m2" }, { "q", NULL, "m2" }, { "a", "MachineOf=p.service" } },
                  "a=m2 p=m2 q=m2" },
                { "a chain, last by name first",
                  { { "m1" }, { "m2" } },
                  { { "a", "MachineOf=b.service" },
                    { "b", "MachineOf=c.service" },
                    { "c", "MachineOf=d.service" },
                    { "d", "MachineID=m2" } },
                  "a=m2 b=m2 c=m2 d=m2" },
                { "a chain, pinned by metadata",
                  { { "m1" }, { "m2", "d=ssd" } },
                  { { "a", "MachineOf=b.service" },
                    { "b", "MachineOf=c.service" },
                    { "c", "MachineOf=d.service" },
                    { "d", "MachineMetadata=d=ssd" } },
                  "a=m2 b=m2 c=m2 d=m2" },
                { "all peers",
                  { { "m1" }, { "m2" } },
                  { { "a", "MachineOf=p.service\nMachineOf=q.service" },
                    { "p", NULL, "m1" },
                    { "q", NULL, "m2" } },
                  "a=- p=m1 q=m2",
                  "a",
                  "m1: MachineOf asks for the machine of q.service; m2: MachineOf asks for the "
                  "machine of p.service" },
                { "a circle",
                  { { "m1" } },
                  { { "a", "MachineOf=b.service" }, { "b", "MachineOf=a.service" } },
                  "a=- b=-",
                  "a",
                  "m1: MachineOf asks for the machine of b.service" },
                { "itself", { { "m1" } }, { { "a", "MachineOf=a.service" } }, "a=-" },
                { "a peer that is not there",
                  { { "m1" } },
                  { { "a", "MachineOf=x.service" } },
                  "a=-" },
                { "a peer that is inactive",
                  { { "m1" } },
                  { { "a", "MachineOf=p.service", "m1" },
                    { "p", NULL, "m1", .is_inactive = true } },
                  "a=- p=-" },
                { "a global peer: the least loaded machine that it fits on",
                  { { "m1" }, { "m2", "g=1" }, { "m3", "g=1" } },
                  { { "g", "Global=true\nMachineMetadata=g=1" },
                    { "x", NULL, "m2" },
                    { "a", "MachineOf=g.service" } },
                  "a=m3 g=m2,m3 x=m2" },
                { "follows a peer that no longer fits where both are",
                  { { "m1" }, { "m2", "d=ssd" } },
                  { { "a", "MachineOf=p.service", "m1" }, { "p", "MachineMetadata=d=ssd", "m1" } },
                  "a=m2 p=m2" },
        };

        check_table(rows, ELEMENTSOF(rows));
}
END_TEST

/* Conflicts: from either side, by globs, never with itself; the first by name gets the machine. */
START_TEST(test_conflicts) {
        static const TableRow rows[] = {
                { "apart",
                  { { "m1" }, { "m2" } },
                  { { "a", "Conflicts=b.service" }, { "b" } },
                  "a=m1 b=m2" },
                { "from the other side",
                  { { "m1" } },
                  { { "a" }, { "b", "Conflicts=a.service" } },
                  "a=m1 b=-",
                  "b",
                  "m1: conflicts with a.service" },
                { "the first by name gets the only machine",
                  { { "m1" } },
                  { { "b", "Conflicts=a.service" }, { "a" }, { "c", "Conflicts=a.service" } },
                  "a=m1 b=- c=-" },
                { "globs, itself left out",
                  { { "m1" }, { "m2" } },
                  { { "w1", "Conflicts=w*.service" },
                    { "w2", "Conflicts=w*.service" },
                    { "w3", "Conflicts=w*.service" } },
                  "w1=m1 w2=m2 w3=-",
                  "w3",
                  "m1: conflicts with w1.service; m2: conflicts with w2.service" },
                { "who is there stays, also against the name",
                  { { "m1" } },
                  { { "a", "Conflicts=b.service" }, { "b", NULL, "m1" } },
                  "a=- b=m1" },
                { "of two that are there one goes",
                  { { "m1" }, { "m2" } },
                  { { "a", "Conflicts=b.service", "m1" }, { "b", NULL, "m1" } },
                  "a=m2 b=m1" },
                { "a pattern that is none matches nothing",
                  { { "m1" } },
                  { { "a", "Conflicts=[" }, { "b" } },
                  "a=m1 b=m1" },
                { "with a global one: the global one stays off",
                  { { "m1" }, { "m2" } },
                  { { "a", NULL, "m1" }, { "g", "Global=true\nConflicts=a.service" } },
                  "a=m1 g=m2" },
                { "with a global one that was first",
                  { { "m1" } },
                  { { "g", "Global=true\nConflicts=z.service" }, { "z" } },
                  "g=m1 z=-" },
                { "two global ones: the first by name",
                  { { "m1" }, { "m2" } },
                  { { "g", "Global=true\nConflicts=h.service" }, { "h", "Global=true" } },
                  "g=m1,m2 h=-" },
        };

        check_table(rows, ELEMENTSOF(rows));
}
END_TEST

/* Global: a row on every machine that fits; no placement while there is one. */
START_TEST(test_global) {
        static const TableRow rows[] = {
                { "everywhere",
                  { { "m1" }, { "m2" }, { "m3" } },
                  { { "g", "Global=true" } },
                  "g=m1,m2,m3",
                  "g",
                  "" },
                { "where it fits",
                  { { "m1", "d=ssd" }, { "m2" }, { "m3", "d=ssd" } },
                  { { "g", "Global=true\nMachineMetadata=d=ssd" } },
                  "g=m1,m3" },
                { "nowhere",
                  { { "m1" } },
                  { { "g", "Global=true\nMachineMetadata=d=ssd" } },
                  "g=-",
                  "g",
                  "m1: MachineMetadata does not match" },
                { "keeps its row on a machine that is not there",
                  { { "m1" } },
                  { { "g", "Global=true", "m9" } },
                  "g=m1,m9" },
                { "and only there",
                  { { "m1" } },
                  { { "g", "Global=true\nMachineMetadata=d=ssd", "m1" } },
                  "g=-" },
                { "inactive",
                  { { "m1" } },
                  { { "g", "Global=true", "m1", .is_inactive = true } },
                  "g=-" },
        };

        check_table(rows, ELEMENTSOF(rows));
}
END_TEST

/* Units stay where they fit, and keep their row on a lost machine where nothing else fits. */
START_TEST(test_staying_and_moving) {
        static const TableRow rows[] = {
                { "stays, whatever the load",
                  { { "m1" }, { "m2" } },
                  { { "a", NULL, "m1" }, { "b", NULL, "m1" }, { "c", NULL, "m1" } },
                  "a=m1 b=m1 c=m1" },
                { "moves when its machine went",
                  { { "m1" }, { "m2" } },
                  { { "a", NULL, "m9" }, { "b", NULL, "m1" } },
                  "a=m2 b=m1" },
                { "moves when it does not fit any more",
                  { { "m1" }, { "m2", "d=ssd" } },
                  { { "a", "MachineMetadata=d=ssd", "m1" } },
                  "a=m2" },
                { "leaves also when it fits nowhere",
                  { { "m1" } },
                  { { "a", "MachineMetadata=d=ssd", "m1" } },
                  "a=-",
                  "a",
                  "m1: MachineMetadata does not match" },
                { "keeps its row on a lost machine, and says why",
                  { { "m1" } },
                  { { "a", "MachineMetadata=d=ssd", "m9" } },
                  "a=m9",
                  "a",
                  "its machine m9 is not there, and no other fits: m1: MachineMetadata does not "
                  "match" },
                { "no machine at all",
                  { { NULL } },
                  { { "a" }, { "b", NULL, "m9" } },
                  "a=- b=m9",
                  "a",
                  "no machine is registered" },
                { "a template is never placed",
                  { { "m1" } },
                  { { "t@" }, { "t@1" } },
                  "t@=- t@1=m1" },
        };

        check_table(rows, ELEMENTSOF(rows));
}
END_TEST

/* Of thousands of machines the lowest eight are named, and how many more there are. */
START_TEST(test_reasons_are_short) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        for (int i = 99; i >= 0; i--) {
                char id[16];

                (void)snprintf(id, sizeof(id), "m%02d", i);
                view_machine(&cluster, id, "");
        }
        view_unit(&cluster, "a", "MachineID=x", L, 1);
        view_plan_all(&cluster);
        ck_assert_int_eq(strncmp(view_why(&cluster, "a"),
                                 "m00: MachineID asks for another machine x; m01: ", 46),
                         0);
        ck_assert_ptr_nonnull(strstr(view_why(&cluster, "a"), "m07: "));
        ck_assert_ptr_null(strstr(view_why(&cluster, "a"), "m08"));
        ck_assert_ptr_nonnull(strstr(view_why(&cluster, "a"), "; and 92 more machines"));
        cluster_done(&cluster);
}
END_TEST

/* A reason that would be too long is cut at a machine, and is still a reason. */
START_TEST(test_long_reasons) {
        char options[600] = "MachineID=";
        Cluster cluster;

        memset(options + 10, 'x', 500);
        cluster_init(&cluster, 1);
        view_machine(&cluster, "m1", "");
        view_machine(&cluster, "m2", "");
        view_machine(&cluster, "m3", "");
        view_unit(&cluster, "a", options, L, 1);
        view_plan_all(&cluster);
        ck_assert_uint_le(strlen(view_why(&cluster, "a")), PLACEMENT_WHY_BYTES);
        ck_assert_int_eq(strncmp(view_why(&cluster, "a"), "m1: MachineID asks", 18), 0);
        cluster_done(&cluster);
}
END_TEST

/* What changes afterwards: each step says what must have changed by the next plan, and nothing
 * else. */
START_TEST(test_life_of_a_unit) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_machine(&cluster, "m1", "");
        view_machine(&cluster, "m2", "");
        view_unit(&cluster, "a", "", L, 1);
        view_plan_all(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1");
        ck_assert_str_eq(view_placement_machine(&cluster, "a"), "m1");
        ck_assert_uint_eq(view_commit(&cluster), 2);

        /* Asked for again: the row and the placement follow the generation. */
        view_unit(&cluster, "a", "", L, 2);
        view_plan(&cluster);
        ck_assert_uint_eq(view_commit(&cluster), 2);

        /* Its machine goes, and comes back: it stays where it went. */
        view_machine_gone(&cluster, "m1");
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m2");
        ck_assert_uint_eq(view_commit(&cluster), 3);
        view_machine(&cluster, "m1", "");
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m2");
        ck_assert_uint_eq(view_commit(&cluster), 0);

        view_unit(&cluster, "a", "", JOB_STATE_INACTIVE, 3);
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=-");
        ck_assert_uint_eq(view_commit(&cluster), 2);

        view_unit(&cluster, "a", "MachineID=m2", JOB_STATE_LOADED, 4);
        view_plan(&cluster);
        (void)view_commit(&cluster);
        view_unit_gone(&cluster, "a");
        view_plan(&cluster);
        ck_assert_uint_eq(view_commit(&cluster), 2);
        ck_assert_uint_eq(cluster.units.n_nodes, 0);
        cluster_done(&cluster);
}
END_TEST

/* A machine that was lost with the only place for a unit, and returns: the unit is there, and the
 * reason goes. */
START_TEST(test_a_machine_returns) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_machine(&cluster, "m1", "d=ssd");
        view_machine(&cluster, "m2", "");
        view_unit(&cluster, "a", "MachineMetadata=d=ssd", L, 1);
        view_unit(&cluster, "g", "Global=true", L, 1);
        view_plan_all(&cluster);
        (void)view_commit(&cluster);

        view_machine_gone(&cluster, "m1");
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 g=m1,m2");
        ck_assert_str_eq(view_placement_machine(&cluster, "a"), "m1");
        ck_assert_str_ne(view_why(&cluster, "a"), "");
        ck_assert_uint_eq(view_commit(&cluster), 1);

        view_machine(&cluster, "m1", "d=ssd");
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 g=m1,m2");
        ck_assert_str_eq(view_why(&cluster, "a"), "");
        ck_assert_uint_eq(view_commit(&cluster), 1);
        cluster_done(&cluster);
}
END_TEST

/* Metadata set over the API decides like configured metadata; an empty value hides a configured
 * one. */
START_TEST(test_metadata_changes) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_metadata(&cluster, "m2", "d=ssd");
        view_machine(&cluster, "m1", "d=ssd");
        view_machine(&cluster, "m2", "");
        view_unit(&cluster, "a", "MachineMetadata=d=ssd", L, 1);
        view_unit(&cluster, "g", "Global=true\nMachineMetadata=d=ssd", L, 1);
        view_plan_all(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 g=m1,m2");

        view_metadata(&cluster, "m1", "d=");
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m2 g=m2");
        view_metadata(&cluster, "m2", "d=hdd");
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=- g=-");
        view_metadata(&cluster, "m1", "x=y");
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 g=m1");
        cluster_done(&cluster);
}
END_TEST

/* A follower goes where its peer goes, in the same round; room that is made is taken by who waited
 * for it. */
START_TEST(test_others_follow) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_machine(&cluster, "m1", "");
        view_machine(&cluster, "m2", "");
        view_unit(&cluster, "a", "MachineOf=p.service", L, 1);
        view_unit(&cluster, "p", "", L, 1);
        view_unit(&cluster, "w", "Conflicts=*", L, 1);
        view_plan_all(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 p=m1 w=m2");

        view_unit(&cluster, "x", "", L, 1);
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 p=m1 w=m2 x=m1");

        view_machine_gone(&cluster, "m1");
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 p=m1 w=m2 x=m1");
        view_unit_gone(&cluster, "w");
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m2 p=m2 x=m2");
        cluster_done(&cluster);
}
END_TEST

/* What cannot be read stays as it is: a unit with a bad record keeps its row, one whose content is
 * missing or on its way keeps what runs. */
START_TEST(test_bad_records_freeze) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_machine(&cluster, "m1", "");
        view_unit_bad(&cluster, "bad");
        view_row(&cluster, "m1", "bad", "", 1);
        view_unit_bad(&cluster, "nowhere");
        view_unit_record(&cluster, "lost", "x=1", L, 2);
        view_row(&cluster, "m1", "lost", "x=1", 1);
        view_unit_record(&cluster, "new", "x=2", L, 1);
        view_plan_all(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "bad=m1 lost=m1 new=- nowhere=-");
        ck_assert_str_eq(view_why(&cluster, "new"),
                         "its unit file is missing in the store, or broken");
        ck_assert_uint_eq(view_commit(&cluster), 1);

        /* The content arrives, and the record is repaired. */
        view_file(&cluster, "x=1");
        view_file(&cluster, "x=2");
        view_unit(&cluster, "bad", "MachineID=elsewhere", L, 2);
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "bad=- lost=m1 new=m1 nowhere=-");
        ck_assert_str_eq(view_why(&cluster, "new"), "");
        cluster_done(&cluster);
}
END_TEST

/* A machine's record that does not parse and is on no lease was written by no machine: none appears
 * for it, and none that is there goes. On a lease there is a machine. */
START_TEST(test_bad_machine_records) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_machine_bad(&cluster, "m0", 0);
        view_unit(&cluster, "a", "", L, 1);
        view_plan_all(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=-");

        view_machine_bad(&cluster, "m1", 7);
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1");

        view_machine(&cluster, "m2", "");
        view_unit(&cluster, "b", "", L, 1);
        view_plan(&cluster);
        view_machine_bad(&cluster, "m2", 0);
        view_plan_all(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 b=m2");
        cluster_done(&cluster);
}
END_TEST

/* A bad row is written anew; rows and placements of units that do not exist go; a unit on two
 * machines is left on one. */
START_TEST(test_repairs) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_machine(&cluster, "m1", "");
        view_machine(&cluster, "m2", "");
        view_row_bad(&cluster, "m2", "a");
        view_unit(&cluster, "a", "", L, 1);
        view_placement(&cluster, "a", "m2", NULL, 1);
        view_row(&cluster, "m1", "ghost", "", 1);
        view_placement(&cluster, "ghost", "m1", NULL, 1);
        view_unit(&cluster, "two", "", L, 1);
        view_row(&cluster, "m2", "two", "", 1);
        view_row(&cluster, "m1", "two", "", 1);
        view_row(&cluster, "m9", "two", "", 1);
        view_plan_all(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m2 two=m1");
        /* a's row; ghost's row and placement; two's rows on m2 and m9, and its placement. */
        ck_assert_uint_eq(view_commit(&cluster), 6);
        cluster_done(&cluster);
}
END_TEST

/* A new machine gets the global units, and nothing else moves to it. */
START_TEST(test_a_machine_joins) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_machine(&cluster, "m2", "");
        view_unit(&cluster, "a", "", L, 1);
        view_unit(&cluster, "b", "", L, 1);
        view_unit(&cluster, "g", "Global=true", L, 1);
        view_plan_all(&cluster);
        (void)view_commit(&cluster);
        view_machine(&cluster, "m1", "");
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m2 b=m2 g=m1,m2");
        ck_assert_uint_eq(view_commit(&cluster), 1);
        cluster_done(&cluster);
}
END_TEST

/* A unit whose options change is planned by the new ones: conflicts are counted in and out, a
 * global one becomes a single one. */
START_TEST(test_options_change) {
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_machine(&cluster, "m1", "");
        view_machine(&cluster, "m2", "");
        view_unit(&cluster, "a", "", L, 1);
        view_unit(&cluster, "b", "Conflicts=a.service", L, 1);
        view_plan_all(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 b=m2");
        view_unit(&cluster, "b", "Global=true", L, 2);
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 b=m1,m2");
        ck_assert_str_eq(view_placement_machine(&cluster, "b"), "");
        view_unit(&cluster, "b", "", L, 3);
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m1 b=m1");
        view_unit(&cluster, "a", "Conflicts=b.service", L, 2);
        view_plan(&cluster);
        ck_assert_str_eq(view_plan_text(&cluster), "a=m2 b=m1");
        for (HashNode *node = hash_map_first(&cluster.machines); node;
             node = hash_map_next(&cluster.machines, node)) {
                const ClusterMachine *machine = container_of(node, ClusterMachine, node);

                ck_assert_uint_eq(machine->n_wanted, 1);
                ck_assert_uint_eq(machine->n_conflicts, streq(machine->id, "m2"));
        }
        cluster_done(&cluster);
}
END_TEST

/* A chain of followers longer than a round has passes is placed all the same, in the next rounds.
 */
START_TEST(test_long_chain) {
        enum { N = 2 * PLACEMENT_PASSES_MAX };
        unsigned n_rounds = 0;
        Cluster cluster;

        cluster_init(&cluster, 1);
        view_machine(&cluster, "m1", "");
        for (int i = 0; i < N; i++) {
                char name[32], options[64] = "";

                (void)snprintf(name, sizeof(name), "u%03d", i);
                if (i < N - 1)
                        (void)snprintf(options, sizeof(options), "MachineOf=u%03d.service", i + 1);
                view_unit(&cluster, name, options, L, 1);
        }
        while (!list_is_empty(&cluster.dirty)) {
                ck_assert_int_eq(placement_plan(&cluster), 0);
                ck_assert_uint_lt(++n_rounds, 10);
        }
        for (HashNode *node = hash_map_first(&cluster.units); node;
             node = hash_map_next(&cluster.units, node))
                ck_assert_uint_eq(container_of(node, ClusterUnit, node)->n_rows, 1);
        cluster_done(&cluster);
}
END_TEST

/* Random clusters: no plan ever breaks a unit's requirements, is the same for every order of
 * arrival, and is its own plan. */
START_TEST(test_random_clusters) {
        static const char *const options[] = {
                "",
                "MachineMetadata=d=ssd",
                "Conflicts=u1*.service",
                "Global=true",
                "Global=true\nMachineMetadata=d=ssd",
                "MachineOf=u05.service",
                "MachineOf=u06.service\nMachineMetadata=d=ssd",
                "MachineID=m3",
                "Conflicts=*",
        };

        for (uint64_t seed = 0; seed < 200; seed++) {
                char first[65536] = "";

                for (int order = 0; order < 3; order++) {
                        VirtualEnv env;
                        Cluster cluster;
                        size_t kind[40];

                        virtual_env_init(&env, seed);
                        for (size_t i = 0; i < ELEMENTSOF(kind); i++)
                                kind[i] = env_random_below(&env.env,
                                                           i % 3 == 0 ? ELEMENTSOF(options) : 3);
                        cluster_init(&cluster, seed + (unsigned)order);
                        for (size_t k = 0; k < ELEMENTSOF(kind); k++) {
                                size_t i = order == 0   ? k
                                           : order == 1 ? ELEMENTSOF(kind) - 1 - k
                                                        : (k * 7 + 3) % 40;
                                char name[16], id[16];

                                (void)snprintf(name, sizeof(name), "u%02zu", i);
                                view_unit(&cluster, name, options[kind[i]], L, 1);
                                (void)snprintf(id, sizeof(id), "m%zu", i % 5);
                                view_machine(&cluster, id, i % 5 < 2 ? "d=ssd" : "");
                        }
                        view_plan_all(&cluster);
                        if (order == 0)
                                (void)snprintf(first, sizeof(first), "%s",
                                               view_plan_text(&cluster));
                        ck_assert_str_eq(view_plan_text(&cluster), first);

                        for (HashNode *node = hash_map_first(&cluster.units); node;
                             node = hash_map_next(&cluster.units, node)) {
                                const ClusterUnit *unit = container_of(node, ClusterUnit, node);

                                for (ListNode *r = list_first(&unit->rows); r;
                                     r = list_next(&unit->rows, r)) {
                                        const ClusterRow *row = container_of(r, ClusterRow,
                                                                             unit_node);

                                        if (row->is_wanted)
                                                ck_assert_ptr_null(
                                                        placement_misfit(unit, row->machine)
                                                                .reason);
                                }
                        }
                        view_plan_all(&cluster);
                        ck_assert_str_eq(view_plan_text(&cluster), first);
                        cluster_done(&cluster);
                }
        }
}
END_TEST

static int plan_for_sweep(void *context) {
        Cluster *cluster = context;

        cluster_mark_all_dirty(cluster);
        return placement_plan(cluster);
}

/* Whatever allocation of a plan fails, units stay dirty and the next plan is complete. */
START_TEST(test_plan_out_of_memory) {
        bool has_failed = true;

        for (size_t n = 0; has_failed; n++) {
                Cluster cluster;
                int r;

                cluster_init(&cluster, 1);
                view_machine(&cluster, "m1", "");
                view_machine(&cluster, "m2", "");
                view_unit(&cluster, "a", "MachineOf=b.service", L, 1);
                view_unit(&cluster, "b", "Conflicts=c.service", L, 1);
                view_unit(&cluster, "c", "MachineID=none", L, 1);
                view_unit(&cluster, "g", "Global=true", L, 1);
                fault_arm(n);
                r = plan_for_sweep(&cluster);
                has_failed = fault_disarm();
                ck_assert_int_eq(r, has_failed ? -ENOMEM : 0);
                if (r < 0)
                        ck_assert(!list_is_empty(&cluster.dirty));
                view_plan(&cluster);
                ck_assert_str_eq(view_plan_text(&cluster), "a=m1 b=m1 c=- g=m1,m2");
                cluster_done(&cluster);
        }
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_load,
                test_machine_id,
                test_machine_metadata,
                test_machine_of,
                test_conflicts,
                test_global,
                test_staying_and_moving,
                test_reasons_are_short,
                test_long_reasons,
                test_life_of_a_unit,
                test_a_machine_returns,
                test_metadata_changes,
                test_others_follow,
                test_bad_records_freeze,
                test_bad_machine_records,
                test_repairs,
                test_a_machine_joins,
                test_options_change,
                test_long_chain,
                test_random_clusters,
                test_plan_out_of_memory,
        };

        return tests_run("engine placement", tests, ELEMENTSOF(tests));
}
