/* SPDX-License-Identifier: Apache-2.0 */

/* A service manager in memory.
 *
 * The machine (FakeMachine) holds what a machine holds: units with their files and states, and the
 * jobs that run on them; it lives on when the host on it, one run of the daemon, ends. The host is
 * a backend as any other: its operations change the machine's units and end when the machine's job
 * has ended. A job belongs to the unit, so it goes on when the operation that asked for it is
 * cancelled, as with systemd.
 *
 *   inactive ── start ──> activating ── StartDelayMs ──> active | inactive (Oneshot)
 *                                                        | failed (Fail) | stays (Hang)
 *   active ── stop ──> deactivating ── StopDelayMs ──> inactive
 *
 * A restart is a stop whose end is the beginning of a start; one job, as with systemd.
 *
 * Everything is on the loop's clock and nothing is random: the same calls at the same times give
 * the same story.
 */

#include "lib/host/host-fake.h"

#include <assert.h>
#include <errno.h>

#include "lib/host/host-backend.h"
#include "lib/unit/requirements.h"

enum {
        FAKE_CALL_US = 1 * US_PER_MS,    /* how long the service manager takes to answer */
        FAKE_JOB_US = 5 * US_PER_MS,     /* how long a job takes when the unit does not say */
        FAKE_RETRY_US = 50 * US_PER_MS,  /* before it looks again, when memory was out */
        FAKE_DELAY_MAX_MS = 3600 * 1000, /* longest delay that a unit may ask for */
};

typedef struct FakeHost FakeHost;

/* What the content of a unit asks for. */
typedef struct FakeHabits {
        uint64_t queue_us;
        uint64_t start_us;
        uint64_t stop_us;
        bool fails, is_oneshot, hangs, is_bad, is_exclusive;
} FakeHabits;

typedef enum FakeJob {
        FAKE_JOB_NONE,
        FAKE_JOB_START,
        FAKE_JOB_STOP,
        FAKE_JOB_RESTART, /* until the stop is done: then it is a start */
} FakeJob;

/* A unit of the machine. */
typedef struct FakeUnit {
        HashNode node;
        FakeMachine *machine; /* borrowed */
        char *name;           /* owned */
        char hash[UNIT_HASH_BYTES];
        FakeHabits habits;
        const char *load, *active, *sub; /* static */
        FakeJob job;
        LoopTimer timer; /* the job's end */
        unsigned n_starts;
        bool has_file;
        bool is_queued; /* the job, a start, has not begun */
} FakeUnit;

struct FakeMachine {
        Loop *loop;                /* borrowed */
        HashMap units;             /* FakeUnit.node */
        FakeHost *host;            /* borrowed; or NULL */
        LoopTimer guard;           /* set while Exclusive units may run */
        uint64_t guarded_until_us; /* 0 = never set since the boot */
        bool is_connected;
        bool is_full;
        HostEnd end; /* of the daemon */
        void (*observer)(const char *name, bool is_active, void *userdata);
        void *observer_userdata;
};

struct FakeHost {
        Host base;
        FakeMachine *machine; /* borrowed */
        LoopTimer connect;    /* takes over what is there */
        bool has_started;
};

/* An operation; it waits for the answer, then perhaps for the job. */
typedef struct FakeOp {
        HostOp base;
        LoopTimer timer;
        bool is_waiting_for_job;
} FakeOp;

/* Units of the machine */

static FakeUnit *machine_find(const FakeMachine *machine, const char *name) {
        HashNode *node = hash_map_get(&machine->units, name);

        return node ? container_of(node, FakeUnit, node) : NULL;
}

static bool unit_is_active(const FakeUnit *unit) {
        return streq(unit->active, "active");
}

static bool unit_is_dead(const FakeUnit *unit) {
        return streq(unit->active, "inactive") || streq(unit->active, "failed");
}

