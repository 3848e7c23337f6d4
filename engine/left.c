/* SPDX-License-Identifier: Apache-2.0 */

/* A machine may have begun with a unit and not have reported it yet when the unit is taken away
 * again. So what is absent counts only when it is asked for a second later: that is the second look,
 * since they are a second apart. A unit that takes long to end is looked at ever more seldom.
 */

#include "engine/left.h"

#include <errno.h>

enum {
        LEFT_LOOK_US = US_PER_S,
        LEFT_LOOKS_MAX = 64, /* from then on each so many */
};

bool left_is_busy(const LeftCheck *check) {
        return registry_read_is_pending(&check->read);
}

void left_stop(LeftCheck *check) {
        timer_clear(&check->timer);
        while (list_pop(&check->due))
                ;
        if (left_is_busy(check))
                registry_read_cancel(&check->read);
}

static void ask_next(LeftCheck *check);

static void mark_due(LeftCheck *check, ClusterUnit *unit) {
        if (!list_node_is_linked(&unit->left_due_node))
                list_append(&check->due, &unit->left_due_node);
}

/* The unit that was asked about, if it still is as it was then. */
static ClusterUnit *asked_unit(const LeftCheck *check) {
        HashNode *node = hash_map_get(&check->cluster->units, check->unit);
        ClusterUnit *unit = node ? container_of(node, ClusterUnit, node) : NULL;

        return unit && unit->is_asked_about && strlist_has(&unit->left, check->machine) ? unit
                                                                                        : NULL;
}

static void on_state(RegistryRead *read, int status, const RegistryPage *page) {
        LeftCheck *check = container_of(read, LeftCheck, read);
        ClusterUnit *unit = asked_unit(check);

        if (unit)
                unit->is_asked_about = false;
        if (unit && status == 0 && page->n_records == 0) {
                strlist_remove(&unit->left, check->machine);
                cluster_mark_dirty(check->cluster, unit);
                if (unit->left.n_items > 0)
                        mark_due(check, unit);
        }
        free(TAKE(check->unit));
        free(TAKE(check->machine));
        check->read_ended(check);
        ask_next(check);
}

/* Returns 0 or a negative errno. */
static int ask(LeftCheck *check, ClusterUnit *unit) {
        RegistryRange range = { .key = { .kind = RECORD_STATE }, .keys_only = true };

        check->unit = strdup(unit->name);
        check->machine = strdup(unit->left.items[0]);
        if (!check->unit || !check->machine)
                return -ENOMEM;
        range.key.unit = check->unit;
        range.key.machine = check->machine;
        return registry_read(check->registry, &check->read, &range, on_state);
}

static void ask_next(LeftCheck *check) {
        ListNode *node;

        while (!left_is_busy(check) && (node = list_pop(&check->due))) {
                ClusterUnit *unit = container_of(node, ClusterUnit, left_due_node);
                int r = unit->left.n_items > 0 ? ask(check, unit) : -ENOENT;

                unit->is_asked_about = r == 0;
                if (r == 0)
                        return;
                free(TAKE(check->unit));
                free(TAKE(check->machine));
        }
}

/* States of a machine that is not there are not there either. */
static void forget_lost_machines(LeftCheck *check, ClusterUnit *unit) {
        for (size_t i = unit->left.n_items; i > 0; i--) {
                if (cluster_has_machine(check->cluster, unit->left.items[i - 1]))
                        continue;
                strlist_remove(&unit->left, unit->left.items[i - 1]);
                cluster_mark_dirty(check->cluster, unit);
        }
}

static void look(LeftCheck *check) {
        List *leavers = &check->cluster->leavers;

        for (ListNode *node = list_first(leavers); node; node = list_next(leavers, node)) {
                ClusterUnit *unit = container_of(node, ClusterUnit, leaver_node);
                uint32_t n = ++unit->n_left_looks;

                forget_lost_machines(check, unit);
                if (n > 1 && ((n & (n - 1)) == 0 || n % LEFT_LOOKS_MAX == 0))
                        mark_due(check, unit);
        }
        ask_next(check);
}

static void on_timer(LoopTimer *timer) {
        /* The next turn in which there is something to believe looks. */
        (void)timer;
}

void left_turn(LeftCheck *check) {
        if (list_is_empty(&check->cluster->leavers) || timer_is_set(&check->timer))
                return;

        check->timer.fn = on_timer;
        look(check);
        timer_set_in(registry_loop(check->registry), &check->timer, LEFT_LOOK_US);
}
