/* SPDX-License-Identifier: Apache-2.0 */

/* JSON from peers, over jansson: parsing, and typed access to members with messages that name them.
 *
 * Lenient as Go's encoding/json was for fleet 1.0 (unknown members ignored, null is absent, the
 * last of equal keys counts, keys without regard to case), strict in types. jansson itself refuses
 * what would hurt: NUL in strings, text that is not UTF-8, more than 2048 levels.
 *
 * jansson's lexer forgets an allocation that failed while it gathers a string, and goes on with a
 * shorter string. So the allocations of a parse go through a hook that remembers, and
 * json_in_parse() believes the flag, not the result. The hook has no context pointer: the flag is
 * this file's only, and process-wide, state. Parsing is not for several threads.
 */

#include "lib/model/json-in.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <strings.h>

static bool allocation_failed;

static void *allocate(size_t n_bytes) {
        void *memory = malloc(n_bytes);

        if (!memory)
                allocation_failed = true;
        return memory;
}

int json_in_parse(const char *json, size_t n_bytes, json_type type, json_t **ret_root, Diag *diag) {
        json_auto_t *root = NULL;
        json_error_t error;

        assert(json || n_bytes == 0);
        assert(type == JSON_OBJECT || type == JSON_ARRAY);

        /* What Go said of an empty body, and users look for. */
        if (n_bytes == 0)
                return diag_set(diag, -EBADMSG, "EOF");

        allocation_failed = false;
        json_set_alloc_funcs(allocate, free);
        root = json_loadb(json, n_bytes, 0, &error);
        if (allocation_failed)
                return -ENOMEM;
        if (!root)
                return diag_set(diag, -EBADMSG, "invalid JSON in line %d, column %d: %s",
                                error.line, error.column, error.text);

        if (json_typeof(root) != type)
                return diag_set(diag, -EBADMSG, "the outermost JSON value must be an %s",
                                type == JSON_OBJECT ? "object" : "array");

        *ret_root = TAKE(root);
        return 0;
}

json_t *json_in_get(const json_t *object, const char *key) {
        json_t *value = json_object_get(object, key);

        if (!value) {
                const char *other;
                json_t *found;

                json_object_foreach ((json_t *)object, other, found)
                        if (strcasecmp(other, key) == 0)
                                value = found;
        }
        return json_is_null(value) ? NULL : value;
}

int json_in_get_array(const json_t *object, const char *key, json_t **ret_array, Diag *diag) {
        json_t *value = json_in_get(object, key);

        if (value && !json_is_array(value))
                return diag_set(diag, -EBADMSG, "\"%s\" must be an array", key);

        *ret_array = value;
        return 0;
}

/* The member's string, borrowed; NULL when it is absent or null. */
static int borrow_string(const json_t *object, const char *key, const char **ret_string,
                         Diag *diag) {
        json_t *value = json_in_get(object, key);

        if (value && !json_is_string(value))
                return diag_set(diag, -EBADMSG, "\"%s\" must be a string", key);

        *ret_string = json_string_value(value);
        return 0;
}

static int copy_string(const char *string, char **ret_string) {
        char *copy = strdup(string);

        if (!copy)
                return -ENOMEM;

        *ret_string = copy;
        return 0;
}

int json_in_get_string(const json_t *object, const char *key, char **ret_string, Diag *diag) {
        const char *string = NULL;
        int r;

        r = borrow_string(object, key, &string, diag);
        if (r < 0)
                return r;

        if (string && *string)
                return copy_string(string, ret_string);
        *ret_string = NULL;
        return 0;
}

int json_in_require_string(const json_t *object, const char *key, char **ret_string, Diag *diag) {
        const char *string = NULL;
        int r;

        r = borrow_string(object, key, &string, diag);
        if (r < 0)
                return r;

        if (!string || !*string)
                return diag_set(diag, -EBADMSG, "\"%s\" is missing or empty", key);
        return copy_string(string, ret_string);
}

int json_in_get_any_string(const json_t *object, const char *key, char **ret_string, Diag *diag) {
        const char *string = NULL;
        int r;

        r = borrow_string(object, key, &string, diag);
        if (r < 0)
                return r;
        return copy_string(string ? string : "", ret_string);
}

int json_in_get_bool(const json_t *object, const char *key, bool *ret_value, Diag *diag) {
        json_t *value = json_in_get(object, key);

        if (value && !json_is_boolean(value))
                return diag_set(diag, -EBADMSG, "\"%s\" must be true or false", key);

        *ret_value = json_is_true(value);
        return 0;
}

int json_in_get_number(const json_t *object, const char *key, uint64_t *ret_number, Diag *diag) {
        json_t *value = json_in_get(object, key);

        if (value && (!json_is_integer(value) || json_integer_value(value) < 0))
                return diag_set(diag, -EBADMSG, "\"%s\" must be an integer that is not negative",
                                key);

        *ret_number = (uint64_t)json_integer_value(value);
        return 0;
}

