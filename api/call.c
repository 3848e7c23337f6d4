/* SPDX-License-Identifier: Apache-2.0 */

/* Calls: their life, their steps, and every answer of the API.
 *
 * A call is linked in the API from its beginning to its end. It ends in exactly one place,
 * api_call_end(), which is reached when it has been answered, or, after it was cancelled, when the
 * last thing in flight has ended. What fails outside a step's own outcomes is turned into an answer
 * here, so that every handler fails alike.
 */

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "api/api-private.h"
#include "lib/model/entity.h"

static const char json_type[] = "application/json";

/* Answers */

void api_count_reply(Api *api, const HttpExchange *exchange, int status) {
        size_t class = (size_t)status / 100 - 2;

        if (class < API_STATUS_CLASSES)
                api->n_replies[http_exchange_tag(exchange)][class]++;
}

void api_reply_empty(Api *api, HttpExchange *exchange, int status) {
        api_count_reply(api, exchange, status);
        http_reply(exchange, status, NULL, NULL);
}

void api_reply_bytes(Api *api, HttpExchange *exchange, int status, const char *content_type,
                     const Buf *body) {
        api_count_reply(api, exchange, status);
        http_reply(exchange, status, content_type, body);
}

static void reply_message(Api *api, HttpExchange *exchange, int status, const char *message) {
        Buf body = buf_make(API_REPLY_MAX_BYTES);

        api_count_reply(api, exchange, status);
        /* Without memory for the body the status alone must do. */
        (void)error_encode(status, message, &body);
        http_reply(exchange, status, json_type, &body);
        buf_done(&body);
}

static void reply_formatted(Api *api, HttpExchange *exchange, int status, const char *format,
                            va_list arguments) __attribute__((format(printf, 4, 0)));

static void reply_formatted(Api *api, HttpExchange *exchange, int status, const char *format,
                            va_list arguments) {
        char message[4096];

        (void)vsnprintf(message, sizeof(message), format, arguments);
        reply_message(api, exchange, status, message);
}

void api_reply_error(Api *api, HttpExchange *exchange, int status, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        reply_formatted(api, exchange, status, format, arguments);
        va_end(arguments);
}

void api_reply_unavailable(Api *api, HttpExchange *exchange) {
        http_exchange_hide_server(exchange);
        reply_message(api, exchange, 503, "fleet server unable to communicate with etcd");
}

void api_reply_failure(Api *api, HttpExchange *exchange, int status) {
        switch (status) {
        case REGISTRY_E_UNREACHABLE:
        case REGISTRY_E_UNKNOWN:
        case -ESHUTDOWN:
                api_reply_unavailable(api, exchange);
                return;
        case REGISTRY_E_COMPACTED:
                reply_message(api, exchange, 410,
                              "the list changed too long ago to continue it: begin again without "
                              "nextPageToken");
                return;
        case REGISTRY_E_CONFLICT:
                reply_message(api, exchange, 503,
                              "changed by others again and again meanwhile: try again");
                return;
        case REGISTRY_E_TOO_LARGE:
        case -E2BIG:
        case -ENOBUFS:
                reply_message(api, exchange, 413,
                              "more than one transaction of the store can hold");
                return;
        default:
                reply_message(api, exchange, 500, registry_outcome_to_string(status));
        }
}

bool api_type_is_json(const char *content_type) {
        size_t n_bytes = strcspn(content_type, ";");

        while (n_bytes > 0 &&
               (content_type[n_bytes - 1] == ' ' || content_type[n_bytes - 1] == '\t'))
                n_bytes--;
        return n_bytes == sizeof(json_type) - 1 &&
               strncasecmp(content_type, json_type, n_bytes) == 0;
}

bool api_check_content_type(Api *api, HttpExchange *exchange) {
        unsigned n = http_exchange_count_header(exchange, "Content-Type");

        if (n != 1)
                api_reply_error(api, exchange, 415, "expected 1 Content-Type, got %u", n);
        else if (!api_type_is_json(http_exchange_header(exchange, "Content-Type")))
                api_reply_error(api, exchange, 415,
                                "only acceptable Content-Type is application/json");
        else
                return true;
        return false;
}

/* Life */

static void on_client_gone(HttpExchange *exchange, void *userdata) {
        ApiCall *call = userdata;

        (void)exchange;
        call->exchange = NULL;
        api_call_cancel(call);
}

