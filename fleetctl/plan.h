/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What submit, load and start have to write: for each unit named, whether the cluster knows it,
 * where its content comes from, and whether it replaces what the cluster has (contract
 * section 2.6). Nothing is changed here.
 */

#include <stdbool.h>
#include <stddef.h>

#include "fleetctl/client.h"
#include "fleetctl/resolve.h"
#include "lib/base/diag.h"
#include "lib/base/hash-map.h"
#include "lib/base/macro.h"
#include "lib/base/strlist.h"
#include "lib/model/entity.h"
#include "lib/unit/unit-file.h"

enum { PLAN_MAX_UNITS = 4096 }; /* that the server takes in one request (docs/api.md) */

/* What becomes of a unit's content. */
typedef enum PlanAction {
        PLAN_KEEP,    /* the cluster's stays */
        PLAN_CREATE,  /* the cluster does not know the unit */
        PLAN_REPLACE, /* the cluster's is replaced */
} PlanAction;

/* One unit. */
typedef struct PlanEntry {
        HashNode node;    /* in Plan.by_name */
        const char *name; /* borrowed from Plan.resolved */
        const char *path; /* where its file would be; borrowed from Plan.resolved */
        Unit current;     /* as the cluster has it; its name is NULL when it is unknown there */
        UnitFile *local;  /* owned; content of its file or, for an instance, of the template beside
                             it; or NULL */
        char *local_path; /* owned; where that was */
        bool is_local_template;
        UnitFile *content; /* owned; what to write; NULL for PLAN_KEEP */
        PlanAction action;
        bool is_global;
        bool is_template; /* --replace swaps the content of one, and brings it to no state */
} PlanEntry;

/* An instance in the cluster that has the content which a template loses by the plan. */
typedef struct PlanInstance {
        const Unit *unit;          /* borrowed from Plan.listed */
        const PlanEntry *template; /* borrowed from Plan.entries */
} PlanInstance;

/* The units in the order of the command line. Zeroed is empty. */
typedef struct Plan {
        Resolved resolved;  /* what the words mean */
        PlanEntry *entries; /* owned array, parallel to its names */
        size_t n_entries;
        HashMap by_name;
        StrList templates;       /* names of templates looked up in the cluster */
        Unit *cluster_templates; /* owned array, parallel to templates; zeroed where unknown */
        Page listed;             /* the cluster's units, when a template is replaced */
        PlanInstance *instances; /* owned array, by name; those that the plan has not anyway */
        size_t n_instances;      /* how many */
        StrList notes;           /* for stdout: what was found to be the same */
        StrList warnings;        /* for stderr: what differs and was left */
        StrList spelling;        /* for the log: options and sections that mean nothing */
} Plan;

/* How to plan. */
typedef struct PlanOptions {
        bool replace;        /* replace units that differ */
        bool only_inactive;  /* but only those that are desired to be inactive */
        bool skip_templates; /* that only a pattern means */
} PlanOptions;

/* Free everything; empty afterwards. */
void plan_done(Plan *plan);

/* Plan for the units that `words` mean, PLAN_MAX_UNITS at most. Contents to be written have been checked as the server will
 * check them. Returns 0, or a negative errno with the contract's message for the first unit at
 * fault. The caller calls plan_done(), also after an error. */
int plan_make(Client *client, const StrList *words, const PlanOptions *options, Plan *ret_plan,
              Diag *diag);

/* Find the instances that have the content which templates of the finished plan lose. Part of
 * plan_make(). */
int plan_find_instances(Plan *plan, Client *client, Diag *diag);
