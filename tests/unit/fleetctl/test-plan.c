/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetctl/plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/macro.h"
#include "tests/unit/fault.h"

/* --- a cluster of a few units, and a folder of a few files --- */

/* A unit of the fake cluster: all contents are one ExecStart= line. */
typedef struct Row {
        const char *name;
        const char *exec;
        const char *desired;
} Row;

typedef struct FakeClient {
        Client client;
        const Row *rows; /* ends with a row without a name */
        size_t n_gets;   /* calls of get_units */
} FakeClient;

static int fill_unit(const Row *row, Unit *unit) {
        unit->name = strdup(row->name);
        unit->desired_state = strdup(row->desired);
        if (!unit->name || !unit->desired_state || unit_file_new(&unit->options) < 0)
                return -ENOMEM;
        return unit_file_add(unit->options, "Service", "ExecStart", row->exec);
}

static int fake_get_units(Client *client, const StrList *names, Unit *ret_units, Diag *diag) {
        FakeClient *fake = container_of(client, FakeClient, client);

        (void)diag;
        fake->n_gets++;
        for (size_t i = 0; i < names->n_items; i++)
                for (const Row *row = fake->rows; row->name; row++)
                        if (streq(row->name, names->items[i]) && fill_unit(row, &ret_units[i]) < 0)
                                return -ENOMEM;
        return 0;
}

static const ClientVtable fake_vtable = { .get_units = fake_get_units };

static FakeClient fake_client(const Row *rows) {
        return (FakeClient){ .client = { &fake_vtable }, .rows = rows };
}

static char directory[] = "/tmp/fleet-plan-XXXXXX";

static void write_file(const char *name, const char *exec) {
        FILE *file = fopen(name, "w");

        ck_assert_ptr_nonnull(file);
        ck_assert_int_ge(fprintf(file, "[Service]\nExecStart=%s\n", exec), 0);
        ck_assert_int_eq(fclose(file), 0);
}

/* --- the cases --- */

/* What is planned for the last word of a command. */
typedef struct Case {
        const char *claim;
        const char *words[3];
        Row rows[3];
        const char *files[4]; /* name, exec, name, exec */
        bool replace;
        PlanAction action;
        const char *exec;    /* of the content to write, or NULL */
        const char *warning; /* the only one, or NULL */
        const char *note;
        const char *error; /* then nothing else counts */
} Case;

