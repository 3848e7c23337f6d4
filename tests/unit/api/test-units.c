/* SPDX-License-Identifier: Apache-2.0 */

/* Units over the API: the rules, messages and their order of contract sections 4.2 to 4.7, over a
 * memory store. */

#include <stdio.h>

#include "tests/unit/api/fixture.h"
#include "tests/unit/fault.h"

#define OPTIONS \
        "\"options\":[{\"name\":\"ExecStart\",\"section\":\"Service\",\"value\":\"/bin/true\"}]"
#define ERROR(code, message) "{\"error\":{\"code\":" #code ",\"message\":\"" message "\"}}"

typedef struct Row {
        const char *method, *path, *body;
        int status;
        const char *expected;
} Row;

static void run(Fixture *f, const Row *rows, size_t n_rows) {
        for (size_t i = 0; i < n_rows; i++)
                expect(f, rows[i].method, rows[i].path, rows[i].body, rows[i].status,
                       rows[i].expected);
}

/* Every path and method answers as the table of contract section 4.2 says. */
START_TEST(test_routes) {
        static const Row rows[] = {
                { "GET", "/", NULL, 405, ERROR(405, "") },
                { "GET", "/fleet/v1", NULL, 405, ERROR(405, "") },
                { "PUT", "/v1-alpha", NULL, 405, ERROR(405, "") },
                { "GET", "/fleet/v1/", NULL, 404, ERROR(404, "") },
                { "GET", "/fleet/v1/units/", NULL, 404, ERROR(404, "") },
                { "GET", "/fleet/v1/units/a/b", NULL, 404, ERROR(404, "") },
                { "GET", "/fleet/v1/units/a%2Fb", NULL, 404, ERROR(404, "") },
                { "GET", "/fleet/v1x/units", NULL, 404, ERROR(404, "") },
                { "GET", "/fleet/v1/machines/", NULL, 404, ERROR(404, "") },
                { "GET", "/fleet/v1/state/", NULL, 404, ERROR(404, "") },
                { "GET", "/fleet/v1/machines/m1", NULL, 404, ERROR(404, "") },
                { "GET", "/metrics/", NULL, 404, ERROR(404, "") },
                { "GET", "/fleet/v1/units/%zz", NULL, 400, ERROR(400, "malformed path") },
                { "GET", "/fleet/v1/units%00", NULL, 400, ERROR(400, "malformed path") },
                { "GET", "/%2e%2e%2fmetrics", NULL, 301, NULL },
                { "GET", "/nothing", NULL, 404, ERROR(404, "") },
                { "POST", "/fleet/v1/discovery", NULL, 400,
                  ERROR(400, "only HTTP GET supported against this resource") },
                { "HEAD", "/fleet/v1/discovery", NULL, 400, "" },
                { "PUT", "/fleet/v1/machines", NULL, 405,
                  ERROR(405, "only GET and PATCH supported against this resource") },
                { "PUT", "/v1-alpha/units", NULL, 405,
                  ERROR(405, "only GET supported against this resource") },
                { "HEAD", "/fleet/v1/units", NULL, 405, "" },
                { "BREW", "/fleet/v1/units", NULL, 405,
                  ERROR(405, "only GET supported against this resource") },
                { "PATCH", "/fleet/v1/units/a.service", NULL, 405,
                  ERROR(405, "only GET, PUT and DELETE supported against this resource") },
                { "PUT", "/fleet/v1/state", NULL, 405,
                  ERROR(405, "only GET supported against this resource") },
                { "DELETE", "/fleet/v1/state/a.service", NULL, 405,
                  ERROR(405, "only GET supported against this resource") },
                { "GET", "/fleet/v1/wait", NULL, 405,
                  ERROR(405, "only POST supported against this resource") },
                { "GET", "/fleet/v1/units", NULL, 200, "{}" },
                { "GET", "/fleet/v1/units?alt=json", NULL, 200, "{}" },
                { "GET", "/v1-alpha/units", NULL, 200, "{}" },
                { "GET", "/fleet/v1/state", NULL, 200, "{}" },
                { "GET", "/fleet/v1/machines", NULL, 200, "{}" },
                { "GET", "/fleet/v1/units/a.service", NULL, 404,
                  ERROR(404, "unit does not exist") },
                { "GET", "/fleet/v1/state/a.service", NULL, 404,
                  ERROR(404, "unit state does not exist") },
                { "DELETE", "/fleet/v1/units/a.service", NULL, 404,
                  ERROR(404, "unit does not exist") },
        };
        Fixture *f = fixture_new(100);

        run(f, rows, ELEMENTSOF(rows));
        fixture_free(f);
}
END_TEST

