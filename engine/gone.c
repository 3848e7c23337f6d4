/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/gone.h"

#include <stdlib.h>
#include <syslog.h>

#include "lib/base/log.h"

typedef struct GoneMachine {
        HashNode node; /* Gone.machines */
        uint64_t since_us;
        bool is_away; /* the look under way has found it so */
        char id[];
} GoneMachine;

static GoneMachine *gone_machine(Gone *gone, const char *id, uint64_t now_us) {
        HashNode *node = hash_map_get(&gone->machines, id);
        size_t n_bytes = strlen(id) + 1;
        GoneMachine *machine;

        if (node)
                return container_of(node, GoneMachine, node);

        machine = calloc(1, sizeof(*machine) + n_bytes);
        if (!machine)
                return NULL;

        machine->since_us = now_us;
        memcpy(machine->id, id, n_bytes);
        if (hash_map_put(&gone->machines, &machine->node, machine->id) < 0) {
                free(machine);
                return NULL;
        }
        return machine;
}

/* Drops those that the look has not found, or all. */
static void gone_drop(Gone *gone, bool all) {
        HashNode *next;

        for (HashNode *node = hash_map_first(&gone->machines); node; node = next) {
                GoneMachine *machine = container_of(node, GoneMachine, node);

                next = hash_map_next(&gone->machines, node);
                if (machine->is_away && !all) {
                        machine->is_away = false;
                        continue;
                }
                hash_map_remove(&gone->machines, node);
                free(machine);
        }
}

static void unwant_globals(Cluster *cluster, ClusterMachine *machine) {
        ListNode *node = list_first(&machine->rows);
        LogSubject subject = { .machine = machine->id };
        size_t n_rows = 0;

        while (node) {
                ClusterRow *row = container_of(node, ClusterRow, machine_node);

                node = list_next(&machine->rows, node);
                if (!row->is_wanted || !row->unit->requirements || !row->unit->requirements->global)
                        continue;
                cluster_unwant_row(cluster, row);
                n_rows++;
        }
        if (n_rows > 0)
                log_about(LOG_NOTICE, &subject,
                          "Machine %.8s has been away for an hour: no global unit is scheduled to "
                          "it any more (%zu were)",
                          machine->id, n_rows);
}

void gone_look(Gone *gone, Cluster *cluster, uint64_t now_us) {
        HashNode *next;

        for (HashNode *node = hash_map_first(&cluster->machines); node; node = next) {
                ClusterMachine *machine = container_of(node, ClusterMachine, node);
                GoneMachine *away;

                next = hash_map_next(&cluster->machines, node);
                if (machine->is_present || machine->is_leaving || machine->is_held ||
                    machine->n_rows == 0)
                        continue;

                away = gone_machine(gone, machine->id, now_us);
                if (!away)
                        continue;
                away->is_away = true;
                if (now_us - away->since_us >= GONE_AFTER_US)
                        unwant_globals(cluster, machine);
        }
        gone_drop(gone, false);
}

void gone_done(Gone *gone) {
        gone_drop(gone, true);
        hash_map_done(&gone->machines);
        *gone = (Gone){ .machines = hash_map_make(gone->machines.seed) };
}
