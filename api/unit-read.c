/* SPDX-License-Identifier: Apache-2.0 */

/* Reading units: one by its name, and pages of all.
 *
 * Both are the same: a stretch of unit/ gives the names; then, all at the revision of that first
 * read, one range of placement/ over the same stretch, each distinct file once, and the state of
 * each placed unit on its machine. So a question about one unit costs four small reads however
 * large the cluster is, and a page shows one moment. The current state is computed from these as
 * contract section 1 says.
 *
 * Lists leave out units whose record or file is missing or does not parse; a single one tells what
 * is wrong with it.
 */

#include <assert.h>
#include <errno.h>

#include "api/api-private.h"
#include "lib/base/hash-map.h"
#include "lib/model/entity.h"
#include "lib/unit/requirements.h"
#include "lib/unit/unit-name.h"

/* A file that units of the page have. */
typedef struct UnitsFile {
        char hash[UNIT_HASH_BYTES];
        UnitFile *file; /* owned; NULL when it is missing or bad */
        HashNode node;  /* key: hash */
} UnitsFile;

/* A unit of the page. Strings owned. */
typedef struct UnitsItem {
        char *name;
        char hash[UNIT_HASH_BYTES]; /* of its content */
        JobState desired;
        UnitsFile *file; /* borrowed */
        char *machine;   /* of its placement, or NULL */
        char *why;       /* or NULL */
        JobState current;
} UnitsItem;

/* GET units, GET units/NAME */
typedef struct UnitsCall {
        ApiCall call;
        char *name; /* owned: the one asked for; NULL for a list */
        PageToken token;
        int64_t revision;
        UnitsItem *items; /* owned */
        size_t n_items;
        bool more;
        char *last;         /* owned: last key of the stretch, bad ones included */
        HashMap files;      /* UnitsFile.node */
        HashNode **fetched; /* owned array: the files in some order */
        size_t *placed;     /* owned array: items with a machine */
        size_t n_placed;
} UnitsCall;

static void units_free(ApiCall *call) {
        UnitsCall *units = container_of(call, UnitsCall, call);

        for (size_t i = 0; i < units->n_items; i++) {
                free(units->items[i].name);
                free(units->items[i].machine);
                free(units->items[i].why);
        }
        for (HashNode *node = hash_map_first(&units->files), *next; node; node = next) {
                UnitsFile *file = container_of(node, UnitsFile, node);

                next = hash_map_next(&units->files, node);
                unit_file_free(file->file);
                free(file);
        }
        hash_map_done(&units->files);
        page_token_done(&units->token);
        free(units->fetched);
        free(units->placed);
        free(units->items);
        free(units->last);
        free(units->name);
        free(units);
}

static const ApiCallVtable units_vtable = { .free = units_free };

/* The answer */

static bool item_is_global(const UnitsItem *item, int *ret_error) {
        _cleanup_(requirements_freep) Requirements *requirements = NULL;

        *ret_error = requirements_new(&requirements, item->file->file, item->name);
        return *ret_error == 0 && requirements->global;
}

/* Fill an entity that borrows everything. */
static int item_to_unit(const UnitsItem *item, Unit *ret_unit) {
        int r;
        bool is_global = item_is_global(item, &r);

        if (r < 0)
                return r;

        *ret_unit = (Unit){
                .name = item->name,
                .options = item->file->file,
                .desired_state = (char *)job_state_to_string(item->desired),
                .why = item->why,
        };
        if (!is_global) {
                ret_unit->current_state = (char *)job_state_to_string(item->current);
                ret_unit->machine_id = item->machine;
        }
        return 0;
}

static void units_reply_one(UnitsCall *units) {
        const UnitsItem *item = &units->items[0];
        Buf body = buf_make(API_REPLY_MAX_BYTES);
        Unit unit;
        int r;

        if (!item->file->file) {
                api_call_error(&units->call, 500,
                               "the content of unit %s (record file/%s) is missing or damaged: "
                               "submit the unit again",
                               item->name, item->hash);
                return;
        }

        r = item_to_unit(item, &unit);
        if (r == 0)
                r = unit_encode(&unit, &body);
        if (r == 0)
                api_call_reply(&units->call, 200, &body);
        else
                api_call_fail(&units->call, r);
        buf_done(&body);
}