/* Paths that are not in their shortest form are redirected to it, with the query. */
START_TEST(test_redirects) {
        static const struct {
                const char *path, *location;
        } rows[] = {
                { "//fleet/v1/units", "Location: /fleet/v1/units\r\n" },
                { "/fleet/v1//units?a=b", "Location: /fleet/v1/units?a=b\r\n" },
                { "/fleet/./v1/x/../units", "Location: /fleet/v1/units\r\n" },
                { "/..", "Location: /\r\n" },
                { "/fleet/v1/units/./a%20b", "Location: /fleet/v1/units/a%20b\r\n" },
        };
        Fixture *f = fixture_new(100);

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Reply reply = request(f, "GET", rows[i].path, NULL, NULL);

                ck_assert_int_eq(reply.status, 301);
                ck_assert_msg(strstr(reply.head, rows[i].location) != NULL, "%s", reply.head);
                reply_free(&reply);
        }
        fixture_free(f);
}
END_TEST

/* PUT checks in the order of contract section 4.6, with its messages. */
START_TEST(test_put_refusals) {
        static const char type_once[] = "Content-Type: application/json\r\n";
        static const struct {
                const char *headers, *path, *body;
                int status;
                const char *message;
        } rows[] = {
                { NULL, "a", "x", 415, "expected 1 Content-Type, got 0" },
                { "Content-Type: application/json\r\nContent-Type: a\r\n", "a", "x", 415,
                  "expected 1 Content-Type, got 2" },
                { "Content-Type: text/plain\r\n", "a", "x", 415,
                  "only acceptable Content-Type is application/json" },
                { type_once, "a", "x", 400, "unable to decode body: " },
                { type_once, "a", "{\"name\":\"b\"}", 400,
                  "name in URL \\\"a\\\" differs from unit name in request body \\\"b\\\"" },
                { type_once, "a", "{}", 400, "unit name must contain \\\".\\\"" },
                { type_once, "a.", "{}", 400, "unit name cannot end in \\\".\\\"" },
                { type_once, "a.foo", "{}", 400, "invalid unit type: \\\"foo\\\"" },
                { type_once, "a@.mount", "{}", 400,
                  "invalid unit type for template: \\\"mount\\\"" },
                { type_once, "a%20b.service", "{}", 400, "in unit name" },
                { type_once, "@a.service", "{}", 400, "unit name cannot start in \\\"@\\\"" },
                { type_once, "a.service", "{}", 409,
                  "unit does not exist and options field empty" },
                { type_once, "a.service", "{\"desiredState\":\"x\"}", 409,
                  "unit does not exist and options field empty" },
                { type_once, "a.service", "{\"desiredState\":\"x\"," OPTIONS "}", 400,
                  "invalid value \\\"x\\\" for JobState" },
                { type_once, "a@.service", "{\"desiredState\":\"launched\"," OPTIONS "}", 400,
                  "cannot activate template \\\"a@.service\\\"" },
                { type_once, "a.service",
                  "{\"options\":[{\"section\":\"X-Fleet\",\"name\":\"Global\",\"value\":\"true\"},"
                  "{\"section\":\"X-Fleet\",\"name\":\"MachineID\",\"value\":\"m\"}]}",
                  400, "MachineID cannot be used with Global" },
        };
        Fixture *f = fixture_new(100);

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                char path[256];
                Reply reply;

                (void)snprintf(path, sizeof(path), "/fleet/v1/units/%s", rows[i].path);
                reply = request(f, "PUT", path, rows[i].headers, rows[i].body);
                ck_assert_msg(reply.status == rows[i].status && strstr(reply.body, rows[i].message),
                              "row %zu: %d %s", i, reply.status, reply.body);
                ck_assert_ptr_nonnull(strstr(reply.head, "Server: fleetd/9\r\n"));
                reply_free(&reply);
        }
        fixture_free(f);
}
END_TEST

/* A unit's life: created, told its state, replaced, read, destroyed; every request that counts
 * raises the generation by one. */
