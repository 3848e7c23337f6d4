/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Intrusive, circular, doubly linked list: a node is embedded in its object, linking never
 * allocates. A node that is in no list is zeroed. Walk it with
 *
 *         for (ListNode *n = list_first(&list); n; n = list_next(&list, n))
 *
 * and take the next node before unlinking the current one.
 */

#include <stdbool.h>
#include <stddef.h>

typedef struct ListNode ListNode;

/* A link, to embed; zeroed while it is in no list. */
struct ListNode {
        ListNode *next; /* towards the end; the head's is the first */
        ListNode *prev; /* towards the start; the head's is the last */
};

/* The head; zeroed or list_init()ed means empty. */
typedef struct List {
        ListNode head; /* links itself when empty; NULL links mean empty, too */
} List;

/* Make the list empty without looking at what was in it. */
static inline void list_init(List *list) {
        list->head.next = list->head.prev = &list->head;
}

/* Is nothing in the list? */
static inline bool list_is_empty(const List *list) {
        return !list->head.next || list->head.next == &list->head;
}

/* Is the node in some list? */
static inline bool list_node_is_linked(const ListNode *node) {
        return node->next;
}

/* The first node, or NULL. */
static inline ListNode *list_first(const List *list) {
        return list_is_empty(list) ? NULL : list->head.next;
}

/* The node after `node`, or NULL at the end. */
static inline ListNode *list_next(const List *list, const ListNode *node) {
        return node->next == &list->head ? NULL : node->next;
}

/* Link `node`, which is in no list, at the end. */
static inline void list_append(List *list, ListNode *node) {
        if (!list->head.next)
                list_init(list);
        node->prev = list->head.prev;
        node->next = &list->head;
        node->prev->next = node;
        list->head.prev = node;
}

/* Unlink the node from the list that it is in; does nothing when it is in none. */
static inline void list_remove(ListNode *node) {
        if (!node->next)
                return;
        node->prev->next = node->next;
        node->next->prev = node->prev;
        node->next = node->prev = NULL;
}

/* Unlink and return the first node, or NULL. */
static inline ListNode *list_pop(List *list) {
        ListNode *node = list_first(list);

        if (node)
                list_remove(node);
        return node;
}

/* Move all nodes of `from` to the end of `to`; `from` is empty afterwards. */
static inline void list_splice(List *to, List *from) {
        ListNode *node;

        while ((node = list_pop(from)))
                list_append(to, node);
}
