/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* TLS to an https:// endpoint: whom to believe, and what to show. */

#include <curl/curl.h>

#include "fleetctl/endpoint.h"
#include "fleetctl/options.h"
#include "lib/base/diag.h"

/* Check the files that `options` name before anything is connected, so that one that cannot be read
 * is named. For an endpoint without TLS they have no effect, which is warned about in the log for
 * http://. Returns 0, or a negative errno with a message. */
int http_tls_check(const Options *options, const Endpoint *endpoint, Diag *diag);

/* Tell libcurl about the files, and to verify always. */
void http_tls_apply(CURL *easy, const Options *options);