static void machine_publish(FakeMachine *machine, FakeUnit *unit) {
        HostEntry *entry;

        if (!machine->host || !machine->host->has_started || !machine->is_connected ||
            !unit->has_file)
                return;

        entry = host_entry_find(&machine->host->base, unit->name);
        if (!entry)
                return;
        if (!streq(entry->unit.hash, unit->hash)) {
                memcpy(entry->unit.hash, unit->hash, UNIT_HASH_BYTES);
                host_entry_changed(&machine->host->base, entry);
        }
        host_entry_set_states(&machine->host->base, entry, unit->load, unit->active, unit->sub);
}

static void unit_set_state(FakeUnit *unit, const char *active, const char *sub) {
        FakeMachine *machine = unit->machine;
        bool was_active = unit_is_active(unit), is_active = streq(active, "active");

        unit->active = active;
        unit->sub = sub;
        if (was_active != is_active && machine->observer)
                machine->observer(unit->name, is_active, machine->observer_userdata);
        machine_publish(machine, unit);
}

static void unit_end_job(FakeUnit *unit, int status, const char *why) {
        FakeHost *host = unit->machine->host;
        HostOp *base_op = host ? host_op_find(&host->base, unit->name) : NULL;
        FakeOp *op = base_op ? container_of(base_op, FakeOp, base) : NULL;

        unit->job = FAKE_JOB_NONE;
        unit->is_queued = false;
        timer_clear(&unit->timer);
        if (!op || !op->is_waiting_for_job)
                return;

        op->is_waiting_for_job = false;
        if (status == 0)
                host_op_end(&op->base, 0, NULL);
        else
                host_op_end(&op->base, status, "%s", why);
}

static void unit_run_start(FakeUnit *unit) {
        unit->job = FAKE_JOB_START;
        unit->n_starts++;
        unit_set_state(unit, "activating", "start");
        if (!unit->habits.hangs)
                timer_set_in(unit->machine->loop, &unit->timer, unit->habits.start_us);
}

/* Until the service manager gets to it the unit is as it was. */
static void unit_queue_start(FakeUnit *unit) {
        if (unit->habits.queue_us == 0) {
                unit_run_start(unit);
                return;
        }
        unit->job = FAKE_JOB_START;
        unit->is_queued = true;
        timer_set_in(unit->machine->loop, &unit->timer, unit->habits.queue_us);
}

static void unit_end_stop(FakeUnit *unit) {
        unit_set_state(unit, "inactive", "dead");
        if (unit->job == FAKE_JOB_STOP)
                unit_end_job(unit, 0, NULL);
        else
                unit_run_start(unit);
}

static void unit_on_timer(LoopTimer *timer) {
        FakeUnit *unit = container_of(timer, FakeUnit, timer);

        if (unit->is_queued) {
                unit->is_queued = false;
                unit_run_start(unit);
        } else if (unit->job == FAKE_JOB_STOP || unit->job == FAKE_JOB_RESTART) {
                unit_end_stop(unit);
        } else if (unit->habits.fails) {
                unit_set_state(unit, "failed", "failed");
                unit_end_job(unit, HOST_E_JOB,
                             "the start job failed: its main process exited with status 1");
        } else if (unit->habits.is_oneshot) {
                unit_set_state(unit, "inactive", "dead");
                unit_end_job(unit, 0, NULL);
        } else {
                unit_set_state(unit, "active", "running");
                unit_end_job(unit, 0, NULL);
        }
}

static void unit_begin_job(FakeUnit *unit, FakeJob job) {
        unit_end_job(unit, HOST_E_JOB, "the job was cancelled: another request took its place");
        if (job == FAKE_JOB_START || (job == FAKE_JOB_RESTART && unit_is_dead(unit))) {
                unit_queue_start(unit);
                return;
        }

        unit->job = job;
        unit_set_state(unit, "deactivating", "stop-sigterm");
        timer_set_in(unit->machine->loop, &unit->timer, unit->habits.stop_us);
}

