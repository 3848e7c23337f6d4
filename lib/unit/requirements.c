/* SPDX-License-Identifier: Apache-2.0 */

/* The [X-Fleet] section (contract section 5.2): from options to requirements, and the rules over
 * them.
 *
 * One table holds every key with its deprecated spellings. Reading walks the options once: a value
 * has its specifiers expanded, is cut into its parts (a value in double quotes holds several), and
 * each part goes to the reader of the key's kind. Unknown keys and malformed metadata are dropped
 * here; requirements_unknown_keys() serves the warning about them.
 *
 * MachineID alone has a precedence among its spellings: the rank in the table decides, then the
 * order in the file.
 *
 * requirements_check() compares every peer with every glob, and the engine every glob with the
 * units of a machine, so it first bounds how many there are and how long: an API request may bring
 * a megabyte of them. That bound is ours; fleet 1.0 had none.
 */

#include "lib/unit/requirements.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <strings.h>

#include "lib/unit/exclusive.h"
#include "lib/unit/unit-name.h"

enum {
        MACHINE_ID_SHORT_BYTES = 8, /* contract section 6: as good as the whole ID */
        MAX_VALUES = 256,           /* of one key; many times more than unit files have */
};

static const char fleet_section[] = "X-Fleet";

/* What a key's values are. */
typedef enum Kind {
        KIND_MACHINE_ID,
        KIND_MACHINE_OF,
        KIND_METADATA,
        KIND_CONFLICTS,
        KIND_GLOBAL,
        KIND_EXCLUSIVE,
        KIND_REPLACES,
} Kind;

/* One spelling of a key. */
typedef struct Key {
        const char *name;
        Kind kind;
        int rank; /* among the spellings of MachineID: the lowest that is there counts */
} Key;

static const Key keys[] = {
        { "MachineID", KIND_MACHINE_ID, 0 },
        { "X-ConditionMachineID", KIND_MACHINE_ID, 1 },
        { "X-ConditionMachineBootID", KIND_MACHINE_ID, 2 },
        { "MachineOf", KIND_MACHINE_OF, 0 },
        { "X-ConditionMachineOf", KIND_MACHINE_OF, 0 },
        { "MachineMetadata", KIND_METADATA, 0 },
        { "X-ConditionMachineMetadata", KIND_METADATA, 0 },
        { "Conflicts", KIND_CONFLICTS, 0 },
        { "X-Conflicts", KIND_CONFLICTS, 0 },
        { "Global", KIND_GLOBAL, 0 },
        { "Exclusive", KIND_EXCLUSIVE, 0 },
        { "Replaces", KIND_REPLACES, 0 },
};

/* What is known while the section is read. */
typedef struct Reader {
        Requirements *requirements; /* borrowed */
        const char *unit_name;      /* borrowed, or NULL: specifiers stay */
        UnitNameParts parts;        /* of unit_name */
        int machine_id_rank;        /* of the MachineID found so far; INT32_MAX for none */
        size_t n_metadata_allocated;
} Reader;

static const Key *key_find(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (streq(keys[i].name, name))
                        return &keys[i];
        return NULL;
}

static bool is_blank(char c) {
        return c == ' ' || c == '\t';
}

static bool is_true(const char *value) {
        static const char *const spellings[] = { "true", "yes", "1", "on", "t" };

        for (size_t i = 0; i < ELEMENTSOF(spellings); i++)
                if (strcasecmp(value, spellings[i]) == 0)
                        return true;
        return false;
}

/* Append what the specifier `c` stands for. Returns 0, -ENOENT when it is none, or buf_append()'s
 * errors. */
static int append_specifier(const Reader *reader, char c, Buf *out) {
        const UnitNameParts *parts = &reader->parts;

        switch (c) {
        case 'n':
                return buf_append_string(out, reader->unit_name);
        case 'N':
                return buf_append(out, reader->unit_name,
                                  (size_t)(parts->suffix - 1 - reader->unit_name));
        case 'p':
                return buf_append(out, parts->prefix, parts->prefix_bytes);
        case 'i':
                return buf_append(out, parts->instance, parts->instance_bytes);
        default:
                return -ENOENT;
        }
}

