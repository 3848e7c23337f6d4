/* SPDX-License-Identifier: Apache-2.0 */

/* GET machines and PATCH machines (contract sections 4.3, 4.4, 4.8).
 *
 * A page is a stretch of machine/ and the same stretch of metadata/ at the same revision, merged. A
 * patch is applied machine by machine in the order in which the machines first occur, each with all
 * its changes in one transaction that compares the metadata's revision. Carried out twice it does
 * the same, so an answer that never came is dealt with by doing it again.
 */

#include <assert.h>
#include <errno.h>

#include "api/api-private.h"
#include "lib/model/entity.h"

/* GET machines */

typedef struct MachinesCall {
        ApiCall call;
        PageToken token;
        int64_t revision;
        Machine *machines; /* owned */
        size_t n_machines;
        char *last; /* owned: last key of the stretch */
        bool more;
} MachinesCall;

static void machines_free(ApiCall *call) {
        MachinesCall *machines = container_of(call, MachinesCall, call);

        for (size_t i = 0; i < machines->n_machines; i++)
                machine_done(&machines->machines[i]);
        free(machines->machines);
        free(machines->last);
        page_token_done(&machines->token);
        free(machines);
}

static const ApiCallVtable machines_vtable = { .free = machines_free };

static int machines_merge(MachinesCall *machines, const RegistryPage *page) {
        size_t i = 0;

        for (size_t n = 0; n < page->n_records; n++) {
                const Record *record = &page->records[n];
                Metadata merged;
                int r;

                while (i < machines->n_machines &&
                       strcmp(machines->machines[i].id, record->key.machine) < 0)
                        i++;
                if (record->is_bad || i == machines->n_machines ||
                    !streq(machines->machines[i].id, record->key.machine))
                        continue;
                r = metadata_merge(&machines->machines[i].metadata, &record->metadata, &merged);
                if (r < 0)
                        return r;
                metadata_done(&machines->machines[i].metadata);
                machines->machines[i].metadata = merged;
        }
        return 0;
}

static void on_metadata(ApiCall *call, const RegistryPage *page) {
        MachinesCall *machines = container_of(call, MachinesCall, call);
        _cleanup_(freep) char *token = NULL;
        Buf body = buf_make(API_REPLY_MAX_BYTES);
        int r;

        r = machines_merge(machines, page);
        if (r == 0 && machines->more) {
                token = page_token_encode(call->token_limit, machines->revision, machines->last);
                r = token ? 0 : -ENOMEM;
        }
        if (r == 0)
                r = page_encode(&(Page){ .machines = machines->machines,
                                         .n_machines = machines->n_machines,
                                         .next_page_token = token },
                                &body);
        if (r == 0)
                api_call_reply(call, 200, &body);
        else
                api_call_fail(call, r);
        buf_done(&body);
}

static int machines_take(MachinesCall *machines, const RegistryPage *page) {
        machines->machines = calloc(page->n_records + 1, sizeof(Machine));
        machines->last = strdup(page->n_records > 0 ? page->records[page->n_records - 1].key.machine
                                                    : "");
        if (!machines->machines || !machines->last)
                return -ENOMEM;

        for (size_t i = 0; i < page->n_records; i++) {
                const Record *record = &page->records[i];
                Machine *machine = &machines->machines[machines->n_machines];
                int r;

                if (record->is_bad)
                        continue;
                machines->n_machines++;
                machine->id = strdup(record->key.machine);
                machine->is_leaving = record->machine.is_leaving;
                if (record->machine.address)
                        machine->primary_ip = strdup(record->machine.address);
                r = metadata_copy(&record->machine.metadata, &machine->metadata);
                if (!machine->id || (record->machine.address && !machine->primary_ip) || r < 0)
                        return -ENOMEM;
        }
        return 0;
}

static void on_machines(ApiCall *call, const RegistryPage *page) {
        MachinesCall *machines = container_of(call, MachinesCall, call);
        RegistryRange range = { .key = { .kind = RECORD_METADATA } };
        int r;

        machines->revision = page->revision;
        machines->more = page->more;
        r = machines_take(machines, page);
        if (r < 0) {
                api_call_fail(call, r);
                return;
        }

        range.after = machines->token.after;
        range.until = machines->last;
        range.revision = machines->revision;
        api_call_read(call, &range, on_metadata);
}

static void machines_read(MachinesCall *machines) {
        const RegistryRange range = {
                .key = { .kind = RECORD_MACHINE },
                .after = machines->token.after,
                .revision = machines->token.revision,
                .limit = machines->call.token_limit,
        };

        api_call_read(&machines->call, &range, on_machines);
}

static void on_skipped(ApiCall *call, const RegistryPage *page) {
        MachinesCall *machines = container_of(call, MachinesCall, call);
        Buf empty = buf_make(2);

        if (page->more && page->n_records > 0) {
                machines->token.revision = page->revision;
                machines->token.after = strdup(page->records[page->n_records - 1].key.machine);
                if (machines->token.after)
                        machines_read(machines);
                else
                        api_call_fail(call, -ENOMEM);
                return;
        }

        if (buf_append_string(&empty, "{}") == 0)
                api_call_reply(call, 200, &empty);
        else
                api_call_fail(call, -ENOMEM);
        buf_done(&empty);
}