START_TEST(test_life) {
        Fixture *f = fixture_new(100);
        unsigned long long first = 0, now = 0;
        char *value;

        expect(f, "PUT", "/fleet/v1/units/a.service", "{" OPTIONS "}", 201, "");
        value = get(f, "/fleet/unit/a.service");
        ck_assert_ptr_nonnull(value);
        ck_assert_msg(sscanf(strstr(value, "\"generation\":"), "\"generation\":%llu", &first) == 1,
                      "%s", value);
        free(value);
        expect(f, "GET", "/fleet/v1/units/a.service", NULL, 200,
               "{\"currentState\":\"inactive\",\"desiredState\":\"inactive\",\"name\":\"a."
               "service\"," OPTIONS "}");

        expect(f, "PUT", "/fleet/v1/units/a.service", "{" OPTIONS "}", 409,
               ERROR(409, "must provide DesiredState to update existing unit"));
        expect(f, "PUT", "/fleet/v1/units/a.service", "{\"desiredState\":\"nope\"}", 400,
               ERROR(400, "invalid value \\\"nope\\\" for JobState"));
        expect(f, "PUT", "/fleet/v1/units/a.service", "{\"desiredState\":\"launched\"}", 204, "");
        /* The same again revives. */
        expect(f, "PUT", "/fleet/v1/units/a.service", "{\"desiredState\":\"launched\"," OPTIONS "}",
               204, "");
        /* Other content keeps the desired state. */
        expect(f, "PUT", "/fleet/v1/units/a.service",
               "{\"options\":[{\"name\":\"ExecStart\",\"section\":\"Service\",\"value\":\"/bin/"
               "false\"}]}",
               201, "");
        value = get(f, "/fleet/unit/a.service");
        ck_assert_msg(sscanf(strstr(value, "\"generation\":"), "\"generation\":%llu", &now) == 1,
                      "%s", value);
        ck_assert_ptr_nonnull(strstr(value, "\"desired\":\"launched\""));
        ck_assert_uint_eq(now, first + 3);
        free(value);
        /* Replacing is checked like creating. */
        expect(f, "PUT", "/fleet/v1/units/a.service",
               "{\"options\":[{\"section\":\"X-Fleet\",\"name\":\"Global\",\"value\":\"true\"},"
               "{\"section\":\"X-Fleet\",\"name\":\"MachineID\",\"value\":\"m\"}]}",
               400, ERROR(400, "MachineID cannot be used with Global"));

        expect(f, "DELETE", "/fleet/v1/units/a.service", NULL, 204, "");
        expect(f, "GET", "/fleet/v1/units/a.service", NULL, 404, ERROR(404, "unit does not exist"));
        /* Made anew, its generation is above all earlier ones. */
        expect(f, "PUT", "/fleet/v1/units/a.service", "{" OPTIONS "}", 201, "");
        value = get(f, "/fleet/unit/a.service");
        ck_assert_msg(sscanf(strstr(value, "\"generation\":"), "\"generation\":%llu", &first) == 1,
                      "%s", value);
        ck_assert_uint_gt(first, now);
        free(value);
        fixture_free(f);
}
END_TEST

/* Members that nobody knows are ignored, and so are those that only answers have; of equal keys the
 * last counts, and a null is none. */
START_TEST(test_put_ignores) {
        Fixture *f = fixture_new(100);
        static const char unit[] = "{\"currentState\":\"inactive\",\"desiredState\":\"inactive\","
                                   "\"name\":\"a.service\"," OPTIONS "}";

        expect(f, "PUT", "/fleet/v1/units/a.service",
               "{\"currentState\":\"launched\",\"machineID\":\"m1\",\"wings\":[{\"n\":2}],"
               "\"desiredState\":\"launched\",\"desiredState\":\"inactive\",\"name\":null," OPTIONS
               "}",
               201, "");
        expect(f, "GET", "/fleet/v1/units/a.service", NULL, 200, unit);
        expect(f, "PUT", "/fleet/v1/units/a.service",
               "{\"desiredState\":null,\"options\":null,\"currentState\":\"loaded\"}", 409,
               ERROR(409, "must provide DesiredState to update existing unit"));
        fixture_free(f);
}
END_TEST