void *api_call_new(size_t size, Api *api, HttpExchange *exchange, const ApiCallVtable *vtable) {
        ApiCall *call = calloc(1, size);

        if (!call) {
                api_reply_failure(api, exchange, -ENOMEM);
                return NULL;
        }

        call->api = api;
        call->exchange = exchange;
        call->vtable = vtable;
        call->token_limit = api->options.token_limit;
        list_append(&api->calls, &call->node);
        http_exchange_set_closed(exchange, on_client_gone, call);
        return call;
}

/* Is anything of the call itself in flight? */
static bool api_call_is_busy(const ApiCall *call) {
        return registry_read_is_pending(&call->read) || registry_write_is_pending(&call->write) ||
               store_request_is_pending(&call->status) || call->fetch.n_pending > 0;
}

void api_call_end(ApiCall *call) {
        assert(!call->exchange);
        assert(!api_call_is_busy(call));

        list_remove(&call->node);
        free(call->fetch.slots);
        registry_write_clear(&call->write);
        call->vtable->free(call);
}

void api_call_ended_one(ApiCall *call) {
        if (!api_call_is_busy(call))
                api_call_end(call);
}

void api_call_cancel(ApiCall *call) {
        if (call->is_cancelled)
                return;

        call->is_cancelled = true;
        if (call->vtable->cancel)
                call->vtable->cancel(call);
        registry_read_cancel(&call->read);
        registry_write_cancel(&call->write);
        store_cancel(&call->status);
        api_fetch_cancel(&call->fetch);
        api_call_ended_one(call);
}

static void call_answer(ApiCall *call, int status, const Buf *body) {
        HttpExchange *exchange = TAKE(call->exchange);

        if (!exchange)
                return;
        if (body)
                api_reply_bytes(call->api, exchange, status, json_type, body);
        else
                api_reply_empty(call->api, exchange, status);
}

void api_call_reply(ApiCall *call, int status, const Buf *body) {
        call_answer(call, status, body);
        api_call_end(call);
}

void api_call_error(ApiCall *call, int status, const char *format, ...) {
        HttpExchange *exchange = TAKE(call->exchange);
        va_list arguments;

        if (exchange) {
                va_start(arguments, format);
                reply_formatted(call->api, exchange, status, format, arguments);
                va_end(arguments);
        }
        api_call_end(call);
}

void api_call_give_up(ApiCall *call, int status) {
        HttpExchange *exchange = TAKE(call->exchange);

        if (exchange)
                api_reply_failure(call->api, exchange, status);
        api_call_end(call);
}

void api_call_fail(ApiCall *call, int status) {
        if (call->vtable->fail)
                call->vtable->fail(call, status);
        else
                api_call_give_up(call, status);
}

/* Steps */

static void on_read(RegistryRead *read, int status, const RegistryPage *page) {
        ApiCall *call = container_of(read, ApiCall, read);

        if (call->is_cancelled)
                api_call_ended_one(call);
        else if (status != 0)
                api_call_fail(call, status);
        else
                call->read_then(call, page);
}

void api_call_read(ApiCall *call, const RegistryRange *range, ApiReadStep then) {
        int r;

        call->read_then = then;
        r = registry_read(call->api->registry, &call->read, range, on_read);
        if (r != 0)
                api_call_fail(call, r);
}

static void on_write(RegistryWrite *write, int status, int64_t revision) {
        ApiCall *call = container_of(write, ApiCall, write);

        call->revision = revision;
        if (call->is_cancelled)
                api_call_ended_one(call);
        else if (status == 0 || status == REGISTRY_E_CONFLICT || status == REGISTRY_E_UNKNOWN)
                call->write_then(call, status);
        else
                api_call_fail(call, status);
}

void api_call_write(ApiCall *call, ApiWriteStep then) {
        int r;

        call->write_then = then;
        r = registry_write_commit(&call->write, on_write);
        if (r != 0)
                api_call_fail(call, r);
}

static void on_status(StoreRequest *request, int status, const StoreReply *reply) {
        ApiCall *call = container_of(request, ApiCall, status);

        if (call->is_cancelled)
                api_call_ended_one(call);
        else
                call->status_then(call, status, reply ? &reply->status : NULL);
}

void api_call_status(ApiCall *call, ApiStatusStep then) {
        int r;

        call->status_then = then;
        r = store_status(registry_store(call->api->registry), &call->status, STORE_CALL_TIMEOUT_US,
                         on_status);
        if (r < 0)
                then(call, r, NULL);
}
