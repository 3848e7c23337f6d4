/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where the API is, taken apart (contract sections 2.1, 2.5). */

#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/base/diag.h"

/* An endpoint. Strings owned; zeroed is none. */
typedef struct Endpoint {
        char *text;        /* as given, for messages */
        char *socket_path; /* of a unix socket, absolute; NULL for TCP */
        char *base_url;    /* what paths are appended to, without a slash at the end:
                              "http://host:port" */
        bool is_tls;       /* is it https://? */
} Endpoint;

/* Free the members; zeroed afterwards. */
void endpoint_done(Endpoint *endpoint);

/* Parse unix:///PATH (or file:///PATH, its old name), http://HOST[:PORT] and https://HOST[:PORT]. Of
 * a comma-separated list the first counts; the rest is warned about in the log. Returns 0, -ENOMEM, or -EINVAL with a
 * message. */
int endpoint_parse(const char *text, Endpoint *ret_endpoint, Diag *diag);

/* Append HOST:PORT of a TCP endpoint, the scheme's port where none is given. Errors as buf_append().
 */
int endpoint_append_target(const Endpoint *endpoint, Buf *out);
