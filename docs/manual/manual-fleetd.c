/* SPDX-License-Identifier: Apache-2.0 */

#include "docs/manual/manual.h"
#include "docs/manual/roff.h"
#include "fleetd/config.h"
#include "fleetd/store-command.h"

void manual_config_keys(FILE *out) {
        ConfigKeyInfo key;

        for (size_t i = 0; config_key_at(i, &key); i++) {
                char tag[256], text[1024];

                if (!key.help)
                        continue;
                (void)snprintf(tag, sizeof(tag), "%s=%s", key.name, key.initial);
                (void)snprintf(text, sizeof(text), "%s%s", key.help,
                               key.needs_restart ? "\nA change needs a restart." : "");
                roff_item(out, tag, text);
        }
}

void manual_unused_keys(FILE *out) {
        ConfigKeyInfo key;

        for (size_t i = 0; config_key_at(i, &key); i++) {
                char text[256];

                if (!key.unused)
                        continue;
                (void)snprintf(text, sizeof(text), "%s.\n", key.unused);
                roff_item(out, key.name, text);
        }
}

void manual_store_commands(FILE *out) {
        const StoreSubcommand *subcommand;

        for (size_t i = 0; (subcommand = store_subcommand_at(i)); i++) {
                char words[128];

                (void)snprintf(words, sizeof(words), "fleetd store %s%s%s%s", subcommand->name,
                               subcommand->n_options > 0 ? " [OPTION..]" : "",
                               subcommand->operands ? " " : "",
                               subcommand->operands ? subcommand->operands : "");
                (void)fputs(".SS ", out);
                roff_word(out, words);
                (void)fputc('\n', out);
                roff_text(out, subcommand->summary);
                (void)fputc('\n', out);
                for (size_t k = 0; k < subcommand->n_options; k++) {
                        const StoreOption *option = &subcommand->options[k];

                        (void)snprintf(words, sizeof(words), "%s%s%s", option->name,
                                       option->value ? " " : "",
                                       option->value ? option->value : "");
                        roff_item(out, words, option->help);
                }
        }
}
