/* SPDX-License-Identifier: Apache-2.0 */

/* Plan, write, tell, wait. Everything that one command changes goes into one request, contents and
 * desired states together, so either all of it happens or nothing. A unit that is already desired
 * so is asked for again: that is how a dead one comes back to life.
 */

#include "fleetctl/bring-up.h"

#include <errno.h>
#include <stdio.h>

#include "fleetctl/offer.h"
#include "fleetctl/wait.h"
#include "lib/base/log.h"
#include "lib/model/job-state.h"

static const Flag submit_rows[] = {
        { "replace", NULL, NULL, "Replace units whose local file differs, if they are inactive",
          offsetof(Options, replace), FLAG_BOOL, 0, false },
        { "sign", NULL, NULL, NULL, offsetof(Options, sign), FLAG_BOOL, 0, false },
};

static const Flag bring_up_rows[] = {
        NO_BLOCK_FLAG(NO_BLOCK_HELP),
        BLOCK_ATTEMPTS_FLAG(
                "Wait at most N times 2 seconds; 0 waits for ever, also for a machine that fits"),
        { "replace", NULL, NULL,
          "Replace units whose local file differs; what runs ends first, and stays on its machine",
          offsetof(Options, replace), FLAG_BOOL, 0, false },
        { "sign", NULL, NULL, NULL, offsetof(Options, sign), FLAG_BOOL, 0, false },
};

const FlagTable submit_flags = { submit_rows, ELEMENTSOF(submit_rows) };
const FlagTable bring_up_flags = { bring_up_rows, ELEMENTSOF(bring_up_rows) };

static void print_findings(const Plan *plan) {
        for (size_t i = 0; i < plan->spelling.n_items; i++)
                log_line(LOG_WARNING, "%s", plan->spelling.items[i]);
        for (size_t i = 0; i < plan->warnings.n_items; i++)
                (void)fprintf(stderr, "%s\n", plan->warnings.items[i]);
        for (size_t i = 0; i < plan->notes.n_items; i++)
                (void)puts(plan->notes.items[i]);
}

/* One invocation. */
typedef struct Work {
        const Cli *cli;       /* borrowed */
        Client *client;       /* borrowed */
        const BringUp *how;   /* borrowed */
        const Plan *plan;     /* borrowed */
        bool takes_instances; /* the plan's instances are replaced, too */
} Work;

/* Is the entry brought to the state of the command? A template that is replaced is not. */
static bool is_brought_up(const Work *work, const PlanEntry *entry) {
        bool is_swapped = entry->is_template && entry->current.name && work->cli->options.replace;

        return work->how->target && !is_swapped;
}

/* The desired state to send with an entry, or NULL when there is nothing to send. What is replaced
 * without being brought up, by submit or as a template, was inactive before. */
static const char *desired_for(const Work *work, const PlanEntry *entry) {
        if (is_brought_up(work, entry))
                return work->how->target;
        return entry->action == PLAN_KEEP ? NULL : job_state_to_string(JOB_STATE_INACTIVE);
}

/* All that is written, instances with the desired states that they have. Borrowed throughout: the
 * array is encoded, never unit_done(). */
static size_t fill_units(const Work *work, Unit *units) {
        const Plan *plan = work->plan;
        size_t n_units = 0;

        for (size_t i = 0; i < plan->n_entries; i++) {
                const PlanEntry *entry = &plan->entries[i];
                const char *desired = desired_for(work, entry);

                if (desired)
                        units[n_units++] = (Unit){ .name = (char *)entry->name,
                                                   .options = entry->content,
                                                   .desired_state = (char *)desired };
        }
        for (size_t i = 0; work->takes_instances && i < plan->n_instances; i++)
                units[n_units++] =
                        (Unit){ .name = plan->instances[i].unit->name,
                                .options = plan->instances[i].template->content,
                                .desired_state = plan->instances[i].unit->desired_state };
        return n_units;
}

static int send_plan(const Work *work, Diag *diag) {
        _cleanup_(freep) Unit *units = NULL;

        units = calloc(work->plan->n_entries + work->plan->n_instances + 1, sizeof(*units));
        if (!units)
                return -ENOMEM;
        return client_set_units(work->client, units, fill_units(work, units), diag);
}

