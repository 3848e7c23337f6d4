/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A host under test with a listener that remembers, over the fake service manager
 * (lib/host/host-fake.h) or over host-systemd and a fake systemd. */

#include "lib/host/host-fake.h"
#include "lib/host/host.h"
#include "tests/unit/host/fake-systemd.h"

enum { HARNESS_TEXT_BYTES = 2048 };

/* Which host. */
typedef enum HarnessKind {
        HARNESS_FAKE,         /* host-fake */
        HARNESS_SYSTEMD,      /* host-systemd, connecting to a listening fake systemd */
        HARNESS_SYSTEMD_PAIR, /* host-systemd, given one end of a socket pair */
} HarnessKind;

/* What is under test. */
typedef struct Harness {
        HarnessKind kind;
        Loop *loop;
        Host *host;           /* NULL while closed */
        FakeMachine *machine; /* of HARNESS_FAKE */
        FakeSystemd *systemd; /* of the others */
        char directory[64];   /* temporary; holds "units/" and the socket */
        unsigned n_ready;     /* how often it became ready */
        unsigned n_lost;      /* how often it was lost */
        unsigned n_told;      /* how often a unit was told */
        unsigned n_vanished;  /* how often a unit was told to have vanished */
        bool is_closed;
} Harness;

/* A request and its end. */
typedef struct Ask {
        HostRequest request;
        unsigned n_done; /* how often its callback ran */
        int status;
        char why[HARNESS_TEXT_BYTES]; /* empty for none */
} Ask;

/* A machine and a host on it that is ready. */
Harness *harness_open(HarnessKind kind);

/* The same, but neither connected nor started; call harness_start(). */
Harness *harness_new(HarnessKind kind);

/* Make a host on the machine, and start it. */
void harness_start(Harness *harness);

/* Close the host, as a daemon that ends does; the machine stays. */
void harness_stop(Harness *harness);

/* Close and free everything. */
void harness_close(Harness *harness);

/* Take the service manager away from the host, or give it back. */
void harness_set_connected(Harness *harness, bool is_connected);

/* Turn the loop until `is_done`; fails the test when that takes more than ten seconds. */
void harness_until(Harness *harness, bool (*is_done)(void *userdata), void *userdata);

/* Turn the loop until the host is ready. */
void harness_until_ready(Harness *harness);

/* Turn the loop until the request has ended; returns its status. */
int harness_wait(Harness *harness, Ask *ask);

/* Start a request. */
void ask_load(Harness *harness, Ask *ask, const char *name, const char *text);
void ask_start(Harness *harness, Ask *ask, const char *name);
void ask_restart(Harness *harness, Ask *ask, const char *name);
void ask_stop(Harness *harness, Ask *ask, const char *name);
void ask_unload(Harness *harness, Ask *ask, const char *name);

/* Carry out a request and return how it ended. */
int do_load(Harness *harness, const char *name, const char *text);
int do_start(Harness *harness, const char *name);
int do_restart(Harness *harness, const char *name);
int do_stop(Harness *harness, const char *name);
int do_unload(Harness *harness, const char *name);

/* Turn the loop until the unit's ActiveState is this. */
void harness_until_active(Harness *harness, const char *name, const char *active);

/* Is the file of this unit in the units directory? Of host-systemd only. */
bool harness_has_file(const Harness *harness, const char *name);
