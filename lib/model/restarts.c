/* SPDX-License-Identifier: Apache-2.0 */

/* A short sorted array: found by bisection, since the engine looks into it once per machine of a
 * global unit; changed by moving what is behind. */

#include "lib/model/restarts.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/macro.h"

void restarts_done(Restarts *restarts) {
        for (size_t i = 0; i < restarts->n_entries; i++)
                free(restarts->entries[i].machine);
        free(restarts->entries);
        *restarts = (Restarts){ 0 };
}

/* Where the machine is, or belongs. */
static size_t find_place(const Restarts *restarts, const char *machine) {
        size_t low = 0, high = restarts->n_entries;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (strcmp(restarts->entries[middle].machine, machine) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static bool is_at(const Restarts *restarts, size_t i, const char *machine) {
        return i < restarts->n_entries && streq(restarts->entries[i].machine, machine);
}

static void drop(Restarts *restarts, size_t i) {
        free(restarts->entries[i].machine);
        restarts->n_entries--;
        memmove(&restarts->entries[i], &restarts->entries[i + 1],
                (restarts->n_entries - i) * sizeof(Restart));
}

static size_t find_smallest(const Restarts *restarts) {
        size_t smallest = 0;

        for (size_t i = 1; i < restarts->n_entries; i++)
                if (restarts->entries[i].generation < restarts->entries[smallest].generation)
                        smallest = i;
        return smallest;
}

int restarts_set(Restarts *restarts, const char *machine, uint64_t generation) {
        size_t i = find_place(restarts, machine);
        Restart *entries;
        char *copy;

        if (is_at(restarts, i, machine)) {
                restarts->entries[i].generation = generation;
                return 0;
        }

        entries = realloc(restarts->entries, (restarts->n_entries + 1) * sizeof(Restart));
        if (!entries)
                return -ENOMEM;
        restarts->entries = entries;
        copy = strdup(machine);
        if (!copy)
                return -ENOMEM;

        memmove(&entries[i + 1], &entries[i], (restarts->n_entries - i) * sizeof(Restart));
        entries[i] = (Restart){ .machine = copy, .generation = generation };
        restarts->n_entries++;
        if (restarts->n_entries > RESTARTS_MAX)
                drop(restarts, find_smallest(restarts));
        return 0;
}

uint64_t restarts_get(const Restarts *restarts, const char *machine) {
        size_t i = find_place(restarts, machine);

        return is_at(restarts, i, machine) ? restarts->entries[i].generation : 0;
}

int restarts_copy(const Restarts *restarts, Restarts *ret_copy) {
        _cleanup_(restarts_done) Restarts copy = { 0 };

        if (restarts->n_entries > 0) {
                copy.entries = calloc(restarts->n_entries, sizeof(Restart));
                if (!copy.entries)
                        return -ENOMEM;
        }
        for (; copy.n_entries < restarts->n_entries; copy.n_entries++) {
                const Restart *from = &restarts->entries[copy.n_entries];

                copy.entries[copy.n_entries].generation = from->generation;
                copy.entries[copy.n_entries].machine = strdup(from->machine);
                if (!copy.entries[copy.n_entries].machine)
                        return -ENOMEM;
        }

        *ret_copy = copy;
        copy = (Restarts){ 0 };
        return 0;
}
