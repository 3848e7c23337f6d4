/* SPDX-License-Identifier: Apache-2.0 */

/* Help, in the sections that fleet 1.0 used: NAME, USAGE, VERSION, DESCRIPTION, COMMANDS, OPTIONS,
 * GLOBAL OPTIONS (contract section 2.4). Nothing is written twice: what is shown comes from the
 * rows that the parser uses.
 */

#include "fleetctl/help.h"

#include <stdio.h>
#include <string.h>

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

/* What a flag is without being given, and which variable also gives it; ends the line. */
static void print_origin(const Flag *flag) {
        char variable[FLAG_ENVIRONMENT_BYTES];

        if (flag->fallback)
                (void)printf(" (default %s)", flag->fallback);
        if (flag->has_environment) {
                flag_environment_name(flag, variable);
                (void)printf(" [%s]", variable);
        }
        (void)putchar('\n');
}

static void print_flags(const char *title, const FlagTable *table) {
        char text[128];
        int width = 0;

        for (size_t i = 0; i < table->n_flags; i++) {
                int n = help_format_flag(&table->flags[i], text, sizeof(text));

                if (table->flags[i].help && n > width)
                        width = n;
        }
        if (width == 0)
                return;

        print_section(title);
        for (size_t i = 0; i < table->n_flags; i++) {
                const Flag *flag = &table->flags[i];

                if (!flag->help)
                        continue;
                (void)help_format_flag(flag, text, sizeof(text));
                (void)printf("    %-*s  %s", width, text, flag->help);
                print_origin(flag);
        }
}

static void print_indented(const char *text) {
        while (*text) {
                size_t n = strcspn(text, "\n");

                (void)printf("%s%.*s\n", n > 0 ? "    " : "", (int)n, text);
                text += n + (text[n] == '\n');
        }
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
        (void)printf("NAME:\n    fleetctl %s - %s\n", command->name, command->summary);
        print_section("USAGE");
        (void)printf("    fleetctl %s%s%s\n", command->name, command->usage[0] ? " " : "",
                     command->usage);
        print_section("DESCRIPTION");
        print_indented(command->description);
        if (command->flags)
                print_flags("OPTIONS", command->flags);
        print_flags("GLOBAL OPTIONS", &global_flags);
}