static const Case cases[] = {
        { .claim = "an unknown unit comes from its file",
          .words = { "a" },
          .files = { "a.service", "x" },
          .action = PLAN_CREATE,
          .exec = "x" },
        { .claim = "without a file it is an error",
          .words = { "a" },
          .error = "unable to find Unit(a.service) in Registry or on filesystem" },
        { .claim = "a known unit without a file is kept silently",
          .words = { "a" },
          .rows = { { "a.service", "x", "inactive" } },
          .action = PLAN_KEEP },
        { .claim = "a known unit with the same file likewise",
          .words = { "a" },
          .rows = { { "a.service", "x", "inactive" } },
          .files = { "a.service", "x" },
          .action = PLAN_KEEP },
        { .claim = "a known unit with another file is kept with a warning",
          .words = { "a" },
          .rows = { { "a.service", "x", "inactive" } },
          .files = { "a.service", "y" },
          .action = PLAN_KEEP,
          .warning = "WARNING: Unit a.service in registry differs from local unit file a.service. "
                     "Add --replace to override." },
        { .claim = "an instance prefers its own file",
          .words = { "w@1" },
          .rows = { { "w@.service", "cluster", "inactive" } },
          .files = { "w@1.service", "own", "w@.service", "local" },
          .action = PLAN_CREATE,
          .exec = "own" },
        { .claim = "then the template in the cluster, warning of another one beside it",
          .words = { "w@1" },
          .rows = { { "w@.service", "cluster", "inactive" } },
          .files = { "w@.service", "local" },
          .action = PLAN_CREATE,
          .exec = "cluster",
          .warning = "WARNING: Unit w@.service in registry differs from local template unit file "
                     "w@.service. Add --replace "
                     "to override." },
        { .claim = "with --replace, the template beside it",
          .words = { "w@1" },
          .rows = { { "w@.service", "cluster", "inactive" } },
          .files = { "w@.service", "local" },
          .replace = true,
          .action = PLAN_CREATE,
          .exec = "local" },
        { .claim = "then the template beside it",
          .words = { "w@1" },
          .files = { "w@.service", "local" },
          .action = PLAN_CREATE,
          .exec = "local" },
        { .claim = "a template named in the same command comes before both",
          .words = { "sub/w@", "w@1" },
          .files = { "sub/w@.service", "named", "w@.service", "local" },
          .action = PLAN_CREATE,
          .exec = "named" },
        { .claim = "without a template it is an error",
          .words = { "w@1" },
          .error = "failed getting Unit(w@1.service) from template: unable to find template "
                   "Unit(w@.service) in Registry or on "
                   "filesystem" },
        { .claim = "a known instance whose template differs is kept with a warning",
          .words = { "w@1" },
          .rows = { { "w@1.service", "x", "launched" } },
          .files = { "w@.service", "y" },
          .action = PLAN_KEEP,
          .warning = "WARNING: Unit w@1.service in registry differs from local template unit file "
                     "w@.service. Add --replace "
                     "to override." },
        { .claim = "--replace replaces",
          .words = { "a" },
          .rows = { { "a.service", "x", "inactive" } },
          .files = { "a.service", "y" },
          .replace = true,
          .action = PLAN_REPLACE,
          .exec = "y" },
        { .claim = "--replace of the same does nothing and says so",
          .words = { "a" },
          .rows = { { "a.service", "x", "launched" } },
          .files = { "a.service", "x" },
          .replace = true,
          .action = PLAN_KEEP,
          .note = "Found same Unit(a.service) in Registry, nothing to do" },
        { .claim = "--replace in a state in which this command may not is left with a warning",
          .words = { "a" },
          .rows = { { "a.service", "x", "launched" } },
          .files = { "a.service", "y" },
          .replace = true,
          .action = PLAN_KEEP,
          .warning = "Warning: can not replace Unit(a.service) in state 'launched', use the "
                     "appropriate command: fleetctl start --replace" },
        { .claim = "--replace needs a file",
          .words = { "a" },
          .rows = { { "a.service", "x", "inactive" } },
          .replace = true,
          .error = "error Unit a.service does not seem to be a template unit: --replace needs its "
                   "file, and there is none at "
                   "a.service" },
        { .claim = "--replace of an instance takes the template beside it",
          .words = { "w@1" },
          .rows = { { "w@1.service", "x", "inactive" }, { "w@.service", "x", "inactive" } },
          .files = { "w@.service", "y" },
          .replace = true,
          .action = PLAN_REPLACE,
          .exec = "y" },
        { .claim = "or the one in the cluster",
          .words = { "w@1" },
          .rows = { { "w@1.service", "x", "inactive" }, { "w@.service", "y", "inactive" } },
          .replace = true,
          .action = PLAN_REPLACE,
          .exec = "y" },
        { .claim = "a name that no unit can have is an error",
          .words = { "@x" },
          .error = "@x.service: unit name cannot start in \"@\"" },
};

static int plan_case(const Case *c, Plan *plan, Diag *diag) {
        FakeClient fake = fake_client(c->rows);
        PlanOptions options = { .replace = c->replace, .only_inactive = true };
        StrList words = { .items = (char **)c->words };

        while (words.n_items < ELEMENTSOF(c->words) && c->words[words.n_items])
                words.n_items++;
        return plan_make(&fake.client, &words, &options, plan, diag);
}

static void put_files(const Case *c) {
        for (size_t i = 0; i < ELEMENTSOF(c->files) && c->files[i]; i += 2)
                write_file(c->files[i], c->files[i + 1]);
}

static void remove_files(const Case *c) {
        for (size_t i = 0; i < ELEMENTSOF(c->files) && c->files[i]; i += 2)
                ck_assert_int_eq(unlink(c->files[i]), 0);
}

static void check_plan(const Case *c, const Plan *plan) {
        const PlanEntry *entry = &plan->entries[plan->n_entries - 1];

        ck_assert_msg(entry->action == c->action, "%s", c->claim);
        ck_assert_pstr_eq(entry->content ? unit_file_get(entry->content, "Service", "ExecStart")
                                         : NULL,
                          c->exec);
        ck_assert_uint_eq(plan->warnings.n_items, c->warning ? 1 : 0);
        ck_assert_uint_eq(plan->notes.n_items, c->note ? 1 : 0);
        if (c->warning)
                ck_assert_str_eq(plan->warnings.items[0], c->warning);
        if (c->note)
                ck_assert_str_eq(plan->notes.items[0], c->note);
}

