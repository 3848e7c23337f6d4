/* SPDX-License-Identifier: Apache-2.0 */

/* Lists of strings. They are short (a handful of globs or peers), so appending reallocates by one.
 */

#include "lib/base/strlist.h"

#include <errno.h>

#include "lib/base/macro.h"

void strlist_done(StrList *list) {
        for (size_t i = 0; i < list->n_items; i++)
                free(list->items[i]);
        free(list->items);
        *list = (StrList){ 0 };
}

int strlist_add_bytes(StrList *list, const char *bytes, size_t n_bytes) {
        char **items;

        items = realloc(list->items, (list->n_items + 1) * sizeof(*items));
        if (!items)
                return -ENOMEM;
        list->items = items;

        items[list->n_items] = strndup(bytes, n_bytes);
        if (!items[list->n_items])
                return -ENOMEM;

        list->n_items++;
        return 0;
}

int strlist_add(StrList *list, const char *string) {
        return strlist_add_bytes(list, string, strlen(string));
}

void strlist_remove(StrList *list, const char *string) {
        size_t i = 0;

        while (i < list->n_items && !streq(list->items[i], string))
                i++;
        if (i == list->n_items)
                return;

        free(list->items[i]);
        for (list->n_items--; i < list->n_items; i++)
                list->items[i] = list->items[i + 1];
}

bool strlist_has(const StrList *list, const char *string) {
        for (size_t i = 0; i < list->n_items; i++)
                if (streq(list->items[i], string))
                        return true;
        return false;
}

bool strlist_equals(const StrList *a, const StrList *b) {
        if (a->n_items != b->n_items)
                return false;

        for (size_t i = 0; i < a->n_items; i++)
                if (!streq(a->items[i], b->items[i]))
                        return false;
        return true;
}

int strlist_copy(const StrList *list, StrList *ret_copy) {
        _cleanup_(strlist_done) StrList copy = { 0 };
        int r = 0;

        for (size_t i = 0; r == 0 && i < list->n_items; i++)
                r = strlist_add(&copy, list->items[i]);
        if (r < 0)
                return r;

        *ret_copy = copy;
        copy = (StrList){ 0 };
        return 0;
}
