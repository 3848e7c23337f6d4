/* SPDX-License-Identifier: Apache-2.0 */

/* Each option is a comma-separated list, of which a row needs one; only metadata is needed whole. A
 * machine may be written as the lists show it, "0c1f1a2b..." or "0c1f1a2b.../10.77.0.11": what
 * follows the beginning of the ID is left off.
 */

#include "fleetctl/filter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/macro.h"

void filter_done(Filter *filter) {
        for (size_t i = 0; i < filter->n_names; i++)
                unit_pattern_done(&filter->names[i]);
        free(filter->names);
        strlist_done(&filter->machines);
        strlist_done(&filter->states);
        strlist_done(&filter->desired);
        metadata_done(&filter->metadata);
        *filter = (Filter){ 0 };
}

/* --- making --- */

/* Append the parts of "a,b". An empty one restricts to nothing that exists, and is refused. */
static int read_list(const char *flag, const char *text, StrList *ret_parts, Diag *diag) {
        while (text) {
                size_t n = strcspn(text, ",");
                int r = n > 0 ? strlist_add_bytes(ret_parts, text, n)
                              : diag_set(diag, -EINVAL, "--%s needs values with commas between",
                                         flag);

                if (r < 0)
                        return r;
                text = text[n] ? text + n + 1 : NULL;
        }
        return 0;
}

static int read_machine(const char *text, StrList *machines, Diag *diag) {
        size_t n = strspn(text, "0123456789abcdef");

        if (n == 0 || (text[n] != '\0' && text[n] != '/' && strncmp(text + n, "...", 3) != 0))
                return diag_set(diag, -EINVAL,
                                "%.100s is not the beginning of a machine ID, as list-machines "
                                "shows them",
                                text);
        return strlist_add_bytes(machines, text, n);
}

static int read_machines(const StrList *texts, StrList *machines, Diag *diag) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < texts->n_items; i++)
                r = read_machine(texts->items[i], machines, diag);
        return r;
}

static int read_names(Filter *filter, const StrList *words, Diag *diag) {
        _cleanup_(strlist_done) StrList names = { 0 };
        int r = 0;

        for (size_t i = 0; r == 0 && i < words->n_items; i++)
                r = expand_braces(words->items[i], &names, diag);
        if (r < 0 || names.n_items == 0)
                return r;

        filter->names = calloc(names.n_items, sizeof(*filter->names));
        if (!filter->names)
                return -ENOMEM;
        while (r == 0 && filter->n_names < names.n_items) {
                UnitPattern *pattern = &filter->names[filter->n_names];

                r = unit_pattern_init(pattern, names.items[filter->n_names++], diag);
        }
        return r;
}

int filter_init_units(Filter *filter, const Options *options, const StrList *words, Diag *diag) {
        _cleanup_(strlist_done) StrList machines = { 0 };
        int r;

        r = read_names(filter, words, diag);
        if (r == 0)
                r = read_list("state", options->state, &filter->states, diag);
        if (r == 0)
                r = read_list("dstate", options->dstate, &filter->desired, diag);
        if (r == 0)
                r = read_list("machine", options->machine, &machines, diag);
        return r < 0 ? r : read_machines(&machines, &filter->machines, diag);
}

static int read_metadata(Filter *filter, const StrList *pairs, Diag *diag) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < pairs->n_items; i++) {
                char *key = pairs->items[i], *equals = strchr(key, '=');

                if (!equals || equals == key || equals[1] == '\0')
                        return diag_set(diag, -EINVAL, "--metadata: %.100s is not KEY=VALUE", key);
                *equals = '\0';
                r = metadata_set(&filter->metadata, key, equals + 1);
        }
        return r;
}

int filter_init_machines(Filter *filter, const Options *options, const StrList *words, Diag *diag) {
        _cleanup_(strlist_done) StrList pairs = { 0 };
        int r;

        r = read_machines(words, &filter->machines, diag);
        if (r == 0)
                r = read_list("metadata", options->metadata, &pairs, diag);
        return r < 0 ? r : read_metadata(filter, &pairs, diag);
}

/* --- asking --- */

static bool keeps_text(const StrList *wanted, const char *text) {
        for (size_t i = 0; i < wanted->n_items; i++)
                if (text && streq(wanted->items[i], text))
                        return true;
        return wanted->n_items == 0;
}

static bool keeps_machine_id(const Filter *filter, const char *id) {
        const StrList *wanted = &filter->machines;

        for (size_t i = 0; i < wanted->n_items; i++)
                if (id && strncmp(id, wanted->items[i], strlen(wanted->items[i])) == 0)
                        return true;
        return wanted->n_items == 0;
}

static bool keeps_name(const Filter *filter, const char *name) {
        for (size_t i = 0; i < filter->n_names; i++)
                if (name && unit_pattern_matches(&filter->names[i], name))
                        return true;
        return filter->n_names == 0;
}

bool filter_keeps_unit(const Filter *filter, const Unit *unit) {
        return keeps_name(filter, unit->name) && keeps_text(&filter->states, unit->current_state) &&
               keeps_text(&filter->desired, unit->desired_state) &&
               keeps_machine_id(filter, unit->machine_id);
}

bool filter_keeps_state(const Filter *filter, const UnitState *state) {
        return keeps_name(filter, state->name) &&
               (keeps_text(&filter->states, state->load) ||
                keeps_text(&filter->states, state->active) ||
                keeps_text(&filter->states, state->sub)) &&
               keeps_machine_id(filter, state->machine_id);
}

bool filter_keeps_machine(const Filter *filter, const Machine *machine) {
        const Metadata *wanted = &filter->metadata;

        for (size_t i = 0; i < wanted->n_entries; i++) {
                const char *value = metadata_get(&machine->metadata, wanted->entries[i].key);

                if (!value || !streq(value, wanted->entries[i].value))
                        return false;
        }
        return keeps_machine_id(filter, machine->id);
}