/* The guard ends: so does what is bound to it. */
static void machine_end_exclusive(FakeMachine *machine) {
        for (HashNode *node = hash_map_first(&machine->units); node;
             node = hash_map_next(&machine->units, node)) {
                FakeUnit *unit = container_of(node, FakeUnit, node);

                if (unit->habits.is_exclusive && unit->job != FAKE_JOB_STOP &&
                    (unit_is_active(unit) || unit->job != FAKE_JOB_NONE))
                        (void)unit_begin_job(unit, FAKE_JOB_STOP);
        }
}

static void on_guard(LoopTimer *timer) {
        machine_end_exclusive(container_of(timer, FakeMachine, guard));
}

static FakeUnit *unit_free(FakeUnit *unit) {
        if (unit) {
                timer_clear(&unit->timer);
                free(unit->name);
                free(unit);
        }
        return NULL;
}
DEFINE_CLEANUP(FakeUnit, unit_free)

static int machine_find_or_add(FakeMachine *machine, const char *name, FakeUnit **ret_unit) {
        _cleanup_(unit_freep) FakeUnit *unit = NULL;
        FakeUnit *found = machine_find(machine, name);
        int r;

        if (found) {
                *ret_unit = found;
                return 0;
        }

        unit = calloc(1, sizeof(FakeUnit));
        if (!unit)
                return -ENOMEM;
        unit->name = strdup(name);
        if (!unit->name)
                return -ENOMEM;

        unit->machine = machine;
        unit->timer.fn = unit_on_timer;
        unit->load = "loaded";
        unit->active = "inactive";
        unit->sub = "dead";
        r = hash_map_put(&machine->units, &unit->node, unit->name);
        if (r < 0)
                return r;

        *ret_unit = TAKE(unit);
        return 0;
}

static void machine_remove(FakeMachine *machine, FakeUnit *unit) {
        hash_map_remove(&machine->units, &unit->node);
        unit_free(unit);
}

/* The content */

static uint64_t habit_delay_us(const UnitFile *file, const char *name) {
        const char *value = unit_file_get(file, "X-Fake", name);
        unsigned long delay_ms = value ? strtoul(value, NULL, 10) : 0;

        if (!value)
                return FAKE_JOB_US;
        return (delay_ms < FAKE_DELAY_MAX_MS ? delay_ms : FAKE_DELAY_MAX_MS) * US_PER_MS;
}

static bool habit_is_on(const UnitFile *file, const char *name) {
        const char *value = unit_file_get(file, "X-Fake", name);

        return value && streq(value, "yes");
}

static int habits_read(const char *text, size_t n_bytes, FakeHabits *ret_habits) {
        _cleanup_(requirements_freep) Requirements *requirements = NULL;
        _cleanup_(unit_file_freep) UnitFile *file = NULL;
        int r;

        r = unit_file_parse(text, n_bytes, &file, NULL);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                *ret_habits = (FakeHabits){ .is_bad = true };
                return 0;
        }

        *ret_habits = (FakeHabits){
                .queue_us = unit_file_get(file, "X-Fake", "QueueMs")
                                    ? habit_delay_us(file, "QueueMs")
                                    : 0,
                .start_us = habit_delay_us(file, "StartDelayMs"),
                .stop_us = habit_delay_us(file, "StopDelayMs"),
                .fails = habit_is_on(file, "Fail"),
                .is_oneshot = habit_is_on(file, "Oneshot"),
                .hangs = habit_is_on(file, "Hang"),
                .is_bad = habit_is_on(file, "Bad"),
        };
        r = requirements_new(&requirements, file, NULL);
        if (r == 0)
                ret_habits->is_exclusive = requirements->exclusive;
        return r;
}

/* Operations: what happens when the service manager gets to it. */

static FakeMachine *op_machine(FakeOp *op) {
        return container_of(op->base.request->host, FakeHost, base)->machine;
}

