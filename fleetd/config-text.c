/* SPDX-License-Identifier: Apache-2.0 */

/* The lines of a configuration file. A value is taken as it stands: there are no escapes, no
 * continuation lines and no comments behind a value, so that a password or a metadata value may
 * hold any of these characters. Quotes count only where they enclose all of the value; one that is
 * opened and not closed is an error rather than part of it, unless the value is a list in brackets,
 * whose quotes are its own.
 */

#include "fleetd/config-text.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "fleetd/file.h"
#include "lib/base/macro.h"

/* The value without the quotes around it, in place. Returns 0, or -EINVAL for a quote without its
 * partner. */
static int unquote(char *value, char **ret_value) {
        char *end;

        if (*value != '"' && *value != '\'') {
                *ret_value = value;
                return 0;
        }

        end = strchr(value + 1, *value);
        if (!end || end[1] != '\0')
                return -EINVAL;

        *end = '\0';
        *ret_value = value + 1;
        return 0;
}

static int parse_line(char *line, unsigned number, ConfigTextFn fn, void *userdata, Diag *diag) {
        char *key = text_trim(line), *value, *equals;

        if (*key == '\0' || *key == '#' || *key == ';')
                return 0;
        if (*key == '[')
                return diag_set(
                        diag, -EINVAL,
                        "\"%s\" begins a section; this file has none, every key stands by itself",
                        key);

        equals = strchr(key, '=');
        if (!equals)
                return diag_set(diag, -EINVAL, "\"%s\" is no KEY=VALUE", key);
        *equals = '\0';
        key = text_trim(key);
        if (*key == '\0')
                return diag_set(diag, -EINVAL, "there is no key before \"=\"");

        if (unquote(text_trim(equals + 1), &value) < 0)
                return diag_set(diag, -EINVAL,
                                "%s: the quote that the value begins with must close at its end, "
                                "and only there",
                                key);
        return fn(key, value, number, userdata, diag);
}

int config_text_parse(const char *path, char *text, size_t n_bytes, ConfigTextFn fn, void *userdata,
                      Diag *diag) {
        unsigned number = 0;
        char *end = text + n_bytes, *line = text;

        while (line < end) {
                char *next = memchr(line, '\n', (size_t)(end - line));
                int r;

                number++;
                next = next ? next : end;
                *next = '\0';
                if (strlen(line) != (size_t)(next - line))
                        return diag_set(diag, -EINVAL,
                                        "%s:%u: the line holds a NUL byte; this is no text", path,
                                        number);

                r = parse_line(line, number, fn, userdata, diag);
                if (r != 0)
                        return diag_wrap(diag, r, "%s:%u", path, number);
                line = next + 1;
        }
        return 0;
}
