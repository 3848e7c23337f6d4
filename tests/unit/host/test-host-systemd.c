/* SPDX-License-Identifier: Apache-2.0 */

/* The host over systemd, against a fake one in the same loop: what it calls, how often, in which
 * order, and what it makes of the answers. */

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/host/host-systemd.h"
#include "tests/unit/fault.h"
#include "tests/unit/host/harness.h"

static const char plain[] = "[Service]\nExecStart=/bin/sleep 1\n";
static const char other[] = "[Service]\nExecStart=/bin/sleep 2\n";
static const char third[] = "[Service]\nExecStart=/bin/sleep 3\n";
static const char installed[] =
        "[Service]\nExecStart=/bin/sleep 1\n\n[Install]\nWantedBy=multi-user.target\n";
static const char exclusive[] = "[Service]\nExecStart=/bin/sleep 1\n\n[X-Fleet]\nExclusive=true\n";
static const char failing[] = "[Service]\nExecStart=/bin/false\n\n[X-Fake]\nFail=yes\n";
static const char refuse_link[] = "[Service]\nExecStart=/bin/true\n\n[X-Fake]\nRefuseLink=yes\n";
static const char refuse_enable[] =
        "[Service]\n\n[Install]\nAlias=x.socket\n\n[X-Fake]\nRefuseEnable=yes\n";

/* How many calls of a kind are waited for. */
typedef struct Calls {
        const FakeSystemd *systemd;
        const char *start;
        unsigned n;
} Calls;

static bool has_calls(void *userdata) {
        const Calls *calls = userdata;

        return fake_systemd_count(calls->systemd, calls->start) >= calls->n;
}

static void until_called(Harness *harness, const char *start, unsigned n) {
        Calls calls = { harness->systemd, start, n };

        harness_until(harness, has_calls, &calls);
}

/* Signals are subscribed to before anything else is called: no end of a job can be missed. */
START_TEST(test_subscribes_first) {
        Harness *harness = harness_open(HARNESS_SYSTEMD_PAIR);

        ck_assert_int_eq(do_load(harness, "a.service", plain), 0);
        ck_assert_int_eq(do_start(harness, "a.service"), 0);
        ck_assert_str_eq(fake_systemd_calls(harness->systemd), "Subscribe\n"
                                                               "GetUnit a.service\n"
                                                               "LinkUnitFiles a.service\n"
                                                               "ListUnitsByNames a.service\n"
                                                               "StartUnit a.service replace\n");
        harness_close(harness);
}
END_TEST

/* A job that ends before its number is known is not missed. */
START_TEST(test_job_ends_before_reply) {
        Harness *harness = harness_open(HARNESS_SYSTEMD_PAIR);

        fake_systemd_set_jobs_first(harness->systemd, true);
        ck_assert_int_eq(do_load(harness, "a.service", plain), 0);
        ck_assert_int_eq(do_start(harness, "a.service"), 0);
        ck_assert_int_eq(do_stop(harness, "a.service"), 0);
        ck_assert_int_eq(do_load(harness, "f.service", failing), 0);
        ck_assert_int_eq(do_start(harness, "f.service"), HOST_E_JOB);
        harness_close(harness);
}
END_TEST

/* Loads of one turn share one call of each kind, and none of them costs a reload. */
START_TEST(test_loads_are_gathered) {
        enum { N = 300 }; /* more than are probed at a time */
        Harness *harness = harness_open(HARNESS_SYSTEMD_PAIR);
        Ask asks[N] = { 0 };

        for (unsigned i = 0; i < N; i++) {
                char name[32];

                (void)snprintf(name, sizeof(name), "u%03u.service", i);
                ask_load(harness, &asks[i], name, i % 2 ? plain : installed);
        }
        for (unsigned i = 0; i < N; i++)
                ck_assert_int_eq(harness_wait(harness, &asks[i]), 0);

        ck_assert_uint_eq(fake_systemd_count(harness->systemd, "LinkUnitFiles"), 1);
        ck_assert_uint_eq(fake_systemd_count(harness->systemd, "EnableUnitFiles"), 1);
        ck_assert_uint_eq(fake_systemd_count(harness->systemd, "GetUnit"), N);
        ck_assert_uint_eq(fake_systemd_count(harness->systemd, "Reload"), 0);
        ck_assert_uint_le(fake_systemd_count(harness->systemd, "ListUnitsByNames"), 2);
        ck_assert(fake_systemd_is_enabled(harness->systemd, "u000.service"));
        ck_assert(!fake_systemd_is_enabled(harness->systemd, "u001.service"));
        harness_close(harness);
}
END_TEST