static int load_unit(FakeOp *op, FakeUnit **ret_unit) {
        FakeMachine *machine = op_machine(op);
        Host *host = op->base.request->host;
        const char *name = host_op_name(&op->base);
        FakeHabits habits;
        HostEntry *entry;
        FakeUnit *unit;
        int r;

        r = habits_read(op->base.text, op->base.n_bytes, &habits);
        if (r < 0)
                return r;
        r = machine_find_or_add(machine, name, &unit);
        if (r < 0)
                return r;

        r = host_entry_add(host, name, &entry);
        if (r < 0 && r != -EEXIST) {
                if (!unit->has_file)
                        machine_remove(machine, unit);
                return r;
        }

        unit->habits = habits;
        unit->has_file = true;
        unit->load = habits.is_bad ? "bad-setting" : "loaded";
        unit_text_hash(op->base.text, op->base.n_bytes, unit->hash);
        *ret_unit = unit;
        return 0;
}

static void do_load(FakeOp *op) {
        FakeUnit *unit;
        int r;

        if (op_machine(op)->is_full) {
                host_op_end(&op->base, HOST_E_LACK, "cannot write the unit file: it is full");
                return;
        }
        r = load_unit(op, &unit);
        if (r < 0) {
                host_op_end(&op->base, r, "out of memory");
                return;
        }

        machine_publish(unit->machine, unit);
        if (unit->habits.is_bad)
                host_op_end(&op->base, HOST_E_LOAD,
                            "the service manager cannot use the unit file (bad-setting)");
        else
                host_op_end(&op->base, 0, NULL);
}

static void do_job(FakeOp *op, FakeUnit *unit, FakeJob job) {
        if (unit->job != job)
                unit_begin_job(unit, job);
        op->is_waiting_for_job = true;
}

static void do_start_or_restart(FakeOp *op, bool is_restart) {
        FakeUnit *unit = machine_find(op_machine(op), host_op_name(&op->base));

        if (!unit || !unit->has_file)
                host_op_end(&op->base, HOST_E_NO_UNIT, "the unit is not loaded on this machine");
        else if (unit->habits.is_bad)
                host_op_end(&op->base, HOST_E_LOAD,
                            "the service manager cannot use the unit file (bad-setting)");
        else if (unit->habits.is_exclusive && !timer_is_set(&unit->machine->guard))
                host_op_end(&op->base, HOST_E_JOB,
                            "the start job failed: the guard does not let it start");
        else if (!is_restart && unit_is_active(unit) && unit->job == FAKE_JOB_NONE)
                host_op_end(&op->base, 0, NULL);
        else
                do_job(op, unit, is_restart ? FAKE_JOB_RESTART : FAKE_JOB_START);
}

static void do_start(FakeOp *op) {
        do_start_or_restart(op, false);
}

static void do_restart(FakeOp *op) {
        do_start_or_restart(op, true);
}

static void do_stop(FakeOp *op) {
        FakeUnit *unit = machine_find(op_machine(op), host_op_name(&op->base));

        if (!unit || (!unit_is_active(unit) && unit->job == FAKE_JOB_NONE))
                host_op_end(&op->base, 0, NULL);
        else
                do_job(op, unit, FAKE_JOB_STOP);
}

static void do_unload(FakeOp *op) {
        Host *host = op->base.request->host;
        FakeMachine *machine = op_machine(op);
        FakeUnit *unit = machine_find(machine, host_op_name(&op->base));
        HostEntry *entry = host_entry_find(host, host_op_name(&op->base));

        if (entry)
                host_entry_remove(host, entry);
        if (unit) {
                unit->has_file = false;
                /* One that still runs stays in the service manager's memory, as it would with
                 * systemd. */
                if (!unit_is_active(unit) && unit->job == FAKE_JOB_NONE)
                        machine_remove(machine, unit);
        }
        host_op_end(&op->base, 0, NULL);
}

static void op_on_timer(LoopTimer *timer) {
        static void (*const actions[])(FakeOp * op) = {
                [HOST_VERB_LOAD] = do_load,       [HOST_VERB_START] = do_start,
                [HOST_VERB_RESTART] = do_restart, [HOST_VERB_STOP] = do_stop,
                [HOST_VERB_UNLOAD] = do_unload,
        };
        FakeOp *op = container_of(timer, FakeOp, timer);

        actions[op->base.verb](op);
}

