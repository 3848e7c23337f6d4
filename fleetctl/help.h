/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Help texts, made from the tables of commands and flags. */

#include "fleetctl/command.h"

/* Print what fleetctl is, and all commands and global flags, on stdout. */
void help_print_all(void);

/* Print what one command does and takes, on stdout. */
void help_print_command(const Command *command);

/* Write how the flag is written, as in "-l, --full" or "--fields=LIST"; returns what snprintf(3) does. */
int help_format_flag(const Flag *flag, char *text, size_t n_bytes);
