/* SPDX-License-Identifier: Apache-2.0 */

/* Restarts over the API (docs/api.md): what is written, and what is refused. */

#include <stdio.h>

#include "tests/unit/api/fixture.h"
#include "tests/unit/fault.h"

#define HASH "8bde57c6ec0ee8bfbc9bee3787b2151cb33320b7"
#define STORED(desired, rest) \
        "{\"desired\":\"" desired "\",\"file\":\"" HASH "\",\"generation\":" rest "}"
#define OPTIONS \
        "\"options\":[{\"name\":\"ExecStart\",\"section\":\"Service\",\"value\":\"/bin/true\"}]"

/* A request, on what there was before, and what becomes of it. */
typedef struct Row {
        const char *before; /* the unit's record, or NULL */
        const char *body;
        int status;
        const char *after;   /* the record, NULL: as before */
        const char *message; /* of a refusal, or NULL */
} Row;

static const Row rows[] = {
        /* A restart is a request of its own, and launches what is loaded. */
        { STORED("launched", "3"), "{\"restart\":true}", 204, STORED("launched", "4,\"restart\":4"),
          NULL },
        { STORED("loaded", "3,\"restart\":2"), "{\"restart\":true}", 204,
          STORED("launched", "4,\"restart\":4"), NULL },
        { STORED("launched", "3"), "{\"desiredState\":\"launched\",\"restart\":true}", 204,
          STORED("launched", "4,\"restart\":4"), NULL },
        /* On one machine it leaves the generation alone. */
        { STORED("launched", "3"), "{\"machineID\":\"m1\",\"restart\":true}", 204,
          STORED("launched", "3,\"restarts\":{\"m1\":4}"), NULL },
        { STORED("launched", "3,\"restart\":2,\"restarts\":{\"m1\":7}"),
          "{\"machineID\":\"m0\",\"restart\":true}", 204,
          STORED("launched", "3,\"restart\":2,\"restarts\":{\"m0\":8,\"m1\":7}"), NULL },
        /* Later requests are above all of them; a restart of the whole unit includes them. */
        { STORED("launched", "3,\"restarts\":{\"m1\":7}"), "{\"desiredState\":\"loaded\"}", 204,
          STORED("loaded", "8,\"restarts\":{\"m1\":7}"), NULL },
        { STORED("launched", "3,\"restarts\":{\"m1\":7}"), "{\"restart\":true}", 204,
          STORED("launched", "8,\"restart\":8"), NULL },
        /* No restart, no change. */
        { STORED("launched", "3,\"restart\":2"),
          "{\"desiredState\":\"launched\",\"restart\":false}", 204,
          STORED("launched", "4,\"restart\":2"), NULL },

        { STORED("inactive", "3"), "{\"restart\":true}", 409, NULL,
          "unable to restart a unit in state inactive" },
        { NULL, "{\"restart\":true}", 409, NULL, "unable to restart a unit in state inactive" },
        { NULL, "{\"restart\":true," OPTIONS "}", 409, NULL,
          "unable to restart a unit in state inactive" },
        { STORED("launched", "3"), "{\"desiredState\":\"loaded\",\"restart\":true}", 400, NULL,
          "a unit is launched by a restart, so desiredState cannot be loaded" },
        { STORED("loaded", "3"), "{\"machineID\":\"m1\",\"restart\":true}", 409, NULL,
          "a unit that is not launched can be restarted only as a whole" },
        { STORED("launched", "3"), "{\"machineID\":\"m/1\",\"restart\":true}", 400, NULL,
          "invalid machineID" },
        { STORED("launched", "3"), "{\"machineID\":\"m1\",\"restart\":true," OPTIONS "}", 400, NULL,
          "a restart on one machine takes no options" },
        { STORED("launched", "3"), "{\"restart\":1}", 400, NULL,
          "unable to decode body: \\\"restart\\\" must be true or false" },
};