/* A file that systemd refuses to link or to enable is taken away again and fails alone; those that
 * shared its call are fine. */
START_TEST(test_refused_unit_fails_alone) {
        const char *const texts[] = { plain, refuse_link, installed, refuse_enable, installed };
        const char *const names[] = { "a.service", "b.service", "c.service", "d.service",
                                      "e.service" };
        Harness *harness = harness_open(HARNESS_SYSTEMD_PAIR);
        Ask asks[ELEMENTSOF(texts)] = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                ask_load(harness, &asks[i], names[i], texts[i]);
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                bool is_refused = texts[i] == refuse_link || texts[i] == refuse_enable;

                ck_assert_int_eq(harness_wait(harness, &asks[i]), is_refused ? HOST_E_LOAD : 0);
                ck_assert_int_eq(harness_has_file(harness, names[i]), !is_refused);
                ck_assert_int_eq(!!host_find(harness->host, names[i]), !is_refused);
        }
        ck_assert_ptr_nonnull(strstr(asks[1].why, "a file cannot be linked"));
        ck_assert_ptr_nonnull(strstr(asks[3].why, "a unit cannot be enabled"));
        harness_close(harness);
}
END_TEST

/* What systemd says at length is cut, between two characters. */
START_TEST(test_long_reason) {
        enum { N = 5000 };
        Harness *harness = harness_open(HARNESS_SYSTEMD_PAIR);
        char *words = calloc(N + 1, 2);
        Ask ask = { 0 };

        for (size_t i = 0; i < N; i++)
                memcpy(words + 2 * i, "\xc3\xa4", 2);
        for (size_t i = 0; i < 2; i++) {
                size_t n_bytes;

                fake_systemd_set_refusal(harness->systemd, words + 2 * i);
                words[2 * i + 1] = 'x';
                words[2 * i] = 'x';
                ask_load(harness, &ask, "a.service", refuse_link);
                ck_assert_int_eq(harness_wait(harness, &ask), HOST_E_LOAD);
                n_bytes = strlen(ask.why);
                ck_assert_uint_le(n_bytes, HOST_WHY_MAX_BYTES);
                ck_assert_uint_ge(n_bytes, HOST_WHY_MAX_BYTES - 3);
                ck_assert_str_eq(ask.why + n_bytes - 5, "\xc3\xa4...");
                ask = (Ask){ 0 };
        }
        free(words);
        harness_close(harness);
}
END_TEST

/* A changed file that systemd refuses leaves the old one in place, with its hash. */
START_TEST(test_refused_change_is_undone) {
        Harness *harness = harness_open(HARNESS_SYSTEMD_PAIR);
        char hash[UNIT_HASH_BYTES];

        ck_assert_int_eq(do_load(harness, "a.service", plain), 0);
        ck_assert_int_eq(do_load(harness, "a.service", refuse_enable), HOST_E_LOAD);
        unit_text_hash(plain, strlen(plain), hash);
        ck_assert_str_eq(host_find(harness->host, "a.service")->hash, hash);
        ck_assert(harness_has_file(harness, "a.service"));
        harness_close(harness);
}
END_TEST

/* Changed files of loaded units share one reload; one that comes while it is under way waits for
 * the next, which it gets. */
