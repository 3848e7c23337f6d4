/* SPDX-License-Identifier: Apache-2.0 */

/* One request waits for all units; the server answers a line per outcome. Every line is printed at
 * once, and the unit crossed off.
 *
 * A unit that no machine takes is told of as soon as the engine has looked, and the wait goes on: a
 * machine may join, a conflicting unit may leave. But who did not ask for a long wait gets an
 * answer: once every unit still open is one that no machine takes, they have WAIT_UNPLACED_MS left.
 * A unit that has meanwhile got a machine is found by asking once at that moment, and waited for
 * after all.
 */

#include "fleetctl/wait.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fleetctl/label.h"
#include "fleetctl/progress.h"
#include "lib/base/env.h"
#include "lib/base/hash-map.h"

enum {
        LABEL_MAX_BYTES = 512,
        WAIT_OVER = 1, /* our positive answer to the client: stop waiting */
};

/* One unit that is waited for. */
typedef struct Awaited {
        HashNode node;    /* in Wait.awaited */
        bool is_done;     /* its final outcome has come */
        bool is_unplaced; /* the last word is that no machine takes it */
} Awaited;

/* Where units are to get. */
typedef struct Goal {
        const char *word;           /* WaitSpec.state */
        const char *state;          /* that a unit reports once it is there */
        const char *before, *after; /* around its name, when that is told */
        bool has_place;             /* it is there on a machine */
} Goal;

static const Goal goals[] = {
        { "launched", "launched", "Unit ", " launched", true },
        { "loaded", "loaded", "Unit ", " loaded", true },
        { "inactive", "inactive", "Unit ", " inactive", false },
        { "gone", "inactive", "Destroyed ", "", false },
};

typedef struct Wait {
        ClientWaiter waiter;
        Client *client;       /* borrowed */
        const WaitSpec *spec; /* borrowed */
        const Goal *goal;     /* borrowed; of spec->state */
        Awaited *all;         /* owned array */
        HashMap awaited;
        size_t n_units;
        size_t n_done;
        size_t n_failed;           /* of the done ones */
        size_t n_unplaced;         /* of the open ones */
        uint64_t only_unplaced_us; /* since when all open ones are unplaced; 0 = they are not */
        Progress progress;
} Wait;

static const Flag wait_rows[] = {
        NO_BLOCK_FLAG(NO_BLOCK_HELP),
        BLOCK_ATTEMPTS_FLAG("Wait at most N times 2 seconds; 0 waits for ever"),
};

const FlagTable wait_flags = { wait_rows, ELEMENTSOF(wait_rows) };

/* --- printing --- */

/* " on 0c1f1a2b.../10.77.0.11", or nothing. `buf` keeps the text. */
static const char *where(const WaitResult *result, Buf *buf) {
        if (!result->machine_id)
                return "";
        if (buf_append_string(buf, " on ") < 0 ||
            label_append(buf, result->machine_id, result->primary_ip, false) < 0)
                return "";
        return buf->data;
}

static void print_reached(const Wait *wait, const WaitResult *result) {
        _cleanup_(buf_done) Buf place = buf_make(LABEL_MAX_BYTES);

        (void)printf("%s%s%s%s\n", wait->goal->before, result->name, wait->goal->after,
                     wait->goal->has_place ? where(result, &place) : "");
        (void)fflush(stdout);
}

static void print_timeout(const Wait *wait, const WaitResult *result) {
        (void)fprintf(
                stderr,
                "Error waiting for units: timed out waiting for unit %s to report state %s%s%s\n",
                result->name, wait->goal->state, result->why ? ": " : "",
                result->why ? result->why : "");
}

static void print_failed(const WaitResult *result) {
        _cleanup_(buf_done) Buf place = buf_make(LABEL_MAX_BYTES);

        (void)fprintf(stderr, "Unit %s failed%s: %s\n", result->name, where(result, &place),
                      result->why ? result->why : "its machine gave no reason");
}

static void print_unplaced(const WaitResult *result) {
        _cleanup_(buf_done) Buf place = buf_make(LABEL_MAX_BYTES);

        (void)fprintf(stderr, "Unit %s%s: %s\n", result->name,
                      result->machine_id ? where(result, &place) : " cannot be placed",
                      result->why ? result->why : "no machine fits");
}

static void print_waiting(const WaitResult *result) {
        _cleanup_(buf_done) Buf place = buf_make(LABEL_MAX_BYTES);

        (void)fprintf(stderr, "Unit %s%s %s\n", result->name, where(result, &place),
                      result->why ? result->why : "waits");
}

