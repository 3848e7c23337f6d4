/* SPDX-License-Identifier: Apache-2.0 */

/* The API's life: it is made, told whether there is a store, handed requests, and closed. Closing
 * cancels every call and waits, turn by turn, until the last has ended: requests to the registry
 * end only in their callbacks.
 */

#include "api/api.h"

#include <assert.h>
#include <errno.h>

#include "api/api-private.h"
#include "api/routes.h"

static void api_on_closing(LoopDeferred *deferred) {
        Api *api = container_of(deferred, Api, closing);
        void (*closed)(void *userdata) = api->closed;
        void *userdata = api->closed_userdata;

        if (!list_is_empty(&api->calls)) {
                loop_defer(registry_loop(api->registry), deferred);
                return;
        }

        free(api->why_closed);
        free(api);
        closed(userdata);
}

int api_new(Api **ret_api, Registry *registry, const ApiOptions *options) {
        Api *api = calloc(1, sizeof(*api));

        assert(options->token_limit > 0);

        if (!api)
                return -ENOMEM;

        *api = (Api){ .registry = registry, .options = *options, .closing.fn = api_on_closing };
        *ret_api = api;
        return 0;
}

void api_set_available(Api *api, bool is_available) {
        api->is_available = is_available;
}

void api_set_closed(Api *api, const char *why) {
        free(api->why_closed);
        /* Without memory for it the usual words must do. */
        api->why_closed = why ? strdup(why) : NULL;
}

void api_set_token_limit(Api *api, uint16_t token_limit) {
        assert(token_limit > 0);

        api->options.token_limit = token_limit;
}

void api_handle(HttpExchange *exchange, void *userdata) {
        Api *api = userdata;

        if ((!api->is_available && !api_route_is_local(exchange)) || api->is_closing) {
                /* Nothing was done yet, which no other 503 says. */
                (void)http_exchange_add_header(exchange, "Retry-After", "1");
                if (api->why_closed)
                        api_reply_error(api, exchange, 503, "the store is closed: %s",
                                        api->why_closed);
                else
                        api_reply_unavailable(api, exchange);
                return;
        }
        api_route(api, exchange);
}

void api_close(Api *api, void (*closed)(void *userdata), void *userdata) {
        ListNode *next;

        assert(closed);
        assert(!api->is_closing);

        api->is_closing = true;
        api->closed = closed;
        api->closed_userdata = userdata;
        for (ListNode *node = list_first(&api->calls); node; node = next) {
                next = list_next(&api->calls, node);
                api_call_cancel(container_of(node, ApiCall, node));
        }
        loop_defer(registry_loop(api->registry), &api->closing);
}
