/* SPDX-License-Identifier: Apache-2.0 */

/* Look up, sort out, write, wait. What counts is what a unit is *desired* to be, not where it has
 * come: so a unit that never found a machine can be stopped and unloaded like any other.
 */

#include "fleetctl/take-down.h"

#include <errno.h>
#include <stdio.h>

#include "fleetctl/found.h"
#include "fleetctl/wait.h"
#include "lib/base/buf.h"
#include "lib/model/job-state.h"

enum {
        NAMES_MAX_BYTES = 64 * 1024 * 1024,
        REQUEST_MAX_UNITS = 4096, /* docs/api.md */
};

/* What to do with one unit. */
typedef enum Verdict {
        VERDICT_SKIP,   /* it is as asked */
        VERDICT_REFUSE, /* it cannot be asked for that */
        VERDICT_CHANGE, /* write, and do not wait */
        VERDICT_AWAIT,  /* write, and wait */
} Verdict;

static Verdict judge(const Unit *unit, bool is_global, const TakeDown *how) {
        const char *inactive = job_state_to_string(JOB_STATE_INACTIVE);
        const char *desired = unit->desired_state ? unit->desired_state : inactive;
        const char *current = unit->current_state ? unit->current_state : inactive;

        if (is_global)
                return how->wait_for_globals ? VERDICT_AWAIT : VERDICT_CHANGE;
        if (how->refuse_inactive && streq(desired, inactive))
                return VERDICT_REFUSE;
        if (streq(desired, how->target) && streq(current, how->target))
                return VERDICT_SKIP;
        return VERDICT_AWAIT;
}

/* The units of one command, sorted out. Arrays owned, units borrowed. */
typedef struct Sorted {
        Unit *changed;   /* with the new desired state */
        bool *is_global; /* parallel to changed */
        size_t n_changed;
        Unit *awaited; /* names only */
        size_t n_awaited;
        size_t n_refused;
} Sorted;

static void sorted_done(Sorted *sorted) {
        free(sorted->changed);
        free(sorted->is_global);
        free(sorted->awaited);
}

static void print_triggered(const Sorted *sorted, const TakeDown *how, bool no_block) {
        for (size_t i = 0; i < sorted->n_changed; i++)
                if (sorted->is_global[i] || no_block)
                        (void)printf("Triggered %sunit %s %s\n",
                                     sorted->is_global[i] ? "global " : "", sorted->changed[i].name,
                                     how->verb);
        (void)fflush(stdout);
}

/* Who asked for all that match did not ask for each of them by name. */
static void sort_one(Unit *unit, bool is_global, bool is_match, const TakeDown *how,
                     Sorted *sorted) {
        Verdict verdict = judge(unit, is_global, how);

        if (verdict == VERDICT_REFUSE && is_match)
                verdict = VERDICT_SKIP;

        if (verdict == VERDICT_REFUSE) {
                sorted->n_refused++;
                (void)cli_fail("Unable to %s unit %s in state inactive", how->verb, unit->name);
        }
        if (verdict == VERDICT_AWAIT)
                sorted->awaited[sorted->n_awaited++] = (Unit){ .name = unit->name };
        if (verdict == VERDICT_CHANGE || verdict == VERDICT_AWAIT) {
                sorted->is_global[sorted->n_changed] = is_global;
                sorted->changed[sorted->n_changed++] =
                        (Unit){ .name = unit->name, .desired_state = (char *)how->target };
        }
}

static int sort_out(const Found *found, const TakeDown *how, Sorted *ret_sorted) {
        bool is_global;
        int r;

        ret_sorted->changed = calloc(found->n_units, sizeof(Unit));
        ret_sorted->is_global = calloc(found->n_units, sizeof(bool));
        ret_sorted->awaited = calloc(found->n_units, sizeof(Unit));
        if (!ret_sorted->changed || !ret_sorted->is_global || !ret_sorted->awaited)
                return -ENOMEM;

        for (size_t i = 0; i < found->n_units; i++) {
                r = found_is_global(&found->units[i], &is_global);
                if (r < 0)
                        return r;
                sort_one(&found->units[i], is_global, found->is_match[i], how, ret_sorted);
        }
        return 0;
}

/* "[a.service b.service]", as Go prints a list (contract section 3, stop). */
static int format_names(const Unit *units, size_t n_units, Buf *out) {
        int r = buf_append_string(out, "[");

        for (size_t i = 0; r == 0 && i < n_units; i++)
                r = buf_printf(out, "%s%s", i > 0 ? " " : "", units[i].name);
        return r == 0 ? buf_append_string(out, "]") : r;
}

static int conclude(const Sorted *sorted, const TakeDown *how, int r, const Diag *diag) {
        _cleanup_(buf_done) Buf names = buf_make(NAMES_MAX_BYTES);

        if (format_names(sorted->awaited, sorted->n_awaited, &names) < 0)
                return cli_fail("Out of memory");

        if (r != 0)
                return cli_fail("Failed to %s units %s. err: %s", how->verb, names.data,
                                diag->message[0] ? diag->message : "out of memory");
        if (sorted->n_refused > 0 && sorted->n_awaited == 0)
                return EXIT_FAILED;

        (void)fprintf(stderr, "Successfully %s units %s.\n", how->done, names.data);
        return sorted->n_refused > 0 ? EXIT_FAILED : EXIT_OK;
}

/* As many at a time as one request holds: who stops ten thousand units wants each of them stopped,
 * whatever becomes of the others. */
static int send_all(Client *client, const Sorted *sorted, Diag *diag) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < sorted->n_changed; i += REQUEST_MAX_UNITS) {
                size_t n_left = sorted->n_changed - i;

                r = client_set_units(client, sorted->changed + i,
                                     n_left < REQUEST_MAX_UNITS ? n_left : REQUEST_MAX_UNITS, diag);
        }
        return r;
}

static int take_down_found(const Cli *cli, const Found *found, const TakeDown *how) {
        _cleanup_(sorted_done) Sorted sorted = { 0 };
        const WaitSpec spec = {
                .state = how->target,
                .done = how->done,
                .unplaced_is_done = how->unplaced_is_done,
                .block_attempts = { cli->options.block_attempts.value, true },
        };
        Diag diag = { 0 };
        int r;

        r = sort_out(found, how, &sorted);
        if (r == 0)
                r = send_all(cli->client, &sorted, &diag);
        if (r < 0)
                return conclude(&sorted, how, r, &diag);

        print_triggered(&sorted, how, cli->options.no_block);
        if (cli->options.no_block)
                return sorted.n_refused > 0 ? EXIT_FAILED : EXIT_OK;

        r = wait_for_units(cli->client, &spec, sorted.awaited, sorted.n_awaited, &diag);
        return conclude(&sorted, how, r, &diag);
}

int take_down(Cli *cli, const TakeDown *how) {
        _cleanup_(found_done) Found found = { 0 };

        if (found_look_up(cli, &found) < 0)
                return EXIT_FAILED;
        return found.n_units > 0 ? take_down_found(cli, &found, how) : found_fail_empty();
}