START_TEST(test_reload_is_shared) {
        Harness *harness = harness_open(HARNESS_SYSTEMD_PAIR);
        Ask asks[3] = { 0 };
        const char *const names[] = { "a.service", "b.service", "c.service" };

        for (size_t i = 0; i < 3; i++) {
                ck_assert_int_eq(do_load(harness, names[i], plain), 0);
                ck_assert_int_eq(do_start(harness, names[i]), 0);
        }
        fake_systemd_hold(harness->systemd, "Reload");
        ask_load(harness, &asks[0], names[0], other);
        ask_load(harness, &asks[1], names[1], other);
        until_called(harness, "Reload", 1);
        ask_load(harness, &asks[2], names[2], other);
        until_called(harness, "LinkUnitFiles c.service", 2);
        ck_assert_uint_eq(fake_systemd_count(harness->systemd, "Reload"), 1);
        ck_assert_uint_eq(asks[0].n_done + asks[1].n_done + asks[2].n_done, 0);
        ck_assert(harness_has_file(harness, ".reload"));

        fake_systemd_hold(harness->systemd, NULL);
        fake_systemd_release(harness->systemd);
        for (size_t i = 0; i < 3; i++) {
                ck_assert_int_eq(harness_wait(harness, &asks[i]), 0);
                ck_assert_str_eq(fake_systemd_loaded_text(harness->systemd, names[i]), other);
        }
        ck_assert_uint_eq(fake_systemd_count(harness->systemd, "Reload"), 2);
        ck_assert(!harness_has_file(harness, ".reload"));
        harness_close(harness);
}
END_TEST

/* A unit that systemd keeps in memory after its unload, because another refers to it, starts the
 * new content when the name is loaded again. */
START_TEST(test_kept_unit_gets_new_content) {
        Harness *harness = harness_open(HARNESS_SYSTEMD_PAIR);

        ck_assert_int_eq(do_load(harness, "a.service", plain), 0);
        fake_systemd_pin(harness->systemd, "a.service");
        ck_assert_int_eq(do_unload(harness, "a.service"), 0);
        ck_assert_str_eq(fake_systemd_loaded_text(harness->systemd, "a.service"), plain);
        ck_assert_int_eq(do_load(harness, "a.service", other), 0);
        ck_assert_int_eq(do_start(harness, "a.service"), 0);
        ck_assert_str_eq(fake_systemd_loaded_text(harness->systemd, "a.service"), other);
        ck_assert_uint_eq(fake_systemd_count(harness->systemd, "Reload"), 1);
        harness_close(harness);
}
END_TEST

/* A unit that is only mentioned by another, so that systemd knows it as not found, costs no reload;
 * nor does one that systemd has forgotten. */
START_TEST(test_no_reload_without_need) {
        Harness *harness = harness_open(HARNESS_SYSTEMD_PAIR);

        fake_systemd_pin(harness->systemd, "a.service");
        ck_assert_int_eq(do_load(harness, "a.service", plain), 0);
        ck_assert_int_eq(do_start(harness, "a.service"), 0);
        ck_assert_str_eq(fake_systemd_loaded_text(harness->systemd, "a.service"), plain);

        ck_assert_int_eq(do_load(harness, "b.service", plain), 0);
        ck_assert_int_eq(do_load(harness, "b.service", other), 0);
        ck_assert_int_eq(do_start(harness, "b.service"), 0);
        ck_assert_str_eq(fake_systemd_loaded_text(harness->systemd, "b.service"), other);
        ck_assert_uint_eq(fake_systemd_count(harness->systemd, "Reload"), 0);
        harness_close(harness);
}
END_TEST

/* A load that was given up between the file and the reload does not make the file pass for what
 * systemd has: loading it again reloads. */
START_TEST(test_cancelled_load_is_not_forgotten) {
        Harness *harness = harness_open(HARNESS_SYSTEMD_PAIR);
        Ask ask = { 0 };

        ck_assert_int_eq(do_load(harness, "a.service", plain), 0);
        ck_assert_int_eq(do_start(harness, "a.service"), 0);
        fake_systemd_hold(harness->systemd, "LinkUnitFiles");
        ask_load(harness, &ask, "a.service", other);
        until_called(harness, "LinkUnitFiles a.service", 2);
        host_cancel(&ask.request);
        ck_assert_int_eq(harness_wait(harness, &ask), -ECANCELED);
        fake_systemd_hold(harness->systemd, NULL);
        fake_systemd_release(harness->systemd);
        ck_assert_str_eq(fake_systemd_loaded_text(harness->systemd, "a.service"), plain);

        ck_assert_int_eq(do_load(harness, "a.service", other), 0);
        ck_assert_str_eq(fake_systemd_loaded_text(harness->systemd, "a.service"), other);
        ck_assert(!harness_has_file(harness, ".reload"));
        harness_close(harness);
}
END_TEST

/* A daemon that dies between the file and the reload leaves a mark, by which the next one makes up
 * for the reload before it looks. */
