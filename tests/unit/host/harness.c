/* SPDX-License-Identifier: Apache-2.0 */

/* The harness: real clock, real sockets, one loop for both sides. Waiting is turning the loop until
 * something is true. */

#include "tests/unit/host/harness.h"

#include <check.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/host/host-systemd.h"

enum { PATIENCE_US = 10 * US_PER_S, LOOK_US = 20 * US_PER_MS };

static void on_unit(const HostUnit *unit, void *userdata) {
        Harness *harness = userdata;

        harness->n_told++;
        harness->n_vanished += unit->hash[0] == '\0' && unit->load[0] == '\0';
}

static void on_ready(bool is_ready, const char *why, void *userdata) {
        Harness *harness = userdata;

        ck_assert(is_ready == !why);
        harness->n_ready += is_ready;
        harness->n_lost += !is_ready;
}

static void on_done(HostRequest *request, int status, const char *why) {
        Ask *ask = container_of(request, Ask, request);

        ck_assert(!host_request_is_pending(request));
        ck_assert((status == 0) == !why);
        ask->n_done++;
        ask->status = status;
        (void)snprintf(ask->why, sizeof(ask->why), "%s", why ? why : "");
}

Harness *harness_new(HarnessKind kind) {
        Harness *harness = calloc(1, sizeof(Harness));

        ck_assert_ptr_nonnull(harness);
        harness->kind = kind;
        ck_assert_int_eq(loop_new(&harness->loop, env_system()), 0);
        (void)snprintf(harness->directory, sizeof(harness->directory), "/tmp/fleet-host-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(harness->directory));

        if (kind == HARNESS_FAKE) {
                ck_assert_int_eq(fake_machine_new(&harness->machine, harness->loop), 0);
                return harness;
        }
        harness->systemd = fake_systemd_new(harness->loop);
        if (kind == HARNESS_SYSTEMD)
                fake_systemd_listen(harness->systemd, harness->directory);
        return harness;
}

void harness_start(Harness *harness) {
        HostListener listener = { .on_unit = on_unit, .on_ready = on_ready, .userdata = harness };
        char units[96];
        HostSystemdOptions options = { .units_directory = units, .bus_fd = -1 };

        if (harness->kind == HARNESS_FAKE) {
                ck_assert_int_eq(host_fake_new(&harness->host, harness->machine, harness->loop), 0);
        } else {
                (void)snprintf(units, sizeof(units), "%s/deep/units", harness->directory);
                ck_assert_int_eq(setenv("XDG_RUNTIME_DIR", harness->directory, 1), 0);
                ck_assert_int_eq(unsetenv("DBUS_SESSION_BUS_ADDRESS"), 0);
                options.use_user_manager = true;
                if (harness->kind == HARNESS_SYSTEMD_PAIR)
                        options.bus_fd = fake_systemd_serve_pair(harness->systemd);
                ck_assert_int_eq(host_systemd_new(&harness->host, harness->loop, &options), 0);
        }
        harness->is_closed = false;
        ck_assert_int_eq(host_start(harness->host, &listener), 0);
}

Harness *harness_open(HarnessKind kind) {
        Harness *harness = harness_new(kind);

        harness_start(harness);
        harness_until_ready(harness);
        return harness;
}

void harness_until(Harness *harness, bool (*is_done)(void *userdata), void *userdata) {
        uint64_t limit_us = env_now_us(env_system()) + PATIENCE_US;

        while (!is_done(userdata)) {
                ck_assert_uint_lt(env_now_us(env_system()), limit_us);
                ck_assert_int_eq(loop_turn(harness->loop, LOOK_US), 0);
        }
}

static bool is_ready(void *userdata) {
        Harness *harness = userdata;

        return host_is_ready(harness->host);
}

void harness_until_ready(Harness *harness) {
        harness_until(harness, is_ready, harness);
}

static bool is_ended(void *userdata) {
        Ask *ask = userdata;

        return ask->n_done > 0;
}

int harness_wait(Harness *harness, Ask *ask) {
        harness_until(harness, is_ended, ask);
        ck_assert_uint_eq(ask->n_done, 1);
        return ask->status;
}

static void on_closed(Host *host, void *userdata) {
        Harness *harness = userdata;

        ck_assert_ptr_eq(host, harness->host);
        harness->is_closed = true;
}

static bool is_closed(void *userdata) {
        Harness *harness = userdata;

        return harness->is_closed;
}

void harness_stop(Harness *harness) {
        host_close(harness->host, on_closed, harness);
        ck_assert(!harness->is_closed);
        harness_until(harness, is_closed, harness);
        harness->host = host_free(harness->host);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where) {
        (void)st;
        (void)kind;
        (void)where;
        return remove(path);
}

void harness_close(Harness *harness) {
        if (harness->host)
                harness_stop(harness);
        (void)fake_machine_free(harness->machine);
        (void)fake_systemd_free(harness->systemd);
        (void)loop_free(harness->loop);
        (void)nftw(harness->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
        free(harness);
}

void harness_set_connected(Harness *harness, bool is_connected) {
        if (harness->kind == HARNESS_FAKE)
                fake_machine_set_connected(harness->machine, is_connected);
        else if (is_connected)
                fake_systemd_listen(harness->systemd, harness->directory);
        else
                fake_systemd_cut(harness->systemd);
}

void ask_load(Harness *harness, Ask *ask, const char *name, const char *text) {
        ck_assert_int_eq(host_load(harness->host, &ask->request, name, text, strlen(text), on_done),
                         0);
        ck_assert_uint_eq(ask->n_done, 0);
}

void ask_start(Harness *harness, Ask *ask, const char *name) {
        ck_assert_int_eq(host_unit_start(harness->host, &ask->request, name, on_done), 0);
        ck_assert_uint_eq(ask->n_done, 0);
}

void ask_restart(Harness *harness, Ask *ask, const char *name) {
        ck_assert_int_eq(host_unit_restart(harness->host, &ask->request, name, on_done), 0);
        ck_assert_uint_eq(ask->n_done, 0);
}

void ask_stop(Harness *harness, Ask *ask, const char *name) {
        ck_assert_int_eq(host_unit_stop(harness->host, &ask->request, name, on_done), 0);
        ck_assert_uint_eq(ask->n_done, 0);
}

void ask_unload(Harness *harness, Ask *ask, const char *name) {
        ck_assert_int_eq(host_unload(harness->host, &ask->request, name, on_done), 0);
        ck_assert_uint_eq(ask->n_done, 0);
}

int do_load(Harness *harness, const char *name, const char *text) {
        Ask ask = { 0 };

        ask_load(harness, &ask, name, text);
        return harness_wait(harness, &ask);
}

int do_start(Harness *harness, const char *name) {
        Ask ask = { 0 };

        ask_start(harness, &ask, name);
        return harness_wait(harness, &ask);
}

int do_restart(Harness *harness, const char *name) {
        Ask ask = { 0 };

        ask_restart(harness, &ask, name);
        return harness_wait(harness, &ask);
}

int do_stop(Harness *harness, const char *name) {
        Ask ask = { 0 };

        ask_stop(harness, &ask, name);
        return harness_wait(harness, &ask);
}

int do_unload(Harness *harness, const char *name) {
        Ask ask = { 0 };

        ask_unload(harness, &ask, name);
        return harness_wait(harness, &ask);
}

/* A unit and the state that is waited for. */
typedef struct Wanted {
        const Host *host;
        const char *name;
        const char *active;
} Wanted;

static bool is_in_state(void *userdata) {
        const Wanted *wanted = userdata;
        const HostUnit *unit = host_find(wanted->host, wanted->name);

        return unit && streq(unit->active, wanted->active);
}

void harness_until_active(Harness *harness, const char *name, const char *active) {
        Wanted wanted = { harness->host, name, active };

        harness_until(harness, is_in_state, &wanted);
}

bool harness_has_file(const Harness *harness, const char *name) {
        char path[160];

        (void)snprintf(path, sizeof(path), "%s/deep/units/%s", harness->directory, name);
        return access(path, F_OK) >= 0;
}
