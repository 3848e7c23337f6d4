/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A cluster in one process: machines, each with a service manager in memory and, while its daemon
 * runs, a client of the store, a registry, a presence, an agent, an engine and an API, wired as the
 * daemon wires them, on a loop of its own; all on one virtual clock with one seed.
 */

#include "agent/agent.h"
#include "agent/presence.h"
#include "engine/engine.h"
#include "lib/host/host-fake.h"
#include "tests/sim/exchange.h"
#include "tests/sim/rig.h"

enum {
        SIM_MACHINES_MAX = 8,
        SIM_TTL_S = 15,
        SIM_EVICTION_PERCENT = 33, /* eviction_limit */
};

typedef struct Sim Sim;

/* A machine, and the daemon on it. */
typedef struct SimMachine {
        Sim *sim;    /* back pointer */
        char id[33]; /* machine ID: its number, 32 times */
        char hostname[16];
        char lease_path[128]; /* in the machine's /run */
        Loop *loop;           /* owned; of its daemon */
        const char *metadata; /* configured, from the daemon's next start on; static, or NULL */
        FakeMachine *fake;    /* owned */
        size_t client;        /* of the daemon, in Sim.rig */
        Host *host;           /* owned; these are NULL while the daemon does not run */
        Agent *agent;
        Engine *engine;
        Presence *presence;
        ExchangeServer server; /* of its API */
        bool is_closing;       /* it ends */
        bool is_leaving;       /* it hands its units over... */
        bool has_left;         /* ...and is done with it */
        unsigned n_closing;    /* parts that have not closed */
        unsigned n_changes;    /* of activity of its units so far */
} SimMachine;

struct Sim {
        Rig rig;
        SimMachine machines[SIM_MACHINES_MAX];
        size_t n_machines;
        bool is_engine_disabled;
        char directory[64]; /* of lease files; removed at the end */
};

/* Machines that are on, with daemons that start. With `is_engine_disabled` nobody leads: the test
 * writes schedules itself. */
void sim_init(Sim *sim, uint64_t seed, size_t n_machines, bool is_engine_disabled);

/* Stop and free everything. */
void sim_done(Sim *sim);

/* The daemon starts; ends as told; dies (nothing of it reaches the store any more). Units run on.
 */
void sim_start(Sim *sim, size_t i);
void sim_stop(Sim *sim, size_t i);
void sim_crash(Sim *sim, size_t i);

/* The machine begins to leave the cluster, as by `systemctl stop`; `has_left` tells when it is done.
 * Then, or before, sim_stop() ends the daemon: with its lease, if it has left. */
void sim_leave(Sim *sim, size_t i);

/* The machine loses power: daemon, units and /run are gone. sim_start() boots it. */
void sim_power_off(Sim *sim, size_t i);

/* Cut its daemon off from the store, or heal it. */
void sim_cut(Sim *sim, size_t i, bool is_cut);

/* Stop its daemon's process in the middle of what it does, and let it go on (SIGSTOP, SIGCONT). */
void sim_pause(Sim *sim, size_t i, bool is_paused);

/* A user's request: the unit with this content and desired state, of a generation never used
 * before. */
void sim_submit(Sim *sim, const char *unit, const char *text, JobState desired);

/* A user's request: restart the unit, on all machines or (not NULL) on one. */
void sim_restart(Sim *sim, const char *unit, const char *machine);

/* The user destroys the unit. */
void sim_destroy(Sim *sim, const char *unit);

/* A schedule row for a machine, with its file, where no engine leads; and its removal. */
void sim_set_row(Sim *sim, size_t machine, const char *unit, const char *text, JobState desired,
                 uint64_t generation);
void sim_remove_row(Sim *sim, size_t machine, const char *unit);

/* The state record of the unit on the machine, or "". */
const char *sim_state(Sim *sim, size_t machine, const char *unit);

/* On how many machines is the unit active? */
unsigned sim_copies(const Sim *sim, const char *unit);

/* On how many machines does the unit run, counting those where it is on its way up or down? */
unsigned sim_running(const Sim *sim, const char *unit);

/* Run until that many copies are active, at most so long; fails the test else. */
void sim_wait_copies(Sim *sim, const char *unit, unsigned n_copies, uint64_t limit_ms);

/* Run until the state record of the unit on the machine contains `text` (NULL: until there is
 * none), at most so long. */
void sim_wait_state(Sim *sim, size_t machine, const char *unit, const char *text,
                    uint64_t limit_ms);
