/* SPDX-License-Identifier: Apache-2.0 */

/* The cluster harness: everything here either works or fails the test. */

#include "tests/sim/cluster.h"

#include <check.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/log.h"

static void on_up(int64_t lease, int64_t revision, void *userdata) {
        SimMachine *machine = userdata;

        if (machine->is_closing)
                return;
        agent_set_lease(machine->agent, lease, revision);
        engine_set_lease(machine->engine, lease);
        api_set_available(machine->server.api, true);
}

static void on_kept(uint64_t until_us, uint64_t ttl_us, void *userdata) {
        SimMachine *machine = userdata;

        if (!machine->is_closing)
                agent_set_valid_until(machine->agent, until_us, ttl_us);
}

static void on_closed(bool is_closed, void *userdata) {
        SimMachine *machine = userdata;
        int64_t lease = is_closed ? 0 : presence_lease(machine->presence);

        if (machine->is_closing)
                return;
        engine_set_lease(machine->engine, lease);
        api_set_closed(machine->server.api,
                       is_closed ? presence_why_closed(machine->presence) : NULL);
        api_set_available(machine->server.api, lease != 0);
}

static void on_down(void *userdata) {
        SimMachine *machine = userdata;

        if (machine->is_closing)
                return;
        agent_set_lease(machine->agent, 0, 0);
        engine_set_lease(machine->engine, 0);
        api_set_available(machine->server.api, false);
}

static void on_change(const char *name, bool is_active, void *userdata) {
        (void)name;
        (void)is_active;
        ((SimMachine *)userdata)->n_changes++;
}

static char address[] = "192.0.2.1", version[] = "2.0.0";

static MachineRecord machine_record(SimMachine *machine) {
        MachineRecord record = { .address = address,
                                 .hostname = machine->hostname,
                                 .version = version,
                                 .is_leaving = machine->is_leaving };

        if (machine->metadata)
                ck_assert_int_eq(metadata_parse(machine->metadata, &record.metadata, NULL), 0);
        return record;
}

static void machine_join(SimMachine *machine, Registry *registry) {
        MachineRecord record = machine_record(machine);
        const PresenceOptions options = {
                .machine = machine->id,
                .record = &record,
                .ttl_us = SIM_TTL_S * US_PER_S,
                .lease_path = machine->lease_path,
        };
        const PresenceListener listener = { .on_up = on_up,
                                            .on_down = on_down,
                                            .on_kept = on_kept,
                                            .on_closed = on_closed,
                                            .userdata = machine };

        ck_assert_int_eq(presence_new(&machine->presence, registry, &options, &listener), 0);
        metadata_done(&record.metadata);
}

void sim_start(Sim *sim, size_t i) {
        SimMachine *machine = &sim->machines[i];
        const AgentOptions agent_options = {
                .machine = machine->id,
                .earlier_lease = presence_earlier_lease(machine->lease_path),
        };
        const EngineOptions engine_options = {
                .machine = machine->id,
                .is_disabled = sim->is_engine_disabled,
                .eviction_limit = { .percent = SIM_EVICTION_PERCENT },
                .ttl_us = SIM_TTL_S * US_PER_S
        };
        const ApiOptions api_options = { .token_limit = 100 };
        Registry *registry;

        ck_assert_ptr_null(machine->agent);
        machine->is_closing = machine->is_leaving = machine->has_left = false;
        machine->client = rig_connect_on(&sim->rig, machine->loop);
        registry = sim->rig.registries[machine->client];
        ck_assert_int_eq(host_fake_new(&machine->host, machine->fake, machine->loop), 0);
        ck_assert_int_eq(agent_new(&machine->agent, registry, machine->host, &agent_options), 0);
        ck_assert_int_eq(engine_new(&machine->engine, registry, &engine_options), 0);
        ck_assert_int_eq(api_new(&machine->server.api, registry, &api_options), 0);
        machine_join(machine, registry);
        ck_assert_int_eq(agent_start(machine->agent), 0);
}

static void on_agent_closed(Agent *agent, void *userdata) {
        (void)agent;
        ((SimMachine *)userdata)->n_closing--;
}

static void on_engine_closed(Engine *engine, void *userdata) {
        (void)engine;
        ((SimMachine *)userdata)->n_closing--;
}

static void on_api_closed(void *userdata) {
        ((SimMachine *)userdata)->n_closing--;
}

static bool is_closed(void *userdata) {
        return ((SimMachine *)userdata)->n_closing == 0;
}

static void on_agent_left(Agent *agent, void *userdata) {
        (void)agent;
        ((SimMachine *)userdata)->has_left = true;
}

