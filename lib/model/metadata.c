/* SPDX-License-Identifier: Apache-2.0 */

/* Metadata: a sorted array of owned pairs.
 *
 * Machines have a handful of keys, and the engine asks for them per unit and machine, so a sorted
 * array with binary search beats anything with nodes. Sorted order makes merging, comparing and
 * printing single passes, and lets whoever adds keys in order (our own JSON has sorted keys) add
 * each at the end.
 *
 * Invariants: keys are unique and in byte order; no string is NULL. A function that fails leaves
 * its argument as it was, or its result untouched.
 */

#include "lib/model/metadata.h"

#include <assert.h>
#include <errno.h>

static void metadata_entry_done(MetadataEntry *entry) {
        free(entry->key);
        free(entry->value);
}

void metadata_done(Metadata *metadata) {
        for (size_t i = 0; i < metadata->n_entries; i++)
                metadata_entry_done(&metadata->entries[i]);
        free(metadata->entries);
        *metadata = (Metadata){ 0 };
}

/* Where `key` is, or where it would have to be put. */
static size_t metadata_position(const Metadata *metadata, const char *key, bool *ret_is_there) {
        size_t low = 0, high = metadata->n_entries;

        /* Keys that come in order go to the end. */
        if (high > 0 && strcmp(metadata->entries[high - 1].key, key) < 0)
                low = high;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                int c = strcmp(metadata->entries[middle].key, key);

                if (c == 0) {
                        *ret_is_there = true;
                        return middle;
                }
                if (c < 0)
                        low = middle + 1;
                else
                        high = middle;
        }

        *ret_is_there = false;
        return low;
}

static int metadata_insert(Metadata *metadata, size_t at, MetadataEntry entry) {
        MetadataEntry *entries;
        size_t n = metadata->n_entries;

        /* Room for the next power of two, so the array is full exactly at one. */
        if ((n & (n - 1)) == 0) {
                entries = reallocarray(metadata->entries, n > 0 ? 2 * n : 1, sizeof(*entries));
                if (!entries)
                        return -ENOMEM;
                metadata->entries = entries;
        }

        memmove(&metadata->entries[at + 1], &metadata->entries[at], (n - at) * sizeof(entry));
        metadata->entries[at] = entry;
        metadata->n_entries++;
        return 0;
}

int metadata_set(Metadata *metadata, const char *key, const char *value) {
        MetadataEntry entry = { .value = strdup(value) };
        bool is_there;
        size_t at;

        if (!entry.value)
                return -ENOMEM;

        at = metadata_position(metadata, key, &is_there);
        if (is_there) {
                free(metadata->entries[at].value);
                metadata->entries[at].value = entry.value;
                return 0;
        }

        entry.key = strdup(key);
        if (!entry.key || metadata_insert(metadata, at, entry) < 0) {
                metadata_entry_done(&entry);
                return -ENOMEM;
        }
        return 0;
}

const char *metadata_get(const Metadata *metadata, const char *key) {
        bool is_there;
        size_t at = metadata_position(metadata, key, &is_there);

        return is_there ? metadata->entries[at].value : NULL;
}

int metadata_merge(const Metadata *base, const Metadata *over, Metadata *ret_merged) {
        _cleanup_(metadata_done) Metadata merged = { 0 };
        size_t i = 0, j = 0;

        while (i < base->n_entries || j < over->n_entries) {
                const MetadataEntry *entry;
                int c, r = 0;

                if (i == base->n_entries || j == over->n_entries)
                        c = i == base->n_entries ? 1 : -1;
                else
                        c = strcmp(base->entries[i].key, over->entries[j].key);

                entry = c < 0 ? &base->entries[i] : &over->entries[j];
                i += c <= 0;
                j += c >= 0;

                if (c < 0 || *entry->value)
                        r = metadata_set(&merged, entry->key, entry->value);
                if (r < 0)
                        return r;
        }

        *ret_merged = merged;
        merged = (Metadata){ 0 };
        return 0;
}

int metadata_copy(const Metadata *metadata, Metadata *ret_copy) {
        _cleanup_(metadata_done) Metadata copy = { 0 };

        for (size_t i = 0; i < metadata->n_entries; i++)
                if (metadata_set(&copy, metadata->entries[i].key, metadata->entries[i].value) < 0)
                        return -ENOMEM;

        *ret_copy = copy;
        copy = (Metadata){ 0 };
        return 0;
}

bool metadata_satisfies(const Metadata *metadata, const Requirements *requirements) {
        for (size_t i = 0; i < requirements->n_metadata; i++) {
                const MetadataRequirement *wanted = requirements->metadata;
                const char *value = metadata_get(metadata, wanted[i].key);
                bool is_met = value && streq(value, wanted[i].value);

                /* Another value of the same key does as well. */
                for (size_t j = 0; value && !is_met && j < requirements->n_metadata; j++)
                        is_met = streq(wanted[j].key, wanted[i].key) &&
                                 streq(wanted[j].value, value);

                if (!is_met)
                        return false;
        }
        return true;
}

/* Cut the white space of ASCII off both ends. */
static void trim(const char **start, size_t *n_bytes) {
        static const char space[] = " \t\n\v\f\r";

        while (*n_bytes > 0 && strchr(space, **start)) {
                (*start)++;
                (*n_bytes)--;
        }
        while (*n_bytes > 0 && strchr(space, (*start)[*n_bytes - 1]))
                (*n_bytes)--;
}

static int parse_pair(const char *pair, size_t n_bytes, Metadata *metadata, Diag *diag) {
        _cleanup_(freep) char *key = NULL;
        _cleanup_(freep) char *value = NULL;
        const char *equals = memchr(pair, '=', n_bytes), *value_start;
        size_t key_bytes, value_bytes;

        if (!equals)
                return diag_set(diag, -EINVAL, "metadata \"%.*s\" is no key=value pair",
                                (int)(n_bytes < 200 ? n_bytes : 200), pair);

        key_bytes = (size_t)(equals - pair);
        value_start = equals + 1;
        value_bytes = n_bytes - key_bytes - 1;
        trim(&pair, &key_bytes);
        trim(&value_start, &value_bytes);

        key = strndup(pair, key_bytes);
        value = strndup(value_start, value_bytes);
        if (!key || !value)
                return -ENOMEM;
        return metadata_set(metadata, key, value);
}

int metadata_parse(const char *text, Metadata *ret_metadata, Diag *diag) {
        _cleanup_(metadata_done) Metadata metadata = { 0 };

        for (;;) {
                size_t n_bytes = strcspn(text, ","), pair_bytes = n_bytes;
                const char *pair = text;
                int r = 0;

                /* Nothing between two commas, or after the last one, is no pair and no mistake. */
                trim(&pair, &pair_bytes);
                if (pair_bytes > 0)
                        r = parse_pair(pair, pair_bytes, &metadata, diag);
                if (r < 0)
                        return r;

                if (!text[n_bytes])
                        break;
                text += n_bytes + 1;
        }

        *ret_metadata = metadata;
        metadata = (Metadata){ 0 };
        return 0;
}
