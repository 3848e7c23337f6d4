/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The parts of the manual pages and of the completion that come from the programs' own tables. Each writes a piece of
 * man(7) source or of bash, for generate.c to put in place of a marker. */

#include <stdio.h>

/* fleetctl's commands, each with its usage, description and flags. */
void manual_commands(FILE *out);

/* fleetctl's global flags. */
void manual_global_flags(FILE *out);

/* The environment variables of fleetctl. */
void manual_environment(FILE *out);

/* The keys of fleetd's configuration that do something, with their defaults. */
void manual_config_keys(FILE *out);

/* The keys that are accepted and do nothing, with the reason. */
void manual_unused_keys(FILE *out);

/* The subcommands of `fleetd store`, with their options. */
void manual_store_commands(FILE *out);

/* For bash: the names of all commands. */
void completion_commands(FILE *out);

/* For bash: the global flags. */
void completion_global_flags(FILE *out);

/* For bash: a line of a case statement per command, which sets what it takes. */
void completion_cases(FILE *out);