/* Contract section 2.6, case by case. */
START_TEST(test_cases) {
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(plan_done) Plan plan = { 0 };
                Diag diag = { 0 };
                int r;

                put_files(&cases[i]);
                r = plan_case(&cases[i], &plan, &diag);
                remove_files(&cases[i]);

                ck_assert_pstr_eq(r < 0 ? diag.message : NULL, cases[i].error);
                if (r == 0)
                        check_plan(&cases[i], &plan);
        }
}
END_TEST

/* However many units: one round of requests for them, one for all their templates. */
START_TEST(test_two_rounds_of_requests) {
        static const Row rows[] = { { "w@.service", "x", "inactive" },
                                    { "v@.service", "x", "inactive" },
                                    { 0 } };
        const char *words[] = { "w@1", "w@2", "v@1", "w@3" };
        StrList list = { (char **)words, ELEMENTSOF(words) };
        FakeClient fake = fake_client(rows);
        _cleanup_(plan_done) Plan plan = { 0 };

        ck_assert_int_eq(plan_make(&fake.client, &list, &(PlanOptions){ 0 }, &plan, NULL), 0);
        ck_assert_uint_eq(fake.n_gets, 2);
        ck_assert_uint_eq(plan.n_entries, 4);
        ck_assert_str_eq(plan.entries[3].name, "w@3.service");
}
END_TEST

/* What the server would refuse is refused here; what means nothing is noted; a global unit is known
 * as one. */
START_TEST(test_options_are_checked) {
        static const Row none[] = { { 0 } };
        const char *words[] = { "a" };
        StrList list = { (char **)words, 1 };
        FakeClient fake = fake_client(none);
        Diag diag = { 0 };
        Plan bad = { 0 }, good = { 0 };

        write_file("a.service", "x\n[X-Fleet]\nGlobal=true\nMachineID=abc");
        ck_assert_int_eq(plan_make(&fake.client, &list, &(PlanOptions){ 0 }, &bad, &diag), -EINVAL);
        ck_assert_str_eq(diag.message, "a.service: MachineID cannot be used with Global");

        write_file("a.service", "x\n[X-Fleet]\nGlobal=true\nBogus=1");
        ck_assert_int_eq(plan_make(&fake.client, &list, &(PlanOptions){ 0 }, &good, NULL), 0);
        ck_assert(good.entries[0].is_global);
        ck_assert_uint_eq(good.spelling.n_items, 1);
        ck_assert_str_eq(
                good.spelling.items[0],
                "Unit a.service: unrecognized requirement in [X-Fleet] section: \"Bogus\"");

        ck_assert_int_eq(unlink("a.service"), 0);
        plan_done(&bad);
        plan_done(&good);
}
END_TEST

/* Let the allocation number `n` fail. Returns whether there was one. */
static bool plan_with_fault(const Case *c, size_t n) {
        _cleanup_(plan_done) Plan plan = { 0 };
        bool failed;
        int r;

        fault_arm(n);
        r = plan_case(c, &plan, NULL);
        failed = fault_disarm();

        /* A comparison of two contents that fails says that they differ, and nothing more is lost.
         */
        ck_assert(r == 0 || (failed && r == -ENOMEM));
        return failed;
}

/* Without memory it fails and leaks nothing, whatever the case. */
START_TEST(test_survives_oom) {
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                size_t n = 0;

                if (cases[i].error)
                        continue;
                put_files(&cases[i]);
                while (plan_with_fault(&cases[i], n))
                        n++;
                remove_files(&cases[i]);
                ck_assert_uint_gt(n, 5);
        }
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_cases, test_two_rounds_of_requests,
                                       test_options_are_checked, test_survives_oom };
        char sub[sizeof(directory) + 4];
        int failed;

        if (!mkdtemp(directory) || chdir(directory) < 0 || mkdir("sub", 0700) < 0)
                return EXIT_FAILURE;
        failed = tests_run("plan", tests, ELEMENTSOF(tests));

        (void)snprintf(sub, sizeof(sub), "%s/sub", directory);
        return chdir("/") < 0 || rmdir(sub) < 0 || rmdir(directory) < 0 || failed;
}