int json_in_get_hash(const json_t *object, const char *key, char ret_hash[UNIT_HASH_BYTES],
                     Diag *diag) {
        const char *string = NULL;
        int r;

        r = borrow_string(object, key, &string, diag);
        if (r < 0)
                return r;

        if (!string || !*string) {
                ret_hash[0] = '\0';
                return 0;
        }
        if (!unit_hash_is_valid(string))
                return diag_set(diag, -EBADMSG, "\"%s\" must be 40 lower-case hex digits", key);

        memcpy(ret_hash, string, UNIT_HASH_BYTES);
        return 0;
}

int json_in_require_state(const json_t *object, const char *key, JobState *ret_state, Diag *diag) {
        const char *string = NULL;
        JobState state;
        int r;

        r = borrow_string(object, key, &string, diag);
        if (r < 0)
                return r;

        state = string ? job_state_from_string(string) : _JOB_STATE_INVALID;
        if (state < 0)
                return diag_set(diag, -EBADMSG, "\"%s\" must be inactive, loaded or launched", key);

        *ret_state = state;
        return 0;
}

static int compare_keys(const void *a, const void *b) {
        const MetadataEntry *x = a, *y = b;

        return strcmp(x->key, y->key);
}

/* Copy the members, in the order in which they came. On error `metadata` holds what was copied. */
static int gather_entries(const json_t *object, Metadata *metadata, Diag *diag) {
        size_t n_allocated = 1;
        const char *key;
        json_t *value;

        while (n_allocated < json_object_size(object))
                n_allocated *= 2;
        metadata->entries = calloc(n_allocated, sizeof(*metadata->entries));
        if (!metadata->entries)
                return -ENOMEM;

        json_object_foreach ((json_t *)object, key, value) {
                MetadataEntry *entry = &metadata->entries[metadata->n_entries];

                if (!json_is_string(value))
                        return diag_set(diag, -EBADMSG, "metadata \"%s\" must be a string", key);

                metadata->n_entries++;
                entry->key = strdup(key);
                entry->value = strdup(json_string_value(value));
                if (!entry->key || !entry->value)
                        return -ENOMEM;
        }
        return 0;
}

int json_in_read_metadata(const json_t *object, Metadata *ret_metadata, Diag *diag) {
        _cleanup_(metadata_done) Metadata metadata = { 0 };
        int r;

        r = gather_entries(object, &metadata, diag);
        if (r < 0)
                return r;

        /* Sorting at the end costs the same however many there are and however they came. */
        qsort(metadata.entries, metadata.n_entries, sizeof(*metadata.entries), compare_keys);

        *ret_metadata = metadata;
        metadata = (Metadata){ 0 };
        return 0;
}

int json_in_get_metadata(const json_t *object, const char *key, Metadata *ret_metadata,
                         Diag *diag) {
        json_t *value = json_in_get(object, key);

        if (!value) {
                *ret_metadata = (Metadata){ 0 };
                return 0;
        }
        if (!json_is_object(value))
                return diag_set(diag, -EBADMSG, "\"%s\" must be an object of strings", key);
        return json_in_read_metadata(value, ret_metadata, diag);
}

int json_in_get_strings(const json_t *object, const char *key, StrList *ret_strings, Diag *diag) {
        _cleanup_(strlist_done) StrList strings = { 0 };
        json_t *array, *value;
        size_t i;
        int r;

        r = json_in_get_array(object, key, &array, diag);
        if (r < 0)
                return r;

        json_array_foreach (array, i, value) {
                if (!json_is_string(value))
                        return diag_set(diag, -EBADMSG, "\"%s\" must be an array of strings", key);
                r = strlist_add(&strings, json_string_value(value));
                if (r < 0)
                        return r;
        }

        *ret_strings = strings;
        strings = (StrList){ 0 };
        return 0;
}

int json_in_get_restarts(const json_t *object, const char *key, Restarts *ret_restarts,
                         Diag *diag) {
        _cleanup_(restarts_done) Restarts restarts = { 0 };
        json_t *members = json_in_get(object, key), *value;
        const char *machine;
        int r;

        if (members && !json_is_object(members))
                return diag_set(diag, -EBADMSG, "\"%s\" must be an object of integers", key);

        json_object_foreach (members, machine, value) {
                if (!json_is_integer(value) || json_integer_value(value) < 0)
                        return diag_set(diag, -EBADMSG,
                                        "\"%s\" must be an object of integers that are not "
                                        "negative",
                                        key);
                r = restarts_set(&restarts, machine, (uint64_t)json_integer_value(value));
                if (r < 0)
                        return r;
        }

        *ret_restarts = restarts;
        restarts = (Restarts){ 0 };
        return 0;
}
