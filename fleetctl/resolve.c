/* SPDX-License-Identifier: Apache-2.0 */

/* Names cost nothing to resolve. For patterns the whole list of units is read, once for all of
 * them, and the units that are meant are taken from that list, too: a pattern that means ten
 * thousand units costs no request per unit. Nor do a thousand names.
 */

#include "fleetctl/resolve.h"

#include <errno.h>
#include <stdlib.h>

#include "fleetctl/expand.h"
#include "fleetctl/listing.h"
#include "fleetctl/unit-args.h"
#include "lib/base/hash-map.h"
#include "lib/unit/unit-name.h"

enum { LIST_FROM_NAMES = 1000 }; /* a page of the list holds a hundred units */

void resolved_done(Resolved *resolved) {
        strlist_done(&resolved->names);
        strlist_done(&resolved->paths);
        strlist_done(&resolved->unmatched);
        free(resolved->is_match);
        page_done(&resolved->listed);
        *resolved = (Resolved){ 0 };
}

/* A resolution under way. */
typedef struct Resolution {
        Resolved *resolved; /* borrowed */
        HashNode *nodes;    /* owned, one for each unit that may come to be meant */
        HashMap seen;       /* the names so far */
        size_t n_allocated;
} Resolution;

static void resolution_done(Resolution *resolution) {
        hash_map_done(&resolution->seen);
        free(resolution->nodes);
}

/* Each word means one unit, or some of those that the cluster has; each unit is meant once. */
static int resolution_begin(Resolution *resolution, size_t n_words) {
        resolution->n_allocated = n_words + resolution->resolved->listed.n_units + 1;
        resolution->nodes = calloc(resolution->n_allocated, sizeof(HashNode));
        resolution->resolved->is_match = calloc(resolution->n_allocated, sizeof(bool));
        return resolution->nodes && resolution->resolved->is_match ? 0 : -ENOMEM;
}

static int add_unit(Resolution *resolution, const char *name, const char *path, bool is_match) {
        Resolved *resolved = resolution->resolved;
        size_t n = resolved->names.n_items;
        int r;

        if (hash_map_get(&resolution->seen, name))
                return 0;

        r = strlist_add(&resolved->names, name);
        if (r == 0)
                r = strlist_add(&resolved->paths, path);
        if (r < 0)
                return r;
        resolved->is_match[n] = is_match;
        return hash_map_put(&resolution->seen, &resolution->nodes[n], resolved->names.items[n]);
}

static int add_match(Resolution *resolution, const char *word, const char *name) {
        _cleanup_(freep) char *path = NULL;
        int r;

        r = unit_args_path(word, name, &path);
        return r < 0 ? r : add_unit(resolution, name, path, true);
}

static int add_matches(Resolution *resolution, const char *word, Diag *diag) {
        _cleanup_(unit_pattern_done) UnitPattern pattern = { 0 };
        const Page *listed = &resolution->resolved->listed;
        bool any = false;
        int r;

        r = unit_pattern_init(&pattern, word, diag);
        for (size_t i = 0; r == 0 && i < listed->n_units; i++) {
                const char *name = listed->units[i].name;

                if (!name || !unit_pattern_matches(&pattern, name))
                        continue;
                any = true;
                r = add_match(resolution, word, name);
        }
        if (r < 0 || any)
                return r;
        return strlist_add(&resolution->resolved->unmatched, word);
}

static bool any_pattern(const StrList *names) {
        for (size_t i = 0; i < names->n_items; i++)
                if (unit_pattern_is_one(names->items[i]))
                        return true;
        return false;
}

static int list_units(Client *client, Resolved *resolved, Diag *diag) {
        int r;

        r = client_list(client, LIST_UNITS, &resolved->listed, diag);
        resolved->is_listed = r == 0;
        if (r == 0 && resolved->listed.n_units > 0)
                qsort(resolved->listed.units, resolved->listed.n_units, sizeof(Unit),
                      listing_compare_units);
        return r;
}