START_TEST(test_put) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const Row *row = &rows[i];
                Fixture *f = fixture_new(100);
                char expected[512], *value;

                if (row->before)
                        put(f, "/fleet/unit/a.service", row->before);
                (void)snprintf(expected, sizeof(expected),
                               "{\"error\":{\"code\":%d,\"message\":\"%s\"}}", row->status,
                               row->message ? row->message : "");
                expect(f, "PUT", "/fleet/v1/units/a.service", row->body, row->status,
                       row->message ? expected : "");
                value = get(f, "/fleet/unit/a.service");
                if (row->after || row->before)
                        ck_assert_str_eq(value, row->after ? row->after : row->before);
                else
                        ck_assert_ptr_null(value);
                free(value);
                fixture_free(f);
        }
}
END_TEST

/* A restart with other content is a replacement of a unit that is launched afterwards. */
START_TEST(test_restart_with_other_content) {
        Fixture *f = fixture_new(100);
        char *value;

        put(f, "/fleet/unit/a.service", STORED("loaded", "3"));
        expect(f, "PUT", "/fleet/v1/units/a.service", "{\"restart\":true," OPTIONS "}", 201, "");
        value = get(f, "/fleet/unit/a.service");
        ck_assert_ptr_nonnull(strstr(value, "\"desired\":\"launched\""));
        ck_assert_ptr_nonnull(strstr(value, "\"generation\":4,\"restart\":4}"));
        ck_assert_ptr_null(strstr(value, HASH));
        free(value);
        fixture_free(f);
}
END_TEST

/* Several units are restarted in one request, all or none. */
START_TEST(test_batch) {
        Fixture *f = fixture_new(100);
        char *value;

        put(f, "/fleet/unit/a.service", STORED("launched", "3"));
        put(f, "/fleet/unit/b.service", STORED("inactive", "3"));
        expect(f, "POST", "/fleet/v1/units",
               "{\"units\":[{\"name\":\"a.service\",\"restart\":true},"
               "{\"name\":\"b.service\",\"restart\":true}]}",
               409,
               "{\"error\":{\"code\":409,\"message\":\"b.service: unable to restart a unit in "
               "state inactive\"}}");
        value = get(f, "/fleet/unit/a.service");
        ck_assert_str_eq(value, STORED("launched", "3"));
        free(value);
        expect(f, "POST", "/fleet/v1/units",
               "{\"units\":[{\"name\":\"a.service\",\"restart\":true}]}", 204, "");
        value = get(f, "/fleet/unit/a.service");
        ck_assert_str_eq(value, STORED("launched", "4,\"restart\":4"));
        free(value);
        fixture_free(f);
}
END_TEST

/* A restart whose answer is lost is made once. */
START_TEST(test_lost_reply) {
        static const char text[] = "PUT /fleet/v1/units/a.service HTTP/1.1\r\nContent-Type: "
                                   "application/json\r\nContent-Length: 35\r\n\r\n"
                                   "{\"machineID\":\"m1\",\"restart\":true}\r\n";
        Fixture *f = fixture_new(100);
        Client client = client_open(f);
        char *value;

        put(f, "/fleet/unit/a.service", STORED("launched", "3"));
        store_memory_set_faults(f->store, &(StoreFaults){ .latency_us = 1000 });
        client_send(f, &client, text, sizeof(text) - 1);
        fixture_advance(f, &client, 2500);
        store_memory_set_faults(f->store,
                                &(StoreFaults){ .latency_us = 1000, .lose_reply_ppm = 1000000 });
        fixture_advance(f, &client, 1000);
        ck_assert_str_eq(client.text, "");
        store_memory_set_faults(f->store, &(StoreFaults){ 0 });
        fixture_advance(f, &client, 40 * US_PER_S);
        ck_assert_msg(strncmp(client.text, "HTTP/1.1 204 ", 13) == 0, "%s", client.text);
        client_close(&client);
        value = get(f, "/fleet/unit/a.service");
        ck_assert_str_eq(value, STORED("launched", "3,\"restarts\":{\"m1\":4}"));
        free(value);
        fixture_free(f);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_put,
                test_restart_with_other_content,
                test_batch,
                test_lost_reply,
        };

        return tests_run("api restart", tests, ELEMENTSOF(tests));
}
