/* SPDX-License-Identifier: Apache-2.0 */

/* Reading many records at once, with a bound on how many reads are in flight.
 *
 * Each slot reads one item after the other. The first failure stops the start of further reads; the
 * fetch ends when those in flight have ended, and then the call goes on or fails.
 */

#include <errno.h>

#include "api/api-private.h"

struct ApiFetchSlot {
        RegistryRead read;
        ApiCall *call; /* borrowed */
        size_t i;
};

static void on_item(RegistryRead *read, int status, const RegistryPage *page);

/* Start the next item in this slot, if there is one. */
static void slot_go_on(ApiFetchSlot *slot) {
        ApiFetch *fetch = &slot->call->fetch;
        RegistryRange range = { 0 };
        int r;

        if (fetch->status != 0 || fetch->next == fetch->n_items)
                return;

        slot->i = fetch->next++;
        fetch->range(slot->call, slot->i, &range);
        r = registry_read(slot->call->api->registry, &slot->read, &range, on_item);
        if (r != 0)
                fetch->status = r;
        else
                fetch->n_pending++;
}

static void fetch_end(ApiCall *call) {
        ApiFetch *fetch = &call->fetch;

        free(TAKE(fetch->slots));
        if (call->is_cancelled)
                api_call_ended_one(call);
        else if (fetch->status != 0)
                api_call_fail(call, fetch->status);
        else
                fetch->then(call);
}

static void on_item(RegistryRead *read, int status, const RegistryPage *page) {
        ApiFetchSlot *slot = container_of(read, ApiFetchSlot, read);
        ApiCall *call = slot->call;
        ApiFetch *fetch = &call->fetch;

        fetch->n_pending--;
        if (status == 0 && fetch->status == 0)
                status = fetch->take(call, slot->i, page);
        if (status != 0 && fetch->status == 0) {
                fetch->status = status;
                api_fetch_cancel(fetch);
        }

        slot_go_on(slot);
        if (fetch->n_pending == 0)
                fetch_end(call);
}

void api_call_fetch(ApiCall *call, size_t n_items, ApiStep then) {
        ApiFetch *fetch = &call->fetch;
        size_t n_slots = n_items < API_FETCH_MAX ? n_items : API_FETCH_MAX;

        fetch->n_items = n_items;
        fetch->next = fetch->n_pending = 0;
        fetch->status = 0;
        fetch->then = then;
        if (n_items == 0) {
                then(call);
                return;
        }

        fetch->slots = calloc(n_slots, sizeof(ApiFetchSlot));
        if (!fetch->slots) {
                api_call_fail(call, -ENOMEM);
                return;
        }

        for (size_t i = 0; i < n_slots; i++) {
                fetch->slots[i].call = call;
                slot_go_on(&fetch->slots[i]);
        }
        if (fetch->n_pending == 0)
                fetch_end(call);
}

void api_fetch_cancel(ApiFetch *fetch) {
        size_t n_slots = fetch->n_items < API_FETCH_MAX ? fetch->n_items : API_FETCH_MAX;

        if (fetch->status == 0)
                fetch->status = -ECANCELED;
        for (size_t i = 0; fetch->slots && i < n_slots; i++)
                registry_read_cancel(&fetch->slots[i].read);
}
