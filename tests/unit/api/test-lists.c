/* SPDX-License-Identifier: Apache-2.0 */

/* States, machines, metadata, discovery and metrics over the API (contract
 * sections 4.4, 4.5, 4.8, 4.9 and 9). */

#include <stdio.h>

#include "tests/unit/api/fixture.h"
#include "tests/unit/fault.h"

#define ERROR(code, message) "{\"error\":{\"code\":" #code ",\"message\":\"" message "\"}}"
#define STATE(machine, unit)                                                    \
        "{\"machineID\":\"" machine "\",\"name\":\"" unit                       \
        "\",\"systemdActiveState\":\"active\",\"systemdLoadState\":\"loaded\"," \
        "\"systemdSubState\":\"running\"}"
#define UP "{\"active\":\"active\",\"load\":\"loaded\",\"state\":\"launched\",\"sub\":\"running\"}"
#define ASKED                                                                              \
        "{\"desired\":\"launched\",\"file\":\"0123456789012345678901234567890123456789\"," \
        "\"generation\":1}"
#define IDLE                                                                               \
        "{\"desired\":\"inactive\",\"file\":\"0123456789012345678901234567890123456789\"," \
        "\"generation\":1}"

/* Two machines; a.service on m2, g.service everywhere (global: no placement), n.service nowhere,
 * z.service on m1. */
static void fill(Fixture *f) {
        put(f, "/fleet/machine/m1",
            "{\"address\":\"10.0.0.1\",\"metadata\":{\"disk\":\"ssd\",\"rack\":\"1\"}}");
        put(f, "/fleet/machine/m2", "{\"address\":\"10.0.0.2\"}");
        put(f, "/fleet/unit/a.service", ASKED);
        put(f, "/fleet/unit/g.service", ASKED);
        put(f, "/fleet/unit/n.service", IDLE);
        put(f, "/fleet/unit/z.service", ASKED);
        put(f, "/fleet/placement/a.service", "{\"generation\":1,\"machine\":\"m2\"}");
        put(f, "/fleet/placement/z.service", "{\"generation\":1,\"machine\":\"m1\"}");
        put(f, "/fleet/state/m1/g.service", UP);
        put(f, "/fleet/state/m1/z.service", UP);
        put(f, "/fleet/state/m2/a.service", UP);
        put(f, "/fleet/state/m2/g.service", UP);
}

/* States come in the order name, machine; the filters work alone and together; one that matches
 * nothing gives an empty page. */
START_TEST(test_states) {
        Fixture *f = fixture_new(100);

        fill(f);
        expect(f, "GET", "/fleet/v1/state", NULL, 200,
               "{\"states\":[" STATE("m2", "a.service") "," STATE("m1", "g.service") "," STATE(
                       "m2", "g.service") "," STATE("m1", "z.service") "]}");
        expect(f, "GET", "/fleet/v1/state?machineID=m1", NULL, 200,
               "{\"states\":[" STATE("m1", "g.service") "," STATE("m1", "z.service") "]}");
        expect(f, "GET", "/fleet/v1/state?unitName=g.service", NULL, 200,
               "{\"states\":[" STATE("m1", "g.service") "," STATE("m2", "g.service") "]}");
        expect(f, "GET", "/fleet/v1/state?unitName=g.service&machineID=m2", NULL, 200,
               "{\"states\":[" STATE("m2", "g.service") "]}");
        expect(f, "GET", "/fleet/v1/state?unitName=none.service", NULL, 200, "{}");
        expect(f, "GET", "/fleet/v1/state?unitName=!", NULL, 200, "{}");
        expect(f, "GET", "/fleet/v1/state?machineID=none", NULL, 200, "{}");
        expect(f, "GET", "/fleet/v1/state/z.service", NULL, 200, STATE("m1", "z.service"));
        expect(f, "GET", "/fleet/v1/state/g.service", NULL, 200, NULL);
        expect(f, "GET", "/fleet/v1/state/n.service", NULL, 404,
               ERROR(404, "unit state does not exist"));
        fixture_free(f);
}
END_TEST

