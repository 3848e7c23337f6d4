/* SPDX-License-Identifier: Apache-2.0 */

/* restart: units, or copies of global units, a few at a time.
 *
 * What there is to do is worked out first, as a list in the order of the command line: a task per
 * unit, and per machine of a global one. Tasks are done in batches; each is asked for and waited
 * for, and the first batch that does not come back whole is the last. A global unit that is loaded
 * is started everywhere at once: nothing of it runs that would have to be spared.
 */

#include <errno.h>
#include <stdio.h>

#include "fleetctl/bring-up.h"
#include "fleetctl/filter.h"
#include "fleetctl/found.h"
#include "fleetctl/label.h"
#include "fleetctl/wait.h"
#include "lib/base/buf.h"
#include "lib/model/job-state.h"

enum {
        LEFT_SHOWN_MAX = 16, /* tasks left undone that are named one by one */
        LEFT_MAX_BYTES = 16 * 1024,
};

static const Flag restart_rows[] = {
        NO_BLOCK_FLAG("Return at once, without waiting, and without an order"),
        BLOCK_ATTEMPTS_FLAG("Wait at most N times 2 seconds for each unit; 0 waits for ever"),
        { "machine", "LIST", NULL,
          "Only what runs on these machines: the beginnings of their IDs. Of a global unit, the "
          "copies there",
          offsetof(Options, machine), FLAG_STRING, 0, false },
        { "parallel", "N", "1", "Restart so many at a time; a global unit, on so many machines",
          offsetof(Options, parallel), FLAG_COUNT, 0, false },
};
static const FlagTable restart_flags = { restart_rows, ELEMENTSOF(restart_rows) };

/* One thing to restart. Borrowed throughout. */
typedef struct Task {
        const char *name;
        const char *machine; /* of the copy of a global unit, or NULL: the unit */
        bool is_global;
        bool asks_for_all; /* the request is for all copies... */
        bool is_asked_for; /* ...and has been made by an earlier task */
} Task;

/* One invocation. */
typedef struct Work {
        const Cli *cli; /* borrowed */
        Found found;
        Page states; /* read when a global unit is to be restarted copy by copy */
        Filter filter;
        Task *tasks; /* owned array */
        size_t n_tasks;
        size_t n_refused;
} Work;

static void work_done(Work *work) {
        found_done(&work->found);
        page_done(&work->states);
        filter_done(&work->filter);
        free(work->tasks);
}

static int add_task(Work *work, Task task) {
        Task *tasks = reallocarray(work->tasks, work->n_tasks + 1, sizeof(*tasks));

        if (!tasks)
                return -ENOMEM;
        work->tasks = tasks;
        tasks[work->n_tasks++] = task;
        return 0;
}

/* Who asked for all that match did not ask for each of them by name. */
static void refuse(Work *work, size_t i, const char *why) {
        if (work->found.is_match[i])
                return;
        work->n_refused++;
        (void)cli_fail("Unable to restart unit %s %s", work->found.units[i].name, why);
}

static int add_copies(Work *work, size_t i) {
        const Unit *unit = &work->found.units[i];
        const char *launched = job_state_to_string(JOB_STATE_LAUNCHED);
        bool is_launched = streq(unit->desired_state, launched);
        size_t n_before = work->n_tasks;
        int r = 0;

        if (!is_launched && work->cli->options.machine) {
                refuse(work, i, "on one machine: it is not launched, and can only be as a whole");
                return 0;
        }

        for (size_t k = 0; r == 0 && k < work->states.n_states; k++) {
                const UnitState *state = &work->states.states[k];

                if (streq(state->name, unit->name) && filter_keeps_state(&work->filter, state))
                        r = add_task(work, (Task){ .name = unit->name,
                                                   .machine = state->machine_id,
                                                   .is_global = true,
                                                   .asks_for_all = !is_launched,
                                                   .is_asked_for = !is_launched &&
                                                                   work->n_tasks > n_before });
        }
        if (r < 0 || work->n_tasks > n_before)
                return r;

        if (work->cli->options.machine) {
                refuse(work, i, "on that machine: it is not there");
                return 0;
        }
        return add_task(work,
                        (Task){ .name = unit->name, .is_global = true, .asks_for_all = true });
}

