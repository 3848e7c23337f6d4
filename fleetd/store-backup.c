/* SPDX-License-Identifier: Apache-2.0 */

/* fleetd store backup, and restore: a copy of the file of the built-in store, and back to it. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "fleetd/store-file.h"
#include "lib/store/store-care.h"

/* ---- a copy */

static const StoreOption backup_options[] = {
        { .name = "--force",
          .help = "replace FILE if it is there",
          .offset = offsetof(StoreFileArguments, forces) },
        STORE_FILE_OPTION,
};

static int run_backup(int argc, char **argv) {
        _cleanup_(freep) char *path = NULL;
        StoreFileArguments arguments;
        const char *to = NULL;
        SqliteSummary summary;
        char size[32];
        Diag diag = { 0 };
        int r;

        r = store_file_parse(&store_subcommand_backup, argc, argv, &arguments, &to, 1, &path,
                             &diag);
        if (r == 0)
                r = store_care_backup(NULL, path, to, arguments.forces, &summary, &diag);
        if (r == -EEXIST)
                diag_set(&diag, r, "%s is there already; --force replaces it", to);
        if (r < 0)
                return store_command_fail(&store_subcommand_backup, &diag);

        store_file_format_size(summary.n_bytes, size, sizeof(size));
        (void)printf("Copied %s, as of revision %" PRId64 ", to %s: %" PRId64 " keys, %s, sound\n",
                     path, summary.revision, to, summary.n_keys, size);
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

const StoreSubcommand store_subcommand_backup = {
        .name = "backup",
        .operands = "FILE",
        .summary = "Copy the file of the built-in store, as it is at one moment, to FILE; fleetd "
                   "may run.",
        .options = backup_options,
        .n_options = ELEMENTSOF(backup_options),
        .run = run_backup,
};

/* ---- and back */

static const StoreOption restore_options[] = {
        { .name = "--wait",
          .help = "wait until fleetd lets go of the file, as on `systemctl restart fleet`",
          .offset = offsetof(StoreFileArguments, waits) },
        STORE_FILE_OPTION,
};

static void tell_restored(const char *path, const char *from, const SqliteRestored *restored) {
        (void)printf("%s is as in %s, of revision %" PRId64 "; revisions go on from %" PRId64 "\n",
                     path, from, restored->from_revision, restored->revision);
        if (restored->is_guess)
                (void)printf("(How far the store had come is not to be read any more: so far it "
                             "cannot have come.)\n");
        if (restored->aside)
                (void)printf("What was there is kept as %s\n", restored->aside);
        (void)printf("Units that were not there then are stopped when fleetd uses it, and those "
                     "that were come back.\nRun `systemctl restart fleet` on every other machine "
                     "that uses this store: it touches no unit, and has\nthem report anew.\n");
}

static int run_restore(int argc, char **argv) {
        _cleanup_(sqlite_restored_done) SqliteRestored restored = { 0 };
        _cleanup_(freep) char *path = NULL;
        StoreFileArguments arguments;
        const char *from = NULL;
        Diag diag = { 0 };
        int r;

        r = store_file_parse(&store_subcommand_restore, argc, argv, &arguments, &from, 1, &path,
                             &diag);
        if (r == 0)
                r = store_care_restore(NULL, path, from, arguments.waits, &restored, &diag);
        if (r < 0) {
                (void)store_command_fail(&store_subcommand_restore, &diag);
                if (r == -EBUSY)
                        (void)fprintf(stderr, "With --wait it waits for that one to let go, which "
                                              "`systemctl restart fleet` has fleetd do.\n");
                return EXIT_FAILURE;
        }

        tell_restored(path, from, &restored);
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

const StoreSubcommand store_subcommand_restore = {
        .name = "restore",
        .operands = "FILE",
        .summary = "Go back to a backup. Only while no fleetd uses the file; what was in use is "
                   "kept aside.",
        .options = restore_options,
        .n_options = ELEMENTSOF(restore_options),
        .run = run_restore,
};