static int units_encode(UnitsCall *units, Buf *body) {
        _cleanup_(freep) Unit *entities = calloc(units->n_items + 1, sizeof(*entities));
        _cleanup_(freep) char *token = NULL;
        Page page = { .units = entities };
        int r = 0;

        if (units->more)
                token = page_token_encode(units->call.token_limit, units->revision, units->last);
        if (!entities || (units->more && !token))
                return -ENOMEM;

        page.next_page_token = token;
        for (size_t i = 0; i < units->n_items && r == 0; i++) {
                if (units->items[i].file->file)
                        r = item_to_unit(&units->items[i], &entities[page.n_units++]);
        }
        return r < 0 ? r : page_encode(&page, body);
}

static void units_reply(ApiCall *call) {
        UnitsCall *units = container_of(call, UnitsCall, call);
        Buf body = buf_make(API_REPLY_MAX_BYTES);
        int r;

        if (units->name) {
                units_reply_one(units);
                return;
        }

        r = units_encode(units, &body);
        if (r == 0)
                api_call_reply(call, 200, &body);
        else
                api_call_fail(call, r);
        buf_done(&body);
}

/* States */

static void state_range(ApiCall *call, size_t i, RegistryRange *range) {
        UnitsCall *units = container_of(call, UnitsCall, call);
        const UnitsItem *item = &units->items[units->placed[i]];

        range->key =
                (RecordKey){ .kind = RECORD_STATE, .machine = item->machine, .unit = item->name };
        range->revision = units->revision;
}

static int state_take(ApiCall *call, size_t i, const RegistryPage *page) {
        UnitsCall *units = container_of(call, UnitsCall, call);
        UnitsItem *item = &units->items[units->placed[i]];
        const Record *record = page->records;
        const char *why;

        if (page->n_records == 0 || record->is_bad)
                return 0;

        item->current = record->state.state;
        why = state_record_reason(&record->state);
        if (why && !item->why) {
                item->why = strdup(why);
                if (!item->why)
                        return -ENOMEM;
        }
        return 0;
}

static void units_fetch_states(ApiCall *call) {
        UnitsCall *units = container_of(call, UnitsCall, call);

        units->placed = calloc(units->n_items + 1, sizeof(*units->placed));
        if (!units->placed) {
                api_call_fail(call, -ENOMEM);
                return;
        }
        for (size_t i = 0; i < units->n_items; i++) {
                if (units->items[i].machine)
                        units->placed[units->n_placed++] = i;
        }

        call->fetch.range = state_range;
        call->fetch.take = state_take;
        api_call_fetch(call, units->n_placed, units_reply);
}

/* Placements (item 0 of the fetch) and files */

static void content_range(ApiCall *call, size_t i, RegistryRange *range) {
        UnitsCall *units = container_of(call, UnitsCall, call);

        range->revision = units->revision;
        if (i == 0) {
                range->key = (RecordKey){ .kind = RECORD_PLACEMENT, .unit = units->name };
                range->after = units->token.after;
                range->until = units->last;
        } else {
                range->key = (RecordKey){ .kind = RECORD_FILE, .unit = units->fetched[i - 1]->key };
        }
}

static int placement_take(UnitsItem *item, const Record *record) {
        if (record->is_bad)
                return 0;
        if (record->placement.machine)
                item->machine = strdup(record->placement.machine);
        if (record->placement.why)
                item->why = strdup(record->placement.why);
        return (record->placement.machine && !item->machine) ||
                               (record->placement.why && !item->why)
                       ? -ENOMEM
                       : 0;
}

/* Both are in the order of their names. */
static int placements_take(UnitsCall *units, const RegistryPage *page) {
        size_t i = 0;
        int r = 0;

        for (size_t n = 0; n < page->n_records && r == 0; n++) {
                while (i < units->n_items &&
                       strcmp(units->items[i].name, page->records[n].key.unit) < 0)
                        i++;
                if (i < units->n_items && streq(units->items[i].name, page->records[n].key.unit))
                        r = placement_take(&units->items[i], &page->records[n]);
        }
        return r;
}

static int content_take(ApiCall *call, size_t i, const RegistryPage *page) {
        UnitsCall *units = container_of(call, UnitsCall, call);
        const Record *record = page->records;
        UnitsFile *file;
        int r;

        if (i == 0)
                return placements_take(units, page);
        if (page->n_records == 0 || record->is_bad)
                return 0;

        file = container_of(units->fetched[i - 1], UnitsFile, node);
        r = unit_file_parse(record->text, record->n_text_bytes, &file->file, NULL);
        return r == -ENOMEM ? r : 0;
}

/* The names */

