/* SPDX-License-Identifier: Apache-2.0 */

/* What every host promises (lib/host/host.h), checked on the fake and on host-systemd over a fake
 * systemd. */

#include <errno.h>

#include "tests/unit/fault.h"
#include "tests/unit/host/harness.h"

static const HarnessKind kinds[] = { HARNESS_FAKE, HARNESS_SYSTEMD };

static const char plain[] = "[Service]\nExecStart=/bin/sleep 1\n";
static const char other[] = "[Service]\nExecStart=/bin/sleep 2\n";
static const char failing[] = "[Service]\nExecStart=/bin/false\n\n[X-Fake]\nFail=yes\n";
static const char oneshot[] = "[Service]\nType=oneshot\n\n[X-Fake]\nOneshot=yes\n";
static const char hanging[] = "[Service]\nExecStart=/bin/true\n\n[X-Fake]\nHang=yes\n";
static const char bad[] = "[Service]\n\n[X-Fake]\nBad=yes\n";

static void assert_hash(const HostUnit *unit, const char *text) {
        char hash[UNIT_HASH_BYTES];

        unit_text_hash(text, strlen(text), hash);
        ck_assert_str_eq(unit->hash, hash);
}

static void assert_unit(const Harness *harness, const char *name, const char *load,
                        const char *active) {
        const HostUnit *unit = host_find(harness->host, name);

        ck_assert_ptr_nonnull(unit);
        ck_assert_str_eq(unit->name, name);
        ck_assert_str_eq(unit->load, load);
        ck_assert_str_eq(unit->active, active);
}

/* Starting a host tells nothing at once; then it is ready, and knows nothing on a new machine. */
static void becomes_ready(HarnessKind kind) {
        Harness *harness = harness_new(kind);

        harness_start(harness);
        ck_assert(!host_is_ready(harness->host));
        ck_assert_uint_eq(harness->n_ready, 0);
        harness_until_ready(harness);
        ck_assert_uint_eq(harness->n_ready, 1);
        ck_assert_uint_eq(host_units(harness->host)->n_nodes, 0);
        ck_assert_uint_eq(harness->n_told, 0);
        harness_close(harness);
}

/* A unit's life: loaded, started, stopped, gone; each state is told. */
static void unit_lives(HarnessKind kind) {
        Harness *harness = harness_open(kind);

        ck_assert_int_eq(do_load(harness, "a.service", plain), 0);
        assert_unit(harness, "a.service", "loaded", "inactive");
        assert_hash(host_find(harness->host, "a.service"), plain);
        ck_assert_uint_ge(harness->n_told, 1);

        ck_assert_int_eq(do_start(harness, "a.service"), 0);
        assert_unit(harness, "a.service", "loaded", "active");
        ck_assert_str_eq(host_find(harness->host, "a.service")->sub, "running");
        ck_assert_int_eq(do_start(harness, "a.service"), 0);

        ck_assert_int_eq(do_stop(harness, "a.service"), 0);
        assert_unit(harness, "a.service", "loaded", "inactive");
        ck_assert_int_eq(do_stop(harness, "a.service"), 0);

        ck_assert_int_eq(do_unload(harness, "a.service"), 0);
        ck_assert_ptr_null(host_find(harness->host, "a.service"));
        ck_assert_uint_eq(harness->n_vanished, 1);
        harness_close(harness);
}

/* A unit that the host does not know cannot be started; stopping and unloading it finds the work
 * done. */
static void unknown_units(HarnessKind kind) {
        Harness *harness = harness_open(kind);

        ck_assert_int_eq(do_start(harness, "a.service"), HOST_E_NO_UNIT);
        ck_assert_int_eq(do_stop(harness, "a.service"), 0);
        ck_assert_int_eq(do_unload(harness, "a.service"), 0);
        ck_assert_uint_eq(harness->n_told, 0);
        harness_close(harness);
}

/* A start ends as its job does; a failed unit can be started anew, and unloaded; a finished oneshot
 * is a success. */
static void jobs_end(HarnessKind kind) {
        Harness *harness = harness_open(kind);

        ck_assert_int_eq(do_load(harness, "f.service", failing), 0);
        ck_assert_int_eq(do_start(harness, "f.service"), HOST_E_JOB);
        assert_unit(harness, "f.service", "loaded", "failed");
        ck_assert_int_eq(do_start(harness, "f.service"), HOST_E_JOB);
        ck_assert_int_eq(do_load(harness, "f.service", plain), 0);
        ck_assert_int_eq(do_start(harness, "f.service"), 0);
        assert_unit(harness, "f.service", "loaded", "active");

        ck_assert_int_eq(do_load(harness, "o.service", oneshot), 0);
        ck_assert_int_eq(do_start(harness, "o.service"), 0);
        assert_unit(harness, "o.service", "loaded", "inactive");
        harness_close(harness);
}

