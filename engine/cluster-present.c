/* SPDX-License-Identifier: Apache-2.0 */

/* The machines that are there, in a heap ordered by (load, ID), so that the least loaded one is at
 * hand; and, where it is asked for, in the order of their IDs.
 */

#include <errno.h>

#include "engine/cluster-private.h"

static bool machine_is_before(const ClusterMachine *a, const ClusterMachine *b) {
        if (a->n_wanted != b->n_wanted)
                return a->n_wanted < b->n_wanted;
        return strcmp(a->id, b->id) < 0;
}

static void present_place(Cluster *cluster, size_t index, ClusterMachine *machine) {
        cluster->present[index] = machine;
        machine->heap_index = index;
}

void cluster_present_sift(Cluster *cluster, ClusterMachine *machine) {
        size_t index = machine->heap_index;

        while (index > 0 && machine_is_before(machine, cluster->present[(index - 1) / 2])) {
                present_place(cluster, index, cluster->present[(index - 1) / 2]);
                index = (index - 1) / 2;
        }

        for (;;) {
                size_t child = 2 * index + 1;

                if (child >= cluster->n_present)
                        break;
                if (child + 1 < cluster->n_present &&
                    machine_is_before(cluster->present[child + 1], cluster->present[child]))
                        child++;
                if (!machine_is_before(cluster->present[child], machine))
                        break;
                present_place(cluster, index, cluster->present[child]);
                index = child;
        }

        present_place(cluster, index, machine);
}

static int present_grow(Cluster *cluster) {
        size_t n = cluster->n_present_allocated ? 2 * cluster->n_present_allocated : 16;
        ClusterMachine **machines;

        machines = reallocarray(cluster->present, n, sizeof(ClusterMachine *));
        if (!machines)
                return -ENOMEM;
        cluster->present = machines;

        machines = reallocarray(cluster->by_id, n, sizeof(ClusterMachine *));
        if (!machines)
                return -ENOMEM;
        cluster->by_id = machines;

        cluster->n_present_allocated = n;
        return 0;
}

int cluster_present_add(Cluster *cluster, ClusterMachine *machine) {
        if (cluster->n_present == cluster->n_present_allocated) {
                int r = present_grow(cluster);

                if (r < 0)
                        return r;
        }

        cluster->is_sorted = false;
        machine->is_present = true;
        present_place(cluster, cluster->n_present++, machine);
        cluster_present_sift(cluster, machine);
        return 0;
}

void cluster_present_remove(Cluster *cluster, ClusterMachine *machine) {
        ClusterMachine *last = cluster->present[--cluster->n_present];

        cluster->is_sorted = false;
        machine->is_present = false;
        if (last == machine)
                return;
        present_place(cluster, machine->heap_index, last);
        cluster_present_sift(cluster, last);
}

static int compare_machines(const void *a, const void *b) {
        const ClusterMachine *const *x = a, *const *y = b;

        return strcmp((*x)->id, (*y)->id);
}

void cluster_sort_machines(Cluster *cluster) {
        if (cluster->is_sorted)
                return;

        if (cluster->n_present > 0) {
                memcpy(cluster->by_id, cluster->present,
                       cluster->n_present * sizeof(ClusterMachine *));
                qsort(cluster->by_id, cluster->n_present, sizeof(ClusterMachine *),
                      compare_machines);
        }
        for (size_t i = 0; i < cluster->n_present; i++)
                cluster->by_id[i]->rank = (uint32_t)i;
        cluster->is_sorted = true;
}
