/* SPDX-License-Identifier: Apache-2.0 */

/* POST wait (docs/api.md): outcomes, in the order in which records come, and how a wait ends. */

#include <stdio.h>

#include "api/api-private.h"
#include "tests/unit/api/fixture.h"
#include "tests/unit/fault.h"

#define FILE_HASH "86943ac9f3754cb90f8dd38bf6da7b0cad074592"

static Client wait_open(Fixture *f, const char *body) {
        Client client = client_open(f);
        char *text = NULL;
        int n;

        n = asprintf(&text,
                     "POST /fleet/v1/wait HTTP/1.1\r\nConnection: close\r\nContent-Type: "
                     "application/json\r\nContent-Length: %zu\r\n\r\n%s",
                     strlen(body), body);
        ck_assert_int_gt(n, 0);
        client_send(f, &client, text, (size_t)n);
        free(text);
        fixture_settle(f, &client);
        return client;
}

static void expect_line(Client *client, const char *line) {
        ck_assert_msg(strstr(client->text, line) != NULL, "no %s in:\n%s", line, client->text);
}

static void put_unit(Fixture *f, const char *name, const char *desired, unsigned generation) {
        char key[128], value[256];

        (void)snprintf(key, sizeof(key), "/fleet/unit/%s", name);
        (void)snprintf(value, sizeof(value),
                       "{\"desired\":\"%s\",\"file\":\"" FILE_HASH "\",\"generation\":%u}", desired,
                       generation);
        put(f, key, value);
}

static void put_state(Fixture *f, const char *name, const char *state, const char *active,
                      unsigned generation, const char *why) {
        char key[128], value[256];

        (void)snprintf(key, sizeof(key), "/fleet/state/m1/%s", name);
        (void)snprintf(value, sizeof(value),
                       "{\"active\":\"%s\",\"generation\":%u,\"load\":\"loaded\",\"state\":\"%s\","
                       "\"sub\":\"x\"%s%s%s}",
                       active, generation, state, why ? ",\"why\":\"" : "", why ? why : "",
                       why ? "\"" : "");
        put(f, key, value);
}

static Fixture *start(void) {
        Fixture *f = fixture_new(100);

        put(f, "/fleet/machine/m1", "{\"address\":\"10.0.0.1\"}");
        put(f, "/fleet/file/" FILE_HASH, "[Service]\nExecStart=/bin/true\n");
        return f;
}

#define LAUNCH "{\"state\":\"launched\",\"timeoutMs\":0,\"units\":[{\"name\":\"a.service\"}]}"

/* The whole way: unplaced with its reason, placed, an old state that does not count, started, done.
 */
START_TEST(test_launch) {
        Fixture *f = start();
        Client client;

        put_unit(f, "a.service", "launched", 7);
        client = wait_open(f, LAUNCH);
        expect_line(&client, "HTTP/1.1 200 OK");
        expect_line(&client, "Content-Type: application/x-ndjson");
        put(f, "/fleet/placement/a.service", "{\"generation\":7,\"why\":\"m1: no\"}");
        fixture_settle(f, &client);
        expect_line(&client, "{\"name\":\"a.service\",\"outcome\":\"unplaced\",\"state\":"
                             "\"inactive\",\"why\":\"m1: no\"}\n");
        put_state(f, "a.service", "launched", "active", 6, NULL);
        put(f, "/fleet/placement/a.service", "{\"generation\":7,\"machine\":\"m1\"}");
        fixture_settle(f, &client);
        put_state(f, "a.service", "launched", "activating", 7, NULL);
        fixture_settle(f, &client);
        ck_assert_ptr_null(strstr(client.text, "reached"));
        put_state(f, "a.service", "launched", "active", 7, NULL);
        fixture_settle(f, &client);
        expect_line(&client, "{\"machineID\":\"m1\",\"name\":\"a.service\",\"outcome\":\"reached\","
                             "\"primaryIP\":\"10.0.0.1\","
                             "\"state\":\"launched\"}\n");
        ck_assert(client.is_closed);
        client_close(&client);
        fixture_free(f);
}
END_TEST

