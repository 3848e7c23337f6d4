/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "lib/http/http-server.h"

/* Serve on every listening stream socket that the service manager passed (sd_listen_fds(3)), and on
 * nothing else. What is passed and cannot be served is logged and closed. Returns how many there
 * are, or a negative errno. */
int listen_inherited(HttpServer *server);