/* Any state may follow any other. */
START_TEST(test_transitions) {
        static const char *const states[] = { "inactive", "loaded", "launched" };
        Fixture *f = fixture_new(100);

        expect(f, "PUT", "/fleet/v1/units/a.service", "{" OPTIONS "}", 201, "");
        for (size_t i = 0; i < 9; i++)
                for (size_t n = 0; n < 2; n++) {
                        const char *state = states[n == 0 ? i / 3 : i % 3];
                        char body[64], shown[64];
                        Reply reply;

                        (void)snprintf(body, sizeof(body), "{\"desiredState\":\"%s\"}", state);
                        expect(f, "PUT", "/fleet/v1/units/a.service", body, 204, "");
                        (void)snprintf(shown, sizeof(shown), "\"desiredState\":\"%s\"", state);
                        reply = request(f, "GET", "/fleet/v1/units/a.service", NULL, NULL);
                        ck_assert_msg(strstr(reply.body, shown) != NULL, "%s", reply.body);
                        reply_free(&reply);
                }
        fixture_free(f);
}
END_TEST

/* The current state, the machine and the reason come from placement and state; a global unit has
 * neither state nor machine. */
START_TEST(test_current_state) {
        Fixture *f = fixture_new(100);

        expect(f, "PUT", "/fleet/v1/units/a.service", "{\"desiredState\":\"launched\"," OPTIONS "}",
               201, "");
        put(f, "/fleet/placement/a.service", "{\"generation\":1,\"why\":\"m1: no\"}");
        expect(f, "GET", "/fleet/v1/units/a.service", NULL, 200,
               "{\"currentState\":\"inactive\",\"desiredState\":\"launched\",\"name\":\"a."
               "service\"," OPTIONS ",\"why\":\"m1: no\"}");
        put(f, "/fleet/placement/a.service", "{\"generation\":1,\"machine\":\"m1\"}");
        put(f, "/fleet/state/m2/a.service",
            "{\"active\":\"active\",\"load\":\"loaded\",\"state\":\"launched\",\"sub\":"
            "\"running\"}");
        expect(f, "GET", "/fleet/v1/units/a.service", NULL, 200,
               "{\"currentState\":\"inactive\",\"desiredState\":\"launched\",\"machineID\":\"m1\","
               "\"name\":\"a.service\"," OPTIONS "}");
        put(f, "/fleet/state/m1/a.service",
            "{\"active\":\"failed\",\"load\":\"loaded\",\"state\":\"launched\",\"sub\":\"failed\","
            "\"why\":\"bad\"}");
        expect(f, "GET", "/fleet/v1/units", NULL, 200,
               "{\"units\":[{\"currentState\":\"launched\",\"desiredState\":\"launched\","
               "\"machineID\":\"m1\",\"name\":\"a.service\"," OPTIONS ",\"why\":\"bad\"}]}");
        expect(f, "GET", "/fleet/v1/state/a.service", NULL, 200,
               "{\"machineID\":\"m1\",\"name\":\"a.service\",\"systemdActiveState\":\"failed\","
               "\"systemdLoadState\":\"loaded\","
               "\"systemdSubState\":\"failed\",\"why\":\"bad\"}");

        expect(f, "PUT", "/fleet/v1/units/g.service",
               "{\"desiredState\":\"launched\",\"options\":[{\"name\":\"Global\",\"section\":\"X-"
               "Fleet\",\"value\":\"true\"}]}",
               201, "");
        expect(f, "GET", "/fleet/v1/units/g.service", NULL, 200,
               "{\"desiredState\":\"launched\",\"name\":\"g.service\",\"options\":[{\"name\":"
               "\"Global\",\"section\":\"X-Fleet\",\"value\":\"true\"}]}");
        fixture_free(f);
}
END_TEST

/* A record that does not parse is left out of lists, named when asked for, replaced by PUT and
 * removed by DELETE. */
START_TEST(test_damaged) {
        Fixture *f = fixture_new(100);
        Reply reply;

        put(f, "/fleet/unit/bad.service", "{");
        expect(f, "PUT", "/fleet/v1/units/a.service", "{" OPTIONS "}", 201, "");
        expect(f, "GET", "/fleet/v1/units", NULL, 200,
               "{\"units\":[{\"currentState\":\"inactive\",\"desiredState\":\"inactive\",\"name\":"
               "\"a.service\"," OPTIONS "}]}");
        reply = request(f, "GET", "/fleet/v1/units/bad.service", NULL, NULL);
        ck_assert_int_eq(reply.status, 500);
        ck_assert_ptr_nonnull(strstr(reply.body, "bad.service"));
        ck_assert_ptr_null(strstr(reply.body, "(null)"));
        reply_free(&reply);
        expect(f, "PUT", "/fleet/v1/units/bad.service", "{\"desiredState\":\"launched\"}", 500,
               NULL);
        expect(f, "PUT", "/fleet/v1/units/bad.service", "{" OPTIONS "}", 201, "");
        expect(f, "GET", "/fleet/v1/units/bad.service", NULL, 200, NULL);
        put(f, "/fleet/unit/bad.service", "x");
        expect(f, "DELETE", "/fleet/v1/units/bad.service", NULL, 204, "");
        fixture_free(f);
}
END_TEST