/* A unit that has moved may still run where it was: it is inactive when it has ended there, too. */
START_TEST(test_moved) {
        Fixture *f = start();
        Client client;

        put_unit(f, "a.service", "launched", 7);
        put(f, "/fleet/placement/a.service", "{\"generation\":7,\"machine\":\"m1\"}");
        put_state(f, "a.service", "launched", "active", 7, NULL);
        client = wait_open(f, "{\"state\":\"inactive\",\"timeoutMs\":0,\"units\":[{\"name\":"
                              "\"a.service\"}]}");
        put(f, "/fleet/placement/a.service", "{\"generation\":7,\"machine\":\"m2\"}");
        fixture_settle(f, &client);
        put_unit(f, "a.service", "inactive", 8);
        put(f, "/fleet/placement/a.service", NULL);
        fixture_settle(f, &client);
        ck_assert_msg(!client.is_closed, "%s", client.text);
        put(f, "/fleet/state/m1/a.service", NULL);
        fixture_settle(f, &client);
        expect_line(&client, "\"outcome\":\"reached\"");
        ck_assert(client.is_closed);
        client_close(&client);
        fixture_free(f);
}
END_TEST

/* The unit's machine waits for another one: that is told, and the wait goes on to the end. */
START_TEST(test_held_up) {
        Fixture *f = start();
        Client client;

        put_unit(f, "a.service", "launched", 7);
        put(f, "/fleet/placement/a.service", "{\"generation\":7,\"machine\":\"m1\"}");
        put(f, "/fleet/state/m1/a.service",
            "{\"active\":\"inactive\",\"generation\":0,\"load\":\"not-found\",\"state\":"
            "\"inactive\","
            "\"sub\":\"dead\",\"waits\":\"waits for machine m2 to end it\"}");
        client = wait_open(f, LAUNCH);
        expect_line(&client, "{\"machineID\":\"m1\",\"name\":\"a.service\",\"outcome\":\"waiting\","
                             "\"primaryIP\":\"10.0.0.1\",\"state\":\"inactive\","
                             "\"why\":\"waits for machine m2 to end it\"}\n");
        expect(f, "GET", "/fleet/v1/state/a.service", NULL, 200,
               "{\"machineID\":\"m1\",\"name\":\"a.service\",\"systemdActiveState\":\"inactive\","
               "\"systemdLoadState\":\"not-found\",\"systemdSubState\":\"dead\","
               "\"why\":\"waits for machine m2 to end it\"}");
        ck_assert(!client.is_closed);
        put_state(f, "a.service", "launched", "active", 7, NULL);
        fixture_settle(f, &client);
        expect_line(&client, "\"outcome\":\"reached\"");
        ck_assert(client.is_closed);
        client_close(&client);

        /* Who waits no longer is told, too. */
        put_unit(f, "a.service", "launched", 8);
        put(f, "/fleet/state/m1/a.service",
            "{\"generation\":7,\"state\":\"inactive\",\"waits\":\"waits for machine m2 to end "
            "it\"}");
        client = wait_open(f, "{\"state\":\"launched\",\"timeoutMs\":100,"
                              "\"units\":[{\"name\":\"a.service\"}]}");
        fixture_advance(f, &client, 200000);
        expect_line(&client, "\"outcome\":\"timeout\",\"primaryIP\":\"10.0.0.1\","
                             "\"state\":\"inactive\",\"why\":\"waits for machine m2 to end it\"}");
        client_close(&client);
        fixture_free(f);
}
END_TEST