void api_machines_list(Api *api, HttpExchange *exchange, const char *name) {
        RegistryRange range = { .key = { .kind = RECORD_MACHINE }, .keys_only = true };
        MachinesCall *machines;
        PageToken token;

        (void)name;
        if (!api_page_token(api, exchange, &token))
                return;

        machines = api_call_new(sizeof(*machines), api, exchange, &machines_vtable);
        if (!machines) {
                page_token_done(&token);
                return;
        }

        machines->token = token;
        if (token.page <= 1) {
                machines_read(machines);
                return;
        }
        range.limit = (int64_t)(token.page - 1) * api->options.token_limit;
        api_call_read(&machines->call, &range, on_skipped);
}

/* PATCH machines */

typedef struct PatchCall {
        ApiCall call;
        MetadataChange *changes; /* owned; those that are done have lost their machine */
        size_t n_changes;
        size_t i_machine;    /* the first change of the machine at hand */
        unsigned n_attempts; /* for this machine */
} PatchCall;

static void patch_free(ApiCall *call) {
        PatchCall *patch = container_of(call, PatchCall, call);

        metadata_changes_free(patch->changes, patch->n_changes);
        free(patch);
}

static const ApiCallVtable patch_vtable = { .free = patch_free };

static void patch_next(PatchCall *patch);
static void patch_read(PatchCall *patch);

static void on_patched(ApiCall *call, int status) {
        PatchCall *patch = container_of(call, PatchCall, call);
        const char *machine = patch->changes[patch->i_machine].machine;

        if (status != 0) {
                if (patch->n_attempts < API_ATTEMPTS_MAX)
                        patch_read(patch);
                else
                        api_call_fail(call, status);
                return;
        }

        for (size_t i = patch->n_changes; i-- > patch->i_machine;) {
                if (patch->changes[i].machine && streq(patch->changes[i].machine, machine))
                        free(TAKE(patch->changes[i].machine));
        }
        patch->n_attempts = 0;
        patch_next(patch);
}

/* A removed key becomes empty: that hides the configured one (contract section 4.8). */
static int patch_apply(const PatchCall *patch, Metadata *metadata) {
        const char *machine = patch->changes[patch->i_machine].machine;
        int r = 0;

        for (size_t i = patch->i_machine; i < patch->n_changes && r == 0; i++) {
                const MetadataChange *change = &patch->changes[i];

                if (change->machine && streq(change->machine, machine))
                        r = metadata_set(metadata, change->key, change->value ? change->value : "");
        }
        return r;
}

static void on_patch_read(ApiCall *call, const RegistryPage *page) {
        PatchCall *patch = container_of(call, PatchCall, call);
        const char *machine = patch->changes[patch->i_machine].machine;
        const Record *record = page->n_records > 0 ? page->records : NULL;
        _cleanup_(metadata_done) Metadata metadata = { 0 };
        int r = 0;

        if (record && !record->is_bad)
                r = metadata_copy(&record->metadata, &metadata);
        if (r == 0)
                r = patch_apply(patch, &metadata);
        if (r < 0) {
                api_call_fail(call, r);
                return;
        }

        patch->n_attempts++;
        registry_write_begin(&call->write, call->api->registry);
        registry_write_if_open(&call->write);
        registry_write_if_modified_at(&call->write,
                                      (RecordKey){ .kind = RECORD_METADATA, .machine = machine },
                                      record ? record->mod_revision : 0);
        registry_write_put_metadata(&call->write, machine, &metadata);
        api_call_write(call, on_patched);
}

static void patch_read(PatchCall *patch) {
        const RegistryRange range = {
                .key = { .kind = RECORD_METADATA,
                         .machine = patch->changes[patch->i_machine].machine },
        };

        api_call_read(&patch->call, &range, on_patch_read);
}

static void patch_next(PatchCall *patch) {
        HttpExchange *exchange;
        Api *api = patch->call.api;

        while (patch->i_machine < patch->n_changes && !patch->changes[patch->i_machine].machine)
                patch->i_machine++;
        if (patch->i_machine < patch->n_changes) {
                patch_read(patch);
                return;
        }

        exchange = TAKE(patch->call.exchange);
        if (exchange)
                api_reply_bytes(api, exchange, 204, "application/json", NULL);
        api_call_end(&patch->call);
}

void api_machines_patch(Api *api, HttpExchange *exchange, const char *name) {
        MetadataChange *changes;
        size_t n_changes, n_bytes;
        PatchCall *patch;
        Diag diag = { 0 };
        const char *body;
        int r;

        (void)name;
        body = http_exchange_body(exchange, &n_bytes);
        r = n_bytes == 0 ? diag_set(&diag, -EBADMSG, "EOF")
                         : metadata_changes_decode(body, n_bytes, &changes, &n_changes, &diag);
        if (r == -EBADMSG) {
                api_reply_error(api, exchange, 400, "%s", diag.message);
                return;
        }
        if (r < 0) {
                api_reply_failure(api, exchange, r);
                return;
        }

        if (n_changes > API_BATCH_MAX) {
                metadata_changes_free(changes, n_changes);
                api_reply_error(api, exchange, 413, "more than %d changes", API_BATCH_MAX);
                return;
        }

        patch = api_call_new(sizeof(*patch), api, exchange, &patch_vtable);
        if (!patch) {
                metadata_changes_free(changes, n_changes);
                return;
        }
        patch->changes = changes;
        patch->n_changes = n_changes;
        patch_next(patch);
}
