/* SPDX-License-Identifier: Apache-2.0 */

/* Endpoints. Only what would otherwise fail late and obscurely is checked here: the scheme, and the
 * slash that people forget after "unix://", which would turn the first directory into a host name.
 */

#include "fleetctl/endpoint.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "lib/base/log.h"
#include "lib/base/macro.h"

enum { SOCKET_PATH_MAX_BYTES = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1 }; /* unix(7) */

void endpoint_done(Endpoint *endpoint) {
        free(endpoint->text);
        free(endpoint->socket_path);
        free(endpoint->base_url);
        *endpoint = (Endpoint){ 0 };
}

static const char how_to_write[] = "write unix:///PATH, http://HOST:PORT or https://HOST:PORT";

static int parse_unix(const char *scheme, const char *rest, Endpoint *endpoint, Diag *diag) {
        if (rest[0] != '/')
                return diag_set(
                        diag, -EINVAL,
                        "unable to connect to host \"%.*s\" with scheme \"%s\": the path of a "
                        "socket begins with a third slash, %s:///PATH",
                        (int)strcspn(rest, "/"), rest, scheme, scheme);
        if (strlen(rest) > SOCKET_PATH_MAX_BYTES)
                return diag_set(diag, -EINVAL, "the socket path is longer than %d bytes: %s",
                                SOCKET_PATH_MAX_BYTES, rest);

        endpoint->socket_path = strdup(rest);
        endpoint->base_url = strdup("http://domain-sock");
        return endpoint->socket_path && endpoint->base_url ? 0 : -ENOMEM;
}

static int parse_http(const char *scheme, const char *rest, Endpoint *endpoint, Diag *diag) {
        size_t n = strlen(rest);

        while (n > 0 && rest[n - 1] == '/')
                n--;
        if (n == 0 || rest[0] == '/' || rest[0] == ':')
                return diag_set(diag, -EINVAL, "the endpoint \"%s\" names no host: %s://HOST:PORT",
                                endpoint->text, scheme);

        if (asprintf(&endpoint->base_url, "%s://%.*s", scheme, (int)n, rest) < 0) {
                endpoint->base_url = NULL;
                return -ENOMEM;
        }
        return 0;
}

static int parse_one(Endpoint *endpoint, Diag *diag) {
        const char *mark = strstr(endpoint->text, "://");
        _cleanup_(freep) char *scheme = NULL;

        if (!mark || mark == endpoint->text)
                return diag_set(diag, -EINVAL, "URL scheme undefined in \"%s\": %s", endpoint->text,
                                how_to_write);

        scheme = strndup(endpoint->text, (size_t)(mark - endpoint->text));
        if (!scheme)
                return -ENOMEM;
        for (char *c = scheme; *c; c++)
                *c = (char)tolower((unsigned char)*c);

        if (streq(scheme, "unix") || streq(scheme, "file"))
                return parse_unix(scheme, mark + 3, endpoint, diag);
        endpoint->is_tls = streq(scheme, "https");
        if (endpoint->is_tls || streq(scheme, "http"))
                return parse_http(scheme, mark + 3, endpoint, diag);
        return diag_set(diag, -EINVAL, "unsupported URL scheme \"%s\": %s", scheme, how_to_write);
}

int endpoint_parse(const char *text, Endpoint *ret_endpoint, Diag *diag) {
        _cleanup_(endpoint_done) Endpoint endpoint = { 0 };
        size_t n_first = strcspn(text, ",");
        int r;

        endpoint.text = strndup(text, n_first);
        if (!endpoint.text)
                return -ENOMEM;
        if (text[n_first] == ',')
                log_line(LOG_WARNING, "multiple endpoints provided but only the first (%s) is used",
                         endpoint.text);

        r = parse_one(&endpoint, diag);
        if (r < 0)
                return r;

        *ret_endpoint = endpoint;
        endpoint = (Endpoint){ 0 };
        return 0;
}

int endpoint_append_target(const Endpoint *endpoint, Buf *out) {
        const char *host = strstr(endpoint->base_url, "://") + 3;
        size_t n_host = strcspn(host, "/");
        const char *end = memrchr(host, ']', n_host);
        bool has_port = memchr(end ? end : host, ':', n_host - (size_t)((end ? end : host) - host));

        return buf_printf(out, "%.*s%s", (int)n_host, host,
                          has_port           ? ""
                          : endpoint->is_tls ? ":443"
                                             : ":80");
}
