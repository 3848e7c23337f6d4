/* SPDX-License-Identifier: Apache-2.0 */

/* A template that is replaced leaves its instances as they are: each has a content of its own. Who
 * replaces the template most often wants them to follow, so those that have the very content which
 * the template loses are found here; an instance that was given another content once is not.
 */

#include <errno.h>
#include <stdlib.h>

#include "fleetctl/listing.h"
#include "fleetctl/plan.h"
#include "lib/unit/unit-name.h"

static bool any_template_is_replaced(const Plan *plan) {
        for (size_t i = 0; i < plan->n_entries; i++)
                if (plan->entries[i].is_template && plan->entries[i].action == PLAN_REPLACE)
                        return true;
        return false;
}

/* The entry of the template that `unit` is an instance of, when that is replaced. */
static int find_template(const Plan *plan, const Unit *unit, const PlanEntry **ret_template) {
        _cleanup_(freep) char *name = NULL;
        HashNode *node;
        int r;

        *ret_template = NULL;
        if (!unit->name || !unit_name_is_instance(unit->name))
                return 0;

        r = unit_name_template(unit->name, &name);
        if (r < 0)
                return r;
        node = hash_map_get(&plan->by_name, name);
        if (node && container_of(node, PlanEntry, node)->action == PLAN_REPLACE)
                *ret_template = container_of(node, PlanEntry, node);
        return 0;
}

static int consider(Plan *plan, const Unit *unit) {
        const PlanEntry *template;
        int r;

        r = find_template(plan, unit, &template);
        if (r < 0 || !template || hash_map_get(&plan->by_name, unit->name))
                return r;
        if (unit->options && template->current.options &&
            unit_file_equals(unit->options, template->current.options))
                plan->instances[plan->n_instances++] = (PlanInstance){ unit, template };
        return 0;
}

int plan_find_instances(Plan *plan, Client *client, Diag *diag) {
        int r;

        if (!any_template_is_replaced(plan))
                return 0;

        r = client_list(client, LIST_UNITS, &plan->listed, diag);
        if (r < 0 || plan->listed.n_units == 0)
                return r;

        qsort(plan->listed.units, plan->listed.n_units, sizeof(Unit), listing_compare_units);
        plan->instances = calloc(plan->listed.n_units, sizeof(*plan->instances));
        if (!plan->instances)
                return -ENOMEM;
        for (size_t i = 0; r == 0 && i < plan->listed.n_units; i++)
                r = consider(plan, &plan->listed.units[i]);
        return r;
}