/* Walk pages of one entry; returns all bodies, one after the other. */
static char *walk(Fixture *f, const char *path, unsigned *ret_n_pages) {
        Buf all = buf_make(1024 * 1024);
        char url[512], token[256] = "";

        *ret_n_pages = 0;
        do {
                const char *at;
                Reply reply;

                (void)snprintf(url, sizeof(url), "%s%cnextPageToken=%s", path,
                               strchr(path, '?') ? '&' : '?', token);
                reply = request(f, "GET", url, NULL, NULL);
                ck_assert_msg(reply.status == 200, "%s", reply.body);
                at = strstr(reply.body, "\"nextPageToken\":\"");
                (void)snprintf(token, sizeof(token), "%.*s", at ? (int)strcspn(at + 17, "\"") : 0,
                               at ? at + 17 : "");
                at = strstr(reply.body, "\"states\":");
                at = at ? at : strstr(reply.body, "\"machines\":");
                ck_assert_ptr_nonnull(at);
                ck_assert_int_eq(buf_append_string(&all, at), 0);
                reply_free(&reply);
                ++*ret_n_pages;
        } while (*token && *ret_n_pages < 20);
        return buf_take_string(&all);
}

/* Pages of one state each: also in the middle of a global unit nothing is repeated or left out, and
 * no empty page follows the last. */
START_TEST(test_state_pages) {
        Fixture *f = fixture_new(1);
        unsigned n_pages;
        char *all;

        fill(f);
        all = walk(f, "/fleet/v1/state", &n_pages);
        ck_assert_uint_eq(n_pages, 4);
        ck_assert_str_eq(
                all,
                "\"states\":[" STATE("m2", "a.service") "]}\"states\":[" STATE(
                        "m1", "g.service") "]}\"states\":[" STATE("m2",
                                                                  "g.service") "]}\"states\":"
                                                                               "[" STATE("m1",
                                                                                         "z."
                                                                                         "servic"
                                                                                         "e") "]"
                                                                                              "}");
        free(all);
        all = walk(f, "/fleet/v1/state?unitName=g.service", &n_pages);
        ck_assert_uint_eq(n_pages, 2);
        free(all);
        all = walk(f, "/fleet/v1/state?machineID=m1", &n_pages);
        ck_assert_uint_eq(n_pages, 2);
        ck_assert_str_eq(all, "\"states\":[" STATE("m1", "g.service") "]}\"states\":[" STATE(
                                      "m1", "z.service") "]}");
        free(all);
        expect(f, "GET", "/fleet/v1/state?nextPageToken=AQADAA==", NULL, 200, NULL);
        fixture_free(f);
}
END_TEST

/* Metadata set over the API lies over the configured one; an empty value hides. */
START_TEST(test_machines) {
        Fixture *f = fixture_new(100);

        fill(f);
        expect(f, "GET", "/fleet/v1/machines", NULL, 200,
               "{\"machines\":[{\"id\":\"m1\",\"metadata\":{\"disk\":\"ssd\",\"rack\":\"1\"},"
               "\"primaryIP\":\"10.0.0.1\"},"
               "{\"id\":\"m2\",\"primaryIP\":\"10.0.0.2\"}]}");
        expect(f, "PATCH", "/fleet/v1/machines",
               "[{\"op\":\"add\",\"path\":\"/m2/metadata/a\",\"value\":\"b\"},"
               "{\"op\":\"remove\",\"path\":\"/m1/metadata/rack\"},"
               "{\"op\":\"replace\",\"path\":\"/m1/metadata/disk\",\"value\":{\"Value\":\"hdd\"}}]",
               204, "");
        expect(f, "GET", "/v1-alpha/machines", NULL, 200,
               "{\"machines\":[{\"id\":\"m1\",\"metadata\":{\"disk\":\"hdd\"},\"primaryIP\":\"10.0."
               "0.1\"},"
               "{\"id\":\"m2\",\"metadata\":{\"a\":\"b\"},\"primaryIP\":\"10.0.0.2\"}]}");
        expect(f, "PATCH", "/fleet/v1/machines", "[]", 204, "");
        expect(f, "PATCH", "/fleet/v1/machines", "", 400, ERROR(400, "EOF"));
        expect(f, "PATCH", "/fleet/v1/machines", "[{\"op\":\"x\"}]", 400,
               ERROR(400, "invalid op: expect add, remove, or replace"));
        expect(f, "PATCH", "/fleet/v1/machines", "[{\"op\":\"add\",\"path\":\"/m/x/y\"}]", 400,
               ERROR(400, "machine metadata path invalid"));
        expect(f, "PATCH", "/fleet/v1/machines", "[{\"op\":\"add\",\"path\":\"/m/metadata/y\"}]",
               400, ERROR(400, "invalid value: add and replace require a value"));
        fixture_free(f);
}
END_TEST

