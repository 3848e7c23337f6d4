/* SPDX-License-Identifier: Apache-2.0 */

/* The server refuses what it cannot obey and ignores what it does not know, so that files of other
 * versions are accepted. For an author that is too kind: a misspelt option places the unit
 * anywhere. So everything that is ignored is a finding here.
 *
 * How a value is read is asked of requirements.h, with a file of that option alone.
 */

#include "fleetctl/unit-check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "fleetctl/suggest.h"
#include "lib/base/diag.h"
#include "lib/base/macro.h"
#include "lib/unit/requirements.h"
#include "lib/unit/unit-name.h"

enum {
        MACHINE_ID_BYTES = 32,      /* as machine-id(5) has it */
        MACHINE_ID_SHORT_BYTES = 8, /* as good (contract section 6) */
};

static const char fleet_section[] = "X-Fleet";

/* Sections that systemd or fleet read. */
static const char *const sections[] = {
        "Unit",  "Install",   "Service", "Socket", "Timer", "Path",
        "Mount", "Automount", "Swap",    "Slice",  "Scope", fleet_section,
};

static bool is_among(const StrList *list, const char *string) {
        for (size_t i = 0; i < list->n_items; i++)
                if (streq(list->items[i], string))
                        return true;
        return false;
}

/* The same thing is said once, and not too much is said at all. */
static int add(StrList *findings, const Diag *finding) {
        if (findings->n_items >= UNIT_CHECK_MAX_FINDINGS || is_among(findings, finding->message))
                return 0;
        return strlist_add(findings, finding->message);
}

static void append_meant(Diag *finding, const char *prefix, const Suggestions *near,
                         const char *suffix) {
        size_t used = strlen(finding->message);

        if (near->n_names > 0)
                (void)snprintf(finding->message + used, sizeof(finding->message) - used,
                               "; did you mean %s%s%s?", prefix, near->names[0], suffix);
}

/* --- spelling --- */

static int check_section(const char *section, StrList *ret_findings) {
        Suggestions near = { .typed = section, .n_typed = strlen(section) };
        Diag finding = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(sections); i++) {
                if (streq(sections[i], section))
                        return 0;
                suggestions_offer(&near, sections[i]);
        }
        if (near.n_names == 0)
                return 0;

        (void)diag_set(&finding, 0, "unknown section [%.100s]", section);
        append_meant(&finding, "[", &near, "]");
        return add(ret_findings, &finding);
}

static int check_key(const char *key, StrList *ret_findings) {
        Suggestions near = { .typed = key, .n_typed = strlen(key) };
        Diag finding = { 0 };

        for (size_t i = 0; requirements_key(i); i++)
                suggestions_offer(&near, requirements_key(i));

        (void)diag_set(&finding, 0, "unrecognized requirement in [X-Fleet] section: \"%.200s\"",
                       key);
        append_meant(&finding, "", &near, "");
        return add(ret_findings, &finding);
}

int unit_check_spelling(const UnitFile *file, StrList *ret_findings) {
        _cleanup_(strlist_done) StrList keys = { 0 };
        int r;

        r = requirements_unknown_keys(file, &keys);
        for (size_t i = 0; r == 0 && i < keys.n_items; i++)
                r = check_key(keys.items[i], ret_findings);
        for (size_t i = 0; r == 0 && i < file->n_options; i++)
                r = check_section(file->options[i].section, ret_findings);
        return r;
}

/* --- values --- */

static bool is_boolean(const char *value) {
        static const char *const spellings[] = { "true",  "yes", "1", "on",  "t",
                                                 "false", "no",  "0", "off", "f" };

        for (size_t i = 0; i < ELEMENTSOF(spellings); i++)
                if (strcasecmp(value, spellings[i]) == 0)
                        return true;
        return false;
}

static int find_bad_glob(const StrList *globs, Diag *finding) {
        for (size_t i = 0; i < globs->n_items; i++)
                if (!unit_glob_is_valid(globs->items[i]))
                        return diag_set(finding, -EINVAL, "it is not a pattern");
        return 0;
}

static int find_bad_peer(const StrList *peers, Diag *finding) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < peers->n_items; i++)
                r = unit_name_check(peers->items[i], finding);
        return r;
}

static int find_bad_machine_id(const char *id, Diag *finding) {
        size_t n = strspn(id, "0123456789abcdef");

        if (id[n] == '\0' && (n == MACHINE_ID_BYTES || n == MACHINE_ID_SHORT_BYTES))
                return 0;
        return diag_set(finding, -EINVAL,
                        "it is not a machine ID: %d digits of 0-9a-f, or the first %d of them",
                        MACHINE_ID_BYTES, MACHINE_ID_SHORT_BYTES);
}

/* What `requirements`, read from this one option, cannot mean. Returns 0 or -EINVAL. */
static int find_fault(const UnitOption *option, const Requirements *requirements, Diag *finding) {
        int r = 0;

        if (requirements->machine_id)
                r = find_bad_machine_id(requirements->machine_id, finding);
        if (r == 0)
                r = find_bad_peer(&requirements->machine_of, finding);
        if (r == 0)
                r = find_bad_glob(&requirements->conflicts, finding);
        if (r == 0)
                r = find_bad_glob(&requirements->replaces, finding);
        if (r == 0 && strstr(option->name, "Metadata") && requirements->n_metadata == 0)
                r = diag_set(finding, -EINVAL, "it is not KEY=VALUE, and ignored");
        if (r == 0 && (streq(option->name, "Global") || streq(option->name, "Exclusive")) &&
            !is_boolean(option->value))
                r = diag_set(finding, -EINVAL, "it is neither true nor false, and counts as false");
        return r;
}

/* Specifiers are filled in later: what has one may come to mean anything. */
static int check_value(const UnitOption *option, StrList *ret_findings) {
        _cleanup_(requirements_freep) Requirements *requirements = NULL;
        UnitOption alone[] = { *option };
        const UnitFile file = { .options = alone, .n_options = 1 };
        Diag finding = { 0 };
        int r;

        if (!streq(option->section, fleet_section) || strchr(option->value, '%'))
                return 0;

        r = requirements_new(&requirements, &file, NULL);
        if (r < 0 || find_fault(option, requirements, &finding) == 0)
                return r;
        (void)diag_wrap(&finding, 0, "%.100s=%.200s", option->name, option->value);
        return add(ret_findings, &finding);
}

static int check_combination(const UnitFile *file, StrList *ret_findings) {
        _cleanup_(requirements_freep) Requirements *requirements = NULL;
        Diag finding = { 0 };
        int r;

        r = requirements_new(&requirements, file, NULL);
        if (r < 0 || requirements_check(requirements, file, &finding) == 0)
                return r;
        return add(ret_findings, &finding);
}

int unit_check(const char *name, const UnitFile *file, StrList *ret_findings) {
        Diag finding = { 0 };
        int r = 0;

        if (unit_name_check(name, &finding) < 0)
                r = add(ret_findings, &finding);
        if (r == 0)
                r = check_combination(file, ret_findings);
        if (r == 0)
                r = unit_check_spelling(file, ret_findings);
        for (size_t i = 0; r == 0 && i < file->n_options; i++)
                r = check_value(&file->options[i], ret_findings);
        return r;
}