/* --- outcomes --- */

static void settle(Wait *wait, Awaited *unit, bool is_well) {
        if (unit->is_unplaced)
                wait->n_unplaced--;
        unit->is_unplaced = false;
        unit->is_done = true;
        wait->n_done++;
        wait->n_failed += !is_well;
}

static void on_reached(Wait *wait, Awaited *unit, const WaitResult *result) {
        print_reached(wait, result);
        settle(wait, unit, true);
}

static void on_failed(Wait *wait, Awaited *unit, const WaitResult *result) {
        print_failed(result);
        settle(wait, unit, false);
}

static void on_timeout(Wait *wait, Awaited *unit, const WaitResult *result) {
        print_timeout(wait, result);
        settle(wait, unit, false);
}

static void on_unknown(Wait *wait, Awaited *unit, const WaitResult *result) {
        bool is_well = !wait->goal->has_place; /* who is not there is not to be there */

        if (is_well)
                print_reached(wait, result);
        else
                (void)fprintf(stderr, "Unit %s was destroyed meanwhile\n", result->name);
        settle(wait, unit, is_well);
}

static void on_unplaced(Wait *wait, Awaited *unit, const WaitResult *result) {
        if (wait->spec->unplaced_is_done) {
                (void)printf("Unit %s inactive\n", result->name);
                (void)fflush(stdout);
                settle(wait, unit, true);
                return;
        }

        print_unplaced(result);
        if (!unit->is_unplaced)
                wait->n_unplaced++;
        unit->is_unplaced = true;
}

static void on_waiting(Wait *wait, Awaited *unit, const WaitResult *result) {
        print_waiting(result);
        if (unit->is_unplaced)
                wait->n_unplaced--;
        unit->is_unplaced = false;
}

static int wait_on_result(ClientWaiter *waiter, const WaitResult *result) {
        static const struct {
                const char *outcome;
                void (*handle)(Wait *wait, Awaited *unit, const WaitResult *result);
        } outcomes[] = {
                { "reached", on_reached }, { "failed", on_failed },
                { "timeout", on_timeout }, { "unplaced", on_unplaced },
                { "waiting", on_waiting }, { "unknown-unit", on_unknown },
        };
        Wait *wait = container_of(waiter, Wait, waiter);
        HashNode *node = hash_map_get(&wait->awaited, result->name);
        Awaited *unit = node ? container_of(node, Awaited, node) : NULL;

        if (!unit || unit->is_done)
                return 0;

        /* An outcome of a later version's making is not final for this one. */
        for (size_t i = 0; i < ELEMENTSOF(outcomes); i++) {
                if (!streq(result->outcome, outcomes[i].outcome))
                        continue;
                progress_clear(&wait->progress);
                outcomes[i].handle(wait, unit, result);
        }

        return wait->n_done == wait->n_units ? WAIT_OVER : 0;
}

/* Has any unit that was unplaced got a machine since? Those are taken to be placed again. */
static int find_placed(Wait *wait, bool *ret_found) {
        _cleanup_(strlist_done) StrList names = { 0 };
        _cleanup_(freep) Unit *units = NULL;
        int r = 0;

        units = calloc(wait->n_unplaced, sizeof(*units));
        if (!units)
                return -ENOMEM;
        for (size_t i = 0; r == 0 && i < wait->n_units; i++)
                if (wait->all[i].is_unplaced)
                        r = strlist_add(&names, wait->all[i].node.key);
        if (r == 0)
                r = client_get_units(wait->client, &names, units, NULL);

        *ret_found = false;
        for (size_t i = 0; i < names.n_items; i++) {
                Awaited *unit = container_of(hash_map_get(&wait->awaited, names.items[i]), Awaited,
                                             node);

                /* While we asked, its outcome may have come. One that is kept for a machine which
                 * is lost has a reason, too. */
                if (r == 0 && units[i].machine_id && !units[i].why && unit->is_unplaced) {
                        unit->is_unplaced = false;
                        wait->n_unplaced--;
                        *ret_found = true;
                }
                unit_done(&units[i]);
        }
        return r;
}

