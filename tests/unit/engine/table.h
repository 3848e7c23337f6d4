/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Tables of clusters and the plans that they must give. */

#include "tests/unit/engine/view.h"

/* A machine that is there. */
typedef struct TableMachine {
        const char *id;
        const char *metadata;
} TableMachine;

/* A unit that is there, with its content. */
typedef struct TableUnit {
        const char *name;
        const char *options; /* lines of [X-Fleet] */
        const char *on;      /* machine that the store has a row on, or NULL */
        bool is_inactive;
        bool is_loaded;
} TableUnit;

/* A cluster, and its plan as view_plan_text() writes it. */
typedef struct TableRow {
        const char *claim;
        TableMachine machines[6];
        TableUnit units[8];
        const char *plan;
        const char *why_of; /* unit whose reason is `why`, or NULL */
        const char *why;
} TableRow;

/* Check every row as written and in 20 other orders of arrival; that planning again changes nothing,
 * and that nothing is left to do after a commit. */
void table_check(const TableRow *rows, size_t n_rows);