static char *page_token(const char *body) {
        const char *at = strstr(body, "\"nextPageToken\":\"");

        return at ? strndup(at + 17, strcspn(at + 17, "\"")) : NULL;
}

static unsigned count(const char *text, const char *what) {
        unsigned n = 0;

        for (; (text = strstr(text, what)); text++)
                n++;
        return n;
}

/* A list in pages shows one moment: what changes meanwhile neither hides nor repeats an entry; no
 * empty page follows the last. */
START_TEST(test_paging) {
        Fixture *f = fixture_new(2);
        char path[256], *token = NULL;
        unsigned n_units = 0, n_pages = 0;

        for (int i = 0; i < 6; i++) {
                (void)snprintf(path, sizeof(path), "/fleet/v1/units/u%d.service", i);
                expect(f, "PUT", path, "{" OPTIONS "}", 201, "");
        }

        do {
                Reply reply;

                (void)snprintf(path, sizeof(path), "/fleet/v1/units%s%s",
                               token ? "?nextPageToken=" : "", token ? token : "");
                reply = request(f, "GET", path, NULL, NULL);
                ck_assert_int_eq(reply.status, 200);
                n_units += count(reply.body, "\"name\":\"u");
                free(token);
                token = page_token(reply.body);
                reply_free(&reply);
                n_pages++;
                (void)snprintf(path, sizeof(path), "/fleet/v1/units/u%u.service", n_pages);
                expect(f, "DELETE", path, NULL, 204, "");
        } while (token);
        ck_assert_uint_eq(n_units, 6);
        ck_assert_uint_eq(n_pages, 3);
        fixture_free(f);
}
END_TEST

/* Tokens of fleet 1.0's form are taken, and malformed ones refused in the contract's words. */
START_TEST(test_tokens) {
        static const Row rows[] = {
                { "GET", "/fleet/v1/units?nextPageToken=AgACAA%3D%3D", NULL, 200,
                  "{\"units\":[{\"currentState\":\"inactive\",\"desiredState\":\"inactive\","
                  "\"name\":\"c.service\"," OPTIONS "}]}" },
                { "GET", "/fleet/v1/units?nextPageToken=AgADAA==", NULL, 200, "{}" },
                { "GET", "/fleet/v1/units?nextPageToken=ZAACAA==", NULL, 400,
                  ERROR(400, "token limit must be 2") },
                { "GET", "/fleet/v1/units?nextPageToken=AgAAAA==", NULL, 400,
                  ERROR(400, "token page must be greater than zero") },
                { "GET", "/fleet/v1/units?nextPageToken=AgA=", NULL, 400,
                  ERROR(400, "unexpected EOF") },
                { "GET", "/fleet/v1/units?nextPageToken=!", NULL, 400,
                  ERROR(400, "illegal base64 data at input byte 0") },
                { "GET", "/fleet/v1/units?nextPageToken=AgA", NULL, 400,
                  ERROR(400, "illegal base64 data at input byte 0") },
                { "GET", "/fleet/v1/units?nextPageToken=AgACAA", NULL, 400,
                  ERROR(400, "illegal base64 data at input byte 4") },
                { "GET", "/fleet/v1/units?nextPageToken=AgACAA=", NULL, 400,
                  ERROR(400, "illegal base64 data at input byte 7") },
                { "GET", "/fleet/v1/units?nextPageToken=AgACAA=A", NULL, 400,
                  ERROR(400, "illegal base64 data at input byte 6") },
                { "GET", "/fleet/v1/units?nextPageToken=AgACAA==A", NULL, 400,
                  ERROR(400, "illegal base64 data at input byte 8") },
                { "GET", "/fleet/v1/units?nextPageToken=A===", NULL, 400,
                  ERROR(400, "illegal base64 data at input byte 1") },
                { "GET", "/fleet/v1/units?nextPageToken=AgA=%3D", NULL, 400,
                  ERROR(400, "illegal base64 data at input byte 4") },
                { "GET", "/fleet/v1/state?nextPageToken=a&nextPageToken=b", NULL, 400,
                  ERROR(400, "too many values for page token") },
                { "GET", "/fleet/v1/machines?nextPageToken=AgACAA==", NULL, 200, "{}" },
        };
        Fixture *f = fixture_new(2);

        expect(f, "PUT", "/fleet/v1/units/a.service", "{" OPTIONS "}", 201, "");
        expect(f, "PUT", "/fleet/v1/units/b.service", "{" OPTIONS "}", 201, "");
        expect(f, "PUT", "/fleet/v1/units/c.service", "{" OPTIONS "}", 201, "");
        run(f, rows, ELEMENTSOF(rows));
        fixture_free(f);
}
END_TEST

