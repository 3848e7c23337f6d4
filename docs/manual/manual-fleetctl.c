/* SPDX-License-Identifier: Apache-2.0 */

#include "docs/manual/manual.h"
#include "docs/manual/roff.h"
#include "fleetctl/command.h"
#include "fleetctl/help.h"

static void print_flags(FILE *out, const FlagTable *table) {
        for (size_t i = 0; i < table->n_flags; i++) {
                const Flag *flag = &table->flags[i];
                char tag[128], text[1024];

                if (!flag->help)
                        continue;
                (void)help_format_flag(flag, tag, sizeof(tag));
                (void)snprintf(text, sizeof(text), "%s.%s%s%s\n", flag->help,
                               flag->fallback ? " Default: " : "",
                               flag->fallback ? flag->fallback : "", flag->fallback ? "." : "");
                roff_item(out, tag, text);
        }
}

void manual_commands(FILE *out) {
        for (size_t i = 0; i < n_commands; i++) {
                const Command *command = commands[i];

                (void)fputs(".SS \\fBfleetctl ", out);
                roff_word(out, command->name);
                (void)fputs("\\fR ", out);
                roff_word(out, command->usage);
                (void)fputs("\n", out);
                roff_word(out, command->summary);
                (void)fputs(".\n.PP\n", out);
                roff_text(out, command->description);
                if (command->flags)
                        print_flags(out, command->flags);
        }
}

void manual_global_flags(FILE *out) {
        print_flags(out, &global_flags);
}

void manual_environment(FILE *out) {
        for (size_t i = 0; i < global_flags.n_flags; i++) {
                const Flag *flag = &global_flags.flags[i];
                char name[FLAG_ENVIRONMENT_BYTES], text[128];

                if (!flag->has_environment || !flag->help)
                        continue;
                flag_environment_name(flag, name);
                (void)snprintf(text, sizeof(text), "As --%s.\n", flag->name);
                roff_item(out, name, text);
        }
}
