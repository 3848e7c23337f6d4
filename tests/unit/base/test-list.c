/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/base/list.h"

#include "lib/base/macro.h"
#include "tests/unit/fault.h"

/* An object in a list. */
typedef struct Item {
        ListNode node;
        char letter;
} Item;

/* Check that the list holds exactly these letters, from both ends. */
static void assert_letters(const List *list, const char *letters) {
        size_t n = 0;

        for (ListNode *node = list_first(list); node; node = list_next(list, node)) {
                ck_assert_int_eq(container_of(node, Item, node)->letter, letters[n++]);
                ck_assert_ptr_eq(node->prev->next, node);
                ck_assert_ptr_eq(node->next->prev, node);
        }
        ck_assert_int_eq(letters[n], '\0');
        ck_assert_int_eq(list_is_empty(list), n == 0);
}

/* A zeroed head and an initialised one are both empty lists. */
START_TEST(test_empty) {
        List zeroed = { 0 }, initialised;

        list_init(&initialised);
        assert_letters(&zeroed, "");
        assert_letters(&initialised, "");
        ck_assert_ptr_null(list_pop(&zeroed));
        ck_assert_ptr_null(list_pop(&initialised));
}
END_TEST

/* Nodes come out in the order in which they went in. */
START_TEST(test_append_and_pop) {
        Item items[] = { { .letter = 'a' }, { .letter = 'b' }, { .letter = 'c' } };
        List list = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(items); i++) {
                ck_assert(!list_node_is_linked(&items[i].node));
                list_append(&list, &items[i].node);
                ck_assert(list_node_is_linked(&items[i].node));
        }
        assert_letters(&list, "abc");

        ck_assert_ptr_eq(list_pop(&list), &items[0].node);
        ck_assert(!list_node_is_linked(&items[0].node));
        assert_letters(&list, "bc");
}
END_TEST

/* Any node can be removed, twice without harm, also while walking. */
START_TEST(test_remove) {
        Item items[] = {
                { .letter = 'a' }, { .letter = 'b' }, { .letter = 'c' }, { .letter = 'd' }
        };
        ListNode *next;
        List list = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(items); i++)
                list_append(&list, &items[i].node);

        list_remove(&items[1].node);
        list_remove(&items[1].node);
        assert_letters(&list, "acd");
        list_remove(&items[3].node);
        assert_letters(&list, "ac");

        for (ListNode *node = list_first(&list); node; node = next) {
                next = list_next(&list, node);
                list_remove(node);
        }
        assert_letters(&list, "");
        list_append(&list, &items[1].node);
        assert_letters(&list, "b");
}
END_TEST

/* Splicing moves everything behind what is there, and empties the source. */
START_TEST(test_splice) {
        Item items[] = { { .letter = 'a' }, { .letter = 'b' }, { .letter = 'c' } };
        List to = { 0 }, from = { 0 };

        list_splice(&to, &from);
        assert_letters(&to, "");

        list_append(&to, &items[0].node);
        list_append(&from, &items[1].node);
        list_append(&from, &items[2].node);
        list_splice(&to, &from);
        assert_letters(&to, "abc");
        assert_letters(&from, "");
        list_splice(&to, &from);
        assert_letters(&to, "abc");
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_empty, test_append_and_pop, test_remove, test_splice };

        return tests_run("list", tests, ELEMENTSOF(tests));
}