static int expand_specifiers(const Reader *reader, const char *value, char **ret_value) {
        _cleanup_(buf_done) Buf out = buf_make(SIZE_MAX / 4);
        char *expanded;
        int r = 0;

        while (r == 0 && *value) {
                size_t n_plain = strcspn(value, "%");

                r = buf_append(&out, value, n_plain);
                value += n_plain;
                if (r < 0 || !*value)
                        continue;

                r = reader->unit_name ? append_specifier(reader, value[1], &out) : -ENOENT;
                if (r == -ENOENT) {
                        r = buf_append(&out, value, 1);
                        value++;
                } else
                        value += 2;
        }
        if (r < 0)
                return r;

        expanded = buf_take_string(&out);
        if (!expanded)
                return -ENOMEM;

        *ret_value = expanded;
        return 0;
}

static int read_machine_id(Reader *reader, const Key *key, const char *value) {
        char *copy;

        if (key->rank >= reader->machine_id_rank)
                return 0;

        copy = strdup(value);
        if (!copy)
                return -ENOMEM;

        free(reader->requirements->machine_id);
        reader->requirements->machine_id = copy;
        reader->machine_id_rank = key->rank;
        return 0;
}

static int metadata_reserve(Reader *reader) {
        Requirements *requirements = reader->requirements;
        size_t n = reader->n_metadata_allocated ? 2 * reader->n_metadata_allocated : 1;
        MetadataRequirement *metadata;

        if (requirements->n_metadata < reader->n_metadata_allocated)
                return 0;

        metadata = reallocarray(requirements->metadata, n, sizeof(*metadata));
        if (!metadata)
                return -ENOMEM;

        requirements->metadata = metadata;
        reader->n_metadata_allocated = n;
        return 0;
}

static int read_metadata(Reader *reader, const char *value) {
        Requirements *requirements = reader->requirements;
        const char *equals = strchr(value, '=');
        MetadataRequirement requirement;
        int r;

        if (!equals || equals == value || !equals[1] || strchr(equals + 1, '='))
                return 0;

        r = metadata_reserve(reader);
        if (r < 0)
                return r;

        requirement.key = strndup(value, (size_t)(equals - value));
        requirement.value = strdup(equals + 1);
        if (!requirement.key || !requirement.value) {
                free(requirement.key);
                free(requirement.value);
                return -ENOMEM;
        }

        requirements->metadata[requirements->n_metadata++] = requirement;
        return 0;
}

/* Conflicts alone are split at white space, too. */
static int read_conflicts(Reader *reader, const char *value) {
        static const char space[] = " \t\n\v\f\r";
        int r = 0;

        for (value += strspn(value, space); r == 0 && *value; value += strspn(value, space)) {
                size_t n_bytes = strcspn(value, space);

                r = strlist_add_bytes(&reader->requirements->conflicts, value, n_bytes);
                value += n_bytes;
        }
        return r;
}

static int read_part(Reader *reader, const Key *key, const char *part) {
        switch (key->kind) {
        case KIND_MACHINE_ID:
                return read_machine_id(reader, key, part);
        case KIND_MACHINE_OF:
                return strlist_add(&reader->requirements->machine_of, part);
        case KIND_METADATA:
                return read_metadata(reader, part);
        case KIND_CONFLICTS:
                return read_conflicts(reader, part);
        case KIND_GLOBAL:
                reader->requirements->global = is_true(part);
                return 0;
        case KIND_EXCLUSIVE:
                reader->requirements->exclusive = is_true(part);
                return 0;
        case KIND_REPLACES:
                return strlist_add(&reader->requirements->replaces, part);
        }
        return 0;
}