static unsigned count_starts(const Harness *harness, const char *name) {
        return harness->kind == HARNESS_FAKE ? fake_machine_unit_starts(harness->machine, name)
                                             : fake_systemd_unit_starts(harness->systemd, name);
}

/* A restart stops what runs and starts it again, and ends when that has ended; what does not run is
 * started. */
static void restarts(HarnessKind kind) {
        Harness *harness = harness_open(kind);

        ck_assert_int_eq(do_restart(harness, "a.service"), HOST_E_NO_UNIT);
        ck_assert_int_eq(do_load(harness, "a.service", plain), 0);
        ck_assert_int_eq(do_start(harness, "a.service"), 0);
        ck_assert_int_eq(do_start(harness, "a.service"), 0);
        ck_assert_uint_eq(count_starts(harness, "a.service"), 1);
        ck_assert_int_eq(do_restart(harness, "a.service"), 0);
        ck_assert_uint_eq(count_starts(harness, "a.service"), 2);
        assert_unit(harness, "a.service", "loaded", "active");

        ck_assert_int_eq(do_stop(harness, "a.service"), 0);
        ck_assert_int_eq(do_restart(harness, "a.service"), 0);
        ck_assert_uint_eq(count_starts(harness, "a.service"), 3);
        assert_unit(harness, "a.service", "loaded", "active");

        ck_assert_int_eq(do_load(harness, "a.service", failing), 0);
        ck_assert_int_eq(do_restart(harness, "a.service"), HOST_E_JOB);
        assert_unit(harness, "a.service", "loaded", "failed");
        harness_close(harness);
}

/* A start that hangs gives way to a restart. */
static void restart_ends_a_hanging_start(HarnessKind kind) {
        Harness *harness = harness_open(kind);
        Ask start = { 0 }, restart = { 0 };

        ck_assert_int_eq(do_load(harness, "h.service", hanging), 0);
        ask_start(harness, &start, "h.service");
        harness_until_active(harness, "h.service", "activating");
        host_cancel(&start.request);
        ck_assert_int_eq(harness_wait(harness, &start), -ECANCELED);
        ck_assert_int_eq(do_load(harness, "h.service", plain), 0);
        ask_restart(harness, &restart, "h.service");
        ck_assert_int_eq(harness_wait(harness, &restart), 0);
        assert_unit(harness, "h.service", "loaded", "active");
        harness_close(harness);
}

/* One bad file among many: it alone fails, says why, and stays visible. */
static void bad_file_harms_no_other(HarnessKind kind) {
        Harness *harness = harness_open(kind);
        Ask asks[3] = { 0 };

        ask_load(harness, &asks[0], "a.service", plain);
        ask_load(harness, &asks[1], "b.service", bad);
        ask_load(harness, &asks[2], "c.service", plain);
        ck_assert_int_eq(harness_wait(harness, &asks[0]), 0);
        ck_assert_int_eq(harness_wait(harness, &asks[1]), HOST_E_LOAD);
        ck_assert_int_eq(harness_wait(harness, &asks[2]), 0);
        ck_assert_ptr_nonnull(strstr(asks[1].why, "bad-setting"));
        assert_unit(harness, "b.service", "bad-setting", "inactive");
        ck_assert_int_eq(do_start(harness, "b.service"), HOST_E_LOAD);
        ck_assert_int_eq(do_unload(harness, "b.service"), 0);
        harness_close(harness);
}

/* Requests about one unit are carried out in the order in which they were made. */
static void requests_keep_order(HarnessKind kind) {
        Harness *harness = harness_open(kind);
        Ask asks[5] = { 0 };

        ask_load(harness, &asks[0], "a.service", plain);
        ask_start(harness, &asks[1], "a.service");
        ask_stop(harness, &asks[2], "a.service");
        ask_unload(harness, &asks[3], "a.service");
        ask_start(harness, &asks[4], "a.service");
        ck_assert_int_eq(harness_wait(harness, &asks[4]), HOST_E_NO_UNIT);
        for (size_t i = 0; i < 4; i++) {
                ck_assert_uint_eq(asks[i].n_done, 1);
                ck_assert_int_eq(asks[i].status, 0);
        }
        harness_close(harness);
}

/* Giving up ends a request from the loop, once, and the next one of the unit goes ahead; doing it
 * twice, or to an idle one, does nothing. */
