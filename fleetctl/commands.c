/* SPDX-License-Identifier: Apache-2.0 */

/* The table of all commands. A new one is a file cmd-NAME.c and two lines here. */

#include "fleetctl/command.h"

#include "lib/base/macro.h"

const Command *const commands[] = {
        &cmd_submit,        &cmd_load,
        &cmd_start,         &cmd_stop,
        &cmd_unload,        &cmd_restart,
        &cmd_destroy,       &cmd_cat,
        &cmd_verify,        &cmd_status,
        &cmd_journal,       &cmd_ssh,
        &cmd_list_units,    &cmd_list_unit_files,
        &cmd_list_machines, &cmd_doctor,
        &cmd_evict,         &cmd_fd_forward,
        &cmd_version,       &cmd_help,
};
const size_t n_commands = ELEMENTSOF(commands);

const Command *command_find(const char *name) {
        for (size_t i = 0; i < n_commands; i++)
                if (streq(commands[i]->name, name))
                        return commands[i];
        return NULL;
}
