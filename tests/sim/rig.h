/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What tests of the registry and of what stands on it begin with: a virtual clock, a loop, one
 * store in memory, and clients of it, each with a registry of its own, as several daemons have.
 * Keys are given without the prefix.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/model/job-state.h"
#include "lib/registry/registry.h"
#include "lib/store/store-memory.h"
#include "tests/sim/virtual-env.h"

enum { RIG_CLIENTS_MAX = 16 };

/* The rig; made by rig_init(). */
typedef struct Rig {
        VirtualEnv env;
        Loop *loop;
        MemoryStore *memory;
        Store *stores[RIG_CLIENTS_MAX];        /* owned; NULL where the client was closed */
        Registry *registries[RIG_CLIENTS_MAX]; /* owned; the same */
        size_t n_clients;                      /* highest number that was in use, and one */
        char **texts;                          /* owned: what rig_get() gave */
        size_t n_texts;
} Rig;

/* An empty store at this seed, without clients. */
void rig_init(Rig *rig, uint64_t seed);

/* Close and free everything. Nothing may use the clients any more. */
void rig_done(Rig *rig);

/* Another client; returns its number, which is that of a closed one when there are any. On the
 * rig's loop; or on one of its own. */
size_t rig_connect(Rig *rig);
size_t rig_connect_on(Rig *rig, Loop *loop);

/* Close a client, wait, and free it. */
void rig_close(Rig *rig, size_t client);

/* Cut a client off from the store, or heal it. */
void rig_cut(Rig *rig, size_t client, bool is_cut);

/* Let the clock run for so long. */
void rig_run_ms(Rig *rig, uint64_t ms);

/* Run until `is_done`, for at most so long; the test fails when that does not happen. */
void rig_wait(Rig *rig, uint64_t limit_ms, VirtualEnvPredicate is_done, void *userdata);

/* Write past all clients, remove, and read: NULL when there is no such key. The text lives as long
 * as the rig. */
void rig_set(Rig *rig, const char *key, const char *value);
void rig_remove(Rig *rig, const char *key);
const char *rig_get(Rig *rig, const char *key);

/* Is the key there? */
bool rig_has(Rig *rig, const char *key);

/* Write a file record; `ret_hash` gets its key. */
void rig_set_file(Rig *rig, const char *text, char ret_hash[UNIT_HASH_BYTES]);

/* Write a unit record, and the file record with this content. */
void rig_set_unit(Rig *rig, const char *name, const char *text, JobState desired,
                  uint64_t generation);

/* The store's revision. */
int64_t rig_revision(const Rig *rig);