START_TEST(test_crash_before_reload) {
        Harness *harness = harness_open(HARNESS_SYSTEMD);
        Ask ask = { 0 };

        ck_assert_int_eq(do_load(harness, "a.service", plain), 0);
        ck_assert_int_eq(do_start(harness, "a.service"), 0);
        fake_systemd_hold(harness->systemd, "Reload");
        ask_load(harness, &ask, "a.service", other);
        until_called(harness, "Reload", 1);
        harness_stop(harness);
        ck_assert(harness_has_file(harness, ".reload"));

        fake_systemd_hold(harness->systemd, NULL);
        fake_systemd_forget_calls(harness->systemd);
        harness_start(harness);
        harness_until_ready(harness);
        ck_assert_str_eq(fake_systemd_loaded_text(harness->systemd, "a.service"), other);
        ck_assert_str_eq(fake_systemd_calls(harness->systemd),
                         "Subscribe\nReload\nListUnitsByNames a.service\n");
        ck_assert(!harness_has_file(harness, ".reload"));
        harness_close(harness);
}
END_TEST

static void write_file(const Harness *harness, const char *name, const char *text) {
        char path[160];
        FILE *file;

        (void)snprintf(path, sizeof(path), "%s/deep", harness->directory);
        (void)mkdir(path, 0755);
        (void)snprintf(path, sizeof(path), "%s/deep/units", harness->directory);
        (void)mkdir(path, 0755);
        (void)snprintf(path, sizeof(path), "%s/deep/units/%s", harness->directory, name);
        file = fopen(path, "we");
        ck_assert_ptr_nonnull(file);
        ck_assert_int_ge(fputs(text, file), 0);
        ck_assert_int_eq(fclose(file), 0);
}

/* Files that are there but not linked are linked when the host takes over; what is no unit's is
 * left alone, and a template has no state. */
START_TEST(test_adoption_links_again) {
        Harness *harness = harness_new(HARNESS_SYSTEMD_PAIR);

        write_file(harness, "a.service", plain);
        write_file(harness, "t@.service", plain);
        write_file(harness, "README", "no unit");
        write_file(harness, ".b.service.new", "half");
        harness_start(harness);
        harness_until_ready(harness);
        ck_assert_uint_eq(host_units(harness->host)->n_nodes, 2);
        ck_assert_str_eq(host_find(harness->host, "a.service")->load, "loaded");
        ck_assert_str_eq(host_find(harness->host, "t@.service")->load, "");
        ck_assert_uint_eq(harness->n_told, 2);
        ck_assert_str_eq(fake_systemd_calls(harness->systemd), "Subscribe\n"
                                                               "ListUnitsByNames a.service\n"
                                                               "LinkUnitFiles a.service\n"
                                                               "ListUnitsByNames a.service\n");
        ck_assert(harness_has_file(harness, "README"));
        ck_assert(!harness_has_file(harness, ".b.service.new"));
        harness_close(harness);
}
END_TEST

/* A failed start says in words what happened, and where to read on. */
START_TEST(test_failure_is_explained) {
        Harness *harness = harness_open(HARNESS_SYSTEMD_PAIR);
        Ask ask = { 0 };

        ck_assert_int_eq(do_load(harness, "f.service", failing), 0);
        ask_start(harness, &ask, "f.service");
        ck_assert_int_eq(harness_wait(harness, &ask), HOST_E_JOB);
        ck_assert_str_eq(ask.why, "the start job failed: its main process exited with status "
                                  "203/EXEC; see: journalctl -u f.service");
        harness_close(harness);
}
END_TEST

/* The ways in which a job ends: "skipped" is success, as for systemctl; the others fail, with a
 * reason. */
START_TEST(test_job_results) {
        static const struct {
                const char *result, *words;
                int status;
        } rows[] = {
                { "done", "", 0 },
                { "skipped", "", 0 },
                { "canceled", "another request took its place", HOST_E_JOB },
                { "timeout", "JobTimeoutSec=", HOST_E_JOB },
                { "dependency", "a unit that it requires", HOST_E_JOB },
                { "assert", "Assert", HOST_E_JOB },
                { "new-in-systemd", "new-in-systemd", HOST_E_JOB },
        };
        Harness *harness = harness_open(HARNESS_SYSTEMD_PAIR);

        ck_assert_int_eq(do_load(harness, "a.service", plain), 0);
        fake_systemd_hold_jobs(harness->systemd, true);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Ask ask = { 0 };

                ask_start(harness, &ask, "a.service");
                until_called(harness, "StartUnit", (unsigned)i + 1);
                fake_systemd_end_jobs(harness->systemd, rows[i].result);
                ck_assert_int_eq(harness_wait(harness, &ask), rows[i].status);
                ck_assert_ptr_nonnull(strstr(ask.why, rows[i].words));
        }
        harness_close(harness);
}
END_TEST

