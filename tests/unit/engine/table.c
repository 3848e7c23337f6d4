/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/unit/engine/table.h"

#include <check.h>

#include "tests/sim/virtual-env.h"

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

void table_check(const TableRow *rows, size_t n_rows) {
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
