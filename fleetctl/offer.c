/* SPDX-License-Identifier: Apache-2.0 */

/* The question is asked on stderr and answered on stdin, and only where both are a terminal: a
 * script must not come to depend on who started it. Who says no, or cannot be asked, gets the
 * commands that do it later; there are up to three of them, because an instance keeps its desired
 * state and each command has one.
 */

#include "fleetctl/offer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "fleetctl/unit-args.h"
#include "lib/model/job-state.h"

enum { NAMES_MAX = 10 }; /* of instances, before the question; the commands name all */

static const char *desired_of(const PlanInstance *instance) {
        return instance->unit->desired_state ? instance->unit->desired_state
                                             : job_state_to_string(JOB_STATE_INACTIVE);
}

static bool answer_is_yes(void) {
        char answer[16];

        if (!fgets(answer, sizeof(answer), stdin))
                return false;
        answer[strcspn(answer, "\r\n")] = '\0';
        return strcasecmp(answer, "y") == 0 || strcasecmp(answer, "yes") == 0;
}

bool offer_instances(const Plan *plan) {
        if (plan->n_instances == 0 || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
                return false;

        (void)fprintf(stderr, "Instances that have the content of the replaced template:\n");
        for (size_t i = 0; i < plan->n_instances && i < NAMES_MAX; i++)
                (void)fprintf(stderr, "  %s (%s)\n", plan->instances[i].unit->name,
                              desired_of(&plan->instances[i]));
        if (plan->n_instances > NAMES_MAX)
                (void)fprintf(stderr, "  ... and %zu more\n", plan->n_instances - NAMES_MAX);
        (void)fprintf(stderr, "Replace them, too? Those that run are restarted. [y/N] ");
        (void)fflush(stderr);
        return answer_is_yes();
}

/* The command for the instances of one desired state, if there are any: where the template's file
 * is, so that it means the same content. */
static void tell_command(const Plan *plan, const char *desired, const char *command) {
        size_t n = 0;

        for (size_t i = 0; i < plan->n_instances; i++) {
                const PlanInstance *instance = &plan->instances[i];
                _cleanup_(freep) char *path = NULL;

                if (!streq(desired_of(instance), desired) ||
                    unit_args_path(instance->template->path, instance->unit->name, &path) < 0)
                        continue;
                if (n++ == 0)
                        (void)fprintf(stderr, "  fleetctl %s --replace", command);
                (void)fprintf(stderr, " %s", path);
        }
        if (n > 0)
                (void)fputc('\n', stderr);
}

void offer_tell_kept(const Plan *plan) {
        if (plan->n_instances == 0)
                return;

        (void)fprintf(stderr,
                      "%zu instance%s of what was replaced still ha%s the old content. To replace "
                      "%s, too:\n",
                      plan->n_instances, plan->n_instances == 1 ? "" : "s",
                      plan->n_instances == 1 ? "s" : "ve", plan->n_instances == 1 ? "it" : "them");
        tell_command(plan, job_state_to_string(JOB_STATE_LAUNCHED), "start");
        tell_command(plan, job_state_to_string(JOB_STATE_LOADED), "load");
        tell_command(plan, job_state_to_string(JOB_STATE_INACTIVE), "submit");
}
