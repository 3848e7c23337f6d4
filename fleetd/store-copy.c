/* SPDX-License-Identifier: Apache-2.0 */

/* fleetd store copy, and open: the records of a cluster from one store to another
 * (lib/registry/copy.h). */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "fleetd/store-command.h"
#include "fleetd/store-place.h"
#include "lib/registry/copy.h"

enum { EXIT_CHANGED = 3 };

typedef struct CopyArguments {
        const char *from;
        const char *to;
        const char *config;
        const char *to_config; /* NULL = the same */
        bool moves;
        bool replaces;
} CopyArguments;

static const StoreOption copy_options[] = {
        { .name = "--from",
          .value = "STORE",
          .help = "where the records are",
          .offset = offsetof(CopyArguments, from) },
        { .name = "--to",
          .value = "STORE",
          .help = "where they are to be; must be empty",
          .offset = offsetof(CopyArguments, to) },
        { .name = "--move",
          .help = "the cluster goes over: close --from, and take along what machines report",
          .offset = offsetof(CopyArguments, moves) },
        { .name = "--replace",
          .help = "remove first what --to has, and repeat a copy that broke off",
          .offset = offsetof(CopyArguments, replaces) },
        { .name = "--config",
          .value = "FILE",
          .help = "read how etcd is reached from FILE in place of " CONFIG_DEFAULT_PATH,
          .offset = offsetof(CopyArguments, config) },
        { .name = "--to-config",
          .value = "FILE",
          .help = "the same for --to alone",
          .offset = offsetof(CopyArguments, to_config) },
};

static int read_config(Config *ret_config, const char *path, Diag *diag) {
        _cleanup_(strlist_done) StrList notices = { 0 };
        int r = config_load(ret_config, path, environ, &notices, diag);

        if (r < 0 && !diag->message[0])
                diag_set(diag, r, "%s", strerror(-r));
        return r;
}

static void describe_copier(char *text, size_t n_bytes) {
        char host[256] = "?", now[64] = "";
        time_t seconds = (time_t)(env_wall_us(env_system()) / US_PER_S);
        struct tm parts;

        (void)gethostname(host, sizeof(host) - 1);
        if (gmtime_r(&seconds, &parts))
                (void)strftime(now, sizeof(now), "%Y-%m-%d %H:%M:%S UTC", &parts);
        (void)snprintf(text, n_bytes, "process %ld of %s at %s", (long)getpid(), host, now);
}

static void tell(const CopyArguments *arguments, const StorePlace *from, const StorePlace *to,
                 const RegistryCopyReport *report) {
        (void)printf("Copied %zu records", report->n_records);
        if (arguments->moves)
                (void)printf(", %zu machines and %zu states of units", report->n_machines,
                             report->n_states);
        (void)printf(" from %s, as of revision %" PRId64 ", to %s\n", from->name, report->revision,
                     to->name);
        if (!arguments->moves)
                return;
        (void)printf("%s is closed: the daemons that use it wait, and nothing is changed there any "
                     "more.\n",
                     from->name);
        if (to->sqlite)
                (void)printf("Have this machine use %s now (store=builtin), and serve it\n"
                             "(store_listen) to the others, which name its address "
                             "(etcd_servers); each by its configuration",
                             to->name);
        else
                (void)printf("Have every machine use %s now, by its configuration", to->name);
        (void)printf(" and `systemctl restart fleet`. Those that do not\n"
                     "come within %d s are considered lost.\n",
                     REGISTRY_COPY_LEASE_S);
}

/* Between stores that are open. */
static int copy_between(const CopyArguments *arguments, Loop *loop, const Config *config,
                        const StorePlace *from, const StorePlace *to, Diag *diag) {
        char copier[512];
        const RegistryCopyOptions options = { .prefix = config->etcd_key_prefix,
                                              .from_name = from->name,
                                              .to_name = to->name,
                                              .copier = copier,
                                              .moves = arguments->moves,
                                              .replaces = arguments->replaces };
        RegistryCopyReport report;
        int r;

        describe_copier(copier, sizeof(copier));
        r = registry_copy(loop, from->store, to->store, &options, &report, diag);
        if (r >= 0)
                tell(arguments, from, to, &report);
        return r;
}

