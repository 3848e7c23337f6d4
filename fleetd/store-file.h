/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the subcommands of `fleetd store` that care for a file of the built-in store share. */

#include <stdint.h>

#include "fleetd/store-command.h"

/* Their arguments; each has those that it has options for. */
typedef struct StoreFileArguments {
        const char *path; /* NULL = the file of this machine */
        bool forces;
        bool waits;
} StoreFileArguments;

/* The option that names the file. */
#define STORE_FILE_OPTION                                                                      \
        {                                                                                      \
                .name = "--store", .value = "PATH", .help = "in place of this machine's file", \
                .offset = offsetof(StoreFileArguments, path)                                   \
        }

/* Read the arguments of a subcommand with `n_operands`; `*ret_path`, owned, is the file. Returns 0, or
 * a negative errno with a message. */
int store_file_parse(const StoreSubcommand *subcommand, int argc, char **argv,
                     StoreFileArguments *ret_arguments, const char **ret_operands,
                     size_t n_operands, char **ret_path, Diag *diag);

/* A number of bytes for a person: "1.2 MB". */
void store_file_format_size(int64_t n_bytes, char *text, size_t n_text_bytes);
