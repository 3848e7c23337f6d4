/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The HTTP API of the cluster (docs/api.md): routes, validation, paging, waiting. Reads and writes
 * records; knows no store and no socket. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/macro.h"
#include "lib/http/http-server.h"
#include "lib/registry/registry.h"

typedef struct Api Api;

/* What the API asks of the daemon for /metrics: append further families in the text format. */
typedef int (*ApiMetricsFn)(Buf *out, void *userdata);

/* What the API asks of the daemon for a checkup: how it is; all but `asked`, `wall_ms` and
 * `store_version`. Strings are borrowed until the next turn of the loop. */
typedef void (*ApiReportFn)(ReportRecord *ret_report, void *userdata);

/* How it shall behave. */
typedef struct ApiOptions {
        uint16_t token_limit; /* entries of a page, >= 1 (contract section 8) */
        ApiMetricsFn metrics; /* or NULL */
        void *metrics_userdata;
        const char *machine; /* ID of this machine; borrowed; NULL = unknown */
        ApiReportFn report;  /* or NULL */
        void *report_userdata;
} ApiOptions;

/* Make it. `registry` is borrowed and must outlive it. Returns 0 or -ENOMEM. */
int api_new(Api **ret_api, Registry *registry, const ApiOptions *options);

/* Is this machine a member of the cluster with a store in reach? While not, every request is
 * answered with 503 (contract section 4.1). Initially false. */
void api_set_available(Api *api, bool is_available);

/* The store is closed, for this reason; NULL = it is open. While it is, and no machine is available
 * for that, the 503 says so. Copied. */
void api_set_closed(Api *api, const char *why);

/* Entries of a page from now on; calls under way keep what they began with. */
void api_set_token_limit(Api *api, uint16_t token_limit);

/* The handler to give to the HTTP server, with the Api as its userdata. */
void api_handle(HttpExchange *exchange, void *userdata);

/* Free it, after the HTTP server. Requests to the registry that are in flight are cancelled;
 * `closed` runs from the loop, once, when all have ended, and the memory is gone then. */
void api_close(Api *api, void (*closed)(void *userdata), void *userdata);
