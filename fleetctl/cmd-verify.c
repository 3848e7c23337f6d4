/* SPDX-License-Identifier: Apache-2.0 */

/* verify: is there anything in these unit files that fleet or systemd will refuse, ignore or
 * misunderstand? The cluster is not asked. */

#include <stdio.h>
#include <string.h>

#include "fleetctl/analyze.h"
#include "fleetctl/cli.h"
#include "fleetctl/unit-args.h"
#include "fleetctl/unit-check.h"
#include "lib/base/macro.h"
#include "lib/unit/unit-name.h"

enum { OUTPUT_MAX_BYTES = 64 * 1024 }; /* of systemd-analyze */

/* What was found so far. */
typedef struct Verdict {
        bool has_findings;
        bool lacks_systemd; /* its checks could not be made */
} Verdict;

static void tell(Verdict *verdict, const char *path, const char *finding) {
        verdict->has_findings = true;
        (void)cli_fail("%s: %s", path, finding);
}

/* The file of a unit: its own, or for an instance the template's beside it. */
static int load(const char *name, const char *path, char **ret_path, UnitFile **ret_file,
                Diag *diag) {
        int r;

        *ret_path = strdup(path);
        if (!*ret_path)
                return -ENOMEM;

        r = unit_args_load_file(path, ret_file, diag);
        if (r == UNIT_ARGS_E_NO_FILE && unit_name_is_instance(name)) {
                free(*ret_path);
                *ret_path = NULL;
                r = unit_args_template_path(path, ret_path);
                if (r == 0)
                        r = unit_args_load_file(*ret_path, ret_file, diag);
        }
        return r == UNIT_ARGS_E_NO_FILE ? diag_set(diag, -ENOENT, "there is no such file") : r;
}

/* What fleet finds. Returns 0 or -ENOMEM. */
static int check_file(const char *name, const char *path, const UnitFile *file, Verdict *verdict) {
        _cleanup_(strlist_done) StrList findings = { 0 };
        int r;

        r = unit_check(name, file, &findings);
        for (size_t i = 0; i < findings.n_items; i++)
                tell(verdict, path, findings.items[i]);
        return r;
}

/* What systemd finds. It names the file itself. */
static void ask_systemd(const char *path, Verdict *verdict) {
        _cleanup_(buf_done) Buf text = buf_make(OUTPUT_MAX_BYTES);
        Diag diag = { 0 };
        int r;

        r = analyze_unit(path, &text, &diag);
        if (r == ANALYZE_E_ABSENT)
                verdict->lacks_systemd = true;
        else if (r < 0)
                tell(verdict, path, diag.message);
        else if (r == ANALYZE_E_FINDINGS && text.n_bytes > 0) {
                verdict->has_findings = true;
                (void)fwrite(text.data, 1, text.n_bytes, stderr);
        } else if (r == ANALYZE_E_FINDINGS)
                tell(verdict, path, "systemd-analyze verify fails, and does not say why");
}

/* Returns 0 or -ENOMEM. */
static int verify(const char *name, const char *path, Verdict *verdict) {
        _cleanup_(unit_file_freep) UnitFile *file = NULL;
        _cleanup_(freep) char *real_path = NULL;
        Diag diag = { 0 };
        int r;

        r = load(name, path, &real_path, &file, &diag);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                tell(verdict, real_path, diag.message);
                return 0;
        }

        r = check_file(name, real_path, file, verdict);
        if (r == 0 && unit_name_check(name, NULL) == 0)
                ask_systemd(real_path, verdict);
        return r;
}

static int run(Cli *cli) {
        _cleanup_(strlist_done) StrList names = { 0 }, paths = { 0 };
        Verdict verdict = { 0 };
        Diag diag = { 0 };
        int r;

        r = unit_args_read(&cli->args, &names, &paths, &diag);
        for (size_t i = 0; r == 0 && i < names.n_items; i++)
                r = verify(names.items[i], paths.items[i], &verdict);
        if (r < 0)
                return cli_fail_because("Error verifying units", r, &diag);

        if (verdict.lacks_systemd)
                (void)cli_fail("systemd-analyze is not installed here: what systemd would say of "
                               "these files was not checked");
        return verdict.has_findings ? EXIT_FAILED : EXIT_OK;
}

const Command cmd_verify = {
        .name = "verify",
        .usage = "FILE...",
        .summary = "Check unit files, without submitting them",
        .description = "Says what is wrong with each file: what does not parse, what fleet would "
                       "refuse, options and\n"
                       "sections that nobody knows, with what may have been meant, and whatever "
                       "'systemd-analyze\n"
                       "verify' finds, where it is installed. Programs that are only on the "
                       "machines of the cluster\n"
                       "are then missed. Says nothing, and succeeds, when there is nothing to "
                       "say.\n",
        .args = COMMAND_ARGS_FILES,
        .min_args = 1,
        .max_args = COMMAND_ARGS_ANY,
        .args_message = "No unit files given",
        .args_exit = EXIT_FAILED,
        .run = run,
};
