/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the client over the HTTP API share; private to them. */

#include "fleetctl/client.h"
#include "fleetctl/http.h"

/* Turn a reply that is no success into an error with the contract's words (section 2.5): -EAGAIN
 * for a 503, else -EREMOTEIO. */
int api_reply_check(const HttpRequest *request, Diag *diag);

/* Wait as client_wait_units() says. An answer that breaks off is asked for again, for the units
 * that are still open, unless that has failed for `resume_ms`. */
int api_wait(Http *http, const WaitRequest *request, uint64_t resume_ms, ClientWaiter *waiter,
             Diag *diag);