void sim_leave(Sim *sim, size_t i) {
        SimMachine *machine = &sim->machines[i];
        MachineRecord record;

        machine->is_leaving = true;
        record = machine_record(machine);
        ck_assert_int_eq(presence_update(machine->presence, &record, SIM_TTL_S * US_PER_S), 0);
        metadata_done(&record.metadata);
        agent_leave(machine->agent, on_agent_left, machine);
}

static void on_presence_left(void *userdata) {
        ((SimMachine *)userdata)->n_closing--;
}

static void presence_stop_or_leave(Sim *sim, SimMachine *machine) {
        if (!machine->has_left) {
                presence_stop(machine->presence);
                return;
        }
        machine->n_closing = 1;
        presence_leave(machine->presence, on_presence_left, machine);
        rig_wait(&sim->rig, 10000, is_closed, machine);
}

void sim_stop(Sim *sim, size_t i) {
        SimMachine *machine = &sim->machines[i];

        machine->is_closing = true;
        sim_pause(sim, i, false);
        exchange_break_all(&machine->server);
        machine->n_closing = 3;
        api_close(machine->server.api, on_api_closed, machine);
        agent_close(machine->agent, on_agent_closed, machine);
        engine_close(machine->engine, on_engine_closed, machine);
        rig_wait(&sim->rig, 10000, is_closed, machine);
        presence_stop_or_leave(sim, machine);
        machine->agent = agent_free(machine->agent);
        machine->engine = engine_free(machine->engine);
        machine->host = host_free(machine->host);

        /* A request of the presence may be on its way until the store has closed. */
        rig_close(&sim->rig, machine->client);
        machine->presence = presence_free(machine->presence);
}

void sim_crash(Sim *sim, size_t i) {
        sim_cut(sim, i, true);
        sim_stop(sim, i);
}

void sim_power_off(Sim *sim, size_t i) {
        if (sim->machines[i].agent)
                sim_crash(sim, i);
        fake_machine_reboot(sim->machines[i].fake);
        (void)unlink(sim->machines[i].lease_path);
}

void sim_cut(Sim *sim, size_t i, bool is_cut) {
        rig_cut(&sim->rig, sim->machines[i].client, is_cut);
}

void sim_pause(Sim *sim, size_t i, bool is_paused) {
        virtual_env_pause_loop(&sim->rig.env, sim->machines[i].loop, is_paused);
}

