/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A list of owned strings, in the order in which they were added. */

#include <stdbool.h>
#include <stddef.h>

/* The list; zeroed is empty. */
typedef struct StrList {
        char **items;   /* owned array of owned strings */
        size_t n_items; /* how many */
} StrList;

/* Free everything; the list is empty afterwards. */
void strlist_done(StrList *list);

/* Append a copy of the first `n_bytes` bytes of `bytes`, which hold no NUL. Returns 0 or -ENOMEM.
 */
int strlist_add_bytes(StrList *list, const char *bytes, size_t n_bytes);

/* Append a copy of `string`. Returns 0 or -ENOMEM. */
int strlist_add(StrList *list, const char *string);

/* Remove `string`, where it is in the list first; it may be the list's own, and is freed then. */
void strlist_remove(StrList *list, const char *string);

/* Is `string` in the list? */
bool strlist_has(const StrList *list, const char *string);

/* Do both hold the same strings in the same order? */
bool strlist_equals(const StrList *a, const StrList *b);

/* `ret_copy` = a copy of the list. Returns 0 or -ENOMEM. */
int strlist_copy(const StrList *list, StrList *ret_copy);
