/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The six macros of this project; a seventh needs a note in docs/. */

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Run `f(&variable)` when the variable leaves its scope. */
#define _cleanup_(f) __attribute__((cleanup(f)))

/* Yield the value of a pointer variable and set the variable to NULL: ownership moves on. */
#define TAKE(pointer)                                    \
        ({                                               \
                __typeof__(pointer) *_slot = &(pointer); \
                __typeof__(pointer) _taken = *_slot;     \
                *_slot = NULL;                           \
                _taken;                                  \
        })

/* Define `f##p` for _cleanup_(), for a destructor `f` that takes NULL. */
#define DEFINE_CLEANUP(type, f)                \
        static inline void f##p(type **slot) { \
                (void)f(*slot);                \
        }

/* The object of `type` whose `member` is at `pointer`. */
#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

/* Number of elements of an array (not of a pointer). */
#define ELEMENTSOF(array) (sizeof(array) / sizeof((array)[0]))

/* Are two strings equal? Neither may be NULL. */
#define streq(a, b) (strcmp((a), (b)) == 0)

/* Are two strings equal, or both NULL? */
static inline bool streq_optional(const char *a, const char *b) {
        return a && b ? streq(a, b) : a == b;
}

/* For _cleanup_(freep) on memory from malloc. */
static inline void freep(void *slot) {
        free(*(void **)slot);
}