/* A list whose revision the store has forgotten is a 410 that says so. */
START_TEST(test_compacted) {
        Fixture *f = fixture_new(1);
        char path[256], *token;
        Reply reply;

        expect(f, "PUT", "/fleet/v1/units/a.service", "{" OPTIONS "}", 201, "");
        expect(f, "PUT", "/fleet/v1/units/b.service", "{" OPTIONS "}", 201, "");
        reply = request(f, "GET", "/fleet/v1/units", NULL, NULL);
        token = page_token(reply.body);
        reply_free(&reply);
        expect(f, "DELETE", "/fleet/v1/units/a.service", NULL, 204, "");
        memory_store_compact(f->memory, memory_store_revision(f->memory));
        (void)snprintf(path, sizeof(path), "/fleet/v1/units?nextPageToken=%s", token);
        expect(f, "GET", path, NULL, 410,
               ERROR(410, "the list changed too long ago to continue it: begin again without "
                          "nextPageToken"));
        free(token);
        fixture_free(f);
}
END_TEST

/* Without a store in reach, and while the daemon says so, the answer is 503 without a Server
 * header; as long as nothing was tried it says when to come again. */
START_TEST(test_unavailable) {
        static const char unavailable[] = ERROR(503,
                                                "fleet server unable to communicate with etcd");
        Fixture *f = fixture_new(100);
        Reply reply;

        api_set_available(f->api, false);
        expect(f, "GET", "/metrics", NULL, 503, unavailable);
        reply = request(f, "GET", "/nothing", NULL, NULL);
        ck_assert_int_eq(reply.status, 503);
        ck_assert_ptr_null(strstr(reply.head, "Server:"));
        ck_assert_ptr_nonnull(strstr(reply.head, "Retry-After: 1\r\n"));
        reply_free(&reply);

        api_set_available(f->api, true);
        store_memory_set_faults(f->store, &(StoreFaults){ .is_cut = true });
        expect(f, "GET", "/fleet/v1/units", NULL, 503, unavailable);
        reply = request(f, "PUT", "/fleet/v1/units/a.service", "Content-Type: application/json\r\n",
                        "{" OPTIONS "}");
        ck_assert_int_eq(reply.status, 503);
        ck_assert_ptr_null(strstr(reply.head, "Retry-After:"));
        reply_free(&reply);
        store_memory_set_faults(f->store, &(StoreFaults){ 0 });
        expect(f, "GET", "/fleet/v1/units", NULL, 200, "{}");
        fixture_free(f);
}
END_TEST

/* A write whose answer is lost is made once, and answered as made. */
START_TEST(test_lost_reply) {
        Fixture *f = fixture_new(100);
        Client client = client_open(f);
        static const char text[] = "PUT /fleet/v1/units/a.service HTTP/1.1\r\nContent-Type: "
                                   "application/json\r\nContent-Length: ";
        static const char body[] = "{" OPTIONS "}";
        char head[256];

        store_memory_set_faults(f->store, &(StoreFaults){ .latency_us = 1000 });
        (void)snprintf(head, sizeof(head), "%s%zu\r\n\r\n", text, sizeof(body) - 1);
        client_send(f, &client, head, strlen(head));
        client_send(f, &client, body, sizeof(body) - 1);
        /* The read has come back, the write is on its way: it is carried out, but its reply gets
         * lost. */
        fixture_advance(f, &client, 2500);
        store_memory_set_faults(f->store,
                                &(StoreFaults){ .latency_us = 1000, .lose_reply_ppm = 1000000 });
        fixture_advance(f, &client, 1000);
        ck_assert_str_eq(client.text, "");
        store_memory_set_faults(f->store, &(StoreFaults){ 0 });
        fixture_advance(f, &client, 40 * US_PER_S);
        ck_assert_msg(strncmp(client.text, "HTTP/1.1 201 ", 13) == 0, "%s", client.text);
        client_close(&client);
        expect(f, "GET", "/fleet/v1/units/a.service", NULL, 200, NULL);
        fixture_free(f);
}
END_TEST