/* What is too long to be a machine's ID is none, whoever wrote its record: lists go on over it, and
 * nobody gives it metadata. */
START_TEST(test_long_machine) {
        Fixture *f = fixture_new(2);
        char key[640], path[720];
        unsigned n_pages;
        char *all;

        put(f, "/fleet/machine/a", "{}");
        (void)snprintf(key, sizeof(key), "/fleet/machine/b%0600d", 0);
        put(f, key, "{}");
        put(f, "/fleet/machine/c", "{}");
        all = walk(f, "/fleet/v1/machines", &n_pages);
        ck_assert_ptr_nonnull(strstr(all, "\"id\":\"a\""));
        ck_assert_ptr_nonnull(strstr(all, "\"id\":\"c\""));
        free(all);
        (void)snprintf(path, sizeof(path), "[{\"op\":\"remove\",\"path\":\"/b%0600d/metadata/k\"}]",
                       0);
        expect(f, "PATCH", "/fleet/v1/machines", path, 400,
               ERROR(400, "machine metadata path invalid"));
        fixture_free(f);
}
END_TEST

/* A page of keys that are none of ours is no page: the list goes on behind them. */
START_TEST(test_foreign_keys) {
        Fixture *f = fixture_new(1);
        unsigned n_pages;
        char *all;

        put(f, "/fleet/machine/a", "{}");
        put(f, "/fleet/machine/b/c", "{}");
        put(f, "/fleet/machine/b/d", "{}");
        put(f, "/fleet/machine/e", "{}");
        all = walk(f, "/fleet/v1/machines", &n_pages);
        ck_assert_ptr_nonnull(strstr(all, "\"id\":\"a\""));
        ck_assert_ptr_nonnull(strstr(all, "\"id\":\"e\""));
        free(all);
        fixture_free(f);
}
END_TEST

/* PATCH replies 204 with a content type (contract section 4.8). */
START_TEST(test_patch_type) {
        Fixture *f = fixture_new(100);
        Reply reply = request(f, "PATCH", "/fleet/v1/machines", NULL, "[]");

        ck_assert_int_eq(reply.status, 204);
        ck_assert_ptr_nonnull(strstr(reply.head, "Content-Type: application/json\r\n"));
        reply_free(&reply);
        fixture_free(f);
}
END_TEST

/* Discovery and metrics are served, the latter to any method. */
START_TEST(test_constants) {
        Fixture *f = fixture_new(100);
        Reply reply = request(f, "GET", "/fleet/v1/discovery", NULL, NULL);

        ck_assert_int_eq(reply.status, 200);
        ck_assert_ptr_nonnull(strstr(reply.head, "Content-Type: application/json\r\n"));
        ck_assert_int_eq(strncmp(reply.body, "{\"kind\":\"discovery#restDescription\"", 35), 0);
        ck_assert_ptr_nonnull(strstr(reply.body, "\"id\":\"fleet.Unit.Set\""));
        reply_free(&reply);

        reply = request(f, "PUT", "/metrics", NULL, NULL);
        ck_assert_int_eq(reply.status, 200);
        ck_assert_ptr_nonnull(strstr(reply.head, "Content-Type: text/plain; version=0.0.4"));
        reply_free(&reply);
        fixture_free(f);
}
END_TEST

static bool is_name(const char *text, size_t n_bytes) {
        return n_bytes > 0 && strspn(text, "abcdefghijklmnopqrstuvwxyz_") >= n_bytes;
}

