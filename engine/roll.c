/* SPDX-License-Identifier: Apache-2.0 */

/* The roll. Machines that are there are entries of the map only; those that are missing stand in a
 * list, too, so that a decision costs what is missing. */

#include "engine/roll.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void roll_init(Roll *roll, uint64_t seed) {
        *roll = (Roll){ .machines = hash_map_make(seed) };
}

static void roll_free_machine(Roll *roll, RollMachine *machine) {
        if (list_node_is_linked(&machine->missing_node))
                roll->n_missing--;
        else
                roll->n_present--;
        list_remove(&machine->missing_node);
        hash_map_remove(&roll->machines, &machine->node);
        metadata_done(&machine->metadata);
        free(machine->address);
        free(machine->id);
        free(machine);
}

void roll_done(Roll *roll) {
        HashNode *node, *next;

        for (node = hash_map_first(&roll->machines); node; node = next) {
                next = hash_map_next(&roll->machines, node);
                roll_free_machine(roll, container_of(node, RollMachine, node));
        }
        hash_map_done(&roll->machines);
        *roll = (Roll){ .machines = hash_map_make(roll->machines.seed),
                        .rule = roll->rule,
                        .window_us = roll->window_us };
}

RollMachine *roll_find(const Roll *roll, const char *id) {
        HashNode *node = hash_map_get(&roll->machines, id);

        return node ? container_of(node, RollMachine, node) : NULL;
}

/* A machine that is there, of which nothing is known. NULL without memory. */
static RollMachine *roll_new_machine(Roll *roll, const char *id) {
        RollMachine *machine = calloc(1, sizeof(*machine));

        if (!machine)
                return NULL;

        machine->id = strdup(id);
        if (!machine->id || hash_map_put(&roll->machines, &machine->node, machine->id) < 0) {
                free(machine->id);
                free(machine);
                return NULL;
        }
        roll->n_present++;
        return machine;
}

static int roll_know(RollMachine *machine, const char *address, const Metadata *metadata) {
        _cleanup_(freep) char *copy = address ? strdup(address) : NULL;
        Metadata copied;
        int r;

        if (address && !copy)
                return -ENOMEM;
        r = metadata_copy(metadata, &copied);
        if (r < 0)
                return r;

        metadata_done(&machine->metadata);
        machine->metadata = copied;
        free(machine->address);
        machine->address = TAKE(copy);
        return 0;
}

static void roll_return(Roll *roll, RollMachine *machine) {
        if (!list_node_is_linked(&machine->missing_node))
                return;

        list_remove(&machine->missing_node);
        roll->n_missing--;
        roll->n_present++;
        roll->version++;
        machine->vanished_us = machine->missing_since_s = machine->hold_until_us = 0;
        machine->is_unlooked = machine->is_given_up = machine->is_held = false;
}

int roll_seen(Roll *roll, const char *id, const MachineRecord *record, int64_t lease) {
        RollMachine *machine = roll_find(roll, id);

        if (!machine)
                machine = roll_new_machine(roll, id);
        if (!machine)
                return -ENOMEM;

        roll_return(roll, machine);
        machine->lease = lease;
        machine->is_listed = true;
        return record ? roll_know(machine, record->address, &record->metadata) : 0;
}

static void roll_miss(Roll *roll, RollMachine *machine, uint64_t now_us, uint64_t wall_us) {
        list_append(&roll->missing, &machine->missing_node);
        roll->n_missing++;
        roll->n_present--;
        roll->version++;
        machine->vanished_us = now_us;
        machine->missing_since_s = wall_us / US_PER_S;
        machine->is_unlooked = true;
}

void roll_gone(Roll *roll, const char *id, uint64_t now_us, uint64_t wall_us) {
        RollMachine *machine = roll_find(roll, id);

        if (machine && !list_node_is_linked(&machine->missing_node))
                roll_miss(roll, machine, now_us, wall_us);
}

void roll_left(Roll *roll, const char *id) {
        RollMachine *machine = roll_find(roll, id);

        if (!machine)
                return;

        roll->version++;
        roll_free_machine(roll, machine);
}

void roll_begin_list(Roll *roll) {
        for (HashNode *node = hash_map_first(&roll->machines); node;
             node = hash_map_next(&roll->machines, node))
                container_of(node, RollMachine, node)->is_listed = false;
}

void roll_end_list(Roll *roll, uint64_t now_us, uint64_t wall_us) {
        for (HashNode *node = hash_map_first(&roll->machines); node;
             node = hash_map_next(&roll->machines, node)) {
                RollMachine *machine = container_of(node, RollMachine, node);

                if (!machine->is_listed && !list_node_is_linked(&machine->missing_node))
                        roll_miss(roll, machine, now_us, wall_us);
        }
}

