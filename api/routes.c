/* SPDX-License-Identifier: Apache-2.0 */

/* Routes: one table, the same below both prefixes (contract section 4.2).
 *
 * The path is decoded first and matched as a whole, so an encoded slash in a name is a slash: no
 * unit has one. A path that is not in its shortest form is answered with a redirect to that form,
 * whatever it leads to. A known path with the wrong method is answered with the words of its row.
 */

#include "api/routes.h"

#include <ctype.h>
#include <errno.h>

#include "api/api-private.h"

static const char *const prefixes[] = { "/fleet/v1", "/v1-alpha" };

/* What a path answers to. Methods without a handler get the row's refusal. */
typedef struct ApiRoute {
        const char
                *path; /* below a prefix; with a '/' at its end: and one more segment, the name */
        ApiClass class;
        ApiHandler handlers[_HTTP_METHOD_MAX];
        int refusal_status;
        const char *refusal;
        bool is_local; /* has an answer also while there is no store */
} ApiRoute;

static const ApiRoute routes[] = {
        { "/discovery",
          API_CLASS_DISCOVERY,
          { [HTTP_GET] = api_discovery },
          400,
          "only HTTP GET supported against this resource" },
        { "/doctor",
          API_CLASS_DOCTOR,
          { [HTTP_GET] = api_doctor },
          405,
          "only GET supported against this resource",
          .is_local = true },
        { "/evictions",
          API_CLASS_EVICTIONS,
          { [HTTP_GET] = api_evictions_list },
          405,
          "only GET supported against this resource" },
        { "/evictions/",
          API_CLASS_EVICTIONS,
          { [HTTP_PUT] = api_eviction_put },
          405,
          "only PUT supported against this resource" },
        { "/machines",
          API_CLASS_MACHINES,
          { [HTTP_GET] = api_machines_list, [HTTP_PATCH] = api_machines_patch },
          405,
          "only GET and PATCH supported against this resource" },
        { "/units",
          API_CLASS_UNITS,
          { [HTTP_GET] = api_units_list, [HTTP_POST] = api_units_post },
          405,
          "only GET supported against this resource" },
        { "/units/",
          API_CLASS_UNIT,
          { [HTTP_GET] = api_unit_get, [HTTP_PUT] = api_unit_put, [HTTP_DELETE] = api_unit_delete },
          405,
          "only GET, PUT and DELETE supported against this resource" },
        { "/state",
          API_CLASS_STATES,
          { [HTTP_GET] = api_states_list },
          405,
          "only GET supported against this resource" },
        { "/state/",
          API_CLASS_STATE,
          { [HTTP_GET] = api_state_get },
          405,
          "only GET supported against this resource" },
        { "/wait",
          API_CLASS_WAIT,
          { [HTTP_POST] = api_wait },
          405,
          "only POST supported against this resource" },
};

char *api_path_clean(const char *path) {
        char *clean = malloc(strlen(path) + 2);
        size_t n = 0;

        if (!clean)
                return NULL;

        clean[n++] = '/';
        while (*path) {
                size_t n_segment = strcspn(path, "/");
                bool has_slash = path[n_segment] == '/';

                if (n_segment == 2 && strncmp(path, "..", 2) == 0) {
                        while (n > 1 && clean[--n - 1] != '/')
                                ;
                } else if (n_segment > 0 && !(n_segment == 1 && *path == '.')) {
                        memcpy(clean + n, path, n_segment);
                        n += n_segment;
                        if (has_slash)
                                clean[n++] = '/';
                }
                path += n_segment + has_slash;
        }

        clean[n] = '\0';
        return clean;
}

/* Percent-encode what may not stand in a path (RFC 3986 section 3.3), and append it. */
static int append_encoded(Buf *out, const char *path) {
        int r = 0;

        for (; *path && r == 0; path++) {
                if (isalnum((unsigned char)*path) || strchr("/-._~!$&'()*+,;=:@", *path))
                        r = buf_append(out, path, 1);
                else
                        r = buf_printf(out, "%%%02X", (unsigned char)*path);
        }
        return r;
}

static void redirect(Api *api, HttpExchange *exchange, const char *path) {
        Buf location = buf_make(64 * 1024);
        const char *query = http_exchange_query(exchange);
        int r;

        r = append_encoded(&location, path);
        if (r == 0 && query)
                r = buf_printf(&location, "?%s", query);
        if (r == 0)
                r = http_exchange_add_header(exchange, "Location", location.data);
        if (r == 0)
                api_reply_empty(api, exchange, 301);
        else
                api_reply_failure(api, exchange, r);
        buf_done(&location);
}

static const ApiRoute *route_find(const char *rest, const char **ret_name) {
        for (size_t i = 0; i < ELEMENTSOF(routes); i++) {
                size_t n_bytes = strlen(routes[i].path);
                bool takes_name = routes[i].path[n_bytes - 1] == '/';

                if (!takes_name && streq(rest, routes[i].path)) {
                        *ret_name = NULL;
                        return &routes[i];
                }
                if (takes_name && strncmp(rest, routes[i].path, n_bytes) == 0 && rest[n_bytes] &&
                    !strchr(rest + n_bytes, '/')) {
                        *ret_name = rest + n_bytes;
                        return &routes[i];
                }
        }
        return NULL;
}

/* The path behind its prefix, or NULL. */
static const char *path_rest(const char *path) {
        for (size_t i = 0; i < ELEMENTSOF(prefixes); i++) {
                size_t n_bytes = strlen(prefixes[i]);

                if (strncmp(path, prefixes[i], n_bytes) == 0 &&
                    (path[n_bytes] == '/' || !path[n_bytes]))
                        return path + n_bytes;
        }
        return NULL;
}

static void route_clean(Api *api, HttpExchange *exchange, const char *path) {
        const char *rest = path_rest(path), *name = NULL;
        HttpMethod method = http_exchange_method(exchange);
        const ApiRoute *route;

        if (streq(path, "/metrics")) {
                http_exchange_set_tag(exchange, API_CLASS_METRICS);
                api_metrics(api, exchange, NULL);
                return;
        }
        if (streq(path, "/") || (rest && !*rest)) {
                api_reply_error(api, exchange, 405, "%s", "");
                return;
        }

        route = rest ? route_find(rest, &name) : NULL;
        if (route)
                http_exchange_set_tag(exchange, route->class);
        if (!route)
                api_reply_error(api, exchange, 404, "%s", "");
        else if (!route->handlers[method])
                api_reply_error(api, exchange, route->refusal_status, "%s", route->refusal);
        else
                route->handlers[method](api, exchange, name);
}

bool api_route_is_local(const HttpExchange *exchange) {
        const char *rest = path_rest(http_exchange_path(exchange)), *name;
        const ApiRoute *route = rest ? route_find(rest, &name) : NULL;

        return route && route->is_local;
}

void api_route(Api *api, HttpExchange *exchange) {
        const char *raw = http_exchange_path(exchange);
        _cleanup_(freep) char *path = http_path_decode(raw, strlen(raw));
        _cleanup_(freep) char *clean = NULL;

        if (!path) {
                api_reply_error(api, exchange, 400, "malformed path");
                return;
        }

        clean = api_path_clean(path);
        if (!clean)
                api_reply_failure(api, exchange, -ENOMEM);
        else if (!streq(clean, path))
                redirect(api, exchange, clean);
        else
                route_clean(api, exchange, path);
}