void sim_init(Sim *sim, uint64_t seed, size_t n_machines, bool is_engine_disabled) {
        ck_assert_uint_le(n_machines, SIM_MACHINES_MAX);
        *sim = (Sim){ .n_machines = n_machines, .is_engine_disabled = is_engine_disabled };
        log_set_max_priority(LOG_CRIT);
        rig_init(&sim->rig, seed);
        (void)snprintf(sim->directory, sizeof(sim->directory), "/tmp/fleet-sim-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(sim->directory));

        for (size_t i = 0; i < n_machines; i++) {
                SimMachine *machine = &sim->machines[i];

                machine->sim = sim;
                memset(machine->id, '0' + (int)i, 32);
                (void)snprintf(machine->hostname, sizeof(machine->hostname), "host%zu", i);
                (void)snprintf(machine->lease_path, sizeof(machine->lease_path), "%s/lease%zu",
                               sim->directory, i);
                ck_assert_int_eq(loop_new(&machine->loop, &sim->rig.env.env), 0);
                virtual_env_add_loop(&sim->rig.env, machine->loop);
                ck_assert_int_eq(fake_machine_new(&machine->fake, sim->rig.loop), 0);
                fake_machine_set_observer(machine->fake, on_change, machine);
                sim_start(sim, i);
        }
}

void sim_done(Sim *sim) {
        for (size_t i = 0; i < sim->n_machines; i++) {
                if (sim->machines[i].agent)
                        sim_stop(sim, i);
                (void)fake_machine_free(sim->machines[i].fake);
                virtual_env_remove_loop(&sim->rig.env, sim->machines[i].loop);
                (void)loop_free(sim->machines[i].loop);
                (void)unlink(sim->machines[i].lease_path);
        }
        rig_done(&sim->rig);
        ck_assert_int_eq(rmdir(sim->directory), 0);
        log_set_max_priority(LOG_INFO);
}

void sim_submit(Sim *sim, const char *unit, const char *text, JobState desired) {
        rig_set_unit(&sim->rig, unit, text, desired, (uint64_t)rig_revision(&sim->rig) + 1);
}

void sim_restart(Sim *sim, const char *unit, const char *machine) {
        _cleanup_(unit_record_done) UnitRecord record = { 0 };
        uint64_t generation;
        const char *text;
        char key[300], *json;

        (void)snprintf(key, sizeof(key), "unit/%s", unit);
        text = rig_get(&sim->rig, key);
        ck_assert_ptr_nonnull(text);
        ck_assert_int_eq(unit_record_decode(text, strlen(text), &record, NULL), 0);
        generation = unit_record_last_generation(&record) + 1;
        if (machine)
                ck_assert_int_eq(restarts_set(&record.restarts, machine, generation), 0);
        else
                record.generation = record.restart = generation;
        ck_assert_int_eq(unit_record_encode(&record, &json), 0);
        rig_set(&sim->rig, key, json);
        free(json);
}

void sim_destroy(Sim *sim, const char *unit) {
        char key[300];

        (void)snprintf(key, sizeof(key), "unit/%s", unit);
        rig_remove(&sim->rig, key);
}

void sim_set_row(Sim *sim, size_t machine, const char *unit, const char *text, JobState desired,
                 uint64_t generation) {
        char key[300], value[256], hash[UNIT_HASH_BYTES];

        rig_set_file(&sim->rig, text, hash);
        (void)snprintf(key, sizeof(key), "schedule/%s/%s", sim->machines[machine].id, unit);
        (void)snprintf(value, sizeof(value),
                       "{\"desired\":\"%s\",\"file\":\"%s\",\"generation\":%llu}",
                       job_state_to_string(desired), hash, (unsigned long long)generation);
        rig_set(&sim->rig, key, value);
}

void sim_remove_row(Sim *sim, size_t machine, const char *unit) {
        char key[300];

        (void)snprintf(key, sizeof(key), "schedule/%s/%s", sim->machines[machine].id, unit);
        rig_remove(&sim->rig, key);
}

const char *sim_state(Sim *sim, size_t machine, const char *unit) {
        const char *text;
        char key[300];

        (void)snprintf(key, sizeof(key), "state/%s/%s", sim->machines[machine].id, unit);
        text = rig_get(&sim->rig, key);
        return text ? text : "";
}

unsigned sim_copies(const Sim *sim, const char *unit) {
        unsigned n = 0;

        for (size_t i = 0; i < sim->n_machines; i++)
                n += fake_machine_unit_is_active(sim->machines[i].fake, unit);
        return n;
}

unsigned sim_running(const Sim *sim, const char *unit) {
        unsigned n = 0;

        for (size_t i = 0; i < sim->n_machines; i++)
                n += fake_machine_unit_is_running(sim->machines[i].fake, unit);
        return n;
}

typedef struct Wait {
        Sim *sim;
        size_t machine;
        const char *unit;
        const char *text;
        unsigned n_copies;
} Wait;

static bool has_copies(void *userdata) {
        const Wait *wait = userdata;

        return sim_copies(wait->sim, wait->unit) == wait->n_copies;
}

void sim_wait_copies(Sim *sim, const char *unit, unsigned n_copies, uint64_t limit_ms) {
        Wait wait = { .sim = sim, .unit = unit, .n_copies = n_copies };

        ck_assert_msg(virtual_env_run(&sim->rig.env, sim->rig.loop,
                                      sim->rig.env.now_us + limit_ms * US_PER_MS, has_copies,
                                      &wait),
                      "%s: %u copies, not %u, after %llu ms", unit, sim_copies(sim, unit), n_copies,
                      (unsigned long long)limit_ms);
}

static bool has_state(void *userdata) {
        const Wait *wait = userdata;
        const char *state;
        StoreBytes value;
        char key[300], text[2048];

        /* Without a copy that lives as long as the rig: this is asked after each turn. */
        (void)snprintf(key, sizeof(key), "/fleet/state/%s/%s",
                       wait->sim->machines[wait->machine].id, wait->unit);
        if (!memory_store_read(wait->sim->rig.memory, key, &value))
                return !wait->text;
        (void)snprintf(text, sizeof(text), "%.*s", (int)value.n_bytes, (const char *)value.data);
        state = text;
        return wait->text && strstr(state, wait->text);
}

void sim_wait_state(Sim *sim, size_t machine, const char *unit, const char *text,
                    uint64_t limit_ms) {
        Wait wait = { .sim = sim, .machine = machine, .unit = unit, .text = text };

        ck_assert_msg(virtual_env_run(&sim->rig.env, sim->rig.loop,
                                      sim->rig.env.now_us + limit_ms * US_PER_MS, has_state, &wait),
                      "%s on machine %zu: \"%s\" instead of %s after %llu ms", unit, machine,
                      sim_state(sim, machine, unit), text ? text : "none",
                      (unsigned long long)limit_ms);
}
