/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A store that is named on the command line, opened for as long as a subcommand takes. */

#include <stdbool.h>

#include "fleetd/config.h"
#include "lib/loop/loop.h"
#include "lib/store/store-sqlite.h"

/* The store, and how it is called. */
typedef struct StorePlace {
        Loop *loop;          /* borrowed */
        char *name;          /* owned: a path, or URLs */
        Store *store;        /* owned */
        SqliteStore *sqlite; /* owned; NULL for etcd */
        StoreListener listener;
        StoreRequest probe;
        char trouble[512]; /* the last that was told */
        bool is_told;      /* nothing more is waited for */
        int status;        /* of the probe */
} StorePlace;

/* Open it: `where` is "builtin", a path, or URLs, which are reached by the keys of the configuration
 * that are for etcd. With `must_exist`, no file is made. Runs the loop until it can be used. Returns
 * 0, or a negative errno with a message, and then it is closed. */
int store_place_open(StorePlace *place, Loop *loop, const Config *config, const char *where,
                     bool must_exist, Diag *diag);

/* Close it in good order. Does nothing for one that is zeroed. */
void store_place_close(StorePlace *place);
