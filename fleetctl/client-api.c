/* SPDX-License-Identifier: Apache-2.0 */

/* The client over the HTTP API (docs/api.md, contract section 4): paths, JSON bodies, pages, and
 * the words for what the server refuses.
 *
 * Reads and removals of many units are one request per unit, in flight together; changes of many
 * units are one request, since only that is all or nothing. Waiting stands in client-wait.c.
 */

#include "fleetctl/client-api.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "lib/base/buf.h"

enum {
        PATH_MAX_BYTES = 8 * 1024,        /* of one request, encoded */
        BODY_MAX_BYTES = 4 * 1024 * 1024, /* of one request (docs/api.md) */
        RESUME_FACTOR = 10,               /* a daemon needs longer to come back than to answer */
};

typedef struct ApiClient {
        Client client;
        Http *http;         /* owned */
        uint64_t resume_ms; /* how long a wait is asked for again when its answer breaks off */
} ApiClient;

static ApiClient *api_client(Client *client) {
        return container_of(client, ApiClient, client);
}

/* Append `text` with everything but RFC 3986's unreserved characters percent-encoded. */
static int append_encoded(Buf *path, const char *text) {
        int r = 0;

        for (; *text && r == 0; text++)
                if (isalnum((unsigned char)*text) || strchr("-._~", *text))
                        r = buf_append(path, text, 1);
                else
                        r = buf_printf(path, "%%%02X", (unsigned char)*text);
        return r;
}

static int append_parameter(Buf *path, const char *name, const char *value) {
        int r = buf_append_string(path, name);

        return r < 0 ? r : append_encoded(path, value);
}

static int unit_path(const char *name, char **ret_path) {
        _cleanup_(buf_done) Buf path = buf_make(PATH_MAX_BYTES);
        int r;

        r = buf_append_string(&path, "/fleet/v1/units/");
        if (r == 0)
                r = append_encoded(&path, name);
        if (r < 0)
                return r == -ENOBUFS ? -ENAMETOOLONG : r;

        *ret_path = buf_take_string(&path);
        return *ret_path ? 0 : -ENOMEM;
}

/* What else a message of the API needs: its words for this are those of fleet 1.0, which do not say
 * where to look. */
static const char *advice_on(const char *message) {
        return streq(message, "fleet server unable to communicate with etcd")
                       ? "; see: fleetctl doctor"
                       : "";
}

int api_reply_check(const HttpRequest *request, Diag *diag) {
        _cleanup_(freep) char *message = NULL;
        const char *body = request->reply.data ? request->reply.data : "";
        int code, error;

        if (request->status >= 200 && request->status < 300)
                return 0;
        error = request->status == HTTP_STATUS_UNAVAILABLE ? -EAGAIN : -EREMOTEIO;

        if (error_decode(body, request->reply.n_bytes, &code, &message) == 0 && message &&
            message[0] != '\0')
                return diag_set(diag, error, "googleapi: Error %d: %s%s", code, message,
                                advice_on(message));
        return diag_set(diag, error, "googleapi: got HTTP response code %ld with body: %s",
                        request->status, body);
}

/* api_reply_check() for what changes something: a 503 leaves open whether it did (docs/api.md). */
static int change_check(const HttpRequest *request, Diag *diag) {
        Diag refusal = { 0 };
        int r = api_reply_check(request, &refusal);

        if (r == 0)
                return 0;
        if (r == -EAGAIN && !request->was_turned_away)
                return diag_set(diag, r, "%s; %s", refusal.message, http_in_doubt);
        return diag_set(diag, r, "%s", refusal.message);
}

static int reply_not_understood(const HttpRequest *request, int error, Diag *diag) {
        if (error != -EBADMSG)
                return error;
        return diag_wrap(diag, error, "the reply to %s %s is not what the fleet API sends",
                         request->method, request->path);
}

static void requests_free(HttpRequest *requests, size_t n_requests) {
        for (size_t i = 0; requests && i < n_requests; i++) {
                free((char *)requests[i].path);
                buf_done(&requests[i].reply);
        }
        free(requests);
}

