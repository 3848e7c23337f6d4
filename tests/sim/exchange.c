/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/sim/exchange.h"

#include <check.h>
#include <string.h>

#include "lib/http/http-server.h"

enum { REPLY_MAX_BYTES = 16 * 1024 * 1024 };

struct HttpExchange {
        ListNode node; /* in ExchangeServer.open */
        HttpMethod method;
        char *path; /* owned */
        char *body; /* owned */
        unsigned tag;
        int status; /* of a reply in pieces */
        Buf reply;
        void (*closed)(HttpExchange *exchange, void *userdata);
        void *closed_userdata;
        ExchangeDone done;
        void *done_userdata;
};

static HttpMethod method_of(const char *name) {
        static const char *const names[_HTTP_METHOD_MAX] = {
                [HTTP_GET] = "GET",         [HTTP_HEAD] = "HEAD",     [HTTP_POST] = "POST",
                [HTTP_PUT] = "PUT",         [HTTP_DELETE] = "DELETE", [HTTP_PATCH] = "PATCH",
                [HTTP_OPTIONS] = "OPTIONS",
        };

        for (int i = 0; i < _HTTP_METHOD_MAX; i++)
                if (names[i] && streq(names[i], name))
                        return (HttpMethod)i;
        return HTTP_OTHER;
}

void exchange_send(ExchangeServer *server, const char *method, const char *path, const char *body,
                   ExchangeDone done, void *userdata) {
        HttpExchange *exchange = calloc(1, sizeof(*exchange));

        ck_assert_ptr_nonnull(exchange);
        exchange->method = method_of(method);
        exchange->path = strdup(path);
        exchange->body = strdup(body ? body : "");
        exchange->reply = buf_make(REPLY_MAX_BYTES);
        exchange->done = done;
        exchange->done_userdata = userdata;
        list_append(&server->open, &exchange->node);
        api_handle(exchange, server->api);
}

/* The end of a request: it is gone before its sender hears of it. */
static void exchange_end(HttpExchange *exchange, int status) {
        ExchangeDone done = exchange->done;
        void *userdata = exchange->done_userdata;
        Buf reply = exchange->reply;

        list_remove(&exchange->node);
        free(exchange->path);
        free(exchange->body);
        free(exchange);
        done(status, &reply, userdata);
        buf_done(&reply);
}

void exchange_break_all(ExchangeServer *server) {
        ListNode *node;

        while ((node = list_first(&server->open))) {
                HttpExchange *exchange = container_of(node, HttpExchange, node);

                if (exchange->closed)
                        exchange->closed(exchange, exchange->closed_userdata);
                exchange_end(exchange, 0);
        }
}

/* What the API asks of lib/http. */

HttpMethod http_exchange_method(const HttpExchange *exchange) {
        return exchange->method;
}

const char *http_exchange_path(const HttpExchange *exchange) {
        return exchange->path;
}

const char *http_exchange_query(const HttpExchange *exchange) {
        (void)exchange;
        return NULL;
}

const char *http_exchange_header(const HttpExchange *exchange, const char *name) {
        (void)exchange;
        return strcasecmp(name, "Content-Type") == 0 ? "application/json" : NULL;
}

unsigned http_exchange_count_header(const HttpExchange *exchange, const char *name) {
        return http_exchange_header(exchange, name) != NULL;
}

const char *http_exchange_body(const HttpExchange *exchange, size_t *ret_n_bytes) {
        *ret_n_bytes = strlen(exchange->body);
        return exchange->body;
}

void http_reply(HttpExchange *exchange, int status, const char *content_type, const Buf *body) {
        (void)content_type;
        if (body)
                ck_assert_int_eq(buf_append(&exchange->reply, body->data, body->n_bytes), 0);
        exchange_end(exchange, status);
}

int http_exchange_add_header(HttpExchange *exchange, const char *name, const char *value) {
        (void)exchange;
        (void)name;
        (void)value;
        return 0;
}

void http_exchange_hide_server(HttpExchange *exchange) {
        (void)exchange;
}

void http_reply_begin(HttpExchange *exchange, int status, const char *content_type) {
        (void)content_type;
        exchange->status = status;
}

int http_reply_piece(HttpExchange *exchange, const void *bytes, size_t n_bytes) {
        return buf_append(&exchange->reply, bytes, n_bytes);
}

void http_reply_end(HttpExchange *exchange) {
        exchange_end(exchange, exchange->status);
}

void http_exchange_set_tag(HttpExchange *exchange, unsigned tag) {
        exchange->tag = tag;
}

unsigned http_exchange_tag(const HttpExchange *exchange) {
        return exchange->tag;
}

void http_exchange_set_closed(HttpExchange *exchange,
                              void (*closed)(HttpExchange *exchange, void *userdata),
                              void *userdata) {
        exchange->closed = closed;
        exchange->closed_userdata = userdata;
}