/* However much is asked for, only so many calls are in flight; the others follow. */
START_TEST(test_calls_are_limited) {
        enum { N = 300, MAX = 128 };
        Harness *harness = harness_open(HARNESS_SYSTEMD_PAIR);
        _cleanup_(freep) Ask *asks = calloc(N, sizeof(Ask));
        unsigned n_first;
        char name[32];

        ck_assert_ptr_nonnull(asks);
        for (unsigned i = 0; i < N; i++) {
                (void)snprintf(name, sizeof(name), "u%u.service", i);
                ask_load(harness, &asks[i], name, plain);
        }
        for (unsigned i = 0; i < N; i++)
                ck_assert_int_eq(harness_wait(harness, &asks[i]), 0);
        ck_assert_int_eq(do_load(harness, "z.service", plain), 0);

        fake_systemd_hold(harness->systemd, "StartUnit");
        memset(asks, 0, N * sizeof(Ask));
        for (unsigned i = 0; i < N; i++) {
                (void)snprintf(name, sizeof(name), "u%u.service", i);
                ask_start(harness, &asks[i], name);
        }
        /* Shared calls do not count; one answered means that all that could be sent before it was.
         */
        until_called(harness, "StartUnit", 1);
        ck_assert_int_eq(do_load(harness, "z.service", plain), 0);
        n_first = fake_systemd_count(harness->systemd, "StartUnit");
        ck_assert_uint_gt(n_first, 16);
        ck_assert_uint_lt(n_first, MAX);

        fake_systemd_hold(harness->systemd, NULL);
        fake_systemd_release(harness->systemd);
        for (unsigned i = 0; i < N; i++)
                ck_assert_int_eq(harness_wait(harness, &asks[i]), 0);
        ck_assert_uint_eq(fake_systemd_count(harness->systemd, "StartUnit"), N);
        harness_close(harness);
}
END_TEST

/* What happens to units that are none of fleet's is not told. */
START_TEST(test_foreign_units_are_ignored) {
        Harness *harness = harness_open(HARNESS_SYSTEMD_PAIR);
        unsigned n_told = harness->n_told;

        fake_systemd_tell_foreign(harness->systemd);
        ck_assert_int_eq(do_stop(harness, "foreign.service"), 0);
        ck_assert_int_eq(do_load(harness, "a.service", plain), 0);
        ck_assert_uint_eq(harness->n_told, n_told + 1);
        ck_assert_ptr_null(host_find(harness->host, "foreign.service"));
        harness_close(harness);
}
END_TEST

/* Unloads share a call; a failure is forgotten only where there is one; a link that is missing
 * already stops nobody. */
START_TEST(test_unloads_are_gathered) {
        const char *const names[] = { "a.service", "b.service", "c.service" };
        Harness *harness = harness_open(HARNESS_SYSTEMD_PAIR);
        Ask asks[3] = { 0 };

        for (size_t i = 0; i < 3; i++)
                ck_assert_int_eq(do_load(harness, names[i], i == 1 ? failing : plain), 0);
        ck_assert_int_eq(do_start(harness, "b.service"), HOST_E_JOB);
        fake_systemd_forget_calls(harness->systemd);
        ask_unload(harness, &asks[0], names[0]);
        ask_unload(harness, &asks[2], names[2]);
        ck_assert_int_eq(harness_wait(harness, &asks[0]), 0);
        ck_assert_int_eq(harness_wait(harness, &asks[2]), 0);
        ck_assert_str_eq(fake_systemd_calls(harness->systemd),
                         "DisableUnitFiles a.service c.service\n");

        fake_systemd_forget_calls(harness->systemd);
        ck_assert_int_eq(do_unload(harness, "b.service"), 0);
        ck_assert_str_eq(fake_systemd_calls(harness->systemd),
                         "ResetFailedUnit b.service\nDisableUnitFiles b.service\n");
        for (size_t i = 0; i < 3; i++) {
                ck_assert(!harness_has_file(harness, names[i]));
                ck_assert(!fake_systemd_is_linked(harness->systemd, names[i]));
        }
        harness_close(harness);
}
END_TEST

