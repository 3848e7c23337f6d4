/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A service manager in memory, on the loop's clock, with systemd's habits: jobs take time, units
 * fail or hang as their content says, and what runs survives the daemon. For tests and simulation.
 *
 * The content of a unit decides how it behaves, by options in a section [X-Fake]: QueueMs=N
 * (before a start begins), StartDelayMs=N, StopDelayMs=N, Fail=yes (the start job fails), Oneshot=yes (ends well at once), Hang=yes (the
 * start job never ends), Bad=yes (refused at load). Exclusive=true in [X-Fleet] binds it to the
 * machine's guard.
 */

#include "lib/host/host.h"

typedef struct FakeMachine FakeMachine;

/* The machine's memory: its units with their states and files. Survives any number of hosts, as a
 * machine survives restarts of its daemon. Returns 0 or -ENOMEM. */
int fake_machine_new(FakeMachine **ret_machine, Loop *loop);

/* Free it; its hosts must have been freed. Takes NULL; returns NULL. */
FakeMachine *fake_machine_free(FakeMachine *machine);
DEFINE_CLEANUP(FakeMachine, fake_machine_free)

/* The machine loses power and boots again: every unit and file is gone. */
void fake_machine_reboot(FakeMachine *machine);

/* The service manager goes away (every request in flight ends with -ENOTCONN) or comes back. */
void fake_machine_set_connected(FakeMachine *machine, bool is_connected);

/* The machine has no room for further unit files (loads end with HOST_E_LACK), or has again. */
void fake_machine_set_full(FakeMachine *machine, bool is_full);

/* What the service manager says of the end of the daemon, from now on: HOST_END_UNKNOWN at first. */
void fake_machine_set_end(FakeMachine *machine, HostEnd end);

/* A unit's process dies by itself: it becomes failed (or inactive when `is_clean`). Does nothing
 * when it does not run. */
void fake_machine_unit_exit(FakeMachine *machine, const char *name, bool is_clean);

/* A loaded unit that does not run comes up by itself, as by Restart= or an operator's hand. */
void fake_machine_unit_revive(FakeMachine *machine, const char *name);

/* How often a unit was started so far: a start of a running one does not count. 0 for an unknown
 * one. */
unsigned fake_machine_unit_starts(const FakeMachine *machine, const char *name);

/* Is the unit active now? */
bool fake_machine_unit_is_active(const FakeMachine *machine, const char *name);

/* Does the unit run, or is it on its way up or down? */
bool fake_machine_unit_is_running(const FakeMachine *machine, const char *name);

/* Call `fn` on every change of activity, before anything else learns of it: for invariants. */
void fake_machine_set_observer(FakeMachine *machine,
                               void (*fn)(const char *name, bool is_active, void *userdata),
                               void *userdata);

/* A host on it, as one run of the daemon has. One at a time. Returns 0 or -ENOMEM. */
int host_fake_new(Host **ret_host, FakeMachine *machine, Loop *loop);
