/* SPDX-License-Identifier: Apache-2.0 */

/* Views by hand: everything here either works or fails the test. */

#include "tests/unit/engine/view.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/placement.h"

static void apply(Cluster *cluster, const Record *record) {
        ck_assert_int_eq(cluster_apply(cluster, record), 0);
}

static void unit_name(const char *unit, char ret_name[256]) {
        ck_assert_int_lt(snprintf(ret_name, 256, "%s.service", unit), 256);
}

static size_t unit_text(const char *options, char ret_text[4096], char ret_hash[UNIT_HASH_BYTES]) {
        int n = snprintf(ret_text, 4096, "[Service]\nExecStart=/bin/true\n\n[X-Fleet]\n%s\n",
                         options);

        ck_assert_int_lt(n, 4096);
        unit_text_hash(ret_text, (size_t)n, ret_hash);
        return (size_t)n;
}

void view_machine(Cluster *cluster, const char *id, const char *metadata) {
        Record record = { .key = { .kind = RECORD_MACHINE, .machine = id }, .mod_revision = 1 };

        ck_assert_int_eq(metadata_parse(metadata, &record.machine.metadata, NULL), 0);
        apply(cluster, &record);
        machine_record_done(&record.machine);
}

void view_machine_leaving(Cluster *cluster, const char *id) {
        apply(cluster, &(Record){ .key = { .kind = RECORD_MACHINE, .machine = id },
                                  .mod_revision = 1,
                                  .machine.is_leaving = true });
}

void view_machine_gone(Cluster *cluster, const char *id) {
        apply(cluster,
              &(Record){ .key = { .kind = RECORD_MACHINE, .machine = id }, .is_deleted = true });
}

void view_machine_bad(Cluster *cluster, const char *id, int64_t lease) {
        apply(cluster, &(Record){ .key = { .kind = RECORD_MACHINE, .machine = id },
                                  .mod_revision = 1,
                                  .lease = lease,
                                  .is_bad = true });
}

void view_metadata(Cluster *cluster, const char *id, const char *metadata) {
        Record record = { .key = { .kind = RECORD_METADATA, .machine = id }, .mod_revision = 1 };

        ck_assert_int_eq(metadata_parse(metadata, &record.metadata, NULL), 0);
        apply(cluster, &record);
        metadata_done(&record.metadata);
}

void view_file(Cluster *cluster, const char *options) {
        char text[4096], hash[UNIT_HASH_BYTES];
        size_t n_bytes = unit_text(options, text, hash);

        apply(cluster, &(Record){ .key = { .kind = RECORD_FILE, .unit = hash },
                                  .mod_revision = 1,
                                  .text = text,
                                  .n_text_bytes = n_bytes });
}

void view_unit_says(Cluster *cluster, const char *unit, const char *options,
                    const UnitRecord *record) {
        char text[4096], name[256];
        Record applied = { .key = { .kind = RECORD_UNIT, .unit = name },
                           .mod_revision = 1,
                           .unit = *record };

        unit_name(unit, name);
        view_file(cluster, options);
        (void)unit_text(options, text, applied.unit.file);
        apply(cluster, &applied);
}

void view_unit_record(Cluster *cluster, const char *unit, const char *options, JobState desired,
                      uint64_t generation) {
        char text[4096], name[256];
        Record record = { .key = { .kind = RECORD_UNIT, .unit = name },
                          .mod_revision = 1,
                          .unit = { .desired = desired, .generation = generation } };

        unit_name(unit, name);
        (void)unit_text(options, text, record.unit.file);
        apply(cluster, &record);
}

void view_unit(Cluster *cluster, const char *unit, const char *options, JobState desired,
               uint64_t generation) {
        view_file(cluster, options);
        view_unit_record(cluster, unit, options, desired, generation);
}

static void apply_unit(Cluster *cluster, const char *unit, bool is_deleted, bool is_bad) {
        char name[256];

        unit_name(unit, name);
        apply(cluster, &(Record){ .key = { .kind = RECORD_UNIT, .unit = name },
                                  .is_deleted = is_deleted,
                                  .is_bad = is_bad });
}

void view_unit_gone(Cluster *cluster, const char *unit) {
        apply_unit(cluster, unit, true, false);
}

void view_unit_bad(Cluster *cluster, const char *unit) {
        apply_unit(cluster, unit, false, true);
}

static void apply_row(Cluster *cluster, const char *machine, const char *unit, const char *options,
                      uint64_t generation, bool is_bad) {
        char text[4096], name[256];
        Record record = { .key = { .kind = RECORD_SCHEDULE, .machine = machine, .unit = name },
                          .mod_revision = 1,
                          .is_bad = is_bad,
                          .schedule = { .desired = JOB_STATE_LAUNCHED, .generation = generation } };

        unit_name(unit, name);
        (void)unit_text(options, text, record.schedule.file);
        apply(cluster, &record);
}

void view_row(Cluster *cluster, const char *machine, const char *unit, const char *options,
              uint64_t generation) {
        apply_row(cluster, machine, unit, options, generation, false);
}

void view_row_bad(Cluster *cluster, const char *machine, const char *unit) {
        apply_row(cluster, machine, unit, "", 0, true);
}