int roll_add_missing(Roll *roll, const char *id, const Machine *known, uint64_t now_us,
                     uint64_t wall_us) {
        RollMachine *machine;

        if (roll_find(roll, id))
                return 0;

        machine = roll_new_machine(roll, id);
        if (!machine)
                return -ENOMEM;

        roll_miss(roll, machine, now_us, wall_us);
        if (!known)
                return 0;
        if (known->missing_since_s > 0)
                machine->missing_since_s = known->missing_since_s;
        return roll_know(machine, known->primary_ip, &known->metadata);
}

void roll_give_time(Roll *roll, uint64_t until_us) {
        for (ListNode *node = list_first(&roll->missing); node;
             node = list_next(&roll->missing, node)) {
                RollMachine *machine = container_of(node, RollMachine, missing_node);

                if (machine->is_unlooked && machine->hold_until_us < until_us)
                        machine->hold_until_us = until_us;
        }
}

void roll_give_up_looks(Roll *roll) {
        for (ListNode *node = list_first(&roll->missing); node;
             node = list_next(&roll->missing, node))
                container_of(node, RollMachine, missing_node)->is_unlooked = false;
}

/* What keeps the machine from losing its units whatever becomes of others. */
static bool machine_has_time(const RollMachine *machine, uint64_t now_us) {
        return machine->is_unlooked || machine->hold_until_us > now_us;
}

static int roll_decide(Roll *roll) {
        _cleanup_(freep)
                uint64_t *vanished = reallocarray(NULL, roll->n_missing + 1, sizeof(*vanished));
        EvictCase c = {
                .rule = roll->rule,
                .window_us = roll->window_us,
                .vanished = vanished,
                .n_present = roll->n_present,
                .is_holding = roll->is_holding,
        };

        if (!vanished)
                return -ENOMEM;

        for (ListNode *node = list_first(&roll->missing); node;
             node = list_next(&roll->missing, node)) {
                const RollMachine *machine = container_of(node, RollMachine, missing_node);

                vanished[c.n_vanished++] = machine->vanished_us;
                c.n_waiting += !machine->is_given_up;
        }
        roll->is_holding = evict_holds(&c);
        return 0;
}

/* Those that return within the time that they have been given are no failure, so nothing is held,
 * and said, before it has run out for one. */
static bool roll_is_early(const Roll *roll, uint64_t now_us) {
        for (ListNode *node = list_first(&roll->missing); node;
             node = list_next(&roll->missing, node))
                if (!machine_has_time(container_of(node, RollMachine, missing_node), now_us))
                        return false;
        return true;
}

int roll_judge(Roll *roll, uint64_t now_us, uint64_t wall_us) {
        bool was_holding = roll->is_holding;
        int r = 0;

        if (roll->is_holding || !roll_is_early(roll, now_us))
                r = roll_decide(roll);
        if (roll->is_holding != was_holding) {
                roll->version++;
                roll->since_s = roll->is_holding ? wall_us / US_PER_S : 0;
        }

        for (ListNode *node = list_first(&roll->missing); node;
             node = list_next(&roll->missing, node)) {
                RollMachine *machine = container_of(node, RollMachine, missing_node);

                if (was_holding && !roll->is_holding)
                        machine->hold_until_us = now_us + ROLL_RETURN_US;
                machine->is_held = !machine->is_given_up &&
                                   (roll->is_holding || r < 0 || machine_has_time(machine, now_us));
        }
        return r;
}

void roll_forget(Roll *roll, uint64_t now_us) {
        for (ListNode *next, *node = list_first(&roll->missing); node; node = next) {
                RollMachine *machine = container_of(node, RollMachine, missing_node);

                next = list_next(&roll->missing, node);
                if (!roll->is_holding && !machine->is_held &&
                    evict_forgets(machine->vanished_us, now_us, roll->window_us))
                        roll_free_machine(roll, machine);
        }
}

uint64_t roll_next_us(const Roll *roll, uint64_t now_us) {
        uint64_t next_us = 0;

        for (ListNode *node = list_first(&roll->missing); node;
             node = list_next(&roll->missing, node)) {
                const RollMachine *machine = container_of(node, RollMachine, missing_node);
                uint64_t at_us = machine->hold_until_us;

                if (at_us <= now_us)
                        at_us = machine->vanished_us + roll->window_us;
                if (at_us > now_us && (next_us == 0 || at_us < next_us))
                        next_us = at_us;
        }
        return next_us;
}