static int item_set_file(UnitsCall *units, UnitsItem *item) {
        HashNode *node = hash_map_get(&units->files, item->hash);
        UnitsFile *file;
        int r;

        if (!node) {
                file = calloc(1, sizeof(*file));
                if (!file)
                        return -ENOMEM;
                memcpy(file->hash, item->hash, sizeof(file->hash));
                r = hash_map_put(&units->files, &file->node, file->hash);
                if (r < 0) {
                        free(file);
                        return r;
                }
                node = &file->node;
        }
        item->file = container_of(node, UnitsFile, node);
        return 0;
}

static int units_take_names(UnitsCall *units, const RegistryPage *page) {
        units->items = calloc(page->n_records + 1, sizeof(*units->items));
        if (!units->items)
                return -ENOMEM;

        for (size_t i = 0; i < page->n_records; i++) {
                const Record *record = &page->records[i];
                UnitsItem *item = &units->items[units->n_items];
                int r;

                if (record->is_bad)
                        continue;
                item->desired = record->unit.desired;
                memcpy(item->hash, record->unit.file, sizeof(item->hash));
                item->name = strdup(record->key.unit);
                if (!item->name)
                        return -ENOMEM;
                units->n_items++;
                r = item_set_file(units, item);
                if (r < 0)
                        return r;
        }

        if (units->name)
                return 0;
        units->more = page->more;
        units->last = strdup(page->n_records > 0 ? page->records[page->n_records - 1].key.unit
                                                 : "");
        return units->last ? 0 : -ENOMEM;
}

static void on_names(ApiCall *call, const RegistryPage *page) {
        UnitsCall *units = container_of(call, UnitsCall, call);
        int r;

        units->revision = page->revision;
        if (units->name && page->n_records == 0) {
                api_call_error(call, 404, "unit does not exist");
                return;
        }
        if (units->name && page->records->is_bad) {
                api_call_error(call, 500,
                               "the record of unit %s is damaged (%s): submit or destroy the unit",
                               units->name, page->records->why_bad);
                return;
        }

        r = units_take_names(units, page);
        if (r == 0)
                r = hash_map_sorted(&units->files, &units->fetched);
        if (r < 0) {
                api_call_fail(call, r);
                return;
        }
        if (units->n_items == 0) {
                units_reply(call);
                return;
        }

        call->fetch.range = content_range;
        call->fetch.take = content_take;
        api_call_fetch(call, 1 + units->files.n_nodes, units_fetch_states);
}

static void units_read_names(UnitsCall *units) {
        const RegistryRange range = {
                .key = { .kind = RECORD_UNIT },
                .after = units->token.after,
                .revision = units->token.revision,
                .limit = units->call.token_limit,
        };

        api_call_read(&units->call, &range, on_names);
}

/* A token of fleet 1.0's form: the names before the page are known, the page is what comes behind
 * the last. */
static void on_skipped(ApiCall *call, const RegistryPage *page) {
        UnitsCall *units = container_of(call, UnitsCall, call);

        if (!page->more || page->n_records == 0) {
                Buf empty = buf_make(2);
                int r = page_encode(&(Page){ 0 }, &empty);

                if (r == 0)
                        api_call_reply(call, 200, &empty);
                else
                        api_call_fail(call, r);
                buf_done(&empty);
                return;
        }

        units->token.revision = page->revision;
        units->token.after = strdup(page->records[page->n_records - 1].key.unit);
        if (!units->token.after) {
                api_call_fail(call, -ENOMEM);
                return;
        }
        units_read_names(units);
}

void api_units_list(Api *api, HttpExchange *exchange, const char *name) {
        RegistryRange range = { .key = { .kind = RECORD_UNIT }, .keys_only = true };
        PageToken token;
        UnitsCall *units;

        (void)name;
        if (!api_page_token(api, exchange, &token))
                return;

        units = api_call_new(sizeof(*units), api, exchange, &units_vtable);
        if (!units) {
                page_token_done(&token);
                return;
        }

        units->token = token;
        if (token.page <= 1) {
                units_read_names(units);
                return;
        }
        range.limit = (int64_t)(token.page - 1) * api->options.token_limit;
        api_call_read(&units->call, &range, on_skipped);
}

void api_unit_get(Api *api, HttpExchange *exchange, const char *name) {
        RegistryRange range = { .key = { .kind = RECORD_UNIT } };
        UnitsCall *units;

        if (unit_name_check(name, NULL) < 0) {
                api_reply_error(api, exchange, 404, "unit does not exist");
                return;
        }

        units = api_call_new(sizeof(*units), api, exchange, &units_vtable);
        if (!units)
                return;

        units->name = strdup(name);
        if (!units->name) {
                api_call_fail(&units->call, -ENOMEM);
                return;
        }
        range.key.unit = units->name;
        api_call_read(&units->call, &range, on_names);
}
