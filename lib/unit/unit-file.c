/* SPDX-License-Identifier: Apache-2.0 */

/* Unit files as lists of options: building, the canonical form, the hash, and looking things up.
 * Parsing is unit-file-parse.c.
 *
 * The options stay in the order of the file, because the API shows them so; the canonical form
 * (contract section 5.4) gathers them by section, sections in order of first appearance. That order
 * is computed when it is needed, by sorting, so that a file of 100,000 one-line sections costs n
 * log n and not n squared.
 *
 * Invariant: the array of options has room for the next power of two at or above n_options, so
 * appending needs no field for the capacity. Nothing here checks what an option says: a value with
 * a newline of its own prints as it is, and whoever takes options from a peer parses the printed
 * form again before believing it (contract section 4.6, rule 1).
 */

#include "lib/unit/unit-file.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>

#include "lib/unit/sha1.h"

/* One option's place in the canonical form. */
typedef struct CanonicalEntry {
        const UnitOption *option; /* borrowed; its address stands for its place in the file */
        const UnitOption *first;  /* the first option of the same section, once that is known */
} CanonicalEntry;

int unit_file_new(UnitFile **ret_file) {
        UnitFile *file = calloc(1, sizeof(*file));

        if (!file)
                return -ENOMEM;

        *ret_file = file;
        return 0;
}

static void unit_option_done(UnitOption *option) {
        free(option->section);
        free(option->name);
        free(option->value);
}

UnitFile *unit_file_free(UnitFile *file) {
        if (!file)
                return NULL;

        for (size_t i = 0; i < file->n_options; i++)
                unit_option_done(&file->options[i]);
        free(file->options);
        free(file);
        return NULL;
}

static int unit_file_reserve(UnitFile *file) {
        size_t n = file->n_options;
        UnitOption *options;

        /* Full exactly when the count is a power of two (or nothing is there yet). */
        if ((n & (n - 1)) != 0)
                return 0;

        options = reallocarray(file->options, n > 0 ? 2 * n : 1, sizeof(*options));
        if (!options)
                return -ENOMEM;

        file->options = options;
        return 0;
}

int unit_file_add(UnitFile *file, const char *section, const char *name, const char *value) {
        UnitOption option;
        int r;

        assert(file);

        r = unit_file_reserve(file);
        if (r < 0)
                return r;

        option = (UnitOption){
                .section = strdup(section),
                .name = strdup(name),
                .value = strdup(value),
        };
        if (!option.section || !option.name || !option.value) {
                unit_option_done(&option);
                return -ENOMEM;
        }

        file->options[file->n_options++] = option;
        return 0;
}

static int compare_addresses(const UnitOption *a, const UnitOption *b) {
        return (a > b) - (a < b);
}

static int compare_by_section(const void *a, const void *b) {
        const CanonicalEntry *x = a, *y = b;
        int c = strcmp(x->option->section, y->option->section);

        return c != 0 ? c : compare_addresses(x->option, y->option);
}

static int compare_by_appearance(const void *a, const void *b) {
        const CanonicalEntry *x = a, *y = b;
        int c = compare_addresses(x->first, y->first);

        return c != 0 ? c : compare_addresses(x->option, y->option);
}

/* The options in canonical order; the caller frees the array of n_options. */
static int unit_file_order(const UnitFile *file, CanonicalEntry **ret_entries) {
        CanonicalEntry *entries = calloc(file->n_options + 1, sizeof(*entries));

        if (!entries)
                return -ENOMEM;

        for (size_t i = 0; i < file->n_options; i++)
                entries[i].option = &file->options[i];
        qsort(entries, file->n_options, sizeof(*entries), compare_by_section);

        for (size_t i = 0; i < file->n_options; i++) {
                bool is_first = i == 0 ||
                                !streq(entries[i].option->section, entries[i - 1].option->section);

                entries[i].first = is_first ? entries[i].option : entries[i - 1].first;
        }
        qsort(entries, file->n_options, sizeof(*entries), compare_by_appearance);

        *ret_entries = entries;
        return 0;
}

