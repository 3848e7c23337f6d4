/* SPDX-License-Identifier: Apache-2.0 */

/* fleetd store check: is the file of the built-in store sound? */

#include <inttypes.h>
#include <stdlib.h>

#include "fleetd/store-file.h"
#include "lib/store/store-care.h"

enum { EXIT_UNSOUND = 3 };

static const StoreOption options[] = { STORE_FILE_OPTION };

static void tell(const char *path, const SqliteSummary *summary) {
        char size[32];

        store_file_format_size(summary->n_bytes, size, sizeof(size));
        (void)printf("%s is sound: revision %" PRId64 ", %" PRId64 " keys, %" PRId64
                     " of them on %" PRId64 " leases, %" PRId64
                     " changes with history from revision %" PRId64 " on, %s\n",
                     path, summary->revision, summary->n_keys, summary->n_leased, summary->n_leases,
                     summary->n_changes, summary->compacted > 0 ? summary->compacted : 1, size);
}

/* The first finding brings the headline. */
static void on_finding(const char *what, void *userdata) {
        const char **path = userdata;

        if (*path)
                (void)printf("%s is not sound:\n", *path);
        *path = NULL;
        (void)printf("  %s\n", what);
}

static int run(int argc, char **argv) {
        _cleanup_(freep) char *path = NULL;
        StoreFileArguments arguments;
        SqliteSummary summary;
        const char *headline;
        Diag diag = { 0 };
        int r;

        r = store_file_parse(&store_subcommand_check, argc, argv, &arguments, NULL, 0, &path,
                             &diag);
        if (r < 0)
                return store_command_fail(&store_subcommand_check, &diag);

        headline = path;
        r = store_care_check(NULL, path, on_finding, &headline, &summary, &diag);
        if (r < 0)
                return store_command_fail(&store_subcommand_check, &diag);
        if (r == 1)
                tell(path, &summary);
        else
                (void)printf("What to do: keep a copy of it with its -wal, and go back to a backup "
                             "with\n`fleetd store restore FILE`. No unit is stopped by waiting.\n");
        if (fflush(stdout) != 0)
                return EXIT_FAILURE;
        return r == 1 ? EXIT_SUCCESS : EXIT_UNSOUND;
}

const StoreSubcommand store_subcommand_check = {
        .name = "check",
        .summary = "Check the file of the built-in store; fleetd may run. 0 = sound, 3 = not, and "
                   "why.",
        .options = options,
        .n_options = ELEMENTSOF(options),
        .run = run,
};