/* A line of /metrics that is no comment: NAME or NAME{LABEL="VALUE",...}, a blank, a number. */
static void check_sample(const char *line, const char *family) {
        size_t n_name = strcspn(line, "{ ");
        const char *at = line + n_name;
        char *end;

        ck_assert_msg(is_name(line, n_name) && strncmp(line, family, strlen(family)) == 0, "%s",
                      line);
        while (*at == '{' || *at == ',') {
                size_t n_label = strcspn(++at, "=");

                ck_assert_msg(is_name(at, n_label) && at[n_label + 1] == '"', "%s", line);
                at += n_label + 2;
                at += strcspn(at, "\"\\");
                ck_assert_msg(*at == '"', "%s", line);
                at++;
        }
        at += *at == '}';
        ck_assert_msg(*at == ' ', "%s", line);
        (void)strtod(at + 1, &end);
        ck_assert_msg(end != at + 1 && !*end, "%s", line);
}

/* Every line of /metrics is a sample of the family whose HELP and TYPE came before it. */
static void check_text_format(char *text) {
        char family[128] = "", kind[16] = "", *rest = text;

        ck_assert_int_eq(text[strlen(text) - 1], '\n');
        while (*rest) {
                char *line = strsep(&rest, "\n");
                char next[128] = "";

                if (sscanf(line, "# HELP %127s %*s", next) == 1) {
                        ck_assert_str_ne(next, family);
                        (void)snprintf(family, sizeof(family), "%s", next);
                        line = strsep(&rest, "\n");
                        ck_assert_int_eq(sscanf(line, "# TYPE %127s %15s", next, kind), 2);
                        ck_assert_str_eq(next, family);
                        ck_assert(streq(kind, "counter") || streq(kind, "gauge") ||
                                  streq(kind, "histogram"));
                        continue;
                }
                check_sample(line, family);
        }
}

/* What was asked, and how it was answered, is counted; the text is what Prometheus reads. */
START_TEST(test_metrics) {
        Fixture *f = fixture_new(100);
        static const char *const lines[] = {
                "\nfleet_http_requests_total{code=\"2xx\",route=\"units\"} 2\n",
                "\nfleet_http_requests_total{code=\"4xx\",route=\"units\"} 1\n",
                "\nfleet_http_requests_total{code=\"4xx\",route=\"unit\"} 1\n",
                "\nfleet_http_requests_total{code=\"4xx\",route=\"other\"} 1\n",
                "\nfleet_http_requests_total{code=\"3xx\",route=\"other\"} 1\n",
                "\nfleet_http_requests_total{code=\"5xx\",route=\"units\"} 1\n",
                "\nfleet_http_requests_total{code=\"2xx\",route=\"metrics\"} 0\n",
                "\nfleet_registry_operation_count_total{type=\"range\"} 4\n",
                "\nfleet_registry_operation_failed_count_total{type=\"range\"} 1\n",
                "\nfleet_registry_operation_duration_second_count{type=\"range\"} 4\n",
                "\nfleet_http_waits 0\n",
        };
        Reply reply;

        expect(f, "GET", "/fleet/v1/units", NULL, 200, NULL);
        expect(f, "GET", "/v1-alpha/units", NULL, 200, NULL);
        expect(f, "PUT", "/fleet/v1/units", NULL, 405, NULL);
        expect(f, "GET", "/fleet/v1/units/no.service", NULL, 404, NULL);
        expect(f, "GET", "/nothing", NULL, 404, NULL);
        expect(f, "GET", "//", NULL, 301, NULL);
        store_memory_set_faults(f->store, &(StoreFaults){ .is_cut = true });
        expect(f, "GET", "/fleet/v1/units", NULL, 503, NULL);
        store_memory_set_faults(f->store, &(StoreFaults){ 0 });

        reply = request(f, "GET", "/metrics", NULL, NULL);
        ck_assert_int_eq(reply.status, 200);
        for (size_t i = 0; i < ELEMENTSOF(lines); i++)
                ck_assert_msg(strstr(reply.body, lines[i]) != NULL, "no%sin %s", lines[i],
                              reply.body);
        check_text_format(reply.body);
        reply_free(&reply);
        fixture_free(f);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_states,       test_state_pages,  test_machines,
                                       test_long_machine, test_foreign_keys, test_patch_type,
                                       test_constants,    test_metrics };

        return tests_run("api lists", tests, ELEMENTSOF(tests));
}