/* The backend */

static void host_fake_begin(Host *base, HostOp *base_op) {
        FakeHost *host = container_of(base, FakeHost, base);
        FakeOp *op = container_of(base_op, FakeOp, base);

        op->timer.fn = op_on_timer;
        if (!host->machine->is_connected)
                host_op_end(base_op, -ENOTCONN, "the service manager is not connected");
        else
                timer_set_in(base->loop, &op->timer, FAKE_CALL_US);
}

static void host_fake_abandon(Host *base, HostOp *base_op) {
        FakeOp *op = container_of(base_op, FakeOp, base);

        (void)base;
        timer_clear(&op->timer);
        op->is_waiting_for_job = false;
}

static void host_fake_release(Host *base, HostOp *base_op) {
        (void)base;
        (void)base_op;
}

static void host_fake_forget(Host *base, HostEntry *entry) {
        (void)base;
        (void)entry;
}

/* Brings the host's view in line with the machine. */
static int host_fake_sync(FakeHost *host) {
        _cleanup_(freep) HashNode **nodes = NULL;
        size_t n_units = host->machine->units.n_nodes;
        int r;

        r = hash_map_sorted(&host->machine->units, &nodes);
        if (r < 0)
                return r;

        for (size_t i = 0; i < n_units; i++) {
                FakeUnit *unit = container_of(nodes[i], FakeUnit, node);
                HostEntry *entry;

                if (!unit->has_file)
                        continue;
                r = host_entry_add(&host->base, unit->name, &entry);
                if (r < 0 && r != -EEXIST)
                        return r;
                machine_publish(host->machine, unit);
        }
        return 0;
}

static void host_fake_on_connect(LoopTimer *timer) {
        FakeHost *host = container_of(timer, FakeHost, connect);

        if (!host->machine->is_connected)
                return;
        if (host_fake_sync(host) < 0)
                timer_set_in(host->base.loop, &host->connect, FAKE_RETRY_US);
        else
                host_set_ready(&host->base, true, NULL);
}

static int host_fake_start(Host *base) {
        FakeHost *host = container_of(base, FakeHost, base);

        host->has_started = true;
        timer_set_in(base->loop, &host->connect, 0);
        return 0;
}

static void host_fake_close(Host *base) {
        FakeHost *host = container_of(base, FakeHost, base);

        timer_clear(&host->connect);
        host->has_started = false;
}

static void host_fake_free(Host *base) {
        FakeHost *host = container_of(base, FakeHost, base);

        timer_clear(&host->connect);
        host->machine->host = NULL;
        free(host);
}

static int host_fake_guard_until(Host *base, uint64_t until_us) {
        FakeMachine *machine = container_of(base, FakeHost, base)->machine;

        machine->guarded_until_us = until_us;
        timer_set_at(machine->loop, &machine->guard, until_us);
        return 0;
}

static uint64_t host_fake_guarded_until_us(const Host *base) {
        return container_of(base, const FakeHost, base)->machine->guarded_until_us;
}

static void host_fake_ask_end(Host *base) {
        host_end_is(base, container_of(base, FakeHost, base)->machine->end);
}

void fake_machine_set_end(FakeMachine *machine, HostEnd end) {
        machine->end = end;
}

static const HostVtable host_fake_vtable = {
        .op_bytes = sizeof(FakeOp),
        .entry_bytes = sizeof(HostEntry),
        .start = host_fake_start,
        .begin = host_fake_begin,
        .abandon = host_fake_abandon,
        .release = host_fake_release,
        .forget = host_fake_forget,
        .guard_until = host_fake_guard_until,
        .guarded_until_us = host_fake_guarded_until_us,
        .ask_end = host_fake_ask_end,
        .close = host_fake_close,
        .free = host_fake_free,
};