/* What the old file had enabled is disabled when the new one has no [Install] any more. */
START_TEST(test_dropped_install_is_disabled) {
        Harness *harness = harness_open(HARNESS_SYSTEMD_PAIR);

        ck_assert_int_eq(do_load(harness, "a.service", installed), 0);
        ck_assert(fake_systemd_is_enabled(harness->systemd, "a.service"));
        ck_assert_int_eq(do_load(harness, "a.service", plain), 0);
        ck_assert(!fake_systemd_is_enabled(harness->systemd, "a.service"));
        ck_assert(fake_systemd_is_linked(harness->systemd, "a.service"));
        harness_close(harness);
}
END_TEST

/* The same file again is neither written nor asked about: linked, looked at, done. */
START_TEST(test_same_file_again) {
        Harness *harness = harness_open(HARNESS_SYSTEMD_PAIR);

        ck_assert_int_eq(do_load(harness, "a.service", plain), 0);
        fake_systemd_forget_calls(harness->systemd);
        ck_assert_int_eq(do_load(harness, "a.service", plain), 0);
        ck_assert_str_eq(fake_systemd_calls(harness->systemd),
                         "LinkUnitFiles a.service\nListUnitsByNames a.service\n");
        harness_close(harness);
}
END_TEST

/* After a reload by somebody else the states are read again. */
START_TEST(test_foreign_reload_is_noticed) {
        Harness *harness = harness_open(HARNESS_SYSTEMD_PAIR);

        ck_assert_int_eq(do_load(harness, "a.service", plain), 0);
        ck_assert_int_eq(do_start(harness, "a.service"), 0);
        write_file(harness, "a.service", "[X-Fake]\nBad=yes\n");
        ck_assert_int_eq(do_load(harness, "b.service", plain), 0);
        ck_assert_int_eq(do_start(harness, "b.service"), 0);
        fake_systemd_forget_calls(harness->systemd);
        /* The reload that b needs is, for a, one by somebody else. */
        ck_assert_int_eq(do_load(harness, "b.service", third), 0);
        until_called(harness, "ListUnitsByNames", 1);
        ck_assert_int_eq(do_start(harness, "b.service"), 0);
        ck_assert_str_eq(host_find(harness->host, "a.service")->load, "bad-setting");
        harness_close(harness);
}
END_TEST

/* Out of descriptors nothing can be written: that is said, nothing is left behind, what is there
 * stays, and the next try has luck. */
START_TEST(test_out_of_descriptors) {
        Harness *harness = harness_open(HARNESS_SYSTEMD_PAIR);
        struct rlimit limit, none;

        ck_assert_int_eq(do_load(harness, "a.service", plain), 0);
        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
        none = limit;
        none.rlim_cur = 0;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
        ck_assert_int_eq(do_load(harness, "b.service", plain), HOST_E_LACK);
        ck_assert_int_eq(do_load(harness, "a.service", other), HOST_E_LACK);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        ck_assert(harness_has_file(harness, "a.service"));
        ck_assert(!harness_has_file(harness, "b.service"));
        ck_assert_ptr_null(host_find(harness->host, "b.service"));

        ck_assert_int_eq(do_load(harness, "b.service", plain), 0);
        ck_assert_int_eq(do_load(harness, "a.service", other), 0);
        ck_assert_int_eq(do_start(harness, "b.service"), 0);
        harness_close(harness);
}
END_TEST

/* Names that cannot be units of systemd's are refused here, whatever lies behind them. */
START_TEST(test_bad_names) {
        const char *const names[] = { "../a.service", ".a.service", "a", "a/b.service", "" };
        Harness *harness = harness_open(HARNESS_SYSTEMD_PAIR);

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                ck_assert_int_eq(do_load(harness, names[i], plain), HOST_E_LOAD);
        ck_assert_str_eq(fake_systemd_calls(harness->systemd), "Subscribe\n");
        harness_close(harness);
}
END_TEST

/* Calls that are not answered when the connection ends do not stay behind: everything ends with
 * -ENOTCONN. */
