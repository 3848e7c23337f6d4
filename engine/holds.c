/* SPDX-License-Identifier: Apache-2.0 */

/* The holds of lost machines.
 *
 * A hold is removed when its machine's record has been absent, as this leader saw, for as long as
 * systemd may take to stop the unit there, and the hold is still the same revision as when the
 * absence was first seen. That is enough:
 *
 *   - A machine begins to stop its Exclusive units before its lease can have ended, so before
 *     anybody can have seen its record go (agent/exclusive.c, and the guard when fleetd is dead).
 *   - A machine that comes back writes its holds anew before it starts such a unit again. So one
 *     that came and went while this leader looked away has given its hold another revision, and
 *     the count begins anew.
 *
 * The removal compares that revision, the leader's record, and the absence of the machine's; so a
 * copy of it that arrives late is refused. A leader that has just been elected begins to count anew.
 */

#include "engine/holds.h"

#include <errno.h>
#include <inttypes.h>
#include <syslog.h>

#include "lib/base/log.h"
#include "lib/unit/exclusive.h"

enum { HOLDS_RETRY_US = US_PER_S };

/* One hold. */
struct Hold {
        HashNode node;          /* Holds.by_unit */
        ListNode due_node;      /* Holds.due */
        char *unit;             /* owned */
        HoldRecord record;      /* of `revision` */
        int64_t revision;       /* of its last change */
        uint64_t absent_us;     /* since when the machine has been seen absent at this revision; 0 =
                                  it is there */
        uint64_t not_before_us; /* of the next try */
        bool is_listed;         /* told since the last reset */
};

static void on_timer(LoopTimer *timer) {
        container_of(timer, Holds, timer)->is_dirty = true;
}

void holds_init(Holds *holds, Registry *registry, const Cluster *cluster, uint64_t seed,
                void (*idle)(Holds *holds)) {
        *holds = (Holds){
                .registry = registry,
                .cluster = cluster,
                .idle = idle,
                .by_unit = hash_map_make(seed),
                .timer.fn = on_timer,
        };
}

static void hold_free(Holds *holds, Hold *hold) {
        if (holds->removing == hold)
                holds->removing = NULL;
        hash_map_remove(&holds->by_unit, &hold->node);
        list_remove(&hold->due_node);
        hold_record_done(&hold->record);
        free(hold->unit);
        free(hold);
}

void holds_begin(Holds *holds, int64_t fence) {
        holds->fence = fence;
}

void holds_end(Holds *holds) {
        HashNode *node;

        holds->fence = 0;
        timer_clear(&holds->timer);
        registry_write_cancel(&holds->write);
        while ((node = hash_map_first(&holds->by_unit)))
                hold_free(holds, container_of(node, Hold, node));
}

void holds_done(Holds *holds) {
        hash_map_done(&holds->by_unit);
        registry_write_clear(&holds->write);
}

void holds_reset(Holds *holds) {
        for (HashNode *node = hash_map_first(&holds->by_unit); node;
             node = hash_map_next(&holds->by_unit, node))
                container_of(node, Hold, node)->is_listed = false;
}

void holds_synced(Holds *holds) {
        HashNode *node, *next;

        for (node = hash_map_first(&holds->by_unit); node; node = next) {
                Hold *hold = container_of(node, Hold, node);

                next = hash_map_next(&holds->by_unit, node);
                if (!hold->is_listed)
                        hold_free(holds, hold);
        }
        holds->is_dirty = true;
}

/* The hold on this unit, made if there is none; NULL on out of memory. */
static Hold *holds_get(Holds *holds, const char *unit) {
        HashNode *node = hash_map_get(&holds->by_unit, unit);
        Hold *hold;

        if (node)
                return container_of(node, Hold, node);

        hold = calloc(1, sizeof(*hold));
        if (!hold)
                return NULL;

        hold->unit = strdup(unit);
        if (!hold->unit || hash_map_put(&holds->by_unit, &hold->node, hold->unit) < 0) {
                free(hold->unit);
                free(hold);
                return NULL;
        }
        return hold;
}

static int apply_hold(Holds *holds, const Record *record) {
        HashNode *node = hash_map_get(&holds->by_unit, record->key.unit);
        char *machine;
        Hold *hold;

        /* Who has one that cannot be read is not known, so nobody will take it away. */
        if (record->is_deleted || record->is_bad) {
                if (node)
                        hold_free(holds, container_of(node, Hold, node));
                return 0;
        }

        hold = holds_get(holds, record->key.unit);
        machine = strdup(record->hold.machine);
        if (!hold || !machine) {
                free(machine);
                return -ENOMEM;
        }

        if (hold->revision != record->mod_revision) {
                hold->absent_us = 0;
                list_remove(&hold->due_node);
        }
        hold_record_done(&hold->record);
        hold->record = (HoldRecord){ .machine = machine, .stop_s = record->hold.stop_s };
        hold->revision = record->mod_revision;
        hold->is_listed = true;
        return 0;
}

