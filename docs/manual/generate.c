/* SPDX-License-Identifier: Apache-2.0 */

/* generate TEMPLATE: prints a manual page or the completion, its markers replaced by what the
 * programs' tables say. A marker is @NAME@, anywhere in a line. */

#include <stdlib.h>
#include <string.h>

#include "docs/manual/manual.h"
#include "lib/base/macro.h"

static void print_version(FILE *out) {
        (void)fputs(FLEET_VERSION, out);
}

/* What stands for a marker. */
static const struct {
        const char *name;
        void (*print)(FILE *out);
} markers[] = {
        { "VERSION", print_version },
        { "COMMANDS", manual_commands },
        { "GLOBAL_FLAGS", manual_global_flags },
        { "ENVIRONMENT", manual_environment },
        { "CONFIG_KEYS", manual_config_keys },
        { "UNUSED_KEYS", manual_unused_keys },
        { "STORE_COMMANDS", manual_store_commands },
        { "BASH_COMMANDS", completion_commands },
        { "BASH_GLOBAL_FLAGS", completion_global_flags },
        { "BASH_CASES", completion_cases },
};

/* Print the marker that `text` begins with; returns its length, or 0 when there is none. */
static size_t print_marker(const char *text) {
        for (size_t i = 0; i < ELEMENTSOF(markers); i++) {
                size_t n = strlen(markers[i].name);

                if (text[0] == '@' && strncmp(text + 1, markers[i].name, n) == 0 &&
                    text[n + 1] == '@') {
                        markers[i].print(stdout);
                        return n + 2;
                }
        }
        return 0;
}

static void print_line(const char *text) {
        while (*text) {
                size_t n = print_marker(text);

                if (n == 0)
                        (void)putchar(*text);
                text += n > 0 ? n : 1;
        }
}

int main(int argc, char **argv) {
        _cleanup_(freep) char *line = NULL;
        size_t n_allocated = 0;
        FILE *template = argc == 2 ? fopen(argv[1], "re") : NULL;
        int r;

        if (!template) {
                (void)fprintf(stderr, "Usage: %s TEMPLATE\n", argv[0]);
                return EXIT_FAILURE;
        }

        while (getline(&line, &n_allocated, template) >= 0)
                print_line(line);
        r = ferror(template) || fflush(stdout) != 0;
        (void)fclose(template);
        return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