/* A unit that is kept for a machine which is lost, because no other fits, says so. */
START_TEST(test_lost_machine) {
        Fixture *f = start();
        Client client;

        put_unit(f, "a.service", "launched", 7);
        put(f, "/fleet/placement/a.service",
            "{\"generation\":7,\"machine\":\"m1\",\"why\":\"its machine m1 is not there\"}");
        client = wait_open(f, LAUNCH);
        expect_line(&client,
                    "\"outcome\":\"unplaced\",\"primaryIP\":\"10.0.0.1\",\"state\":\"inactive\","
                    "\"why\":\"its machine m1 is not there\"}");
        ck_assert(!client.is_closed);
        put_state(f, "a.service", "launched", "active", 7, NULL);
        fixture_settle(f, &client);
        expect_line(&client, "\"outcome\":\"reached\"");
        client_close(&client);
        fixture_free(f);
}
END_TEST

/* One copy of a global unit: the state on that machine has to answer the restart that was asked for
 * there, whatever the others do. */
START_TEST(test_one_copy_of_a_global_unit) {
        static const char global[] = "[X-Fleet]\nGlobal=true\n";
        static const char wait_for_m1[] =
                "{\"state\":\"launched\",\"timeoutMs\":0,"
                "\"units\":[{\"machineID\":\"m1\",\"name\":\"g.service\"}]}";
        char hash[UNIT_HASH_BYTES], key[128], value[256];
        Fixture *f = start();
        Client client;

        unit_text_hash(global, sizeof(global) - 1, hash);
        (void)snprintf(key, sizeof(key), "/fleet/file/%s", hash);
        put(f, key, global);
        (void)snprintf(value, sizeof(value),
                       "{\"desired\":\"launched\",\"file\":\"%s\",\"generation\":3,"
                       "\"restarts\":{\"m1\":5,\"m2\":9}}",
                       hash);
        put(f, "/fleet/unit/g.service", value);
        put_state(f, "g.service", "launched", "active", 3, NULL);
        client = wait_open(f, wait_for_m1);
        ck_assert_ptr_null(strstr(client.text, "outcome"));
        put(f, "/fleet/state/m2/g.service",
            "{\"active\":\"active\",\"generation\":9,\"state\":\"launched\"}");
        fixture_settle(f, &client);
        ck_assert_ptr_null(strstr(client.text, "outcome"));
        put_state(f, "g.service", "launched", "active", 5, NULL);
        fixture_settle(f, &client);
        expect_line(&client, "{\"machineID\":\"m1\",\"name\":\"g.service\",\"outcome\":\"reached\","
                             "\"primaryIP\":\"10.0.0.1\",\"state\":\"launched\"}\n");
        client_close(&client);

        put_state(f, "g.service", "launched", "failed", 5, "the restart job failed");
        client = wait_open(f, wait_for_m1);
        expect_line(&client, "\"outcome\":\"failed\"");
        expect_line(&client, "\"why\":\"the restart job failed\"}\n");
        client_close(&client);

        put(f, "/fleet/state/m1/g.service", NULL);
        client = wait_open(f, wait_for_m1);
        expect_line(&client,
                    "\"outcome\":\"unplaced\",\"primaryIP\":\"10.0.0.1\","
                    "\"state\":\"inactive\",\"why\":\"the machine reports no state of it\"}");
        client_close(&client);
        fixture_free(f);
}
END_TEST

