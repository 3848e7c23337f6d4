/* SPDX-License-Identifier: Apache-2.0 */

/* Commits. A unit with more rows than a transaction holds (a global one) goes through several; its
 * placement goes with the last. */

#include "engine/commit.h"

#include <errno.h>
#include <syslog.h>

#include "lib/base/log.h"

enum {
        /* Units begin below: room for a move, two rows and a placement. */
        COMMIT_OPS_MAX = STORE_TXN_OPS_MAX - 4,
        /* Rows of a unit that has begun go in below: room for its placement. */
        COMMIT_ROWS_MAX = STORE_TXN_OPS_MAX - 1,
        COMMIT_BYTES_MAX = STORE_REQUEST_MAX_BYTES / 2,
};

static bool commit_is_full(const RegistryWrite *write) {
        return registry_write_size(write) >= COMMIT_OPS_MAX ||
               registry_write_bytes(write) >= COMMIT_BYTES_MAX;
}

/* Is there room for one more row of the unit that is being written? */
static bool commit_has_room(const RegistryWrite *write) {
        return registry_write_size(write) < COMMIT_ROWS_MAX &&
               registry_write_bytes(write) < COMMIT_BYTES_MAX;
}

static int commit_row(const ClusterUnit *unit, ClusterRow *row, RegistryWrite *write,
                      CommitCounts *counts) {
        LogSubject subject = { .unit = unit->name, .machine = row->machine->id };
        const char *why = row->machine->is_present   ? ""
                          : row->machine->is_leaving ? ", which is leaving"
                                                     : ", which is not there any more";

        if (row->is_wanted) {
                if (!row->is_stored)
                        log_about(LOG_DEBUG, &subject, "Scheduling %s to machine %.8s", unit->name,
                                  row->machine->id);
                registry_write_put_schedule(write, row->machine->id, unit->name, &row->wanted);
                counts->n_rows_put++;
        } else {
                log_about(row->machine->is_present ? LOG_DEBUG : LOG_INFO, &subject,
                          "Unscheduling %s from machine %.8s%s", unit->name, row->machine->id, why);
                registry_write_delete(write, (RecordKey){ .kind = RECORD_SCHEDULE,
                                                          .machine = row->machine->id,
                                                          .unit = unit->name });
                counts->n_rows_deleted++;
        }
        return cluster_row_stored(row);
}

/* Returns 0, or -ENOMEM; `ret_is_complete` says whether everything of the unit went in. */
static int commit_rows(ClusterUnit *unit, RegistryWrite *write, CommitCounts *counts,
                       bool *ret_is_complete) {
        ListNode *node = list_first(&unit->rows);
        int r = 0;

        while (r == 0 && node) {
                ClusterRow *row = container_of(node, ClusterRow, unit_node);

                node = list_next(&unit->rows, node);
                if (!cluster_row_differs(row))
                        continue;
                if (!commit_has_room(write)) {
                        *ret_is_complete = false;
                        return 0;
                }
                r = commit_row(unit, row, write, counts);
        }

        *ret_is_complete = true;
        return r;
}

static int commit_placement(ClusterUnit *unit, RegistryWrite *write, CommitCounts *counts) {
        if (!cluster_placement_differs(unit))
                return 0;

        if (!unit->has_wanted)
                registry_write_delete(write,
                                      (RecordKey){ .kind = RECORD_PLACEMENT, .unit = unit->name });
        else {
                if (unit->wanted.why)
                        log_unit(LOG_INFO, unit->name, "%s cannot be placed: %s", unit->name,
                                 unit->wanted.why);
                registry_write_put_placement(write, unit->name, &unit->wanted);
        }

        counts->n_placements++;
        counts->n_explained += unit->has_wanted && unit->wanted.why;
        return cluster_placement_stored(unit);
}

int commit_fill(Cluster *cluster, RegistryWrite *write, CommitCounts *ret_counts) {
        CommitCounts counts = { 0 };
        ListNode *node;
        int r = 0;

        while (r == 0 && !commit_is_full(write) && (node = list_first(&cluster->uncommitted))) {
                ClusterUnit *unit = container_of(node, ClusterUnit, commit_node);

                bool is_complete;

                r = commit_rows(unit, write, &counts, &is_complete);
                if (r < 0 || !is_complete)
                        break;
                r = commit_placement(unit, write, &counts);
                list_remove(node);
                cluster_collect_unit(cluster, unit);
        }

        *ret_counts = counts;
        return r;
}