static void print_created(const Work *work) {
        const Plan *plan = work->plan;

        for (size_t i = 0; i < plan->n_entries; i++) {
                const PlanEntry *entry = &plan->entries[i];

                if (entry->action == PLAN_CREATE ||
                    (entry->action == PLAN_REPLACE && !is_brought_up(work, entry)))
                        (void)printf("Unit %s inactive\n", entry->name);
        }
        for (size_t i = 0; work->takes_instances && i < plan->n_instances; i++)
                (void)printf("Unit %s replaced\n", plan->instances[i].unit->name);
}

static void print_triggered(const Work *work) {
        const bool no_block = work->cli->options.no_block;

        for (size_t i = 0; i < work->plan->n_entries; i++) {
                const PlanEntry *entry = &work->plan->entries[i];

                if (is_brought_up(work, entry) && (entry->is_global || no_block))
                        (void)printf("Triggered %sunit %s %s\n", entry->is_global ? "global " : "",
                                     entry->name, work->how->verb);
        }
        (void)fflush(stdout);
}

/* The units whose state is waited for: those that were named, and the instances that are meant to
 * be in the same state. */
static size_t fill_awaited(const Work *work, Unit *units) {
        const Plan *plan = work->plan;
        size_t n_units = 0;

        for (size_t i = 0; i < plan->n_entries; i++)
                if (is_brought_up(work, &plan->entries[i]) && !plan->entries[i].is_global)
                        units[n_units++] = (Unit){ .name = (char *)plan->entries[i].name };
        for (size_t i = 0; work->takes_instances && i < plan->n_instances; i++) {
                const PlanInstance *instance = &plan->instances[i];

                if (!instance->template->is_global && instance->unit->desired_state &&
                    streq(instance->unit->desired_state, work->how->target))
                        units[n_units++] = (Unit){ .name = instance->unit->name };
        }
        return n_units;
}

static int wait_for_plan(const Work *work, const WaitSpec *spec, Diag *diag) {
        _cleanup_(freep) Unit *units = NULL;

        units = calloc(work->plan->n_entries + work->plan->n_instances + 1, sizeof(*units));
        if (!units)
                return -ENOMEM;
        return wait_for_units(work->client, spec, units, fill_awaited(work, units), diag);
}

/* The outcome of waiting, as an exit code with the contract's words (section 3, load). */
static int conclude(int r, const Diag *diag) {
        if (r == 0)
                return EXIT_OK;
        return cli_fail("Error waiting for unit states, exit status: %s",
                        diag->message[0] ? diag->message : "out of memory");
}

static int bring_up_planned(Work *work) {
        const Options *options = &work->cli->options;
        const WaitSpec spec = {
                .state = work->how->target,
                .done = work->how->target,
                .block_attempts = options->block_attempts,
        };
        Diag diag = { 0 };
        int r;

        print_findings(work->plan);
        work->takes_instances = offer_instances(work->plan);
        r = send_plan(work, &diag);
        if (r < 0)
                return cli_fail("Error %s units: %s", work->how->doing,
                                diag.message[0] ? diag.message : "out of memory");

        print_created(work);
        if (!work->takes_instances)
                offer_tell_kept(work->plan);
        if (!work->how->target)
                return EXIT_OK;

        print_triggered(work);
        if (options->no_block)
                return EXIT_OK;
        r = wait_for_plan(work, &spec, &diag);
        return conclude(r, &diag);
}

int bring_up(Cli *cli, const BringUp *how) {
        _cleanup_(plan_done) Plan plan = { 0 };
        Work work = { .cli = cli, .how = how, .plan = &plan };
        const PlanOptions options = { .replace = cli->options.replace,
                                      .only_inactive = !how->target,
                                      .skip_templates = how->target != NULL };
        Diag diag = { 0 };
        int r;

        r = cli_client(cli, &work.client);
        if (r < 0)
                return EXIT_FAILED;

        r = plan_make(work.client, &cli->args, &options, &plan, &diag);
        if (r < 0)
                return cli_fail_because("Error creating units", r, &diag);
        return bring_up_planned(&work);
}
