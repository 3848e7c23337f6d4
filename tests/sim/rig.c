/* SPDX-License-Identifier: Apache-2.0 */

/* The rig: everything here either works or fails the test. */

#include "tests/sim/rig.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char prefix[] = "/fleet/";

void rig_init(Rig *rig, uint64_t seed) {
        *rig = (Rig){ 0 };
        virtual_env_init(&rig->env, seed);
        ck_assert_int_eq(loop_new(&rig->loop, &rig->env.env), 0);
        ck_assert_int_eq(memory_store_new(&rig->memory, rig->loop), 0);
}

size_t rig_connect_on(Rig *rig, Loop *loop) {
        size_t client = 0;

        while (rig->stores[client] && client + 1 < RIG_CLIENTS_MAX)
                client++;
        ck_assert_ptr_null(rig->stores[client]);
        rig->n_clients = client >= rig->n_clients ? client + 1 : rig->n_clients;
        ck_assert_int_eq(store_memory_new(&rig->stores[client], rig->memory, loop), 0);
        ck_assert_int_eq(registry_new(&rig->registries[client], rig->stores[client], loop, prefix),
                         0);
        return client;
}

size_t rig_connect(Rig *rig) {
        return rig_connect_on(rig, rig->loop);
}

static void on_closed(Store *store, void *userdata) {
        (void)store;
        *(bool *)userdata = true;
}

static bool is_true(void *userdata) {
        return *(bool *)userdata;
}

void rig_close(Rig *rig, size_t client) {
        bool is_closed = false;

        store_close(rig->stores[client], on_closed, &is_closed);
        rig_wait(rig, 1000, is_true, &is_closed);
        rig->registries[client] = registry_free(rig->registries[client]);
        rig->stores[client] = store_free(rig->stores[client]);
}

void rig_done(Rig *rig) {
        for (size_t i = 0; i < rig->n_clients; i++)
                if (rig->stores[i])
                        rig_close(rig, i);
        (void)memory_store_free(rig->memory);
        (void)loop_free(rig->loop);
        for (size_t i = 0; i < rig->n_texts; i++)
                free(rig->texts[i]);
        free(rig->texts);
}

void rig_cut(Rig *rig, size_t client, bool is_cut) {
        store_memory_set_faults(rig->stores[client], &(StoreFaults){ .is_cut = is_cut });
}

void rig_run_ms(Rig *rig, uint64_t ms) {
        virtual_env_run_for(&rig->env, rig->loop, ms * US_PER_MS);
}

void rig_wait(Rig *rig, uint64_t limit_ms, VirtualEnvPredicate is_done, void *userdata) {
        ck_assert_msg(virtual_env_run(&rig->env, rig->loop, rig->env.now_us + limit_ms * US_PER_MS,
                                      is_done, userdata),
                      "what was waited for did not happen within %llu ms",
                      (unsigned long long)limit_ms);
}

static void full_key(const char *key, char ret_full[1024]) {
        ck_assert_int_lt(snprintf(ret_full, 1024, "%s%s", prefix, key), 1024);
}

static void rig_write(Rig *rig, const char *key, StoreBytes value) {
        char full[1024];

        full_key(key, full);
        ck_assert_int_eq(memory_store_write(rig->memory, full, value), 0);
}

void rig_set(Rig *rig, const char *key, const char *value) {
        rig_write(rig, key, store_bytes(value));
}

void rig_remove(Rig *rig, const char *key) {
        rig_write(rig, key, (StoreBytes){ 0 });
}

bool rig_has(Rig *rig, const char *key) {
        StoreBytes value;
        char full[1024];

        full_key(key, full);
        return memory_store_read(rig->memory, full, &value);
}

const char *rig_get(Rig *rig, const char *key) {
        StoreBytes value;
        char full[1024];

        full_key(key, full);
        if (!memory_store_read(rig->memory, full, &value))
                return NULL;

        rig->texts = realloc(rig->texts, (rig->n_texts + 1) * sizeof(char *));
        ck_assert_ptr_nonnull(rig->texts);
        rig->texts[rig->n_texts] = strndup(value.data ? value.data : "", value.n_bytes);
        ck_assert_ptr_nonnull(rig->texts[rig->n_texts]);
        return rig->texts[rig->n_texts++];
}

void rig_set_file(Rig *rig, const char *text, char ret_hash[UNIT_HASH_BYTES]) {
        char key[64];

        unit_text_hash(text, strlen(text), ret_hash);
        (void)snprintf(key, sizeof(key), "file/%s", ret_hash);
        if (!rig_has(rig, key))
                rig_set(rig, key, text);
}

void rig_set_unit(Rig *rig, const char *name, const char *text, JobState desired,
                  uint64_t generation) {
        char key[512], value[256], hash[UNIT_HASH_BYTES];

        rig_set_file(rig, text, hash);
        (void)snprintf(key, sizeof(key), "unit/%s", name);
        (void)snprintf(value, sizeof(value),
                       "{\"desired\":\"%s\",\"file\":\"%s\",\"generation\":%llu}",
                       job_state_to_string(desired), hash, (unsigned long long)generation);
        rig_set(rig, key, value);
}

int64_t rig_revision(const Rig *rig) {
        return memory_store_revision(rig->memory);
}
