/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetd/store-command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/macro.h"

static const StoreSubcommand *const subcommands[] = {
        &store_subcommand_check, &store_subcommand_backup, &store_subcommand_restore,
        &store_subcommand_copy,  &store_subcommand_open,
};

const StoreSubcommand *store_subcommand_at(size_t i) {
        return i < ELEMENTSOF(subcommands) ? subcommands[i] : NULL;
}

static void print_subcommand(FILE *file, const StoreSubcommand *subcommand) {
        (void)fprintf(file, "  fleetd store %s%s%s%s\n      %s\n", subcommand->name,
                      subcommand->n_options > 0 ? " [OPTION..]" : "",
                      subcommand->operands ? " " : "",
                      subcommand->operands ? subcommand->operands : "", subcommand->summary);
        for (size_t i = 0; i < subcommand->n_options; i++) {
                const StoreOption *option = &subcommand->options[i];
                char words[64];

                (void)snprintf(words, sizeof(words), "%s%s%s", option->name,
                               option->value ? " " : "", option->value ? option->value : "");
                (void)fprintf(file, "      %-20s %s\n", words, option->help);
        }
}

static void print_help(FILE *file) {
        (void)fputs("Usage: fleetd store SUBCOMMAND\n", file);
        for (size_t i = 0; i < ELEMENTSOF(subcommands); i++) {
                (void)fputc('\n', file);
                print_subcommand(file, subcommands[i]);
        }
        (void)fputs(
                "\nA store is: builtin, the file of this machine; the path of such a file; or the "
                "URLs of etcd, or of a\nmachine that serves its file, separated by commas.\n",
                file);
}

int store_command_main(int argc, char **argv) {
        const char *name = argc > 1 ? argv[1] : "";

        if (streq(name, "--help") || streq(name, "-h") || streq(name, "help")) {
                print_help(stdout);
                return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
        }
        for (size_t i = 0; i < ELEMENTSOF(subcommands); i++) {
                if (!streq(name, subcommands[i]->name))
                        continue;
                if (argc == 3 && (streq(argv[2], "--help") || streq(argv[2], "-h"))) {
                        print_subcommand(stdout, subcommands[i]);
                        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
                }
                return subcommands[i]->run(argc - 1, argv + 1);
        }

        if (*name)
                (void)fprintf(stderr,
                              "fleetd store has no subcommand %s; see: fleetd store --help\n",
                              name);
        else
                print_help(stderr);
        return EXIT_FAILURE;
}

static const StoreOption *find_option(const StoreSubcommand *subcommand, const char *word,
                                      const char **ret_value) {
        for (size_t i = 0; i < subcommand->n_options; i++) {
                const StoreOption *option = &subcommand->options[i];
                size_t n = strlen(option->name);

                if (strncmp(word, option->name, n) != 0 || (word[n] != '\0' && word[n] != '='))
                        continue;
                *ret_value = word[n] == '=' ? word + n + 1 : NULL;
                return option;
        }
        return NULL;
}

int store_command_parse(const StoreSubcommand *subcommand, int argc, char **argv, void *arguments,
                        const char **ret_operands, size_t n_operands, Diag *diag) {
        size_t n = 0;

        for (int i = 1; i < argc; i++) {
                const char *value = NULL;
                const StoreOption *option = find_option(subcommand, argv[i], &value);

                if (!option && argv[i][0] == '-')
                        return diag_set(diag, -EINVAL, "there is no option %s", argv[i]);
                if (!option && n == n_operands)
                        return diag_set(diag, -EINVAL, "%s is an argument too many", argv[i]);
                if (!option) {
                        ret_operands[n++] = argv[i];
                        continue;
                }
                if (!option->value && value)
                        return diag_set(diag, -EINVAL, "%s takes no value", option->name);
                if (!option->value) {
                        *(bool *)((char *)arguments + option->offset) = true;
                        continue;
                }
                if (!value && i + 1 < argc)
                        value = argv[++i];
                if (!value)
                        return diag_set(diag, -EINVAL, "%s needs %s", option->name, option->value);
                *(const char **)((char *)arguments + option->offset) = value;
        }
        return n == n_operands ? 0 : diag_set(diag, -EINVAL, "%s is missing", subcommand->operands);
}

int store_command_fail(const StoreSubcommand *subcommand, const Diag *diag) {
        (void)fprintf(stderr, "fleetd store %s: %s\n", subcommand->name, diag->message);
        return EXIT_FAILURE;
}
