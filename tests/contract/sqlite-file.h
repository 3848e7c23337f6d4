/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A file of the built-in store in a folder of its own, and the faults of the module in front of it.
 */

#include <stddef.h>

#include "lib/store/store-sqlite.h"
#include "tests/contract/sqlite-fault.h"

/* The file; zeroed is none. */
typedef struct SqliteTestFile {
        char directory[64];
        char path[96];
} SqliteTestFile;

/* Make the folder. Returns 0, or -1 after a message. */
int sqlite_test_file_make(SqliteTestFile *file);

/* Remove the folder with what is in it. */
void sqlite_test_file_done(SqliteTestFile *file);

/* The store that it is for, on this loop. */
int sqlite_test_file_open(const SqliteTestFile *file, SqliteStore **ret_sqlite, Loop *loop);

/* What the module in front of SQLite does wrong from now on. */
void sqlite_test_file_set_fault(SqliteFault fault);
