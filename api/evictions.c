/* SPDX-License-Identifier: Apache-2.0 */

/* GET evictions: are evictions held, and whose units wait; PUT evictions/MACHINE: an operator gives
 * a machine up that is missing, and its units move (docs/api.md).
 *
 * A machine that is there is never given up: its units run. That is compared in the transaction, so
 * that one that returns in that moment keeps them.
 */

#include <errno.h>

#include "api/api-private.h"

/* GET evictions */

static void free_call(ApiCall *call) {
        free(call);
}

static const ApiCallVtable held_vtable = { .free = free_call };

static void on_brake(ApiCall *call, const RegistryPage *page) {
        const Record *record = page->n_records > 0 ? page->records : NULL;
        Buf body = buf_make(API_REPLY_MAX_BYTES);
        int r;

        if (record && record->is_bad) {
                buf_done(&body);
                api_call_error(call, 500, "the record engine/brake is damaged: %s",
                               record->why_bad ? record->why_bad : "");
                return;
        }

        r = record ? buf_append(&body, record->text, record->n_text_bytes)
                   : buf_append_string(&body, "{}");
        if (r == 0)
                api_call_reply(call, 200, &body);
        else
                api_call_fail(call, r);
        buf_done(&body);
}

void api_evictions_list(Api *api, HttpExchange *exchange, const char *name) {
        const RegistryRange range = { .key = { .kind = RECORD_BRAKE } };
        ApiCall *call = api_call_new(sizeof(*call), api, exchange, &held_vtable);

        (void)name;
        if (call)
                api_call_read(call, &range, on_brake);
}

/* PUT evictions/MACHINE */

typedef struct EvictCall {
        ApiCall call;
        char *machine; /* owned */
        unsigned n_attempts;
} EvictCall;

static void evict_free(ApiCall *call) {
        EvictCall *evict = container_of(call, EvictCall, call);

        free(evict->machine);
        free(evict);
}

static const ApiCallVtable evict_vtable = { .free = evict_free };

static void evict_look(EvictCall *evict);

static void on_evicted(ApiCall *call, int status) {
        EvictCall *evict = container_of(call, EvictCall, call);

        if (status == 0)
                api_call_reply(call, 204, NULL);
        else if (evict->n_attempts < API_ATTEMPTS_MAX)
                evict_look(evict);
        else
                api_call_fail(call, status);
}

static void on_rows(ApiCall *call, const RegistryPage *page) {
        EvictCall *evict = container_of(call, EvictCall, call);
        const EvictRecord record = {
                .asked_s = env_wall_us(loop_env(registry_loop(call->api->registry))) / US_PER_S,
        };

        if (page->n_records == 0) {
                api_call_error(call, 404, "no unit is scheduled to a machine %s", evict->machine);
                return;
        }

        evict->n_attempts++;
        registry_write_begin(&call->write, call->api->registry);
        registry_write_if_open(&call->write);
        registry_write_if_absent(&call->write,
                                 (RecordKey){ .kind = RECORD_MACHINE, .machine = evict->machine });
        registry_write_if_absent(&call->write,
                                 (RecordKey){ .kind = RECORD_EVICT, .machine = evict->machine });
        registry_write_put_evict(&call->write, evict->machine, &record);
        api_call_write(call, on_evicted);
}

static void on_earlier(ApiCall *call, const RegistryPage *page) {
        EvictCall *evict = container_of(call, EvictCall, call);
        const RegistryRange rows = {
                .key = { .kind = RECORD_SCHEDULE, .machine = evict->machine },
                .limit = 1,
                .keys_only = true,
        };

        /* Asked for before. */
        if (page->n_records > 0)
                api_call_reply(call, 204, NULL);
        else
                api_call_read(call, &rows, on_rows);
}

static void on_machine(ApiCall *call, const RegistryPage *page) {
        EvictCall *evict = container_of(call, EvictCall, call);
        const RegistryRange range = {
                .key = { .kind = RECORD_EVICT, .machine = evict->machine },
        };

        if (page->n_records > 0)
                api_call_error(call, 409,
                               "machine %s is in the cluster, and not given up: stop fleet there, "
                               "and its units move",
                               evict->machine);
        else
                api_call_read(call, &range, on_earlier);
}

static void evict_look(EvictCall *evict) {
        const RegistryRange range = {
                .key = { .kind = RECORD_MACHINE, .machine = evict->machine },
        };

        api_call_read(&evict->call, &range, on_machine);
}

void api_eviction_put(Api *api, HttpExchange *exchange, const char *name) {
        EvictCall *evict = api_call_new(sizeof(*evict), api, exchange, &evict_vtable);

        if (!evict)
                return;

        evict->machine = strdup(name);
        if (evict->machine)
                evict_look(evict);
        else
                api_call_fail(&evict->call, -ENOMEM);
}
