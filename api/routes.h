/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* From a request to its handler. */

#include "api/api.h"

/* Answer the request, now or later, by the rules of contract section 4.2. */
void api_route(Api *api, HttpExchange *exchange);

/* Does its route have an answer also while there is no store? */
bool api_route_is_local(const HttpExchange *exchange);

/* The path without double slashes and dot segments; a slash at its end stays. The caller frees;
 * NULL = out of memory. */
char *api_path_clean(const char *path);