/* One request of this method for each unit, not yet sent. */
static int requests_new(const char *method, const StrList *names, HttpRequest **ret_requests) {
        HttpRequest *requests;

        requests = calloc(names->n_items, sizeof(*requests));
        if (!requests)
                return -ENOMEM;

        for (size_t i = 0; i < names->n_items; i++) {
                char *path;
                int r = unit_path(names->items[i], &path);

                if (r < 0) {
                        requests_free(requests, i);
                        return r;
                }
                requests[i] = (HttpRequest){ .method = method, .path = path };
        }

        *ret_requests = requests;
        return 0;
}

static int unit_from_reply(const HttpRequest *request, Unit *ret_unit, Diag *diag) {
        int r;

        if (request->status == HTTP_STATUS_NOT_FOUND)
                return 0;
        r = api_reply_check(request, diag);
        if (r < 0)
                return r;

        r = unit_decode(request->reply.data ? request->reply.data : "", request->reply.n_bytes,
                        ret_unit, diag);
        return r < 0 ? reply_not_understood(request, r, diag) : 0;
}

static int api_get_units(Client *client, const StrList *names, Unit *ret_units, Diag *diag) {
        HttpRequest *requests;
        int r;

        r = requests_new("GET", names, &requests);
        if (r < 0)
                return r;

        r = http_run(api_client(client)->http, requests, names->n_items, diag);
        for (size_t i = 0; r == 0 && i < names->n_items; i++)
                r = unit_from_reply(&requests[i], &ret_units[i], diag);

        requests_free(requests, names->n_items);
        return r;
}

static int api_delete_units(Client *client, const StrList *names, Diag *ret_diags, Diag *diag) {
        HttpRequest *requests;
        int r;

        r = requests_new("DELETE", names, &requests);
        if (r < 0)
                return r;

        r = http_run(api_client(client)->http, requests, names->n_items, diag);
        for (size_t i = 0; r == 0 && i < names->n_items; i++)
                if (requests[i].status != HTTP_STATUS_NOT_FOUND)
                        (void)change_check(&requests[i], &ret_diags[i]);

        requests_free(requests, names->n_items);
        return r;
}

/* Several units at once are refused as "NAME: <message>"; where the message of contract section 4.6
 * names the unit itself, once is enough. `text` starts at the server's message. */
static void drop_repeated_name(const Unit *units, size_t n_units, char *text) {
        for (size_t i = 0; i < n_units; i++) {
                size_t n = strlen(units[i].name);

                if (strncmp(text, units[i].name, n) != 0 || strncmp(text + n, ": ", 2) != 0)
                        continue;
                if (strstr(text + n + 2, units[i].name))
                        memmove(text, text + n + 2, strlen(text + n + 2) + 1);
                return;
        }
}

/* The server's message within "googleapi: Error 400: <message>". */
static char *message_within(Diag *diag) {
        char *mark = strstr(diag->message, ": ");

        mark = mark ? strstr(mark + 2, ": ") : NULL;
        return mark ? mark + 2 : diag->message;
}

static int api_set_units(Client *client, const Unit *units, size_t n_units, Diag *diag) {
        _cleanup_(buf_done) Buf body = buf_make(BODY_MAX_BYTES);
        HttpRequest request = { .method = "POST", .path = "/fleet/v1/units" };
        Page page = { .units = (Unit *)units, .n_units = n_units };
        Diag local = { 0 };
        int r;

        r = page_encode(&page, &body);
        if (r == -ENOBUFS)
                return diag_set(diag, -E2BIG,
                                "the files of the %zu units are more than one request can hold, "
                                "which is %d MiB: name fewer at a time",
                                n_units, BODY_MAX_BYTES / (1024 * 1024));
        if (r < 0)
                return r;

        request.body = body.data;
        request.n_body_bytes = body.n_bytes;
        r = http_run(api_client(client)->http, &request, 1, &local);
        if (r == 0) {
                r = change_check(&request, &local);
                if (r < 0)
                        drop_repeated_name(units, n_units, message_within(&local));
        }
        buf_done(&request.reply);
        return r < 0 && local.message[0] ? diag_set(diag, r, "%s", local.message) : r;
}

