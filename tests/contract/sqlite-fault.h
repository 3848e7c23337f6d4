/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A module for the built-in store that stands in front of the real one, and fails on command: what
 * a disk does only once in years. */

/* The symbol of the module that holds its SqliteFault. */
#define SQLITE_FAULT_SYMBOL "fleet_sqlite_fault"

/* What fails from now on: negative errnos as of the engine's operations; 0 = nothing. */
typedef struct SqliteFault {
        int open;
        int begin;
        int begin_writing;
        int commit;  /* nothing is written */
        int changes; /* what watches read */
} SqliteFault;
