/* SPDX-License-Identifier: Apache-2.0 */

/* Unit names and globs. The input is a name; where it has a newline, what is before that is a
 * pattern for what is behind.
 *
 * Names: what the rules accept can be a file name, and every name can be taken apart and put
 * together. Globs without classes are held against fnmatch(3), which means the same by them;
 * patterns with many stars are not, since it is slow with those, nor those with an escaped slash,
 * which glibc does not find behind a star.
 */

#include <fnmatch.h>

#include "lib/base/macro.h"
#include "lib/unit/unit-name.h"
#include "tests/fuzz/fuzz.h"

enum {
        MAX_COMPARED_BYTES = 64,
        MAX_COMPARED_STARS = 5,
};

static void require_parts(const char *name) {
        _cleanup_(freep) char *template = NULL;
        UnitNameParts parts;

        if (unit_name_split(name, &parts) < 0) {
                fuzz_require(!strchr(name, '.'), "what has a dot can be split");
                return;
        }

        fuzz_require(parts.prefix == name, "the prefix comes first");
        if (parts.instance)
                fuzz_require(parts.instance == name + parts.prefix_bytes + 1 &&
                                     parts.suffix == parts.instance + parts.instance_bytes + 1,
                             "prefix, instance and suffix are the name");
        else
                fuzz_require(parts.suffix == name + parts.prefix_bytes + 1,
                             "prefix and suffix are the name");

        if (!unit_name_is_instance(name))
                return;
        fuzz_require(unit_name_template(name, &template) == 0, "an instance has a template");
        fuzz_require(unit_name_is_template(template), "an instance's template is one");
        fuzz_require(strlen(template) + parts.instance_bytes == strlen(name),
                     "a template is the name without the instance");
}

static void require_name(const char *name) {
        _cleanup_(freep) char *mangled = NULL;
        _cleanup_(freep) char *again = NULL;
        Diag diag = { 0 };
        bool is_valid = unit_name_check(name, &diag) == 0;

        fuzz_require(is_valid != (diag.message[0] != '\0'), "what is refused has a reason");
        if (is_valid)
                fuzz_require(!strchr(name, '/') && !streq(name, ".") && !streq(name, "..") &&
                                     strlen(name) <= UNIT_NAME_MAX_BYTES,
                             "a valid name can be a file name");
        require_parts(name);

        fuzz_require(unit_name_mangle(name, &mangled) == 0 &&
                             unit_name_mangle(mangled, &again) == 0,
                     "there is memory");
        fuzz_require(streq(mangled, again), "a mangled name stays");
        fuzz_require(!is_valid || streq(mangled, name), "a valid name stays");
        fuzz_require(!strchr(mangled, '/'), "a mangled name has no directory");
}

static bool is_comparable(const char *pattern, const char *string) {
        size_t n_stars = 0;

        for (const char *c = pattern; *c; c++) {
                n_stars += *c == '*';
                if (*c == '[' || (*c == '\\' && c[1] == '/'))
                        return false;
        }
        return n_stars <= MAX_COMPARED_STARS && strlen(pattern) <= MAX_COMPARED_BYTES &&
               strlen(string) <= MAX_COMPARED_BYTES;
}

static void require_glob(const char *pattern, const char *string) {
        bool matches = unit_glob_matches(pattern, string);

        if (is_comparable(pattern, string))
                fuzz_require(matches == (fnmatch(pattern, string, FNM_PATHNAME) == 0),
                             "a glob matches as fnmatch() does");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        _cleanup_(freep) char *text = fuzz_string(data, n_bytes);
        char *newline;

        require_name(text);

        newline = strchr(text, '\n');
        if (newline) {
                *newline = '\0';
                require_glob(text, newline + 1);
        }
        return 0;
}