int host_fake_new(Host **ret_host, FakeMachine *machine, Loop *loop) {
        FakeHost *host;

        assert(!machine->host);

        host = calloc(1, sizeof(FakeHost));
        if (!host)
                return -ENOMEM;

        host_init(&host->base, loop, &host_fake_vtable);
        host->machine = machine;
        host->connect.fn = host_fake_on_connect;
        machine->host = host;
        *ret_host = &host->base;
        return 0;
}

/* The machine */

int fake_machine_new(FakeMachine **ret_machine, Loop *loop) {
        FakeMachine *machine = calloc(1, sizeof(FakeMachine));

        if (!machine)
                return -ENOMEM;

        machine->loop = loop;
        machine->is_connected = true;
        machine->guard.fn = on_guard;
        *ret_machine = machine;
        return 0;
}

static void machine_clear(FakeMachine *machine) {
        HashNode *node;

        while ((node = hash_map_first(&machine->units)))
                machine_remove(machine, container_of(node, FakeUnit, node));
}

FakeMachine *fake_machine_free(FakeMachine *machine) {
        if (!machine)
                return NULL;

        assert(!machine->host);
        timer_clear(&machine->guard);
        machine_clear(machine);
        hash_map_done(&machine->units);
        free(machine);
        return NULL;
}

void fake_machine_reboot(FakeMachine *machine) {
        FakeHost *host = machine->host;
        HashNode *node = hash_map_first(&machine->units);

        if (host && host->has_started) {
                host_set_ready(&host->base, false, "the machine lost power");
                host_end_all(&host->base, -ENOTCONN, "the machine lost power");
        }

        for (; node; node = hash_map_next(&machine->units, node)) {
                FakeUnit *unit = container_of(node, FakeUnit, node);

                if (unit_is_active(unit) && machine->observer)
                        machine->observer(unit->name, false, machine->observer_userdata);
        }
        machine_clear(machine);
        timer_clear(&machine->guard);
        machine->guarded_until_us = 0;

        if (!host || !host->has_started)
                return;
        while ((node = hash_map_first(&host->base.units)))
                host_entry_remove(&host->base, container_of(node, HostEntry, unit.node));
        timer_set_in(host->base.loop, &host->connect, 0);
}

void fake_machine_set_full(FakeMachine *machine, bool is_full) {
        machine->is_full = is_full;
}

void fake_machine_set_connected(FakeMachine *machine, bool is_connected) {
        FakeHost *host = machine->host;

        if (machine->is_connected == is_connected)
                return;

        machine->is_connected = is_connected;
        if (!host || !host->has_started)
                return;
        if (is_connected) {
                timer_set_in(host->base.loop, &host->connect, 0);
                return;
        }
        host_set_ready(&host->base, false, "the service manager went away");
        host_end_all(&host->base, -ENOTCONN, "the service manager went away");
}

void fake_machine_unit_exit(FakeMachine *machine, const char *name, bool is_clean) {
        FakeUnit *unit = machine_find(machine, name);

        if (!unit || !unit_is_active(unit))
                return;
        if (is_clean)
                unit_set_state(unit, "inactive", "dead");
        else
                unit_set_state(unit, "failed", "failed");
}

void fake_machine_unit_revive(FakeMachine *machine, const char *name) {
        FakeUnit *unit = machine_find(machine, name);

        if (unit && !unit_is_active(unit))
                unit_set_state(unit, "active", "running");
}

unsigned fake_machine_unit_starts(const FakeMachine *machine, const char *name) {
        const FakeUnit *unit = machine_find(machine, name);

        return unit ? unit->n_starts : 0;
}

bool fake_machine_unit_is_active(const FakeMachine *machine, const char *name) {
        const FakeUnit *unit = machine_find(machine, name);

        return unit && unit_is_active(unit);
}

bool fake_machine_unit_is_running(const FakeMachine *machine, const char *name) {
        const FakeUnit *unit = machine_find(machine, name);

        return unit && !unit_is_dead(unit);
}

void fake_machine_set_observer(FakeMachine *machine,
                               void (*fn)(const char *name, bool is_active, void *userdata),
                               void *userdata) {
        machine->observer = fn;
        machine->observer_userdata = userdata;
}