/* Cut a value that is in quotes into its parts, in place: the quotes go, blanks outside of them
 * separate. */
static int read_quoted(Reader *reader, const Key *key, char *value) {
        char *part = value, *end = value;
        bool is_quoted = false;

        for (const char *c = value; *c; c++) {
                int r;

                if (*c == '"') {
                        is_quoted = !is_quoted;
                        continue;
                }
                if (is_quoted || !is_blank(*c)) {
                        *end++ = *c;
                        continue;
                }

                /* The NUL overwrites at most the blank itself: what is kept never overtakes what is
                 * read. */
                *end++ = '\0';
                r = read_part(reader, key, part);
                if (r < 0)
                        return r;
                part = end;
        }

        *end = '\0';
        return read_part(reader, key, part);
}

static int read_option(Reader *reader, const UnitOption *option) {
        _cleanup_(freep) char *value = NULL;
        const Key *key = key_find(option->name);
        size_t n_bytes;
        int r;

        if (!key)
                return 0;

        r = expand_specifiers(reader, option->value, &value);
        if (r < 0)
                return r;

        n_bytes = strlen(value);
        if (n_bytes > 0 && value[0] == '"' && value[n_bytes - 1] == '"')
                return read_quoted(reader, key, value);
        return read_part(reader, key, value);
}

int requirements_new(Requirements **ret_requirements, const UnitFile *file, const char *unit_name) {
        _cleanup_(requirements_freep) Requirements *requirements = NULL;
        Reader reader = { .machine_id_rank = INT32_MAX };

        assert(file);

        requirements = calloc(1, sizeof(*requirements));
        if (!requirements)
                return -ENOMEM;

        reader.requirements = requirements;
        if (unit_name && unit_name_split(unit_name, &reader.parts) == 0)
                reader.unit_name = unit_name;

        for (size_t i = 0; i < file->n_options; i++) {
                int r = 0;

                if (streq(file->options[i].section, fleet_section))
                        r = read_option(&reader, &file->options[i]);
                if (r < 0)
                        return r;
        }

        *ret_requirements = TAKE(requirements);
        return 0;
}

Requirements *requirements_free(Requirements *requirements) {
        if (!requirements)
                return NULL;

        free(requirements->machine_id);
        strlist_done(&requirements->machine_of);
        strlist_done(&requirements->conflicts);
        strlist_done(&requirements->replaces);
        for (size_t i = 0; i < requirements->n_metadata; i++) {
                free(requirements->metadata[i].key);
                free(requirements->metadata[i].value);
        }
        free(requirements->metadata);
        free(requirements);
        return NULL;
}

static int check_list(const char *key, const StrList *values, Diag *diag) {
        if (values->n_items > MAX_VALUES)
                return diag_set(diag, -EINVAL, "%s has %zu values, more than the maximum of %d",
                                key, values->n_items, MAX_VALUES);

        for (size_t i = 0; i < values->n_items; i++)
                if (strlen(values->items[i]) > UNIT_NAME_MAX_BYTES)
                        return diag_set(diag, -EINVAL,
                                        "%s has a value of %zu bytes, more than the maximum of %d",
                                        key, strlen(values->items[i]), UNIT_NAME_MAX_BYTES);
        return 0;
}

static int check_sizes(const Requirements *requirements, Diag *diag) {
        int r;

        r = check_list("MachineOf", &requirements->machine_of, diag);
        if (r == 0)
                r = check_list("Conflicts", &requirements->conflicts, diag);
        if (r == 0)
                r = check_list("Replaces", &requirements->replaces, diag);
        if (r == 0 && requirements->n_metadata > MAX_VALUES)
                r = diag_set(diag, -EINVAL,
                             "MachineMetadata has %zu values, more than the maximum of %d",
                             requirements->n_metadata, MAX_VALUES);
        return r;
}

