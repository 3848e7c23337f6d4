/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A command as a row: what help shows, what it takes, what it does. One file per command defines
 * its row, commands.c lists them. */

#include <limits.h>
#include <stddef.h>

#include "fleetctl/flags.h"

typedef struct Cli Cli;

/* Exit codes (contract section 2.3, as it was meant). */
enum {
        EXIT_OK = 0,
        EXIT_FAILED = 1, /* the command could not do what it was asked for */
        EXIT_USAGE = 2,  /* unknown command or flag, bad flag value */
};

enum { COMMAND_ARGS_ANY = INT_MAX }; /* no upper limit of arguments */

/* What the arguments of a command are: what a shell can offer for them. */
typedef enum CommandArgs {
        COMMAND_ARGS_NONE,     /* nothing that could be offered */
        COMMAND_ARGS_UNITS,    /* units of the cluster */
        COMMAND_ARGS_FILES,    /* unit files, and units of the cluster */
        COMMAND_ARGS_MACHINES, /* machines */
        COMMAND_ARGS_PLACES,   /* machines, and units of the cluster */
        COMMAND_ARGS_COMMANDS, /* commands of fleetctl */
} CommandArgs;

/* One command. */
typedef struct Command {
        const char *name;
        const char *usage;       /* arguments, for "fleetctl NAME USAGE"; may be empty */
        const char *summary;     /* one line, for the list of commands */
        const char *description; /* what a person must know, lines ended by newlines */
        const FlagTable *flags;  /* its own, besides global_flags; NULL = none */
        CommandArgs args;        /* what they are */
        size_t min_args;
        size_t max_args;
        const char *args_message; /* said on stderr for another number of arguments */
        int args_exit;            /* exit code then */
        int (*run)(Cli *cli);     /* does it; prints its own errors and returns the exit code */
} Command;

/* All commands, in the order of help. */
extern const Command *const commands[];
extern const size_t n_commands;

/* The command of this name, or NULL. */
const Command *command_find(const char *name);

/* The rows, each in its cmd-*.c. */
extern const Command cmd_submit, cmd_load, cmd_start, cmd_stop, cmd_unload, cmd_restart,
        cmd_destroy, cmd_cat, cmd_list_units, cmd_list_unit_files, cmd_list_machines, cmd_status,
        cmd_journal, cmd_doctor, cmd_evict, cmd_ssh, cmd_fd_forward, cmd_version, cmd_verify,
        cmd_help;