static void requests_can_be_cancelled(HarnessKind kind) {
        Harness *harness = harness_open(kind);
        Ask start = { 0 }, queued = { 0 }, stop = { 0 };

        ck_assert_int_eq(do_load(harness, "h.service", hanging), 0);
        ask_start(harness, &start, "h.service");
        ask_start(harness, &queued, "h.service");
        harness_until_active(harness, "h.service", "activating");
        ask_stop(harness, &stop, "h.service");

        host_cancel(&queued.request);
        host_cancel(&start.request);
        host_cancel(&start.request);
        ck_assert_uint_eq(start.n_done + queued.n_done, 0);
        ck_assert_int_eq(harness_wait(harness, &start), -ECANCELED);
        ck_assert_int_eq(harness_wait(harness, &queued), -ECANCELED);
        host_cancel(&start.request);
        ck_assert_int_eq(harness_wait(harness, &stop), 0);
        assert_unit(harness, "h.service", "loaded", "inactive");
        ck_assert_uint_eq(start.n_done, 1);
        harness_close(harness);
}

/* Closing ends every request, tells nothing more, takes no new ones, and touches no unit; the next
 * daemon adopts what runs. */
static void close_and_adopt(HarnessKind kind) {
        Harness *harness = harness_open(kind);
        Ask start = { 0 }, load = { 0 };
        unsigned n_told;

        ck_assert_int_eq(do_load(harness, "a.service", plain), 0);
        ck_assert_int_eq(do_start(harness, "a.service"), 0);
        ck_assert_int_eq(do_load(harness, "h.service", hanging), 0);
        ask_start(harness, &start, "h.service");
        harness_until_active(harness, "h.service", "activating");
        ask_load(harness, &load, "n.service", plain);
        n_told = harness->n_told;
        harness_stop(harness);
        ck_assert_int_eq(start.status, -ECANCELED);
        ck_assert_int_eq(load.status, -ECANCELED);
        ck_assert_uint_eq(start.n_done + load.n_done, 2);
        ck_assert_uint_eq(harness->n_told, n_told);

        harness->n_told = 0;
        harness_start(harness);
        harness_until_ready(harness);
        ck_assert_uint_eq(host_units(harness->host)->n_nodes, 2);
        ck_assert_uint_eq(harness->n_told, 2);
        assert_unit(harness, "a.service", "loaded", "active");
        assert_unit(harness, "h.service", "loaded", "activating");
        assert_hash(host_find(harness->host, "a.service"), plain);
        if (kind == HARNESS_FAKE) {
                ck_assert_int_eq(do_start(harness, "a.service"), 0);
                ck_assert_uint_eq(fake_machine_unit_starts(harness->machine, "a.service"), 1);
        }
        harness_close(harness);
}

static bool is_lost(void *userdata) {
        const Harness *harness = userdata;

        return harness->n_lost > 0;
}

/* A lost service manager ends what is in flight with -ENOTCONN, and new requests, too; once it is
 * back the states are true again, and only what changed meanwhile is told. */
static void loss_is_survived(HarnessKind kind) {
        Harness *harness = harness_open(kind);
        Ask start = { 0 };
        unsigned n_told;

        ck_assert_int_eq(do_load(harness, "a.service", plain), 0);
        ck_assert_int_eq(do_start(harness, "a.service"), 0);
        ck_assert_int_eq(do_load(harness, "b.service", plain), 0);
        ck_assert_int_eq(do_start(harness, "b.service"), 0);
        ck_assert_int_eq(do_load(harness, "h.service", hanging), 0);
        ask_start(harness, &start, "h.service");
        harness_until_active(harness, "h.service", "activating");
        ck_assert_int_eq(do_stop(harness, "unknown.service"), 0); /* by then it is told, too */

        harness_set_connected(harness, false);
        ck_assert_int_eq(harness_wait(harness, &start), -ENOTCONN);
        harness_until(harness, is_lost, harness);
        ck_assert(!host_is_ready(harness->host));
        assert_unit(harness, "a.service", "loaded", "active");
        ck_assert_int_eq(do_start(harness, "a.service"), -ENOTCONN);
        ck_assert_int_eq(do_load(harness, "n.service", plain), -ENOTCONN);

        if (kind == HARNESS_FAKE)
                fake_machine_unit_exit(harness->machine, "a.service", false);
        else
                fake_systemd_unit_dies(harness->systemd, "a.service");
        n_told = harness->n_told;
        harness_set_connected(harness, true);
        harness_until_ready(harness);
        ck_assert_uint_eq(harness->n_ready, 2);
        ck_assert_uint_eq(harness->n_lost, 1);
        ck_assert_uint_eq(harness->n_told, n_told + 1);
        assert_unit(harness, "a.service", "loaded", "failed");
        assert_unit(harness, "b.service", "loaded", "active");
        ck_assert_int_eq(do_start(harness, "a.service"), 0);
        harness_close(harness);
}

