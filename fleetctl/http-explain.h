/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Failed transfers in words for a person: what happened, and what to do (contract section 2.5). */

#include <stdbool.h>
#include <stdint.h>

#include "fleetctl/endpoint.h"
#include "lib/base/diag.h"

/* What libcurl and the connection know of a transfer that failed. */
typedef struct HttpFailure {
        const Endpoint *endpoint; /* borrowed */
        const char *words;        /* libcurl's own; borrowed, never NULL */
        int code;                 /* CURLcode */
        int error;                /* errno of the connection, or 0 */
        long verify_result;       /* why the TLS library refused the certificate; 0 = it did not */
        uint64_t waited_ms;       /* how long there was silence, for CURLE_OPERATION_TIMEDOUT */
        bool is_connected;        /* the connection stood */
        bool is_sent;             /* and the request was on its way */
        bool is_change;           /* it asked for something to be changed */
} HttpFailure;

/* May the same request succeed a moment later, as when fleetd is just being restarted? */
bool http_failure_is_passing(const HttpFailure *failure);

/* Is it about the connection, and not about who or what is at its other end? */
bool http_failure_is_of_connection(const HttpFailure *failure);

/* Put the cause into `diag`, nothing else. */
void http_cause(const HttpFailure *failure, Diag *ret_cause);

/* Put endpoint, cause and remedy into `diag`. Returns -EHOSTUNREACH for a failure that may pass by
 * itself, else -EPROTO. */
int http_explain(const HttpFailure *failure, Diag *diag);