START_TEST(test_loss_with_calls_in_flight) {
        static const char *const members[] = { "GetUnit", "LinkUnitFiles", "EnableUnitFiles",
                                               "ListUnitsByNames" };

        for (size_t i = 0; i < ELEMENTSOF(members); i++) {
                Harness *harness = harness_open(HARNESS_SYSTEMD);
                Ask asks[3] = { 0 };

                fake_systemd_hold(harness->systemd, members[i]);
                ask_load(harness, &asks[0], "a.service", installed);
                ask_load(harness, &asks[1], "b.service", installed);
                ask_start(harness, &asks[2], "a.service");
                until_called(harness, members[i], 1);
                harness_set_connected(harness, false);
                for (size_t k = 0; k < ELEMENTSOF(asks); k++)
                        ck_assert_int_eq(harness_wait(harness, &asks[k]), -ENOTCONN);

                fake_systemd_hold(harness->systemd, NULL);
                harness_set_connected(harness, true);
                harness_until_ready(harness);
                ck_assert_int_eq(do_load(harness, "a.service", installed), 0);
                ck_assert_int_eq(do_start(harness, "a.service"), 0);
                harness_close(harness);
        }
}
END_TEST

/* A file that cannot be linked keeps no other one from it. */
START_TEST(test_adoption_of_a_bad_file) {
        Harness *harness = harness_new(HARNESS_SYSTEMD_PAIR);

        write_file(harness, "a.service", plain);
        write_file(harness, "b.service", refuse_link);
        write_file(harness, "c.service", plain);
        harness_start(harness);
        harness_until_ready(harness);
        ck_assert_str_eq(host_find(harness->host, "a.service")->load, "loaded");
        ck_assert_str_eq(host_find(harness->host, "b.service")->load, "not-found");
        ck_assert_str_eq(host_find(harness->host, "c.service")->load, "loaded");
        harness_close(harness);
}
END_TEST

static bool has_hash(void *userdata) {
        void *const *arguments = userdata;
        const Harness *harness = arguments[0];

        return streq(host_find(harness->host, "a.service")->hash, arguments[1]);
}

/* A job that takes long does not hide what somebody does to the file meanwhile. */
START_TEST(test_file_changed_during_a_job) {
        Harness *harness = harness_open(HARNESS_SYSTEMD_PAIR);
        char hash[UNIT_HASH_BYTES];
        Ask ask = { 0 };

        ck_assert_int_eq(do_load(harness, "a.service", plain), 0);
        unit_text_hash(other, strlen(other), hash);
        fake_systemd_hold_jobs(harness->systemd, true);
        ask_start(harness, &ask, "a.service");
        until_called(harness, "StartUnit a.service", 1);
        write_file(harness, "a.service", other);
        harness_until(harness, has_hash, (void *[]){ harness, hash });
        ck_assert_uint_eq(ask.n_done, 0);
        fake_systemd_hold_jobs(harness->systemd, false);
        ck_assert_int_eq(harness_wait(harness, &ask), 0);
        harness_close(harness);
}
END_TEST

/* The file of a unit can be written again, or not. */
static void block_file(const Harness *harness, const char *name, bool is_blocked) {
        char path[160];

        (void)snprintf(path, sizeof(path), "%s/deep/units/.%s.new", harness->directory, name);
        ck_assert_int_eq(is_blocked ? mkdir(path, 0755) : rmdir(path), 0);
}

static bool is_bound(const Harness *harness, const char *name) {
        char path[160];

        (void)snprintf(path, sizeof(path), "%s/systemd/user/%s.d/50-fleet-exclusive.conf",
                       harness->directory, name);
        return access(path, F_OK) >= 0;
}

/* Where the new file cannot be written, a unit stays bound to the guard, or free of it, as the file
 * says that is there. */
