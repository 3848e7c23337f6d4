/* SPDX-License-Identifier: Apache-2.0 */

/* Bash completion from the tables of commands and flags. The frame is fleetctl.bash.in. */

#include "docs/manual/manual.h"
#include "fleetctl/command.h"

void completion_commands(FILE *out) {
        for (size_t i = 0; i < n_commands; i++)
                (void)fprintf(out, "%s%s", i > 0 ? " " : "", commands[i]->name);
}

/* The flags as they are typed; one with a value ends in "=". */
static void print_flags(FILE *out, const FlagTable *table) {
        for (size_t i = 0; i < table->n_flags; i++) {
                const Flag *flag = &table->flags[i];

                if (!flag->help)
                        continue;
                (void)fprintf(out, " --%s%s", flag->name, flag->metavar ? "=" : "");
                if (flag->letter)
                        (void)fprintf(out, " -%c", flag->letter);
        }
}

void completion_global_flags(FILE *out) {
        print_flags(out, &global_flags);
}

void completion_cases(FILE *out) {
        static const char *const args[] = {
                [COMMAND_ARGS_NONE] = "none",     [COMMAND_ARGS_UNITS] = "units",
                [COMMAND_ARGS_FILES] = "files",   [COMMAND_ARGS_MACHINES] = "machines",
                [COMMAND_ARGS_PLACES] = "places", [COMMAND_ARGS_COMMANDS] = "commands",
        };

        for (size_t i = 0; i < n_commands; i++) {
                (void)fprintf(out, "        %s) args=%s flags='", commands[i]->name,
                              args[commands[i]->args]);
                if (commands[i]->flags)
                        print_flags(out, commands[i]->flags);
                (void)fputs("' ;;\n", out);
        }
}