/* Someone else's change between our read and our write is seen: the request is decided again on it.
 */
START_TEST(test_conflict) {
        Fixture *f = fixture_new(100);
        Client client = client_open(f);
        static const char text[] = "PUT /fleet/v1/units/a.service HTTP/1.1\r\nContent-Type: "
                                   "application/json\r\nContent-Length: 27\r\n\r\n"
                                   "{\"desiredState\":\"launched\"}\n";
        char *value, changed[256];

        expect(f, "PUT", "/fleet/v1/units/a.service", "{" OPTIONS "}", 201, "");
        value = get(f, "/fleet/unit/a.service");
        store_memory_set_faults(f->store, &(StoreFaults){ .latency_us = 1000 });
        client_send(f, &client, text, sizeof(text) - 1);
        fixture_advance(f, &client,
                        1500); /* the range has been answered, the answer is on its way */
        (void)snprintf(changed, sizeof(changed),
                       "{\"desired\":\"loaded\",\"file\":\"%.40s\",\"generation\":900}",
                       strstr(value, "\"file\":\"") + 8);
        put(f, "/fleet/unit/a.service", changed);
        fixture_advance(f, &client, 10 * US_PER_S);
        ck_assert_msg(strncmp(client.text, "HTTP/1.1 204 ", 13) == 0, "%s", client.text);
        client_close(&client);
        free(value);
        value = get(f, "/fleet/unit/a.service");
        ck_assert_msg(strstr(value, "\"generation\":901") && strstr(value, "launched"), "%s",
                      value);
        free(value);
        fixture_free(f);
}
END_TEST

/* POST units: all change or none; a message names the unit at fault. */
START_TEST(test_batch) {
        Fixture *f = fixture_new(100);

        expect(f, "POST", "/fleet/v1/units",
               "{\"units\":[{\"name\":\"b@1.service\"," OPTIONS
               ",\"desiredState\":\"launched\"},{\"name\":\"b@2.service\"," OPTIONS "}]}",
               204, "");
        expect(f, "GET", "/fleet/v1/units/b@1.service", NULL, 200, NULL);
        expect(f, "GET", "/fleet/v1/units/b@2.service", NULL, 200, NULL);
        expect(f, "POST", "/fleet/v1/units",
               "{\"units\":[{\"name\":\"b@1.service\",\"desiredState\":\"inactive\"},{\"name\":\"c."
               "service\"}]}",
               409, ERROR(409, "c.service: unit does not exist and options field empty"));
        expect(f, "GET", "/fleet/v1/units/b@1.service", NULL, 200,
               "{\"currentState\":\"inactive\",\"desiredState\":\"launched\",\"name\":\"b@1."
               "service\"," OPTIONS "}");
        expect(f, "POST", "/fleet/v1/units",
               "{\"units\":[{\"name\":\"c.service\"},{\"name\":\"c.service\"}]}", 400,
               ERROR(400, "c.service: given more than once"));
        expect(f, "POST", "/fleet/v1/units", "{}", 204, "");
        fixture_free(f);
}
END_TEST

/* A batch whose units are read while the store forgets the revision that they are read at is read
 * again: a change is not a list, which the client would have to begin anew. */
START_TEST(test_batch_compacted) {
        Fixture *f = fixture_new(100);
        Client client = client_open(f);
        static const char body[] = "{\"units\":[{\"name\":\"b@1.service\"," OPTIONS
                                   "},{\"name\":\"b@2.service\"," OPTIONS "}]}";
        char text[1024];
        int n = snprintf(text, sizeof(text),
                         "POST /fleet/v1/units HTTP/1.1\r\nHost: h\r\nContent-Type: "
                         "application/json\r\nContent-Length: %zu\r\n\r\n%s",
                         sizeof(body) - 1, body);

        ck_assert_int_lt(n, (int)sizeof(text));
        store_memory_set_faults(f->store, &(StoreFaults){ .latency_us = 1000 });
        client_send(f, &client, text, (size_t)n);
        fixture_advance(f, &client, 1500); /* the revision is on its way */
        put(f, "/fleet/unit/other.service", "{}");
        memory_store_compact(f->memory, memory_store_revision(f->memory));
        fixture_advance(f, &client, 10 * US_PER_S);
        ck_assert_msg(strncmp(client.text, "HTTP/1.1 204 ", 13) == 0, "%s", client.text);
        client_close(&client);
        fixture_free(f);
}
END_TEST

