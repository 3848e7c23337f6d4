/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Memory for messages of etcd's API, decoded or about to be encoded: whatever belongs to one
 * exchange is allocated piece by piece, and freed at once. */

#include <stdbool.h>
#include <stddef.h>

typedef struct EtcdBlock EtcdBlock;

/* The memory: blocks that are filled in turn and freed together. Zeroed is empty. */
typedef struct EtcdArena {
        EtcdBlock *blocks; /* owned; the newest first */
        EtcdBlock *large;  /* owned; allocations that have a block of their own */
        size_t n_bytes;    /* of all blocks */
        size_t max_bytes;  /* that they may have; 0 = any number */
        bool has_failed;   /* an allocation failed: there is no memory, or... */
        bool is_full;      /* ...it would have passed the limit */
} EtcdArena;

/* Memory that is not cleared and aligned for anything, or NULL. `allocator_data` is an EtcdArena;
 * this and the next are an allocator as protobuf-c wants it. */
void *etcd_arena_allocate(void *allocator_data, size_t n_bytes);

/* Give a large allocation back early; another one stays until all of it goes. */
void etcd_arena_release(void *allocator_data, void *bytes);

/* Free all of it. */
void etcd_arena_done(EtcdArena *arena);