static int api_wait_units(Client *client, const WaitRequest *request, ClientWaiter *waiter,
                          Diag *diag) {
        ApiClient *api = api_client(client);

        return api_wait(api->http, request, api->resume_ms, waiter, diag);
}

/* --- lists --- */

/* Which list, and which part of it. */
typedef struct ListQuery {
        ListKind kind;
        const char *unit; /* only this unit's states; NULL = everything */
} ListQuery;

static int list_path(const ListQuery *query, const char *token, char **ret_path) {
        static const char *const collections[] = {
                [LIST_UNITS] = "units",
                [LIST_STATES] = "state",
                [LIST_MACHINES] = "machines",
        };
        _cleanup_(buf_done) Buf path = buf_make(PATH_MAX_BYTES);
        int r;

        r = buf_printf(&path, "/fleet/v1/%s", collections[query->kind]);
        if (r == 0 && query->unit)
                r = append_parameter(&path, "?unitName=", query->unit);
        if (r == 0 && token)
                r = append_parameter(&path,
                                     query->unit ? "&nextPageToken=" : "?nextPageToken=", token);
        if (r < 0)
                return r;

        *ret_path = buf_take_string(&path);
        return *ret_path ? 0 : -ENOMEM;
}

/* Move `n_more` items of `size` bytes to the end of the array whose pointer is at `slot`. */
static int array_move(void *slot, size_t *n_items, void *more, size_t *n_more, size_t size) {
        char *grown;

        if (*n_more == 0)
                return 0;
        grown = realloc(*(void **)slot, (*n_items + *n_more) * size);
        if (!grown)
                return -ENOMEM;

        memcpy(grown + *n_items * size, more, *n_more * size);
        *(void **)slot = grown;
        *n_items += *n_more;
        *n_more = 0;
        return 0;
}

/* Move everything on `page` to the end of `all`, and the token with it. */
static int page_append(Page *all, Page *page) {
        int r;

        r = array_move(&all->units, &all->n_units, page->units, &page->n_units, sizeof(Unit));
        if (r == 0)
                r = array_move(&all->states, &all->n_states, page->states, &page->n_states,
                               sizeof(UnitState));
        if (r == 0)
                r = array_move(&all->machines, &all->n_machines, page->machines, &page->n_machines,
                               sizeof(Machine));
        if (r < 0)
                return r;

        free(all->next_page_token);
        all->next_page_token = TAKE(page->next_page_token);
        return 0;
}

static int fetch_page(ApiClient *api, const ListQuery *query, Page *all, Diag *diag) {
        _cleanup_(freep) char *path = NULL;
        _cleanup_(page_done) Page page = { 0 };
        HttpRequest request = { .method = "GET" };
        int r;

        r = list_path(query, all->next_page_token, &path);
        if (r < 0)
                return r;

        request.path = path;
        r = http_run(api->http, &request, 1, diag);
        if (r == 0)
                r = api_reply_check(&request, diag);
        if (r == 0) {
                r = page_decode(request.reply.data ? request.reply.data : "", request.reply.n_bytes,
                                &page, diag);
                if (r < 0)
                        r = reply_not_understood(&request, r, diag);
        }
        buf_done(&request.reply);
        if (r < 0)
                return r;

        if (page.next_page_token && all->next_page_token &&
            streq(page.next_page_token, all->next_page_token))
                return diag_set(diag, -ELOOP, "the server repeats the page token %s",
                                page.next_page_token);
        return page_append(all, &page);
}

static int fetch_all(Client *client, const ListQuery *query, Page *ret_page, Diag *diag) {
        int r;

        do {
                r = fetch_page(api_client(client), query, ret_page, diag);
                if (r < 0)
                        return r;
        } while (ret_page->next_page_token);
        return 0;
}