static int wait_on_tick(ClientWaiter *waiter) {
        Wait *wait = container_of(waiter, Wait, waiter);
        uint64_t now_us = env_now_us(env_system());
        bool found;
        int r;

        progress_show(&wait->progress, wait->n_done);

        if (wait->spec->block_attempts.is_given || wait->n_unplaced == 0 ||
            wait->n_unplaced < wait->n_units - wait->n_done) {
                wait->only_unplaced_us = 0;
                return 0;
        }

        if (wait->only_unplaced_us == 0)
                wait->only_unplaced_us = now_us;
        if (now_us - wait->only_unplaced_us < WAIT_UNPLACED_MS * (uint64_t)US_PER_MS)
                return 0;

        r = find_placed(wait, &found);
        if (r < 0)
                return r;
        return found ? 0 : WAIT_OVER;
}

static void wait_on_break(ClientWaiter *waiter, const Diag *cause, uint64_t resume_ms) {
        Wait *wait = container_of(waiter, Wait, waiter);

        progress_clear(&wait->progress);
        (void)fprintf(stderr,
                      "The answer of fleet broke off: %s\nThe units go on; waiting at most %g s "
                      "for fleet to answer again\n",
                      cause->message, (double)resume_ms / 1000);
}

/* --- the wait --- */

static int wait_track(Wait *wait, const Unit *units) {
        int r = 0;

        wait->all = calloc(wait->n_units, sizeof(*wait->all));
        if (!wait->all)
                return -ENOMEM;
        for (size_t i = 0; r == 0 && i < wait->n_units; i++)
                r = hash_map_put(&wait->awaited, &wait->all[i].node, units[i].name);
        return r;
}

/* What became of all units. */
typedef struct Tally {
        size_t n_missed;
        size_t n_unplaced;  /* of those */
        const char *missed; /* borrowed; one of them */
} Tally;

static void tally_add(Tally *tally, const Wait *wait, const Unit *units) {
        size_t n_missed = wait->n_failed + wait->n_units - wait->n_done;

        tally->n_missed += n_missed;
        tally->n_unplaced += wait->n_unplaced;
        if (n_missed > 0)
                tally->missed = units[0].name;
}

static int summarise(const Goal *goal, const Tally *tally, size_t n_units, Diag *diag) {
        if (tally->n_missed == 0)
                return 0;

        if (tally->n_unplaced > 0)
                (void)fputs("The request stands: fleet goes on looking for a machine. "
                            "--block-attempts=0 waits for "
                            "that, 'fleetctl unload' takes it back.\n",
                            stderr);
        if (n_units == 1)
                return diag_set(diag, WAIT_E_UNITS, "unit %s did not reach state %s", tally->missed,
                                goal->state);
        return diag_set(diag, WAIT_E_UNITS, "%zu of %zu units did not reach state %s",
                        tally->n_missed, n_units, goal->state);
}

/* Wait for as many as one request holds. */
static int wait_run(Wait *wait, const Unit *units, Diag *diag) {
        const WaitSpec *spec = wait->spec;
        WaitRequest request = {
                .state = (char *)spec->state,
                .timeout_ms = spec->block_attempts.value * WAIT_ATTEMPT_MS,
                .units = (Unit *)units,
                .n_units = wait->n_units,
        };
        int r;

        r = wait_track(wait, units);
        if (r < 0)
                return r;

        r = client_wait_units(wait->client, &request, &wait->waiter, diag);
        progress_clear(&wait->progress);
        return r < 0 ? r : 0;
}

static int wait_for_some(Client *client, const WaitSpec *spec, const Goal *goal, const Unit *units,
                         size_t n_units, Tally *tally, Diag *diag) {
        Wait wait = {
                .waiter = { wait_on_result, wait_on_tick, wait_on_break },
                .client = client,
                .spec = spec,
                .goal = goal,
                .n_units = n_units,
                .progress = progress_begin(spec->done, n_units),
        };
        int r;

        r = wait_run(&wait, units, diag);
        tally_add(tally, &wait, units);
        hash_map_done(&wait.awaited);
        free(wait.all);
        return r;
}

int wait_for_units(Client *client, const WaitSpec *spec, const Unit *units, size_t n_units,
                   Diag *diag) {
        const Goal *goal = goals;
        Tally tally = { 0 };

        assert(client);

        while (!streq(goal->word, spec->state)) {
                goal++;
                assert(goal < goals + ELEMENTSOF(goals));
        }

        for (size_t i = 0; i < n_units; i += WAIT_MAX_UNITS) {
                size_t n = n_units - i < WAIT_MAX_UNITS ? n_units - i : WAIT_MAX_UNITS;
                int r = wait_for_some(client, spec, goal, units + i, n, &tally, diag);

                if (r < 0)
                        return r;
        }
        return summarise(goal, &tally, n_units, diag);
}
