/* SPDX-License-Identifier: Apache-2.0 */

/* protobuf-c allocates every field of every key by itself, so decoding gets an arena: small
 * allocations are cut from blocks, large ones have their own. Both are freed in one go, and freeing
 * a large one early gives its memory back.
 */

#include "lib/store/etcd-arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum {
        ARENA_BLOCK_MIN_BYTES = 4 << 10,
        ARENA_BLOCK_MAX_BYTES = 1 << 20,
};

struct EtcdBlock {
        EtcdBlock *next;
        size_t n_bytes; /* of `bytes` */
        size_t n_used;
        alignas(max_align_t) char bytes[];
};

static EtcdBlock *block_new(EtcdArena *arena, size_t n_bytes, EtcdBlock **list) {
        EtcdBlock *block = NULL;

        if (arena->max_bytes > 0 && arena->n_bytes + n_bytes > arena->max_bytes)
                arena->is_full = true;
        else
                block = malloc(sizeof *block + n_bytes);
        if (!block) {
                arena->has_failed = true;
                return NULL;
        }

        arena->n_bytes += n_bytes;

        block->next = *list;
        block->n_bytes = n_bytes;
        block->n_used = 0;
        *list = block;
        return block;
}

void *etcd_arena_allocate(void *allocator_data, size_t n_bytes) {
        EtcdArena *arena = allocator_data;
        EtcdBlock *block = arena->blocks;
        void *bytes;

        if (n_bytes > ARENA_BLOCK_MAX_BYTES / 16) {
                block = block_new(arena, n_bytes, &arena->large);
                return block ? block->bytes : NULL;
        }

        n_bytes = (n_bytes + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
        if (!block || block->n_bytes - block->n_used < n_bytes) {
                size_t n = block ? 2 * block->n_bytes : ARENA_BLOCK_MIN_BYTES;

                if (n > ARENA_BLOCK_MAX_BYTES)
                        n = ARENA_BLOCK_MAX_BYTES;
                if (n < n_bytes)
                        n = n_bytes;
                block = block_new(arena, n, &arena->blocks);
                if (!block)
                        return NULL;
        }

        bytes = block->bytes + block->n_used;
        block->n_used += n_bytes;
        return bytes;
}

void etcd_arena_release(void *allocator_data, void *bytes) {
        EtcdArena *arena = allocator_data;

        for (EtcdBlock **at = &arena->large; bytes && *at; at = &(*at)->next)
                if ((*at)->bytes == bytes) {
                        EtcdBlock *block = *at;

                        *at = block->next;
                        arena->n_bytes -= block->n_bytes;
                        free(block);
                        return;
                }
}

static void blocks_free(EtcdBlock *block) {
        while (block) {
                EtcdBlock *next = block->next;

                free(block);
                block = next;
        }
}

void etcd_arena_done(EtcdArena *arena) {
        blocks_free(arena->blocks);
        blocks_free(arena->large);
        *arena = (EtcdArena){ 0 };
}