static int copy_with(const CopyArguments *arguments, Loop *loop, Diag *diag) {
        _cleanup_(config_done) Config config = { 0 }, to_config = { 0 };
        StorePlace from = { 0 }, to = { 0 };
        int r;

        r = read_config(&config, arguments->config, diag);
        if (r == 0)
                r = read_config(&to_config,
                                arguments->to_config ? arguments->to_config : arguments->config,
                                diag);
        if (r == 0)
                r = store_place_open(&from, loop, &config, arguments->from, true, diag);
        if (r == 0)
                r = store_place_open(&to, loop, &to_config, arguments->to, false, diag);
        if (r == 0 && streq(from.name, to.name))
                r = diag_set(diag, -EINVAL, "--from and --to are the same");
        if (r == 0)
                r = copy_between(arguments, loop, &config, &from, &to, diag);
        store_place_close(&to);
        store_place_close(&from);
        return r;
}

static int run_copy(int argc, char **argv) {
        _cleanup_(loop_freep) Loop *loop = NULL;
        CopyArguments arguments = { 0 };
        Diag diag = { 0 };
        int r;

        r = store_command_parse(&store_subcommand_copy, argc, argv, &arguments, NULL, 0, &diag);
        if (r == 0 && (!arguments.from || !arguments.to))
                r = diag_set(&diag, -EINVAL, "%s is missing", arguments.from ? "--to" : "--from");
        if (r == 0) {
                r = loop_new(&loop, env_system());
                if (r < 0)
                        diag_set(&diag, r, "%s", strerror(-r));
        }
        if (r == 0)
                r = copy_with(&arguments, loop, &diag);
        if (r == 0)
                return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
        (void)store_command_fail(&store_subcommand_copy, &diag);
        return r == REGISTRY_COPY_E_CHANGED ? EXIT_CHANGED : EXIT_FAILURE;
}

const StoreSubcommand store_subcommand_copy = {
        .name = "copy",
        .summary = "Copy a cluster's records to another store, and say whether they have changed "
                   "meanwhile.",
        .options = copy_options,
        .n_options = ELEMENTSOF(copy_options),
        .run = run_copy,
};

typedef struct OpenArguments {
        const char *config;
} OpenArguments;

static const StoreOption open_options[] = {
        { .name = "--config",
          .value = "FILE",
          .help = "read how etcd is reached from FILE in place of " CONFIG_DEFAULT_PATH,
          .offset = offsetof(OpenArguments, config) },
};

static int open_with(const OpenArguments *arguments, const char *where, Loop *loop, Diag *diag) {
        _cleanup_(config_done) Config config = { 0 };
        StorePlace place = { 0 };
        int r;

        r = read_config(&config, arguments->config, diag);
        if (r == 0)
                r = store_place_open(&place, loop, &config, where, true, diag);
        if (r == 0)
                r = registry_open_store(loop, place.store, config.etcd_key_prefix, place.name,
                                        diag);
        store_place_close(&place);
        return r;
}

static int run_open(int argc, char **argv) {
        _cleanup_(loop_freep) Loop *loop = NULL;
        OpenArguments arguments = { 0 };
        const char *where = NULL;
        Diag diag = { 0 };
        int r;

        r = store_command_parse(&store_subcommand_open, argc, argv, &arguments, &where, 1, &diag);
        if (r == 0) {
                r = loop_new(&loop, env_system());
                if (r < 0)
                        diag_set(&diag, r, "%s", strerror(-r));
        }
        if (r == 0)
                r = open_with(&arguments, where, loop, &diag);
        return r == 0 ? EXIT_SUCCESS : store_command_fail(&store_subcommand_open, &diag);
}

const StoreSubcommand store_subcommand_open = {
        .name = "open",
        .operands = "STORE",
        .summary =
                "Open a store that a move has closed, to stay with it. Never while a cluster uses "
                "the copy.",
        .options = open_options,
        .n_options = ELEMENTSOF(open_options),
        .run = run_open,
};
