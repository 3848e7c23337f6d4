/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/contract/sqlite-fault.h"

#include <string.h>

#include "lib/store/sqlite-engine.h"

static const SqliteEngine *real;

/* What the module exports. */
extern SqliteFault fleet_sqlite_fault;
extern SqliteEngine fleet_sqlite_engine;

__attribute__((visibility("default"))) SqliteFault fleet_sqlite_fault;

static int fail(int r, const char *what, Diag *diag) {
        return diag_set(diag, r, "%s fails on command: %s", what, strerror(-r));
}

static int fault_open(SqliteFile **ret_file, const char *path, Diag *diag) {
        return fleet_sqlite_fault.open < 0 ? fail(fleet_sqlite_fault.open, "opening", diag)
                                           : real->open(ret_file, path, diag);
}

static int fault_begin(SqliteFile *file, bool is_writing, Diag *diag) {
        int r = fleet_sqlite_fault.begin;

        if (r == 0 && is_writing)
                r = fleet_sqlite_fault.begin_writing;
        return r < 0 ? fail(r, "beginning", diag) : real->begin(file, is_writing, diag);
}

static int fault_commit(SqliteFile *file, Diag *diag) {
        return fleet_sqlite_fault.commit < 0 ? fail(fleet_sqlite_fault.commit, "writing", diag)
                                             : real->commit(file, diag);
}

static int fault_changes(SqliteFile *file, const SqliteWindow *window, SqliteRows *ret_rows,
                         int64_t *ret_next, Diag *diag) {
        return fleet_sqlite_fault.changes < 0
                       ? fail(fleet_sqlite_fault.changes, "reading", diag)
                       : real->changes(file, window, ret_rows, ret_next, diag);
}

__attribute__((visibility("default"))) SqliteEngine fleet_sqlite_engine = {
        .head.version = FLEET_VERSION,
};

/* The real one's operations, but for those above. */
__attribute__((constructor)) static void fault_begin_module(void) {
        const ModuleHead *head;

        if (module_load(&head, SQLITE_MODULE, SQLITE_ENGINE_SYMBOL, "the built-in store", NULL) < 0)
                return;

        real = (const SqliteEngine *)head;
        fleet_sqlite_engine = *real;
        fleet_sqlite_engine.open = fault_open;
        fleet_sqlite_engine.begin = fault_begin;
        fleet_sqlite_engine.commit = fault_commit;
        fleet_sqlite_engine.changes = fault_changes;
}