/* A table of states: what each is for a wait for "launched" at generation 5. */
START_TEST(test_outcomes) {
        static const struct {
                const char *state, *active;
                unsigned generation;
                const char *why, *outcome, *line_end;
        } rows[] = {
                { "launched", "active", 5, NULL, "reached", "\"state\":\"launched\"}" },
                { "launched", "reloading", 9, NULL, "reached", "\"state\":\"launched\"}" },
                { "launched", "inactive", 5, NULL, "reached",
                  "\"state\":\"launched\"}" }, /* a oneshot that is done */
                { "launched", "inactive", 5, "job failed", "failed", "\"why\":\"job failed\"}" },
                { "launched", "failed", 5, NULL, "failed",
                  "\"why\":\"it was started and has failed; see: fleetctl journal\"}" },
                { "inactive", "inactive", 5, "no such file", "failed",
                  "\"why\":\"no such file\"}" },
                { "launched", "failed", 4, "old", NULL, NULL },
                { "loaded", "inactive", 5, NULL, NULL, NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Fixture *f = start();
                Client client;

                put_unit(f, "a.service", "launched", 5);
                put(f, "/fleet/placement/a.service", "{\"generation\":5,\"machine\":\"m1\"}");
                put_state(f, "a.service", rows[i].state, rows[i].active, rows[i].generation,
                          rows[i].why);
                client = wait_open(f, LAUNCH);
                if (rows[i].outcome) {
                        char outcome[64];

                        (void)snprintf(outcome, sizeof(outcome), "\"outcome\":\"%s\"",
                                       rows[i].outcome);
                        expect_line(&client, outcome);
                        expect_line(&client, rows[i].line_end);
                }
                ck_assert_int_eq(client.is_closed, rows[i].outcome != NULL);
                client_close(&client);
                fixture_free(f);
        }
}
END_TEST

/* Somebody asked for something else and then for the same again, and this client heard of neither: the
 * state that answers the first of them, of a unit that is about to start, is not its start. */
START_TEST(test_asked_again_meanwhile) {
        Fixture *f = start();
        Client client;

        put_unit(f, "a.service", "launched", 5);
        put(f, "/fleet/placement/a.service", "{\"generation\":5,\"machine\":\"m1\"}");
        client = wait_open(f, LAUNCH);
        put_unit(f, "a.service", "launched", 7);
        put_state(f, "a.service", "launched", "inactive", 6, NULL);
        fixture_settle(f, &client);
        ck_assert_ptr_null(strstr(client.text, "reached"));
        put_state(f, "a.service", "launched", "active", 7, NULL);
        fixture_settle(f, &client);
        expect_line(&client, "\"outcome\":\"reached\"");
        client_close(&client);
        fixture_free(f);
}
END_TEST

/* Unknown units, global units, and units that another request wants elsewhere end at once, each in
 * its way. */
START_TEST(test_special_units) {
        Fixture *f = start();
        Client client;

        put(f, "/fleet/file/e32a2bc91e4d08e955db775b4cc032f45ba7685b", "[X-Fleet]\nGlobal=true\n");
        put(f, "/fleet/unit/g.service",
            "{\"desired\":\"launched\",\"file\":\"e32a2bc91e4d08e955db775b4cc032f45ba7685b\","
            "\"generation\":1}");
        put_unit(f, "a.service", "launched", 5);
        client = wait_open(f, "{\"state\":\"launched\",\"timeoutMs\":0,\"units\":[{\"name\":\"u."
                              "service\"},{\"name\":\"g.service\"},"
                              "{\"name\":\"a.service\"}]}");
        expect_line(&client, "{\"name\":\"u.service\",\"outcome\":\"unknown-unit\"}\n");
        expect_line(&client, "{\"name\":\"g.service\",\"outcome\":\"reached\"}\n");
        ck_assert(!client.is_closed);
        put_unit(f, "a.service", "inactive", 6);
        fixture_settle(f, &client);
        expect_line(&client, "\"why\":\"another request set its desired state to inactive\"}\n");
        ck_assert(client.is_closed);
        client_close(&client);
        fixture_free(f);
}
END_TEST

/* "inactive" and "gone" wait for the placement and for the state on the machine where it was; with
 * and without being told which. */
START_TEST(test_departure) {
        static const char *const bodies[] = {
                "{\"state\":\"gone\",\"timeoutMs\":0,\"units\":[{\"name\":\"a.service\"}]}",
                "{\"state\":\"gone\",\"timeoutMs\":0,\"units\":[{\"machineID\":\"m1\",\"name\":\"a."
                "service\"}]}",
        };

        for (size_t i = 0; i < 2 * ELEMENTSOF(bodies); i++) {
                bool is_placed = i < ELEMENTSOF(bodies);
                Fixture *f = start();
                Client client;

                put_unit(f, "a.service", "launched", 5);
                if (is_placed)
                        put(f, "/fleet/placement/a.service",
                            "{\"generation\":5,\"machine\":\"m1\"}");
                put_state(f, "a.service", "launched", "active", 5, NULL);
                client = wait_open(f, bodies[i % ELEMENTSOF(bodies)]);
                put(f, "/fleet/unit/a.service", NULL);
                fixture_settle(f, &client);
                put(f, "/fleet/placement/a.service", NULL);
                fixture_settle(f, &client);
                ck_assert(!client.is_closed);
                put(f, "/fleet/state/m1/a.service", NULL);
                fixture_settle(f, &client);
                expect_line(&client, "{\"name\":\"a.service\",\"outcome\":\"reached\"}\n");
                ck_assert(client.is_closed);
                client_close(&client);
                fixture_free(f);
        }
}
END_TEST

/* The time runs out: each open unit is told so with the last known reason. Until then an empty line
 * comes every 15 s. */
START_TEST(test_timeout) {
        Fixture *f = start();
        Client client;

        put_unit(f, "a.service", "launched", 5);
        put(f, "/fleet/placement/a.service", "{\"generation\":5,\"why\":\"no room\"}");
        client = wait_open(f, "{\"state\":\"launched\",\"timeoutMs\":40000,\"units\":[{\"name\":"
                              "\"a.service\"}]}");
        fixture_advance(f, &client, 31 * US_PER_S);
        expect_line(&client, "\r\n1\r\n\n\r\n1\r\n\n\r\n");
        ck_assert(!client.is_closed);
        fixture_advance(f, &client, 10 * US_PER_S);
        expect_line(&client, "{\"name\":\"a.service\",\"outcome\":\"timeout\",\"state\":"
                             "\"inactive\",\"why\":\"no room\"}\n");
        ck_assert(client.is_closed);
        client_close(&client);
        fixture_free(f);
}
END_TEST

/* A wait for more units than are watched one by one: the same outcomes, each as soon as it is
 * known. */
START_TEST(test_wide) {
        enum { N_UNITS = 40 };
        Fixture *f = start();
        Buf body = buf_make(1024 * 1024);
        char name[64], key[128];
        Client client;

        ck_assert_int_eq(
                buf_append_string(&body, "{\"state\":\"launched\",\"timeoutMs\":0,\"units\":["), 0);
        for (int i = 0; i < N_UNITS; i++) {
                (void)snprintf(name, sizeof(name), "u%d.service", i);
                put_unit(f, name, "launched", 3);
                ck_assert_int_eq(buf_printf(&body, "%s{\"name\":\"%s\"}", i ? "," : "", name), 0);
        }
        ck_assert_int_eq(buf_append_string(&body, "]}"), 0);
        client = wait_open(f, body.data);
        for (int i = 0; i < N_UNITS; i++) {
                ck_assert(!client.is_closed);
                (void)snprintf(name, sizeof(name), "u%d.service", i);
                (void)snprintf(key, sizeof(key), "/fleet/placement/%s", name);
                /* The state may overtake the placement. */
                put_state(f, name, "launched", "active", 3, NULL);
                put(f, key, "{\"generation\":3,\"machine\":\"m1\"}");
                fixture_settle(f, &client);
                (void)snprintf(key, sizeof(key), "\"name\":\"%s\",\"outcome\":\"reached\"", name);
                expect_line(&client, key);
        }
        ck_assert(client.is_closed);
        client_close(&client);
        buf_done(&body);
        fixture_free(f);
}
END_TEST

/* A client that goes ends its wait, and so does the end of the API; bad requests are refused. */
START_TEST(test_ends) {
        Fixture *f = start();
        Client client, other;

        put_unit(f, "a.service", "launched", 5);
        client = wait_open(f, LAUNCH);
        other = wait_open(f, LAUNCH);
        ck_assert_uint_gt(store_stats(f->store).n_watches, 0);
        client_close(&client);
        fixture_settle(f, &other);
        client_close(&other);
        fixture_settle(f, NULL);
        ck_assert_uint_eq(store_stats(f->store).n_watches, 0);

        expect(f, "POST", "/fleet/v1/wait", "{\"state\":\"x\",\"timeoutMs\":0,\"units\":[]}", 400,
               NULL);
        expect(f, "POST", "/fleet/v1/wait",
               "{\"state\":\"gone\",\"timeoutMs\":0,\"units\":[{\"name\":\"a\"}]}", 400, NULL);
        expect(f, "POST", "/fleet/v1/wait",
               "{\"state\":\"gone\",\"timeoutMs\":0,\"units\":[{\"name\":\"a.service\"},{\"name\":"
               "\"a.service\"}]}",
               400, NULL);
        expect(f, "POST", "/fleet/v1/wait", "{\"state\":\"gone\",\"timeoutMs\":0,\"units\":[]}",
               200, NULL);
        client = wait_open(f, LAUNCH);
        fixture_free(f);
        client_close(&client);
}
END_TEST

/* A wait outlives a cut, and tells what happened meanwhile. */
START_TEST(test_cut) {
        Fixture *f = start();
        Client client;

        put_unit(f, "a.service", "launched", 5);
        put(f, "/fleet/placement/a.service", "{\"generation\":5,\"machine\":\"m1\"}");
        client = wait_open(f, LAUNCH);
        store_memory_set_faults(f->store, &(StoreFaults){ .is_cut = true });
        put_state(f, "a.service", "launched", "active", 5, NULL);
        fixture_advance(f, &client, 60 * US_PER_S);
        ck_assert(!client.is_closed);
        store_memory_set_faults(f->store, &(StoreFaults){ 0 });
        fixture_advance(f, &client, 10 * US_PER_S);
        expect_line(&client, "\"outcome\":\"reached\"");
        ck_assert(client.is_closed);
        client_close(&client);
        fixture_free(f);
}
END_TEST

/* Beyond the limits: who waits goes on, the others are told; and when one goes there is room for
 * another. */
START_TEST(test_too_many_waits) {
        Client clients[API_WAITS_MAX], other;
        Buf body = buf_make(1024 * 1024);
        Fixture *f = start();

        put_unit(f, "a.service", "launched", 7);
        for (size_t i = 0; i < ELEMENTSOF(clients) - 1; i++)
                clients[i] = wait_open(f, LAUNCH);

        ck_assert_int_eq(
                buf_append_string(&body, "{\"state\":\"gone\",\"timeoutMs\":0,\"units\":["), 0);
        for (int i = 0; i <= API_WAIT_UNITS_MAX; i++)
                ck_assert_int_eq(buf_printf(&body, "%s{\"name\":\"u%d.service\"}", i ? "," : "", i),
                                 0);
        ck_assert_int_eq(buf_append_string(&body, "]}"), 0);
        other = wait_open(f, body.data);
        expect_line(&other, "HTTP/1.1 413 ");
        expect_line(&other, "more than 4096 units in one request");
        client_close(&other);

        clients[ELEMENTSOF(clients) - 1] = wait_open(f, LAUNCH);
        expect_line(&clients[ELEMENTSOF(clients) - 1], "HTTP/1.1 200 ");
        other = wait_open(f, LAUNCH);
        expect_line(&other, "HTTP/1.1 503 ");
        expect_line(&other, "64 clients are waiting already");
        client_close(&other);

        client_close(&clients[0]);
        fixture_settle(f, &clients[1]);
        other = wait_open(f, LAUNCH);
        expect_line(&other, "HTTP/1.1 200 ");
        client_close(&other);
        for (size_t i = 1; i < ELEMENTSOF(clients); i++)
                client_close(&clients[i]);
        buf_done(&body);
        fixture_free(f);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_launch,
                                       test_moved,
                                       test_held_up,
                                       test_lost_machine,
                                       test_one_copy_of_a_global_unit,
                                       test_asked_again_meanwhile,
                                       test_outcomes,
                                       test_special_units,
                                       test_departure,
                                       test_timeout,
                                       test_wide,
                                       test_ends,
                                       test_cut,
                                       test_too_many_waits };

        return tests_run("api wait", tests, ELEMENTSOF(tests));
}