START_TEST(test_binding_follows_the_file) {
        const char *const texts[] = { plain, exclusive };
        Harness *harness = harness_open(HARNESS_SYSTEMD);
        char path[160];

        (void)snprintf(path, sizeof(path), "%s/systemd/user", harness->directory);
        ck_assert_int_eq(mkdir(path, 0755), 0);
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                ck_assert_int_eq(do_load(harness, "a.service", texts[i]), 0);
                ck_assert_int_eq(is_bound(harness, "a.service"), texts[i] == exclusive);
                block_file(harness, "a.service", true);
                ck_assert_int_eq(do_load(harness, "a.service", texts[!i]), HOST_E_LOAD);
                block_file(harness, "a.service", false);
                ck_assert_int_eq(is_bound(harness, "a.service"), texts[i] == exclusive);
        }
        block_file(harness, "b.service", true);
        ck_assert_int_eq(do_load(harness, "b.service", exclusive), HOST_E_LOAD);
        ck_assert(!is_bound(harness, "b.service"));
        block_file(harness, "b.service", false);
        ck_assert_int_eq(do_unload(harness, "a.service"), 0);
        ck_assert(!is_bound(harness, "a.service"));
        (void)rmdir(path);
        harness_close(harness);
}
END_TEST

static bool was_lost(void *userdata) {
        return ((const Harness *)userdata)->n_lost > 0;
}

/* A reading of states that is not answered in time ends the connection, and the units that it was
 * about are read again on the next. */
START_TEST(test_reading_without_an_answer) {
        Harness *harness = harness_open(HARNESS_SYSTEMD);
        Ask asks[2] = { 0 };

        fake_systemd_hold(harness->systemd, "ListUnitsByNames");
        ask_load(harness, &asks[0], "a.service", plain);
        ask_load(harness, &asks[1], "b.service", plain);
        until_called(harness, "ListUnitsByNames", 1);
        fake_systemd_hold(harness->systemd, NULL);
        fake_systemd_give_up(harness->systemd);
        harness_until(harness, was_lost, harness);
        for (size_t i = 0; i < ELEMENTSOF(asks); i++)
                ck_assert_int_eq(harness_wait(harness, &asks[i]), -ENOTCONN);

        harness_until_ready(harness);
        ck_assert_str_eq(host_find(harness->host, "a.service")->load, "loaded");
        ck_assert_int_eq(do_load(harness, "b.service", plain), 0);
        ck_assert_int_eq(do_unload(harness, "a.service"), 0);
        harness_close(harness);
}
END_TEST

static int run_new(void *context) {
        HostSystemdOptions options = { .units_directory = context,
                                       .use_user_manager = true,
                                       .bus_fd = -1 };
        Loop *loop;
        Host *host = NULL;
        int r;

        r = loop_new(&loop, env_system());
        if (r < 0)
                return r;
        r = host_systemd_new(&host, loop, &options);
        (void)host_free(host);
        (void)loop_free(loop);
        return r;
}

/* Running out of memory while it is made leaves nothing behind. */
START_TEST(test_new_survives_oom) {
        ck_assert_int_eq(setenv("XDG_RUNTIME_DIR", "/nonexistent", 1), 0);
        ck_assert_uint_ge(fault_sweep(run_new, (char[]){ "/nonexistent/units" }), 2);
}
END_TEST

/* A relative units directory is refused. */
START_TEST(test_bad_options) {
        HostSystemdOptions options = { .units_directory = "units", .bus_fd = -1 };
        Loop *loop;
        Host *host;

        ck_assert_int_eq(loop_new(&loop, env_system()), 0);
        ck_assert_int_eq(host_systemd_new(&host, loop, &options), -EINVAL);
        (void)loop_free(loop);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_subscribes_first,
                test_job_ends_before_reply,
                test_loads_are_gathered,
                test_refused_unit_fails_alone,
                test_refused_change_is_undone,
                test_reload_is_shared,
                test_kept_unit_gets_new_content,
                test_no_reload_without_need,
                test_cancelled_load_is_not_forgotten,
                test_crash_before_reload,
                test_adoption_links_again,
                test_failure_is_explained,
                test_job_results,
                test_calls_are_limited,
                test_foreign_units_are_ignored,
                test_unloads_are_gathered,
                test_dropped_install_is_disabled,
                test_same_file_again,
                test_foreign_reload_is_noticed,
                test_out_of_descriptors,
                test_long_reason,
                test_bad_names,
                test_loss_with_calls_in_flight,
                test_adoption_of_a_bad_file,
                test_file_changed_during_a_job,
                test_binding_follows_the_file,
                test_reading_without_an_answer,
                test_new_survives_oom,
                test_bad_options,
        };

        return tests_run("host systemd", tests, ELEMENTSOF(tests));
}