void view_placement(Cluster *cluster, const char *unit, const char *machine, const char *why,
                    uint64_t generation) {
        char name[256];

        unit_name(unit, name);
        apply(cluster, &(Record){ .key = { .kind = RECORD_PLACEMENT, .unit = name },
                                  .mod_revision = 1,
                                  .placement = { .machine = (char *)machine,
                                                 .why = (char *)why,
                                                 .generation = generation } });
}

void view_plan(Cluster *cluster) {
        ck_assert_int_eq(placement_plan(cluster), 0);
        ck_assert(list_is_empty(&cluster->dirty));
}

void view_plan_all(Cluster *cluster) {
        cluster->is_settled = true;
        cluster_mark_all_dirty(cluster);
        view_plan(cluster);
}

size_t view_commit(Cluster *cluster) {
        size_t n = 0;
        ListNode *node;

        while ((node = list_first(&cluster->uncommitted))) {
                ClusterUnit *unit = container_of(node, ClusterUnit, commit_node);
                ListNode *next = list_first(&unit->rows);

                while (next) {
                        ClusterRow *row = container_of(next, ClusterRow, unit_node);

                        next = list_next(&unit->rows, next);
                        if (!cluster_row_differs(row))
                                continue;
                        ck_assert_int_eq(cluster_row_stored(row), 0);
                        n++;
                }
                if (cluster_placement_differs(unit)) {
                        ck_assert_int_eq(cluster_placement_stored(unit), 0);
                        n++;
                }
                list_remove(node);
                cluster_collect_unit(cluster, unit);
        }
        return n;
}

static int compare_ids(const void *a, const void *b) {
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char *view_plan_text(const Cluster *cluster) {
        static char text[65536];
        HashNode **nodes;
        size_t n = 0;

        text[0] = '\0';
        ck_assert_int_eq(hash_map_sorted(&cluster->units, &nodes), 0);
        for (size_t i = 0; i < cluster->units.n_nodes; i++) {
                const ClusterUnit *unit = container_of(nodes[i], ClusterUnit, node);
                const char *ids[64];
                size_t n_ids = 0;

                for (ListNode *node = list_first(&unit->rows); node;
                     node = list_next(&unit->rows, node)) {
                        const ClusterRow *row = container_of(node, ClusterRow, unit_node);

                        if (row->is_wanted)
                                ids[n_ids++] = row->machine->id;
                }
                if (!unit->is_known && !unit->is_bad && n_ids == 0)
                        continue;

                qsort(ids, n_ids, sizeof(ids[0]), compare_ids);
                n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%.*s=%s", n ? " " : "",
                                      (int)strcspn(unit->name, "."), unit->name,
                                      n_ids ? ids[0] : "-");
                for (size_t k = 1; k < n_ids; k++)
                        n += (size_t)snprintf(text + n, sizeof(text) - n, ",%s", ids[k]);
                ck_assert_uint_lt(n, sizeof(text));
        }
        free(nodes);
        return text;
}

static const ClusterUnit *find_unit(const Cluster *cluster, const char *unit) {
        char name[256];
        HashNode *node;

        unit_name(unit, name);
        node = hash_map_get(&cluster->units, name);
        return node ? container_of(node, ClusterUnit, node) : NULL;
}

const char *view_row_text(const Cluster *cluster, const char *machine, const char *unit) {
        static char text[1024];
        const ClusterUnit *found = find_unit(cluster, unit);
        HashNode *node = hash_map_get(&cluster->machines, machine);
        const ClusterRow *row = found && node
                                        ? cluster_find_row(found,
                                                           container_of(node, ClusterMachine, node))
                                        : NULL;
        size_t n;

        text[0] = '\0';
        if (!row || !row->is_wanted)
                return text;

        n = (size_t)snprintf(text, sizeof(text), "g%d", (int)row->wanted.generation);
        if (row->wanted.restart > 0)
                n += (size_t)snprintf(text + n, sizeof(text) - n, " r%d", (int)row->wanted.restart);
        for (size_t i = 0; i < row->wanted.after.n_items; i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i ? "," : " after ",
                                      row->wanted.after.items[i]);
        if (row->wanted.is_leaving)
                (void)snprintf(text + n, sizeof(text) - n, " leaving");
        return text;
}

const char *view_left(const Cluster *cluster, const char *unit) {
        const ClusterUnit *found = find_unit(cluster, unit);
        static char text[256];
        size_t end = 0;

        text[0] = '\0';
        for (size_t i = 0; found && found->has_wanted && i < found->wanted.left.n_items; i++)
                end += (size_t)snprintf(text + end, sizeof(text) - end, "%s%s", i > 0 ? "," : "",
                                        found->wanted.left.items[i]);
        return text;
}

void view_ended(Cluster *cluster, const char *unit, const char *machine) {
        char name[256];
        ClusterUnit *found;

        unit_name(unit, name);
        found = container_of(hash_map_get(&cluster->units, name), ClusterUnit, node);
        strlist_remove(&found->left, machine);
        cluster_mark_dirty(cluster, found);
}

const char *view_why(const Cluster *cluster, const char *unit) {
        const ClusterUnit *found = find_unit(cluster, unit);

        return found && found->has_wanted && found->wanted.why ? found->wanted.why : "";
}

const char *view_placement_machine(const Cluster *cluster, const char *unit) {
        const ClusterUnit *found = find_unit(cluster, unit);

        return found && found->has_wanted && found->wanted.machine ? found->wanted.machine : "";
}