/* A changed file of a running unit is told, and leaves the unit running. */
static void change_does_not_restart(HarnessKind kind) {
        Harness *harness = harness_open(kind);

        ck_assert_int_eq(do_load(harness, "a.service", plain), 0);
        ck_assert_int_eq(do_start(harness, "a.service"), 0);
        ck_assert_int_eq(do_load(harness, "a.service", other), 0);
        assert_unit(harness, "a.service", "loaded", "active");
        assert_hash(host_find(harness->host, "a.service"), other);
        harness_close(harness);
}

/* A unit whose process dies is told without being asked for. */
static void death_is_told(HarnessKind kind) {
        Harness *harness = harness_open(kind);

        ck_assert_int_eq(do_load(harness, "a.service", plain), 0);
        ck_assert_int_eq(do_start(harness, "a.service"), 0);
        if (kind == HARNESS_FAKE)
                fake_machine_unit_exit(harness->machine, "a.service", false);
        else
                fake_systemd_unit_dies(harness->systemd, "a.service");
        harness_until_active(harness, "a.service", "failed");
        harness_close(harness);
}

typedef struct EndTold {
        HostEnd end;
        unsigned n_told;
} EndTold;

static void on_end(HostEnd end, void *userdata) {
        EndTold *told = userdata;

        told->end = end;
        told->n_told++;
}

static bool is_end_told(void *userdata) {
        return ((EndTold *)userdata)->n_told > 0;
}

static HostEnd ask_end(Harness *harness) {
        EndTold told = { 0 };

        host_ask_end(harness->host, on_end, &told);
        ck_assert_uint_eq(told.n_told, 0);
        harness_until(harness, is_end_told, &told);
        ck_assert_uint_eq(told.n_told, 1);
        return told.end;
}

/* A stop of our own service is told from a restart of it; where the service manager does not say
 * so, or is not there, it is neither. One who asks and closes hears nothing. */
static void end_is_told(HarnessKind kind) {
        static const struct {
                const char *job;
                HostEnd end;
        } rows[] = {
                { "stop", HOST_END_STOP },
                { "restart", HOST_END_RESTART },
                { "try-restart", HOST_END_RESTART },
                { "start", HOST_END_UNKNOWN },
                { "", HOST_END_UNKNOWN },
                { NULL, HOST_END_UNKNOWN },
        };
        Harness *harness = harness_open(kind);
        EndTold told = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                if (kind == HARNESS_FAKE)
                        fake_machine_set_end(harness->machine, rows[i].end);
                else
                        fake_systemd_set_own_job(harness->systemd, rows[i].job);
                ck_assert_int_eq(ask_end(harness), rows[i].end);
        }

        harness_set_connected(harness, false);
        ck_assert_int_eq(ask_end(harness), HOST_END_UNKNOWN);
        harness_set_connected(harness, true);
        harness_until_ready(harness);
        host_ask_end(harness->host, on_end, &told);
        harness_close(harness);
        ck_assert_uint_eq(told.n_told, 0);
}

static void on_both(void (*claim)(HarnessKind kind)) {
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
                claim(kinds[i]);
}

START_TEST(test_becomes_ready) {
        on_both(becomes_ready);
}
END_TEST

START_TEST(test_unit_lives) {
        on_both(unit_lives);
}
END_TEST

START_TEST(test_unknown_units) {
        on_both(unknown_units);
}
END_TEST

START_TEST(test_jobs_end) {
        on_both(jobs_end);
}
END_TEST

START_TEST(test_restarts) {
        on_both(restarts);
}
END_TEST

START_TEST(test_restart_ends_a_hanging_start) {
        on_both(restart_ends_a_hanging_start);
}
END_TEST

START_TEST(test_bad_file_harms_no_other) {
        on_both(bad_file_harms_no_other);
}
END_TEST

START_TEST(test_requests_keep_order) {
        on_both(requests_keep_order);
}
END_TEST

START_TEST(test_requests_can_be_cancelled) {
        on_both(requests_can_be_cancelled);
}
END_TEST

START_TEST(test_close_and_adopt) {
        on_both(close_and_adopt);
}
END_TEST

START_TEST(test_loss_is_survived) {
        on_both(loss_is_survived);
}
END_TEST

START_TEST(test_change_does_not_restart) {
        on_both(change_does_not_restart);
}
END_TEST

START_TEST(test_death_is_told) {
        on_both(death_is_told);
}
END_TEST

START_TEST(test_end_is_told) {
        on_both(end_is_told);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_becomes_ready,
                test_unit_lives,
                test_unknown_units,
                test_jobs_end,
                test_restarts,
                test_restart_ends_a_hanging_start,
                test_bad_file_harms_no_other,
                test_requests_keep_order,
                test_requests_can_be_cancelled,
                test_close_and_adopt,
                test_loss_is_survived,
                test_change_does_not_restart,
                test_death_is_told,
                test_end_is_told,
        };

        return tests_run("host contract", tests, ELEMENTSOF(tests));
}