static int api_list(Client *client, ListKind kind, Page *ret_page, Diag *diag) {
        const ListQuery query = { .kind = kind };

        return fetch_all(client, &query, ret_page, diag);
}

static int api_get_states(Client *client, const char *unit, Page *ret_page, Diag *diag) {
        const ListQuery query = { .kind = LIST_STATES, .unit = unit };

        return fetch_all(client, &query, ret_page, diag);
}

static int api_held(Client *client, BrakeRecord *ret_held, Diag *diag) {
        HttpRequest request = { .method = "GET", .path = "/fleet/v1/evictions" };
        int r = http_run(api_client(client)->http, &request, 1, diag);

        if (r == 0 && request.status != HTTP_STATUS_NOT_FOUND)
                r = api_reply_check(&request, diag);
        if (r == 0 && request.status != HTTP_STATUS_NOT_FOUND) {
                r = brake_record_decode(request.reply.data ? request.reply.data : "",
                                        request.reply.n_bytes, ret_held, diag);
                if (r < 0)
                        r = reply_not_understood(&request, r, diag);
        }
        buf_done(&request.reply);
        return r;
}

static int api_evict(Client *client, const char *machine, Diag *diag) {
        _cleanup_(buf_done) Buf path = buf_make(PATH_MAX_BYTES);
        HttpRequest request = { .method = "PUT" };
        int r;

        r = append_parameter(&path, "/fleet/v1/evictions/", machine);
        if (r < 0)
                return r;
        request.path = path.data;
        r = http_run(api_client(client)->http, &request, 1, diag);
        if (r == 0)
                r = change_check(&request, diag);
        buf_done(&request.reply);
        return r;
}

static int api_diagnose(Client *client, Diagnosis *ret_diagnosis, Diag *diag) {
        HttpRequest request = { .method = "GET", .path = "/fleet/v1/doctor", .is_slow = true };
        int r = http_run(api_client(client)->http, &request, 1, diag);

        if (r == 0)
                r = api_reply_check(&request, diag);
        if (r == 0) {
                r = diagnosis_decode(request.reply.data ? request.reply.data : "",
                                     request.reply.n_bytes, ret_diagnosis, diag);
                if (r < 0)
                        r = reply_not_understood(&request, r, diag);
        }
        buf_done(&request.reply);
        return r;
}

static void api_free(Client *client) {
        ApiClient *api = api_client(client);

        api->http = http_free(api->http);
        free(api);
}

/* Only fleetd speaks with the store here, so fleet 1.0's second driver has nothing to stand on. */
static int driver_check(const char *driver, Diag *diag) {
        if (streq(driver, "API"))
                return 0;
        if (streq(driver, "etcd"))
                return diag_set(diag, -EINVAL,
                                "the driver \"etcd\" is gone, only fleetd talks to etcd: leave "
                                "--driver and FLEETCTL_DRIVER out, and name the API of a machine "
                                "with --endpoint or FLEETCTL_ENDPOINT");
        return diag_set(diag, -EINVAL, "unrecognized driver \"%s\": the only one is API", driver);
}

int client_new(const Options *options, HttpRelay *relay, Client **ret_client, Diag *diag) {
        static const ClientVtable vtable = {
                .get_units = api_get_units,
                .set_units = api_set_units,
                .delete_units = api_delete_units,
                .wait_units = api_wait_units,
                .list = api_list,
                .get_states = api_get_states,
                .held = api_held,
                .evict = api_evict,
                .diagnose = api_diagnose,
                .free = api_free,
        };
        ApiClient *api;
        int r;

        assert(options);

        r = driver_check(options->driver, diag);
        if (r < 0)
                return r;

        api = calloc(1, sizeof(*api));
        if (!api)
                return -ENOMEM;

        r = http_new(options, relay, &api->http, diag);
        if (r < 0) {
                free(api);
                return r;
        }

        api->client.vtable = &vtable;
        api->resume_ms = options->request_timeout_ms * RESUME_FACTOR;
        *ret_client = &api->client;
        return 0;
}
