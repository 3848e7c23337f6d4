/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* HTTP without sockets: requests handed to the API of a daemon, and its answers, in memory. It
 * stands in for lib/http (http-server.h), which programs that link this do not link. */

#include "api/api.h"
#include "lib/base/list.h"

/* How a request ended: its status and body; 0 when the connection broke before an answer. Runs once,
 * and may send the next request. */
typedef void (*ExchangeDone)(int status, const Buf *body, void *userdata);

/* The connections to one daemon. Zeroed but for `api` it has none. */
typedef struct ExchangeServer {
        Api *api;  /* borrowed */
        List open; /* requests without an answer */
} ExchangeServer;

/* Send a request; copies. */
void exchange_send(ExchangeServer *server, const char *method, const char *path, const char *body,
                   ExchangeDone done, void *userdata);

/* Break every connection, as a daemon that ends does, before its API is closed. */
void exchange_break_all(ExchangeServer *server);
