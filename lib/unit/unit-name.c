/* SPDX-License-Identifier: Apache-2.0 */

/* Unit names: the rules, the parts, and what a word of the command line means.
 *
 * Names are plain strings everywhere in fleet; nothing here keeps state. The rules are a fixed
 * sequence, because their order decides which message a user sees (contract section 4.6). The types
 * are two static tables.
 *
 * A name may hold '@' behind its last dot only if its type were unknown, so everything that splits
 * looks for the first '@' before the last dot.
 */

#include "lib/unit/unit-name.h"

#include <errno.h>

#include "lib/base/macro.h"

/* Contract section 4.6: the types that the API accepts. */
static const char *const suffixes[] = {
        "automount", "busname",  "device", "mount", "path",   "scope", "service",
        "slice",     "snapshot", "socket", "swap",  "target", "timer",
};

/* Contract section 4.6: those of which there can be templates and instances. */
static const char *const template_suffixes[] = { "path", "service", "socket", "target", "timer" };

static bool is_one_of(const char *string, const char *const *strings, size_t n_strings) {
        for (size_t i = 0; i < n_strings; i++)
                if (streq(string, strings[i]))
                        return true;
        return false;
}

bool unit_suffix_is_valid(const char *suffix) {
        return is_one_of(suffix, suffixes, ELEMENTSOF(suffixes));
}

static bool is_name_character(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               (c && strchr(":_.\\@-", c));
}

/* Show the character that `string` starts with: as it is when that can be read, by its number
 * otherwise. */
static int report_character(const char *string, Diag *diag) {
        unsigned char first = (unsigned char)*string;
        int n = 1;

        if (first < 0x20 || first == 0x7f)
                return diag_set(diag, -EINVAL, "invalid character '\\x%02x' in unit name", first);

        if (first >= 0x80)
                while (n < 4 && ((unsigned char)string[n] & 0xc0) == 0x80)
                        n++;
        return diag_set(diag, -EINVAL, "invalid character '%.*s' in unit name", n, string);
}

int unit_name_check(const char *name, Diag *diag) {
        const char *dot, *suffix;

        if (!*name)
                return diag_set(diag, -EINVAL, "unit name cannot be empty");
        if (strlen(name) > UNIT_NAME_MAX_BYTES)
                return diag_set(diag, -EINVAL, "unit name exceeds maximum length (%d)",
                                UNIT_NAME_MAX_BYTES);

        dot = strrchr(name, '.');
        if (!dot)
                return diag_set(diag, -EINVAL, "unit name must contain \".\"");

        suffix = dot + 1;
        if (!*suffix)
                return diag_set(diag, -EINVAL, "unit name cannot end in \".\"");
        if (!unit_suffix_is_valid(suffix))
                return diag_set(diag, -EINVAL, "invalid unit type: \"%s\"", suffix);
        if (strchr(name, '@') &&
            !is_one_of(suffix, template_suffixes, ELEMENTSOF(template_suffixes)))
                return diag_set(diag, -EINVAL, "invalid unit type for template: \"%s\"", suffix);

        for (const char *c = name; c < dot; c++)
                if (!is_name_character(*c))
                        return report_character(c, diag);

        if (*name == '@')
                return diag_set(diag, -EINVAL, "unit name cannot start in \"@\"");
        return 0;
}

int unit_name_split(const char *name, UnitNameParts *ret_parts) {
        const char *dot = strrchr(name, '.'), *at;
        UnitNameParts parts = { .prefix = name };

        if (!dot)
                return -EINVAL;

        parts.suffix = dot + 1;
        at = memchr(name, '@', (size_t)(dot - name));
        parts.prefix_bytes = (size_t)((at ? at : dot) - name);
        if (at) {
                parts.instance = at + 1;
                parts.instance_bytes = (size_t)(dot - parts.instance);
        }

        *ret_parts = parts;
        return 0;
}

bool unit_name_is_template(const char *name) {
        UnitNameParts parts;

        return unit_name_split(name, &parts) == 0 && parts.instance && parts.instance_bytes == 0;
}

bool unit_name_is_instance(const char *name) {
        UnitNameParts parts;

        return unit_name_split(name, &parts) == 0 && parts.instance_bytes > 0;
}

int unit_name_template(const char *name, char **ret_template) {
        UnitNameParts parts;
        char *template;

        if (unit_name_split(name, &parts) < 0 || parts.instance_bytes == 0)
                return -EINVAL;

        /* The template is the name without the instance, so it fits where the name does. */
        template = strdup(name);
        if (!template)
                return -ENOMEM;

        memmove(template + parts.prefix_bytes + 1, parts.suffix - 1, strlen(parts.suffix) + 2);
        *ret_template = template;
        return 0;
}

int unit_name_mangle(const char *word, char **ret_name) {
        static const char default_suffix[] = ".service";
        size_t n_bytes = strlen(word), start;
        const char *dot;
        char *name;

        while (n_bytes > 0 && word[n_bytes - 1] == '/')
                n_bytes--;
        for (start = n_bytes; start > 0 && word[start - 1] != '/';)
                start--;
        n_bytes -= start;

        name = calloc(1, n_bytes + sizeof(default_suffix));
        if (!name)
                return -ENOMEM;

        memcpy(name, word + start, n_bytes);
        dot = strrchr(name, '.');
        /* Nothing stays nothing, so that the name's rules tell the user that it is empty. */
        if (n_bytes > 0 && !(dot && unit_suffix_is_valid(dot + 1)))
                memcpy(name + n_bytes, default_suffix, sizeof(default_suffix));

        *ret_name = name;
        return 0;
}