int holds_apply(Holds *holds, const Record *record) {
        switch (record->key.kind) {
        case RECORD_HOLD:
                holds->is_dirty = true;
                return apply_hold(holds, record);
        case RECORD_MACHINE:
                holds->is_dirty = true;
                return 0;
        default:
                return 0;
        }
}

static bool machine_is_there(const Holds *holds, const char *machine) {
        const ClusterMachine *found = cluster_find_machine(holds->cluster, machine);

        return found && found->has_record;
}

static uint64_t hold_due_us(const Hold *hold) {
        uint64_t stop_s = hold->record.stop_s < EXCLUSIVE_STOP_MAX_S ? hold->record.stop_s
                                                                     : EXCLUSIVE_STOP_MAX_S;
        uint64_t due_us = hold->absent_us + stop_s * US_PER_S;

        return due_us > hold->not_before_us ? due_us : hold->not_before_us;
}

/* Removing */

static void on_removed(RegistryWrite *write, int status, int64_t revision) {
        Holds *holds = container_of(write, Holds, write);
        Hold *hold = TAKE(holds->removing);

        (void)revision;
        holds->idle(holds);
        if (status == -ECANCELED)
                return;

        holds->is_dirty = true;
        if (status == 0) {
                holds->n_removed++;
                if (hold)
                        hold_free(holds, hold);
                return;
        }

        /* Refused or not known: the watch tells what there is, and else it is tried again. */
        log_line(LOG_NOTICE, "Cannot take a hold from a machine that is lost, trying again: %s",
                 registry_outcome_to_string(status));
        if (hold)
                hold->not_before_us = loop_now_us(registry_loop(holds->registry)) + HOLDS_RETRY_US;
}

static void holds_remove(Holds *holds, Hold *hold) {
        const char *machine = hold->record.machine;
        RegistryWrite *write = &holds->write;

        registry_write_begin(write, holds->registry);
        registry_write_if_created_at(write, (RecordKey){ .kind = RECORD_LEADER }, holds->fence);
        registry_write_if_absent(write, (RecordKey){ .kind = RECORD_MACHINE, .machine = machine });
        registry_write_if_modified_at(write, (RecordKey){ .kind = RECORD_HOLD, .unit = hold->unit },
                                      hold->revision);
        registry_write_delete_hold(write, hold->unit, machine);
        if (registry_write_commit(write, on_removed) < 0) {
                hold->not_before_us = loop_now_us(registry_loop(holds->registry)) + HOLDS_RETRY_US;
                holds->is_dirty = true;
                return;
        }

        holds->removing = hold;
        log_unit(LOG_NOTICE, hold->unit,
                 "%s may start elsewhere: machine %.8s has been gone for longer than the %" PRIu64
                 " s that it may take to stop there",
                 hold->unit, machine, hold->record.stop_s);
}

/* Who has gone, who has come back, and when is the next due? */
static void holds_look(Holds *holds) {
        Loop *loop = registry_loop(holds->registry);
        uint64_t now_us = loop_now_us(loop), next_us = UINT64_MAX;

        holds->is_dirty = false;
        for (HashNode *node = hash_map_first(&holds->by_unit); node;
             node = hash_map_next(&holds->by_unit, node)) {
                Hold *hold = container_of(node, Hold, node);
                uint64_t due_us;

                if (machine_is_there(holds, hold->record.machine)) {
                        hold->absent_us = 0;
                        list_remove(&hold->due_node);
                        continue;
                }

                if (hold->absent_us == 0)
                        hold->absent_us = now_us;
                due_us = hold_due_us(hold);
                if (due_us > now_us)
                        next_us = due_us < next_us ? due_us : next_us;
                else if (!list_node_is_linked(&hold->due_node) && hold != holds->removing)
                        list_append(&holds->due, &hold->due_node);
        }

        if (next_us == UINT64_MAX)
                timer_clear(&holds->timer);
        else
                timer_set_at(loop, &holds->timer, next_us);
}

void holds_turn(Holds *holds) {
        ListNode *node;

        if (holds->is_dirty)
                holds_look(holds);
        if (holds->fence == 0 || registry_write_is_pending(&holds->write))
                return;

        node = list_pop(&holds->due);
        if (node)
                holds_remove(holds, container_of(node, Hold, due_node));
}

bool holds_is_busy(const Holds *holds) {
        return registry_write_is_pending(&holds->write);
}

void holds_count(const Holds *holds, uint64_t *ret_n_holds, uint64_t *ret_n_lost) {
        uint64_t n_lost = 0;

        for (HashNode *node = hash_map_first(&holds->by_unit); node;
             node = hash_map_next(&holds->by_unit, node))
                n_lost += container_of(node, Hold, node)->absent_us > 0;
        *ret_n_holds = holds->by_unit.n_nodes;
        *ret_n_lost = n_lost;
}