static int add_unit(Work *work, size_t i) {
        const Options *options = &work->cli->options;
        const Unit *unit = &work->found.units[i];
        bool is_global;
        int r;

        r = found_is_global(unit, &is_global);
        if (r < 0)
                return r;

        if (!unit->desired_state ||
            streq(unit->desired_state, job_state_to_string(JOB_STATE_INACTIVE))) {
                refuse(work, i, "in state inactive");
                return 0;
        }
        if (is_global && (options->machine || !options->no_block))
                return add_copies(work, i);
        if (!is_global && !filter_keeps_unit(&work->filter, unit)) {
                refuse(work, i, "on that machine: it is not there");
                return 0;
        }
        return add_task(
                work,
                (Task){ .name = unit->name, .is_global = is_global, .asks_for_all = is_global });
}

/* Copies of global units are known by the states that machines report. */
static int read_states(Work *work, Diag *diag) {
        bool is_global = false;
        int r = 0;

        for (size_t i = 0; r == 0 && !is_global && i < work->found.n_units; i++)
                r = found_is_global(&work->found.units[i], &is_global);
        if (r < 0 || !is_global)
                return r;
        return client_list(work->cli->client, LIST_STATES, &work->states, diag);
}

static int gather_tasks(Work *work, Diag *diag) {
        int r;

        r = read_states(work, diag);
        for (size_t i = 0; r == 0 && i < work->found.n_units; i++)
                r = add_unit(work, i);
        return r;
}

/* Of these tasks, how many can share a request: it takes each name once. The copies of a global
 * unit follow each other. */
static size_t count_distinct(const Task *tasks, size_t n_tasks) {
        size_t n = 1;

        while (n < n_tasks && n < PLAN_MAX_UNITS && !streq(tasks[n].name, tasks[n - 1].name))
                n++;
        return n;
}

static int ask(const Work *work, const Task *tasks, size_t n_tasks, Diag *diag) {
        _cleanup_(freep) Unit *units = calloc(n_tasks, sizeof(*units));
        size_t n_units = 0;

        if (!units)
                return -ENOMEM;

        /* Borrowed: the array is encoded, never unit_done(). */
        for (size_t i = 0; i < n_tasks; i++)
                if (!tasks[i].is_asked_for)
                        units[n_units++] = (Unit){
                                .name = (char *)tasks[i].name,
                                .machine_id = tasks[i].asks_for_all ? NULL
                                                                    : (char *)tasks[i].machine,
                                .restart = true,
                        };
        return client_set_units(work->cli->client, units, n_units, diag);
}

static int await(const Work *work, const Task *tasks, size_t n_tasks, Diag *diag) {
        const WaitSpec spec = {
                .state = job_state_to_string(JOB_STATE_LAUNCHED),
                .done = "restarted",
                .block_attempts = work->cli->options.block_attempts,
        };
        _cleanup_(freep) Unit *units = calloc(n_tasks, sizeof(*units));

        if (!units)
                return -ENOMEM;

        for (size_t i = 0; i < n_tasks; i++)
                units[i] = (Unit){ .name = (char *)tasks[i].name,
                                   .machine_id = (char *)tasks[i].machine };
        return wait_for_units(work->cli->client, &spec, units, n_tasks, diag);
}

static int ask_all(const Work *work, const Task *tasks, size_t n_tasks, Diag *diag) {
        int r = 0;

        for (size_t i = 0, n; r == 0 && i < n_tasks; i += n) {
                n = count_distinct(tasks + i, n_tasks - i);
                r = ask(work, tasks + i, n, diag);
        }
        return r;
}

/* Waits for each, also when one has failed: all of them were asked for. */
static int await_all(const Work *work, const Task *tasks, size_t n_tasks, Diag *diag) {
        int first = 0, r = 0;

        for (size_t i = 0, n; r >= 0 && i < n_tasks; i += n) {
                n = count_distinct(tasks + i, n_tasks - i);
                r = await(work, tasks + i, n, first == 0 ? diag : NULL);
                if (first == 0)
                        first = r;
        }
        return first;
}

