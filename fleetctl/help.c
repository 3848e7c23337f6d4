/* SPDX-License-Identifier: Apache-2.0 */

/* Help, in the sections that fleet 1.0 used: NAME, USAGE, VERSION, DESCRIPTION, COMMANDS, OPTIONS,
 * GLOBAL OPTIONS (contract section 2.4). Nothing is written twice: what is shown comes from the
 * rows that the parser uses.
 */

#include "fleetctl/help.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
        LINE_COLUMNS = 80, /* of the terminals that are narrowest */
        INDENT = 4,
};

static void print_section(const char *title) {
        (void)printf("\n%s:\n", title);
}

int help_format_flag(const Flag *flag, char *text, size_t n_bytes) {
        char letter[8] = "";

        if (flag->letter)
                (void)snprintf(letter, sizeof(letter), "-%c, ", flag->letter);
        return snprintf(text, n_bytes, "%s--%s%s%s", letter, flag->name, flag->metavar ? "=" : "",
                        flag->metavar ? flag->metavar : "");
}

/* Prints the text from column `column` on, word by word, on lines of at most LINE_COLUMNS; further
 * lines begin at column `indent`. An empty line in the text stays one, other ends of line in it
 * count as blanks. Ends the line. */
static void print_wrapped(int column, int indent, const char *text) {
        const char *blank = "";

        while (*text) {
                int n = (int)strcspn(text, " \n");
                const char *next = text + n + strspn(text + n, " \n");

                if (*blank && column + 1 + n > LINE_COLUMNS) {
                        (void)printf("\n%*s", indent, "");
                        column = indent;
                        blank = "";
                }
                column += printf("%s%.*s", blank, n, text);
                blank = " ";
                if (*next && strncmp(text + n, "\n\n", 2) == 0) {
                        (void)printf("\n\n%*s", indent, "");
                        column = indent;
                        blank = "";
                }
                text = next;
        }
        (void)putchar('\n');
}

/* What a flag does, what it is without being given, and which variable also gives it. */
static void describe_flag(const Flag *flag, char *text, size_t n_bytes) {
        char variable[FLAG_ENVIRONMENT_BYTES] = "";

        if (flag->has_environment)
                flag_environment_name(flag, variable);
        (void)snprintf(text, n_bytes, "%s%s%s%s%s%s%s", flag->help,
                       flag->fallback ? " (default " : "", flag->fallback ? flag->fallback : "",
                       flag->fallback ? ")" : "", *variable ? " [" : "", variable,
                       *variable ? "]" : "");
}

static void print_flags(const char *title, const FlagTable *table) {
        char name[128], text[1024];
        int width = 0;

        for (size_t i = 0; i < table->n_flags; i++) {
                int n = help_format_flag(&table->flags[i], name, sizeof(name));

                if (table->flags[i].help && n > width)
                        width = n;
        }
        if (width == 0)
                return;

        print_section(title);
        for (size_t i = 0; i < table->n_flags; i++) {
                if (!table->flags[i].help)
                        continue;
                (void)help_format_flag(&table->flags[i], name, sizeof(name));
                describe_flag(&table->flags[i], text, sizeof(text));
                (void)printf("%*s%-*s  ", INDENT, "", width, name);
                print_wrapped(INDENT + width + 2, INDENT + width + 2, text);
        }
}

/* Of the flags that every command takes, the names. */
static void print_global_names(void) {
        char name[128], text[1024];
        size_t n = 0;

        for (size_t i = 0; i < global_flags.n_flags; i++) {
                if (!global_flags.flags[i].help)
                        continue;
                (void)help_format_flag(&global_flags.flags[i], name, sizeof(name));
                n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n > 0 ? ", " : "", name);
                assert(n < sizeof(text));
        }

        print_section("GLOBAL OPTIONS");
        (void)printf("%*s", INDENT, "");
        print_wrapped(INDENT, INDENT, text);
        (void)puts("\nRun 'fleetctl help' for what these do.");
}

void help_print_all(void) {
        size_t width = 0;

        (void)fputs("NAME:\n    fleetctl - run systemd units on the machines of a fleet cluster\n",
                    stdout);
        print_section("USAGE");
        (void)puts("    fleetctl [GLOBAL OPTIONS] COMMAND [OPTIONS] [ARGUMENT...]");
        print_section("VERSION");
        (void)puts("    " FLEET_VERSION);

        for (size_t i = 0; i < n_commands; i++)
                if (strlen(commands[i]->name) > width)
                        width = strlen(commands[i]->name);
        print_section("COMMANDS");
        for (size_t i = 0; i < n_commands; i++)
                (void)printf("    %-*s  %s\n", (int)width, commands[i]->name, commands[i]->summary);

        print_flags("GLOBAL OPTIONS", &global_flags);
        (void)puts("\nA global option can also be given as the environment variable in brackets.\n"
                   "Run 'fleetctl help COMMAND' for one command.");
}

void help_print_command(const Command *command) {
        int at;

        (void)printf("NAME:\n    fleetctl %s - %s\n", command->name, command->summary);
        print_section("USAGE");
        at = printf("%*sfleetctl %s%s", INDENT, "", command->name, command->usage[0] ? " " : "");
        print_wrapped(at, 2 * INDENT, command->usage);
        print_section("DESCRIPTION");
        (void)printf("%*s", INDENT, "");
        print_wrapped(INDENT, INDENT, command->description);
        if (command->flags)
                print_flags("OPTIONS", command->flags);
        print_global_names();
}