static int print_entry(const CanonicalEntry *entry, bool is_first_of_all, Buf *out) {
        const char *const parts[] = { entry->option->name, "=", entry->option->value, "\n" };
        int r = 0;

        if (entry->option == entry->first) {
                const char *const header[] = { is_first_of_all ? "[" : "\n[",
                                               entry->option->section, "]\n" };

                for (size_t i = 0; r == 0 && i < ELEMENTSOF(header); i++)
                        r = buf_append_string(out, header[i]);
        }

        for (size_t i = 0; r == 0 && i < ELEMENTSOF(parts); i++)
                r = buf_append_string(out, parts[i]);
        return r;
}

int unit_file_print(const UnitFile *file, Buf *out) {
        _cleanup_(freep) CanonicalEntry *entries = NULL;
        size_t n_before = out->n_bytes;
        int r;

        assert(file);

        r = unit_file_order(file, &entries);
        for (size_t i = 0; r == 0 && i < file->n_options; i++)
                r = print_entry(&entries[i], i == 0, out);

        if (r < 0 && out->data) {
                out->n_bytes = n_before;
                out->data[n_before] = '\0';
        }
        return r;
}

void unit_text_hash(const void *bytes, size_t n_bytes, char ret_hash[UNIT_HASH_BYTES]) {
        static const char digits[] = "0123456789abcdef";
        uint8_t digest[SHA1_DIGEST_BYTES];

        sha1_digest(bytes, n_bytes, digest);
        for (size_t i = 0; i < SHA1_DIGEST_BYTES; i++) {
                ret_hash[2 * i] = digits[digest[i] >> 4];
                ret_hash[2 * i + 1] = digits[digest[i] & 15];
        }
        ret_hash[UNIT_HASH_BYTES - 1] = '\0';
}

int unit_file_hash(const UnitFile *file, char ret_hash[UNIT_HASH_BYTES]) {
        _cleanup_(buf_done) Buf text = buf_make(SIZE_MAX / 4);
        int r;

        r = unit_file_print(file, &text);
        if (r < 0)
                return r;

        unit_text_hash(text.data, text.n_bytes, ret_hash);
        return 0;
}

bool unit_hash_is_valid(const char *hash) {
        return strlen(hash) == UNIT_HASH_BYTES - 1 &&
               strspn(hash, "0123456789abcdef") == UNIT_HASH_BYTES - 1;
}

const char *unit_file_get(const UnitFile *file, const char *section, const char *name) {
        for (size_t i = 0; i < file->n_options; i++)
                if (streq(file->options[i].section, section) && streq(file->options[i].name, name))
                        return file->options[i].value;
        return NULL;
}

bool unit_file_has_section(const UnitFile *file, const char *section) {
        for (size_t i = 0; i < file->n_options; i++)
                if (streq(file->options[i].section, section))
                        return true;
        return false;
}

static bool options_equal(const UnitOption *a, const UnitOption *b) {
        return streq(a->section, b->section) && streq(a->name, b->name) &&
               streq(a->value, b->value);
}

bool unit_file_equals(const UnitFile *a, const UnitFile *b) {
        _cleanup_(freep) CanonicalEntry *ordered_a = NULL, *ordered_b = NULL;
        size_t i = 0;

        if (a->n_options != b->n_options)
                return false;

        /* Mostly the files agree in their order, too, and nothing needs sorting. */
        while (i < a->n_options && options_equal(&a->options[i], &b->options[i]))
                i++;
        if (i == a->n_options)
                return true;

        if (unit_file_order(a, &ordered_a) < 0 || unit_file_order(b, &ordered_b) < 0)
                return false;

        for (i = 0; i < a->n_options; i++)
                if (!options_equal(ordered_a[i].option, ordered_b[i].option))
                        return false;
        return true;
}
