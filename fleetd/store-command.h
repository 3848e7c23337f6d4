/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* fleetd store SUBCOMMAND: what is done to a store by hand, beside the daemons. One table of
 * subcommands, in store-command.c, is behind the dispatch, the help and the manual page; each has a
 * file of its own.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "lib/base/diag.h"

/* An option of a subcommand. */
typedef struct StoreOption {
        const char *name;  /* with its dashes */
        const char *value; /* what it takes, for people; NULL = nothing */
        const char *help;
        size_t offset; /* of a bool, or of a const char *, in the subcommand's arguments */
} StoreOption;

/* A subcommand. All strings static. */
typedef struct StoreSubcommand {
        const char *name;
        const char *operands; /* what stands behind the options, for people; NULL = nothing */
        const char *summary;
        const StoreOption *options;
        size_t n_options;
        int (*run)(int argc, char **argv); /* argv[0] is its name; returns the exit code */
} StoreSubcommand;

/* The i-th subcommand, in the order in which they are shown; NULL behind the last. */
const StoreSubcommand *store_subcommand_at(size_t i);

/* Run what argv[1] names; argv[0] is "store". Returns the exit code. */
int store_command_main(int argc, char **argv);

/* Read the options of a subcommand into `arguments`, where the offsets lead. What is no option is an
 * operand, of which there must be `n_operands`. Returns 0, or -EINVAL with a message. */
int store_command_parse(const StoreSubcommand *subcommand, int argc, char **argv, void *arguments,
                        const char **ret_operands, size_t n_operands, Diag *diag);

/* Say on stderr why a subcommand ends. Returns EXIT_FAILURE. */
int store_command_fail(const StoreSubcommand *subcommand, const Diag *diag);

/* The subcommands. */
extern const StoreSubcommand store_subcommand_check;
extern const StoreSubcommand store_subcommand_backup;
extern const StoreSubcommand store_subcommand_restore;
extern const StoreSubcommand store_subcommand_copy;
extern const StoreSubcommand store_subcommand_open;