/* A unit that is both named and matched counts as named, whichever came first. */
static void mark_named(const StrList *names, const Resolution *resolution) {
        for (size_t i = 0; i < names->n_items; i++) {
                HashNode *node = hash_map_get(&resolution->seen, names->items[i]);

                if (node)
                        resolution->resolved->is_match[node - resolution->nodes] = false;
        }
}

int resolve_words(Client *client, const StrList *words, Resolved *ret_resolved, Diag *diag) {
        _cleanup_(strlist_done) StrList names = { 0 }, paths = { 0 };
        _cleanup_(resolution_done) Resolution resolution = { .resolved = ret_resolved };
        int r;

        r = unit_args_read(words, &names, &paths, diag);
        if (r == 0 && any_pattern(&names))
                r = list_units(client, ret_resolved, diag);
        if (r == 0)
                r = resolution_begin(&resolution, names.n_items);

        for (size_t i = 0; r == 0 && i < names.n_items; i++)
                r = unit_pattern_is_one(names.items[i])
                            ? add_matches(&resolution, names.items[i], diag)
                            : add_unit(&resolution, names.items[i], paths.items[i], false);
        if (r == 0)
                mark_named(&names, &resolution);
        return r;
}

void resolved_drop_matches(Resolved *resolved, bool (*is_unwanted)(const char *name)) {
        size_t n_kept = 0;

        for (size_t i = 0; i < resolved->names.n_items; i++) {
                char *name = resolved->names.items[i], *path = resolved->paths.items[i];

                if (resolved->is_match[i] && is_unwanted(name)) {
                        free(name);
                        free(path);
                        continue;
                }
                resolved->names.items[n_kept] = name;
                resolved->paths.items[n_kept] = path;
                resolved->is_match[n_kept++] = resolved->is_match[i];
        }
        resolved->names.n_items = resolved->paths.n_items = n_kept;
}

/* --- reading --- */

/* Move the units out of the list. They are all looked up first: the list is searched by what is
 * moved. */
static int take_listed(Resolved *resolved, Unit *ret_units) {
        Page *listed = &resolved->listed;
        _cleanup_(freep) Unit **found = NULL;

        found = calloc(resolved->names.n_items, sizeof(*found));
        if (!found)
                return -ENOMEM;

        for (size_t i = 0; i < resolved->names.n_items; i++) {
                const Unit key = { .name = resolved->names.items[i] };

                if (listed->n_units > 0)
                        found[i] = bsearch(&key, listed->units, listed->n_units, sizeof(key),
                                           listing_compare_units);
        }
        for (size_t i = 0; i < resolved->names.n_items; i++)
                if (found[i]) {
                        ret_units[i] = *found[i];
                        *found[i] = (Unit){ 0 };
                }
        return 0;
}

/* Ask for the names that a unit can have; no cluster knows the others. */
static int ask(const StrList *names, Client *client, Unit *ret_units, Diag *diag) {
        _cleanup_(strlist_done) StrList valid = { 0 };
        _cleanup_(freep) Unit *units = NULL;
        size_t n_asked = 0;
        int r = 0;

        for (size_t i = 0; r == 0 && i < names->n_items; i++)
                if (unit_name_check(names->items[i], NULL) == 0)
                        r = strlist_add(&valid, names->items[i]);
        if (r < 0)
                return r;

        units = calloc(valid.n_items + 1, sizeof(*units));
        if (!units)
                return -ENOMEM;

        r = client_get_units(client, &valid, units, diag);
        for (size_t i = 0; i < names->n_items; i++)
                if (unit_name_check(names->items[i], NULL) == 0)
                        ret_units[i] = units[n_asked++];
        return r;
}

int resolved_get_units(Resolved *resolved, Client *client, Unit *ret_units, Diag *diag) {
        int r = 0;

        if (resolved->names.n_items == 0)
                return 0;
        if (!resolved->is_listed && resolved->names.n_items >= LIST_FROM_NAMES)
                r = list_units(client, resolved, diag);
        if (r < 0)
                return r;
        return resolved->is_listed ? take_listed(resolved, ret_units)
                                   : ask(&resolved->names, client, ret_units, diag);
}
