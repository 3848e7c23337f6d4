/* SPDX-License-Identifier: Apache-2.0 */

/* How fast the leader decides: a view of many machines and units is built in memory and planned, for each kind of unit in turn. Prints placements
 * per second of planning alone, and what building the view, committing and planning again cost. Not a test.
 *
 *     placement [machines] [units]
 */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "engine/placement.h"

typedef struct Scenario {
        const char *name;
        const char *options; /* lines of [X-Fleet]; "%p" is the unit's template */
        size_t n_templates;  /* units are instances of so many templates; 0 = of none */
        size_t n_units;      /* at most; 0 = as many as asked for */
        bool is_pinned;      /* options end with the ID of a machine */
} Scenario;

static double now_s(void) {
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(int r, const char *what) {
        if (r < 0) {
                (void)fprintf(stderr, "Cannot %s: %s\n", what, strerror(-r));
                exit(EXIT_FAILURE);
        }
}

static void machine_id(size_t i, char ret_id[33]) {
        (void)snprintf(ret_id, 33, "%08x%024d", (unsigned)i, 0);
}

static void add_machines(Cluster *cluster, size_t n_machines) {
        static const char *const disks[] = { "hdd", "ssd", "tape", "none" };

        for (size_t i = 0; i < n_machines; i++) {
                char id[33];
                Record record = { .key = { .kind = RECORD_MACHINE, .machine = id },
                                  .mod_revision = 1 };

                machine_id(i, id);
                must(metadata_set(&record.machine.metadata, "disk", disks[i % ELEMENTSOF(disks)]),
                     "make metadata");
                must(cluster_apply(cluster, &record), "apply a machine");
                machine_record_done(&record.machine);
        }
}

static void add_unit(Cluster *cluster, const char *name, const char *options) {
        char text[512];
        Record file = { .key = { .kind = RECORD_FILE }, .mod_revision = 1, .text = text };
        Record unit = { .key = { .kind = RECORD_UNIT, .unit = name },
                        .mod_revision = 1,
                        .unit = { .desired = JOB_STATE_LAUNCHED, .generation = 1 } };

        file.n_text_bytes = (size_t)snprintf(
                text, sizeof(text), "[Service]\nExecStart=/bin/true\n\n[X-Fleet]\n%s\n", options);
        unit_text_hash(text, file.n_text_bytes, unit.unit.file);
        file.key.unit = unit.unit.file;
        if (!hash_map_get(&cluster->files, unit.unit.file))
                must(cluster_apply(cluster, &file), "apply a file");
        must(cluster_apply(cluster, &unit), "apply a unit");
}

static void add_units(Cluster *cluster, const Scenario *scenario, size_t n_machines,
                      size_t n_units) {
        for (size_t i = 0; i < n_units; i++) {
                char name[64], options[256] = "", id[33] = "";

                if (scenario->n_templates > 0)
                        (void)snprintf(name, sizeof(name), "unit-%04zu@%06zu.service",
                                       i % scenario->n_templates, i);
                else
                        (void)snprintf(name, sizeof(name), "unit-%06zu.service", i);
                if (scenario->is_pinned)
                        machine_id(i * 7919 % n_machines, id);
                (void)snprintf(options, sizeof(options), "%s%s", scenario->options, id);
                /* The first is the one that others follow. */
                add_unit(cluster, name, i == 0 ? "" : options);
        }
}

static size_t commit(Cluster *cluster) {
        ListNode *node;
        size_t n = 0;

        while ((node = list_first(&cluster->uncommitted))) {
                ClusterUnit *unit = container_of(node, ClusterUnit, commit_node);
                ListNode *next = list_first(&unit->rows);

                while (next) {
                        ClusterRow *row = container_of(next, ClusterRow, unit_node);

                        next = list_next(&unit->rows, next);
                        if (cluster_row_differs(row)) {
                                cluster_row_stored(row);
                                n++;
                        }
                }
                must(cluster_placement_stored(unit), "take a placement as stored");
                list_remove(node);
        }
        return n;
}

static double plan(Cluster *cluster) {
        double start_s = now_s();

        while (!list_is_empty(&cluster->dirty))
                must(placement_plan(cluster), "plan");
        return now_s() - start_s;
}

static void run(const Scenario *scenario, size_t n_machines, size_t n_units) {
        double start_s = now_s(), build_s, plan_s, again_s, lost_s;
        Cluster cluster;
        size_t n_rows;
        char id[33];

        if (scenario->n_units > 0 && scenario->n_units < n_units)
                n_units = scenario->n_units;
        cluster_init(&cluster, 1);
        add_machines(&cluster, n_machines);
        add_units(&cluster, scenario, n_machines, n_units);
        cluster.is_settled = true;
        build_s = now_s() - start_s;

        plan_s = plan(&cluster);
        n_rows = commit(&cluster);
        cluster_mark_all_dirty(&cluster);
        again_s = plan(&cluster);

        machine_id(n_machines / 2, id);
        must(cluster_apply(&cluster, &(Record){ .key = { .kind = RECORD_MACHINE, .machine = id },
                                                .is_deleted = true }),
             "lose a machine");
        lost_s = plan(&cluster);

        (void)printf("%-22s %8zu units %8zu rows  plan %7.3f s = %9.0f units/s  build %6.3f s  "
                     "again %6.3f s  a machine lost %8.3f ms\n",
                     scenario->name, n_units, n_rows, plan_s, (double)n_units / plan_s, build_s,
                     again_s, lost_s * 1e3);
        cluster_done(&cluster);
}

int main(int argc, char **argv) {
        static const Scenario scenarios[] = {
                { "no requirements", "", 0, 0, false },
                { "MachineMetadata", "MachineMetadata=disk=ssd", 0, 0, false },
                { "MachineMetadata or", "MachineMetadata=disk=ssd\nMachineMetadata=disk=hdd", 0, 0,
                  false },
                { "MachineID", "MachineID=", 0, 0, true },
                { "Conflicts, templates", "Conflicts=%p@*.service", 1000, 0, false },
                { "Conflicts, all apart", "Conflicts=unit-*.service", 0, 4000, false },
                { "Conflicts, no room", "Conflicts=unit-*.service", 0, 7000, false },
                { "Conflicts, metadata", "Conflicts=%p@*.service\nMachineMetadata=disk=ssd", 30,
                  30000, false },
                { "MachineOf", "MachineOf=unit-000000.service", 0, 20000, false },
                { "Replaces", "Replaces=%p@*0.service", 1000, 0, false },
                { "Global", "Global=true", 0, 30, false },
                { "nowhere", "MachineID=none", 0, 20000, false },
                { "nowhere, metadata", "MachineMetadata=disk=none-such", 0, 20000, false },
        };
        size_t n_machines = argc > 1 ? strtoul(argv[1], NULL, 10) : 5000;
        size_t n_units = argc > 2 ? strtoul(argv[2], NULL, 10) : 150000;

        (void)printf("%zu machines\n", n_machines);
        for (size_t i = 0; i < ELEMENTSOF(scenarios); i++)
                run(&scenarios[i], n_machines, n_units);
        return EXIT_SUCCESS;
}
