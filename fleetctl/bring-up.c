/* SPDX-License-Identifier: Apache-2.0 */

/* Plan, write, tell, wait. Everything that one command changes goes into one request, contents and
 * desired states together, so either all of it happens or nothing. A unit that is already desired
 * so is asked for again: that is how a dead one comes back to life.
 */

#include "fleetctl/bring-up.h"

#include <errno.h>
#include <stdio.h>

#include "fleetctl/wait.h"
#include "lib/base/log.h"
#include "lib/model/job-state.h"

static const char replace_help[] = "Replace units in the cluster whose local file differs";

static const Flag submit_rows[] = {
        { "replace", NULL, NULL, replace_help, offsetof(Options, replace), FLAG_BOOL, 0, false },
        { "sign", NULL, NULL, NULL, offsetof(Options, sign), FLAG_BOOL, 0, false },
};

static const Flag bring_up_rows[] = {
        { "no-block", NULL, NULL, "Return at once, without waiting for the outcome",
          offsetof(Options, no_block), FLAG_BOOL, 0, false },
        { "block-attempts", "N", NULL,
          "Wait at most N times 2 seconds; 0 waits for ever, also for a machine that fits",
          offsetof(Options, block_attempts), FLAG_COUNT, 0, false },
        { "replace", NULL, NULL, replace_help, offsetof(Options, replace), FLAG_BOOL, 0, false },
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

/* The desired state to send with an entry, or NULL when there is nothing to send. A replaced unit
 * that is only submitted keeps its own. */
static const char *desired_for(const PlanEntry *entry, const BringUp *how) {
        if (how->target)
                return how->target;
        if (entry->action == PLAN_REPLACE && entry->current.desired_state)
                return entry->current.desired_state;
        return entry->action == PLAN_KEEP ? NULL : job_state_to_string(JOB_STATE_INACTIVE);
}

static int send_plan(Client *client, const Plan *plan, const BringUp *how, Diag *diag) {
        _cleanup_(freep) Unit *units = NULL;
        size_t n_units = 0;

        units = calloc(plan->n_entries, sizeof(*units));
        if (!units)
                return -ENOMEM;

        /* Borrowed throughout: the array is encoded, never unit_done(). */
        for (size_t i = 0; i < plan->n_entries; i++) {
                const PlanEntry *entry = &plan->entries[i];
                const char *desired = desired_for(entry, how);

                if (!desired)
                        continue;
                units[n_units++] = (Unit){
                        .name = (char *)entry->name,
                        .options = entry->content,
                        .desired_state = (char *)desired,
                };
        }
        return client_set_units(client, units, n_units, diag);
}

static void print_created(const Plan *plan, const BringUp *how) {
        for (size_t i = 0; i < plan->n_entries; i++) {
                const PlanEntry *entry = &plan->entries[i];

                if (entry->action == PLAN_CREATE || (entry->action == PLAN_REPLACE && !how->target))
                        (void)printf("Unit %s inactive\n", entry->name);
        }
}

static void print_triggered(const Plan *plan, const BringUp *how, bool no_block) {
        for (size_t i = 0; i < plan->n_entries; i++) {
                const PlanEntry *entry = &plan->entries[i];

                if (entry->is_global || no_block)
                        (void)printf("Triggered %sunit %s %s\n", entry->is_global ? "global " : "",
                                     entry->name, how->verb);
        }
        (void)fflush(stdout);
}

static int wait_for_plan(Client *client, const Plan *plan, const WaitSpec *spec, Diag *diag) {
        _cleanup_(freep) Unit *units = NULL;
        size_t n_units = 0;

        units = calloc(plan->n_entries, sizeof(*units));
        if (!units)
                return -ENOMEM;

        for (size_t i = 0; i < plan->n_entries; i++)
                if (!plan->entries[i].is_global)
                        units[n_units++] = (Unit){ .name = (char *)plan->entries[i].name };
        return wait_for_units(client, spec, units, n_units, diag);
}

/* The outcome of waiting, as an exit code with the contract's words (section 3, load). */
static int conclude(int r, const Diag *diag) {
        if (r == 0)
                return EXIT_OK;
        return cli_fail("Error waiting for unit states, exit status: %s",
                        diag->message[0] ? diag->message : "out of memory");
}

static int bring_up_planned(Cli *cli, Client *client, const Plan *plan, const BringUp *how) {
        const WaitSpec spec = {
                .state = how->target,
                .done = how->target,
                .block_attempts = cli->options.block_attempts,
        };
        Diag diag = { 0 };
        int r;

        print_findings(plan);
        r = send_plan(client, plan, how, &diag);
        if (r < 0)
                return cli_fail("Error %s units: %s", how->doing,
                                diag.message[0] ? diag.message : "out of memory");

        print_created(plan, how);
        if (!how->target)
                return EXIT_OK;

        print_triggered(plan, how, cli->options.no_block);
        if (cli->options.no_block)
                return EXIT_OK;
        r = wait_for_plan(client, plan, &spec, &diag);
        return conclude(r, &diag);
}

int bring_up(Cli *cli, const BringUp *how) {
        _cleanup_(plan_done) Plan plan = { 0 };
        const PlanOptions options = { .replace = cli->options.replace,
                                      .only_inactive = !how->target,
                                      .skip_templates = how->target != NULL };
        Diag diag = { 0 };
        Client *client;
        int r;

        r = cli_client(cli, &client);
        if (r < 0)
                return EXIT_FAILED;

        r = plan_make(client, &cli->args, &options, &plan, &diag);
        if (r < 0)
                return cli_fail_because("Error creating units", r, &diag);
        return bring_up_planned(cli, client, &plan, how);
}