static int describe_left(const Task *tasks, size_t n_tasks, Buf *out) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < n_tasks && i < LEFT_SHOWN_MAX; i++) {
                r = buf_printf(out, "%s%s%s", i > 0 ? ", " : "", tasks[i].name,
                               tasks[i].machine ? " on " : "");
                if (r == 0 && tasks[i].machine)
                        r = label_append_id(out, tasks[i].machine, false);
        }
        if (r == 0 && n_tasks > LEFT_SHOWN_MAX)
                r = buf_printf(out, " and %zu more", n_tasks - LEFT_SHOWN_MAX);
        return r;
}

static int conclude(const Task *left, size_t n_left, const Diag *diag) {
        _cleanup_(buf_done) Buf names = buf_make(LEFT_MAX_BYTES);

        (void)cli_fail("Error restarting units: %s",
                       diag->message[0] ? diag->message : "out of memory");
        if (n_left > 0 && describe_left(left, n_left, &names) == 0)
                (void)cli_fail("Not restarted, because of that: %s", names.data);
        return EXIT_FAILED;
}

static void print_triggered(const Work *work) {
        for (size_t i = 0; i < work->n_tasks; i++)
                if (i == 0 || !streq(work->tasks[i].name, work->tasks[i - 1].name))
                        (void)printf("Triggered %sunit %s restart\n",
                                     work->tasks[i].is_global ? "global " : "",
                                     work->tasks[i].name);
        (void)fflush(stdout);
}

static int restart_all(const Work *work) {
        const Options *options = &work->cli->options;
        size_t n = options->no_block ? PLAN_MAX_UNITS : options->parallel.value;
        Diag diag = { 0 };

        for (size_t i = 0; i < work->n_tasks; i += n) {
                size_t n_left = work->n_tasks - i, n_batch = n_left < n ? n_left : n;
                int r = ask_all(work, work->tasks + i, n_batch, &diag);

                if (r == 0 && !options->no_block)
                        r = await_all(work, work->tasks + i, n_batch, &diag);
                if (r != 0)
                        return conclude(work->tasks + i + n_batch, n_left - n_batch, &diag);
        }

        if (options->no_block)
                print_triggered(work);
        return work->n_refused > 0 ? EXIT_FAILED : EXIT_OK;
}

static int check_flags(Work *work, Diag *diag) {
        const Options *options = &work->cli->options;
        const Options machines = { .machine = options->machine };

        if (options->parallel.value == 0)
                return diag_set(diag, -EINVAL, "--parallel must be at least 1");
        return filter_init_units(&work->filter, &machines, &(StrList){ 0 }, diag);
}

static int run(Cli *cli) {
        static const BringUp submit = { .verb = "submit", .doing = "creating" };
        _cleanup_(work_done) Work work = { .cli = cli };
        Diag diag = { 0 };
        int r;

        r = check_flags(&work, &diag);
        if (r < 0)
                return cli_fail_usage(cli, r, &diag);

        /* What the cluster does not know is created, as contract section 2.6 says, and then is
         * inactive. */
        r = bring_up(cli, &submit);
        if (r != EXIT_OK)
                return r;
        if (found_look_up(cli, &work.found) < 0)
                return EXIT_FAILED;

        r = gather_tasks(&work, &diag);
        if (r < 0)
                return cli_fail_because("Error restarting units", r, &diag);
        return restart_all(&work);
}

const Command cmd_restart = {
        .name = "restart",
        .usage = "[--parallel=N] [--machine=LIST] [--no-block] [--block-attempts=N] UNIT...",
        .summary = "Restart units, one after the other",
        .description =
                "Each unit is stopped to its end and started again on the machine where it is; one "
                "that\n"
                "is only loaded, or has died, is started. The next follows when it is active "
                "again, or has\n"
                "finished well. The first that does not get there ends the command, and what is "
                "left is\n"
                "not touched.\n"
                "\n"
                "A global unit is restarted machine by machine.\n",
        .flags = &restart_flags,
        .args = COMMAND_ARGS_UNITS,
        .min_args = 1,
        .max_args = COMMAND_ARGS_ANY,
        .args_message = "No units given",
        .args_exit = EXIT_OK,
        .run = run,
};