/* A batch of more units than a transaction compares one by one, and with more bytes of files than
 * it holds. */
START_TEST(test_large_batch) {
        enum { N_UNITS = 300, N_VALUE = 20000 };
        Fixture *f = fixture_new(1000);
        Buf body = buf_make(64 * 1024 * 1024);
        char *value = malloc(N_VALUE + 1);
        Reply reply;

        memset(value, 'x', N_VALUE);
        value[N_VALUE] = '\0';
        ck_assert_int_eq(buf_append_string(&body, "{\"units\":["), 0);
        for (int i = 0; i < N_UNITS; i++)
                ck_assert_int_eq(
                        buf_printf(&body,
                                   "%s{\"name\":\"u%03d.service\",\"desiredState\":\"launched\","
                                   "\"options\":[{\"section\":\"Service\",\"name\":\"A\",\"value\":"
                                   "\"%d%s\"}]}",
                                   i ? "," : "", i, i, value),
                        0);
        ck_assert_int_eq(buf_append_string(&body, "]}"), 0);
        expect(f, "POST", "/fleet/v1/units", body.data, 204, "");
        reply = request(f, "GET", "/fleet/v1/units", NULL, NULL);
        ck_assert_uint_eq(count(reply.body, "\"name\":\"u"), N_UNITS);
        reply_free(&reply);
        free(value);
        buf_done(&body);
        fixture_free(f);
}
END_TEST

/* A batch of more units than it compares removals for waits until somebody else is done with removing
 * others, though not for ever. */
START_TEST(test_batch_among_removals) {
        enum { N_UNITS = 40 };
        static const struct {
                uint64_t removals_us;
                int status;
        } rows[] = { { 5 * US_PER_S, 204 }, { 60 * US_PER_S, 503 } };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Fixture *f = fixture_new(100);
                Client client = client_open(f);
                Buf body = buf_make(64 * 1024), text = buf_make(64 * 1024);
                int status = 0;

                for (int unit = 0; unit < N_UNITS; unit++)
                        ck_assert_int_eq(buf_printf(&body,
                                                    "%s{\"name\":\"u%d.service\"," OPTIONS "}",
                                                    unit ? "," : "{\"units\":[", unit),
                                         0);
                ck_assert_int_eq(buf_append_string(&body, "]}"), 0);
                ck_assert_int_eq(buf_printf(&text,
                                            "POST /fleet/v1/units HTTP/1.1\r\nContent-Type: "
                                            "application/json\r\nContent-Length: %zu\r\n\r\n%s",
                                            body.n_bytes, body.data),
                                 0);
                store_memory_set_faults(f->store, &(StoreFaults){ .latency_us = 10 * US_PER_MS });
                client_send(f, &client, text.data, text.n_bytes);
                for (uint64_t us = 0; us < rows[i].removals_us && !client.n_bytes;
                     us += 10 * US_PER_MS) {
                        fixture_advance(f, &client, 10 * US_PER_MS);
                        put(f, "/fleet/removed/0123", "{}");
                }
                ck_assert(rows[i].status == 503 || !client.n_bytes);
                fixture_advance(f, &client, 1 * US_PER_S);
                ck_assert_int_eq(sscanf(client.text, "HTTP/1.1 %d", &status), 1);
                ck_assert_int_eq(status, rows[i].status);
                client_close(&client);
                buf_done(&text);
                buf_done(&body);
                fixture_free(f);
        }
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_routes,          test_redirects,
                test_put_refusals,    test_life,
                test_current_state,   test_damaged,
                test_paging,          test_tokens,
                test_compacted,       test_unavailable,
                test_lost_reply,      test_conflict,
                test_batch_compacted, test_batch,
                test_large_batch,     test_put_ignores,
                test_transitions,     test_batch_among_removals,
        };

        return tests_run("api units", tests, ELEMENTSOF(tests));
}
