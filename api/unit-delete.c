/* SPDX-License-Identifier: Apache-2.0 */

/* DELETE units/NAME (contract section 4.7): removes the unit's record, and nothing else; the engine
 * and the agents see to the rest.
 *
 * The removal compares the record's revision, so that a copy of it that arrives late cannot remove
 * a unit made anew; and it leaves a note, so that a late copy of what made the unit cannot bring it
 * back. After a conflict, or an answer that never came, the record is read again: its
 * absence then is success, whoever removed it.
 */

#include <errno.h>

#include "api/api-private.h"
#include "lib/unit/unit-name.h"

typedef struct DeleteCall {
        ApiCall call;
        char *name; /* owned */
        unsigned n_attempts;
} DeleteCall;

static void delete_free(ApiCall *call) {
        DeleteCall *delete = container_of(call, DeleteCall, call);

        free(delete->name);
        free(delete);
}

static const ApiCallVtable delete_vtable = { .free = delete_free };

static void delete_read(DeleteCall *delete);

static void on_deleted(ApiCall *call, int status) {
        DeleteCall *delete = container_of(call, DeleteCall, call);

        if (status == 0)
                api_call_reply(call, 204, NULL);
        else if (delete->n_attempts < API_ATTEMPTS_MAX)
                delete_read(delete);
        else
                api_call_fail(call, status);
}

static void on_unit(ApiCall *call, const RegistryPage *page) {
        DeleteCall *delete = container_of(call, DeleteCall, call);
        RecordKey key = { .kind = RECORD_UNIT, .unit = delete->name };

        if (page->n_records == 0) {
                if (delete->n_attempts > 0)
                        api_call_reply(call, 204, NULL);
                else
                        api_call_error(call, 404, "unit does not exist");
                return;
        }

        delete->n_attempts++;
        registry_write_begin(&call->write, call->api->registry);
        registry_write_if_open(&call->write);
        registry_write_if_modified_at(&call->write, key, page->records->mod_revision);
        registry_write_delete_unit(&call->write, delete->name);
        api_call_write(call, on_deleted);
}

static void delete_read(DeleteCall *delete) {
        const RegistryRange range = { .key = { .kind = RECORD_UNIT, .unit = delete->name } };

        api_call_read(&delete->call, &range, on_unit);
}

void api_unit_delete(Api *api, HttpExchange *exchange, const char *name) {
        DeleteCall *delete;

        if (unit_name_check(name, NULL) < 0) {
                api_reply_error(api, exchange, 404, "unit does not exist");
                return;
        }

        delete = api_call_new(sizeof(*delete), api, exchange, &delete_vtable);
        if (!delete)
                return;

        delete->name = strdup(name);
        if (delete->name)
                delete_read(delete);
        else
                api_call_fail(&delete->call, -ENOMEM);
}