/* No peer may match one of the globs; `what` names the option in the message. */
static int check_peers(const StrList *peers, const StrList *globs, const char *what, Diag *diag) {
        for (size_t i = 0; i < peers->n_items; i++)
                for (size_t j = 0; j < globs->n_items; j++)
                        if (unit_glob_matches(globs->items[j], peers->items[i]))
                                return diag_set(
                                        diag, -EINVAL,
                                        "unresolvable requirements: peer \"%s\" matches %s \"%s\"",
                                        peers->items[i], what, globs->items[j]);
        return 0;
}

/* The combinations that make no sense, in the order of contract section 4.6. */
static int check_combinations(const Requirements *requirements, Diag *diag) {
        const bool target = requirements->machine_id, global = requirements->global;
        const bool peers = requirements->machine_of.n_items > 0;
        const bool conflicts = requirements->conflicts.n_items > 0;
        const bool replaces = requirements->replaces.n_items > 0;
        const bool exclusive = requirements->exclusive;
        const struct {
                bool is_violated;
                const char *message;
        } rules[] = {
                { target && peers, "MachineID cannot be used with Peers" },
                { target && conflicts, "MachineID cannot be used with Conflicts" },
                { target && global, "MachineID cannot be used with Global" },
                { target && replaces, "MachineID cannot be used with Replaces" },
                { global && peers, "Global cannot be used with Peers" },
                { global && replaces, "Global cannot be used with Replaces" },
                { conflicts && replaces, "Conflicts cannot be used with Replaces" },
                { global && exclusive, "Global cannot be used with Exclusive" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rules); i++)
                if (rules[i].is_violated)
                        return diag_set(diag, -EINVAL, "%s", rules[i].message);
        return 0;
}

int requirements_check(const Requirements *requirements, const UnitFile *file, Diag *diag) {
        uint32_t stop_s;
        int r;

        r = check_sizes(requirements, diag);
        if (r == 0)
                r = check_peers(&requirements->machine_of, &requirements->conflicts, "conflict",
                                diag);
        if (r == 0)
                r = check_peers(&requirements->machine_of, &requirements->replaces, "replace",
                                diag);
        if (r == 0)
                r = check_combinations(requirements, diag);
        if (r == 0 && requirements->exclusive)
                r = exclusive_stop_time(file, &stop_s, diag);
        return r;
}

int requirements_unknown_keys(const UnitFile *file, StrList *ret_keys) {
        for (size_t i = 0; i < file->n_options; i++) {
                const UnitOption *option = &file->options[i];
                int r = 0;

                if (streq(option->section, fleet_section) && !key_find(option->name))
                        r = strlist_add(ret_keys, option->name);
                if (r < 0)
                        return r;
        }
        return 0;
}

const char *requirements_key(size_t number) {
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (strncmp(keys[i].name, "X-", 2) != 0 && number-- == 0)
                        return keys[i].name;
        return NULL;
}

static bool any_glob_matches(const StrList *globs, const char *name) {
        for (size_t i = 0; i < globs->n_items; i++)
                if (unit_glob_matches(globs->items[i], name))
                        return true;
        return false;
}

bool requirements_conflict(const char *a, const Requirements *ra, const char *b,
                           const Requirements *rb) {
        if (streq(a, b))
                return false;
        return any_glob_matches(&ra->conflicts, b) || any_glob_matches(&rb->conflicts, a);
}

bool requirements_replace(const char *a, const Requirements *ra, const char *b) {
        return !streq(a, b) && any_glob_matches(&ra->replaces, b);
}

bool requirements_allow_machine(const Requirements *requirements, const char *machine_id) {
        const char *wanted = requirements->machine_id;

        if (!wanted || streq(wanted, machine_id))
                return true;
        return strlen(wanted) == MACHINE_ID_SHORT_BYTES &&
               strncmp(wanted, machine_id, MACHINE_ID_SHORT_BYTES) == 0;
}
