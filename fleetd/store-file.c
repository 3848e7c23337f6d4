/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetd/store-file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fleetd/state.h"
#include "lib/base/macro.h"

int store_file_parse(const StoreSubcommand *subcommand, int argc, char **argv,
                     StoreFileArguments *ret_arguments, const char **ret_operands,
                     size_t n_operands, char **ret_path, Diag *diag) {
        _cleanup_(state_done) State state = { 0 };
        int r;

        *ret_arguments = (StoreFileArguments){ 0 };
        r = store_command_parse(subcommand, argc, argv, ret_arguments, ret_operands, n_operands,
                                diag);
        if (r < 0)
                return r;

        r = state_init(&state, getenv("STATE_DIRECTORY"));
        if (r == 0) {
                *ret_path = strdup(ret_arguments->path ? ret_arguments->path : state.store_path);
                r = *ret_path ? 0 : -ENOMEM;
        }
        return r == 0 ? 0 : diag_set(diag, r, "%s", strerror(-r));
}

void store_file_format_size(int64_t n_bytes, char *text, size_t n_text_bytes) {
        if (n_bytes < 1000000)
                (void)snprintf(text, n_text_bytes, "%lld kB", (long long)(n_bytes + 999) / 1000);
        else
                (void)snprintf(text, n_text_bytes, "%lld.%lld MB", (long long)n_bytes / 1000000,
                               (long long)n_bytes / 100000 % 10);
}
